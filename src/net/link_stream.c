/*
 * link_stream.c - the opener's end of a channel: the reader of one flow and the writer of another.
 *
 * It knows nothing of links, so it may outlive them. A watch of the user's stands for two, one on
 * each flow; it is kept in a list here, and fires when either does.
 *
 * Invariant: the `size` of a write or sync is 0 and a read's is not, which tells cancel() whose it
 * is.
 */
#include "net/link_private.h"

#include <poll.h>
#include <utlist.h>

struct firing { /* a `fire` that runs now */
    const struct iowatch *w;
    pthread_t thread;
    struct firing *prev, *next;
};

struct duplex {
    struct stream s;
    struct stream *half[2]; /* reader, writer */
    struct side {
        struct duplex *d;
        struct iowatch w;
    } side[2];
    pthread_mutex_t lock;
    pthread_cond_t fired;
    struct iowatch *armed;
    struct firing *firing;
};

static struct duplex *duplex_of(struct stream *s)
{
    return container_of(s, struct duplex, s);
}

static void unlink_watch(struct iowatch *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
}

static void side_fires(struct iowatch *inner)
{
    struct duplex *d = container_of(inner, struct side, w)->d;
    struct iowatch *due = NULL, *w;

    pthread_mutex_lock(&d->lock);
    due = d->armed; /* those armed from inside of a fire wait for the next */
    d->armed = NULL;
    if (due)
        due->link = &due;
    while ((w = due)) {
        struct firing now = { .w = w, .thread = pthread_self() };

        unlink_watch(w);
        DL_APPEND(d->firing, &now);
        pthread_mutex_unlock(&d->lock);
        w->fire(w);
        pthread_mutex_lock(&d->lock);
        DL_DELETE(d->firing, &now);
        pthread_cond_broadcast(&d->fired);
    }
    pthread_mutex_unlock(&d->lock);
}

static void duplex_read(struct stream *s, struct ioreq *r)
{
    struct duplex *d = duplex_of(s);

    if (r->size == 0)
        r->done(r, 0);
    else
        d->half[0]->ops->read(d->half[0], r);
}

static void duplex_write(struct stream *s, struct ioreq *r)
{
    struct duplex *d = duplex_of(s);

    r->size = 0;
    d->half[1]->ops->write(d->half[1], r);
}

static void duplex_sync(struct stream *s, struct ioreq *r)
{
    struct stream *writer = duplex_of(s)->half[1];

    r->size = 0;
    writer->ops->sync(writer, r);
}

static bool duplex_cancel(struct stream *s, struct ioreq *r)
{
    struct stream *half = duplex_of(s)->half[r->size == 0];

    return half->ops->cancel(half, r);
}

static short duplex_poll(struct stream *s, struct iowatch *w)
{
    struct duplex *d = duplex_of(s);
    short ready[2];

    pthread_mutex_lock(&d->lock);
    if (w && !w->link) {
        w->next = d->armed;
        w->link = &d->armed;
        if (w->next)
            w->next->link = &w->next;
        d->armed = w;
    }
    pthread_mutex_unlock(&d->lock);
    for (int i = 0; i < 2; i++)
        ready[i] = d->half[i]->ops->poll(d->half[i], w ? &d->side[i].w : NULL);
    /* A peer that takes no bytes is no error as long as there may be some to read. */
    if (!(ready[0] & (POLLHUP | POLLERR)))
        ready[1] &= ~POLLERR;
    return ready[0] | ready[1];
}

static bool fires_elsewhere(const struct duplex *d, const struct iowatch *w)
{
    const struct firing *now;

    DL_FOREACH(d->firing, now)
    {
        if (now->w == w && !pthread_equal(now->thread, pthread_self()))
            return true;
    }
    return false;
}

static void duplex_unwatch(struct stream *s, struct iowatch *w)
{
    struct duplex *d = duplex_of(s);

    pthread_mutex_lock(&d->lock);
    for (;;) {
        if (w->link)
            unlink_watch(w);
        if (!fires_elsewhere(d, w))
            break;
        pthread_cond_wait(&d->fired, &d->lock);
    }
    pthread_mutex_unlock(&d->lock);
}

static void duplex_close(struct stream *s, int how)
{
    struct duplex *d = duplex_of(s);

    for (int i = 0; i < 2; i++) {
        d->half[i]->ops->unwatch(d->half[i], &d->side[i].w);
        d->half[i]->ops->close(d->half[i], how);
    }
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->fired);
    free(d);
}

static const struct stream_ops duplex_ops = {
    .read = duplex_read,
    .write = duplex_write,
    .sync = duplex_sync,
    .cancel = duplex_cancel,
    .poll = duplex_poll,
    .unwatch = duplex_unwatch,
    .close = duplex_close,
};

int link_stream_create(struct stream **out, struct stream *reader, struct stream *writer)
{
    struct duplex *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->s.ops = &duplex_ops;
    d->half[0] = reader;
    d->half[1] = writer;
    for (int i = 0; i < 2; i++)
        d->side[i] = (struct side){ .d = d, .w = { .fire = side_fires } };
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->fired, NULL);
    *out = &d->s;
    return 0;
}
