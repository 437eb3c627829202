/*
 * pn_world.h - a few machines with their pipe names over one model registry, for tests.
 *
 * What machines ask waits until settle() puts it into the log, in order, and lets all machines
 * that do not lag apply it; time goes on only in pass(). Without quorum what is asked waits for its
 * deadline, and is answered -EAGAIN.
 */
#ifndef ONEOS_TESTS_PN_WORLD_H
#define ONEOS_TESTS_PN_WORLD_H

#include "run/pipe_names.h"

#define WORLD_MACHINES 4

/* How an operation ended. Its address is the handle. */
struct result {
    unsigned ended; /* times `done` was called */
    int rc;
    struct pipe_info info; /* a reader's */
    char text[320];
};

struct world;

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    uint64_t incarnation;
    struct pipe_names *pn; /* NULL: down */
    json_t *state;         /* its replica of the registry */
    size_t applied;        /* of the log */
    bool lags;             /* applies nothing */
    uint64_t used[8];      /* buffers with ends: let_go says no */
    char log[8192];        /* "added a\n" for each change told */
};

struct world {
    struct machine m[WORLD_MACHINES];
    unsigned n;
    uint64_t now;
    bool no_quorum;
    bool late; /* what was answered -EAGAIN happens once there is a quorum */
    struct asked *first, **last;
    struct entry *entries;
    size_t n_entries;
    unsigned asks; /* that were made */
};

/* n machines "a", "b", ... up, that know each other. */
struct world *world_new(unsigned n);
void world_free(struct world *w);

void settle(struct world *w);            /* until nothing more happens now */
bool log_one(struct world *w);           /* only the oldest that was asked; nobody applies it */
void apply(struct world *w, unsigned i); /* machine i, all of the log */
void pass(struct world *w, uint64_t ms); /* settles and lets time go on, with all its ticks */

void member(struct world *w, unsigned of, unsigned at, enum member_state state);
void boot(struct world *w, unsigned i); /* with a new incarnation; members are told */
void crash(struct world *w, unsigned i);
void dead(struct world *w, unsigned i); /* the others take it for dead */

/* A reader has or closes its end of the buffer on machine i. */
void use(struct world *w, unsigned i, uint64_t uid);
void unuse(struct world *w, unsigned i, uint64_t uid);

/* Operations at machine i; they settle. make_, open_: do not. */
int make(struct world *w, unsigned i, const char *name, bool excl, struct result *res);
int make_(struct world *w, unsigned i, const char *name, bool excl, struct result *res);
int open_reader(struct world *w, unsigned i, const char *name, struct result *res);
int open_(struct world *w, unsigned i, const char *name, struct result *res);
int removes(struct world *w, unsigned i, const char *name, struct result *res);
int sets(struct world *w, unsigned i, const char *name, int mode, uint64_t capacity, int perm,
         struct result *res);

const struct pipe_info *at(struct world *w, unsigned i, const char *name);

#endif
