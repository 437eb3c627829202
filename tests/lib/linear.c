/*
 * linear.c - is a history of operations linearizable? (linear.h)
 *
 * One key: its calls and returns in one list by time. Try the operations whose call stands before
 * the first return: one of them comes first in any order that explains the history. If its answer
 * fits the state, take its call and return out of the list and go on with the rest; at a return
 * that was not taken out, go back. A set of what was taken, with the state it led to, is looked at
 * once only. It ends when all that was answered is taken; what never was may be left over.
 */
#include "tests/lib/linear.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event {
    const struct linear_op *op;
    uint64_t at;
    unsigned i; /* of its operation, within the key */
    bool is_call;
    struct event *next, *prev, *match; /* call and return of the same */
};

struct seen {
    struct seen *next;
    uint64_t hash;
    int64_t state;
    uint64_t taken[];
};

struct search {
    struct event *events, head;
    size_t n, words; /* operations; of their bit set */
    size_t unanswered;
    uint64_t *taken;
    struct seen **table;
    size_t slots, n_seen, limit;
    struct {
        struct event *call;
        int64_t state; /* before it */
    } * stack;
    size_t depth, best; /* most that were ever taken */
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

/* ---- the models */

static int64_t name_result(bool ok, int rc)
{
    return ok ? 0 : rc;
}

/* The answer that a single copy would give, and the state after it. */
static int64_t answer(const struct linear_op *op, int64_t state, int64_t *after)
{
    *after = state;
    switch (op->kind) {
    case LINEAR_READ:
        return state;
    case LINEAR_WRITE:
        *after = op->a;
        return op->result;
    case LINEAR_CAS:
        if (state == op->a)
            *after = op->b;
        return state == op->a;
    case LINEAR_CREATE:
        *after = 1;
        return name_result(!state, -EEXIST);
    case LINEAR_REMOVE:
        *after = 0;
        return name_result(state, -ENOENT);
    case LINEAR_LOOK:
        return name_result(state, -ENOENT);
    }
    abort();
}

static bool fits(const struct linear_op *op, int64_t state, int64_t *after)
{
    return answer(op, state, after) == op->result || op->ret == LINEAR_NEVER;
}

/* ---- the list */

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (int)y->is_call - (int)x->is_call; /* at the same time they overlap */
}

static void take_out(struct event *e)
{
    e->prev->next = e->next;
    if (e->next)
        e->next->prev = e->prev;
}

static void put_back(struct event *e)
{
    e->prev->next = e;
    if (e->next)
        e->next->prev = e;
}

/* Both ends of each operation; one that was never answered returns after everything. */
static void lay_out(struct search *s, const struct linear_op *const *ops)
{
    struct event **call = must(calloc(s->n, sizeof(struct event *)));

    for (size_t i = 0; i < s->n; i++) {
        s->events[2 * i] = (struct event){ ops[i], ops[i]->call, (unsigned)i, true, 0, 0, 0 };
        s->events[2 * i + 1] = (struct event){ ops[i], ops[i]->ret, (unsigned)i, false, 0, 0, 0 };
        s->unanswered += ops[i]->ret == LINEAR_NEVER;
    }
    qsort(s->events, 2 * s->n, sizeof s->events[0], by_time);
    for (size_t i = 0; i < 2 * s->n; i++) {
        struct event *e = &s->events[i];

        e->prev = i ? e - 1 : &s->head;
        e->prev->next = e;
        if (e->is_call) {
            call[e->i] = e;
        } else {
            e->match = call[e->i];
            call[e->i]->match = e;
        }
    }
    free(call);
}

/* ---- what was seen */

static uint64_t hash_of(const struct search *s, int64_t state)
{
    uint64_t h = (uint64_t)state * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < s->words; i++) {
        h ^= s->taken[i];
        h *= UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return h;
}

static void grow(struct search *s)
{
    size_t slots = s->slots ? s->slots * 2 : 256;
    struct seen **table = must(calloc(slots, sizeof(struct seen *)));

    for (size_t i = 0; i < s->slots; i++)
        for (struct seen *e = s->table[i], *next; e; e = next) {
            next = e->next;
            e->next = table[e->hash % slots];
            table[e->hash % slots] = e;
        }
    free(s->table);
    s->table = table;
    s->slots = slots;
}

/* True the first time. */
static bool is_new(struct search *s, int64_t state)
{
    uint64_t hash = hash_of(s, state);
    struct seen *e;

    if (s->n_seen >= s->slots)
        grow(s);
    for (e = s->table[hash % s->slots]; e; e = e->next)
        if (e->hash == hash && e->state == state &&
            memcmp(e->taken, s->taken, s->words * sizeof s->taken[0]) == 0)
            return false;
    e = must(malloc(sizeof *e + s->words * sizeof e->taken[0]));
    e->hash = hash;
    e->state = state;
    memcpy(e->taken, s->taken, s->words * sizeof e->taken[0]);
    e->next = s->table[hash % s->slots];
    s->table[hash % s->slots] = e;
    s->n_seen++;
    return true;
}

static void forget(struct search *s)
{
    for (size_t i = 0; i < s->slots; i++)
        for (struct seen *e = s->table[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    free(s->table);
    free(s->events);
    free(s->taken);
    free(s->stack);
}

/* ---- the search */

static void flip(struct search *s, unsigned i)
{
    s->taken[i / 64] ^= UINT64_C(1) << (i % 64);
}

static enum linear_verdict search(struct search *s)
{
    struct event *e = s->head.next;
    int64_t state = 0, after;
    size_t answered = 0, answers = s->n - s->unanswered;

    while (answered < answers) {
        if (s->n_seen > s->limit)
            return LINEAR_GAVE_UP;
        if (e->is_call) {
            bool ok = fits(e->op, state, &after);

            flip(s, e->i);
            if (ok && is_new(s, after)) {
                s->stack[s->depth].call = e;
                s->stack[s->depth++].state = state;
                answered += e->op->ret != LINEAR_NEVER;
                s->best = answered > s->best ? answered : s->best;
                state = after;
                take_out(e);
                take_out(e->match);
                e = s->head.next;
                continue;
            }
            flip(s, e->i);
            e = e->next;
            continue;
        }
        if (s->depth == 0)
            return LINEAR_NO;
        e = s->stack[--s->depth].call;
        state = s->stack[s->depth].state;
        answered -= e->op->ret != LINEAR_NEVER;
        flip(s, e->i);
        put_back(e->match);
        put_back(e);
        e = e->next;
    }
    return LINEAR_YES;
}

/* ---- keys */

static const char *const kind_names[] = {
    [LINEAR_READ] = "read",     [LINEAR_WRITE] = "write",   [LINEAR_CAS] = "cas",
    [LINEAR_CREATE] = "create", [LINEAR_REMOVE] = "remove", [LINEAR_LOOK] = "look",
};

static void explain(const struct linear_op *const *ops, size_t n, size_t best, char *why,
                    size_t size)
{
    size_t len = 0;

    if (!why || size == 0)
        return;
    len += (size_t)snprintf(why, size, "key %u: no order explains more than %zu of %zu\n",
                            (unsigned)ops[0]->key, best, n);
    for (size_t i = 0; i < n && len < size; i++) {
        const struct linear_op *op = ops[i];
        char ret[24] = "never";

        if (op->ret != LINEAR_NEVER)
            snprintf(ret, sizeof ret, "%" PRIu64, op->ret);
        len += (size_t)snprintf(
            why + len, size - len,
            "  client %u, %" PRIu64 " to %s: %s %" PRId64 " %" PRId64 " = %" PRId64 "\n",
            op->client, op->call, ret, kind_names[op->kind], op->a, op->b, op->result);
    }
}

static enum linear_verdict check_key(const struct linear_op *const *ops, size_t n, size_t limit,
                                     char *why, size_t size)
{
    struct search s = { .n = n, .words = (n + 63) / 64, .limit = limit };
    enum linear_verdict verdict;

    s.events = must(calloc(2 * n, sizeof *s.events));
    s.taken = must(calloc(s.words, sizeof *s.taken));
    s.stack = must(calloc(n, sizeof *s.stack));
    lay_out(&s, ops);
    verdict = search(&s);
    if (verdict != LINEAR_YES)
        explain(ops, n, s.best, why, size);
    forget(&s);
    return verdict;
}

static int by_key(const void *a, const void *b)
{
    const struct linear_op *x = *(const struct linear_op *const *)a;
    const struct linear_op *y = *(const struct linear_op *const *)b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

enum linear_verdict linear_check(const struct linear_op *ops, size_t n, size_t limit, char *why,
                                 size_t why_size)
{
    const struct linear_op **v = must(calloc(n + 1, sizeof *v));
    enum linear_verdict verdict = LINEAR_YES, one;
    size_t from, to;

    for (size_t i = 0; i < n; i++)
        v[i] = &ops[i];
    qsort(v, n, sizeof(struct linear_op *), by_key);
    for (from = 0; from < n && verdict != LINEAR_NO; from = to) {
        for (to = from; to < n && v[to]->key == v[from]->key;)
            to++;
        one = check_key(v + from, to - from, limit ? limit : 1000000, why, why_size);
        if (one != LINEAR_YES)
            verdict = one;
    }
    free(v);
    return verdict;
}
