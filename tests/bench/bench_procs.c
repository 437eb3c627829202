/*
 * bench_procs.c - what a process costs the daemon: `true` through procs_start() with 1, 8 and 64
 * under way, its record kept and forgotten, beside posix_spawn in the same run; and how fast a
 * spool takes what nobody reads, beside a file. Usage: bench_procs [COUNT [MIB]]
 */
#include "base/cleanup.h"
#include "run/procs.h"
#include "run/spool.h"

#include "timing.h"

#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct bench {
    struct loop *core, *data;
    pthread_t thread;
    struct proctab *tab;
    struct procs *procs;
    const char *user;
    char dir[64];
    unsigned left, ended, due;
};

static void fail(const char *text)
{
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static void on_done(void *arg, int rc, const char *text)
{
    (void)arg;
    if (rc < 0)
        fail(text);
}

static void start_one(struct bench *b)
{
    static char name[] = "true", *argv[] = { name, NULL };
    struct proc_stage stage = { .argv = argv };
    struct proc_plan plan = { .user = b->user,
                              .cwd = "/",
                              .stages = &stage,
                              .n = 1,
                              .tag = { .job = "bench", .attempt = 1 },
                              .no_stdin = true };
    struct oerr e = { "" };

    b->left--;
    if (procs_start(b->procs, &plan, NULL, on_done, b, &e) < 0)
        fail(e.text);
}

static void on_started(void *arg, struct proc *p)
{
    (void)arg;
    (void)p;
}

static void on_ended(void *arg, struct proc *p, const struct init_end *end)
{
    struct bench *b = arg;

    (void)p;
    if (end->exit != 0)
        fail("true has failed");
    b->ended++;
    b->due++;
}

static const struct procs_job_ops job_ops = { .started = on_started, .ended = on_ended };

static void no_change(void *arg, const struct proc_rec *r, bool gone)
{
    (void)arg;
    (void)r;
    (void)gone;
}

static void no_publish(void *arg, json_t *change)
{
    (void)arg;
    json_decref(change);
}

static const struct proctab_ops tab_ops = { .changed = no_change, .publish = no_publish };

static void forget_ended(struct bench *b)
{
    struct proc *p, *next;

    for (p = procs_next_job(b->procs, NULL); p; p = next) {
        next = procs_next_job(b->procs, p);
        if (proc_rec(p)->state == PROC_ENDED)
            procs_forget(b->procs, proc_rec(p)->number);
    }
}

/* CPU time of this program, in microseconds. */
static double cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Per second. */
static double run(struct bench *b, unsigned count, unsigned outstanding)
{
    double begin = seconds();

    b->left = count;
    b->ended = 0;
    b->due = outstanding;
    while (b->ended < count) {
        for (; b->due && b->left; b->due--)
            start_one(b);
        uv_run(loop_uv(b->core), UV_RUN_ONCE);
    }
    return count / (seconds() - begin);
}

static double posix(unsigned count)
{
    char name[] = "true", *argv[] = { name, NULL };
    double begin = seconds();
    pid_t pid;

    for (unsigned i = 0; i < count; i++) {
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0)
            fail("posix_spawn fails");
        waitpid(pid, NULL, 0);
    }
    return count / (seconds() - begin);
}

/* ---- output that nobody reads */

static _Atomic bool drained;

static void on_drained(void *arg)
{
    (void)arg;
    drained = true;
}

static void write_all(int fd, size_t mib)
{
    static char block[1 << 20];

    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < mib; i++)
        for (size_t at = 0; at < sizeof block;) {
            ssize_t n = write(fd, block + at, sizeof block - at);

            if (n <= 0)
                fail("cannot write");
            at += (size_t)n;
        }
}

/* MiB per second. */
static double to_file(const struct bench *b, size_t mib)
{
    double begin = seconds();
    char path[128];

    snprintf(path, sizeof path, "%s/file", b->dir);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    write_all(fd, mib);
    begin = seconds() - begin;
    unlink(path);
    return (double)mib / begin;
}

static double to_spool(struct bench *b, size_t mib)
{
    double begin = seconds();
    struct spool *s = NULL;
    char path[128];
    int ends[2];

    snprintf(path, sizeof path, "%s/spool", b->dir);
    drained = false;
    if (pipe2(ends, O_CLOEXEC) < 0 || spool_create(&s, b->data, path, SPOOL_LIMIT, false, NULL) < 0)
        fail("no spool");
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    spool_drain(s, ends[0], on_drained, NULL);
    write_all(ends[1], mib);
    close(ends[1]);
    while (!drained)
        usleep(1000);
    begin = seconds() - begin;
    spool_release(s, true);
    return (double)mib / begin;
}

static long resident_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * 4;
}

static size_t descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void *run_data(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void open_all(struct bench *b)
{
    struct passwd *pw = getpwuid(geteuid());
    struct procs_options opt = { .program = "./oneos-init", .self = "A", .mount = "/oneos" };
    struct oerr e = { "" };

    opt.dir = b->dir;
    opt.owner = b->user = pw ? strdup(pw->pw_name) : "root";
    if (loop_create(&b->core) < 0 || loop_create(&b->data) < 0 ||
        pthread_create(&b->thread, NULL, run_data, b->data) != 0 ||
        proctab_create(&b->tab, "A", &tab_ops, b) < 0)
        fail("no memory");
    if (procs_create(&b->procs, b->core, b->data, b->tab, &opt, &e) < 0)
        fail(e.text);
    procs_on_jobs(b->procs, &job_ops, b);
}

int main(int argc, char **argv)
{
    static const unsigned outstanding[] = { 1, 8, 64 };
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
    size_t mib = argc > 2 ? (size_t)atoi(argv[2]) : 1024;
    struct bench b = { .dir = "/tmp/bench-procs-XXXXXX" };
    char command[128];
    double base, rate, cpu;

    if (!count || !mkdtemp(b.dir))
        return 1;
    open_all(&b);
    base = posix(count);
    printf("%-36s %10s %8s\n", "start and end of true", "per s", "ratio");
    printf("%-36s %10.0f %8.2f\n", "posix_spawn and waitpid", base, 1.0);
    for (size_t i = 0; i < ARRAY_SIZE(outstanding); i++) {
        cpu = cpu_us();
        rate = run(&b, count, outstanding[i]);
        printf("procs_start, %2u under way %11s %10.0f %8.2f   %.0f us of CPU here for each\n",
               outstanding[i], "", rate, rate / base, (cpu_us() - cpu) / count);
    }
    printf("%zu kept: %zu descriptors, %ld KiB\n", 3 * (size_t)count, descriptors(), resident_kb());
    base = seconds();
    forget_ended(&b);
    printf("forgotten in %.0f us each\n", (seconds() - base) * 1e6 / 3 / count);
    if (mib) {
        long before = resident_kb();

        base = to_file(&b, mib);
        rate = to_spool(&b, mib);
        printf("%zu MiB: file %.0f MiB/s, spool %.0f MiB/s, ratio %.2f, %ld KiB more\n", mib, base,
               rate, rate / base, resident_kb() - before);
    }
    procs_close(b.procs, true);
    loop_stop(b.data);
    pthread_join(b.thread, NULL);
    procs_destroy(b.procs);
    proctab_destroy(b.tab);
    loop_destroy(b.data);
    loop_destroy(b.core);
    snprintf(command, sizeof command, "rm -rf %s", b.dir);
    return system(command) != 0;
}
