/*
 * keep.c - keeps machines for the first job of its kind that does not fit, so that smaller ones
 * cannot pass it for ever; lets others use them where that does not delay it (EASY backfill).
 *
 * A machine is chosen by when what runs there must have ended, by timeouts; where that is not
 * known, by how little is missing. Jobs that begin again whenever they end do not count as ending.
 *
 * Invariants: a kept machine has its bit in fit.kept and names its keep; a keep's job is queued.
 */
#include "sched/sched_private.h"

#include <stdlib.h>
#include <string.h>

#define OVERDUE_US 10000000 /* what should have ended is taken to end so soon */

static int priority(const struct job_node *j)
{
    return j->lane->queue->key.priority;
}

struct keep *keep_of(struct sched *s, const struct job_node *j)
{
    for (size_t k = 0; k < KEEPS_MAX; k++)
        if (s->keeps[k].job == j)
            return &s->keeps[k];
    return NULL;
}

static void unkeep(struct sched *s, struct keep *k)
{
    for (size_t i = 0; i < k->n; i++) {
        k->parts[i].machine->keep = NULL;
        bit_put(s->fit.kept, k->parts[i].machine->slot, false);
    }
    free(k->parts);
    *k = (struct keep){ 0 };
}

void keep_drop(struct sched *s, struct keep *k)
{
    for (size_t i = 0; i < k->n; i++)
        machine_dirty(s, k->parts[i].machine);
    k->job->lane->group->kind->keep = NULL;
    unkeep(s, k);
    s->kinds_look = true;
}

void keep_drop_job(struct sched *s, const struct job_node *j)
{
    struct keep *k = keep_of(s, j);

    if (k)
        keep_drop(s, k);
}

void keep_drop_lane(struct sched *s, const struct lane *l)
{
    struct keep *k = l->group->kind->keep;

    if (k && k->job->lane == l)
        keep_drop(s, k);
}

/* ---- when a machine has room for a part */

struct room {
    int64_t cpu, memory, counts[PART_COUNTS];
};

static void room_now(const struct sched *s, const struct machine *m, const struct part *p,
                     struct room *r)
{
    r->cpu = s->fit.cpu[m->slot];
    r->memory = s->fit.memory[m->slot];
    for (size_t i = 0; i < p->n_counts; i++)
        r->counts[i] = (int64_t)machine_count_left(m, p->counts[i].key);
}

static void room_add(struct room *r, const struct part *p, const struct grant *g)
{
    r->cpu += g->cpu;
    r->memory += g->memory;
    for (size_t i = 0; i < p->n_counts; i++)
        for (size_t k = 0; k < g->n_counts; k++)
            if (strcmp(p->counts[i].key, g->counts[k].key) == 0)
                r->counts[i] += (int64_t)g->counts[k].n;
}

static bool room_for(const struct room *r, const struct part *p)
{
    for (size_t i = 0; i < p->n_counts; i++)
        if (r->counts[i] < (int64_t)p->counts[i].n)
            return false;
    return r->cpu >= p->query.cpu && r->memory >= p->query.memory;
}

static int by_end(const void *a, const void *b)
{
    const struct grant *x = *(struct grant *const *)a, *y = *(struct grant *const *)b;

    return (x->ends_us > y->ends_us) - (x->ends_us < y->ends_us);
}

/* Whether the machine will have room, and when at the latest; FIT_NEVER: nobody knows. */
static bool room_at(const struct sched *s, const struct machine *m, const struct part *p,
                    uint64_t *at)
{
    struct grant **v = malloc((m->n_grants + 1) * sizeof *v);
    struct room r;
    size_t n = 0;
    bool found;

    if (!v)
        return false;
    for (struct grant *g = m->grants; g; g = g->after)
        if (!g->endless)
            v[n++] = g;
    qsort(v, n, sizeof *v, by_end);
    room_now(s, m, p, &r);
    *at = s->wall_us;
    found = room_for(&r, p);
    for (size_t i = 0; !found && i < n; i++) {
        room_add(&r, p, v[i]);
        found = room_for(&r, p);
        *at = v[i]->ends_us > s->wall_us ? v[i]->ends_us : s->wall_us + OVERDUE_US;
    }
    free(v);
    return found;
}

struct best {
    struct machine *m;
    uint64_t at_us;
    int64_t missing; /* cpu, now */
};

static void consider(const struct sched *s, const struct part *p, struct machine *m,
                     struct best *best)
{
    int64_t missing = p->query.cpu - s->fit.cpu[m->slot];
    bool unknown = s->fit.soonest_us[m->slot] == FIT_NEVER;
    uint64_t at;

    if (best->m && s->fit.soonest_us[m->slot] > best->at_us)
        return;
    if (best->m && unknown && missing >= best->missing)
        return;
    if (m->cpu < p->query.cpu || m->memory < p->query.memory || !room_at(s, m, p, &at))
        return;
    if (best->m && (at > best->at_us || (at == best->at_us && missing >= best->missing)))
        return;
    *best = (struct best){ m, at, missing };
}

/* The machine that has room soonest. kept: also of those that are kept. */
static struct machine *choose(const struct sched *s, const struct job_node *j, const struct part *p,
                              bool kept, uint64_t *at)
{
    struct best best = { 0 };

    for (long i = 0; (i = fit_next(&s->fit, p->sets, p->query.n_sets, (size_t)i)) >= 0; i++)
        if (kept || (!s->slots[i]->keep && s->slots[i] != j->not_here))
            consider(s, p, s->slots[i], &best);
    *at = best.at_us;
    return best.m;
}

const struct machine *keep_guess(struct sched *s, const struct job_node *j, uint64_t *at_us)
{
    const struct keep *k = keep_of(s, j);
    size_t first[WANT_STAGES_MAX + 1];
    struct part p;

    if (k) {
        *at_us = k->parts[0].at_us;
        return k->parts[0].machine;
    }
    if (parts_of(s, j->lane, first) == 0)
        return NULL;
    part_of(s, j->lane, first[0], first[1], &p);
    return choose(s, j, &p, true, at_us);
}

/* ---- keeping */

static bool fill(struct sched *s, struct keep *k, const size_t *first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct keep_part *kp = &k->parts[i];
        struct part p;

        part_of(s, k->job->lane, first[i], first[i + 1], &p);
        kp->first = first[i];
        kp->end = first[i + 1];
        if (!(kp->machine = choose(s, k->job, &p, false, &kp->at_us)))
            return false;
        kp->machine->keep = k;
        bit_put(s->fit.kept, kp->machine->slot, true);
        k->n = i + 1;
    }
    return true;
}

struct keep *keep_take(struct sched *s, struct job_node *j)
{
    size_t first[WANT_STAGES_MAX + 1], n;
    struct keep *k = keep_of(s, NULL);

    if (!k || (n = parts_of(s, j->lane, first)) == 0)
        return NULL;
    *k = (struct keep){ .job = j, .since_ms = s->now_ms, .priority = priority(j) };
    if ((k->parts = calloc(n, sizeof *k->parts)) && fill(s, k, first, n))
        return k;
    unkeep(s, k);
    return NULL;
}

/* Whether a job leaves the keeper what it needs at the time when it can start. */
static bool leaves_enough(const struct machine *m, const struct part *keeper,
                          const struct keep_part *kp, const struct lane *l)
{
    int64_t cpu = m->cpu - keeper->query.cpu, memory = m->memory - keeper->query.memory;

    for (size_t i = 0; i < l->n; i++)
        if (keeper->n_counts && l->stages[i].choice->n_counts)
            return false;
    for (const struct grant *g = m->grants; g; g = g->after)
        if (g->endless || g->ends_us > kp->at_us) {
            cpu -= g->cpu;
            memory -= g->memory;
        }
    return cpu >= l->cpu && memory >= l->memory;
}

bool keep_allows(const struct sched *s, const struct job_node *j, const struct machine *m)
{
    const struct keep *k = m->keep;
    const struct keep_part *kp;
    struct part p;

    /* Another of its lane may have come before it meanwhile. */
    if (!k || k->job->lane == j->lane || priority(j) > priority(k->job))
        return true;
    for (kp = k->parts; kp->machine != m; kp++)
        ;
    if (kp->at_us == FIT_NEVER)
        return false;
    if (j->timeout_us && !j->endless && s->wall_us + j->timeout_us <= kp->at_us)
        return true;
    part_of(s, k->job->lane, kp->first, kp->end, &p);
    return leaves_enough(m, &p, kp, j->lane);
}

/* ---- after changes */

static bool broken(struct sched *s, struct keep *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct keep_part *kp = &k->parts[i];
        struct part p;

        if (machine_closed(kp->machine))
            return true;
        if (kp->at_us == FIT_NEVER && s->now_ms - k->since_ms >= KEEP_PATIENCE_MS) {
            k->job->not_here = kp->machine;
            return true;
        }
        if (!kp->machine->dirty)
            continue;
        part_of(s, k->job->lane, kp->first, kp->end, &p);
        if (!room_at(s, kp->machine, &p, &kp->at_us))
            return true;
    }
    return false;
}

void keeps_look(struct sched *s)
{
    for (size_t i = 0; i < KEEPS_MAX; i++) {
        struct keep *k = &s->keeps[i];

        if (k->job && broken(s, k)) {
            struct lane *l = k->job->lane;

            keep_drop(s, k);
            lane_unblock(s, l);
        }
    }
}
