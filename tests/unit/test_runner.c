/*
 * test_runner.c - the runner's rules: lease and session, attempts, restarts of the daemon, leaving.
 */
#include "tests/unit/runner_kit.h"

#include <errno.h>
#include <string.h>

/* ---- lease and session */

static void a_first_start_claims_a_session(void **state)
{
    (void)state;
    own.session = 0;
    assert_seen("barrier");
    now += 5;
    barriered(0);
    assert_true(runner_unread(r));
    assert_seen("lease 0; claim 5.1");
    now += 5;
    runner_claimed(r, now, 0);
    assert_true(runner_unread(r));
    read_all(NULL);
    assert_false(runner_unread(r));
    assert_seen("lease 9995");
    assert_int_equal(runner_next(r), 0);
}

static void a_restart_goes_on_with_its_session(void **state)
{
    (void)state;
    assert_seen("barrier");
    barriered(0);
    read_all(NULL);
    assert_seen("lease 10000");
}

static void another_boot_claims_anew_and_starts_nothing_before(void **state)
{
    (void)state;
    own.session = (4ull << 20) | 9;
    tell(job("j", 7, 1, "A"));
    assert_seen("barrier");
    barriered(0);
    read_all(job("j", 7, 1, "A"));
    assert_seen("lease 0; claim 5.1");
    runner_claimed(r, now, 0);
    assert_seen("lease 10000"); /* what was read before the claim does not count */
    read_all(job("j", 8, 1, "A"));
    assert_seen("start 8.1.0");
}

static void nothing_starts_by_what_was_read_before_the_first_barrier(void **state)
{
    (void)state;
    tell(job("j", 7, 1, "A"));
    assert_seen("barrier");
    barriered(0);
    assert_seen("lease 10000");
    read_all(NULL);
    assert_seen("");
}

static void an_idle_machine_pays_one_barrier_then_none(void **state)
{
    (void)state;
    tell(job("j", 7, 1, "A"));
    assert_seen("barrier");
    now += 3;
    barriered(0);
    assert_seen("lease 9997; start 7.1.0");
    tell(job("k", 8, 1, "A"));
    assert_seen("start 8.1.0");
}

static void the_lease_is_renewed_for_a_minute_after_the_last_run(void **state)
{
    unsigned barriers = 0;

    (void)state;
    ended(7, 1, 0, JOB_EXITED, 0);
    runner_step(r, now);
    reported(0);
    for (uint64_t at; (at = runner_next(r)) != 0;) {
        now = at > now ? at : now;
        seen[0] = '\0';
        runner_step(r, now);
        if (strcmp(seen, "barrier") != 0)
            fail_msg("%s", seen);
        barriered(0);
        assert_true(++barriers < 100);
    }
    assert_in_range(barriers, 28, 31);
}

static void nothing_starts_without_a_lease(void **state)
{
    (void)state;
    now += 9500;
    runner_step(r, now);
    seen[0] = '\0';
    tell(job("k", 8, 1, "A"));
    assert_seen("");
    barriered(-EAGAIN);
    assert_seen("");
    now += 200;
    assert_seen("barrier");
    barriered(0);
    assert_seen("lease 10000; start 8.1.0");
}

static void a_barrier_that_took_long_gives_a_short_lease(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "A"));
    assert_seen("start 8.1.0");
    now += 2000;
    assert_seen("barrier");
    now += 9000;
    barriered(0);
    assert_seen("lease 1000; barrier");
    tell(job("l", 9, 1, "A"));
    assert_seen("");
}

static void a_fence_ends_all_and_claims_when_it_is_reported(void **state)
{
    (void)state;
    own.fenced_us = 1;
    runner_record(r, now, &own);
    assert_seen("lease 0; kill 7.1.0 loss");
    tell(job("k", 8, 1, "A"));
    ended(7, 1, 0, JOB_LOSS, -1);
    assert_seen("report 7.1.0=loss -1 8.1.0=not taken -1");
    reported(0);
    assert_seen("claim 5.2");
    runner_claimed(r, now, -EAGAIN);
    assert_seen("");
    now += 200;
    assert_seen("barrier");
    barriered(0);
    assert_seen("claim 5.2");
    runner_claimed(r, now, 0);
    own = (struct runner_info){ .session = SESSION + 1 };
    read_all(job("k", 8, 2, "A"));
    assert_seen("lease 10000; forget 8.1.0; forget 7.1.0; start 8.2.0");
}

static void a_claim_whose_answer_was_lost_is_found_by_a_barrier(void **state)
{
    (void)state;
    own.fenced_us = 1;
    runner_record(r, now, &own);
    ended(7, 1, 0, JOB_LOSS, -1);
    runner_step(r, now);
    reported(0);
    assert_seen("lease 0; kill 7.1.0 loss; report 7.1.0=loss -1; claim 5.2");
    runner_claimed(r, now, -EAGAIN);
    own = (struct runner_info){ .session = SESSION + 1 };
    now += 200;
    assert_seen("barrier");
    barriered(0);
    assert_true(runner_unread(r));
    read_all(NULL);
    assert_seen("lease 10000; forget 7.1.0");
}

static void another_init_needs_another_lease(void **state)
{
    (void)state;
    ended(7, 1, 0, JOB_LOSS, -1);
    runner_init(r, now);
    tell(job("k", 8, 1, "A"));
    assert_seen("report 7.1.0=loss -1; barrier");
    barriered(0);
    assert_seen("lease 10000; start 8.1.0");
}

/* ---- attempts */

static void a_new_attempt_forgets_the_old_output(void **state)
{
    (void)state;
    ended(7, 1, 0, JOB_EXITED, 1);
    runner_step(r, now);
    reported(0);
    seen[0] = '\0';
    tell(job("j", 7, 2, "A"));
    assert_seen("forget 7.1.0; start 7.2.0");
    tell(job("j", 7, 1, "A")); /* an old record changes nothing */
    assert_seen("");
}

static void a_new_attempt_waits_for_the_end_of_the_old_one(void **state)
{
    (void)state;
    tell(job("j", 7, 2, "A"));
    assert_seen("kill 7.1.0 loss");
    ended(7, 1, 0, JOB_KILLED, -1);
    assert_seen("forget 7.1.0; start 7.2.0");
}

static void a_job_that_is_gone_is_killed_and_forgotten(void **state)
{
    (void)state;
    runner_job_gone(r, now, "j");
    assert_seen("kill 7.1.0 loss");
    ended(7, 1, 0, JOB_KILLED, -1);
    assert_seen("forget 7.1.0");
    assert_true(runner_quiet(r));
}

static void a_name_that_was_made_anew_is_another_job(void **state)
{
    (void)state;
    tell(job("j", 9, 1, "B"));
    assert_seen("kill 7.1.0 loss");
    tell(job("j", 9, 2, "A"));
    assert_seen("start 9.2.0");
    tell(job("j", 7, 1, "A"));
    assert_seen("");
}

/* ---- restarts of the daemon */

static void adopt(const char *name, uint64_t uid, uint32_t attempt, uint32_t group, bool over)
{
    struct run_key k = key(uid, attempt, group);
    struct job_end end = { .cause = JOB_EXITED, .exit = 4 };

    assert_int_equal(runner_adopt(r, now, name, &k, 5000, over ? &end : NULL), 0);
}

static void a_restart_takes_up_what_runs(void **state)
{
    (void)state;
    adopt("j", 7, 1, 0, false);
    adopt("k", 8, 1, 0, true);
    adopt("l", 9, 1, 0, false);  /* whose job is gone */
    adopt("m", 10, 1, 0, false); /* of an earlier attempt */
    tell(job("j", 7, 1, "A"));
    tell(job("k", 8, 1, "A"));
    assert_seen("barrier");
    barriered(0);
    assert_seen("lease 10000; report 8.1.0=exited 4");
    runner_sync(r, now, true);
    tell(job("j", 7, 1, "A"));
    tell(job("k", 8, 1, "A"));
    tell(job("m", 10, 2, "B"));
    tell(job("n", 11, 1, "A")); /* placed while there was no daemon */
    runner_sync(r, now, false);
    assert_seen("kill 10.1.0 loss; kill 9.1.0 loss; start 11.1.0");
}

static void a_limit_of_time_goes_on_over_a_restart(void **state)
{
    struct job *j = job("j", 7, 1, "A");

    (void)state;
    json_object_set_new(j->spec, "timeout", json_integer(6));
    adopt("j", 7, 1, 0, false);
    tell(j);
    assert_seen("barrier");
    now += 1000;
    assert_seen("term 7.1.0 timeout");
}

/* ---- leaving */

static void leaving_ends_all_as_lost(void **state)
{
    (void)state;
    tell(job("k", 8, 1, "A"));
    runner_stop(r, now);
    assert_seen("term 7.1.0 loss; report 8.1.0=not taken -1");
    reported(0);
    assert_false(runner_quiet(r));
    tell(job("l", 9, 1, "A"));
    assert_seen("report 9.1.0=not taken -1");
    reported(0);
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=loss 0");
    assert_false(runner_quiet(r));
    reported(0);
    assert_true(runner_quiet(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_first_start_claims_a_session, make_runner),
        T(a_restart_goes_on_with_its_session, make_runner),
        T(another_boot_claims_anew_and_starts_nothing_before, make_runner),
        T(nothing_starts_by_what_was_read_before_the_first_barrier, make_runner),
        T(an_idle_machine_pays_one_barrier_then_none, make_idle),
        T(the_lease_is_renewed_for_a_minute_after_the_last_run, make_busy),
        T(nothing_starts_without_a_lease, make_busy),
        T(a_barrier_that_took_long_gives_a_short_lease, make_busy),
        T(a_fence_ends_all_and_claims_when_it_is_reported, make_busy),
        T(a_claim_whose_answer_was_lost_is_found_by_a_barrier, make_busy),
        T(another_init_needs_another_lease, make_busy),
        T(a_new_attempt_forgets_the_old_output, make_busy),
        T(a_new_attempt_waits_for_the_end_of_the_old_one, make_busy),
        T(a_job_that_is_gone_is_killed_and_forgotten, make_busy),
        T(a_name_that_was_made_anew_is_another_job, make_busy),
        T(a_restart_takes_up_what_runs, make_runner),
        T(a_limit_of_time_goes_on_over_a_restart, make_runner),
        T(leaving_ends_all_as_lost, make_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
