/*
 * pipe_flow.c - this machine's flow of a pipe: the buffer when it is the holder, else an outbox.
 *
 *   outbox without a holder   bytes wait; PN_HOLDER tells who it is
 *   outbox that joins         a channel to the holder is opened; bytes wait until it is confirmed,
 *                             and it is tried again while the pipe has a holder
 *   outbox with a holder      a pump reads it and writes the channel. At the end of file (all local
 *                             writers closed) the channel is closed cleanly and the outbox goes,
 *                             unless a writer came meanwhile. When the channel breaks, so does the
 *                             outbox: its writers get -EPIPE, and what they wrote goes, since the
 *                             bytes before it did. Who opens later gets a new outbox
 *   buffer (epoch > 0)        ends are local, or channels from other machines; when no end is left
 *                             and nothing is queued it lingers, then it is let go of, and is an
 *                             outbox again
 *
 * It goes with the pipe, once its ends are closed. Everything is decided on the core loop, where
 * ends are opened too, so that "no end is left" stays true while it is acted upon.
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS 200

struct pipe_flow *pipe_flow_find(struct pipes *p, uint64_t uid)
{
    struct pipe_flow *pf;

    HASH_FIND(hh, p->flows, &uid, sizeof uid, pf);
    return pf;
}

static void run_check(struct task *t)
{
    struct pipe_flow *pf = container_of(t, struct pipe_flow, check);

    pf->posted = false;
    if (!pf->dropped)
        pipe_flow_check(pf);
}

/* Any thread. */
static void on_change(void *arg)
{
    struct pipe_flow *pf = arg;

    if (!atomic_exchange(&pf->posted, true))
        loop_post(pf->core, &pf->check);
}

static void run_gone(struct task *t)
{
    free(container_of(t, struct pipe_flow, gone));
}

/* Any thread: the flow is gone, so nobody posts a check any more. The pipes may be gone, too. */
static void on_freed(void *arg)
{
    struct pipe_flow *pf = arg;

    loop_post(pf->core, &pf->gone);
}

int pipe_flow_get(struct pipes *p, const struct pipe_info *info, struct pipe_flow **out)
{
    struct pipe_flow *pf = pipe_flow_find(p, info->uid);
    int rc;

    *out = pf;
    if (pf)
        return 0;
    pf = calloc(1, sizeof *pf);
    if (!pf)
        return -ENOMEM;
    pf->pipes = p;
    pf->uid = info->uid;
    pf->core = p->core;
    pf->check.run = run_check;
    pf->gone.run = run_gone;
    rc = flow_create(&pf->flow, info->capacity, info->mode);
    if (rc < 0) {
        free(pf);
        return rc;
    }
    flow_on_change(pf->flow, on_change, on_freed, pf);
    HASH_ADD(hh, p->flows, uid, sizeof pf->uid, pf);
    *out = pf;
    return 0;
}

void pipe_flow_drop(struct pipe_flow *pf, int rc)
{
    HASH_DEL(pf->pipes->flows, pf);
    pipe_stat_changed(pf->pipes);
    if (pf->join)
        pipe_join_cancel(take_ptr(pf->join));
    if (pf->pump)
        pump_stop(take_ptr(pf->pump), -EIO);
    pipe_guard_drop(pf, -EIO);
    pf->dropped = true;
    flow_break(pf->flow, rc);
    flow_unref(pf->flow);
}

static void pump_ended(void *arg, int rc)
{
    struct pipe_flow *pf = arg;
    struct flow_stat st;

    flow_stat(pf->flow, &st);
    if (rc == 0 && st.writers > 0) {
        pump_resume(pf->pump); /* a writer came since: its bytes follow on the same channel */
        return;
    }
    pump_end(take_ptr(pf->pump), rc);
    if (rc == 0) {
        pipe_flow_check(pf);
        return;
    }
    if (rc != -EPIPE)
        log_info("pipes", "an outbox to another machine broke: %s", strerror(-rc));
    pipe_flow_drop(pf, -EPIPE); /* bytes are lost: whoever comes later starts afresh */
}

/* Writers that are silent must hear of a reader that is gone with their next write, not the one
 * after. */
static void on_look(uv_timer_t *timer)
{
    struct pipes *p = container_of(timer, struct pipes, look);
    struct pipe_flow *pf, *next;
    bool any = false;

    HASH_ITER (hh, p->flows, pf, next)
        if (pf->pump) {
            any = true;
            pump_look(pf->pump);
        }
    if (!any)
        uv_timer_stop(timer);
}

static void joined(void *arg, int rc, struct stream *channel)
{
    struct pipe_flow *pf = arg;
    struct stream *from = NULL;

    pf->join = NULL;
    if (rc == 0)
        rc = flow_open_carrier(pf->flow, &from);
    if (rc == 0)
        rc = pump_start(&pf->pump, pf->pipes->core, from, pf->flow, channel, pump_ended, pf);
    if (rc == 0) {
        if (!uv_is_active((uv_handle_t *)&pf->pipes->look))
            uv_timer_start(&pf->pipes->look, on_look, LOOK_MS, LOOK_MS);
        return;
    }
    if (from)
        from->ops->close(from, 0);
    if (channel)
        channel->ops->close(channel, rc);
    if (rc != -ECANCELED)
        pipe_flow_check(pf);
}

/* Counts what passes while this machine holds the buffer; what waited in the outbox passes too. */
void pipe_flow_hold(struct pipe_flow *pf, uint64_t epoch)
{
    struct flow_stat st;

    flow_stat(pf->flow, &st);
    if (pf->epoch && pf->epoch != epoch) {
        pf->in += st.bytes_in - pf->in_at;
        pf->out += st.bytes_out - pf->out_at;
    }
    if (epoch && pf->epoch != epoch) {
        pf->in_at = st.bytes_in - st.buffered;
        pf->out_at = st.bytes_out;
        pf->epoch = epoch;
        if (st.writers || st.buffered || st.news)
            pipe_guard_open(pf);
    }
    pf->epoch = epoch;
}

/* Has this outbox something to tell the holder? */
bool pipe_flow_writes(const struct flow_stat *st)
{
    return st->writers || st->buffered || st->news;
}

bool pipe_flow_idle(const struct flow_stat *st)
{
    return st->readers == 0 && !pipe_flow_writes(st);
}

/* Looks at what the flow needs now: a pump, to be let go of, or to go. */
void pipe_flow_check(struct pipe_flow *pf)
{
    const struct pipe_info *info = pn_by_uid(pf->pipes->names, pf->uid);
    struct flow_stat st;

    flow_stat(pf->flow, &st);
    pipe_stat_changed(pf->pipes);
    if (pf->pump || pf->join || pf->pipes->closing)
        return;
    pipe_guard_check(pf, &st);
    flow_stat(pf->flow, &st);
    if (pipe_flow_idle(&st) && pf->epoch) {
        pn_release(pf->pipes->names, now_ms(), pf->uid);
        pipes_rearm(pf->pipes);
    }
    if (!info && st.readers == 0 && st.writers == 0)
        pipe_flow_drop(pf, -EIO);
    else if (!pf->epoch && info && info->holder[0] && strcmp(info->holder, pf->pipes->self) != 0 &&
             pipe_flow_writes(&st) && pipe_join(&pf->join, pf->pipes, info, 'w', joined, pf) < 0)
        log_warn("pipes", "no memory for the way to %s, which holds pipe %s", info->holder,
                 info->name);
}
