/*
 * spool.c - a process's output in a file, with live readers.
 *
 * Draining alternates between waiting on the data loop (uv_poll) and a turn in libuv's pool that
 * moves at most TURN bytes from the descriptor to the file, since a disk may block. Only the
 * draining turn writes; `end` moves under the lock, then parked reads are answered. The kernel
 * moves the bytes (splice), so that none is in the daemon's hands when it is killed. A terminal
 * cannot be spliced: its bytes are copied, and held while the disk does not take them. The file is
 * made with the first byte: most processes say little, and nothing on stderr. It is open while the
 * spool drains and has bytes, and while there are readers (`file` is the turn's while it drains,
 * else changed under the lock).
 *
 *   new -> draining (waits for bytes, for a reader, or for the disk; or a turn is under way) ->
 * ended
 *
 * Offsets: start <= every reader's place <= end. Bytes before `start` are punched out of the file.
 * A reader's place, or that of its oldest read under way, pins what follows: then the process
 * waits, not the reader (spool_read.c).
 *
 * References: the owner's, one per open reader, one while draining, one per posted task, one while
 * watches are told.
 */
#include "run/spool_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define TURN     (4 * 1024 * 1024)
#define RETRY_MS 1000

void spool_unref(struct spool *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (s->remove)
        unlink(s->path);
    if (s->file >= 0)
        close(s->file);
    if (s->fd >= 0)
        close(s->fd);
    watches_destroy(&s->watches);
    pthread_mutex_destroy(&s->lock);
    free(s->held);
    free(s->path);
    free(s);
}

int spool_reopen(struct spool *s)
{
    if (s->file < 0)
        s->file = open(s->path, O_RDWR | O_CLOEXEC);
    return s->file < 0 ? -errno : 0;
}

void spool_idle(struct spool *s)
{
    if (s->file >= 0 && !s->draining && !s->readers)
        close(take_fd(&s->file));
}

static void release_watches(struct watches *ws)
{
    spool_unref(container_of(ws, struct spool, watches));
}

/* ---- a turn, in the pool */

/* Lets go of bytes beyond the limit that nobody has open. New readers do not see them before they
 * are punched out. */
static void trim(struct spool *s)
{
    uint64_t low, pin;

    pthread_mutex_lock(&s->lock);
    low = s->end > s->limit ? s->end - s->limit : 0;
    pin = spool_pinned(s);
    if (pin < low)
        low = pin;
    low -= low % SPOOL_CHUNK;
    if (low > s->start) {
        if (low > s->seen) {
            s->dropped += low - s->seen;
            s->seen = low;
        }
        s->start = low;
    }
    low = s->start;
    pthread_mutex_unlock(&s->lock);
    if (low - s->punched < s->limit / 16)
        return;
    if (low > s->punched && (fallocate(s->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                       (off_t)s->punched, (off_t)(low - s->punched)) == 0 ||
                             errno == EOPNOTSUPP))
        s->punched = low;
}

/* Is there something in the pipe? 1, 0 at its end, -EAGAIN. */
static ssize_t look(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, 0) < 0)
        return -errno;
    return p.revents & POLLIN ? 1 : p.revents ? 0 : -EAGAIN;
}

/* From a descriptor that cannot be spliced, by way of `held`. */
static ssize_t copy(struct spool *s)
{
    ssize_t n;

    if (!s->held && !(s->held = malloc(SPOOL_CHUNK)))
        return -ENOMEM;
    if (s->held_n == 0) {
        n = read(s->fd, s->held, SPOOL_CHUNK);
        if (n <= 0)
            return n == 0 || errno == EIO ? 0 : -errno; /* EIO: the last pty slave closed */
        s->held_n = (size_t)n;
    }
    n = pwrite(s->file, s->held, s->held_n, (off_t)s->end);
    if (n <= 0)
        return n < 0 ? -errno : -ENOSPC;
    memmove(s->held, s->held + n, s->held_n - (size_t)n);
    s->held_n -= (size_t)n;
    return n;
}

/* Moves bytes to the end of the file, which only a turn changes. How many; 0: the end; -errno. */
static ssize_t move(struct spool *s)
{
    off_t at = (off_t)s->end;
    ssize_t n;

    if (s->file < 0) {
        n = s->held_n ? 1 : look(s->fd);
        if (n <= 0)
            return n;
        s->file = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (s->file < 0)
            return -errno;
    }
    if (!s->copies) {
        n = splice(s->fd, NULL, s->file, &at, SPOOL_CHUNK, SPLICE_F_NONBLOCK);
        if (n >= 0 || errno != EINVAL)
            return n < 0 ? -errno : n;
        s->copies = true;
    }
    return copy(s);
}

static bool may_go_on(struct spool *s)
{
    bool may;

    pthread_mutex_lock(&s->lock);
    may = !spool_full(s) && !s->released;
    pthread_mutex_unlock(&s->lock);
    return may;
}

static void drain_turn(uv_work_t *work)
{
    struct spool *s = container_of(work, struct spool, work);

    s->turn = 1;
    for (size_t moved = 0; moved < TURN && may_go_on(s); moved += (size_t)s->turn) {
        s->turn = move(s);
        if (s->turn <= 0)
            break;
        pthread_mutex_lock(&s->lock);
        s->end += (uint64_t)s->turn;
        s->error = 0;
        pthread_mutex_unlock(&s->lock);
        trim(s);
        spool_wake(s);
    }
    if (s->held_n == 0) {
        free(s->held);
        s->held = NULL;
    }
}

/* ---- the data loop */

static void drained(uv_work_t *work, int status);

static void on_handle_closed(uv_handle_t *h)
{
    struct spool *s = h->data;

    if (--s->handles == 0)
        spool_unref(s);
}

/* Draining is over: the handles go, and with them the reference. rc: 0 at the end of file, -errno
 * when it broke, 1 when the owner let go of it. */
static void stop(struct spool *s, int rc)
{
    pthread_mutex_lock(&s->lock);
    s->draining = false;
    if (rc <= 0) {
        s->ended = true;
        s->broken = rc;
    }
    spool_idle(s);
    if (s->news && !s->released)
        s->news(s->arg);
    pthread_mutex_unlock(&s->lock);
    s->stopped = true;
    if (s->handles == 2)
        uv_close((uv_handle_t *)&s->poll, on_handle_closed);
    spool_wake(s);
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
}

static void run_turn(struct spool *s)
{
    s->turning = true;
    if (uv_queue_work(loop_uv(s->data), &s->work, drain_turn, drained) < 0) {
        s->turning = false;
        stop(s, -EIO);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct spool *s = container_of(poll, struct spool, poll);

    (void)status, (void)events;
    uv_poll_stop(poll);
    if (s->held_n == 0 && look(s->fd) == 0)
        stop(s, 0); /* nothing but its end: no turn is needed for that */
    else
        run_turn(s);
}

static void wait_readable(struct spool *s)
{
    bool released;

    pthread_mutex_lock(&s->lock);
    released = s->released;
    s->waiting = !released && spool_full(s);
    if (s->waiting) {
        pthread_mutex_unlock(&s->lock);
        return;
    }
    pthread_mutex_unlock(&s->lock);
    if (released)
        stop(s, 1);
    else if (uv_poll_start(&s->poll, UV_READABLE | UV_DISCONNECT, on_readable) < 0)
        run_turn(s);
}

static void retry(uv_timer_t *timer)
{
    run_turn(container_of(timer, struct spool, timer));
}

static void drained(uv_work_t *work, int status)
{
    struct spool *s = container_of(work, struct spool, work);
    bool released, news;
    int error = s->turn < 0 && s->turn != -EAGAIN ? (int)s->turn : 0;

    (void)status;
    s->turning = false;
    pthread_mutex_lock(&s->lock);
    released = s->released;
    news = error != s->error;
    s->error = error;
    if (news && s->news && !released)
        s->news(s->arg);
    pthread_mutex_unlock(&s->lock);
    if (news && error)
        log_warn("spool", "%s: cannot keep more output: %s; trying again", s->path,
                 strerror(-error));
    if (s->turn == 0)
        stop(s, 0);
    else if (released)
        stop(s, 1);
    else if (error)
        uv_timer_start(&s->timer, retry, RETRY_MS, 0);
    else
        wait_readable(s);
}

static void begin(struct task *t)
{
    struct spool *s = container_of(t, struct spool, begin);

    s->timer.data = s->poll.data = s;
    uv_timer_init(loop_uv(s->data), &s->timer);
    s->handles = 1;
    if (uv_poll_init(loop_uv(s->data), &s->poll, s->fd) < 0) {
        log_error("spool", "%s: cannot watch the output", s->path);
        stop(s, -EIO);
        return;
    }
    s->handles = 2;
    wait_readable(s);
}

static void resume(struct task *t)
{
    struct spool *s = container_of(t, struct spool, resume);

    if (!s->stopped && !s->turning)
        wait_readable(s);
    spool_unref(s);
}

/* Its owner let go of it: what waits for the descriptor or the timer would wait on. */
static void halt(struct task *t)
{
    struct spool *s = container_of(t, struct spool, halt);

    if (!s->stopped && !s->turning)
        stop(s, 1);
    spool_unref(s);
}

/* ---- the owner */

void spool_drain(struct spool *s, int fd, void (*news)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    if (s->end > 0)
        spool_reopen(s); /* when it cannot be, the turn says so */
    s->fd = fd;
    s->ended = false;
    s->broken = 0;
    s->draining = true;
    s->news = news;
    s->arg = arg;
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->refs, 1);
    loop_post(s->data, &s->begin);
}

void spool_end(struct spool *s, int how)
{
    pthread_mutex_lock(&s->lock);
    if (!s->draining) {
        s->ended = true;
        s->broken = how;
    }
    pthread_mutex_unlock(&s->lock);
    spool_wake(s);
}

/* What is in the file already. */
static int look_at_file(struct spool *s, struct oerr *e)
{
    cleanup_close int file = open(s->path, O_RDWR | O_CLOEXEC);
    struct stat st;
    off_t first;

    if (file < 0 && errno == ENOENT)
        return 0;
    if (file < 0 || fstat(file, &st) < 0)
        return oerr_set(e, -errno, "cannot keep output in %s: %s", s->path, strerror(errno));
    s->end = (uint64_t)st.st_size;
    first = lseek(file, 0, SEEK_DATA);
    if (first > 0)
        s->start = (uint64_t)first;
    else if (first < 0 && errno == ENXIO)
        s->start = s->end; /* nothing but a hole */
    s->dropped = s->seen = s->punched = s->start;
    return 0;
}

int spool_create(struct spool **out, struct loop *data, const char *path, uint64_t limit,
                 bool ended, struct oerr *e)
{
    struct spool *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    watches_init(&s->watches, &s->lock, release_watches);
    s->refs = 1;
    s->data = data;
    s->limit = limit;
    s->ended = ended;
    s->file = s->fd = -1;
    s->path = strdup(path);
    s->begin.run = begin;
    s->resume.run = resume;
    s->halt.run = halt;
    rc = s->path ? look_at_file(s, e) : -ENOMEM;
    if (rc < 0) {
        spool_unref(s);
        return rc;
    }
    *out = s;
    return 0;
}

void spool_stat(struct spool *s, struct spool_stat *st)
{
    pthread_mutex_lock(&s->lock);
    *st = (struct spool_stat){ .bytes = s->end,
                               .dropped = s->dropped,
                               .kept = s->end - s->start,
                               .ended = s->ended,
                               .draining = s->draining,
                               .broken = s->broken,
                               .error = s->error };
    pthread_mutex_unlock(&s->lock);
}

/* The file stays, with its length and nothing in it: the next daemon sees how much there was. */
int spool_drop(struct spool *s)
{
    cleanup_close int file = -1;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->draining || s->readers)
        rc = -EBUSY;
    else if (s->start < s->end)
        file = open(s->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (file >= 0 && ftruncate(file, (off_t)s->end) < 0)
        rc = -errno;
    if (rc == 0) {
        s->dropped += s->end - s->seen;
        s->start = s->seen = s->punched = s->end;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void spool_release(struct spool *s, bool remove)
{
    bool begun;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->released = true;
    s->remove = remove;
    begun = s->fd >= 0;
    pthread_mutex_unlock(&s->lock);
    spool_wake(s);
    if (begun)
        loop_post(s->data, &s->halt); /* with the owner's reference */
    else
        spool_unref(s);
}
