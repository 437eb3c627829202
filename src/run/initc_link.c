/*
 * initc_link.c - finds oneos-init or starts it, and keeps the connection.
 *
 * The states are in initc_private.h. Nothing here blocks but initc_pump, which create and destroy
 * call; a restart is driven by the loop: the starter's pipe tells when the program is ready (or
 * what it complains of), the timer retries.
 */
#include "run/initc_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* for the starter, and for an answer to HELLO */
#define RETRY_MS    20
#define RESTART_MS  1000 /* after a start that failed */
#define EXIT_BUSY   75   /* another oneos-init runs in the folder */
#define READS       256  /* messages in one turn of the loop */

extern char **environ;

static void on_event(struct initc *c, bool readable);

/* ---- waiting ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct cwatch *w = container_of(poll, struct cwatch, poll);

    if (w->c)
        on_event(w->c, status < 0 || events & ~UV_WRITABLE);
}

static void free_watch(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct cwatch, poll));
}

static void drop_watch(struct initc *c)
{
    struct cwatch *w = c->watch;

    if (!w)
        return;
    c->watch = NULL;
    w->c = NULL;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, free_watch);
    close(w->fd);
}

/* Takes fd, also when it fails. */
static int set_watch(struct initc *c, int fd)
{
    struct cwatch *w = calloc(1, sizeof *w);

    if (!w || uv_poll_init(loop_uv(c->core), &w->poll, fd) < 0) {
        free(w);
        close(fd);
        return -ENOMEM;
    }
    w->c = c;
    w->fd = fd;
    c->watch = w;
    uv_poll_start(&w->poll, UV_READABLE, on_poll);
    return 0;
}

void link_watch_writable(struct initc *c)
{
    if (c->watch && uv_poll_start(&c->watch->poll, UV_READABLE | UV_WRITABLE, on_poll) == 0)
        c->watch->writable = true;
}

static void on_timer(uv_timer_t *timer)
{
    struct initc *c = container_of(timer, struct initc, timer);

    if (c->again_ms && c->state != CLINK_GONE)
        initc_step(c);
}

static void again(struct initc *c, unsigned ms)
{
    c->again_ms = now_ms() + ms;
    uv_update_time(loop_uv(c->core));
    uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void not_again(struct initc *c)
{
    c->again_ms = 0;
    uv_timer_stop(&c->timer);
}

/* ---- starting ---- */

static int failed(struct initc *c, int rc)
{
    c->failure_rc = rc;
    log_error("init", "%s", c->failure.text);
    c->state = CLINK_DOWN;
    again(c, RESTART_MS);
    return rc;
}

static int spawn_program(struct initc *c, int pipe_end)
{
    char *argv[] = { c->program, c->dir, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    int rc;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, pipe_end, 1);
    posix_spawn_file_actions_adddup2(&files, pipe_end, 2);
    rc = posix_spawn(&c->starter, c->program, &files, &attr, argv, environ);
    if (rc != 0)
        c->starter = 0;
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return -rc;
}

static int start(struct initc *c)
{
    cleanup_close int write_end = -1;
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        rc = oerr_set(&c->failure, -errno, "no pipe to start oneos-init: %s", strerror(errno));
        return failed(c, rc);
    }
    write_end = fds[1];
    rc = set_watch(c, fds[0]);
    if (rc == 0)
        rc = spawn_program(c, write_end);
    if (rc < 0) {
        drop_watch(c);
        oerr_set(&c->failure, rc, "oneos-init cannot be started from %s: %s", c->program,
                 strerror(-rc));
        return failed(c, rc);
    }
    c->failure.text[0] = '\0';
    c->state = CLINK_STARTING;
    again(c, PATIENCE_MS);
    return 0;
}

/* The words of the starter; at the end of them it is ready, or has said why not. */
static void on_starter(struct initc *c)
{
    char *text = c->failure.text;
    size_t len = strlen(text);
    char rest[256];
    bool full = len + 1 >= sizeof c->failure.text;
    ssize_t n = full ? read(c->watch->fd, rest, sizeof rest)
                     : read(c->watch->fd, text + len, sizeof c->failure.text - 1 - len);
    int status = 0;

    if (n > 0 && !full)
        text[len + (size_t)n] = '\0';
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    drop_watch(c);
    waitpid(c->starter, &status, 0);
    c->starter = 0;
    c->state = CLINK_DOWN;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_BUSY) {
        again(c, RETRY_MS); /* one that dies, or has just been started by another */
    } else if (status == 0) {
        again(c, 0);
    } else {
        char words[sizeof c->failure.text];

        snprintf(words, sizeof words, "%s", text);
        words[strcspn(words, "\n")] = '\0';
        oerr_set(&c->failure, 0, "%s could not start: %s", c->program,
                 *words ? words : "it died without a word");
        failed(c, -EIO);
    }
}

/* ---- connecting ---- */

/* A connected socket or -errno. The path goes through a descriptor: it may be a long one. */
static int connect_socket(const char *dir)
{
    cleanup_close int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (at < 0 || fd < 0)
        return -errno;
    snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/init.sock", at);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return -errno;
    return take_fd(&fd);
}

static void try_connect(struct initc *c)
{
    struct imsg hello = { .type = IM_HELLO,
                          .version_min = IM_VERSION_MIN,
                          .version_max = IM_VERSION_MAX };
    int fd = connect_socket(c->dir);

    if (fd == -ECONNREFUSED || fd == -ENOENT) {
        if (c->orphaned)
            initc_declare_lost(c);
        if (c->state != CLINK_GONE)
            start(c);
        return;
    }
    if (fd >= 0)
        fd = set_watch(c, fd);
    if (fd == 0)
        fd = imsg_send(c->watch->fd, &hello, NULL, 0);
    if (fd == -EAGAIN) { /* its queue of connections is full */
        drop_watch(c);
        again(c, RETRY_MS);
        return;
    }
    if (fd < 0) {
        drop_watch(c);
        oerr_set(&c->failure, fd, "oneos-init in %s cannot be reached: %s", c->dir, strerror(-fd));
        failed(c, fd);
        return;
    }
    c->state = CLINK_GREETING;
    again(c, PATIENCE_MS);
}

void initc_drop(struct initc *c)
{
    drop_watch(c);
    if (c->state == CLINK_STARTING && c->starter > 0) {
        kill(c->starter, SIGKILL);
        waitpid(c->starter, NULL, 0);
        c->starter = 0;
    }
    if (c->state != CLINK_GONE)
        c->state = CLINK_DOWN;
    not_again(c);
}

void initc_gone(struct initc *c, int rc, const char *text)
{
    oerr_set(&c->failure, rc, "%s", text);
    c->failure_rc = rc;
    initc_drop(c);
    c->state = CLINK_GONE;
}

void initc_step(struct initc *c)
{
    not_again(c);
    if (c->state == CLINK_DOWN) {
        try_connect(c);
    } else if (c->state == CLINK_STARTING || c->state == CLINK_GREETING) {
        oerr_set(&c->failure, 0, "oneos-init in %s did not answer in %d ms", c->dir, PATIENCE_MS);
        initc_drop(c);
        failed(c, -ETIMEDOUT);
    }
}

/* Whether the oneos-init that we have met understands it. */
static bool is_understood(const struct initc *c, const struct imsg *m)
{
    const struct cproc *p = m->type == IM_SPAWN ? initc_find(c, m->number) : NULL;

    return c->version >= 2 || (m->type < IM_LEASE && !(p && p->more && p->id == m->id));
}

static void drop_first(struct initc *c)
{
    struct parcel *p = STAILQ_FIRST(&c->parcels);

    STAILQ_REMOVE_HEAD(&c->parcels, next);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

/* A spawn is answered; the callback may do anything. */
static void refuse_first(struct initc *c)
{
    const struct imsg *m = &STAILQ_FIRST(&c->parcels)->m;
    struct cproc *p = m->type == IM_SPAWN ? initc_find(c, m->number) : NULL;
    struct oerr e;

    drop_first(c);
    initc_refuse_old(c, &e);
    if (p)
        initc_answer_one(c, p, -EOPNOTSUPP, e.text);
}

void initc_flush(struct initc *c)
{
    struct cproc *proc;
    struct parcel *p;

    while (c->state == CLINK_READY && (p = STAILQ_FIRST(&c->parcels))) {
        if (!is_understood(c, &p->m)) {
            refuse_first(c);
            continue;
        }
        if (imsg_send(c->watch->fd, &p->m, &p->fd, p->fd >= 0) < 0)
            return;
        proc = p->m.type == IM_SPAWN ? initc_find(c, p->m.number) : NULL;
        if (proc)
            proc->sent = true;
        drop_first(c);
    }
    if (c->watch && c->state == CLINK_READY && c->watch->writable) {
        c->watch->writable = false;
        uv_poll_start(&c->watch->poll, UV_READABLE, on_poll);
    }
}

/* Reads messages; the end of the connection leads to another attempt. */
static void on_socket(struct initc *c)
{
    bool greeted;

    for (int i = 0; i < READS && c->watch; i++) {
        struct imsg m;
        int fds[IM_FDS], rc = imsg_recv(c->watch->fd, &m, fds);

        if (rc == -EAGAIN)
            return;
        if (rc == 0 || rc == -EMFILE) {
            initc_got(c, &m, fds, rc == -EMFILE);
            continue;
        }
        if (rc == -ECONNRESET || rc == -EOPNOTSUPP)
            continue; /* what was sent before is still to be read; a newer one's extra message */
        if (rc != -ENODATA)
            log_error("init", "oneos-init sent what is not a message (%s)", oerr_name(rc));
        greeted = c->state == CLINK_READY;
        c->orphaned = c->orphaned || greeted;
        initc_drop(c);
        if (!c->stopped)
            again(c, greeted ? 0 : RETRY_MS);
        return;
    }
}

static void on_event(struct initc *c, bool readable)
{
    if (c->state == CLINK_STARTING)
        on_starter(c);
    else if (readable && (c->state == CLINK_GREETING || c->state == CLINK_READY))
        on_socket(c);
    if (c->state == CLINK_READY)
        initc_flush(c);
}

void initc_pump(struct initc *c, uint64_t deadline)
{
    struct pollfd p = { .fd = c->watch ? c->watch->fd : -1, .events = POLLIN };
    uint64_t now = now_ms(), until = deadline;

    if (c->again_ms && c->again_ms < until)
        until = c->again_ms;
    if (!STAILQ_EMPTY(&c->parcels) && c->state == CLINK_READY)
        p.events |= POLLOUT;
    poll(&p, 1, until <= now ? 0 : (int)(until - now));
    if (p.revents)
        on_event(c, p.revents & ~POLLOUT);
    else if (c->again_ms && now_ms() >= c->again_ms)
        initc_step(c);
}
