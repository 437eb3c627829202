/*
 * fence.c - gives up on machines that are dead, so that what ran there may run elsewhere.
 *
 * A machine that has been dead for fence_ms is fenced: its session gets no lease any more. lost_ms
 * after this scheduler has seen the fence in the registry its last lease is over for sure, whoever
 * wrote the fence and whatever the wall clock did; then what was placed there is lost. One that
 * comes back before the fence just goes on.
 */
#include "sched/sched_private.h"

/* When something is to be asked for this machine; FIT_NEVER: nothing. */
uint64_t fence_due(const struct sched *s, const struct machine *m)
{
    uint64_t due;

    if (m->n_grants == 0 || !m->session)
        return FIT_NEVER;
    if (m->fenced)
        due = m->fenced_ms + s->opt.lost_ms;
    else if (!m->known || m->health == SCHED_LEFT)
        due = m->down_ms; /* it has ended what ran there, or nobody wants it back */
    else if (m->health == SCHED_DEAD)
        due = m->down_ms + s->opt.fence_ms;
    else
        return FIT_NEVER;
    if (m->asked_ms && m->asked_ms + AGAIN_MS > due)
        due = m->asked_ms + AGAIN_MS;
    return due;
}

void fences_look(struct sched *s)
{
    uint64_t due;

    if (s->now_ms < s->fences_ms)
        return;
    s->fences_ms = UINT64_MAX;
    for (struct machine *m = s->machines; m; m = m->hh.next) {
        due = fence_due(s, m);
        if (due <= s->now_ms) {
            (m->fenced ? s->fx.lost : s->fx.fence)(s->arg, m->id, m->session);
            m->asked_ms = s->now_ms ? s->now_ms : 1;
            due = fence_due(s, m);
        }
        s->fences_ms = due < s->fences_ms ? due : s->fences_ms;
    }
}
