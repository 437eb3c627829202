/*
 * test_runner_room.c - the runner's rules of room: what waits for cores and memory, and for how
 * long.
 */
#include "tests/unit/runner_kit.h"

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

/* The file of a redirection is carried by a group of its own, for which the scheduler promises
 * nothing. */
static void what_carries_a_file_takes_no_room(void **state)
{
    char on[1][ID_MAX] = { "B" };
    struct job *j = job("k", 8, 1, "BA");

    (void)state;
    runner_room(r, 2000, 1 << 30);
    json_object_set_new(j->spec, "schema", json_integer(1));
    json_object_set_new(j->spec, "run", json_string("@B sleep 60 > /tmp/out"));
    strcpy(j->by, "A");
    j->on = on;
    j->n_on = 1;
    tell(j);
    assert_seen("start 8.1.1");
    tell(job("l", 9, 1, "A"));
    assert_seen("start 9.1.0");
    tell(job("m", 10, 1, "A"));
    assert_seen("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_has_no_room_waits_in_order, make_busy),
        T(ends_are_told_together_while_others_wait, make_busy),
        T(a_large_one_is_not_passed, make_busy),
        T(memory_is_room_too, make_busy),
        T(what_waited_long_for_room_is_given_back, make_busy),
        T(what_carries_a_file_takes_no_room, make_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
