/*
 * bus_lane.c - a lane: one TCP connection with TLS between two members, on the core loop.
 *
 *   dialed:    CONNECTING --connected, ticket sent--> SECURING --TLS done--> UP
 *   accepted:  TICKET     --a member's ticket-------> SECURING --TLS done--> UP
 *
 * What is asked and told goes from the core loop to the core loop of the other daemon, without the
 * two threads of libzmq between them. A lane carries what a DEALER and a ROUTER carry: questions
 * and what is told one way, answers the other; each message is a frame (wire.c).
 *
 * Invariants: before the loop sleeps, all that was put into a lane was sent, or its socket is
 * watched for room; and nothing that was received is left, in OpenSSL's buffer either, unless its
 * answers are not taken. Closing happens once; the memory stays until libuv has let go of it, so
 * that callers may look at `at`.
 */
#include "net/bus_private.h"
#include "base/log.h"
#include "net/tcp.h"
#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LATE_MS     5000  /* it is up within */
#define SILENT_MS   10000 /* what is not taken breaks it; who is gone, ZeroMQ finds sooner */
#define ALIVE_S     10    /* an idle one asks whether the other side is there */
#define OUT_PAUSE   (8 * 1024 * 1024)  /* of answers: no more questions are read */
#define OUT_MAX     (32 * 1024 * 1024) /* more is not taken: the other side does not read */
#define PIECE       (16 * 1024)
#define TURN_BYTES  (256 * 1024) /* read before others have their turn */
#define BUFFER_KEPT 4096         /* of one that is empty */

static void on_poll(uv_poll_t *h, int status, int events);

static void freed(uv_handle_t *h)
{
    struct lane *l = h->data;
    struct bus *b = l->bus;

    if (--l->handles == 0) {
        obuf_free(&l->in); /* which a caller may have looked into until now */
        obuf_free(&l->out);
        free(l);
    }
    bus_drop_handle(b);
}

static void clean(struct lane *l)
{
    if (l->dirty)
        DL_DELETE2(l->bus->dirty_lanes, l, prev_dirty, next_dirty);
    l->dirty = false;
}

void lane_touch(struct lane *l)
{
    if (l->dirty || l->at != LANE_UP)
        return;
    l->dirty = true;
    DL_APPEND2(l->bus->dirty_lanes, l, prev_dirty, next_dirty);
}

/* The next one: somebody waits for the answer that is in it, or for what comes of a question, such
 * as an entry of the log and the news of its commit. While it is worked off itself, what it has to
 * send goes anyway, and others shall have their turn. */
static void touch_first(struct lane *l)
{
    if (l->working)
        return;
    clean(l);
    l->dirty = true;
    DL_PREPEND2(l->bus->dirty_lanes, l, prev_dirty, next_dirty);
}

static size_t backlog(const struct lane *l)
{
    return l->out.len - l->sent;
}

/* Who does not take its answers is not asked for more questions meanwhile. What we dialed is always
 * read, so no two can wait for each other. */
static bool held_up(const struct lane *l)
{
    return !l->remote && backlog(l) > OUT_PAUSE;
}

static void give_back(struct obuf *b)
{
    b->len = 0;
    if (b->cap > BUFFER_KEPT)
        obuf_free(b);
}

/* 0: all is on its way; -EAGAIN: the socket is full; else it broke. */
static int send_out(struct lane *l)
{
    struct obuf *out = &l->out;
    ssize_t took;
    int rc;

    do {
        do {
            took = tls_write(l->tls, out->p + l->sent, backlog(l));
            l->sent += took > 0 ? (size_t)took : 0;
        } while (took > 0 && backlog(l) > 0);
        rc = took < 0 ? (int)took : tls_flush(l->tls);
    } while (rc == 0 && backlog(l) > 0);
    if (backlog(l) == 0) {
        give_back(out);
        l->sent = 0;
    } else if (l->sent > out->len / 2) { /* not each time: it may be much */
        out->len -= l->sent;
        memmove(out->p, out->p + l->sent, out->len);
        l->sent = 0;
    }
    return rc;
}

void lane_close(struct lane *l)
{
    if (!l || l->at == LANE_CLOSED)
        return;
    clean(l);
    if (l->at == LANE_UP && !l->remote)
        (void)send_out(l); /* an answer of a bus that stops; no question, whose end was told */
    l->at = LANE_CLOSED;
    DL_DELETE(l->bus->lanes, l);
    if (l->remote)
        l->remote->lane = NULL;
    tls_destroy(l->tls);
    uv_close((uv_handle_t *)&l->poll, freed);
    uv_close((uv_handle_t *)&l->late, freed);
    close(l->fd);
}

/* It ends by itself: what was asked over it has no answer any more. */
static void broken(struct lane *l, const char *why)
{
    struct remote *r = l->remote;
    bool was_up = l->at == LANE_UP;

    if (l->at == LANE_CLOSED)
        return;
    if (l->at == LANE_SECURING && rate_take(&l->bus->refused, now_ms()))
        log_warn("bus", "a lane with %s failed: %s", r ? r->info.id : l->from, why);
    else
        log_debug("bus", "lane with %s: %s", r ? r->info.id : l->from, why);
    lane_close(l);
    if (r && was_up)
        remote_broke(r, false);
}

static void want(struct lane *l, int events)
{
    if (l->events == events)
        return;
    l->events = events;
    uv_poll_start(&l->poll, events, on_poll);
}

/* ---- sending */

int lane_send(struct lane *l, const struct wire_header *h, const struct text *body)
{
    uint8_t head[WIRE_FRAME_HEAD];

    if (l->at != LANE_UP)
        return -EAGAIN;
    if (backlog(l) > 0 && backlog(l) + body->len > OUT_MAX) {
        if (!l->remote)
            broken(l, "it does not take its answers"); /* so that who asked hears of it */
        return -EAGAIN;
    }
    wire_frame_encode(h, body->len, head);
    obuf_put(&l->out, head, sizeof head);
    obuf_put(&l->out, body->p, body->len);
    if (l->remote && !ask_waits_longest(l->bus, l->remote->info.id))
        lane_touch(l);
    else
        touch_first(l);
    if (!l->out.bad)
        return 0;
    broken(l, "out of memory"); /* a part of a frame would ruin all that follow */
    return -ENOMEM;
}

static void flush(struct lane *l)
{
    int rc = send_out(l);

    if (rc < 0 && rc != -EAGAIN)
        broken(l, strerror(-rc));
    else
        want(l, (held_up(l) ? 0 : UV_READABLE) | (rc == -EAGAIN ? UV_WRITABLE : 0));
    if (rc == 0 && l->remote && l->remote->waiting)
        bsock_touch(l->remote->dealer); /* questions waited for room */
}

/* It stays dirty: what went wrong is found, and told, when the loop comes to it. */
void bus_push(struct bus *b)
{
    struct lane *l;

    DL_FOREACH2(b->dirty_lanes, l, next_dirty)
    {
        if (backlog(l) > 0)
            (void)send_out(l);
    }
}

/* ---- receiving */

static void take(struct lane *l, const struct wire_header *h, const void *body, size_t len)
{
    if (l->remote)
        remote_answered(l->remote, h, body, len);
    else
        ask_heard(l->bus, h, body, len, l->key, &(struct route){ .lane = l->number });
}

/* All whole frames of what was received. False: the lane is closed, or held up. */
static bool take_frames(struct lane *l)
{
    size_t done = 0;
    int rc = 0;

    while (l->at == LANE_UP && !held_up(l)) {
        struct wire_header h;
        const uint8_t *p = (const uint8_t *)l->in.p + done;
        size_t size;

        rc = wire_frame_decode(p, l->in.len - done, &h, &size);
        if (rc <= 0)
            break;
        done += size;
        take(l, &h, p + WIRE_FRAME_HEAD, size - WIRE_FRAME_HEAD);
    }
    if (rc < 0) {
        bus_malformed(l->bus, l->remote ? l->remote->info.id : l->from, rc);
        broken(l, "it does not keep to the protocol");
    }
    if (l->at != LANE_UP)
        return false;
    l->in.len -= done;
    if (l->in.len == 0)
        give_back(&l->in);
    else if (done > 0)
        memmove(l->in.p, l->in.p + done, l->in.len);
    return !held_up(l);
}

static void receive(struct lane *l)
{
    char piece[PIECE];
    bool go_on = take_frames(l); /* which it was held up with */
    ssize_t n;

    for (size_t all = 0; go_on && all < TURN_BYTES; all += (size_t)n) {
        n = tls_read(l->tls, piece, sizeof piece);
        if (n == -EAGAIN) {
            l->readable = false;
            return;
        }
        if (n > 0)
            obuf_put(&l->in, piece, (size_t)n);
        if (n <= 0 || l->in.bad) {
            broken(l, n == 0 ? "closed by the peer" : n < 0 ? strerror((int)-n) : "out of memory");
            return;
        }
        go_on = take_frames(l);
    }
}

/* What is left, in OpenSSL's buffer too, which no poll tells of, waits for the lane's next turn. */
void lane_work(struct lane *l)
{
    clean(l);
    l->working = true;
    if (l->readable)
        receive(l);
    l->working = false;
    if (l->at == LANE_UP)
        flush(l);
    if (l->at == LANE_UP && l->readable && !held_up(l))
        lane_touch(l);
}

/* ---- becoming of use */

static bool key_known(void *arg, const char *fingerprint)
{
    const struct lane *l = arg;

    return strcmp(fingerprint, l->print) == 0;
}

static void secure(struct lane *l)
{
    struct oerr e = { "" };
    int rc = tls_handshake(l->tls, &e);

    if (rc == -EAGAIN) {
        want(l, UV_READABLE | (tls_pending(l->tls) ? UV_WRITABLE : 0));
        return;
    }
    if (rc < 0) {
        broken(l, e.text[0] ? e.text : strerror(-rc));
        return;
    }
    l->at = LANE_UP;
    l->readable = true;
    if (l->remote || lane_welcome(l))
        uv_timer_stop(&l->late);
    lane_touch(l);
    if (l->remote)
        bsock_touch(l->remote->dealer);
}

static void start_tls(struct lane *l)
{
    static const struct {
        int level, option, value;
    } v[] = {
        { IPPROTO_TCP, TCP_NODELAY, 1 },        { IPPROTO_TCP, TCP_USER_TIMEOUT, SILENT_MS },
        { IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_S }, { IPPROTO_TCP, TCP_KEEPINTVL, 1 },
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(v); i++)
        setsockopt(l->fd, v[i].level, v[i].option, &v[i].value, sizeof v[i].value);
    l->at = LANE_SECURING;
    if (tls_create(&l->tls, l->bus->tls, l->fd, !l->remote, key_known, l) < 0)
        broken(l, "out of memory");
    else
        secure(l);
}

static void connected(struct lane *l)
{
    int rc = tcp_connected(l->fd);

    if (rc == 0 && send(l->fd, l->ticket, LANE_TICKET_BYTES, MSG_NOSIGNAL) != LANE_TICKET_BYTES)
        rc = -ECONNRESET; /* a new socket has room for that */
    if (rc < 0)
        broken(l, strerror(-rc));
    else
        start_tls(l);
}

/* Reads no byte more than the ticket: what follows is for TLS. */
static void take_ticket(struct lane *l)
{
    ssize_t n = recv(l->fd, l->ticket + l->have, LANE_TICKET_BYTES - l->have, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    l->have += n > 0 ? (size_t)n : 0;
    if (n <= 0)
        broken(l, "it ended without a ticket");
    else if (l->have == LANE_TICKET_BYTES && lane_admit(l))
        start_tls(l);
    else if (l->have == LANE_TICKET_BYTES)
        broken(l, "its ticket is no member's");
}

/* libuv calls every error of a socket EBADF. */
static void failed(struct lane *l, int status)
{
    int rc = tcp_connected(l->fd);

    broken(l, rc < 0 ? strerror(-rc) : uv_strerror(status));
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct lane *l = h->data;

    if (events & UV_READABLE)
        l->readable = true;
    if (l->at == LANE_CONNECTING)
        connected(l);
    else if (status < 0)
        failed(l, status);
    else if (l->at == LANE_TICKET)
        take_ticket(l);
    else if (l->at == LANE_SECURING)
        secure(l);
    else
        lane_touch(l);
}

static void on_late(uv_timer_t *t)
{
    struct lane *l = t->data;

    if (l->at == LANE_UP && lane_welcome(l))
        return; /* let in again */
    broken(l, l->at == LANE_UP ? "it is no member's any more" : "it was not up in time");
}

void lane_retire(struct lane *l)
{
    uv_timer_start(&l->late, on_late, LATE_MS, 0);
}

int lane_create(struct lane **out, struct bus *b, int fd, struct remote *r)
{
    struct lane *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return -ENOMEM;
    rc = uv_poll_init(b->uv, &l->poll, fd);
    if (rc < 0) {
        free(l);
        return rc;
    }
    uv_timer_init(b->uv, &l->late);
    l->poll.data = l->late.data = l;
    l->handles = 2;
    b->handles += 2;
    l->bus = b;
    l->fd = fd;
    l->remote = r;
    l->number = b->next_request++;
    l->at = r ? LANE_CONNECTING : LANE_TICKET;
    DL_APPEND(b->lanes, l);
    uv_update_time(b->uv);
    uv_timer_start(&l->late, on_late, LATE_MS, 0);
    want(l, r ? UV_WRITABLE : UV_READABLE);
    *out = l;
    return 0;
}
