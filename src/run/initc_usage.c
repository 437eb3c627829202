/*
 * initc_usage.c - live figures of a process, read where the kernel keeps them.
 *
 * With cgroups they are those of the cgroup. Without, the sum over the stages and their
 * descendants in /proc, at most WALK_MAX of them; what a process has reaped is in its own figures.
 */
#include "run/initc_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WALK_MAX 256
#define FRESH_MS 20 /* whoever looks more often sees the same figures again */

/* The number behind `key`, or the first one when key is ""; 0 when there is none. */
static uint64_t read_value(const char *path, const char *key)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    size_t n = strlen(key);
    char line[256];
    uint64_t v;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0 && sscanf(line + n, " %" SCNu64, &v) == 1)
            return v;
    return 0;
}

static void from_cgroup(const struct initc *c, const struct cproc *p, struct init_usage *u)
{
    char path[sizeof c->cgroups + 64];

    snprintf(path, sizeof path, "%s/%u/cpu.stat", c->cgroups, p->number);
    u->cpu_us = read_value(path, "usage_usec ");
    snprintf(path, sizeof path, "%s/%u/memory.current", c->cgroups, p->number);
    u->memory = read_value(path, "");
    snprintf(path, sizeof path, "%s/%u/memory.peak", c->cgroups, p->number);
    u->memory_peak = read_value(path, "");
}

/* Adds the figures of one process; false when it is gone or not of this group. */
static bool add_one(pid_t pid, pid_t group, struct init_usage *u)
{
    uint64_t ticks[4];
    char path[32], text[1024];
    long rss;
    int pgrp;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    cleanup_fclose FILE *f = fopen(path, "re");
    const char *paren = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;

    /* state ppid pgrp, eight that do not matter, utime stime cutime cstime, eight more, rss */
    if (!paren || sscanf(paren + 1,
                         " %*c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                         " %" SCNu64 " %" SCNu64 " %*d %*d %*d %*d %*u %*u %ld",
                         &pgrp, &ticks[0], &ticks[1], &ticks[2], &ticks[3], &rss) != 6)
        return false;
    if (group && pgrp != group)
        return false;
    for (int i = 0; i < 4; i++)
        u->cpu_us += ticks[i] * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    u->memory += (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

/* Appends the children of pid to the walk. */
static unsigned add_children(pid_t pid, pid_t *walk, unsigned n)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    cleanup_fclose FILE *f = fopen(path, "re");

    while (f && n < WALK_MAX && fscanf(f, "%d", &walk[n]) == 1)
        n++;
    return n;
}

static void from_proc(const struct cproc *p, struct init_usage *u)
{
    pid_t walk[WALK_MAX];
    unsigned n = 0;

    for (; n < p->npids; n++)
        walk[n] = p->pids[n];
    for (unsigned i = 0; i < n; i++)
        if (add_one(walk[i], i < p->npids ? p->pid : 0, u))
            n = add_children(walk[i], walk, n);
}

void initc_usage(struct initc *c, uint32_t number, struct init_usage *u)
{
    struct cproc *p = initc_find(c, number);
    uint64_t cpu_us;

    *u = (struct init_usage){ 0 };
    if (!p || p->state != CPROC_RUNNING)
        return;
    if (now_ms() < p->usage_until) {
        *u = p->usage;
        return;
    }
    if (*c->cgroups)
        from_cgroup(c, p, u);
    cpu_us = u->cpu_us;
    if (u->memory == 0 || cpu_us == 0) {
        from_proc(p, u);
        if (cpu_us)
            u->cpu_us = cpu_us;
    }
    if (u->memory > p->memory_peak)
        p->memory_peak = u->memory;
    if (u->memory_peak < p->memory_peak)
        u->memory_peak = p->memory_peak;
    p->usage = *u;
    p->usage_until = now_ms() + FRESH_MS;
}

bool initc_down(const struct initc *c)
{
    struct pollfd p = { .fd = c && c->watch ? c->watch->fd : -1 };

    return !c || c->state != CLINK_READY || poll(&p, 1, 0) < 0 || (p.revents & POLLHUP);
}
