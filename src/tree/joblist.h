/*
 * joblist.h - the jobs of the registry in short, kept as they change: what a lookup or a listing of
 * jobs/ needs of each without reading its record. Core loop only.
 */
#ifndef ONEOS_TREE_JOBLIST_H
#define ONEOS_TREE_JOBLIST_H

#include "sched/job.h"

#include <uthash.h>

struct job_owner;
struct promise;

struct job_brief {
    uint64_t uid;
    enum job_state state;
    uint64_t changed_us; /* its last change that has a time */
    struct job_owner *owner;
    struct promise *promise; /* what it has been promised; NULL: it does not run */
    UT_hash_handle hh;
    char name[];
};

struct joblist;

/* Follows the registry, which must outlive it. -ENOMEM. */
int joblist_create(struct joblist **out, struct registry *r);
void joblist_destroy(struct joblist *l); /* NULL is allowed */

/* Borrowed, until the next change of the registry. NULL: there is none, as in a list that is NULL.
 */
const struct job_brief *joblist_find(struct joblist *l, const char *name);
const struct job_brief *joblist_newest(struct joblist *l, const char *user); /* the highest uid */
/* All, in the order in which they came; NULL first, NULL behind the last. */
const struct job_brief *joblist_next(const struct joblist *l, const struct job_brief *after);
const char *job_brief_user(const struct job_brief *b);

/* What the jobs that run were promised on a machine, in all: the cpus and memory of each once, and
 * how many groups of neighbours they have there. */
struct promised {
    unsigned cpu_milli, groups;
    uint64_t memory;
};
void joblist_promised(const struct joblist *l, const char *machine, struct promised *out);

/* fn is told of each that is new or is in another state, and of each that is gone. */
typedef void joblist_changed(void *arg, const struct job_brief *b, bool gone);
void joblist_on_change(struct joblist *l, joblist_changed *fn, void *arg);

/* Of a record: the time of its last change. */
uint64_t job_changed_us(const struct job *j);

#endif
