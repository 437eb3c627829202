/*
 * job_spec_private.h - the table of keys, between job_spec.c and job_spec_keys.c.
 */
#ifndef ONEOS_SCHED_JOB_SPEC_PRIVATE_H
#define ONEOS_SCHED_JOB_SPEC_PRIVATE_H

#include "sched/job_spec.h"

/* One key. A value of JSON becomes words, so that `set` and specs have one reader. */
struct spec_key {
    struct job_spec_key shown;
    int max;    /* words, -1: any number; it is never set from none */
    bool pairs; /* an object stands for words K=V */
    int (*set)(struct job_spec *spec, int argc, char *const *argv, struct oerr *e);
    json_t *(*get)(const struct job_spec *spec); /* null at the default; NULL: no memory */
    void (*reset)(struct job_spec *spec);        /* to the default */
};

/* Ended by a row without a name; in the order of the canonical text. */
extern const struct spec_key spec_keys[];

void job_list_free(struct job_list *list);

/* Appends a copy. -ENOMEM. */
int job_list_add(struct job_list *list, const char *text);

#endif
