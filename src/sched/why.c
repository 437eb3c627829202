/*
 * why.c - why a job is where it is, in lines for people.
 *
 * A waiting job gets what it waits for, and for each machine the rule that leaves it out; machines
 * of which the same is to be said share a line. Reads only.
 */
#include "sched/sched_private.h"

#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_NAMED 5

/* ---- small words */

static void put_cores(struct obuf *o, int64_t milli)
{
    char text[32];
    size_t n = (size_t)snprintf(text, sizeof text, "%lld.%03d", (long long)(milli / 1000),
                                abs((int)(milli % 1000)));

    while (text[n - 1] == '0')
        n--;
    obuf_put(o, text, text[n - 1] == '.' ? n - 1 : n);
}

static const char *cores(int64_t milli)
{
    return milli == 1000 ? "core" : "cores";
}

/* "in 12min"; of what is past: "now". */
static void put_until(struct obuf *o, uint64_t at, uint64_t now, uint64_t unit_us)
{
    uint64_t us = at > now ? (at - now) * unit_us : 0;

    if (us == 0) {
        obuf_puts(o, "now");
        return;
    }
    obuf_puts(o, "in ");
    units_put_time(o, us < 1000000 ? us : (us + 999999) / 1000000 * 1000000);
}

static void put_machines(struct obuf *o, const struct job_node *j)
{
    for (size_t i = 0; i < j->n_on; i++) {
        size_t k = 0;

        while (strcmp(j->on[k], j->on[i]) != 0)
            k++;
        if (k == i)
            obuf_printf(o, "%s%s", i ? ", " : "", j->on[i]);
    }
}

/* ---- what one machine says */

static void stage_name(struct obuf *o, const struct lane *l, size_t i)
{
    if (l->n > 1)
        obuf_printf(o, "for `%s`: ", l->stages[i].need->what.command);
}

/* Whether the machine may have the stage; if not, the reason. */
static bool may_have(const struct sched *s, const struct lane *l, size_t i, const struct machine *m,
                     struct obuf *o)
{
    const struct stage *st = &l->stages[i];
    const struct need *n = st->need;
    char why[SELECTOR_WHY];
    uint8_t v = n->verdict[m->slot];

    if (!choice_match(s, st->choice, m, why)) {
        stage_name(o, l, i);
        obuf_puts(o, why);
        return false;
    }
    if (v == V_YES)
        return true;
    stage_name(o, l, i);
    if (v >= V_NO)
        need_say(need_words(n, v), m->id, o);
    else
        obuf_printf(o, "%s whether it can run %s",
                    v == V_ASKED ? "has not said yet" : "was not asked yet", n->what.command);
    return false;
}

static bool has_size(const struct lane *l, const struct machine *m, struct obuf *o)
{
    if (m->cpu < l->cpu) {
        obuf_puts(o, "has ");
        put_cores(o, m->cpu);
        obuf_printf(o, " %s, ", cores(m->cpu));
        put_cores(o, l->cpu);
        obuf_printf(o, " %s wanted", l->cpu == 1000 ? "is" : "are");
        return false;
    }
    if (m->memory < l->memory) {
        obuf_puts(o, "has ");
        units_put_size(o, (uint64_t)m->memory);
        obuf_puts(o, " of memory, ");
        units_put_size(o, (uint64_t)l->memory);
        obuf_puts(o, " are wanted");
        return false;
    }
    return true;
}

static bool has_free(const struct sched *s, const struct lane *l, const struct machine *m,
                     struct obuf *o)
{
    int64_t cpu = s->fit.cpu[m->slot] > 0 ? s->fit.cpu[m->slot] : 0;
    int64_t memory = s->fit.memory[m->slot] > 0 ? s->fit.memory[m->slot] : 0;

    if (cpu < l->cpu) {
        put_cores(o, cpu);
        obuf_puts(o, " of ");
        put_cores(o, m->cpu);
        obuf_printf(o, " %s free, ", m->cpu == 1000 ? "core is" : "cores are");
        put_cores(o, l->cpu);
        obuf_printf(o, " %s wanted", l->cpu == 1000 ? "is" : "are");
        return false;
    }
    if (memory < l->memory) {
        units_put_size(o, (uint64_t)memory);
        obuf_puts(o, " of ");
        units_put_size(o, (uint64_t)m->memory);
        obuf_puts(o, " of memory are free, ");
        units_put_size(o, (uint64_t)l->memory);
        obuf_puts(o, " are wanted");
        return false;
    }
    return true;
}

/* The stages that the machine may have, as one part; what is counted of them. */
static bool has_things(const struct sched *s, const struct lane *l, size_t first, size_t end,
                       const struct machine *m, struct obuf *o)
{
    const char *lacks = NULL;
    struct part p;

    part_of(s, l, first, end, &p);
    if (machine_has_counts(m, p.counts, p.n_counts, &lacks))
        return true;
    for (size_t i = 0; i < p.n_counts; i++)
        if (strcmp(p.counts[i].key, lacks) == 0)
            obuf_printf(o, "%" PRIu64 " of its %s are free, %" PRIu64 " wanted",
                        machine_count_left(m, lacks), lacks, p.counts[i].n);
    return false;
}

static void kept_for(const struct sched *s, const struct job_node *j, const struct machine *m,
                     struct obuf *o)
{
    const struct keep *k = m->keep;
    uint64_t at = FIT_NEVER;

    for (size_t i = 0; i < k->n; i++)
        if (k->parts[i].machine == m)
            at = k->parts[i].at_us;
    if (k->job == j)
        obuf_puts(o, "is kept for this job");
    else
        obuf_printf(o, "is kept for job %s, which came first", k->job->name);
    if (at != FIT_NEVER) {
        obuf_puts(o, "; there is room ");
        put_until(o, at, s->wall_us, 1);
        obuf_puts(o, " at the latest");
    }
}

static void phrase(const struct sched *s, const struct job_node *j, const struct machine *m,
                   struct obuf *o)
{
    const struct lane *l = j->lane;
    const char *closed = machine_closed(m);
    size_t first = SIZE_MAX, end = 0;

    if (closed) {
        obuf_puts(o, closed);
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (!may_have(s, l, i, m, o)) {
            obuf_puts(o, "; ");
            continue;
        }
        first = first == SIZE_MAX ? i : first;
        end = i + 1;
    }
    if (end == 0 || end - first < l->n) {
        if (o->len >= 2)
            o->p[o->len -= 2] = '\0';
        return;
    }
    if (!has_size(l, m, o) || !has_free(s, l, m, o) || !has_things(s, l, first, end, m, o))
        return;
    if (m->keep && !keep_allows(s, j, m))
        kept_for(s, j, m, o);
    else
        obuf_puts(o, "would do");
}

/* ---- all machines */

struct line {
    char *text;
    struct obuf ids;
};

static int by_rank(const void *a, const void *b)
{
    const struct machine *x = *(struct machine *const *)a, *y = *(struct machine *const *)b;

    return strcmp(x->id, y->id);
}

static struct line *line_for(struct line **v, size_t *n, const char *text)
{
    struct line *more;

    for (size_t i = 0; i < *n; i++)
        if (strcmp((*v)[i].text, text) == 0)
            return &(*v)[i];
    if (!(more = realloc(*v, (*n + 1) * sizeof *more)))
        return NULL;
    *v = more;
    more[*n] = (struct line){ .text = strdup(text) };
    return more[*n].text ? &more[(*n)++] : NULL;
}

static void put_table(struct sched *s, const struct job_node *j, struct obuf *out)
{
    struct machine **m = malloc((s->fit.n + 1) * sizeof *m);
    struct line *lines = NULL;
    size_t n = 0, known = 0;
    struct obuf text = { 0 };

    for (size_t i = 0; m && i < s->fit.n; i++)
        if (s->slots[i]->known || s->slots[i]->session)
            m[known++] = s->slots[i];
    if (m)
        qsort(m, known, sizeof *m, by_rank);
    for (size_t i = 0; i < known; i++) {
        struct line *l;

        obuf_reset(&text);
        phrase(s, j, m[i], &text);
        l = text.p ? line_for(&lines, &n, text.p) : NULL;
        if (l)
            obuf_printf(&l->ids, "%s%s", l->ids.len ? " " : "", m[i]->id);
    }
    for (size_t i = 0; i < n; i++) {
        obuf_printf(out, "%s: %s\n", lines[i].ids.p ? lines[i].ids.p : "", lines[i].text);
        obuf_free(&lines[i].ids);
        free(lines[i].text);
    }
    if (known == 0)
        obuf_puts(out, "no machine is known\n");
    obuf_free(&text);
    free(lines);
    free(m);
}

/* ---- who is before it */

struct ahead {
    const struct job_node *first[AHEAD_NAMED];
    size_t n;
};

static double share_of(const struct sched *s, const struct job_node *j)
{
    struct fair now = s->fair;

    return s->opt.fair ? fair_use(&now, &j->user->use) : 0;
}

static int priority_of(const struct job_node *j)
{
    return j->lane->queue->key.priority;
}

static bool goes_before(const struct sched *s, const struct job_node *a, const struct job_node *b)
{
    double x = share_of(s, a), y = share_of(s, b);

    if (priority_of(a) != priority_of(b))
        return priority_of(a) > priority_of(b);
    return x != y ? x < y : lanes_before(a, b);
}

static void add_ahead(const struct sched *s, struct ahead *a, const struct job_node *j)
{
    size_t i = a->n < AHEAD_NAMED ? a->n : AHEAD_NAMED;

    if (i == AHEAD_NAMED && !goes_before(s, j, a->first[i - 1])) {
        a->n++;
        return;
    }
    i -= i == AHEAD_NAMED;
    for (; i > 0 && goes_before(s, j, a->first[i - 1]); i--)
        a->first[i] = a->first[i - 1];
    a->first[i] = j;
    a->n++;
}

static void put_ahead(const struct sched *s, const struct job_node *j, struct obuf *out)
{
    struct ahead a = { .n = 0 };

    for (const struct lane *l = s->lanes; l; l = l->hh.next)
        for (size_t i = 0; i < l->jobs.n; i++)
            if (l->jobs.v[i] != j && goes_before(s, l->jobs.v[i], j))
                add_ahead(s, &a, l->jobs.v[i]);
    if (a.n == 0) {
        obuf_puts(out, "it is the next one\n");
        return;
    }
    obuf_printf(out, "%zu %s before it: ", a.n, a.n == 1 ? "job is" : "jobs are");
    for (size_t i = 0; i < a.n && i < AHEAD_NAMED; i++)
        obuf_printf(out, "%s%s", i ? ", " : "", a.first[i]->name);
    obuf_puts(out, a.n > AHEAD_NAMED ? ", ...\n" : "\n");
}

static void put_room(struct sched *s, const struct job_node *j, struct obuf *out)
{
    uint64_t at;
    const struct machine *m = keep_guess(s, j, &at);

    if (!m)
        return;
    put_cores(out, j->lane->cpu);
    obuf_printf(out, " %s next free on %s", j->lane->cpu == 1000 ? "core is" : "cores are", m->id);
    if (at == FIT_NEVER) {
        obuf_puts(out, " when jobs there have ended, which have no timeout\n");
        return;
    }
    obuf_puts(out, ", ");
    put_until(out, at, s->wall_us, 1);
    obuf_puts(out, " at the latest\n");
}

/* ---- by where it is */

static void why_queued(struct sched *s, const struct job_node *j, struct obuf *out)
{
    static const char *const head[] = {
        [BLOCKED_NOT] = "it waits for its turn",
        [BLOCKED_FULL] = "no machine that could run it has room for it now",
        [BLOCKED_KEPT] = "what is free is kept for another job",
        [BLOCKED_ASKS] = "machines are being asked whether they can run it",
        [BLOCKED_UNFIT] = "no machine can run it as they are now",
    };
    enum blocked how = j->lane->blocked;
    const char *files = files_lack(s, j);

    obuf_printf(out, "%s\n", head[how]);
    if (files)
        obuf_printf(out, "its < or > is a file of %s, which %s\n", j->by, files);
    if (how == BLOCKED_NOT || how == BLOCKED_FULL || how == BLOCKED_KEPT) {
        put_ahead(s, j, out);
        if (how != BLOCKED_NOT)
            put_room(s, j, out);
    }
    put_table(s, j, out);
}

static void why_after(struct sched *s, const struct job_node *j, struct obuf *out)
{
    for (size_t i = 0; i < j->n_after; i++) {
        const struct job_node *d = job_named(s, j->after[i]);

        if (d && !job_is_over(d->record))
            obuf_printf(out, "it waits for job %s to end well, which is %s\n", d->name,
                        job_state_name(d->record));
    }
}

static void why_pause(struct sched *s, const struct job_node *j, struct obuf *out)
{
    obuf_puts(out, j->end ? "it is begun again " : "it is tried again ");
    put_until(out, j->not_before_us, s->wall_us, 1);
    if (j->end && j->end->cause == JOB_EXITED)
        obuf_printf(out, ", after exit %d\n", j->end->exit);
    else if (j->end)
        obuf_printf(out, ", after it %s%s%s\n",
                    j->end->cause == JOB_LOSS        ? "was lost"
                    : j->end->cause == JOB_NOT_TAKEN ? "was not taken by its machine"
                                                     : job_cause_name(j->end->cause),
                    *j->end->words ? ": " : "", j->end->words);
    else
        obuf_puts(out, "\n");
}

static void why_running(struct sched *s, const struct job_node *j, struct obuf *out)
{
    obuf_puts(out, "it runs on ");
    put_machines(out, j);
    if (j->started_us && s->wall_us >= j->started_us + 1000000) {
        obuf_puts(out, " for ");
        units_put_time(out, (s->wall_us - j->started_us) / 1000000 * 1000000);
    } else if (j->started_us) {
        obuf_puts(out, " since just now");
    }
    if (j->attempt > 1)
        obuf_printf(out, ", as attempt %" PRIu32, j->attempt);
    obuf_puts(out, "\n");
    if (j->cancelled)
        obuf_printf(out, "it is being cancelled%s%s\n", j->cancelled_by ? " by " : "",
                    j->cancelled_by ? j->cancelled_by : "");
    if (j->grants && j->grants->ahead)
        obuf_printf(out, "it waits there for a core: %zu short jobs do\n",
                    j->grants->machine->n_ahead);
    for (const struct grant *g = j->grants; g; g = g->next) {
        const char *closed = g->machine->draining ? NULL : machine_closed(g->machine);
        uint64_t due = fence_due(s, g->machine);

        if (!closed)
            continue;
        obuf_printf(out, "%s %s", g->machine->id, closed);
        if (due != FIT_NEVER) {
            obuf_printf(out, ": %s ", g->machine->fenced ? "the job is lost" : "it is given up");
            put_until(out, due, s->now_ms, 1000);
            if (!g->machine->fenced)
                obuf_puts(out, " unless it comes back");
        }
        obuf_puts(out, "\n");
    }
}

static void why_idle(struct sched *s, const struct job_node *j, struct obuf *out)
{
    (void)s;
    if (j->array)
        obuf_printf(out, "it is an array: see %s.N for why each of it is where it is\n", j->name);
    else if (j->record == JOB_HELD)
        obuf_puts(out, "it is held: write `release` to its ctl file\n");
    else if (j->record == JOB_NEW)
        obuf_puts(out, "it was not told what to run: write `run LINE` to its ctl file\n");
    else
        obuf_puts(out, "the scheduler has not looked at it yet\n");
}

static void why_over(struct sched *s, const struct job_node *j, struct obuf *out)
{
    const struct job_end *e = j->end;
    const char *words = e && *e->words ? e->words : NULL, *signal;

    (void)s;
    switch (e ? e->cause : JOB_NOT_ENDED) {
    case JOB_EXITED:
        obuf_printf(out, "it ended with exit %d", e->exit);
        break;
    case JOB_KILLED:
        signal = sigabbrev_np(e->signal);
        obuf_printf(out, "it was ended by signal %s", signal ? signal : "?");
        break;
    case JOB_OOM:
        obuf_puts(out, "it took more memory than it may have: ");
        units_put_size(out, e->memory_peak);
        break;
    case JOB_TIMEOUT:
        obuf_puts(out, "it took longer than its timeout");
        break;
    case JOB_LOSS:
        obuf_puts(out, "it was lost");
        break;
    case JOB_CANCEL:
        obuf_printf(out, "it was cancelled%s%s", j->cancelled_by ? " by " : "",
                    j->cancelled_by ? j->cancelled_by : "");
        break;
    case JOB_NOT_BEGUN:
        obuf_printf(out, "it %s, exit %d", e->started_us ? "failed" : "could not be started",
                    e->exit);
        break;
    default:
        obuf_printf(out, "it is %s", job_state_name(j->record));
        break;
    }
    if (words)
        obuf_printf(out, ": %s", words);
    if (j->n_on) {
        obuf_puts(out, "; it ran on ");
        put_machines(out, j);
    }
    if (j->restarts)
        obuf_printf(out, "; it was begun %" PRIu32 " times", j->restarts + 1);
    obuf_puts(out, "\n");
}

static void why_sent(struct sched *s, const struct job_node *j, struct obuf *out)
{
    (void)s;
    if (!j->placing) {
        obuf_printf(out, "it is being refused: %s\n", j->words ? j->words : "");
        return;
    }
    obuf_puts(out, "it was just placed on ");
    for (const struct grant *g = j->grants; g; g = g->next)
        obuf_printf(out, "%s%s", g->machine->id, g->next ? ", " : "");
    obuf_puts(out, "; the registry has not confirmed it yet\n");
}

int sched_why(struct sched *s, const char *name, struct obuf *out)
{
    static void (*const by_state[])(struct sched *, const struct job_node *, struct obuf *) = {
        [J_IDLE] = why_idle,   [J_CHECK] = why_idle,      [J_AFTER] = why_after,
        [J_PAUSE] = why_pause, [J_QUEUED] = why_queued,   [J_DOOMED] = why_sent,
        [J_SENT] = why_sent,   [J_RUNNING] = why_running, [J_OVER] = why_over,
    };
    struct job_node *j = job_named(s, name);

    if (!j)
        return -ENOENT;
    by_state[j->state](s, j, out);
    return obuf_check(out);
}
