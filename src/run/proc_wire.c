/*
 * proc_wire.c - output that is not kept: a wire to somebody who reads it once.
 *
 * The end of the descriptor is not taken for the end of what the process had to say while it could
 * be that somebody ended the process: that it is us is known here (`cause`), and whether it can be
 * oneos-init or its death is told by `lease_until` and initc_down(). Then it waits for the end of
 * the process, which knows (`held`).
 */
#include "run/procs_private.h"

#include <errno.h>

static void settle_wire(struct proc *proc, int which)
{
    struct procs *p = proc->procs;
    struct proc_out *o = &proc->out[which];

    o->held = false;
    if (proc->cause != CAUSE_NONE || proc->rec.cause == CAUSE_LOST)
        source_end(o->source, -EIO);
    else if (proc->rec.state != PROC_ENDED &&
             (proc->lapsed || (proc->leased && now_ms() >= p->lease_until) || initc_down(p->init)))
        o->held = true;
    else
        source_end(o->source, 0);
}

static void wire_over(struct proc *proc, int which, bool unread)
{
    struct proc_out *o = &proc->out[which];

    initc_closed(proc->procs->init, proc->rec.number, which == OUT_STDOUT ? INITC_OUT : INITC_ERR);
    o->over = true;
    o->last.ended = true;
    if (unread)
        source_end(o->source, -EPIPE);
    else
        settle_wire(proc, which);
}

static void tell_out_over(struct proc *proc)
{
    wire_over(proc, OUT_STDOUT, false);
}

static void tell_err_over(struct proc *proc)
{
    wire_over(proc, OUT_STDERR, false);
}

static void tell_out_unread(struct proc *proc)
{
    wire_over(proc, OUT_STDOUT, true);
}

static void tell_err_unread(struct proc *proc)
{
    wire_over(proc, OUT_STDERR, true);
}

/* Data loop. */
static void on_out_over(void *arg, bool unread)
{
    proc_news(arg, unread ? tell_out_unread : tell_out_over);
}

static void on_err_over(void *arg, bool unread)
{
    proc_news(arg, unread ? tell_err_unread : tell_err_over);
}

int proc_out_wire(struct proc *proc, int which)
{
    proc->out[which].wire = true;
    return source_create(&proc->out[which].source, proc->procs->data,
                         which == OUT_STDOUT ? on_out_over : on_err_over, proc);
}

int proc_wire(struct proc *proc, enum proc_stdio which, struct stream **out)
{
    struct proc_out *o = &proc->out[which == PROC_STDERR];

    if (which == PROC_STDIN || !o->wire)
        return -EINVAL;
    return o->source ? source_open(o->source, out) : -EALREADY;
}

void proc_wires_ended(struct proc *proc)
{
    for (int i = 0; i < N_OUT; i++)
        if (proc->out[i].held)
            settle_wire(proc, i);
        else if (proc->out[i].source && proc->rec.cause == CAUSE_LOST)
            source_end(proc->out[i].source, -EIO);
}
