/*
 * bus_watch.c - connections that break or are odd, from libzmq's monitors.
 *
 * On a peer's DEALER: when the connection breaks, no answer to what was asked over it can come any
 * more. On the sockets that listen: a connection that ends without a handshake is worth a log line.
 */
#include "net/bus_private.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* libzmq says which connection was accepted and which ended, but not whose handshake succeeded: the
 * newest one's is assumed, which can only make a log line wrong. */
static void note(struct bus *b, unsigned event, int fd)
{
    unsigned at;

    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        b->nhandshakes -= b->nhandshakes > 0;
        return;
    }
    for (at = 0; at < b->nhandshakes && b->handshakes[at] != fd; at++)
        ;
    if (event == ZMQ_EVENT_ACCEPTED) {
        if (b->nhandshakes == ARRAY_SIZE(b->handshakes))
            memmove(b->handshakes, b->handshakes + 1, --b->nhandshakes * sizeof(int));
        b->handshakes[b->nhandshakes++] = fd;
    } else if (at < b->nhandshakes) {
        memmove(&b->handshakes[at], &b->handshakes[at + 1], (--b->nhandshakes - at) * sizeof(int));
        if (rate_take(&b->odd, now_ms()))
            log_warn("bus",
                     "a connection to port %u or %u ended before it had shown a key: another "
                     "program, or another version",
                     b->req_port, b->pub_port);
    }
}

static bool take_event(struct bsock *s, uint16_t *event, int32_t *value)
{
    struct bmsg m;
    bool got = bmsg_receive(s, &m);

    *event = 0;
    if (got && m.n == 2 && zmq_msg_size(&m.frame[0]) == 6) {
        memcpy(event, zmq_msg_data(&m.frame[0]), 2);
        memcpy(value, (char *)zmq_msg_data(&m.frame[0]) + 2, 4);
    }
    bmsg_close(&m);
    return got;
}

static bool take_listener(struct bsock *s)
{
    uint16_t event;
    int32_t value;

    if (!take_event(s, &event, &value))
        return false;
    if (event)
        note(s->bus, event, value);
    if (s == s->bus->watch_router && event == ZMQ_EVENT_ACCEPTED)
        s->bus->inbound++;
    else if (s == s->bus->watch_router && event == ZMQ_EVENT_DISCONNECTED && s->bus->inbound > 0)
        s->bus->inbound--;
    return true;
}

static bool take_peer(struct bsock *s)
{
    struct remote *r = s->owner;
    uint16_t event;
    int32_t value;

    if (!take_event(s, &event, &value))
        return false;
    if (event)
        remote_broke(r, event != ZMQ_EVENT_DISCONNECTED);
    return true;
}

static int watch(struct bus *b, struct bsock *of, int events, bool (*take)(struct bsock *),
                 void *owner, struct bsock **out, struct oerr *e)
{
    char name[64];
    void *zmq;
    int rc;

    snprintf(name, sizeof name, "inproc://watch-%" PRIu64,
             b->next_request++); /* never used again */
    zmq = zmq_socket(b->ctx, ZMQ_PAIR);
    if (!zmq || zmq_socket_monitor(of->zmq, name, events) < 0 || zmq_connect(zmq, name) < 0) {
        rc = -errno;
        zmq_close(zmq);
        return oerr_set(e, rc, "cannot watch a connection of the bus: %s", zmq_strerror(-rc));
    }
    return bsock_adopt(out, b, zmq, take, owner, e);
}

int watch_listener(struct bus *b, struct bsock *listener, struct bsock **out, struct oerr *e)
{
    return watch(b, listener,
                 ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
                 take_listener, NULL, out, e);
}

int watch_peer(struct remote *r, struct oerr *e)
{
    return watch(r->bus, r->dealer,
                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
                 take_peer, r, &r->watch, e);
}

/* libzmq's own thread sends the events, and would wait for ever for a reader that has gone: so it
 * is told to stop before the reader closes. */
void watch_close(struct bsock *watch, struct bsock *of)
{
    if (watch && of)
        zmq_socket_monitor(of->zmq, NULL, 0);
    bsock_close(watch, 0);
}
