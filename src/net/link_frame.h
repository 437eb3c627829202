/*
 * link_frame.h - the frames of a link: what travels inside TLS between two daemons.
 *
 * A frame is a head of FRAME_HEAD bytes, big-endian, and `len` bytes of body:
 *
 *   len[4] type[1] zero[3] chan[4] arg[4] seq[8] body[len]
 *
 *   type     chan  arg     seq             body
 *   HELLO    0     0       0               struct hello, the first frame of either side
 *   ACK      0     0       next expected   -
 *   PING     0     0       0               -               asks for PONG
 *   PONG     0     0       0               -
 *   BYE      0     errno   0               -               the session is over; 0: idle
 *   OPEN     id    0       its number      spec            the dialer opens a channel
 *   DATA     id    0       its number      bytes
 *   END      id    0       its number      -               all was sent, the writer closed cleanly
 *   ABORT    id    errno   its number      -               the writer broke
 *   STOP     id    errno   its number      -               nobody reads any more
 *   CREDIT   id    amount  its number      -               so much more may be sent
 *
 * Frames from OPEN on are numbered from 0 and kept by the sender until acknowledged.
 */
#ifndef ONEOS_NET_LINK_FRAME_H
#define ONEOS_NET_LINK_FRAME_H

#include "base/blk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 24
#define FRAME_MAX  BLK_BYTES /* the most bytes of a body */
#define FRAME_COST 64        /* what a DATA frame costs of a channel's credit besides its bytes */

#define LINK_MAGIC   0x4f4e454cu /* "ONEL" */
#define LINK_VERSION 1

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_ACK,
    FRAME_PING,
    FRAME_PONG,
    FRAME_BYE,
    FRAME_OPEN,
    FRAME_DATA,
    FRAME_END,
    FRAME_ABORT,
    FRAME_STOP,
    FRAME_CREDIT,
    FRAME_TYPES
};

struct frame_head {
    uint32_t len, chan, arg;
    uint64_t seq;
    enum frame_type type;
};

void frame_encode(const struct frame_head *h, uint8_t out[FRAME_HEAD]);

/* -EPROTO: unknown type, a length that the type does not have, a channel or errno out of range. */
int frame_decode(struct frame_head *h, const uint8_t in[FRAME_HEAD]);

bool frame_numbered(enum frame_type type);
const char *frame_name(enum frame_type type);

/* What both sides say first. The answering side puts what it thinks of it into `status`. */
#define HELLO_BYTES 52 /* later versions may append fields: up to HELLO_MAX are accepted */
#define HELLO_MAX   256
#define HELLO_FRESH 1 /* the dialer never had an answer for this session: make it if unknown */

struct hello {
    uint16_t version_min, version_max;
    uint16_t status; /* 0, ESTALE: session unknown, EPROTONOSUPPORT: no version in common */
    uint16_t flags;
    uint32_t features, window; /* window: credit that each channel begins with */
    uint64_t next;             /* number of the frame expected next */
    uint64_t incarnation;      /* of the speaker's daemon */
    uint8_t session[16];
};

/* Writes a whole HELLO frame and returns its length. */
#define HELLO_FRAME (FRAME_HEAD + HELLO_BYTES)
void hello_encode(const struct hello *h, uint8_t out[HELLO_FRAME]);

/* Decodes the body. -EPROTO: too short, or not our magic. */
int hello_decode(struct hello *h, const void *body, size_t n);

/* Takes a stream of bytes apart. It says where the next bytes go, so that bodies are received into
 * the blocks that they stay in. Zero-initialise it. */
struct frame_in {
    struct frame_head head; /* valid from frame_in_got() == 1 to frame_in_next() */
    struct blk *body;       /* NULL when empty; take it by setting NULL */
    uint8_t raw[FRAME_HEAD];
    size_t got;
    bool headed;
};

size_t frame_in_want(struct frame_in *f, void **to); /* > 0 */
/* n <= wanted bytes arrived. 1: head and body are a whole frame; 0: not yet; -EPROTO; -ENOMEM. */
int frame_in_got(struct frame_in *f, size_t n);
void frame_in_next(struct frame_in *f); /* forgets the frame, drops its body */

#endif
