/*
 * test_procs_wire.c - what comes out of a process as a wire, and what it is fed: all of it, and
 * never an end that is none.
 */
#include "procs_kit.h"

#include "base/flow.h"

#define MIB (1024 * 1024)

/* Reads until the end while the core loop turns, since that says what kind of end it is. */
static ssize_t drain_wire(struct daemon *d, struct stream *s, uint64_t *bytes)
{
    struct rreq r;
    ssize_t rc;

    for (*bytes = 0;; *bytes += (uint64_t)rc) {
        rreq_init(&r, MIB);
        s->ops->read(s, &r.io);
        turn_until(d, rreq_answered(&r));
        rc = rreq_wait(&r);
        slices_free(&r.io.bytes);
        if (rc <= 0)
            return rc;
    }
}

static void assert_wire_ends(struct daemon *d, struct stream *s, uint64_t bytes, ssize_t rc)
{
    uint64_t got;

    assert_int_equal(drain_wire(d, s, &got), rc);
    assert_int_equal(got, bytes);
    shut(s);
}

static struct proc *start_wired(struct job *j, struct daemon *d, const char *script)
{
    job_init(j, d, script);
    j->plan.wire_out = true;
    return job_run(j, d);
}

static void a_wire_brings_all_of_it(void **state)
{
    struct daemon d;
    struct stream *s, *again;
    struct proc *p;
    struct job j;

    start(&d, *state);
    p = start_wired(&j, &d, "head -c 5000000 /dev/zero; echo e >&2");
    s = wire_of(p, PROC_STDOUT);
    assert_int_equal(proc_wire(p, PROC_STDOUT, &again), -EALREADY);
    assert_int_equal(proc_wire(p, PROC_STDERR, &again), -EINVAL);
    assert_int_equal(proc_open(p, PROC_STDOUT, &again), -EBUSY);
    assert_wire_ends(&d, s, 5000000, 0);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    s = open_it(p, PROC_STDERR);
    assert_text(s, "e\n");
    assert_end(s, 0);
    shut(s);
    assert_string_equal(proc_rec(p)->job, "17");
    end(&d, true);
}

static void both_outputs_can_be_wires_taken_before_the_start(void **state)
{
    struct daemon d;
    struct stream *out, *err;
    struct proc *p;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "echo out; echo error >&2");
    j.plan.wire_out = j.plan.wire_err = true;
    p = job_begin(&j, &d);
    out = wire_of(p, PROC_STDOUT);
    err = wire_of(p, PROC_STDERR);
    turn_until(&d, j.rc <= 0);
    assert_wire_ends(&d, out, 4, 0);
    assert_wire_ends(&d, err, 6, 0);
    await_end(&d, p);
    end(&d, true);
}

static void a_wire_that_is_left_is_a_broken_pipe(void **state)
{
    struct daemon d;
    struct stream *s;
    struct proc *p;
    struct job j;
    char got[10];

    start(&d, *state);
    p = start_wired(&j, &d, "exec yes");
    s = wire_of(p, PROC_STDOUT);
    assert_true(rread(s, got, sizeof got) > 0);
    shut(s);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->signal, SIGPIPE);
    assert_int_equal(proc_rec(p)->cause, CAUSE_KILLED);
    end(&d, true);
}

static void a_closed_stdout_ends_the_wire_of_a_process_that_lives(void **state)
{
    struct daemon d;
    struct proc *p;
    struct job j;

    start(&d, *state);
    p = start_wired(&j, &d, "echo all; exec >&-; exec sleep 1000");
    assert_wire_ends(&d, wire_of(p, PROC_STDOUT), 4, 0);
    assert_int_equal(proc_rec(p)->state, PROC_RUNNING);
    end(&d, true);
}

static void what_we_end_breaks_its_wire(void **state)
{
    struct oerr e = { "" };
    struct daemon d;
    struct stream *s;
    struct proc *p;
    struct job j;

    start(&d, *state);
    p = start_wired(&j, &d, "trap 'trap : TERM; echo last; exit 0' TERM; echo first; while :; do :; done");
    s = wire_of(p, PROC_STDOUT);
    assert_text(s, "first\n");
    assert_int_equal(proc_end(p, SIGTERM, CAUSE_TIMEOUT, &e), 0);
    proc_end(p, SIGTERM, CAUSE_LOST, &e); /* the first cause counts */
    assert_wire_ends(&d, s, 5, -EIO);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    assert_int_equal(proc_rec(p)->cause, CAUSE_TIMEOUT);
    assert_int_equal(proc_end(p, SIGKILL, CAUSE_LOST, &e), -ESRCH);
    end(&d, true);
}

static void a_lease_that_runs_out_breaks_the_wire(void **state)
{
    struct daemon d;
    struct stream *s;
    struct proc *p;
    struct job j;

    start(&d, *state);
    procs_lease(d.procs, 300);
    job_init(&j, &d, "echo one; exec sleep 1000");
    j.plan.wire_out = j.plan.leased = true;
    p = job_run(&j, &d);
    s = wire_of(p, PROC_STDOUT);
    assert_wire_ends(&d, s, 4, -EIO);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->cause, CAUSE_LOST);
    assert_true(proc_end_of(p)->lease);
    end(&d, true);
}

static void the_death_of_oneos_init_breaks_the_wire(void **state)
{
    char path[300], text[64];
    struct daemon d;
    struct stream *s;
    struct proc *p;
    struct job j;
    FILE *f;

#ifdef __SANITIZE_THREAD__
    skip(); /* it gives oneos-init a second thread, which may keep the socket when the first is dead */
#endif
    start(&d, *state);
    p = start_wired(&j, &d, "echo $PPID; exec sleep 1000");
    s = wire_of(p, PROC_STDOUT);
    assert_true(rread(s, text, sizeof text) > 0);
    snprintf(path, sizeof path, "/proc/%d/comm", atoi(text));
    f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(path, sizeof path, f));
    fclose(f);
    assert_string_equal(path, "oneos-init\n");
    assert_int_equal(kill(atoi(text), SIGKILL), 0);
    assert_wire_ends(&d, s, 0, -EIO);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->cause, CAUSE_LOST);
    end(&d, true);
}

static void a_wire_of_what_cannot_start_breaks(void **state)
{
    char name[] = "/no/such/command", *argv[] = { name, NULL };
    struct daemon d;
    struct stream *s;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "");
    j.plan.wire_out = true;
    j.stage.argv = argv;
    s = wire_of(job_begin(&j, &d), PROC_STDOUT);
    assert_wire_ends(&d, s, 0, -EIO);
    turn_until(&d, j.rc <= 0);
    assert_int_equal(j.rc, -ENOENT);
    assert_null(procs_next_job(d.procs, NULL));
    end(&d, true);
}

/* ---- feeds */

static struct stream *feed_of(struct flow *f)
{
    struct stream *s;

    assert_int_equal(flow_open_reader(f, &s), 0);
    return s;
}

static struct flow *new_flow(struct stream **writer)
{
    struct flow *f;

    assert_int_equal(flow_create(&f, MIB, FLOW_STREAM), 0);
    assert_int_equal(flow_open_writer(f, false, writer), 0);
    return f;
}

static ssize_t put(struct daemon *d, struct stream *s, const char *text)
{
    struct rreq r;
    ssize_t rc;

    rreq_init(&r, 0);
    assert_int_equal(slices_copy(&r.io.bytes, text, strlen(text)), 0);
    s->ops->write(s, &r.io);
    turn_until(d, rreq_answered(&r));
    rc = rreq_wait(&r);
    slices_free(&r.io.bytes);
    return rc;
}

static void what_is_fed_arrives_with_its_end(void **state)
{
    struct stream *w, *other;
    struct daemon d;
    struct flow *f = new_flow(&w);
    struct proc *p;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "exec wc -c");
    p = job_begin(&j, &d);
    assert_int_equal(proc_feed(p, feed_of(f)), 0);
    assert_int_equal(proc_open(p, PROC_STDIN, &other), -EPIPE);
    turn_until(&d, j.rc <= 0);
    assert_int_equal(put(&d, w, "12345"), 5);
    shut(w);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    other = open_it(p, PROC_STDOUT);
    assert_text(other, "5\n");
    shut(other);
    flow_unref(f);
    end(&d, true);
}

static void a_feed_that_breaks_kills_and_breaks_the_next_wire(void **state)
{
    struct stream *w, *s;
    struct daemon d;
    struct flow *f = new_flow(&w);
    struct proc *p;
    struct job j;

    start(&d, *state);
    p = start_wired(&j, &d, "exec cat");
    assert_int_equal(proc_feed(p, feed_of(f)), 0);
    s = wire_of(p, PROC_STDOUT);
    assert_int_equal(put(&d, w, "12345"), 5);
    turn_until(&d, source_bytes(p->out[0].source) == 0);
    w->ops->close(w, -EIO);
    {
        uint64_t bytes;

        assert_int_equal(drain_wire(&d, s, &bytes), -EIO);
        assert_true(bytes <= 5);
        shut(s);
    }
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->cause, CAUSE_LOST);
    flow_unref(f);
    end(&d, true);
}

static void a_feed_that_is_not_read_is_a_broken_pipe(void **state)
{
    struct stream *w;
    struct daemon d;
    struct flow *f = new_flow(&w);
    struct proc *p;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "exec <&-; exec sleep 1000");
    p = job_run(&j, &d);
    assert_int_equal(proc_feed(p, feed_of(f)), 0);
    while (put(&d, w, "more\n") > 0)
        ;
    assert_int_equal(put(&d, w, "more\n"), -EPIPE);
    assert_int_equal(proc_rec(p)->state, PROC_RUNNING);
    shut(w);
    flow_unref(f);
    end(&d, true);
}

static void nothing_can_be_fed_twice_or_to_who_has_no_stdin(void **state)
{
    struct stream *w, *s;
    struct daemon d;
    struct flow *f = new_flow(&w);
    struct proc *p;
    struct job j;

    start(&d, *state);
    job_init(&j, &d, "exec cat");
    j.plan.no_stdin = true;
    p = job_run(&j, &d);
    assert_int_equal(proc_feed(p, feed_of(f)), -EINVAL);
    assert_int_equal(proc_open(p, PROC_STDIN, &s), -EPIPE);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    job_init(&j, &d, "exec cat");
    p = job_run(&j, &d);
    s = open_it(p, PROC_STDIN);
    assert_int_equal(proc_feed(p, feed_of(f)), -EBUSY);
    shut(s);
    await_end(&d, p);
    shut(w);
    flow_unref(f);
    end(&d, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_wire_brings_all_of_it),
        kit_test(both_outputs_can_be_wires_taken_before_the_start),
        kit_test(a_wire_that_is_left_is_a_broken_pipe),
        kit_test(a_closed_stdout_ends_the_wire_of_a_process_that_lives),
        kit_test(what_we_end_breaks_its_wire),
        kit_test(a_lease_that_runs_out_breaks_the_wire),
        kit_test(the_death_of_oneos_init_breaks_the_wire),
        kit_test(a_wire_of_what_cannot_start_breaks),
        kit_test(what_is_fed_arrives_with_its_end),
        kit_test(a_feed_that_breaks_kills_and_breaks_the_next_wire),
        kit_test(a_feed_that_is_not_read_is_a_broken_pipe),
        kit_test(nothing_can_be_fed_twice_or_to_who_has_no_stdin),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
