/*
 * beacon_join.c - beacons to machines that multicast does not reach (--join HOST[:PORT],...).
 *
 * The joiner sends its beacon to each host once a second, from a socket of its own; whoever
 * hears one on its unicast socket answers with its own beacon to where it came from. What comes
 * from a beacon port (multicast, and answers) is never answered, so nothing goes back and forth,
 * and answers are limited in number. Names are resolved in libuv's pool, anew every minute.
 */
#include "net/beacon_private.h"
#include "net/beacon.h"
#include "base/cleanup.h"
#include "base/rate.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define TARGETS_MAX   64
#define EVERY_MS      1000
#define RESOLVE_MS    60000
#define ANSWERS_PER_S 64

struct target {
    char host[256], port[8];
    struct sockaddr_storage at; /* AF_UNSPEC: not resolved yet */
    socklen_t len;
    uint64_t resolved_ms;
    bool busy;
    uv_getaddrinfo_t req;
    struct beacon_unicast *u;
};

struct beacon_unicast {
    struct loop *core;
    const struct beacon_unicast_ops *ops;
    void *arg;
    uv_udp_t ask, serve; /* serve may fail to bind: then others cannot join here */
    uv_timer_t timer;
    unsigned handles;
    bool serving, closing;
    unsigned busy;
    uint16_t port;
    struct rate answers;
    char space[BEACON_MAX + 1];
    struct target targets[TARGETS_MAX];
    size_t n;
};

static void give_space(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct beacon_unicast *u = h->data;

    (void)hint;
    *buf = uv_buf_init(u->space, sizeof u->space);
}

static void send_to(struct beacon_unicast *u, uv_udp_t *by, const struct sockaddr *to)
{
    uint8_t data[BEACON_MAX];
    int n = u->ops->fill(u->arg, data);
    uv_buf_t buf = uv_buf_init((char *)data, n > 0 ? (unsigned)n : 0);

    if (n > 0)
        uv_udp_try_send(by, &buf, 1, to);
}

/* The sender's address; one that came by IPv4 to an IPv6 socket is told as what it is. */
static void sender(const struct sockaddr *from, struct sockaddr_storage *at)
{
    const struct sockaddr_in6 *a6 = (const void *)from;
    struct sockaddr_in *a4 = (void *)at;

    if (from->sa_family == AF_INET) {
        memcpy(at, from, sizeof *a4);
    } else if (IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr)) {
        a4->sin_family = AF_INET;
        a4->sin_port = a6->sin6_port;
        memcpy(&a4->sin_addr, a6->sin6_addr.s6_addr + 12, 4);
    } else {
        memcpy(at, from, sizeof *a6);
    }
}

static uint16_t port_of(const struct sockaddr_storage *at)
{
    return ntohs(at->ss_family == AF_INET ? ((const struct sockaddr_in *)at)->sin_port
                                          : ((const struct sockaddr_in6 *)at)->sin6_port);
}

static void on_datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                        unsigned flags)
{
    struct beacon_unicast *u = h->data;
    struct sockaddr_storage at = { 0 };

    if (n <= 0 || !from || (flags & UV_UDP_PARTIAL))
        return;
    sender(from, &at);
    if (u->ops->heard(u->arg, &at, (const uint8_t *)buf->base, (size_t)n) && h == &u->serve &&
        port_of(&at) != BEACON_PORT && port_of(&at) != u->port && rate_take(&u->answers, now_ms()))
        send_to(u, h, from);
}

static void on_closed(uv_handle_t *h)
{
    struct beacon_unicast *u = h->data;

    if (--u->handles == 0 && u->busy == 0)
        free(u);
}

static void resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct target *t = req->data;
    struct beacon_unicast *u = t->u;

    t->busy = false;
    u->busy--;
    if (status == 0 && list) {
        memcpy(&t->at, list->ai_addr, list->ai_addrlen);
        t->len = list->ai_addrlen;
        if (!u->closing)
            send_to(u, &u->ask, (struct sockaddr *)&t->at);
    }
    uv_freeaddrinfo(list);
    if (u->closing && u->handles == 0 && u->busy == 0)
        free(u);
}

static void resolve(struct beacon_unicast *u, struct target *t)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_family = AF_INET };

    t->req.data = t;
    t->resolved_ms = now_ms();
    /* The joiner's socket is IPv4's unless the host is written as an IPv6 address. */
    if (strchr(t->host, ':'))
        hints.ai_family = AF_INET6;
    if (uv_getaddrinfo(loop_uv(u->core), &t->req, resolved, t->host, t->port, &hints) == 0) {
        t->busy = true;
        u->busy++;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct beacon_unicast *u = timer->data;

    for (size_t i = 0; i < u->n; i++) {
        struct target *t = &u->targets[i];

        if (!t->busy && (!t->len || now_ms() - t->resolved_ms > RESOLVE_MS))
            resolve(u, t);
        if (t->len)
            send_to(u, &u->ask, (struct sockaddr *)&t->at);
    }
}

static void bind_serving(struct beacon_unicast *u, const char *listen, uint16_t port)
{
    struct sockaddr_in at4;
    struct sockaddr_in6 at6;

    if (listen && uv_ip4_addr(listen, port, &at4) == 0)
        u->serving = uv_udp_bind(&u->serve, (struct sockaddr *)&at4, UV_UDP_REUSEADDR) == 0;
    else if (uv_ip6_addr(listen ? listen : "::", port, &at6) == 0)
        u->serving = uv_udp_bind(&u->serve, (struct sockaddr *)&at6, UV_UDP_REUSEADDR) == 0;
    if (!u->serving && !listen && uv_ip4_addr("0.0.0.0", port, &at4) == 0)
        u->serving = uv_udp_bind(&u->serve, (struct sockaddr *)&at4, UV_UDP_REUSEADDR) == 0;
    if (u->serving)
        uv_udp_recv_start(&u->serve, give_space, on_datagram);
}

int beacon_unicast_create(struct beacon_unicast **out, struct loop *core, const char *listen,
                          uint16_t port, const struct beacon_unicast_ops *ops, void *arg)
{
    struct beacon_unicast *u = calloc(1, sizeof *u);

    if (!u)
        return -ENOMEM;
    u->core = core;
    u->port = port;
    u->answers = (struct rate){ .gap_ms = 1000 / ANSWERS_PER_S, .burst = ANSWERS_PER_S };
    u->ops = ops;
    u->arg = arg;
    uv_udp_init(loop_uv(core), &u->ask);
    uv_udp_init(loop_uv(core), &u->serve);
    uv_timer_init(loop_uv(core), &u->timer);
    u->handles = 3;
    u->ask.data = u->serve.data = u->timer.data = u;
    bind_serving(u, listen, port);
    *out = u;
    return 0;
}

void beacon_unicast_destroy(struct beacon_unicast *u)
{
    if (!u)
        return;
    u->closing = true;
    for (size_t i = 0; i < u->n; i++)
        if (u->targets[i].busy)
            uv_cancel((uv_req_t *)&u->targets[i].req);
    uv_close((uv_handle_t *)&u->ask, on_closed);
    uv_close((uv_handle_t *)&u->serve, on_closed);
    uv_close((uv_handle_t *)&u->timer, on_closed);
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static int parse(const char *text, size_t len, struct target *t, struct oerr *e)
{
    const char *host = text, *end = text + len, *colon = NULL;
    long port = BEACON_PORT;
    char *rest;

    if (*text == '[') {
        const char *close = memchr(text, ']', len);

        if (!close)
            return oerr_set(e, -EINVAL, "--join: '%.*s' lacks a ']'", (int)len, text);
        host = text + 1;
        colon = close + 1 < end ? close + 1 : NULL;
        end = close;
    } else if ((colon = memchr(text, ':', len)) != NULL) {
        end = colon;
    }
    if (colon)
        port = strtol(colon + 1, &rest, 10);
    if (end == host || (size_t)(end - host) >= sizeof t->host || port < 1 || port > 65535 ||
        (colon && (*colon != ':' || rest != text + len)))
        return oerr_set(e, -EINVAL, "--join takes HOST[:PORT], not '%.*s'", (int)len, text);
    snprintf(t->host, sizeof t->host, "%.*s", (int)(end - host), host);
    snprintf(t->port, sizeof t->port, "%ld", port);
    return 0;
}

int beacon_unicast_join(struct beacon_unicast *u, const char *list, struct oerr *e)
{
    struct sockaddr_in any4;
    struct sockaddr_in6 any6;
    int rc = 0;

    for (const char *p = list; rc == 0 && *p; p += strcspn(p, ","), p += *p == ',') {
        struct target *t = &u->targets[u->n];

        if (u->n == TARGETS_MAX)
            return oerr_set(e, -EINVAL, "--join takes at most %d hosts", TARGETS_MAX);
        rc = parse(p, strcspn(p, ","), t, e);
        t->u = u;
        u->n += rc == 0;
    }
    if (rc < 0 || u->n == 0)
        return rc;
    uv_ip4_addr("0.0.0.0", 0, &any4);
    uv_ip6_addr("::", 0, &any6);
    rc = uv_udp_bind(
        &u->ask,
        strchr(u->targets[0].host, ':') ? (struct sockaddr *)&any6 : (struct sockaddr *)&any4, 0);
    if (rc < 0)
        return oerr_set(e, rc, "--join: cannot make a UDP socket: %s", uv_strerror(rc));
    uv_udp_recv_start(&u->ask, give_space, on_datagram);
    uv_timer_start(&u->timer, on_timer, 0, EVERY_MS);
    return 0;
}

void beacon_own_address(char *out, size_t size)
{
    struct ifaddrs *all;

    snprintf(out, size, "127.0.0.1");
    if (getifaddrs(&all) < 0)
        return;
    for (struct ifaddrs *a = all; a; a = a->ifa_next)
        if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET && (a->ifa_flags & IFF_UP) &&
            !(a->ifa_flags & IFF_LOOPBACK)) {
            getnameinfo(a->ifa_addr, sizeof(struct sockaddr_in), out, (socklen_t)size, NULL, 0,
                        NI_NUMERICHOST);
            break;
        }
    freeifaddrs(all);
}
