/*
 * job_cmd.h - the commands that change jobs in the registry, and their fields.
 *
 * All are typed and carried out once (registry.h). Fields are NULL without memory. They answer 0,
 * or with words: -EINVAL a bad value; -ENOENT no such job, or no longer the one with that uid;
 * -EBUSY not in this state. Who may change a job is for the caller to check.
 *
 * Keys: job/NAME; jobs {next, uid, n}; unended/USER: how many jobs he has that have not ended,
 * where there are any; runner/ID {session, fenced_us}; placed/ID/NAME: the uid of a job that has a
 * group on that machine which has not ended. A user's newest job is not kept: it is the one with
 * the highest uid.
 */
#ifndef ONEOS_SCHED_JOB_CMD_H
#define ONEOS_SCHED_JOB_CMD_H

#include "sched/job.h"

#define JOBS_MAX 200000 /* in one registry */
/* Not ended, of each user but root: half of them all is for those that have ended. */
#define JOBS_USER_MAX (JOBS_MAX / 4)
#define UNENDED_KEY   "unended/"
#define RUNNER_KEY    "runner/"
#define PLACED_KEY    "placed/"
#define JOB_PAUSE_US  1000000ull         /* before the first restart; doubles... */
#define JOB_PAUSE_MAX (300 * 1000000ull) /* ...up to this */

extern const struct registry_command job_commands[];

/* job.make: result {"name", "uid"}, and "placed" (see job_advice()). name "": the next number. spec
 * {}: a new job; with "run" and `start` it is pending at once, or held. -EEXIST, -ENOSPC, -EDQUOT.
 * When a job with `array` is run, its elements NAME.I are made too. `after` names jobs that were
 * run already, else -EINVAL or -EBUSY; so there are no circles. These fields take spec. */
json_t *job_make_fields(const char *name, const char *user, const char *by, json_t *spec,
                        bool start, bool held, uint64_t now_us);
/* job.make with many, in one command: result {"names": [...]}; all or none. */
json_t *job_make_many_fields(const char *user, const char *by, json_t *specs, uint64_t now_us);

/* job.set: the keys of patch replace those of the spec (null: taken out). Only of a new or held
 * job; `after` and `array` only of a new one. job.run: new -> pending (or held), with what the spec
 * has and patch ("run"). These take patch, which may be NULL. */
json_t *job_set_fields(const char *name, uint64_t uid, json_t *patch);
json_t *job_run_fields(const char *name, uint64_t uid, json_t *patch, uint64_t now_us);

/* Of an array: all elements that are pending, held, not over. */
json_t *job_hold_fields(const char *name, uint64_t uid);
json_t *job_release_fields(const char *name, uint64_t uid, uint64_t now_us);
/* job.cancel: pending, held, new: over at once; running: the runners end it. -EBUSY over already.
 */
json_t *job_cancel_fields(const char *name, uint64_t uid, const char *user, uint64_t now_us);

/* job.place, of the scheduler under its epoch, many in one command. Each must still be pending
 * with that attempt, else that one is left out; machines must not be fenced. result {"left":
 * [...]}.
 */
struct job_place {
    const char *name;
    uint64_t uid;
    uint32_t attempt;      /* the new one: the record's + 1 */
    const char *const *on; /* a machine for each stage */
    size_t n_on;
    const char *const *groups; /* a machine for each group (plan.h) */
    size_t n_groups;
    unsigned status_group;
};
json_t *job_place_fields(uint64_t epoch, const struct job_place *places, size_t n, uint64_t now_us);

/* Part of job.make: where it is placed at once (of p without name, uid and attempt), as the
 * scheduler in that epoch advises; id: its own. The result of job.make has "placed": true then.
 * Where this cannot be any more, or the job is not pending, it is left as it is. */
json_t *job_advice(uint64_t epoch, uint64_t id, const struct job_place *p);

/* job.refuse, of the scheduler: pending -> failed, cause not begun. exit 126 or 127. */
json_t *job_refuse_fields(uint64_t epoch, const char *name, uint64_t uid, int exit,
                          const char *words, uint64_t now_us);

/* job.end, of a runner: many in one command; what is not (or no longer) that attempt's, or has
 * ended before, is left out. When the last group has ended the job is over, or pending again. */
struct job_ended {
    const char *name;
    uint64_t uid;
    uint32_t attempt;
    unsigned group;
    struct job_end end;
};
json_t *job_end_fields(const char *machine, uint64_t session, const struct job_ended *ends,
                       size_t n, uint64_t now_us);

/* A machine's *session* spans restarts of its daemon; it ends with oneos-init (a boot), or by a
 * fence. runner.claim: a machine begins a new one; what was placed there before and has not ended
 * is lost (it must have ended its processes). runner.fence, of the scheduler: that session may
 * renew no lease, nothing is placed there. job.lost, of the scheduler, when the lease of a fenced
 * session is over for sure: what was placed there is lost. */
json_t *runner_claim_fields(const char *machine, uint64_t session, uint64_t now_us);
json_t *runner_fence_fields(uint64_t epoch, const char *machine, uint64_t session, uint64_t now_us);
json_t *job_lost_fields(uint64_t epoch, const char *machine, uint64_t session, uint64_t now_us);

struct runner_info {
    uint64_t session;
    uint64_t fenced_us; /* 0: it is not */
};
int runner_info_decode(const json_t *value, struct runner_info *out);

/* job.forget: removes those that are over or new, of an array with its elements; others are left
 * out (of one: -EBUSY, -ENOENT), result {"left": [...]}. Elements go only with their array. */
struct job_id {
    const char *name;
    uint64_t uid;
};
json_t *job_forget_fields(const struct job_id *ids, size_t n);

#endif
