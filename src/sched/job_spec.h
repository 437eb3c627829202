/*
 * job_spec.h - what was asked of a job, as JSON that people read and write.
 *
 *     {"schema": 1, "run": LINE, "cpus": 2, "memory": "512MiB", "priority": 10, "retries": 2,
 *      "restart": "never"|"on-failure"|"always", "timeout": "2h 30min", "after": ["17", "train"],
 *      "place": "spread"|"pack", "near": "/oneos/fs/data", "array": "1-100", "env": {"K": "V"},
 *      "cwd": "/oneos/fs/x", "input": "open"|"none"}
 *
 * schema and run are always there, of the others only what differs from the default. A reader takes
 * more than is written: numbers as texts and the other way round (memory in bytes, timeout in
 * seconds), a single text where a list may be.
 */
#ifndef ONEOS_SCHED_JOB_SPEC_H
#define ONEOS_SCHED_JOB_SPEC_H

#include "sched/run_line.h"

#include <jansson.h>
#include <stdint.h>

#define JOB_SPEC_SCHEMA  1
#define JOB_PRIORITY_MAX 1000
#define JOB_RETRIES_MAX  1000
#define JOB_CPU_MAX      10000000 /* thousandths of a core */
#define JOB_AFTER_MAX    256
#define JOB_ARRAY_MAX    10000
#define JOB_ENV_MAX      1024
#define JOB_ENV_BYTES    (256 * 1024) /* of all of them */
#define JOB_PATH_MAX     4095

enum job_restart { JOB_RESTART_NEVER, JOB_RESTART_ON_FAILURE, JOB_RESTART_ALWAYS };
enum job_where { JOB_WHERE_ANY, JOB_WHERE_SPREAD, JOB_WHERE_PACK };

/* A growing list of texts, with a NULL behind the last; v is NULL while it was never filled. */
struct job_list {
    char **v;
    size_t n;
};

struct job_spec {
    struct run_line line; /* empty while the job is new */
    unsigned cpu_milli;   /* thousandths of a core, 1000 */
    uint64_t memory;      /* bytes; 0: none asked for */
    int priority;         /* -1000..1000; more comes first */
    unsigned retries;
    enum job_restart restart;
    uint64_t timeout_ms;   /* 0: none */
    struct job_list after; /* jobs that must have ended well, each once */
    enum job_where place;
    char *near; /* a path under /oneos, or NULL */
    bool array; /* it is one: elements first..last */
    unsigned array_first, array_last;
    struct job_list env; /* "K=V", each K once */
    char *cwd;           /* absolute, or NULL */
    bool no_input;       /* its stdin is empty, and has no writer */
};

/* -EINVAL with words that begin with the key; -ENOMEM. The spec is empty then. */
int job_spec_decode(const json_t *json, struct job_spec *spec, struct oerr *e);

/* The same of a text. */
int job_spec_parse(const char *text, size_t len, struct job_spec *spec, struct oerr *e);

/* Does the text end where JSON goes on? */
bool job_spec_is_begun(const char *text, size_t len);

/* Canonical, a new reference; NULL without memory. Of a new job it has no run. */
json_t *job_spec_encode(const struct job_spec *spec);

/* An empty one (all zero) is allowed. */
void job_spec_free(struct job_spec *spec);

/* `set KEY VALUE...`: what that changes in a spec (an object, {} at first, which may have no run
 * yet), as an object {KEY: value}, null for the default. KEY alone sets the default; `env K=V` adds
 * to those of the spec, `env K` takes away; `spread` and `pack` stand for `place spread` and
 * `place pack`. -EINVAL with words, *patch is NULL then. */
int job_spec_patch(const json_t *spec, int argc, char *const *argv, json_t **patch, struct oerr *e);

/* `run LINE`: the same of the line. */
int job_spec_patch_line(const char *text, size_t len, json_t **patch, struct oerr *e);

/* Puts a patch into a spec and all keys into their order, which makes a canonical one canonical
 * again. Nothing is checked. -ENOMEM: the spec is not to be used then. */
int job_spec_apply(json_t *spec, const json_t *patch);

/* The keys of `set`, in order, for manuals and completion; NULL at the end. */
struct job_spec_key {
    const char *name, *usage, *help;
};
const struct job_spec_key *job_spec_key(size_t i);

#endif
