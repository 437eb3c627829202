/*
 * link_chan.c - a channel's pumps between its wire half and its local streams.
 *
 *     source --read--> session_send     "out": ends with END or ABORT
 *     session data --> rx --write--> sink   "in": ends with the peer's END or ABORT, or our STOP
 *
 * An opener has the other ends of two flows that the user's stream is made of. Who accepts has the
 * stream that the user gave. Each pump has at most one request under way; it may be answered on any
 * thread, which then posts the pump's task, and only that makes the pump idle again.
 *
 * Invariants: rx holds at most the credit that the session lent; a stream is closed once its pumps
 * are over and idle; a channel is freed once its streams are closed and the session has forgotten
 * it.
 */
#include "net/link_private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <utlist.h>

#define READ_BYTES (256 * 1024)

void chan_touch(struct chan *c)
{
    if (c->touched)
        return;
    c->touched = true;
    LL_PREPEND2(c->l->touched, c, next_touched);
}

/* --- pumps --- */

static void pump_done(struct ioreq *req, ssize_t rc)
{
    struct pump *p = container_of(req, struct pump, req);

    p->rc = rc;
    if (atomic_exchange(&p->at, PUMP_DONE) == PUMP_PARKED)
        links_post(p->c->l, &p->task);
}

static void source_take(struct chan *c);
static void sink_taken(struct chan *c);

static void out_answered(struct task *t)
{
    struct chan *c = container_of(t, struct chan, out.task);

    source_take(c);
    chan_touch(c);
}

static void in_answered(struct task *t)
{
    struct chan *c = container_of(t, struct chan, in.task);

    sink_taken(c);
    chan_touch(c);
}

static bool pump_idle(struct pump *p)
{
    return atomic_load(&p->at) == PUMP_IDLE;
}

/* Submits the request. True: it was answered at once. */
static bool pump_start(struct pump *p, void (*submit)(struct stream *, struct ioreq *))
{
    int at = PUMP_CALLING;

    if (!submit) {
        atomic_store(&p->at, PUMP_DONE);
        p->rc = -EBADF;
        return true;
    }
    atomic_store(&p->at, PUMP_CALLING);
    submit(p->s, &p->req);
    return !atomic_compare_exchange_strong(&p->at, &at, PUMP_PARKED);
}

/* No further request; one that is parked is taken back. */
static void pump_end(struct pump *p)
{
    p->over = true;
    if (atomic_load(&p->at) != PUMP_PARKED || !p->s->ops->cancel)
        return;
    if (p->s->ops->cancel(p->s, &p->req)) {
        slices_free(&p->req.bytes);
        atomic_store(&p->at, PUMP_IDLE);
    }
}

/* --- what we send --- */

static void source_failed(struct chan *c, int rc)
{
    c->out.over = true;
    session_end(&c->w, rc);
    if (c->out_flow)
        flow_break(c->out_flow, rc);
}

/* An opener's user has closed both directions at once. */
static void user_closed(struct chan *c);

static void source_take(struct chan *c)
{
    struct pump *p = &c->out;
    ssize_t rc = p->rc;

    atomic_store(&p->at, PUMP_IDLE);
    if (p->over) {
        slices_free(&p->req.bytes);
        return;
    }
    if (rc == -EINPROGRESS) {
        session_sync(&c->w);
        return;
    }
    if (rc > 0) {
        rc = session_send(&c->w, &p->req.bytes);
        if (rc == -ENOMEM)
            source_failed(c, (int)rc);
        return;
    }
    p->over = true;
    session_end(&c->w, (int)rc);
    if (c->opener)
        user_closed(c);
}

static void source_step(struct chan *c)
{
    struct pump *p = &c->out;

    while (!p->over && p->s && c->w.s && pump_idle(p) &&
           session_pending(&c->w) < SESSION_PENDING_LOW) {
        p->req = (struct ioreq){ .done = pump_done, .size = READ_BYTES, .whole = true };
        if (!pump_start(p, p->s->ops->read))
            break;
        source_take(c);
    }
}

/* --- what we receive --- */

void chan_drop_received(struct chan *c)
{
    struct rx *r;

    while ((r = c->rx)) {
        c->rx = r->next;
        blk_unref(r->b);
        free(r);
    }
    c->rx_tail = &c->rx;
}

static void sink_failed(struct chan *c, int rc)
{
    c->in.over = true;
    chan_drop_received(c);
    session_stop(&c->w, rc);
}

static void user_closed(struct chan *c)
{
    if (!c->in.over) {
        sink_failed(c, -EPIPE);
        pump_end(&c->in);
    }
}

static void sink_taken(struct chan *c)
{
    struct pump *p = &c->in;

    atomic_store(&p->at, PUMP_IDLE);
    if (p->rc < 0 && !p->over)
        sink_failed(c, (int)p->rc);
    if (p->over)
        slices_free(&p->req.bytes);
    else if (p->req.bytes.len == 0)
        session_consumed(&c->w, c->writing_cost);
}

/* All frames that wait, as one write. */
static void sink_fill(struct chan *c)
{
    struct pump *p = &c->in;
    struct rx *r;

    p->req = (struct ioreq){ .done = pump_done };
    c->writing_cost = 0;
    while ((r = c->rx) && slices_add_take(&p->req.bytes, r->b, 0, r->len)) {
        c->writing_cost += r->len + FRAME_COST;
        c->rx = r->next;
        free(r);
    }
    if (!c->rx)
        c->rx_tail = &c->rx;
}

static void sweep_later(struct chan *c)
{
    if (c->sweeping || c->opener || atomic_load(&c->watched) || !c->in.s->ops->poll)
        return;
    c->sweeping = true;
    LL_PREPEND2(c->l->sweep, c, next_sweep);
    if (c->l->sweep_at == UINT64_MAX) {
        c->l->sweep_at = now_ms() + LINK_SWEEP_MS;
        links_due(c->l, c->l->sweep_at);
    }
}

static void sink_step(struct chan *c)
{
    struct pump *p = &c->in;

    while (!p->over && p->s && pump_idle(p) && (c->rx || p->req.bytes.len)) {
        if (p->req.bytes.len == 0)
            sink_fill(c);
        if (!pump_start(p, p->s->ops->write))
            return;
        sink_taken(c);
    }
    if (p->over || !p->s || !pump_idle(p))
        return;
    if (c->peer_ended) {
        p->over = true;
        c->how = c->peer_rc;
    } else {
        sweep_later(c);
    }
}

/* --- does anybody still read what a sink would take? --- */

static void watch_fires(struct iowatch *w)
{
    struct chan *c = container_of(w, struct chan, watch);

    atomic_store(&c->watch_posted, true);
    links_post(c->l, &c->watch_task);
}

static void watch_fired(struct task *t)
{
    struct chan *c = container_of(t, struct chan, watch_task);

    atomic_store(&c->watched, false);
    atomic_store(&c->watch_posted, false);
    chan_touch(c);
}

void chan_sweep(struct links *l)
{
    struct chan *c;

    l->sweep_at = UINT64_MAX;
    while ((c = l->sweep)) {
        l->sweep = c->next_sweep;
        c->sweeping = false;
        chan_touch(c);
        if (c->in.over || !c->in.s || !pump_idle(&c->in))
            continue;
        atomic_store(&c->watched, true);
        if (c->in.s->ops->poll(c->in.s, &c->watch) & POLLERR)
            sink_failed(c, -EPIPE);
    }
}

/* Afterwards nothing of the watch is under way, but perhaps its task. */
static void unwatch(struct chan *c)
{
    if (!atomic_load(&c->watched))
        return;
    c->in.s->ops->unwatch(c->in.s, &c->watch);
}

/* --- the ends --- */

static void close_stream(struct pump *p, int how)
{
    p->s->ops->close(p->s, how);
    p->s = NULL;
}

static void close_if_over(struct chan *c)
{
    bool in = c->in.over && pump_idle(&c->in), out = c->out.over && pump_idle(&c->out);

    if (c->shared) {
        if (!in || !out || !c->in.s)
            return;
        unwatch(c);
        c->out.s = NULL;
        close_stream(&c->in, c->how ? c->how : c->broke);
        return;
    }
    if (out && c->out.s)
        close_stream(&c->out, 0);
    if (in && c->in.s)
        close_stream(&c->in, c->how);
}

static bool finished(struct chan *c)
{
    return !c->w.s && !c->waiting && !c->offered && !c->in.s && !c->out.s && !c->sweeping &&
           !c->touched && !atomic_load(&c->watch_posted);
}

void chan_step(struct chan *c)
{
    source_step(c);
    sink_step(c);
    close_if_over(c);
    if (c->link)
        link_dirty(c->link);
    if (finished(c))
        chan_destroy(c);
}

void chan_destroy(struct chan *c)
{
    struct links *l = c->l;

    if (c->prev_link) {
        *c->prev_link = c->next;
        if (c->next)
            c->next->prev_link = c->prev_link;
    }
    chan_drop_received(c);
    slices_free(&c->in.req.bytes);
    if (c->out_flow)
        flow_unref(c->out_flow);
    free(c->text);
    free(c);
    links_unref(l);
}

void chan_drop(struct chan *c)
{
    if (c->in.s)
        close_stream(&c->in, -ECANCELED);
    if (c->out.s)
        close_stream(&c->out, -ECANCELED);
    chan_destroy(c);
}

/* --- what the session says --- */

static struct chan *chan_of(struct schan *w)
{
    return container_of(w, struct chan, w);
}

void chan_list(struct chan *c)
{
    c->next = c->l->chans;
    c->prev_link = &c->l->chans;
    if (c->next)
        c->next->prev_link = &c->next;
    c->l->chans = c;
}

int chan_create(struct chan **out, struct links *l, size_t text)
{
    struct chan *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->text = malloc(text);
    if (!c->text) {
        free(c);
        return -ENOMEM;
    }
    c->l = l;
    c->rx_tail = &c->rx;
    c->in.c = c->out.c = c;
    c->in.task.run = in_answered;
    c->out.task.run = out_answered;
    c->watch.fire = watch_fires;
    c->watch_task.run = watch_fired;
    links_ref(l);
    *out = c;
    return 0;
}

static struct schan *on_open(void *arg, const char *spec, size_t n)
{
    struct link *k = arg;
    struct chan *c;

    if (memchr(spec, '\0', n) || chan_create(&c, k->l, n + 1) < 0)
        return NULL;
    memcpy(c->text, spec, n);
    c->text[n] = '\0';
    c->spec = c->text;
    c->link = k;
    chan_list(c);
    return &c->w;
}

static void on_opened(struct schan *w)
{
    struct chan *c = chan_of(w);

    c->offered = true;
    c->link->idle_at = UINT64_MAX;
    c->l->ops->open(c->l->arg, c, c->link->peer->id, c->spec);
}

static void on_data(struct schan *w, struct blk *b, unsigned len)
{
    struct chan *c = chan_of(w);
    struct rx *r = c->in.over ? NULL : malloc(sizeof *r);

    chan_touch(c);
    if (!r) {
        blk_unref(b);
        if (!c->in.over)
            sink_failed(c, -ENOMEM);
        return;
    }
    *r = (struct rx){ .b = b, .len = len };
    *c->rx_tail = r;
    c->rx_tail = &r->next;
}

static void on_end(struct schan *w, int rc)
{
    struct chan *c = chan_of(w);

    c->peer_ended = true;
    c->peer_rc = rc;
    chan_touch(c);
}

static void on_stop(struct schan *w, int rc)
{
    struct chan *c = chan_of(w);

    pump_end(&c->out);
    if (c->out_flow)
        flow_break(c->out_flow, rc);
    chan_touch(c);
}

static void on_synced(struct schan *w)
{
    flow_synced(chan_of(w)->out_flow, 0);
}

static void on_room(struct schan *w)
{
    chan_touch(chan_of(w));
}

static void on_gone(struct schan *w)
{
    struct chan *c = chan_of(w);

    if (session_channels(c->link->s) == 0)
        c->link->idle_at = now_ms();
    c->broke = session_broken(c->link->s);
    if (!c->broke)
        link_dirty(
            c->link); /* its END may still have to be sent, and chan_step knows no link now */
    c->link = NULL;
    chan_touch(c);
}

const struct session_ops chan_session_ops = {
    .open = on_open,
    .opened = on_opened,
    .data = on_data,
    .end = on_end,
    .stop = on_stop,
    .room = on_room,
    .synced = on_synced,
    .gone = on_gone,
};

void chan_break(struct chan *c, int rc)
{
    c->waiting = false;
    c->link = NULL;
    on_end(&c->w, rc);
    on_stop(&c->w, rc);
}

void chan_cancel(struct chan *c, int rc)
{
    c->how = rc;
    chan_drop_received(c);
    pump_end(&c->in);
    pump_end(&c->out);
    chan_touch(c);
}
