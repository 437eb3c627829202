/*
 * scheduler_private.h - what the files of the scheduler share.
 *
 *   scheduler.c       life, time, steps; looking
 *   scheduler_feed.c  registry and members -> events of sched
 *   scheduler_early.c commands that make jobs -> where they go
 *   scheduler_act.c   effects of sched -> commands, and how they ended
 */
#ifndef ONEOS_SCHED_SCHEDULER_PRIVATE_H
#define ONEOS_SCHED_SCHEDULER_PRIVATE_H

#include "sched/scheduler.h"

struct flight;

/* An answer to a probe that came from inside of the question. */
struct probed {
    uint64_t id;
    int exit;
    char words[JOB_WORDS_MAX];
    struct probed *next;
};

struct scheduler {
    struct loop *core;
    struct cluster *cluster;
    struct replica *replica;
    struct sched_options options;
    struct scheduler_ops ops;
    void *arg;
    uv_timer_t step, look;

    /* While it runs; sched is NULL while it does not. */
    struct sched *sched;
    uint64_t epoch;
    uint64_t life; /* of how many it is; part of the ids of probes */
    bool stepping;
    struct oerr trouble; /* it must be begun anew; "": all is well */
    struct probed *probed;

    /* Reading all keys again; at: of which prefix, behind which key. */
    bool reading, again;
    size_t prefix;
    char after[REGISTRY_KEY_MAX];

    struct flight *flights; /* commands under way, and those of this step */
    unsigned flying;
};

extern const struct sched_fx scheduler_fx;

/* There is something to decide: at the end of this turn. */
void scheduler_wake(struct scheduler *s);
void scheduler_now(struct scheduler *s);                               /* before events */
void scheduler_trouble(struct scheduler *s, int rc, const char *what); /* rc < 0 counts */

/* scheduler_feed.c */
int feed_begin(struct scheduler *s);
void feed_end(struct scheduler *s);
void feed_read(struct scheduler *s); /* the next keys, for some milliseconds */
void feed_machine(struct scheduler *s, const struct member_view *v);
void feed_loads(struct scheduler *s);

extern const struct replica_adviser scheduler_advice; /* scheduler_early.c; arg: the scheduler */

/* scheduler_act.c */
void act_send(struct scheduler *s); /* what the step made */
bool act_full(const struct scheduler *s);
void act_drop(struct scheduler *s);
void act_probed(struct scheduler *s); /* hands in what was answered from inside */

#endif
