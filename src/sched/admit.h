/*
 * admit.h - what of a job can be refused at once: a pure function over what is known of the
 * machines, also of those that are dead now.
 *
 * What no machine could ever run is refused in words; what only has to wait is not.
 */
#ifndef ONEOS_SCHED_ADMIT_H
#define ONEOS_SCHED_ADMIT_H

#include "sched/job_spec.h"
#include "sched/selector.h"

#include <stddef.h>
#include <stdint.h>

struct admit_machine {
    struct selector_facts facts;
    bool known;         /* false: it was not heard since this daemon began; it may have anything */
    unsigned cpu_milli; /* all that it has */
    uint64_t memory;
};

/* -EINVAL with words. */
int admit(const struct job_spec *spec, const struct admit_machine *machines, size_t n,
          struct oerr *e);

#endif
