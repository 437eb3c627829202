/*
 * fqueue.c - the bytes that a flow has queued.
 *
 * Copied bytes go into the unused room of one block of the queue's own; what has been handed to
 * readers lies before `fill` and never changes. Small writes share a piece while it has at most
 * FQUEUE_ATOM bytes, so that single bytes do not cost a piece each and yet no piece of that kind
 * needs to be cut inside a small write.
 *
 * Invariants: the pieces cover [first piece's at, tail) without a gap, head lies in the first one,
 * and every piece ends after head. head is the least cursor's place when there is a cursor. A
 * cursor's p holds the byte at its place, and is NULL exactly when it is at the tail. An empty
 * queue holds no block.
 */
#include "base/fqueue.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define SPARE_MAX 64

struct fpiece {
    struct fpiece *next;
    struct blk *b;
    unsigned off, len;
    uint64_t at;
    bool atom;
};

static uint64_t piece_end(const struct fpiece *p)
{
    return p->at + p->len;
}

static struct fpiece *piece_alloc(struct fqueue *q)
{
    struct fpiece *p = q->spare;

    if (!p)
        return malloc(sizeof *p);
    q->spare = p->next;
    q->nspare--;
    return p;
}

static void piece_free(struct fqueue *q, struct fpiece *p)
{
    if (q->nspare == SPARE_MAX) {
        free(p);
        return;
    }
    p->next = q->spare;
    q->spare = p;
    q->nspare++;
}

/* Drops what every cursor has passed. */
static void trim(struct fqueue *q, uint64_t head)
{
    struct fpiece *p;

    q->head = head;
    while ((p = q->first) && piece_end(p) <= head) {
        q->first = p->next;
        blk_unref(p->b);
        piece_free(q, p);
    }
    if (q->first)
        return;
    q->last = NULL;
    blk_unref(q->room);
    q->room = NULL;
}

static uint64_t least_cursor(const struct fqueue *q)
{
    uint64_t least = q->tail;
    const struct fcursor *c;

    DL_FOREACH(q->cursors, c)
    {
        if (c->at < least)
            least = c->at;
        if (least == q->head)
            break;
    }
    return least;
}

static bool extends(const struct fpiece *p, const struct blk *b, unsigned off, unsigned len,
                    bool atom)
{
    return p && p->b == b && p->off + p->len == off && p->atom == atom &&
           (!atom || p->len + len <= FQUEUE_ATOM);
}

/* Adds a slice at the tail, taking its own reference. */
static bool append(struct fqueue *q, struct blk *b, unsigned off, unsigned len, bool atom)
{
    struct fpiece *p = q->last;

    if (len == 0)
        return true;
    if (extends(p, b, off, len, atom)) {
        p->len += len;
        q->tail += len;
        return true;
    }
    p = piece_alloc(q);
    if (!p)
        return false;
    *p = (struct fpiece){ .b = blk_ref(b), .off = off, .len = len, .at = q->tail, .atom = atom };
    if (q->last)
        q->last->next = p;
    else
        q->first = p;
    q->last = p;
    q->tail += len;
    return true;
}

/* Cursors that stood at the tail, `last` being the last piece then, see what came after it. */
static void show(struct fqueue *q, struct fpiece *last, uint64_t tail)
{
    struct fpiece *p = last ? last : q->first;
    struct fcursor *c;

    if (q->tail == tail)
        return;
    if (piece_end(p) <= tail)
        p = p->next;
    DL_FOREACH(q->cursors, c)
    {
        if (!c->p)
            c->p = p;
    }
}

/* Makes a block with room for n bytes the one to copy into. */
static bool make_room(struct fqueue *q, size_t n)
{
    bool small = q->head == q->tail && n <= FQUEUE_ATOM;
    struct blk *b = blk_alloc(small ? FQUEUE_ATOM : BLK_BYTES);

    if (!b)
        return false;
    blk_unref(q->room);
    q->room = b;
    q->fill = 0;
    return true;
}

/* Copies n bytes into the room, which has it, and consumes them. */
static bool copy_in(struct fqueue *q, struct slices *from, size_t n, bool atom)
{
    struct slices part = { .len = n };
    size_t left = n;

    if (!append(q, q->room, q->fill, (unsigned)n, atom))
        return false;
    for (unsigned i = 0; left; i++, part.n++) {
        part.v[i] = from->v[i];
        if (part.v[i].len > left)
            part.v[i].len = (unsigned)left;
        left -= part.v[i].len;
    }
    slices_read(&part, q->room->data + q->fill);
    q->fill += (unsigned)n;
    slices_consume(from, n);
    return true;
}

ssize_t fqueue_copy(struct fqueue *q, struct slices *from, size_t n, bool atom)
{
    const uint64_t tail = q->tail;
    struct fpiece *last = q->last;
    size_t left = n;

    while (left) {
        size_t part = q->room ? q->room->cap - q->fill : 0;

        if (part == 0 || (atom && part < left)) {
            if (!make_room(q, left))
                break;
            part = q->room->cap;
        }
        if (part > left)
            part = left;
        if (!copy_in(q, from, part, atom))
            break;
        left -= part;
    }
    show(q, last, tail);
    if (q->head == q->tail)
        trim(q, q->head);
    return left < n ? (ssize_t)(n - left) : -ENOMEM;
}

ssize_t fqueue_link(struct fqueue *q, struct slices *from, size_t n)
{
    const uint64_t tail = q->tail;
    struct fpiece *last = q->last;
    size_t done = 0;

    for (unsigned i = 0; done < n; i++) {
        const struct slice *s = &from->v[i];
        unsigned part = s->len < n - done ? s->len : (unsigned)(n - done);

        if (!append(q, s->b, s->off, part, false))
            break;
        done += part;
    }
    slices_consume(from, done);
    show(q, last, tail);
    return done ? (ssize_t)done : -ENOMEM;
}

void fqueue_join(struct fqueue *q, struct fcursor *c)
{
    bool first = !q->cursors;

    c->at = first ? q->head : q->tail;
    c->p = first ? q->first : NULL;
    DL_APPEND(q->cursors, c);
}

void fqueue_leave(struct fqueue *q, struct fcursor *c)
{
    DL_DELETE(q->cursors, c);
    if (q->cursors && c->at == q->head)
        trim(q, least_cursor(q));
}

static bool hand_out(struct slices *to, struct blk *b, unsigned off, unsigned len)
{
    struct slice *s = to->n ? &to->v[to->n - 1] : NULL;

    if (s && s->b == b && s->off + s->len == off) {
        s->len += len;
        to->len += len;
        return true;
    }
    if (to->n == SLICES_MAX)
        return false;
    return slices_add_take(to, blk_ref(b), off, len);
}

size_t fqueue_take(struct fqueue *q, struct fcursor *c, struct slices *to, size_t max, bool whole)
{
    const uint64_t from = c->at;
    size_t got = 0;

    while (c->p && got < max) {
        struct fpiece *p = c->p;
        unsigned skip = (unsigned)(c->at - p->at), len = p->len - skip;
        bool cut = len > max - got;

        if (cut && whole && p->atom && got)
            break;
        if (cut)
            len = (unsigned)(max - got);
        if (!hand_out(to, p->b, p->off + skip, len))
            break;
        got += len;
        c->at += len;
        if (!cut)
            c->p = p->next;
    }
    if (q->cursors->next) {
        DL_DELETE(q->cursors, c);
        DL_APPEND(q->cursors, c);
    }
    if (from == q->head)
        trim(q, least_cursor(q));
    return got;
}

void fqueue_clear(struct fqueue *q)
{
    struct fcursor *c;

    DL_FOREACH(q->cursors, c)
    {
        c->at = q->tail;
        c->p = NULL;
    }
    trim(q, q->tail);
}

void fqueue_free(struct fqueue *q)
{
    struct fpiece *p;

    fqueue_clear(q);
    while ((p = q->spare)) {
        q->spare = p->next;
        free(p);
    }
    q->nspare = 0;
}
