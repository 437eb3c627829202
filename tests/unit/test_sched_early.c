/*
 * test_sched_early.c - jobs that are placed with their making: what is promised to them before they
 * are there, and what becomes of it.
 */
#include "tests/unit/sched_kit.h"

/* A machine that is known to run it, and what is made from now on is tried early. */
static void cores(unsigned n)
{
    world_machine(&w, "A", n, 1024, NULL);
    world_job(&w, "first", "ann", "A", "{'run':'true'}");
    go_log("place first A\n");
    world_end(&w, "first", 0);
    go_log("");
    w.early = w.hold = true;
}

static unsigned promised(const char *id)
{
    struct sched_allocation a;

    sched_allocated(w.s, id, &a);
    return a.cpu_milli;
}

static void is_promised_before_it_is_there(void **state)
{
    struct world_job *j;

    (void)state;
    cores(1);
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    assert_true(j->making);
    go_log("early j A\n");
    assert_int_equal(promised("A"), 1000);
    world_job(&w, "k", "bob", "A", "{'run':'true'}"); /* there is no room for it any more */
    go_log("");
    world_commit(&w);
    assert_int_equal(j->r.state, JOB_RUNNING);
    assert_int_equal(promised("A"), 1000);
    go_log("");
    WHY_HAS("j", "it runs on A");
    world_end(&w, "j", 0);
    go_log("place k A\n");
}

/* Its name was taken, or its user has too many: what was promised is free again. */
static void is_refused(void **state)
{
    struct world_job *j;

    (void)state;
    cores(1);
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    go_log("early j A\n");
    world_job(&w, "k", "bob", "A", "{'run':'true'}");
    HASH_DEL(w.jobs, j);
    world_commit(&w);
    assert_int_equal(promised("A"), 0);
    go_log("place k A\n");
    job_clear(&j->r);
    free(j);
}

/* Nobody ever says what became of it. */
static void is_not_kept_for_ever(void **state)
{
    (void)state;
    cores(1);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    go_log("early j A\n");
    world_job(&w, "k", "ann", "A", "{'run':'true'}");
    world_pass(&w, 9999);
    assert_string_equal(world_log(&w), "");
    assert_true(sched_next(w.s) == w.now_ms + 1);
    world_pass(&w, 1);
    assert_string_equal(world_log(&w), "place k A\n");
}

static void is_left_where_its_machine_may_not_begin_it(void **state)
{
    struct world_machine *m;
    struct world_job *j;

    (void)state;
    cores(1);
    m = world_find(&w, "A");
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    go_log("early j A\n");
    m->fenced = true; /* and the scheduler has not heard */
    world_commit(&w);
    assert_int_equal(j->r.state, JOB_PENDING);
    assert_int_equal(promised("A"), 0);
    sched_runner(w.s, "A", m->session, true);
    go_log("");
    m->fenced = false;
    sched_runner(w.s, "A", m->session, false);
    go_log("place j A\n"); /* as any other */
}

static void keep_id(void *arg, const struct job_place *p)
{
    (void)arg;
    assert_string_equal(p->on[0], "A");
}

/* The same was asked twice: the second time it has no other job. */
static void is_there_once(void **state)
{
    struct world_job *j;
    uint64_t id = 0;

    (void)state;
    cores(2);
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    go_log("early j A\n");
    assert_true(sched_early(w.s, &j->r, &id, keep_id, NULL));
    assert_int_equal(promised("A"), 2000);
    world_commit(&w);
    sched_early_made(w.s, id, j->r.name, j->r.uid);
    assert_int_equal(promised("A"), 1000);
    go_log("");
    world_end(&w, "j", 0);
    assert_int_equal(promised("A"), 0);
    sched_early_made(w.s, id, "j2", 77); /* nobody knows it any more */
    sched_early_gone(w.s, id);
    go_log("");
}

/* The records come as a whole: what is not among them is gone, promises too. */
static void a_restore_ends_it(void **state)
{
    (void)state;
    cores(1);
    world_job(&w, "j", "ann", "A", "{'run':'true'}");
    go_log("early j A\n");
    sched_sync(w.s, true);
    sched_runner(w.s, "A", world_find(&w, "A")->session, false);
    sched_sync(w.s, false);
    assert_int_equal(promised("A"), 0);
    world_commit(&w);
    go_log("");
    assert_int_equal(promised("A"), 1000);
}

/* What could not begin at once is as if nobody had asked: neither kept, nor refused, nor told. */
static void only_what_can_begin_at_once(void **state)
{
    struct world_job *j;

    (void)state;
    cores(1);
    j = world_job(&w, "big", "ann", "A", "{'run':'true','cpus':2}");
    assert_false(j->making);
    j = world_job(&w, "odd", "ann", "A", "{'run':'@tape true'}");
    assert_false(j->making);
    j = world_job(&w, "bad", "ann", "A", "{'run':'true |'}");
    assert_false(j->making);
    assert_int_equal(promised("A"), 0);
    w.hold = false;
    world_go(&w);
    assert_non_null(strstr(world_log(&w), "refuse bad 126"));
}

/* A job of higher priority waits for the core: it is not overtaken. */
static void nobody_is_overtaken(void **state)
{
    struct world_job *j;

    (void)state;
    cores(1);
    w.early = false;
    world_job(&w, "high", "ann", "A", "{'run':'true','priority':5}");
    w.early = true;
    j = world_job(&w, "j", "ann", "A", "{'run':'true'}");
    assert_false(j->making);
    go_log("place high A\n");
}

static void many_at_once(void **state)
{
    unsigned early = 0;

    (void)state;
    world_machine(&w, "A", 1, 1024, NULL);
    world_machine(&w, "B", 200, 1024, NULL);
    world_job(&w, "first", "ann", "B", "{'run':'true'}");
    world_go(&w);
    w.early = w.hold = true;
    for (int i = 0; i < 100; i++)
        early += world_job(&w, NULL, "ann", "B", "{'run':'true'}")->making;
    assert_int_equal(early, 64);
    w.hold = false;
    world_go(&w);
    for (const struct world_job *j = w.jobs; j; j = j->hh.next)
        assert_int_equal(j->r.state, JOB_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_promised_before_it_is_there),
        TEST(is_refused),
        TEST(is_not_kept_for_ever),
        TEST(is_left_where_its_machine_may_not_begin_it),
        TEST(is_there_once),
        TEST(a_restore_ends_it),
        TEST(only_what_can_begin_at_once),
        TEST(nobody_is_overtaken),
        TEST(many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
