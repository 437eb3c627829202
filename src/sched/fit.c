/*
 * fit.c - the best machine for one part of a job: filter and score over arrays.
 *
 * Invariant: a block's cpu and memory are not less than any of its slots has free, least and most
 * embrace the busy of all of them. What a closed slot has counts too: the bits sort it out.
 */
#include "sched/fit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 };

int bits_grow(uint64_t **set, size_t old_cap, size_t cap)
{
    uint64_t *v = realloc(*set, (cap + BLOCK - 1) / BLOCK * sizeof *v);

    if (!v)
        return -ENOMEM;
    memset(v + old_cap / BLOCK, 0, (cap - old_cap) / BLOCK * sizeof *v);
    *set = v;
    return 0;
}

static int grow(void *array, size_t cap, size_t size)
{
    void **v = array, *bigger = realloc(*v, cap * size);

    if (!bigger)
        return -ENOMEM;
    *v = bigger;
    return 0;
}

size_t fit_cap_next(const struct fit *f)
{
    return f->n < f->cap ? f->cap : f->cap ? 2 * f->cap : BLOCK;
}

static int make_room(struct fit *f)
{
    size_t cap = fit_cap_next(f);

    if (cap == f->cap)
        return 0;
    if (grow(&f->cpu, cap, sizeof *f->cpu) < 0 || grow(&f->memory, cap, sizeof *f->memory) < 0 ||
        grow(&f->busy, cap, sizeof *f->busy) < 0 || grow(&f->rank, cap, sizeof *f->rank) < 0 ||
        grow(&f->soonest_us, cap, sizeof *f->soonest_us) < 0 ||
        grow(&f->blocks, cap / BLOCK, sizeof *f->blocks) < 0 ||
        bits_grow(&f->open, f->cap, cap) < 0 || bits_grow(&f->kept, f->cap, cap) < 0)
        return -ENOMEM;
    for (size_t b = f->cap / BLOCK; b < cap / BLOCK; b++)
        f->blocks[b] = (struct fit_block){ 0, 0, 0, UINT32_MAX, 0 };
    f->cap = cap;
    return 0;
}

int fit_add(struct fit *f)
{
    size_t slot = f->n;

    if (make_room(f) < 0)
        return -ENOMEM;
    f->n++;
    f->cpu[slot] = f->memory[slot] = 0;
    f->busy[slot] = 0;
    f->rank[slot] = (uint32_t)slot;
    f->soonest_us[slot] = FIT_NEVER;
    bit_put(f->open, slot, false);
    bit_put(f->kept, slot, false);
    return (int)slot;
}

/* The summary once more, of all its slots. */
static void summarise(struct fit *f, size_t b)
{
    size_t end = (b + 1) * BLOCK < f->n ? (b + 1) * BLOCK : f->n;
    struct fit_block s = { INT64_MIN, INT64_MIN, UINT32_MAX, 0, UINT32_MAX };

    for (size_t i = b * BLOCK; i < end; i++) {
        s.cpu = f->cpu[i] > s.cpu ? f->cpu[i] : s.cpu;
        s.memory = f->memory[i] > s.memory ? f->memory[i] : s.memory;
        s.least = f->busy[i] < s.least ? f->busy[i] : s.least;
        s.most = f->busy[i] > s.most ? f->busy[i] : s.most;
        s.first = f->rank[i] < s.first ? f->rank[i] : s.first;
    }
    f->blocks[b] = s;
}

void fit_set(struct fit *f, size_t slot, int64_t cpu, int64_t memory, uint32_t busy)
{
    f->cpu[slot] = cpu;
    f->memory[slot] = memory;
    f->busy[slot] = busy;
    summarise(f, slot / BLOCK);
}

void fit_ranked(struct fit *f)
{
    for (size_t b = 0; b * BLOCK < f->n; b++)
        summarise(f, b);
}

void fit_free(struct fit *f)
{
    free(f->cpu);
    free(f->memory);
    free(f->busy);
    free(f->rank);
    free(f->soonest_us);
    free(f->open);
    free(f->kept);
    free(f->blocks);
    memset(f, 0, sizeof *f);
}

static uint64_t bits_of(const struct fit *f, const uint64_t *const *sets, size_t n_sets, size_t b)
{
    uint64_t bits = f->open[b];

    for (size_t k = 0; k < n_sets && bits; k++)
        bits &= sets[k][b];
    return bits;
}

static bool has_room(const struct fit *f, const struct fit_query *q, size_t slot)
{
    return f->cpu[slot] >= q->cpu && f->memory[slot] >= q->memory &&
           (!q->also || q->also(q->arg, slot));
}

/* Whether a, which is that busy, beats the best so far. */
static bool beats(const struct fit *f, const struct fit_query *q, size_t a, long best)
{
    if (best < 0)
        return true;
    if (f->busy[a] != f->busy[best])
        return q->pack ? f->busy[a] > f->busy[best] : f->busy[a] < f->busy[best];
    return f->rank[a] < f->rank[best];
}

static bool hopeless(const struct fit *f, const struct fit_query *q, const struct fit_block *s,
                     long best)
{
    if (s->cpu < q->cpu || s->memory < q->memory)
        return true;
    if (best < 0)
        return false;
    if ((q->pack ? s->most : s->least) == f->busy[best])
        return s->first > f->rank[best];
    return q->pack ? s->most < f->busy[best] : s->least > f->busy[best];
}

long fit_best(const struct fit *f, const struct fit_query *q)
{
    long best = -1;

    for (size_t b = 0; b * BLOCK < f->n; b++) {
        uint64_t bits;

        if (hopeless(f, q, &f->blocks[b], best))
            continue;
        bits = bits_of(f, q->sets, q->n_sets, b) & ~f->kept[b];
        for (; bits; bits &= bits - 1) {
            size_t i = b * BLOCK + (size_t)__builtin_ctzll(bits);

            if (f->cpu[i] >= q->cpu && beats(f, q, i, best) && has_room(f, q, i))
                best = (long)i;
        }
    }
    return best;
}

bool fit_takes(const struct fit *f, const struct fit_query *q, size_t slot)
{
    return bits_of(f, q->sets, q->n_sets, slot / BLOCK) >> (slot % BLOCK) & 1 &&
           has_room(f, q, slot);
}

long fit_next_room(const struct fit *f, const uint64_t *const *sets, size_t n_sets, size_t from,
                   int64_t cpu, int64_t memory)
{
    for (size_t b = from / BLOCK; b * BLOCK < f->n; b++) {
        uint64_t bits;

        if (f->blocks[b].cpu < cpu || f->blocks[b].memory < memory)
            continue;
        bits = bits_of(f, sets, n_sets, b);
        if (b == from / BLOCK)
            bits &= ~0ull << (from % BLOCK);
        for (; bits; bits &= bits - 1) {
            size_t i = b * BLOCK + (size_t)__builtin_ctzll(bits);

            if (f->cpu[i] >= cpu && f->memory[i] >= memory)
                return (long)i;
        }
    }
    return -1;
}

long fit_next(const struct fit *f, const uint64_t *const *sets, size_t n_sets, size_t from)
{
    return fit_next_room(f, sets, n_sets, from, INT64_MIN, INT64_MIN);
}
