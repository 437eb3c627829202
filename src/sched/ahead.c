/*
 * ahead.c - short jobs wait on their machine rather than in the queue.
 *
 * Between the end of a job and the start of the next on its core lie two commands of the registry.
 * For jobs that take less than that, a machine is sent more than it has cores free for: those that
 * wait there are *ahead*. The runner starts them in order as cores become free, and gives back what
 * had to wait for long (JOB_NOT_TAKEN).
 *
 * How long a job will take is guessed by those of its lane that ended. Only a job of one group goes
 * ahead (parts of one that waited for each other on two machines might wait for ever), and only
 * while nobody else has a machine kept for a job that is not short itself.
 *
 * Invariants: what is ahead is not in a machine's used_cpu and used_memory; the first of it has no
 * room there, else it were promised it.
 */
#include "sched/sched_private.h"

#include <utlist.h>

#define EACH_US     500     /* what starting and ending costs, beside the job's own time */
#define PER_CORE    64      /* at most so many for each core that short jobs have */
#define LOOKS       256     /* at most so many machines are compared */
#define UNKNOWN_US  1000000 /* a lane whose job had to be given back, until others end */
#define OVERLONG_US 500000

static uint64_t cost(const struct lane *l)
{
    return (l->run_us + EACH_US) * (uint64_t)l->cpu / 1000;
}

static bool is_quick(const struct sched *s, const struct lane *l)
{
    return l && l->run_us && l->run_us <= s->opt.ahead_us;
}

void lane_ran(struct sched *s, struct lane *l, uint64_t us)
{
    if (!s->opt.ahead_us)
        return;
    us = us ? us : 1;
    l->run_us = !l->run_us ? us : us > l->run_us ? (l->run_us + us) / 2 : (7 * l->run_us + us) / 8;
    s->ahead_changed = true;
}

/* ---- grants */

static bool has_room(const struct machine *m, const struct grant *g)
{
    return m->used_cpu + g->cpu <= m->cpu && m->used_memory + g->memory <= m->memory;
}

static void promise(struct machine *m, const struct grant *g)
{
    m->used_cpu += g->cpu;
    m->used_memory += g->memory;
}

void ahead_add(struct sched *s, struct grant *g)
{
    struct machine *m = g->machine;
    const struct lane *l = g->job->lane;

    if (!s->opt.ahead_us || !l || g->n != l->n || g->job->files || g->n_counts ||
        (!m->ahead && has_room(m, g))) {
        promise(m, g);
        return;
    }
    g->ahead = true;
    g->cost_us = cost(l);
    m->ahead_us += g->cost_us;
    m->n_ahead++;
    DL_APPEND2(m->ahead, g, ahead_prev, ahead_next);
}

static void leave(struct machine *m, struct grant *g)
{
    DL_DELETE2(m->ahead, g, ahead_prev, ahead_next);
    m->ahead_us -= g->cost_us;
    m->n_ahead--;
    g->ahead = false;
}

void ahead_remove(struct sched *s, struct grant *g)
{
    struct machine *m = g->machine;

    if (g->ahead) {
        leave(m, g);
        s->ahead_changed = true;
        return;
    }
    m->used_cpu -= g->cpu;
    m->used_memory -= g->memory;
}

void ahead_promise(struct sched *s, struct machine *m)
{
    struct grant *g;

    while ((g = m->ahead) && has_room(m, g)) {
        leave(m, g);
        promise(m, g);
        s->ahead_changed = true;
    }
}

/* ---- choosing */

/* The thousandths of its cores that short jobs have now. */
static int64_t quick_cpu(struct sched *s, struct machine *m)
{
    if (m->quick_step == s->steps)
        return m->quick_cpu;
    m->quick_cpu = 0;
    m->quick_step = s->steps;
    for (const struct grant *g = m->grants; g; g = g->after)
        if (!g->ahead && is_quick(s, g->job->lane))
            m->quick_cpu += g->cpu;
    return m->quick_cpu;
}

static bool somebody_waits(const struct sched *s, const struct job_node *j)
{
    for (size_t i = 0; i < KEEPS_MAX; i++)
        if (s->keeps[i].job && s->keeps[i].job != j && !is_quick(s, s->keeps[i].job->lane))
            return true;
    return false;
}

bool ahead_may(const struct sched *s, const struct lane *l)
{
    if (!s->opt.ahead_us || !is_quick(s, l) || l->place == WANT_SPREAD)
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (l->stages[i].choice->n_counts)
            return false;
    return true;
}

long ahead_choose(struct sched *s, struct job_node *j, const struct part *p)
{
    const struct lane *l = j->lane;
    uint64_t least = UINT64_MAX;
    long best = -1, at = 0;

    if (!ahead_may(s, l) || j->files || somebody_waits(s, j))
        return -1;
    for (int i = 0;
         i < LOOKS && (at = fit_next(&s->fit, p->sets, p->query.n_sets, (size_t)at)) >= 0;
         i++, at++) {
        struct machine *m = s->slots[at];
        uint64_t cpu = (uint64_t)quick_cpu(s, m), wait;

        if (l->cpu > m->cpu || l->memory > m->memory || !cpu || m->n_ahead * 1000 >= PER_CORE * cpu)
            continue;
        wait = (m->ahead_us + cost(l)) * 1000 / cpu;
        if (wait > s->opt.ahead_us || wait >= least)
            continue;
        least = wait;
        best = at;
    }
    return best;
}

/* ---- given back */

void ahead_failed(struct sched *s, const struct job_node *j, struct machine *m)
{
    if (!j->lane || !s->opt.ahead_us)
        return;
    j->lane->run_us = UNKNOWN_US;
    for (const struct grant *g = m->grants; g; g = g->after)
        if (!g->ahead && is_quick(s, g->job->lane) && g->job->started_us &&
            g->job->started_us + OVERLONG_US < s->wall_us)
            g->job->lane->run_us = UNKNOWN_US;
}
