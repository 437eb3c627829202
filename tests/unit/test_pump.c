/*
 * test_pump.c - bytes moved from a stream to another, and stopped in each of its states.
 */
#include "base/tell.h"
#include "run/pump.h"

#include "streams_kit.h"

struct pumped {
    _Atomic int calls;
    _Atomic int rc;
};

static void on_pump_end(void *arg, int rc)
{
    struct pumped *p = arg;

    p->rc = rc;
    p->calls++;
}

static void a_pump_moves_everything_and_can_go_on(void **state)
{
    struct kit *k = *state;
    struct pumped told = { 0 };
    struct flow *a = new_flow(MIB), *b = new_flow(4 * MIB);
    struct stream *w = writer(a), *r = reader(b);
    cleanup_free char *much = malloc(MIB);
    cleanup_free char *got = malloc(MIB);
    struct pump *p;

    assert_int_equal(pump_start(&p, k->loop, reader(a), NULL, writer(b), on_pump_end, &told), 0);
    pattern_fill(much, 0, MIB);
    assert_int_equal(rwrite(w, much, MIB), MIB);
    shut(w);
    await(told.calls == 1);
    assert_int_equal(told.rc, 0);
    w = writer(a);
    assert_int_equal(rwrite(w, much, 10), 10);
    pump_resume(p);
    for (uint64_t at = 0; at < MIB;) {
        ssize_t n = rread(r, got, MIB - at);

        assert_true(n > 0);
        assert_pattern(got, at, (size_t)n);
        at += (uint64_t)n;
    }
    assert_int_equal(rread(r, got, MIB), 10);
    shut(w);
    await(told.calls == 2);
    pump_end(p, 0);
    assert_end(r, 0);
    shut(r);
    assert_int_equal(ends_of(a) + ends_of(b), 0);
    flow_unref(a);
    flow_unref(b);
}

static void a_pump_tells_what_broke(void **state)
{
    struct kit *k = *state;
    struct pumped told = { 0 };
    struct flow *a = new_flow(MIB), *b = new_flow(MIB);
    struct stream *w = writer(a), *r = reader(b);
    struct pump *p;

    assert_int_equal(pump_start(&p, k->loop, reader(a), NULL, writer(b), on_pump_end, &told), 0);
    w->ops->close(w, -EIO);
    await(told.calls == 1);
    assert_int_equal(told.rc, -EIO);
    pump_end(p, -EIO);
    assert_end(r, -EIO); /* it must not be taken for an end of file */
    shut(r);
    flow_unref(a);
    flow_unref(b);
}

static void a_pump_stops_while_it_reads_and_while_it_writes(void **state)
{
    struct kit *k = *state;

    for (int writing = 0; writing < 2; writing++) {
        struct pumped told = { 0 };
        struct flow *a = new_flow(MIB), *b = new_flow(1000);
        struct stream *w = writer(a), *r = reader(b);
        cleanup_free char *much = calloc(1, MIB);
        struct pump *p;

        assert_int_equal(pump_start(&p, k->loop, reader(a), NULL, writer(b), on_pump_end, &told),
                         0);
        if (writing)
            assert_int_equal(rwrite(w, much, MIB), MIB);
        pump_stop(p, -EIO);
        assert_int_equal(ends_of(a) + ends_of(b), 2);
        assert_int_equal(told.calls, 0);
        shut(w);
        shut(r);
        flow_unref(a);
        flow_unref(b);
    }
}

/* A stream whose pump is stopped while a write is on its way into it: it parks just behind that. */
struct late {
    struct stream stream;
    struct pump *pump;
    struct ioreq *parked;
    _Atomic int closed;
};

static void late_write(struct stream *s, struct ioreq *io)
{
    struct late *l = container_of(s, struct late, stream);

    pump_stop(l->pump, -EIO);
    l->parked = io;
}

static bool late_cancel(struct stream *s, struct ioreq *io)
{
    struct late *l = container_of(s, struct late, stream);
    bool parked = l->parked == io;

    l->parked = NULL;
    return parked;
}

static void late_close(struct stream *s, int how)
{
    assert_int_equal(how, -EIO);
    container_of(s, struct late, stream)->closed++;
}

static void a_pump_stops_between_its_streams(void **state)
{
    static const struct stream_ops ops = { .write = late_write,
                                           .cancel = late_cancel,
                                           .close = late_close };
    struct kit *k = *state;
    struct pumped told = { 0 };
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f);
    struct late late = { .stream.ops = &ops };

    assert_int_equal(
        pump_start(&late.pump, k->loop, reader(f), NULL, &late.stream, on_pump_end, &told), 0);
    assert_int_equal(rwrite(w, "x", 1), 1);
    assert_int_equal(late.closed, 1);
    assert_int_equal(ends_of(f), 1);
    kit_sync(k);
    assert_int_equal(told.calls, 0);
    shut(w);
    flow_unref(f);
}

struct feeder {
    struct stream *w, *r;
    _Atomic bool stop;
};

static void *feed(void *arg)
{
    struct feeder *f = arg;
    char text[100] = "";

    while (!f->stop && rwrite(f->w, text, sizeof text) > 0)
        continue;
    return NULL;
}

static void *drain(void *arg)
{
    struct feeder *f = arg;
    char got[1000];

    while (rread(f->r, got, sizeof got) > 0)
        continue;
    return NULL;
}

/* The request is anywhere, also between the two streams. */
static void a_pump_stops_in_full_run(void **state)
{
    struct kit *k = *state;

    for (int round = 0; round < 200; round++) {
        struct pumped told = { 0 };
        struct flow *a = new_flow(200), *b = new_flow(200);
        struct feeder f = { .w = writer(a), .r = reader(b) };
        pthread_t threads[2];
        struct pump *p;

        assert_int_equal(pump_start(&p, k->loop, reader(a), NULL, writer(b), on_pump_end, &told),
                         0);
        pthread_create(&threads[0], NULL, feed, &f);
        pthread_create(&threads[1], NULL, drain, &f);
        nanosleep(&(struct timespec){ .tv_nsec = round * 3001 % 400000 }, NULL);
        pump_stop(p, -EIO);
        f.stop = true;
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        await(ends_of(a) == 1 && ends_of(b) == 1); /* both of the pump's are closed */
        assert_int_equal(told.calls, 0);
        shut(f.w);
        shut(f.r);
        flow_unref(a);
        flow_unref(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_pump_moves_everything_and_can_go_on),
        kit_test(a_pump_tells_what_broke),
        kit_test(a_pump_stops_while_it_reads_and_while_it_writes),
        kit_test(a_pump_stops_between_its_streams),
        kit_test(a_pump_stops_in_full_run),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
