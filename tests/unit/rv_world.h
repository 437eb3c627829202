/*
 * rv_world.h - a few machines with a rendezvous core each, and messages between them, for tests.
 *
 * Messages go through their JSON form. They wait in one queue until settle() or pass() delivers
 * them; time goes on only in pass(). A cut between two machines loses what is sent; the asker then
 * has no answer, as on the bus.
 */
#ifndef ONEOS_TESTS_RV_WORLD_H
#define ONEOS_TESTS_RV_WORLD_H

#include "run/rendezvous_msg.h"

#define WORLD_MACHINES 4

/* How an operation ended. Its address is the handle. */
struct result {
    unsigned ended; /* times `done` was called */
    int rc;
    struct pipe_info info;
    char text[320];
};

struct world;

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    uint64_t incarnation;
    struct rendezvous *rv; /* NULL: down */
    char log[8192];        /* "added a\n" for each change told */
};

struct world {
    struct machine m[WORLD_MACHINES];
    unsigned n;
    uint64_t now;
    bool cut[WORLD_MACHINES][WORLD_MACHINES];
    struct letter *first, **last;
    unsigned sent[RV_KINDS]; /* messages by kind */
};

/* n machines "a", "b", ... up, that know each other. */
struct world *world_new(unsigned n);
void world_free(struct world *w);

void settle(struct world *w);            /* delivers until nothing is under way */
bool deliver_one(struct world *w);       /* the oldest; false: none */
void pass(struct world *w, uint64_t ms); /* settles and lets time go on, with all its ticks */

/* Machine i tells everybody by membership, and is told. */
void member(struct world *w, unsigned of, unsigned at, enum member_state state);
void boot(struct world *w, unsigned i); /* with a new incarnation; members are told */
void crash(struct world *w, unsigned i);
void dead(struct world *w, unsigned i);              /* the others take it for dead */
void cut_off(struct world *w, unsigned i, bool cut); /* both ways, from all */

/* Operations at machine i; they settle. */
int make(struct world *w, unsigned i, const char *name, bool excl, struct result *res);
int make_at(struct world *w, unsigned i, const char *name, uint64_t created_us,
            struct result *res); /* does not settle */
int open_reader(struct world *w, unsigned i, const char *name, struct result *res);
int removes(struct world *w, unsigned i, const char *name, struct result *res);
int sets(struct world *w, unsigned i, const char *name, int mode, uint64_t capacity,
         struct result *res);

const struct pipe_info *at(struct world *w, unsigned i, const char *name);

#endif
