/*
 * park.c - reads, writes and syncs of streams: answered at once, or parked until there is an answer
 * or an interrupt.
 *
 * libfuse calls the interrupt function with its own locks held, possibly before the request was
 * parked: it only marks the request and wakes the core loop, which takes the request back from
 * its stream and answers EINTR. Whoever takes the request out of the stream answers it: the stream
 * (done) or the sweep (cancel), never both.
 *
 * References of a parked request: one of the answer to come, one of the thread that submits it,
 * one while it waits to be swept. fuse_req_interrupt_func(NULL) returns only when no interrupt
 * function runs any more, so that none starts after the answer.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#define ABORT_MS 2000

enum parked_kind { PARKED_READ, PARKED_WRITE, PARKED_SYNC };

struct parked {
    struct ioreq io;
    fuse_req_t req;
    struct fid *fid;
    _Atomic unsigned refs;
    _Atomic bool interrupted;
    enum parked_kind kind;
    struct parked *next_swept;  /* among those to sweep */
    struct parked *prev, *next; /* all */
};

static struct {
    pthread_mutex_t lock;
    struct parked *head, *all;
    struct task task;
    bool posted;
    struct loop *core;
} sweep = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void unref(struct parked *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    pthread_mutex_lock(&sweep.lock);
    DL_DELETE(sweep.all, p);
    pthread_mutex_unlock(&sweep.lock);
    fid_unref(p->fid);
    free(p);
}

static void answer(struct parked *p, ssize_t rc)
{
    struct iovec v[SLICES_MAX];

    fuse_req_interrupt_func(p->req, NULL, NULL);
    if (rc < 0 || p->kind == PARKED_SYNC)
        fuse_reply_err(p->req, (int)-rc);
    else if (p->kind == PARKED_WRITE)
        fuse_reply_write(p->req, (size_t)rc);
    else
        fuse_reply_iov(p->req, v, slices_iov(&p->io.bytes, v));
    slices_free(&p->io.bytes);
    unref(p);
}

static void on_done(struct ioreq *io, ssize_t rc)
{
    answer(container_of(io, struct parked, io), rc);
}

/* Takes it back from its stream if it waits there, and answers rc. */
static bool take_back(struct parked *p, int rc)
{
    if (!p->fid->stream->ops->cancel(p->fid->stream, &p->io))
        return false;
    answer(p, p->kind == PARKED_WRITE && p->io.moved ? (ssize_t)p->io.moved : rc);
    return true;
}

static void run_sweep(struct task *t)
{
    struct parked *p;

    (void)t;
    pthread_mutex_lock(&sweep.lock);
    p = sweep.head;
    sweep.head = NULL;
    sweep.posted = false;
    pthread_mutex_unlock(&sweep.lock);
    while (p) {
        struct parked *next = p->next_swept;

        take_back(p, -EINTR);
        unref(p);
        p = next;
    }
}

static void on_interrupt(fuse_req_t req, void *arg)
{
    struct parked *p = arg;
    bool post = false;

    (void)req;
    pthread_mutex_lock(&sweep.lock);
    if (!atomic_exchange(&p->interrupted, true)) {
        atomic_fetch_add(&p->refs, 1);
        p->next_swept = sweep.head;
        sweep.head = p;
        post = !sweep.posted;
        sweep.posted = true;
    }
    pthread_mutex_unlock(&sweep.lock);
    if (post)
        loop_post(sweep.core, &sweep.task);
}

void park_init(struct loop *core)
{
    sweep.core = core;
    sweep.task.run = run_sweep;
}

/* The next one, put behind all others, with a reference; NULL: there is none. One without
 * references is on its way out. */
static struct parked *next_parked(void)
{
    struct parked *p;

    pthread_mutex_lock(&sweep.lock);
    DL_FOREACH(sweep.all, p)
    {
        unsigned refs = atomic_load(&p->refs);

        while (refs > 0 && !atomic_compare_exchange_weak(&p->refs, &refs, refs + 1))
            ;
        if (refs > 0)
            break;
    }
    if (p) {
        DL_DELETE(sweep.all, p);
        DL_APPEND(sweep.all, p);
    }
    pthread_mutex_unlock(&sweep.lock);
    return p;
}

void park_abort(void)
{
    static const struct timespec breath = { .tv_nsec = 1000000 };
    uint64_t until = now_ms() + ABORT_MS;
    struct parked *p;

    run_sweep(NULL);
    while (now_ms() < until && (p = next_parked()) != NULL) {
        if (!take_back(p, -ECONNABORTED)) { /* another thread answers it right now */
            uv_run(loop_uv(sweep.core), UV_RUN_NOWAIT);
            nanosleep(&breath, NULL);
        }
        unref(p);
    }
}

static struct parked *parked_new(fuse_req_t req, struct fid *fid, enum parked_kind kind,
                                 bool nonblock)
{
    struct parked *p = calloc(1, sizeof *p);

    if (!p) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    p->req = req;
    p->fid = fid_ref(fid);
    p->kind = kind;
    p->refs = 2;
    p->io.done = on_done;
    p->io.nonblock = nonblock;
    pthread_mutex_lock(&sweep.lock);
    DL_APPEND(sweep.all, p);
    pthread_mutex_unlock(&sweep.lock);
    return p;
}

static void submit(struct parked *p, void (*op)(struct stream *, struct ioreq *))
{
    if (!p->io.nonblock)
        fuse_req_interrupt_func(p->req, on_interrupt, p);
    op(p->fid->stream, &p->io);
    /* An interrupt that came before it was parked found nothing to take back. */
    if (atomic_load(&p->interrupted))
        take_back(p, -EINTR);
    unref(p);
}

void park_read(fuse_req_t req, struct fid *fid, size_t size, bool nonblock)
{
    const struct stream_ops *ops = fid->stream->ops;
    struct parked *p;

    if (!ops->read) {
        fuse_reply_err(req, EBADF);
        return;
    }
    p = parked_new(req, fid, PARKED_READ, nonblock);
    if (!p)
        return;
    p->io.size = size;
    submit(p, ops->read);
}

void park_write(fuse_req_t req, struct fid *fid, const void *buf, size_t n, bool nonblock)
{
    const struct stream_ops *ops = fid->stream->ops;
    struct parked *p;

    if (!ops->write) {
        fuse_reply_err(req, EBADF);
        return;
    }
    atomic_store(&fid->wrote, true);
    p = parked_new(req, fid, PARKED_WRITE, nonblock);
    if (!p)
        return;
    if (slices_copy(&p->io.bytes, buf, n) < 0) {
        p->refs = 1;
        answer(p, -ENOMEM);
        return;
    }
    submit(p, ops->write);
}

void park_sync(fuse_req_t req, struct fid *fid)
{
    const struct stream_ops *ops = fid->stream->ops;
    struct parked *p;

    if (!ops->sync || !atomic_load(&fid->wrote)) {
        fuse_reply_err(req, 0);
        return;
    }
    p = parked_new(req, fid, PARKED_SYNC, false);
    if (p)
        submit(p, ops->sync);
}
