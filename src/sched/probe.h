/*
 * probe.h - can this machine run that command, before a job is placed on it?
 *
 * Looking at files may hang (a dead file system), so each probe has a thread of its own that nobody
 * waits for: PROBE_THREADS at once, PROBE_USER_THREADS for one user, so that what hangs is the
 * user's own. The thread sees files as the user does. It never goes into /oneos, which this daemon
 * serves itself: whether that can run, only the start tells, and the answer is yes. The same holds
 * for what it may not read.
 *
 * BUS_RUNNABLE {"user", "command", "path", "cwd"} (as sched_need; absent where NULL) is answered
 * {"exit", "words"}. All on the core loop.
 */
#ifndef ONEOS_SCHED_PROBE_H
#define ONEOS_SCHED_PROBE_H

#include "cluster/cluster.h"
#include "sched/sched.h"

#define PROBE_MS           3000 /* the machine itself gives up then */
#define PROBE_ASK_MS       4000 /* and who asks it, then */
#define PROBE_THREADS      16
#define PROBE_USER_THREADS 2
#define PROBE_WAITING      1024 /* more at a time are refused */

struct probes;

/* self: this machine's id; mount: where this daemon's /oneos is ("": nowhere). cluster may be NULL
 * (only this machine can be asked then); it must outlive all but probes_destroy(). */
int probes_create(struct probes **out, struct loop *core, struct cluster *cluster, const char *self,
                  const char *mount);

/* After the cluster, which ends what other machines were asked. Ends what is under way here, with
 * -1. The loop must turn once more. NULL is allowed. */
void probes_destroy(struct probes *p);

/* exit 0: it can, or only the start tells; 126: it cannot, 127: there is no such command, both with
 * words; -1: nobody knows (no answer in time), with words. */
typedef void probe_done_fn(void *arg, int exit, const char *words);

/* Asks a machine, this one without the bus. done is called once, never from inside this call. Not
 * called when this fails: -EHOSTUNREACH, -EAGAIN (too many), -EINVAL, with words. */
int probe_ask(struct probes *p, const char *machine, const struct sched_need *need,
              probe_done_fn *done, void *arg, struct oerr *e);

/* BUS_RUNNABLE: somebody asks this machine. p may be NULL: not there yet. */
void probes_asked(struct probes *p, struct bus_ask *ask, const json_t *body);

#endif
