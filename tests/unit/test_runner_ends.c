/*
 * test_runner_ends.c - the runner's rules of ends: when one is reported, what ends a run, and what
 * ends together with another.
 */
#include "tests/unit/runner_kit.h"

#include <errno.h>

/* ---- ends */

static void an_end_is_reported_until_it_is_taken(void **state)
{
    (void)state;
    ended(7, 1, 0, JOB_EXITED, 3);
    assert_seen("report 7.1.0=exited 3");
    reported(-EAGAIN);
    assert_seen("");
    now += 200;
    assert_seen("report 7.1.0=exited 3");
    reported(0);
    assert_seen("");
    runner_job_gone(r, now, "j");
    assert_seen("forget 7.1.0");
}

static void a_record_that_has_the_end_stops_the_reports(void **state)
{
    struct job *j = job("j", 7, 1, "A");

    (void)state;
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=exited 0");
    j->groups[0].end.cause = JOB_EXITED;
    j->state = JOB_DONE;
    tell(j);
    reported(-EAGAIN);
    now += 1000;
    assert_seen("");
}

static void an_end_that_the_record_lacks_is_reported_again(void **state)
{
    (void)state;
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=exited 0");
    reported(-ESTALE); /* what was not ended in that session is lost: the record will say so */
    assert_seen("");
    tell(job("j", 7, 1, "A B"));
    assert_seen("report later 7.1.0=exited 0");
}

static void what_nobody_waits_for_may_come_later(void **state)
{
    struct job *j;

    (void)state;
    tell(job("k", 8, 1, "A B A"));
    assert_seen("start 8.1.0; start 8.1.2");
    started(8, 1, 0);
    started(8, 1, 2);
    ended(8, 1, 0, JOB_EXITED, 3); /* group 1 runs on B */
    assert_seen("report later 8.1.0=exited 3");
    j = job("k", 8, 1, "A B A");
    j->groups[0].end.cause = j->groups[1].end.cause = JOB_EXITED;
    tell(j);
    assert_seen("");
    ended(8, 1, 2, JOB_EXITED, 0);
    assert_seen("report 8.1.2=exited 0"); /* the last one */
}

static void what_ends_the_others_is_reported_at_once(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "A B"));
    assert_seen("start 8.1.0");
    started(8, 1, 0);
    ended(8, 1, 0, JOB_LOSS, -1);
    assert_seen("report 8.1.0=loss -1");
}

static void what_ends_in_one_turn_is_one_report(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "A A"));
    assert_seen("start 8.1.0; start 8.1.1");
    started(8, 1, 0);
    started(8, 1, 1);
    ended(8, 1, 1, JOB_EXITED, 0);
    ended(7, 1, 0, JOB_KILLED, -1);
    ended(8, 1, 0, JOB_EXITED, 1);
    assert_seen("report 8.1.1=exited 0 7.1.0=killed -1 8.1.0=exited 1");
}

static void a_group_elsewhere_is_not_ours(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "B A B"));
    assert_seen("start 8.1.1");
    tell(job("l", 9, 1, "B"));
    assert_seen("");
    assert_true(runner_knows(r, "k"));
    assert_false(runner_knows(r, "l"));
}

static void cancel_is_term_and_then_kill(void **state)
{
    struct job *j = job("j", 7, 1, "A");

    (void)state;
    j->cancelled = true;
    tell(j);
    tell(j);
    assert_seen("term 7.1.0 cancel");
    now += 9999;
    runner_step(r, now);
    barriered(0);
    seen[0] = '\0';
    assert_seen("");
    now += 1;
    assert_seen("kill 7.1.0 cancel");
    ended(7, 1, 0, JOB_KILLED, -1);
    assert_seen("report 7.1.0=cancel -1");
}

static void a_cancelled_one_that_never_began_is_reported_at_once(void **state)
{
    struct job *j = job("j", 7, 1, "A");

    (void)state;
    tell(j);
    j->cancelled = true;
    tell(j);
    assert_seen("report 7.1.0=cancel -1");
}

static void a_limit_of_time_counts_from_the_start(void **state)
{
    struct job *j = job("j", 7, 1, "A");

    (void)state;
    json_object_set_new(j->spec, "timeout", json_string("1min 30s"));
    tell(j);
    for (unsigned i = 0; i < 89; i++) {
        now += 1000;
        runner_step(r, now);
        barriered(0);
    }
    seen[0] = '\0';
    assert_seen("");
    now += 1000;
    runner_step(r, now);
    assert_non_null(strstr(seen, "term 7.1.0 timeout"));
    seen[0] = '\0';
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=timeout 0");
}

static void a_limit_of_time_counts_while_it_starts(void **state)
{
    struct job *j = job("k", 8, 1, "A");

    (void)state;
    json_object_set_new(j->spec, "timeout", json_string("1s"));
    tell(j);
    assert_seen("start 8.1.0");
    runner_step(r, now);
    assert_int_equal(runner_next(r), now + 1000);
    now += 1000;
    assert_seen("term 8.1.0 timeout");
}

static void what_cannot_start_ends_the_others_here(void **state)
{
    struct run_key k = key(8, 1, 1);

    (void)state;
    tell(job("k", 8, 1, "A A B"));
    assert_seen("start 8.1.0; start 8.1.1");
    started(8, 1, 0);
    runner_started(r, now, &k, -ENOENT, 127, "there is no command 'nope' on A");
    assert_seen("term 8.1.0 cancel; report 8.1.1=not begun 127");
}

static void a_lost_part_kills_the_others_here(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "A A"));
    runner_step(r, now);
    started(8, 1, 0);
    started(8, 1, 1);
    seen[0] = '\0';
    ended(8, 1, 1, JOB_LOSS, -1);
    assert_seen("kill 8.1.0 cancel; report 8.1.1=loss -1");
}

static void what_happens_elsewhere_ends_it_too(void **state)
{
    struct job *j;

    (void)state;
    tell(job("k", 8, 1, "A B"));
    assert_seen("start 8.1.0");
    started(8, 1, 0);
    j = job("k", 8, 1, "A B");
    j->groups[1].end.cause = JOB_NOT_BEGUN;
    tell(j);
    assert_seen("term 8.1.0 cancel");
    j->groups[1].end.cause = JOB_LOSS;
    tell(j);
    assert_seen("kill 8.1.0 cancel");
    j = job("l", 9, 1, "A B");
    j->groups[1].end.cause = JOB_LOSS;
    tell(j); /* never begun */
    assert_seen("report 9.1.0=cancel -1");
    j = job("m", 10, 1, "A B");
    j->groups[1].end.cause = JOB_EXITED;
    tell(j);
    assert_seen("start 10.1.0");
}

static void a_start_that_found_no_lease_is_tried_again(void **state)
{
    struct run_key k = key(8, 1, 0);

    (void)state;
    tell(job("k", 8, 1, "A"));
    assert_seen("start 8.1.0");
    now += 20000;
    runner_started(r, now, &k, -EAGAIN, 126, "no lease");
    assert_seen("barrier");
    barriered(0);
    assert_seen("lease 10000; start 8.1.0");
    runner_started(r, now, &k, -EAGAIN, 126, "too many processes");
    assert_seen("report 8.1.0=not begun 126");
    tell(job("l", 9, 1, "A"));
    k.uid = 9;
    assert_seen("start 9.1.0");
    runner_started(r, now, &k, -ENOSPC, 126, "the disk is full");
    assert_seen("report 9.1.0=not taken -1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_end_is_reported_until_it_is_taken, make_busy),
        T(a_record_that_has_the_end_stops_the_reports, make_busy),
        T(an_end_that_the_record_lacks_is_reported_again, make_busy),
        T(what_nobody_waits_for_may_come_later, make_busy),
        T(what_ends_the_others_is_reported_at_once, make_busy),
        T(what_ends_in_one_turn_is_one_report, make_busy),
        T(a_group_elsewhere_is_not_ours, make_busy),
        T(cancel_is_term_and_then_kill, make_busy),
        T(a_cancelled_one_that_never_began_is_reported_at_once, make_idle),
        T(a_limit_of_time_counts_from_the_start, make_busy),
        T(a_limit_of_time_counts_while_it_starts, make_busy),
        T(what_cannot_start_ends_the_others_here, make_busy),
        T(a_lost_part_kills_the_others_here, make_busy),
        T(what_happens_elsewhere_ends_it_too, make_busy),
        T(a_start_that_found_no_lease_is_tried_again, make_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
