/*
 * link_conn.c - one TCP connection with TLS, dialed or accepted, on the data loop.
 *
 *   DIALING --connected--> SECURING --TLS done--> GREETING --HELLO--> UP
 *
 * A connection that is accepted counts as unknown until its key is known; of those there are at
 * most LINK_UNKNOWN_MAX, the oldest gives way. Each state but UP has a deadline. What is read goes
 * to the link as frames; what the session has to send is encrypted as far as the buffer takes it.
 */
#include "net/link_private.h"

#include "base/log.h"
#include "net/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define PIECES       64
#define GATHER       (16 * 1024)  /* small pieces are put together to one record */
#define SETTLE_BYTES (256 * 1024) /* read before what came of it is handled and answered */

enum conn_at { DIALING, SECURING, GREETING, UP, CLOSED };

struct conn {
    struct links *l;
    struct link *link; /* a dialer's from the start, a listener's from its HELLO on */
    struct peer *peer; /* once the key is known */
    struct conn *next, **prev_link;
    enum conn_at at;
    bool dialer, unknown;
    int fd, events;
    uint64_t deadline;
    struct tls *tls;
    struct frame_in in;
    uv_poll_t poll;
    char from[80];
};

bool conn_is_dialer(const struct conn *c)
{
    return c->dialer;
}

const char *conn_from(const struct conn *c)
{
    return c->from;
}

static void known_now(struct conn *c)
{
    if (c->unknown)
        c->l->unknown--;
    c->unknown = false;
}

static void freed(uv_handle_t *h)
{
    struct conn *c = container_of((uv_poll_t *)h, struct conn, poll);

    links_unref(c->l);
    free(c);
}

/* The memory stays until the loop has let go of it, so callers may still look at c->at. */
void conn_close(struct conn *c)
{
    struct link *k = c->link;

    if (c->at == CLOSED)
        return;
    c->at = CLOSED;
    known_now(c);
    *c->prev_link = c->next;
    if (c->next)
        c->next->prev_link = c->prev_link;
    tls_destroy(c->tls);
    c->tls = NULL;
    frame_in_next(&c->in);
    uv_close((uv_handle_t *)&c->poll, freed);
    close(c->fd);
    c->link = NULL;
    if (k)
        link_lost(k, c);
}

/* A connection that ends before it was of use: one line, unless there are too many. */
static void refuse(struct conn *c, const char *why)
{
    if (c->at == CLOSED)
        return;
    if (c->dialer && c->at < GREETING)
        log_debug("link", "connection to %s (%s) failed: %s", c->link ? c->link->peer->id : "?",
                  c->from, why);
    else
        links_complain(c->l, "connection %s %s refused: %s", c->dialer ? "to" : "from", c->from,
                       why);
    conn_close(c);
}

static void broken(struct conn *c, const char *why)
{
    if (c->at != UP) {
        refuse(c, why);
        return;
    }
    log_info("link", "connection with %s (%s) broke: %s", c->peer->id, c->from, why);
    conn_close(c);
}

static void on_poll(uv_poll_t *h, int status, int events);

static void want(struct conn *c, int events)
{
    if (c->events == events)
        return;
    c->events = events;
    uv_poll_start(&c->poll, events, on_poll);
}

/* --- sending --- */

/* Encrypts what the session has: large pieces as they are, small ones put together. False: the
 * buffer is full. */
static ssize_t encrypt(struct conn *c, const struct iovec *v, int n)
{
    char gathered[GATHER];
    size_t len = 0;

    if (v[0].iov_len >= GATHER || n == 1)
        return tls_write(c->tls, v[0].iov_base, v[0].iov_len);
    for (int i = 0; i < n && len < GATHER; i++) {
        size_t part = v[i].iov_len < GATHER - len ? v[i].iov_len : GATHER - len;

        memcpy(gathered + len, v[i].iov_base, part);
        len += part;
    }
    return tls_write(c->tls, gathered, len);
}

void conn_flush(struct conn *c)
{
    struct iovec v[PIECES];
    ssize_t took = 0;
    int n = 0, rc;

    if (c->at != UP && c->at != GREETING)
        return;
    do {
        while (c->at == UP && c->link && (n = session_peek(c->link->s, v, PIECES)) > 0) {
            took = encrypt(c, v, n);
            if (took <= 0)
                break;
            session_sent(c->link->s, (size_t)took);
        }
        rc = took < 0 ? (int)took : tls_flush(c->tls);
    } while (rc == 0 && took == 0 && n > 0);
    if (rc < 0 && rc != -EAGAIN)
        broken(c, strerror(-rc));
    else
        want(c, UV_READABLE | (rc == -EAGAIN ? UV_WRITABLE : 0));
}

void conn_say_hello(struct conn *c, const struct hello *h)
{
    uint8_t frame[HELLO_FRAME];

    hello_encode(h, frame);
    if (tls_write(c->tls, frame, sizeof frame) != sizeof frame)
        broken(c, "no room for HELLO");
    else
        conn_flush(c);
}

/* Only between two frames. It is a courtesy: when it does not get through, time tells the peer. */
void conn_say_bye(struct conn *c, uint32_t err)
{
    struct frame_head h = { .type = FRAME_BYE, .arg = err };
    uint8_t frame[FRAME_HEAD];

    frame_encode(&h, frame);
    if (c->at == UP && tls_write(c->tls, frame, sizeof frame) > 0)
        (void)tls_flush(c->tls);
}

/* --- receiving --- */

static int first_frame(struct conn *c)
{
    struct link *k = c->link ? c->link : &c->peer->in;
    struct oerr e = { "" };
    struct hello h;
    int rc = -EPROTO;

    if (c->in.head.type == FRAME_HELLO)
        rc = hello_decode(&h, c->in.body->data, c->in.head.len);
    if (rc < 0) {
        refuse(c, "its first frame is no HELLO of ours");
        return rc;
    }
    c->at = UP; /* a HELLO that is not accepted closes it */
    rc = link_hello(k, c, &h, &e);
    if (rc < 0) {
        if (c->at == UP)
            c->at = GREETING;
        refuse(c, e.text);
    }
    return rc;
}

static int frame(struct conn *c)
{
    int rc;

    if (c->at == GREETING) {
        rc = first_frame(c);
    } else if (c->in.head.type == FRAME_BYE) {
        link_bye(c->link, -(int)c->in.head.arg);
        rc = -ECONNRESET;
    } else {
        rc = link_frame(c->link, &c->in.head, &c->in.body);
    }
    if (c->at != CLOSED)
        frame_in_next(&c->in);
    return rc;
}

/* Reads all there is. OpenSSL may hold more than the socket tells of, so nothing may be left. */
static void receive(struct conn *c)
{
    size_t since = 0;
    ssize_t n;
    int rc = 0;

    while (c->at == GREETING || c->at == UP) {
        void *to;
        size_t room = frame_in_want(&c->in, &to);

        n = tls_read(c->tls, to, room);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            broken(c, n == 0 ? "closed by the peer" : strerror((int)-n));
            return;
        }
        rc = frame_in_got(&c->in, (size_t)n);
        if (rc > 0)
            rc = frame(c);
        if (rc < 0) {
            broken(c, "it does not keep to the protocol");
            return;
        }
        since += (size_t)n;
        if (since >= SETTLE_BYTES) {
            links_settle(c->l);
            since = 0;
        }
    }
}

/* --- becoming of use --- */

static bool key_known(void *arg, const char *fingerprint)
{
    struct conn *c = arg;

    if (c->dialer)
        return strcasecmp(fingerprint, c->link->peer->fingerprint) == 0;
    c->peer = links_peer_by_print(c->l, fingerprint);
    return c->peer != NULL;
}

static void secure(struct conn *c)
{
    struct oerr e = { "" };
    struct hello h;
    int rc = tls_handshake(c->tls, &e);

    if (rc == -EAGAIN) {
        want(c, UV_READABLE | (tls_pending(c->tls) ? UV_WRITABLE : 0));
        return;
    }
    if (rc < 0) {
        refuse(c, e.text);
        return;
    }
    known_now(c);
    c->at = GREETING;
    if (c->dialer) {
        session_hello(c->link->s, &h);
        h.incarnation = c->l->me->incarnation;
        conn_say_hello(c, &h);
    } else {
        conn_flush(c);
    }
    if (c->at == GREETING)
        receive(c);
}

static void start_tls(struct conn *c)
{
    int one = 1;

    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->at = SECURING;
    c->deadline = now_ms() + LINK_HANDSHAKE_MS;
    links_due(c->l, c->deadline);
    if (tls_create(&c->tls, c->l->tls, c->fd, !c->dialer, key_known, c) < 0)
        refuse(c, "no memory");
    else if (c->dialer)
        secure(c);
    else
        want(c, UV_READABLE);
}

static void connected(struct conn *c)
{
    int rc = tcp_connected(c->fd);

    if (rc < 0)
        refuse(c, strerror(-rc));
    else
        start_tls(c);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct conn *c = container_of(h, struct conn, poll);
    struct links *l = c->l;

    links_ref(l);
    if (status < 0) {
        broken(c, uv_strerror(status));
    } else if (c->at == DIALING) {
        connected(c);
    } else {
        if (c->at == SECURING)
            secure(c);
        if ((events & UV_WRITABLE) && c->at != SECURING && c->at != CLOSED)
            conn_flush(c);
        if (events & UV_READABLE)
            receive(c);
    }
    links_settle(l);
    links_unref(l);
}

/* --- making one --- */

static int conn_create(struct conn **out, struct links *l, int fd)
{
    struct conn *c = calloc(1, sizeof *c);
    int rc;

    if (!c)
        return -ENOMEM;
    rc = uv_poll_init(loop_uv(l->loop), &c->poll, fd);
    if (rc < 0) {
        free(c);
        return rc;
    }
    links_ref(l);
    c->l = l;
    c->fd = fd;
    c->prev_link = &l->conns;
    c->next = l->conns;
    if (c->next)
        c->next->prev_link = &c->next;
    l->conns = c;
    *out = c;
    return 0;
}

int conn_dial(struct link *k)
{
    const struct peer *p = k->peer;
    struct conn *c;
    int fd = -1, rc = tcp_dial(p->address, p->port, &fd);

    if (rc == 0)
        rc = conn_create(&c, k->l, fd);
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    snprintf(c->from, sizeof c->from, "%s port %u", p->address, p->port);
    c->dialer = true;
    c->link = k;
    c->peer = k->peer;
    k->conn = c;
    c->deadline = now_ms() + LINK_CONNECT_MS;
    links_due(k->l, c->deadline);
    want(c, UV_WRITABLE);
    return 0;
}

static void make_way(struct links *l)
{
    struct conn *oldest = NULL;

    for (struct conn *c = l->conns; c; c = c->next)
        if (c->unknown)
            oldest = c;
    if (oldest)
        refuse(oldest, "too many connections wait to be authenticated");
}

void conn_accept(struct links *l, int fd)
{
    struct conn *c;

    if (l->unknown >= LINK_UNKNOWN_MAX)
        make_way(l);
    if (conn_create(&c, l, fd) < 0) {
        close(fd);
        return;
    }
    c->unknown = true;
    l->unknown++;
    tcp_peer_name(fd, c->from, sizeof c->from);
    start_tls(c);
}

void conn_take_link(struct conn *c, struct link *k)
{
    c->link = k;
    k->conn = c;
}

/* --- time and peers --- */

void conn_tick(struct links *l, uint64_t now)
{
    for (struct conn *c = l->conns, *next; c; c = next) {
        next = c->next;
        if (c->at < UP && now >= c->deadline)
            refuse(c, c->at == DIALING ? "it does not answer" : "it did not say who it is in time");
    }
}

uint64_t conn_deadline(const struct links *l)
{
    uint64_t at = UINT64_MAX;

    for (const struct conn *c = l->conns; c; c = c->next)
        if (c->at < UP && c->deadline < at)
            at = c->deadline;
    return at;
}

void conn_forget_peer(struct links *l, struct peer *p)
{
    for (struct conn *c = l->conns, *next; c; c = next) {
        next = c->next;
        if (c->peer == p)
            conn_close(c);
    }
}
