/*
 * pipe_names_private.h - what the two files of the pipe names share.
 */
#ifndef ONEOS_RUN_PIPE_NAMES_PRIVATE_H
#define ONEOS_RUN_PIPE_NAMES_PRIVATE_H

#include "run/pipe_names.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

/* One pipe, as the registry has it. */
struct rec {
    struct pipe_info info; /* but holder: "" where the hold is over */
    char holder[ID_MAX];   /* by the registry's word */
    bool own;              /* that is this machine: it is in the list n->own */
    uint64_t let_go;       /* own holds up to this epoch are over */
    uint64_t idle_at;      /* held here: when to let go; UINT64_MAX: it is used */
    uint64_t clean_at;     /* own, but over: when to ask for its release */
    bool releasing;        /* it is being asked for */
    bool seen;             /* between pn_all_begin() and pn_all_end() */
    struct rec *prev, *next;
    UT_hash_handle hh; /* by uid */
};

enum op_kind { OP_MAKE, OP_REMOVE, OP_SET, OP_OPEN, OP_RELEASE };

struct op {
    uint64_t call;
    enum op_kind kind;
    void *handle; /* NULL: nobody waits */
    char name[PIPE_NAME_MAX + 1];
    uint64_t uid;
    uint64_t deadline, retry_at;
    bool tried;
    struct pipe_options opt; /* make; owner is below */
    char owner[PIPE_OWNER_MAX];
    struct pipe_set set;
    UT_hash_handle hh;
};

struct peer {
    char id[ID_MAX];
    uint64_t incarnation, since;
    enum member_state state;
    UT_hash_handle hh;
};

struct pipe_names {
    char self[ID_MAX];
    uint64_t incarnation, began;
    const struct pn_fx *fx;
    void *arg;
    struct rec *recs;     /* by uid */
    struct rec **by_name; /* sorted */
    size_t n, room;
    struct rec *own;
    struct peer *peers;
    uint64_t lost_at; /* when the next hold of another machine may be over */
    struct op *ops;
    uint64_t last_call;
};

struct rec *rec_named(const struct pipe_names *n, const char *name);
struct rec *rec_by_uid(const struct pipe_names *n, uint64_t uid);
bool peer_reached(const struct pipe_names *n, const char *id);

/* Looks at a hold of this machine: lets go of it, asks for its release. */
void own_step(struct pipe_names *n, uint64_t now, struct rec *r);

/* pipe_ops.c */
bool ops_opening(const struct pipe_names *n, uint64_t uid);
void ops_release(struct pipe_names *n, uint64_t now, struct rec *r);
void ops_tick(struct pipe_names *n, uint64_t now);
uint64_t ops_next(const struct pipe_names *n);
void ops_end(struct pipe_names *n); /* all, with -ECANCELED */

#endif
