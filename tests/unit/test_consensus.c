/*
 * test_consensus.c - formation, proposals, reads, crashes, snapshots and changes by hand.
 */
#include "tests/unit/consensus_kit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void forms(void **state)
{
    struct kit *k = kit_new();
    struct kit_said said = { 0 };
    const struct consensus_server *v;
    struct oerr e;

    (void)state;
    kit_three(k);
    assert_true(consensus_is_leader(k->s[0].c));
    assert_int_equal(consensus_servers(k->s[2].c, &v), 3);
    assert_int_equal(v[2].role, ROLE_VOTER);
    assert_string_equal(v[1].id, "m1");
    assert_int_equal(consensus_leader(k->s[1].c, NULL), k->s[0].node);
    assert_int_equal(consensus_bootstrap(k->s[1].c, &e), -EBUSY);
    assert_int_equal(consensus_propose(k->s[1].c, "x", 1, kit_done, &said), -EAGAIN);
    assert_int_equal(said.calls, 0);
    kit_free(k);
}

/* A write is on all state machines without time going on: nobody waits for a heartbeat. */
static void writes(void **state)
{
    struct kit *k = kit_new();
    struct kit_said said[3] = { { 0 } };

    (void)state;
    kit_three(k);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(consensus_propose(k->s[0].c, &"abc"[i], 1, kit_done, &said[i]), 0);
        assert_int_equal(said[i].calls, 0);
    }
    kit_deliver(k);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(said[i].calls, 1);
        assert_int_equal(said[i].rc, 0);
        assert_string_equal(k->s[i].text, "a;b;c;");
        assert_int_equal(k->s[i].applied, said[2].index);
    }
    assert_int_equal(said[1].index, said[0].index + 1);
    kit_free(k);
}

/* Nor for a disk that a majority does without. */
static void one_slow_disk(void **state)
{
    struct kit *k = kit_new();
    struct kit_said said = { 0 };

    (void)state;
    kit_three(k);
    k->s[2].disk.held = true;
    assert_int_equal(consensus_propose(k->s[0].c, "a", 1, kit_done, &said), 0);
    kit_deliver(k);
    assert_int_equal(said.calls, 1);
    for (int i = 0; i < 3; i++)
        assert_string_equal(k->s[i].text, "a;");
    kit_free(k);
}

/* What waits is bounded; what went through does not count. */
static void much(void **state)
{
    struct kit *k = kit_new();
    struct kit_said said = { 0 };
    size_t size = CONSENSUS_DATA_MAX;
    char *big = calloc(1, size + 1);
    int taken = 0;

    (void)state;
    k->threshold = 10;
    k->trailing = 2;
    for (int i = 0; i < 3; i++)
        k->s[i].forget = true;
    kit_three(k);
    assert_int_equal(consensus_propose(k->s[0].c, big, size + 1, kit_done, &said), -EMSGSIZE);
    k->s[0].busy = k->s[0].disk.held = true;
    consensus_propose(k->s[0].c, big, size, kit_done, &said);
    for (int i = 0; i < 70; i++) { /* always one under way */
        assert_int_equal(consensus_propose(k->s[0].c, big, size, kit_done, &said), 0);
        kit_end_work(k, 0);
        kit_deliver(k);
        assert_int_equal(said.calls, i + 1);
    }
    while (consensus_propose(k->s[0].c, big, size, kit_done, &said) == 0)
        taken++;
    assert_in_range(taken, 32, 63);
    k->s[0].disk.held = false;
    kit_deliver(k);
    assert_int_equal(said.calls, 71 + taken);
    assert_int_equal(said.rc, 0);
    assert_int_equal(k->s[2].applied, said.index);
    free(big);
    kit_free(k);
}

static void reads(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 }, r[3] = { { 0 } };

    (void)state;
    kit_three(k);
    consensus_propose(k->s[0].c, "a", 1, kit_done, &w);
    kit_deliver(k);
    for (int i = 0; i < 3; i++)
        assert_int_equal(consensus_read_index(k->s[0].c, kit_done, &r[i]), 0);
    kit_deliver(k);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i].calls, 1);
        assert_int_equal(r[i].rc, 0);
        assert_true(r[i].index >= w.index);
    }
    k->s[0].cut = true; /* the leader alone cannot say */
    assert_int_equal(consensus_read_index(k->s[0].c, kit_done, &r[0]), 0);
    kit_run(k, 1500);
    assert_int_equal(r[0].calls, 2);
    assert_int_equal(r[0].rc, -EAGAIN);
    kit_free(k);
}

static void leader_dies(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 };
    struct consensus *c;

    (void)state;
    kit_three(k);
    consensus_propose(k->s[0].c, "a", 1, kit_done, &w);
    kit_deliver(k);
    kit_stop(k, 0);
    kit_run(k, 1000);
    c = kit_leader(k);
    assert_non_null(c);
    consensus_propose(c, "b", 1, kit_done, &w);
    kit_deliver(k);
    assert_int_equal(w.calls, 2);
    assert_int_equal(w.rc, 0);
    assert_int_equal(kit_start(k, 0, NULL), 0);
    kit_run(k, 500);
    for (int i = 0; i < 3; i++)
        assert_string_equal(k->s[i].text, "a;b;");
    kit_free(k);
}

static void all_die(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 };
    struct consensus *c;

    (void)state;
    kit_three(k);
    consensus_propose(k->s[0].c, "a", 1, kit_done, &w);
    kit_deliver(k);
    for (unsigned i = 0; i < 3; i++)
        kit_stop(k, i);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kit_start(k, i, NULL), 0);
    kit_run(k, 1500);
    c = kit_leader(k);
    assert_non_null(c);
    for (int i = 0; i < 3; i++)
        assert_string_equal(k->s[i].text, "a;");
    kit_free(k);
}

/* A follower's disk is put back to what it was before while the leader leads on. */
static void old_disk(void **state)
{
    struct kit *k = kit_new();
    struct kit_disk *d = &k->s[1].disk;
    struct kit_said w = { 0 };

    (void)state;
    kit_three(k);
    for (int i = 0; i < 10; i++) {
        consensus_propose(k->s[0].c, &"abcdefghij"[i], 1, kit_done, &w);
        kit_run(k, 50);
    }
    kit_stop(k, 1);
    for (int i = 0; i < 5; i++) {
        d->n--;
        free((void *)(uintptr_t)d->e[d->first + d->n].data);
        d->e[d->first + d->n].data = NULL;
    }
    assert_int_equal(kit_start(k, 1, NULL), 0);
    kit_run(k, 1000);
    assert_true(consensus_is_leader(k->s[0].c));
    assert_string_equal(k->s[1].text, "a;b;c;d;e;f;g;h;i;j;");
    k->s[2].cut = true;
    consensus_propose(k->s[0].c, "k", 1, kit_done, &w);
    kit_run(k, 300);
    assert_int_equal(w.calls, 11);
    assert_int_equal(w.rc, 0);
    kit_free(k);
}

static void no_quorum(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 };

    (void)state;
    kit_three(k);
    k->s[0].cut = true;
    assert_int_equal(consensus_propose(k->s[0].c, "a", 1, kit_done, &w), 0);
    kit_run(k, 1500);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.rc, -EAGAIN);
    assert_false(consensus_is_leader(k->s[0].c));
    assert_int_equal(consensus_propose(k->s[0].c, "a", 1, kit_done, &w), -EAGAIN);
    assert_non_null(kit_leader(k)); /* the two others */
    k->s[0].cut = false;
    kit_run(k, 500);
    assert_null(strstr(k->s[1].text ? k->s[1].text : "", "a"));
    kit_free(k);
}

/* A learner that comes late gets a snapshot of several parts. */
static void snapshots(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 }, a = { 0 };
    size_t size = 100000;
    char *big = malloc(size);

    (void)state;
    memset(big, 'x', size);
    k->threshold = 30;
    k->trailing = 5;
    kit_three(k);
    for (int i = 0; i < 45; i++) {
        assert_int_equal(consensus_propose(k->s[0].c, big, size, kit_done, &w), 0);
        kit_deliver(k);
    }
    assert_int_equal(w.calls, 45);
    assert_true(k->s[0].disk.has_snapshot);
    assert_true(k->s[0].disk.first > 1);
    assert_int_equal(kit_start(k, 3, NULL), 0);
    assert_int_equal(consensus_add(k->s[0].c, k->s[3].node, k->s[3].id, kit_done, &a), 0);
    kit_run(k, 100);
    assert_int_equal(consensus_assign(k->s[0].c, k->s[3].node, ROLE_LEARNER, kit_done, &a), 0);
    kit_run(k, 1000);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.rc, 0);
    assert_true(k->s[3].restored > 0);
    assert_int_equal(k->s[3].text_len, k->s[0].text_len);
    assert_int_equal(k->s[3].applied, k->s[0].applied);
    kit_stop(k, 3);
    assert_int_equal(kit_start(k, 3, NULL), 0);
    kit_run(k, 1000);
    assert_int_equal(k->s[3].text_len, k->s[0].text_len);
    free(big);
    kit_free(k);
}

static void changes(void **state)
{
    struct kit *k = kit_new();
    struct kit_said a = { 0 }, b = { 0 };
    struct consensus *c;

    (void)state;
    kit_three(k);
    c = k->s[0].c;
    assert_int_equal(consensus_add(c, 0, "m9", kit_done, &a), -EINVAL);
    assert_int_equal(consensus_add(c, 999, "m1", kit_done, &a), -EEXIST);
    assert_int_equal(consensus_add(c, k->s[1].node, "m9", kit_done, &a), -EEXIST);
    assert_int_equal(consensus_remove(c, 999, kit_done, &a), -ENOENT);
    assert_int_equal(consensus_assign(c, k->s[1].node, ROLE_VOTER, kit_done, &a), -EALREADY);
    assert_int_equal(a.calls, 0);
    assert_int_equal(consensus_assign(c, k->s[2].node, ROLE_LEARNER, kit_done, &a), 0);
    assert_int_equal(consensus_remove(c, k->s[1].node, kit_done, &b), -EBUSY);
    kit_deliver(k);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.rc, 0);
    assert_int_equal(consensus_remove(c, k->s[2].node, kit_done, &b), 0);
    kit_deliver(k);
    assert_int_equal(consensus_remove(c, k->s[1].node, kit_done, &b), 0);
    kit_deliver(k);
    assert_int_equal(b.calls, 2);
    assert_int_equal(consensus_remove(c, k->s[0].node, kit_done, &b), -EINVAL);
    assert_int_equal(consensus_assign(c, k->s[0].node, ROLE_SPARE, kit_done, &b), -EINVAL);
    kit_free(k);
}

static void transfers(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 };

    (void)state;
    kit_three(k);
    assert_int_equal(consensus_transfer(k->s[0].c, k->s[2].node), 0);
    kit_run(k, 20);
    assert_true(consensus_is_leader(k->s[2].c));
    assert_int_equal(consensus_propose(k->s[2].c, "a", 1, kit_done, &w), 0);
    kit_deliver(k);
    assert_int_equal(w.rc, 0);
    kit_free(k);
}

/* A leader whose disk stands still hands over; what waits is told. */
static void disk_stands_still(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 };
    struct consensus *c;

    (void)state;
    kit_three(k);
    k->s[0].disk.held = true;
    consensus_propose(k->s[0].c, "a", 1, kit_done, &w);
    kit_run(k, 2000);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.rc, -EAGAIN);
    c = kit_leader(k);
    assert_non_null(c);
    assert_ptr_not_equal(c, k->s[0].c);
    k->s[0].disk.held = false;
    kit_run(k, 1000);
    assert_string_equal(k->s[0].text, k->s[1].text);
    kit_free(k);
}

/* A term that cannot be written drops the message, or stops the engine with words: never a crash.
 */
static void term_not_written(void **state)
{
    struct kit *k = kit_new();
    int failed = 0;

    (void)state;
    kit_three(k);
    kit_stop(k, 0);
    k->s[1].disk.fail_set_term = k->s[2].disk.fail_set_term = 1;
    for (int round = 0; round < 4; round++) {
        kit_run(k, 3000);
        for (unsigned i = 1; i < 3; i++)
            if (consensus_failed(k->s[i].c)) {
                failed++;
                assert_non_null(strstr(consensus_failed(k->s[i].c), "term"));
                kit_stop(k, i);
                assert_int_equal(kit_start(k, i, NULL), 0);
            }
    }
    assert_true(failed > 0);
    kit_run(k, 3000);
    assert_non_null(kit_leader(k));
    kit_free(k);
}

static void damaged_is_refused(void **state)
{
    struct kit *k = kit_new();
    struct oerr e = { "" };

    (void)state;
    kit_three(k);
    kit_stop(k, 1);
    k->s[1].disk.e[2].kind = 9;
    assert_int_equal(kit_start(k, 1, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "entry 2"));
    kit_free(k);
}

static void destroyed_under_way(void **state)
{
    struct kit *k = kit_new();
    struct kit_said w = { 0 }, r = { 0 };

    (void)state;
    kit_three(k);
    for (unsigned i = 0; i < 3; i++)
        k->s[i].disk.held = true;
    consensus_propose(k->s[0].c, "a", 1, kit_done, &w);
    consensus_read_index(k->s[0].c, kit_done, &r);
    kit_deliver(k);
    assert_int_equal(r.rc, 0);
    assert_int_equal(w.calls, 0);
    kit_stop(k, 0);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.rc, -ECANCELED);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(writes),
        cmocka_unit_test(one_slow_disk),
        cmocka_unit_test(much),
        cmocka_unit_test(reads),
        cmocka_unit_test(leader_dies),
        cmocka_unit_test(all_die),
        cmocka_unit_test(old_disk),
        cmocka_unit_test(no_quorum),
        cmocka_unit_test(snapshots),
        cmocka_unit_test(changes),
        cmocka_unit_test(transfers),
        cmocka_unit_test(disk_stands_still),
        cmocka_unit_test(term_not_written),
        cmocka_unit_test(damaged_is_refused),
        cmocka_unit_test(destroyed_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
