/*
 * test_sink.c - a stream whose bytes go to a descriptor, and stopped in each of its states.
 */
#include "run/sink.h"

#include "streams_kit.h"

struct told {
    _Atomic int calls;
    _Atomic bool broken;
};

static void on_sink_end(void *arg, bool broken)
{
    struct told *t = arg;

    t->broken = broken;
    t->calls++;
}

static bool closed_at_reader(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    poll(&p, 1, 0);
    return (p.revents & POLLHUP) && !(p.revents & POLLIN);
}

static void sink_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    nonblocking(ends[1]);
}

static void a_sink_delivers_and_closes_at_the_end(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct sink *s;
    char got[16];
    int ends[2];

    sink_pipe(ends);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    assert_int_equal(rwrite(w, "hello", 5), 5);
    assert_int_equal(read(ends[0], got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
    shut(w);
    assert_int_equal(read(ends[0], got, sizeof got), 0);
    assert_int_equal(told.calls, 1);
    assert_false(told.broken);
    sink_stop(s);
    close(ends[0]);
    flow_unref(f);
}

static void a_sink_tells_a_broken_stream_from_its_end(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct sink *s;
    int ends[2];

    sink_pipe(ends);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    w->ops->close(w, -EIO);
    await(told.calls == 1);
    assert_true(told.broken);
    sink_stop(s);
    close(ends[0]);
    flow_unref(f);
}

static void writers_hear_that_nobody_reads_the_sink(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct sink *s;
    int ends[2];

    sink_pipe(ends);
    close(ends[0]);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    assert_int_equal(rwrite(w, "x", 1), 1);
    await(told.calls == 1 && ends_of(f) == 1);
    assert_int_equal(rwrite(w, "x", 1), -EPIPE);
    shut(w);
    sink_stop(s);
    flow_unref(f);
}

static void a_sink_stops_while_it_reads(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct sink *s;
    int ends[2];

    sink_pipe(ends);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    sink_stop(s);
    await(closed_at_reader(ends[0]));
    await(ends_of(f) == 1);
    assert_int_equal(told.calls, 0);
    shut(w);
    close(ends[0]);
    flow_unref(f);
}

static void a_sink_stops_while_the_descriptor_is_full(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(4 * MIB);
    struct stream *w = writer(f);
    cleanup_free char *much = calloc(1, MIB);
    cleanup_free char *got = malloc(MIB);
    struct sink *s;
    int ends[2];
    ssize_t n;

    sink_pipe(ends);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    assert_int_equal(rwrite(w, much, MIB), MIB);
    await(poll(&(struct pollfd){ .fd = ends[1], .events = POLLOUT }, 1, 0) == 0);
    sink_stop(s);
    await(ends_of(f) == 1);
    while ((n = read(ends[0], got, MIB)) > 0)
        continue;
    assert_int_equal(n, 0);
    assert_int_equal(told.calls, 0);
    shut(w);
    close(ends[0]);
    flow_unref(f);
}

static void a_slow_process_gets_every_byte(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    cleanup_free char *much = malloc(MIB);
    cleanup_free char *got = malloc(MIB);
    struct rreq r;
    struct sink *s;
    size_t at = 0;
    int ends[2];
    ssize_t n;

    sink_pipe(ends);
    assert_int_equal(sink_start(&s, k->loop, reader(f), ends[1], on_sink_end, &told), 0);
    pattern_fill(much, 0, MIB);
    rreq_init(&r, 0);
    slices_copy(&r.io.bytes, much, MIB);
    w->ops->write(w, &r.io);
    rreq_wait(&r);
    shut(w);
    while ((n = read(ends[0], got, 7777)) > 0) {
        assert_pattern(got, at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(at, MIB);
    sink_stop(s);
    close(ends[0]);
    flow_unref(f);
}

static void a_sink_that_cannot_watch_breaks(void **state)
{
    struct kit *k = *state;
    struct told told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct sink *s;

    assert_int_equal(sink_start(&s, k->loop, reader(f),
                                open("/proc/self/exe", O_RDONLY | O_CLOEXEC), on_sink_end, &told),
                     0);
    await(told.calls == 1);
    assert_true(told.broken);
    await(ends_of(f) == 1);
    sink_stop(s);
    shut(w);
    flow_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_sink_delivers_and_closes_at_the_end),
        kit_test(a_sink_tells_a_broken_stream_from_its_end),
        kit_test(writers_hear_that_nobody_reads_the_sink),
        kit_test(a_sink_stops_while_it_reads),
        kit_test(a_sink_stops_while_the_descriptor_is_full),
        kit_test(a_slow_process_gets_every_byte),
        kit_test(a_sink_that_cannot_watch_breaks),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
