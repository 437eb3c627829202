/*
 * jobs_world.h - machines with runners, their processes, and a registry, in virtual time.
 *
 *   jobs_world.c     the registry and the way to it; machines: up, down, their daemons
 *   jobs_procs.c     processes, and oneos-init with its lease
 *   jobs_sched.c     a scheduler that knows nothing of fitness: it places, fences, loses
 *   sim_jobs.c       faults and invariants
 *
 * The registry is one state that commands are applied to in order (the real ones, job_cmd.h); each
 * machine has a replica that follows when it hears of it, and may come back from an earlier state
 * after a crash. Asking goes through the network: what is asked or answered may get lost, and what
 * nobody waits for any more may still be carried out.
 */
#ifndef ONEOS_TESTS_JOBS_WORLD_H
#define ONEOS_TESTS_JOBS_WORLD_H

#include "sched/runner.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum { MACHINES_MAX = 5, ASKS_MAX = 64, JOBS_TOP = 64, STAGES_TOP = 3, NODES = MACHINES_MAX + 2 };
enum { TIMER_RUNNER, TIMER_TICK, TIMER_SCHED };
enum { TICK_MS = 20, SCHED_MS = 50, WORLD_MS = 10, DEAD_MS = 3000, LOST_MS = JOB_LEASE_MS + 2000 };

struct world;
struct machine;

typedef void answered(struct machine *m, uint64_t arg, int rc);

/* A command or (cmd < 0) a barrier under way. */
struct ask {
    bool used, answered;
    int cmd, rc;
    uint64_t serial, index, deadline, retry_at, arg;
    answered *done;
};

enum proc_at { P_SPAWNING, P_RUNNING, P_ENDED };

struct process {
    struct run_key key;
    char job[JOB_NAME_MAX];
    unsigned machine;
    enum proc_at at;
    uint64_t began, due, dies_at;
    bool told_started, told_ended; /* to the daemon */
    bool ended_by_us, clean, whole, refused, forgotten, known;
    bool ignores_term, exits_at_term;
    enum job_cause why; /* for what the daemon ended it first; kept over restarts of that */
    struct job_end end;
};

struct machine {
    struct world *w;
    unsigned no;
    char id[16];
    bool up, daemon, leaving;
    uint64_t boot, life, lease_until;
    struct runner *r;
    json_t *replica;
    uint64_t applied;
    struct ask asks[ASKS_MAX];
    uint64_t heard[MACHINES_MAX]; /* when it heard each last */
    /* of the scheduler, while it is here */
    uint64_t epoch, fence_seen[MACHINES_MAX], fence_asked[MACHINES_MAX];
    uint64_t placed_at[JOBS_TOP];
};

struct command {
    char name[24];
    json_t *fields;
    bool applied;
    int rc;
    uint64_t index;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n; /* machines; node n is the registry, n + 1 the clock */
    struct machine m[MACHINES_MAX];
    json_t *state, **log; /* log[i]: what entry i + 1 changed, null: taken out */
    uint64_t index, epoch;
    struct command *cmds;
    size_t n_cmds, cap_cmds, cap_log;
    uint64_t serial;
    struct process *procs;
    size_t n_procs, cap_procs;
    bool calm; /* no faults any more */
    struct {
        unsigned starts, early, fences, claims, losses, restarts, unanswered, leases_out;
    } count;
};

/* jobs_world.c */
void world_make(struct world *w, uint64_t seed, bool trace);
void world_free(struct world *w);
__attribute__((noreturn)) void world_fail(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t world_wall(const struct world *w);
void machine_ask(struct machine *m, const char *cmd, json_t *fields, uint64_t arg, answered *done);
void machine_up(struct machine *m);   /* with another oneos-init */
void machine_down(struct machine *m); /* and all that ran there */
void daemon_up(struct machine *m);
void daemon_down(struct machine *m);
void machine_turn(struct machine *m); /* after events of its runner */
bool machine_runs(const struct machine *m);
unsigned world_lot(const struct world *w, uint64_t uid, unsigned n); /* of a job: 0..n-1 */
void world_scheduler(struct world *w, unsigned at);                  /* moves it */

/* jobs_procs.c */
extern const struct runner_fx machine_fx;
void procs_tick(struct world *w); /* what ends by itself, by signals, by the lease */
void procs_tell(struct machine *m);
void procs_adopt(struct machine *m);
void procs_crash(struct machine *m, bool boot); /* oneos-init died, or all of the machine */
struct process *procs_of(struct world *w, const struct run_key *k);

/* jobs_sched.c */
void sched_tick(struct machine *m);
/* For a job that is being made, by the first that thinks itself the scheduler; NULL: none. */
json_t *sched_advice(struct world *w);

#endif
