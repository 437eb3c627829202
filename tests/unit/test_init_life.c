/*
 * test_init_life.c - who dies when: daemons that are killed or replaced, oneos-init that is killed,
 * stopped or idle; and how it is started.
 */
#include "tests/unit/init_fixture.h"
#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- daemons that die ---- */

/* A daemon: starts three processes, says so, and waits for its death. */
static _Noreturn void be_daemon(struct fix *f, int ready)
{
    loop_create(&f->loop); /* that of the parent is not for sharing */
    fix_connect(f);
    fix_start(f, 1,
              SH("i=0; while [ $i -lt 50000 ]; do echo line $i; i=$((i+1)); done; "
                 "read x; echo got $x; exit 4"));
    fix_run(f, 2, SH("echo early; exit 6"));
    fix_run(f, 3, ARGV("true"));
    initc_taken(f->c, 3);
    fix_start(f, 4, SH("cat; echo end"));
    close(f->h[4].fds.in);
    initc_closed(f->c, 4, INITC_IN);
    fix_spawn(f, 5, SH("exit 8")); /* nobody waits for its answer */
    if (write(ready, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void test_next_daemon_takes_up(void **state)
{
    struct fix *f = *state;
    struct heard *h = f->h;
    size_t size = 1 << 20;
    char *text = malloc(size), c;
    int fds[2], status;
    pid_t daemon;

    assert_int_equal(pipe(fds), 0);
    daemon = fork();
    if (daemon == 0)
        be_daemon(f, fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    kill(daemon, SIGKILL);
    assert_int_equal(waitpid(daemon, &status, 0), daemon);
    close(fds[0]);
    close(fds[1]);

    fix_connect(f);
    assert_int_equal(f->n_adopted, 4);
    assert_int_equal(h[3].adopted, 0);
    assert_true(h[1].running);
    assert_int_equal(kill(h[1].pid, 0), 0);
    assert_int_equal(write(h[1].fds.in, "word\n", 5), 5);
    FIX_UNTIL(f, h[1].ended);
    assert_int_equal(h[1].end.exit, 4);
    fix_read_all(h[1].fds.out, text, size);
    assert_memory_equal(text, "line 0\nline 1\n", 14);
    assert_non_null(strstr(text, "line 49999\ngot word\n"));

    assert_false(h[2].running);
    assert_int_equal(h[2].end.exit, 6);
    assert_true(h[2].end.ended_us > 0);
    fix_read_all(h[2].fds.out, text, size);
    assert_string_equal(text, "early\n");

    assert_int_equal(h[4].fds.in, -1); /* its end of file was given */
    if (h[4].running)
        FIX_UNTIL(f, h[4].ended);
    fix_read_all(h[4].fds.out, text, size);
    assert_string_equal(text, "end\n");

    if (h[5].running)
        FIX_UNTIL(f, h[5].ended);
    assert_int_equal(h[5].end.exit, 8);
    for (int i = 1; i <= 5; i++)
        if (i != 3)
            fix_close(&h[i].fds);
    free(text);
}

/* What was taken is not told again; what was not taken is. */
static void test_taken(void **state)
{
    struct fix *f = *state;
    pid_t pid;

    fix_connect(f);
    pid = fix_init_pid(f);
    for (uint32_t i = 1; i <= 3; i++) {
        fix_run(f, i, SH("exit 2"));
        fix_close(&f->h[i].fds);
    }
    initc_taken(f->c, 2);
    initc_destroy(f->c, false, 0);
    fix_connect(f);
    assert_int_equal(fix_init_pid(f), pid);
    assert_int_equal(f->n_adopted, 2);
    assert_int_equal(f->h[1].adopted, 1);
    assert_int_equal(f->h[3].end.exit, 2);
    fix_close(&f->h[1].fds);
    fix_close(&f->h[3].fds);
}

static void test_newer_client_replaces(void **state)
{
    struct fix *f = *state;
    struct initc *older;
    struct oerr e;
    struct init_spawn s = fix_request(2, ARGV("true"));

    fix_connect(f);
    older = f->c;
    fix_start(f, 1, SH("read x; exit 5"));
    fix_close(&f->h[1].fds);
    fix_connect(f);
    assert_int_equal(f->n_adopted, 1);
    FIX_UNTIL(f, older->state == CLINK_GONE);
    assert_int_equal(initc_spawn(older, &s, fix_done, &f->h[2], &e), -ESHUTDOWN);
    assert_string_equal(e.text, "another daemon has taken over oneos-init");
    initc_destroy(older, false, 0);
    fix_close(&f->h[1].fds);
    initc_closed(f->c, 1, INITC_IN);
    FIX_UNTIL(f, f->h[1].ended);
    assert_int_equal(f->n_lost, 0);
}

/* ---- oneos-init that dies ---- */

static void test_init_killed(void **state)
{
    struct fix *f = *state;
    char text[64];
    pid_t init, leader, below;
    struct heard *h;

    fix_connect(f);
    init = fix_init_pid(f);
    h = fix_start(f, 1, SH("sleep 1000 & echo $!; wait"));
    fix_read_until(h->fds.out, "\n");
    leader = h->pid;
    fix_close(&h->fds);
    h = fix_start(f, 2, SH("sleep 1000 2>/dev/null >&2 & echo $!; exec 1>&-; wait"));
    fix_read_all(h->fds.out, text, sizeof text);
    below = atoi(text);
    fix_close(&h->fds);

    kill(init, SIGSTOP); /* so that this one is under way when it dies */
    fix_spawn(f, 3, ARGV("true"));
    kill(init, SIGKILL);
    FIX_UNTIL(f, f->n_lost);
    assert_int_equal(f->h[3].done, 1);
    assert_int_equal(f->h[3].rc, -EPIPE);
    assert_true(fix_eventually(fix_is_gone, &leader));
    assert_true(below > 0);
    assert_true(fix_eventually(fix_is_gone, &below));
    assert_int_equal(initc_signal(f->c, 1, SIGTERM, NULL), -ESRCH);

    /* A new one is started; what is asked for meanwhile is done by it. */
    h = fix_run(f, 1, SH("exit 3"));
    assert_int_equal(h->end.exit, 3);
    assert_int_not_equal(fix_init_pid(f), init);
    assert_int_equal(f->n_lost, 1);
    assert_int_equal(f->n_ended, 1);
    fix_close(&h->fds);
}

static bool has_no_socket(void *dir)
{
    char path[600];

    snprintf(path, sizeof path, "%s/init.sock", (char *)dir);
    return access(path, F_OK) < 0;
}

static void test_idle_exit(void **state)
{
    struct fix *f = *state;
    pid_t pid;

    fix_start_init(f, "--idle-ms", "30");
    assert_true(fix_eventually(fix_is_free, f->dir));

    /* Not while an end has yet to be taken, nor while something runs. */
    fix_start_init(f, "--idle-ms", "30");
    fix_connect(f);
    pid = fix_init_pid(f);
    fix_run(f, 1, SH("exit 2"));
    fix_close(&f->h[1].fds);
    fix_start(f, 2, SH("sleep 0.2"));
    fix_close(&f->h[2].fds);
    initc_destroy(f->c, false, 0);
    usleep(300 * 1000); /* long enough for it to have gone, were it wrong */
    fix_connect(f);
    assert_int_equal(fix_init_pid(f), pid);
    assert_int_equal(f->n_adopted, 2);
    fix_close(&f->h[1].fds);
    fix_close(&f->h[2].fds);
    initc_taken(f->c, 1);
    initc_taken(f->c, 2);
    initc_destroy(f->c, false, 0);
    f->c = NULL;
    assert_true(fix_eventually(fix_is_free, f->dir));
    assert_true(fix_eventually(fix_is_gone, &pid));
}

static void test_stop(void **state)
{
    struct fix *f = *state;
    pid_t stubborn, orphan, init;
    struct heard *h;
    char text[64];

    fix_connect(f);
    init = fix_init_pid(f);
    h = fix_start(f, 1, SH("trap '' TERM; echo up; sleep 1000; sleep 1000"));
    fix_read_until(h->fds.out, "up");
    stubborn = h->pid;
    fix_close(&h->fds);
    h = fix_run(f, 2, SH("setsid sh -c 'trap \"\" TERM; sleep 1000' >/dev/null 2>&1 & echo $!"));
    fix_read_all(h->fds.out, text, sizeof text);
    orphan = atoi(text);
    fix_close(&h->fds);
    h = fix_start(f, 3, SH("trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done"));
    fix_read_until(h->fds.out, "up");
    fix_close(&h->fds);
    kill(init, SIGSTOP);
    fix_spawn(f, 4, ARGV("sleep", "1000"));
    kill(init, SIGCONT);

    initc_destroy(f->c, true, 200);
    f->c = NULL;
    /* Its ends were told from inside the call. */
    assert_int_equal(f->h[1].end.signal, SIGKILL);
    assert_int_equal(f->h[3].end.exit, 9);
    assert_int_equal(f->h[4].done, 1);
    assert_true(fix_is_gone(&stubborn));
    assert_true(fix_is_gone(&orphan));
    assert_true(has_no_socket(f->dir));
    assert_true(fix_eventually(fix_is_gone, &init));
    fix_close(&f->h[4].fds);
}

/* SIGTERM, as at the machine's shutdown, ends it and its processes. */
static void test_terminated(void **state)
{
    struct fix *f = *state;
    pid_t init;

    fix_connect(f);
    init = fix_init_pid(f);
    fix_start(f, 1, ARGV("sleep", "1000"));
    fix_close(&f->h[1].fds);
    kill(init, SIGTERM);
    FIX_UNTIL(f, f->h[1].ended);
    assert_int_equal(f->h[1].end.signal, SIGTERM);
    assert_true(fix_eventually(fix_is_gone, &init));
}

/* ---- starting it ---- */

static void test_cannot_create(void **state)
{
    struct fix *f = *state;
    struct oerr e;
    char program[600];

    assert_int_equal(initc_create(&f->c, f->loop, "/no/such", f->dir, &fix_ops, f, &e), -ENOENT);
    assert_non_null(strstr(e.text, "oneos-init cannot be started from /no/such"));
    assert_null(f->c);
    assert_int_equal(initc_create(&f->c, f->loop, "./oneos-init", "/no/dir", &fix_ops, f, &e),
                     -ENOENT);
    assert_non_null(strstr(e.text, "/no/dir cannot be used"));
    snprintf(program, sizeof program, "%s/broken", f->dir);
    cleanup_fclose FILE *script = fopen(program, "we");
    fputs("#!/bin/sh\necho the moon is wrong >&2\nexit 1\n", script);
    fchmod(fileno(script), 0755);
    fclose(take_ptr(script));
    assert_int_equal(initc_create(&f->c, f->loop, program, f->dir, &fix_ops, f, &e), -EIO);
    assert_non_null(strstr(e.text, "could not start: the moon is wrong"));
    unlink(program);
}

static void test_long_path(void **state)
{
    struct fix *f = *state;
    char top[512], name[201];

    memset(name, 'n', 200);
    name[200] = '\0';
    snprintf(top, sizeof top, "%s", f->dir);
    snprintf(f->dir + strlen(f->dir), sizeof f->dir - strlen(f->dir), "/%s", name);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    fix_connect(f);
    fix_run(f, 1, SH("exit 3"));
    assert_int_equal(f->h[1].end.exit, 3);
    fix_close(&f->h[1].fds);
    initc_destroy(f->c, true, 0);
    f->c = NULL;
    snprintf(name, sizeof name, "rm -r %.180s/nnn*", top);
    assert_int_equal(system(name), 0);
    snprintf(f->dir, sizeof f->dir, "%s", top);
}

static void test_modes(void **state)
{
    struct fix *f = *state;
    struct stat st;
    char path[600];

    fix_connect(f);
    snprintf(path, sizeof path, "%s/init.sock", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* A second program in the folder says so and goes. */
    snprintf(path, sizeof path, "./oneos-init %s 2>&1 | grep -q 'another oneos-init runs in'",
             f->dir);
    assert_int_equal(system(path), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_next_daemon_takes_up),
        T(test_taken),
        T(test_newer_client_replaces),
        T(test_init_killed),
        T(test_idle_exit),
        T(test_stop),
        T(test_terminated),
        T(test_cannot_create),
        T(test_long_path),
        T(test_modes),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
