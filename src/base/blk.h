/*
 * blk.h - reference-counted blocks of bytes, and slices of them.
 *
 * Bulk data is copied once into a block and then handed on by slices: a flow queues them, a link
 * sends and keeps them until they are acknowledged, FUSE replies from them. The bytes of a slice
 * never change while it is held. All calls may be made from any thread.
 */
#ifndef ONEOS_BASE_BLK_H
#define ONEOS_BASE_BLK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define BLK_BYTES  (128 * 1024) /* the size of a full block */
#define SLICES_MAX 16           /* slices that one request carries: 1 MiB and some crumbs */

struct blk {
    _Atomic unsigned refs;
    unsigned cap;
    char data[];
};

struct slice {
    struct blk *b; /* holds one reference */
    unsigned off, len;
};

/* Up to SLICES_MAX slices in order; `len` is their sum. Zero-initialise it. */
struct slices {
    struct slice v[SLICES_MAX];
    unsigned n;
    size_t len;
};

/* A block with room for n bytes (at most BLK_BYTES) and one reference; NULL when out of memory.
 * Blocks over 4 KiB come from a pool that keeps a bounded number of free ones. */
struct blk *blk_alloc(size_t n);
struct blk *blk_ref(struct blk *b);
void blk_unref(struct blk *b); /* NULL is allowed */

/* Gives back the free blocks that nobody needed since the last call. True: there were some. */
bool blk_trim(void);

/* Copies n bytes into fresh blocks and appends them. -ENOMEM, or -EMSGSIZE when the slices do
 * not have room; then nothing was appended. */
int slices_copy(struct slices *s, const void *data, size_t n);

/* Appends a slice, taking over the caller's reference. False when it is full: nothing taken. */
bool slices_add_take(struct slices *s, struct blk *b, unsigned off, unsigned len);

/* Drops the first n bytes (n <= len). */
void slices_consume(struct slices *s, size_t n);

/* Fills v (room for SLICES_MAX) and returns how many. */
int slices_iov(const struct slices *s, struct iovec *v);

/* Copies all of it out; the buffer must have room for s->len. */
void slices_read(const struct slices *s, void *to);

/* Moves everything from one to the other; `to` must be empty. */
void slices_move(struct slices *to, struct slices *from);
void slices_free(struct slices *s);

/* For tests that prove that nothing leaks: blocks now referenced by anybody. */
size_t blk_live(void);

#endif
