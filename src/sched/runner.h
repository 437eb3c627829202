/*
 * runner.h - one machine's part in jobs: which groups it starts, ends and reports. Sans-I/O.
 *
 * A *run* is one group of one attempt of a job on this machine (job.h). The records of jobs say
 * which are wanted here; processes tell how they go; what ended is reported until the registry has
 * it. The output of a run is kept until its job is gone from the registry, or is placed anew.
 *
 *     wanted -> starting -> running -> ended -> reporting -> taken
 *
 * Nothing is started without a *lease*: a read barrier that showed this machine's session unfenced,
 * sent less than JOB_LEASE_MS ago. oneos-init has the same lease, and kills what runs when it ends.
 * The scheduler gives what was here to others only JOB_LEASE_MS and more after it has fenced the
 * session. So no group runs at the same time in two attempts.
 *
 * A *session* belongs to one boot of the machine: what was placed under it and has no process, not
 * even one that ended while there was no daemon, was never started, and is started. After another
 * boot the records of processes may be gone, so nobody knows what was started; after a fence others
 * may do what was placed here. Then everything here is ended, and a new session is claimed, by
 * which the registry makes lost what had not ended.
 *
 * Times are now_ms(). Effects may come from inside each event; they must not call back into the
 * runner.
 */
#ifndef ONEOS_SCHED_RUNNER_H
#define ONEOS_SCHED_RUNNER_H

#include "sched/job_cmd.h"

#define JOB_LEASE_MS 10000

struct runner;

struct run_key {
    uint64_t uid;
    uint32_t attempt, group;
};

struct runner_fx {
    /* Answer with runner_started(). */
    void (*start)(void *arg, const char *job, const struct run_key *k);
    /* Ends it, for this cause, by TERM, or by KILL: then with all that it left behind. Of one that
     * is starting: as soon as it has started. */
    void (*end)(void *arg, const struct run_key *k, int sig, enum job_cause cause);
    /* Its process and output are wanted no more; it is not running. */
    void (*forget)(void *arg, const struct run_key *k);
    /* job.end with these (ended_us 0: now). Answer with runner_reported() and the serial. later:
     * other groups of each of these jobs run on, so that nobody waits for it. */
    void (*report)(void *arg, uint64_t serial, uint64_t session, const struct job_ended *ends,
                   size_t n, bool later);
    /* Answer with runner_barriered(). */
    void (*barrier)(void *arg);
    /* From now on for ms; 0: what runs is killed now. */
    void (*lease)(void *arg, uint64_t ms);
    /* runner.claim. Answer with runner_claimed(). */
    void (*claim)(void *arg, uint64_t session);
};

#define RUNNER_WAIT_MS 1000 /* for room; then the run is given back (JOB_NOT_TAKEN) */

/* boot: of this boot of the machine, and of no other; its lowest 32 bits count. */
int runner_create(struct runner **out, const char *self, uint64_t boot, const struct runner_fx *fx,
                  void *arg);
/* What it has for jobs; until it is said, all are started at once. Those of one group wait for
 * room, and keep their order; of several they never wait. */
void runner_room(struct runner *r, int64_t cpu_milli, int64_t memory);
void runner_destroy(struct runner *r); /* no effects; NULL is allowed */

/* Before all else: the processes that were taken up again. end: NULL while it runs, for age_ms. */
int runner_adopt(struct runner *r, uint64_t now, const char *job, const struct run_key *k,
                 uint64_t age_ms, const struct job_end *end);

/* ---- what the registry has. All of it is read (runner_sync(true), each job, runner_sync(false))
 * at the start, after a restore, and whenever runner_unread() says so: until then nothing starts.
 */
bool runner_unread(const struct runner *r);
int runner_job(struct runner *r, uint64_t now, const struct job *j); /* -ENOMEM: give it again */
void runner_job_gone(struct runner *r, uint64_t now, const char *job);
void runner_sync(struct runner *r, uint64_t now, bool begin);
void runner_record(struct runner *r, uint64_t now, const struct runner_info *own); /* NULL: none */
/* Whether it has runs of this job; the names of all such jobs, to be freed (NULL: none, or no
 * memory). */
bool runner_knows(const struct runner *r, const char *job);
char (*runner_jobs(const struct runner *r, size_t *n))[JOB_NAME_MAX];

/* ---- answers to effects */
/* rc < 0: it could not be started; exit is then 126 or 127, and words say why. -EAGAIN without a
 * lease: it is tried again with the next one; -EPIPE: oneos-init was lost; -ENOSPC: this machine
 * lacks something for it, and did not try: it is given back (JOB_NOT_TAKEN, with the words). */
void runner_started(struct runner *r, uint64_t now, const struct run_key *k, int rc, int exit,
                    const char *words);
/* rc 0: the registry has them; -ESTALE: that was another session; -EAGAIN: it may, or may not. */
void runner_reported(struct runner *r, uint64_t now, uint64_t serial, int rc);
/* own: this machine's record as it can be read then. */
void runner_barriered(struct runner *r, uint64_t now, int rc, const struct runner_info *own);
void runner_claimed(struct runner *r, uint64_t now, int rc);

/* ---- processes */
/* end->cause: JOB_EXITED, JOB_KILLED, JOB_OOM, JOB_LOSS (its stdin, the lease, oneos-init). */
void runner_ended(struct runner *r, uint64_t now, const struct run_key *k,
                  const struct job_end *end);
/* oneos-init was lost, its processes have been told as ended; a new one runs, without a lease. */
void runner_init(struct runner *r, uint64_t now);

/* The machine leaves: everything is ended (TERM, KILL after 10 s), and lost. Quiet: all of it is
 * over and reported. */
void runner_stop(struct runner *r, uint64_t now);
bool runner_quiet(const struct runner *r);

/* Once for each turn of the loop in which something happened, and at runner_next() (0: never). */
void runner_step(struct runner *r, uint64_t now);
uint64_t runner_next(const struct runner *r);

/* For `status`: how many are wanted, alive, ended and not taken; the lease's rest in ms; words
 * while this machine may start nothing ("" else). */
struct runner_status {
    size_t wanted, alive, untaken, kept;
    uint64_t lease_ms, session;
    const char *trouble;
};
void runner_status(const struct runner *r, uint64_t now, struct runner_status *s);

#endif
