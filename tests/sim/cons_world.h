/*
 * cons_world.h - machines that agree on a sequence of commands, in virtual time: what
 * sim_consensus.c plays with.
 *
 * cons_disk.c    disks kept apart from the servers: what was not synced is lost at a crash
 * cons_world.c   servers, their state machine, and what must hold after every step
 * cons_client.c  clients and an operator; histories
 */
#ifndef ONEOS_TESTS_CONS_WORLD_H
#define ONEOS_TESTS_CONS_WORLD_H

#include "cluster/consensus.h"
#include "tests/lib/linear.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum { MACHINES = 7, KEYS = 5, REGISTERS = 3, CLIENTS = 5 };
enum { T_TICK, T_DISK, T_AGAIN };

struct world;
struct machine;

/* ---- disks */

struct disk_work;
struct disk {
    struct machine *m;
    uint64_t term, vote;
    uint64_t first, n, cap; /* entries[0..n-1] are first..first+n-1, all synced */
    struct consensus_entry *entries;
    bool has_snapshot;
    struct consensus_snapshot snapshot;
    struct disk_work *work, **end;
    unsigned slow_ms; /* at most, for each piece of work */
    bool full;        /* appends do not end; terms and votes fail now and then */
    uint64_t busy_until;
};

void disk_init(struct disk *d, struct machine *m);
void disk_wipe(struct disk *d);
void disk_crash(struct disk *d);    /* of what is under way a part may have been written */
uint64_t disk_next(struct disk *d); /* when the next piece of work ends; UINT64_MAX */
void disk_run(struct disk *d);
extern const struct consensus_env disk_env; /* the members of the disk; env: struct machine */

/* ---- machines */

struct state {             /* what the machines agree on */
    uint64_t index, chain; /* last command; hash of all so far */
    int64_t value[KEYS];
};

struct machine {
    struct world *w;
    unsigned i;
    char id[8];
    uint64_t node;
    bool fresh; /* was never part of the cluster with this node */
    bool wiped; /* to be given a new disk at the next start */
    struct consensus *c;
    struct disk disk;
    struct state state;
    unsigned rate; /* of its clock, per thousand */
    uint64_t offset;
};

struct record {  /* what was committed at an index */
    uint64_t id; /* of the command; 0: none is known */
    uint64_t chain;
    int64_t result;
};

struct command {
    uint64_t id;
    uint32_t key;
    uint32_t kind; /* enum linear_kind */
    int64_t a, b;
};

/* One operation of a client. */
struct op {
    struct world *w;
    struct op *next; /* all of the world */
    unsigned client;
    bool waits, reading;
    unsigned reader; /* machine to read on; it waits for index */
    uint64_t index;
    struct command cmd;
    size_t history; /* its place there */
    uint64_t acked_ms;
};

struct client {
    struct op *op; /* NULL: may begin another */
    unsigned name;
    uint64_t pause_until;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n, threshold, trailing, filler;
    struct machine m[MACHINES];
    uint64_t nodes; /* given so far */
    struct record *records;
    uint64_t n_records;
    struct {
        uint64_t term, node;
    } led[64]; /* by term, of the newest terms */
    /* clients */
    struct client clients[CLIENTS];
    struct op *ops;
    struct linear_op *history;
    size_t n_history, cap_history;
    uint64_t stamp, ids, acked, reads, answered_ms;
    unsigned names;
    bool clients_stop;
    /* operator */
    bool changing, operator_stop;
    unsigned wipe_after;            /* 1 + machine that may be wiped when the change is done */
    unsigned changes, change_every; /* so many steps of the clients, about */
};

struct world *world_new(unsigned n, uint64_t seed);
void world_free(struct world *w);
void world_fail(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

void machine_boot(struct machine *m);
void machine_crash(struct machine *m, bool power); /* power: the state machine is lost too */
struct machine *machine_of(struct world *w, uint64_t node);
struct machine *world_leader(struct world *w); /* one that thinks so; NULL */

int64_t state_apply(struct state *s, const struct command *cmd);
void world_form(struct world *w, unsigned voters);

/* ---- clients */
void clients_step(struct world *w);
bool clients_check(struct world *w); /* linearizable; false: too much to judge */
void clients_free(struct world *w);
void operator_step(struct world *w);

#endif
