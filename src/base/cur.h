/*
 * cur.h - cursors over bytes: big-endian fields, bounded, with a sticky failure.
 *
 * Take or put every field, then check `bad` once.
 */
#ifndef ONEOS_BASE_CUR_H
#define ONEOS_BASE_CUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Reads from p up to end; after a failure every field is zero. */
struct rcur {
    const uint8_t *p, *end;
    bool bad;
};

/* Writes from p up to end; after a failure nothing is written. */
struct wcur {
    uint8_t *p, *end;
    bool bad;
};

static inline bool rcur_has(struct rcur *c, size_t n)
{
    if (c->bad || (size_t)(c->end - c->p) < n)
        c->bad = true;
    return !c->bad;
}

static inline uint64_t rcur_uint(struct rcur *c, size_t n)
{
    uint64_t v = 0;

    if (!rcur_has(c, n))
        return 0;
    while (n--)
        v = v << 8 | *c->p++;
    return v;
}

static inline void rcur_bytes(struct rcur *c, void *to, size_t n)
{
    if (!rcur_has(c, n)) {
        memset(to, 0, n);
        return;
    }
    memcpy(to, c->p, n);
    c->p += n;
}

/* A text with its length in one byte; empty, with NULs or not fitting (size with NUL) is bad. */
static inline void rcur_text(struct rcur *c, char *to, size_t size)
{
    size_t n = (size_t)rcur_uint(c, 1);

    to[0] = '\0';
    if (n == 0 || n >= size || !rcur_has(c, n) || memchr(c->p, 0, n)) {
        c->bad = true;
        return;
    }
    memcpy(to, c->p, n);
    to[n] = '\0';
    c->p += n;
}

static inline bool wcur_has(struct wcur *c, size_t n)
{
    if (c->bad || (size_t)(c->end - c->p) < n)
        c->bad = true;
    return !c->bad;
}

static inline void wcur_uint(struct wcur *c, uint64_t v, size_t n)
{
    if (!wcur_has(c, n))
        return;
    while (n--)
        *c->p++ = (uint8_t)(v >> (8 * n));
}

static inline void wcur_bytes(struct wcur *c, const void *from, size_t n)
{
    if (!wcur_has(c, n))
        return;
    memcpy(c->p, from, n);
    c->p += n;
}

static inline void wcur_text(struct wcur *c, const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n > 255)
        c->bad = true;
    wcur_uint(c, n, 1);
    wcur_bytes(c, text, n);
}

#endif
