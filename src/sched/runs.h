/*
 * runs.h - jobs on this machine: runner.h joined to the registry, to procs and to links; and the
 * streams of jobs, wherever they run.
 *
 * A wire goes from the machine that writes to the one that reads: the reader's opens a channel with
 * the spec {"run": {...}}, and the writer's answers it with the raw output of the process, which it
 * waits for at most RUNS_WIRE_MS. A channel that breaks kills who reads from it.
 *
 * Core loop only.
 */
#ifndef ONEOS_SCHED_RUNS_H
#define ONEOS_SCHED_RUNS_H

#include "cluster/replica.h"
#include "run/procs.h"
#include "sched/runner.h"

#define RUNS_WIRE_MS 10000

struct runs;

struct runs_options {
    const char *self;
    struct cluster *cluster;
    struct replica *replica; /* it knows job_commands */
    struct procs *procs;     /* made already: the processes of the daemon before are taken up */
    struct links *links;
};

int runs_create(struct runs **out, struct loop *core, const struct runs_options *opt,
                struct oerr *e);
/* Nothing more is begun, and nobody asked; before procs_close(). */
void runs_close(struct runs *r);
void runs_destroy(struct runs *r); /* after procs, links, replica are; NULL: nothing */
void runs_set_mount(struct runs *r, const char *mount); /* "": nowhere */

/* The machine leaves: what runs ends (TERM, KILL after 10 s) as lost. */
void runs_stop(struct runs *r);
bool runs_quiet(const struct runs *r);

/* A channel of another machine with this spec is ours; then: the stream for it, as link_accept()
 * takes it. -ESTALE: of an attempt that is over. */
bool runs_spec(const json_t *spec);
int runs_serve(struct runs *r, const json_t *spec, struct stream **out, int *dir);

/* Another machine asks (BUS_JOB). */
void runs_asked(struct runs *r, struct bus_ask *ask, const json_t *body);

/* The job's stdin (a writer), stdout or stderr (readers, from the first byte kept), of its last
 * attempt, or of the next where none has begun: until then requests wait. A reader's end of file
 * comes when the attempt is over, and is -EIO when it was lost. What the line sends to a file, or
 * takes from one, is empty (readers), or not there (-EPIPE). -ENOENT: no such job; -EINVAL: it is
 * an array, its elements have streams. */
int runs_open(struct runs *r, const char *job, enum proc_stdio which, struct stream **out);

/* A stream that blocks until the job is over, then gives its verdict, a line, and end of file. */
int runs_wait(struct runs *r, const char *job, struct stream **out);

/* To all its processes on all machines; done is called once, later. -ENOENT; -ESRCH with words: it
 * is not running. */
int runs_signal(struct runs *r, const char *job, int sig,
                void (*done)(void *arg, int rc, const char *text), void *arg, struct oerr *e);

void runs_status(const struct runs *r, struct runner_status *s);

#endif
