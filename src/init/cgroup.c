/*
 * cgroup.c - one folder of the hierarchy for each process, named by its number.
 *
 * With it a process and all its descendants can be counted and killed even if they change their
 * group. Invariant: `dir` is -1, or a folder that no process is in, so that its controllers can
 * be handed down; so is `v1`, but that only says how much memory may be taken. A folder that is
 * still in use at the end of its process stays until it is empty; it is removed with the base, or
 * used again by the process that gets the same number.
 */
#include "init/cgroup.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const controllers[] = { "memory", "cpu", "pids" };

/* The file's first bytes as text; an empty one when it cannot be read. */
static void read_file(int dir, const char *name, char *text, size_t size)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n < 0 ? 0 : n] = '\0';
}

static int write_file(int dir, const char *name, const char *text)
{
    cleanup_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)); p += n)
        if ((p == text || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\n' || p[n] == '\0'))
            return true;
    return false;
}

/* The number behind `key` in a file of "key value" lines. */
static uint64_t flat_value(int dir, const char *name, const char *key)
{
    char text[2048];
    size_t n = strlen(key);
    uint64_t v = 0;

    read_file(dir, name, text, sizeof text);
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            sscanf(line + n, "%" SCNu64, &v);
    return v;
}

/* Hands controllers down to the folders below. */
static void hand_down(int dir)
{
    char text[16];

    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        snprintf(text, sizeof text, "+%s", controllers[i]);
        write_file(dir, "cgroup.subtree_control", text);
    }
}

/* Notes which there are. */
static void note_controllers(struct cgroup_base *b)
{
    char text[256];

    read_file(b->dir, "cgroup.subtree_control", text, sizeof text);
    b->memory = has_word(text, "memory");
    b->cpu = has_word(text, "cpu");
}

/* Where a hierarchy is mounted, and our own cgroup's path below that. `kind` begins what mountinfo
 * says of its type, `option` is among its options; `own_form` is the line of /proc/self/cgroup. */
static bool find_own(const char *kind, const char *option, const char *own_form, char mount[256],
                     char own[256])
{
    char line[1024];
    bool found = false;

    *mount = *own = '\0';
    {
        cleanup_fclose FILE *f = fopen("/proc/self/mountinfo", "re");

        while (f && !found && fgets(line, sizeof line, f)) {
            const char *at = strstr(line, kind);

            found = at && strstr(at, option) && sscanf(line, "%*s %*s %*s %*s %255s", mount) == 1;
        }
    }
    cleanup_fclose FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, own_form);

        if (at && sscanf(at + strlen(own_form), "%255[^\n]", own) == 1)
            return found;
    }
    return false;
}

/* Makes or takes up the folder `path`; its descriptor, or -1 when it is of no use. */
static int try_folder(const char *path)
{
    bool made = mkdir(path, 0755) == 0;
    cleanup_close int dir = -1;

    if (!made && errno != EEXIST)
        return -1;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0 && faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) == 0)
        return take_fd(&dir);
    if (made)
        rmdir(path);
    return -1;
}

static bool try_v2(struct cgroup_base *b, const char *path, bool need_memory)
{
    int dir = try_folder(path);

    if (dir < 0)
        return false;
    b->dir = dir;
    hand_down(dir);
    note_controllers(b);
    if (need_memory && !b->memory) {
        close(dir);
        rmdir(path);
        b->dir = -1;
        return false;
    }
    snprintf(b->path, sizeof b->path, "%s", path);
    return true;
}

static bool try_v1(struct cgroup_base *b, const char *path, bool need_memory)
{
    (void)need_memory;
    b->v1 = try_folder(path);
    if (b->v1 >= 0)
        snprintf(b->v1_path, sizeof b->v1_path, "%s", path);
    return b->v1 >= 0;
}

/* Tries our own cgroup and those above it. */
static bool climb(struct cgroup_base *b, const char *mount, const char *from, const char *name,
                  bool (*try)(struct cgroup_base *, const char *, bool), bool need_memory)
{
    char path[600], own[256];

    snprintf(own, sizeof own, "%s", strcmp(from, "/") == 0 ? "" : from);
    for (;;) {
        char *slash = strrchr(own, '/');

        snprintf(path, sizeof path, "%s%s/%s", mount, own, name);
        if (strlen(path) < sizeof b->path && try(b, path, need_memory))
            return true;
        if (!slash)
            return false;
        *slash = '\0';
    }
}

/* Where nothing like systemd has handed them down, the root of the hierarchy may be asked to: it
 * alone may have processes beside folders with controllers. */
static bool try_root(struct cgroup_base *b, const char *mount, const char *name)
{
    cleanup_close int root = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return false;
    hand_down(root);
    return climb(b, mount, "", name, try_v2, true);
}

static void open_v2(struct cgroup_base *b, const char *name)
{
    char mount[256], own[256];

    if (find_own(" - cgroup2 ", "", "0::", mount, own) &&
        !climb(b, mount, own, name, try_v2, true) && !try_root(b, mount, name))
        climb(b, mount, own, name, try_v2, false);
}

static int open_in(int base, uint32_t number)
{
    char name[16];

    if (base < 0)
        return -1;
    snprintf(name, sizeof name, "%" PRIu32, number);
    return openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* One by one where the kernel cannot do it: v1, and v2 before Linux 5.14. */
static void kill_in(int base, uint32_t number)
{
    cleanup_close int dir = open_in(base, number);
    int pid, fd;

    if (dir < 0 || write_file(dir, "cgroup.kill", "1") == 0)
        return;
    fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    cleanup_fclose FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

    while (f && fscanf(f, "%d", &pid) == 1)
        if (pid > 0)
            kill(pid, SIGKILL);
}

static void remove_in(int base, uint32_t number)
{
    char name[16];

    snprintf(name, sizeof name, "%" PRIu32, number);
    if (base >= 0)
        unlinkat(base, name, AT_REMOVEDIR);
}

/* What a predecessor left: its processes would be nobody's. */
static void sweep(int base)
{
    int fd = base < 0 ? -1 : openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    uint32_t number;

    for (struct dirent *at; d && (at = readdir(d));)
        if (sscanf(at->d_name, "%" SCNu32, &number) == 1) {
            kill_in(base, number);
            remove_in(base, number);
        }
    if (d)
        closedir(d);
}

void cgroup_open(struct cgroup_base *b, const char *given, uint64_t key)
{
    char mount[256], own[256], name[48];

    *b = (struct cgroup_base){ .dir = -1, .v1 = -1 };
    if (given && strcmp(given, "none") == 0)
        return;
    if (given && !try_v2(b, given, false)) {
        log_warn("cgroup", "%s cannot be used as a cgroup; going on without", given);
        return;
    }
    snprintf(name, sizeof name, "oneos-%016" PRIx64, key);
    if (!given)
        open_v2(b, name);
    b->every = given || b->memory;
    if (!given && !b->memory && find_own(" - cgroup ", "memory", ":memory:", mount, own))
        climb(b, mount, own, name, try_v1, false);
    if (b->dir >= 0)
        log_info("cgroup", "%s get cgroups in %s", b->every ? "processes" : "jobs", b->path);
    if (b->v1 >= 0)
        log_info("cgroup", "memory is limited in %s", b->v1_path);
    sweep(b->dir);
    sweep(b->v1);
}

void cgroup_close(struct cgroup_base *b)
{
    sweep(b->dir);
    sweep(b->v1);
    if (b->dir >= 0) {
        close(b->dir);
        rmdir(b->path);
    }
    if (b->v1 >= 0) {
        close(b->v1);
        rmdir(b->v1_path);
    }
    b->dir = b->v1 = -1;
}

static int make_in(int base, uint32_t number)
{
    char name[16];

    snprintf(name, sizeof name, "%" PRIu32, number);
    if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
        return -1;
    return open_in(base, number);
}

static int write_number(int dir, const char *name, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, v);
    return write_file(dir, name, text);
}

/* 1000 thousandths of a core are the weight that everything has. */
static unsigned weight_of(unsigned cpu_milli)
{
    unsigned weight = cpu_milli / 10;

    return weight < 1 ? 1 : weight > 10000 ? 10000 : weight;
}

static void make_v1(const struct cgroup_base *b, uint32_t number, uint64_t memory, struct cgroup *g)
{
    cleanup_close int dir = make_in(b->v1, number);

    if (dir < 0 || write_number(dir, "memory.limit_in_bytes", memory) < 0)
        return;
    write_number(dir, "memory.memsw.limit_in_bytes", memory);
    g->v1_procs = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    g->memory = g->v1_procs >= 0;
}

void cgroup_make(const struct cgroup_base *b, uint32_t number, const struct cgroup_wish *w,
                 struct cgroup *g)
{
    *g = (struct cgroup){ .dir = -1, .v1_procs = -1 };
    if (b->dir >= 0 && (b->every || w->track || (b->cpu && w->cpu_milli)))
        g->dir = make_in(b->dir, number);
    if (g->dir >= 0 && w->cpu_milli && b->cpu)
        g->cpu = write_number(g->dir, "cpu.weight", weight_of(w->cpu_milli)) == 0;
    if (!w->memory)
        return;
    if (g->dir >= 0 && b->memory) {
        g->memory = write_number(g->dir, "memory.max", w->memory) == 0;
        write_file(g->dir, "memory.swap.max", "0");
        write_file(g->dir, "memory.oom.group", "1");
    } else if (b->v1 >= 0) {
        make_v1(b, number, w->memory, g);
    }
}

void cgroup_let_go(struct cgroup *g)
{
    if (g->dir >= 0)
        close(g->dir);
    if (g->v1_procs >= 0)
        close(g->v1_procs);
    g->dir = g->v1_procs = -1;
}

pid_t cgroup_fork(int *dir)
{
    struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
    long pid;

    if (*dir < 0)
        return fork();
    args.cgroup = (uint64_t)*dir;
    pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid >= 0)
        return (pid_t)pid;
    /* A kernel or a sandbox without it: the process runs in ours. */
    close(*dir);
    *dir = -1;
    return fork();
}

int cgroup_enter(int v1_procs)
{
    return write(v1_procs, "0", 1) < 0 ? -errno : 0;
}

static uint64_t read_number(int dir, const char *name)
{
    char text[64];
    uint64_t v = 0;

    read_file(dir, name, text, sizeof text);
    sscanf(text, "%" SCNu64, &v);
    return v;
}

void cgroup_figures(const struct cgroup_base *b, uint32_t number, struct cgroup_end *end)
{
    cleanup_close int dir = open_in(b->dir, number), v1 = open_in(b->v1, number);

    *end = (struct cgroup_end){ 0 };
    if (dir >= 0)
        end->cpu_us = flat_value(dir, "cpu.stat", "usage_usec");
    if (dir >= 0 && b->memory) {
        end->oom = flat_value(dir, "memory.events", "oom_kill") > 0;
        end->memory_peak = read_number(dir, "memory.peak");
    }
    if (v1 >= 0) {
        end->oom = flat_value(v1, "memory.oom_control", "oom_kill") > 0;
        end->memory_peak = read_number(v1, "memory.max_usage_in_bytes");
    }
}

bool cgroup_empty(const struct cgroup_base *b, uint32_t number)
{
    cleanup_close int dir = open_in(b->dir, number);

    return dir < 0 || flat_value(dir, "cgroup.events", "populated") == 0;
}

void cgroup_kill(const struct cgroup_base *b, uint32_t number)
{
    kill_in(b->dir, number);
}

void cgroup_remove(const struct cgroup_base *b, uint32_t number)
{
    remove_in(b->dir, number);
    remove_in(b->v1, number);
}
