/*
 * procs_job.c - processes of jobs: who is told of them, and the lease that they run under.
 *
 * Each start and each end is told once: at once, or when somebody wants to be told, which after a
 * restart of the daemon is after its processes were taken up again.
 */
#include "run/procs_private.h"

#include <errno.h>

void job_started(struct proc *proc)
{
    struct procs *p = proc->procs;

    if (!p->job_ops || p->closing || proc->told_started)
        return;
    proc->told_started = true;
    p->job_ops->started(p->job_arg, proc);
}

void job_ended(struct proc *proc)
{
    struct procs *p = proc->procs;

    if (!p->job_ops || p->closing || proc->told_ended)
        return;
    proc->told_ended = true;
    p->job_ops->ended(p->job_arg, proc, &proc->end);
}

struct proc *procs_next_job(const struct procs *p, const struct proc *after)
{
    struct proc *proc = after ? after->hh.next : p->all;

    while (proc && !*proc->tag.job)
        proc = proc->hh.next;
    return proc;
}

void procs_on_jobs(struct procs *p, const struct procs_job_ops *ops, void *arg)
{
    struct proc *next, *proc;

    p->job_ops = ops;
    p->job_arg = arg;
    if (!ops)
        return;
    for (proc = procs_next_job(p, NULL); proc; proc = next) {
        uint32_t number = proc->rec.number;

        next = procs_next_job(p, proc);
        if (proc->starting)
            continue;
        job_started(proc);
        proc = procs_find(p, number);
        if (proc && proc->rec.state == PROC_ENDED)
            job_ended(proc);
    }
}

/* The time is taken first: oneos-init may not be earlier. What ran under a lease that has run out
 * by now may have been killed for it, and we not know it yet. */
uint32_t procs_boot(const struct procs *p)
{
    return initc_boot(p->init);
}

void procs_lease(struct procs *p, uint64_t ms)
{
    uint64_t now = now_ms();

    if (p->lease_until && now >= p->lease_until)
        for (struct proc *proc = p->all; proc; proc = proc->hh.next)
            proc->lapsed = proc->leased && proc->rec.state != PROC_ENDED;
    p->lease_until = now + ms;
    initc_lease(p->init, ms);
}

int procs_forget(struct procs *p, uint32_t number)
{
    struct proc *proc = procs_find(p, number);

    if (!proc)
        return -ESRCH;
    if (proc->rec.state != PROC_ENDED)
        return -EBUSY;
    procs_drop(p, proc);
    return 0;
}
