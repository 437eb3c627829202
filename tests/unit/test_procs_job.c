/*
 * test_procs_job.c - planned processes: what they get, who is told of them, what is kept of them,
 * and what the next daemon knows.
 */
#include "procs_kit.h"

#include <dirent.h>

struct told {
    struct daemon *d;
    unsigned started, ended;
    struct proc_tag tag; /* of the last one */
    enum proc_cause cause;
    int exit;
    bool forget;
};

static void on_started(void *arg, struct proc *p)
{
    struct told *t = arg;

    t->started++;
    t->tag = *proc_tag(p);
}

static void on_ended(void *arg, struct proc *p, const struct init_end *end)
{
    struct told *t = arg;

    t->ended++;
    t->tag = *proc_tag(p);
    t->cause = proc_rec(p)->cause;
    t->exit = end->exit;
    if (t->forget)
        assert_int_equal(procs_forget(t->d->procs, proc_rec(p)->number), 0);
}

static const struct procs_job_ops job_ops = { .started = on_started, .ended = on_ended };

static void be_told(struct told *t, struct daemon *d)
{
    *t = (struct told){ .d = d };
    procs_on_jobs(d->procs, &job_ops, t);
}

static void assert_output(struct proc *p, enum proc_stdio which, const char *text)
{
    struct stream *s = open_it(p, which);

    assert_text(s, text);
    assert_end(s, 0);
    shut(s);
}

static void assert_file(const char *path, const char *text)
{
    char got[256] = "";
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    assert_true(fread(got, 1, sizeof got - 1, f) > 0);
    fclose(f);
    assert_string_equal(got, text);
}

static bool exists(struct kit *k, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/procs/%s", k->dir, name);
    return access(path, F_OK) == 0;
}

static void a_plan_gets_what_it_says(void **state)
{
    char sh[] = "/bin/sh", c[] = "-c", first[] = "echo $A $B $ONEOS_JOB $ONEOS_PROC; cat; pwd >&2",
         tr[] = "tr", upper[] = "a-z", lower[] = "A-Z", a1[] = "A=plan", a2[] = "A=stage",
         b1[] = "B=b";
    char *argv1[] = { sh, c, first, NULL }, *argv2[] = { tr, upper, lower, NULL },
         *env[] = { a1, b1, NULL }, *stage_env[] = { a2, NULL };
    struct kit *k = *state;
    char in[300], out[300], text[700];
    struct obuf shown = { 0 };
    struct daemon d;
    struct told told;
    struct proc *p;
    struct job j;

    start(&d, k);
    be_told(&told, &d);
    snprintf(in, sizeof in, "%s/in", k->dir);
    snprintf(out, sizeof out, "%s/out", k->dir);
    snprintf(text, sizeof text, "echo input >%s", in);
    assert_int_equal(system(text), 0);
    struct proc_stage stages[] = { { .argv = argv1, .env = stage_env, .io = { .in = in } },
                                   { .argv = argv2, .io = { .out = out } } };
    job_init(&j, &d, "");
    j.plan.stages = stages;
    j.plan.n = 2;
    j.plan.env = env;
    j.plan.cwd = k->dir;
    p = job_run(&j, &d);
    assert_int_equal(told.started, 1);
    await_end(&d, p);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.exit, 0);
    assert_int_equal(told.tag.uid, 42);
    assert_int_equal(told.tag.attempt, 3);
    assert_int_equal(told.tag.group, 1);
    assert_string_equal(told.tag.job, "17");
    assert_file(out, "STAGE B 17 A.1\nINPUT\n");
    snprintf(text, sizeof text, "%s\n", k->dir);
    turn_until(&d, p->whole);
    assert_output(p, PROC_STDERR, text);
    proc_show_cmdline(p, &shown);
    snprintf(text, sizeof text, " < %s | tr a-z A-Z > %s\n", in, out);
    assert_non_null(strstr(shown.p, text));
    assert_null(strstr(shown.p, a2));
    obuf_free(&shown);
    assert_int_equal(procs_forget(d.procs, 1), 0);
    assert_int_equal(procs_forget(d.procs, 1), -ESRCH);
    assert_int_equal(told.ended, 1);
    end(&d, true);
}

static void what_cannot_start_says_why_and_goes(void **state)
{
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct job j;

    start(&d, k);
    be_told(&told, &d);
    job_init(&j, &d, "echo never");
    j.stage.io.in = "/no/such/file";
    job_begin(&j, &d);
    turn_until(&d, j.rc <= 0);
    assert_int_equal(j.rc, -ENOENT);
    assert_non_null(strstr(j.text, "/no/such/file"));
    assert_int_equal(told.started + told.ended, 0);
    assert_null(procs_next_job(d.procs, NULL));
    end(&d, true);
    start(&d, k); /* nothing is left of it */
    assert_null(procs_next_job(d.procs, NULL));
    end(&d, true);
}

static void plans_without_a_command_are_refused(void **state)
{
    char empty[] = "", *argv[] = { empty, NULL };
    struct oerr e = { "" };
    struct daemon d;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "");
    j.stage.argv = argv;
    assert_int_equal(procs_start(d.procs, &j.plan, NULL, job_answered, &j, &e), -EINVAL);
    j.plan.n = 0;
    assert_int_equal(procs_start(d.procs, &j.plan, NULL, job_answered, &j, &e), -EINVAL);
    job_init(&j, &d, "");
    j.plan.cwd = "here";
    assert_int_equal(procs_start(d.procs, &j.plan, NULL, job_answered, &j, &e), -EINVAL);
    assert_int_equal(j.rc, 1);
    end(&d, true);
}

/* ---- the next daemon */

static void the_next_daemon_knows_whose_they_are(void **state)
{
    struct kit *k = *state;
    char go[300], script[400];
    struct daemon d;
    struct told told;
    struct proc *p;
    struct job j;

    start(&d, k);
    snprintf(go, sizeof go, "%s/go", k->dir);
    snprintf(script, sizeof script, "echo one; until [ -e %s ]; do sleep 0.01; done; exit 5", go);
    job_init(&j, &d, script);
    job_run(&j, &d);
    end(&d, false);
    start(&d, k);
    be_told(&told, &d);
    assert_int_equal(told.started, 1);
    assert_int_equal(told.ended, 0);
    assert_int_equal(told.tag.uid, 42);
    end(&d, false);
    close(open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    start(&d, k);
    be_told(&told, &d);
    turn_until(&d, told.ended == 1);
    assert_int_equal(told.exit, 5);
    assert_int_equal(told.tag.attempt, 3);
    p = procs_next_job(d.procs, NULL);
    turn_until(&d, p->whole);
    assert_output(p, PROC_STDOUT, "one\n");
    end(&d, false);
    start(&d, k); /* from its record alone */
    be_told(&told, &d);
    assert_int_equal(told.started, 1);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.exit, 5);
    assert_int_equal(told.cause, CAUSE_EXITED);
    p = procs_next_job(d.procs, NULL);
    assert_output(p, PROC_STDOUT, "one\n");
    assert_string_equal(proc_rec(p)->job, "17");
    assert_int_equal(procs_forget(d.procs, proc_rec(p)->number), 0);
    turn_until(&d, !exists(k, "1.out"));
    end(&d, true);
    start(&d, k);
    be_told(&told, &d);
    assert_int_equal(told.started, 0);
    end(&d, true);
}

/* The daemon goes before it hears that the process was started. */
static void one_that_was_just_asked_for_is_not_a_strangers(void **state)
{
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct job j;

    start(&d, k);
    job_init(&j, &d, "exec sleep 1000");
    job_begin(&j, &d);
    end(&d, false);
    assert_int_equal(j.rc, -ECANCELED);
    start(&d, k);
    be_told(&told, &d);
    assert_int_equal(told.started, 1);
    assert_string_equal(told.tag.job, "17");
    end(&d, true);
}

static void a_wire_that_was_cut_by_a_restart_kills(void **state)
{
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct job j;

    start(&d, k);
    job_init(&j, &d, "echo some; exec sleep 1000");
    j.plan.wire_out = true;
    job_run(&j, &d);
    end(&d, false);
    start(&d, k);
    be_told(&told, &d);
    turn_until(&d, told.ended == 1);
    assert_int_equal(told.cause, CAUSE_LOST);
    end(&d, true);
}

static void a_feed_that_was_cut_by_a_restart_kills(void **state)
{
    struct stream *w, *from;
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct flow *f;
    struct job j;

    assert_int_equal(flow_create(&f, 4096, FLOW_STREAM), 0);
    assert_int_equal(flow_open_writer(f, false, &w), 0);
    assert_int_equal(flow_open_reader(f, &from), 0);
    start(&d, k);
    job_init(&j, &d, "cat; echo whole");
    assert_int_equal(proc_feed(job_run(&j, &d), from), 0);
    end(&d, false);
    shut(w);
    flow_unref(f);
    start(&d, k);
    be_told(&told, &d);
    turn_until(&d, told.ended == 1);
    assert_int_equal(told.cause, CAUSE_LOST);
    end(&d, true);
}

static void a_long_environment_needs_a_file_of_its_own(void **state)
{
    char value[5000] = "LONG=", *env[] = { value, NULL };
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct proc *p;
    struct job j;

    memset(value + 5, 'x', sizeof value - 6);
    start(&d, k);
    job_init(&j, &d, "[ ${#LONG} = 4994 ]");
    j.plan.env = env;
    p = job_run(&j, &d);
    assert_true(exists(k, "1.json"));
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    end(&d, false);
    start(&d, k);
    be_told(&told, &d);
    assert_int_equal(told.ended, 1);
    assert_int_equal(procs_forget(d.procs, 1), 0);
    assert_false(exists(k, "1.json"));
    end(&d, true);
}

/* ---- what is kept */

static size_t descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void many_that_ended_hold_nothing_open(void **state)
{
    enum { MANY = 200 };
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct job j[MANY];
    size_t before;
    struct proc *p;

    start(&d, k);
    be_told(&told, &d);
    before = descriptors();
    for (int i = 0; i < MANY; i++) {
        job_init(&j[i], &d, i % 2 ? "echo out" : "exec true");
        job_begin(&j[i], &d);
    }
    turn_until(&d, told.ended == MANY);
    for (p = NULL; (p = procs_next_job(d.procs, p)) != NULL;)
        turn_until(&d, p->whole && p->saved);
    turn_until(&d, descriptors() <= before);
    for (p = NULL; (p = procs_next_job(d.procs, p)) != NULL;)
        assert_true(!p->out[0].spool && !p->out[1].spool && !p->in && !p->sink);
    assert_false(exists(k, "1.out")); /* it was silent */
    assert_false(exists(k, "1.json"));
    assert_true(exists(k, "2.out"));
    assert_output(procs_find(d.procs, 2), PROC_STDOUT, "out\n");
    end(&d, true);
}

static void jobs_are_kept_until_they_are_forgotten(void **state)
{
    enum { MANY = PROCS_KEEP + 20 };
    struct kit *k = *state;
    struct daemon d;
    struct told told;
    struct job j;
    size_t n = 0;

    start(&d, k);
    be_told(&told, &d);
    for (unsigned i = 1; i <= MANY; i++) {
        job_init(&j, &d, "exec true");
        job_begin(&j, &d);
        turn_until(&d, told.ended == i);
    }
    for (struct proc *p = NULL; (p = procs_next_job(d.procs, p)) != NULL;)
        n++;
    assert_int_equal(n, MANY);
    told.forget = true;
    job_init(&j, &d, "exec true");
    job_begin(&j, &d);
    turn_until(&d, told.ended == MANY + 1);
    assert_null(procs_find(d.procs, MANY + 1));
    end(&d, true);
}

static uint64_t kept_on_disk(struct kit *k, const char *name)
{
    char path[300];
    struct stat st;

    snprintf(path, sizeof path, "%s/procs/%s", k->dir, name);
    return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

static void the_oldest_output_goes_first(void **state)
{
    struct kit *k = *state;
    struct spool_stat st;
    struct stream *s;
    struct daemon d;
    struct proc *p[4];
    struct job j;

    start(&d, k);
    d.procs->keep_bytes = 250000;
    for (int i = 0; i < 4; i++) {
        job_init(&j, &d, "exec head -c 100000 /dev/zero");
        p[i] = job_run(&j, &d);
        turn_until(&d, p[i]->whole);
    }
    for (int i = 0; i < 4; i++) {
        proc_out_stat(p[i], OUT_STDOUT, &st);
        assert_int_equal(st.bytes, 100000);
        assert_int_equal(st.dropped, i < 2 ? 100000 : 0);
    }
    assert_int_equal(kept_on_disk(k, "1.out"), 0);
    assert_true(kept_on_disk(k, "4.out") > 0);
    s = open_it(p[0], PROC_STDOUT);
    assert_end(s, 0);
    shut(s);
    end(&d, false);
    start(&d, k); /* and the next daemon says the same */
    proc_out_stat(procs_find(d.procs, 1), OUT_STDOUT, &st);
    assert_int_equal(st.bytes, 100000);
    assert_int_equal(st.dropped, 100000);
    proc_out_stat(procs_find(d.procs, 4), OUT_STDOUT, &st);
    assert_int_equal(st.dropped, 0);
    assert_int_equal(st.kept, 100000);
    end(&d, true);
}

static void output_that_is_read_is_not_dropped(void **state)
{
    struct kit *k = *state;
    struct stream *s;
    struct daemon d;
    struct proc *p;
    struct job j;
    char got[1000];

    start(&d, k);
    d.procs->keep_bytes = 150000;
    job_init(&j, &d, "exec head -c 100000 /dev/zero");
    p = job_run(&j, &d);
    turn_until(&d, p->whole);
    s = open_it(p, PROC_STDOUT);
    assert_int_equal(rread(s, got, sizeof got), sizeof got);
    job_init(&j, &d, "exec head -c 100000 /dev/zero");
    p = job_run(&j, &d);
    turn_until(&d, p->whole);
    for (size_t at = sizeof got; at < 100000; at += sizeof got)
        assert_int_equal(rread(s, got, sizeof got), sizeof got);
    assert_end(s, 0);
    shut(s);
    end(&d, true);
}

static void what_is_left_behind_is_killed(void **state)
{
    struct daemon d;
    struct proc *p;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "setsid sleep 1000 & echo $!");
    j.plan.no_stdin = true;
    p = job_run(&j, &d);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    turn_until(&d, p->whole); /* nobody has its output open any more */
    end(&d, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_plan_gets_what_it_says),
        kit_test(what_cannot_start_says_why_and_goes),
        kit_test(plans_without_a_command_are_refused),
        kit_test(the_next_daemon_knows_whose_they_are),
        kit_test(one_that_was_just_asked_for_is_not_a_strangers),
        kit_test(a_wire_that_was_cut_by_a_restart_kills),
        kit_test(a_feed_that_was_cut_by_a_restart_kills),
        kit_test(a_long_environment_needs_a_file_of_its_own),
        kit_test(many_that_ended_hold_nothing_open),
        kit_test(jobs_are_kept_until_they_are_forgotten),
        kit_test(the_oldest_output_goes_first),
        kit_test(output_that_is_read_is_not_dropped),
        kit_test(what_is_left_behind_is_killed),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
