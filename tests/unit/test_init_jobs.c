/*
 * test_init_jobs.c - oneos-init and its client: what jobs need beyond a process. Limits, the lease,
 * and that nothing is left of one.
 */
#include "tests/unit/init_jobs_kit.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MIB (1024 * 1024ull)

/* ---- limits ---- */

static void test_memory(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, SH("tail /dev/zero")); /* keeps all of the one line */
    struct heard *h;

    fix_connect(f);
    s.memory = 32 * MIB;
    h = start(f, &s);
    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
    assert_true(h->end.exit != 0);
    if (!h->end.oom) { /* no cgroup: the allocation failed */
        assert_int_equal(h->end.exit, 1);
        skip();
    }
    assert_true(h->end.memory_peak >= 30 * MIB && h->end.memory_peak <= 33 * MIB);
    /* Enough is enough. */
    s = request(f, 2, SH("head -c 1000000 /dev/zero | tail -c 500000 >/dev/null"));
    s.memory = 32 * MIB;
    h = run(f, &s);
    assert_int_equal(h->end.exit, 0);
    assert_false(h->end.oom);
}

static void test_memory_without_cgroup(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("tail", "/dev/zero"));
    struct heard *h;

    fix_start_init(f, "--cgroup", "none");
    fix_connect(f);
    s.memory = 64 * MIB;
    s.cpu_milli = 500;
    h = start(f, &s);
    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
    assert_int_equal(h->end.exit, 1);
    assert_true(h->end.memory_peak <= 64 * MIB);
    s = request(f, 2, SH("nice; ulimit -v"));
    s.memory = 64 * MIB;
    s.cpu_milli = 500;
    h = start(f, &s);
    fix_read_until(h->fds.out, "3\n65536\n");
    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
}

/* ---- nothing is left ---- */

/* Forks away in each way that there is, tells the pids in the file `left`, and ends. */
static const char fork_away[] =
    "sleep 1000 & echo $! >>left;"
    "setsid sh -c 'echo $$ >>left; exec sleep 1000' &"
    "setsid sh -c 'sh -c \"echo \\$\\$ >>left; trap : TERM HUP INT; sleep 1000; sleep 1000\" &' &"
    "setsid sh -c 'sh -c \"echo \\$\\$ >>left; env -i sleep 1000 & echo \\$! >>left; sleep 1000\" "
    "& "
    "exec true' &"
    "while [ $(wc -l <left) -lt 5 ]; do sleep 0.01; done;";

/* Asserts that the processes in `left` are gone, or all there. */
static void expect_left(struct fix *f, unsigned count, bool gone)
{
    cleanup_fclose FILE *file = fopen(path_in(f, "left"), "re");
    unsigned n = 0;
    int pid;

    assert_non_null(file);
    for (; fscanf(file, "%d", &pid) == 1; n++) {
        pid_t p = pid;

        if (fix_is_gone(&p) != gone)
            fail_msg("process %d, the %uth, is %s", pid, n + 1, gone ? "left" : "gone");
    }
    assert_int_equal(n, count);
}

/* For where no event tells. */
static bool is_nothing_left(void *arg)
{
    cleanup_fclose FILE *file = fopen(path_in(arg, "left"), "re");
    bool gone = true;
    pid_t pid;

    while (file && fscanf(file, "%d", &pid) == 1)
        gone = gone && fix_is_gone(&pid);
    return file && gone;
}

static void all_is_reaped(struct fix *f)
{
    char script[1024];
    struct init_spawn s;
    struct heard *h;
    int other;

    snprintf(script, sizeof script, "%s exit 3", fork_away);
    s = request(f, 1, SH(script));
    s.reap_all = true;
    h = run(f, &s);
    assert_int_equal(h->end.exit, 3);
    expect_left(f, 5, true);
    remove_file(f, "left");

    /* Without it they stay; kill_all finds them all the same. Others' are left alone. */
    s = request(f, 2,
                SH("setsid sh -c 'echo $$ >other; exec sleep 1000' & "
                   "while [ ! -s other ]; do sleep 0.01; done"));
    s.env = fix_env;
    run(f, &s);
    s = request(f, 3, SH(script));
    h = run(f, &s);
    expect_left(f, 5, false);
    assert_int_equal(initc_kill_all(f->c, 3, NULL), 0);
    assert_true(fix_eventually(is_nothing_left, f));
    remove_file(f, "left");

    /* While the command runs. */
    snprintf(script, sizeof script, "%s sleep 1000", fork_away);
    s = request(f, 5, SH(script));
    s.reap_all = true;
    h = start(f, &s);
    while (h->fds.out >= 0 && access(path_in(f, "left"), F_OK) < 0)
        usleep(1000);
    assert_int_equal(initc_kill_all(f->c, 5, NULL), 0);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGKILL);
    assert_false(h->end.lease);
    fix_close(&h->fds);
    {
        cleanup_fclose FILE *file = fopen(path_in(f, "other"), "re");
        pid_t pid;

        assert_int_equal(fscanf(file, "%d", &other), 1);
        pid = other;
        assert_false(fix_is_gone(&pid));
        kill(other, SIGKILL);
    }
    remove_file(f, "left"), remove_file(f, "other");
    assert_int_equal(initc_kill_all(f->c, 99, NULL), -ESRCH);
}

static void test_all_is_reaped(void **state)
{
    fix_connect(*state);
    all_is_reaped(*state);
}

static void test_all_is_reaped_without_cgroup(void **state)
{
    fix_start_init(*state, "--cgroup", "none");
    fix_connect(*state);
    all_is_reaped(*state);
}

/* Many at once, half of them forked away, and one that forks as fast as it can. */
static void many_are_killed(struct fix *f)
{
    unsigned many = getenv("ONEOS_TEST_MANY") ? 10000 : 300;
    char script[512];
    struct init_spawn s;
    struct heard *h;
    pid_t pid = fix_init_pid(f);
    uint64_t begin;

    snprintf(script, sizeof script,
             "i=0; while [ $i -lt %u ]; do sleep 1000 & i=$((i+2));"
             " done; setsid sh -c 'i=0; while [ $i -lt %u ]; do sleep 1000 & i=$((i+2));"
             " done; echo up; wait' & echo up; i=0; while [ $i -lt 2000 ]; do"
             " sh -c 'sleep 1000 & sleep 1000' & sleep 0.005; i=$((i+1)); done; wait",
             many, many);
    s = request(f, 1, SH(script));
    s.reap_all = true;
    h = start(f, &s);
    fix_read_until(h->fds.out, "up\nup\n");
    begin = now_ms();
    assert_int_equal(initc_kill_all(f->c, 1, NULL), 0);
    FIX_UNTIL(f, h->ended);
    printf("%u processes were killed in %u ms\n", many, (unsigned)(now_ms() - begin));
    assert_int_equal(h->end.signal, SIGKILL);
    assert_true(fix_eventually(fix_is_childless, &pid));
    fix_close(&h->fds);
}

static void test_many_are_killed(void **state)
{
    fix_connect(*state);
    many_are_killed(*state);
}

static void test_many_are_killed_without_cgroup(void **state)
{
    fix_start_init(*state, "--cgroup", "none");
    fix_connect(*state);
    many_are_killed(*state);
}

/* ---- the lease ---- */

static void lease(struct fix *f)
{
    struct init_spawn s = request(f, 1, ARGV("true")), plain = request(f, 2, ARGV("sleep", "1000"));
    struct heard *h, *h2, *h4;
    char script[1024];

    s.leased = true;
    h = spawn(f, &s);
    FIX_UNTIL(f, h->done);
    assert_int_equal(h->rc, -EAGAIN);
    assert_string_equal(h->text, "this machine holds no lease to run jobs now");

    initc_lease(f->c, 3600 * 1000);
    h2 = start(f, &plain);
    assert_false(run(f, &s)->end.lease);
    snprintf(script, sizeof script, "%s echo up; sleep 1000", fork_away);
    s = request(f, 3, SH(script));
    s.leased = true;
    h = start(f, &s);
    fix_read_until(h->fds.out, "up");
    s = request(f, 4, ARGV("sleep", "1000"));
    s.leased = true;
    h4 = start(f, &s);
    initc_lease(f->c, 200); /* replaces the hour */
    FIX_UNTIL(f, h->ended && h4->ended);
    assert_int_equal(h->end.signal, SIGKILL);
    assert_true(h->end.lease && h4->end.lease);
    expect_left(f, 5, true);
    assert_int_equal(h2->ended, 0);
    s.number = 5;
    h = spawn(f, &s);
    FIX_UNTIL(f, h->done);
    assert_int_equal(h->rc, -EAGAIN);
    fix_close(&h4->fds);
    fix_close(&f->h[3].fds);
    fix_close(&h2->fds);
    remove_file(f, "left");
}

static void test_lease(void **state)
{
    fix_connect(*state);
    lease(*state);
}

static void test_lease_without_cgroup(void **state)
{
    fix_start_init(*state, "--cgroup", "none");
    fix_connect(*state);
    lease(*state);
}

/* It runs out without a daemon, and the next one hears why the process ended. */
static void test_lease_without_daemon(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("sleep", "1000"));
    struct heard *h;
    pid_t pid;

    fix_connect(f);
    initc_lease(f->c, 3600 * 1000);
    s.leased = true;
    h = start(f, &s);
    pid = h->pid;
    initc_lease(f->c, 300);
    assert_false(fix_is_gone(&pid));
    fix_close(&h->fds);
    initc_destroy(f->c, false, 0);
    f->c = NULL;
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_true(fix_eventually(fix_is_gone, &pid));
    fix_connect(f);
    FIX_UNTIL(f, f->h[1].adopted);
    assert_false(f->h[1].running);
    assert_true(f->h[1].end.lease);
    fix_close(&f->h[1].fds);
}

/* An oneos-init that takes the place of one that died hears of the lease before any spawn. */
static void test_lease_survives_init(void **state)
{
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("true"));

    fix_connect(f);
    initc_lease(f->c, 3600 * 1000);
    kill(fix_init_pid(f), SIGKILL);
    FIX_UNTIL(f, f->c->state != CLINK_READY);
    s.leased = true;
    assert_int_equal(run(f, &s)->end.exit, 0);
}

static void test_older_init(void **state)
{
    struct init_redirect r = { .out = "/dev/null" };
    struct fix *f = *state;
    struct init_spawn s = request(f, 1, ARGV("sleep", "1000"));
    struct oerr e = { "" };
    struct heard *h;

    fix_connect(f);
    f->c->version = 1;
    h = start(f, &s);
    s.number = 2;
    s.redirects = &r;
    assert_int_equal(initc_spawn(f->c, &s, fix_done, &f->h[2], &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.text, "is older than the daemon"));
    initc_lease(f->c, 1000);
    assert_int_equal(initc_kill_all(f->c, 1, NULL), 0);
    FIX_UNTIL(f, h->ended);
    assert_int_equal(h->end.signal, SIGKILL);
    fix_close(&h->fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_memory),
        T(test_memory_without_cgroup),
        T(test_all_is_reaped),
        T(test_all_is_reaped_without_cgroup),
        T(test_many_are_killed),
        T(test_many_are_killed_without_cgroup),
        T(test_lease),
        T(test_lease_without_cgroup),
        T(test_lease_without_daemon),
        T(test_lease_survives_init),
        T(test_older_init),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
