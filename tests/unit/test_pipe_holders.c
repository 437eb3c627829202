/*
 * test_pipe_holders.c - stories of who holds the buffer of a pipe: taking and giving back the hold,
 * and machines that come and go; on up to three machines a, b, c, over a model of the registry.
 */
#include "tests/unit/pn_kit.h"

#include <errno.h>

static struct result two;

/* ---- holding */

static void the_first_readers_machine_holds_the_buffer(void **state)
{
    struct world *w = world_new(3);
    struct pipe_info out;
    uint64_t uid;
    unsigned asks;

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(pn_open_writer(w->m[C].pn, "p", &out, NULL), 0);
    assert_string_equal(out.holder, "");
    uid = pipe_read_on(w, B);
    assert_true(pn_holds(w->m[B].pn, uid, 1));
    assert_false(pn_holds(w->m[B].pn, uid, 2));
    assert_false(pn_holds(w->m[C].pn, uid, 1));
    assert_true(log_has(w, C, "holder p b\n"));

    /* Whoever opens now asks nobody. */
    asks = w->asks;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(open_(w, i, "p", &one), 0);
        assert_string_equal(one.info.holder, "b");
        assert_int_equal(pn_open_writer(w->m[i].pn, "p", &out, NULL), 0);
        assert_string_equal(out.holder, "b");
    }
    assert_int_equal(w->asks, asks);
    world_free(w);
}

static void readers_that_open_at_once_get_one_holder(void **state)
{
    struct world *w = world_new(3);
    struct result r[4];

    (void)state;
    make(w, A, "p", false, &one);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(open_(w, 2 - i % 3, "p", &r[i]), 1);
    settle(w);
    for (unsigned i = 0; i < 4; i++) {
        ended(&r[i], 0);
        assert_string_equal(r[i].info.holder, "c");
        assert_int_equal(r[i].info.epoch, 1);
    }
    world_free(w);
}

static void a_hold_lingers_for_the_next_reader(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);
    unsigned asks = w->asks;

    (void)state;
    for (int i = 0; i < 20; i++) {
        unuse(w, B, uid);
        pass(w, PN_LINGER_MS / 2);
        assert_int_equal(open_(w, B, "p", &one), 0);
        assert_int_equal(one.info.epoch, 1);
        use(w, B, uid);
        pass(w, 2 * PN_LINGER_MS);
    }
    assert_int_equal(w->asks, asks);
    unuse(w, B, uid);
    pass(w, PN_LINGER_MS);
    assert_int_equal(w->asks, asks + 1);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_true(log_has(w, A, "holder p -\n"));
    assert_false(log_has(w, B, "unheld"));
    assert_false(pn_holds(w->m[B].pn, uid, 1));
    assert_int_equal(pn_next(w->m[B].pn), UINT64_MAX);

    assert_int_equal(open_reader(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "a");
    assert_int_equal(one.info.epoch, 2);
    world_free(w);
}

static void a_holder_that_lingers_yields_to_a_reader_elsewhere(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    pn_yield(w->m[B].pn, w->now, uid); /* it is used */
    settle(w);
    assert_true(pn_holds(w->m[B].pn, uid, 1));
    unuse(w, B, uid);
    assert_int_equal(open_(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "b"); /* which refuses, and lets go */
    pn_yield(w->m[B].pn, w->now, uid);
    assert_false(pn_holds(w->m[B].pn, uid, 1));
    settle(w);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "a");
    assert_int_equal(one.info.epoch, 2);
    world_free(w);
}

static void a_reader_that_opens_while_the_release_travels_holds_anew(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    for (int late = 0; late < 2; late++) {
        uint64_t epoch = at(w, B, "p")->epoch;

        unuse(w, B, uid);
        if (late)
            w->no_quorum = true; /* ... so that the release comes behind the open */
        pn_yield(w->m[B].pn, w->now, uid);
        assert_int_equal(open_(w, B, "p", &one), 1);
        w->no_quorum = false;
        settle(w);
        ended(&one, 0);
        assert_string_equal(one.info.holder, "b");
        assert_int_equal(one.info.epoch, epoch + 1);
        assert_true(pn_holds(w->m[B].pn, uid, epoch + 1));
        use(w, B, uid);
        pass(w, 3000);
        assert_true(pn_holds(w->m[B].pn, uid, epoch + 1));
    }
    assert_false(log_has(w, B, "unheld"));
    world_free(w);
}

static void a_late_release_takes_no_later_hold(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    w->no_quorum = w->late = true;
    unuse(w, B, uid);
    pn_yield(w->m[B].pn, w->now, uid);
    pass(w, PN_DEADLINE_MS); /* it was answered -EAGAIN, and will happen */
    w->no_quorum = false;
    w->m[B].lags = true;
    assert_int_equal(open_(w, B, "p", &one), 1);
    w->m[B].lags = false;
    settle(w);
    ended(&one, 0);
    use(w, B, uid);
    pass(w, 10000);
    assert_true(pn_holds(w->m[B].pn, uid, one.info.epoch));
    assert_false(log_has(w, B, "unheld"));
    world_free(w);
}

static void a_hold_that_nobody_waits_for_is_given_back(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(open_(w, B, "p", &one), 1);
    pn_cancel(w->m[B].pn, &one);
    settle(w);
    assert_int_equal(one.ended, 0);
    assert_string_equal(at(w, A, "p")->holder, "b");
    pass(w, PN_LINGER_MS);
    assert_string_equal(at(w, A, "p")->holder, "");
    world_free(w);
}

static void a_hold_that_comes_after_its_deadline_is_given_back(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    w->no_quorum = w->late = true;
    assert_int_equal(open_(w, B, "p", &one), 1);
    pass(w, PN_DEADLINE_MS);
    ended(&one, -EAGAIN);
    w->no_quorum = false;
    settle(w);
    assert_string_equal(at(w, A, "p")->holder, "b");
    pass(w, PN_LINGER_MS);
    assert_string_equal(at(w, A, "p")->holder, "");
    world_free(w);
}

static void a_release_that_was_lost_is_asked_again(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    w->no_quorum = true;
    unuse(w, B, uid);
    pass(w, 20000);
    assert_string_equal(at(w, A, "p")->holder, "b");
    assert_true(w->asks < 10);
    w->no_quorum = false;
    pass(w, 10000);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_int_equal(pn_next(w->m[B].pn), UINT64_MAX);
    world_free(w);
}

static void a_removed_pipe_is_held_no_longer(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    assert_int_equal(removes(w, A, "p", &one), 0);
    assert_true(log_has(w, B, "gone p\n"));
    assert_false(log_has(w, B, "unheld"));
    assert_null(pn_by_uid(w->m[B].pn, uid));
    unuse(w, B, uid);
    pn_yield(w->m[B].pn, w->now, uid);
    pass(w, 1000);
    world_free(w);
}

/* ---- machines that come and go */

static void a_holder_that_restarts_no_longer_holds(void **state)
{
    struct world *w = world_new(3);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    crash(w, B);
    assert_string_equal(at(w, A, "p")->holder, "b");
    w->m[B].lags = true; /* it cannot say so itself yet */
    w->no_quorum = true;
    boot(w, B);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_string_equal(at(w, B, "p")->holder, "");
    assert_false(pn_holds(w->m[B].pn, uid, 1));
    w->no_quorum = false;
    assert_int_equal(open_(w, A, "p", &one), 1);
    settle(w);
    ended(&one, 0);
    assert_string_equal(one.info.holder, "a");
    assert_int_equal(one.info.epoch, 2);
    use(w, A, uid);
    w->m[B].lags = false;
    pass(w, 10000);
    assert_string_equal(at(w, B, "p")->holder, "a");
    assert_true(pn_holds(w->m[A].pn, uid, 2));
    world_free(w);
}

static void who_restarts_gives_its_holds_back(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    pipe_read_on(w, B);
    crash(w, B);
    boot(w, B);
    settle(w);
    assert_null(json_object_get(json_object_get(w->m[A].state, "pipe/p"), "holder"));
    assert_int_equal(open_reader(w, B, "p", &one), 0);
    assert_int_equal(one.info.epoch, 2);
    world_free(w);
}

static void a_holder_dead_for_long_loses_the_buffer(void **state)
{
    struct world *w = world_new(3);
    uint64_t uid = pipe_read_on(w, B);
    struct pipe_info out;
    struct oerr e;

    (void)state;
    w->m[B].lags = true;
    dead(w, B);
    assert_int_equal(open_reader(w, A, "p", &one), -EHOSTUNREACH);
    assert_string_equal(one.text, "b, the machine that holds pipe p, cannot be reached");
    assert_int_equal(pn_open_writer(w->m[A].pn, "p", &out, &e), -EHOSTUNREACH);
    pass(w, PN_HOLDER_LOST_MS - 1);
    assert_string_equal(at(w, A, "p")->holder, "b");
    pass(w, 1);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_true(log_has(w, A, "holder p -\n"));
    assert_int_equal(pn_open_writer(w->m[A].pn, "p", &out, &e), 0);
    assert_int_equal(sets(w, C, "p", FLOW_BROADCAST, 0, -1, &one), 0);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "a");
    assert_int_equal(one.info.epoch, 2);
    use(w, A, uid);

    /* It comes back, and hears that the buffer is no longer its. */
    assert_true(pn_holds(w->m[B].pn, uid, 1));
    w->m[B].lags = false;
    for (unsigned i = 0; i < 3; i++)
        member(w, B, i, MEMBER_ALIVE);
    settle(w);
    assert_false(pn_holds(w->m[B].pn, uid, 1));
    assert_true(log_has(w, B, "unheld p\n"));
    assert_string_equal(at(w, B, "p")->holder, "a");
    world_free(w);
}

static void a_holder_away_for_a_short_time_keeps_the_buffer(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, B);

    (void)state;
    for (int i = 0; i < 4; i++) {
        dead(w, B);
        pass(w, PN_HOLDER_LOST_MS / 2);
        member(w, B, A, MEMBER_ALIVE);
        settle(w);
    }
    pass(w, PN_HOLDER_LOST_MS);
    assert_int_equal(open_(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "b");
    assert_true(pn_holds(w->m[B].pn, uid, 1));
    assert_int_equal(pn_next(w->m[A].pn), UINT64_MAX);
    world_free(w);
}

static void who_left_or_was_forgotten_holds_nothing(void **state)
{
    static const enum member_state gone[] = { MEMBER_LEFT, MEMBER_GONE };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_new(2);

        pipe_read_on(w, B);
        crash(w, B);
        member(w, B, A, gone[i]);
        assert_string_equal(at(w, A, "p")->holder, "");
        assert_int_equal(open_reader(w, A, "p", &one), 0);
        assert_string_equal(one.info.holder, "a");
        world_free(w);
    }
}

static void a_holder_that_nobody_ever_heard_is_waited_for(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    pipe_read_on(w, B);
    crash(w, A);
    crash(w, B);
    w->n = 1; /* A starts and hears nobody */
    boot(w, A);
    assert_int_equal(open_reader(w, A, "p", &one), -EHOSTUNREACH);
    pass(w, PN_HOLDER_LOST_MS);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    w->n = 3;
    world_free(w);
}

static void two_who_both_think_the_holder_lost_agree(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    pipe_read_on(w, C);
    w->m[C].lags = true;
    dead(w, C);
    pass(w, PN_HOLDER_LOST_MS);
    assert_int_equal(open_(w, A, "p", &one), 1);
    assert_int_equal(open_(w, B, "p", &two), 1);
    settle(w);
    ended(&one, 0);
    ended(&two, 0);
    assert_string_equal(one.info.holder, "a");
    assert_string_equal(two.info.holder, "a");
    assert_int_equal(two.info.epoch, 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_readers_machine_holds_the_buffer),
        cmocka_unit_test(readers_that_open_at_once_get_one_holder),
        cmocka_unit_test(a_hold_lingers_for_the_next_reader),
        cmocka_unit_test(a_holder_that_lingers_yields_to_a_reader_elsewhere),
        cmocka_unit_test(a_reader_that_opens_while_the_release_travels_holds_anew),
        cmocka_unit_test(a_late_release_takes_no_later_hold),
        cmocka_unit_test(a_hold_that_nobody_waits_for_is_given_back),
        cmocka_unit_test(a_hold_that_comes_after_its_deadline_is_given_back),
        cmocka_unit_test(a_release_that_was_lost_is_asked_again),
        cmocka_unit_test(a_removed_pipe_is_held_no_longer),
        cmocka_unit_test(a_holder_that_restarts_no_longer_holds),
        cmocka_unit_test(who_restarts_gives_its_holds_back),
        cmocka_unit_test(a_holder_dead_for_long_loses_the_buffer),
        cmocka_unit_test(a_holder_away_for_a_short_time_keeps_the_buffer),
        cmocka_unit_test(who_left_or_was_forgotten_holds_nothing),
        cmocka_unit_test(a_holder_that_nobody_ever_heard_is_waited_for),
        cmocka_unit_test(two_who_both_think_the_holder_lost_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
