/*
 * runs_private.h - what the files of runs share.
 *
 *   runs.c         life; the runner's effects; one turn of the loop
 *   runs_reg.c     what the registry says, to the runner and to those who wait for jobs
 *   runs_start.c   a group of a plan becomes a process
 *   runs_wire.c    streams of single processes, here or elsewhere
 *   runs_open.c    streams of whole jobs
 *   runs_signal.c  signals to jobs
 */
#ifndef ONEOS_SCHED_RUNS_PRIVATE_H
#define ONEOS_SCHED_RUNS_PRIVATE_H

#include "base/flow.h"
#include "run/later.h"
#include "sched/plan.h"
#include "sched/runs.h"

/* The process of a run, from its start until it is forgotten. */
struct grun {
    struct runs *runs;
    struct run_key key;
    char job[JOB_NAME_MAX];
    uint32_t number; /* of procs */
    UT_hash_handle hh;
};

/* An effect that failed at once: the runner hears of it behind its step. */
struct failure {
    enum { START_FAILED, REPORT_FAILED, BARRIER_FAILED, CLAIM_FAILED } what;
    struct run_key key; /* of a start */
    uint64_t serial;    /* of a report */
    int rc;
    struct oerr words;
    struct failure *next;
};

/* Somebody wants a stream of a process that may not be here yet. */
struct want {
    struct run_key key;
    char job[JOB_NAME_MAX];
    enum proc_stdio which;
    bool wire;
    uint64_t until; /* 0: as long as it takes */
    struct later *later;
    struct want *prev, *next;
};

/* What is waited for of one job. */
struct jwatch {
    char name[JOB_NAME_MAX];
    struct flow *verdict; /* what runs_wait() gives; NULL: nobody waits */
    struct jopen *opens;
    struct gather *gathers;
    bool held; /* somebody looks at it now: it stays */
    UT_hash_handle hh;
};

struct runs {
    struct loop *core;
    char self[ID_MAX], mount[4096];
    struct cluster *cluster;
    struct replica *replica;
    struct procs *procs;
    struct links *links;
    struct runner *runner;
    uint32_t init; /* the oneos-init that runs */
    bool closing, adopting, reread, room_told;
    uv_idle_t soon; /* active: there is something to be done in this turn */
    uv_timer_t timer, second;
    unsigned handles;
    struct grun *gruns;
    struct failure *failures;
    struct want *wants;
    struct jwatch *watches;
};

void runs_soon(struct runs *r);
void runs_second(struct runs *r); /* there is something to be looked at within a second */
struct grun *runs_find(const struct runs *r, const struct run_key *k);

/* runs_reg.c */
int runs_read_job(struct runs *r, const char *name, struct job *out); /* -ENOENT */
/* This machine's record: 1, and 0 where there is none. */
int runs_read_own(struct runs *r, struct runner_info *out);
bool runs_read_all(struct runs *r); /* false: it must be tried again */
int runs_watch(struct runs *r);
void runs_unwatch(struct runs *r);

/* runs_start.c */
int runs_start(struct runs *r, const char *job, const struct run_key *k, struct oerr *e);
void runs_drop(struct runs *r, struct grun *g);
void runs_end_of(struct runs *r, struct proc *p, const struct init_end *end, struct job_end *out);
int runs_exit_of(int rc, const char *words); /* 126 or 127 */
/* What a job's record means. The spec and the list are the plan's ground: runs_unplan(). */
struct planned {
    struct job_spec spec;
    struct plan plan;
    char **on;
};
int runs_plan(const struct job *j, struct planned *out, struct oerr *e);
void runs_unplan(struct planned *p);

/* runs_wire.c: a stream of one process of a group, of the machine where it is placed. */
int wire_open(struct runs *r, const char *machine, const char *job, const struct run_key *k,
              enum proc_stdio which, bool wire, struct stream **out);
void wire_ready(struct runs *r, const struct grun *g); /* its process is there */
void wire_job(struct runs *r, const struct job *j);    /* its record has changed */
void wire_gone(struct runs *r, const char *job);
void wire_second(struct runs *r);
void wire_close(struct runs *r);

/* runs_open.c */
bool open_waits(const struct runs *r, const char *job); /* for its record to change */
void open_job(struct runs *r, const struct job *j);
void open_gone(struct runs *r, const char *job);
void open_second(struct runs *r);
void open_close(struct runs *r);

#endif
