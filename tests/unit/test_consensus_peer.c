/*
 * test_consensus_peer.c - one server among peers that the test plays: answers, commits, votes, and
 * what no peer should say.
 */
#include "tests/unit/consensus_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const enum consensus_role alone[] = { ROLE_VOTER, ROLE_LEARNER };
static const enum consensus_role learns[] = { ROLE_LEARNER, ROLE_VOTER };

/* ---- answers */

/* What is left over from a former leader is not said to be the new one's. */
static void left_over(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 6, 1);
    peer_ticks(k, 5);
    assert_int_equal(peer_last_appended(k), 7);
    peer_commands(k, (struct leader){ 103, 3 }, 5, 2, 0, 1);
    assert_int_equal(peer_last_appended(k), 5);
    peer_commands(k, (struct leader){ 103, 3 }, 5, 2, 1, 1);
    peer_ticks(k, 5);
    assert_int_equal(peer_last_appended(k), 6);
    kit_free(k);
}

static void left_over_in_flight(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_start(k);
    k->s[0].disk.held = true;
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 3, 1);
    assert_int_equal(peer_last_appended(k), UINT64_MAX);
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 1);
    assert_int_equal(peer_last_appended(k), 1);
    k->s[0].disk.held = false;
    peer_ticks(k, 5);
    assert_int_equal(peer_last_appended(k), 1);
    kit_free(k);
}

/* What was cut from the log while it was being written, and comes again, waits for that. */
static void cut_and_back(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_entry v[2];

    (void)state;
    peer_start(k);
    k->s[0].disk.held = true;
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 1, 1);
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 1, 1);
    v[0] = peer_command(2);
    v[1] = peer_command(4);
    peer_append(k, (struct leader){ 102, 4 }, 1, 1, v, 2, 1);
    assert_int_equal(peer_last_appended(k), 1);
    assert_true(kit_end_work(k, 0));
    peer_append(k, (struct leader){ 102, 4 }, 1, 1, v, 2, 1);
    assert_true(kit_end_work(k, 0));
    assert_int_equal(peer_last_appended(k), UINT64_MAX);
    assert_true(kit_end_work(k, 0));
    assert_int_equal(peer_last_appended(k), 3);
    kit_free(k);
}

/* Nor committed because of it. */
static void commit_beyond(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 6, 1);
    peer_ticks(k, 5);
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 5);
    assert_int_equal(k->s[0].applied, 0);
    assert_int_equal(consensus_committed_index(k->s[0].c), 1);
    kit_free(k);
}

/* ---- what is committed before our own disk has it */

static const struct leader second = { 102, 2 }, third = { 103, 3 };

/* Its disk stands still; of what comes now it has entries 2 and on in memory only. */
static struct kit *with_held_disk(uint32_t n)
{
    struct kit *k = peer_three_voters();

    peer_start(k);
    k->s[0].disk.held = true;
    peer_commands(k, second, 1, 1, n, 1);
    return k;
}

static uint64_t carried_out(struct kit *k)
{
    return consensus_committed_index(k->s[0].c);
}

/* It is carried out, but not said to be stored. */
static void before_own_disk(void **state)
{
    struct kit *k = with_held_disk(2);

    (void)state;
    peer_commands(k, second, 1, 1, 0, 3);
    assert_int_equal(carried_out(k), 3);
    assert_int_equal(k->s[0].applied, 3);
    assert_int_equal(peer_last_appended(k), 1);
    assert_true(kit_end_work(k, 0));
    assert_int_equal(peer_last_appended(k), 3);
    assert_int_equal(carried_out(k), 3);
    kit_free(k);
}

/* As far as it has what the leader means; the rest when that comes. */
static void told_before_it_came(void **state)
{
    struct kit *k = with_held_disk(2);

    (void)state;
    peer_commands(k, second, 1, 1, 0, 5);
    assert_int_equal(carried_out(k), 3);
    peer_commands(k, second, 3, 2, 3, 1);
    assert_int_equal(carried_out(k), 5);
    kit_free(k);
}

/* What another leader left is not meant. */
static void told_by_another(void **state)
{
    struct kit *k = with_held_disk(4);

    (void)state;
    peer_commands(k, third, 2, 2, 0, 5);
    assert_int_equal(carried_out(k), 2);
    peer_commands(k, second, 1, 1, 0, 5);
    while (kit_end_work(k, 0))
        ;
    assert_int_equal(carried_out(k), 2);
    peer_commands(k, third, 2, 2, 1, 1);
    assert_int_equal(carried_out(k), 3);
    kit_free(k);
}

/* A list of servers waits for the disk, and then for no other message. */
static void change_waits(void **state)
{
    struct kit *k = with_held_disk(1);
    struct consensus_entry v[1] = { peer_change(peer_voters, 4, 2) };

    (void)state;
    peer_append(k, second, 2, 2, v, 1, 1);
    peer_commands(k, second, 1, 1, 0, 3);
    assert_int_equal(carried_out(k), 1);
    while (kit_end_work(k, 0))
        ;
    assert_int_equal(carried_out(k), 3);
    assert_int_equal(peer_servers(k), 4);
    kit_free(k);
}

/* So does what makes a snapshot due: a snapshot is never ahead of the log. */
static void snapshot_waits(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    k->threshold = 8;
    peer_start(k);
    k->s[0].disk.held = true;
    peer_commands(k, second, 1, 1, 5, 1);
    peer_commands(k, second, 1, 1, 0, 6);
    assert_int_equal(carried_out(k), 6);
    peer_commands(k, second, 6, 2, 5, 1);
    peer_commands(k, second, 1, 1, 0, 11);
    assert_int_equal(carried_out(k), 6);
    assert_true(kit_end_work(k, 0));
    assert_true(kit_end_work(k, 0));
    assert_int_equal(carried_out(k), 11);
    assert_true(kit_end_work(k, 0));
    assert_true(k->s[0].disk.has_snapshot);
    assert_int_equal(k->s[0].disk.snapshot.index, 11);
    kit_free(k);
}

/* ---- committing: figure 8 of the paper on Raft */

static void copies_of_old_entries(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_on_disk(k, peer_command(2));
    k->s[0].disk.term = 3;
    peer_start(k);
    k->s[0].disk.held = true;
    peer_lead(k);
    peer_appended(k, 102, 4, 2); /* a majority has entry 2, of term 2 */
    assert_int_equal(k->s[0].applied, 0);
    k->s[0].disk.held = false;
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].applied, 0);
    peer_appended(k, 102, 4, 3); /* and now one of its own term */
    assert_int_equal(k->s[0].applied, 2);
    kit_free(k);
}

static void copies_of_own_old_entries(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };

    (void)state;
    peer_start(k);
    peer_lead(k); /* term 2; entry 2 */
    peer_ticks(k, 5);
    k->s[0].disk.held = true;
    consensus_propose(k->s[0].c, "a", 1, kit_done, &said); /* entry 3 */
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 1);
    assert_int_equal(said.rc, -EAGAIN);
    peer_lead(k); /* term 4; entry 4 */
    peer_appended(k, 102, 4, 3);
    assert_int_equal(k->s[0].applied, 0);
    assert_true(kit_end_work(k, 0)); /* entry 3 is on its disk now, too */
    assert_int_equal(k->s[0].applied, 0);
    assert_true(kit_end_work(k, 0));
    peer_appended(k, 102, 4, 4);
    assert_int_equal(k->s[0].applied, 3);
    kit_free(k);
}

/* A majority that is behind the leader's own disk commits. */
static void behind_the_leader(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said[2] = { { 0 } };

    (void)state;
    peer_start(k);
    peer_lead(k); /* entry 2 */
    peer_ticks(k, 5);
    peer_appended(k, 102, 2, 2);
    consensus_propose(k->s[0].c, "a", 1, kit_done, &said[0]);
    consensus_propose(k->s[0].c, "b", 1, kit_done, &said[1]);
    peer_ticks(k, 5);
    peer_appended(k, 102, 2, 3);
    assert_int_equal(said[0].calls, 1);
    assert_int_equal(said[0].rc, 0);
    assert_int_equal(said[1].calls, 0);
    kit_free(k);
}

/* ---- leading alone */

static void alone_after_a_change(void **state)
{
    struct kit *k = kit_new();
    struct consensus_entry v[1];

    (void)state;
    peer_on_disk(k, peer_change(peer_voters, 2, 1));
    peer_start(k);
    v[0] = peer_change(alone, 2, 2);
    peer_append(k, (struct leader){ 102, 2 }, 1, 1, v, 1, 1);
    peer_ticks(k, 1000);
    assert_true(consensus_is_leader(k->s[0].c));
    assert_int_equal(consensus_term(k->s[0].c), 3);
    kit_free(k);
}

static void alone_at_the_start(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    peer_on_disk(k, peer_change(alone, 2, 5));
    peer_start(k);
    assert_true(consensus_is_leader(k->s[0].c));
    assert_int_equal(consensus_term(k->s[0].c), 6);
    assert_int_equal(k->s[0].disk.term, 6);
    kit_free(k);
}

/* ---- votes */

static void learner_votes(void **state)
{
    struct kit *k = kit_new();
    struct consensus_msg m, ask = { .kind = MSG_VOTE, .vote = { .pre = true } };

    (void)state;
    peer_on_disk(k, peer_change(learns, 2, 1));
    peer_start(k);
    ask.vote.last_index = ask.vote.last_term = 1;
    peer_commands(k, (struct leader){ 102, 1 }, 1, 1, 0, 1);
    peer_say(k, ask, 102, 2); /* it hears a leader */
    assert_true(peer_hears(k, MSG_VOTED, 102, &m));
    assert_false(m.voted.granted);
    peer_ticks(k, 400);
    peer_say(k, ask, 102, 2);
    assert_true(peer_hears(k, MSG_VOTED, 102, &m));
    assert_true(m.voted.granted);
    ask.vote.pre = false;
    peer_say(k, ask, 102, 2);
    assert_true(peer_hears(k, MSG_VOTED, 102, &m));
    assert_true(m.voted.granted);
    assert_int_equal(k->s[0].disk.vote, 102);
    peer_say(k, ask, 103, 2); /* one vote a term */
    assert_true(peer_hears(k, MSG_VOTED, 103, &m));
    assert_false(m.voted.granted);
    kit_free(k);
}

/* Who asks in an older term learns of ours, also before the election proper. */
static void older_term_learns(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_msg m, ask = { .kind = MSG_VOTE, .vote = { 9, 2, false, true } };
    struct consensus_msg no = { .kind = MSG_VOTED, .voted = { .pre = true } };

    (void)state;
    k->s[0].disk.term = 4;
    peer_start(k);
    peer_say(k, ask, 102, 3);
    assert_true(peer_hears(k, MSG_VOTED, 102, &m));
    assert_false(m.voted.granted);
    assert_int_equal(m.term, 4);
    assert_true(peer_stands(k, &m));
    assert_int_equal(m.term, 5);
    peer_say(k, no, 102, 8);
    assert_int_equal(consensus_term(k->s[0].c), 8);
    kit_free(k);
}

/* Who loses its vote hears of it when that is certain. */
static void demoted_hears_last(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };
    struct consensus_msg m;

    (void)state;
    peer_start(k);
    peer_lead(k);
    peer_ticks(k, 5);
    peer_appended(k, 102, 2, 2);
    peer_appended(k, 103, 2, 2);
    assert_int_equal(consensus_assign(k->s[0].c, 102, ROLE_LEARNER, kit_done, &said), 0);
    assert_true(peer_hears(k, MSG_APPEND, 102, &m) ? m.append.n == 0 : true);
    peer_ticks(k, 60);
    assert_true(peer_hears(k, MSG_APPEND, 102, &m));
    assert_int_equal(m.append.n, 0);
    peer_appended(k, 103, 2, 3);
    assert_int_equal(said.calls, 1);
    assert_int_equal(said.rc, 0);
    assert_true(peer_hears(k, MSG_APPEND, 102, &m));
    assert_int_equal(m.append.n, 1);
    kit_free(k);
}

/* A new leader first commits an entry of its own. */
static void no_change_before(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };

    (void)state;
    peer_start(k);
    peer_lead(k);
    peer_ticks(k, 5);
    assert_int_equal(consensus_add(k->s[0].c, 104, "m3", kit_done, &said), -EBUSY);
    peer_appended(k, 102, 2, 2);
    assert_int_equal(consensus_add(k->s[0].c, 104, "m3", kit_done, &said), 0);
    assert_int_equal(consensus_remove(k->s[0].c, 102, kit_done, &said), -EBUSY);
    kit_free(k);
}

/* A leader that gives up its vote hands over first. */
static void hands_over_first(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };
    struct consensus_msg m;

    (void)state;
    peer_start(k);
    peer_lead(k);
    peer_ticks(k, 5);
    peer_appended(k, 102, 2, 2);
    (void)peer_hears(k, MSG_APPEND, 0, &m);
    assert_int_equal(consensus_remove(k->s[0].c, 101, kit_done, &said), -EAGAIN);
    assert_true(peer_hears(k, MSG_TIMEOUT_NOW, 102, &m));
    assert_false(consensus_is_leader(k->s[0].c));
    peer_ticks(k, 300); /* 102 does not take over */
    assert_int_equal(said.calls, 0);
    assert_int_equal(peer_servers(k), 3);
    kit_free(k);
}

/* A hand-over ends with the leadership. */
static void handed_over_or_not(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };
    struct consensus_msg m, vote = { .kind = MSG_VOTED, .voted = { .granted = true } };
    struct consensus_msg now = { .kind = MSG_TIMEOUT_NOW, .timeout_now = { 2, 2 } };

    (void)state;
    peer_start(k);
    peer_lead(k);
    peer_ticks(k, 5);
    assert_int_equal(consensus_transfer(k->s[0].c, 102), 0);
    peer_commands(k, (struct leader){ 103, 3 }, 2, 2, 0, 2);
    peer_say(k, now, 103, 3); /* and hands over to us at once */
    assert_true(peer_hears(k, MSG_VOTE, 102, &m));
    peer_say(k, vote, 102, m.term);
    assert_true(consensus_is_leader(k->s[0].c));
    assert_int_equal(consensus_propose(k->s[0].c, "a", 1, kit_done, &said), 0);
    assert_true(peer_works(k));
    kit_free(k);
}

/* ---- what nobody should say */

static void liars(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_msg m;

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 3, 4);
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].applied, 4);
    peer_commands(k, (struct leader){ 103, 2 }, 4, 2, 1, 5); /* a second leader in term 2 */
    peer_ticks(k, 5);
    assert_int_equal(consensus_last_index(k->s[0].c), 4);
    peer_commands(k, (struct leader){ 103, 3 }, 3, 1, 1, 5); /* other than what is committed */
    peer_commands(k, (struct leader){ 103, 3 }, 2, 2, 2, 5);
    peer_ticks(k, 5);
    assert_int_equal(consensus_last_index(k->s[0].c), 4);
    assert_true(peer_works(k));
    peer_lead(k);
    peer_commands(k, (struct leader){ 103, consensus_term(k->s[0].c) }, 4, 2, 1, 5);
    assert_true(consensus_is_leader(k->s[0].c));
    peer_appended(k, 102, consensus_term(k->s[0].c), (uint64_t)1 << 60);
    peer_appended(k, 199, consensus_term(k->s[0].c), 5);
    peer_ticks(k, 5);
    assert_true(peer_works(k));
    assert_false(peer_hears(k, MSG_PART, 0, &m));
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(left_over),
        cmocka_unit_test(left_over_in_flight),
        cmocka_unit_test(cut_and_back),
        cmocka_unit_test(commit_beyond),
        cmocka_unit_test(before_own_disk),
        cmocka_unit_test(told_before_it_came),
        cmocka_unit_test(told_by_another),
        cmocka_unit_test(change_waits),
        cmocka_unit_test(snapshot_waits),
        cmocka_unit_test(copies_of_old_entries),
        cmocka_unit_test(copies_of_own_old_entries),
        cmocka_unit_test(behind_the_leader),
        cmocka_unit_test(alone_after_a_change),
        cmocka_unit_test(alone_at_the_start),
        cmocka_unit_test(learner_votes),
        cmocka_unit_test(older_term_learns),
        cmocka_unit_test(demoted_hears_last),
        cmocka_unit_test(no_change_before),
        cmocka_unit_test(hands_over_first),
        cmocka_unit_test(handed_over_or_not),
        cmocka_unit_test(liars),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
