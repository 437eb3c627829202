/*
 * test_job.c - the record of a job, its names, its verdict.
 */
#include "sched/job.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static unsigned seed = 7;

static unsigned any(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static uint64_t some(void)
{
    return any(3) ? 1 + ((uint64_t)any(1u << 30) << 20) : 0;
}

static void draw_end(struct job_end *end)
{
    *end = (struct job_end){ .cause = (enum job_cause)any(JOB_NOT_BEGUN + 1) };
    if (end->cause == JOB_NOT_ENDED)
        return;
    end->exit = (int)any(257) - 1;
    end->signal = (int)any(3);
    end->started_us = some();
    end->ended_us = some();
    end->cpu_us = some();
    end->memory_peak = some();
    if (any(2))
        strcpy(end->words, "no such folder: /ü");
}

static void draw_parts(struct job *j)
{
    static const char *const machines[] = { "A", "B", "6a1c9d0e-0000-4000-8000-000000000001" };

    j->n_on = 1 + any(4);
    j->n_groups = 1 + any(5);
    j->on = calloc(j->n_on, sizeof *j->on);
    j->groups = calloc(j->n_groups, sizeof *j->groups);
    for (size_t i = 0; i < j->n_on; i++)
        strcpy(j->on[i], machines[any(3)]);
    for (size_t i = 0; i < j->n_groups; i++) {
        strcpy(j->groups[i].machine, machines[any(3)]);
        draw_end(&j->groups[i].end);
    }
    j->status_group = any((unsigned)j->n_groups);
    j->attempt = 1 + any(5);
    if (j->state != JOB_RUNNING)
        j->end = j->groups[j->status_group].end;
}

static void draw(struct job *j)
{
    *j = (struct job){ .uid = 1 + some(), .index = -1, .state = (enum job_state)any(JOB_LOST + 1) };
    strcpy(j->name, any(2) ? "17" : "train.3");
    strcpy(j->user, "alice");
    strcpy(j->by, "A");
    j->cancelled = any(4) == 0;
    if (j->cancelled && any(2))
        strcpy(j->cancelled_by, "root");
    j->hold = any(4) == 0;
    j->restarts = any(3);
    j->made_us = some();
    j->queued_us = any(2) ? j->made_us : some();
    j->not_before_us = some();
    j->started_us = some();
    j->ended_us = some();
    j->spec = json_pack("{s:i, s:s}", "schema", 1, "run", "cat < x | sort");
    if (any(2))
        draw_parts(j);
    if (any(3) == 0) {
        strcpy(j->array, "train");
        j->index = (int)any(4);
    }
    if (any(4) == 0)
        j->counts = json_pack("{s:i}", "pending", 3);
    if (any(2))
        do
            draw_end(&j->end);
        while (j->end.cause == JOB_NOT_ENDED);
}

static void assert_ends(const struct job_end *a, const struct job_end *b)
{
    assert_int_equal(a->cause, b->cause);
    assert_int_equal(a->exit, b->exit);
    assert_int_equal(a->signal, b->signal);
    assert_int_equal(a->started_us, b->started_us);
    assert_int_equal(a->ended_us, b->ended_us);
    assert_int_equal(a->cpu_us, b->cpu_us);
    assert_int_equal(a->memory_peak, b->memory_peak);
    assert_string_equal(a->words, b->words);
}

static void assert_jobs(const struct job *a, const struct job *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->uid, b->uid);
    assert_string_equal(a->user, b->user);
    assert_string_equal(a->by, b->by);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->hold, b->hold);
    assert_int_equal(a->cancelled, b->cancelled);
    assert_string_equal(a->cancelled_by, b->cancelled_by);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->restarts, b->restarts);
    assert_int_equal(a->made_us, b->made_us);
    assert_int_equal(a->queued_us, b->queued_us);
    assert_int_equal(a->not_before_us, b->not_before_us);
    assert_int_equal(a->started_us, b->started_us);
    assert_int_equal(a->ended_us, b->ended_us);
    assert_true(json_equal(a->spec, b->spec));
    assert_int_equal(a->n_on, b->n_on);
    for (size_t i = 0; i < a->n_on; i++)
        assert_string_equal(a->on[i], b->on[i]);
    assert_int_equal(a->n_groups, b->n_groups);
    for (size_t i = 0; i < a->n_groups; i++) {
        assert_string_equal(a->groups[i].machine, b->groups[i].machine);
        assert_ends(&a->groups[i].end, &b->groups[i].end);
    }
    assert_int_equal(a->status_group, b->status_group);
    assert_ends(&a->end, &b->end);
    assert_string_equal(a->array, b->array);
    assert_int_equal(a->index, b->index);
    assert_true(a->counts ? json_equal(a->counts, b->counts) : !b->counts);
}

static void round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct job a, b;
        json_t *value;

        draw(&a);
        value = job_encode(&a);
        assert_non_null(value);
        assert_int_equal(job_decode(a.name, value, &b), 0);
        assert_jobs(&a, &b);
        json_decref(value);
        job_clear(&a);
        job_clear(&b);
    }
}

/* ---- what is no record */

static void bad_records(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{'uid':1,'state':'odd','spec':{}}",
        "{'uid':0,'state':'new','spec':{}}",
        "{'uid':-1,'state':'new','spec':{}}",
        "{'uid':1,'state':'new'}",
        "{'uid':1,'state':'new','spec':[]}",
        "{'uid':1,'state':'new','spec':{},'counts':1}",
        "{'uid':1,'state':'new','spec':{},'on':[]}",
        "{'uid':1,'state':'new','spec':{},'on':['']}",
        "{'uid':1,'state':'new','spec':{},'on':'A'}",
        "{'uid':1,'state':'new','spec':{},'groups':[{'stage':0}]}",
        "{'uid':1,'state':'new','spec':{},'groups':[{}]}",
        "{'uid':1,'state':'new','spec':{},'groups':[1]}",
        "{'uid':1,'state':'new','spec':{},'groups':[{'on':'A','cause':'odd'}]}",
        "{'uid':1,'state':'new','spec':{},'groups':[{'on':'A','exit':256}]}",
        "{'uid':1,'state':'new','spec':{},'groups':[{'on':'A'}],'status':1}",
        "{'uid':1,'state':'new','spec':{},'status':1}",
        "{'uid':1,'state':'new','spec':{},'end':3}",
        "{'uid':1,'state':'new','spec':{},'index':-2}",
        "{'uid':1,'state':'new','spec':{},'attempt':4294967296}",
        ("{'uid':1,'state':'new','spec':{},'user':"
         "'0123456789012345678901234567890123456789012345678901234567890123'}"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[400];
        struct job j;
        json_t *value;

        snprintf(text, sizeof text, "%s", bad[i]);
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        value = json_loads(text, 0, NULL);
        assert_non_null(value);
        if (job_decode("x", value, &j) != -EPROTO)
            fail_msg("%s", bad[i]);
        json_decref(value);
    }
}

/* ---- names */

static void names(void **state)
{
    static const char *const good[] = { "a", "Train-1.b_c", "z9",
                                        ("a234567890123456789012345678901234567890123456789012345"
                                         "678901234") };
    static const struct {
        const char *name, *words;
    } bad[] = {
        { "", "a job needs a name" },
        { "17", "'17' is no name for a job: it begins with a letter, and then come letters, digits "
                "and any of . _ -" },
        { "a b", "'a b' is no name for a job: it begins with a letter, and then come letters, "
                 "digits and any of . _ -" },
        { "a/b", "'a/b' is no name for a job: it begins with a letter, and then come letters, "
                 "digits and any of . _ -" },
        { ".", "'.' is no name for a job: it begins with a letter, and then come letters, digits "
               "and any of . _ -" },
        { "[", "'[' is no name for a job: it begins with a letter, and then come letters, digits "
               "and any of . _ -" },
        { "ctl", "ctl is not a name for a job; choose another" },
        { "last", "last is not a name for a job; choose another" },
        { "a2345678901234567890123456789012345678901234567890123456789012345",
          "the job name a234567890123456789012345678901234567890... is longer than 64 bytes" },
    };
    struct oerr e;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(job_check_name(good[i], &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(job_check_name(bad[i].name, &e) < 0);
        assert_string_equal(e.text, bad[i].words);
    }
}

/* ---- verdicts */

static void verdicts(void **state)
{
    struct job_group groups[2] = { { .machine = "A", .end = { .cause = JOB_EXITED } },
                                   { .machine = "B", .end = { .cause = JOB_LOSS } } };
    static const struct {
        enum job_state state;
        struct job_end end;
        const char *line;
    } rows[] = {
        { JOB_PENDING, { 0 }, "pending" },
        { JOB_DONE, { .cause = JOB_EXITED }, "exit 0" },
        { JOB_FAILED, { .cause = JOB_EXITED, .exit = 255 }, "exit 255" },
        { JOB_FAILED, { .cause = JOB_NOT_BEGUN, .exit = 127 }, "exit 127" },
        { JOB_FAILED, { .cause = JOB_KILLED, .exit = -1, .signal = 11 }, "signal SEGV" },
        { JOB_FAILED, { .cause = JOB_KILLED, .exit = -1, .signal = 40 }, "signal 40" },
        { JOB_FAILED, { .cause = JOB_OOM, .exit = -1, .signal = 9 }, "signal KILL" },
        { JOB_FAILED, { .cause = JOB_TIMEOUT, .exit = -1, .signal = 15 }, "timeout" },
        { JOB_CANCELLED, { .cause = JOB_CANCEL, .exit = -1, .signal = 15 }, "cancelled" },
        { JOB_LOST, { .cause = JOB_LOSS, .exit = -1 }, "lost B" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job j = {
            .state = rows[i].state, .end = rows[i].end, .groups = groups, .n_groups = 2
        };
        char line[128];

        job_verdict(&j, line);
        assert_string_equal(line, rows[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(bad_records),
        cmocka_unit_test(names),
        cmocka_unit_test(verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
