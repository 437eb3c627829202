/*
 * pump.c - one read or write under way at a time, with the same slices, so that nothing is copied.
 *
 *   reading -> writing -> reading ... -> over (end of file, or broken; told on the core loop)
 *
 * pump_stop() may come while the request is on its way from one stream into the other, where
 * neither has it: then whoever brings it there takes it back. `submits` counts those; an answer
 * that comes before its submit has returned makes it more than one.
 *
 * Beside that a sync of the target may be under way: because somebody waits for his bytes to
 * arrive, or since the target takes no more, to learn whether what it took has arrived (`ending`:
 * the task is posted then).
 *
 * References: the owner's until pump_end or pump_stop, one of the request under way or the task
 * posted, one of each submit, one of the sync.
 */
#include "run/pump.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define PIECE (1024 * 1024)

struct pump {
    _Atomic unsigned refs;
    struct loop *core;
    struct stream *from, *to;
    struct ioreq io;
    struct flow *carried;
    struct ioreq sync;
    pthread_mutex_t lock; /* of the five below */
    bool writing, stopped, syncing, ending;
    unsigned submits;
    int how, rc;
    void (*ended)(void *arg, int rc);
    void *arg;
    struct task task;
};

static void close_streams(struct pump *p)
{
    struct stream *to = take_ptr(p->to), *from = take_ptr(p->from);

    if (to)
        to->ops->close(to, p->how);
    if (from)
        from->ops->close(from, p->how);
}

static void unref(struct pump *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    close_streams(p);
    slices_free(&p->io.bytes);
    flow_unref(p->carried);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* With the lock: takes the sync back if the target has it; how many references go with it. */
static unsigned sync_back(struct pump *p)
{
    unsigned refs;

    if (!p->syncing || !p->to->ops->cancel(p->to, &p->sync))
        return 0;
    refs = p->ending ? 2 : 1;
    p->syncing = p->ending = false;
    return refs;
}

static void on_synced(struct ioreq *io, ssize_t rc)
{
    struct pump *p = container_of(io, struct pump, sync);
    bool ending;

    flow_synced(p->carried, rc == -EPIPE ? 0 : (int)rc);
    pthread_mutex_lock(&p->lock);
    ending = p->ending;
    p->syncing = p->ending = false;
    pthread_mutex_unlock(&p->lock);
    if (ending)
        loop_post(p->core, &p->task);
    unref(p);
}

static void sync_target(struct pump *p, bool ending)
{
    unsigned refs = 0;
    bool start;

    pthread_mutex_lock(&p->lock);
    start = !p->syncing;
    p->syncing = true;
    p->ending = ending;
    pthread_mutex_unlock(&p->lock);
    if (!start)
        return;
    atomic_fetch_add(&p->refs, 2);
    p->sync = (struct ioreq){ .done = on_synced };
    p->to->ops->sync(p->to, &p->sync);
    pthread_mutex_lock(&p->lock);
    if (p->stopped)
        refs = sync_back(p);
    pthread_mutex_unlock(&p->lock);
    while (refs-- > 0)
        unref(p);
    unref(p);
}

static void over(struct pump *p, int rc)
{
    p->rc = rc;
    if (rc == -EPIPE && p->carried) {
        sync_target(p, true);
        return;
    }
    if (rc < 0 && p->carried)
        flow_synced(p->carried, rc);
    loop_post(p->core, &p->task);
}

static bool is_stopped(struct pump *p)
{
    bool stopped;

    pthread_mutex_lock(&p->lock);
    stopped = p->stopped;
    pthread_mutex_unlock(&p->lock);
    return stopped;
}

static void on_task(struct task *t)
{
    struct pump *p = container_of(t, struct pump, task);

    if (!is_stopped(p))
        p->ended(p->arg, p->rc);
    unref(p);
}

/* Takes the request back if a stream has it. With the lock, so that on_done() cannot hand it on
 * meanwhile; a stream calls that without a lock of its own. */
static bool take_back(struct pump *p)
{
    struct stream *at = p->writing ? p->to : p->from;

    return at->ops->cancel(at, &p->io);
}

/* Gives the request to a stream; it is ours. */
static void submit(struct pump *p, bool write)
{
    bool mine = false, stopped;

    p->io.moved = 0;
    p->io.size = PIECE;
    p->io.whole = true;
    pthread_mutex_lock(&p->lock);
    stopped = p->stopped;
    p->writing = write;
    p->submits += !stopped;
    pthread_mutex_unlock(&p->lock);
    if (stopped) {
        unref(p);
        return;
    }
    atomic_fetch_add(&p->refs, 1);
    if (write)
        p->to->ops->write(p->to, &p->io);
    else
        p->from->ops->read(p->from, &p->io);
    pthread_mutex_lock(&p->lock);
    if (--p->submits == 0 && p->stopped)
        mine = take_back(p);
    pthread_mutex_unlock(&p->lock);
    if (mine)
        unref(p);
    unref(p);
}

static void on_done(struct ioreq *io, ssize_t rc)
{
    struct pump *p = container_of(io, struct pump, io);
    bool writing, stopped;

    pthread_mutex_lock(&p->lock);
    writing = p->writing;
    stopped = p->stopped;
    pthread_mutex_unlock(&p->lock);
    if (stopped) {
        unref(p);
    } else if (rc == -EINPROGRESS && !writing) {
        sync_target(p, false);
        submit(p, false);
    } else if (rc < 0 || (!writing && rc == 0)) {
        over(p, (int)rc);
    } else {
        submit(p, p->io.bytes.len > 0);
    }
}

int pump_start(struct pump **out, struct loop *core, struct stream *from, struct flow *carried,
               struct stream *to, void (*ended)(void *arg, int rc), void *arg)
{
    struct pump *p = calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    pthread_mutex_init(&p->lock, NULL);
    p->refs = 2;
    p->core = core;
    p->from = from;
    p->carried = carried ? flow_ref(carried) : NULL;
    p->to = to;
    p->io.done = on_done;
    p->ended = ended;
    p->arg = arg;
    p->task.run = on_task;
    *out = p;
    submit(p, false);
    return 0;
}

void pump_resume(struct pump *p)
{
    atomic_fetch_add(&p->refs, 1);
    submit(p, false);
}

void pump_look(struct pump *p)
{
    if ((p->to->ops->poll(p->to, NULL) & POLLERR) && p->from->ops->cancel(p->from, &p->io))
        over(p, -EPIPE);
}

void pump_end(struct pump *p, int how)
{
    unsigned refs;

    p->how = how;
    pthread_mutex_lock(&p->lock);
    refs = sync_back(p);
    pthread_mutex_unlock(&p->lock);
    while (refs-- > 0)
        unref(p);
    close_streams(p); /* now, whoever still holds a reference: the caller goes by what is open */
    unref(p);
}

void pump_stop(struct pump *p, int how)
{
    bool mine = false;
    unsigned refs;

    p->how = how;
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    refs = sync_back(p);
    if (p->submits == 0)
        mine = take_back(p);
    pthread_mutex_unlock(&p->lock);
    while (refs-- > 0)
        unref(p);
    if (mine)
        unref(p);
    unref(p);
}
