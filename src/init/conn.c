/*
 * conn.c - the client: connections, requests, and telling it about processes.
 *
 * Whoever connects must have our uid and say HELLO with a version that fits; from then on it is
 * the client, and the one before it is dismissed after its last requests were read. What the
 * client has to be told is noted in the records, not queued as messages: a client that does not
 * read costs no memory. While it cannot be written, its requests are not read.
 */
#include "init/init.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READS    64    /* requests in one turn */
#define DRAIN    65536 /* requests of a dismissed client that are still heard */
#define RETRY_MS 10

static void on_request(struct init *in, struct watch *w, uint32_t events);

/* ---- telling ---- */

static void forget_client(struct init *in)
{
    struct proc *p, *next;

    in->client = NULL;
    in->greeting = false;
    in->retry_ms = 0;
    for (p = TAILQ_FIRST(&in->all); p; p = next) {
        next = TAILQ_NEXT(p, all);
        if (p->tell)
            TAILQ_REMOVE(&in->tell, p, told);
        p->tell = 0;
        p->id = 0;
        if (p->state == PROC_FAILED && p->left == 0)
            proc_free(in, p);
    }
}

static void close_conn(struct init *in, struct conn *c)
{
    watch_close(in, &c->watch);
    c->blocked = c->deaf = false;
    if (c == in->client)
        forget_client(in);
}

/* 0; -EAGAIN: later; else the client is deaf now. */
static int say(struct init *in, const struct imsg *m, const int *fds, unsigned n)
{
    struct conn *c = in->client;
    int rc = imsg_send(c->watch.fd, m, fds, n);

    if (rc == 0)
        return 0;
    if (rc == -ETOOMANYREFS || rc == -ENOBUFS || rc == -ENOMEM) {
        in->retry_ms = now_ms() + RETRY_MS;
        c->blocked = true;
        watch_set(in, &c->watch, 0);
        return -EAGAIN;
    }
    if (rc == -EAGAIN) {
        c->blocked = true;
        watch_set(in, &c->watch, EPOLLOUT);
        return rc;
    }
    c->deaf = true;
    return rc;
}

static void add_figures(struct imsg *m, const struct proc *p)
{
    m->exit = p->exit;
    m->signal = p->signal;
    m->oom = p->oom;
    m->lease = p->lease;
    m->ended_us = p->ended_us;
    m->cpu_us = p->cpu_us;
    m->memory_peak = p->memory_peak;
}

static int say_proc(struct init *in, const struct proc *p, uint8_t what)
{
    struct imsg m = { .number = p->number };
    int fds[IM_FDS];
    unsigned n = 0;

    if (what == TELL_ENDED) {
        m.type = IM_ENDED;
        add_figures(&m, p);
        return say(in, &m, NULL, 0);
    }
    m.type = what == TELL_PROC ? IM_PROC : IM_STARTED;
    m.id = p->id;
    m.rc = p->rc;
    if (p->failure)
        memcpy(m.text, p->failure->text, sizeof m.text);
    else if (what == TELL_PROC && p->user)
        snprintf(m.text, sizeof m.text, "%s", p->user);
    m.pid = p->pgid;
    m.started_us = p->started_us;
    m.running = p->state != PROC_ENDED;
    if (what == TELL_PROC && !m.running)
        add_figures(&m, p);
    for (unsigned i = 0; i < p->nstages && i < IM_PIDS; i++)
        m.pids[m.npids++] = p->stages[i].pid;
    m.fds = p->fdmask | (p->pty ? IM_PTY : 0);
    for (int i = 0; i < IM_FDS; i++)
        if (p->fds[i] >= 0)
            fds[n++] = p->fds[i];
    return say(in, &m, fds, n);
}

static bool can_say(const struct init *in)
{
    return in->client && !in->client->blocked && !in->client->deaf;
}

void conn_flush(struct init *in)
{
    static const uint8_t order[] = { TELL_PROC, TELL_STARTED, TELL_ENDED };
    struct proc *p;

    while (can_say(in) && (p = TAILQ_FIRST(&in->tell))) {
        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
            if (!(p->tell & order[i]))
                continue;
            if (say_proc(in, p, order[i]) < 0)
                return;
            if (order[i] == TELL_STARTED)
                p->id = 0;
            p->tell &= (uint8_t)~order[i];
            if (p->tell == 0)
                TAILQ_REMOVE(&in->tell, p, told);
        }
        if (p->state == PROC_FAILED && p->left == 0)
            proc_free(in, p);
    }
    if (can_say(in) && in->greeting && say(in, &(struct imsg){ .type = IM_READY }, NULL, 0) == 0)
        in->greeting = false;
}

void conn_tell(struct init *in, struct proc *p, uint8_t what)
{
    if (!in->client) {
        if (p->state == PROC_FAILED && p->left == 0)
            proc_free(in, p);
        return;
    }
    if (p->tell & TELL_PROC && what == TELL_ENDED)
        return; /* PROC will say it */
    if (!p->tell)
        TAILQ_INSERT_TAIL(&in->tell, p, told);
    p->tell |= what;
}

void conn_no_memory(struct init *in, uint32_t id, uint32_t number)
{
    struct imsg m = { .type = IM_STARTED,
                      .id = id,
                      .number = number,
                      .rc = -ENOMEM,
                      .text = "oneos-init has no memory for a further process" };

    log_error("init", "%s", m.text);
    if (in->client)
        say(in, &m, NULL, 0);
}

void conn_bye(struct init *in, uint8_t type)
{
    if (!in->client)
        return;
    imsg_send(in->client->watch.fd, &(struct imsg){ .type = type }, NULL, 0);
    close_conn(in, in->client);
}

/* ---- requests ---- */

static void refuse(struct conn *c, uint32_t id, const char *text)
{
    struct imsg m = { .type = IM_REFUSED,
                      .id = id,
                      .version_min = IM_VERSION_MIN,
                      .version_max = IM_VERSION_MAX,
                      .pid = getpid() };

    snprintf(m.text, sizeof m.text, "%s", text);
    log_warn("init", "%s", m.text);
    imsg_send(c->watch.fd, &m, NULL, 0);
}

/* Reads up to max requests; returns when there is none, or the connection is closed. */
static void read_requests(struct init *in, struct conn *c, int max);

static void on_hello(struct init *in, struct conn *c, const struct imsg *m)
{
    struct imsg welcome = { .type = IM_WELCOME, .id = m->id, .pid = getpid() };
    struct conn *before = in->client;
    struct oerr e;
    struct proc *p;

    if (m->version_min > IM_VERSION_MAX || m->version_max < IM_VERSION_MIN ||
        m->version_min > m->version_max) {
        oerr_set(&e, 0,
                 "oneos-init (pid %d) speaks versions %d to %d of its protocol, the client %u to "
                 "%u; end its processes and stop it, or use the daemon that it came with",
                 getpid(), IM_VERSION_MIN, IM_VERSION_MAX, m->version_min, m->version_max);
        refuse(c, m->id, e.text);
        close_conn(in, c);
        return;
    }
    if (before && before != c) {
        before->blocked = false;
        read_requests(in, before, DRAIN);
        conn_bye(in, IM_REPLACED);
    } else if (before) {
        forget_client(in);
    }
    in->client = c;
    in->greeting = true;
    welcome.version = m->version_max < IM_VERSION_MAX ? m->version_max : IM_VERSION_MAX;
    welcome.started_us = in->started_us;
    if (in->cgroups.dir >= 0)
        snprintf(welcome.text, sizeof welcome.text, "%s", in->cgroups.path);
    say(in, &welcome, NULL, 0);
    TAILQ_FOREACH(p, &in->all, all)
    if (p->state != PROC_FAILED)
        conn_tell(in, p, TELL_PROC);
}

static void on_signal(struct init *in, const struct imsg *m)
{
    struct proc *p = proc_find(in, m->number);

    if (p && m->value > 0 && m->value <= SIGRTMAX)
        proc_signal(in, p, m->value);
}

static void on_nice(struct init *in, const struct imsg *m)
{
    struct proc *p = proc_find(in, m->number);

    if (p && p->left > 0)
        setpriority(PRIO_PGRP, (id_t)p->pgid, m->value);
}

/* A terminal is held once, as input; only without its output is it of no more use. */
static uint8_t pty_mask(uint8_t closed)
{
    return closed & IM_OUT ? IM_IN : 0;
}

static void on_closed(struct init *in, const struct imsg *m)
{
    struct proc *p = proc_find(in, m->number);

    if (p)
        proc_let_go(in, p, p->pty ? pty_mask(m->fds) : m->fds);
}

static void on_taken(struct init *in, const struct imsg *m)
{
    struct proc *p = proc_find(in, m->number);

    if (p && p->state == PROC_ENDED)
        proc_free(in, p);
}

static void on_stop(struct init *in, const struct imsg *m)
{
    proc_stop(in, m->grace_ms);
}

static void on_lease(struct init *in, const struct imsg *m)
{
    lease_set(in, m->until_ms);
}

static void on_kill(struct init *in, const struct imsg *m)
{
    struct proc *p = proc_find(in, m->number);

    if (p)
        doom(in, p);
}

/* What a client may ask; SPAWN and HELLO are apart, since they need more than the message. */
static void (*const requests[])(struct init *, const struct imsg *) = {
    [IM_SIGNAL] = on_signal, [IM_NICE] = on_nice,   [IM_CLOSED] = on_closed, [IM_TAKEN] = on_taken,
    [IM_STOP] = on_stop,     [IM_LEASE] = on_lease, [IM_KILL] = on_kill,
};

/* False when the connection is closed. */
static bool obey(struct init *in, struct conn *c, const struct imsg *m, int fds[IM_FDS])
{
    if (m->type == IM_HELLO) {
        on_hello(in, c, m);
    } else if (c != in->client) {
        log_warn("init", "a connection did not begin with HELLO; closed");
        close_conn(in, c);
    } else if (m->type == IM_SPAWN) {
        spawn_run(in, m->id, m->number, fds[0]);
    } else if (m->type < ARRAY_SIZE(requests) && requests[m->type]) {
        requests[m->type](in, m);
    } else {
        log_warn("init", "message type %u is not a request", m->type);
    }
    for (int i = 0; i < IM_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return c->watch.fd >= 0;
}

static void read_requests(struct init *in, struct conn *c, int max)
{
    while (max-- > 0 && !c->blocked) {
        struct imsg m;
        int fds[IM_FDS], rc = imsg_recv(c->watch.fd, &m, fds);

        if (rc == -EAGAIN)
            return;
        if (rc == -EOPNOTSUPP && c == in->client) {
            struct oerr e;

            oerr_set(&e, 0, "message type %u is unknown to oneos-init", m.type);
            refuse(c, m.id, e.text);
            continue;
        }
        if (rc == 0 || rc == -EMFILE) {
            if (!obey(in, c, &m, fds))
                return;
            conn_flush(in);
            continue;
        }
        if (rc == -ECONNRESET) { /* said once, before what is still queued */
            c->deaf = true;
            continue;
        }
        if (rc != -ENODATA)
            log_warn("init", "what a client sent is not a message; closed");
        close_conn(in, c);
        return;
    }
}

static void on_request(struct init *in, struct watch *w, uint32_t events)
{
    struct conn *c = container_of(w, struct conn, watch);

    if (c->blocked && events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        c->blocked = false;
        in->retry_ms = 0;
        watch_set(in, w, EPOLLIN);
    }
    read_requests(in, c, READS);
}

/* ---- connections ---- */

/* A free place; when all are taken, that of somebody who has not said HELLO. */
static struct conn *place(struct init *in)
{
    for (int i = 0; i < CONNS; i++)
        if (in->conns[i].watch.fd < 0)
            return &in->conns[i];
    for (int i = 0; i < CONNS; i++)
        if (&in->conns[i] != in->client) {
            close_conn(in, &in->conns[i]);
            return &in->conns[i];
        }
    return NULL;
}

static void on_connect(struct init *in, struct watch *w, uint32_t events)
{
    cleanup_close int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer = { 0 };
    socklen_t size = sizeof peer;
    struct conn *c;

    (void)events;
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
        log_warn("init", "a connection of user %u was refused", peer.uid);
        return;
    }
    c = place(in);
    *c = (struct conn){ .watch = { .ready = on_request, .fd = take_fd(&fd) } };
    if (watch_add(in, &c->watch, EPOLLIN) < 0) {
        close(c->watch.fd);
        c->watch.fd = -1;
    }
}

int conn_listen(struct init *in, struct oerr *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "init.sock" };
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask;
    int rc;

    for (int i = 0; i < CONNS; i++)
        in->conns[i].watch.fd = -1;
    if (fd < 0)
        return oerr_set(e, -errno, "a socket cannot be made: %s", strerror(errno));
    unlink(at.sun_path);
    mask = umask(0177);
    rc = bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0 ? -errno : 0;
    umask(mask);
    if (rc < 0)
        return oerr_set(e, rc, "init.sock cannot be made: %s", strerror(-rc));
    in->listen = (struct watch){ .ready = on_connect, .fd = take_fd(&fd) };
    return 0;
}
