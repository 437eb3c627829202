/*
 * test_streams.c - sink, pump and later: streams put together, and stopped in each of their states.
 */
#include "base/flow.h"
#include "base/tell.h"
#include "run/later.h"
#include "run/pump.h"
#include "run/sink.h"

#include "runkit.h"

#define MIB (1024 * 1024)

static struct flow *new_flow(size_t capacity)
{
    struct flow *f;

    assert_int_equal(flow_create(&f, capacity, FLOW_STREAM), 0);
    return f;
}

static struct stream *reader(struct flow *f)
{
    struct stream *s;

    assert_int_equal(flow_open_reader(f, &s), 0);
    return s;
}

static struct stream *writer(struct flow *f)
{
    struct stream *s;

    assert_int_equal(flow_open_writer(f, false, &s), 0);
    return s;
}

static void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

/* Writes a text; waits for it. */
static ssize_t rwrite(struct stream *s, const void *data, size_t n)
{
    struct rreq r;
    ssize_t rc;

    rreq_init(&r, 0);
    assert_int_equal(slices_copy(&r.io.bytes, data, n), 0);
    s->ops->write(s, &r.io);
    rc = rreq_wait(&r);
    slices_free(&r.io.bytes);
    return rc;
}

static size_t ends_of(struct flow *f)
{
    struct flow_stat st;

    flow_stat(f, &st);
    return st.readers + st.writers;
}

/* ---- sink */

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

/* ---- pump */

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

/* ---- later */

static void requests_wait_for_what_is_found(void **state)
{
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f), *s;
    struct rreq a, b;
    struct later *l;

    (void)state;
    assert_int_equal(later_create(&l, &s), 0);
    assert_true(later_wanted(l));
    rreq_init(&a, 1);
    rreq_init(&b, 1);
    s->ops->read(s, &a.io);
    s->ops->read(s, &b.io);
    assert_false(rreq_answered(&a));
    assert_int_equal(rwrite(w, "12", 2), 2);
    later_found(l, reader(f), 0);
    assert_int_equal(rreq_wait(&a), 1);
    assert_int_equal(rreq_wait(&b), 1);
    assert_int_equal(*(a.io.bytes.v[0].b->data + a.io.bytes.v[0].off), '1');
    assert_int_equal(*(b.io.bytes.v[0].b->data + b.io.bytes.v[0].off), '2');
    slices_free(&a.io.bytes);
    slices_free(&b.io.bytes);
    shut(w);
    assert_end(s, 0);
    shut(s);
    flow_unref(f);
}

static void what_was_not_found_fails(void **state)
{
    struct stream *s;
    struct later *l;
    struct rreq r;

    (void)state;
    assert_int_equal(later_create(&l, &s), 0);
    rreq_init(&r, 1);
    s->ops->read(s, &r.io);
    later_found(l, NULL, -EHOSTUNREACH);
    assert_int_equal(rreq_wait(&r), -EHOSTUNREACH);
    assert_end(s, -EHOSTUNREACH);
    assert_true(s->ops->poll(s, NULL) & POLLERR);
    shut(s);
}

static void a_waiting_request_is_taken_back(void **state)
{
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f), *s;
    struct later *l;
    struct rreq r;

    (void)state;
    assert_int_equal(later_create(&l, &s), 0);
    rreq_init(&r, 1);
    s->ops->read(s, &r.io);
    assert_true(s->ops->cancel(s, &r.io));
    assert_false(s->ops->cancel(s, &r.io));
    r.io.nonblock = true;
    s->ops->read(s, &r.io);
    assert_int_equal(rreq_wait(&r), -EAGAIN);
    rreq_init(&r, 1);
    s->ops->read(s, &r.io);
    later_found(l, reader(f), 0);
    assert_true(s->ops->cancel(s, &r.io)); /* the target has it */
    shut(s);
    shut(w);
    flow_unref(f);
}

static void a_stream_closed_early_closes_what_is_found(void **state)
{
    struct flow *f = new_flow(MIB);
    struct stream *s;
    struct later *l;

    (void)state;
    assert_int_equal(later_create(&l, &s), 0);
    shut(s);
    assert_false(later_wanted(l));
    later_found(l, reader(f), 0);
    assert_int_equal(ends_of(f), 0);
    flow_unref(f);
}

struct watcher {
    struct iowatch w;
    struct stream *s;
    _Atomic unsigned fires;
    _Atomic short events;
};

static void poll_again(struct iowatch *w)
{
    struct watcher *p = container_of(w, struct watcher, w);

    p->fires++;
    p->events = p->s->ops->poll(p->s, w);
}

static void a_poller_follows_to_what_is_found(void **state)
{
    struct flow *f = new_flow(MIB);
    struct stream *w = writer(f), *s;
    struct watcher p = { .w.fire = poll_again };
    struct later *l;

    (void)state;
    assert_int_equal(later_create(&l, &s), 0);
    p.s = s;
    assert_int_equal(s->ops->poll(s, &p.w), 0);
    later_found(l, reader(f), 0);
    assert_int_equal(p.fires, 1);
    assert_int_equal(p.events, 0);
    assert_int_equal(rwrite(w, "x", 1), 1);
    assert_int_equal(p.fires, 2);
    assert_int_equal(p.events, POLLIN);
    s->ops->unwatch(s, &p.w);
    shut(w);
    assert_int_equal(p.fires, 2);
    shut(s);
    flow_unref(f);
}

struct race {
    struct stream *s;
    struct rreq r;
    _Atomic bool go;
    bool mine;
};

static void *cancel_it(void *arg)
{
    struct race *c = arg;

    while (!c->go)
        continue;
    c->mine = c->s->ops->cancel(c->s, &c->r.io);
    return NULL;
}

/* Wherever it is, a request that nobody answers is taken back. */
static void cancel_finds_a_request_that_is_handed_on(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct flow *f = new_flow(MIB);
        struct race c = { 0 };
        pthread_t thread;
        struct later *l;

        assert_int_equal(later_create(&l, &c.s), 0);
        rreq_init(&c.r, 1);
        c.s->ops->read(c.s, &c.r.io);
        pthread_create(&thread, NULL, cancel_it, &c);
        c.go = true;
        later_found(l, reader(f), 0);
        pthread_join(thread, NULL);
        assert_true(c.mine);
        shut(c.s);
        flow_unref(f);
    }
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
        kit_test(a_pump_moves_everything_and_can_go_on),
        kit_test(a_pump_tells_what_broke),
        kit_test(a_pump_stops_while_it_reads_and_while_it_writes),
        kit_test(a_pump_stops_between_its_streams),
        kit_test(a_pump_stops_in_full_run),
        kit_test(requests_wait_for_what_is_found),
        kit_test(what_was_not_found_fails),
        kit_test(a_waiting_request_is_taken_back),
        kit_test(a_stream_closed_early_closes_what_is_found),
        kit_test(a_poller_follows_to_what_is_found),
        kit_test(cancel_finds_a_request_that_is_handed_on),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
