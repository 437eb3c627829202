/*
 * test_runner.c - the runner's rules: each test tells events and compares the effects, in words.
 *
 * Effects are written "start 7.1.0" (uid, attempt, group), "term", "kill", "forget", "report",
 * "barrier", "lease MS", "claim N"; a report names what ended: "7.1.0=exited 0".
 */
#include "sched/runner.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BOOT    5ull
#define SESSION ((BOOT << 20) | 1)

static struct runner *r;
static uint64_t now, serial;
static char seen[8192];
static struct runner_info own;

static void saw(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void saw(const char *fmt, ...)
{
    size_t n = strlen(seen);
    va_list ap;

    va_start(ap, fmt);
    if (n)
        n += (size_t)snprintf(seen + n, sizeof seen - n, "; ");
    vsnprintf(seen + n, sizeof seen - n, fmt, ap);
    va_end(ap);
}

static const char *text(const struct run_key *k)
{
    static char t[64];

    snprintf(t, sizeof t, "%d.%u.%u", (int)k->uid, k->attempt, k->group);
    return t;
}

static const char *const causes[] = { "?",    "exited", "killed",    "oom",      "timeout",
                                      "loss", "cancel", "not begun", "not taken" };

static void fx_start(void *arg, const char *job, const struct run_key *k)
{
    (void)arg, (void)job;
    saw("start %s", text(k));
}

static void fx_end(void *arg, const struct run_key *k, int sig, enum job_cause cause)
{
    (void)arg;
    saw("%s %s %s", sig == SIGKILL ? "kill" : "term", text(k), causes[cause]);
}

static void fx_forget(void *arg, const struct run_key *k)
{
    (void)arg;
    saw("forget %s", text(k));
}

static void fx_report(void *arg, uint64_t no, uint64_t session, const struct job_ended *ends,
                      size_t n)
{
    (void)arg;
    assert_int_equal(session, own.session);
    serial = no;
    saw("report");
    for (size_t i = 0; i < n; i++) {
        struct run_key k = { ends[i].uid, ends[i].attempt, ends[i].group };
        size_t at = strlen(seen);

        snprintf(seen + at, sizeof seen - at, " %s=%s %d", text(&k), causes[ends[i].end.cause],
                 ends[i].end.exit);
    }
}

static void fx_barrier(void *arg)
{
    (void)arg;
    saw("barrier");
}

static void fx_lease(void *arg, uint64_t ms)
{
    (void)arg;
    saw("lease %d", (int)ms);
}

static void fx_claim(void *arg, uint64_t session)
{
    (void)arg;
    saw("claim %d.%d", (int)(session >> 20), (int)(session & 0xfffff));
}

static const struct runner_fx fx = { .start = fx_start,
                                     .end = fx_end,
                                     .forget = fx_forget,
                                     .report = fx_report,
                                     .barrier = fx_barrier,
                                     .lease = fx_lease,
                                     .claim = fx_claim };

static void assert_seen(const char *want)
{
    runner_step(r, now);
    if (strcmp(seen, want) != 0)
        fail_msg("saw:  %s\nwant: %s", seen, want);
    seen[0] = '\0';
}

/* A job whose groups are on these machines. It lives until the next call. */
static struct job *job(const char *name, uint64_t uid, uint32_t attempt, const char *on)
{
    static struct job j;
    static struct job_group groups[JOB_GROUPS_MAX];

    json_decref(j.spec);
    memset(&j, 0, sizeof j);
    memset(groups, 0, sizeof groups);
    snprintf(j.name, sizeof j.name, "%s", name);
    j.uid = uid;
    j.attempt = attempt;
    j.state = JOB_RUNNING;
    j.spec = json_object();
    j.groups = groups;
    for (; *on; on++)
        if (*on != ' ')
            groups[j.n_groups++].machine[0] = *on;
    return &j;
}

static void tell(struct job *j)
{
    assert_int_equal(runner_job(r, now, j), 0);
}

static struct run_key key(uint64_t uid, uint32_t attempt, uint32_t group)
{
    return (struct run_key){ uid, attempt, group };
}

static void started(uint64_t uid, uint32_t attempt, uint32_t group)
{
    struct run_key k = key(uid, attempt, group);

    runner_started(r, now, &k, 0, 0, NULL);
}

static void ended(uint64_t uid, uint32_t attempt, uint32_t group, enum job_cause cause, int exit)
{
    struct run_key k = key(uid, attempt, group);
    struct job_end end = { .cause = cause, .exit = exit };

    runner_ended(r, now, &k, &end);
}

static void reported(int rc)
{
    runner_reported(r, now, serial, rc);
}

static void read_all(struct job *j)
{
    runner_sync(r, now, true);
    if (j)
        tell(j);
    runner_sync(r, now, false);
}

static void barriered(int rc)
{
    runner_barriered(r, now, rc, own.session ? &own : NULL);
}

static int make_runner(void **state)
{
    (void)state;
    now = 1000000;
    own = (struct runner_info){ .session = SESSION };
    seen[0] = '\0';
    return runner_create(&r, "A", BOOT, &fx, NULL);
}

/* One that has a session, and has read all; its lease is over. */
static int make_idle(void **state)
{
    make_runner(state);
    runner_step(r, now);
    barriered(0);
    read_all(NULL);
    now += 60000;
    runner_step(r, now);
    seen[0] = '\0';
    return 0;
}

/* ... with a job 7, group 0, that runs under a fresh lease. */
static int make_busy(void **state)
{
    make_idle(state);
    tell(job("j", 7, 1, "A"));
    runner_step(r, now);
    barriered(0);
    runner_step(r, now);
    started(7, 1, 0);
    seen[0] = '\0';
    return 0;
}

static int drop_runner(void **state)
{
    struct job *j = job("", 0, 0, "");

    (void)state;
    runner_destroy(r);
    json_decref(j->spec);
    j->spec = NULL;
    return 0;
}

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
    assert_seen("report 7.1.0=exited 0");
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

/* ---- room */

static void what_has_no_room_waits_in_order(void **state)
{
    (void)state;
    runner_room(r, 2000, 1 << 30);
    tell(job("k", 8, 1, "A"));
    tell(job("l", 9, 1, "A"));
    tell(job("m", 10, 1, "AB"));
    assert_seen("start 8.1.0; start 10.1.0"); /* parts of one job never wait for each other */
    started(8, 1, 0);
    ended(8, 1, 0, JOB_EXITED, 0);
    assert_seen("report 8.1.0=exited 0");
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("start 9.1.0");
    assert_true(runner_next(r) <= now); /* nobody waits any more */
    assert_seen("report 7.1.0=exited 0");
}

static void ends_are_told_together_while_others_wait(void **state)
{
    (void)state;
    runner_room(r, 1000, 1 << 30);
    tell(job("k", 8, 1, "A"));
    tell(job("l", 9, 1, "A"));
    tell(job("m", 10, 1, "A"));
    tell(job("n", 11, 1, "A"));
    assert_seen("");
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=exited 0; start 8.1.0");
    now += 10;
    started(8, 1, 0);
    ended(8, 1, 0, JOB_EXITED, 0);
    assert_seen("start 9.1.0");
    assert_int_equal(runner_next(r), now + 20);
    now += 19;
    started(9, 1, 0);
    ended(9, 1, 0, JOB_EXITED, 0);
    assert_seen("start 10.1.0");
    now++;
    assert_seen("report 8.1.0=exited 0 9.1.0=exited 0");
    reported(0);
}

static void a_large_one_is_not_passed(void **state)
{
    struct job *j;

    (void)state;
    runner_room(r, 2000, 1 << 30);
    j = job("k", 8, 1, "A");
    json_object_set_new(j->spec, "cpus", json_integer(2));
    tell(j);
    tell(job("l", 9, 1, "A"));
    assert_seen("");
    ended(7, 1, 0, JOB_EXITED, 0);
    assert_seen("report 7.1.0=exited 0; start 8.1.0");
    ended(8, 1, 0, JOB_EXITED, 0);
    assert_seen("start 9.1.0");
    assert_seen("report 8.1.0=exited 0");
}

static void memory_is_room_too(void **state)
{
    struct job *j;

    (void)state;
    runner_room(r, 8000, 1 << 30);
    j = job("k", 8, 1, "A");
    json_object_set_new(j->spec, "memory", json_string("1GiB"));
    tell(j);
    assert_seen("start 8.1.0");
    j = job("l", 9, 1, "A");
    json_object_set_new(j->spec, "memory", json_string("1KiB"));
    tell(j);
    assert_seen("");
}

static void what_waited_long_for_room_is_given_back(void **state)
{
    (void)state;
    runner_room(r, 1000, 1 << 30);
    tell(job("k", 8, 1, "A"));
    assert_seen("");
    assert_int_equal(runner_next(r), now + RUNNER_WAIT_MS);
    now += RUNNER_WAIT_MS - 1;
    assert_seen("");
    now++;
    assert_seen("report 8.1.0=not taken -1");
    reported(0);
    assert_seen("");
}

#define T(name, before) cmocka_unit_test_setup_teardown(name, before, drop_runner)

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
        T(an_end_is_reported_until_it_is_taken, make_busy),
        T(a_record_that_has_the_end_stops_the_reports, make_busy),
        T(an_end_that_the_record_lacks_is_reported_again, make_busy),
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
        T(a_new_attempt_forgets_the_old_output, make_busy),
        T(a_new_attempt_waits_for_the_end_of_the_old_one, make_busy),
        T(a_job_that_is_gone_is_killed_and_forgotten, make_busy),
        T(a_name_that_was_made_anew_is_another_job, make_busy),
        T(a_restart_takes_up_what_runs, make_runner),
        T(a_limit_of_time_goes_on_over_a_restart, make_runner),
        T(leaving_ends_all_as_lost, make_busy),
        T(what_has_no_room_waits_in_order, make_busy),
        T(ends_are_told_together_while_others_wait, make_busy),
        T(a_large_one_is_not_passed, make_busy),
        T(memory_is_room_too, make_busy),
        T(what_waited_long_for_room_is_given_back, make_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
