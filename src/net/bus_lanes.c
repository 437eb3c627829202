/*
 * bus_lanes.c - which lanes there are: who is offered one, who is let in, which one is used.
 *
 * A lane is offered over the bus, where CURVE has shown who is who: a ping tells the fingerprint of
 * the asker's TLS key, its answer the port, a ticket and the fingerprint of the answerer. The
 * ticket is told to that member only, is good for one lane, and goes ahead of TLS, so that
 * strangers cost no handshake; the keys decide. Where no lane can be made (an older daemon, a
 * firewall), all goes over ZeroMQ; with the next ping that was answered it is tried again.
 *
 * Who is taken off the allow-list is refused what it asks from then on, as on the ROUTER, and loses
 * its lanes when it has had time to hear that.
 */
#include "net/bus_private.h"
#include "base/log.h"
#include "net/tcp.h"
#include "net/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORDS     4    /* of TLS on their way out */
#define UNKNOWN_MAX 64   /* that have not shown a ticket; the oldest gives way */
#define EACH_MAX    4    /* of one member; the oldest gives way */
#define REDIAL_MS   1000 /* at least between two dials of one member */
#define PAUSE_MS    1000 /* without descriptors */
#define ACCEPT_MAX  64   /* at a time */

static void on_connection(uv_poll_t *h, int status, int events);

static void on_listen_again(uv_timer_t *t)
{
    struct bus *b = t->data;

    uv_poll_start(&b->lane_poll, UV_READABLE, on_connection);
}

/* The oldest that was accepted and is or is not up, when there are more than so many from there. */
static void make_way(struct bus *b, const char *from, bool up, unsigned max)
{
    struct lane *l, *oldest = NULL;
    unsigned n = 0;

    DL_FOREACH(b->lanes, l)
    {
        if (l->remote || (l->at == LANE_UP) != up || strcmp(l->from, from) != 0)
            continue;
        oldest = oldest ? oldest : l;
        n++;
    }
    if (n > max)
        lane_close(oldest);
}

static void on_connection(uv_poll_t *h, int status, int events)
{
    struct bus *b = h->data;
    struct lane *l;
    int fd = -1;

    (void)status, (void)events;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        fd = accept4(b->lane_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        if (lane_create(&l, b, fd, NULL) < 0)
            close(fd);
        else
            make_way(b, "", false, UNKNOWN_MAX);
    }
    if (fd >= 0)
        return; /* the others when the loop comes by again */
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        if (rate_take(&b->refused, now_ms()))
            log_warn("bus", "cannot accept connections: %s", strerror(errno));
        uv_poll_stop(&b->lane_poll);
        uv_timer_start(&b->lane_pause, on_listen_again, PAUSE_MS, 0);
    }
}

int lanes_open(struct bus *b, const char *listen, uint16_t port, struct oerr *e)
{
    int rc = tls_context_create(&b->tls, b->me, RECORDS, e);

    if (rc < 0)
        return rc;
    rc = tcp_listen(listen, port, &b->lane_fd);
    if (rc == 0 && (rc = uv_poll_init(b->uv, &b->lane_poll, b->lane_fd)) < 0) {
        close(b->lane_fd);
        b->lane_fd = -1;
    }
    if (rc < 0)
        return oerr_set(e, rc, "cannot listen at %s port %u: %s", listen ? listen : "*", port,
                        strerror(-rc));
    b->handles++;
    b->lane_poll.data = b;
    b->lane_port = tcp_port(b->lane_fd);
    uv_poll_start(&b->lane_poll, UV_READABLE, on_connection);
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    bus_drop_handle(h->data);
}

void lanes_close(struct bus *b)
{
    while (b->lanes)
        lane_close(b->lanes);
    if (b->lane_fd >= 0) {
        uv_close((uv_handle_t *)&b->lane_poll, on_closed);
        close(b->lane_fd);
    }
    tls_context_destroy(b->tls);
    b->tls = NULL;
}

void lanes_drop(struct bus *b, const char *id)
{
    struct lane *l;

    DL_FOREACH(b->lanes, l)
    {
        if (!l->remote && strcmp(l->from, id) == 0)
            lane_retire(l);
    }
}

int lane_ticket(struct allowed *a)
{
    uint8_t raw[LANE_TICKET_BYTES / 2];

    if (RAND_bytes(raw, sizeof raw) != 1)
        return -EIO;
    for (size_t at = 0; at < sizeof raw; at++)
        sprintf(a->ticket + 2 * at, "%02x", raw[at]);
    return 0;
}

bool lane_admit(struct lane *l)
{
    struct allowed *a, *next, *whose = NULL;

    HASH_ITER (by_id, l->bus->allowed_by_id, a, next) {
        if (CRYPTO_memcmp(a->ticket, l->ticket, LANE_TICKET_BYTES) == 0)
            whose = a;
    }
    if (!whose || !whose->print[0] || !rate_take(&whose->lanes, now_ms()))
        return false;
    make_way(l->bus, whose->id, false, EACH_MAX - 1); /* l is not among them yet */
    make_way(l->bus, whose->id, true, EACH_MAX);      /* these have shown the key */
    strcpy(l->from, whose->id);
    strcpy(l->key, whose->key);
    strcpy(l->print, whose->print);
    return lane_ticket(whose) == 0; /* who has overheard this one comes too late */
}

bool lane_welcome(const struct lane *l)
{
    struct allowed *a = auth_by_key(l->bus, l->key);

    return a && strcmp(a->id, l->from) == 0;
}

struct lane *lane_by_number(struct bus *b, uint64_t number)
{
    struct lane *l;

    DL_SEARCH_SCALAR(b->lanes, l, number, number);
    return l;
}

json_t *lane_offer(struct bus *b, struct allowed *a, json_t *ping)
{
    const char *print = json_string_value(json_object_get(ping, "print"));

    if (!print || strlen(print) != FINGERPRINT - 1)
        return NULL;
    strcpy(a->print, print);
    return json_pack("{s:i, s:s, s:s}", "port", b->lane_port, "ticket", a->ticket, "print",
                     b->me->fingerprint);
}

/* 0: there is a lane or none can be; else in so many ms it may be tried again. */
uint64_t lane_take_up(struct remote *r, json_t *offer)
{
    const char *ticket = json_string_value(json_object_get(offer, "ticket"));
    const char *print = json_string_value(json_object_get(offer, "print"));
    json_int_t port = json_integer_value(json_object_get(offer, "port"));
    int fd = -1;

    if (r->lane || !ticket || strlen(ticket) != LANE_TICKET_BYTES || !print ||
        strlen(print) != FINGERPRINT - 1 || port < 1 || port > UINT16_MAX)
        return 0;
    if (now_ms() < r->lane_not_before)
        return r->lane_not_before - now_ms();
    r->lane_not_before = now_ms() + REDIAL_MS;
    if (tcp_dial(r->info.address, (uint16_t)port, &fd) < 0)
        return 0;
    if (lane_create(&r->lane, r->bus, fd, r) < 0) {
        close(fd);
        return 0;
    }
    memcpy(r->lane->ticket, ticket, LANE_TICKET_BYTES);
    strcpy(r->lane->print, print);
    return 0;
}
