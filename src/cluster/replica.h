/*
 * replica.h - this machine's replica of the registry: disk, consensus, state and formation joined
 * to the bus. Core loop only, but for reading (registry.h).
 */
#ifndef ONEOS_CLUSTER_REPLICA_H
#define ONEOS_CLUSTER_REPLICA_H

#include "cluster/cluster.h"
#include "cluster/consensus.h"
#include "cluster/formation.h"
#include "cluster/registry.h"

struct replica;

/* tables: the commands of all parts; the replica adds its own (registry.*, member.*, service.*).
 * Lives in <me->dir>/registry. Damaged state is an error with words. */
int replica_create(struct replica **out, struct loop *core, const struct identity *me,
                   struct cluster *cluster, const struct registry_command *const *tables,
                   struct oerr *e);
void replica_destroy(struct replica *r); /* what was asked ends with -ECANCELED */

/* Events: of membership (from member_fx.changed), and BUS_REGISTRY. */
void replica_machine(struct replica *r);
void replica_asked(struct replica *r, struct bus_ask *ask, const json_t *body);

/* Ready: this machine's registry has an id and a member/SELF. Called once, from the loop. */
void replica_when_ready(struct replica *r, void (*fn)(void *arg), void *arg);
bool replica_ready(const struct replica *r);

/* Asks for a command; takes it. From any machine: it goes to the leader, again after a change of
 * leader, and is carried out once. done is called once, never from inside: rc and words are the
 * command's (body borrowed) after it is applied *here*; -EAGAIN: no quorum within deadline_ms (it
 * may still happen later, unless the words say otherwise). */
typedef void replica_done(void *arg, int rc, const json_t *body, const char *text);
int replica_submit(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                   replica_done *done, void *arg);
/* The same for what nobody waits for: the leader may keep it for 2 ms, to write it down together
 * with the next command. */
int replica_submit_later(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                         replica_done *done, void *arg);
void replica_cancel(struct replica *r, void *arg); /* done will not be called for this arg */

/* Read barrier: when done comes with 0, whatever was acknowledged anywhere before this call can be
 * read here. */
int replica_barrier(struct replica *r, unsigned deadline_ms, replica_done *done, void *arg);

/* Who may add to commands on their way into the log, on the machine where one is asked for and on
 * the leader: a field `advice`, which the command may take or not when it is carried out. */
struct replica_adviser {
    json_t *(*advise)(void *arg, const json_t *cmd); /* NULL: none */
    /* One with advice, from any machine, was carried out here; rc and body as in replica_done,
     * -EALREADY for one that was before. Only to be noted: it comes before the watches of what has
     * changed. */
    void (*carried_out)(void *arg, const json_t *advice, int rc, const json_t *body);
};
/* One at most; NULL: nobody any more. */
void replica_advised_by(struct replica *r, const struct replica_adviser *adviser, void *arg);

struct registry *replica_registry(struct replica *r);
const struct consensus *replica_consensus(const struct replica *r);

/* For status and doctor: quorum ok | none, voters and how many are heard, and words where something
 * is wrong ("no quorum: 1 of 3 voters ..."). */
struct replica_health {
    char leader[ID_MAX];
    enum consensus_role role;
    bool quorum;
    unsigned voters, voters_alive, learners;
    uint64_t term, index;
    enum form_state state;
    char trouble[320]; /* "": none */
};
void replica_health(struct replica *r, struct replica_health *h);

/* Told when another machine leads, and with "" when none was known for 2 s. From inside events: it
 * may only look. */
void replica_on_leader(struct replica *r, void (*fn)(void *arg, const char *leader), void *arg);

/* Its seat in the registry; -ENOENT: none, or this machine is in no registry. */
int replica_role(const struct replica *r, const char *id, enum consensus_role *role);

/* The log on this machine's disk, `INDEX TERM KIND TEXT` a line. */
int replica_log(struct replica *r, struct obuf *out, struct oerr *e);

/* Nothing of the registry can be written to this machine's disk now, and was not for a while: what
 * can be read here may be old. */
bool replica_stuck(const struct replica *r);

/* These services (names with blanks between, "": none) fail on this machine: the others hear it. */
void replica_unfit(struct replica *r, const char *names);

bool replica_member(struct replica *r, const char *id); /* it has a record in the registry */
/* The machine that bears this id now has another disk than the one in the registry. */
bool replica_replaced(struct replica *r, const char *id);

/* Before a polite farewell: hands leadership over, is demoted where the others would lose their
 * quorum. done within a second or so. */
void replica_leave(struct replica *r, void (*done)(void *arg), void *arg);

#endif
