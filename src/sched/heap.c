/*
 * heap.c - a binary heap.
 *
 * Invariants: no member is before its parent; v[i]'s place is i.
 */
#include "sched/heap.h"

#include <errno.h>
#include <stdlib.h>

static size_t *place(const struct heap *h, void *member)
{
    return (size_t *)(void *)((char *)member + h->place);
}

static void put(struct heap *h, size_t i, void *member)
{
    h->v[i] = member;
    *place(h, member) = i;
}

static void up(struct heap *h, size_t i, void *member)
{
    while (i && h->before(member, h->v[(i - 1) / 2])) {
        put(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, member);
}

static void down(struct heap *h, size_t i, void *member)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->before(h->v[child + 1], h->v[child]))
            child++;
        if (!h->before(h->v[child], member))
            break;
        put(h, i, h->v[child]);
    }
    put(h, i, member);
}

int heap_reserve(struct heap *h, size_t n)
{
    size_t cap = h->cap ? h->cap : 8;
    void **v;

    while (cap < h->n + n)
        cap *= 2;
    if (cap == h->cap)
        return 0;
    if (!(v = realloc(h->v, cap * sizeof *v)))
        return -ENOMEM;
    h->v = v;
    h->cap = cap;
    return 0;
}

int heap_add(struct heap *h, void *member)
{
    if (h->n == h->cap && heap_reserve(h, 1) < 0)
        return -ENOMEM;
    up(h, h->n++, member);
    return 0;
}

void heap_moved(struct heap *h, void *member)
{
    size_t i = *place(h, member);

    if (i && h->before(member, h->v[(i - 1) / 2]))
        up(h, i, member);
    else
        down(h, i, member);
}

void heap_remove(struct heap *h, void *member)
{
    size_t i = *place(h, member);
    void *last = h->v[--h->n];

    *place(h, member) = HEAP_OUT;
    if (last == member)
        return;
    put(h, i, last);
    heap_moved(h, last);
}

void heap_free(struct heap *h)
{
    free(h->v);
    h->v = NULL;
    h->n = h->cap = 0;
}
