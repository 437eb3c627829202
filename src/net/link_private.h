/*
 * link_private.h - the parts of links, for link*.c only.
 *
 *   links    listener, peers, timer, inbox               link.c
 *   link     one direction of opening to one peer:       link_peer.c
 *            a session, and its connection when there is one
 *   conn     a socket with TLS                           link_conn.c
 *   chan     a channel: pumps between its wire half      link_chan.c, link_user.c
 *            (schan) and its local streams
 *
 * All of it belongs to the data loop's thread, but for the inbox and the requests of the pumps.
 * What happens to a channel only marks it (chan_touch); links_settle(), at the end of every
 * callback of the loop, then does what is due and sends what is to be sent. So nothing nests.
 */
#ifndef ONEOS_NET_LINK_PRIVATE_H
#define ONEOS_NET_LINK_PRIVATE_H

#include "base/cleanup.h"
#include "base/flow.h"
#include "net/link.h"
#include "net/link_session.h"
#include "net/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#define LINK_REACH_MS     5000 /* a channel's peer is reached within */
#define LINK_CONNECT_MS   2000
#define LINK_HANDSHAKE_MS 5000         /* TLS and HELLO, either side */
#define LINK_REDIAL_MS    300          /* and up to 200 more */
#define LINK_IDLE_MS      60000        /* without channels, the dialer closes */
#define LINK_RECORDS      16           /* of TLS that a connection holds on their way out */
#define LINK_UNKNOWN_MAX  64           /* connections that have not proved who they are */
#define LINK_LOCAL_BYTES  (512 * 1024) /* capacity of a local half */
#define LINK_SWEEP_MS     100 /* idle sinks are asked that soon whether anybody still reads */

struct conn;
struct peer;

struct link {
    struct links *l;
    struct peer *peer;
    bool dialer, dirty;
    struct session *s;
    struct conn *conn;    /* dialing, or in use; NULL */
    struct chan *waiting; /* opened while there is no connection */
    uint64_t redial_at;   /* UINT64_MAX: not */
    uint64_t idle_at;     /* when the last channel went; UINT64_MAX: there are some */
    uint64_t incarnation; /* of the peer's daemon that the session is with; 0 unknown */
    struct link *next_dirty;
};

struct peer {
    char id[ID_MAX], address[64], fingerprint[FINGERPRINT];
    uint16_t port;
    uint64_t incarnation;
    struct link out, in;
    UT_hash_handle hh;
};

/* A request on a local stream, and whether it is ours, theirs, or answered. */
enum pump_at { PUMP_IDLE, PUMP_CALLING, PUMP_PARKED, PUMP_DONE };

struct pump {
    struct chan *c;
    struct stream *s; /* NULL: none, or closed */
    struct ioreq req;
    _Atomic int at;
    ssize_t rc;
    struct task task;
    bool over; /* no further request */
};

struct rx { /* a DATA frame that the local stream has not taken yet */
    struct rx *next;
    struct blk *b;
    unsigned len;
};

struct chan {
    struct schan w;
    struct links *l;
    struct link *link;              /* while waiting or in a session */
    struct chan *next, **prev_link; /* all */
    struct chan *next_waiting, *next_touched;
    bool touched, opener, waiting, offered; /* offered: the user has not answered yet */
    uint64_t reach_by;
    char *text; /* spec; an opener's also the peer's id before it */
    const char *spec;
    struct task task; /* the user's link_open, link_accept or link_refuse */
    struct stream *answer;
    int answer_rc, answer_dir;

    struct pump out, in;   /* source of what we send; sink of what we receive */
    bool shared;           /* both are one stream, closed once */
    struct flow *out_flow; /* the opener's */
    struct rx *rx, **rx_tail;
    size_t writing_cost;
    bool peer_ended;
    int peer_rc;    /* how */
    int how, broke; /* how the local stream is closed; how the session broke */

    struct iowatch watch; /* on an idle sink */
    _Atomic bool watched, watch_posted;
    struct task watch_task;
    bool sweeping;
    struct chan *next_sweep;
};

struct links {
    struct loop *loop;
    const struct identity *me;
    const struct link_ops *ops;
    void *arg;
    struct tls_context *tls;
    _Atomic unsigned refs; /* the owner, each handle of libuv, each channel */

    pthread_mutex_t lock; /* of the inbox */
    pthread_cond_t posted;
    struct task *inbox, **inbox_tail;
    bool dead; /* nothing can be posted any more */

    uv_async_t wake;
    uv_timer_t timer;
    uint64_t timer_at;
    uv_poll_t listener;
    int listen_fd;
    uint16_t port;
    uint64_t accept_at; /* not before: there were no descriptors */
    struct peer *peers;
    struct conn *conns; /* the newest first */
    unsigned unknown;   /* of them, not authenticated */
    struct chan *chans, *touched, *sweep;
    uint64_t sweep_at;
    struct link *dirty;
    bool settling;
    uint64_t complain_from;
    unsigned complained;
};

/* link.c, link_listen.c */
void links_ref(struct links *l);
void links_unref(struct links *l);
void links_handle_closed(uv_handle_t *h);         /* for handles whose data is the links */
bool links_post(struct links *l, struct task *t); /* any thread; false: dead */
void links_settle(struct links *l);
void links_due(struct links *l, uint64_t at); /* the timer must fire by then */
struct peer *links_peer_by_print(struct links *l, const char *fingerprint);
int links_listen(struct links *l, const char *listen, uint16_t port, struct oerr *e);
void links_listen_again(struct links *l);
void links_complain(struct links *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* link_peer.c */
void link_init(struct link *k, struct links *l, struct peer *p, bool dialer);
void link_dirty(struct link *k);
void link_flush(struct link *k);
void link_add(struct link *k, struct chan *c); /* an opener; breaks it when it cannot be */
void link_tick(struct link *k, uint64_t now);
uint64_t link_deadline(const struct link *k);
void link_lost(struct link *k, struct conn *c); /* c is no longer its connection */
/* 0, or the connection ends. */
int link_hello(struct link *k, struct conn *c, const struct hello *h, struct oerr *e);
int link_frame(struct link *k, const struct frame_head *h, struct blk **body);
void link_bye(struct link *k, int rc);
void link_break(struct link *k, int rc); /* session and waiting channels */

/* link_conn.c */
int conn_dial(struct link *k);
void conn_accept(struct links *l, int fd);
void conn_close(struct conn *c);
void conn_say_hello(struct conn *c, const struct hello *h);
void conn_say_bye(struct conn *c, uint32_t err);
void conn_take_link(struct conn *c, struct link *k); /* a listener's, once HELLO said which */
void conn_flush(struct conn *c);
void conn_tick(struct links *l, uint64_t now);
uint64_t conn_deadline(const struct links *l);
void conn_forget_peer(struct links *l, struct peer *p);
bool conn_is_dialer(const struct conn *c);
const char *conn_from(const struct conn *c);

/* link_chan.c */
extern const struct session_ops chan_session_ops; /* arg: the struct link */
int chan_create(struct chan **out, struct links *l, size_t text);
void chan_destroy(struct chan *c);
void chan_list(struct chan *c);
void chan_drop_received(struct chan *c);
void chan_touch(struct chan *c);
void chan_step(struct chan *c);          /* does what is due; may free c */
void chan_break(struct chan *c, int rc); /* one that is in no session: as if the peer had done it */
void chan_cancel(struct chan *c, int rc); /* at once, what is queued is dropped */
void chan_sweep(struct links *l);
void chan_drop(struct chan *c); /* the links are dead: closes its streams and frees it */

/* link_stream.c: both directions of a channel as the one stream that the user has */
int link_stream_create(struct stream **out, struct stream *reader, struct stream *writer);

#endif
