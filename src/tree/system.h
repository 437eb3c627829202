/*
 * system.h - what the rows show: the parts of the daemon, as oneosd.c put them together.
 */
#ifndef ONEOS_TREE_SYSTEM_H
#define ONEOS_TREE_SYSTEM_H

#include "cluster/cluster.h"
#include "cluster/services.h"
#include "run/pipes.h"
#include "run/procs.h"
#include "sched/runs.h"
#include "sched/scheduler.h"
#include "tree/events.h"
#include "tree/joblist.h"
#include "tree/tree.h"

struct system {
    struct identity *me;
    struct cluster *cluster;
    struct replica *replica;
    struct services *services;
    struct scheduler *scheduler; /* decides where the service runs, elsewhere it only says so */
    struct proctab *proctab;
    struct procs *procs;
    struct runs *runs; /* of jobs: those here, and the streams of all */
    struct pipes *pipes;
    struct joblist *joblist;
    struct events *events;
    const char *owner; /* the user that the daemon runs as */
    uint64_t start_ms;
    bool draining;
    void (*leave)(void *arg); /* ends this daemon politely */
    void *arg;
};

static inline struct system *system_of(const struct tree_at *at)
{
    return tree_system(at);
}

/* The tables, one per top folder; the list of them for tree_create(). */
extern const struct tree_row root_rows[], machines_rows[], procs_rows[], pipes_rows[],
    services_rows[], jobs_rows[];
extern const struct tree_row *const tree_tables[];

/* Makes a process on this machine for the call's user: what opening a clone does. */
int clone_process(struct tree_call *call);

/* What a machine has promised to jobs: of its cores and memory at most all. */
void machine_promised(struct system *sys, const char *id, struct promised *out);

/* The machine that has the data of a path under /oneos; "": nobody knows. */
void near_machine(struct system *sys, const char *path, char id[ID_MAX]);

/* The rows of the registry below machines/ID/. */
int open_registry(const struct tree_at *at, const char *user, int flags, struct stream **out);
int open_registry_log(const struct tree_at *at, const char *user, int flags, struct stream **out);

/* Has the registry carry out a command for a verb: TREE_LATER, or -errno with words. Takes fields.
 * The call ends with the command; registry_ask: then (its arg: the call) ends it, maybe with
 * registry_answered(). */
int registry_call(struct tree_call *call, const char *cmd, json_t *fields);
int registry_ask(struct tree_call *call, const char *cmd, json_t *fields, replica_done *then);
void registry_answered(void *arg, int rc, const json_t *body, const char *text);

/* PREFIX/NAME as this machine has it, the caller's; NULL: there is none. */
json_t *registry_value(struct system *sys, const char *prefix, const char *name);

/* RFC 3339 with microseconds, and seconds with a unit in the key. */
void show_time(struct obuf *out, const char *key, uint64_t us);
void json_set_time(json_t *object, const char *key, uint64_t us); /* 0: left out */

#endif
