/*
 * cgroup.h - a cgroup for each process that needs one, where the machine lets us have them.
 *
 * The choice is made once, at start:
 *
 *     v2 with the memory controller,  each process gets one: counted, limited, killed as a whole
 *     or given by --cgroup
 *     v2 without it (hybrid systems)  those that ask for it get one: killed as a whole
 *     v1 memory beside it             those with a memory limit get one of these too
 *     nothing                         every call does nothing and says so
 *
 * cpu_milli becomes cpu.weight (1000 is the usual 100): a promise for when the cores are busy, no
 * cap, so that an idle machine is not wasted.
 */
#ifndef ONEOS_INIT_CGROUP_H
#define ONEOS_INIT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup_base {
    int dir;          /* of the v2 folder that holds a folder for each process; -1: there is none */
    int v1;           /* the same for the memory controller of v1 */
    bool memory, cpu; /* controllers that v2 has here */
    bool every;       /* each process gets one of v2 */
    char path[256], v1_path[256];
};

struct cgroup_wish {
    bool track; /* to be found as a whole */
    uint64_t memory;
    unsigned cpu_milli;
};

/* What a process got. Close the descriptors once it is forked. */
struct cgroup {
    int dir, v1_procs; /* for cgroup_fork and cgroup_enter; -1: none */
    bool memory, cpu;  /* what of the wish is in force */
};

struct cgroup_end {
    bool oom;
    uint64_t cpu_us, memory_peak; /* 0: not known */
};

/* Looks from our own cgroup upwards for one in which a folder can be made, with the memory
 * controller if possible. `given`: use this v2 folder and whatever it offers instead; "none": do
 * not use any. `key` tells several oneos-inits apart. Cgroups that a killed predecessor left are
 * killed.
 */
void cgroup_open(struct cgroup_base *b, const char *given, uint64_t key);
void cgroup_close(struct cgroup_base *b);

void cgroup_make(const struct cgroup_base *b, uint32_t number, const struct cgroup_wish *w,
                 struct cgroup *g);
void cgroup_let_go(struct cgroup *g);

/* fork, into the v2 cgroup when *dir >= 0; *dir becomes -1 when that could not be. */
pid_t cgroup_fork(int *dir);
int cgroup_enter(int v1_procs); /* the child, into that of v1; -errno */

void cgroup_figures(const struct cgroup_base *b, uint32_t number, struct cgroup_end *end);
bool cgroup_empty(const struct cgroup_base *b, uint32_t number); /* also when there is none */
void cgroup_kill(const struct cgroup_base *b, uint32_t number);
void cgroup_remove(const struct cgroup_base *b, uint32_t number); /* left alone while in use */

#endif
