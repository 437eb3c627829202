/*
 * test_roles.c - who learns and who votes, as stories of the machine that leads: it is `a`, of the
 * registry R.
 */
#include "tests/unit/form_story.h"

static int begin(void **state)
{
    struct story *s;

    if (story_begin(state, "a") < 0)
        return -1;
    s = *state;
    comes(s, "a", "R");
    seat(s, "a", ROLE_VOTER);
    s->k.is_leader = true;
    return 0;
}

/* n machines, settled: so many vote, the rest learn. */
static void grow(struct story *s, const char *ids, unsigned voters)
{
    for (const char *c = ids; *c; c++) {
        char id[2] = { *c, '\0' };

        comes(s, id, "R");
        seat(s, id, (unsigned)(c - ids) + 1 < voters ? ROLE_VOTER : ROLE_LEARNER);
    }
    assert_string_equal(goes_on(s, 60000), "");
}

static void a_fresh_machine_is_added_and_learns_at_once(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    assert_string_equal(asks(s), "add b");
    assert_int_equal(s->step.node, node_of("b"));
    carry_out(s);
    assert_string_equal(asks(s), "assign b learner");
}

static void who_is_in_another_registry_or_begins_one_is_not_added(void **state)
{
    struct story *s = *state;

    comes(s, "b", "")->is.begun = true;
    comes(s, "c", "Q");
    comes(s, "d", "")->known = false;
    comes(s, "e", "")->is.leaving = true;
    assert_string_equal(goes_on(s, 60000), "");
}

static void who_took_up_another_registry_is_no_learner_of_ours(void **state)
{
    struct story *s = *state;

    comes(s, "b", "R");
    seat(s, "b", ROLE_LEARNER);
    comes(s, "c", "Q"); /* two leaders had added it */
    seat(s, "c", ROLE_LEARNER);
    assert_string_equal(goes_on(s, 60000), "remove c");
}

static void two_machines_have_one_voter_three_have_three(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    assert_string_equal(goes_on(s, 60000), "add b; assign b learner");
    comes(s, "c", "");
    assert_string_equal(goes_on(s, 60000),
                        "add c; assign c learner; assign b voter; assign c voter");
    comes(s, "d", "");
    assert_string_equal(goes_on(s, 60000), "add d; assign d learner");
    comes(s, "e", "");
    assert_string_equal(goes_on(s, 60000),
                        "add e; assign e learner; assign d voter; assign e voter");
    comes(s, "f", "");
    assert_string_equal(goes_on(s, 60000), "add f; assign f learner");
}

static void who_is_promoted_has_caught_up_and_been_here_for_2_s(void **state)
{
    struct story *s = *state;

    comes(s, "b", "R");
    seat(s, "b", ROLE_LEARNER);
    comes(s, "c", "R");
    seat(s, "c", ROLE_LEARNER);
    strcpy(s->behind, "c");
    assert_string_equal(goes_on(s, 10000), "");
    s->behind[0] = '\0';
    assert_string_equal(within(s, 1000), "assign b voter"); /* nobody has to tell that it did */
}

static void the_longest_alive_is_promoted_first(void **state)
{
    struct story *s = *state;

    comes(s, "b", "R");
    comes(s, "c", "R");
    comes(s, "d", "R");
    who(s, "c")->since_ms -= 5000;
    who(s, "d")->since_ms -= 4000;
    seat(s, "b", ROLE_LEARNER);
    seat(s, "c", ROLE_LEARNER);
    seat(s, "d", ROLE_LEARNER);
    assert_string_equal(goes_on(s, 60000), "assign c voter; assign d voter");
}

/* a, b, c vote; with d and e they should be five. With c away, d's death would stop the others. */
static void nobody_is_promoted_while_a_voter_is_away(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    asks(s);
    comes(s, "e", "R");
    seat(s, "e", ROLE_LEARNER);
    assert_string_equal(goes_on(s, 9999), "");
    comes(s, "c", "R");
    assert_string_equal(goes_on(s, 9999), "assign d voter; assign e voter");
}

/* One more of an even number: as many as before must agree. */
static void two_dead_voters_are_replaced_one_by_one(void **state)
{
    struct story *s = *state;

    grow(s, "bcdefg", 5);
    goes(s, "b", false);
    goes(s, "c", false);
    asks(s);
    assert_string_equal(goes_on(s, 12000), "assign b learner; assign f voter; assign c learner; "
                                           "assign g voter");
}

static void one_change_at_a_time(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    s->k.changing = true;
    assert_string_equal(goes_on(s, 5000), "");
    s->k.changing = false;
    assert_string_equal(asks(s), "add b");
}

static void what_failed_is_asked_for_again_after_a_second(void **state)
{
    struct story *s = *state;

    comes(s, "b", "");
    assert_string_equal(asks(s), "add b");
    assert_string_equal(asks(s), "-");
    assert_string_equal(after(s, 999), "-");
    assert_int_equal(formation_next(s->f), s->k.now_ms + 1);
    assert_string_equal(after(s, 1), "add b");
}

static void a_dead_voter_is_replaced_after_10_s(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    assert_string_equal(after(s, 9000), "-");
    assert_string_equal(goes_on(s, 2000), "assign c learner; assign d voter");
    comes(s, "c", "R");
    assert_string_equal(goes_on(s, 60000), ""); /* it learns, and its seat is gone */
}

static void a_dead_voter_keeps_its_seat_when_nobody_can_take_it(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    goes(s, "c", false);
    assert_string_equal(goes_on(s, 600000), "");
    comes(s, "c", "R");
    assert_string_equal(goes_on(s, 60000), "");
}

static void who_just_came_back_is_not_replaced(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    assert_string_equal(after(s, 9900), "-");
    comes(s, "c", "")->known = false; /* its heartbeat is on its way */
    assert_string_equal(goes_on(s, 5000), "");
    comes(s, "c", "R");
    assert_string_equal(goes_on(s, 60000), "");
}

static void who_flaps_takes_nobodys_seat(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    for (int k = 0; k < 10; k++) {
        comes(s, "d", "R");
        assert_string_equal(goes_on(s, 9000), "");
        goes(s, "d", false);
        assert_string_equal(goes_on(s, 3000), "");
    }
}

static void of_four_voters_a_dead_one_is_given_up(void **state)
{
    struct story *s = *state;

    grow(s, "bcde", 5);
    goes(s, "d", false);
    assert_string_equal(goes_on(s, 600000), ""); /* 4 of 5 live: it stays as it is */
    server(s, "e")->role = ROLE_LEARNER;
    s->behind[0] = 'e';
    assert_string_equal(goes_on(s, 60000), "assign d learner");
}

static void a_forgotten_machine_is_taken_out(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    s->members[2][0] = '\0';
    assert_string_equal(goes_on(s, 5000), "remove c; assign d voter");
}

static void with_four_left_of_five_one_voter_too_many(void **state)
{
    struct story *s = *state;

    grow(s, "bcde", 5);
    goes(s, "b", false);
    s->members[1][0] = '\0';
    assert_string_equal(goes_on(s, 5000), "remove b; assign d learner");
    assert_int_equal(server(s, "a")->role, ROLE_VOTER);
}

static void a_forgotten_leader_hands_over(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    s->members[0][0] = '\0';
    assert_string_equal(asks(s), "transfer b");
}

static void a_member_record_may_come_after_the_server(void **state)
{
    struct story *s = *state;

    comes(s, "b", "R");
    seat(s, "b", ROLE_LEARNER);
    s->members[1][0] = '\0';
    assert_string_equal(after(s, 2000), "-");
    strcpy(s->members[1], "b");
    assert_string_equal(goes_on(s, 60000), "");
}

static void a_replaced_disk_is_refused_until_it_is_forgotten(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", false);
    comes(s, "c", "")->is.node = 777;
    server(s, "d")->role = ROLE_SPARE; /* nobody to take its seat */
    goes(s, "d", false);
    assert_string_equal(goes_on(s, 600000), "");
    assert_string_equal(formation_refuses(s->f), "c");
    assert_non_null(strstr(words(s), "forget c"));
    goes(s, "c", false);
    s->members[2][0] = '\0';
    assert_string_equal(goes_on(s, 100), "remove c");
    comes(s, "c", "")->is.node = 777;
    assert_string_equal(within(s, 100), "add c");
    assert_int_equal(s->step.node, 777);
    assert_string_equal(formation_refuses(s->f), "");
}

static void several_refused_take_turns(void **state)
{
    struct story *s = *state;
    char first[ID_MAX];

    grow(s, "bc", 3);
    who(s, "b")->is.node = who(s, "c")->is.node = 777;
    comes(s, "b", "");
    comes(s, "c", "");
    asks(s);
    strcpy(first, formation_refuses(s->f));
    assert_int_equal(formation_next(s->f), s->k.now_ms + 1000);
    after(s, 1000);
    assert_string_not_equal(formation_refuses(s->f), first);
}

static void who_was_dissolved_into_us_is_no_replaced_disk(void **state)
{
    struct story *s = *state;

    grow(s, "b", 1); /* added, but it took up another registry first */
    comes(s, "b", "Q");
    assert_string_equal(goes_on(s, 100), "remove b");
    seat(s, "b", ROLE_LEARNER); /* or that one was dissolved before we saw it */
    comes(s, "b", "")->is.node = 777;
    strcpy(who(s, "b")->is.from, "Q");
    strcpy(who(s, "b")->is.into, "R");
    assert_string_equal(goes_on(s, 2000), "remove b; add b; assign b learner");
}

/* ---- farewells */

static void two_of_three_stay_so_one_may_leave_as_it_is(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    who(s, "c")->is.leaving = true;
    assert_string_equal(goes_on(s, 5000), "");
    goes(s, "c", true);
    assert_string_equal(goes_on(s, 600000), ""); /* nobody takes its seat: it keeps it */
}

static void a_leader_that_is_not_well_hands_over_to_one_that_is(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    who(s, "a")->is.unwell = who(s, "b")->is.unwell = true;
    assert_string_equal(goes_on(s, 1000), "transfer c");
    s->k.changing = true; /* it may hang for want of our disk */
    assert_string_equal(goes_on(s, 5000), "transfer c");
    who(s, "c")->is.unwell = true;
    assert_string_equal(goes_on(s, 5000), "");
    s->k.changing = who(s, "b")->is.unwell = false;
    assert_string_equal(goes_on(s, 1000), "transfer b");
    who(s, "a")->is.unwell = false;
    assert_string_equal(goes_on(s, 5000), "");
}

static void who_leaves_hands_over_to_one_that_is_well_if_there_is_one(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    who(s, "a")->is.leaving = who(s, "b")->is.unwell = true;
    assert_string_equal(goes_on(s, 1000), "transfer c");
    who(s, "c")->is.unwell = true;
    assert_string_equal(goes_on(s, 1000), "transfer b");
}

static void a_leader_hands_over_before_it_leaves(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    who(s, "a")->is.leaving = true;
    assert_string_equal(goes_on(s, 1000), "transfer b");
}

static void the_seat_of_who_left_is_given_away(void **state)
{
    struct story *s = *state;

    grow(s, "bcd", 3);
    goes(s, "c", true);
    assert_string_equal(goes_on(s, 11000), "assign c learner; assign d voter");
    assert_string_equal(goes_on(s, 60000), "");
}

static void when_the_second_of_three_leaves_the_third_goes_on_alone(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    goes(s, "c", true);
    who(s, "b")->is.leaving = true;
    assert_string_equal(goes_on(s, 1000), "assign c learner; assign b learner");
    goes(s, "b", true);
    assert_string_equal(goes_on(s, 60000), "");
}

static void the_only_voter_makes_another_before_it_leaves(void **state)
{
    struct story *s = *state;

    grow(s, "b", 1);
    who(s, "a")->is.leaving = true;
    assert_string_equal(goes_on(s, 1000), "assign b voter; transfer b");
}

static void the_last_machine_just_leaves(void **state)
{
    struct story *s = *state;

    who(s, "a")->is.leaving = true;
    assert_string_equal(goes_on(s, 5000), "");
}

static void all_leave_at_once_and_nobody_loses_a_seat(void **state)
{
    struct story *s = *state;

    grow(s, "bc", 3);
    who(s, "a")->is.leaving = who(s, "b")->is.leaving = who(s, "c")->is.leaving = true;
    assert_string_equal(goes_on(s, 5000), "");
}

/* Membership is behind: consensus still has its quorum, or we would not lead. */
static void no_seat_is_touched_while_no_quorum_is_seen(void **state)
{
    struct story *s = *state;

    grow(s, "bcdefg", 5);
    goes(s, "c", false);
    goes(s, "d", false);
    goes(s, "e", false);
    who(s, "b")->is.leaving = true;
    assert_string_equal(goes_on(s, 60000), "");
    comes(s, "c", "R");
    assert_string_equal(within(s, 0), "assign d learner");
}

static bool named(void *arg, const char *id)
{
    return strstr(arg, id) != NULL;
}

static void may_it_leave_as_it_is(void **state)
{
    /* roles by letter: v voter, l learner, s spare; machines a, b, c, ... */
    static const struct {
        const char *roles, *leaver, *others;
        int first;
    } table[] = {
        { "v", "a", "", 0 },       /* alone */
        { "vl", "b", "a", 0 },     /* it does not vote */
        { "vl", "a", "b", 1 },     /* the other must vote first */
        { "vl", "a", "", 0 },      /* the other is not there: nothing helps */
        { "vs", "a", "b", 0 },     /* nor does one that knows nothing */
        { "vv", "a", "b", 1 },     /**/
        { "vv", "b", "", 0 },      /**/
        { "vvv", "a", "bc", 0 },   /**/
        { "vvv", "a", "b", 1 },    /**/
        { "vvvl", "a", "bcd", 0 }, /**/
        { "vvvv", "a", "bcd", 0 }, /**/
        { "vvvv", "a", "bc", 1 },  /**/
        { "vvvvv", "a", "bcd", 0 }, { "vvvvv", "a", "bc", 1 },
        { "vv", "x", "ab", 0 }, /* not one of them */
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct consensus_server v[8] = { 0 };
        size_t n = strlen(table[i].roles);

        for (size_t k = 0; k < n; k++) {
            v[k].id[0] = (char)('a' + k);
            v[k].role = table[i].roles[k] == 'v'   ? ROLE_VOTER
                        : table[i].roles[k] == 'l' ? ROLE_LEARNER
                                                   : ROLE_SPARE;
        }
        if (roles_leaving(v, n, table[i].leaver, named, (void *)table[i].others) != table[i].first)
            fail_msg("%s: %s leaves, %s stay: not %d", table[i].roles, table[i].leaver,
                     table[i].others, table[i].first);
    }
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, begin, story_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_fresh_machine_is_added_and_learns_at_once),
        STORY(who_is_in_another_registry_or_begins_one_is_not_added),
        STORY(who_took_up_another_registry_is_no_learner_of_ours),
        STORY(two_machines_have_one_voter_three_have_three),
        STORY(who_is_promoted_has_caught_up_and_been_here_for_2_s),
        STORY(the_longest_alive_is_promoted_first),
        STORY(nobody_is_promoted_while_a_voter_is_away),
        STORY(two_dead_voters_are_replaced_one_by_one),
        STORY(one_change_at_a_time),
        STORY(what_failed_is_asked_for_again_after_a_second),
        STORY(a_dead_voter_is_replaced_after_10_s),
        STORY(a_dead_voter_keeps_its_seat_when_nobody_can_take_it),
        STORY(who_just_came_back_is_not_replaced),
        STORY(who_flaps_takes_nobodys_seat),
        STORY(of_four_voters_a_dead_one_is_given_up),
        STORY(a_forgotten_machine_is_taken_out),
        STORY(with_four_left_of_five_one_voter_too_many),
        STORY(a_forgotten_leader_hands_over),
        STORY(a_member_record_may_come_after_the_server),
        STORY(a_replaced_disk_is_refused_until_it_is_forgotten),
        STORY(several_refused_take_turns),
        STORY(who_was_dissolved_into_us_is_no_replaced_disk),
        STORY(two_of_three_stay_so_one_may_leave_as_it_is),
        STORY(a_leader_that_is_not_well_hands_over_to_one_that_is),
        STORY(who_leaves_hands_over_to_one_that_is_well_if_there_is_one),
        STORY(a_leader_hands_over_before_it_leaves),
        STORY(the_seat_of_who_left_is_given_away),
        STORY(when_the_second_of_three_leaves_the_third_goes_on_alone),
        STORY(the_only_voter_makes_another_before_it_leaves),
        STORY(the_last_machine_just_leaves),
        STORY(all_leave_at_once_and_nobody_loses_a_seat),
        STORY(no_seat_is_touched_while_no_quorum_is_seen),
        cmocka_unit_test(may_it_leave_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
