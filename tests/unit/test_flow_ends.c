/*
 * test_flow_ends.c - what the ends of a flow mean to each other: end of file, EPIPE, breaks, what
 * is forgotten when none is left, broadcast, and the owner's calls.
 */
#include "flowkit.h"

static char block[100000];

static void eof_comes_once_all_writers_have_closed_and_all_was_read(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r = reader(f), *w1, *w2;
    struct req a, b;

    (void)state;
    assert_read_rc(r, -EAGAIN); /* no writer has been there */
    w1 = writer(f);
    w2 = writer(f);
    assert_int_equal(try_put(w1, "rest"), 4);
    shut(w1);
    assert_read(r, "rest");
    assert_read_rc(r, -EAGAIN); /* w2 may write */
    assert_int_equal(get(&a, r, 10), PENDING);
    assert_int_equal(get(&b, r, 10), PENDING);
    shut(w2);
    assert_int_equal(a.rc, 0);
    assert_int_equal(b.rc, 0);
    assert_read_rc(r, 0); /* and it stays so */
    w1 = writer(f);
    assert_read_rc(r, -EAGAIN); /* until another writer comes */
    assert_int_equal(try_put(w1, "more"), 4);
    shut(w1);
    assert_read(r, "more");
    assert_read_rc(r, 0);
    shut(r);
    flow_unref(f);
}

static void epipe_comes_once_readers_have_been_and_gone(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *w = writer(f), *r1, *r2;
    struct req parked, begun;

    (void)state;
    assert_int_equal(try_put(w, "0123456789"), 10); /* no reader has been there: it waits */
    assert_int_equal(put_n(&parked, w, block, 5), PENDING);
    r1 = reader(f);
    r2 = reader(f);
    shut(r1);
    assert_int_equal(parked.rc, PENDING);
    shut(r2);
    assert_int_equal(parked.rc, -EPIPE);
    assert_int_equal(parked.io.bytes.len, 5);
    slices_free(&parked.io.bytes);
    assert_int_equal(try_put(w, "x"), -EPIPE);
    assert_int_equal(try_put(w, ""), 0);
    r1 = reader(f);
    assert_read(r1, "0123456789");
    assert_int_equal(put_n(&begun, w, block, 5000), PENDING);
    shut(r1);
    assert_int_equal(begun.rc, 10); /* some bytes were taken: the next write fails */
    slices_free(&begun.io.bytes);
    assert_int_equal(try_put(w, "x"), -EPIPE);
    shut(w);
    flow_unref(f);
}

static void a_broken_writer_is_never_taken_for_eof(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r = reader(f), *other = writer(f), *w = writer(f);
    struct req parked;

    (void)state;
    assert_int_equal(try_put(w, "cut of"), 6);
    shatter(w);
    assert_read(r, "cut of");
    assert_read_rc(r, -EIO); /* at once, though the other may go on */
    assert_int_equal(get(&parked, r, 10), -EIO);
    assert_int_equal(try_put(other, "all"), 3);
    shut(other);
    assert_read(r, "all");
    assert_read_rc(r, -EIO); /* the last one closed cleanly, and still */
    w = writer(f);
    w->ops->close(w, -ENOSPC);
    assert_read_rc(r, -EIO); /* the first break counts */
    shut(r);
    flow_unref(f);
}

static void a_break_ends_parked_reads(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f);
    struct req a, b;

    (void)state;
    assert_int_equal(get(&a, r, 10), PENDING);
    assert_int_equal(get(&b, r, 10), PENDING);
    w->ops->close(w, -ECONNRESET);
    assert_int_equal(a.rc, -ECONNRESET);
    assert_int_equal(b.rc, -ECONNRESET);
    shut(r);
    flow_unref(f);
}

static void a_broken_reader_gives_epipe(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = reader(f), *other = reader(f), *w = writer(f);
    struct req parked;

    (void)state;
    assert_int_equal(try_put(w, "0123456789"), 10);
    assert_int_equal(put(&parked, w, "x"), PENDING);
    shatter(r);
    assert_int_equal(parked.rc, -EPIPE);
    slices_free(&parked.io.bytes);
    assert_int_equal(try_put(w, "x"), -EPIPE); /* though another reader is there */
    assert_read(other, "0123456789");
    assert_read_rc(other, -EAGAIN);
    shut(w);
    assert_read_rc(other, 0);
    shut(other);
    w = writer(f);
    assert_int_equal(try_put(w, "x"), 1); /* forgotten */
    shut(w);
    flow_unref(f);
}

static void bytes_and_untold_ends_outlive_the_ends(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r, *w;

    (void)state;
    for (int i = 0; i < 2; i++) {
        w = writer(f);
        assert_int_equal(try_put(w, i ? "world" : "hello "), i ? 5 : 6);
        shut(w);
        assert_false(stat_of(f).writers_been);
    }
    r = reader(f);
    assert_read_rc(r, 1);
    shut(r); /* without having seen the end of file */
    r = reader(f);
    assert_read(r, "ello world");
    assert_read_rc(r, 0);
    assert_read_rc(r, -EAGAIN); /* told: a promise of another life is told once */
    shut(r);
    r = reader(f);
    assert_read_rc(r, -EAGAIN);
    shut(r);
    w = writer(f);
    assert_int_equal(try_put(w, "x"), 1); /* readers that have been are forgotten */
    shut(w);
    flow_unref(f);
}

static void an_untold_break_outlives_the_ends(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r, *w = writer(f);

    (void)state;
    assert_int_equal(try_put(w, "cut of"), 6);
    shatter(w);
    w = writer(f);
    assert_int_equal(try_put(w, "f"), 1);
    shut(w);
    r = reader(f);
    assert_read(r, "cut off");
    assert_read_rc(r, -EIO);
    assert_read_rc(r, -EIO);
    shut(r);
    r = reader(f);
    assert_read_rc(r, -EAGAIN); /* told, so it is forgotten, and no end of file is left over */
    w = writer(f);
    shut(w);
    assert_read_rc(r, 0);
    shut(r);
    flow_unref(f);
}

static void a_break_takes_the_place_of_an_untold_eof(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r, *w = writer(f);

    (void)state;
    shut(w);
    shatter(writer(f));
    r = reader(f);
    assert_read_rc(r, -EIO);
    shut(r);
    r = reader(f);
    assert_read_rc(r, -EAGAIN);
    shut(r);
    flow_unref(f);
}

static struct stream *acting[128];

/* R r: a reader opens, closes; W w: a plain writer; Q q: a quiet one; p: it writes; x: it breaks.
 */
static void act(struct flow *f, char step)
{
    struct stream **q = &acting['Q'];

    switch (step) {
    case 'R':
        acting['R'] = reader(f);
        break;
    case 'W':
        acting['W'] = writer(f);
        break;
    case 'Q':
        *q = quiet_writer(f);
        break;
    case 'p':
        assert_int_equal(try_put(*q, "p"), 1);
        break;
    case 'x':
        shatter(*q);
        break;
    default:
        shut(acting[step - 'a' + 'A']);
    }
}

static void quiet_writers_count_once_they_matter(void **state)
{
    static const struct {
        const char *steps;
        ssize_t read; /* what a read gives then, by a new reader */
    } t[] = {
        { "Ww", 0 },   { "Qq", -EAGAIN },   { "Qpq", 1 },        { "WQwq", 0 },     { "QWwq", 0 },
        { "WwQq", 0 }, { "RrQq", -EAGAIN }, { "Qx", -EIO },      { "QRrq", 0 },     { "QRqr", 0 },
        { "RQqr", 0 }, { "RQrq", 0 },       { "QqQq", -EAGAIN }, { "Rr", -EAGAIN },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        struct flow *f = new_flow(100, FLOW_STREAM);
        struct stream *r;

        for (const char *s = t[i].steps; *s; s++)
            act(f, *s);
        r = reader(f);
        assert_read_rc(r, t[i].read);
        shut(r);
        flow_unref(f);
    }
}

static void broadcast_gives_every_reader_every_byte(void **state)
{
    struct flow *f = new_flow(10, FLOW_BROADCAST);
    struct stream *w = writer(f), *slow, *fast, *late;
    struct req parked, r;

    (void)state;
    assert_int_equal(try_put(w, "early"), 5);
    slow = reader(f);
    fast = reader(f);
    assert_read_rc(fast, -EAGAIN); /* from its open onwards */
    assert_int_equal(get(&r, fast, 10), PENDING);
    assert_int_equal(try_put(w, "12345"), 5);
    assert_got(&r, "12345");
    assert_int_equal(put(&parked, w, "678"), PENDING); /* the slowest sets the pace */
    late = reader(f);
    assert_read_rc(slow, 1);
    assert_read_rc(slow, 1);
    assert_int_equal(parked.rc, PENDING);
    assert_int_equal(stat_of(f).bytes_out, 2);
    assert_read_rc(slow, 1);
    assert_int_equal(parked.rc, 3);
    assert_read(late, "678");
    assert_read(fast, "678");
    assert_read(slow, "ly12345678");
    assert_int_equal(stat_of(f).bytes_out, 13);
    shut(w);
    assert_read_rc(slow, 0);
    assert_read_rc(late, 0);
    assert_read_rc(fast, 0);
    shut(slow);
    shut(late);
    shut(fast);
    flow_unref(f);
}

static void a_broadcast_reader_that_leaves_makes_room(void **state)
{
    struct flow *f = new_flow(5000, FLOW_BROADCAST);
    struct stream *w = writer(f), *slow = reader(f), *fast = reader(f);
    char got[20000];
    struct req parked;

    (void)state;
    assert_int_equal(put_n(&parked, w, block, 9000), PENDING);
    assert_int_equal(try_get(fast, got, 6000), 5000);
    shut(slow);
    assert_int_equal(parked.rc, 9000);
    assert_int_equal(try_get(fast, got, 6000), 4000);
    assert_int_equal(try_put(w, "kept"), 4);
    shut(fast);
    assert_int_equal(try_put(w, "x"), -EPIPE);
    fast = reader(f); /* finds no other reader: gets what is queued */
    assert_read(fast, "kept");
    shut(fast);
    shut(w);
    flow_unref(f);
}

static void broadcast_readers_wait_each_for_itself(void **state)
{
    struct flow *f = new_flow(1000000, FLOW_BROADCAST);
    struct stream *r[50], *w = writer(f);
    struct req q[50];

    (void)state;
    for (int i = 0; i < 50; i++) {
        r[i] = reader(f);
        assert_int_equal(get(&q[i], r[i], (size_t)i + 1), PENDING);
    }
    assert_int_equal(try_put_n(w, block, 70000), 70000);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(q[i].rc, i + 1);
        slices_free(&q[i].io.bytes);
    }
    assert_int_equal(stat_of(f).buffered, 69999);
    for (int i = 0; i < 50; i++)
        shut(r[i]);
    shut(w);
    assert_int_equal(stat_of(f).buffered, 69950);
    flow_unref(f);
}

static void the_mode_changes_only_when_idle(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *r = reader(f), *w;

    (void)state;
    assert_int_equal(flow_set_mode(f, FLOW_BROADCAST), -EBUSY);
    shut(r);
    w = writer(f);
    assert_int_equal(try_put(w, "x"), 1);
    assert_int_equal(flow_set_mode(f, FLOW_BROADCAST), -EBUSY);
    shut(w);
    assert_int_equal(flow_set_mode(f, FLOW_BROADCAST), -EBUSY); /* holds a byte */
    r = reader(f);
    assert_read(r, "x");
    shut(r);
    for (int i = 0; i < 4; i++) {
        struct stream *r2;

        assert_int_equal(flow_set_mode(f, i & 1 ? FLOW_STREAM : FLOW_BROADCAST), 0);
        assert_int_equal(flow_set_mode(f, i & 1 ? FLOW_STREAM : FLOW_BROADCAST), 0);
        r = reader(f);
        r2 = reader(f);
        w = writer(f);
        assert_int_equal(try_put(w, "x"), 1);
        assert_read_rc(r, 1);
        assert_read_rc(r2, i & 1 ? -EAGAIN : 1);
        shut(w);
        shut(r);
        shut(r2);
    }
    flow_unref(f);
}

static void flow_break_ends_everything(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM), *g = new_flow(10, FLOW_STREAM);
    struct stream *w = writer(f), *r = reader(g);
    struct req parked, begun, reading;

    (void)state;
    assert_int_equal(put_n(&begun, w, block, 5000), PENDING);
    assert_int_equal(put_n(&parked, w, block, 5), PENDING);
    assert_int_equal(get(&reading, r, 5), PENDING);
    flow_break(f, -ESTALE);
    flow_break(f, -EIO); /* it is broken already */
    flow_break(g, 0);    /* not an errno */
    assert_int_equal(begun.rc, -ESTALE);
    assert_int_equal(parked.rc, -ESTALE);
    assert_int_equal(reading.rc, -EIO);
    slices_free(&begun.io.bytes);
    slices_free(&parked.io.bytes);
    shut(r);
    r = reader(f);
    assert_read_rc(r, -ESTALE); /* not the bytes that were queued */
    assert_int_equal(try_put(w, "x"), -ESTALE);
    assert_int_equal(try_put(w, ""), -ESTALE);
    assert_int_equal(get(&reading, r, 0), -ESTALE);
    assert_int_equal(stat_of(f).buffered, 0);
    assert_int_equal(stat_of(f).bytes_in, 10);
    assert_int_equal(stat_of(f).bytes_out, 0);
    shut(w);
    shut(r);
    r = reader(f);
    assert_read_rc(r, -ESTALE); /* for good */
    shut(r);
    flow_unref(f);
    flow_unref(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(eof_comes_once_all_writers_have_closed_and_all_was_read),
        flow_test(epipe_comes_once_readers_have_been_and_gone),
        flow_test(a_broken_writer_is_never_taken_for_eof),
        flow_test(a_break_ends_parked_reads),
        flow_test(a_broken_reader_gives_epipe),
        flow_test(bytes_and_untold_ends_outlive_the_ends),
        flow_test(an_untold_break_outlives_the_ends),
        flow_test(a_break_takes_the_place_of_an_untold_eof),
        flow_test(quiet_writers_count_once_they_matter),
        flow_test(broadcast_gives_every_reader_every_byte),
        flow_test(a_broadcast_reader_that_leaves_makes_room),
        flow_test(broadcast_readers_wait_each_for_itself),
        flow_test(the_mode_changes_only_when_idle),
        flow_test(flow_break_ends_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
