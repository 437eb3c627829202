/*
 * cgroup.h - a cgroup (v2) for each process, where the machine lets us have them.
 *
 * The choice is made once, at start. Without one every call does nothing and says so.
 */
#ifndef ONEOS_INIT_CGROUP_H
#define ONEOS_INIT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup_base {
    int dir; /* of the folder that holds a folder for each process; -1: there are no cgroups */
    char path[256];
};

struct cgroup_end {
    bool oom;
    uint64_t cpu_us, memory_peak; /* 0: not known */
};

/* Looks from our own cgroup upwards for one in which a folder with the memory controller can be
 * made. `given`: use this folder and whatever it offers instead; "none": do not use any. `key`
 * tells several oneos-inits apart. Cgroups that a killed predecessor left are killed. */
void cgroup_open(struct cgroup_base *b, const char *given, uint64_t key);
void cgroup_close(struct cgroup_base *b);

/* Makes that of a process; its descriptor for cgroup_fork, or -errno. */
int cgroup_make(const struct cgroup_base *b, uint32_t number);

/* fork, into the cgroup when dir >= 0. */
pid_t cgroup_fork(int dir);

void cgroup_figures(const struct cgroup_base *b, uint32_t number, struct cgroup_end *end);
void cgroup_kill(const struct cgroup_base *b, uint32_t number);
void cgroup_remove(const struct cgroup_base *b, uint32_t number); /* left alone while in use */

#endif
