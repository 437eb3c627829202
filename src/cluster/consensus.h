/*
 * consensus.h - one agreed sequence of commands over several machines: sans-I/O.
 *
 * The engine is libraft; nobody above this header sees it. All that the engine wants from outside
 * (time, chance, disk, messages) comes through `struct consensus_env`, once from the daemon
 * (replica.c, with raft_disk.c) and once from the simulator. Calls that begin disk work return at
 * once; its end is fed back. One thread.
 *
 * A server is known by its *node*: a number that is drawn anew with each fresh disk, so that a
 * machine that lost its disk is another server. Beside it stands the machine's id, unique too.
 *
 * Guarantees: a command whose `done` came with rc 0 is on the disks of a majority of the voters and
 * will be committed exactly once under its index by every server, in the same order. One whose done
 * came with an error may still be committed (-EAGAIN says so only where it certainly was not
 * taken).
 */
#ifndef ONEOS_CLUSTER_CONSENSUS_H
#define ONEOS_CLUSTER_CONSENSUS_H

#include "base/err.h"
#include "net/identity.h" /* ID_MAX */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consensus;

enum consensus_role { ROLE_SPARE, ROLE_LEARNER, ROLE_VOTER };
const char *consensus_role_name(enum consensus_role r);

struct consensus_server {
    uint64_t node;
    char id[ID_MAX];
    enum consensus_role role;
};

/* One entry of the log as the disk keeps it. kind and data mean nothing to the disk. */
struct consensus_entry {
    uint64_t term;
    uint8_t kind;
    const void *data;
    size_t len;
};

/* A state that replaces all entries up to `index`. conf: the encoded configuration of then. */
struct consensus_snapshot {
    uint64_t index, term, conf_index;
    const void *conf;
    size_t conf_len;
    void *data; /* malloc()ed; whoever receives the struct frees it */
    size_t len;
};

/* What is on the disk when we start. All zero: nothing ever was. */
struct consensus_loaded {
    uint64_t term, voted_for;
    bool has_snapshot;
    struct consensus_snapshot snapshot; /* data and conf: malloc()ed, the caller's */
    uint64_t first;                     /* index of entries[0] */
    struct consensus_entry *entries;    /* malloc()ed array; each data malloc()ed; the caller's */
    size_t n;
};

/* The end of disk work that was begun with this token; from the loop, never from inside the call
 * that began it. */
typedef void consensus_disk_done(void *token, int rc);

struct consensus_env {
    uint64_t (*now_ms)(void *env);
    unsigned (*random)(void *env, unsigned min, unsigned max); /* min <= r < max */

    /* The disk. Synchronous, and durable when they return: */
    int (*load)(void *env, struct consensus_loaded *out, struct oerr *e);
    int (*set_term)(void *env, uint64_t term); /* the vote becomes 0 */
    int (*set_vote)(void *env, uint64_t node);
    /* Drops this entry and all behind it, of appends under way too (their done still comes). Never
     * waits for a full disk to have room. */
    int (*truncate)(void *env, uint64_t index);
    /* ... begun; done(token) follows, in the order of the calls. The data stays valid until then.
     * Entries are contiguous with what is there. A full disk is not an error here: the disk tries
     * again until there is room. */
    int (*append)(void *env, uint64_t first, const struct consensus_entry *v, size_t n,
                  consensus_disk_done *done, void *token);
    /* Stores it durably, and then drops the entries up to index - trailing (or all, where the log
     * does not reach so far). */
    int (*snapshot_put)(void *env, const struct consensus_snapshot *s, uint64_t trailing,
                        consensus_disk_done *done, void *token);
    /* Reads the newest. *out is filled when done comes with 0; valid: its data is the caller's. */
    int (*snapshot_get)(void *env, struct consensus_snapshot *out, consensus_disk_done *done,
                        void *token);

    /* Sends a message to a server; may lose it. Copies. */
    void (*send)(void *env, uint64_t node, const char *id, const void *message, size_t len);

    /* The state machine. Entries in order, each once while this object lives; after a start again
     * from the snapshot's index on (a state that is further ignores those it has). */
    void (*committed)(void *env, uint64_t index, const void *data, size_t len);
    /* No more entries for now: carry them out. Called at the end of every consensus_* event. */
    void (*flush)(void *env);
    /* A copy of the state as of `index` (the last one committed): malloc()ed. -EBUSY: not now;
     * also when the state is further still, after a start. */
    int (*snapshot)(void *env, uint64_t index, void **data, size_t *len);
    /* Takes over the state of another server, of that index. At the start too, with the newest
     * snapshot on the disk: a state that is further ignores it. An error stops the engine. */
    int (*restore)(void *env, uint64_t index, const void *data, size_t len);

    /* The leader, the term, the configuration or our role changed, or the engine stopped for good
     * (consensus_failed). Must not call back into consensus_*. */
    void (*changed)(void *env);
};

struct consensus_options {
    uint64_t node; /* ours */
    const char *id;
    unsigned election_ms, heartbeat_ms; /* 0: 250 and 50 */
    unsigned snapshot_threshold;        /* entries between snapshots; 0: 16384 */
    unsigned snapshot_trailing;         /* entries that stay in the log; 0: 4096 */
};

/* Loads and starts. What it finds damaged is an error with words, never an empty start. restore(),
 * committed(), flush() and changed() may be called from inside: before *out is set, but for the
 * last two. */
int consensus_create(struct consensus **out, const struct consensus_options *opt,
                     const struct consensus_env *fn, void *env, struct oerr *e);

/* Waiting calls end with -ECANCELED, from inside. Begun disk work should have ended (the env's
 * owner drains it); what has not must never call its done. Not from inside a callback. */
void consensus_destroy(struct consensus *c);

/* Makes the fresh disk the first and only voter of a new cluster: before anything else was heard.
 * -EBUSY: the disk is not fresh. One of term 1 without entries is: from a bootstrap that was cut
 * short. */
int consensus_bootstrap(struct consensus *c, struct oerr *e);

/* ---- events */
void consensus_tick(struct consensus *c);
unsigned consensus_tick_ms(const struct consensus *c); /* until the next tick: ask after each */
void consensus_receive(struct consensus *c, const void *message, size_t len,
                       const char *from_id); /* -> words in the log when it is malformed */

/* The connection to the leader broke: unless it is heard again at once, an election begins long
 * before the leader's time is over. Ticks should come every 20 ms or so until a leader is known. */
void consensus_leader_silent(struct consensus *c);

/* ---- asking. done is called once, never from inside the call. */
typedef void consensus_done(void *arg, int rc, uint64_t index);

/* Only on the leader (-EAGAIN elsewhere, and while too much waits for the disk). Copies, up to 1
 * MiB (-EMSGSIZE). rc: 0 committed, handed to `committed` as index, and flushed; -EAGAIN leadership
 * was lost: it may or may not come; -ECANCELED. What is proposed from inside callbacks goes into
 * the log as one batch at the end of the event. */
int consensus_propose(struct consensus *c, const void *data, size_t len, consensus_done *done,
                      void *arg);

/* Read index, on the leader: a round trip to a majority, no log entry. When done comes with 0,
 * every command acknowledged before this call is at or below index. -EAGAIN: no longer leader.
 * (Raft, dissertation of D. Ongaro, 6.4.) */
int consensus_read_index(struct consensus *c, consensus_done *done, void *arg);

/* One change of the configuration at a time (-EBUSY, also until a new leader has committed an entry
 * of its term), on the leader (-EAGAIN). add: as spare. A leader that takes its own vote or removes
 * itself hands over and says -EAGAIN: ask the next one. -EEXIST node or id is there; -ENOENT;
 * -EINVAL no voter would be left; -EALREADY has that role. done: -ETIMEDOUT a learner did not catch
 * up. */
int consensus_add(struct consensus *c, uint64_t node, const char *id, consensus_done *done,
                  void *arg);
int consensus_assign(struct consensus *c, uint64_t node, enum consensus_role role,
                     consensus_done *done, void *arg);
int consensus_remove(struct consensus *c, uint64_t node, consensus_done *done, void *arg);
int consensus_transfer(struct consensus *c, uint64_t node); /* 0: any voter; best effort */

/* From flush() only: tells the others now what is committed, not behind it. */
void consensus_spread(struct consensus *c);

/* ---- state */
bool consensus_is_leader(const struct consensus *c);
uint64_t consensus_leader(const struct consensus *c, char id[ID_MAX]); /* 0: none known */
uint64_t consensus_term(const struct consensus *c);
uint64_t consensus_committed_index(const struct consensus *c); /* handed to `committed` */
uint64_t consensus_last_index(const struct consensus *c);
size_t consensus_servers(const struct consensus *c,
                         const struct consensus_server **out); /* valid
                            until the next event; 0: not in any cluster */
/* On the leader: whether it heard that server within the last election time or so. */
bool consensus_heard(const struct consensus *c, uint64_t node);
const char *consensus_failed(const struct consensus *c); /* words; NULL: it works */

#endif
