/*
 * test_job_cmd.c - what each command makes of a job in each state, and refuses.
 */
#include "job_kit.h"
#include "sched/job_cmd_private.h"

/* ---- every act in every state */

/* Makes a job of that state by commands; name x. */
static void bring_to(struct kit *k, enum job_state s)
{
    json_t *spec = spec_of("'run':'true'");

    assert_int_equal(
        job_do(k, "job.make",
               job_make_fields("x", "alice", "A", spec, s != JOB_NEW, s == JOB_HELD, 100 * S)),
        0);
    if (s == JOB_RUNNING || s == JOB_DONE || s == JOB_FAILED || s == JOB_LOST)
        assert_int_equal(job_put(k, "x", 1, "B"), 0);
    if (s == JOB_DONE || s == JOB_FAILED)
        assert_int_equal(job_over(k, "x", 0, EXITED(s == JOB_FAILED), 300 * S), 0);
    if (s == JOB_LOST)
        assert_int_equal(job_do(k, "runner.claim", runner_claim_fields("B", 99, 300 * S)), 0);
    if (s == JOB_CANCELLED)
        assert_int_equal(
            job_do(k, "job.cancel", job_cancel_fields("x", job_uid(k, "x"), "alice", 1)), 0);
    assert_string_equal(state_of(k, "x"), job_state_name(s));
}

static int act(struct kit *k, const char *name)
{
    uint64_t uid = job_uid(k, "x");
    const struct job_id id = { .name = "x", .uid = uid };

    if (strcmp(name, "set") == 0)
        return job_do(k, "job.set", job_set_fields("x", uid, json_pack("{s:i}", "priority", 5)));
    if (strcmp(name, "run") == 0)
        return job_do(k, "job.run", job_run_fields("x", uid, json_pack("{s:s}", "run", "ls"), 9));
    if (strcmp(name, "hold") == 0)
        return job_do(k, "job.hold", job_hold_fields("x", uid));
    if (strcmp(name, "release") == 0)
        return job_do(k, "job.release", job_release_fields("x", uid, 150 * S));
    if (strcmp(name, "cancel") == 0)
        return job_do(k, "job.cancel", job_cancel_fields("x", uid, "root", 150 * S));
    if (strcmp(name, "refuse") == 0)
        return job_do(k, "job.refuse",
                      job_refuse_fields(1, "x", uid, 127, "no machine has foo", 150 * S));
    if (strcmp(name, "forget") == 0)
        return job_do(k, "job.forget", job_forget_fields(&id, 1));
    fail_msg("%s", name);
    return 0;
}

/* In each state: the state that follows, or "" where it is refused. */
static const struct {
    const char *act, *to[JOB_LOST + 1];
} table[] = {
    { "set", { "new", "held", "", "", "", "", "", "" } },
    { "run", { "pending", "", "", "", "", "", "", "" } },
    { "hold", { "new", "held", "held", "", "", "", "", "" } },
    { "release", { "new", "pending", "pending", "", "", "", "", "" } },
    { "cancel", { "cancelled", "cancelled", "cancelled", "running", "", "", "", "" } },
    { "refuse", { "", "", "failed", "", "", "", "", "" } },
    { "forget", { "gone", "", "", "", "gone", "gone", "gone", "gone" } },
};

static void each_act_in_each_state(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof table / sizeof table[0]; a++) {
        for (int s = JOB_NEW; s <= JOB_LOST; s++) {
            const char *to = table[a].to[s];
            char before[4096];
            struct kit k;

            job_kit_open(&k);
            bring_to(&k, (enum job_state)s);
            strcpy(before, kit_text(&k, "job/x"));
            if (act(&k, table[a].act) != (*to ? 0 : -EBUSY))
                fail_msg("%s of a job that is %s: %d %s", table[a].act,
                         job_state_name((enum job_state)s), k.rc, k.words);
            if (!*to)
                assert_value(&k, "job/x", before);
            else if (strcmp(to, "gone") == 0)
                assert_value(&k, "job/x", "");
            else
                assert_string_equal(state_of(&k, "x"), to);
            job_kit_close(&k);
        }
    }
}

static void words_of_refusals(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    bring_to(&k, JOB_RUNNING);
    act(&k, "set");
    assert_string_equal(k.words, "job x is running; only a job that is new or held can be changed");
    assert_int_equal(job_do(&k, "job.hold", job_hold_fields("x", 5)), -ENOENT);
    assert_string_equal(k.words, "there is no job x (any more)");
    assert_int_equal(job_do(&k, "job.hold", job_hold_fields("y", 5)), -ENOENT);
    assert_int_equal(kit_run(&k, "'job.hold','name':'x'"), -EINVAL);
    assert_string_equal(k.words, "the command job.hold lacks a field, or one is of another kind");
    assert_int_equal(kit_run(&k, "'job.hold','name':'x/y','uid':1"), -EINVAL);
    job_kit_close(&k);
}

static int act_cancel(struct kit *k, const char *name)
{
    return job_do(k, "job.cancel", job_cancel_fields(name, job_uid(k, name), "root", S));
}

/* ---- making */

static void make(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "", "'run':'true'"), 0);
    assert_string_equal(json_string_value(json_object_get(k.body, "name")), "1");
    assert_int_equal(json_integer_value(json_object_get(k.body, "uid")), 100 * S);
    assert_int_equal(job_submit(&k, "", "'run':'true'"), 0);
    assert_int_equal(job_uid(&k, "2"), 100 * S + 1);
    assert_int_equal(job_submit(&k, "train", "'run':'true'"), 0);
    assert_int_equal(job_submit(&k, "train", "'run':'true'"), -EEXIST);
    assert_string_equal(k.words, "job train exists");
    assert_int_equal(job_submit(&k, "17", "'run':'true'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':''"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','restart':'often'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','retries':-1"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','array':'5-1'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','array':'0-10000'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','array':'1-'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','array':'1-2x'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','after':'b'"), -EINVAL);
    assert_int_equal(job_submit(&k, "a", "'run':'x','after':['']"), -EINVAL);
    assert_value(&k, "job/a", "");
    assert_value(&k, "jobs", "{\"n\":3,\"next\":3,\"uid\":100000002}");
    assert_value(&k, "job/1",
                 "{\"by\":\"A\",\"made_us\":100000000,\"spec\":{\"run\":\"true\",\"schema\":1},"
                 "\"state\":\"pending\",\"uid\":100000000,\"user\":\"alice\"}");
    assert_true(registry_has_data(k.r));
    job_kit_close(&k);
}

static void make_in_steps(void **state)
{
    struct kit k;
    uint64_t uid;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(
        job_do(&k, "job.make", job_make_fields("", "alice", "A", json_object(), false, false, S)),
        0);
    uid = job_uid(&k, "1");
    assert_string_equal(state_of(&k, "1"), "new");
    assert_int_equal(job_do(&k, "job.run", job_run_fields("1", uid, NULL, S)), -EINVAL);
    assert_string_equal(k.words, "job 1 has nothing to run: write run LINE");
    assert_int_equal(job_do(&k, "job.set",
                            job_set_fields("1", uid, json_pack("{s:i,s:i}", "retries", 2, "p", 1))),
                     0);
    assert_int_equal(job_do(&k, "job.set", job_set_fields("1", uid, json_pack("{s:n}", "p"))), 0);
    assert_int_equal(job_do(&k, "job.set", job_set_fields("1", uid, json_pack("{s:i}", "run", 1))),
                     -EINVAL);
    assert_int_equal(job_do(&k, "job.hold", job_hold_fields("1", uid)), 0);
    assert_true(job_of(&k, "1")->hold);
    assert_int_equal(
        job_do(&k, "job.run", job_run_fields("1", uid, json_pack("{s:s}", "run", "ls"), 7 * S)), 0);
    assert_string_equal(state_of(&k, "1"), "held");
    assert_false(job_of(&k, "1")->hold);
    assert_int_equal(json_object_size(job_of(&k, "1")->spec), 2);
    assert_int_equal(job_do(&k, "job.set", job_set_fields("1", uid, json_pack("{s:n}", "run"))),
                     -EINVAL);
    assert_int_equal(
        job_do(&k, "job.set", job_set_fields("1", uid, json_pack("{s:s}", "array", "1-2"))),
        -EBUSY);
    assert_string_equal(k.words, "`array` of job 1 cannot change any more: it was run already");
    assert_int_equal(job_do(&k, "job.release", job_release_fields("1", uid, 8 * S)), 0);
    assert_string_equal(state_of(&k, "1"), "pending");
    assert_int_equal(job_of(&k, "1")->queued_us, 8 * S);
    job_kit_close(&k);
}

static void make_many(void **state)
{
    json_t *specs = json_array();
    struct kit k;

    (void)state;
    job_kit_open(&k);
    for (int i = 0; i < 1000; i++)
        json_array_append_new(specs, spec_of("'run':'true'"));
    assert_int_equal(job_do(&k, "job.make_many", job_make_many_fields("bob", "B", specs, S)), 0);
    assert_int_equal(json_array_size(json_object_get(k.body, "names")), 1000);
    assert_string_equal(state_of(&k, "1000"), "pending");
    assert_int_equal(job_uid(&k, "1000"), S + 999);
    specs = json_pack("[o, o]", spec_of("'run':'true'"), spec_of("'cpus':1"));
    assert_int_equal(job_do(&k, "job.make_many", job_make_many_fields("bob", "B", specs, S)),
                     -EINVAL);
    assert_string_equal(k.words, "job 2 of 2 has nothing to run");
    assert_value(&k, "job/1001", "");
    assert_value(&k, "jobs", "{\"n\":1000,\"next\":1001,\"uid\":1000999}");
    job_kit_close(&k);
}

/* Half of the room is for jobs that have ended, half of the rest for each user but root. */
static void of_one_user(void **state)
{
    struct kit k;
    char name[8];

    (void)state;
    job_kit_open(&k);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "a%d", i);
        assert_int_equal(job_submit(&k, name, "'run':'true','array':'1-10000'"), 0);
    }
    assert_int_equal(job_submit(&k, "a4", "'run':'true','array':'1-9995'"), 0);
    assert_value(&k, "unended/alice", "50000");
    assert_int_equal(job_submit(&k, "b", "'run':'true'"), -EDQUOT);
    assert_string_equal(k.words, "alice has 50000 jobs that have not ended, and may have 50000: "
                                 "wait until some have ended, or cancel some");
    assert_value(&k, "job/b", "");
    /* Others may go on, and an older program's words are taken as they were. */
    for (int i = 0; i < 2; i++)
        assert_int_equal(job_do(&k, "job.make",
                                job_make_fields("", i ? "root" : "bob", "A",
                                                spec_of("'run':'true'"), true, false, S)),
                         0);
    assert_value(&k, "unended/bob", "1");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"job.make\",\"user\":\"alice\",\"by\":\"A\",\"name\":\"o\","
                  "\"at_us\":1,\"spec\":{\"schema\":1}}");
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.rc, 0);
    assert_value(&k, "unended/alice", "50001");
    assert_int_equal(
        job_do(&k, "job.forget", job_forget_fields(&(struct job_id){ "o", job_uid(&k, "o") }, 1)),
        0);
    /* What has ended makes room; a larger array than there is room for is not made in part. */
    assert_int_equal(act_cancel(&k, "a4.7"), 0);
    assert_value(&k, "unended/alice", "49999");
    assert_int_equal(job_submit(&k, "b", "'run':'true','array':'1-2'"), -EDQUOT);
    assert_non_null(strstr(k.words, "alice has 49999 jobs"));
    assert_int_equal(job_submit(&k, "b", "'run':'true'"), 0);
    assert_int_equal(act_cancel(&k, "a4"), 0);
    assert_value(&k, "unended/alice", "40005");
    assert_value(&k, "unended/bob", "1");
    job_kit_close(&k);
}

static void after(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "b", "'run':'x','after':['a']"), -EINVAL);
    assert_string_equal(k.words, "job b is to run after job a, and there is none");
    assert_int_equal(job_submit(&k, "b", "'run':'x','after':['b']"), -EBUSY);
    assert_int_equal(
        job_do(&k, "job.make", job_make_fields("a", "u", "A", json_object(), false, false, S)), 0);
    assert_int_equal(job_submit(&k, "b", "'run':'x','after':['a']"), -EBUSY);
    assert_string_equal(k.words,
                        "job b is to run after job a, which was not run yet: run that first");
    assert_int_equal(
        job_do(&k, "job.run",
               job_run_fields("a", job_uid(&k, "a"), json_pack("{s:s}", "run", "x"), S)),
        0);
    assert_int_equal(job_submit(&k, "b", "'run':'x','after':['a']"), 0);
    job_kit_close(&k);
}

/* ---- placing and ending */

static void place(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a|b'"), 0);
    assert_int_equal(job_put(&k, "x", 2, "AB"), 0);
    assert_string_equal(json_string_value(json_array_get(json_object_get(k.body, "left"), 0)), "x");
    assert_int_equal(job_put(&k, "x", 1, "AZ"), 0); /* no such machine */
    assert_int_equal(json_array_size(json_object_get(k.body, "left")), 1);
    assert_string_equal(state_of(&k, "x"), "pending");
    assert_int_equal(job_put(&k, "x", 1, "AB"), 0);
    assert_int_equal(json_array_size(json_object_get(k.body, "left")), 0);
    assert_string_equal(state_of(&k, "x"), "running");
    assert_int_equal(job_of(&k, "x")->started_us, 200 * S);
    assert_value(&k, "placed/A/x", "100000000");
    assert_value(&k, "placed/B/x", "100000000");
    assert_int_equal(job_put(&k, "x", 2, "AB"), 0);
    assert_int_equal(json_array_size(json_object_get(k.body, "left")), 1);
    assert_int_equal(job_of(&k, "x")->attempt, 1);
    job_kit_close(&k);
}

static void only_the_scheduler(void **state)
{
    struct kit k;
    struct job_place p = { .name = "x",
                           .attempt = 1,
                           .on = (const char *const[]){ "A" },
                           .n_on = 1,
                           .groups = (const char *const[]){ "A" },
                           .n_groups = 1 };

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a'"), 0);
    p.uid = job_uid(&k, "x");
    assert_int_equal(job_do(&k, "job.place", job_place_fields(2, &p, 1, S)), -ESTALE);
    assert_int_equal(job_do(&k, "job.refuse", job_refuse_fields(2, "x", p.uid, 127, "", S)),
                     -ESTALE);
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(2, "A", 11, S)), -ESTALE);
    assert_int_equal(job_do(&k, "job.lost", job_lost_fields(2, "A", 11, S)), -ESTALE);
    assert_string_equal(state_of(&k, "x"), "pending");
    job_kit_close(&k);
}

static void end_of_a_pipeline(void **state)
{
    const struct job_end first = {
        .cause = JOB_EXITED, .started_us = 5, .ended_us = 9, .cpu_us = 3, .memory_peak = 10
    };
    const struct job_end last = { .cause = JOB_EXITED,
                                  .exit = 3,
                                  .started_us = 7,
                                  .ended_us = 8,
                                  .cpu_us = 4,
                                  .memory_peak = 20 };
    struct kit k;
    struct job *j;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a|b'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "AB"), 0);
    assert_int_equal(job_over(&k, "x", 1, last, 300 * S), 0);
    assert_string_equal(state_of(&k, "x"), "running");
    assert_value(&k, "placed/B/x", "");
    /* Again, and otherwise: the first word counts. */
    assert_int_equal(job_over(&k, "x", 1, first, 300 * S), 0);
    assert_int_equal(job_over(&k, "x", 0, first, 300 * S), 0);
    j = job_of(&k, "x");
    assert_string_equal(job_state_name(j->state), "failed");
    assert_int_equal(j->end.exit, 3);
    assert_int_equal(j->end.started_us, 5);
    assert_int_equal(j->end.ended_us, 9);
    assert_int_equal(j->end.cpu_us, 7);
    assert_int_equal(j->end.memory_peak, 20);
    assert_int_equal(j->ended_us, 9);
    assert_value(&k, "placed/A/x", "");
    job_kit_close(&k);
}

/* The ends of two groups, the second's being the status, and what comes of them. */
static void judgement(void **state)
{
    static const struct {
        struct job_end a, b;
        bool cancel;
        const char *state, *cause;
    } rows[] = {
        { { .cause = JOB_EXITED, .exit = 1 }, { .cause = JOB_EXITED }, false, "done", "exited" },
        { { .cause = JOB_EXITED }, { .cause = JOB_EXITED, .exit = 1 }, false, "failed", "exited" },
        { { .cause = JOB_KILLED, .signal = 13 }, { .cause = JOB_EXITED }, false, "done", "exited" },
        { { .cause = JOB_EXITED },
          { .cause = JOB_KILLED, .signal = 9 },
          false,
          "failed",
          "killed" },
        { { .cause = JOB_LOSS }, { .cause = JOB_EXITED }, false, "lost", "lost" },
        { { .cause = JOB_EXITED }, { .cause = JOB_LOSS }, false, "lost", "lost" },
        { { .cause = JOB_NOT_BEGUN, .exit = 127 },
          { .cause = JOB_EXITED },
          false,
          "failed",
          "not-begun" },
        { { .cause = JOB_NOT_BEGUN, .exit = 127 },
          { .cause = JOB_LOSS },
          false,
          "failed",
          "not-begun" },
        { { .cause = JOB_TIMEOUT }, { .cause = JOB_LOSS }, false, "failed", "timeout" },
        { { .cause = JOB_OOM }, { .cause = JOB_LOSS }, false, "lost", "lost" },
        { { .cause = JOB_NOT_TAKEN }, { .cause = JOB_LOSS }, false, "lost", "lost" },
        { { .cause = JOB_NOT_TAKEN },
          { .cause = JOB_CANCEL, .started_us = 1 },
          false,
          "lost",
          "not-taken" },
        { { .cause = JOB_TIMEOUT }, { .cause = JOB_EXITED }, false, "failed", "timeout" },
        { { .cause = JOB_OOM }, { .cause = JOB_EXITED }, false, "failed", "oom" },
        { { .cause = JOB_OOM }, { .cause = JOB_TIMEOUT }, false, "failed", "timeout" },
        { { .cause = JOB_NOT_BEGUN, .exit = 126 },
          { .cause = JOB_CANCEL },
          false,
          "failed",
          "not-begun" },
        { { .cause = JOB_CANCEL }, { .cause = JOB_CANCEL }, true, "cancelled", "cancelled" },
        { { .cause = JOB_CANCEL }, { .cause = JOB_LOSS }, true, "cancelled", "lost" },
        { { .cause = JOB_EXITED },
          { .cause = JOB_EXITED, .exit = 143 },
          true,
          "cancelled",
          "exited" },
        { { .cause = JOB_EXITED }, { .cause = JOB_EXITED }, true, "done", "exited" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kit k;

        job_kit_open(&k);
        assert_int_equal(job_submit(&k, "x", "'run':'a|b'"), 0);
        assert_int_equal(job_put(&k, "x", 1, "AB"), 0);
        if (rows[i].cancel)
            assert_int_equal(act(&k, "cancel"), 0);
        assert_int_equal(job_over(&k, "x", 0, rows[i].a, 300 * S), 0);
        assert_int_equal(job_over(&k, "x", 1, rows[i].b, 300 * S), 0);
        if (strcmp(state_of(&k, "x"), rows[i].state) != 0)
            fail_msg("row %zu: %s", i, state_of(&k, "x"));
        assert_string_equal(job_cause_name(job_of(&k, "x")->end.cause), rows[i].cause);
        job_kit_close(&k);
    }
}

/* What follows an attempt that ended so: the number of restarts before it is over. */
static void restarts(void **state)
{
    static const struct {
        const char *spec;
        struct job_end end;
        unsigned restarts; /* 10: without end */
    } rows[] = {
        { "'run':'a'", { .cause = JOB_EXITED, .exit = 1 }, 0 },
        { "'run':'a','retries':2", { .cause = JOB_EXITED, .exit = 1 }, 2 },
        { "'run':'a','retries':2", { .cause = JOB_EXITED }, 0 },
        { "'run':'a','retries':2", { .cause = JOB_LOSS }, 2 },
        { "'run':'a','retries':2", { .cause = JOB_TIMEOUT }, 2 },
        { "'run':'a','retries':1", { .cause = JOB_NOT_BEGUN, .exit = 126 }, 1 },
        { "'run':'a','retries':2", { .cause = JOB_CANCEL }, 0 },
        { "'run':'a','restart':'on-failure'", { .cause = JOB_EXITED, .exit = 1 }, 10 },
        { "'run':'a','restart':'on-failure'", { .cause = JOB_LOSS }, 10 },
        { "'run':'a','restart':'on-failure'", { .cause = JOB_EXITED }, 0 },
        { "'run':'a','restart':'on-failure'", { .cause = JOB_NOT_BEGUN, .exit = 127 }, 0 },
        { "'run':'a','restart':'on-failure','retries':3", { .cause = JOB_OOM }, 3 },
        { "'run':'a','restart':'always'", { .cause = JOB_EXITED }, 10 },
        { "'run':'a','restart':'always','retries':1", { .cause = JOB_EXITED }, 1 },
        { "'run':'a','restart':'never'", { .cause = JOB_LOSS }, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t n = 0;
        struct kit k;

        job_kit_open(&k);
        assert_int_equal(job_submit(&k, "x", rows[i].spec), 0);
        for (; n < 10; n++) {
            assert_int_equal(job_put(&k, "x", n + 1, "A"), 0);
            assert_int_equal(job_over(&k, "x", 0, rows[i].end, 300 * S), 0);
            if (strcmp(state_of(&k, "x"), "pending") != 0)
                break;
            assert_int_equal(job_of(&k, "x")->restarts, n + 1);
            assert_int_equal(job_of(&k, "x")->not_before_us,
                             300 * S + (n < 9 ? S << n : JOB_PAUSE_MAX));
            assert_int_equal(job_of(&k, "x")->end.cause, rows[i].end.cause);
        }
        if (n != rows[i].restarts)
            fail_msg("row %zu: %u restarts", i, n);
        job_kit_close(&k);
    }
}

static void cancelled_before_its_restart(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a','restart':'always'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "A"), 0);
    assert_int_equal(job_over(&k, "x", 0, EXITED(1), 300 * S), 0);
    assert_string_equal(state_of(&k, "x"), "pending");
    assert_int_equal(act(&k, "cancel"), 0);
    assert_string_equal(job_of(&k, "x")->cancelled_by, "root");
    assert_int_equal(job_of(&k, "x")->end.cause, JOB_CANCEL);
    assert_int_equal(job_of(&k, "x")->end.exit, -1);
    assert_int_equal(job_of(&k, "x")->ended_us, 150 * S);
    job_kit_close(&k);
}

/* ---- sessions */

static void fence(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "B"), 0);
    assert_int_equal(job_do(&k, "job.lost", job_lost_fields(1, "B", 12, 300 * S)), -EBUSY);
    assert_string_equal(k.words, "machine B is not fenced: its processes may still run");
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(1, "B", 77, 300 * S)), -ESTALE);
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(1, "B", 12, 300 * S)), 0);
    assert_value(&k, "runner/B", "{\"fenced_us\":300000000,\"session\":12}");
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(1, "B", 12, 400 * S)), 0);
    assert_value(&k, "runner/B", "{\"fenced_us\":300000000,\"session\":12}");
    assert_int_equal(job_do(&k, "runner.claim", runner_claim_fields("B", 12, 300 * S)), -ESTALE);
    assert_string_equal(state_of(&k, "x"), "running");
    assert_int_equal(job_submit(&k, "y", "'run':'a'"), 0);
    assert_int_equal(job_put(&k, "y", 1, "B"), 0);
    assert_string_equal(state_of(&k, "y"), "pending");
    assert_int_equal(job_do(&k, "job.lost", job_lost_fields(1, "B", 12, 320 * S)), 0);
    assert_string_equal(state_of(&k, "x"), "lost");
    assert_string_equal(job_of(&k, "x")->end.words, "machine B was lost");
    assert_value(&k, "placed/B/x", "");
    /* It comes back with a new session. */
    assert_int_equal(job_do(&k, "runner.claim", runner_claim_fields("B", 99, 400 * S)), 0);
    assert_value(&k, "runner/B", "{\"session\":99}");
    assert_int_equal(job_do(&k, "job.lost", job_lost_fields(1, "B", 12, 400 * S)), -ESTALE);
    assert_int_equal(job_put(&k, "y", 1, "B"), 0);
    assert_string_equal(state_of(&k, "y"), "running");
    assert_int_equal(job_over(&k, "y", 0, EXITED(0), 500 * S), -ESTALE); /* session 12 */
    assert_string_equal(k.words, "machine B is in another session by now");
    /* The same session again changes nothing. */
    assert_int_equal(job_do(&k, "runner.claim", runner_claim_fields("B", 99, 500 * S)), 0);
    assert_string_equal(state_of(&k, "y"), "running");
    assert_int_equal(job_do(&k, "runner.claim", runner_claim_fields("B", 100, 500 * S)), 0);
    assert_string_equal(state_of(&k, "y"), "lost");
    job_kit_close(&k);
}

/* A fenced machine may still tell of ends, until its jobs are lost. */
static void end_while_fenced(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "B"), 0);
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(1, "B", 12, 300 * S)), 0);
    assert_int_equal(job_over(&k, "x", 0, EXITED(0), 301 * S), 0);
    assert_string_equal(state_of(&k, "x"), "done");
    assert_int_equal(job_do(&k, "job.lost", job_lost_fields(1, "B", 12, 320 * S)), 0);
    assert_string_equal(state_of(&k, "x"), "done");
    job_kit_close(&k);
}

static void half_lost(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a|b','retries':1"), 0);
    assert_int_equal(job_put(&k, "x", 1, "ABA"), 0);
    assert_int_equal(job_do(&k, "runner.claim", runner_claim_fields("B", 99, 300 * S)), 0);
    assert_string_equal(state_of(&k, "x"), "running");
    assert_int_equal(job_over(&k, "x", 0, (struct job_end){ .cause = JOB_CANCEL }, 301 * S), 0);
    assert_value(&k, "placed/A/x", "100000000");
    assert_int_equal(job_over(&k, "x", 2, EXITED(0), 301 * S), 0);
    assert_string_equal(state_of(&k, "x"), "pending");
    assert_int_equal(job_of(&k, "x")->end.cause, JOB_LOSS);
    assert_value(&k, "placed/A/x", "");
    job_kit_close(&k);
}

/* ---- arrays */

static void array(void **state)
{
    struct job_id id;
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "t", "'run':'a','array':'2-4'"), 0);
    assert_value(&k, "jobs", "{\"n\":4,\"next\":1,\"uid\":100000003}");
    assert_value(
        &k, "job/t.3",
        "{\"array\":\"t\",\"by\":\"A\",\"index\":3,\"made_us\":100000000,\"spec\":{\"run\":"
        "\"a\",\"schema\":1},\"state\":\"pending\",\"uid\":100000002,\"user\":\"alice\"}");
    assert_int_equal(job_put(&k, "t", 1, "A"), 0);
    assert_string_equal(state_of(&k, "t"), "pending"); /* it is never placed itself */
    assert_int_equal(job_put(&k, "t.2", 1, "A"), 0);
    assert_string_equal(state_of(&k, "t"), "running");
    assert_int_equal(job_put(&k, "t.3", 1, "A"), 0);
    assert_int_equal(job_over(&k, "t.3", 0, EXITED(7), 300 * S), 0);
    assert_int_equal(job_over(&k, "t.2", 0, EXITED(0), 300 * S), 0);
    assert_string_equal(state_of(&k, "t"), "running");
    assert_int_equal(job_do(&k, "job.hold", job_hold_fields("t", job_uid(&k, "t"))), 0);
    assert_string_equal(state_of(&k, "t.4"), "held");
    assert_int_equal(
        job_do(&k, "job.set",
               job_set_fields("t.4", job_uid(&k, "t.4"), json_pack("{s:i}", "priority", 9))),
        0);
    id = (struct job_id){ "t.2", job_uid(&k, "t.2") };
    assert_int_equal(job_do(&k, "job.forget", job_forget_fields(&id, 1)), -EBUSY);
    assert_int_equal(
        job_do(&k, "job.cancel", job_cancel_fields("t", job_uid(&k, "t"), "root", 400 * S)), 0);
    assert_string_equal(state_of(&k, "t.4"), "cancelled");
    assert_string_equal(state_of(&k, "t"), "failed");
    assert_int_equal(job_of(&k, "t")->end.exit, 7);
    assert_int_equal(job_of(&k, "t")->ended_us, 400 * S);
    assert_int_equal(json_integer_value(json_object_get(job_of(&k, "t")->counts, "done")), 1);
    assert_int_equal(
        job_do(&k, "job.cancel", job_cancel_fields("t", job_uid(&k, "t"), "root", 400 * S)),
        -EBUSY);
    assert_string_equal(k.words, "no element of job t can be cancelled: it is failed");
    id = (struct job_id){ "t", job_uid(&k, "t") };
    assert_int_equal(job_do(&k, "job.forget", job_forget_fields(&id, 1)), 0);
    assert_value(&k, "job/t.4", "");
    assert_value(&k, "jobs", "{\"n\":0,\"next\":1,\"uid\":100000003}");
    job_kit_close(&k);
}

static void array_held(void **state)
{
    struct kit k;
    uint64_t uid;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(
        job_do(&k, "job.make",
               job_make_fields("t", "u", "A", spec_of("'run':'a','array':'1-3'"), true, true, S)),
        0);
    uid = job_uid(&k, "t");
    assert_string_equal(state_of(&k, "t"), "held");
    assert_int_equal(job_do(&k, "job.set", job_set_fields("t", uid, json_pack("{s:i}", "cpus", 2))),
                     0);
    assert_int_equal(json_integer_value(json_object_get(job_of(&k, "t.2")->spec, "cpus")), 2);
    assert_int_equal(job_do(&k, "job.release", job_release_fields("t", uid, S)), 0);
    assert_string_equal(state_of(&k, "t"), "pending");
    assert_string_equal(state_of(&k, "t.3"), "pending");
    /* Names that are taken. */
    assert_int_equal(job_submit(&k, "v.2", "'run':'a'"), 0);
    assert_int_equal(job_submit(&k, "v", "'run':'a','array':'1-3'"), -EEXIST);
    assert_string_equal(k.words, "job v.2 exists");
    assert_value(&k, "job/v", "");
    assert_value(&k, "job/v.1", "");
    job_kit_close(&k);
}

static void forget_many(void **state)
{
    struct job_id ids[3];
    struct kit k;

    (void)state;
    job_kit_open(&k);
    for (int i = 0; i < 3; i++)
        assert_int_equal(job_submit(&k, "", "'run':'a'"), 0);
    assert_int_equal(job_do(&k, "job.cancel", job_cancel_fields("1", job_uid(&k, "1"), "u", S)), 0);
    ids[0] = (struct job_id){ "1", job_uid(&k, "1") };
    ids[1] = (struct job_id){ "2", job_uid(&k, "2") };
    ids[2] = (struct job_id){ "3", 5 };
    assert_int_equal(job_do(&k, "job.forget", job_forget_fields(ids, 3)), 0);
    assert_int_equal(json_array_size(json_object_get(k.body, "left")), 2);
    assert_value(&k, "job/1", "");
    assert_value(&k, "jobs", "{\"n\":2,\"next\":4,\"uid\":100000002}");
    job_kit_close(&k);
}

/* A machine that stops before it began anything: the job is placed again, and that is no restart.
 */
static void what_no_machine_began_is_placed_again(void **state)
{
    struct kit k;

    (void)state;
    job_kit_open(&k);
    assert_int_equal(job_submit(&k, "x", "'run':'a'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "A"), 0);
    assert_int_equal(job_over(&k, "x", 0, (struct job_end){ .cause = JOB_NOT_TAKEN }, 300 * S), 0);
    assert_string_equal(state_of(&k, "x"), "pending");
    assert_int_equal(job_of(&k, "x")->restarts, 0);
    assert_int_equal(job_of(&k, "x")->not_before_us, 300 * S + JOB_PAUSE_US);
    assert_int_equal(job_put(&k, "x", 2, "B"), 0);
    job_kit_close(&k);
}

/* Words from outside never stop the registry. */
static void words_are_cut(void **state)
{
    struct job_end end = { .cause = JOB_NOT_BEGUN, .exit = 126 };
    char longer[JOB_WORDS_MAX + 8];
    struct kit k;

    (void)state;
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer + JOB_WORDS_MAX - 5, "\xc3\xa4", 2); /* a character where the cut is */
    job_end_words(&end, longer);
    assert_int_equal(strlen(end.words), JOB_WORDS_MAX - 2);
    job_kit_open(&k);
    memset(end.words, 'x', sizeof end.words - 1);
    end.words[198] = '\xc3'; /* half a character */
    assert_int_equal(job_submit(&k, "x", "'run':'a'"), 0);
    assert_int_equal(job_put(&k, "x", 1, "B"), 0);
    assert_int_equal(job_over(&k, "x", 0, end, S), 0);
    assert_int_equal(strlen(job_of(&k, "x")->end.words), JOB_WORDS_MAX - 1);
    assert_int_equal(kit_run(&k, "'job.end','machine':'A','session':11,'at_us':1,'ends':[1]"),
                     -EINVAL);
    job_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_act_in_each_state),
        cmocka_unit_test(words_of_refusals),
        cmocka_unit_test(make),
        cmocka_unit_test(make_in_steps),
        cmocka_unit_test(make_many),
        cmocka_unit_test(of_one_user),
        cmocka_unit_test(after),
        cmocka_unit_test(place),
        cmocka_unit_test(only_the_scheduler),
        cmocka_unit_test(end_of_a_pipeline),
        cmocka_unit_test(judgement),
        cmocka_unit_test(restarts),
        cmocka_unit_test(cancelled_before_its_restart),
        cmocka_unit_test(fence),
        cmocka_unit_test(end_while_fenced),
        cmocka_unit_test(half_lost),
        cmocka_unit_test(array),
        cmocka_unit_test(array_held),
        cmocka_unit_test(forget_many),
        cmocka_unit_test(what_no_machine_began_is_placed_again),
        cmocka_unit_test(words_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
