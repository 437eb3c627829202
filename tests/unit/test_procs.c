/*
 * test_procs.c - processes with a real oneos-init: their stdio to its end, and what a restarted
 * daemon makes of them.
 */
#include "procs_kit.h"

static void output_is_read_to_its_end(void **state)
{
    struct daemon d;
    struct stream *out, *err;
    struct proc *p;

    start(&d, *state);
    p = make(&d);
    run(&d, p, "echo out; echo err >&2; exit 3");
    out = open_it(p, PROC_STDOUT);
    err = open_it(p, PROC_STDERR);
    assert_text(out, "out\n");
    assert_text(err, "err\n");
    assert_end(out, 0);
    assert_end(err, 0);
    shut(out);
    shut(err);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 3);
    turn_until(&d, p->whole);
    end(&d, true);
}

static void stdin_waits_and_ends(void **state)
{
    struct daemon d;
    struct stream *in, *out;
    struct proc *p;
    struct rreq r;

    start(&d, *state);
    p = make(&d);
    in = open_it(p, PROC_STDIN);
    rreq_init(&r, 0);
    assert_int_equal(slices_copy(&r.io.bytes, "early\n", 6), 0);
    in->ops->write(in, &r.io);
    assert_int_equal(rreq_wait(&r), 6);
    run(&d, p, "cat");
    shut(in);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "early\n");
    assert_end(out, 0);
    shut(out);
    end(&d, true);
}

static void a_writer_that_breaks_is_no_end_of_stdin(void **state)
{
    struct daemon d;
    struct stream *in;
    struct proc *p;

    start(&d, *state);
    p = make(&d);
    in = open_it(p, PROC_STDIN);
    run(&d, p, "cat");
    in->ops->close(in, -EIO);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->cause, CAUSE_LOST);
    assert_int_equal(proc_rec(p)->signal, SIGKILL);
    end(&d, true);
}

static void a_terminal_has_both_ways_and_an_end(void **state)
{
    struct daemon d;
    struct stream *in, *out, *err;
    struct oerr e = { "" };
    struct proc *p;
    struct rreq r;

    start(&d, *state);
    p = make(&d);
    assert_int_equal(proc_set_tty(p, 24, 80, &e), 0);
    run(&d, p, "stty -echo; stty size; read x; echo got $x");
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "24 80\r\n");
    in = open_it(p, PROC_STDIN);
    rreq_init(&r, 0);
    assert_int_equal(slices_copy(&r.io.bytes, "word\n", 5), 0);
    in->ops->write(in, &r.io);
    assert_int_equal(rreq_wait(&r), 5);
    assert_text(out, "got word\r\n");
    assert_end(out, 0);
    err = open_it(p, PROC_STDERR); /* there is none: it must not block */
    assert_end(err, 0);
    shut(in);
    shut(out);
    shut(err);
    await_end(&d, p);
    end(&d, true);
}

static void the_next_daemon_shows_all_of_the_output(void **state)
{
    struct kit *k = *state;
    char path[300], script[400];
    struct daemon d;
    struct stream *out;
    struct proc *p;

    start(&d, k);
    p = make(&d);
    snprintf(path, sizeof path, "%s/go", k->dir);
    snprintf(script, sizeof script, "echo one; until [ -e %s ]; do sleep 0.01; done; echo two",
             path);
    run(&d, p, script);
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "one\n");
    end(&d, false);
    assert_end(out, -EIO); /* not its end */
    shut(out);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    start(&d, k);
    p = procs_find(d.procs, 1);
    assert_non_null(p);
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "one\ntwo\n");
    assert_end(out, 0);
    shut(out);
    await_end(&d, p);
    assert_int_equal(proc_rec(p)->exit, 0);
    turn_until(&d, p->whole);
    end(&d, false);

    start(&d, k); /* and the one after it, who has it from the files alone */
    p = procs_find(d.procs, 1);
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "one\ntwo\n");
    assert_end(out, 0);
    shut(out);
    end(&d, true);
}

/* The end of a process was saved, its output was not yet all in the file: oneos-init still has it.
 */
static void an_end_saved_early_cuts_no_output(void **state)
{
    struct init_end told = { .exit = 0, .ended_us = 1 };
    struct kit *k = *state;
    struct daemon d;
    struct stream *out;
    struct proc *p;
    char path[300], script[400];

    start(&d, k);
    p = make(&d);
    snprintf(path, sizeof path, "%s/go", k->dir);
    snprintf(script, sizeof script, "until [ -e %s ]; do sleep 0.01; done; echo late", path);
    run(&d, p, script);
    proc_ended(p, &told);
    proc_settle(p);
    assert_false(p->whole);
    end(&d, false);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    start(&d, k);
    p = procs_find(d.procs, 1);
    assert_int_equal(proc_rec(p)->state, PROC_ENDED);
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "late\n");
    assert_end(out, 0);
    shut(out);
    end(&d, true);
}

static void forget_its_end(struct kit *k)
{
    char path[300];
    json_t *j;

    snprintf(path, sizeof path, "%s/procs/1.json", k->dir);
    j = json_load_file(path, 0, NULL);
    assert_non_null(j);
    json_object_set_new(json_object_get(j, "record"), "state", json_string("running"));
    json_object_set_new(j, "whole", json_false());
    assert_int_equal(json_dump_file(j, path, 0), 0);
    json_decref(j);
}

static void what_was_lost_does_not_end_well(void **state)
{
    struct kit *k = *state;
    struct daemon d;
    struct stream *out;
    struct proc *p;

    start(&d, k);
    p = make(&d);
    run(&d, p, "echo kept; exec sleep 1000");
    out = open_it(p, PROC_STDOUT);
    assert_text(out, "kept\n");
    shut(out);
    end(&d, false);
    /* As after a loss of power: the record says that it runs, and nobody knows it. */
    start(&d, k);
    end(&d, true);
    forget_its_end(k);
    for (int again = 0; again < 2; again++) {
        start(&d, k);
        p = procs_find(d.procs, 1);
        assert_int_equal(proc_rec(p)->state, PROC_ENDED);
        assert_int_equal(proc_rec(p)->cause, CAUSE_LOST);
        out = open_it(p, PROC_STDOUT);
        assert_text(out, "kept\n");
        assert_end(out, -EIO);
        shut(out);
        end(&d, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(output_is_read_to_its_end),
        kit_test(stdin_waits_and_ends),
        kit_test(a_writer_that_breaks_is_no_end_of_stdin),
        kit_test(a_terminal_has_both_ways_and_an_end),
        kit_test(the_next_daemon_shows_all_of_the_output),
        kit_test(an_end_saved_early_cuts_no_output),
        kit_test(what_was_lost_does_not_end_well),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
