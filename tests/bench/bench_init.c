/*
 * bench_init.c - spawn and reap of `true`, one after the other, by oneos-init beside the ways a
 * program has without it. Prints a table: median, 99th percentile, per second, ratio to a plain
 * fork and exec in a loop. "a job" is a process that has what jobs have; "16 at a time" starts the
 * next one when one of 16 has ended, and its times are per process. Usage: bench_init [COUNT [WAY]]
 */
#include "base/cleanup.h"
#include "base/loop.h"
#include "run/initc.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
static const char *const argv_true[] = { "true", NULL, NULL };

struct bench {
    struct loop *loop;
    struct initc *c;
    unsigned ended;
};

static void on_done(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds)
{
    (void)arg;
    (void)pid;
    if (rc < 0) {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
    close(fds->in);
    close(fds->out);
    close(fds->err);
}

static void on_ended(void *arg, uint32_t number, const struct init_end *end)
{
    struct bench *b = arg;

    (void)end;
    b->ended++;
    initc_taken(b->c, number);
}

static void on_adopted(void *arg, struct init_proc *p)
{
    (void)arg;
    (void)p;
}

static void on_lost(void *arg)
{
    (void)arg;
    exit(1);
}

static void spawn(struct bench *b, uint32_t number, bool job)
{
    static const struct init_redirect r = { .out = "/dev/null" };
    struct init_spawn s = { .number = number, .argv = argv_true, .env = env, .cwd = "/" };

    s.leased = s.reap_all = job;
    s.redirects = job ? &r : NULL;
    if (initc_spawn(b->c, &s, on_done, b, NULL) < 0)
        exit(1);
}

static void until(struct bench *b, unsigned ended)
{
    while (b->ended < ended)
        uv_run(loop_uv(b->loop), UV_RUN_ONCE);
}

static void by_init(struct bench *b, uint32_t number)
{
    spawn(b, number, false);
    until(b, b->ended + 1);
}

static void by_job(struct bench *b, uint32_t number)
{
    spawn(b, number, true);
    until(b, b->ended + 1);
}

#define AT_A_TIME 16

static void by_many(struct bench *b, uint32_t number)
{
    if (number == 1)
        b->ended = 0;
    spawn(b, number, false);
    if (number >= AT_A_TIME)
        until(b, number + 1 - AT_A_TIME);
}

static void by_many_jobs(struct bench *b, uint32_t number)
{
    if (number == 1)
        b->ended = 0;
    spawn(b, number, true);
    if (number >= AT_A_TIME)
        until(b, number + 1 - AT_A_TIME);
}

static void by_fork(struct bench *b, uint32_t number)
{
    pid_t pid = fork();

    (void)b;
    (void)number;
    if (pid == 0) {
        execle("/bin/true", "true", NULL, env);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static void by_posix_spawn(struct bench *b, uint32_t number)
{
    char name[] = "true", *argv[] = { name, NULL };
    pid_t pid;

    (void)b;
    (void)number;
    posix_spawn(&pid, "/bin/true", NULL, NULL, argv, (char **)(uintptr_t)env);
    waitpid(pid, NULL, 0);
}

static void by_bash(struct bench *b, uint32_t number)
{
    (void)b;
    (void)number;
    if (system("exec bash -c /bin/true") < 0)
        exit(1);
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;

    return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *, uint32_t);
    } ways[] = {
        { "fork+exec in a loop", by_fork },
        { "posix_spawn in a loop", by_posix_spawn },
        { "oneos-init", by_init },
        { "oneos-init, a job", by_job },
        { "16 at a time", by_many },
        { "16 jobs at a time", by_many_jobs },
        { "bash -c", by_bash },
    };
    static const struct initc_ops ops = { on_adopted, on_ended, on_lost };
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
    double *times = calloc(count, sizeof *times), base = 0;
    char dir[] = "/tmp/bench-init-XXXXXX", command[64];
    struct bench b = { 0 };
    struct oerr e;

    if (!count || !times || !mkdtemp(dir) || loop_create(&b.loop) < 0)
        return 1;
    if (initc_create(&b.c, b.loop, "./oneos-init", dir, &ops, &b, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    printf("%-24s %10s %10s %10s %8s\n", "spawn and reap true", "median us", "p99 us", "per s",
           "ratio");
    for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
        double begin = now_us(), total;

        if (argc > 2 && strcmp(argv[2], ways[w].name) != 0)
            continue;
        initc_lease(b.c, 3600 * 1000);
        for (unsigned i = 0; i < count; i++) {
            double at = now_us();

            ways[w].run(&b, i + 1);
            times[i] = now_us() - at;
        }
        until(&b, ways[w].run == by_many || ways[w].run == by_many_jobs ? count : 0);
        total = now_us() - begin;
        qsort(times, count, sizeof *times, compare);
        if (base == 0)
            base = times[count / 2];
        printf("%-24s %10.0f %10.0f %10.0f %8.2f\n", ways[w].name, times[count / 2],
               times[count - 1 - count / 100], count / total * 1e6, times[count / 2] / base);
    }
    initc_destroy(b.c, true, 0);
    loop_destroy(b.loop);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    free(times);
    return system(command) != 0;
}
