/*
 * heap.h - a binary heap of pointers whose members know their places, so that any can be taken out.
 */
#ifndef ONEOS_SCHED_HEAP_H
#define ONEOS_SCHED_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#define HEAP_OUT ((size_t)-1) /* the place of what is in no heap */

struct heap {
    void **v;
    size_t n, cap;
    bool (*before)(const void *a, const void *b); /* a total order */
    size_t place;                                 /* offset of the members' size_t place */
};

#define HEAP_INIT(type, member, less)                                                              \
    ((struct heap){ .before = (less), .place = offsetof(type, member) })

/* Room for n more, so that as many heap_add() cannot fail. -ENOMEM. */
int heap_reserve(struct heap *h, size_t n);
int heap_add(struct heap *h, void *member); /* -ENOMEM */
void heap_remove(struct heap *h, void *member);
void heap_moved(struct heap *h, void *member); /* its order has changed */
static inline void *heap_top(const struct heap *h)
{
    return h->n ? h->v[0] : NULL;
}
void heap_free(struct heap *h); /* the members stay */

#endif
