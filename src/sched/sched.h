/*
 * sched.h - which job runs where, and when: sans-I/O.
 *
 * The owner (a service on one machine at a time) tells it what it hears: machines, their runners,
 * jobs, answers of probes, the time. sched_step() decides and calls the effects. No clock, socket
 * or random source in here; the same events give the same decisions.
 *
 * Two clocks, set by sched_time(): `now_ms` is monotonic and measures waiting (leases, probes);
 * `wall_us` is what the records have (pauses, ends, ages).
 *
 * What a job is promised: its `cpus` and `memory`, once on each machine that has stages of it;
 * nothing for the groups that only carry a file. A machine never
 * promises more than it has. A term NAME>=N of a selector, on a label that is a whole number,
 * takes N of it for as long as the job runs there (gpus>=1); of cores and memory it only asks.
 *
 * Order: priority, then the user with the smaller share (fair.h), then age. The first job of
 * its kind that does not fit has a machine kept for it; others go there only when they end before
 * it could start, by their timeouts, or do not take what it needs. What is kept is kept until that
 * job starts, or one of higher priority takes it.
 */
#ifndef ONEOS_SCHED_SCHED_H
#define ONEOS_SCHED_SCHED_H

#include "base/buf.h"
#include "sched/job_cmd.h"

struct sched;

/* What a command needs of a machine, for a probe there. NULL where the job says nothing. */
struct sched_need {
    const char *user, *command; /* argv[0] */
    const char *path;           /* its PATH, else the one that jobs have */
    const char *cwd;            /* only where command is relative and has a / */
};

struct sched_options {
    bool fair;             /* false: users have no shares, only priority and age count */
    bool backfill;         /* false: nobody goes before the first that does not fit */
    bool pack;             /* where the job does not say: the fullest machine, not the least busy */
    uint64_t half_life_ms; /* of what a user has used */
    uint64_t fence_ms;     /* a machine is fenced when it has been dead or left for so long */
    uint64_t lost_ms;  /* ...and its jobs are lost so long after the fence: its lease and more */
    uint64_t keep_ms;  /* ended jobs are forgotten when so old... */
    size_t keep_jobs;  /* ...and when there are more, the oldest of who has the most of them */
    uint64_t ahead_us; /* short jobs may wait on a machine that has no room for so long, as far as
                          can be guessed; 0: they never do */
};
/* fair, backfill, spread; 1 h; 4 s (a lease outlives it, so a daemon that starts again in time goes
 * on); 12 s; 7 days, 10,000; 0. */
extern const struct sched_options sched_defaults;

/* Effects. All but near are called from sched_step() only; what they point to lives for the call.
 * They must not call back into the same sched, but for sched_why() and sched_allocated(). */
struct sched_fx {
    /* job.place, all in one command. Until a job's record changes, or sched_failed(), it counts as
     * placed. */
    void (*place)(void *arg, const struct job_place *places, size_t n);

    /* job.refuse. exit: 126, or 127 no such command. Once, until sched_failed(). */
    void (*refuse)(void *arg, const char *name, uint64_t uid, int exit, const char *words);

    /* Ask the machine whether it can run that; answer by sched_probed() with the same id, which is
     * never used again. */
    void (*probe)(void *arg, uint64_t id, const char *machine, const struct sched_need *need);

    /* runner.fence; job.lost. Both again every few seconds until the records show it. */
    void (*fence)(void *arg, const char *machine, uint64_t session);
    void (*lost)(void *arg, const char *machine, uint64_t session);

    /* job.forget, at most 100; again after some seconds for those that are still there. */
    void (*forget)(void *arg, const struct job_id *ids, size_t n);

    /* The machine that has most of the data of a path under /oneos; NULL: nobody knows. May be
     * NULL. Called from sched_step() and sched_job(). */
    const char *(*near)(void *arg, const char *path);
};

int sched_create(struct sched **out, const struct sched_options *options, const struct sched_fx *fx,
                 void *arg);
void sched_destroy(struct sched *s); /* NULL is allowed */

/* The time of all that follows. Before the first event, and whenever it has passed. */
void sched_time(struct sched *s, uint64_t now_ms, uint64_t wall_us);

/* ---- events. They decide nothing: after any number of them comes sched_step(). */

enum sched_health { SCHED_ALIVE, SCHED_SUSPECT, SCHED_DEAD, SCHED_LEFT };

/* A machine as members know it. info: cores, memory_bytes, arch, os, hostname (cluster_info());
 * labels: what users gave it; both borrowed, may be NULL while not known. -ENOMEM. */
struct sched_machine {
    const char *id;
    enum sched_health health;
    bool draining;
    uint64_t incarnation;
    const json_t *info, *labels;
};
int sched_machine(struct sched *s, const struct sched_machine *m);
void sched_machine_gone(struct sched *s, const char *id);

/* How much of its cores is in use by anything at all, in thousandths of a core. */
void sched_load(struct sched *s, const char *id, unsigned cpu_milli);

/* The record runner/ID; session 0: there is none. */
int sched_runner(struct sched *s, const char *id, uint64_t session, bool fenced);

/* A job's record, whenever it has changed; at the start all of them, in any order. An array's own
 * record (counts) is not scheduled, its elements are. -ENOMEM; -EINVAL: a spec that nobody can
 * read (it is refused at the next step). */
int sched_job(struct sched *s, const struct job *j);
void sched_job_gone(struct sched *s, const char *name, uint64_t uid);

/* The answer to a probe. exit 0: it can; 126 or 127: it cannot, with words; -1: no answer came. */
void sched_probed(struct sched *s, uint64_t id, int exit, const char *words);

/* Decides, as a step does, about a job that is to be made: as if it were there, pending, under a
 * name and uid that no job has. When it is placed at once, put() is called instead of fx.place, and
 * what it was promised is kept under *id: until sched_early_made() (it is that job now; its record
 * comes next), sched_early_gone(), or 10 s have passed. false: nothing is kept; also while other
 * jobs wait. */
bool sched_early(struct sched *s, const struct job *j, uint64_t *id,
                 void (*put)(void *arg, const struct job_place *place), void *arg);
void sched_early_made(struct sched *s, uint64_t id, const char *name, uint64_t uid);
void sched_early_gone(struct sched *s, uint64_t id);

/* A placement (with that attempt) or a refusal (attempt 0) did not happen: refused, left out, or
 * not known. The job counts as pending again, after a short pause. */
void sched_failed(struct sched *s, const char *name, uint64_t uid, uint32_t attempt);

/* All events of a restore (a new registry state): between these, jobs, runners that are not told
 * again are gone. */
void sched_sync(struct sched *s, bool begin);

/* ---- deciding */

/* Carries out all that can be decided now, up to some hundreds of placements. */
void sched_step(struct sched *s);

/* The now_ms at which a step has something to do without any event: now_ms or less when the last
 * step left something over. UINT64_MAX: never. */
uint64_t sched_next(const struct sched *s);

/* ---- looking */

/* Why a job is where it is, lines for people. -ENOENT; -ENOMEM. */
int sched_why(struct sched *s, const char *name, struct obuf *out);

struct sched_allocation {
    unsigned cpu_milli;
    uint64_t memory;
    unsigned groups; /* processes of jobs, as the records have them... */
    unsigned ahead;  /* ...of these wait there for room: nothing is promised to them yet */
};
/* What is promised on a machine; zeros where nothing is. */
void sched_allocated(const struct sched *s, const char *machine, struct sched_allocation *out);

struct sched_counts {
    size_t jobs, waiting, queued, running, over, machines;
    uint64_t placed, refused, tries; /* so far */
};
void sched_counts(const struct sched *s, struct sched_counts *out);

#endif
