/*
 * want.h - what a job's spec asks of machines, as the scheduler looks at it.
 */
#ifndef ONEOS_SCHED_WANT_H
#define ONEOS_SCHED_WANT_H

#include "base/err.h"
#include "net/identity.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WANT_STAGES_MAX 64

enum want_place { WANT_ANY, WANT_SPREAD, WANT_PACK };

struct want_stage {
    const char *select;  /* NULL: any machine */
    const char *command; /* argv[0] */
    const char *path;    /* its PATH; NULL: what jobs have */
    const char *cwd;     /* where a relative command is looked for; NULL */
};

struct want {
    struct want_stage stages[WANT_STAGES_MAX];
    size_t n;
    unsigned cpu_milli;
    uint64_t memory, timeout_us; /* 0: none */
    int priority;
    bool endless; /* it is begun again whenever it ends */
    bool files;   /* <, > or 2> of the submitter's machine */
    enum want_place place;
    const char *near;
    char *const *after;
    size_t n_after;
    struct want_mem *mem; /* what all of it points into */
};

/* -EINVAL with words: nobody can read that; -ENOMEM. The want is empty then. */
int want_read(struct want *w, const json_t *spec, struct oerr *e);
void want_free(struct want *w);

/* The groups of an attempt whose stages are on those machines (job_place, plan.h). */
struct want_group {
    const char *machine; /* one of on, or by */
    bool file;           /* it only carries one: nothing is promised to it */
    size_t first, n;     /* its stages */
};
struct want_groups {
    struct want_group *v;
    size_t n;
    unsigned status;
};
int want_groups(const struct want *w, const char *const *on, const char *by,
                struct want_groups *out, struct oerr *e);
void want_groups_free(struct want_groups *g);

/* The same of a record: of its spec, and where its stages were placed, whose names the groups then
 * point to. -EINVAL: they do not fit together. */
int want_placed(const json_t *spec, char (*on)[ID_MAX], size_t n_on, const char *by,
                struct want_groups *out);

#endif
