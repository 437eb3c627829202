/*
 * proc_stdio.c - what goes into a process and comes out of it.
 *
 * stdin comes out of a flow that anybody may write to, or out of one stream that it is fed from;
 * a sink pumps it. Output goes into a spool, or is a wire. Most processes are short, read nothing
 * and write nothing, so all of this is made late: the descriptor of stdin waits until somebody
 * writes there, that of an output for DRAIN_MS, for its reader, or for the end of the process;
 * what is silent then needs no spool, no poll and no file.
 *
 * A stdin whose remote writer was lost must not look like its end: the process is killed, and its
 * cause is `lost`.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <utlist.h>

#define STDIN_CAPACITY (256 * 1024)

static const char *const suffixes[N_OUT] = { "out", "err" };

/* What the data loop has to tell; the process may be gone when the core hears of it. */
struct news {
    struct task task;
    struct procs *procs;
    uint32_t number;
    void (*tell)(struct proc *);
};

static void run_news(struct task *t)
{
    struct news *n = container_of(t, struct news, task);
    struct proc *proc = procs_find(n->procs, n->number);

    if (proc)
        n->tell(proc);
    free(n);
}

void proc_news(struct proc *proc, void (*tell)(struct proc *))
{
    struct news *n = malloc(sizeof *n);

    if (!n) {
        log_error("procs", "%s: no memory to tell of its stdio", proc->rec.name);
        return;
    }
    *n = (struct news){
        .task.run = run_news, .procs = proc->procs, .number = proc->rec.number, .tell = tell
    };
    loop_post(proc->procs->core, &n->task);
}

/* ---- stdin */

static void tell_stdin_ended(struct proc *proc)
{
    initc_closed(proc->procs->init, proc->rec.number, INITC_IN);
}

/* oneos-init's own descriptor stays open, so that no end of file comes before the signal. */
static void tell_stdin_broken(struct proc *proc)
{
    if (proc->rec.state == PROC_ENDED)
        return;
    log_warn("procs", "%s: the writer of its stdin was lost; it is killed", proc->rec.name);
    proc_kill(proc, CAUSE_LOST);
}

/* Data loop. */
static void on_stdin_end(void *arg, bool broken)
{
    proc_news(arg, broken ? tell_stdin_broken : tell_stdin_ended);
}

/* Takes the stream. */
static int pump_stdin(struct proc *proc, struct stream *from)
{
    int rc = sink_start(&proc->sink, proc->procs->data, from, proc->in_fd, on_stdin_end, proc);

    if (rc < 0)
        from->ops->close(from, -EIO);
    else
        proc->in_fd = -1;
    return rc;
}

/* Once it has a descriptor and something to put there. */
static int begin_stdin(struct proc *proc)
{
    struct stream *from;
    int rc = 0;

    if (proc->in_fd < 0 || proc->sink || (!proc->feed && !proc->in))
        return 0;
    from = take_ptr(proc->feed);
    if (!from)
        rc = flow_open_reader(proc->in, &from);
    return rc < 0 ? rc : pump_stdin(proc, from);
}

static int open_stdin(struct proc *proc, struct stream **out)
{
    int rc = 0;

    if (proc->no_stdin || proc->fed)
        return -EPIPE;
    if (!proc->in) {
        rc = flow_create(&proc->in, STDIN_CAPACITY, FLOW_STREAM);
        if (rc == 0 && proc->rec.state == PROC_ENDED)
            flow_break(proc->in, -EPIPE);
    }
    if (rc == 0)
        rc = flow_open_writer(proc->in, false, out);
    return rc < 0 ? rc : begin_stdin(proc);
}

int proc_feed(struct proc *proc, struct stream *from)
{
    int rc = 0;

    if (proc->no_stdin)
        rc = -EINVAL;
    else if (proc->fed || proc->in)
        rc = -EBUSY;
    else if (proc->rec.state == PROC_ENDED)
        rc = -EPIPE;
    if (rc < 0) {
        from->ops->close(from, -EPIPE);
        return rc;
    }
    proc->fed = true;
    proc->feed = from;
    if (proc->planned)
        proc_save_now(proc); /* the next daemon must not wait for what is lost with this one */
    return begin_stdin(proc);
}

/* ---- output */

static int need_spool(struct proc *proc, int which)
{
    struct proc_out *o = &proc->out[which];
    char path[4200];
    int rc;

    if (o->spool)
        return 0;
    proc_path(proc->procs, proc->rec.number, suffixes[which], path);
    rc = spool_create(&o->spool, proc->procs->data, path, proc->procs->output_limit, false, NULL);
    if (rc == 0 && o->over)
        spool_end(o->spool, o->last.broken);
    return rc;
}

/* Nothing more comes. */
static void end_out(struct proc_out *o, int how)
{
    if (o->spool) {
        spool_end(o->spool, how);
        spool_stat(o->spool, &o->last);
    }
    o->over = true;
    o->last.ended = true;
    o->last.broken = how;
}

static void on_output(void *arg)
{
    proc_news(arg, proc_settle);
}

static void drain_one(struct proc *proc, int which)
{
    struct proc_out *o = &proc->out[which];

    if (o->fd < 0)
        return;
    if (need_spool(proc, which) == 0) {
        spool_drain(o->spool, take_fd(&o->fd), on_output, proc);
        return;
    }
    log_error("procs", "%s: its %s cannot be kept", proc->rec.name, which ? "stderr" : "stdout");
    close(take_fd(&o->fd));
    end_out(o, -EIO);
}

static void not_to_drain(struct proc *proc)
{
    if (proc->to_drain)
        DL_DELETE2(proc->procs->undrained, proc, drain_prev, drain_next);
    proc->to_drain = false;
}

void proc_drain(struct proc *proc)
{
    not_to_drain(proc);
    for (int i = 0; i < N_OUT; i++)
        drain_one(proc, i);
}

void procs_drain(uv_timer_t *timer)
{
    struct procs *p = container_of(timer, struct procs, draining);
    uint64_t now = now_ms();

    while (p->undrained && p->undrained->drain_ms <= now)
        proc_drain(p->undrained);
    if (p->undrained)
        uv_timer_start(timer, procs_drain, p->undrained->drain_ms - now, 0);
}

static void drain_later(struct proc *proc)
{
    struct procs *p = proc->procs;

    proc->to_drain = true;
    proc->drain_ms = now_ms() + DRAIN_MS;
    DL_APPEND2(p->undrained, proc, drain_prev, drain_next);
    if (!uv_is_active((uv_handle_t *)&p->draining))
        uv_timer_start(&p->draining, procs_drain, DRAIN_MS, 0);
}

/* It has ended: what has nothing more to say needs no draining. */
static void drain_rest(struct proc *proc)
{
    struct pollfd p[N_OUT];

    not_to_drain(proc);
    if (proc->out[0].fd < 0 && proc->out[1].fd < 0)
        return;
    for (int i = 0; i < N_OUT; i++)
        p[i] = (struct pollfd){ .fd = proc->out[i].fd, .events = POLLIN };
    poll(p, N_OUT, 0);
    for (int i = 0; i < N_OUT; i++)
        if (proc->out[i].fd >= 0 && (p[i].revents & (POLLIN | POLLHUP)) == POLLHUP) {
            close(take_fd(&proc->out[i].fd));
            end_out(&proc->out[i], 0);
        } else {
            drain_one(proc, i);
        }
}

bool proc_output_over(struct proc *proc)
{
    struct spool_stat st;

    for (int i = 0; i < N_OUT; i++) {
        if (proc->out[i].wire)
            continue;
        proc_out_stat(proc, i, &st);
        if (st.draining || proc->out[i].fd >= 0)
            return false;
    }
    return true;
}

bool proc_output_whole(struct proc *proc)
{
    struct spool_stat st;

    for (int i = 0; i < N_OUT; i++) {
        if (proc->out[i].wire)
            continue;
        proc_out_stat(proc, i, &st);
        if (!st.ended || st.broken || proc->out[i].fd >= 0)
            return false;
    }
    return true;
}

void proc_no_output(struct proc *proc, int how)
{
    for (int i = 0; i < N_OUT; i++)
        end_out(&proc->out[i], how);
}

void proc_out_stat(struct proc *proc, int which, struct spool_stat *st)
{
    struct proc_out *o = &proc->out[which];

    if (o->spool && !o->over)
        spool_stat(o->spool, st);
    else
        *st = o->last;
    if (o->source)
        st->bytes = source_bytes(o->source);
}

/* Its spools have done their work: who reads later makes another. */
void proc_out_rest(struct proc *proc)
{
    for (int i = 0; i < N_OUT; i++) {
        struct proc_out *o = &proc->out[i];

        if (!o->spool)
            continue;
        if (!o->over)
            spool_stat(o->spool, &o->last);
        o->over = true;
        spool_release(take_ptr(o->spool), false);
    }
}

void proc_out_look(struct proc *proc)
{
    for (int i = 0; i < N_OUT; i++)
        if (!proc->out[i].wire && need_spool(proc, i) == 0) {
            spool_stat(proc->out[i].spool, &proc->out[i].last);
            spool_release(take_ptr(proc->out[i].spool), false);
        }
}

int proc_out_drop(struct proc *proc)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < N_OUT; i++) {
        struct proc_out *o = &proc->out[i];

        if (o->wire || !o->last.kept)
            continue;
        rc = need_spool(proc, i);
        if (rc == 0)
            rc = spool_drop(o->spool);
        if (rc == 0) {
            o->last.dropped += o->last.kept;
            o->last.kept = 0;
        }
    }
    return rc;
}

/* ---- the process's life */

static int open_stdio(struct proc *proc, enum proc_stdio which, bool whole, struct stream **out)
{
    int i = which == PROC_STDERR, rc;

    if (which == PROC_STDIN)
        return open_stdin(proc, out);
    if (proc->out[i].wire)
        return -EBUSY;
    rc = need_spool(proc, i);
    if (rc == 0)
        rc = spool_open(proc->out[i].spool, whole, out);
    drain_one(proc, i);
    return rc;
}

int proc_open(struct proc *proc, enum proc_stdio which, struct stream **out)
{
    return open_stdio(proc, which, false, out);
}

int proc_open_whole(struct proc *proc, enum proc_stdio which, struct stream **out)
{
    return open_stdio(proc, which, true, out);
}

/* fd < 0: there is none; missing says what that means. */
static int attach_out(struct proc *proc, int which, int fd, int missing)
{
    struct proc_out *o = &proc->out[which];

    if (o->wire && fd >= 0 && o->source) {
        source_attach(o->source, fd);
    } else if (o->wire && fd >= 0) { /* of an earlier daemon, which may have taken some of it */
        close(fd);
        return -EIO;
    } else if (o->wire) {
        o->over = true;
    } else if (fd >= 0) {
        o->over = false;
        o->last.ended = false;
        o->fd = fd;
    } else {
        end_out(o, missing);
    }
    return 0;
}

int proc_attach(struct proc *proc, struct init_fds *fds)
{
    int cut = 0;

    if (fds->in >= 0 && fds->in == fds->out) { /* a pty: each side closes its own */
        proc->pty = true;
        fds->in = fcntl(fds->out, F_DUPFD_CLOEXEC, 0);
    }
    if (attach_out(proc, OUT_STDOUT, take_fd(&fds->out), -EIO) < 0)
        cut = -EIO;
    if (attach_out(proc, OUT_STDERR, take_fd(&fds->err), proc->pty ? 0 : -EIO) < 0)
        cut = -EIO;
    if (proc->fed && !proc->feed && fds->in >= 0)
        cut = -EIO;
    if (proc->pty && fds->in >= 0)
        proc->tty_fd = fcntl(fds->in, F_DUPFD_CLOEXEC, 0);
    proc->in_fd = take_fd(&fds->in);
    if (proc->no_stdin && proc->in_fd >= 0)
        close(take_fd(&proc->in_fd));
    if (begin_stdin(proc) < 0)
        log_error("procs", "%s: no memory for its stdin", proc->rec.name);
    if (proc->pty || proc->out[0].spool || proc->out[1].spool)
        proc_drain(proc);
    else if (proc->out[0].fd >= 0 || proc->out[1].fd >= 0)
        drain_later(proc);
    return cut;
}

static void end_stdin(struct proc *proc, int how)
{
    if (proc->tty_fd >= 0)
        close(take_fd(&proc->tty_fd));
    if (proc->in_fd >= 0)
        close(take_fd(&proc->in_fd));
    if (proc->sink) {
        proc->in_bytes = sink_bytes(proc->sink);
        sink_stop(take_ptr(proc->sink));
    }
    if (proc->feed) {
        struct stream *feed = take_ptr(proc->feed);

        feed->ops->close(feed, how);
    }
    if (proc->in)
        flow_break(proc->in, -EPIPE);
}

void proc_stdio_ended(struct proc *proc)
{
    end_stdin(proc, -EPIPE);
    drain_rest(proc);
    proc_wires_ended(proc);
}

void proc_stdio_free(struct proc *proc, bool remove)
{
    char path[4200];

    not_to_drain(proc);
    end_stdin(proc, -EPIPE);
    if (proc->in)
        flow_unref(take_ptr(proc->in));
    for (int i = 0; i < N_OUT; i++) {
        struct proc_out *o = &proc->out[i];

        if (o->fd >= 0)
            close(take_fd(&o->fd));
        source_release(take_ptr(o->source));
        if (!o->spool && remove && o->last.bytes) {
            proc_path(proc->procs, proc->rec.number, suffixes[i], path);
            unlink(path);
        }
        spool_release(take_ptr(o->spool), remove);
    }
}
