/*
 * test_consensus_conf.c - one server among peers that the test plays: lists of servers that change
 * and change back, and snapshots.
 */
#include "tests/unit/consensus_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- lists of servers */

static void rolls_back_after_a_start(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_on_disk(k, peer_change(peer_voters, 4, 2));
    peer_start(k);
    assert_int_equal(peer_servers(k), 4);
    peer_commands(k, (struct leader){ 102, 3 }, 1, 1, 1, 1);
    assert_int_equal(peer_servers(k), 3);
    kit_free(k);
}

static void put_snapshot(struct kit *k, uint64_t index, uint64_t term)
{
    struct kit_disk *d = &k->s[0].disk;
    struct consensus_entry c = peer_change(peer_voters, 3, 1);

    d->has_snapshot = true;
    d->snapshot = (struct consensus_snapshot){
        index, term, 1, peer_copy_of(c.data, c.len), c.len, peer_copy_of("s;", 2), 2
    };
    d->first = index + 1;
    d->term = term;
}

static void rolls_back_what_is_trimmed(void **state)
{
    struct kit *k = kit_new();

    (void)state;
    put_snapshot(k, 5, 2);
    peer_on_disk(k, peer_change(peer_voters, 4, 2));
    peer_start(k);
    assert_int_equal(peer_servers(k), 4);
    peer_commands(k, (struct leader){ 102, 3 }, 5, 2, 1, 5);
    assert_int_equal(peer_servers(k), 3);
    peer_ticks(k, 5);
    assert_true(peer_works(k));
    kit_free(k);
}

static void rolls_back_the_newer_only(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_entry v[2];

    (void)state;
    peer_start(k);
    v[0] = peer_change(peer_voters, 4, 2);
    v[1] = peer_change(peer_voters, 5, 2);
    peer_append(k, (struct leader){ 102, 2 }, 1, 1, v, 2, 1);
    peer_ticks(k, 5);
    assert_int_equal(peer_servers(k), 5);
    peer_commands(k, (struct leader){ 103, 3 }, 2, 2, 1, 1);
    assert_int_equal(peer_servers(k), 4);
    peer_ticks(k, 5);
    peer_commands(k, (struct leader){ 103, 3 }, 3, 3, 0, 3);
    assert_int_equal(peer_servers(k), 4);
    kit_free(k);
}

/* The list counts as soon as it is in the log, whatever has become of us when it is on disk. */
static void counts_at_once(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_msg m;
    struct consensus_entry v[1];

    (void)state;
    peer_start(k);
    k->s[0].disk.held = true;
    v[0] = peer_change(peer_voters, 4, 2);
    peer_append(k, (struct leader){ 102, 2 }, 1, 1, v, 1, 1);
    assert_int_equal(peer_servers(k), 4);
    assert_true(peer_stands(k, &m)); /* a candidate when it gets there */
    k->s[0].disk.held = false;
    peer_ticks(k, 5);
    assert_int_equal(peer_servers(k), 4);
    assert_false(peer_hears(k, MSG_APPENDED, 0, &m)); /* there is no leader to tell */
    kit_free(k);
}

static void snapshot_without_what_is_uncommitted(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_server *v;
    struct consensus_entry e[7];
    struct kit_disk *d = &k->s[0].disk;
    size_t n;

    (void)state;
    k->threshold = 4;
    k->trailing = 2;
    peer_start(k);
    for (int i = 0; i < 6; i++)
        e[i] = peer_command(2);
    e[6] = peer_change(peer_voters, 4, 2);
    peer_append(k, (struct leader){ 102, 2 }, 1, 1, e, 7, 7);
    peer_ticks(k, 5);
    assert_true(d->has_snapshot);
    assert_int_equal(d->snapshot.index, 7);
    assert_int_equal(d->snapshot.conf_index, 1);
    assert_int_equal(consensus_conf_decode(d->snapshot.conf, d->snapshot.conf_len, &v, &n, NULL),
                     0);
    assert_int_equal(n, 3);
    free(v);
    kit_free(k);
}

/* ---- snapshots */

static void over_a_longer_log(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 20, 1);
    peer_ticks(k, 5);
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 1);
    peer_snapshot(k, (struct leader){ 103, 3 }, 10);
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].restored, 10);
    assert_int_equal(k->s[0].disk.n, 0);
    peer_commands(k, (struct leader){ 103, 3 }, 10, 3, 1, 11);
    peer_ticks(k, 5);
    assert_int_equal(peer_last_appended(k), 11);
    assert_int_equal(k->s[0].applied, 11);
    kit_free(k);
}

/* What is left over may be of a newer term than what was committed there. */
static void over_a_newer_log(void **state)
{
    struct kit *k = peer_three_voters();
    struct leader l = { 103, 6 };
    struct consensus_msg answer;
    struct consensus_entry c = peer_change(peer_voters, 3, 1);
    struct consensus_msg m = { .kind = MSG_PART,
                               .part = { 1, 10, 3, 1, c.data, c.len, 2, 0, "s;", 2 } };

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 5 }, 1, 1, 20, 1);
    peer_ticks(k, 5);
    peer_commands(k, l, 15, 3, 0, 1);
    (void)peer_hears(k, MSG_APPENDED, 103, &answer);
    peer_say(k, m, l.from, l.term);
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].restored, 10);
    assert_int_equal(k->s[0].disk.snapshot.term, 3);
    peer_commands(k, l, 10, 3, 1, 11);
    peer_ticks(k, 5);
    assert_int_equal(peer_last_appended(k), 11);
    assert_int_equal(k->s[0].applied, 11);
    m.part.index = 11; /* and it does not go back */
    m.part.index_term = 5;
    m.part.transfer = 2;
    peer_say(k, m, l.from, l.term);
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].applied, 11);
    assert_int_equal(k->s[0].restored, 10);
    assert_true(peer_works(k));
    kit_free(k);
}

/* It takes a refusal or two to find where two logs part, not one an entry. */
static void parted_logs(void **state)
{
    struct kit *k = peer_three_voters();
    struct leader l = { 103, 3 };
    struct consensus_msg m;

    (void)state;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 20, 1);
    peer_ticks(k, 5);
    peer_commands(k, l, 15, 3, 0, 1);
    assert_true(peer_hears(k, MSG_APPENDED, 103, &m));
    assert_int_equal(m.appended.rejected, 15);
    assert_int_equal(m.appended.last_index, 1);
    kit_free(k);
}

static void no_election_while_installing(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_msg m, now = { .kind = MSG_TIMEOUT_NOW };

    (void)state;
    peer_start(k);
    k->s[0].disk.held = true;
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 1);
    peer_snapshot(k, (struct leader){ 103, 3 }, 10);
    now.timeout_now.last_index = 10;
    now.timeout_now.last_term = 3;
    peer_say(k, now, 103, 3);
    assert_false(peer_stands(k, &m));
    k->s[0].disk.held = false;
    peer_ticks(k, 5);
    assert_int_equal(k->s[0].restored, 10);
    assert_true(peer_stands(k, &m));
    kit_free(k);
}

/* While it takes its own, one of the leader waits. */
static void two_snapshots(void **state)
{
    struct kit *k = peer_three_voters();

    (void)state;
    k->threshold = 3;
    k->trailing = 1;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 5, 6);
    k->s[0].disk.held = true;
    assert_true(kit_end_work(k, 0));
    assert_true(k->s[0].disk.has_snapshot); /* its own is under way */
    peer_commands(k, (struct leader){ 103, 3 }, 6, 2, 0, 6);
    peer_snapshot(k, (struct leader){ 103, 3 }, 30);
    assert_int_equal(k->s[0].restored, 0);
    k->s[0].disk.held = false;
    peer_ticks(k, 30);
    assert_int_equal(k->s[0].restored, 30);
    kit_free(k);
}

/* A change that a snapshot ran over is no reason to refuse others for ever. */
static void change_under_a_snapshot(void **state)
{
    struct kit *k = peer_three_voters();
    struct kit_said said = { 0 };
    struct consensus_entry v[1];

    (void)state;
    peer_start(k);
    v[0] = peer_change(peer_voters, 4, 2);
    peer_append(k, (struct leader){ 102, 2 }, 1, 1, v, 1, 1);
    peer_ticks(k, 5);
    peer_commands(k, (struct leader){ 103, 3 }, 1, 1, 0, 1);
    peer_snapshot(k, (struct leader){ 103, 3 }, 20);
    peer_ticks(k, 5);
    assert_int_equal(peer_servers(k), 3);
    peer_lead(k);
    peer_ticks(k, 5);
    peer_appended(k, 102, 4, 21);
    assert_int_equal(consensus_add(k->s[0].c, 104, "m3", kit_done, &said), 0);
    kit_free(k);
}

static void from_the_first_entry_again(void **state)
{
    struct kit *k = peer_three_voters();
    struct consensus_entry v[3];

    (void)state;
    k->threshold = 4;
    k->trailing = 1;
    peer_start(k);
    peer_commands(k, (struct leader){ 102, 2 }, 1, 1, 9, 10);
    peer_ticks(k, 10);
    assert_int_equal(k->s[0].disk.first, 10);
    (void)peer_last_appended(k);
    v[0] = peer_change(peer_voters, 3, 1);
    v[1] = v[2] = peer_command(2);
    peer_append(k, (struct leader){ 102, 2 }, 0, 0, v, 3, 3); /* late */
    peer_ticks(k, 10);
    assert_int_equal(peer_last_appended(k), 10);
    assert_int_equal(consensus_last_index(k->s[0].c), 10);
    assert_true(peer_works(k));
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolls_back_after_a_start),
        cmocka_unit_test(rolls_back_what_is_trimmed),
        cmocka_unit_test(rolls_back_the_newer_only),
        cmocka_unit_test(counts_at_once),
        cmocka_unit_test(snapshot_without_what_is_uncommitted),
        cmocka_unit_test(over_a_longer_log),
        cmocka_unit_test(over_a_newer_log),
        cmocka_unit_test(parted_logs),
        cmocka_unit_test(no_election_while_installing),
        cmocka_unit_test(two_snapshots),
        cmocka_unit_test(change_under_a_snapshot),
        cmocka_unit_test(from_the_first_entry_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
