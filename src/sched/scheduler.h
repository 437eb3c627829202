/*
 * scheduler.h - the service "scheduler": sched.h joined to the registry, the members and the time.
 *
 * It runs on one machine at a time, under an epoch (services.h); all that it decides are commands
 * that carry this epoch. Between a job's coming into the registry here and its placement's leaving
 * stands no timer: what one turn of the loop brings is decided at the end of it. Core loop only.
 */
#ifndef ONEOS_SCHED_SCHEDULER_H
#define ONEOS_SCHED_SCHEDULER_H

#include "cluster/cluster.h"
#include "cluster/replica.h"
#include "cluster/services.h"
#include "sched/sched.h"

struct scheduler;

struct scheduler_ops {
    /* Ask the machine whether it can run that; answer by scheduler_probed() with the same id, also
     * from inside. NULL: all machines can. */
    void (*probe)(void *arg, uint64_t id, const char *machine, const struct sched_need *need);
    const char *(*near)(void *arg, const char *path); /* as in sched_fx; may be NULL */
};

/* cluster, replica, ops and options (NULL: sched_defaults) must outlive it. The replica knows
 * job_commands. */
int scheduler_create(struct scheduler **out, struct loop *core, struct cluster *cluster,
                     struct replica *replica, const struct sched_options *options,
                     const struct scheduler_ops *ops, void *arg);
void scheduler_destroy(struct scheduler *s); /* when the services are; before the replica is */

/* For services_offer(); its arg is the scheduler. */
extern const struct service_ops scheduler_service;

/* What the cluster hears, wherever the service runs: a member's state; what is known of it. */
void scheduler_member(struct scheduler *s, const struct member_view *v);
void scheduler_learned(struct scheduler *s, const char *machine);

/* The answer to ops.probe; exit as sched_probed(). One that comes late is dropped. */
void scheduler_probed(struct scheduler *s, uint64_t id, int exit, const char *words);

/* The machine that the scheduler is placed on, by the registry; -ENOENT: none yet. */
int scheduler_machine(struct scheduler *s, char id[ID_MAX]);

/* These answer on that machine only: -EAGAIN with words elsewhere, and while it still reads the
 * jobs. -ENOENT: there is no such job. */
int scheduler_why(struct scheduler *s, const char *name, struct obuf *out, struct oerr *e);
int scheduler_allocated(struct scheduler *s, const char *machine, struct sched_allocation *out);

#endif
