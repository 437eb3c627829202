/*
 * init_fixture.c - see init_fixture.h. The program is ./oneos-init, or $ONEOS_INIT.
 */
#include "tests/unit/init_fixture.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const fix_env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "GREETING=hello", NULL };

static const char *program(void)
{
    const char *given = getenv("ONEOS_INIT");

    return given ? given : "./oneos-init";
}

static struct fix *the_fix; /* callbacks of a spawn have the record, not the fixture, as argument */

static void on_adopted(void *arg, struct init_proc *p)
{
    struct fix *f = arg;
    struct heard *h = &f->h[p->number];

    f->n_adopted++;
    h->adopted++;
    h->pid = p->pid;
    h->running = p->running;
    h->fds = p->fds;
    h->end = p->end;
}

static void on_ended(void *arg, uint32_t number, const struct init_end *end)
{
    struct fix *f = arg;

    f->n_ended++;
    f->h[number].ended++;
    f->h[number].end = *end;
}

static void on_lost(void *arg)
{
    ((struct fix *)arg)->n_lost++;
}

const struct initc_ops fix_ops = { on_adopted, on_ended, on_lost };

void fix_done(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds)
{
    struct heard *h = arg;

    the_fix->n_done++;
    h->done++;
    h->rc = rc;
    snprintf(h->text, sizeof h->text, "%s", text);
    h->pid = pid;
    h->fds = *fds;
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "a test did not get on for %d s\n", GUARD_S);
    abort();
}

int fix_setup(void **state)
{
    struct fix *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    snprintf(f->dir, sizeof f->dir, "%s/oneos-init-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(loop_create(&f->loop), 0);
    uv_timer_init(loop_uv(f->loop), &f->guard);
    uv_timer_start(&f->guard, on_guard, GUARD_S * 1000, 0);
    the_fix = f;
    *state = f;
    return 0;
}

bool fix_is_free(void *dir)
{
    char path[600];

    snprintf(path, sizeof path, "%s/init.lock", (char *)dir);
    cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);

    return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* A sanitizer's complaint about oneos-init stands in its log. */
static void check_log(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    char line[1024];

    while (f && fgets(line, sizeof line, f))
        if (strstr(line, "Sanitizer") || strstr(line, "runtime error"))
            fail_msg("oneos-init: %s", line);
}

int fix_teardown(void **state)
{
    static const char *const files[] = { "init.lock", "init.log" };
    struct fix *f = *state;
    char path[600];
    pid_t pid = f->c ? fix_init_pid(f) : 0;

    initc_destroy(f->c, true, 0);
    if (pid)
        assert_true(fix_eventually(fix_is_gone, &pid));
    snprintf(path, sizeof path, "%s/init.log", f->dir);
    check_log(path);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    uv_close((uv_handle_t *)&f->guard, NULL);
    loop_destroy(f->loop);
    free(f);
    return 0;
}

void fix_connect(struct fix *f)
{
    struct oerr e = { "" };
    int rc = initc_create(&f->c, f->loop, program(), f->dir, &fix_ops, f, &e);

    if (rc < 0)
        fail_msg("initc_create: %s", e.text);
}

void fix_start_init(struct fix *f, const char *option, const char *value)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execl(program(), program(), option, value, f->dir, NULL);
        _exit(126);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

pid_t fix_init_pid(struct fix *f)
{
    return f->c->init_pid;
}

struct init_spawn fix_request(uint32_t number, const char *const *argv)
{
    return (struct init_spawn){ .number = number, .argv = argv, .env = fix_env, .cwd = "/" };
}

void fix_spawn(struct fix *f, uint32_t number, const char *const *argv)
{
    struct init_spawn s = fix_request(number, argv);
    struct oerr e = { "" };

    f->h[number] = (struct heard){ .fds = { -1, -1, -1 } };
    if (initc_spawn(f->c, &s, fix_done, &f->h[number], &e) < 0)
        fail_msg("initc_spawn: %s", e.text);
}

struct heard *fix_start(struct fix *f, uint32_t number, const char *const *argv)
{
    fix_spawn(f, number, argv);
    FIX_UNTIL(f, f->h[number].done);
    if (f->h[number].rc < 0)
        fail_msg("%s", f->h[number].text);
    return &f->h[number];
}

struct heard *fix_run(struct fix *f, uint32_t number, const char *const *argv)
{
    struct heard *h = fix_start(f, number, argv);

    FIX_UNTIL(f, h->ended);
    return h;
}

size_t fix_read_all(int fd, char *text, size_t size)
{
    size_t n = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t got;

        assert_int_equal(poll(&p, 1, GUARD_S * 1000), 1);
        got = read(fd, text + n, size - 1 - n);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
        assert_true(n < size - 1);
    }
    text[n] = '\0';
    return n;
}

void fix_read_until(int fd, const char *what)
{
    char text[65536] = "";
    size_t n = 0;

    while (!strstr(text, what)) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t got;

        assert_int_equal(poll(&p, 1, GUARD_S * 1000), 1);
        got = read(fd, text + n, sizeof text - 1 - n);
        if (got <= 0 && !(got < 0 && errno == EAGAIN))
            fail_msg("\"%s\" did not come, but: %s", what, text);
        n += got > 0 ? (size_t)got : 0;
        text[n] = '\0';
    }
}

void fix_close(struct init_fds *fds)
{
    if (fds->in >= 0)
        close(fds->in);
    if (fds->out >= 0 && fds->out != fds->in)
        close(fds->out);
    if (fds->err >= 0)
        close(fds->err);
    *fds = (struct init_fds){ -1, -1, -1 };
}

bool fix_eventually(bool (*cond)(void *), void *arg)
{
    for (int i = 0; i < 10000; i++) {
        if (cond(arg))
            return true;
        usleep(2000);
    }
    return false;
}

/* A line of a file in /proc/PID that begins with key; "" when there is none. */
static void status_line(pid_t pid, const char *key, char *line, int size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    cleanup_fclose FILE *f = fopen(path, "re");

    while (f && fgets(line, size, f))
        if (strncmp(line, key, strlen(key)) == 0)
            return;
    *line = '\0';
}

bool fix_is_gone(void *pid)
{
    char line[256];

    status_line(*(pid_t *)pid, "State:", line, sizeof line);
    return *line == '\0' || strchr(line, 'Z');
}

long fix_rss_kb(pid_t pid)
{
    char line[256];
    long kb = -1;

    status_line(pid, "VmRSS:", line, sizeof line);
    sscanf(line, "VmRSS: %ld", &kb);
    return kb;
}

unsigned fix_count_fds(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    d = opendir(path);
    assert_non_null(d);
    for (struct dirent *at; (at = readdir(d));)
        n += at->d_name[0] != '.';
    closedir(d);
    return n;
}

unsigned fix_count_children(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    int child;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    cleanup_fclose FILE *f = fopen(path, "re");

    assert_non_null(f);
    while (fscanf(f, "%d", &child) == 1)
        n++;
    return n;
}

bool fix_is_childless(void *pid)
{
    return fix_count_children(*(pid_t *)pid) == 0;
}
