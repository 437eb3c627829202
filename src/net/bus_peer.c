/*
 * bus_peer.c - connections to peers, their clocks, and what they publish.
 *
 *   connecting --a ping is answered--> ready --connection broken, or no room--> connecting
 *
 * A question carries the time at which it is too late on the clock of who is asked, so that one
 * that was stuck in a buffer is not carried out when the asker has been told that it failed. For
 * that the clock (CLOCK_BOOTTIME) must be known: a ping asks for it when the connection stands, and
 * every 30 s. An answer that was sent at their time R and came at our time T says that their clock
 * is at least R - T ahead of ours; the largest such bound is used, so that an error makes a
 * question end too early, never too late. Questions wait here until the first is known, and fall
 * off here at their deadlines.
 *
 * The answer also tells the topic to subscribe to, which is only for us. A peer that does not allow
 * us yet refuses; it is asked again soon, and questions wait for that.
 *
 * A stranger is asked one question over a connection of its own, without ping or clock.
 */
#include "net/bus_private.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_LOST_MS   1000  /* an unanswered ping is sent again */
#define PING_EVERY_MS  30000 /* clocks drift */
#define DRIFT_MS       30    /* by less than this in that time */
#define PING_SLOW_MS   100   /* an answer that took longer is a poor bound: ask again */
#define REFUSED_MIN_MS 20
#define REFUSED_MAX_MS 1000

static void on_again(uv_timer_t *t);

static void ping_in(struct remote *r, uint64_t ms)
{
    uv_update_time(r->bus->uv);
    uv_timer_start(&r->again, on_again, ms, 0);
}

static void ping_now(struct remote *r)
{
    r->ping = 0;
    r->ping_due = true;
    bsock_touch(r->dealer);
}

static void send_ping(struct remote *r)
{
    struct bus *b = r->bus;
    struct wire_header h = { .version = WIRE_VERSION,
                             .type = BUS_PING,
                             .request = b->next_request };
    struct text body;

    if (text_of(&body, json_pack("{s:s}", "print", b->me->fingerprint)) < 0)
        return;
    r->ping_sent_ms = now_ms();
    if (bsock_send(r->dealer, NULL, 0, &h, &body) == 0) {
        r->ping_due = false;
        r->ping = b->next_request++;
        ping_in(r, PING_LOST_MS);
    }
    text_free(&body);
}

static bool take_sub(struct bsock *s);
static int connect_to(struct bsock *s, const char *address, uint16_t port, struct oerr *e);

/* Connects to what it publishes: now that it answers us as one it allows, since a connection that
 * is refused is not tried again for seconds. */
static void subscribe(struct remote *r, const char *topic)
{
    if (strcmp(r->topic, topic) == 0 || strlen(topic) != TOPIC - 1)
        return;
    bsock_close(r->sub, 0);
    r->sub = NULL;
    r->topic[0] = '\0';
    if (bsock_open(&r->sub, r->bus, ZMQ_SUB, r->info.curve_public, take_sub, r, NULL) < 0)
        return;
    zmq_setsockopt(r->sub->zmq, ZMQ_SUBSCRIBE, topic, TOPIC - 1);
    if (connect_to(r->sub, r->info.address, r->info.pub_port, NULL) == 0)
        strcpy(r->topic, topic);
}

/* now_ms() cuts fractions off, which may add one to a difference. */
static int64_t bound(const struct wire_header *h)
{
    return (int64_t)(h->time - now_ms()) - 1;
}

static void learn_clock(struct remote *r, const struct wire_header *h)
{
    if (bound(h) > r->clock_ahead)
        r->clock_ahead = bound(h);
}

static void on_pong(struct remote *r, const struct wire_header *h, json_t *body)
{
    const char *topic = json_string_value(json_object_get(body, "topic"));
    bool slow = now_ms() - r->ping_sent_ms > PING_SLOW_MS;
    uint64_t wait;

    r->ping = 0;
    r->clock_ahead -= DRIFT_MS;
    if (!r->clock_known || (int64_t)(h->time - r->ping_sent_ms) < r->clock_ahead)
        r->clock_ahead = bound(h); /* the first, or their clock stood still for a while */
    learn_clock(r, h);
    r->clock_known = true;
    if (topic && !(h->flags & BUS_ERROR)) {
        r->ready = true;
        subscribe(r, topic);
        bsock_touch(r->dealer); /* what waited for this goes out */
        r->ping_wait_ms = 0;
        wait = lane_take_up(r, json_object_get(body, "lane"));
        ping_in(r, slow ? PING_SLOW_MS : wait ? wait : PING_EVERY_MS);
        return;
    }
    r->ping_wait_ms = r->ping_wait_ms ? 2 * r->ping_wait_ms : REFUSED_MIN_MS;
    if (r->ping_wait_ms > REFUSED_MAX_MS)
        r->ping_wait_ms = REFUSED_MAX_MS;
    ping_in(r, r->ping_wait_ms);
}

static bool take_dealer(struct bsock *s)
{
    struct remote *r = s->owner;
    struct wire_header h;
    struct bmsg m;
    json_t *body = NULL;
    int rc;

    if (!bmsg_receive(s, &m))
        return false;
    rc = bmsg_header(&m, 2, &h);
    if (rc == 0)
        rc = bmsg_body(&m, 2, &body);
    bmsg_close(&m);
    if (rc < 0) {
        bus_malformed(s->bus, r->info.id, rc);
    } else if (r->ping && h.request == r->ping) {
        on_pong(r, &h, body);
    } else {
        learn_clock(r, &h);
        call_answered(r, &h, body);
    }
    json_decref(body);
    return true;
}

void remote_answered(struct remote *r, const struct wire_header *h, const void *data, size_t len)
{
    json_t *body = NULL;
    int rc = body_parse(data, len, &body);

    if (rc < 0) {
        bus_malformed(r->bus, r->info.id, rc);
        return;
    }
    learn_clock(r, h);
    call_answered(r, h, body);
    json_decref(body);
}

int remote_send(struct remote *r, const struct wire_header *h, const struct text *body)
{
    if (r->lane && r->lane->at == LANE_UP)
        return lane_send(r->lane, h, body);
    return bsock_send(r->dealer, NULL, 0, h, body);
}

static void dealer_writable(struct bsock *s)
{
    struct remote *r = s->owner;

    if (r->ping_due)
        send_ping(r);
    if (r->ready && r->waiting)
        calls_flush(r);
}

static bool dealer_wants(struct bsock *s)
{
    struct remote *r = s->owner;

    return r->ping_due || (r->ready && r->waiting);
}

static bool still_allowed(const struct remote *r)
{
    struct allowed *a = auth_by_key(r->bus, r->info.curve_public);

    return a && strcmp(a->id, r->info.id) == 0;
}

static void published(struct remote *r, const struct wire_header *h, json_t *body)
{
    const struct bus_type_row *row = bus_type_row(h->type);
    struct bus *b = r->bus;
    struct bsock *sub = r->sub;
    bool gap = h->request != r->heard_seq + 1 || r->heard_seq == 0;
    char from[ID_MAX];

    if (!still_allowed(r))
        return;
    r->heard_seq = h->request;
    strcpy(from, r->info.id);
    if (gap && b->ops.missed)
        b->ops.missed(b->arg, from);
    if (sub->zmq && row && row->published && b->ops.published)
        b->ops.published(b->arg, from, (enum bus_type)h->type, body);
}

static bool take_sub(struct bsock *s)
{
    struct remote *r = s->owner;
    struct wire_header h;
    struct bmsg m;
    json_t *body = NULL;
    int rc;

    if (!bmsg_receive(s, &m))
        return false;
    rc = bmsg_header(&m, 3, &h);
    if (rc == 0)
        rc = bmsg_body(&m, 3, &body);
    bmsg_close(&m);
    if (rc < 0)
        bus_malformed(s->bus, r->info.id, rc);
    else
        published(r, &h, body);
    json_decref(body);
    return true;
}

static int connect_to(struct bsock *s, const char *address, uint16_t port, struct oerr *e)
{
    bool v6 = strchr(address, ':');
    char endpoint[128];

    snprintf(endpoint, sizeof endpoint, v6 ? "tcp://[%s]:%u" : "tcp://%s:%u", address, port);
    bsock_set(s, ZMQ_IPV6, v6);
    if (zmq_connect(s->zmq, endpoint) < 0)
        return oerr_set(e, -errno, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    bsock_touch(s);
    return 0;
}

static int open_sockets(struct remote *r, struct oerr *e)
{
    const struct peer_info *p = &r->info;
    int rc = bsock_open(&r->dealer, r->bus, ZMQ_DEALER, p->curve_public, take_dealer, r, e);

    if (rc < 0)
        return rc;
    r->dealer->writable = dealer_writable;
    r->dealer->wants = dealer_wants;
    bsock_set(r->dealer, ZMQ_IMMEDIATE, 1); /* nothing is queued for a peer that is not there */
    if ((rc = watch_peer(r, e)) < 0)
        return rc;
    return connect_to(r->dealer, p->address, p->req_port, e);
}

static void close_sockets(struct remote *r)
{
    lane_close(r->lane);
    watch_close(r->watch, r->dealer);
    bsock_close(r->dealer, 0);
    bsock_close(r->sub, 0);
    r->watch = r->dealer = r->sub = NULL;
}

/* Begins anew: what was sent cannot be answered any more, what waits is sent to the new place. */
static int restart(struct remote *r, struct oerr *e)
{
    int rc;

    close_sockets(r);
    calls_end(r, false, -EHOSTUNREACH, "the connection was made anew before it answered");
    r->reopen = false;
    r->ping = r->heard_seq = r->lane_not_before = 0;
    r->clock_known = false;
    r->topic[0] = '\0';
    r->ready = r->stranger;
    r->ping_due = !r->stranger;
    rc = open_sockets(r, e);
    if (rc < 0) {
        close_sockets(r);
        r->ready = false;
        r->reopen = true; /* on_again() tries again */
        ping_in(r, PING_LOST_MS);
    }
    return rc;
}

static void on_again(uv_timer_t *t)
{
    struct remote *r = t->data;

    if (r->reopen)
        restart(r, NULL);
    else
        ping_now(r);
}

static void broke(struct remote *r)
{
    char id[ID_MAX];

    strcpy(id, r->info.id);
    r->bus->ops.broke(r->bus->arg, id);
}

void remote_broke(struct remote *r, bool for_good)
{
    lane_close(r->lane);
    calls_end(r, false, -EHOSTUNREACH, "the connection broke before it answered");
    r->ready = r->stranger;
    if (for_good) {
        r->reopen = true;
        ping_in(r, PING_LOST_MS);
    } else if (!r->stranger) {
        ping_now(r);
    }
    if (!r->stranger && r->bus->ops.broke)
        broke(r);
}

int remote_open(struct remote **out, struct bus *b, const struct peer_info *info, bool stranger,
                struct oerr *e)
{
    struct remote *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return oerr_set(e, -ENOMEM, "out of memory");
    r->bus = b;
    r->info = *info;
    r->stranger = stranger;
    uv_timer_init(b->uv, &r->again);
    r->again.data = r;
    b->handles++;
    rc = restart(r, e);
    if (rc < 0) {
        remote_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct remote *r = h->data;

    bus_drop_handle(r->bus);
    free(r);
}

void remote_close(struct remote *r)
{
    close_sockets(r);
    uv_close((uv_handle_t *)&r->again, on_closed);
}

struct remote *remote_find(struct bus *b, const char *id)
{
    struct remote *r = NULL;

    HASH_FIND_STR(b->remotes, id, r);
    return r;
}

static bool same_place(const struct peer_info *a, const struct peer_info *b)
{
    return a->incarnation == b->incarnation && a->req_port == b->req_port &&
           a->pub_port == b->pub_port && strcmp(a->address, b->address) == 0 &&
           strcmp(a->curve_public, b->curve_public) == 0;
}

int bus_connect(struct bus *b, const struct peer_info *peer, struct oerr *e)
{
    struct remote *r = remote_find(b, peer->id);
    struct allowed *a = auth_by_id(b, peer->id);
    int rc;

    if (!a || strcmp(a->key, peer->curve_public) != 0)
        return oerr_set(e, -EPERM, "the key of %s is not on the allow-list", peer->id);
    if (r && same_place(&r->info, peer))
        return 0;
    if (r) {
        r->info = *peer;
        return restart(r, e);
    }
    rc = remote_open(&r, b, peer, false, e);
    if (rc == 0)
        HASH_ADD_STR(b->remotes, info.id, r);
    return rc;
}

void bus_disconnect(struct bus *b, const char *id)
{
    struct remote *r = remote_find(b, id);

    if (!r)
        return;
    calls_end(r, true, -EHOSTUNREACH, "the peer was disconnected");
    HASH_DEL(b->remotes, r);
    remote_close(r);
}

void remotes_close(struct bus *b)
{
    while (b->remotes)
        bus_disconnect(b, b->remotes->info.id);
}
