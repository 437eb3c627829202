/*
 * cursor.h - little-endian integers in and out, for the coders of oneos-init's messages.
 */
#ifndef ONEOS_INIT_CURSOR_H
#define ONEOS_INIT_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void put(uint8_t **p, uint64_t v, unsigned n)
{
    for (; n > 0; n--, v >>= 8)
        *(*p)++ = (uint8_t)v;
}

/* Reads from data that came from outside; `bad` stays set after the first short read. */
struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static inline uint64_t get(struct cursor *c, unsigned n)
{
    uint64_t v = 0;

    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)*c->p++ << (8 * i);
    return v;
}

#endif
