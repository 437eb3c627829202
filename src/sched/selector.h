/*
 * selector.h - which machines: comma-joined terms, all of which must hold.
 *
 *     A            the machine A, or, where no machine is called so, one with the label A
 *     here         the submitter's machine
 *     !A  !gpu     not that machine, no such label
 *     zone=lab     also: zone!=lab, which holds where there is no zone
 *     cores>=4     also: > <= <; numbers, and sizes such as memory>=8GiB
 *
 * = and != compare text, but a size with its unit (memory=8GiB) as a size. Printable ASCII.
 */
#ifndef ONEOS_SCHED_SELECTOR_H
#define ONEOS_SCHED_SELECTOR_H

#include "base/err.h"

#include <stdbool.h>

#define SELECTOR_MAX 4096 /* bytes */
#define SELECTOR_WHY 160

struct selector;

/* What there is to know of one machine. */
struct selector_facts {
    const char *id;
    bool here; /* it is the submitter's */
    /* The value of a label, "" for one without, NULL where there is none. cores, memory (in bytes),
     * arch, os and hostname are labels of every machine. */
    const char *(*label)(void *arg, const char *key);
    /* Whether some machine is called so; NULL: not known, a label counts then. */
    bool (*is_id)(void *arg, const char *id);
    void *arg;
};

/* text without the @ of the run line. -EINVAL with words, *out is NULL then; -ENOMEM. */
int selector_parse(const char *text, struct selector **out, struct oerr *e);
void selector_free(struct selector *sel); /* NULL is allowed */

/* Whether all terms hold; when not, and unless why is NULL, a phrase about the first that does not:
 * "has no label gpu", "zone is attic, not lab", "has 2 cores, 4 are wanted". A selector that is
 * NULL holds everywhere. */
bool selector_match(const struct selector *sel, const struct selector_facts *f,
                    char why[SELECTOR_WHY]);

#endif
