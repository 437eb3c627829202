/*
 * test_sched_placed.c - what the scheduler does about jobs that it has placed: until the registry
 * says so, when it starts anew, and when their machine is dead or says that it lacked something.
 */
#include "tests/unit/sched_kit.h"

/* ---- what is under way */

static void placed_counts_at_once(void **state)
{
    struct world_job *j;

    (void)state;
    world_machine(&w, "A", 1, 1024, NULL);
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    world_job(&w, "k", "ann", "A", "{'run':'true'}");
    sched_step(w.s);
    world_commit(&w); /* the probe's answer */
    w.hold = true;
    go_log("place j A\n");
    WHY_HAS("j", "it was just placed on A; the registry has not confirmed it yet");
    world_tell(&w, j); /* still pending: nothing new */
    go_log("");
    /* It was held before the placement was carried out. */
    j->r.state = JOB_HELD;
    world_tell(&w, j);
    go_log("");
    world_commit(&w);
    w.hold = false;
    go_log("place k A\n");
    j->r.state = JOB_PENDING;
    world_tell(&w, j);
    world_end(&w, "k", 0);
    go_log("place j A\n");
}

static void failed_is_tried_again(void **state)
{
    struct world_machine *m = world_machine(&w, "A", 1, 1024, NULL);

    (void)state;
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    sched_step(w.s);
    world_commit(&w);
    w.hold = true;
    go_log("place j A\n");
    m->fenced = true; /* and the scheduler has not heard */
    world_commit(&w);
    w.hold = false;
    go_log("");
    WHY_HAS("j", "it is tried again in 200ms");
    m->fenced = false;
    world_pass(&w, 201);
    assert_string_equal(world_log(&w), "place j A\n");
}

/* Running and pending again, in one look: the registry shows only the last state. */
static void ended_unseen(void **state)
{
    struct world_job *j;

    (void)state;
    world_machine(&w, "A", 1, 1024, NULL);
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    sched_step(w.s);
    world_commit(&w);
    w.hold = true;
    go_log("place j A\n");
    j->r.attempt = 1;
    j->r.restarts = 1;
    j->r.end = (struct job_end){ .cause = JOB_EXITED, .exit = 1 };
    world_tell(&w, j);
    go_log("place j A\n");
}

static void new_scheduler(void **state)
{
    struct sched_allocation a;

    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, "gpu");
    world_job(&w, "run", "ann", "A", "{'run':'cat | @gpu sort','cpus':3}");
    world_go(&w);
    world_job(&w, "wait", "ann", "A", "{'run':'@gpu true','cpus':2}");
    world_go(&w);
    world_log(&w);
    world_restart(&w);
    go_log("");
    sched_allocated(w.s, "B", &a);
    assert_int_equal(a.cpu_milli, 3000);
    WHY_HAS("wait", "B: 1 of 4 cores are free");
    world_end(&w, "run", 0);
    go_log("place wait B\n");
}

static void restore(void **state)
{
    (void)state;
    world_machine(&w, "A", 1, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    world_job(&w, "k", "ann", "A", "{'run':'true'}");
    go_log("place j A\n");
    world_find(&w, "A")->cores = 2; /* of the world only: it goes on with j */
    sched_sync(w.s, true);
    world_tell(&w, world_job_of(&w, "k"));
    sched_runner(w.s, "A", 1, false);
    sched_sync(w.s, false);
    go_log("place k A\n");
    assert_string_equal(world_why(&w, "j"), "none");
    sched_sync(w.s, true);
    sched_sync(w.s, false);
    world_job(&w, "l", "ann", "A", "{'run':'true'}");
    go_log("");
    WHY_HAS("l", "A: does not run jobs yet");
}

/* ---- dead machines */

static void dead_is_fenced_then_lost(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true','retries':1}");
    world_go(&w);
    world_health(&w, "A", SCHED_SUSPECT);
    world_pass(&w, 60000);
    world_health(&w, "A", SCHED_DEAD);
    world_pass(&w, 3999);
    assert_string_equal(world_log(&w), "place j A\n");
    WHY_HAS("j", "A is dead: it is given up in 1ms unless it comes back");
    world_pass(&w, 1);
    assert_string_equal(world_log(&w), "fence A\n");
    WHY_HAS("j", "A is dead: the job is lost in 12s");
    world_pass(&w, 11999);
    assert_string_equal(world_log(&w), "");
    world_pass(&w, 2);
    assert_string_equal(world_log(&w), "lost A\n");
    WHY_HAS("j", "it is begun again in");
    world_pass(&w, 1000);
    assert_string_equal(world_log(&w), "place j B\n");
}

static void back_in_time(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    world_go(&w);
    world_health(&w, "A", SCHED_DEAD);
    world_pass(&w, 3000);
    world_health(&w, "A", SCHED_ALIVE);
    world_pass(&w, 60000);
    assert_string_equal(world_log(&w), "place j A\n");
    /* Idle machines are not fenced at all; one that comes back late begins anew by itself. */
    world_end(&w, "j", 0);
    world_health(&w, "A", SCHED_DEAD);
    world_pass(&w, 60000);
    assert_string_equal(world_log(&w), "");
    world_health(&w, "A", SCHED_ALIVE);
    world_job(&w, "k", "ann", "A", "{'run':'true'}");
    world_go(&w);
    world_health(&w, "A", SCHED_DEAD);
    world_pass(&w, 5000);
    world_health(&w, "A", SCHED_ALIVE);
    world_claim(&w, "A");
    world_pass(&w, 60000);
    assert_string_equal(world_log(&w), "place k A\nfence A\n");
}

/* Nothing else was placed there. */
static void who_carries_a_file_is_fenced_too(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'@B true > /tmp/out'}");
    world_go(&w);
    world_health(&w, "A", SCHED_DEAD);
    world_pass(&w, 3999);
    WHY_HAS("j", "A is dead: it is given up in 1ms unless it comes back");
    world_pass(&w, 1);
    assert_string_equal(world_log(&w), "place j B / B A\nfence A\n");
}

static void left_is_fenced_at_once(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    world_go(&w);
    world_health(&w, "A", SCHED_LEFT);
    world_go(&w);
    assert_string_equal(world_log(&w), "place j A\nfence A\n");
}

/* A fence that another scheduler wrote is waited for in full, by the monotonic clock. */
static void fenced_by_another(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    world_go(&w);
    world_find(&w, "A")->fenced = true;
    sched_runner(w.s, "A", 1, true);
    sched_time(w.s, w.now_ms, WORLD_WALL_US + 3600 * 1000000ull);
    sched_step(w.s);
    assert_string_equal(world_log(&w), "place j A\n");
    world_pass(&w, 12000);
    assert_string_equal(world_log(&w), "lost A\n");
}

/* A machine that says what it lacked gets nothing for a while; one that had no room in time does.
 */
static void poor_machine(void **state)
{
    struct world_job *j;

    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    j = world_job(&w, "j", "ann", "A", "{'run':'true','retries':2}");
    go_log("place j A\n");
    j->r.groups[0].end = (struct job_end){ .cause = JOB_NOT_TAKEN, .exit = -1 };
    world_end_job(&w, j, JOB_NOT_TAKEN, -1);
    world_pass(&w, 2000);
    assert_string_equal(world_log(&w), "place j A\n");
    j->r.groups[0].end =
        (struct job_end){ .cause = JOB_NOT_TAKEN, .exit = -1, .words = "the disk is full" };
    world_end_job(&w, j, JOB_NOT_TAKEN, -1);
    world_pass(&w, 5000);
    assert_string_equal(world_log(&w), "");
    WHY_HAS("j", "lacked what a job needs");
    world_machine(&w, "B", 8, 1024, NULL);
    go_log("place j B\n");
    world_job(&w, "k", "ann", "A", "{'run':'@A true'}");
    world_pass(&w, 4000);
    assert_string_equal(world_log(&w), "");
    world_pass(&w, 2000);
    assert_string_equal(world_log(&w), "place k A\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(placed_counts_at_once),
        TEST(failed_is_tried_again),
        TEST(ended_unseen),
        TEST(new_scheduler),
        TEST(restore),
        TEST(dead_is_fenced_then_lost),
        TEST(back_in_time),
        TEST(who_carries_a_file_is_fenced_too),
        TEST(left_is_fenced_at_once),
        TEST(fenced_by_another),
        TEST(poor_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
