/*
 * bus.c - life of the bus, the sockets that listen, what we publish, and the table of types.
 *
 * Messages out: what is asked and told goes over a lane where there is one (bus_lane.c); else
 * [header body] from a DEALER, [routing-id header body] from the ROUTER. [topic header body] from
 * the XPUB, once for each allowed peer, since each has a topic that only it was told. So a peer
 * that is taken off the list hears nothing more, at once, though libzmq cannot end a single
 * connection. In the header of a publication, `request` counts them, so that a receiver sees when
 * one is missing.
 */
#include "net/bus_private.h"
#include "base/log.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_MS   200
#define REOPEN_MS   20
#define SOCKETS_MAX 8192

static const struct bus_type_row types[BUS_TYPES] = {
    [BUS_HEARTBEAT] = { "heartbeat", .published = true },
    [BUS_LIVE] = { "live", .published = true },
    [BUS_LEAVE] = { "leave", .published = true },
    [BUS_HELLO] = { "hello", .asked = true, .open = true },
    [BUS_JOIN] = { "join", .asked = true, .open = true },
    [BUS_PROBE] = { "probe", .asked = true },
    [BUS_SYNC] = { "sync", .asked = true },
    [BUS_TREE] = { "tree", .asked = true },
    [BUS_PIPE] = { "pipe", .asked = true },
    [BUS_PING] = { "ping", .asked = true },
    [BUS_REGISTRY] = { "registry", .asked = true },
    [BUS_CONSENSUS] = { "consensus", .told = true },
    [BUS_JOB] = { "job", .asked = true },
    [BUS_RUNNABLE] = { "runnable", .asked = true },
};

const struct bus_type_row *bus_type_row(unsigned type)
{
    return type < BUS_TYPES && types[type].name ? &types[type] : NULL;
}

void bus_malformed(struct bus *b, const char *from, int rc)
{
    if (rate_take(&b->malformed, now_ms()))
        log_warn("bus", "dropped a message from %s: %s", *from ? from : "nobody",
                 rc == -EPROTONOSUPPORT ? "its version is not known here" : "it is malformed");
}

/* Where a socket is bound; the port may have been chosen by the kernel. */
static int bound_port(struct bsock *s, char *endpoint, size_t size, uint16_t *port)
{
    const char *colon;

    if (zmq_getsockopt(s->zmq, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        return -errno;
    colon = strrchr(endpoint, ':');
    *port = colon ? (uint16_t)atoi(colon + 1) : 0;
    return *port ? 0 : -EPROTO;
}

static int bind_to(struct bus *b, struct bsock *s, uint16_t port, struct oerr *e)
{
    char endpoint[128];
    int err;

    snprintf(endpoint, sizeof endpoint, port ? "tcp://%s:%u" : "tcp://%s:*", b->host, port);
    bsock_set(s, ZMQ_IPV6, b->host[0] == '*' || b->host[0] == '[');
    if (zmq_bind(s->zmq, endpoint) == 0)
        return 0;
    err = errno;
    if (b->host[0] == '*' && err != EADDRINUSE) { /* no IPv6 on this machine */
        bsock_set(s, ZMQ_IPV6, 0);
        if (zmq_bind(s->zmq, endpoint) == 0)
            return 0;
        err = errno;
    }
    return oerr_set(e, -err, "cannot listen at %s: %s%s", endpoint, zmq_strerror(err),
                    err == EADDRINUSE ? "; another program holds the port" : "");
}

static bool take_pub(struct bsock *s);

static int open_pub(struct bus *b, struct oerr *e)
{
    int rc = bsock_open(&b->pub, b, ZMQ_XPUB, NULL, take_pub, NULL, e);

    if (rc < 0)
        return rc;
    zmq_setsockopt(b->pub->zmq, ZMQ_ZAP_DOMAIN, "pub", 3);
    bsock_set(b->pub, ZMQ_XPUB_VERBOSE, 1); /* every subscription is shown to take_pub() */
    bsock_set(b->pub, ZMQ_XPUB_NODROP, 1);  /* rather tell bus_publish() */
    return watch_listener(b, b->pub, &b->watch_pub, e);
}

static void on_reopen(uv_timer_t *t)
{
    struct bus *b = t->data;

    if ((b->pub || open_pub(b, NULL) == 0) && zmq_bind(b->pub->zmq, b->pub_endpoint) == 0) {
        bsock_touch(b->pub);
        return;
    }
    uv_timer_start(t, on_reopen, REOPEN_MS, 0); /* libzmq lets go of the port in its own time */
}

/* Only who subscribes to another topic than its own gets here: it may have listened in, so all
 * connections are dropped; the others are back in a moment and see what they missed. */
static void drop_subscribers(struct bus *b, const char *key)
{
    if (!rate_take(&b->reopened, now_ms()))
        return;
    log_warn("bus", "the key %s subscribed to what is not its own: all subscribers connect anew",
             key);
    watch_close(b->watch_pub, b->pub);
    bsock_close(b->pub, 0);
    b->watch_pub = b->pub = NULL;
    uv_timer_start(&b->reopen_pub, on_reopen, 0, 0);
}

static bool take_pub(struct bsock *s)
{
    struct allowed *a;
    struct bmsg m;
    const char *user, *p;
    char id[ID_MAX];
    bool good;

    if (!bmsg_receive(s, &m))
        return false;
    p = zmq_msg_data(&m.frame[0]);
    if (m.n == 1 && zmq_msg_size(&m.frame[0]) > 0 && *p == 1) {
        user = zmq_msg_gets(&m.frame[0], "User-Id");
        a = user ? auth_by_key(s->bus, user) : NULL;
        good = a && zmq_msg_size(&m.frame[0]) == TOPIC && memcmp(p + 1, a->topic, TOPIC - 1) == 0;
        if (!good)
            drop_subscribers(s->bus, user ? user : "?");
        else if (s->bus->ops.subscribed)
            s->bus->ops.subscribed(s->bus->arg, strcpy(id, a->id));
    }
    bmsg_close(&m);
    return true;
}

static int listen_all(struct bus *b, const struct bus_options *opt, struct oerr *e)
{
    uint16_t port = opt->port;
    char endpoint[128];
    int rc;

    if ((rc = auth_open(b, e)) < 0 ||
        (rc = bsock_open(&b->router, b, ZMQ_ROUTER, NULL, ask_take, NULL, e)) < 0)
        return rc;
    zmq_setsockopt(b->router->zmq, ZMQ_ZAP_DOMAIN, "req", 3);
    if ((rc = watch_listener(b, b->router, &b->watch_router, e)) < 0 || (rc = open_pub(b, e)) < 0 ||
        (rc = bind_to(b, b->router, port, e)) < 0 ||
        (rc = bind_to(b, b->pub, port ? (uint16_t)(port + 1) : 0, e)) < 0)
        return rc;
    if ((rc = lanes_open(b, opt->listen, opt->lane_port, e)) < 0)
        return rc;
    rc = bound_port(b->router, endpoint, sizeof endpoint, &b->req_port);
    if (rc == 0)
        rc = bound_port(b->pub, b->pub_endpoint, sizeof b->pub_endpoint, &b->pub_port);
    return rc < 0 ? oerr_set(e, rc, "libzmq does not say which port it listens at") : 0;
}

static void on_prepare(uv_prepare_t *p)
{
    bus_pump(p->data);
}

void bus_drop_handle(struct bus *b)
{
    if (--b->handles == 0)
        free(b);
}

static void on_closed(uv_handle_t *h)
{
    bus_drop_handle(h->data);
}

static void init_handles(struct bus *b)
{
    uv_prepare_init(b->uv, &b->prepare);
    uv_idle_init(b->uv, &b->idle);
    uv_timer_init(b->uv, &b->reopen_pub);
    uv_timer_init(b->uv, &b->lane_pause);
    b->prepare.data = b->idle.data = b->reopen_pub.data = b->lane_pause.data = b;
    b->handles = 4;
    uv_prepare_start(&b->prepare, on_prepare);
}

int bus_create(struct bus **out, struct loop *core, const struct identity *me,
               const struct bus_options *opt, const struct bus_ops *ops, void *arg, struct oerr *e)
{
    struct bus *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return oerr_set(e, -ENOMEM, "out of memory");
    b->me = me;
    b->ops = *ops;
    b->arg = arg;
    b->uv = loop_uv(core);
    b->next_request = 1;
    b->lane_fd = -1;
    b->strangers = (struct rate){ .gap_ms = 1000 / 20, .burst = 20 };
    b->pings = (struct rate){ .gap_ms = 1000 / 200, .burst = 200 };
    b->malformed = b->refused = b->odd = (struct rate){ .gap_ms = 10000, .burst = 1 };
    b->reopened = (struct rate){ .gap_ms = 10000, .burst = 1 };
    init_handles(b);
    snprintf(b->host, sizeof b->host, opt->listen && strchr(opt->listen, ':') ? "[%s]" : "%s",
             opt->listen ? opt->listen : "*");
    b->ctx = zmq_ctx_new();
    if (!b->ctx || RAND_priv_bytes(b->topic_secret, sizeof b->topic_secret) != 1) {
        rc = oerr_set(e, -ENOMEM, "libzmq or OpenSSL cannot be started");
    } else {
        zmq_ctx_set(b->ctx, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
        rc = listen_all(b, opt, e);
    }
    if (rc < 0) {
        bus_destroy(b);
        return rc;
    }
    *out = b;
    return 0;
}

void bus_destroy(struct bus *b)
{
    struct bsock *socks[3];

    if (!b)
        return;
    b->closing = true;
    calls_cancel(b);
    remotes_close(b);
    asks_orphan(b);
    lanes_close(b);
    auth_clear(b);
    watch_close(b->watch_router, b->router);
    watch_close(b->watch_pub, b->pub);
    memcpy(socks, (struct bsock *[]){ b->router, b->pub, b->zap }, sizeof socks);
    for (size_t n = 0; n < ARRAY_SIZE(socks); n++)
        bsock_close(socks[n], LINGER_MS);
    if (b->ctx)
        while (zmq_ctx_term(b->ctx) < 0 && errno == EINTR)
            ;
    OPENSSL_cleanse(b->topic_secret, sizeof b->topic_secret);
    uv_close((uv_handle_t *)&b->prepare, on_closed);
    uv_close((uv_handle_t *)&b->idle, on_closed);
    uv_close((uv_handle_t *)&b->reopen_pub, on_closed);
    uv_close((uv_handle_t *)&b->lane_pause, on_closed);
}

uint16_t bus_req_port(const struct bus *b)
{
    return b->req_port;
}

uint16_t bus_pub_port(const struct bus *b)
{
    return b->pub_port;
}

int bus_publish(struct bus *b, enum bus_type type, json_t *body)
{
    struct wire_header h = { .version = WIRE_VERSION, .type = type };
    struct allowed *a, *next;
    struct text text;
    int rc = text_of(&text, body);

    if (rc < 0)
        return rc;
    h.request = ++b->seq;
    h.time = now_ms();
    HASH_ITER (by_id, b->allowed_by_id, a, next) {
        if (b->pub && bsock_send(b->pub, a->topic, TOPIC - 1, &h, &text) == -EAGAIN &&
            rate_take(&a->lost, now_ms()))
            log_warn("bus", "%s does not take what is published: it will have to ask", a->id);
    }
    text_free(&text);
    return 0;
}
