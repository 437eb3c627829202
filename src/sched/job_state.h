/*
 * job_state.h - what may become of a job, and how its attempts are judged: pure functions, of the
 * commands about jobs and their tests.
 */
#ifndef ONEOS_SCHED_JOB_STATE_H
#define ONEOS_SCHED_JOB_STATE_H

#include "sched/job_cmd.h"

enum job_act {
    ACT_SET,
    ACT_RUN,
    ACT_HOLD,
    ACT_RELEASE,
    ACT_CANCEL,
    ACT_PLACE,
    ACT_REFUSE,
    ACT_FORGET
};
/* The state that follows; -EBUSY with words. */
int job_act(const struct job *j, enum job_act act, enum job_state *to, struct oerr *e);
const char *job_act_past(enum job_act act); /* "held", "cancelled", ... */

/* Whether each group of the attempt has ended; then job_settle() judges it: sets the end, the
 * times, and what belongs to a restart. The state that follows: over, or pending again. */
bool job_attempt_over(const struct job *j);
enum job_state job_settle(struct job *j, uint64_t now);

/* Of the spec of an array job: 0, 1 where it is none, -EINVAL. */
int job_array_of(const json_t *spec, unsigned *first, unsigned *last);
/* An element's state is another than `from` now: for the counts, state and end of its array. */
int job_array_tell(struct job *array, const struct job *element, enum job_state from);

/* What the commands themselves must rely on in a spec; all else is job_spec.h's. */
int job_check_spec(const json_t *spec, struct oerr *e);

/* The fields of an end, in the object that they stand in. */
bool job_end_read(const json_t *o, struct job_end *end);
bool job_end_write(json_t *o, const struct job_end *end);   /* false: no memory */
void job_end_words(struct job_end *end, const char *words); /* cut, and made UTF-8 */

#endif
