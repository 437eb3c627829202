/*
 * cgroup.c - cgroup v2: one folder of the hierarchy for each process, named by its number.
 *
 * With it a process and all its descendants can be counted and killed even if they change their
 * group. Invariant: `dir` is -1, or a folder that no process is in, so that its controllers can
 * be handed down. A folder that is still in use at the end of its process stays until it is empty;
 * it is removed with the base, or used again by the process that gets the same number.
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

/* Hands controllers down to the folders below; true when memory is among them. */
static bool hand_down(int dir)
{
    char text[256];

    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        snprintf(text, sizeof text, "+%s", controllers[i]);
        write_file(dir, "cgroup.subtree_control", text);
    }
    read_file(dir, "cgroup.subtree_control", text, sizeof text);
    return has_word(text, "memory");
}

/* The mount point of the hierarchy, and our own cgroup's path below it. */
static bool find_own(char mount[256], char own[256])
{
    char line[1024];
    bool found = false;

    *mount = *own = '\0';
    {
        cleanup_fclose FILE *f = fopen("/proc/self/mountinfo", "re");

        while (f && !found && fgets(line, sizeof line, f)) {
            found =
                strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %255s", mount) == 1;
        }
    }
    cleanup_fclose FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "0::%255[^\n]", own) == 1)
            return found;
    return false;
}

/* Makes or takes up the folder `path`; false when it is of no use. */
static bool try_base(struct cgroup_base *b, const char *path, bool need_memory)
{
    bool made = mkdir(path, 0755) == 0;

    if (!made && errno != EEXIST)
        return false;
    b->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->dir >= 0 && faccessat(b->dir, "cgroup.procs", W_OK, AT_EACCESS) == 0 &&
        (hand_down(b->dir) || !need_memory)) {
        snprintf(b->path, sizeof b->path, "%s", path);
        return true;
    }
    if (b->dir >= 0)
        close(b->dir);
    b->dir = -1;
    if (made)
        rmdir(path);
    return false;
}

/* What a predecessor left: its processes would be nobody's. */
static void sweep(struct cgroup_base *b)
{
    int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    uint32_t number;

    for (struct dirent *at; d && (at = readdir(d));)
        if (sscanf(at->d_name, "%" SCNu32, &number) == 1) {
            cgroup_kill(b, number);
            cgroup_remove(b, number);
        }
    if (d)
        closedir(d);
}

void cgroup_open(struct cgroup_base *b, const char *given, uint64_t key)
{
    char mount[256], own[256], path[600], name[48];

    *b = (struct cgroup_base){ .dir = -1 };
    if (given && strcmp(given, "none") == 0)
        return;
    if (given && !try_base(b, given, false)) {
        log_warn("cgroup", "%s cannot be used as a cgroup; going on without", given);
        return;
    }
    snprintf(name, sizeof name, "oneos-%016" PRIx64, key);
    if (!given && !find_own(mount, own))
        return;
    while (!given && b->dir < 0) {
        char *slash = strrchr(own, '/');

        if (strcmp(own, "/") == 0)
            own[0] = '\0';
        snprintf(path, sizeof path, "%s%s/%s", mount, own, name);
        if (strlen(path) < sizeof b->path)
            try_base(b, path, true);
        if (own[0] == '\0' || !slash)
            break;
        *slash = '\0';
    }
    if (b->dir >= 0) {
        log_info("cgroup", "processes get cgroups in %s", b->path);
        sweep(b);
    }
}

void cgroup_close(struct cgroup_base *b)
{
    if (b->dir < 0)
        return;
    sweep(b);
    close(b->dir);
    b->dir = -1;
    rmdir(b->path);
}

int cgroup_make(const struct cgroup_base *b, uint32_t number)
{
    char name[16];
    int fd;

    if (b->dir < 0)
        return -ENOTSUP;
    snprintf(name, sizeof name, "%" PRIu32, number);
    if (mkdirat(b->dir, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(b->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

pid_t cgroup_fork(int dir)
{
    struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
    long pid;

    if (dir < 0)
        return fork();
    args.cgroup = (uint64_t)dir;
    pid = syscall(SYS_clone3, &args, sizeof args);
    /* A kernel or a sandbox without it: the process runs in ours. */
    return pid < 0 ? fork() : (pid_t)pid;
}

static int open_one(const struct cgroup_base *b, uint32_t number)
{
    char name[16];

    if (b->dir < 0)
        return -1;
    snprintf(name, sizeof name, "%" PRIu32, number);
    return openat(b->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void cgroup_figures(const struct cgroup_base *b, uint32_t number, struct cgroup_end *end)
{
    cleanup_close int dir = open_one(b, number);
    char text[64];

    *end = (struct cgroup_end){ 0 };
    if (dir < 0)
        return;
    end->cpu_us = flat_value(dir, "cpu.stat", "usage_usec");
    end->oom = flat_value(dir, "memory.events", "oom_kill") > 0;
    read_file(dir, "memory.peak", text, sizeof text);
    sscanf(text, "%" SCNu64, &end->memory_peak);
}

void cgroup_kill(const struct cgroup_base *b, uint32_t number)
{
    cleanup_close int dir = open_one(b, number);

    if (dir >= 0)
        write_file(dir, "cgroup.kill", "1");
}

void cgroup_remove(const struct cgroup_base *b, uint32_t number)
{
    char name[16];

    if (b->dir < 0)
        return;
    snprintf(name, sizeof name, "%" PRIu32, number);
    unlinkat(b->dir, name, AT_REMOVEDIR);
}
