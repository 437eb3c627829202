/*
 * sink.c - pumps a stream into a non-blocking descriptor on the data loop.
 *
 * One read of the stream at a time; its answer may come on any thread and is posted to the data
 * loop. States: reading (the stream has the request) -> writing (bytes in hand, waiting for the
 * descriptor when it is full) -> reading ... -> over (both closed).
 *
 * References: the owner's until sink_stop(), the pump's until it is over.
 */
#include "run/sink.h"
#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define PIECE (1024 * 1024)

struct sink {
    _Atomic unsigned refs;
    struct loop *data;
    struct stream *from;
    int fd;
    struct ioreq io;
    ssize_t rc; /* of the last read */
    _Atomic uint64_t bytes;
    void (*ended)(void *arg, bool broken);
    void *arg;
    bool reading, watched, over; /* data loop only */
    pthread_mutex_t lock;
    bool stopped; /* under the lock */
    struct task begin, arrived, halt;
    uv_poll_t poll;
};

static void unref(struct sink *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct sink *s = container_of((uv_poll_t *)h, struct sink, poll);

    close(s->fd);
    unref(s);
}

/* broken: the process must not take it for the end of its input. how: what the stream is closed
 * with. */
static void finish(struct sink *s, bool broken, int how)
{
    s->over = true;
    pthread_mutex_lock(&s->lock);
    if (!s->stopped)
        s->ended(s->arg, broken);
    pthread_mutex_unlock(&s->lock);
    slices_free(&s->io.bytes);
    s->from->ops->close(s->from, how);
    if (s->watched)
        uv_close((uv_handle_t *)&s->poll, on_closed);
    else
        on_closed((uv_handle_t *)&s->poll);
}

static void read_more(struct sink *s)
{
    s->reading = true;
    s->io.size = PIECE;
    s->from->ops->read(s->from, &s->io);
}

static void write_some(struct sink *s);

static void on_writable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    uv_poll_stop(poll);
    write_some(container_of(poll, struct sink, poll));
}

static void write_some(struct sink *s)
{
    while (s->io.bytes.len > 0) {
        struct iovec v[SLICES_MAX];
        ssize_t n = writev(s->fd, v, slices_iov(&s->io.bytes, v));

        if (n > 0) {
            slices_consume(&s->io.bytes, (size_t)n);
            atomic_fetch_add(&s->bytes, (uint64_t)n);
        } else if (errno == EAGAIN) {
            if (uv_poll_start(&s->poll, UV_WRITABLE | UV_DISCONNECT, on_writable) < 0)
                finish(s, true, -EIO);
            return;
        } else if (errno != EINTR) {
            finish(s, false, -EPIPE); /* nobody reads it any more */
            return;
        }
    }
    read_more(s);
}

/* The stream answered: on the data loop. */
static void arrived(struct task *t)
{
    struct sink *s = container_of(t, struct sink, arrived);
    bool stopped;

    s->reading = false;
    pthread_mutex_lock(&s->lock);
    stopped = s->stopped;
    pthread_mutex_unlock(&s->lock);
    if (stopped)
        finish(s, false, -EPIPE);
    else if (s->rc <= 0)
        finish(s, s->rc < 0, (int)s->rc);
    else
        write_some(s);
}

static void on_read(struct ioreq *io, ssize_t rc)
{
    struct sink *s = container_of(io, struct sink, io);

    s->rc = rc;
    loop_post(s->data, &s->arrived);
}

static void begin(struct task *t)
{
    struct sink *s = container_of(t, struct sink, begin);

    s->watched = uv_poll_init(loop_uv(s->data), &s->poll, s->fd) == 0;
    if (s->watched)
        read_more(s);
    else
        finish(s, true, -EIO);
}

static void halt(struct task *t)
{
    struct sink *s = container_of(t, struct sink, halt);

    if (!s->over && (!s->reading || s->from->ops->cancel(s->from, &s->io)))
        finish(s, false, -EPIPE);
    unref(s);
}

int sink_start(struct sink **out, struct loop *data, struct stream *from, int fd,
               void (*ended)(void *arg, bool broken), void *arg)
{
    struct sink *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->refs = 2;
    s->data = data;
    s->from = from;
    s->fd = fd;
    s->ended = ended;
    s->arg = arg;
    s->io.done = on_read;
    s->begin.run = begin;
    s->arrived.run = arrived;
    s->halt.run = halt;
    loop_post(data, &s->begin);
    *out = s;
    return 0;
}

uint64_t sink_bytes(const struct sink *s)
{
    return s ? atomic_load(&s->bytes) : 0;
}

void sink_stop(struct sink *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopped = true;
    pthread_mutex_unlock(&s->lock);
    loop_post(s->data, &s->halt);
}
