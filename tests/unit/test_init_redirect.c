/*
 * test_init_redirect.c - oneos-init and its client: what the parts of a job read and write, and
 * what they have in their environment.
 */
#include "tests/unit/init_jobs_kit.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

static void test_redirections(void **state)
{
    static const char *const argv[] = { "cat", NULL, "sh", "-c", "cat; echo oops >&2", NULL, NULL };
    struct init_redirect r[] = { { .in = "in" }, { .out = "out", .err = "err" } };
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, argv);
    char text[64];
    struct heard *h;
    struct stat st;

    fix_connect(f);
    put_file(f, "in", "one\n");
    s.redirects = r;
    run(f, &s);
    expect_file(f, "out", "one\n");
    expect_file(f, "err", "oops\n");
    assert_int_equal(stat(path_in(f, "out"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);

    r[1].append = r[1].err_append = true;
    s.number = 2;
    run(f, &s);
    expect_file(f, "out", "one\none\n");
    expect_file(f, "err", "oops\noops\n");

    /* Without the appending they begin anew; what is not redirected is as ever. */
    r[1] = (struct init_redirect){ .err = "err" };
    s.number = 3;
    h = start(f, &s);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "one\n");
    FIX_UNTIL(f, h->ended);
    expect_file(f, "err", "oops\n");
    fix_close(&h->fds);
    remove_file(f, "in"), remove_file(f, "out"), remove_file(f, "err");
}

/* When one stage cannot start, none has been executed. */
static void test_none_runs_alone(void **state)
{
    struct fix *f = *state;
    const char *const last[] = { "touch", "ran", NULL, "cat", NULL, NULL };
    const char *const unknown[] = { "touch", "ran", NULL, "nosuch", NULL, NULL };
    const struct {
        const char *const *argv;
        struct init_redirect r[2];
        int rc;
        const char *words;
    } cases[] = {
        { last, { { 0 }, { .in = "none" } }, -ENOENT, "stage 2: cannot read none: No such file" },
        { last, { { 0 }, { .out = "/no/out" } }, -ENOENT, "cannot write /no/out: No such file" },
        { last, { { 0 }, { .out = "." } }, -EISDIR, "stage 2: cannot write .: Is a directory" },
        { last, { { .err = "/no/e" }, { 0 } }, -ENOENT, "stage 1: cannot write /no/e: No such" },
        { unknown, { { 0 }, { 0 } }, -ENOENT, "stage 2: exec: nosuch: command not found" },
    };

    fix_connect(f);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct init_spawn s = request(f, (uint32_t)i, cases[i].argv);
        struct heard *h;
        pid_t pid = fix_init_pid(f);

        s.redirects = cases[i].r;
        h = spawn(f, &s);
        FIX_UNTIL(f, h->done);
        assert_int_equal(h->rc, cases[i].rc);
        if (!strstr(h->text, cases[i].words))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].words, h->text);
        assert_true(fix_eventually(fix_is_childless, &pid));
        assert_int_equal(access(path_in(f, "ran"), F_OK), -1);
    }
}

/* As the user, who may not write there. */
static void test_redirection_of_user(void **state)
{
    struct init_redirect r = { .out = "denied" };
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("true"));
    struct heard *h;

    if (geteuid() != 0)
        skip();
    fix_connect(f);
    assert_int_equal(chmod(f->dir, 0755), 0);
    s.user = "nobody";
    s.redirects = &r;
    h = spawn(f, &s);
    FIX_UNTIL(f, h->done);
    assert_int_equal(h->rc, -EACCES);
    assert_string_equal(h->text, "cannot write denied: Permission denied");
}

/* An open that waits holds up nobody else, and signals end it. */
static void test_open_that_waits(void **state)
{
    static const char *const two[] = { "echo", "through", NULL, "cat", NULL, NULL };
    static const char *const half[] = { "true", NULL, "cat", NULL, NULL };
    struct init_redirect r[] = { { .in = "fifo" }, { 0 } };
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("cat")), other = request(f, 2, ARGV("true"));
    struct heard *h, *h3;

    fix_connect(f);
    assert_int_equal(mkfifo(path_in(f, "fifo"), 0600), 0);
    s.redirects = r;
    h = spawn(f, &s);
    assert_int_equal(run(f, &other)->end.exit, 0);
    assert_int_equal(h->done, 0);
    assert_int_equal(initc_signal(f->c, 1, SIGTERM, NULL), 0);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGTERM);
    fix_close(&h->fds);

    /* A stage that waits, and one that waits for it. */
    r[0] = (struct init_redirect){ 0 };
    r[1].in = "fifo";
    s = request(f, 3, half);
    s.redirects = r;
    h3 = spawn(f, &s);
    other.number = 4;
    run(f, &other);
    assert_int_equal(h3->done, 0);
    assert_int_equal(initc_kill_all(f->c, 3, NULL), 0);
    FIX_UNTIL(f, h3->ended);
    assert_int_equal(h3->end.signal, SIGKILL);
    fix_close(&h3->fds);

    /* Two stages that open the two ends of it. */
    r[0].out = "fifo";
    r[1].out = "out";
    s = request(f, 5, two);
    s.redirects = r;
    run(f, &s);
    expect_file(f, "out", "through\n");
    remove_file(f, "fifo"), remove_file(f, "out");
}

static void test_stage_env(void **state)
{
    static const char *const argv[] = { "sh", "-c", "echo $GREETING-$X",      NULL,
                                        "sh", "-c", "cat; echo $GREETING-$X", NULL,
                                        NULL };
    static const char *const one[] = { "GREETING=bye", "X=1", "X=2", NULL };
    const char *const *const envs[] = { one, NULL };
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, argv);
    struct heard *h;
    char text[64];

    fix_connect(f);
    s.stage_env = envs;
    h = start(f, &s);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "bye-2\nhello-\n");
    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_redirections),    T(test_none_runs_alone), T(test_redirection_of_user),
        T(test_open_that_waits), T(test_stage_env),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
