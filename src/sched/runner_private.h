/*
 * runner_private.h - what the files of the runner share.
 *
 *   runner.c         runs: made, started, ended, forgotten; what the registry says of them
 *   runner_lease.c   the lease and the session
 *   runner_report.c  what ended, to the registry; time
 */
#ifndef ONEOS_SCHED_RUNNER_PRIVATE_H
#define ONEOS_SCHED_RUNNER_PRIVATE_H

#include "sched/runner.h"

#include <uthash.h>

#define RUN_TERM_MS     10000 /* from TERM to KILL */
#define LEASE_RENEW_MS  2000
#define LEASE_MARGIN_MS 1000 /* nothing is started with less of it left */
#define LEASE_KEEP_MS                                                                              \
    60000 /* it is renewed for so long after the last run: the next starts at once */
#define RETRY_MS    200
#define REPORT_MAX  256 /* ends in one command */
#define REPORTS_MAX 4   /* commands under way */

enum run_state {
    RUN_WANTED,
    RUN_STARTING,
    RUN_RUNNING,
    RUN_ENDED,
    RUN_REPORTING,
    RUN_TAKEN,
    RUN_STATES
};

struct rjob;

struct run {
    struct run_key key;
    struct rjob *job; /* NULL: it is gone from the registry */
    enum run_state at;
    enum job_cause why;  /* why we end it; JOB_NOT_ENDED: we do not */
    bool alone;          /* the only group of its job */
    bool carries;        /* it only carries a file: nothing was promised for it */
    uint64_t wanted;     /* since when */
    int64_t cpu, memory; /* what it has of the room */
    uint64_t begun;      /* when it was started */
    uint64_t kill_at;    /* 0: never */
    bool killed;
    uint64_t serial; /* of the report under way */
    struct job_end end;
    UT_hash_handle hh;          /* by key */
    struct run *prev, *next;    /* of the same state */
    struct run *before, *after; /* of the same job */
};

/* A job with runs here. */
struct rjob {
    char name[JOB_NAME_MAX];
    uint64_t uid;
    uint32_t attempt;    /* the highest that we know */
    uint64_t timeout_ms; /* 0: none */
    int64_t cpu, memory; /* promised to it here */
    bool seen;           /* since runner_sync(true) */
    size_t open;         /* groups whose end the registry has not */
    struct run *runs;    /* by before, after */
    UT_hash_handle hh;   /* by name */
};

struct runner {
    char self[ID_MAX];
    uint64_t boot;
    const struct runner_fx *fx;
    void *arg;
    struct run *all;
    struct rjob *jobs;
    struct run *list[RUN_STATES]; /* lists by state */
    size_t n[RUN_STATES];
    int64_t room_cpu, room_memory; /* 0: without end */
    int64_t used_cpu, used_memory; /* by those that are alive */
    size_t orphans;                /* of a job that is gone; alive until they have ended */

    struct runner_info info; /* this machine's record as last seen; session 0: none */
    bool synced; /* a barrier was answered: what is read now is not older than our start */
    bool unread; /* all records must be read before anything is started */
    uint64_t lease_until, busy_until;
    uint64_t barrier_sent, barrier_at;
    bool barrier_out;
    bool yielded; /* the session is over; what runs was told to end */
    bool claim_out;
    bool claim_doubt; /* one may have been made: a barrier will show */
    uint64_t claim_sent, claim_session;

    uint64_t serial, report_at, report_last;
    unsigned reports_out;

    uint64_t back_at; /* when the first that waits for room is given back; 0: none does */
    uint64_t timer;   /* no run has anything to do before; 0: none has */
    bool stopping;
};

/* runner.c */
extern const enum run_state run_alive[2];
struct run *run_find(const struct runner *r, const struct run_key *k);
void run_to(struct runner *r, struct run *run, enum run_state at);
void run_drop(struct runner *r, struct run *run); /* forgets a wanted one */
void run_end(struct runner *r, uint64_t now, struct run *run, enum job_cause cause, bool hard);
void run_taken(struct runner *r, struct run *run);
void run_times(struct runner *r, uint64_t now); /* TERM and KILL that are due */

/* runner_room.c */
bool run_is_alive(const struct run *run);
void room_promise(const struct job *j,
                  struct rjob *job);               /* what its spec, which was checked, asks for */
void room_use(struct runner *r, struct run *run);  /* it is alive now */
void room_free(struct runner *r, struct run *run); /* it is no more */
bool run_fits(const struct runner *r, const struct run *run); /* there is room for it now */

/* runner_lease.c */
void lease_give_back(struct runner *r, uint64_t now); /* what will not be started here */
void lease_step(struct runner *r, uint64_t now);
bool claim_due(const struct runner *r);
uint64_t barrier_due(const struct runner *r);           /* 0: none is wanted */
bool lease_valid(const struct runner *r, uint64_t now); /* runs may be started */

#endif
