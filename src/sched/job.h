/*
 * job.h - a job as the registry keeps it: what was asked, where it is, how each part ended.
 *
 * Key job/NAME. A job is known by its uid, which is never used again; a name can be forgotten and
 * made anew. States:
 *
 *     new -> pending            run
 *     pending <-> held          hold, release
 *     pending -> running        the scheduler placed it: a new *attempt*
 *     running -> pending        an attempt is over and another one follows (retries, restart)
 *     running -> done           exit 0
 *     running -> failed         another exit, a signal, memory, its time; or it could not start
 *     running -> lost           a machine of it was lost, or its stdin's writer
 *     any but the last four -> cancelled
 *     pending -> failed         no machine can run it: exit 126 or 127, with words
 *
 * An attempt has *groups* (plan.h), each on one machine; it is over when each has ended. How it
 * ended is the end of its status group, but where a group could not start, was lost, ran out of its
 * time or of memory: then that, in this order. One of which a machine never tried to start its
 * part, and nothing else began, is placed again. `retries` says how often it is begun again at
 * most; `restart` without `retries`: without end, but for what could not start.
 */
#ifndef ONEOS_SCHED_JOB_H
#define ONEOS_SCHED_JOB_H

#include "cluster/registry.h"
#include "net/identity.h" /* ID_MAX */

#define JOB_NAME_MAX   72 /* with its NUL; of what users choose at most 64 bytes */
#define JOB_USER_MAX   64
#define JOB_WORDS_MAX  200
#define JOB_CHOSEN_MAX 64    /* bytes of a name that a user chose */
#define JOB_GROUPS_MAX 192   /* 64 stages, and files beside them */
#define JOB_ARRAY_MAX  10000 /* elements of one array */
#define JOB_AFTER_MAX  256
#define JOB_KEY        "job/"

enum job_state {
    JOB_NEW,
    JOB_HELD,
    JOB_PENDING,
    JOB_RUNNING,
    JOB_DONE,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_LOST
};
const char *job_state_name(enum job_state s);
static inline bool job_is_over(enum job_state s)
{
    return s >= JOB_DONE;
}

/* Why a group, or the job, ended as it did. */
enum job_cause {
    JOB_NOT_ENDED,
    JOB_EXITED,    /* by itself, with `exit` */
    JOB_KILLED,    /* by `signal` */
    JOB_OOM,       /* by its memory limit */
    JOB_TIMEOUT,   /* by its time limit */
    JOB_LOSS,      /* its machine or the writer of its stdin was lost, or it was fenced */
    JOB_CANCEL,    /* by `cancel`, or since another group of it failed to start or was lost */
    JOB_NOT_BEGUN, /* it could not be started: `exit` is 126 or 127, `words` say why */
    JOB_NOT_TAKEN, /* its machine never tried to start it */
};
const char *job_cause_name(enum job_cause c);

/* How one group ended. */
struct job_end {
    enum job_cause cause;
    int exit, signal; /* exit -1: by a signal */
    uint64_t started_us, ended_us, cpu_us, memory_peak;
    char words[JOB_WORDS_MAX];
};

struct job_group {
    char machine[ID_MAX];
    struct job_end end;
};

struct job {
    char name[JOB_NAME_MAX];
    uint64_t uid;
    char user[JOB_USER_MAX]; /* by name, on every machine */
    char by[ID_MAX]; /* the machine it was submitted on: @here, and whose files < and > are */
    enum job_state state;
    bool hold;      /* new: it will be held when it is run */
    bool cancelled; /* asked for; it may still be running */
    char cancelled_by[JOB_USER_MAX];
    uint32_t attempt;  /* of the current or last placement, from 1; 0: never placed */
    uint32_t restarts; /* attempts that were not the last */
    uint64_t made_us, queued_us, not_before_us, started_us, ended_us;
    json_t *spec;       /* canonical (job_spec.h); owned */
    char (*on)[ID_MAX]; /* the machine of each stage of the current or last attempt; owned */
    size_t n_on;
    struct job_group *groups; /* of that attempt; owned */
    size_t n_groups;
    unsigned status_group;    /* whose end is the job's */
    struct job_end end;       /* of the job, when it is over; while it waits after a restart: of the
                                 attempt before */
    char array[JOB_NAME_MAX]; /* an element of this array job; "": of none */
    int index;                /* ... its place there; -1 */
    json_t *counts;           /* an array job itself: {"pending": n, ...} of its elements; owned.
                                 It is never placed; its state follows from theirs: held, pending,
                                 running once one was begun, and at last the worst of theirs */
};

/* -EPROTO: it is none. What is in out is the caller's: job_clear(). */
int job_decode(const char *name, const json_t *value, struct job *out);
json_t *job_encode(const struct job *j); /* NULL without memory */
void job_clear(struct job *j);

/* 0 when somebody may name a job like this: [A-Za-z][A-Za-z0-9._-]*, not what jobs/ has beside
 * jobs; else -EINVAL or -ENAMETOOLONG with words. */
int job_check_name(const char *name, struct oerr *e);

/* The line that `wait` gives: exit N, signal NAME, lost ID, cancelled, timeout. Of a job that is
 * not over: its state. */
void job_verdict(const struct job *j, char line[128]);

#endif
