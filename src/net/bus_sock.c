/*
 * bus_sock.c - ZeroMQ sockets on the libuv loop.
 *
 * The descriptor of a ZeroMQ socket becomes readable when the socket has commands to process, not
 * when it has a message, and any call on the socket may process them. So a socket that woke us or
 * was used is `dirty`, and before the loop sleeps (uv_prepare) every dirty socket is worked off. It
 * is clean when ZMQ_EVENTS, which processes all commands, shows nothing that we want: whatever
 * comes later makes the descriptor readable.
 *
 * Invariant: when the loop sleeps, no socket is dirty. When the budget of a turn is used up, a
 * uv_idle keeps the loop from sleeping, so timers and other descriptors get their turn under any
 * load.
 */
#include "net/bus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOCK_BUDGET 64  /* messages of one socket before the next has its turn */
#define TURN_BUDGET 512 /* messages in one turn of the loop */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    bsock_touch(poll->data);
}

void bsock_touch(struct bsock *s)
{
    if (!s || s->dirty || !s->zmq)
        return;
    s->dirty = true;
    DL_APPEND(s->bus->dirty, s);
}

static void clean(struct bsock *s)
{
    if (s->dirty)
        DL_DELETE(s->bus->dirty, s);
    s->dirty = false;
}

static void work(struct bsock *s, int *budget)
{
    int mine = SOCK_BUDGET, events = 0;
    size_t size = sizeof events;

    clean(s);
    while (s->zmq && mine-- > 0 && (*budget)-- > 0 && s->take(s))
        ;
    if (!s->zmq || zmq_getsockopt(s->zmq, ZMQ_EVENTS, &events, &size) < 0)
        return;
    if (events & ZMQ_POLLIN)
        bsock_touch(s);
    if ((events & ZMQ_POLLOUT) && s->wants && s->wants(s))
        s->writable(s); /* which makes it dirty */
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is what it is for */
}

void bus_pump(struct bus *b)
{
    int budget = TURN_BUDGET;

    while ((b->dirty || b->dirty_lanes) && budget > 0) {
        if (b->dirty_lanes) {
            lane_work(b->dirty_lanes);
            budget -= SOCK_BUDGET;
        }
        if (b->dirty)
            work(b->dirty, &budget);
    }
    if (b->dirty || b->dirty_lanes)
        uv_idle_start(&b->idle, on_idle);
    else
        uv_idle_stop(&b->idle);
}

static void on_closed(uv_handle_t *h)
{
    struct bsock *s = h->data;

    bus_drop_handle(s->bus);
    free(s);
}

int bsock_adopt(struct bsock **out, struct bus *b, void *zmq, bool (*take)(struct bsock *),
                void *owner, struct oerr *e)
{
    struct bsock *s = calloc(1, sizeof *s);
    size_t size = sizeof(int);
    int fd = -1, rc = -ENOMEM;

    if (s && zmq_getsockopt(zmq, ZMQ_FD, &fd, &size) < 0)
        rc = -errno;
    else if (s)
        rc = uv_poll_init(b->uv, &s->poll, fd);
    if (rc < 0) {
        free(s);
        zmq_close(zmq);
        return oerr_set(e, rc, "cannot watch a socket of the bus: %s", strerror(-rc));
    }
    b->handles++;
    *s = (struct bsock){ .bus = b, .zmq = zmq, .owner = owner, .take = take, .poll = s->poll };
    s->poll.data = s;
    uv_poll_start(&s->poll, UV_READABLE, on_poll);
    bsock_touch(s);
    *out = s;
    return 0;
}

struct option {
    int option, value;
};

static const struct option common[] = {
    { ZMQ_LINGER, 0 },           { ZMQ_TCP_KEEPALIVE, 1 },
    { ZMQ_HANDSHAKE_IVL, 5000 }, { ZMQ_CONNECT_TIMEOUT, 2000 },
    { ZMQ_RECONNECT_IVL, 100 },  { ZMQ_RECONNECT_IVL_MAX, 1000 },
    { ZMQ_RCVHWM, 64 },          { ZMQ_SNDHWM, 65536 },
};

/* Heartbeats notice a dead peer in 5 s even when TCP does not (each wakes two threads, so they are
 * not sent more often); who connected sends them, and tells the other side to expect them. A broken
 * connection is tried anew after 100 ms, at last once a second. */
static const struct option connecting[] = {
    { ZMQ_HEARTBEAT_IVL, 2000 },
    { ZMQ_HEARTBEAT_TIMEOUT, 3000 },
    { ZMQ_HEARTBEAT_TTL, 6000 },
};

void bsock_set(struct bsock *s, int option, int value)
{
    zmq_setsockopt(s->zmq, option, &value, sizeof value);
}

static void set_options(void *zmq, const struct option *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        zmq_setsockopt(zmq, v[i].option, &v[i].value, sizeof v[i].value);
}

static int set_curve(void *zmq, const struct identity *me, const char *server_key)
{
    int yes = 1;

    if (zmq_setsockopt(zmq, ZMQ_CURVE_SECRETKEY, me->curve_secret, KEY_Z85) < 0)
        return -1;
    if (!server_key)
        return zmq_setsockopt(zmq, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    if (zmq_setsockopt(zmq, ZMQ_CURVE_PUBLICKEY, me->curve_public, KEY_Z85) < 0)
        return -1;
    return zmq_setsockopt(zmq, ZMQ_CURVE_SERVERKEY, server_key, KEY_Z85);
}

int bsock_open(struct bsock **out, struct bus *b, int type, const char *server_key,
               bool (*take)(struct bsock *), void *owner, struct oerr *e)
{
    void *zmq = zmq_socket(b->ctx, type);
    int64_t max = BUS_BODY_MAX + 1024; /* what CURVE adds to a frame */
    int rc;

    if (!zmq || set_curve(zmq, b->me, server_key) < 0) {
        rc = -errno;
        zmq_close(zmq);
        return oerr_set(e, rc, "cannot make a socket of the bus: %s", zmq_strerror(-rc));
    }
    set_options(zmq, common, ARRAY_SIZE(common));
    if (server_key)
        set_options(zmq, connecting, ARRAY_SIZE(connecting));
    zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &max, sizeof max);
    return bsock_adopt(out, b, zmq, take, owner, e);
}

void bsock_close(struct bsock *s, int linger_ms)
{
    if (!s)
        return;
    clean(s);
    uv_close((uv_handle_t *)&s->poll, on_closed);
    bsock_set(s, ZMQ_LINGER, linger_ms);
    zmq_close(s->zmq);
    s->zmq = NULL;
}

int text_of(struct text *t, json_t *body)
{
    bool good = !body || json_is_object(body);
    int rc = 0;

    t->p = !good ? NULL : body ? json_dumps(body, JSON_COMPACT) : strdup("{}");
    t->len = t->p ? strlen(t->p) : 0;
    json_decref(body);
    if (!t->p)
        rc = good ? -ENOMEM : -EINVAL;
    else if (t->len > BUS_BODY_MAX)
        rc = -EMSGSIZE;
    if (rc < 0)
        text_free(t);
    return rc;
}

void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){ 0 };
}

static int send_frame(struct bsock *s, zmq_msg_t *m, int flags)
{
    int rc;

    if (zmq_msg_send(m, s->zmq, flags | ZMQ_DONTWAIT) >= 0)
        return 0;
    rc = -errno;
    zmq_msg_close(m);
    return rc;
}

static int send_bytes(struct bsock *s, const void *data, size_t n, int flags)
{
    zmq_msg_t m;

    if (zmq_msg_init_size(&m, n) < 0)
        return -ENOMEM;
    memcpy(zmq_msg_data(&m), data, n);
    return send_frame(s, &m, flags);
}

/* Only the first frame can be refused for want of room: libzmq takes a message whole. */
int bsock_send(struct bsock *s, const void *prefix, size_t nprefix, const struct wire_header *h,
               const struct text *body)
{
    uint8_t header[WIRE_HEADER];
    int rc = 0;

    bsock_touch(s);
    wire_encode(h, header);
    if (prefix)
        rc = send_bytes(s, prefix, nprefix, ZMQ_SNDMORE);
    if (rc == 0)
        rc = send_bytes(s, header, sizeof header, ZMQ_SNDMORE);
    if (rc == 0 && send_bytes(s, body->p, body->len, 0) < 0)
        rc = send_bytes(s, "", 0, 0); /* ends the message; its receiver refuses it */
    return rc;
}

bool bmsg_receive(struct bsock *s, struct bmsg *m)
{
    bool more = true;

    m->n = 0;
    while (more) {
        zmq_msg_t extra, *f = m->n < 3 ? &m->frame[m->n] : &extra;

        zmq_msg_init(f);
        if (zmq_msg_recv(f, s->zmq, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(f);
            bmsg_close(m);
            return false;
        }
        more = zmq_msg_more(f);
        if (f == &extra)
            zmq_msg_close(f);
        m->n = m->n < 3 ? m->n + 1 : 4;
    }
    return true;
}

void bmsg_close(struct bmsg *m)
{
    for (unsigned n = 0; n < m->n && n < 3; n++)
        zmq_msg_close(&m->frame[n]);
    m->n = 0;
}

int bmsg_header(struct bmsg *m, unsigned frames, struct wire_header *h)
{
    zmq_msg_t *f = &m->frame[frames - 2];

    return m->n == frames ? wire_decode(zmq_msg_data(f), zmq_msg_size(f), h) : -EPROTO;
}

int bmsg_body(struct bmsg *m, unsigned frames, json_t **body)
{
    zmq_msg_t *f = &m->frame[frames - 1];

    return body_parse(zmq_msg_data(f), zmq_msg_size(f), body);
}

int body_parse(const void *data, size_t len, json_t **body)
{
    *body = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*body))
        return 0;
    json_decref(*body);
    *body = NULL;
    return -EPROTO;
}
