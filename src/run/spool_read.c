/*
 * spool_read.c - the readers of a spool.
 *
 * A request's owner is its reader from when it parks until its bytes are there; it is parked as
 * long as `moved` is 0, afterwards that is their number and `rc` their place. A read under way pins
 * what it reads, so that it is not punched out of the file meanwhile.
 */
#include "run/spool_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <utlist.h>

#define READ_MAX ((size_t)SLICES_MAX * BLK_BYTES)

/* The lowest offset that an open reader still needs. */
uint64_t spool_pinned(const struct spool *s)
{
    uint64_t low = s->end;
    const struct reader *r;

    DL_FOREACH(s->readers, r)
    {
        uint64_t place = r->busy ? r->low : r->at;

        if (place < low)
            low = place;
    }
    return low;
}

bool spool_full(const struct spool *s)
{
    return s->readers && s->end - spool_pinned(s) >= s->limit;
}

void spool_resume(struct spool *s)
{
    if (s->waiting && !spool_full(s)) {
        s->waiting = false;
        atomic_fetch_add(&s->refs, 1);
        loop_post(s->data, &s->resume);
    }
}

/* How many bytes a read gets now; 0: the end; -EAGAIN: it must wait. */
static ssize_t answer_size(const struct spool *s, const struct reader *r, const struct ioreq *io)
{
    uint64_t left = s->end - r->at;
    size_t most = io->size < READ_MAX ? io->size : READ_MAX;

    if (r->broken)
        return r->broken;
    if (left == 0 && !s->ended)
        return s->released ? -EIO : -EAGAIN;
    if (left == 0)
        return s->broken ? s->broken : r->cut ? -EIO : 0;
    return left < most ? (ssize_t)left : (ssize_t)most;
}

/* Moves the reader's place on by the n bytes that this read gets. */
static void take(struct reader *r, struct ioreq *io, ssize_t n)
{
    struct spool *s = r->spool;

    io->owner = r;
    io->rc = (ssize_t)r->at;
    io->moved = (size_t)n;
    if (r->busy++ == 0)
        r->low = r->at;
    r->at += (uint64_t)n;
    if (r->at > s->seen)
        s->seen = r->at;
}

/* Reads what take() took into fresh blocks. The bytes of the file never change, and are pinned. */
static ssize_t fill(const struct spool *s, struct ioreq *io)
{
    off_t at = io->rc;
    size_t n = io->moved;

    while (n > 0) {
        size_t part = n < BLK_BYTES ? n : BLK_BYTES, put = 0;
        struct blk *b = blk_alloc(part);
        ssize_t got = b ? 1 : -1;

        for (; got > 0 && put < part; put += (size_t)got) {
            got = pread(s->file, b->data + put, part - put, at + (off_t)put);
            if (got <= 0)
                break;
        }
        if (put == 0) {
            blk_unref(b);
            break;
        }
        slices_add_take(&io->bytes, b, 0, (unsigned)put);
        if (put < part)
            break;
        at += (off_t)put;
        n -= put;
    }
    return io->bytes.len ? (ssize_t)io->bytes.len : -EIO;
}

/* Reads the bytes of these requests back and tells all of them, and the watches. The spool may be
 * gone afterwards. */
static void answer_all(struct spool *s, struct ioreq *filling, struct ioreq *answered, bool due)
{
    struct ioreq *io, *next;

    DL_FOREACH(filling, io)
    {
        struct reader *r = io->owner;
        ssize_t rc = fill(s, io);

        pthread_mutex_lock(&s->lock);
        if (rc < (ssize_t)io->moved)
            r->broken = -EIO; /* some of what it passed is missing */
        r->busy--;
        io->owner = NULL;
        io->rc = rc;
        spool_resume(s);
        pthread_mutex_unlock(&s->lock);
    }
    DL_FOREACH_SAFE(filling, io, next)
    {
        DL_DELETE(filling, io);
        DL_APPEND(answered, io);
    }
    if (answered || due)
        tell(answered, due ? &s->watches : NULL);
}

static void on_read(struct stream *stream, struct ioreq *io)
{
    struct reader *r = container_of(stream, struct reader, stream);
    struct spool *s = r->spool;
    struct ioreq *filling = NULL, *answered = NULL;
    ssize_t n;

    pthread_mutex_lock(&s->lock);
    n = io->bytes.n ? -EINVAL : answer_size(s, r, io);
    if (n > 0) {
        take(r, io, n);
        DL_APPEND(filling, io);
    } else if (n == -EAGAIN && !io->nonblock) {
        io->owner = r;
        io->moved = 0;
        DL_APPEND(s->parked, io);
    } else {
        io->rc = n;
        DL_APPEND(answered, io);
    }
    pthread_mutex_unlock(&s->lock);
    answer_all(s, filling, answered, false);
}

static bool on_cancel(struct stream *stream, struct ioreq *io)
{
    struct reader *r = container_of(stream, struct reader, stream);
    struct spool *s = r->spool;
    bool parked;

    pthread_mutex_lock(&s->lock);
    parked = io->owner == r && io->moved == 0;
    if (parked) {
        DL_DELETE(s->parked, io);
        io->owner = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return parked;
}

static short on_poll(struct stream *stream, struct iowatch *w)
{
    struct reader *r = container_of(stream, struct reader, stream);
    struct spool *s = r->spool;
    short events = 0;

    pthread_mutex_lock(&s->lock);
    if (r->broken)
        events = POLLIN | POLLERR;
    else if (r->at < s->end)
        events = POLLIN;
    else if (s->ended || s->released)
        events = POLLIN | (s->ended && !s->broken && !r->cut ? POLLHUP : POLLERR);
    if (w)
        watches_arm(&s->watches, 0, w);
    pthread_mutex_unlock(&s->lock);
    return events;
}

static void on_unwatch(struct stream *stream, struct iowatch *w)
{
    struct spool *s = container_of(stream, struct reader, stream)->spool;

    pthread_mutex_lock(&s->lock);
    watches_disarm(&s->watches, w);
    pthread_mutex_unlock(&s->lock);
}

static void on_close(struct stream *stream, int how)
{
    struct reader *r = container_of(stream, struct reader, stream);
    struct spool *s = r->spool;

    (void)how;
    pthread_mutex_lock(&s->lock);
    DL_DELETE(s->readers, r);
    spool_idle(s);
    spool_resume(s);
    pthread_mutex_unlock(&s->lock);
    free(r);
    spool_unref(s);
}

static const struct stream_ops reader_ops = {
    .read = on_read,
    .cancel = on_cancel,
    .poll = on_poll,
    .unwatch = on_unwatch,
    .close = on_close,
};

int spool_open(struct spool *s, bool whole, struct stream **out)
{
    struct reader *r = calloc(1, sizeof *r);

    if (!r)
        return -ENOMEM;
    r->stream.ops = &reader_ops;
    r->spool = s;
    atomic_fetch_add(&s->refs, 1);
    pthread_mutex_lock(&s->lock);
    if (!s->draining && s->start < s->end)
        r->broken = spool_reopen(s);
    r->at = s->start;
    r->cut = whole && s->start > 0;
    DL_APPEND(s->readers, r);
    pthread_mutex_unlock(&s->lock);
    *out = &r->stream;
    return 0;
}

/* Answers all parked reads that can be, and tells the watches. */
void spool_wake(struct spool *s)
{
    struct ioreq *filling = NULL, *answered = NULL, *io, *next;
    bool due;

    pthread_mutex_lock(&s->lock);
    DL_FOREACH_SAFE(s->parked, io, next)
    {
        struct reader *r = io->owner;
        ssize_t n = answer_size(s, r, io);

        if (n == -EAGAIN)
            continue;
        DL_DELETE(s->parked, io);
        if (n > 0) {
            take(r, io, n);
            DL_APPEND(filling, io);
        } else {
            io->owner = NULL;
            io->rc = n;
            DL_APPEND(answered, io);
        }
    }
    watches_rouse(&s->watches, 0);
    due = watches_due(&s->watches);
    if (due)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&s->lock);
    answer_all(s, filling, answered, due);
}
