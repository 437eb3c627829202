/*
 * test_rendezvous.c - stories of pipe names on up to four machines a, b, c, d.
 */
#include "tests/unit/rv_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { A, B, C, SYNC_EVERY_MS = 5000 };

static struct result one, two, three;

static bool log_has(struct world *w, unsigned i, const char *line)
{
    return strstr(w->m[i].log, line) != NULL;
}

static void ended(const struct result *res, int rc)
{
    assert_int_equal(res->ended, 1);
    assert_int_equal(res->rc, rc);
}

static void known_at_all(struct world *w, const char *name)
{
    for (unsigned i = 0; i < w->n; i++)
        assert_non_null(at(w, i, name));
}

static void known_nowhere(struct world *w, const char *name)
{
    for (unsigned i = 0; i < w->n; i++)
        assert_null(at(w, i, name));
}

/* ---- one machine */

static void alone_everything_ends_at_once(void **state)
{
    struct world *w = world_new(1);

    (void)state;
    assert_int_equal(make(w, A, "p", true, &one), 0);
    assert_string_equal(one.info.name, "p");
    assert_string_equal(one.info.owner, "ann");
    assert_int_equal(one.info.capacity, PIPE_CAPACITY);
    assert_int_equal(one.info.uid.serial, 1);
    assert_int_equal(make(w, A, "p", false, &one), 0);
    assert_int_equal(make(w, A, "p", true, &one), -EEXIST);
    assert_string_equal(one.text, "pipe p exists");
    assert_int_equal(sets(w, A, "p", FLOW_BROADCAST, 8192, &one), 0);
    assert_int_equal(one.info.mode, FLOW_BROADCAST);
    assert_int_equal(one.info.capacity, 8192);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "a");
    assert_true(rv_holds(w->m[A].rv, &one.info.uid, one.info.epoch));
    assert_int_equal(removes(w, A, "p", &two), 0);
    assert_int_equal(removes(w, A, "p", &two), -ENOENT);
    assert_true(rv_holds(w->m[A].rv, &one.info.uid, one.info.epoch));
    rv_release(w->m[A].rv, w->now, &one.info.uid);
    assert_false(rv_holds(w->m[A].rv, &one.info.uid, one.info.epoch));
    assert_string_equal(w->m[A].log, "added p\nchanged p\nholder p a\ngone p\n");
    assert_int_equal(rv_next(w->m[A].rv), UINT64_MAX);
    world_free(w);
}

static void bad_names_and_values_are_refused(void **state)
{
    static const struct {
        const char *name;
        int rc;
    } bad[] = { { "", -EINVAL },       { ".", -EINVAL },   { "..", -EINVAL },   { "ctl", -EINVAL },
                { "status", -EINVAL }, { "x/y", -EINVAL }, { "x\ny", -EINVAL }, { "\x7f", -EINVAL },
                { "\xff", -EINVAL },   { "\xc3", -EINVAL } };
    struct world *w = world_new(1);
    char longest[PIPE_NAME_MAX + 2];
    struct oerr e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(make(w, A, bad[i].name, false, &one), bad[i].rc);
        assert_true(one.text[0]);
    }
    memset(longest, 'x', sizeof longest);
    longest[PIPE_NAME_MAX + 1] = '\0';
    assert_int_equal(pipe_check_name(longest, &e), -ENAMETOOLONG);
    longest[PIPE_NAME_MAX] = '\0';
    assert_int_equal(make(w, A, longest, false, &one), 0);
    assert_int_equal(make(w, A, ".hidden ~\"\\ \xc3\xa4", false, &one), 0);
    assert_int_equal(sets(w, A, longest, -1, PIPE_CAPACITY_MIN - 1, &one), -EINVAL);
    assert_int_equal(sets(w, A, longest, -1, PIPE_CAPACITY_MAX + 1ULL, &one), -EINVAL);
    assert_int_equal(sets(w, A, longest, 7, 0, &one), -EINVAL);
    assert_int_equal(sets(w, A, "none", -1, 0, &one), -ENOENT);
    assert_int_equal(open_reader(w, A, "none", &one), -ENOENT);
    assert_int_equal(rv_open_writer(w->m[A].rv, "none", &one.info, &e), -ENOENT);
    assert_string_equal(e.text, "there is no pipe none");
    world_free(w);
}

static void a_home_has_4096_pipes_at_most(void **state)
{
    struct world *w = world_new(2);
    char name[32];

    (void)state;
    for (int i = 0; i < RV_PIPES_MAX; i++) {
        snprintf(name, sizeof name, "p%d", i);
        make(w, A, name, true, &one);
        ended(&one, 0);
    }
    assert_int_equal(make(w, A, "more", false, &one), -ENOSPC);
    make(w, B, "more", false, &one);
    ended(&one, 0);
    assert_int_equal(rv_count(w->m[A].rv), RV_PIPES_MAX + 1);
    for (size_t i = 1; i < rv_count(w->m[B].rv); i++)
        assert_true(strcmp(rv_at(w->m[B].rv, i - 1)->name, rv_at(w->m[B].rv, i)->name) < 0);
    assert_null(rv_at(w->m[B].rv, RV_PIPES_MAX + 1));

    /* One that comes later pulls them all, in one list. */
    crash(w, B);
    w->sent[RV_UPDATE] = w->sent[RV_LIST] = 0;
    boot(w, B);
    assert_int_equal(rv_count(w->m[B].rv), RV_PIPES_MAX);
    assert_in_range(w->sent[RV_LIST], 1, 2);
    world_free(w);
}

/* ---- making */

static void a_made_pipe_is_known_to_all_when_make_ends(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    assert_int_equal(make_at(w, B, "p", 1, &one), 1);
    while (!one.ended)
        assert_true(deliver_one(w));
    ended(&one, 0);
    assert_string_equal(one.info.uid.home, "b");
    known_at_all(w, "p");
    settle(w);
    assert_int_equal(w->sent[RV_CLAIM], 2);
    assert_int_equal(w->sent[RV_UPDATE], 2);
    assert_true(log_has(w, A, "added p\n"));
    world_free(w);
}

static void of_two_who_make_one_name_one_wins(void **state)
{
    (void)state;
    for (int excl = 0; excl < 2; excl++) {
        struct world *w = world_new(3);
        struct pipe_options opt = { .owner = "bob", .excl = excl };

        memset(&two, 0, sizeof two);
        assert_int_equal(make_at(w, C, "p", 1, &one), 1);
        assert_int_equal(rv_make(w->m[B].rv, w->now, "p", &opt, &two, NULL, NULL), 1);
        settle(w);
        ended(&one, 0);
        ended(&two, 0);
        assert_string_equal(one.info.uid.home, "b");
        assert_string_equal(at(w, A, "p")->uid.home, "b");
        assert_int_equal(rv_count(w->m[A].rv), 1);
        assert_string_equal(at(w, C, "p")->owner, "bob");
        world_free(w);
    }
}

static void the_loser_of_an_exclusive_race_gets_eexist(void **state)
{
    struct world *w = world_new(3);
    struct pipe_options opt = { .excl = true };
    struct result r[3] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rv_make(w->m[2 - i].rv, w->now, "p", &opt, &r[2 - i], NULL, NULL), 1);
    pass(w, RV_ASK_MS);
    ended(&r[A], 0);
    ended(&r[B], -EEXIST);
    ended(&r[C], -EEXIST);
    assert_string_equal(r[C].text, "pipe p exists");
    world_free(w);
}

static void two_makers_on_one_machine_share_the_pipe(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make_at(w, A, "p", 1, &one);
    make_at(w, A, "p", 2, &two);
    pass(w, RV_ASK_MS);
    ended(&one, 0);
    ended(&two, 0);
    assert_true(one.info.uid.serial == two.info.uid.serial);
    assert_int_equal(rv_count(w->m[C].rv), 1);
    world_free(w);
}

static void a_silent_machine_does_not_count_after_a_second(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    w->cut[A][C] = w->cut[C][A] = true;
    make(w, A, "p", false, &one);
    pass(w, RV_ASK_MS - 1);
    assert_int_equal(one.ended, 0);
    pass(w, RV_ASK_MS + 1);
    ended(&one, 0);
    assert_non_null(at(w, B, "p"));
    pass(w, 2 * SYNC_EVERY_MS);
    assert_non_null(at(w, C, "p")); /* by way of b */
    world_free(w);
}

static void a_machine_that_dies_while_asked_does_not_count(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    crash(w, C);
    make(w, A, "p", false, &one);
    assert_int_equal(one.ended, 0);
    dead(w, C);
    settle(w);
    ended(&one, 0);
    world_free(w);
}

static void a_machine_that_comes_while_others_are_asked_is_asked_too(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    w->n = 3;
    w->m[C].w = w;
    w->m[C].i = C;
    w->m[C].id[0] = 'c';
    crash(w, B);
    make(w, A, "p", false, &one);
    boot(w, C);
    assert_int_equal(one.ended, 0);
    dead(w, B);
    settle(w);
    ended(&one, 0);
    assert_non_null(at(w, C, "p"));
    world_free(w);
}

static void who_comes_while_others_are_told_is_told_too(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    w->n = 3;
    w->m[C].w = w;
    w->m[C].i = C;
    w->m[C].id[0] = 'c';
    make_at(w, A, "p", 1, &one);
    deliver_one(w); /* b is asked, and has answered: */
    deliver_one(w);
    assert_non_null(at(w, A, "p"));
    crash(w, B);
    assert_int_equal(one.ended, 0);
    boot(w, C);
    assert_int_equal(one.ended, 0);
    pass(w, RV_ASK_MS);
    ended(&one, 0);
    assert_non_null(at(w, C, "p"));
    world_free(w);
}

static void two_who_ask_before_they_know_each_other_agree(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    cut_off(w, C, true);
    w->cut[A][B] = w->cut[B][A] = true; /* silent, but alive to a */
    make_at(w, A, "p", 1, &one);
    w->cut[C][B] = w->cut[B][C] = true;
    member(w, B, C, MEMBER_ALIVE); /* and to c */
    make_at(w, C, "p", 2, &two);
    settle(w);
    assert_int_equal(one.ended + two.ended, 0);
    w->cut[A][C] = w->cut[C][A] = false;
    member(w, A, C, MEMBER_ALIVE);
    member(w, C, A, MEMBER_ALIVE);
    pass(w, 3 * RV_ASK_MS);
    ended(&one, 0);
    ended(&two, 0);
    assert_int_equal(rv_count(w->m[A].rv), 1);
    assert_string_equal(at(w, C, "p")->uid.home, "a");
    world_free(w);
}

static void who_said_ok_and_then_makes_it_with_a_lower_id_wins(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make_at(w, B, "p", 1, &two);
    assert_true(deliver_one(w)); /* a says OK to b, */
    make_at(w, A, "p", 2, &one); /* and asks b before b has heard c */
    settle(w);
    pass(w, RV_ASK_MS);
    ended(&one, 0);
    ended(&two, 0);
    assert_int_equal(rv_count(w->m[C].rv), 1);
    assert_string_equal(at(w, C, "p")->uid.home, "a");
    world_free(w);
}

static void who_missed_a_name_learns_it_when_making_it(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    w->cut[A][C] = w->cut[C][A] = true;
    make(w, A, "p", false, &one);
    w->now += RV_ASK_MS;
    rv_tick(w->m[A].rv, w->now); /* claims are over: pushed to b */
    settle(w);
    assert_non_null(at(w, B, "p"));
    assert_null(at(w, C, "p"));
    assert_int_equal(make(w, C, "p", true, &two), 1);
    pass(w, 2 * RV_ASK_MS); /* a does not answer; b has the list too */
    ended(&two, -EEXIST);
    assert_string_equal(at(w, C, "p")->uid.home, "a");
    world_free(w);
}

static void a_name_removed_can_be_made_by_another(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    removes(w, A, "p", &one);
    ended(&one, 0);
    known_nowhere(w, "p");
    make(w, C, "p", true, &one);
    ended(&one, 0);
    assert_string_equal(at(w, A, "p")->uid.home, "c");
    world_free(w);
}

/* ---- removing and setting from elsewhere */

static void a_pipe_removed_from_elsewhere_is_gone_at_all(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(removes(w, C, "p", &one), 1);
    ended(&one, 0);
    known_nowhere(w, "p");
    for (unsigned i = 0; i < 3; i++)
        assert_true(log_has(w, i, "gone p\n"));
    world_free(w);
}

static void a_remove_whose_answer_is_lost_is_asked_again(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    w->cut[A][C] = true;
    removes(w, C, "p", &one);
    pass(w, RV_ASK_MS);
    w->cut[A][C] = false;
    pass(w, RV_DEADLINE_MS);
    ended(&one, 0);
    known_nowhere(w, "p");
    world_free(w);
}

static void settings_reach_all(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(sets(w, B, "p", FLOW_BROADCAST, 4096, &one), 1);
    ended(&one, 0);
    assert_int_equal(one.info.capacity, 4096);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(at(w, i, "p")->capacity, 4096);
        assert_int_equal(at(w, i, "p")->mode, FLOW_BROADCAST);
        assert_true(log_has(w, i, "changed p\n"));
    }
    world_free(w);
}

static void the_mode_of_a_pipe_in_use_stays(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    sets(w, B, "p", FLOW_BROADCAST, 4096, &two);
    ended(&two, -EBUSY);
    assert_non_null(strstr(two.text, "pipe p"));
    assert_int_equal(at(w, A, "p")->capacity, PIPE_CAPACITY);
    assert_int_equal(sets(w, A, "p", FLOW_BROADCAST, 0, &two), -EBUSY);
    sets(w, B, "p", FLOW_STREAM, 8192, &two);
    ended(&two, 0);
    world_free(w);
}

/* ---- readers, writers, holders */

static void the_first_readers_machine_holds_the_buffer(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(rv_open_writer(w->m[C].rv, "p", &two.info, NULL), 0);
    assert_string_equal(two.info.holder, "");
    assert_int_equal(open_reader(w, B, "p", &one), 1);
    ended(&one, 0);
    assert_string_equal(one.info.holder, "b");
    assert_true(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    assert_true(log_has(w, C, "holder p b\n"));
    open_reader(w, C, "p", &two);
    ended(&two, 0);
    assert_string_equal(two.info.holder, "b");
    assert_int_equal(two.info.epoch, one.info.epoch);
    assert_int_equal(open_reader(w, A, "p", &three), 0);
    assert_string_equal(three.info.holder, "b");
    assert_int_equal(open_reader(w, B, "p", &three), 0); /* at once: it holds it */
    assert_int_equal(three.info.epoch, one.info.epoch);
    world_free(w);
}

static void readers_that_open_at_once_get_one_holder(void **state)
{
    struct world *w = world_new(3);
    struct result r[4] = { 0 };
    const unsigned where[] = { B, C, B, C };

    (void)state;
    make(w, A, "p", false, &one);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(rv_open_reader(w->m[where[i]].rv, w->now, "p", &r[i], NULL, NULL), 1);
    settle(w);
    for (unsigned i = 0; i < 4; i++) {
        ended(&r[i], 0);
        assert_string_equal(r[i].info.holder, "b");
        assert_int_equal(r[i].info.epoch, 1);
    }
    world_free(w);
}

static void a_released_pipe_is_held_anew_in_another_epoch(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    rv_release(w->m[B].rv, w->now, &one.info.uid);
    assert_false(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    assert_int_equal(rv_open_writer(w->m[B].rv, "p", &two.info, NULL), 0);
    assert_string_equal(two.info.holder, "");
    settle(w);
    assert_string_equal(at(w, C, "p")->holder, "");
    assert_true(log_has(w, C, "holder p -\n"));
    assert_false(log_has(w, B, "unheld"));
    open_reader(w, C, "p", &two);
    assert_string_equal(two.info.holder, "c");
    assert_true(two.info.epoch > one.info.epoch);
    world_free(w);
}

static void a_reader_that_opens_while_the_release_travels_holds_again(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    rv_release(w->m[B].rv, w->now, &one.info.uid);
    open_reader(w, B, "p", &two);
    ended(&two, 0);
    assert_string_equal(two.info.holder, "b");
    assert_true(two.info.epoch > one.info.epoch);
    assert_true(rv_holds(w->m[B].rv, &two.info.uid, two.info.epoch));
    assert_string_equal(at(w, A, "p")->holder, "b");
    assert_false(log_has(w, B, "unheld"));
    world_free(w);
}

static void a_late_release_takes_no_later_hold(void **state)
{
    struct world *w = world_new(2);
    struct rv_msg m = { .kind = RV_RELEASE };

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    rv_release(w->m[B].rv, w->now, &one.info.uid);
    open_reader(w, B, "p", &two);
    m.u.op.uid = one.info.uid;
    m.u.op.epoch = one.info.epoch;
    rv_asked(w->m[A].rv, w->now, "b", calloc(1, 64), &m);
    settle(w);
    assert_string_equal(at(w, A, "p")->holder, "b");
    assert_true(rv_holds(w->m[B].rv, &two.info.uid, two.info.epoch));
    world_free(w);
}

static void an_open_of_a_life_before_holds_nothing(void **state)
{
    struct world *w = world_new(2);
    struct rv_msg m = { .kind = RV_OPEN };

    (void)state;
    make(w, A, "p", false, &one);
    crash(w, B);
    boot(w, B);
    m.u.op.uid = one.info.uid;
    m.u.op.incarnation = w->m[B].incarnation - 1;
    rv_asked(w->m[A].rv, w->now, "b", calloc(1, 64), &m);
    assert_string_equal(at(w, A, "p")->holder, "");
    world_free(w);
}

static void a_hold_that_nobody_waits_for_is_given_back(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    memset(&one, 0, sizeof one);
    assert_int_equal(rv_open_reader(w->m[B].rv, w->now, "p", &one, NULL, NULL), 1);
    rv_cancel(w->m[B].rv, &one);
    pass(w, 10);
    assert_int_equal(one.ended, 0);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_string_equal(at(w, B, "p")->holder, "");

    /* The same when only the answer is lost. */
    w->cut[A][B] = true;
    open_reader(w, B, "p", &one);
    pass(w, RV_DEADLINE_MS);
    ended(&one, -EHOSTUNREACH);
    assert_string_equal(at(w, A, "p")->holder, "b");
    w->cut[A][B] = false;
    pass(w, 2 * SYNC_EVERY_MS);
    assert_string_equal(at(w, A, "p")->holder, "");
    world_free(w);
}

static void a_lost_release_is_sent_again(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    w->cut[B][A] = true;
    rv_release(w->m[B].rv, w->now, &one.info.uid);
    pass(w, RV_ASK_MS);
    w->cut[B][A] = false;
    pass(w, 2 * RV_ASK_MS);
    assert_string_equal(at(w, A, "p")->holder, "");
    world_free(w);
}

static void a_holder_that_restarts_no_longer_holds(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    crash(w, B);
    boot(w, B);
    assert_string_equal(at(w, A, "p")->holder, "");
    assert_string_equal(at(w, B, "p")->holder, "");
    assert_string_equal(at(w, C, "p")->holder, "");
    open_reader(w, B, "p", &two);
    ended(&two, 0);
    assert_true(two.info.epoch > one.info.epoch);
    world_free(w);
}

static void a_holder_dead_for_long_loses_the_buffer(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    cut_off(w, B, true);
    assert_int_equal(open_reader(w, A, "p", &two), -EHOSTUNREACH);
    assert_non_null(strstr(two.text, "b, the machine that holds pipe p"));
    open_reader(w, C, "p", &two);
    ended(&two, -EHOSTUNREACH);
    assert_int_equal(rv_open_writer(w->m[C].rv, "p", &two.info, NULL), -EHOSTUNREACH);
    pass(w, RV_HOLDER_LOST_MS - 1);
    assert_string_equal(at(w, C, "p")->holder, "b");
    pass(w, 1);
    assert_string_equal(at(w, C, "p")->holder, "");
    open_reader(w, C, "p", &two);
    ended(&two, 0);
    assert_string_equal(two.info.holder, "c");
    assert_true(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch)); /* it cannot know */
    cut_off(w, B, false);
    assert_true(log_has(w, B, "unheld p\nholder p c\n"));
    assert_false(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    world_free(w);
}

static void a_holder_away_for_a_short_time_keeps_the_buffer(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    cut_off(w, B, true);
    pass(w, RV_HOLDER_LOST_MS / 2);
    cut_off(w, B, false);
    pass(w, RV_HOLDER_LOST_MS);
    assert_true(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    assert_string_equal(at(w, C, "p")->holder, "b");
    assert_false(log_has(w, B, "unheld"));
    world_free(w);
}

static void a_removed_pipe_is_held_until_it_is_released(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    removes(w, A, "p", &two);
    ended(&two, 0);
    assert_true(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    rv_release(w->m[B].rv, w->now, &one.info.uid);
    assert_false(rv_holds(w->m[B].rv, &one.info.uid, one.info.epoch));
    world_free(w);
}

/* ---- machines that go and come */

static void of_a_dead_home_the_names_stay_but_do_not_open(void **state)
{
    struct world *w = world_new(3);
    struct oerr e;

    (void)state;
    make(w, A, "p", false, &one);
    crash(w, A);
    dead(w, A);
    assert_int_equal(open_reader(w, B, "p", &one), -EHOSTUNREACH);
    assert_string_equal(one.text, "a, the machine on which pipe p was made, cannot be reached");
    assert_int_equal(rv_open_writer(w->m[B].rv, "p", &one.info, &e), -EHOSTUNREACH);
    assert_int_equal(removes(w, B, "p", &one), -EHOSTUNREACH);
    assert_int_equal(sets(w, B, "p", -1, 4096, &one), -EHOSTUNREACH);
    assert_int_equal(make(w, B, "p", true, &one), -EEXIST);
    assert_int_equal(make(w, B, "p", false, &one), 0);
    world_free(w);
}

static void a_home_that_does_not_answer_is_unreachable_within_the_deadline(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    w->cut[B][A] = true;
    assert_int_equal(open_reader(w, B, "p", &one), 1);
    assert_int_equal(removes(w, B, "p", &two), 1);
    assert_int_equal(sets(w, B, "p", -1, 4096, &three), 1);
    pass(w, RV_DEADLINE_MS);
    ended(&one, -EHOSTUNREACH);
    ended(&two, -EHOSTUNREACH);
    ended(&three, -EHOSTUNREACH);
    world_free(w);
}

static void who_uses_a_buffer_here_goes_on_when_the_home_dies(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    open_reader(w, B, "p", &one);
    crash(w, A);
    dead(w, A);
    assert_int_equal(open_reader(w, B, "p", &two), 0);
    assert_int_equal(rv_open_writer(w->m[B].rv, "p", &two.info, NULL), 0);
    assert_string_equal(two.info.holder, "b");
    world_free(w);
}

static void the_pipes_of_a_home_that_restarts_are_gone(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    make(w, A, "q", false, &one);
    crash(w, A);
    boot(w, A);
    known_nowhere(w, "p");
    assert_true(log_has(w, B, "gone p\n") && log_has(w, C, "gone q\n"));
    make(w, C, "p", true, &one);
    ended(&one, 0);
    known_at_all(w, "p");
    world_free(w);
}

static void the_word_of_a_restarted_home_counts_before_membership_tells(void **state)
{
    struct world *w = world_new(2);
    struct rv_msg m = { .kind = RV_UPDATE };
    struct pipe_info *p = &m.u.update.pipe;

    (void)state;
    make(w, A, "old", false, &one);
    *p = *at(w, B, "old");
    strcpy(p->name, "new");
    p->uid.incarnation++;
    p->version = 1;
    rv_asked(w->m[B].rv, w->now, "a", calloc(1, 64), &m);
    assert_null(at(w, B, "old"));
    assert_non_null(at(w, B, "new"));
    world_free(w);
}

static void the_pipes_of_a_home_that_left_or_was_forgotten_are_gone(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    make(w, B, "q", false, &one);
    crash(w, A);
    member(w, A, B, MEMBER_LEFT);
    member(w, A, C, MEMBER_LEFT);
    crash(w, B);
    rv_forget(w->m[C].rv, w->now, "b");
    assert_int_equal(rv_count(w->m[C].rv), 0);
    world_free(w);
}

static void who_comes_learns_the_pipes_of_the_living_and_the_dead(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    make(w, B, "q", false, &one);
    crash(w, A);
    dead(w, A);
    crash(w, C);
    boot(w, C);
    member(w, A, C, MEMBER_DEAD);
    assert_non_null(at(w, C, "q"));
    pass(w, 2 * SYNC_EVERY_MS);
    assert_non_null(at(w, C, "p"));
    world_free(w);
}

static void a_missed_change_is_caught_up_with(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    w->cut[A][B] = true;
    sets(w, A, "p", -1, 4096, &one);
    pass(w, RV_ASK_MS);
    ended(&one, 0);
    assert_int_equal(at(w, B, "p")->capacity, PIPE_CAPACITY);
    w->cut[A][B] = false;
    sets(w, A, "p", FLOW_BROADCAST, 0, &one);
    ended(&one, 0);
    assert_int_equal(at(w, B, "p")->capacity, 4096);
    assert_int_equal(at(w, B, "p")->mode, FLOW_BROADCAST);
    world_free(w);
}

/* ---- partitions */

static void a_name_made_on_both_sides_is_the_older_ones(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    cut_off(w, A, true);
    make_at(w, A, "p", 2000, &one);
    make_at(w, C, "p", 1000, &two);
    settle(w);
    ended(&one, 0);
    ended(&two, 0);
    cut_off(w, A, false);
    pass(w, 10);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rv_count(w->m[i].rv), 2);
        assert_string_equal(at(w, i, "p")->uid.home, "c");
        assert_string_equal(at(w, i, "p~a")->uid.home, "a");
    }
    assert_true(log_has(w, A, "renamed p~a\n"));
    assert_true(log_has(w, B, "added p~a\n"));

    /* It keeps the new name. */
    removes(w, B, "p", &one);
    ended(&one, 0);
    known_nowhere(w, "p");
    known_at_all(w, "p~a");
    world_free(w);
}

static void of_equal_age_the_lower_id_keeps_the_name(void **state)
{
    struct world *w = world_new(2);
    char name[PIPE_NAME_MAX + 1], other[PIPE_NAME_MAX + 1];

    (void)state;
    memset(name, 'n', PIPE_NAME_MAX);
    memcpy(name + PIPE_NAME_MAX - 3, "\xe2\x82\xac", 3); /* one character at the very end */
    name[PIPE_NAME_MAX] = '\0';
    memset(other, 'n', sizeof other);
    strcpy(other + PIPE_NAME_MAX - 3, "~b");
    cut_off(w, B, true);
    make_at(w, A, name, 7, &one);
    make_at(w, B, name, 7, &two);
    make_at(w, A, "q~b", 7, &one);
    make_at(w, A, "q", 7, &one);
    make_at(w, B, "q", 8, &one);
    cut_off(w, B, false);
    pass(w, 10);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(at(w, i, name)->uid.home, "a");
        assert_string_equal(at(w, i, other)->uid.home, "b");
        assert_string_equal(at(w, i, "q")->uid.home, "a");
        assert_string_equal(at(w, i, "q~b")->uid.home, "a");
        assert_string_equal(at(w, i, "q~b~2")->uid.home, "b");
    }
    world_free(w);
}

static void many_conflicts_cost_few_messages(void **state)
{
    struct world *w = world_new(3);
    char name[16];

    (void)state;
    cut_off(w, C, true);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "p%d", i);
        make_at(w, A, name, 1, &one);
        settle(w);
        make_at(w, C, name, 2, &two);
        settle(w);
    }
    memset(w->sent, 0, sizeof w->sent);
    cut_off(w, C, false);
    pass(w, 10);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rv_count(w->m[i].rv), 400);
        assert_string_equal(at(w, i, "p199")->uid.home, "a");
        assert_string_equal(at(w, i, "p199~c")->uid.home, "c");
    }
    assert_in_range(w->sent[RV_UPDATE], 1, 16);
    assert_in_range(w->sent[RV_PULL], 1, 16);
    world_free(w);
}

static void a_holder_holds_on_through_a_rename(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    cut_off(w, A, true);
    make_at(w, A, "p", 1, &one);
    make(w, B, "p", false, &two);
    open_reader(w, C, "p", &two);
    cut_off(w, A, false);
    pass(w, 10);
    assert_true(rv_holds(w->m[C].rv, &two.info.uid, two.info.epoch));
    assert_string_equal(at(w, A, "p~b")->holder, "c");
    assert_false(log_has(w, C, "unheld"));
    world_free(w);
}

/* ---- others */

static void what_is_not_its_own_or_not_a_question_is_refused(void **state)
{
    struct world *w = world_new(3);
    struct rv_msg m = { .kind = RV_UPDATE };

    (void)state;
    make(w, A, "p", false, &one);
    m.u.update.pipe = *at(w, B, "p");
    m.u.update.removed = true;
    m.u.update.pipe.version++;
    rv_asked(w->m[B].rv, w->now, "c", calloc(1, 64), &m); /* c speaks of a's pipe */
    m = (struct rv_msg){ .kind = RV_OK };
    rv_asked(w->m[B].rv, w->now, "c", calloc(1, 64), &m);
    assert_int_equal(w->sent[RV_REFUSE], 2);
    settle(w);
    known_at_all(w, "p");
    rv_answered(w->m[B].rv, w->now, 12345, 0, &m); /* nobody asked */
    world_free(w);
}

static void too_many_operations_are_refused(void **state)
{
    struct world *w = world_new(2);
    struct pipe_options opt = { 0 };
    unsigned parked = 0;
    char name[16];
    int rc = 1;

    (void)state;
    memset(&one, 0, sizeof one);
    w->cut[A][B] = true;
    while (rc == 1 && parked < 100000) {
        snprintf(name, sizeof name, "p%u", parked);
        rc = rv_make(w->m[A].rv, w->now, name, &opt, &one, NULL, NULL);
        parked += rc == 1;
    }
    assert_int_equal(rc, -EAGAIN);
    pass(w, RV_DEADLINE_MS);
    assert_int_equal(one.ended, parked);
    assert_int_equal(one.rc, 0);
    world_free(w);
}

static void idle_machines_say_little(void **state)
{
    struct world *w = world_new(3);
    unsigned sum = 0;

    (void)state;
    make(w, A, "p", false, &one);
    pass(w, 1000);
    memset(w->sent, 0, sizeof w->sent);
    pass(w, 60000);
    for (int k = 0; k < RV_KINDS; k++)
        sum += w->sent[k];
    assert_int_equal(sum, w->sent[RV_SYNC]);
    assert_in_range(sum, 2, 3 * 13 * 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_everything_ends_at_once),
        cmocka_unit_test(bad_names_and_values_are_refused),
        cmocka_unit_test(a_home_has_4096_pipes_at_most),
        cmocka_unit_test(a_made_pipe_is_known_to_all_when_make_ends),
        cmocka_unit_test(of_two_who_make_one_name_one_wins),
        cmocka_unit_test(the_loser_of_an_exclusive_race_gets_eexist),
        cmocka_unit_test(two_makers_on_one_machine_share_the_pipe),
        cmocka_unit_test(a_silent_machine_does_not_count_after_a_second),
        cmocka_unit_test(a_machine_that_dies_while_asked_does_not_count),
        cmocka_unit_test(a_machine_that_comes_while_others_are_asked_is_asked_too),
        cmocka_unit_test(who_comes_while_others_are_told_is_told_too),
        cmocka_unit_test(two_who_ask_before_they_know_each_other_agree),
        cmocka_unit_test(who_said_ok_and_then_makes_it_with_a_lower_id_wins),
        cmocka_unit_test(who_missed_a_name_learns_it_when_making_it),
        cmocka_unit_test(a_name_removed_can_be_made_by_another),
        cmocka_unit_test(a_pipe_removed_from_elsewhere_is_gone_at_all),
        cmocka_unit_test(a_remove_whose_answer_is_lost_is_asked_again),
        cmocka_unit_test(settings_reach_all),
        cmocka_unit_test(the_mode_of_a_pipe_in_use_stays),
        cmocka_unit_test(the_first_readers_machine_holds_the_buffer),
        cmocka_unit_test(readers_that_open_at_once_get_one_holder),
        cmocka_unit_test(a_released_pipe_is_held_anew_in_another_epoch),
        cmocka_unit_test(a_reader_that_opens_while_the_release_travels_holds_again),
        cmocka_unit_test(a_late_release_takes_no_later_hold),
        cmocka_unit_test(an_open_of_a_life_before_holds_nothing),
        cmocka_unit_test(a_hold_that_nobody_waits_for_is_given_back),
        cmocka_unit_test(a_lost_release_is_sent_again),
        cmocka_unit_test(a_holder_that_restarts_no_longer_holds),
        cmocka_unit_test(a_holder_dead_for_long_loses_the_buffer),
        cmocka_unit_test(a_holder_away_for_a_short_time_keeps_the_buffer),
        cmocka_unit_test(a_removed_pipe_is_held_until_it_is_released),
        cmocka_unit_test(of_a_dead_home_the_names_stay_but_do_not_open),
        cmocka_unit_test(a_home_that_does_not_answer_is_unreachable_within_the_deadline),
        cmocka_unit_test(who_uses_a_buffer_here_goes_on_when_the_home_dies),
        cmocka_unit_test(the_pipes_of_a_home_that_restarts_are_gone),
        cmocka_unit_test(the_word_of_a_restarted_home_counts_before_membership_tells),
        cmocka_unit_test(the_pipes_of_a_home_that_left_or_was_forgotten_are_gone),
        cmocka_unit_test(who_comes_learns_the_pipes_of_the_living_and_the_dead),
        cmocka_unit_test(a_missed_change_is_caught_up_with),
        cmocka_unit_test(a_name_made_on_both_sides_is_the_older_ones),
        cmocka_unit_test(of_equal_age_the_lower_id_keeps_the_name),
        cmocka_unit_test(many_conflicts_cost_few_messages),
        cmocka_unit_test(a_holder_holds_on_through_a_rename),
        cmocka_unit_test(what_is_not_its_own_or_not_a_question_is_refused),
        cmocka_unit_test(too_many_operations_are_refused),
        cmocka_unit_test(idle_machines_say_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
