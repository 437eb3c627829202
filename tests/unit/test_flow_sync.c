/*
 * test_flow_sync.c - writers that wait until what they wrote has arrived: flow_open_carrier().
 */
#include "tests/unit/flowkit.h"

#include "run/pump.h"

static struct stream *carrier(struct flow *f)
{
    struct stream *s = NULL;

    assert_int_equal(flow_open_carrier(f, &s), 0);
    return s;
}

static ssize_t sync_start(struct req *r, struct stream *w)
{
    req_init(r, false);
    w->ops->sync(w, &r->io);
    return r->rc;
}

static void without_a_carrier_nobody_waits(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *w = writer(f), *r;
    struct req sync;

    (void)state;
    assert_int_equal(sync_start(&sync, w), 0);
    assert_int_equal(try_put(w, "abc"), 3);
    assert_int_equal(sync_start(&sync, w), 0);
    r = reader(f);
    assert_int_equal(sync_start(&sync, w), 0);
    shut(r);
    shut(w);
    flow_unref(f);
}

static void a_sync_waits_for_what_was_written_before(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *w = writer(f), *c = carrier(f);
    struct req first, second, reading;

    (void)state;
    assert_int_equal(sync_start(&first, w), 0); /* nothing was written */
    assert_int_equal(try_put(w, "abc"), 3);
    assert_int_equal(sync_start(&first, w), PENDING);
    assert_read(c, "abc");
    assert_int_equal(get(&reading, c, 10), -EINPROGRESS);
    assert_int_equal(get(&reading, c, 10), PENDING); /* told once */
    assert_int_equal(put_n(&second, w, "de", 2), 2);
    assert_got(&reading, "de");
    assert_int_equal(sync_start(&second, w), PENDING); /* for the next turn */
    flow_synced(f, 0);
    assert_int_equal(first.rc, 0);
    assert_int_equal(second.rc, PENDING);
    assert_read_rc(c, -EINPROGRESS);
    flow_synced(f, 0);
    assert_int_equal(second.rc, 0);
    assert_int_equal(sync_start(&first, w), 0); /* all of it has arrived */
    shut(w);
    assert_read_rc(c, 0);
    shut(c);
    flow_unref(f);
}

static void a_parked_read_is_told_at_once(void **state)
{
    struct flow *f = new_flow(100, FLOW_BROADCAST);
    struct stream *w = writer(f), *c = carrier(f);
    struct req sync, reading;

    (void)state;
    assert_int_equal(try_put(w, "a"), 1);
    assert_read(c, "a");
    assert_int_equal(get(&reading, c, 10), PENDING);
    assert_int_equal(sync_start(&sync, w), PENDING);
    assert_int_equal(reading.rc, -EINPROGRESS);
    assert_true(w->ops->cancel(w, &sync.io));
    flow_synced(f, 0);
    assert_int_equal(sync.rc, PENDING); /* it was taken back */
    shut(w);
    shut(c);
    flow_unref(f);
}

static void what_was_lost_is_told(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM), *g = new_flow(100, FLOW_STREAM);
    struct stream *w = writer(f), *c = carrier(f), *v = writer(g), *d = carrier(g);
    struct req sync, other;

    (void)state;
    assert_int_equal(try_put(w, "abc"), 3);
    assert_int_equal(sync_start(&sync, w), PENDING);
    flow_synced(f, -EIO); /* before it was told of anything */
    assert_int_equal(sync.rc, -EIO);
    shut(c);
    flow_break(f, -EPIPE);
    assert_int_equal(sync_start(&sync, w), -EIO); /* and whoever asks later */
    assert_int_equal(try_put(v, "abc"), 3);
    assert_int_equal(sync_start(&other, v), PENDING);
    flow_break(g, -EHOSTUNREACH);
    assert_int_equal(other.rc, -EHOSTUNREACH);
    shut(d);
    shut(w);
    shut(v);
    flow_unref(f);
    flow_unref(g);
}

static void what_nobody_wants_is_not_lost(void **state)
{
    struct flow *f = new_flow(100, FLOW_STREAM);
    struct stream *w = writer(f), *c = carrier(f);
    struct req sync;

    (void)state;
    assert_int_equal(try_put(w, "abc"), 3);
    assert_int_equal(sync_start(&sync, w), PENDING);
    flow_break(f, -EPIPE);
    assert_int_equal(sync.rc, 0);
    shut(c);
    shut(w);
    flow_unref(f);
}

/* ---- by way of a pump: an outbox, and the channel behind it ---- */

struct told {
    bool ended;
    int rc;
};

static void on_end(void *arg, int rc)
{
    struct told *t = arg;

    *t = (struct told){ true, rc };
}

static void turn(struct loop *l)
{
    for (int i = 0; i < 10; i++)
        uv_run(loop_uv(l), UV_RUN_NOWAIT);
}

struct relay {
    struct loop *loop;
    struct flow *f, *g; /* the outbox, and the local half of a channel */
    struct stream *w, *c;
    struct pump *pump;
    struct told told;
};

static void relay_start(struct relay *r)
{
    *r = (struct relay){ .f = new_flow(100, FLOW_STREAM), .g = new_flow(100, FLOW_STREAM) };
    assert_int_equal(loop_create(&r->loop), 0);
    r->w = writer(r->f);
    r->c = carrier(r->g);
    assert_int_equal(
        pump_start(&r->pump, r->loop, carrier(r->f), r->f, writer(r->g), on_end, &r->told), 0);
}

static void relay_end(struct relay *r)
{
    shut(r->w);
    shut(r->c);
    flow_unref(r->f);
    flow_unref(r->g);
    loop_destroy(r->loop);
}

static void a_pump_hands_it_on(void **state)
{
    struct relay r;
    struct req sync;

    (void)state;
    relay_start(&r);
    assert_int_equal(try_put(r.w, "abc"), 3);
    assert_int_equal(sync_start(&sync, r.w), PENDING);
    assert_read(r.c, "abc");
    assert_read_rc(r.c, -EINPROGRESS);
    assert_int_equal(sync.rc, PENDING);
    flow_synced(r.g, 0);
    assert_int_equal(sync.rc, 0);
    pump_stop(r.pump, -EIO);
    relay_end(&r);
}

static void a_pump_that_is_stopped_takes_it_back(void **state)
{
    struct relay r;
    struct req sync;

    (void)state;
    relay_start(&r);
    assert_int_equal(try_put(r.w, "abc"), 3);
    assert_int_equal(sync_start(&sync, r.w), PENDING);
    assert_read(r.c, "abc");
    assert_read_rc(r.c, -EINPROGRESS);
    pump_stop(r.pump, -EIO);
    flow_break(r.f, -EIO);
    assert_int_equal(sync.rc, -EIO);
    relay_end(&r);
}

/* The channel breaks while all is silent; pump_look() sees that it takes no more. */
static void a_break_between_two_writes_is_no_clean_end(void **state)
{
    struct relay r;
    struct req sync;

    (void)state;
    relay_start(&r);
    assert_int_equal(try_put(r.w, "abc"), 3);
    assert_read(r.c, "abc");
    flow_break(r.g, -EIO);
    pump_look(r.pump);
    turn(r.loop);
    assert_true(r.told.ended);
    assert_int_equal(r.told.rc, -EPIPE);
    pump_end(r.pump, r.told.rc);
    flow_break(r.f, -EPIPE);
    assert_int_equal(sync_start(&sync, r.w), -EIO);
    relay_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(without_a_carrier_nobody_waits),
        flow_test(a_sync_waits_for_what_was_written_before),
        flow_test(a_parked_read_is_told_at_once),
        flow_test(what_was_lost_is_told),
        flow_test(what_nobody_wants_is_not_lost),
        flow_test(a_pump_hands_it_on),
        flow_test(a_pump_that_is_stopped_takes_it_back),
        flow_test(a_break_between_two_writes_is_no_clean_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
