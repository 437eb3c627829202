/*
 * later.c - parks the requests on a stream that is not there yet, then hands them on.
 *
 *   waiting -> handing on (what waited goes first, and what comes meanwhile behind it) -> found
 *   (every call goes on to the target) or failed (every request answers rc)
 *
 * A request that was handed on is the target's: cancel asks there. Between the queue and the target
 * it is nobody's: cancel waits, since the target would not know it yet.
 *
 * Invariant: once `found` is set, target and rc do not change, and the queues stay empty.
 */
#include "run/later.h"
#include "base/cleanup.h"
#include "base/tell.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <utlist.h>

struct later {
    struct stream stream;
    pthread_mutex_t lock;
    pthread_cond_t handed;
    unsigned refs;
    struct stream *target;
    int rc;
    bool found, closed;
    int how;
    struct ioreq *reads, *writes; /* a stream has one kind of them, in truth */
    struct ioreq *handing;
    pthread_t hander;
    struct watches watches;
};

static void unref(struct later *l)
{
    bool last;

    pthread_mutex_lock(&l->lock);
    last = --l->refs == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    if (l->target)
        l->target->ops->close(l->target, l->how);
    watches_destroy(&l->watches);
    pthread_cond_destroy(&l->handed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void release_watches(struct watches *ws)
{
    unref(container_of(ws, struct later, watches));
}

static void fail(struct ioreq *io, int rc)
{
    struct ioreq *answered = NULL;

    io->rc = rc;
    DL_APPEND(answered, io);
    tell(answered, NULL);
}

static void hand_on(struct stream *target, int rc, struct ioreq *io, bool write)
{
    void (*op)(struct stream *, struct ioreq *);

    if (rc < 0) {
        fail(io, rc);
        return;
    }
    op = write ? target->ops->write : target->ops->read;
    if (op)
        op(target, io);
    else
        fail(io, -EBADF);
}

static void submit(struct later *l, struct ioreq *io, bool write)
{
    bool found;

    pthread_mutex_lock(&l->lock);
    found = l->found;
    if (!found && !io->nonblock) {
        if (write)
            DL_APPEND(l->writes, io);
        else
            DL_APPEND(l->reads, io);
        io = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    if (found)
        hand_on(l->target, l->rc, io, write);
    else if (io)
        fail(io, -EAGAIN);
}

static void on_read(struct stream *s, struct ioreq *io)
{
    submit(container_of(s, struct later, stream), io, false);
}

static void on_write(struct stream *s, struct ioreq *io)
{
    submit(container_of(s, struct later, stream), io, true);
}

/* Writes that wait here are not answered yet, so that there is nothing to wait for. */
static void on_sync(struct stream *s, struct ioreq *io)
{
    struct later *l = container_of(s, struct later, stream);
    bool found;

    pthread_mutex_lock(&l->lock);
    found = l->found && l->target && l->target->ops->sync;
    pthread_mutex_unlock(&l->lock);
    if (found)
        l->target->ops->sync(l->target, io);
    else
        fail(io, 0);
}

/* Takes a request out of a queue if it is there. It may be the target's by now: it is not looked
 * into. */
static bool dequeue(struct ioreq **queue, struct ioreq *io)
{
    struct ioreq *each;

    DL_FOREACH(*queue, each)
    {
        if (each == io) {
            DL_DELETE(*queue, io);
            return true;
        }
    }
    return false;
}

static bool on_cancel(struct stream *s, struct ioreq *io)
{
    struct later *l = container_of(s, struct later, stream);
    struct stream *target;
    bool mine;

    pthread_mutex_lock(&l->lock);
    while (l->handing == io && !pthread_equal(l->hander, pthread_self()))
        pthread_cond_wait(&l->handed, &l->lock);
    target = l->target;
    mine = dequeue(&l->writes, io) || dequeue(&l->reads, io);
    pthread_mutex_unlock(&l->lock);
    return mine || (target && target->ops->cancel(target, io));
}

static short on_poll(struct stream *s, struct iowatch *w)
{
    struct later *l = container_of(s, struct later, stream);
    bool found;

    pthread_mutex_lock(&l->lock);
    found = l->found;
    if (!found && w)
        watches_arm(&l->watches, 0, w);
    pthread_mutex_unlock(&l->lock);
    if (!found)
        return 0;
    return l->target ? l->target->ops->poll(l->target, w) : POLLIN | POLLOUT | POLLERR;
}

static void on_unwatch(struct stream *s, struct iowatch *w)
{
    struct later *l = container_of(s, struct later, stream);
    struct stream *target;

    pthread_mutex_lock(&l->lock);
    watches_leave(&l->watches, w);
    target = l->found ? l->target : NULL;
    pthread_mutex_unlock(&l->lock);
    if (target)
        target->ops->unwatch(target, w);
}

static void on_close(struct stream *s, int how)
{
    struct later *l = container_of(s, struct later, stream);

    pthread_mutex_lock(&l->lock);
    l->how = how;
    l->closed = true;
    pthread_mutex_unlock(&l->lock);
    unref(l);
}

static const struct stream_ops ops = {
    .read = on_read,
    .write = on_write,
    .sync = on_sync,
    .cancel = on_cancel,
    .poll = on_poll,
    .unwatch = on_unwatch,
    .close = on_close,
};

int later_create(struct later **out, struct stream **stream)
{
    struct later *l = calloc(1, sizeof *l);

    if (!l)
        return -ENOMEM;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->handed, NULL);
    watches_init(&l->watches, &l->lock, release_watches);
    l->stream.ops = &ops;
    l->refs = 2;
    *out = l;
    *stream = &l->stream;
    return 0;
}

bool later_wanted(struct later *l)
{
    bool wanted;

    pthread_mutex_lock(&l->lock);
    wanted = !l->closed;
    pthread_mutex_unlock(&l->lock);
    return wanted;
}

void later_found(struct later *l, struct stream *s, int rc)
{
    struct ioreq *io;
    bool due;

    pthread_mutex_lock(&l->lock);
    l->target = s;
    l->rc = rc;
    l->hander = pthread_self();
    while ((io = l->writes ? l->writes : l->reads) != NULL) {
        bool write = io == l->writes;

        dequeue(write ? &l->writes : &l->reads, io);
        l->handing = io;
        pthread_mutex_unlock(&l->lock);
        hand_on(s, rc, io, write);
        pthread_mutex_lock(&l->lock);
        l->handing = NULL;
        pthread_cond_broadcast(&l->handed);
    }
    l->found = true;
    watches_rouse(&l->watches, 0);
    due = watches_due(&l->watches);
    l->refs += due;
    pthread_mutex_unlock(&l->lock);
    if (due)
        tell(NULL, &l->watches);
    unref(l);
}
