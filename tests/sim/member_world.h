/*
 * member_world.h - machines with a core of membership each, for the simulator, and what a daemon
 * does around it: beacons, heartbeats, probes and lists, which strangers lie in.
 */
#ifndef ONEOS_TESTS_MEMBER_WORLD_H
#define ONEOS_TESTS_MEMBER_WORLD_H

#include "cluster/member.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum {
    HEARTBEAT_MS = 1000,
    BACK_MS = 8000,
    DEAD_BY_MS = 4000,
    SETTLE_MS = 10000,
    PULL_ANY_MS = 250,
    PULL_PEER_MS = 1000,
    PROBES_PER_S = 256
};

enum { T_MEMBER, T_HEARTBEAT, T_BEACON }; /* timers of a machine */

enum msg_type { BEACON, HEARTBEAT, PROBE, HEARD, PULL, LIST, LEAVE };

struct msg {
    enum msg_type type;
    struct peer_info info;        /* BEACON; PROBE, HEARD, LEAVE: its id and incarnation */
    bool ours;                    /* BEACON */
    bool heard;                   /* HEARD */
    uint64_t incarnation, digest; /* HEARTBEAT */
};

/* What one machine has been seen to hold of another. */
struct pair {
    uint64_t incarnation; /* the highest that was trusted */
    uint64_t learned;     /* when it was trusted last */
    uint64_t pulled;
    uint64_t apart;  /* when they were last seen not connected */
    uint64_t forgot; /* when; 0: not, or it was up since */
    bool trusted;    /* what the effects said last */
};

struct machine {
    struct world *w;
    unsigned i;
    struct member *m;
    struct peer_info self;
    bool stranger;
    unsigned forgotten; /* by how many operators: two at a time may undo each other */
    unsigned beacons;   /* sent since the start */
    uint64_t down;      /* since when, if it is down */
    uint64_t frozen;    /* until when, last */
    uint64_t pulled, second, probes;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    struct machine *m;
    struct pair *p; /* n * n: [holder * n + held] */
    uint64_t checked, check_every;
    unsigned beacon_ms;
    uint64_t thawed; /* when the last frozen machine goes on, with old heartbeats in its queue */
    uint64_t deliveries;
};

struct world *world_new(unsigned n, uint64_t seed); /* nobody is up */
void world_free(struct world *w);

void boot(struct world *w, unsigned i);
void crash(struct world *w, unsigned i);
void leave(struct world *w, unsigned i);
void rearm(struct machine *a); /* after something was told to its core */

unsigned index_of(const char *id);
struct pair *pair(struct world *w, unsigned holder, unsigned held);

/* Prints the trace and the seed, and ends the program. */
void fail(const struct world *w, const char *what, unsigned i, unsigned j);

/* The invariants, after each event; arg is the world. In sim_member.c. */
void check(void *arg);

#endif
