/*
 * fit.h - machines side by side, and the best of them for one part of a job.
 *
 * Each machine has a slot. What is compared lies in arrays, and each 64 slots have a summary, so
 * that a look at 10,000 machines skips what cannot be it. Sets of machines are bits, one a slot.
 */
#ifndef ONEOS_SCHED_FIT_H
#define ONEOS_SCHED_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIT_NEVER UINT64_MAX

struct fit_block {
    int64_t cpu, memory;  /* the most that one of its slots has free */
    uint32_t least, most; /* busy, of its slots */
    uint32_t first;       /* the lowest rank among them */
};

struct fit {
    size_t n, cap;         /* slots; cap is a multiple of 64 */
    int64_t *cpu, *memory; /* free: not promised */
    uint32_t *busy;        /* whole cores that are promised or in use */
    uint32_t *rank;        /* of its id among all ids: the lower wins a tie */
    uint64_t *soonest_us;  /* when the first of what runs there must end; FIT_NEVER */
    uint64_t *open;        /* may get something */
    uint64_t *kept;        /* ...but only who may use what is kept for another */
    struct fit_block *blocks;
};

static inline bool bit_get(const uint64_t *set, size_t i)
{
    return set[i / 64] >> (i % 64) & 1;
}
static inline void bit_put(uint64_t *set, size_t i, bool on)
{
    uint64_t bit = 1ull << (i % 64);

    set[i / 64] = on ? set[i / 64] | bit : set[i / 64] & ~bit;
}

/* Makes set of old_cap bits one of cap bits; the new ones are 0. -ENOMEM: it is as it was. */
int bits_grow(uint64_t **set, size_t old_cap, size_t cap);

/* One more slot, closed and full: its number, or -ENOMEM. */
int fit_add(struct fit *f);
/* cap for one slot more. */
size_t fit_cap_next(const struct fit *f);
void fit_set(struct fit *f, size_t slot, int64_t cpu, int64_t memory, uint32_t busy);
/* After ranks were given anew. */
void fit_ranked(struct fit *f);
void fit_free(struct fit *f);

/* What is looked for: a slot that is open, not kept, in each of the sets, has cpu and memory free,
 * and that `also` (may be NULL) takes. */
struct fit_query {
    int64_t cpu, memory;
    const uint64_t *const *sets;
    size_t n_sets;
    bool pack;
    bool (*also)(void *arg, size_t slot);
    void *arg;
};

/* The least busy one (pack: the busiest), of equal ones the lowest rank; -1: there is none. */
long fit_best(const struct fit *f, const struct fit_query *q);

/* Whether the slot is what is looked for, but for being kept. */
bool fit_takes(const struct fit *f, const struct fit_query *q, size_t slot);

/* The next slot from `from` on that is open and in each of the sets; -1. */
long fit_next(const struct fit *f, const uint64_t *const *sets, size_t n_sets, size_t from);
/* ...and has so much free. */
long fit_next_room(const struct fit *f, const uint64_t *const *sets, size_t n_sets, size_t from,
                   int64_t cpu, int64_t memory);

#endif
