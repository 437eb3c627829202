/*
 * bus.h - messages between daemons over ZeroMQ with CURVE: published to all, asked of one, or told
 * to one; what is asked and told goes over TLS between the two core loops where that can be.
 *
 * A message is a fixed header (magic "1OS", version, type, flags, request id, time) and a JSON
 * object; what is only told (BUS_CONSENSUS) has bytes instead, and no answer. Each daemon has an
 * XPUB, a ROUTER that answers, and one SUB and one DEALER per peer (a SUB does not tell which of
 * several publishers a message is from). Who may do what is decided by the peer's CURVE public key:
 * only keys on the allow-list may subscribe or send anything but the types marked `open` in the
 * table of types. Everything runs on the core loop.
 *
 * Between members a lane (bus_lane.c) takes the place of DEALER and ROUTER as soon as it stands.
 *
 * A question is carried out once or not at all, and never after its deadline: it waits here while
 * the peer is not connected, and a receiver that gets it too late refuses it.
 */
#ifndef ONEOS_NET_BUS_H
#define ONEOS_NET_BUS_H

#include "base/loop.h"
#include "net/beacon.h"

#include <jansson.h>

/* The types of messages: one row each in bus.c's table (name, open to strangers, published, asked
 * or told). */
enum bus_type {
    BUS_HEARTBEAT = 1, /* published */
    BUS_LIVE,          /* published: changes of live state (processes, pipes) */
    BUS_LEAVE,         /* published: polite farewell */
    BUS_HELLO,         /* asked: who are you, which versions; open to strangers */
    BUS_JOIN,      /* asked: let me in, with a token or by an operator's word; open to strangers */
    BUS_PROBE,     /* asked: do you hear this machine? */
    BUS_SYNC,      /* asked: all your live state */
    BUS_TREE,      /* asked: an operation on a row of the tree that you own */
    BUS_PIPE,      /* asked: have you a writer of this pipe? */
    BUS_PING,      /* asked and answered by the bus itself */
    BUS_REGISTRY,  /* asked: carry out a command, or tell how far one must read (replica.c) */
    BUS_CONSENSUS, /* told: between the servers of consensus */
    BUS_RUNNABLE,  /* asked: can you run this command? (probe.c) */
    BUS_JOB,       /* asked: about a job's processes that you run (runs_signal.c) */
    BUS_TYPES
};

#define BUS_BODY_MAX (4 * 1024 * 1024)
#define BUS_ERROR    1 /* header flag: the reply is an error: {"errno": N, "text": "..."} */

struct bus;
struct bus_call; /* one question that we asked */
struct bus_ask;  /* one question that we were asked */

struct bus_ops {
    /* Somebody allowed published this; `from` is the id that its key belongs to. body is borrowed.
     */
    void (*published)(void *arg, const char *from, enum bus_type type, json_t *body);

    /* Publications of `from` were lost, or the next one is the first that was heard: ask it for
     * all. May be NULL. */
    void (*missed)(void *arg, const char *from);

    /* Somebody asks. from is NULL for a stranger (then `key` is all that is known of it). Answer
     * exactly once with bus_answer or bus_refuse, now or later; after bus_destroy that is still
     * allowed, and does nothing. body and strings are borrowed. */
    void (*asked)(void *arg, struct bus_ask *ask, const char *from, const char *key,
                  enum bus_type type, json_t *body);

    /* A member tells us something. Bytes and strings are borrowed. May be NULL. */
    void (*told)(void *arg, const char *from, enum bus_type type, const void *data, size_t len);

    /* A peer begins to hear what we publish. May be NULL. */
    void (*subscribed)(void *arg, const char *id);

    /* The connection on which we ask a peer broke; it is made anew by itself. May be NULL. */
    void (*broke)(void *arg, const char *id);
};

struct bus_options {
    const char *listen; /* numeric address to bind; NULL: all, IPv4 and IPv6 */
    uint16_t port;      /* of the ROUTER, the next one is the XPUB's; 0: the kernel chooses */
    uint16_t lane_port; /* 0: the kernel chooses */
};

int bus_create(struct bus **out, struct loop *core, const struct identity *me,
               const struct bus_options *opt, const struct bus_ops *ops, void *arg, struct oerr *e);
/* Outstanding calls end with -ECANCELED first; what was published or answered before still goes
 * out, for at most 200 ms. Not from inside a callback of the bus. */
void bus_destroy(struct bus *b);
uint16_t bus_req_port(const struct bus *b);
uint16_t bus_pub_port(const struct bus *b);

/* Puts a key on the allow-list for that id, or takes it off. Taking it off also drops its
 * connections: what it sends afterwards is refused. -EINVAL: not an id or a key; -EEXIST: the key
 * is another id's. */
int bus_allow(struct bus *b, const char *id, const char *curve_public);
void bus_disallow(struct bus *b, const char *id);

/* Connects to an allowed peer's XPUB and ROUTER, or moves there when its address, ports, key or
 * incarnation changed: then what was asked there and not answered ends with -EHOSTUNREACH. -EPERM:
 * its key is not allowed. */
int bus_connect(struct bus *b, const struct peer_info *peer, struct oerr *e);
void bus_disconnect(struct bus *b, const char *id);

/* Publishes to all that are allowed. Takes the reference to body. -EMSGSIZE. */
int bus_publish(struct bus *b, enum bus_type type, json_t *body);

/* Asks a connected peer; done is called once, never from inside this call: rc 0 with the reply's
 * body (borrowed), or -errno with words: the peer's refusal, -EHOSTUNREACH when not answered within
 * deadline_ms, -ECANCELED. Takes the reference to body. On an error of this call itself done is not
 * called: -EHOSTUNREACH (not connected), -EMSGSIZE, -ENOBUFS (65,536 questions to the peer are
 * open). call (may be NULL) is valid until done is called. */
typedef void bus_done_fn(void *arg, int rc, json_t *body, const char *text);
int bus_ask(struct bus *b, const char *id, enum bus_type type, json_t *body, unsigned deadline_ms,
            bus_done_fn *done, void *arg, struct bus_call **call);

/* The same to a stranger at an address, for HELLO and JOIN: key is its CURVE public key. */
int bus_ask_stranger(struct bus *b, const char *address, uint16_t req_port, const char *key,
                     enum bus_type type, json_t *body, unsigned deadline_ms, bus_done_fn *done,
                     void *arg, struct bus_call **call);
void bus_cancel(struct bus_call *call); /* done will not be called */

/* Tells a connected peer; nobody learns whether it arrived. Copies. -EHOSTUNREACH: not connected,
 * or full of what it does not take; -EMSGSIZE. */
int bus_tell(struct bus *b, const char *id, enum bus_type type, const void *data, size_t len);

/* Sends what was told and asked until now, as far as that goes at once; else it goes when the loop
 * has done what it is at. */
void bus_push(struct bus *b);

void bus_answer(struct bus_ask *ask, json_t *body); /* takes the reference */
void bus_refuse(struct bus_ask *ask, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* wire.c: the header. encode writes WIRE_HEADER bytes; decode demands them, the magic and a known
 * version. */
#define WIRE_VERSION    1
#define WIRE_HEADER     24
#define WIRE_FRAME_HEAD (4 + WIRE_HEADER)
struct wire_header {
    uint8_t version, flags;
    uint16_t type;
    uint64_t request;
    uint64_t time; /* ms: of a question, when it is too late, on the clock of who is asked (0:
                      never); else the sender's clock */
};
void wire_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER]);
int wire_decode(const uint8_t *p, size_t n, struct wire_header *h); /* -EPROTO, -EPROTONOSUPPORT */

/* A frame of a lane: its bytes that follow (4), the header, a body of at most BUS_BODY_MAX. decode:
 * 1 when the frame that begins at p is whole, with its size (the body is what follows
 * WIRE_FRAME_HEAD); 0: not yet; -EPROTO, -EPROTONOSUPPORT. */
void wire_frame_encode(const struct wire_header *h, size_t body, uint8_t out[WIRE_FRAME_HEAD]);
int wire_frame_decode(const uint8_t *p, size_t n, struct wire_header *h, size_t *size);

#endif
