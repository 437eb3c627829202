/*
 * sched_world_private.h - what the world (sched_world.c) and the registry in it
 * (sched_world_registry.c) share.
 */
#ifndef ONEOS_TESTS_LIB_SCHED_WORLD_PRIVATE_H
#define ONEOS_TESTS_LIB_SCHED_WORLD_PRIVATE_H

#include "tests/lib/sched_world.h"

/* What the scheduler has asked for and was not carried out yet. */
struct todo {
    enum { DO_PLACE, DO_MAKE, DO_REFUSE, DO_PROBE, DO_FENCE, DO_LOST, DO_FORGET } what;
    char name[JOB_NAME_MAX], machine[ID_MAX], words[JOB_WORDS_MAX];
    uint64_t uid, id, session;
    uint32_t attempt;
    int exit;
    char (*on)[ID_MAX];
    size_t n_on;
    char (*groups)[ID_MAX];
    size_t n_groups;
    unsigned status;
    struct todo *next;
};

void todo_free(struct todo *t);

extern const struct sched_fx world_fx; /* what the scheduler asks for: each adds a todo */

/* The job is about to be made; true: the scheduler places it with that, as a todo says. */
bool world_early(struct world *w, struct world_job *j);

void world_job_free(struct world *w, struct world_job *j);

/* Adds or takes away what the stages of an attempt have, on one machine or (NULL) on all: cores and
 * memory once for each machine. */
void world_use(struct world *w, struct world_job *j, const char *id, int sign);

uint64_t world_now_ns(void); /* of this thread's time on a processor */

/* Prints the log and why, and aborts. */
void world_die(const struct world *w, const char *fmt, ...);

#endif
