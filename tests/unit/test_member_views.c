/*
 * test_member_views.c - what views agree on and are told of each other: tombstones, claims,
 * addresses, digests.
 */
#include "tests/unit/member_story.h"

static void forgotten_it_is_gone(void **state)
{
    struct story *s = *state;
    struct oerr e;

    three(s, 0);
    assert_int_equal(member_forget(s->m, 1, "B", &e), -EBUSY);
    assert_string_equal(e.text, "machine B is alive: stop it before you forget it");
    assert_int_equal(member_forget(s->m, 1, "A", &e), -EINVAL);
    assert_int_equal(member_forget(s->m, 1, "Z", &e), -ENOENT);
    member_left(s->m, 1, "B", 1);
    obuf_reset(&s->told);
    assert_int_equal(member_forget(s->m, 2, "B", &e), 0);
    told(s, "B: left -> gone\ndistrust B\n");
    list(s, 3, "C", claim("B", 1, MEMBER_LEFT, 0));
    beat(s, 3, "B", 2);
    told(s, "");
    seen(s, 4, "B", 1, true);
    told(s, "trust B 1 at 10.0.0.1\nB: gone -> alive\n");
}

static void a_tombstone_spreads(void **state)
{
    struct story *s = *state;
    const struct member_view *v;
    size_t i = 0;

    three(s, 0);
    list(s, 1, "C", claim("B", 1, MEMBER_GONE, 1));
    told(s, "B: alive -> gone\ndistrust B\n");
    list(s, 1, "C", claim("Z", 1, MEMBER_GONE, 1));
    told(s, "");
    while ((v = member_told(s->m, i)) && strcmp(v->info.id, "Z") != 0)
        i++;
    assert_non_null(v);
    assert_int_equal(v->state, MEMBER_GONE);
    list(s, 2, "C", claim("Z", 1, MEMBER_ALIVE, 0));
    told(s, "");
    list(s, 2, "C", claim("Z", 2, MEMBER_ALIVE, 0)); /* a later life than the one that is gone */
    told(s, "trust Z 2 at 10.0.0.1\nZ: gone -> alive\n");
}

static void tombstones_are_bounded(void **state)
{
    struct story *s = *state;
    char id[16];
    size_t n = 0;

    three(s, 0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "Z%u", i);
        list(s, 1, "C", claim(id, 1, MEMBER_GONE, 1));
    }
    while (member_told(s->m, n))
        n++;
    assert_int_equal(n, 3 + 256);
}

static void who_is_called_gone_says_it_is_not(void **state)
{
    struct story *s = *state;

    three(s, 0);
    list(s, 1, "B", claim("A", 10, MEMBER_GONE, 4));
    assert_int_equal(member_find(s->m, "A")->state, MEMBER_ALIVE);
    assert_int_equal(member_find(s->m, "A")->word, 5);
    list(s, 1, "B", claim("A", 99, MEMBER_GONE, 9));
    assert_int_equal(member_find(s->m, "A")->word, 5);
}

static void malformed_claims_are_skipped(void **state)
{
    struct story *s = *state;
    struct member_view v = claim("Z", 1, MEMBER_ALIVE, 0);

    three(s, 0);
    v.trusted = false;
    list(s, 1, "B", v);
    v = claim("", 1, MEMBER_ALIVE, 0);
    list(s, 1, "B", v);
    v = claim("Z", 1, (enum member_state)99, 0);
    list(s, 1, "B", v);
    v = claim("Z", 1, MEMBER_ALIVE, 0);
    memset(v.info.id, 'z', sizeof v.info.id);
    list(s, 1, "B", v);
    list(s, 1, "B", claim("Z", 1, MEMBER_PENDING, 0));
    told(s, "");
}

static void a_working_address_is_kept(void **state)
{
    struct story *s = *state;
    struct peer_info p = peer("B", 1);

    three(s, 0);
    snprintf(p.address, sizeof p.address, "10.9.9.9");
    member_seen(s->m, 1, &p, true);
    told(s, "");
    pass(s, 50, 1550, "C");
    obuf_reset(&s->told);
    member_seen(s->m, 1600, &p, true);
    told(s, "trust B 1 at 10.9.9.9\n");
    snprintf(p.address, sizeof p.address, "10.6.6.6");
    snprintf(p.curve_public, sizeof p.curve_public, "other");
    member_seen(s->m, 1600, &p, true);
    told(s, "");
}

/* A beacon without the cluster key's MAC proves nothing, though it tells of a member's own key. */
static void a_stranger_moves_nobody(void **state)
{
    struct story *s = *state;
    struct peer_info p = peer("B", 1);

    three(s, 0);
    pass(s, 50, 1550, "C");
    obuf_reset(&s->told);
    snprintf(p.address, sizeof p.address, "10.9.9.9");
    member_seen(s->m, 1600, &p, false);
    told(s, "");
    assert_string_equal(member_find(s->m, "B")->info.address, "10.0.0.1");
}

static void equal_sets_have_equal_digests(void **state)
{
    struct story *s = *state;
    struct member *m;
    struct peer_info self = peer("B", 1), p = peer("C", 3);

    assert_int_equal(member_create(&m, &self, &fx, s), 0);
    seen(s, 1, "C", 3, true);
    assert_int_not_equal(member_digest(m), member_digest(s->m));
    seen(s, 1, "B", 1, true);
    seen(s, 1, "X", 1, false);
    member_seen(m, 1, &p, true);
    p = peer("A", 10);
    member_seen(m, 1, &p, true);
    assert_int_equal(member_digest(m), member_digest(s->m));
    p.incarnation++;
    member_seen(m, 1, &p, true);
    assert_int_not_equal(member_digest(m), member_digest(s->m));
    member_destroy(m);
}

static void another_digest_pulls_once_a_second(void **state)
{
    struct story *s = *state;

    three(s, 0);
    member_heartbeat(s->m, 100, "B", 1, 1);
    told(s, "pull from B\n");
    member_heartbeat(s->m, 200, "C", 1, 1); /* any two pulls are 250 ms apart */
    told(s, "");
    member_heartbeat(s->m, 400, "C", 1, 1);
    told(s, "pull from C\n");
    member_heartbeat(s->m, 1099, "B", 1, 1);
    told(s, "");
    member_heartbeat(s->m, 1100, "B", 1, 1);
    told(s, "pull from B\n");
    beat(s, 3000, "B", 1);
    told(s, "");
}

static void after_a_sleep_nobody_is_dead_at_once(void **state)
{
    struct story *s = *state;

    three(s, 0);
    assert_true(member_hears(s->m, 100, "B", 1));
    member_tick(s->m, 3600000);
    assert_int_not_equal(state_of(s, "B"), MEMBER_DEAD);
    beat(s, 3600100, "B", 1);
    beat(s, 3600100, "C", 1);
    assert_false(member_hears(s->m, 3600200, "B", 1)); /* that one may have been in the queue */
    assert_int_equal(state_of(s, "B"), MEMBER_ALIVE);
    assert_int_equal(state_of(s, "C"), MEMBER_ALIVE);
    pass(s, 3600150, 3603150, "C");
    assert_int_equal(state_of(s, "B"), MEMBER_DEAD);
}

static void it_hears_whom_it_hears(void **state)
{
    struct story *s = *state;

    seen(s, 0, "B", 1, true);
    assert_false(member_hears(s->m, 1, "B", 1)); /* a beacon is no heartbeat */
    beat(s, 1, "B", 1);
    assert_true(member_hears(s->m, 1500, "B", 1));
    assert_false(member_hears(s->m, 1501, "B", 1));
    assert_false(member_hears(s->m, 2, "B", 2));
    assert_true(member_hears(s->m, 9000, "A", 10));
    assert_false(member_hears(s->m, 2, "nobody", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(forgotten_it_is_gone),
        story(a_tombstone_spreads),
        story(tombstones_are_bounded),
        story(who_is_called_gone_says_it_is_not),
        story(malformed_claims_are_skipped),
        story(a_working_address_is_kept),
        story(a_stranger_moves_nobody),
        story(equal_sets_have_equal_digests),
        story(another_digest_pulls_once_a_second),
        story(after_a_sleep_nobody_is_dead_at_once),
        story(it_hears_whom_it_hears),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
