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
 *   bus_lane.c   a connection between two core loops for what is asked and told
 *   bus_lanes.c  which of these there are
 */
#ifndef ONEOS_NET_BUS_PRIVATE_H
#define ONEOS_NET_BUS_PRIVATE_H

#include "net/bus.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/rate.h"

#include <uthash.h>
#include <utlist.h>
#include <zmq.h>

#define STRANGERS_MAX                                                                              \
    256 /* connections to the ROUTER beside those of members: each costs memory                    \
         */

#define TOPIC             33 /* of publications to one peer: 32 hexadecimal digits and NUL */
#define LANE_TICKET_BYTES (TOPIC - 1) /* the same form, and told to one peer too */

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
    char id[ID_MAX], key[KEY_Z85], topic[TOPIC], ticket[TOPIC];
    char print[FINGERPRINT]; /* of the key of its lanes; empty: it has none */
    struct rate lanes;       /* that it makes to us */
    struct rate lost;        /* log lines about publications that it does not take */
    UT_hash_handle by_id, by_key;
};

enum lane_at { LANE_CONNECTING, LANE_TICKET, LANE_SECURING, LANE_UP, LANE_CLOSED };

/* See bus_lane.c. */
struct lane {
    struct bus *bus;
    struct remote *remote;   /* whom we dialed; NULL: it was accepted */
    char from[ID_MAX];       /* accepted: whose ticket it has shown; empty: none yet */
    char key[KEY_Z85];       /* accepted: by this key it asks */
    char print[FINGERPRINT]; /* of the key that it has to show */
    char ticket[LANE_TICKET_BYTES];
    size_t have; /* of the ticket */
    uint64_t number;
    enum lane_at at;
    int fd, events;
    struct tls *tls;
    struct obuf in, out; /* received and not whole yet; to be sent */
    uv_poll_t poll;
    uv_timer_t late;
    unsigned handles;
    size_t sent;         /* of out, by OpenSSL at least */
    bool dirty, working; /* working: within lane_work() */
    bool readable;       /* the socket, or OpenSSL, may hold something */
    struct lane *prev, *next, *prev_dirty, *next_dirty;
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
    struct lane *lane; /* NULL: none */
    uint64_t lane_not_before;
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
    struct tls_context *tls;
    struct lane *lanes, *dirty_lanes;
    uv_poll_t lane_poll;
    uv_timer_t lane_pause;
    int lane_fd;
    uint16_t lane_port;
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
int body_parse(const void *data, size_t len, json_t **body); /* -EPROTO: not a JSON object */
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

/* Which way an answer goes: over a lane, or over the ROUTER. */
struct route {
    uint64_t lane;   /* its number; 0: none */
    const void *zmq; /* else who asks, as the ROUTER knows it */
    size_t nzmq;
};

bool ask_take(struct bsock *router);

/* Of those who were not answered yet, has this member waited longest? */
bool ask_waits_longest(const struct bus *b, const char *id);

/* A question, or what is told, came from that key. */
void ask_heard(struct bus *b, const struct wire_header *h, const void *body, size_t len,
               const char *key, const struct route *back);
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
void remote_answered(struct remote *r, const struct wire_header *h, const void *body, size_t len);

/* Sends by its lane, or by its DEALER. 0 or -errno. */
int remote_send(struct remote *r, const struct wire_header *h, const struct text *body);

/* ---- bus_lane.c ---- */
/* Takes the descriptor when it succeeds. r: it was dialed; NULL: accepted. */
int lane_create(struct lane **out, struct bus *b, int fd, struct remote *r);
void lane_close(struct lane *l);  /* NULL allowed */
void lane_retire(struct lane *l); /* closes it in some seconds */
void lane_touch(struct lane *l);
void lane_work(struct lane *l); /* reads and sends what there is */
/* 0; -EAGAIN: it is not up, or full; -ENOMEM: it broke. */
int lane_send(struct lane *l, const struct wire_header *h, const struct text *body);

/* ---- bus_lanes.c ---- */
int lanes_open(struct bus *b, const char *listen, uint16_t port, struct oerr *e);
void lanes_close(struct bus *b);
void lanes_drop(struct bus *b, const char *id);              /* those that it made to us */
bool lane_admit(struct lane *l);                             /* by its ticket */
int lane_ticket(struct allowed *a);                          /* a fresh one */
bool lane_welcome(const struct lane *l);                     /* is who made it a member still? */
struct lane *lane_by_number(struct bus *b, uint64_t number); /* NULL: it is gone */
json_t *lane_offer(struct bus *b, struct allowed *a, json_t *ping); /* NULL: it wants none */
/* Takes an offer up. 0; or it may be taken up in so many ms. */
uint64_t lane_take_up(struct remote *r, json_t *offer);

/* The row of a type in bus.c's table; NULL: there is none. */
struct bus_type_row {
    const char *name;
    bool open, published, asked, told;
};
const struct bus_type_row *bus_type_row(unsigned type);

#endif
