/*
 * test_formation.c - how a machine begins a registry, waits for one, and gives one up, as stories;
 * and what machines say of themselves on the wire. Its roles as leader are in test_roles.c.
 */
#include "tests/unit/form_story.h"

#include <errno.h>

/* The story's machine is `b`, fresh. */
static int begin_fresh(void **state)
{
    return story_begin(state, "b");
}

/* ... or it leads the registry L, alone and without data. */
static int begin_leader(void **state)
{
    struct story *s;

    if (story_begin(state, "b") < 0)
        return -1;
    s = *state;
    s->k.n_servers = 0;
    seat(s, "b", ROLE_VOTER);
    s->k.is_leader = true;
    return 0;
}

/* Its own standing, in its place among those who were named before. */
static struct standing *self_says(struct story *s, const char *registry)
{
    struct standing *is = &comes(s, "b", registry)->is;

    is->leader = s->k.is_leader;
    is->machines = (uint32_t)s->k.n_servers;
    is->term = 1;
    return is;
}

/* That machine leads a registry of so many machines. */
static struct standing *leads(struct story *s, const char *id, const char *registry,
                              uint32_t machines, bool data)
{
    struct standing *is = &comes(s, id, registry)->is;

    is->leader = true;
    is->machines = machines;
    is->data = data;
    is->term = 1;
    return is;
}

/* ---- fresh */

static void alone_it_begins_after_a_second_and_a_half(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    assert_string_equal(asks(s), "-");
    assert_int_equal(formation_next(s->f), s->k.started_ms + FORM_QUIET_MS);
    assert_string_equal(after(s, FORM_QUIET_MS - 1), "-");
    assert_int_equal(state_of(s), FORM_WAITING);
    assert_string_equal(after(s, 1), "bootstrap");
}

static void the_lower_id_begins_the_higher_waits_for_it(void **state)
{
    struct story *s = *state;

    comes(s, "a", "");
    comes(s, "b", "");
    comes(s, "c", "");
    assert_string_equal(within(s, 60000), "-");
    assert_non_null(strstr(words(s), "waits for a"));
    goes(s, "a", false);
    assert_string_equal(within(s, 0), "bootstrap");
}

static void a_registry_is_waited_for_however_long_it_takes(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    comes(s, "c", "R");
    assert_string_equal(within(s, 600000), "-");
    assert_int_equal(state_of(s), FORM_JOINING);
    assert_non_null(strstr(words(s), "no leader"));
    who(s, "c")->is.leader = true;
    assert_string_equal(asks(s), "-");
    assert_string_equal(words(s), "waits to be added to the registry that c leads");
}

static void a_member_that_has_not_spoken_yet_is_waited_for_10_s(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    comes(s, "c", "")->known = false;
    assert_string_equal(within(s, 9999), "-");
    assert_non_null(strstr(words(s), "waits to hear from c"));
    assert_string_equal(within(s, 1), "bootstrap");
}

static void a_registry_that_another_begins_is_waited_for(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    comes(s, "c", "")->is.begun = true;
    assert_string_equal(within(s, 60000), "-");
    comes(s, "c", "R");
    assert_string_equal(within(s, 60000), "-");
}

static void its_own_begun_registry_is_not_begun_twice(void **state)
{
    struct story *s = *state;

    comes(s, "b", "")->is.begun = true;
    seat(s, "b", ROLE_VOTER);
    s->k.is_leader = true;
    assert_string_equal(within(s, 60000), "-");
    assert_int_equal(state_of(s), FORM_JOINING);
}

static void the_registry_of_who_just_died_is_waited_for_30_s(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    comes(s, "c", "R");
    asks(s);
    goes(s, "c", false);
    assert_string_equal(within(s, 29999), "-");
    assert_non_null(strstr(words(s), "registry of c"));
    assert_string_equal(within(s, 1), "bootstrap");
}

static void after_a_registry_was_heard_it_listens_again(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    comes(s, "c", "R");
    after(s, 5000);
    s->k.n = 1; /* forgotten */
    assert_string_equal(after(s, FORM_QUIET_MS - 1), "-");
    assert_string_equal(after(s, 1), "bootstrap");
}

static void refused_by_the_leader_it_says_what_to_do(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    strcpy(leads(s, "c", "R", 3, true)->refuses, "b");
    assert_string_equal(asks(s), "-");
    assert_int_equal(state_of(s), FORM_REFUSED);
    assert_non_null(strstr(words(s), "forget b"));
    who(s, "c")->is.refuses[0] = '\0'; /* another one's turn to be named */
    after(s, 5000);
    assert_int_equal(state_of(s), FORM_REFUSED);
    after(s, 10000);
    assert_int_equal(state_of(s), FORM_JOINING);
}

/* ---- dissolved */

static void dissolved_it_waits_for_the_one_that_took_over(void **state)
{
    struct story *s = *state;
    struct form_machine *me = comes(s, "b", "");

    strcpy(me->is.from, "L");
    strcpy(me->is.into, "W");
    assert_string_equal(within(s, 600000), "-");
    assert_int_equal(state_of(s), FORM_WAITING);
    assert_non_null(strstr(words(s), "gone for good"));
    assert_non_null(strstr(words(s), "remove the folder"));
}

static void a_fresh_machine_does_not_wait_for_a_dissolved_one_to_begin(void **state)
{
    struct story *s = *state;
    struct form_machine *a = comes(s, "a", "");

    strcpy(a->is.from, "L");
    strcpy(a->is.into, "W");
    comes(s, "b", "");
    assert_string_equal(within(s, FORM_QUIET_MS), "bootstrap");
}

static void two_that_dissolved_into_each_other_begin_anew(void **state)
{
    struct story *s = *state;
    struct form_machine *me = comes(s, "b", ""), *c;

    strcpy(me->is.from, "L");
    strcpy(me->is.into, "W");
    assert_string_equal(within(s, 60000), "-");
    c = comes(s, "c", "");
    strcpy(c->is.from, "W");
    strcpy(c->is.into, "L");
    assert_string_equal(within(s, FORM_QUIET_MS), "bootstrap");
}

static void what_took_over_had_ended_before(void **state)
{
    struct story *s = *state;
    struct form_machine *me = comes(s, "b", "");

    standing_ended(me->is.from, "L");
    standing_ended(me->is.from, "W");
    strcpy(me->is.into, "L"); /* by word of a machine that had not heard */
    assert_string_equal(within(s, FORM_QUIET_MS), "bootstrap");
}

static void the_leader_wipes_last(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    comes(s, "c", "L");
    asks(s);
    strcpy(s->ended_into, "W");
    assert_string_equal(within(s, 2999), "-");
    assert_int_equal(state_of(s), FORM_JOINING);
    comes(s, "c", "");
    assert_string_equal(asks(s), "wipe W");
    comes(s, "c", "L"); /* it does not hear: not waited for any longer than that */
    assert_string_equal(after(s, 1), "-");
    assert_string_equal(within(s, 1000), "wipe W");
}

static void who_was_away_learns_from_others_that_its_registry_ended(void **state)
{
    struct story *s = *state;
    struct form_machine *c;

    self_says(s, "L")->data = false;
    c = comes(s, "c", "W");
    standing_ended(c->is.from, "L");
    standing_ended(c->is.from, "K");
    strcpy(c->is.into, "W");
    c->is.leader = true;
    s->k.is_leader = false;
    assert_string_equal(asks(s), "wipe W");
    s->k.is_leader = true; /* a leader has its own word for it */
    assert_string_equal(asks(s), "-");
}

static void words_of_the_dead_end_nothing(void **state)
{
    struct story *s = *state;
    struct form_machine *c;

    self_says(s, "L");
    s->k.is_leader = false;
    c = comes(s, "c", "W");
    strcpy(c->is.from, "L");
    strcpy(c->is.into, "W");
    goes(s, "c", false);
    assert_string_equal(within(s, 60000), "-");
}

/* ---- two registries meet; ours is L, of one machine */

static void which_gives_way(void **state)
{
    /* theirs has the id, so many machines, data; ours has data; who gives way */
    static const struct {
        const char *id;
        uint32_t machines;
        bool data, ours;
        const char *asks;
    } table[] = {
        { "W", 2, false, false, "dissolve W" }, /* it is larger */
        { "W", 1, true, false, "dissolve W" },  /* it has data */
        { "W", 9, false, true, "-" },           /* we have */
        { "W", 9, true, true, "-" },            /* both have: split */
        { "W", 1, false, false, "-" },          /* as large: the higher id */
        { "K", 1, false, false, "dissolve K" }, /**/
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        void *v;
        struct story *s;

        assert_int_equal(begin_leader(&v), 0);
        s = v;
        self_says(s, "L")->data = table[i].ours;
        leads(s, "c", table[i].id, table[i].machines, table[i].data);
        within(s, 60000);
        if (strcmp(s->told, table[i].asks) != 0)
            fail_msg("row %zu: %s, not %s", i, s->told, table[i].asks);
        assert_int_equal(state_of(s), table[i].data && table[i].ours ? FORM_SPLIT : FORM_MEMBER);
        story_end(&v);
    }
}

static void it_gives_way_after_3_s_of_the_same_verdict(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    leads(s, "c", "W", 2, false);
    assert_string_equal(after(s, 10), "-");
    assert_string_equal(after(s, 2000), "-");
    who(s, "c")->is.machines = 1;
    assert_string_equal(after(s, 500), "-");
    who(s, "c")->is.machines = 2;
    assert_string_equal(within(s, 2999), "-");
    assert_string_equal(within(s, 1), "dissolve W");
}

static void the_newest_leader_of_the_other_counts(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    leads(s, "c", "W", 9, false)->term = 4; /* deposed, and does not know it */
    leads(s, "d", "W", 1, false)->term = 5;
    assert_string_equal(within(s, 60000), "-");
    who(s, "c")->is.term = 6;
    assert_string_equal(within(s, 60000), "dissolve W");
}

static void a_registry_without_a_leader_takes_nobody(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    leads(s, "c", "W", 9, true)->leader = false;
    assert_string_equal(within(s, 60000), "-");
    assert_non_null(strstr(words(s), "no leader"));
}

static void a_deposed_leader_of_ours_does_nothing(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    leads(s, "c", "L", 2, false)->term = 2;
    leads(s, "d", "W", 9, true);
    comes(s, "e", "");
    assert_string_equal(within(s, 60000), "-");
}

static void of_two_others_the_best_takes_us(void **state)
{
    struct story *s = *state;

    self_says(s, "L");
    leads(s, "c", "V", 9, false);
    leads(s, "d", "W", 2, true);
    assert_string_equal(within(s, 60000), "dissolve W");
}

static void newcomers_go_to_the_better_one(void **state)
{
    struct story *s = *state;

    self_says(s, "L")->data = true;
    leads(s, "c", "W", 2, true);
    comes(s, "d", "");
    assert_string_equal(within(s, 60000), "-"); /* W is larger: it adds d */
    who(s, "b")->is.machines = 3;
    assert_string_equal(within(s, 60000), "add d");
}

static void split_says_what_to_do_on_every_machine(void **state)
{
    struct story *s = *state;

    self_says(s, "L")->data = true;
    s->k.is_leader = false;
    leads(s, "c", "W", 2, true);
    assert_string_equal(within(s, 60000), "-");
    assert_int_equal(state_of(s), FORM_SPLIT);
    assert_non_null(strstr(words(s), "c is in another registry"));
    assert_non_null(strstr(words(s), "remove the folder"));
    goes(s, "c", false);
    asks(s);
    assert_int_equal(state_of(s), FORM_MEMBER);
    assert_string_equal(words(s), "");
}

/* ---- the wire */

static void a_standing_survives_the_wire(void **state)
{
    struct standing is = { .registry = "0123456789abcdef",
                           .into = "W",
                           .node = UINT64_MAX,
                           .leader = true,
                           .data = true,
                           .begun = true,
                           .leaving = true,
                           .unwell = true,
                           .unfit = "scheduler web",
                           .refuses = "c-1.x_y",
                           .machines = 7,
                           .term = 3,
                           .index = 99 },
                    back, fresh = { .node = 1 };
    json_t *j;

    (void)state;
    standing_ended(is.from, "K");
    standing_ended(is.from, "L");
    j = standing_encode(&is);
    assert_int_equal(standing_decode(j, &back), 0);
    assert_memory_equal(&back, &is, sizeof is);
    json_decref(j);
    j = standing_encode(&fresh);
    assert_int_equal(standing_decode(j, &back), 0);
    assert_memory_equal(&back, &fresh, sizeof fresh);
    json_decref(j);
}

static void a_bad_standing_is_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"registry\":\"R\",\"node\":7,\"machines\":1,\"term\":1,\"index\":1}",
        "{\"registry\":\"R\",\"node\":\"-7\",\"machines\":1,\"term\":1,\"index\":1}",
        "{\"registry\":\"R\",\"node\":\"18446744073709551616\",\"machines\":1,\"term\":1,"
        "\"index\":1}",
        "{\"registry\":\"R/S\",\"node\":\"7\",\"machines\":1,\"term\":1,\"index\":1}",
        "{\"registry\":\"R\",\"node\":\"7\",\"machines\":-1,\"term\":1,\"index\":1}",
        "{\"registry\":\"R\",\"node\":\"7\",\"machines\":1,\"term\":1,\"index\":1,\"data\":1}",
        "{\"registry\":\"R\",\"node\":\"7\",\"machines\":1,\"term\":1,\"index\":1,\"from\":\" \"}",
        "{\"registry\":\"0123456789012345678901234567890123456789\",\"node\":\"7\",\"machines\":1,"
        "\"term\":1,\"index\":1}",
    };
    static const char good[] = "{\"registry\":\"R\",\"node\":\"7\",\"machines\":1,\"term\":1,"
                               "\"index\":1,\"new\":[]}";
    struct standing is;
    json_t *j;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        j = json_loads(bad[i], 0, NULL);
        assert_non_null(j);
        if (standing_decode(j, &is) != -EPROTO)
            fail_msg("taken: %s", bad[i]);
        json_decref(j);
    }
    j = json_loads(good, 0, NULL);
    assert_int_equal(standing_decode(j, &is), 0);
    json_decref(j);
}

static void the_oldest_of_those_that_ended_drop_out(void **state)
{
    struct standing is = { 0 };
    char id[REGISTRY_ID];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "%032d", i);
        standing_ended(is.from, id);
        assert_true(standing_was_in(&is, id));
    }
    snprintf(id, sizeof id, "%032d", 96);
    assert_true(standing_was_in(&is, id));
    snprintf(id, sizeof id, "%032d", 95);
    assert_false(standing_was_in(&is, id));
    assert_false(standing_was_in(&is, "0"));
}

#define FRESH(name)  cmocka_unit_test_setup_teardown(name, begin_fresh, story_end)
#define LEADER(name) cmocka_unit_test_setup_teardown(name, begin_leader, story_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(alone_it_begins_after_a_second_and_a_half),
        FRESH(the_lower_id_begins_the_higher_waits_for_it),
        FRESH(a_registry_is_waited_for_however_long_it_takes),
        FRESH(a_member_that_has_not_spoken_yet_is_waited_for_10_s),
        FRESH(a_registry_that_another_begins_is_waited_for),
        FRESH(its_own_begun_registry_is_not_begun_twice),
        FRESH(the_registry_of_who_just_died_is_waited_for_30_s),
        FRESH(after_a_registry_was_heard_it_listens_again),
        FRESH(refused_by_the_leader_it_says_what_to_do),
        FRESH(dissolved_it_waits_for_the_one_that_took_over),
        FRESH(a_fresh_machine_does_not_wait_for_a_dissolved_one_to_begin),
        FRESH(two_that_dissolved_into_each_other_begin_anew),
        FRESH(what_took_over_had_ended_before),
        LEADER(the_leader_wipes_last),
        LEADER(who_was_away_learns_from_others_that_its_registry_ended),
        LEADER(words_of_the_dead_end_nothing),
        cmocka_unit_test(which_gives_way),
        LEADER(it_gives_way_after_3_s_of_the_same_verdict),
        LEADER(the_newest_leader_of_the_other_counts),
        LEADER(a_registry_without_a_leader_takes_nobody),
        LEADER(a_deposed_leader_of_ours_does_nothing),
        LEADER(of_two_others_the_best_takes_us),
        LEADER(newcomers_go_to_the_better_one),
        LEADER(split_says_what_to_do_on_every_machine),
        cmocka_unit_test(a_standing_survives_the_wire),
        cmocka_unit_test(a_bad_standing_is_refused),
        cmocka_unit_test(the_oldest_of_those_that_ended_drop_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
