/*
 * cluster.h - this machine among the others: beacon, bus and membership joined, and the live state
 * that machines publish.
 *
 * Live state is kept in topics ("procs", "machine"): its owner numbers its changes and publishes
 * them; a replica that misses one asks for all of it. Heartbeats carry the numbers, so that a lost
 * last change is noticed within a second. Core loop only.
 */
#ifndef ONEOS_CLUSTER_CLUSTER_H
#define ONEOS_CLUSTER_CLUSTER_H

#include "base/buf.h"
#include "cluster/member.h"
#include "net/bus.h"
#include "net/link.h"

struct cluster;

struct cluster_options {
    const char *listen; /* numeric address or NULL */
    uint16_t port;      /* first of three ports (requests, published, links), and of UDP; 0: any */
    const char *join;   /* HOST[:PORT],... or NULL */
    const char *token;  /* or NULL */
    json_t *labels;     /* of this machine, borrowed: object of strings */
};

struct cluster_ops {
    /* As member_fx.changed. */
    void (*changed)(void *arg, const struct member_view *m, enum member_state from);
    /* The info or the labels of another machine are other than before. May be NULL. */
    void (*learned)(void *arg, const char *id);
    /* Gone for longer than a link resumes. Once for each time it is lost. */
    void (*lost)(void *arg, const char *id);
    /* A member asks something that is not the cluster's own (TREE, PIPE). Answer with bus_answer
     * or bus_refuse. */
    void (*asked)(void *arg, struct bus_ask *ask, const char *from, enum bus_type type,
                  json_t *body);
};

/* How the registry's replica takes part: what it says of itself goes out with every heartbeat. */
struct cluster_replica_ops {
    json_t *(*standing)(void *arg); /* a new reference */
    /* A heartbeat of a member came, with its standing (borrowed). */
    void (*heard)(void *arg, const char *from, uint64_t incarnation, const json_t *standing);
    void (*told)(void *arg, const char *from, const void *data, size_t len); /* BUS_CONSENSUS */
    void (*broke)(void *arg, const char *id); /* the connection to it */
};

/* One kind of live state. */
struct cluster_topic {
    const char *name;
    uint64_t (*seq)(void *arg);
    json_t *(*all)(void *arg);
    int (*apply)(void *arg, const char *from, const json_t *change); /* -EAGAIN: ask for all */
    int (*replace)(void *arg, const char *from, const json_t *all);
    bool (*behind)(void *arg, const char *from, uint64_t seq);
    void *arg;
};

/* links must outlive it. With a token it first joins by it, for at most 15 s. */
int cluster_create(struct cluster **out, struct loop *core, struct identity *me,
                   struct links *links, const struct cluster_options *opt,
                   const struct cluster_ops *ops, void *arg, struct oerr *e);
void cluster_destroy(struct cluster *c);

/* Says farewell to all; the loop must turn a little for it to go out. One that was not started
 * falls silent. */
void cluster_leave(struct cluster *c);

/* Before cluster_start(). At most 4. */
void cluster_topic_add(struct cluster *c, const struct cluster_topic *topic);
void cluster_replica(struct cluster *c, const struct cluster_replica_ops *ops, void *arg);
void cluster_start(struct cluster *c);

/* Sends a heartbeat now: what it carries has changed. */
void cluster_beat(struct cluster *c);

/* Publishes a change of a topic; takes the reference. */
void cluster_publish(struct cluster *c, const char *topic, json_t *change);

/* Asks a machine; -EHOSTUNREACH at once, with words in e, when it is not alive. Takes body. See
 * bus_ask. */
int cluster_ask(struct cluster *c, const char *id, enum bus_type type, json_t *body,
                unsigned deadline_ms, bus_done_fn *done, void *arg, struct oerr *e);

/* Tells a member; it may get lost. See bus_tell. */
void cluster_tell(struct cluster *c, const char *id, const void *data, size_t len);
void cluster_push(struct cluster *c); /* see bus_push */

const struct member *cluster_members(const struct cluster *c);
bool cluster_reachable(const struct cluster *c,
                       const char *id); /* alive or suspect, or this machine */
/* The address of another oneosd that has this machine's id and our cluster key; NULL: none is
 * heard. */
const char *cluster_twin(const struct cluster *c);

/* What is known of a machine, borrowed; NULL where nothing is. */
const json_t *cluster_info(const struct cluster *c, const char *id);
const json_t *cluster_labels(const struct cluster *c, const char *id);
const json_t *cluster_load(const struct cluster *c, const char *id);
const json_t *cluster_services(const struct cluster *c,
                               const char *id); /* services.h: its report */
uint64_t cluster_changed_us(const struct cluster *c,
                            const char *id); /* wall clock of its last change of state or labels */
int cluster_set_labels(struct cluster *c, json_t *labels); /* this machine's; takes the reference */

int cluster_set_services(struct cluster *c, json_t *report); /* the same */

/* An operator's verbs. */
int cluster_accept(struct cluster *c, const char *id, struct oerr *e);
/* The registry's word: that key may be a member's, or (NULL) none any more. Accepts a machine that
 * waits with it; forgets one that is not there. */
int cluster_accept_key(struct cluster *c, const char *id, const char *key, struct oerr *e);
int cluster_reject(struct cluster *c, const char *id, struct oerr *e);
int cluster_forget(struct cluster *c, const char *id, struct oerr *e);
int cluster_token(struct cluster *c, uint64_t ttl_us, struct obuf *out, struct oerr *e);

/* Peers and views on the wire. */
json_t *peer_info_encode(const struct peer_info *p);
int peer_info_decode(const json_t *j, struct peer_info *p); /* -EPROTO */
json_t *member_view_encode(const struct member_view *v);
int member_view_decode(const json_t *j, struct member_view *v);

#endif
