/*
 * flow_end.c - the ends of a flow: the streams that readers and writers have of it.
 */
#include "base/flow_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <utlist.h>

static struct end *end_of(struct stream *s)
{
    return container_of(s, struct end, s);
}

static struct place *place_of(struct end *e)
{
    return e->f->mode == FLOW_BROADCAST ? &e->own : &e->f->shared;
}

static struct ioreq **parked_at(struct end *e)
{
    return e->side == WRITERS ? &e->f->writes : &place_of(e)->parked;
}

static void park(struct end *e, struct ioreq *r)
{
    struct ioreq **list = parked_at(e);

    r->owner = e;
    r->moved = 0;
    DL_APPEND(*list, r);
}

static void end_read(struct stream *s, struct ioreq *r)
{
    struct end *e = end_of(s);
    struct flow *f = e->f;
    struct place *at = place_of(e);
    struct outcome o = { 0 };

    pthread_mutex_lock(&f->lock);
    park(e, r);
    if (r->bytes.n)
        flow_answer(&at->parked, r, -EINVAL, &o);
    else if (r->size == 0)
        flow_answer(&at->parked, r, f->dead, &o);
    else if (flow_serve(f, at, &o))
        flow_advance(f, &o);
    if (r->owner && r->nonblock)
        flow_answer(&at->parked, r, -EAGAIN, &o);
    flow_unlock_and_tell(f, &o);
}

static void end_write(struct stream *s, struct ioreq *r)
{
    struct end *e = end_of(s);
    struct flow *f = e->f;
    struct outcome o = { 0 };
    int rc;

    pthread_mutex_lock(&f->lock);
    park(e, r);
    rc = flow_write_error(f);
    f->refused |= rc == -EPIPE && r->bytes.len;
    if (r->bytes.len == 0)
        flow_answer(&f->writes, r, f->dead, &o);
    else if (rc)
        flow_answer(&f->writes, r, rc, &o);
    else
        flow_advance(f, &o);
    if (r->owner && r->nonblock)
        flow_answer(&f->writes, r, flow_short_write(r, -EAGAIN), &o);
    flow_unlock_and_tell(f, &o);
}

static bool end_cancel(struct stream *s, struct ioreq *r)
{
    struct end *e = end_of(s);
    struct flow *f = e->f;
    struct outcome o = { 0 };
    struct ioreq **list;
    bool parked;

    pthread_mutex_lock(&f->lock);
    parked = r->owner == e;
    if (parked) {
        list = e->side == WRITERS && r->bytes.len == 0 ? &f->syncs : parked_at(e);
        DL_DELETE(*list, r);
        r->owner = NULL;
        flow_advance(f, &o); /* the writes behind it may fit */
    }
    flow_unlock_and_tell(f, &o);
    return parked;
}

static short end_poll(struct stream *s, struct iowatch *w)
{
    struct end *e = end_of(s);
    struct flow *f = e->f;
    short ready = 0;

    pthread_mutex_lock(&f->lock);
    if (e->side == WRITERS) {
        if (flow_write_error(f))
            ready = POLLOUT | POLLERR;
        else if (flow_writable(f))
            ready = POLLOUT;
    } else {
        int end = flow_read_end(f);

        if (place_of(e)->cur.p)
            ready = POLLIN;
        if (end <= 0)
            ready |= POLLIN | (end < 0 ? POLLERR : POLLHUP);
    }
    if (w)
        watches_arm(&f->watches, e->side, w);
    pthread_mutex_unlock(&f->lock);
    return ready;
}

static void end_unwatch(struct stream *s, struct iowatch *w)
{
    struct flow *f = end_of(s)->f;

    pthread_mutex_lock(&f->lock);
    watches_disarm(&f->watches, w);
    pthread_mutex_unlock(&f->lock);
}

/* The last end has gone: the next ones start afresh, but for what nobody has been told yet. */
static void forget(struct flow *f)
{
    f->been[READERS] = f->been[WRITERS] = false;
    f->reader_broke = false;
    f->lost = 0;
    if (f->refused) {
        f->dropped += fqueue_len(&f->q);
        fqueue_clear(&f->q);
        f->eof_news = f->broke_news = f->refused = false;
    }
    if (!f->broke_news)
        f->broke = 0;
}

static void end_close(struct stream *s, int how)
{
    struct end *e = end_of(s);
    struct flow *f = e->f;
    struct outcome o = { 0 };

    pthread_mutex_lock(&f->lock);
    f->open[e->side]--;
    if (e->side == READERS) {
        f->reader_broke |= how < 0;
        if (e->carrier) {
            f->carried = f->sync_out = false;
            if (how < 0 && how != -EPIPE)
                f->lost = how;
        }
        if (f->mode == FLOW_BROADCAST)
            fqueue_leave(&f->q, &e->own.cur);
    } else if (how == -EPIPE && f->been[READERS] && !f->open[READERS]) {
        f->refused = true;
    } else if (how < 0) {
        if (!f->broke)
            f->broke = how;
        f->broke_news = true;
        f->eof_news = false;
    } else if (!f->open[WRITERS] && f->been[WRITERS] && !f->broke) {
        f->eof_news = true;
    }
    flow_settle(f, &o);
    if (!f->open[READERS] && !f->open[WRITERS])
        forget(f);
    flow_unlock_and_tell(f, &o);
    flow_unref(f);
    free(e);
}

static const struct stream_ops reader_ops = {
    .read = end_read,
    .cancel = end_cancel,
    .poll = end_poll,
    .unwatch = end_unwatch,
    .close = end_close,
};

static const struct stream_ops writer_ops = {
    .write = end_write,
    .sync = flow_end_sync,
    .cancel = end_cancel,
    .poll = end_poll,
    .unwatch = end_unwatch,
    .close = end_close,
};

/* special: a quiet writer, or a reader that carries. */
static int open_end(struct flow *f, enum side side, bool special, struct stream **out)
{
    struct end *e = calloc(1, sizeof *e);
    struct outcome o = { 0 };

    if (!e)
        return -ENOMEM;
    e->s.ops = side == READERS ? &reader_ops : &writer_ops;
    e->f = flow_ref(f);
    e->side = side;
    pthread_mutex_lock(&f->lock);
    if (side == READERS && f->mode == FLOW_BROADCAST)
        fqueue_join(&f->q, &e->own.cur);
    f->open[side]++;
    if (side == READERS || !special)
        f->been[side] = true;
    if (side == READERS) {
        f->refused = false;
        e->carrier = special;
        f->carried |= special;
    }
    if (f->open[READERS] && f->open[WRITERS])
        f->been[WRITERS] = true;
    flow_settle(f, &o);
    *out = &e->s;
    flow_unlock_and_tell(f, &o);
    return 0;
}

int flow_open_reader(struct flow *f, struct stream **out)
{
    return open_end(f, READERS, false, out);
}

int flow_open_carrier(struct flow *f, struct stream **out)
{
    return open_end(f, READERS, true, out);
}

int flow_open_writer(struct flow *f, bool quiet, struct stream **out)
{
    return open_end(f, WRITERS, quiet, out);
}
