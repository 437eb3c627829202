/*
 * test_member.c - each way from state to state that a machine is seen, heard or believed to go.
 */
#include "tests/unit/member_story.h"

static void self_is_listed_alive(void **state)
{
    struct story *s = *state;

    assert_int_equal(member_count(s->m), 1);
    assert_string_equal(member_at(s->m, 0)->info.id, "A");
    assert_int_equal(member_at(s->m, 0)->state, MEMBER_ALIVE);
    assert_true(member_at(s->m, 0)->trusted);
    assert_null(member_at(s->m, 1));
    assert_int_equal(member_next(s->m), UINT64_MAX);
    seen(s, 5, "A", 99, true);
    told(s, "");
}

static void a_beacon_of_ours_makes_it_alive(void **state)
{
    struct story *s = *state;

    seen(s, 5, "B", 1, true);
    told(s, "trust B 1 at 10.0.0.1\nB: alive -> alive\n");
    seen(s, 6, "B", 1, true);
    told(s, "");
}

static void views_are_sorted_by_id(void **state)
{
    struct story *s = *state;

    seen(s, 1, "D", 1, true);
    seen(s, 1, "B", 1, true);
    seen(s, 1, "C", 1, false);
    assert_int_equal(member_count(s->m), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(member_at(s->m, i)->info.id[0], 'A' + i);
}

static void a_stranger_is_pending_and_does_nothing(void **state)
{
    struct story *s = *state;
    uint64_t digest = member_digest(s->m);

    seen(s, 5, "X", 1, false);
    told(s, "X: pending -> pending\n");
    beat(s, 6, "X", 2);
    member_left(s->m, 7, "X", 1);
    list(s, 8, "X", claim("Y", 1, MEMBER_ALIVE, 0));
    list(s, 8, "nobody", claim("Y", 1, MEMBER_ALIVE, 0));
    member_heard(s->m, 9, "X", "X", 1, true);
    told(s, "");
    assert_false(member_find(s->m, "X")->trusted);
    assert_int_equal(member_digest(s->m), digest);
    assert_false(member_hears(s->m, 9, "X", 1));
}

static void a_pending_one_vanishes_when_not_seen(void **state)
{
    struct story *s = *state;

    seen(s, 0, "X", 1, false);
    seen(s, 30000, "X", 1, false);
    member_tick(s->m, 60050);
    assert_int_equal(state_of(s, "X"), MEMBER_PENDING);
    member_tick(s->m, member_next(s->m));
    told(s, "X: pending -> pending\nX: pending -> gone\n");
    assert_int_equal(state_of(s, "X"), MEMBER_GONE);
}

static void the_65th_pending_pushes_the_oldest_out(void **state)
{
    struct story *s = *state;
    char id[16];

    for (unsigned i = 0; i < 65; i++) {
        snprintf(id, sizeof id, "X%02u", i);
        seen(s, i, id, 1, false);
    }
    assert_int_equal(member_count(s->m), 65);
    assert_null(member_find(s->m, "X00"));
    assert_non_null(member_find(s->m, "X01"));
    assert_non_null(member_find(s->m, "X64"));
}

static void another_key_does_not_replace_a_pending_one(void **state)
{
    struct story *s = *state;
    struct peer_info p = peer("X", 1);

    seen(s, 0, "X", 1, false);
    snprintf(p.curve_public, sizeof p.curve_public, "other");
    member_seen(s->m, 1, &p, false);
    assert_string_equal(member_find(s->m, "X")->info.curve_public, "key of X");
}

static void a_nonsense_incarnation_of_a_stranger_is_ignored(void **state)
{
    struct story *s = *state;

    seen(s, 1, "X", UINT64_MAX, false);
    told(s, "");
}

static void accepted_it_is_alive(void **state)
{
    struct story *s = *state;
    struct oerr e;

    assert_int_equal(member_accept(s->m, 1, "X", &e), -ENOENT);
    seen(s, 1, "X", 1, false);
    assert_int_equal(member_accept(s->m, 2, "X", &e), 0);
    told(s, "X: pending -> pending\ntrust X 1 at 10.0.0.1\nX: pending -> alive\n");
    assert_int_equal(member_accept(s->m, 2, "X", &e), -EBUSY);
    assert_string_equal(e.text, "machine X is a member already");
}

static void a_good_mac_makes_a_pending_one_alive(void **state)
{
    struct story *s = *state;

    seen(s, 1, "X", 7, false);
    seen(s, 2, "X", 5, true);
    told(s, "X: pending -> pending\ntrust X 5 at 10.0.0.1\nX: pending -> alive\n");
}

static void rejected_it_is_gone(void **state)
{
    struct story *s = *state;
    struct oerr e;

    seen(s, 1, "X", 1, false);
    assert_int_equal(member_reject(s->m, 2, "X", &e), 0);
    told(s, "X: pending -> pending\nX: pending -> gone\ndistrust X\n");
    assert_int_equal(member_reject(s->m, 2, "X", &e), -ENOENT);
    seen(s, 3, "X", 1, false);
    told(s, "");
    seen(s, 4, "X", 2, false);
    told(s, "X: gone -> pending\n");
    assert_int_equal(member_reject(s->m, 2, "B", &e), -ENOENT);
    seen(s, 5, "B", 1, true);
    assert_int_equal(member_reject(s->m, 2, "B", &e), -EBUSY);
}

static void rejected_it_can_be_accepted(void **state)
{
    struct story *s = *state;

    seen(s, 1, "X", 1, false);
    member_reject(s->m, 2, "X", NULL);
    obuf_reset(&s->told);
    assert_int_equal(member_accept(s->m, 3, "X", NULL), 0);
    told(s, "trust X 1 at 10.0.0.1\nX: gone -> alive\n");
}

static void a_rejected_one_is_not_trusted_by_gossip(void **state)
{
    struct story *s = *state;

    three(s, 0);
    seen(s, 1, "X", 5, false);
    member_reject(s->m, 2, "X", NULL);
    obuf_reset(&s->told);
    list(s, 3, "B", claim("X", 5, MEMBER_ALIVE, 0));
    list(s, 3, "B", claim("X", 4, MEMBER_ALIVE, 0));
    seen(s, 4, "X", 6, false); /* pending again, and still not by gossip */
    list(s, 5, "B", claim("X", 5, MEMBER_ALIVE, 0));
    told(s, "X: gone -> pending\n");
    list(s, 6, "B", claim("X", 6, MEMBER_ALIVE, 0));
    told(s, "trust X 6 at 10.0.0.1\nX: pending -> alive\n");
}

static void silent_for_1500_ms_it_is_suspect_and_others_are_asked(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 1450, "C");
    told(s, "");
    pass(s, 1500, 1500, "C");
    told(s, "B: alive -> suspect\nask C of B 1\n");
    pass(s, 1550, 2000, "C");
    told(s, "ask C of B 1\n");
}

static void a_heartbeat_makes_a_suspect_alive(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 1600, "C");
    obuf_reset(&s->told);
    beat(s, 1650, "B", 1);
    told(s, "B: suspect -> alive\n");
}

static void silent_for_3000_ms_it_is_dead(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 2950, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_SUSPECT);
    pass(s, 3000, 3000, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_DEAD);
    beat(s, 3050, "B", 1);
    assert_int_equal(state_of(s, "B"), MEMBER_ALIVE);
}

static void anothers_word_keeps_it_alive(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 1550, "C");
    obuf_reset(&s->told);
    member_heard(s->m, 1600, "C", "B", 1, false);
    told(s, "");
    member_heard(s->m, 1600, "C", "B", 1, true);
    told(s, "B: suspect -> alive\n");
    assert_false(member_hears(s->m, 1600, "B", 1)); /* another's word is not handed on */
    for (uint64_t t = 1600; t < 20000; t += 500) {  /* as long as that goes on */
        pass(s, t + 50, t + 500, "C");
        member_heard(s->m, t + 500, "C", "B", 1, true);
        told(s, "ask C of B 1\n");
    }
    pass(s, 20150, 22200, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_SUSPECT);
    pass(s, 22250, 22350, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_DEAD);
}

static void anothers_word_of_another_life_does_not_count(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 1550, "C");
    obuf_reset(&s->told);
    member_heard(s->m, 1600, "C", "B", 2, true);
    member_heard(s->m, 1600, "B", "B", 1, true);
    member_heard(s->m, 1600, "C", "nobody", 1, true);
    told(s, "");
}

static void a_dead_one_is_asked_about_ever_more_rarely(void **state)
{
    struct story *s = *state;

    three(s, 0);
    pass(s, 50, 3000, "C");
    obuf_reset(&s->told);
    pass(s, 3050, 7000, "C");
    told(s, "ask C of B 1\n");
    pass(s, 7050, 14950, "C");
    told(s, "");
    pass(s, 15000, 15000, "C");
    told(s, "ask C of B 1\n");
    member_heard(s->m, 15100, "C", "B", 1, true);
    told(s, "B: dead -> alive\n");
}

static void a_lower_incarnation_is_ignored(void **state)
{
    struct story *s = *state;

    seen(s, 0, "B", 5, true);
    obuf_reset(&s->told);
    seen(s, 1, "B", 4, true);
    beat(s, 1, "B", 4);
    member_left(s->m, 1, "B", 4);
    told(s, "");
    assert_int_equal(member_find(s->m, "B")->info.incarnation, 5);
}

static void a_higher_incarnation_replaces_in_any_state(void **state)
{
    struct story *s = *state;

    three(s, 0);
    seen(s, 1, "B", 2, true);
    told(s, "trust B 2 at 10.0.0.1\nB: alive -> alive\n");
    beat(s, 2, "B", 3);
    told(s, "trust B 3 at 10.0.0.1\nB: alive -> alive\npull from B\n");
    pass(s, 50, 3100, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_DEAD);
    obuf_reset(&s->told);
    list(s, 3150, "C", claim("B", 4, MEMBER_SUSPECT, 0));
    told(s, "trust B 4 at 10.0.0.1\nB: dead -> alive\n");
    list(s, 3200, "C", claim("B", 5, MEMBER_DEAD, 0));
    told(s, "trust B 5 at 10.0.0.1\nB: alive -> dead\n");
}

static void after_its_farewell_it_is_left(void **state)
{
    struct story *s = *state;

    three(s, 0);
    member_left(s->m, 1, "B", 1);
    told(s, "B: alive -> left\n");
    beat(s, 2, "B", 1);
    seen(s, 2, "B", 1, true);
    pass(s, 50, 5000, "C");
    told(s, "");
    beat(s, 5050, "B", 2);
    told(s, "trust B 2 at 10.0.0.1\nB: left -> alive\npull from B\n");
}

static void anothers_list_tells_that_it_left(void **state)
{
    struct story *s = *state;

    three(s, 0);
    list(s, 1, "C", claim("B", 1, MEMBER_LEFT, 0));
    told(s, "B: alive -> left\n");
    list(s, 1, "C", claim("B", 1, MEMBER_ALIVE, 0));
    told(s, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(self_is_listed_alive),
        story(a_beacon_of_ours_makes_it_alive),
        story(views_are_sorted_by_id),
        story(a_stranger_is_pending_and_does_nothing),
        story(a_pending_one_vanishes_when_not_seen),
        story(the_65th_pending_pushes_the_oldest_out),
        story(another_key_does_not_replace_a_pending_one),
        story(a_nonsense_incarnation_of_a_stranger_is_ignored),
        story(accepted_it_is_alive),
        story(a_good_mac_makes_a_pending_one_alive),
        story(rejected_it_is_gone),
        story(rejected_it_can_be_accepted),
        story(a_rejected_one_is_not_trusted_by_gossip),
        story(silent_for_1500_ms_it_is_suspect_and_others_are_asked),
        story(a_heartbeat_makes_a_suspect_alive),
        story(silent_for_3000_ms_it_is_dead),
        story(anothers_word_keeps_it_alive),
        story(anothers_word_of_another_life_does_not_count),
        story(a_dead_one_is_asked_about_ever_more_rarely),
        story(a_lower_incarnation_is_ignored),
        story(a_higher_incarnation_replaces_in_any_state),
        story(after_its_farewell_it_is_left),
        story(anothers_list_tells_that_it_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
