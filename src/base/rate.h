/*
 * rate.h - at most so many a second, with a burst: for what strangers cause, and for log lines
 * about it.
 */
#ifndef ONEOS_BASE_RATE_H
#define ONEOS_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* { .gap_ms = G, .burst = B }: B at once, then one every G ms. */
struct rate {
    uint32_t gap_ms, burst;
    uint64_t clear_at; /* when all of the burst is there again */
    uint64_t dropped;  /* refused since the last one that was let through; the caller may show it */
};

static inline bool rate_take(struct rate *r, uint64_t now)
{
    uint64_t from = r->clear_at > now ? r->clear_at : now;

    if (from - now > (uint64_t)r->gap_ms * (r->burst - 1)) {
        r->dropped++;
        return false;
    }
    r->clear_at = from + r->gap_ms;
    return true;
}

#endif
