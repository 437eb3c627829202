/*
 * test_flow_watch.c - how a flow tells that it is ready and that something has changed.
 */
#include "flowkit.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

static char block[10000];

struct watch {
    struct iowatch w;
    struct stream *s;
    unsigned fired;
    short seen;
    bool again;
};

static void note_fire(struct iowatch *w)
{
    struct watch *n = container_of(w, struct watch, w);

    n->fired++;
    n->seen = n->s->ops->poll(n->s, n->again ? w : NULL);
}

static void poll_tells_what_would_not_block(void **state)
{
    struct flow *f = new_flow(5000, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f), *w2;
    struct req parked;

    (void)state;
    assert_int_equal(r->ops->poll(r, NULL), 0);
    assert_int_equal(w->ops->poll(w, NULL), POLLOUT);
    assert_int_equal(try_put_n(w, block, 904), 904);
    assert_int_equal(r->ops->poll(r, NULL), POLLIN);
    assert_int_equal(w->ops->poll(w, NULL), POLLOUT);
    assert_int_equal(try_put(w, "x"), 1);
    assert_int_equal(w->ops->poll(w, NULL), 0); /* a small write may not fit as a whole */
    assert_int_equal(put_n(&parked, w, block, 4096), PENDING);
    assert_int_equal(try_get(r, block, 905), 905);
    assert_int_equal(parked.rc, 4096);
    shut(w);
    assert_int_equal(r->ops->poll(r, NULL), POLLIN | POLLHUP);
    assert_int_equal(try_get(r, block, 5000), 4096);
    assert_int_equal(r->ops->poll(r, NULL), POLLIN | POLLHUP);
    w = writer(f);
    w2 = writer(f);
    assert_int_equal(r->ops->poll(r, NULL), 0);
    shatter(w2);
    assert_int_equal(r->ops->poll(r, NULL), POLLIN | POLLERR);
    shut(r);
    assert_int_equal(w->ops->poll(w, NULL), POLLOUT | POLLERR);
    shut(w);
    flow_unref(f);
}

static void a_watch_fires_once_for_a_change(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f);
    struct watch in = { .w.fire = note_fire, .s = r }, out = { .w.fire = note_fire, .s = w };

    (void)state;
    assert_int_equal(r->ops->poll(r, &in.w), 0);
    assert_int_equal(r->ops->poll(r, &in.w), 0); /* armed already */
    assert_int_equal(try_put(w, "0123456789"), 10);
    assert_int_equal(in.fired, 1);
    assert_int_equal(in.seen, POLLIN);
    assert_int_equal(w->ops->poll(w, &out.w), 0);
    assert_read_rc(r, 1);
    assert_int_equal(out.fired, 0); /* no room yet */
    assert_read(r, "123456789");
    assert_int_equal(out.fired, 1);
    assert_int_equal(out.seen, POLLOUT);
    assert_int_equal(try_put(w, "x"), 1);
    assert_read(r, "x");
    assert_int_equal(in.fired + out.fired, 2);
    in.again = true; /* arms itself from its fire */
    r->ops->poll(r, &in.w);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(try_put(w, "x"), 1);
        assert_int_equal(in.fired, 2 + i);
    }
    r->ops->unwatch(r, &in.w);
    r->ops->unwatch(r, &in.w);
    assert_int_equal(try_put(w, "x"), 1);
    assert_int_equal(in.fired, 6);
    in.again = false;
    r->ops->poll(r, &in.w);
    shut(w);
    assert_int_equal(in.fired, 7);
    assert_int_equal(in.seen, POLLIN | POLLHUP);
    shut(r);
    flow_unref(f);
}

static void a_watch_fires_when_the_other_side_ends(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f);
    struct watch in = { .w.fire = note_fire, .s = r }, out = { .w.fire = note_fire, .s = w };

    (void)state;
    r->ops->poll(r, &in.w);
    shatter(writer(f));
    assert_int_equal(in.fired, 1); /* at the open of the writer, or at its break */
    w->ops->poll(w, &out.w);
    shut(r);
    assert_int_equal(out.fired, 1);
    assert_int_equal(out.seen, POLLOUT | POLLERR);
    w->ops->poll(w, &out.w);
    flow_break(f, -EIO);
    assert_int_equal(out.fired, 2);
    shut(w);
    flow_unref(f);
}

/* Two fires that cause each other, by requests that they own. */
static struct stream *ping_reader, *ping_writer;
static unsigned ping_depth;

static void ping_done(struct ioreq *io, ssize_t rc)
{
    assert_int_equal(rc, 10);
    slices_free(&io->bytes);
    free(io);
}

static struct ioreq *ping_request(void)
{
    struct ioreq *io = calloc(1, sizeof *io);

    assert_non_null(io);
    io->done = ping_done;
    io->size = 10;
    return io;
}

static void ping_read(struct iowatch *w)
{
    struct watch *n = container_of(w, struct watch, w);

    assert_int_equal(ping_depth++, 0);
    if (++n->fired < 10000) {
        ping_reader->ops->poll(ping_reader, w);
        ping_reader->ops->read(ping_reader, ping_request());
    }
    ping_depth--;
}

static void ping_write(struct iowatch *w)
{
    struct watch *n = container_of(w, struct watch, w);
    struct ioreq *io = ping_request();

    assert_int_equal(ping_depth++, 0);
    n->fired++;
    ping_writer->ops->poll(ping_writer, w);
    assert_int_equal(slices_copy(&io->bytes, "0123456789", 10), 0);
    ping_writer->ops->write(ping_writer, io);
    ping_depth--;
}

static void fires_that_cause_fires_do_not_nest(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = ping_reader = reader(f), *w = ping_writer = writer(f);
    struct watch in = { .w.fire = ping_read }, out = { .w.fire = ping_write };

    (void)state;
    r->ops->poll(r, &in.w);
    w->ops->poll(w, &out.w);
    assert_int_equal(try_put(w, "0123456789"), 10);
    assert_int_equal(in.fired, 10000);
    assert_int_equal(out.fired, 9999);
    r->ops->unwatch(r, &in.w);
    w->ops->unwatch(w, &out.w);
    shut(w);
    shut(r);
    flow_unref(f);
}

struct changes {
    struct flow *f;
    unsigned n;
    struct flow_stat last;
};

static void note_change(void *arg)
{
    struct changes *c = arg;

    c->n++;
    c->last = stat_of(c->f); /* no lock is held */
}

static void changes_are_told(void **state)
{
    struct changes c = { .f = new_flow(100, FLOW_STREAM) };
    struct stream *r, *w;
    unsigned n;

    (void)state;
    flow_on_change(c.f, note_change, NULL, &c);
    r = reader(c.f);
    assert_int_equal(c.last.readers, 1);
    w = writer(c.f);
    assert_int_equal(c.last.writers, 1);
    assert_int_equal(try_put(w, "hello"), 5);
    assert_int_equal(c.last.buffered, 5);
    assert_int_equal(c.last.bytes_in, 5);
    assert_read_rc(r, 1);
    assert_int_equal(c.last.buffered, 4);
    assert_int_equal(c.last.bytes_out, 1);
    n = c.n;
    assert_read(r, "ello");
    assert_read_rc(r, -EAGAIN);
    assert_int_equal(c.n, n + 1); /* nothing passed the second time */
    shut(w);
    assert_int_equal(c.last.writers, 0);
    assert_true(c.last.writers_been && c.last.readers_been);
    shut(r);
    assert_int_equal(c.last.readers, 0);
    assert_false(c.last.writers_been || c.last.readers_been);
    flow_unref(c.f);
}

/* In the midst of telling a change, everything is closed and the last reference given back. */
struct ending {
    struct flow *f;
    struct stream *r, *w;
    bool ended;
};

static void end_all(void *arg)
{
    struct ending *e = arg;
    char got[5000];

    if (e->ended || !e->w)
        return;
    e->ended = true;
    assert_int_equal(try_get(e->r, got, sizeof got), 3000);
    assert_int_equal(try_get(e->r, got, sizeof got), 2000); /* the write is answered */
    shut(e->w);
    shut(e->r);
    flow_unref(e->f);
    assert_int_equal(stat_of(e->f).bytes_in, 5000); /* still there */
}

static void a_flow_is_alive_while_its_change_is_told(void **state)
{
    struct ending e = { .f = new_flow(3000, FLOW_STREAM) };
    struct req w;

    (void)state;
    flow_on_change(e.f, end_all, NULL, &e);
    e.r = reader(e.f);
    e.w = writer(e.f);
    assert_int_equal(put_n(&w, e.w, block, 5000), 5000);
    assert_true(e.ended);
}

static void unwatch_own(struct iowatch *w)
{
    struct watch *n = container_of(w, struct watch, w);

    n->fired++;
    n->s->ops->poll(n->s, w);
    n->s->ops->unwatch(n->s, w);
}

static void a_fire_may_remove_its_own_watch(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f);
    struct watch in = { .w.fire = unwatch_own, .s = r };

    (void)state;
    r->ops->poll(r, &in.w);
    assert_int_equal(try_put(w, "xy"), 2);
    assert_int_equal(try_put(w, "xy"), 2);
    assert_int_equal(in.fired, 1);
    shut(w);
    shut(r);
    flow_unref(f);
}

/* A fire that lasts until `go`. */
static sem_t in_fire, go;
static atomic_bool left_fire;

static void fire_long(struct iowatch *w)
{
    (void)w;
    sem_post(&in_fire);
    while (sem_wait(&go) < 0)
        continue;
    atomic_store(&left_fire, true);
}

static void *put_x(void *w)
{
    assert_int_equal(try_put(w, "x"), 1);
    return NULL;
}

static void *let_go(void *arg)
{
    for (int i = 0; i < 10000; i++)
        sched_yield();
    sem_post(&go);
    return arg;
}

static void unwatch_waits_for_a_fire_that_runs(void **state)
{
    struct flow *f = new_flow(10, FLOW_STREAM);
    struct stream *r = reader(f), *w = writer(f);
    struct iowatch in = { .fire = fire_long };
    pthread_t t[2];

    (void)state;
    sem_init(&in_fire, 0, 0);
    sem_init(&go, 0, 0);
    r->ops->poll(r, &in);
    assert_int_equal(pthread_create(&t[0], NULL, put_x, w), 0);
    while (sem_wait(&in_fire) < 0)
        continue;
    assert_int_equal(pthread_create(&t[1], NULL, let_go, NULL), 0);
    r->ops->unwatch(r, &in);
    assert_true(atomic_load(&left_fire));
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    sem_destroy(&in_fire);
    sem_destroy(&go);
    shut(w);
    shut(r);
    flow_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(poll_tells_what_would_not_block),
        flow_test(a_watch_fires_once_for_a_change),
        flow_test(a_watch_fires_when_the_other_side_ends),
        flow_test(fires_that_cause_fires_do_not_nest),
        flow_test(changes_are_told),
        flow_test(a_flow_is_alive_while_its_change_is_told),
        flow_test(a_fire_may_remove_its_own_watch),
        flow_test(unwatch_waits_for_a_fire_that_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
