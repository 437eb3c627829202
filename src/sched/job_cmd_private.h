/*
 * job_cmd_private.h - what the files of the commands about jobs share.
 *
 * A command sees the registry as it was before it, so the jobs that it changes are kept in a *work*
 * from the first look until all are stored at its end.
 */
#ifndef ONEOS_SCHED_JOB_CMD_PRIVATE_H
#define ONEOS_SCHED_JOB_CMD_PRIVATE_H

#include "cluster/registry_tables.h"
#include "sched/job_state.h"

#define JOBS_KEY "jobs"

struct work_job;
struct tally;

struct work {
    struct registry_txn *t;
    bool bounded; /* it may be refused for JOBS_USER_MAX */
    struct work_job *jobs;
    struct tally *tallies;
    struct {
        bool loaded, changed;
        json_int_t next, uid, n;
    } head; /* of the key `jobs` */
};

/* Stores what changed when rc is 0, and frees all; rc, or why it could not. */
int work_end(struct work *w, int rc);

/* The job as this command left it so far; what it is then given (or made from) is stored at the
 * end. -ENOENT; -EPROTO, -ENOMEM. work_find() is for looking only. */
int work_find(struct work *w, const char *name, struct job **out);
int work_change(struct work *w, const char *name, struct job **out);
int work_add(struct work *w, const char *name, struct job **out); /* there is none: {} */
int work_drop(struct work *w, const char *name);
int work_head(struct work *w);

/* The job that a command names, with its uid, to be changed; -ENOENT with words. */
int work_named(struct work *w, const json_t *cmd, struct job **out, struct oerr *e);
int work_uid(struct work *w, const char *name, uint64_t uid, struct job **out, struct oerr *e);

/* The job is in this state from now on; its array hears of it. */
int work_move(struct work *w, struct job *j, enum job_state to);
int work_move_over(struct work *w, struct job *j, enum job_state to, const struct job_end *end,
                   uint64_t now);

/* fn for each element of an array job that was run; up to the first that fails. */
int work_elements(struct work *w, const struct job *array,
                  int (*fn)(struct work *w, struct job *element, void *arg), void *arg);

/* A machine has something of this job that has not ended, or no longer. */
int work_placed(struct work *w, const struct job *j, const char *machine, bool yes);
int work_runner(struct work *w, const char *machine, struct runner_info *out);

int malformed(const json_t *cmd, struct oerr *e);
json_int_t time_of(const json_t *cmd, struct oerr *e); /* at_us; -1 with words */
bool uid_of(const json_t *o, const char *key, uint64_t *out);

/* The commands, by the file that has them. */
typedef int job_apply(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e);
job_apply job_make, job_make_many, job_set, job_run;                   /* job_cmd_make.c */
job_apply job_hold, job_release, job_cancel, job_forget;               /* job_cmd_change.c */
job_apply job_place, job_refuse, runner_claim, runner_fence, job_lost; /* job_cmd_place.c */
job_apply job_end;                                                     /* job_cmd_end.c */

/* job_tally.c: one more of the user is being made: 0, or -EDQUOT with words. A job of his that has
 * not ended is there from now on (by 1), or no longer (by -1). Stores what changed when rc is 0,
 * and frees all; rc, or why it could not. */
int tally_room(struct work *w, const char *user, struct oerr *e);
int tally_move(struct work *w, const char *user, int by);
int tally_end(struct work *w, int rc);
/* Whether the command is of a schema that knows the bound: all machines answer alike. */
bool tally_bounds(const json_t *cmd);

/* job_cmd_place.c: places a pending job as the scheduler advised; 1: not, it is left as it is. */
int job_place_advised(struct work *w, struct job *j, const json_t *advice, uint64_t now);

/* job_cmd_end.c: what the machine has of the job is lost; in it the job may be over. */
int job_lose(struct work *w, const char *machine, uint64_t now);

#endif
