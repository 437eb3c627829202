/*
 * blk.c - blocks of bytes with a reference count, and slices of them.
 *
 * Full blocks are recycled through a short stack of free ones, because giving 128 KiB back to the
 * kernel and faulting it in again costs more than copying it. The last freed is used first: it is
 * the one that the caches still know.
 *
 * Invariants: a block in the pool has cap == BLK_BYTES and no references; nobody may touch its
 * bytes (under ASan they are poisoned). A slice lies within its block and holds one reference.
 */
#include "base/blk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define SMALL    4096 /* blocks up to this size are left to malloc */
#define POOL_MAX 64   /* free full blocks kept: 8 MiB */

static struct {
    pthread_mutex_t lock;
    struct blk *free[POOL_MAX];
    unsigned n, idle; /* idle: so many were never taken since the last blk_trim() */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static atomic_size_t live;

static struct blk *pool_take(void)
{
    struct blk *b;

    pthread_mutex_lock(&pool.lock);
    b = pool.n ? pool.free[--pool.n] : NULL;
    if (pool.idle > pool.n)
        pool.idle = pool.n;
    pthread_mutex_unlock(&pool.lock);
    if (b)
        ASAN_UNPOISON_MEMORY_REGION(b->data, b->cap);
    return b;
}

/* False when the pool is full: the block is still the caller's. */
static bool pool_put(struct blk *b)
{
    bool room;

    pthread_mutex_lock(&pool.lock);
    room = pool.n < POOL_MAX;
    if (room) {
        ASAN_POISON_MEMORY_REGION(b->data, b->cap);
        pool.free[pool.n++] = b;
    }
    pthread_mutex_unlock(&pool.lock);
    return room;
}

struct blk *blk_alloc(size_t n)
{
    size_t cap = n > SMALL ? BLK_BYTES : n;
    struct blk *b = NULL;

    if (n > BLK_BYTES)
        return NULL;
    if (cap == BLK_BYTES)
        b = pool_take();
    if (!b)
        b = malloc(sizeof *b + cap);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->cap = (unsigned)cap;
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return b;
}

struct blk *blk_ref(struct blk *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blk_unref(struct blk *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    if (b->cap == BLK_BYTES && pool_put(b))
        return;
    free(b);
}

bool blk_trim(void)
{
    struct blk *drop[POOL_MAX];
    unsigned n;

    /* The first ones are those at the bottom: they were freed longest ago. */
    pthread_mutex_lock(&pool.lock);
    n = pool.idle;
    memcpy(drop, pool.free, n * sizeof *drop);
    pool.n -= n;
    memmove(pool.free, pool.free + n, pool.n * sizeof *drop);
    pool.idle = pool.n;
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < n; i++) {
        ASAN_UNPOISON_MEMORY_REGION(drop[i]->data, drop[i]->cap);
        free(drop[i]);
    }
    return n > 0;
}

size_t blk_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

int slices_copy(struct slices *s, const void *data, size_t n)
{
    const unsigned before = s->n;
    const size_t before_len = s->len;
    const char *from = data;

    if (n > (size_t)(SLICES_MAX - s->n) * BLK_BYTES)
        return -EMSGSIZE;
    while (n) {
        unsigned part = n < BLK_BYTES ? (unsigned)n : BLK_BYTES;
        struct blk *b = blk_alloc(part);

        if (!b)
            goto undo;
        memcpy(b->data, from, part);
        slices_add_take(s, b, 0, part);
        from += part;
        n -= part;
    }
    return 0;
undo:
    while (s->n > before)
        blk_unref(s->v[--s->n].b);
    s->len = before_len;
    return -ENOMEM;
}

bool slices_add_take(struct slices *s, struct blk *b, unsigned off, unsigned len)
{
    if (s->n == SLICES_MAX)
        return false;
    s->v[s->n++] = (struct slice){ b, off, len };
    s->len += len;
    return true;
}

void slices_consume(struct slices *s, size_t n)
{
    unsigned gone = 0;

    s->len -= n;
    while (gone < s->n && n >= s->v[gone].len) {
        n -= s->v[gone].len;
        blk_unref(s->v[gone++].b);
    }
    s->n -= gone;
    if (gone)
        memmove(s->v, s->v + gone, s->n * sizeof *s->v);
    if (n) {
        s->v[0].off += (unsigned)n;
        s->v[0].len -= (unsigned)n;
    }
}

int slices_iov(const struct slices *s, struct iovec *v)
{
    for (unsigned i = 0; i < s->n; i++)
        v[i] = (struct iovec){ s->v[i].b->data + s->v[i].off, s->v[i].len };
    return (int)s->n;
}

void slices_read(const struct slices *s, void *to)
{
    char *p = to;

    for (unsigned i = 0; i < s->n; i++) {
        memcpy(p, s->v[i].b->data + s->v[i].off, s->v[i].len);
        p += s->v[i].len;
    }
}

void slices_move(struct slices *to, struct slices *from)
{
    memcpy(to->v, from->v, from->n * sizeof *from->v);
    to->n = from->n;
    to->len = from->len;
    from->n = 0;
    from->len = 0;
}

void slices_free(struct slices *s)
{
    while (s->n)
        blk_unref(s->v[--s->n].b);
    s->len = 0;
}
