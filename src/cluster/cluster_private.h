/*
 * cluster_private.h - what the files of the cluster share.
 */
#ifndef ONEOS_CLUSTER_PRIVATE_H
#define ONEOS_CLUSTER_PRIVATE_H

#include "cluster/cluster.h"
#include "cluster/sysinfo.h"

#include <uthash.h>

#define TOPICS_MAX   4
#define ACCEPTED_MAX 256

/* What is known of one machine beside its membership. */
struct machine {
    char id[ID_MAX];
    json_t *info, *labels, *load, *services;
    uint64_t seq; /* of the topic "machine" */
    bool synced, syncing, lost;
    uint64_t changed_us;
    UT_hash_handle hh;
};

struct cluster {
    struct loop *core;
    struct identity *me;
    struct links *links;
    struct peer_info self;
    struct cluster_ops ops;
    void *arg;
    struct cluster_replica_ops replica;
    void *replica_arg;

    struct bus *bus;
    struct beacon *beacon;
    struct member *member;
    uv_timer_t beat, tick;
    bool timers, leaving;

    struct cluster_topic topics[TOPICS_MAX];
    size_t n_topics;
    struct machine *machines;
    struct machine *mine;
    struct sysinfo_cpu cpu;
    json_t *accepted;          /* {ID: CURVE key}: whom an operator accepted, saved */
    uint64_t greet_ms;         /* the next of them is greeted not before */
    uint64_t made_ms, twin_ms; /* twin_ms: another oneosd with our id and key was heard last; 0 */
    char twin[64];             /* its address */
};

struct machine *heard_get(struct cluster *c,
                          const char *id); /* made when missing; NULL: no memory */
struct machine *heard_find(const struct cluster *c, const char *id);
void machine_drop(struct cluster *c, const char *id);
void rearm(struct cluster *c); /* after every event of the membership core */

/* cluster_live.c */
void live_init(struct cluster *c);
void live_heartbeat(struct cluster *c, const char *from, const json_t *seqs);
void live_change(struct cluster *c, const char *from, const json_t *body);
void live_sync(struct cluster *c, const char *id);
json_t *live_all(struct cluster *c);
json_t *live_seqs(struct cluster *c);

/* cluster_join.c */
int join_by_token(struct cluster *c, const char *token, struct oerr *e);
void join_asked(struct cluster *c, struct bus_ask *ask, const json_t *body);
int accepted_load(struct cluster *c, struct oerr *e);
void accepted_seen(struct cluster *c,
                   const struct peer_info *p); /* a beacon of whom we share no key with */
int accepted_set(struct cluster *c, const char *id, const char *key,
                 struct oerr *e); /* key NULL: takes it off */

#endif
