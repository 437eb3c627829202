/*
 * test_init.c - oneos-init and its client: real processes, from spawn to end.
 */
#include "tests/unit/init_fixture.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_output_and_exit(void **state)
{
    struct fix *f = *state;
    struct heard *h;
    char text[256];

    fix_connect(f);
    h = fix_run(f, 1, SH("echo $GREETING; echo oops >&2; exit 3"));
    assert_int_equal(h->end.exit, 3);
    assert_int_equal(h->end.signal, 0);
    assert_true(h->pid > 0);
    assert_true(h->end.memory_peak > 100 * 1024);
    assert_true(h->end.ended_us > 1000000ull * 1000000);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "hello\n");
    fix_read_all(h->fds.err, text, sizeof text);
    assert_string_equal(text, "oops\n");
    fix_close(&h->fds);

    h = fix_run(f, 2, SH("kill -USR1 $$"));
    assert_int_equal(h->end.exit, -1);
    assert_int_equal(h->end.signal, SIGUSR1);
    fix_close(&h->fds);

    h = fix_run(f, 3, SH("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"));
    assert_true(h->end.cpu_us > 10000);
    fix_close(&h->fds);
}

static void test_pipes(void **state)
{
    struct fix *f = *state;
    struct heard *h;
    char text[64];

    fix_connect(f);
    h = fix_start(f, 1, ARGV("wc", "-c"));
    assert_int_equal(fcntl(h->fds.in, F_GETPIPE_SZ), 1 << 20);
    assert_int_equal(fcntl(h->fds.out, F_GETPIPE_SZ), 1 << 20);
    assert_true(fcntl(h->fds.out, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(h->fds.out, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(h->fds.in, "12345", 5), 5);
    close(h->fds.in);
    h->fds.in = -1;
    initc_closed(f->c, 1, INITC_IN); /* without it wc would wait for the next daemon's bytes */
    FIX_UNTIL(f, h->ended);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "5\n");
    fix_close(&h->fds);
}

static void test_reader_gone(void **state)
{
    struct fix *f = *state;
    struct heard *h;

    fix_connect(f);
    h = fix_start(f, 1, ARGV("yes"));
    close(h->fds.out);
    h->fds.out = -1;
    initc_closed(f->c, 1, INITC_OUT);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGPIPE);
    fix_close(&h->fds);
}

static void test_pipeline(void **state)
{
    static const char *const argv[] = { "sh", "-c", "seq 100000; exit 7", NULL, "cat", NULL,
                                        "sh", "-c", "wc -l; exit 5",      NULL, NULL };
    static const char *const early[] = { "yes", NULL, "head", "-n", "2", NULL, NULL };
    struct fix *f = *state;
    struct heard *h;
    char text[64];

    fix_connect(f);
    h = fix_run(f, 1, argv);
    assert_int_equal(h->end.exit, 5);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "100000\n");
    fix_close(&h->fds);

    h = fix_run(f, 2, early);
    assert_int_equal(h->end.exit, 0);
    assert_int_equal(h->end.signal, 0);
    fix_close(&h->fds);
}

/* The end is that of the last stage to end, and the group is one. */
static void test_pipeline_is_one_group(void **state)
{
    static const char *const argv[] = { "sleep", "1000", NULL, "sleep", "1000",
                                        NULL,    "true", NULL, NULL };
    struct fix *f = *state;
    struct heard *h;
    char text[16];

    fix_connect(f);
    h = fix_start(f, 1, argv);
    fix_read_all(h->fds.out, text, sizeof text); /* the last one has closed it */
    assert_int_equal(h->ended, 0);
    assert_int_equal(initc_signal(f->c, 1, SIGKILL, NULL), 0);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.exit, 0);
    assert_int_equal(fix_count_children(fix_init_pid(f)), 0);
    assert_int_equal(initc_signal(f->c, 1, SIGKILL, NULL), -ESRCH);
    fix_close(&h->fds);
}

static void make_file(char *path, size_t size, const char *dir, const char *name, const void *text,
                      size_t n, mode_t mode)
{
    snprintf(path, size, "%s/%s", dir, name);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
}

/* Each failure says what, where and why. */
static void test_cannot_start(void **state)
{
    struct fix *f = *state;
    char plain[600], script[600], strange[600], garbage[600];
    const struct {
        const char *argv[8];
        const char *cwd, *user;
        int rc;
        const char *words; /* in the text */
    } cases[] = {
        { { "nosuch" },
          "/",
          NULL,
          -ENOENT,
          "exec: nosuch: command not found in PATH (/usr/local/bin:/usr/bin:/bin)" },
        { { "/no/such" }, "/", NULL, -ENOENT, "exec: /no/such: no such file" },
        { { "" }, "/", NULL, -ENOENT, "name is empty" },
        { { "/tmp" }, "/", NULL, -EACCES, "exec: /tmp: is a directory" },
        { { plain }, "/", NULL, -EACCES, "not executable" },
        { { strange }, "/", NULL, -ENOENT, "the interpreter that it names was not found" },
        { { garbage }, "/", NULL, -ENOEXEC, "is not a program for this machine" },
        { { "true" }, "/no/such", NULL, -ENOENT, "cwd: /no/such: no such directory" },
        { { "true" }, plain, NULL, -ENOTDIR, "not a directory" },
        { { "true" },
          "/",
          "nobody-of-that-name",
          -EPERM,
          "user nobody-of-that-name does not exist on this machine" },
        { { "true", NULL, "nosuch" }, "/", NULL, -ENOENT, "stage 2: exec: nosuch: command not" },
        { { "sleep", "1000", NULL, "nosuch" }, "/", NULL, -ENOENT, "stage 2: exec: nosuch" },
    };
    struct heard *h;
    char text[64];
    pid_t pid;

    make_file(plain, sizeof plain, f->dir, "plain", "x", 1, 0644);
    make_file(script, sizeof script, f->dir, "script", "echo $1-$#\n", 11, 0755);
    make_file(strange, sizeof strange, f->dir, "strange", "#!/no/such\n", 11, 0755);
    make_file(garbage, sizeof garbage, f->dir, "garbage", "\177\0\1\2", 4, 0755);
    fix_connect(f);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct init_spawn s = fix_request((uint32_t)i, cases[i].argv);

        h = &f->h[i];
        s.cwd = cases[i].cwd;
        s.user = cases[i].user;
        assert_int_equal(initc_spawn(f->c, &s, fix_done, h, NULL), 0);
        assert_int_equal(h->done, 0); /* never from inside the call */
        FIX_UNTIL(f, h->done);
        assert_int_equal(h->rc, cases[i].rc);
        if (!strstr(h->text, cases[i].words))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].words, h->text);
        assert_int_equal(h->fds.in, -1);
    }
    /* A script without "#!" runs, as in a shell. The number of a failed spawn is free again. */
    h = fix_run(f, 0, ARGV(script, "a", "b"));
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "a-2\n");
    fix_close(&h->fds);
    assert_int_equal(f->n_ended, 1);
    pid = fix_init_pid(f);
    assert_true(fix_eventually(fix_is_childless, &pid));
    unlink(plain), unlink(script), unlink(strange), unlink(garbage);
}

static void test_bad_requests(void **state)
{
    static const char *const nothing[] = { NULL, NULL };
    struct fix *f = *state;
    struct init_spawn s = fix_request(1, nothing);
    struct oerr e;
    char *big = malloc(17 << 20);

    fix_connect(f);
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[1], &e), -EINVAL);
    s = fix_request(1, SH("exit"));
    s.cwd = NULL;
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[1], &e), -EINVAL);
    memset(big, 'x', 17 << 20);
    big[(17 << 20) - 1] = '\0';
    s = fix_request(1, ARGV("echo", big));
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[1], &e), -E2BIG);
    big[7 << 20] = '\0';
    s = fix_request(1, ARGV("echo", big));
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[1], &e), 0);
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[1], &e), -EEXIST);
    FIX_UNTIL(f, f->h[1].done);
    assert_int_equal(f->h[1].rc, -E2BIG); /* the kernel's word */
    assert_int_equal(initc_signal(f->c, 1, SIGTERM, &e), -ESRCH);
    assert_int_equal(initc_signal(f->c, 99, SIGTERM, &e), -ESRCH);
    assert_string_equal(e.text, "process 99 has ended");
    assert_int_equal(initc_signal(f->c, 99, 1000, &e), -EINVAL);
    assert_int_equal(initc_nice(f->c, 99, 40, &e), -EINVAL);
    initc_taken(f->c, 99);
    initc_closed(f->c, 99, INITC_IN);
    assert_int_equal(f->h[1].done, 1);
    free(big);
}

static void test_large_arguments(void **state)
{
    struct fix *f = *state;
    const char *argv[1024] = { "sh", "-c", "echo $#" };
    char *word = malloc(1001), text[32];
    struct heard *h;

    memset(word, 'w', 1000);
    word[1000] = '\0';
    for (int i = 3; i < 1004; i++)
        argv[i] = word;
    fix_connect(f);
    h = fix_run(f, 1, argv);
    fix_read_all(h->fds.out, text, sizeof text);
    assert_string_equal(text, "1000\n");
    fix_close(&h->fds);
    free(word);
}

/* What the child finds: nothing of oneos-init but what it should have. */
static void test_clean_child(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = fix_request(1, SH("echo $(ls /proc/self/fd | wc -l); umask; nice; pwd;"
                                            "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"));
    struct heard *h = &f->h[1];
    char text[512];

    fix_connect(f);
    s.cwd = f->dir;
    s.nice = 5;
    assert_int_equal(initc_spawn(f->c, &s, fix_done, h, NULL), 0);
    FIX_UNTIL(f, h->ended);
    fix_read_all(h->fds.out, text, sizeof text);
    /* Three, and the one that ls reads the folder by. */
    assert_non_null(strstr(text, "4\n0022\n5\n"));
    assert_non_null(strstr(text, f->dir));
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(text, "SigIgn:\t0000000000000000"));
    fix_close(&h->fds);
}

static void test_user(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = fix_request(1, SH("id -un; id -Gn; sleep 1000"));
    struct heard *h = &f->h[1];
    pid_t init, pid;

    if (geteuid() != 0)
        skip();
    fix_connect(f);
    s.user = "nobody";
    assert_int_equal(initc_spawn(f->c, &s, fix_done, h, NULL), 0);
    FIX_UNTIL(f, h->done);
    assert_int_equal(h->rc, 0);
    fix_read_until(h->fds.out, "nobody\nnogroup\n");
    /* Its change of user did not clear the parent-death signal. */
    init = fix_init_pid(f);
    pid = h->pid;
    kill(init, SIGKILL);
    assert_true(fix_eventually(fix_is_gone, &pid));
    FIX_UNTIL(f, f->n_lost && f->c->state == CLINK_READY);
    fix_close(&h->fds);
}

static void test_pty(void **state)
{
    struct fix *f = *state;
    struct init_spawn s =
        fix_request(1, SH("stty size; tty | grep -c /dev/pts; echo to-tty >/dev/tty; read x; "
                          "echo got-$x; exec sleep 1000"));
    struct heard *h = &f->h[1];

    fix_connect(f);
    s.pty = true;
    s.rows = 24;
    s.cols = 81;
    assert_int_equal(initc_spawn(f->c, &s, fix_done, h, NULL), 0);
    FIX_UNTIL(f, h->done);
    assert_int_equal(h->rc, 0);
    assert_int_equal(h->fds.in, h->fds.out);
    assert_int_equal(h->fds.err, -1);
    fix_read_until(h->fds.out, "24 81\r\n1\r\nto-tty\r\n");
    assert_int_equal(write(h->fds.in, "word\n", 5), 5);
    fix_read_until(h->fds.out, "got-word");
    assert_int_equal(write(h->fds.in, "\003", 1), 1); /* Ctrl-C */
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGINT);
    fix_close(&h->fds);

    /* Closing it here and there hangs it up. */
    s = fix_request(2, SH("echo up; sleep 1000"));
    s.pty = true;
    h = &f->h[2];
    assert_int_equal(initc_spawn(f->c, &s, fix_done, h, NULL), 0);
    FIX_UNTIL(f, h->done);
    fix_read_until(h->fds.out, "up");
    fix_close(&h->fds);
    initc_closed(f->c, 2, INITC_OUT);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGHUP);

    /* A pipeline has no terminal. */
    s.argv = (const char *const[]){ "true", NULL, "true", NULL, NULL };
    s.number = 3;
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[3], NULL), 0);
    FIX_UNTIL(f, f->h[3].done);
    assert_int_equal(f->h[3].rc, -EINVAL);
}

static void test_signals_reach_the_group(void **state)
{
    struct fix *f = *state;
    struct heard *h;
    char text[64];
    pid_t other;

    fix_connect(f);
    h = fix_start(f, 1, SH("sleep 1000 & echo $!; wait"));
    fix_read_until(h->fds.out, "\n");
    assert_int_equal(initc_signal(f->c, 1, SIGSTOP, NULL), 0);
    assert_int_equal(initc_signal(f->c, 1, SIGCONT, NULL), 0);
    assert_int_equal(initc_signal(f->c, 1, SIGTERM, NULL), 0);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGTERM);
    fix_close(&h->fds);

    /* What outlives its leader is left alone, and can still be signalled. */
    h = fix_run(f, 2, SH("trap '' HUP; sleep 1000 >/dev/null 2>&1 & echo $!"));
    fix_read_all(h->fds.out, text, sizeof text);
    other = atoi(text);
    assert_false(fix_is_gone(&other));
    assert_int_equal(initc_signal(f->c, 2, SIGKILL, NULL), 0);
    assert_true(fix_eventually(fix_is_gone, &other));
    fix_close(&h->fds);
    initc_taken(f->c, 2);
    assert_int_equal(initc_signal(f->c, 2, SIGKILL, NULL), -ESRCH);

    /* A signal and a nice value that come before the spawn is answered. */
    fix_spawn(f, 3, ARGV("sleep", "1000"));
    assert_int_equal(initc_nice(f->c, 3, 3, NULL), 0);
    assert_int_equal(initc_signal(f->c, 3, SIGKILL, NULL), 0);
    FIX_UNTIL(f, f->h[3].ended);
    assert_int_equal(f->h[3].done, 1);
    assert_int_equal(f->h[3].end.signal, SIGKILL);
    fix_close(&f->h[3].fds);
}

static void test_nice_and_usage(void **state)
{
    struct fix *f = *state;
    struct init_usage u;
    struct heard *h;

    fix_connect(f);
    h = fix_start(f, 1, SH("sh -c 'while :; do :; done'; exit 1"));
    assert_int_equal(initc_nice(f->c, 1, 7, NULL), 0);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)h->pid), 7);
    do
        initc_usage(f->c, 1, &u);
    while (u.cpu_us < 20000);
    assert_true(u.memory > 100 * 1024);
    assert_true(u.memory_peak >= u.memory);
    initc_usage(f->c, 99, &u);
    assert_int_equal(u.cpu_us, 0);
    initc_signal(f->c, 1, SIGKILL, NULL);
    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
}

/* 5,000 processes leave no descriptor, zombie or memory. */
static void test_many_in_a_row(void **state)
{
    struct fix *f = *state;
    unsigned fds = 0, own_fds = 0, many = getenv("ONEOS_TEST_MANY") ? 50000 : 5000;
    long rss = 0;
    pid_t pid;

    fix_connect(f);
    pid = fix_init_pid(f);
    for (unsigned i = 0; i < 50 + many; i++) {
        uint32_t number = i % (NUMBERS - 1) + 1;
        struct heard *h = fix_run(f, number, ARGV("true"));

        assert_int_equal(h->end.exit, 0);
        fix_close(&h->fds);
        initc_taken(f->c, number);
        if (i == 50) {
            own_fds = fix_count_fds(getpid());
            fds = fix_count_fds(pid);
            rss = fix_rss_kb(pid);
        }
    }
    fix_run(f, NUMBERS - 1, ARGV("true")); /* and so the last TAKEN was heard */
    fix_close(&f->h[NUMBERS - 1].fds);
    initc_taken(f->c, NUMBERS - 1);
    assert_int_equal(fix_count_children(pid), 0);
    assert_in_range(fix_count_fds(pid), 0, fds + 3);
    assert_in_range(fix_count_fds(getpid()), 0, own_fds);
    print_message("oneos-init RSS: %ld KiB before, %ld KiB after\n", rss, fix_rss_kb(pid));
    assert_in_range(fix_rss_kb(pid), 0, rss + FIX_RSS_SLACK_KB);
    assert_int_equal(f->n_ended, many + 51);
}

/* All at once: what cannot be told at once is told later. */
static void test_many_side_by_side(void **state)
{
    struct fix *f = *state;
    const unsigned many = 400;

    fix_connect(f);
    for (unsigned i = 1; i <= many; i++)
        fix_spawn(f, i, SH("exit 9"));
    FIX_UNTIL(f, f->n_ended == many);
    for (unsigned i = 1; i <= many; i++) {
        assert_int_equal(f->h[i].rc, 0);
        assert_int_equal(f->h[i].end.exit, 9);
        fix_close(&f->h[i].fds);
        initc_taken(f->c, i);
    }
    assert_int_equal(f->n_done, many);
}

static void test_cgroup(void **state)
{
    struct fix *f = *state;
    char dir[64], path[80];
    struct stat st;
    struct heard *h;
    char text[64];
    pid_t other;

    snprintf(dir, sizeof dir, "/sys/fs/cgroup/unified/oneos-test-%d", getpid());
    if (mkdir(dir, 0755) < 0)
        skip(); /* no such hierarchy, or not ours to write */
    fix_start_init(f, "--cgroup", dir);
    fix_connect(f);
    assert_string_equal(f->c->cgroups, dir);
    h = fix_start(f, 1,
                  SH("setsid sleep 1000 >/dev/null 2>&1 & echo $! >&2; "
                     "grep ^0: /proc/self/cgroup; read x"));
    snprintf(path, sizeof path, "/oneos-test-%d/1\n", getpid());
    fix_read_until(h->fds.out, path);
    assert_int_equal(initc_signal(f->c, 1, SIGKILL, NULL), 0);
    FIX_UNTIL(f, h->ended);
    fix_read_all(h->fds.err, text, sizeof text);
    other = atoi(text);
    assert_true(other > 0);
    assert_true(fix_eventually(fix_is_gone, &other)); /* it had left the group */
    assert_true(h->end.cpu_us > 0);
    fix_close(&h->fds);

    h = fix_run(f, 2, ARGV("true"));
    snprintf(path, sizeof path, "%s/2", dir);
    assert_int_equal(stat(path, &st), -1);
    fix_close(&h->fds);
    initc_destroy(f->c, true, 0);
    f->c = NULL;
    assert_int_equal(stat(dir, &st), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_output_and_exit),
        T(test_pipes),
        T(test_reader_gone),
        T(test_pipeline),
        T(test_pipeline_is_one_group),
        T(test_cannot_start),
        T(test_bad_requests),
        T(test_large_arguments),
        T(test_clean_child),
        T(test_user),
        T(test_pty),
        T(test_signals_reach_the_group),
        T(test_nice_and_usage),
        T(test_many_in_a_row),
        T(test_many_side_by_side),
        T(test_cgroup),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
