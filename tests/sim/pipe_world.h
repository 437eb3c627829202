/*
 * pipe_world.h - machines with the names of pipes, for the simulator, and what they live among.
 *
 *   pipe_world.c   what happens to a machine: its membership, its letters and timers, start and end
 *   pipe_ops.c     buffers, effects of the names, operations
 *   pipe_log.c     the registry, and what machines ask it
 */
#ifndef ONEOS_TESTS_PIPE_WORLD_H
#define ONEOS_TESTS_PIPE_WORLD_H

#include "run/pipe_names.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum {
    MACHINES = 5,
    NAMES = 4,
    OPS = 1024,
    CMDS = 8192,
    ENDS = 64,
    POLL_MS = 100,
    SUSPECT_MS = 1500,
    DEAD_MS = 3000,
    REFUSED_MS = 25, /* as pipe_join.c pauses */
    BUSY_MS = 25000,
    SETTLE_MS = PN_HOLDER_LOST_MS + 20000,
    QUIET_MS = 10000,
    SLACK_MS = 2 * POLL_MS
};

enum { T_PN, T_POLL };
enum kind { MAKE, REMOVE, SET, OPEN };
enum letter_kind { SUBMIT, ENTRIES, POLL, JOIN, JOINED, REFUSED };

struct letter {
    enum letter_kind kind;
    size_t n; /* SUBMIT: the command; ENTRIES: how long the log is; JOIN...: the operation */
    uint64_t uid, epoch, life;
    bool writes;
};

struct cmd {
    unsigned from;
    uint64_t life, call, deadline;
    char name[16];
    json_t *fields;
    size_t entry; /* 1..: its place in the log */
    int rc;       /* what it came to */
    struct oerr words;
    bool answered;
};

struct simop {
    enum kind kind;
    unsigned at; /* machine */
    uint64_t life, deadline, again_at;
    char name[16];
    uint64_t uid; /* of what is removed */
    bool ended, cancelled, joining;
};

struct end {
    uint64_t uid, epoch, until;
};

struct view {
    enum member_state state;
    uint64_t incarnation, missed;
};

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    uint64_t incarnation, frozen;
    struct pipe_names *pn;
    json_t *state;
    size_t applied;
    struct view view[MACHINES];
    bool was_lost; /* somebody may have taken it for lost */
    struct end end[ENDS];
    unsigned ends;
};

/* Who held what. */
struct claim {
    uint64_t uid, epoch, life;
    unsigned machine;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    struct machine m[MACHINES];
    uint64_t no_quorum; /* until then */
    size_t log[CMDS], n_log;
    json_t *state; /* the registry's own */
    struct cmd cmd[CMDS];
    size_t n_cmds;
    struct simop op[OPS];
    size_t n_ops;
    struct claim *claim;
    size_t n_claims;
    unsigned made[CMDS]; /* names by the index of their making: 1 is p0 */
    uint64_t frozen;     /* until when anybody is */
};

/* Counts over all seeds. */
extern uint64_t total_ops, total_opens, total_again, total_unheld, total_commands;

/* pipe_world.c */
struct world *world_new(uint64_t seed);
void world_free(struct world *w);
void boot(struct world *w, unsigned i);
void crash(struct world *w, unsigned i, bool leaves);
void rearm(struct machine *m); /* after something was told to its names */
void send_letter(struct world *w, unsigned from, unsigned to, const struct letter *l);

/* Prints the trace and why, and ends the program. m may be NULL. */
void fail(const struct world *w, const struct machine *m, const char *fmt, ...);

/* pipe_ops.c */
extern const struct pn_fx fx;
bool used(const struct machine *m, uint64_t uid);
void end_add(struct machine *m, uint64_t uid, uint64_t epoch);
void ends_close(struct machine *m, uint64_t uid, uint64_t now); /* uid 0: those that are due */
void op_open(struct simop *op, struct machine *m);
void op_ended(struct simop *op, struct machine *m, int rc, const struct pipe_info *p);
void joins_look(struct machine *m, uint64_t now);
void on_join(struct machine *m, unsigned from, const struct letter *q);
void on_join_answer(struct machine *m, const struct letter *a);

/* pipe_log.c */
void on_submit(struct world *w, const struct letter *l);
void on_entries(struct machine *m, size_t n);
void read_all(struct machine *m);
void ask_again(struct machine *m, uint64_t now);

/* The invariants, after each event; arg is the world. In sim_pipe_names.c. */
void check(void *arg);

#endif
