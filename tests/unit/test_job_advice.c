/*
 * test_job_advice.c - job.make with the scheduler's advice: followed where it still can be, else
 * left; the job is made in any case.
 */
#include "job_kit.h"

#define X       "'run':'a|b'"
#define LONG_ID "0123456789012345678901234567890123456789012345678901234567890123456789"

static struct kit k;

static int open_kit(void **state)
{
    (void)state;
    job_kit_open(&k);
    return 0;
}

static int close_kit(void **state)
{
    (void)state;
    job_kit_close(&k);
    return 0;
}

static json_t *making(const char *spec, bool start, bool hold)
{
    return job_make_fields("x", "alice", "A", spec_of(spec), start, hold, 100 * S);
}

static json_t *to(uint64_t epoch, const char *first, const char *second)
{
    const char *on[] = { first, second };
    struct job_place p = { .on = on, .n_on = 2, .groups = on, .n_groups = 2, .status_group = 1 };

    return job_advice(epoch, 5, &p);
}

/* Makes it; "running" or the like, and whether it says that the advice was followed. */
static const char *made(json_t *fields, json_t *advice)
{
    static char text[40];

    assert_int_equal(json_object_set_new(fields, "advice", advice), 0);
    assert_int_equal(job_do(&k, "job.make", fields), 0);
    assert_string_equal(json_string_value(json_object_get(k.body, "name")), "x");
    snprintf(text, sizeof text, "%s%s", state_of(&k, "x"),
             json_is_true(json_object_get(k.body, "placed")) ? ", placed" : "");
    return text;
}

static void it_runs_at_once(void **state)
{
    const struct job *j;

    (void)state;
    assert_string_equal(made(making(X, true, false), to(1, "A", "B")), "running, placed");
    j = job_of(&k, "x");
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->n_on, 2);
    assert_int_equal(j->n_groups, 2);
    assert_int_equal(j->status_group, 1);
    assert_string_equal(j->groups[1].machine, "B");
    assert_int_equal(j->started_us, 100 * S);
    assert_value(&k, "placed/A/x", "100000000");
    assert_value(&k, "placed/B/x", "100000000");
    assert_value(&k, "unended/alice", "1");
    assert_int_equal(job_put(&k, "x", 1, "AB"), 0); /* the same once more */
    assert_int_equal(json_array_size(json_object_get(k.body, "left")), 1);
    assert_int_equal(job_over(&k, "x", 0, EXITED(0), 300 * S), 0);
    assert_int_equal(job_over(&k, "x", 1, EXITED(3), 300 * S), 0);
    assert_string_equal(state_of(&k, "x"), "failed");
    assert_value(&k, "placed/A/x", "");
}

static void another_scheduler(void **state)
{
    (void)state;
    assert_string_equal(made(making(X, true, false), to(2, "A", "B")), "pending");
    assert_value(&k, "placed/A/x", "");
}

static void a_machine_that_is_fenced(void **state)
{
    (void)state;
    assert_int_equal(job_do(&k, "runner.fence", runner_fence_fields(1, "B", 12, S)), 0);
    assert_string_equal(made(making(X, true, false), to(1, "A", "B")), "pending");
    assert_int_equal(job_of(&k, "x")->attempt, 0);
    assert_value(&k, "placed/A/x", "");
    assert_int_equal(job_put(&k, "x", 1, "AC"), 0);
    assert_string_equal(state_of(&k, "x"), "running");
}

static void a_machine_that_is_none(void **state)
{
    (void)state;
    assert_string_equal(made(making(X, true, false), to(1, "A", "Z")), "pending");
}

static void what_does_not_run_yet(void **state)
{
    (void)state;
    assert_string_equal(made(making(X, true, true), to(1, "A", "B")), "held");
}

static void what_was_not_run(void **state)
{
    (void)state;
    assert_string_equal(made(making(X, false, false), to(1, "A", "B")), "new");
}

static void an_array(void **state)
{
    (void)state;
    assert_string_equal(made(making(X ",'array':'1-2'", true, false), to(1, "A", "B")), "pending");
    assert_string_equal(state_of(&k, "x.1"), "pending");
}

static void what_is_no_advice(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[1]",
        "7",
        "'A'",
        "{'epoch':1}",
        "{'epoch':'1','on':['A','B'],'groups':['A','B'],'status':1}",
        "{'epoch':1,'on':'A','groups':['A'],'status':0}",
        "{'epoch':1,'on':['A','B'],'groups':['A','B'],'status':2}",
        "{'epoch':1,'on':['A','B'],'groups':['A','B'],'status':-1}",
        "{'epoch':1,'on':['A',7],'groups':['A','B'],'status':1}",
        "{'epoch':1,'on':[],'groups':[],'status':0}",
        "{'epoch':1,'on':['A'],'groups':['" LONG_ID "'],'status':0}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        json_t *advice;

        snprintf(text, sizeof text, "%s", bad[i]);
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        advice = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(advice);
        if (strcmp(made(making(X, true, false), advice), "pending") != 0)
            fail_msg("%s", bad[i]);
        assert_int_equal(
            job_do(&k, "job.cancel", job_cancel_fields("x", job_uid(&k, "x"), "alice", S)), 0);
        assert_int_equal(job_do(&k, "job.forget",
                                job_forget_fields(&(struct job_id){ "x", job_uid(&k, "x") }, 1)),
                         0);
    }
}

/* What an older program wrote into the log means the same everywhere: nothing. */
static void of_an_older_schema(void **state)
{
    json_t *fields = making(X, true, false);
    char *text;

    (void)state;
    json_object_set_new(fields, "advice", to(1, "A", "B"));
    json_object_set_new(fields, "v", json_integer(2));
    json_object_set_new(fields, "cmd", json_string("job.make"));
    text = json_dumps(fields, 0);
    json_decref(fields);
    kit_queue(&k, text);
    free(text);
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.rc, 0);
    assert_string_equal(state_of(&k, "x"), "pending");
    assert_null(json_object_get(k.body, "placed"));
}

/* A refused making places nothing. */
static void what_is_not_made(void **state)
{
    json_t *fields = making(X ",'after':['none']", true, false);

    (void)state;
    json_object_set_new(fields, "advice", to(1, "A", "B"));
    assert_int_equal(job_do(&k, "job.make", fields), -EINVAL);
    assert_value(&k, "placed/A/x", "");
    assert_value(&k, "job/x", "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, open_kit, close_kit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_runs_at_once),
        CASE(another_scheduler),
        CASE(a_machine_that_is_fenced),
        CASE(a_machine_that_is_none),
        CASE(what_does_not_run_yet),
        CASE(what_was_not_run),
        CASE(an_array),
        CASE(what_is_no_advice),
        CASE(of_an_older_schema),
        CASE(what_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
