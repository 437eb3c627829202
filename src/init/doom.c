/*
 * doom.c - sees to it that nothing is left of a process.
 *
 * A doomed process is looked at again and again, and what is found of it killed, until there is
 * nothing: commands, descendants, what forked away from it. Then, if its end is still to be told,
 * it is. Invariant: while `doomed` is not empty doom_ms is set, so that the loop comes back.
 */
#include "init/init.h"
#include "base/clock.h"
#include "base/log.h"

#define STEP_MS    5
#define GIVE_UP_MS 10000 /* what does not die of KILL is stuck in the kernel */

void doom(struct init *in, struct proc *p)
{
    uint64_t now = now_ms();

    if (p->state == PROC_FAILED)
        return;
    in->doom_ms = now;
    if (p->doomed)
        return;
    p->doomed = true;
    p->doomed_ms = now;
    TAILQ_INSERT_TAIL(&in->doomed, p, dying);
}

void doom_forget(struct init *in, struct proc *p)
{
    if (!p->doomed)
        return;
    p->doomed = false;
    TAILQ_REMOVE(&in->doomed, p, dying);
}

static bool is_over(const struct proc *p, uint64_t now)
{
    if (p->kin == 0 && p->left == 0)
        return true;
    if (now - p->doomed_ms < GIVE_UP_MS)
        return false;
    log_error("init", "process %u: %u processes of it do not die of KILL; leaving them", p->number,
              p->kin);
    return true;
}

void doom_step(struct init *in)
{
    struct proc *p, *next;
    uint64_t now;

    in->doom_ms = 0;
    kin_kill(in);
    TAILQ_FOREACH(p, &in->doomed, dying)
    if (p->tracked) {
        p->kin = !cgroup_empty(&in->cgroups, p->number);
        if (p->kin)
            cgroup_kill(&in->cgroups, p->number);
    }
    now = now_ms();
    for (p = TAILQ_FIRST(&in->doomed); p; p = next) {
        next = TAILQ_NEXT(p, dying);
        if (!is_over(p, now))
            continue;
        doom_forget(in, p);
        if (p->left == 0 && p->state == PROC_RUNNING)
            proc_finish(in, p);
        else if (p->tracked)
            cgroup_remove(&in->cgroups, p->number);
    }
    if (!TAILQ_EMPTY(&in->doomed))
        in->doom_ms = now + STEP_MS;
}
