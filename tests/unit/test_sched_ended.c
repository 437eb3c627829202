/*
 * test_sched_ended.c - how long the scheduler keeps the records of jobs that have ended.
 */
#include "tests/unit/sched_kit.h"

static void retention(void **state)
{
    struct sched_options o = sched_defaults;
    char name[32];

    (void)state;
    o.keep_jobs = 20;
    with(&o);
    world_machine(&w, "A", 1000, 1024, NULL);
    world_job(&w, "dep", "ann", "A", "{'run':'true'}");
    world_job(&w, "other", "ann", "A", "{'run':'true'}");
    world_job(&w, "waits", "ann", "A", "{'run':'true','after':['dep','other']}");
    world_go(&w);
    world_end(&w, "dep", 0);
    for (int i = 0; i < 150; i++)
        world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_go(&w);
    w.logs = false;
    for (int i = 4; i <= 153; i++) {
        snprintf(name, sizeof name, "%d", i);
        world_end(&w, name, 0);
    }
    world_go(&w);
    assert_int_equal(w.forgotten, 100); /* a batch */
    world_pass(&w, 1000);
    assert_int_equal(w.forgotten, 130);
    assert_non_null(world_job_of(&w, "dep"));
    assert_null(world_job_of(&w, "33"));
    assert_non_null(world_job_of(&w, "134"));
    world_end(&w, "other", 0);
    world_pass(&w, 1000);
    world_end(&w, "waits", 0);
    world_pass(&w, 60000);
    assert_null(world_job_of(&w, "dep"));
    world_pass(&w, 7 * 24 * 3600 * 1000ull);
    assert_int_equal(w.forgotten, 153);
    assert_int_equal(HASH_COUNT(w.jobs), 0);
}

/* Who runs many pushes out his own, not the one of somebody else that is older. */
static void retention_is_fair(void **state)
{
    struct sched_options o = sched_defaults;
    char name[32];

    (void)state;
    o.keep_jobs = 20;
    with(&o);
    world_machine(&w, "A", 1000, 1024, NULL);
    w.logs = false;
    world_job(&w, "first", "bob", "A", "{'run':'true'}");
    world_go(&w);
    world_end(&w, "first", 0);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "a%d", i);
        world_job(&w, name, "ann", "A", "{'run':'true'}");
        world_go(&w);
        world_end(&w, name, 0);
        world_pass(&w, 100);
    }
    world_pass(&w, 1000);
    assert_int_equal(w.forgotten, 81);
    assert_non_null(world_job_of(&w, "first"));
    assert_null(world_job_of(&w, "a80"));
    assert_non_null(world_job_of(&w, "a81"));
    world_pass(&w, 7 * 24 * 3600 * 1000ull);
    assert_int_equal(HASH_COUNT(w.jobs), 0);
}

static struct world_job *ended_job(const char *name, const char *array, const char *counts)
{
    struct world_job *j = world_job(&w, name, "ann", "A", "{'run':'true'}");

    j->r.state = JOB_DONE;
    j->r.end = (struct job_end){ .cause = JOB_EXITED };
    j->r.ended_us = WORLD_WALL_US + w.now_ms * 1000;
    strcpy(j->r.array, array);
    if (counts)
        j->r.counts = json_loads(counts, 0, NULL);
    world_tell(&w, j);
    return j;
}

/* Elements go with their array, which counts as one, but for what the registry has room for. */
static void retention_of_arrays(void **state)
{
    struct sched_options o = sched_defaults;

    (void)state;
    o.keep_jobs = 2;
    with(&o);
    ended_job("arr.1", "arr", NULL);
    ended_job("arr.2", "arr", NULL);
    ended_job("arr.3", "arr", NULL);
    world_pass(&w, 1000);
    ended_job("arr", "", "{\"done\": 3}");
    world_pass(&w, 1000);
    assert_int_equal(w.forgotten, 0);
    ended_job("large", "", "{\"done\": 99990}");
    world_pass(&w, 1000);
    assert_int_equal(w.forgotten, 0);
    ended_job("little", "", NULL);
    go_log("forget arr\n");
    world_pass(&w, 1000);
    assert_null(world_job_of(&w, "arr"));
    ended_job("next", "", "{\"done\": 20}");
    go_log("forget large\n");
    world_pass(&w, 1000);
    assert_non_null(world_job_of(&w, "little"));
    assert_non_null(world_job_of(&w, "arr.1")); /* nobody asked for it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(retention),
        TEST(retention_is_fair),
        TEST(retention_of_arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
