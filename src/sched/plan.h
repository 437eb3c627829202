/*
 * plan.h - a placed run line as groups of processes and the wires between them: a pure function.
 *
 * A group is what one entry of procs/ runs: neighbours of the pipeline on one machine, joined there
 * by kernel pipes. Between groups stands a wire: the stdout of one feeds the stdin of the next.
 *
 * Files: a path under /oneos means the same everywhere, and so do a few devices (/dev/null); where
 * the stage runs, its child opens them. Any other is a file of the submitter's machine: there the
 * child opens it; else one more group on that machine, `cat`, opens it, and a wire joins them. A
 * stage whose 2> is such a file is a group of its own, so that the wire has its errors alone; a
 * wire may then join two groups of one machine.
 */
#ifndef ONEOS_SCHED_PLAN_H
#define ONEOS_SCHED_PLAN_H

#include "run/initc.h" /* struct init_redirect */
#include "sched/job_spec.h"

struct obuf;

#define PLAN_NONE (-1)

/* What one process executes. */
struct plan_proc {
    char *const *argv;       /* NULL-ended */
    char *const *env;        /* NULL-ended "K=V", over that of the job */
    struct init_redirect io; /* what the child opens itself, paths as in the line but absolute where
                              * the job has a cwd; /oneos/... is for plan_path() */
};

/* Groups of stages come first, in the order of the line; then those of files: of <, of >, and of
 * 2> stage by stage. The same record thus always gives the same numbers. */
struct plan_group {
    const char *machine;
    size_t first, n; /* of procs */
    bool file;       /* it is the `cat` of a redirection: when it fails, the job has failed */
    bool from_err;   /* its stdin is the stderr of the group in_from */
    int in_from;     /* the group whose output is its stdin; PLAN_NONE */
    int out_to;      /* the group whose stdin is its stdout; PLAN_NONE */
    int err_to;      /* the group whose stdin is its stderr; PLAN_NONE */
};

struct plan {
    struct plan_group *groups;
    size_t n;
    struct plan_proc *procs; /* first the stages of the line */
    size_t n_procs;
    int status_group; /* of the last stage: its exit is the job's */
    int stdin_group;  /* gets the job's stdin; PLAN_NONE: it has <, or is to have none */
    int stdout_group; /* gives the job's stdout; PLAN_NONE: it has > */
    char **paths;     /* NULL-ended, what io points into */
};

/* on: a machine for each stage; by: the submitter's. cwd: for a spec without one, what relative
 * paths begin with; NULL: the home directory, which only the machine knows; they stay relative and
 * are files of by. spec, on and by must outlive the plan. -EINVAL with words when the record makes
 * no sense; -ENOMEM; the plan is empty then. */
int plan_make(struct plan *out, const struct job_spec *spec, char *const *on, const char *by,
              const char *cwd, struct oerr *e);
void plan_free(struct plan *plan);

/* Whether the path, which need not be there, means the same on every machine because it lies under
 * /oneos. `..` is taken by its text. */
bool plan_shared(const char *path);

/* Appends path as this machine sees it: what lies under /oneos goes under mount. */
void plan_path(const char *path, const char *mount, struct obuf *out);

#endif
