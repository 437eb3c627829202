/*
 * flow_sync.c - writers that wait until what they wrote has arrived elsewhere.
 *
 *   waiting (moved 0) -> told to the carrier (moved 1) -> answered
 *
 * The carrier is told in its turn: once it has read all that was written before, its read answers
 * -EINPROGRESS. Those that come while it has yet to answer wait for the next turn.
 *
 * A carrier that goes away because nobody reads any more (-EPIPE) has lost nothing: what nobody
 * wants need not arrive, as with a pipe.
 */
#include "base/flow_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <utlist.h>

/* The answer to those that need not, or cannot, wait; 1: they can. */
static int verdict(const struct flow *f)
{
    if (f->arrived == f->q.tail)
        return 0;
    if (f->lost)
        return f->lost;
    if (f->dead)
        return f->dead == -EPIPE ? 0 : f->dead;
    return f->carried ? 1 : 0;
}

void flow_sync_settle(struct flow *f, struct outcome *o)
{
    int rc = verdict(f);

    while (rc <= 0 && f->syncs)
        flow_answer(&f->syncs, f->syncs, rc, o);
}

/* True: this reader is to be told of the syncs now. */
bool flow_sync_begin(struct flow *f, const struct end *reader)
{
    struct ioreq *r;

    if (!f->syncs || f->sync_out || !reader->carrier)
        return false;
    f->sync_out = true;
    f->sync_at = f->q.tail;
    DL_FOREACH(f->syncs, r)
    {
        r->moved = 1;
    }
    return true;
}

void flow_end_sync(struct stream *s, struct ioreq *r)
{
    struct end *e = container_of(s, struct end, s);
    struct flow *f = e->f;
    struct outcome o = { 0 };

    pthread_mutex_lock(&f->lock);
    r->owner = e;
    r->moved = 0;
    DL_APPEND(f->syncs, r);
    flow_sync_settle(f, &o);
    flow_serve_all(f, &o);
    if (r->owner && r->nonblock)
        flow_answer(&f->syncs, r, -EAGAIN, &o);
    flow_unlock_and_tell(f, &o);
}

void flow_synced(struct flow *f, int rc)
{
    struct outcome o = { 0 };
    struct ioreq *r, *next;

    pthread_mutex_lock(&f->lock);
    if (rc < 0)
        f->lost = rc;
    else if (f->sync_out)
        f->arrived = f->sync_at;
    f->sync_out = false;
    DL_FOREACH_SAFE(f->syncs, r, next)
    {
        if (rc == 0 && r->moved)
            flow_answer(&f->syncs, r, 0, &o);
    }
    flow_sync_settle(f, &o);
    flow_serve_all(f, &o);
    flow_unlock_and_tell(f, &o);
}
