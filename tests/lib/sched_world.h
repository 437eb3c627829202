/*
 * sched_world.h - what a scheduler lives among, for its tests: machines, records of jobs, answers.
 *
 * It carries out what the scheduler asks for as the registry and the machines would, at once or
 * when told to, writes each effect as a line of text, and checks what must always hold: nothing is
 * placed on a machine that may not have it, no machine is promised more than it has, no job has two
 * attempts at once.
 */
#ifndef ONEOS_TESTS_LIB_SCHED_WORLD_H
#define ONEOS_TESTS_LIB_SCHED_WORLD_H

#include "sched/sched.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define WORLD_WALL_US 1700000000000000ull /* at now_ms 0 */

struct world_machine {
    char id[ID_MAX];
    enum sched_health health;
    bool draining;
    unsigned cores;
    uint64_t memory;
    json_t *labels, *info;
    uint64_t incarnation, session;
    bool fenced;
    int64_t used_cpu, used_memory;
    unsigned gpus, used_gpus; /* of the label gpus */
    UT_hash_handle hh;
};

struct world_job {
    struct job r;
    unsigned cpu_milli;
    uint64_t memory;
    unsigned retries;
    unsigned gpus[3]; /* that each of its first stages takes */
    bool freed[64];   /* of its stages: what they had on their machine was given back */
    bool begun;
    uint64_t first_ms; /* when it was first begun */
    /* For who simulates: how long an attempt takes, when this one ends, until when an earlier one
     * may have run, and what it is. */
    uint64_t runs_ms, ends_ms, until_ms;
    unsigned kind;
    size_t place;
    bool making; /* the command that makes it is under way, with a placement */
    UT_hash_handle hh;
};

struct world {
    struct sched *s;
    struct sched_options options;
    uint64_t now_ms;
    uint64_t uid;
    struct world_machine *machines;
    struct world_job *jobs; /* by name */
    struct obuf log;
    bool logs;
    bool early; /* jobs are placed with their making, where that can be */
    bool hold;  /* placements and the like are carried out by world_commit() only */
    bool mute;  /* probes are not answered */
    uint64_t sessions;
    /* Whether a machine can run that: 0, 126, 127, -1; NULL: all can. words may be set. */
    int (*can)(void *arg, const char *machine, const struct sched_need *need, const char **words);
    void (*placed)(void *arg, struct world_job *j); /* a new attempt runs; may be NULL */
    /* What an attempt has on that machine was lost; may be NULL. */
    void (*gone)(void *arg, struct world_job *j, const char *machine);
    const char *(*near)(const char *path);
    void *arg;
    struct todo *todo, **todo_end;
    uint64_t ns, effects_ns; /* that the scheduler took, for steps and records */
    unsigned long placements, losses, refusals, forgotten, probes, fences;
};

void world_open(struct world *w, const struct sched_options *o);
void world_close(struct world *w);
/* Another scheduler takes over: it is told all jobs, then all machines; what the old one asked for
 * and was not carried out never happens. */
void world_restart(struct world *w);

/* labels: "gpus=2 zone=lab", or NULL. */
struct world_machine *world_machine(struct world *w, const char *id, unsigned cores,
                                    unsigned memory_mib, const char *labels);
struct world_machine *world_find(struct world *w, const char *id);
void world_health(struct world *w, const char *id, enum sched_health h);
void world_drain(struct world *w, const char *id, bool on);
void world_claim(struct world *w, const char *id); /* it begins a new session */

/* A pending job; spec: JSON text with ' for ". name NULL: the next number. */
struct world_job *world_job(struct world *w, const char *name, const char *user, const char *by,
                            const char *spec);
struct world_job *world_job_json(struct world *w, const char *name, const char *user,
                                 const char *by, json_t *spec); /* takes it */
struct world_job *world_job_of(struct world *w, const char *name);
void world_tell(struct world *w, struct world_job *j);       /* its record, as it is now */
void world_end(struct world *w, const char *name, int exit); /* its attempt has ended */
void world_end_job(struct world *w, struct world_job *j, enum job_cause cause, int exit);
/* What it has on that machine is lost, and so is all of it when the others hear of it. */
void world_lose(struct world *w, struct world_job *j, const char *id);
void world_cancel(struct world *w, const char *name);

/* Steps, and what is asked for is done, until nothing is left to do now. */
void world_go(struct world *w);
void world_commit(struct world *w);              /* what was held */
void world_pass(struct world *w, uint64_t ms);   /* time passes, with steps when they are due */
void world_to(struct world *w, uint64_t now_ms); /* only the clocks */

/* The log since the last call. */
const char *world_log(struct world *w);
const char *world_why(struct world *w, const char *name);

#endif
