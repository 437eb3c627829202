/*
 * place.c - puts one job on machines: where its parts fit, as close to its data as may be.
 *
 * A pipeline goes to one machine where one can run all of its stages. Else it is cut into the
 * fewest parts; that a machine is full cuts nothing, since each part is promised as much as the
 * whole. In: what machines are, have free, and can run. Out: placements in the step's batch, or
 * why there is none.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parts */

static bool has_counts(void *arg, size_t slot)
{
    const struct part *p = arg;

    return machine_has_counts(p->s->slots[slot], p->counts, p->n_counts, NULL);
}

static void add_count(struct part *p, const struct count *c)
{
    for (size_t i = 0; i < p->n_counts; i++)
        if (strcmp(p->counts[i].key, c->key) == 0) {
            p->counts[i].n += c->n;
            return;
        }
    if (p->n_counts < PART_COUNTS)
        p->counts[p->n_counts++] = *c;
}

void part_of(const struct sched *s, const struct lane *l, size_t first, size_t end,
             struct part *out)
{
    out->s = s;
    out->first = first;
    out->end = end;
    out->n_counts = 0;
    out->query = (struct fit_query){ .cpu = l->cpu, .memory = l->memory, .sets = out->sets };
    for (size_t i = first; i < end; i++) {
        out->sets[out->query.n_sets++] = l->stages[i].need->yes;
        if (l->stages[i].choice->text)
            out->sets[out->query.n_sets++] = l->stages[i].choice->match;
        for (size_t k = 0; k < l->stages[i].choice->n_counts; k++)
            add_count(out, &l->stages[i].choice->counts[k]);
    }
    if (s)
        out->query.pack = l->place == WANT_PACK || (l->place == WANT_ANY && s->opt.pack);
    if (out->n_counts) {
        out->query.also = has_counts;
        out->query.arg = out;
    }
}

static bool anywhere(const struct sched *s, const struct lane *l, size_t first, size_t end)
{
    struct part p;

    part_of(s, l, first, end, &p);
    return fit_next(&s->fit, p.sets, p.query.n_sets, 0) >= 0;
}

size_t parts_of(const struct sched *s, const struct lane *l, size_t first[WANT_STAGES_MAX + 1])
{
    size_t n = 0;

    first[0] = 0;
    for (size_t i = 0; i < l->n; i = first[n]) {
        if (!anywhere(s, l, i, i + 1))
            return 0;
        for (first[++n] = i + 1; first[n] < l->n && anywhere(s, l, i, first[n] + 1); first[n]++)
            ;
    }
    return n;
}

/* ---- asking machines what they can run */

/* Whether a machine that may be chosen for the stage could yet say yes; asks what was not asked. */
static bool asks(struct sched *s, const struct job_node *j, const struct stage *st, bool room_only)
{
    return need_ask(s, st, room_only ? j->lane : NULL, j->by) > 0 || st->need->n_asked > 0;
}

static void put_no(struct obuf *out, const char *id, const char *words)
{
    obuf_puts(out, out->len ? "; " : "");
    if (!need_names(words, id))
        obuf_printf(out, "%s: ", id);
    obuf_puts(out, words);
}

/* All that may be chosen have said no: their words, and 126 or 127. */
static void doom_by_need(struct sched *s, struct job_node *j, const struct stage *st)
{
    const uint64_t *const sets[] = { st->choice->match };
    const struct need *n = st->need;
    int exit = 127;
    struct obuf words = { 0 };
    size_t one = SIZE_MAX;
    bool alike = true;

    for (long i = 0; (i = fit_next(&s->fit, sets, 1, (size_t)i)) >= 0; i++) {
        size_t r = (size_t)n->verdict[i] - V_NO;

        if (n->verdict[i] < V_NO || r >= n->n_reasons)
            continue;
        exit = n->reasons[r].exit == 126 ? 126 : exit;
        alike = alike && (one == SIZE_MAX || one == r);
        one = r;
        if (words.len < JOB_WORDS_MAX)
            put_no(&words, s->slots[i]->id, n->reasons[r].words);
    }
    job_doom(s, j, exit,
             alike && one != SIZE_MAX ? n->reasons[one].words
             : words.p                ? words.p
                                      : "no machine can run that");
    obuf_free(&words);
}

/* A stage for which no machine is known: what is to come of the job. */
static enum outcome stage_without(struct sched *s, struct job_node *j, const struct stage *st)
{
    const uint64_t *const sets[] = { st->choice->match };

    if (asks(s, j, st, false))
        return ASKS;
    if (fit_next(&s->fit, sets, 1, 0) < 0)
        return UNFIT;
    if (st->need->round_ms < j->seen_ms) { /* they said so before this job was there */
        need_again(s, st->need);
        return asks(s, j, st, false) ? ASKS : UNFIT;
    }
    doom_by_need(s, j, st);
    return DOOMED;
}

/* No machine for some stage, or none for all of them together while answers are to come. */
static enum outcome without(struct sched *s, struct job_node *j)
{
    struct lane *l = j->lane;
    bool wait = false;

    for (size_t i = 0; i < l->n; i++) {
        if (!anywhere(s, l, i, i + 1)) {
            enum outcome how = stage_without(s, j, &l->stages[i]);

            if (how != ASKS)
                return how;
            wait = true;
        } else if (l->n > 1) {
            wait = asks(s, j, &l->stages[i], false) || wait;
        }
    }
    return wait ? ASKS : UNFIT;
}

/* What is known to do has no room: whether others may be asked that have. */
static bool asks_for_room(struct sched *s, struct job_node *j)
{
    bool wait = false;

    for (size_t i = 0; i < j->lane->n; i++) {
        struct need *n = j->lane->stages[i].need;

        if (s->now_ms - n->round_ms > PROBE_OLD_MS)
            need_again(s, n);
        wait = asks(s, j, &j->lane->stages[i], true) || wait;
    }
    return wait;
}

/* ---- choosing */

/* The machine that has the job's data, or its submitter's files. */
static struct machine *close_to(const struct sched *s, const struct job_node *j)
{
    return j->near ? machine_find(s, j->near) : j->files ? machine_find(s, j->by) : NULL;
}

/* That machine has room and has not said yet whether it can run the job: another that has said so
 * is not better for it. Asks it; for as long only as an answer may take. */
static bool waits_for_close(struct sched *s, const struct job_node *j)
{
    const struct machine *m = close_to(s, j);
    const struct lane *l = j->lane;
    bool wait = false;

    if (!m || machine_closed(m) || s->fit.cpu[m->slot] < l->cpu ||
        s->fit.memory[m->slot] < l->memory || s->now_ms >= j->seen_ms + PROBE_WAIT_MS)
        return false;
    for (size_t i = 0; i < l->n; i++) {
        const struct stage *st = &l->stages[i];

        if (!bit_get(st->choice->match, m->slot))
            continue;
        if (st->need->verdict[m->slot] == V_UNKNOWN)
            need_ask(s, st, NULL, m->id);
        wait = wait || st->need->verdict[m->slot] == V_ASKED;
    }
    return wait;
}

static bool may_take(const struct sched *s, const struct job_node *j, const struct part *p,
                     const struct machine *m)
{
    return fit_takes(&s->fit, &p->query, m->slot) && (!m->keep || keep_allows(s, j, m));
}

/* The slot for a part, or -1; *kept then says that there is room, but for another. */
static long choose(const struct sched *s, const struct job_node *j, const struct part *p,
                   bool *kept)
{
    const struct machine *m = close_to(s, j);
    long best;

    if (m && may_take(s, j, p, m))
        return m->slot;
    best = fit_best(&s->fit, &p->query);
    if (best >= 0) { /* of equal ones the submitter's */
        m = machine_find(s, j->by);
        return m && !m->keep && s->fit.busy[m->slot] == s->fit.busy[best] &&
                       fit_takes(&s->fit, &p->query, m->slot)
                   ? (long)m->slot
                   : best;
    }
    for (size_t k = 0; k < KEEPS_MAX; k++)
        for (size_t i = 0; s->keeps[k].job && i < s->keeps[k].n; i++) {
            m = s->keeps[k].parts[i].machine;
            if (!fit_takes(&s->fit, &p->query, m->slot))
                continue;
            if (keep_allows(s, j, m))
                return m->slot;
            *kept = true;
        }
    return -1;
}

static bool may_yet(const struct part *p, const struct lane *l, size_t slot)
{
    for (size_t i = p->first; i < p->end; i++)
        if (l->stages[i].need->verdict[slot] >= V_NO || !bit_get(l->stages[i].choice->match, slot))
            return false;
    return true;
}

/* Whether some machine had room if it were empty; also one that was not asked, as it has no room.
 */
static bool ever(const struct sched *s, const struct lane *l, const struct part *p)
{
    const uint64_t *const sets[] = { l->stages[p->first].choice->match };

    for (long i = 0; (i = fit_next(&s->fit, sets, 1, (size_t)i)) >= 0; i++)
        if (s->slots[i]->cpu >= p->query.cpu && s->slots[i]->memory >= p->query.memory &&
            may_yet(p, l, (size_t)i))
            return true;
    return false;
}

/* What the earlier parts take, while the later ones are looked for. */
struct taken {
    struct machine *m;
    int64_t cpu, memory;
    struct part part;
};

static void give_back(struct sched *s, struct taken *t)
{
    fit_set(&s->fit, t->m->slot, t->cpu, t->memory, s->fit.busy[t->m->slot]);
    machine_use_counts(t->m, t->part.counts, t->part.n_counts, true);
}

static bool take(struct sched *s, struct taken *t, long slot)
{
    t->m = s->slots[slot];
    t->cpu = s->fit.cpu[slot];
    t->memory = s->fit.memory[slot];
    if (machine_use_counts(t->m, t->part.counts, t->part.n_counts, false) < 0)
        return false;
    fit_set(&s->fit, (size_t)slot, t->cpu - t->part.query.cpu, t->memory - t->part.query.memory,
            s->fit.busy[slot]);
    return true;
}

/* A machine that an earlier part took serves this one too, for what it was promised. */
static long taken_before(const struct sched *s, const struct taken *t, size_t done, struct part *p)
{
    int64_t cpu = p->query.cpu, memory = p->query.memory;

    p->query.cpu = p->query.memory = 0;
    for (size_t i = 0; i < done; i++)
        if (fit_takes(&s->fit, &p->query, t[i].m->slot))
            return t[i].m->slot;
    p->query.cpu = cpu;
    p->query.memory = memory;
    return -1;
}

static enum outcome choose_parts(struct sched *s, struct job_node *j, const size_t *first, size_t n,
                                 struct machine **on)
{
    struct taken *t = calloc(n, sizeof *t);
    enum outcome how = t ? PLACED : NO_MEMORY;
    size_t done = 0;

    for (bool kept = false; how == PLACED && done < n; done++) {
        long slot;

        part_of(s, j->lane, first[done], first[done + 1], &t[done].part);
        slot = taken_before(s, t, done, &t[done].part);
        if (slot < 0)
            slot = choose(s, j, &t[done].part, &kept);
        if (slot < 0) {
            how = !ever(s, j->lane, &t[done].part) ? UNFIT : kept ? KEPT_ROOM : NO_ROOM;
            break;
        }
        if (!take(s, &t[done], slot)) {
            how = NO_MEMORY;
            break;
        }
        for (size_t i = first[done]; i < first[done + 1]; i++)
            on[i] = t[done].m;
    }
    while (done > 0)
        give_back(s, &t[--done]);
    free(t);
    return how;
}

/* The same for one part, which takes nothing from itself. */
static enum outcome choose_one(struct sched *s, struct job_node *j, struct machine **on)
{
    struct part p;
    bool kept = false;
    long slot;

    part_of(s, j->lane, 0, j->lane->n, &p);
    slot = choose(s, j, &p, &kept);
    if (slot < 0 && !kept && (slot = ahead_choose(s, j, &p)) >= 0)
        asks_for_room(s, j); /* for those that follow */
    if (slot < 0)
        return !ever(s, j->lane, &p) ? UNFIT : kept ? KEPT_ROOM : NO_ROOM;
    for (size_t i = 0; i < j->lane->n; i++)
        on[i] = s->slots[slot];
    return PLACED;
}

/* ---- sending */

static void sent_free(struct sent *t)
{
    want_groups_free(&t->plan);
    free(t->on);
}

static int sent_fill(struct sent *t, const struct job_node *j, struct machine *const *on,
                     struct oerr *e)
{
    struct want w;
    int rc = want_read(&w, j->spec, e);

    if (rc < 0)
        return rc;
    *t = (struct sent){ 0 };
    if (!(t->on = calloc(2 * w.n + JOB_GROUPS_MAX, sizeof *t->on)))
        rc = -ENOMEM;
    for (size_t i = 0; rc == 0 && i < w.n; i++)
        t->on[i] = on[i]->id;
    if (rc == 0)
        rc = want_groups(&w, t->on, j->by, &t->plan, e);
    t->groups = t->on ? t->on + w.n : NULL;
    for (size_t i = 0; rc == 0 && i < t->plan.n && i < JOB_GROUPS_MAX; i++)
        t->groups[i] = t->plan.v[i].machine;
    t->place = (struct job_place){ .name = j->name,
                                   .uid = j->uid,
                                   .attempt = j->attempt + 1,
                                   .on = t->on,
                                   .n_on = w.n,
                                   .groups = t->groups,
                                   .n_groups = t->plan.n,
                                   .status_group = t->plan.status };
    want_free(&w);
    if (rc < 0)
        sent_free(t);
    return rc;
}

static enum outcome send(struct sched *s, struct job_node *j, struct machine *const *on)
{
    struct sent *t = &s->batch[s->n_batch];
    struct oerr e = { "" };
    int rc = sent_fill(t, j, on, &e);

    if (rc == -ENOMEM)
        return NO_MEMORY;
    if (rc < 0) {
        job_doom(s, j, 126, e.text);
        return DOOMED;
    }
    if (job_grant(s, j, t->on, t->place.n_on, &t->plan) < 0) {
        sent_free(t);
        return NO_MEMORY;
    }
    s->n_batch++;
    s->counts.placed++;
    keep_drop_lane(s, j->lane);
    lane_remove(s, j);
    j->state = J_SENT;
    j->placing = true;
    j->attempt++;
    return PLACED;
}

void place_send(struct sched *s)
{
    struct job_place v[STEP_PLACES];
    size_t n = 0;

    for (size_t i = 0; i < s->n_batch; i++) {
        if (s->early_now && s->batch[i].place.uid == s->early_now->uid)
            s->early_put(s->early_arg, &s->batch[i].place);
        else
            v[n++] = s->batch[i].place;
    }
    if (n)
        s->fx.place(s->arg, v, n);
    for (size_t i = 0; i < s->n_batch; i++)
        sent_free(&s->batch[i]);
    s->n_batch = 0;
}

const char *files_lack(const struct sched *s, const struct job_node *j)
{
    const struct machine *m = j->files ? machine_find(s, j->by) : NULL;

    if (!j->files)
        return NULL;
    if (!m)
        return "is no member";
    /* A draining one gets no jobs, but still has its files. */
    return m->known && m->health == SCHED_ALIVE && m->session && !m->fenced ? NULL
                                                                            : machine_closed(m);
}

enum outcome place_try(struct sched *s, struct job_node *j)
{
    struct machine *on[WANT_STAGES_MAX];
    size_t first[WANT_STAGES_MAX + 1];
    size_t n = parts_of(s, j->lane, first);
    enum outcome how;

    s->counts.tries++;
    if (files_lack(s, j))
        return UNFIT;
    if (n == 0)
        return without(s, j);
    if (waits_for_close(s, j))
        return ASKS;
    if (n > 1) { /* one machine for all may yet be found */
        how = without(s, j);
        if (how == ASKS)
            return how;
    }
    how = n == 1 ? choose_one(s, j, on) : choose_parts(s, j, first, n, on);
    if (how == PLACED)
        return send(s, j, on);
    if (how != NO_MEMORY && asks_for_room(s, j))
        return ASKS;
    return how;
}
