/*
 * test_later.c - a stream that is given out before what it leads to was found.
 */
#include "run/later.h"

#include "streams_kit.h"

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
