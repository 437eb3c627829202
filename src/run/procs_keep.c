/*
 * procs_keep.c - how long processes that have ended are kept, and how much of their output.
 *
 * Those without a tag go by count and age, those of jobs when their job goes, at the latest when
 * there are too many. Their output shares one room on the disk, out of which the oldest goes first.
 */
#include "run/procs_private.h"

#include <utlist.h>

static int list_of(const struct proc *proc)
{
    return *proc->tag.job ? 1 : 0;
}

void keep_ended(struct proc *proc)
{
    struct procs *p = proc->procs;
    int list = list_of(proc);

    if (proc->listed)
        return;
    proc->listed = true;
    p->n_ended[list]++;
    DL_APPEND2(p->ended[list], proc, ended_prev, ended_next);
}

static void no_bulk(struct proc *proc)
{
    struct procs *p = proc->procs;

    if (!proc->kept)
        return;
    p->kept_bytes -= proc->kept;
    proc->kept = 0;
    DL_DELETE2(p->bulky, proc, bulky_prev, bulky_next);
}

void keep_forget(struct proc *proc)
{
    struct procs *p = proc->procs;
    int list = list_of(proc);

    no_bulk(proc);
    if (!proc->listed)
        return;
    proc->listed = false;
    p->n_ended[list]--;
    DL_DELETE2(p->ended[list], proc, ended_prev, ended_next);
}

void keep_output(struct proc *proc, uint64_t bytes)
{
    struct procs *p = proc->procs;
    struct proc *oldest, *next;

    proc->kept = bytes;
    p->kept_bytes += bytes;
    DL_APPEND2(p->bulky, proc, bulky_prev, bulky_next);
    for (oldest = p->bulky; oldest && p->kept_bytes > p->keep_bytes; oldest = next) {
        next = oldest->bulky_next;
        if (proc_out_drop(oldest) == 0) /* else somebody reads it: the next one */
            no_bulk(oldest);
    }
}

void keep_bounds(struct procs *p)
{
    static const size_t most[2] = { PROCS_KEEP, PROCS_KEEP_JOBS };

    for (int list = 0; list < 2; list++)
        while (p->n_ended[list] > most[list])
            procs_drop(p, p->ended[list]);
}

size_t keep_live(const struct procs *p)
{
    return HASH_COUNT(p->all) - p->n_ended[1];
}
