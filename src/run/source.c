/*
 * source.c - reads a non-blocking descriptor for requests, on the thread that asks.
 *
 * A read that finds nothing is parked, and the data loop waits for the descriptor (uv_poll). All
 * reading happens with the lock held, so that requests are answered in the order of the bytes. The
 * descriptor is closed on the data loop alone, by step(), which is posted (`posted`) whenever there
 * is something to do there.
 *
 *   open -> at its end (`eof`: reads are parked) -> ended (reads answer `how`)
 *
 * References: the owner's, the reader's, one while posted, one while the poll handle lives, one
 * while watches are told.
 */
#include "run/source.h"
#include "base/cleanup.h"
#include "base/tell.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <utlist.h>

#define READ_MAX ((size_t)(SLICES_MAX / 2) * BLK_BYTES)
#define READ_MIN 4096

struct source {
    struct stream stream;
    _Atomic unsigned refs;
    struct loop *data;
    pthread_mutex_t lock;
    int fd; /* -1: none yet, or closed */
    int how;
    bool opened, closed, eof, ended, released, posted, turning, over_told;
    uint64_t bytes;
    struct ioreq *parked;
    struct watches watches;
    void (*over)(void *arg, bool unread);
    void *arg;
    struct task step;

    /* Of the data loop. */
    uv_poll_t poll;
    bool polling;
};

static void unref(struct source *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (s->fd >= 0)
        close(s->fd);
    watches_destroy(&s->watches);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void release_watches(struct watches *ws)
{
    unref(container_of(ws, struct source, watches));
}

/* With the lock. */
static void post_step(struct source *s)
{
    if (s->posted)
        return;
    s->posted = true;
    atomic_fetch_add(&s->refs, 1);
    loop_post(s->data, &s->step);
}

/* How much there is to read decides how much is asked for: small outputs need no large blocks. */
static size_t wanted(int fd, size_t most)
{
    int n = 0;

    if (most > READ_MAX)
        most = READ_MAX;
    if (ioctl(fd, FIONREAD, &n) < 0 || n < READ_MIN)
        n = READ_MIN;
    return (size_t)n < most ? (size_t)n : most;
}

/* Bytes read, 0 at the end, -EAGAIN, -errno. */
static ssize_t fill(int fd, struct ioreq *io)
{
    struct slices got = { 0 };
    struct iovec v[SLICES_MAX];
    ssize_t n;

    for (size_t left = wanted(fd, io->size); left > 0;) {
        size_t part = left < BLK_BYTES ? left : BLK_BYTES;
        struct blk *b = blk_alloc(part);

        if (!b)
            break;
        slices_add_take(&got, b, 0, (unsigned)part);
        left -= part;
    }
    if (got.n == 0)
        return -ENOMEM;
    do
        n = readv(fd, v, slices_iov(&got, v));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        n = -errno;
    for (unsigned i = 0; i < got.n; i++) {
        struct slice *part = &got.v[i];
        size_t before = io->bytes.len, len = n > 0 && (size_t)n > before ? (size_t)n - before : 0;

        if (len > part->len)
            len = part->len;
        if (len > 0)
            slices_add_take(&io->bytes, part->b, 0, (unsigned)len);
        else
            blk_unref(part->b);
    }
    return n;
}

/* With the lock: answers the request, or -EAGAIN. */
static ssize_t try_read(struct source *s, struct ioreq *io)
{
    ssize_t n;

    if (s->ended)
        return s->how;
    if (s->eof || s->fd < 0)
        return -EAGAIN;
    n = fill(s->fd, io);
    if (n > 0) {
        s->bytes += (uint64_t)n;
        return n;
    }
    if (n == 0) {
        s->eof = true;
        post_step(s);
        return -EAGAIN;
    }
    return n;
}

/* With the lock: answers what can be; the rest stays parked. */
static void answer(struct source *s, struct ioreq **answered)
{
    struct ioreq *io, *next;

    DL_FOREACH_SAFE(s->parked, io, next)
    {
        ssize_t n = try_read(s, io);

        if (n == -EAGAIN)
            break;
        DL_DELETE(s->parked, io);
        io->owner = NULL;
        io->rc = n;
        DL_APPEND(*answered, io);
    }
}

static void answer_and_rouse(struct source *s)
{
    struct ioreq *answered = NULL;
    bool due;

    pthread_mutex_lock(&s->lock);
    answer(s, &answered);
    watches_rouse(&s->watches, 0);
    due = watches_due(&s->watches);
    if (due)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&s->lock);
    if (answered || due)
        tell(answered, due ? &s->watches : NULL);
}

/* ---- the data loop */

static void on_poll_closed(uv_handle_t *h)
{
    struct source *s = container_of((uv_poll_t *)h, struct source, poll);
    int fd;

    pthread_mutex_lock(&s->lock);
    fd = take_fd(&s->fd);
    pthread_mutex_unlock(&s->lock);
    close(fd);
    unref(s);
}

/* Who asks again from inside of an answer needs no step() to be waited for: `turning`. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct source *s = container_of(poll, struct source, poll);

    (void)status, (void)events;
    pthread_mutex_lock(&s->lock);
    s->turning = true;
    pthread_mutex_unlock(&s->lock);
    answer_and_rouse(s);
    pthread_mutex_lock(&s->lock);
    s->turning = false;
    if (s->eof || s->ended || (!s->parked && !s->watches.armed[0]))
        uv_poll_stop(poll);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock: the descriptor is not needed any more. */
static void shut(struct source *s)
{
    if (!s->over_told && !s->released) {
        s->over_told = true;
        s->over(s->arg, !s->eof);
    }
    if (s->polling) {
        s->polling = false;
        uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    } else if (!s->poll.loop) {
        close(take_fd(&s->fd));
    }
}

static void watch_fd(struct source *s)
{
    if (!s->polling) {
        if (uv_poll_init(loop_uv(s->data), &s->poll, s->fd) < 0) {
            s->poll.loop = NULL;
            s->ended = true;
            s->how = -EIO;
            post_step(s);
            return;
        }
        s->polling = true;
        atomic_fetch_add(&s->refs, 1);
    }
    uv_poll_start(&s->poll, UV_READABLE | UV_DISCONNECT, on_readable);
}

static void step(struct task *t)
{
    struct source *s = container_of(t, struct source, step);
    bool rouse;

    pthread_mutex_lock(&s->lock);
    s->posted = false;
    rouse = s->ended;
    if (s->fd >= 0 && (s->eof || s->closed || s->ended || s->released))
        shut(s);
    else if (s->fd >= 0)
        watch_fd(s);
    pthread_mutex_unlock(&s->lock);
    if (rouse)
        answer_and_rouse(s);
    unref(s);
}

/* ---- the reader */

static void on_read(struct stream *stream, struct ioreq *io)
{
    struct source *s = container_of(stream, struct source, stream);
    struct ioreq *answered = NULL;
    ssize_t n = -EAGAIN;

    pthread_mutex_lock(&s->lock);
    if (io->bytes.n || !io->size)
        n = -EINVAL;
    else if (!s->parked)
        n = try_read(s, io);
    if (n == -EAGAIN && !io->nonblock) {
        io->owner = s;
        DL_APPEND(s->parked, io);
        if (s->fd >= 0 && !s->turning)
            post_step(s);
    } else {
        io->rc = n;
        DL_APPEND(answered, io);
    }
    pthread_mutex_unlock(&s->lock);
    if (answered)
        tell(answered, NULL);
}

static bool on_cancel(struct stream *stream, struct ioreq *io)
{
    struct source *s = container_of(stream, struct source, stream);
    bool parked;

    pthread_mutex_lock(&s->lock);
    parked = io->owner == s;
    if (parked) {
        DL_DELETE(s->parked, io);
        io->owner = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return parked;
}

static short on_poll(struct stream *stream, struct iowatch *w)
{
    struct source *s = container_of(stream, struct source, stream);
    int waiting = 0;
    short events = 0;

    pthread_mutex_lock(&s->lock);
    if (s->ended)
        events = POLLIN | (s->how ? POLLERR : POLLHUP);
    else if (s->fd >= 0 && !s->eof && ioctl(s->fd, FIONREAD, &waiting) == 0 && waiting > 0)
        events = POLLIN;
    if (w)
        watches_arm(&s->watches, 0, w);
    if (w && !events && s->fd >= 0 && !s->eof && !s->turning)
        post_step(s);
    pthread_mutex_unlock(&s->lock);
    return events;
}

static void on_unwatch(struct stream *stream, struct iowatch *w)
{
    struct source *s = container_of(stream, struct source, stream);

    pthread_mutex_lock(&s->lock);
    watches_disarm(&s->watches, w);
    pthread_mutex_unlock(&s->lock);
}

static void on_close(struct stream *stream, int how)
{
    struct source *s = container_of(stream, struct source, stream);

    (void)how;
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    post_step(s);
    pthread_mutex_unlock(&s->lock);
    unref(s);
}

static const struct stream_ops source_ops = {
    .read = on_read,
    .cancel = on_cancel,
    .poll = on_poll,
    .unwatch = on_unwatch,
    .close = on_close,
};

int source_open(struct source *s, struct stream **out)
{
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->opened)
        rc = -EALREADY;
    s->opened = true;
    if (rc == 0)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&s->lock);
    *out = &s->stream;
    return rc;
}

/* ---- the owner */

int source_create(struct source **out, struct loop *data, void (*over)(void *arg, bool unread),
                  void *arg)
{
    struct source *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    watches_init(&s->watches, &s->lock, release_watches);
    s->stream.ops = &source_ops;
    s->refs = 1;
    s->data = data;
    s->fd = -1;
    s->over = over;
    s->arg = arg;
    s->step.run = step;
    *out = s;
    return 0;
}

void source_attach(struct source *s, int fd)
{
    pthread_mutex_lock(&s->lock);
    s->fd = fd;
    if (s->opened || s->ended)
        post_step(s);
    pthread_mutex_unlock(&s->lock);
}

void source_end(struct source *s, int rc)
{
    pthread_mutex_lock(&s->lock);
    if (!s->ended) {
        s->ended = true;
        s->how = rc;
        post_step(s);
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t source_bytes(struct source *s)
{
    uint64_t bytes;

    pthread_mutex_lock(&s->lock);
    bytes = s->bytes;
    pthread_mutex_unlock(&s->lock);
    return bytes;
}

void source_release(struct source *s)
{
    if (!s)
        return;
    source_end(s, -EIO);
    pthread_mutex_lock(&s->lock);
    s->released = true;
    pthread_mutex_unlock(&s->lock);
    unref(s);
}
