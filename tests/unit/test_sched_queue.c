/*
 * test_sched_queue.c - when the scheduler places jobs: order, shares, what is kept and passed, and
 * what is waited for.
 */
#include "sched/fair.h"
#include "tests/unit/sched_kit.h"

/* ---- order */

static void by_priority_then_age(void **state)
{
    (void)state;
    world_machine(&w, "A", 1, 1024, NULL);
    world_job(&w, "first", "ann", "A", "{'run':'true'}");
    go_log("place first A\n");
    world_job(&w, "old", "ann", "A", "{'run':'true'}");
    world_pass(&w, 5);
    world_job(&w, "new", "ann", "A", "{'run':'true'}");
    world_job(&w, "high", "ann", "A", "{'run':'true','priority':5}");
    world_job(&w, "low", "ann", "A", "{'run':'true','priority':-5}");
    world_go(&w);
    WHY_HAS("low", "3 jobs are before it: high, old, new\n");
    WHY_HAS("new", "2 jobs are before it: high, old\n");
    WHY_HAS("high", "it is the next one");
    world_end(&w, "first", 0);
    go_log("place high A\n");
    world_end(&w, "high", 0);
    go_log("place old A\n");
    world_end(&w, "old", 0);
    go_log("place new A\n");
    world_end(&w, "new", 0);
    go_log("place low A\n");
}

static void shares(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    for (int i = 0; i < 6; i++)
        world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_job(&w, "bob1", "bob", "A", "{'run':'true'}");
    world_job(&w, "bob2", "bob", "A", "{'run':'true'}");
    world_job(&w, "cid1", "cid", "A", "{'run':'true'}");
    go_log("place 1 A\nplace bob1 A\nplace cid1 A\nplace 2 A\n");
    WHY_HAS("4", "2 jobs are before it: bob2, 3\n");
    world_pass(&w, 60000);
    world_end(&w, "1", 0);
    go_log("place bob2 A\n");
    world_end(&w, "2", 0);
    go_log("place 3 A\n");
}

/* What somebody used long ago counts less; what the records say counts after a new start, too. */
static void shares_fade(void **state)
{
    struct world_job *j;

    (void)state;
    world_to(&w, 100 * 3600 * 1000ull);
    world_machine(&w, "A", 1, 1024, NULL);
    for (int i = 0; i < 2; i++) {
        /* ann used two hours of a core just now, bob three, but five half-lives ago. */
        j = world_job(&w, i ? "ended-bob" : "ended-ann", i ? "bob" : "ann", "A", "{'run':'true'}");
        sched_job_gone(w.s, j->r.name, j->r.uid);
        j->r.state = JOB_DONE;
        j->r.on = calloc(1, sizeof *j->r.on);
        strcpy(j->r.on[0], "A");
        j->r.n_on = 1;
        j->r.ended_us = WORLD_WALL_US + (i ? 95 : 100) * 3600 * 1000000ull;
        j->r.started_us = j->r.ended_us - (i ? 3 : 2) * 3600 * 1000000ull;
        world_tell(&w, j);
    }
    world_job(&w, "ann", "ann", "A", "{'run':'true'}");
    world_pass(&w, 10);
    world_job(&w, "bob", "bob", "A", "{'run':'true'}");
    world_job(&w, "cid", "cid", "A", "{'run':'true'}");
    world_go(&w);
    assert_string_equal(world_log(&w), "place ann A\n");
    world_end(&w, "ann", 0);
    go_log("place cid A\n");
    world_end(&w, "cid", 0);
    go_log("place bob A\n");
}

static void account(void **state)
{
    struct fair f;
    struct fair_account a = { 0 }, b = { 0 };
    const uint64_t t = 1700000000000000ull, h = 3600 * 1000000ull;

    (void)state;
    fair_init(&f, 3600 * 1000, t);
    /* The same whether it was seen or read from the record, and in parts. */
    fair_start(&f, &a, 2000, t);
    fair_time(&f, t + h);
    fair_end(&f, &a, 2000, t, t + h);
    fair_past(&f, &b, 2000, t, t + h / 2);
    fair_past(&f, &b, 1000, t + h / 2, t + h);
    fair_past(&f, &b, 1000, t + h / 2, t + h);
    assert_true(fair_use(&f, &a) - fair_use(&f, &b) < 1e-3);
    assert_true(fair_use(&f, &b) - fair_use(&f, &a) < 1e-3);
    /* Two cores for an hour that fade by half in an hour: h/ln2 of core time. */
    assert_true(fair_use(&f, &a) > 1.4426 * 3600 * 1000 && fair_use(&f, &a) < 1.4427 * 3600 * 1000);
    fair_time(&f, t + 2 * h);
    assert_true(fair_use(&f, &a) > 0.7213 * 3600 * 1000 && fair_use(&f, &a) < 0.7214 * 3600 * 1000);
    fair_time(&f, t + 1000 * h);
    assert_true(fair_use(&f, &a) < 1e-6);
    fair_time(&f, t); /* a clock that was set back */
    assert_true(fair_use(&f, &a) >= 0);
}

/* ---- what is kept, and who may pass */

static void big_one_is_not_starved(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    for (int i = 0; i < 3; i++)
        world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':4}");
    go_log("place 1 A\nplace 2 A\nplace 3 A\n");
    world_pass(&w, 10);
    for (int i = 0; i < 3; i++)
        world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    go_log("");
    WHY_HAS("big", "4 cores are next free on A when jobs there have ended, which have no timeout");
    WHY_HAS("5", "what is free is kept for another job\n");
    WHY_HAS("5", "A: is kept for job big, which came first\n");
    world_end(&w, "1", 0);
    world_end(&w, "2", 0);
    go_log("");
    world_end(&w, "3", 0);
    go_log("place big A\n");
    world_end(&w, "big", 0);
    go_log("place 5 A\nplace 6 A\nplace 7 A\n");
}

static void backfill_by_timeout(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "long", "ann", "A", "{'run':'true','cpus':3,'timeout':'1h'}");
    world_go(&w);
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':4}");
    world_pass(&w, 10);
    world_job(&w, "over", "ann", "A", "{'run':'true','timeout':'2h'}");
    world_job(&w, "short", "ann", "A", "{'run':'true','timeout':'30min'}");
    world_job(&w, "none", "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_string_equal(world_log(&w), "place long A\nplace short A\n");
    WHY_HAS("big", "4 cores are next free on A, in 1h at the latest");
    WHY_HAS("over", "A: 0 of 4 cores are free, 1 is wanted");
    world_end(&w, "short", 0);
    world_go(&w);
    WHY_HAS("over", "A: is kept for job big, which came first; there is room in 1h at the latest");
    world_log(&w);
    world_end(&w, "long", 0);
    go_log("place big A\n");
}

/* What the kept job does not need may be used for as long as anybody wants. */
static void backfill_beside(void **state)
{
    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    world_job(&w, "long", "ann", "A", "{'run':'true','cpus':4,'timeout':'1h'}");
    world_go(&w);
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':6}");
    world_pass(&w, 10);
    world_job(&w, "two", "ann", "A", "{'run':'true','cpus':2}");
    world_job(&w, "one", "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_string_equal(world_log(&w), "place long A\nplace two A\n");
    world_end(&w, "long", 0);
    go_log("place big A\n");
}

/* One that is older comes to be first of those alike while a machine is kept for another of them.
 */
static void kept_for_those_alike(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "run", "ann", "A", "{'run':'true','cpus':3}");
    world_job(&w, "old", "ann", "A", "{'run':'true','cpus':4,'after':['run2']}");
    world_job(&w, "run2", "ann", "A", "{'run':'true','priority':1}");
    world_go(&w);
    world_pass(&w, 5);
    world_job(&w, "new", "ann", "A", "{'run':'true','cpus':4}");
    world_job(&w, "other", "bob", "A", "{'run':'true'}");
    world_go(&w);
    WHY_HAS("other", "0 of 4 cores are free");
    world_end(&w, "run2", 0);
    world_go(&w);
    world_log(&w);
    world_end(&w, "run", 0);
    go_log("place old A\n");
    world_end(&w, "old", 0);
    go_log("place other A\n");
    world_end(&w, "other", 0);
    go_log("place new A\n");
}

static void higher_priority_passes(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "run", "ann", "A", "{'run':'true','cpus':3}");
    world_go(&w);
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':4}");
    world_go(&w);
    world_job(&w, "urgent", "ann", "A", "{'run':'true','priority':1}");
    world_go(&w);
    assert_string_equal(world_log(&w), "place run A\nplace urgent A\n");
}

static void kept_only_where_it_may_run(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_machine(&w, "G", 2, 1024, "gpu");
    world_job(&w, "g1", "ann", "A", "{'run':'@gpu true'}");
    world_job(&w, "g2", "ann", "A", "{'run':'@gpu true','cpus':2}");
    world_go(&w);
    world_job(&w, "c1", "ann", "A", "{'run':'true'}");
    world_job(&w, "c2", "ann", "A", "{'run':'true'}");
    world_job(&w, "c3", "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_string_equal(world_log(&w), "place g1 G\nplace c1 A\nplace c2 A\n");
    world_cancel(&w, "g2");
    go_log("place c3 G\n");
}

/* A kept machine that never becomes free is given up for another one. */
static void kept_in_vain(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_machine(&w, "B", 2, 1024, NULL);
    world_job(&w, "a1", "ann", "A", "{'run':'@A true'}");
    world_job(&w, "b1", "ann", "A", "{'run':'@B true'}");
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':2}");
    world_go(&w);
    WHY_HAS("big", "A B: 1 of 2 cores are free");
    WHY_HAS("big", "2 cores are next free on A when");
    world_pass(&w, 600001);
    WHY_HAS("big", "2 cores are next free on B when");
}

static void restarters_do_not_count_as_ending(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_machine(&w, "B", 2, 1024, NULL);
    world_job(&w, "service", "ann", "A", "{'run':'@A true','restart':'always'}");
    world_job(&w, "b1", "ann", "A", "{'run':'@B true'}");
    world_job(&w, "b2", "ann", "A", "{'run':'@B true'}");
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':2}");
    world_go(&w);
    WHY_HAS("big", "2 cores are next free on B when");
}

static void fifo(void **state)
{
    struct sched_options o = sched_defaults;

    (void)state;
    o.fair = o.backfill = false;
    with(&o);
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, "long", "ann", "A", "{'run':'true','cpus':3,'timeout':'1h'}");
    world_job(&w, "big", "ann", "A", "{'run':'true','cpus':4}");
    world_job(&w, "short", "bob", "A", "{'run':'true','timeout':'30min'}");
    go_log("place long A\n");
    world_end(&w, "long", 0);
    go_log("place big A\n");
    world_end(&w, "big", 0);
    go_log("place short A\n");
}

/* ---- what is waited for */

static void after_others(void **state)
{
    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    world_job(&w, "one", "ann", "A", "{'run':'true'}");
    world_job(&w, "two", "ann", "A", "{'run':'true'}");
    world_job(&w, "both", "ann", "A", "{'run':'true','after':['one','two']}");
    world_job(&w, "then", "ann", "A", "{'run':'true','after':['both']}");
    go_log("place one A\nplace two A\n");
    WHY_HAS("both", "it waits for job one to end well, which is running\n"
                    "it waits for job two to end well, which is running\n");
    WHY_HAS("then", "which is pending");
    world_end(&w, "two", 0);
    go_log("");
    world_end(&w, "one", 0);
    go_log("place both A\n");
    world_end(&w, "both", 3);
    go_log("refuse then 126 it was to run after job both, which failed\n");
    world_job(&w, "late", "ann", "A", "{'run':'true','after':['nobody']}");
    go_log("refuse late 126 it was to run after job nobody, which is gone\n");
    world_job(&w, "x", "ann", "A", "{'run':'true'}");
    world_job(&w, "y", "ann", "A", "{'run':'true','after':['x', 'one']}");
    world_job(&w, "z", "ann", "A", "{'run':'true','after':['x', 'y']}");
    world_go(&w);
    world_cancel(&w, "y");
    world_log(&w);
    go_log("refuse z 126 it was to run after job y, which was cancelled\n");
}

static void pauses(void **state)
{
    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true','retries':3}");
    go_log("place j A\n");
    world_end(&w, "j", 7);
    go_log("");
    WHY_HAS("j", "it is begun again in 1s, after exit 7");
    world_pass(&w, 999);
    assert_string_equal(world_log(&w), "");
    world_pass(&w, 2);
    assert_string_equal(world_log(&w), "place j A\n");
    WHY_HAS("j", "it runs on A since just now, as attempt 2");
    world_pass(&w, 5000);
    WHY_HAS("j", "it runs on A for 5s, as attempt 2");
}

static void held_and_new(void **state)
{
    struct world_job *j;

    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    j = world_job(&w, "j", "ann", "A", "{'run':'true','after':['k']}");
    j->r.state = JOB_HELD;
    world_tell(&w, j);
    go_log("");
    WHY_HAS("j", "it is held: write `release`");
    j->r.state = JOB_NEW;
    world_tell(&w, j);
    WHY_HAS("j", "write `run LINE`");
    json_decref(j->r.spec);
    j->r.spec = json_pack("{s:i, s:s}", "schema", 1, "run", "true");
    j->r.state = JOB_PENDING;
    world_tell(&w, j);
    go_log("place j A\n");
}

static void arrays(void **state)
{
    struct world_job *j;

    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    j = world_job(&w, "arr", "ann", "A", "{'run':'true','array':'1-2'}");
    j->r.counts = json_object();
    world_tell(&w, j);
    j = world_job(&w, "arr.1", "ann", "A", "{'run':'true'}");
    go_log("place arr.1 A\n");
    WHY_HAS("arr", "it is an array");
}

static void bad_spec(void **state)
{
    (void)state;
    world_machine(&w, "A", 8, 1024, NULL);
    world_job(&w, "j", "ann", "A", "{'run':'true | | true'}");
    world_go(&w);
    assert_non_null(strstr(world_log(&w), "refuse j 126 run: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(by_priority_then_age),
        TEST(shares),
        TEST(shares_fade),
        TEST(account),
        TEST(big_one_is_not_starved),
        TEST(backfill_by_timeout),
        TEST(backfill_beside),
        TEST(kept_for_those_alike),
        TEST(higher_priority_passes),
        TEST(kept_only_where_it_may_run),
        TEST(kept_in_vain),
        TEST(restarters_do_not_count_as_ending),
        TEST(fifo),
        TEST(after_others),
        TEST(pauses),
        TEST(held_and_new),
        TEST(arrays),
        TEST(bad_spec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
