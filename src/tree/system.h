/*
 * system.h - what the rows show: the parts of the daemon, as oneosd.c put them together.
 */
#ifndef ONEOS_TREE_SYSTEM_H
#define ONEOS_TREE_SYSTEM_H

#include "cluster/cluster.h"
#include "run/pipes.h"
#include "run/procs.h"
#include "tree/events.h"
#include "tree/tree.h"

struct system {
    struct identity *me;
    struct cluster *cluster;
    struct proctab *proctab;
    struct procs *procs;
    struct pipes *pipes;
    struct events *events;
    const char *owner; /* the user that the daemon runs as */
    uint64_t start_us;
    bool draining;
    void (*leave)(void *arg); /* ends this daemon politely */
    void *arg;
};

static inline struct system *system_of(const struct tree_at *at)
{
    return tree_system(at);
}

/* The tables, one per top folder; the list of them for tree_create(). */
extern const struct tree_row root_rows[], machines_rows[], procs_rows[], pipes_rows[];
extern const struct tree_row *const tree_tables[];

/* Makes a process on this machine for the call's user: what opening a clone does. */
int clone_process(struct tree_call *call);

/* RFC 3339 with microseconds, and seconds with a unit in the key. */
void show_time(struct obuf *out, const char *key, uint64_t us);
void json_set_time(json_t *object, const char *key, uint64_t us); /* 0: left out */

#endif
