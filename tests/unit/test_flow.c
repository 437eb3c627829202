/*
 * test_flow.c - how bytes and requests pass a flow: waiting, order, room, slices, cancel.
 * What ends mean to each other is in test_flow_ends.c.
 */
#include "flowkit.h"

static char block[2 * 1024 * 1024];

/* One reader and one writer. */
struct pair {
    struct flow *f;
    struct stream *r, *w;
};

static struct pair new_pair(size_t capacity)
{
    struct pair p = { .f = new_flow(capacity, FLOW_STREAM) };

    p.r = reader(p.f);
    p.w = writer(p.f);
    return p;
}

static void pair_free(struct pair *p)
{
    shut(p->w);
    shut(p->r);
    flow_unref(p->f);
}

/* Reads and drops n bytes. */
static void drain(struct stream *r, size_t n)
{
    static char sink[65536];

    while (n) {
        ssize_t got = try_get(r, sink, n < sizeof sink ? n : sizeof sink);

        assert_true(got > 0);
        n -= (size_t)got;
    }
}

static void read_waits_for_data(void **state)
{
    struct pair p = new_pair(100);
    struct req r, w;

    (void)state;
    assert_int_equal(get(&r, p.r, 10), PENDING);
    assert_int_equal(put(&w, p.w, "hello"), 5);
    assert_got(&r, "hello");
    assert_int_equal(w.io.bytes.len, 0);
    assert_int_equal(put(&w, p.w, "more than ten"), 13);
    assert_int_equal(get(&r, p.r, 10), 10);
    assert_got(&r, "more than ");
    assert_read(p.r, "ten");
    pair_free(&p);
}

static void a_flow_outlives_its_owner_while_an_end_is_open(void **state)
{
    struct pair p = new_pair(100);

    (void)state;
    flow_unref(p.f);
    assert_int_equal(try_put(p.w, "hello"), 5);
    shut(p.w);
    assert_read(p.r, "hello");
    assert_read_rc(p.r, 0);
    shut(p.r);
    flow_unref(NULL);
}

static void bytes_that_nobody_reads_are_freed_with_the_flow(void **state)
{
    struct flow *f = new_flow(sizeof block, FLOW_STREAM);
    struct stream *w = writer(f);

    (void)state;
    assert_int_equal(try_put_n(w, block, 300000), 300000);
    assert_int_equal(try_put(w, "small"), 5);
    shut(w);
    flow_unref(f);
}

static void write_waits_while_capacity_bytes_are_queued(void **state)
{
    struct pair p = new_pair(10000);
    struct req w;

    (void)state;
    assert_int_equal(put_n(&w, p.w, block, 30000), PENDING);
    assert_int_equal(stat_of(p.f).buffered, 10000);
    for (int left = 20000; left > 0; left -= 10) {
        drain(p.r, 10);
        assert_int_equal(stat_of(p.f).buffered, 10000);
        assert_int_equal(w.rc, left > 10 ? PENDING : 30000);
    }
    drain(p.r, 10000);
    pair_free(&p);
}

static void large_writes_go_in_piecewise_small_ones_whole(void **state)
{
    static const struct {
        size_t capacity, queued, n;
        ssize_t nonblock;
    } t[] = {
        { 10000, 0, 4096, 4096 },       { 10000, 5904, 4096, 4096 },
        { 10000, 5905, 4096, -EAGAIN }, { 10000, 5905, 4097, 4095 },
        { 10000, 9999, 1, 1 },          { 10000, 10000, 1, -EAGAIN },
        { 10000, 9999, 5000, 1 },       { 10000, 10000, 5000, -EAGAIN },
        { 10000, 0, 200000, 10000 },    { 1000, 0, 4096, 4096 },
        { 1000, 1, 1000, -EAGAIN },     { 1000, 0, 5000, 1000 },
        { 1, 0, 4096, 4096 },           { 1, 0, 4097, 1 },
        { 300000, 9, 400000, 299991 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        struct pair p = new_pair(t[i].capacity);

        if (t[i].queued)
            assert_int_equal(try_put_n(p.w, block, t[i].queued), t[i].queued);
        assert_int_equal(try_put_n(p.w, block, t[i].n), t[i].nonblock);
        pair_free(&p);
    }
}

static void a_small_write_larger_than_capacity_waits_for_an_empty_queue(void **state)
{
    struct pair p = new_pair(10);
    struct req w;

    (void)state;
    assert_int_equal(try_put(p.w, "ab"), 2);
    assert_int_equal(put(&w, p.w, "longer than ten"), PENDING);
    assert_read_rc(p.r, 1);
    assert_int_equal(w.rc, PENDING);
    assert_read_rc(p.r, 1);
    assert_int_equal(w.rc, 15);
    assert_read(p.r, "longer than ten");
    pair_free(&p);
}

static void no_write_overtakes_a_parked_one(void **state)
{
    struct pair p = new_pair(10000);
    struct stream *other = writer(p.f);
    struct req big, small;
    char got[30000];

    (void)state;
    memset(block, 'B', 20000);
    assert_int_equal(put_n(&big, p.w, block, 20000), PENDING);
    assert_int_equal(put(&small, other, "s"), PENDING);
    drain(p.r, 5000);
    assert_int_equal(try_put(other, "n"), -EAGAIN);
    drain(p.r, 5000);
    assert_int_equal(big.rc, 20000);
    assert_int_equal(small.rc, PENDING);
    assert_int_equal(try_get(p.r, got, sizeof got), 10000);
    assert_null(memchr(got, 's', 10000));
    assert_int_equal(small.rc, 1);
    assert_read(p.r, "s");
    shut(other);
    pair_free(&p);
}

static void parked_writers_and_readers_are_served_in_order(void **state)
{
    struct pair p = new_pair(1);
    struct req w[20], r[20];
    char text[2] = "";

    (void)state;
    assert_int_equal(try_put(p.w, "!"), 1);
    for (int i = 0; i < 20; i++) {
        text[0] = (char)('a' + i);
        assert_int_equal(put(&w[i], p.w, text), PENDING);
    }
    assert_read(p.r, "!");
    for (int i = 0; i < 20; i++) {
        text[0] = (char)('a' + i);
        assert_int_equal(w[i].rc, 1);
        assert_read(p.r, text);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(get(&r[i], p.r, 1), PENDING);
    for (int i = 0; i < 20; i++) {
        text[0] = (char)('a' + i);
        assert_int_equal(put(&w[i], p.w, text), 1);
        assert_got(&r[i], text);
        assert_int_equal(i < 19 ? r[i + 1].rc : PENDING, PENDING);
    }
    pair_free(&p);
}

static void one_write_serves_several_parked_readers(void **state)
{
    struct pair p = new_pair(3);
    struct req r[4], w;
    cleanup_free char *text = strdup("aabbcc");

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(get(&r[i], p.r, 2), PENDING);
    assert_int_equal(put(&w, p.w, text), 6);
    assert_got(&r[0], "aa");
    assert_got(&r[1], "bb");
    assert_got(&r[2], "cc");
    assert_true(p.r->ops->cancel(p.r, &r[3].io));
    pair_free(&p);
}

static void reads_and_writes_of_nothing_answer_zero(void **state)
{
    struct pair p = new_pair(4);
    struct req r, w;

    (void)state;
    assert_int_equal(get(&r, p.r, 0), 0);
    assert_int_equal(put(&w, p.w, ""), 0);
    assert_int_equal(try_put(p.w, "full"), 4);
    assert_int_equal(put(&w, p.w, ""), 0);
    assert_int_equal(get(&r, p.r, 0), 0);
    assert_read(p.r, "full");
    pair_free(&p);
}

static void a_read_into_something_is_refused(void **state)
{
    struct pair p = new_pair(4);
    struct req r;

    (void)state;
    req_init(&r, false);
    r.io.size = 4;
    assert_int_equal(slices_copy(&r.io.bytes, "x", 1), 0);
    p.r->ops->read(p.r, &r.io);
    assert_int_equal(r.rc, -EINVAL);
    slices_free(&r.io.bytes);
    assert_null(p.r->ops->write);
    assert_null(p.w->ops->read);
    pair_free(&p);
}

static void nonblock_answers_at_once(void **state)
{
    struct pair p = new_pair(4);

    (void)state;
    assert_read_rc(p.r, -EAGAIN);
    assert_int_equal(try_put(p.w, "12345"), 5);
    assert_int_equal(try_put(p.w, "6"), -EAGAIN);
    assert_read(p.r, "12345");
    assert_read_rc(p.r, -EAGAIN);
    pair_free(&p);
}

static void slices_never_change_while_held(void **state)
{
    struct pair p = new_pair(100);
    struct req r;

    (void)state;
    assert_int_equal(try_put(p.w, "first"), 5);
    assert_int_equal(try_put(p.w, "second"), 6);
    assert_int_equal(get(&r, p.r, 5), 5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(try_put(p.w, "third"), 5);
        assert_read(p.r, i ? "third" : "secondthird");
    }
    assert_got(&r, "first");
    pair_free(&p);
}

static void small_writes_share_a_slice(void **state)
{
    struct pair p = new_pair(1000000);
    struct req r;

    (void)state;
    for (int i = 0; i < 50000; i++)
        assert_int_equal(try_put(p.w, "0123456789"), 10);
    assert_true(blk_live() <= 6);
    assert_int_equal(get(&r, p.r, 1000000), 500000);
    assert_true(r.io.bytes.n <= 6);
    slices_free(&r.io.bytes);
    pair_free(&p);
}

static void large_writes_are_not_copied(void **state)
{
    struct pair p = new_pair(1000000);
    struct slices s = { 0 };
    struct req r, w;
    struct blk *b;

    (void)state;
    req_init(&w, false);
    assert_int_equal(slices_copy(&w.io.bytes, block, 65536), 0);
    b = w.io.bytes.v[0].b;
    p.w->ops->write(p.w, &w.io);
    assert_int_equal(w.rc, 65536);
    assert_int_equal(get(&r, p.r, 1000), 1000);
    assert_ptr_equal(r.io.bytes.v[0].b, b);
    slices_move(&s, &r.io.bytes);
    assert_int_equal(get(&r, p.r, 1000000), 64536);
    assert_ptr_equal(r.io.bytes.v[0].b, b);
    assert_int_equal(r.io.bytes.v[0].off, 1000);
    slices_free(&r.io.bytes);
    slices_free(&s);
    pair_free(&p);
}

static void a_read_gives_at_most_all_slices(void **state)
{
    struct pair p = new_pair(sizeof block);
    struct req r, w;
    struct blk *b = blk_alloc(BLK_BYTES);

    (void)state;
    /* Slices that do not join: each write starts with the end of the block. */
    for (int i = 0; i < 20; i++) {
        req_init(&w, false);
        assert_true(slices_add_take(&w.io.bytes, blk_ref(b), 60000, 65536));
        assert_true(slices_add_take(&w.io.bytes, blk_ref(b), 0, 10));
        assert_true(slices_add_take(&w.io.bytes, blk_ref(b), 0, 0));
        p.w->ops->write(p.w, &w.io);
        assert_int_equal(w.rc, 65546);
        assert_int_equal(w.io.bytes.n, 0);
    }
    blk_unref(b);
    assert_int_equal(get(&r, p.r, sizeof block), SLICES_MAX / 2 * 65546);
    assert_int_equal(r.io.bytes.n, SLICES_MAX);
    slices_free(&r.io.bytes);
    assert_int_equal(get(&r, p.r, sizeof block), SLICES_MAX / 2 * 65546);
    slices_free(&r.io.bytes);
    assert_int_equal(get(&r, p.r, sizeof block), 4 * 65546);
    slices_free(&r.io.bytes);
    pair_free(&p);
}

static ssize_t get_whole(struct stream *s, size_t n)
{
    struct req r;

    req_init(&r, true);
    r.io.size = n;
    r.io.whole = true;
    s->ops->read(s, &r.io);
    slices_free(&r.io.bytes);
    return r.rc;
}

static void a_whole_read_ends_between_small_writes(void **state)
{
    struct pair p = new_pair(1000000);

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(try_put_n(p.w, block, 3000), 3000);
    assert_int_equal(try_put_n(p.w, block, 70000), 70000);
    assert_int_equal(try_put_n(p.w, block, 4096), 4096);
    assert_int_equal(get_whole(p.r, 5999), 3000);
    assert_int_equal(get_whole(p.r, 10), 10); /* it cannot do better */
    assert_int_equal(get_whole(p.r, 2990 + 3000 + 5), 2990 + 3000 + 5);
    assert_int_equal(get_whole(p.r, 69995 + 4095), 69995);
    assert_int_equal(get_whole(p.r, 5000), 4096);
    pair_free(&p);
}

static void cancel_takes_a_parked_request_back(void **state)
{
    struct pair p = new_pair(10000);
    struct req r, w;

    (void)state;
    assert_int_equal(get(&r, p.r, 10), PENDING);
    assert_false(p.w->ops->cancel(p.w, &r.io)); /* not parked there */
    assert_true(p.r->ops->cancel(p.r, &r.io));
    assert_false(p.r->ops->cancel(p.r, &r.io));
    assert_int_equal(put_n(&w, p.w, block, 15000), PENDING);
    assert_int_equal(r.answers, 0);
    assert_true(p.w->ops->cancel(p.w, &w.io));
    assert_int_equal(w.io.moved, 10000);
    assert_int_equal(w.io.bytes.len, 5000);
    slices_free(&w.io.bytes);
    drain(p.r, 10000);
    assert_int_equal(w.answers, 0);
    assert_int_equal(put(&w, p.w, "x"), 1);
    assert_false(p.w->ops->cancel(p.w, &w.io));
    drain(p.r, 1);
    pair_free(&p);
}

static void cancel_lets_the_next_write_in(void **state)
{
    struct pair p = new_pair(5000);
    struct req big, small;

    (void)state;
    assert_int_equal(try_put_n(p.w, block, 2000), 2000);
    assert_int_equal(put_n(&big, p.w, block, 4000), PENDING);
    assert_int_equal(put_n(&small, p.w, block, 3000), PENDING);
    assert_true(p.w->ops->cancel(p.w, &big.io));
    slices_free(&big.io.bytes);
    assert_int_equal(small.rc, 3000);
    drain(p.r, 5000);
    pair_free(&p);
}

static void more_capacity_lets_writes_in(void **state)
{
    struct pair p = new_pair(10);
    struct req w;

    (void)state;
    assert_int_equal(put_n(&w, p.w, block, 5000), PENDING);
    flow_set_capacity(p.f, 20);
    assert_int_equal(stat_of(p.f).buffered, 20);
    flow_set_capacity(p.f, 0); /* refused: it would stop the flow for ever */
    flow_set_capacity(p.f, 5);
    drain(p.r, 15);
    assert_int_equal(stat_of(p.f).buffered, 5);
    flow_set_capacity(p.f, 5000);
    assert_int_equal(w.rc, 5000);
    drain(p.r, 5000 - 15);
    pair_free(&p);
}

static void bad_capacity_and_mode_are_refused(void **state)
{
    struct flow *f = NULL;

    (void)state;
    assert_int_equal(flow_create(&f, 0, FLOW_STREAM), -EINVAL);
    assert_int_equal(flow_create(&f, 1, (enum flow_mode)7), -EINVAL);
    assert_null(f);
    f = new_flow(1, FLOW_STREAM);
    assert_int_equal(flow_set_mode(f, (enum flow_mode)7), -EINVAL);
    flow_unref(f);
}

/* A pump made of answers only: each submits the next request. */
struct chain {
    struct ioreq io;
    struct stream *s;
    unsigned left, depth, *deepest;
};

static void next_read(struct chain *c)
{
    c->io.size = 3;
    c->s->ops->read(c->s, &c->io);
}

static void chain_read(struct ioreq *io, ssize_t rc)
{
    struct chain *c = container_of(io, struct chain, io);

    assert_true(rc > 0);
    slices_free(&io->bytes);
    if (++c->depth > *c->deepest)
        *c->deepest = c->depth;
    if (--c->left)
        next_read(c);
    c->depth--;
}

static void next_write(struct chain *c)
{
    assert_int_equal(slices_copy(&c->io.bytes, "abc", 3), 0);
    c->s->ops->write(c->s, &c->io);
}

static void chain_write(struct ioreq *io, ssize_t rc)
{
    struct chain *c = container_of(io, struct chain, io);

    assert_int_equal(rc, 3);
    if (++c->depth > *c->deepest)
        *c->deepest = c->depth;
    if (--c->left)
        next_write(c);
    c->depth--;
}

static void a_chain_of_answers_does_not_nest(void **state)
{
    struct pair p = new_pair(100);
    unsigned deepest = 0;
    struct chain r = { .io.done = chain_read, .s = p.r, .left = 200000, .deepest = &deepest };
    struct chain w = { .io.done = chain_write, .s = p.w, .left = 200000, .deepest = &deepest };

    (void)state;
    next_read(&r);
    next_write(&w);
    assert_int_equal(r.left + w.left, 0);
    assert_int_equal(deepest, 1);
    pair_free(&p);
}

static void close_from_done(struct ioreq *io, ssize_t rc)
{
    struct chain *c = container_of(io, struct chain, io);

    slices_free(&io->bytes);
    c->left = rc == 1 ? 0 : 99;
    shut(c->s);
}

static void an_end_may_be_closed_from_its_answer(void **state)
{
    struct pair p = new_pair(100);
    struct chain r = { .io = { .done = close_from_done, .size = 1 }, .s = p.r, .left = 1 };
    struct chain w = { .io.done = close_from_done, .s = p.w, .left = 1 };

    (void)state;
    flow_unref(p.f);
    p.r->ops->read(p.r, &r.io);
    assert_int_equal(slices_copy(&w.io.bytes, "x", 1), 0);
    p.w->ops->write(p.w, &w.io);
    assert_int_equal(r.left + w.left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(read_waits_for_data),
        flow_test(a_flow_outlives_its_owner_while_an_end_is_open),
        flow_test(bytes_that_nobody_reads_are_freed_with_the_flow),
        flow_test(write_waits_while_capacity_bytes_are_queued),
        flow_test(large_writes_go_in_piecewise_small_ones_whole),
        flow_test(a_small_write_larger_than_capacity_waits_for_an_empty_queue),
        flow_test(no_write_overtakes_a_parked_one),
        flow_test(parked_writers_and_readers_are_served_in_order),
        flow_test(one_write_serves_several_parked_readers),
        flow_test(reads_and_writes_of_nothing_answer_zero),
        flow_test(a_read_into_something_is_refused),
        flow_test(nonblock_answers_at_once),
        flow_test(slices_never_change_while_held),
        flow_test(small_writes_share_a_slice),
        flow_test(large_writes_are_not_copied),
        flow_test(a_read_gives_at_most_all_slices),
        flow_test(a_whole_read_ends_between_small_writes),
        flow_test(cancel_takes_a_parked_request_back),
        flow_test(cancel_lets_the_next_write_in),
        flow_test(more_capacity_lets_writes_in),
        flow_test(bad_capacity_and_mode_are_refused),
        flow_test(a_chain_of_answers_does_not_nest),
        flow_test(an_end_may_be_closed_from_its_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
