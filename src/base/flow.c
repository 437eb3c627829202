/*
 * flow.c - a bounded queue of bytes between writers and readers on any threads.
 *
 * The bytes are in a fqueue. Requests that cannot be answered are parked in the order of arrival:
 * writes at the flow; reads at a place, which is the flow's one in stream mode and each reader's
 * own in broadcast mode. Every call locks the flow, changes it, settles it (admits what has room,
 * serves what has data, fails what has no hope), and tells what came of it after unlocking
 * (tell.h). Here is the flow itself, and its rules; its ends are in flow_end.c.
 *
 * Invariants, whenever the lock is free: reads are parked only where there is nothing to read and
 * no end to tell; writes only where the first of them has no room, and somebody may come to read.
 * A request has `owner` set exactly while it is parked. been[] and the like speak of the time since
 * there was last no end.
 */
#include "base/flow_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

/* Smaller writes are copied, larger ones taken over by reference. */
#define COPY_BELOW (64 * 1024)

/* Unlocks, and tells the outcome. The flow may be gone afterwards. */
void flow_unlock_and_tell(struct flow *f, struct outcome *o)
{
    bool due = watches_due(&f->watches);
    bool changed = o->changed && f->changed;

    if (due)
        flow_ref(f);
    if (changed)
        flow_ref(f);
    pthread_mutex_unlock(&f->lock);
    if (changed) {
        f->changed(f->arg);
        flow_unref(f);
    }
    if (due || o->answered)
        tell(o->answered, due ? &f->watches : NULL);
}

/* ---- the rules ---- */

bool flow_writable(const struct flow *f)
{
    size_t queued = fqueue_len(&f->q);

    return !f->writes && (queued == 0 || queued + FQUEUE_ATOM <= f->capacity);
}

/* 0, or why no write can succeed. */
int flow_write_error(const struct flow *f)
{
    if (f->dead)
        return f->dead;
    if (f->reader_broke || (f->been[READERS] && !f->open[READERS]))
        return -EPIPE;
    return 0;
}

/* What ends the reading once everything was read: 0 or -errno, or 1 when nothing does. */
int flow_read_end(const struct flow *f)
{
    if (f->dead)
        return f->dead;
    if (f->broke)
        return f->broke;
    return !f->open[WRITERS] && (f->been[WRITERS] || f->eof_news) ? 0 : 1;
}

void flow_answer(struct ioreq **list, struct ioreq *r, ssize_t rc, struct outcome *o)
{
    DL_DELETE(*list, r);
    r->owner = NULL;
    r->rc = rc;
    DL_APPEND(o->answered, r);
}

/* The answer to a write that fails now. */
ssize_t flow_short_write(const struct ioreq *r, ssize_t rc)
{
    return r->moved ? (ssize_t)r->moved : rc;
}

/* Takes what it can of the first parked write. */
static bool admit(struct flow *f, struct outcome *o)
{
    struct ioreq *r = f->writes;
    size_t queued = fqueue_len(&f->q), total = r->moved + r->bytes.len, n = r->bytes.len;
    size_t room = f->capacity > queued ? f->capacity - queued : 0;
    bool atom = total <= FQUEUE_ATOM;
    ssize_t got;

    if (atom && n > room && queued)
        return false;
    if (!atom && n > room)
        n = room;
    if (n == 0)
        return false;
    got = total < COPY_BELOW ? fqueue_copy(&f->q, &r->bytes, n, atom)
                             : fqueue_link(&f->q, &r->bytes, n);
    if (got < 0) {
        flow_answer(&f->writes, r, flow_short_write(r, got), o);
        return true;
    }
    r->moved += (size_t)got;
    f->been[WRITERS] = true;
    o->changed = true;
    watches_rouse(&f->watches, READERS);
    if (r->bytes.len == 0)
        flow_answer(&f->writes, r, (ssize_t)r->moved, o);
    return true;
}

/* Answers the reads parked at a place as far as it goes. True when bytes were taken. */
bool flow_serve(struct flow *f, struct place *at, struct outcome *o)
{
    bool took = false;
    struct ioreq *r;
    int end;

    while ((r = at->parked)) {
        size_t n = fqueue_take(&f->q, &at->cur, &r->bytes, r->size, r->whole);

        if (n) {
            took = o->changed = true;
            flow_answer(&at->parked, r, (ssize_t)n, o);
            continue;
        }
        end = flow_read_end(f);
        if (end > 0 && !flow_sync_begin(f, r->owner))
            break;
        if (end > 0)
            end = -EINPROGRESS;
        if (end == 0)
            f->eof_news = false;
        if (end == f->broke)
            f->broke_news = false;
        flow_answer(&at->parked, r, end, o);
    }
    return took;
}

bool flow_serve_all(struct flow *f, struct outcome *o)
{
    struct fcursor *c, *next;
    bool took = false;

    /* Taking moves a cursor to the end of the list, so stop where the last one is now. */
    struct fcursor *last = f->q.cursors ? f->q.cursors->prev : NULL;

    for (c = f->q.cursors; c; c = next) {
        next = c == last ? NULL : c->next;
        took |= flow_serve(f, container_of(c, struct place, cur), o);
    }
    return took;
}

/* Admits writes and serves reads until neither goes on. */
void flow_advance(struct flow *f, struct outcome *o)
{
    bool in, out;

    do {
        in = false;
        while (f->writes && admit(f, o))
            in = true;
        out = in && flow_serve_all(f, o);
    } while (out && f->writes);
    if (flow_writable(f))
        watches_rouse(&f->watches, WRITERS);
}

/* After ends have come or gone: everything may have changed. */
void flow_settle(struct flow *f, struct outcome *o)
{
    int rc = flow_write_error(f);

    o->changed = true;
    f->refused |= rc == -EPIPE && f->writes;
    while (rc && f->writes)
        flow_answer(&f->writes, f->writes, f->dead ? rc : flow_short_write(f->writes, rc), o);
    flow_serve_all(f, o);
    flow_advance(f, o);
    flow_sync_settle(f, o);
    watches_rouse(&f->watches, READERS);
    watches_rouse(&f->watches, WRITERS);
}

/* ---- the flow ---- */

static void release(struct watches *ws)
{
    flow_unref(container_of(ws, struct flow, watches));
}

int flow_create(struct flow **out, size_t capacity, enum flow_mode mode)
{
    struct flow *f;

    if (capacity == 0 || (mode != FLOW_STREAM && mode != FLOW_BROADCAST))
        return -EINVAL;
    f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    pthread_mutex_init(&f->lock, NULL);
    watches_init(&f->watches, &f->lock, release);
    atomic_init(&f->refs, 1);
    f->capacity = capacity;
    f->mode = mode;
    if (mode == FLOW_STREAM)
        fqueue_join(&f->q, &f->shared.cur);
    *out = f;
    return 0;
}

struct flow *flow_ref(struct flow *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void flow_unref(struct flow *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (f->freed)
        f->freed(f->arg);
    fqueue_free(&f->q);
    watches_destroy(&f->watches);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void flow_set_capacity(struct flow *f, size_t capacity)
{
    struct outcome o = { 0 };

    pthread_mutex_lock(&f->lock);
    if (capacity)
        f->capacity = capacity;
    flow_advance(f, &o);
    flow_unlock_and_tell(f, &o);
}

int flow_set_mode(struct flow *f, enum flow_mode mode)
{
    int rc = 0;

    if (mode != FLOW_STREAM && mode != FLOW_BROADCAST)
        return -EINVAL;
    pthread_mutex_lock(&f->lock);
    if (fqueue_len(&f->q) || f->open[READERS] || f->open[WRITERS]) {
        rc = -EBUSY;
    } else if (mode != f->mode) {
        f->mode = mode;
        if (mode == FLOW_STREAM)
            fqueue_join(&f->q, &f->shared.cur);
        else
            fqueue_leave(&f->q, &f->shared.cur);
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

void flow_stat(struct flow *f, struct flow_stat *st)
{
    pthread_mutex_lock(&f->lock);
    *st = (struct flow_stat){
        .readers = f->open[READERS],
        .writers = f->open[WRITERS],
        .readers_been = f->been[READERS],
        .writers_been = f->been[WRITERS],
        .news = f->eof_news || f->broke_news,
        .buffered = fqueue_len(&f->q),
        .bytes_in = f->q.tail,
        .bytes_out = f->q.head - f->dropped,
    };
    pthread_mutex_unlock(&f->lock);
}

void flow_break(struct flow *f, int rc)
{
    struct outcome o = { 0 };

    pthread_mutex_lock(&f->lock);
    if (!f->dead) {
        f->dead = rc < 0 ? rc : -EIO;
        f->dropped += fqueue_len(&f->q);
        fqueue_clear(&f->q);
        flow_settle(f, &o);
    }
    flow_unlock_and_tell(f, &o);
}

void flow_on_change(struct flow *f, void (*changed)(void *arg), void (*freed)(void *arg), void *arg)
{
    pthread_mutex_lock(&f->lock);
    f->changed = changed;
    f->freed = freed;
    f->arg = arg;
    pthread_mutex_unlock(&f->lock);
}
