/*
 * link_session.h - the deciding part of a link: channels over a connection that may break.
 *
 * It does no I/O and has no clock: frames, the time and the loss of the connection are put in,
 * bytes to be sent are taken out. One side dials and opens channels, the other side listens; apart
 * from that they are alike. Each direction of a channel ends with one END or ABORT by its sender;
 * STOP asks the sender to hurry with that. All calls on one thread. Users of the callbacks may call
 * everything but session_frame, session_up, session_lost, session_break and session_free from them.
 */
#ifndef ONEOS_NET_LINK_SESSION_H
#define ONEOS_NET_LINK_SESSION_H

#include "net/link_frame.h"

#define SESSION_PING_MS      1000 /* of silence, while there are channels: ask */
#define SESSION_SILENT_MS    3000 /* of silence: the connection is given up */
#define SESSION_ACK_MS       20   /* what was received is acknowledged that soon at the latest... */
#define SESSION_ACK_BYTES    (256 * 1024)  /* ...or after that many bytes */
#define SESSION_CREDIT_MIN   (256 * 1024)  /* what a channel begins with */
#define SESSION_CREDIT_MAX   (1024 * 1024) /* what one that is read soon grows to... */
#define SESSION_CREDIT_ALL   (32u << 20)   /* ...while its share of this is more than the minimum */
#define SESSION_PENDING_LOW  (256 * 1024)  /* of unsent bytes of a channel: more is welcome */
#define SESSION_UNACKED_MAX  (8u << 20)    /* data kept; more waits in its channels */
#define SESSION_FRAMES_MAX   65536 /* DATA frames kept; more wait. Four times as many of all: cut */
#define SESSION_CHANNELS_MAX 16384

struct session;
struct frame;

struct frames {
    struct frame *head, **tail;
};

/* The wire half of a channel, embedded in the user's. Zero-initialise it. */
struct schan {
    struct session *s; /* NULL: not or no longer in a session */
    uint32_t id;
    struct schan *next, **link; /* private: all channels */
    struct schan *ready_next;   /* private: those with something to send */
    void *hash;                 /* private */
    struct frames pend;         /* not numbered yet, for want of credit or of room */
    size_t pend_bytes;
    uint64_t credit;           /* what we may still send */
    uint64_t lent, owed;       /* what the peer may still send; consumed and not yet lent again */
    int end_rc;                /* how our direction ends, once `ending` */
    bool ready, ending, ended; /* ended: END or ABORT is queued */
    bool peer_ended, stopped;  /* stopped: we said STOP */
    bool syncing;              /* session_sync() waits */
    uint64_t sync_seq;         /* for what lies before this number; 0: that is not sent yet */
};

struct session_ops {
    /* The peer opens a channel: makes the user's half. NULL: no memory, the session breaks. It is
     * in the session when `opened` is called. */
    struct schan *(*open)(void *arg, const char *spec, size_t n);
    void (*opened)(struct schan *c);

    /* A DATA frame; the reference to b is the callee's. session_consumed() gives its credit back.
     */
    void (*data)(struct schan *c, struct blk *b, unsigned len);

    /* No more data: 0 it ended cleanly, -errno it broke (also when the session does). */
    void (*end)(struct schan *c, int rc);

    /* The peer reads no more, or the session broke: writers get rc. */
    void (*stop)(struct schan *c, int rc);

    /* Fewer than SESSION_PENDING_LOW bytes wait to be sent. */
    void (*room)(struct schan *c);

    /* What session_sync() asked for has come about. */
    void (*synced)(struct schan *c);

    /* Both directions ended, or the session broke: the session has forgotten c. Its memory must
     * stay until the call into the session that led to this has returned. */
    void (*gone)(struct schan *c);
};

int session_create(struct session **out, const struct session_ops *ops, void *arg,
                   const uint8_t id[16], bool dialer, uint64_t now);
void session_free(struct session *s); /* breaks with -ECANCELED what is left; NULL allowed */
const uint8_t *session_id(const struct session *s);

/* --- the connection --- */

/* What to say first on a new connection. */
void session_hello(const struct session *s, struct hello *h);

/* The peer's HELLO, with status 0. Goes on where it was; -EPROTO: the numbers cannot be. */
int session_up(struct session *s, const struct hello *peer, uint64_t now);
bool session_is_up(const struct session *s);
bool session_was_up(const struct session *s);
int session_broken(const struct session *s); /* what session_break() was given; 0: it was not */

/* A frame, not HELLO. Takes *body (sets it NULL) when it keeps it. -EPROTO, -ENOMEM: break the
 * session. */
int session_frame(struct session *s, const struct frame_head *h, struct blk **body, uint64_t now);

void session_lost(struct session *s,
                  uint64_t now); /* the connection is gone; waits to be resumed */

/* Ends everything: each channel's end and stop get rc, then gone. The session stays empty. */
void session_break(struct session *s, int rc);

/* The next bytes to send, up to `max` pieces; 0: nothing. They stay valid until session_sent. */
int session_peek(struct session *s, struct iovec *v, int max);
void session_sent(struct session *s, size_t n);
bool session_between(const struct session *s); /* no frame is partly sent */

/* What the time asks for. SESSION_SILENT: drop the connection. SESSION_OVER: it was not resumed in
 * time. */
enum session_due { SESSION_FINE, SESSION_SILENT, SESSION_OVER };
enum session_due session_tick(struct session *s, uint64_t now);
uint64_t session_deadline(const struct session *s); /* when to tick; UINT64_MAX: never */

unsigned session_channels(const struct session *s);
bool session_idle(const struct session *s); /* no channel, nothing to send or to be acknowledged */

/* --- channels --- */

/* -EMSGSIZE, -EMFILE, -ENOMEM: nothing happened. */
int session_open(struct schan *c, struct session *s, const char *spec, uint64_t now);

/* Sends bytes, taking them (they are the session's even when it fails). Waits for credit as needed.
 * -EPIPE: nobody reads, or it has ended; -ENOMEM. No slice is ever divided between frames. */
int session_send(struct schan *c, struct slices *bytes);
size_t session_pending(const struct schan *c);

/* Once: `synced` is called when all that was sent until now has arrived. When the session breaks
 * first, only `stop` and `gone` are. */
void session_sync(struct schan *c);

/* Our direction ends behind what was sent: 0 cleanly, -errno broken. Only the first call counts. */
void session_end(struct schan *c, int rc);

/* We read no more; what is and will be on the way is dropped. */
void session_stop(struct schan *c, int rc);

/* Gives back the credit of frames that data() handed over: the sum of their bytes and FRAME_COST
 * each. */
void session_consumed(struct schan *c, size_t cost);

#endif
