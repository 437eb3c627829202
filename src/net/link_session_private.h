/*
 * link_session_private.h - the insides of a session, for link_session.c and link_schan.c only.
 */
#ifndef ONEOS_NET_LINK_SESSION_PRIVATE_H
#define ONEOS_NET_LINK_SESSION_PRIVATE_H

#include "base/cleanup.h"
#include "net/link.h"
#include "net/link_session.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct frame {
    struct frame *next;
    uint64_t seq;
    uint32_t len; /* of the body */
    unsigned n, cap;
    uint8_t head[FRAME_HEAD];
    struct slice v[];
};

struct entry { /* of the table of channels */
    struct schan *c;
    UT_hash_handle hh;
};

struct session {
    const struct session_ops *ops;
    void *arg;
    uint8_t id[16];
    bool dialer, up, was_up, broken; /* broken: memory ran out, or session_break() */
    int broke_rc;
    bool want_ack, want_ping, want_pong;

    struct frames queue; /* una and later */
    struct frame *cursor;
    size_t cursor_off; /* bytes of *cursor that went out, its head included */
    uint64_t next;     /* number of the next frame made */
    size_t kept_bytes, kept_frames;

    uint8_t ctl[3 * FRAME_HEAD]; /* unnumbered frames on their way out, between two frames */
    size_t ctl_len, ctl_off;

    uint64_t expected, acked; /* number received next; last said to the peer */
    size_t unacked_in;
    uint64_t ack_at, heard, pinged, lost_at;

    struct entry *table;
    struct schan *chans;
    unsigned n_chans, n_syncing;
    uint64_t asked; /* an acknowledgement up to here was asked for, for the sake of those */
    uint32_t last_id;
    uint32_t peer_window;
    struct schan *ready_head, **ready_tail;
};

void frames_init(struct frames *q);
void frames_free(struct frames *q);
struct frame *frames_pop(struct frames *q);
void frame_free(struct frame *f);

/* A numbered frame without body. When memory is short the session cannot keep its promises: it is
 * marked, and breaks with the next tick or frame. */
void session_say(struct session *s, enum frame_type type, uint32_t chan, uint32_t arg);

struct schan *schan_find(struct session *s, uint32_t id);
int schan_add(struct session *s, struct schan *c, uint32_t id); /* -ENOMEM */
void schan_forget(struct schan *c);
void schan_forget_if_over(struct schan *c);
void schan_ready_if(struct schan *c); /* it can send: puts it into the turn */
void schan_drop_pending(struct schan *c);
void schan_end_if_sent(struct schan *c);
void session_check_syncs(struct session *s);
void session_fill(struct session *s); /* numbers what credit and room allow */

#endif
