/*
 * test_blk.c - blocks and slices: counts, limits, and that a failed call leaves nothing behind.
 */
#include "flowkit.h"

#include <pthread.h>

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + i / 251);
}

static void alloc_gives_the_room_asked_for(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, 4097, BLK_BYTES };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct blk *b = blk_alloc(sizes[i]);

        assert_non_null(b);
        assert_true(b->cap >= sizes[i]);
        memset(b->data, 1, b->cap);
        assert_int_equal(blk_live(), 1);
        blk_unref(b);
    }
    assert_null(blk_alloc(BLK_BYTES + 1));
    assert_null(blk_alloc(SIZE_MAX));
}

static void free_blocks_that_nobody_needs_are_given_back(void **state)
{
    struct blk *b[3];

    (void)state;
    while (blk_trim())
        ; /* what other tests left */
    blk_trim();
    for (int i = 0; i < 3; i++)
        b[i] = blk_alloc(BLK_BYTES);
    for (int i = 0; i < 3; i++)
        blk_unref(b[i]);
    assert_false(blk_trim()); /* they were in use since the last time */
    b[0] = blk_alloc(BLK_BYTES);
    blk_unref(b[0]);
    assert_true(blk_trim()); /* but for the one that was needed */
    assert_ptr_equal(blk_alloc(BLK_BYTES), b[0]);
    blk_unref(b[0]);
    blk_trim();
    assert_true(blk_trim());
    assert_false(blk_trim());
}

static void a_block_lives_until_its_last_reference(void **state)
{
    struct blk *b = blk_alloc(10);

    (void)state;
    assert_ptr_equal(blk_ref(b), b);
    blk_unref(b);
    memset(b->data, 1, 10);
    assert_int_equal(blk_live(), 1);
    blk_unref(b);
    assert_int_equal(blk_live(), 0);
    blk_unref(NULL);
}

static void full_blocks_are_used_again_small_ones_do_not_grow(void **state)
{
    struct blk *b[100], *again;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(b); i++) {
        assert_non_null(b[i] = blk_alloc(BLK_BYTES));
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(b[i], b[j]);
    }
    assert_int_equal(blk_live(), ARRAY_SIZE(b));
    for (size_t i = 0; i < ARRAY_SIZE(b); i++)
        blk_unref(b[i]);
    again = blk_alloc(5000);
    assert_int_equal(again->cap, BLK_BYTES);
    blk_unref(again);
    assert_ptr_equal(blk_alloc(BLK_BYTES), again);
    blk_unref(again);
}

static void copy_splits_into_full_blocks_and_read_joins(void **state)
{
    const size_t n = 3 * BLK_BYTES + 17;
    cleanup_free char *data = malloc(n), *back = malloc(n);
    struct slices s = { 0 };
    struct iovec v[SLICES_MAX];

    (void)state;
    fill(data, n);
    assert_int_equal(slices_copy(&s, data, 0), 0);
    assert_int_equal(s.n, 0);
    assert_int_equal(slices_copy(&s, data, n), 0);
    assert_int_equal(s.n, 4);
    assert_int_equal(s.len, n);
    slices_read(&s, back);
    assert_memory_equal(data, back, n);
    assert_int_equal(slices_iov(&s, v), 4);
    assert_int_equal(v[3].iov_len, 17);
    assert_memory_equal(v[3].iov_base, data + n - 17, 17);
    slices_free(&s);
    assert_int_equal(s.n + s.len, 0);
}

static void copy_that_does_not_fit_appends_nothing(void **state)
{
    const size_t n = (size_t)(SLICES_MAX - 1) * BLK_BYTES + 1;
    cleanup_free char *data = calloc(1, n);
    struct slices s = { 0 };

    (void)state;
    assert_int_equal(slices_copy(&s, "x", 1), 0);
    assert_int_equal(slices_copy(&s, data, n), -EMSGSIZE);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.len, 1);
    assert_int_equal(slices_copy(&s, data, n - 1), 0);
    assert_int_equal(s.n, SLICES_MAX);
    assert_int_equal(slices_copy(&s, "x", 1), -EMSGSIZE);
    assert_int_equal(slices_copy(&s, "x", SIZE_MAX), -EMSGSIZE);
    slices_free(&s);
}

static void add_take_takes_unless_full(void **state)
{
    struct slices s = { 0 };
    struct blk *b = blk_alloc(100);

    (void)state;
    for (unsigned i = 0; i < SLICES_MAX; i++)
        assert_true(slices_add_take(&s, blk_ref(b), i, 2));
    assert_int_equal(s.len, 2 * SLICES_MAX);
    assert_false(slices_add_take(&s, b, 0, 1));
    assert_int_equal(s.len, 2 * SLICES_MAX);
    blk_unref(b);
    assert_int_equal(blk_live(), 1);
    slices_free(&s);
}

static void consume_drops_from_the_front(void **state)
{
    char data[300], back[300];
    struct slices s = { 0 };

    (void)state;
    fill(data, sizeof data);
    for (int i = 0; i < 3; i++)
        assert_int_equal(slices_copy(&s, data + 100 * i, 100), 0);
    slices_consume(&s, 0);
    assert_int_equal(s.n, 3);
    slices_consume(&s, 100);
    assert_int_equal(s.n, 2);
    slices_consume(&s, 130);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.len, 70);
    slices_read(&s, back);
    assert_memory_equal(back, data + 230, 70);
    assert_int_equal(blk_live(), 1);
    slices_consume(&s, 70);
    assert_int_equal(s.n + s.len, 0);
}

static void move_leaves_nothing_behind(void **state)
{
    struct slices a = { 0 }, b = { 0 };
    char back[5];

    (void)state;
    assert_int_equal(slices_copy(&a, "hello", 5), 0);
    slices_move(&b, &a);
    assert_int_equal(a.n + a.len, 0);
    slices_read(&b, back);
    assert_memory_equal(back, "hello", 5);
    slices_free(&a);
    slices_free(&b);
}

static void *churn(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    struct blk *held[8] = { 0 };

    for (int i = 0; i < 20000; i++) {
        unsigned k = (unsigned)rand_r(&seed) % ARRAY_SIZE(held);

        if (held[k] && held[k]->data[0] != (char)k)
            abort(); /* somebody else has our block */
        blk_unref(held[k]);
        held[k] = blk_alloc(i % 3 ? 5000 : 100);
        held[k]->data[0] = (char)k;
    }
    for (size_t k = 0; k < ARRAY_SIZE(held); k++)
        blk_unref(held[k]);
    return NULL;
}

static void threads_share_the_pool(void **state)
{
    pthread_t t[4];
    unsigned seed[4] = { 1, 2, 3, 4 };

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, churn, &seed[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(alloc_gives_the_room_asked_for),
        flow_test(a_block_lives_until_its_last_reference),
        flow_test(free_blocks_that_nobody_needs_are_given_back),
        flow_test(full_blocks_are_used_again_small_ones_do_not_grow),
        flow_test(copy_splits_into_full_blocks_and_read_joins),
        flow_test(copy_that_does_not_fit_appends_nothing),
        flow_test(add_take_takes_unless_full),
        flow_test(consume_drops_from_the_front),
        flow_test(move_leaves_nothing_behind),
        flow_test(threads_share_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
