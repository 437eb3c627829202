/*
 * test_linear.c - the checker of histories: it must let good ones pass and find what is planted.
 */
#include "tests/lib/linear.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NEVER LINEAR_NEVER

struct story {
    const char *name;
    bool good;
    struct linear_op ops[8]; /* client, call, ret, key, kind, a, b, result; ended by client 0 */
};

/* clang-format off */
static const struct story stories[] = {
    { "one after the other", true, {
        { 1, 1, 2, 0, LINEAR_WRITE, 7, 0, 0 }, { 1, 3, 4, 0, LINEAR_READ, 0, 0, 7 } } },
    { "0 at first", true, { { 1, 1, 2, 0, LINEAR_READ, 0, 0, 0 } } },
    { "a value that nobody wrote", false, { { 1, 1, 2, 0, LINEAR_READ, 0, 0, 7 } } },
    { "a stale read", false, {
        { 1, 1, 2, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 3, 4, 0, LINEAR_READ, 0, 0, 0 } } },
    { "a read beside a write: either", true, {
        { 1, 1, 6, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 0 },
        { 2, 4, 5, 0, LINEAR_READ, 0, 0, 7 } } },
    { "new, then old again", false, {
        { 1, 1, 6, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 7 },
        { 2, 4, 5, 0, LINEAR_READ, 0, 0, 0 } } },
    { "new, then old again, by two readers", false, {
        { 1, 1, 9, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 7 },
        { 3, 4, 5, 0, LINEAR_READ, 0, 0, 0 } } },
    { "a lost write", false, {
        { 1, 1, 2, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 3, 4, 0, LINEAR_WRITE, 8, 0, 0 },
        { 1, 5, 6, 0, LINEAR_READ, 0, 0, 7 } } },
    { "other keys are others", true, {
        { 1, 1, 2, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 3, 4, 1, LINEAR_READ, 0, 0, 0 } } },
    { "two writes at once, two readers that agree", true, {
        { 1, 1, 10, 0, LINEAR_WRITE, 1, 0, 0 }, { 2, 1, 10, 0, LINEAR_WRITE, 2, 0, 0 },
        { 3, 2, 3, 0, LINEAR_READ, 0, 0, 2 }, { 4, 4, 5, 0, LINEAR_READ, 0, 0, 1 } } },
    { "two writes at once, two readers that do not", false, {
        { 1, 1, 2, 0, LINEAR_WRITE, 1, 0, 0 }, { 2, 1, 2, 0, LINEAR_WRITE, 2, 0, 0 },
        { 3, 3, 4, 0, LINEAR_READ, 0, 0, 2 }, { 4, 3, 4, 0, LINEAR_READ, 0, 0, 1 } } },
    { "two changes from the same value", false, {
        { 1, 1, 4, 0, LINEAR_CAS, 0, 1, 1 }, { 2, 1, 4, 0, LINEAR_CAS, 0, 2, 1 } } },
    { "one of two changes fails", true, {
        { 1, 1, 4, 0, LINEAR_CAS, 0, 1, 1 }, { 2, 1, 4, 0, LINEAR_CAS, 0, 2, 0 } } },
    { "a change fails for no reason", false, { { 1, 1, 4, 0, LINEAR_CAS, 0, 1, 0 } } },
    { "carried out twice", false, {
        { 1, 1, 2, 0, LINEAR_CAS, 0, 1, 1 }, { 2, 3, 4, 0, LINEAR_CAS, 1, 0, 1 },
        { 3, 5, 6, 0, LINEAR_READ, 0, 0, 1 } } },
    { "no answer, seen late", true, {
        { 1, 1, NEVER, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 0 },
        { 2, 8, 9, 0, LINEAR_READ, 0, 0, 7 } } },
    { "no answer, never seen", true, {
        { 1, 1, NEVER, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 0 } } },
    { "no answer, seen and gone", false, {
        { 1, 1, NEVER, 0, LINEAR_WRITE, 7, 0, 0 }, { 2, 2, 3, 0, LINEAR_READ, 0, 0, 7 },
        { 2, 4, 5, 0, LINEAR_READ, 0, 0, 0 } } },
    { "no answer, seen before it was asked for", false, {
        { 2, 1, 2, 0, LINEAR_READ, 0, 0, 7 }, { 1, 3, NEVER, 0, LINEAR_WRITE, 7, 0, 0 } } },
    { "made once", true, {
        { 1, 1, 4, 0, LINEAR_CREATE, 0, 0, 0 }, { 2, 2, 3, 0, LINEAR_CREATE, 0, 0, -EEXIST },
        { 2, 5, 6, 0, LINEAR_LOOK, 0, 0, 0 } } },
    { "made twice", false, {
        { 1, 1, 4, 0, LINEAR_CREATE, 0, 0, 0 }, { 2, 2, 3, 0, LINEAR_CREATE, 0, 0, 0 } } },
    { "made, removed, made", true, {
        { 1, 1, 2, 0, LINEAR_CREATE, 0, 0, 0 }, { 2, 3, 6, 0, LINEAR_REMOVE, 0, 0, 0 },
        { 1, 4, 5, 0, LINEAR_CREATE, 0, 0, 0 }, { 2, 7, 8, 0, LINEAR_LOOK, 0, 0, 0 } } },
    { "exists after it was removed", false, {
        { 1, 1, 2, 0, LINEAR_CREATE, 0, 0, 0 }, { 2, 3, 4, 0, LINEAR_REMOVE, 0, 0, 0 },
        { 1, 5, 6, 0, LINEAR_CREATE, 0, 0, -EEXIST } } },
    { "removed what was not there", false, { { 1, 1, 2, 0, LINEAR_REMOVE, 0, 0, 0 } } },
};
/* clang-format on */

static void finds_what_is_planted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        const struct story *s = &stories[i];
        size_t n = 0;
        char why[2000] = "";

        while (s->ops[n].client)
            n++;
        if (linear_check(s->ops, n, 0, why, sizeof why) != (s->good ? LINEAR_YES : LINEAR_NO))
            fail_msg("%s: judged wrong %s", s->name, why);
        assert_true(s->good || strlen(why) > 0);
    }
}

/* ---- long ones, made by using one copy at random moments */

static uint64_t rng;

static unsigned below(unsigned n)
{
    rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)((rng >> 33) % n);
}

/* Clients overlap; each operation happens at a moment between call and return. */
static size_t make(struct linear_op *v, size_t n, unsigned clients)
{
    uint64_t free_at[16] = { 0 };
    int64_t held[4] = { 0 };
    size_t made = 0;

    for (uint64_t moment = 100; made < n; moment += 2) {
        unsigned c = below(clients), key = below(4);
        struct linear_op *op = &v[made];
        uint64_t back = below(20), on = below(20);

        if (free_at[c] + 1 >= moment)
            continue;
        back = back < moment - free_at[c] - 1 ? back : moment - free_at[c] - 1;
        *op = (struct linear_op){ .client = c + 1,
                                  .call = moment - back,
                                  .ret = moment + on,
                                  .key = key,
                                  .kind = (enum linear_kind)below(3),
                                  .a = below(5),
                                  .b = below(5) };
        if (op->kind == LINEAR_READ)
            op->result = held[key];
        if (op->kind == LINEAR_CAS)
            op->result = held[key] == op->a;
        if (op->kind == LINEAR_WRITE)
            held[key] = op->a;
        if (op->kind == LINEAR_CAS && op->result)
            held[key] = op->b;
        free_at[c] = op->ret;
        if (below(20) == 0)
            op->ret = LINEAR_NEVER;
        made++;
    }
    return made;
}

static void long_ones(void **state)
{
    struct linear_op v[400];
    char why[20000];
    unsigned found = 0;

    (void)state;
    for (rng = 1; found < 200;) {
        size_t n = make(v, 400, 8), i;

        if (linear_check(v, n, 0, why, sizeof why) != LINEAR_YES)
            fail_msg("a good history is refused: %s", why);
        do
            i = below(400);
        while (v[i].kind != LINEAR_READ || v[i].ret == LINEAR_NEVER);
        v[i].result = 99; /* never written */
        assert_int_equal(linear_check(v, n, 0, why, sizeof why), LINEAR_NO);
        found++;
    }
}

static void gives_up(void **state)
{
    struct linear_op v[40];
    char why[100];

    (void)state;
    for (unsigned i = 0; i < 39; i++)
        v[i] = (struct linear_op){ i + 1, 1, LINEAR_NEVER, 0, LINEAR_WRITE, i, 0, 0 };
    v[39] = (struct linear_op){ 40, 1, 2, 0, LINEAR_READ, 0, 0, 99 };
    assert_int_equal(linear_check(v, 40, 10000, why, sizeof why), LINEAR_GAVE_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_planted),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(gives_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
