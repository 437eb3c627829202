/*
 * test_sched_ahead.c - short jobs that wait on their machine: which, how many, and until when.
 */
#include "tests/lib/sched_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world w;

static int open_world(void **state)
{
    struct sched_options o = sched_defaults;

    (void)state;
    o.ahead_us = 100000;
    world_open(&w, &o);
    world_machine(&w, "A", 2, 1024, NULL);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static void go_log(const char *want)
{
    world_go(&w);
    assert_string_equal(world_log(&w), want);
}

static void submit(int n, const char *spec)
{
    while (n-- > 0)
        world_job(&w, NULL, "ann", "A", spec);
}

static void promised(const char *id, unsigned cpu_milli, unsigned ahead)
{
    struct sched_allocation a;

    sched_allocated(w.s, id, &a);
    assert_int_equal(a.cpu_milli, cpu_milli);
    assert_int_equal(a.ahead, ahead);
}

/* Two begin, and one of them ends after so long. */
static void one_took(uint64_t ms)
{
    go_log("place 1 A\nplace 2 A\n");
    world_pass(&w, ms);
    world_end(&w, "1", 0);
}

static void short_ones_wait_there(void **state)
{
    (void)state;
    submit(5, "{'run':'true'}");
    one_took(2);
    go_log("place 3 A\nplace 4 A\nplace 5 A\n");
    promised("A", 2000, 2);
    assert_non_null(strstr(world_why(&w, "5"), "it waits there for a core"));
    assert_null(strstr(world_why(&w, "3"), "it waits there"));
    world_end(&w, "2", 0);
    promised("A", 2000, 1);
    world_end(&w, "5", 0); /* that was cancelled while it waited */
    promised("A", 2000, 0);
    world_end(&w, "3", 0);
    world_end(&w, "4", 0);
    promised("A", 0, 0);
}

static void long_ones_do_not(void **state)
{
    (void)state;
    submit(5, "{'run':'true'}");
    one_took(101);
    go_log("place 3 A\n");
    promised("A", 2000, 0);
}

static void no_more_than_end_soon(void **state)
{
    (void)state;
    submit(9, "{'run':'true'}");
    one_took(60);
    go_log("place 3 A\nplace 4 A\nplace 5 A\nplace 6 A\n"); /* 3 * 60 ms on two cores */
    promised("A", 2000, 3);
    world_end(&w, "2", 0);
    go_log("place 7 A\n");
}

static void only_where_short_ones_run(void **state)
{
    (void)state;
    submit(1, "{'run':'true'}");
    submit(1, "{'run':'sleep'}");
    one_took(2);
    submit(1, "{'run':'sleep'}");
    go_log("place 3 A\n");
    submit(2, "{'run':'true'}");
    go_log("");
    promised("A", 2000, 0);
}

static void not_past_one_that_waits(void **state)
{
    (void)state;
    submit(4, "{'run':'true'}");
    go_log("place 1 A\nplace 2 A\n");
    submit(1, "{'run':'make','cpus':2,'priority':5}");
    go_log("");
    world_pass(&w, 2);
    world_end(&w, "1", 0);
    go_log("");
    world_end(&w, "2", 0);
    go_log("place 5 A\n");
    promised("A", 2000, 0);
}

static void a_free_machine_is_better(void **state)
{
    (void)state;
    submit(3, "{'run':'true'}");
    one_took(2);
    world_machine(&w, "B", 2, 1024, NULL);
    go_log("place 3 A\n");
    submit(1, "{'run':'true'}"); /* whether B can run it is asked meanwhile */
    go_log("place 4 A\n");
    submit(3, "{'run':'true'}");
    go_log("place 5 B\nplace 6 B\nplace 7 B\n");
    promised("A", 2000, 1);
    promised("B", 2000, 1);
}

static void parts_on_two_machines_never_wait(void **state)
{
    (void)state;
    world_machine(&w, "B", 2, 1024, NULL);
    submit(6, "{'run':'@A echo | @B cat'}");
    go_log("place 1 A B\nplace 2 A B\n");
    world_pass(&w, 2);
    world_end(&w, "1", 0);
    go_log("place 3 A B\n");
    promised("A", 2000, 0);
}

static void given_back_is_long(void **state)
{
    (void)state;
    submit(3, "{'run':'true','retries':1}");
    one_took(2);
    submit(2, "{'run':'true','retries':1}");
    go_log("place 3 A\nplace 4 A\nplace 5 A\n");
    w.jobs->retries = 1;
    world_job_of(&w, "5")->retries = 1;
    world_end_job(&w, world_job_of(&w, "5"), JOB_NOT_TAKEN, -1);
    promised("A", 2000, 1);
    world_pass(&w, 1500);
    go_log("");
    world_end(&w, "2", 0);
    go_log("");
    world_end(&w, "3", 0);
    go_log("place 5 A\n");
}

static void another_scheduler_knows(void **state)
{
    (void)state;
    submit(5, "{'run':'true'}");
    one_took(2);
    go_log("place 3 A\nplace 4 A\nplace 5 A\n");
    world_restart(&w);
    promised("A", 2000, 2);
    submit(1, "{'run':'true'}");
    go_log("");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(short_ones_wait_there),
        TEST(long_ones_do_not),
        TEST(no_more_than_end_soon),
        TEST(only_where_short_ones_run),
        TEST(not_past_one_that_waits),
        TEST(a_free_machine_is_better),
        TEST(parts_on_two_machines_never_wait),
        TEST(given_back_is_long),
        TEST(another_scheduler_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
