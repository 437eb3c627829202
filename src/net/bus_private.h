/*
 * bus_private.h - what the files of the bus share.
 *
 *   bus.c        life, the sockets that listen, what we publish, the table of types
 *   bus_sock.c   ZeroMQ sockets on the libuv loop; messages of header and JSON
 *   bus_auth.c   ZAP handler and allow-list
 *   bus_watch.c  connections that break or are odd
 *   bus_peer.c   connections to peers, their clocks, what they publish
 *   bus_call.c   questions that we ask
 *   bus_ask.c    questions that we are asked
 */
#ifndef ONEOS_NET_BUS_PRIVATE_H
#define ONEOS_NET_BUS_PRIVATE_H

#include "net/bus.h"
#include "base/cleanup.h"
#include "base/rate.h"

#include <uthash.h>
#include <utlist.h>
#include <zmq.h>

#define STRANGERS_MAX                                                                              \
    256 /* connections to the ROUTER beside those of members: each costs memory                    \
         */

#define TOPIC 33 /* of publications to one peer: 32 hexadecimal digits and NUL */

/* A ZeroMQ socket on the loop. Freed when libuv has let go of it; zmq is NULL from bsock_close()
 * on. */
struct bsock {
    struct bus *bus;
    void *zmq;
    void *owner;
    bool (*take)(struct bsock *);     /* takes one message; false: there was none */
    void (*writable)(struct bsock *); /* NULL, or: sends what waits, if it can */
    bool (*wants)(struct bsock *);    /* with it: does anything wait? */
    uv_poll_t poll;
    bool dirty;
    struct bsock *prev, *next; /* the bus's list of dirty sockets */
};

struct allowed {
    char id[ID_MAX], key[KEY_Z85], topic[TOPIC];
    struct rate lost; /* log lines about publications that it does not take */
    UT_hash_handle by_id, by_key;
};

/* Somebody whom we ask: a peer, or a stranger for one question. See bus_peer.c. */
struct remote {
    struct bus *bus;
    struct peer_info info;
    bool stranger;
    bool ready;    /* it has answered a ping on this connection as one that allows us */
    bool ping_due; /* a ping waits until the connection stands */
    bool reopen;   /* libzmq has given the connection up: make it anew */
    uint64_t ping; /* request id of the ping under way, 0: none */
    uint64_t ping_sent_ms, ping_wait_ms;
    bool clock_known;    /* by an answer, even a refusal */
    int64_t clock_ahead; /* its clock is at least this far ahead of ours */
    struct bsock *dealer, *sub, *watch;
    char topic[TOPIC];               /* empty: not subscribed yet */
    uint64_t heard_seq;              /* of the last publication heard, 0: none */
    uv_timer_t again;                /* next ping */
    struct bus_call *waiting, *sent; /* in order */
    unsigned calls;                  /* how many these are */
    UT_hash_handle hh;
};

struct bus {
    const struct identity *me;
    struct bus_ops ops;
    void *arg;
    uv_loop_t *uv;
    void *ctx;
    char host[80]; /* of the addresses to bind, as libzmq wants it */
    uint16_t req_port, pub_port;
    struct bsock *zap, *router, *pub, *watch_router, *watch_pub;
    char pub_endpoint[128];
    uv_prepare_t prepare;
    uv_idle_t idle;
    unsigned handles; /* libuv still holds so many; the bus is freed after the last */
    uv_timer_t reopen_pub;
    bool closing;
    struct bsock *dirty;
    uint8_t topic_secret[32];
    uint64_t seq, next_request;
    struct allowed *allowed_by_id, *allowed_by_key;
    struct remote *remotes;
    struct bus_call *calls;
    struct bus_ask *asks;
    unsigned stranger_asks;
    struct rate strangers, pings;        /* messages of strangers that are looked at */
    struct rate malformed, refused, odd; /* log lines */
    struct rate reopened;
    int handshakes[64]; /* descriptors of connections that have not finished their handshake */
    unsigned nhandshakes;
    unsigned inbound; /* connections to the ROUTER, of members and strangers */
};

/* ---- bus_sock.c ---- */

/* Creates a socket with CURVE and the limits that all have. server_key: NULL for one that listens.
 */
int bsock_open(struct bsock **out, struct bus *b, int type, const char *server_key,
               bool (*take)(struct bsock *), void *owner, struct oerr *e);

/* Puts a zmq socket that was made elsewhere (ZAP, monitors) on the loop. */
int bsock_adopt(struct bsock **out, struct bus *b, void *zmq, bool (*take)(struct bsock *),
                void *owner, struct oerr *e);
void bsock_close(struct bsock *s, int linger_ms); /* NULL allowed */
void bsock_set(struct bsock *s, int option, int value);

/* Has the socket looked at before the loop sleeps. Needed after every call that may have taken the
 * wake-up off its descriptor: everything but bsock's own functions. */
void bsock_touch(struct bsock *s);
void bus_pump(struct bus *b);

struct text {
    char *p;
    size_t len;
};

/* The text of a body (NULL: an empty object), whose reference it takes. -EMSGSIZE, -ENOMEM,
 * -EINVAL; then t is empty. */
int text_of(struct text *t, json_t *body);
void text_free(struct text *t);

/* Sends [prefix] header body. 0, -EAGAIN, -EHOSTUNREACH, -ENOMEM. */
int bsock_send(struct bsock *s, const void *prefix, size_t nprefix, const struct wire_header *h,
               const struct text *body);

/* One message in up to three frames. */
struct bmsg {
    zmq_msg_t frame[3];
    unsigned n; /* frames there are; 4: too many */
};

/* False: there was none. Otherwise bmsg_close() it. */
bool bmsg_receive(struct bsock *s, struct bmsg *m);
void bmsg_close(struct bmsg *m);

/* Of a message that should have so many frames, the last two: header, and body, which is the
 * caller's. -EPROTO, -EPROTONOSUPPORT. */
int bmsg_header(struct bmsg *m, unsigned frames, struct wire_header *h);
int bmsg_body(struct bmsg *m, unsigned frames, json_t **body);
void bus_malformed(struct bus *b, const char *from, int rc); /* one log line now and then */

/* Lets go of a handle of libuv's; the bus is freed with the last. */
void bus_drop_handle(struct bus *b);

/* ---- bus_auth.c ---- */
int auth_open(struct bus *b, struct oerr *e);
struct allowed *auth_by_key(struct bus *b, const char *key);
struct allowed *auth_by_id(struct bus *b, const char *id);
void auth_clear(struct bus *b);

/* ---- bus_watch.c ---- */
int watch_listener(struct bus *b, struct bsock *listener, struct bsock **watch, struct oerr *e);
int watch_peer(struct remote *r, struct oerr *e);
void watch_close(struct bsock *watch,
                 struct bsock *of); /* before `of` is closed; NULLs are allowed */

/* ---- bus_ask.c ---- */
bool ask_take(struct bsock *router);
void asks_orphan(struct bus *b);

/* ---- bus_call.c ---- */
void calls_end(struct remote *r, bool all, int rc,
               const char *text); /* those sent, or all; from the loop, not at once */
void calls_cancel(struct bus *b); /* all -ECANCELED, at once */
void calls_flush(struct remote *r);
void call_answered(struct remote *r, const struct wire_header *h, json_t *body);

/* ---- bus_peer.c ---- */
int remote_open(struct remote **out, struct bus *b, const struct peer_info *info, bool stranger,
                struct oerr *e);
void remote_close(struct remote *r);
struct remote *remote_find(struct bus *b, const char *id); /* NULL: none */
void remotes_close(struct bus *b);
void remote_broke(struct remote *r, bool for_good);

/* The row of a type in bus.c's table; NULL: there is none. */
struct bus_type_row {
    const char *name;
    bool open, published, asked, told;
};
const struct bus_type_row *bus_type_row(unsigned type);

#endif
