/*
 * pump.h - moves bytes from one stream to another, on whatever threads they answer.
 */
#ifndef ONEOS_RUN_PUMP_H
#define ONEOS_RUN_PUMP_H

#include "base/flow.h"
#include "base/loop.h"

struct pump;

/* Starts. Both streams are the pump's. carried: the flow that `from` is the carrier of, or NULL;
 * who waits there for his bytes to arrive waits for the sync of `to`. ended is called once on the
 * core loop: rc 0 when the source's end of file was reached (the streams are still open:
 * pump_resume or pump_end), or the -errno of what broke. */
int pump_start(struct pump **out, struct loop *core, struct stream *from, struct flow *carried,
               struct stream *to, void (*ended)(void *arg, int rc), void *arg);
void pump_resume(struct pump *p);

/* A pump that waits for its source does not see that its target broke: look now and then. Then it
 * is over, with -EPIPE. */
void pump_look(struct pump *p);

/* Closes both: `to` with how, `from` with how, and frees it. Only after ended. */
void pump_end(struct pump *p, int how);

/* Stops it in whatever state, closing both with how (< 0); ended is not called any more. */
void pump_stop(struct pump *p, int how);

#endif
