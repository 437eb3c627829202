/*
 * form_world.h - machines that form registries, for the simulator: their membership, and a model of
 * consensus instead of an engine.
 *
 * A registry here is one perfect log: what is committed is on the disks of a majority, under the
 * configuration of that very entry, and whoever wins an election has it all (checked). Leaders come
 * and go with the connections; a deposed one believes for a while that it leads. What a machine
 * asks for takes time, and fails when it does not lead by then.
 */
#ifndef ONEOS_TESTS_FORM_WORLD_H
#define ONEOS_TESTS_FORM_WORLD_H

#include "cluster/formation.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum { MACHINES = 12, SERVERS = 20, GROUPS = 128, QUANTUM_MS = 50, NOBODY = -1 };

enum kind { E_CONF, E_INIT, E_MEMBER, E_FORGET, E_DATA, E_DISSOLVE };

struct entry {
    enum kind kind;
    unsigned machine; /* E_MEMBER, E_FORGET */
    char into[REGISTRY_ID];
    struct consensus_server conf[SERVERS]; /* as of this entry */
    size_t n;
};

/* A registry: its log, and who leads. */
struct group {
    char registry[REGISTRY_ID];
    struct entry *log;
    size_t n, cap;
    int leader;
    uint64_t term, elect_ms, led_ms;
    bool data, ended; /* as of the end of the log */
    unsigned votes_changed, changes;
};

/* What applied entries have made. */
struct applied {
    bool init, data, ended;
    char into[REGISTRY_ID];
    uint32_t members, forgotten; /* bit per machine */
};

/* What survives a crash. */
struct disk {
    int group; /* NOBODY: fresh */
    uint64_t node;
    size_t stored, applied;
    struct applied state;
    char from[FORM_PAST], into[REGISTRY_ID];
};

/* What one machine knows of another. */
struct view {
    bool listed, alive, left, known;
    uint64_t incarnation, heard_ms, since_ms, gone; /* gone: forgotten up to this incarnation */
    struct standing is;
};

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    struct disk disk;
    struct formation *f; /* NULL: down */
    struct view view[MACHINES];
    uint64_t incarnation, started_ms, clock; /* clock: its own is so much ahead */
    uint64_t leads_ms, leave_ms; /* believes until then that it leads; gives up being polite */
    unsigned hellos;
    bool leaving, dirty;
    bool asking; /* a step under way */
    struct form_step ask;
    int ask_group;
    uint64_t ask_ms;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    struct machine m[MACHINES];
    struct group g[GROUPS];
    int groups;
    unsigned ask_max;  /* ms that a step takes */
    uint64_t fault_ms; /* the last time somebody died or was cut off */
    unsigned bootstraps, dissolved, wiped, changes;
};

struct world *world_new(uint64_t seed, unsigned machines);
void world_free(struct world *w);
void world_run(struct world *w, uint64_t until); /* checks the invariants all the time */
void world_fail(const struct world *w, const char *what, const struct machine *m);

void world_boot(struct world *w, unsigned i);
void world_crash(struct world *w, unsigned i);
void world_leave(struct world *w, unsigned i);     /* says `leaving`, and goes when it may */
void world_lose_disk(struct world *w, unsigned i); /* of one that is down */
void world_forget(struct world *w, unsigned i);    /* an operator's word, to whoever leads */
bool world_write(struct world *w, int group);      /* data; false: no leader, or it has ended */

bool world_up(const struct world *w, unsigned i);
int world_leader(const struct world *w, int group); /* NOBODY */
const struct entry *world_conf(const struct group *g);
const struct consensus_server *world_server(const struct group *g, uint64_t node);
unsigned world_voters(const struct group *g);
unsigned index_of(const char *id);

/* ---- between the files of the model */
struct standing world_standing(const struct machine *m);
void step_ask(struct machine *m);
void step_carry_out(struct machine *m);
void step_fresh(struct disk *d, struct sim *s);

struct entry *log_push(struct group *g);
const struct consensus_server *log_server(const struct entry *e, uint64_t node);
/* Appends an entry like `make` if m leads, and reaches a quorum of the configuration it makes. */
bool log_propose(struct machine *m, int g, const struct entry *make);
void log_apply(struct machine *m, size_t upto);
void log_depose(struct world *w, int g);
bool log_leads(const struct machine *m); /* or believes so */
void log_tick(struct world *w, int g);

#endif
