/*
 * test_pipe_names.c - stories of pipe names on up to three machines a, b, c, over a model of the
 * registry: making, removing and setting pipes, and a registry that is not there.
 */
#include "tests/unit/pn_kit.h"
#include "tests/lib/registry_model.h"

#include <errno.h>
#include <stdio.h>

static struct result two, three;

/* ---- making, removing, setting */

static void alone_everything_is_there(void **state)
{
    struct world *w = world_new(1);

    (void)state;
    assert_int_equal(make(w, A, "p", true, &one), 0);
    assert_string_equal(at(w, A, "p")->owner, "ann");
    assert_int_equal(at(w, A, "p")->perm, 0640);
    assert_int_equal(at(w, A, "p")->capacity, PIPE_CAPACITY);
    assert_int_equal(make(w, A, "p", false, &one), 0);
    assert_int_equal(make(w, A, "p", true, &one), -EEXIST);
    assert_string_equal(one.text, "pipe p exists");
    assert_int_equal(sets(w, A, "p", FLOW_BROADCAST, 8192, 0600, &one), 0);
    assert_int_equal(at(w, A, "p")->mode, FLOW_BROADCAST);
    assert_int_equal(at(w, A, "p")->capacity, 8192);
    assert_int_equal(at(w, A, "p")->perm, 0600);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    assert_string_equal(one.info.holder, "a");
    assert_true(pn_holds(w->m[A].pn, one.info.uid, one.info.epoch));
    assert_int_equal(removes(w, A, "p", &two), 0);
    assert_int_equal(removes(w, A, "p", &two), -ENOENT);
    assert_string_equal(two.text, "there is no pipe p");
    assert_false(pn_holds(w->m[A].pn, one.info.uid, one.info.epoch));
    assert_string_equal(w->m[A].log, "added p\nchanged p\nholder p a\ngone p\n");
    assert_int_equal(pn_next(w->m[A].pn), UINT64_MAX);
    world_free(w);
}

static void bad_names_and_values_are_refused(void **state)
{
    static const struct {
        const char *name;
        int rc;
    } bad[] = { { "", -EINVAL },     { ".", -EINVAL },      { "..", -EINVAL },
                { "ctl", -EINVAL },  { "status", -EINVAL }, { "error", -EINVAL },
                { "x/y", -EINVAL },  { "x\ny", -EINVAL },   { "\x7f", -EINVAL },
                { "\xff", -EINVAL }, { "\xc3", -EINVAL } };
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
    assert_int_equal(sets(w, A, longest, -1, PIPE_CAPACITY_MIN - 1, -1, &one), -EINVAL);
    assert_int_equal(sets(w, A, longest, -1, PIPE_CAPACITY_MAX + 1ULL, -1, &one), -EINVAL);
    assert_int_equal(sets(w, A, "none", -1, 0, -1, &one), -ENOENT);
    assert_int_equal(open_reader(w, A, "none", &one), -ENOENT);
    assert_int_equal(pn_open_writer(w->m[A].pn, "none", &one.info, &e), -ENOENT);
    assert_string_equal(e.text, "there is no pipe none");
    world_free(w);
}

static void commands_check_what_they_are_given(void **state)
{
    static const struct {
        const char *cmd, *fields;
        int rc;
    } bad[] = {
        { "pipe.make", "{}", -EINVAL },
        { "pipe.make",
          "{\"name\":\"a/b\",\"mode\":\"stream\",\"capacity\":4096,\"owner\":\"u\",\"perm\":1,"
          "\"excl\":false,\"at_us\":1}",
          -EINVAL },
        { "pipe.make",
          "{\"name\":\"a\",\"mode\":\"streem\",\"capacity\":4096,\"owner\":\"u\",\"perm\":1,"
          "\"excl\":false,\"at_us\":1}",
          -EINVAL },
        { "pipe.make",
          "{\"name\":\"a\",\"mode\":\"stream\",\"capacity\":-1,\"owner\":\"u\",\"perm\":1,"
          "\"excl\":false,\"at_us\":1}",
          -EINVAL },
        { "pipe.remove", "{\"name\":\"p\"}", -EINVAL },
        { "pipe.remove", "{\"name\":\"p\",\"uid\":1}", -ENOENT },
        { "pipe.remove", "{\"name\":\"none\",\"uid\":1}", -ENOENT },
        { "pipe.set", "{\"name\":\"p\",\"uid\":%llu,\"mode\":\"x\"}", -EINVAL },
        { "pipe.set", "{\"name\":\"p\",\"uid\":%llu,\"capacity\":5}", -EINVAL },
        { "pipe.set", "{\"name\":\"p\",\"uid\":%llu,\"perm\":\"x\"}", -EINVAL },
        { "pipe.hold", "{\"name\":\"p\",\"uid\":%llu}", -EINVAL },
        { "pipe.hold", "{\"name\":\"p\",\"uid\":%llu,\"machine\":\"\",\"inc\":1}", -EINVAL },
        { "pipe.release", "{\"name\":\"p\",\"uid\":2,\"epoch\":1}", -ENOENT },
    };
    struct world *w = world_new(1);

    (void)state;
    assert_int_equal(make(w, A, "p", true, &one), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *before = json_deep_copy(w->m[A].state), *fields, *result;
        struct oerr e = { "" };
        char text[300];

        snprintf(text, sizeof text, bad[i].fields, (unsigned long long)at(w, A, "p")->uid);
        fields = json_loads(text, 0, NULL);
        assert_non_null(fields);
        assert_int_equal(
            model_apply(w->m[A].state, 9, pipe_commands, bad[i].cmd, fields, &result, &e),
            bad[i].rc);
        assert_null(result);
        assert_true(json_equal(before, w->m[A].state));
        json_decref(fields);
        json_decref(before);
    }
    world_free(w);
}

static void there_are_4096_pipes_at_most(void **state)
{
    struct world *w = world_new(2);
    char name[32];

    (void)state;
    for (int i = 0; i < PIPES_MAX; i++) {
        snprintf(name, sizeof name, "p%d", i);
        make(w, i % 2, name, true, &one);
        ended(&one, 0);
    }
    assert_int_equal(make(w, B, "more", false, &one), -ENOSPC);
    assert_int_equal(pn_count(w->m[A].pn), PIPES_MAX);
    for (size_t i = 1; i < pn_count(w->m[B].pn); i++)
        assert_true(strcmp(pn_at(w->m[B].pn, i - 1)->name, pn_at(w->m[B].pn, i)->name) < 0);
    assert_null(pn_at(w->m[B].pn, PIPES_MAX));
    assert_int_equal(removes(w, A, "p7", &one), 0);
    assert_int_equal(make(w, B, "more", false, &one), 0);
    world_free(w);
}

static void of_two_who_make_one_name_one_wins(void **state)
{
    (void)state;
    for (int excl = 0; excl < 2; excl++) {
        struct world *w = world_new(3);

        assert_int_equal(make_(w, C, "p", excl, &one), 1);
        assert_int_equal(make_(w, B, "p", excl, &two), 1);
        assert_int_equal(make_(w, B, "p", excl, &three), 1);
        settle(w);
        ended(&one, 0);
        ended(&two, excl ? -EEXIST : 0);
        ended(&three, excl ? -EEXIST : 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(at(w, i, "p")->uid, at(w, A, "p")->uid);
        world_free(w);
    }
}

static void a_call_ends_when_it_shows_here(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    w->m[B].lags = true;
    assert_int_equal(make(w, B, "p", true, &one), 1);
    assert_non_null(at(w, A, "p"));
    assert_int_equal(one.ended, 0);
    w->m[B].lags = false;
    settle(w);
    ended(&one, 0);
    assert_non_null(at(w, B, "p"));

    w->m[B].lags = true; /* but not one that was to be new: its removal was told to somebody */
    assert_int_equal(make(w, B, "q", true, &one), 1);
    assert_int_equal(removes(w, A, "q", &two), 0);
    w->m[B].lags = false;
    settle(w);
    ended(&one, -EAGAIN);
    assert_null(at(w, B, "q"));
    world_free(w);
}

static void a_name_removed_can_be_made_by_another(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid;

    (void)state;
    make(w, A, "p", true, &one);
    uid = at(w, B, "p")->uid;
    assert_int_equal(removes(w, B, "p", &one), 0);
    assert_null(at(w, A, "p"));
    assert_int_equal(make(w, B, "p", true, &one), 0);
    assert_int_not_equal(at(w, A, "p")->uid, uid);
    assert_string_equal(w->m[A].log, "added p\ngone p\nadded p\n");
    world_free(w);
}

static void what_concerns_the_pipe_before_leaves_the_new_one(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid;

    (void)state;
    make(w, A, "p", true, &one);
    uid = at(w, A, "p")->uid;
    w->m[B].lags = true;
    removes(w, A, "p", &one);
    make(w, A, "p", true, &one);
    assert_int_equal(at(w, B, "p")->uid, uid);
    assert_int_equal(removes(w, B, "p", &one), 1);
    assert_int_equal(sets(w, B, "p", -1, 8192, -1, &two), 1);
    assert_int_equal(open_reader(w, B, "p", &three), 1);
    w->m[B].lags = false;
    settle(w);
    ended(&one, -ENOENT);
    ended(&two, -ENOENT);
    ended(&three, -ENOENT);
    assert_int_equal(at(w, A, "p")->capacity, PIPE_CAPACITY);
    assert_int_not_equal(at(w, A, "p")->uid, uid);
    assert_true(log_has(w, B, "added p\ngone p\nadded p\n"));
    world_free(w);
}

static void a_pipe_removed_before_its_maker_saw_it_is_made_again(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", true, &one);
    w->m[B].lags = true;
    removes(w, A, "p", &one);
    assert_int_equal(removes(w, B, "p", &one), 1); /* B still sees it */
    w->m[B].lags = false;
    settle(w);
    ended(&one, -ENOENT);

    w->m[B].lags = true;
    assert_int_equal(make(w, B, "p", false, &one), 1);
    assert_int_equal(removes(w, A, "p", &two), 0);
    w->m[B].lags = false;
    settle(w);
    ended(&one, 0);
    assert_non_null(at(w, B, "p"));
    world_free(w);
}

static void settings_reach_all(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(sets(w, B, "p", FLOW_BROADCAST, 0, -1, &one), 0);
    assert_int_equal(sets(w, C, "p", -1, 65536, -1, &one), 0);
    assert_int_equal(sets(w, A, "p", -1, 0, 0444, &one), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(at(w, i, "p")->mode, FLOW_BROADCAST);
        assert_int_equal(at(w, i, "p")->capacity, 65536);
        assert_int_equal(at(w, i, "p")->perm, 0444);
    }
    assert_true(log_has(w, A, "changed p\nchanged p\nchanged p\n"));
    world_free(w);
}

static void the_mode_of_a_pipe_in_use_stays(void **state)
{
    struct world *w = world_new(2);
    uint64_t uid = pipe_read_on(w, A), began;

    (void)state;
    assert_int_equal(sets(w, A, "p", FLOW_STREAM, 0, -1, &one), 0); /* the one that it has */
    began = w->now;
    for (unsigned i = 0; i < 2; i++) {
        sets(w, i, "p", FLOW_BROADCAST, 0, -1, &one);
        pass(w, 1000);
        ended(&one, -EBUSY);
        assert_non_null(strstr(one.text, "in use"));
    }
    assert_true(w->now - began < PN_DEADLINE_MS);
    assert_int_equal(sets(w, B, "p", -1, 4096, -1, &one), 0);

    /* Once it is not used it can be changed at once where it was held, soon from elsewhere. */
    unuse(w, A, uid);
    assert_int_equal(sets(w, A, "p", FLOW_BROADCAST, 0, -1, &one), 0);
    assert_int_equal(open_reader(w, A, "p", &one), 0);
    use(w, A, uid);
    unuse(w, A, uid);
    sets(w, B, "p", FLOW_STREAM, 0, -1, &one);
    pass(w, 1000);
    ended(&one, 0);
    assert_int_equal(at(w, A, "p")->mode, FLOW_STREAM);
    world_free(w);
}

/* ---- the registry is not there, or is another */

static void without_quorum_what_exists_can_be_used(void **state)
{
    struct world *w = world_new(3);
    struct pipe_info out;
    uint64_t began;

    (void)state;
    pipe_read_on(w, B);
    make(w, A, "free", false, &one);
    w->no_quorum = true;
    began = w->now;
    assert_int_equal(make(w, A, "p", false, &one), 0);
    assert_int_equal(make(w, A, "p", true, &one), -EEXIST);
    assert_int_equal(open_(w, A, "p", &one), 0);
    assert_int_equal(pn_open_writer(w->m[A].pn, "p", &out, NULL), 0);
    assert_int_equal(pn_open_writer(w->m[A].pn, "free", &out, NULL), 0);
    assert_int_equal(make_(w, A, "q", false, &one), 1);
    assert_int_equal(open_(w, A, "free", &two), 1);
    assert_int_equal(removes(w, A, "p", &three), 1);
    pass(w, PN_DEADLINE_MS);
    assert_int_equal(w->now - began, PN_DEADLINE_MS);
    ended(&one, -EAGAIN);
    ended(&two, -EAGAIN);
    ended(&three, -EAGAIN);
    assert_string_equal(one.text, "no quorum: 1 of 3 voters");
    assert_non_null(at(w, A, "p"));
    world_free(w);
}

static void another_state_replaces_all(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    pipe_read_on(w, A);
    make(w, A, "q", false, &one);
    make(w, A, "r", false, &one);
    w->m[A].log[0] = '\0';
    pn_all_begin(w->m[A].pn);
    pn_record(w->m[A].pn, w->now, "r", json_object_get(w->m[A].state, "pipe/r"));
    pn_all_end(w->m[A].pn);
    assert_string_equal(w->m[A].log, "gone q\ngone p\n");
    assert_int_equal(pn_count(w->m[A].pn), 1);
    world_free(w);
}

static void what_cannot_be_read_counts_as_none(void **state)
{
    struct world *w = world_new(1);
    json_t *bad = json_pack("{s:s}", "uid", "x"), *more;

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(pn_record(w->m[A].pn, w->now, "p", bad), -EPROTO);
    assert_null(at(w, A, "p"));
    assert_int_equal(pn_record(w->m[A].pn, w->now, "q", bad), -EPROTO);
    assert_int_equal(pn_count(w->m[A].pn), 0);
    json_decref(bad);

    /* A later version may add fields. */
    more = json_object_get(w->m[A].state, "pipe/p");
    json_object_set_new(more, "colour", json_string("red"));
    assert_int_equal(pn_record(w->m[A].pn, w->now, "p", more), 0);
    assert_non_null(at(w, A, "p"));
    world_free(w);
}

static void too_many_operations_are_refused(void **state)
{
    struct world *w = world_new(1);
    struct result r[1025];
    int rc = 1;
    unsigned n = 0;

    (void)state;
    w->no_quorum = true;
    while (rc == 1 && n < 1025) {
        char name[16];

        snprintf(name, sizeof name, "p%u", n);
        rc = make_(w, A, name, false, &r[n++]);
    }
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(n, 1025);
    pass(w, PN_DEADLINE_MS);
    for (unsigned i = 0; i < 1024; i++)
        ended(&r[i], -EAGAIN);
    world_free(w);
}

static void the_end_ends_all_operations(void **state)
{
    struct world *w = world_new(2);

    (void)state;
    make(w, A, "p", false, &one);
    assert_int_equal(make_(w, B, "q", false, &one), 1);
    assert_int_equal(open_(w, B, "p", &two), 1);
    crash(w, B);
    ended(&one, -ECANCELED);
    ended(&two, -ECANCELED);
    settle(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_everything_is_there),
        cmocka_unit_test(bad_names_and_values_are_refused),
        cmocka_unit_test(commands_check_what_they_are_given),
        cmocka_unit_test(there_are_4096_pipes_at_most),
        cmocka_unit_test(of_two_who_make_one_name_one_wins),
        cmocka_unit_test(a_call_ends_when_it_shows_here),
        cmocka_unit_test(a_name_removed_can_be_made_by_another),
        cmocka_unit_test(what_concerns_the_pipe_before_leaves_the_new_one),
        cmocka_unit_test(a_pipe_removed_before_its_maker_saw_it_is_made_again),
        cmocka_unit_test(settings_reach_all),
        cmocka_unit_test(the_mode_of_a_pipe_in_use_stays),
        cmocka_unit_test(without_quorum_what_exists_can_be_used),
        cmocka_unit_test(another_state_replaces_all),
        cmocka_unit_test(what_cannot_be_read_counts_as_none),
        cmocka_unit_test(too_many_operations_are_refused),
        cmocka_unit_test(the_end_ends_all_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
