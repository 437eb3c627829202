/*
 * fqueue.h - the bytes that a flow has queued, and the places where its readers are.
 *
 * A list of pieces, each a slice of a block, numbered by absolute offsets from the first byte ever
 * put in. Bytes before the slowest cursor are dropped; without any cursor all are kept. No lock
 * in here: the flow's covers it.
 */
#ifndef ONEOS_BASE_FQUEUE_H
#define ONEOS_BASE_FQUEUE_H

#include "base/blk.h"

/* A write of at most this many bytes stays in one piece. */
#define FQUEUE_ATOM 4096

struct fpiece;

struct fcursor {
    uint64_t at;                 /* the next byte to take */
    struct fpiece *p;            /* where that byte is; NULL when at == tail */
    struct fcursor *prev, *next; /* private; NULL when not in a queue */
};

/* Zero-initialise it. */
struct fqueue {
    uint64_t head, tail; /* offsets of the first byte kept and of the next one put in */
    struct fpiece *first, *last;
    struct fpiece *spare; /* pieces to use again */
    unsigned nspare;
    struct blk *room; /* what is copied goes here, from `fill` on; may be NULL */
    unsigned fill;
    struct fcursor *cursors; /* roughly the one that has waited longest first */
};

/* Moves the first n bytes of `from` (1 <= n <= from->len) to the end of the queue: by copying
 * them, with atom (then n <= FQUEUE_ATOM) as bytes that stay together, or by taking over the
 * blocks. Returns n or -ENOMEM; linking may have moved fewer than n before memory ran out. */
ssize_t fqueue_copy(struct fqueue *q, struct slices *from, size_t n, bool atom);
ssize_t fqueue_link(struct fqueue *q, struct slices *from, size_t n);

/* Places a cursor: after everything queued, but the only one before it. */
void fqueue_join(struct fqueue *q, struct fcursor *c);
void fqueue_leave(struct fqueue *q, struct fcursor *c);

/* Appends up to max bytes to `to` and moves the cursor on. Returns how many: fewer than asked for
 * when the queue has no more, `to` has no slice left, or, with whole, when an atom would be cut
 * that can go as a whole next time. */
size_t fqueue_take(struct fqueue *q, struct fcursor *c, struct slices *to, size_t max, bool whole);

/* Drops all bytes; cursors stay, at the end. */
void fqueue_clear(struct fqueue *q);

/* Drops everything; no cursor may be left that is used again. */
void fqueue_free(struct fqueue *q);

static inline size_t fqueue_len(const struct fqueue *q)
{
    return (size_t)(q->tail - q->head);
}

#endif
