/*
 * replica_private.h - what the files of the replica share.
 *
 *   replica.c         life; the engine's world: disk, messages, time, state
 *   replica_frame.c   messages of consensus, each with its registry
 *   replica_ask.c     commands and barriers under way, and those of other machines
 *   replica_advice.c  what is added to commands on their way
 *   replica_hold.c    the leader's: commands that wait for company
 *   replica_form.c    formation, roles, and our own member record
 *   replica_leave.c   the polite farewell
 *   replica_serve.c   where the core services run
 *   replica_health.c  how it is, in words; who leads
 *   replica_log.c     the log, for people
 */
#ifndef ONEOS_CLUSTER_REPLICA_PRIVATE_H
#define ONEOS_CLUSTER_REPLICA_PRIVATE_H

#include "cluster/placement.h"
#include "cluster/raft_disk.h"
#include "cluster/registry_tables.h"
#include "cluster/replica.h"

#include <uthash.h>

#define SERVICES    4
#define COMMAND_MAX (1024 * 1024) /* in JSON */

enum asked_at {
    AT_WAIT,     /* no leader is known, or it did not take it: again at the next chance */
    AT_PROPOSED, /* this machine leads: consensus has it */
    AT_ASKED,    /* the leader has it */
    AT_INDEX,    /* barrier: until `index` is applied here */
};

/* A command or a barrier under way. */
struct asked {
    uint64_t key; /* the serial of a command */
    json_t *cmd;  /* NULL: a barrier */
    char *text;   /* cmd in JSON; NULL: not made yet */
    bool later;   /* it may wait for company */
    uint64_t deadline, retry_ms;
    enum asked_at at;
    uint64_t attempt; /* the one that counts */
    uint64_t index;
    replica_done *done; /* NULL: nobody waits */
    void *arg;
    UT_hash_handle hh;
};

/* What a machine's heartbeats said last. */
struct heard {
    char id[ID_MAX];
    uint64_t incarnation;
    struct standing is;
    UT_hash_handle hh;
};

struct replica {
    struct loop *core;
    const struct identity *me;
    struct cluster *cluster;
    char dir[4200];

    struct raft_disk *disk;
    struct consensus *consensus;
    struct registry *registry;
    struct formation *formation;
    bool failed; /* the engine stopped; words in `trouble` until it starts again */
    char trouble[320];
    uint64_t restart_ms;

    uv_timer_t tick, soon;
    unsigned pace_ms; /* between ticks */
    bool timer, closing;
    bool news; /* something was committed since the last flush */
    bool in_event;
    bool flushing;      /* the state tells what was applied */
    bool look;          /* formation has something new to look at */
    bool look_services; /* ... and placement */

    struct asked *asked; /* in the order of asking */
    uint64_t last_serial, attempts, late_ms;
    bool waiting;      /* something may be tried now */
    struct held *held; /* the command that waits for company; NULL */
    uv_timer_t holding;
    unsigned indexed; /* how many are at AT_INDEX */
    char origin[24];
    uint64_t seen_term, seen_leader, logged_leader;

    struct heard *heard;
    struct standing mine;
    char bound[REGISTRY_ID]; /* the registry that took this fresh replica in; "" */
    uint64_t bound_ms;       /* heard of last */
    uint64_t started_ms;
    uint64_t form_ms;        /* formation rests until then */
    bool changing;           /* a configuration change is under way */
    bool putting;            /* a member record is under way */
    struct form_step adding; /* who gets a seat once its record is there; node 0: nobody */
    bool submitting;         /* another command of formation's own */
    uint64_t wipe_ms;        /* this registry has ended: the replica is emptied then; 0 */
    bool wipe;
    bool ready;
    void (*when_ready)(void *arg);
    void *when_ready_arg;

    char leader[ID_MAX]; /* who was told to lead last */
    uint64_t leader_ms;  /* when one was known last */
    uint64_t flush_ms;   /* while the state cannot be written: when it is tried again */
    const struct replica_adviser *adviser;
    void *adviser_arg;
    void (*on_leader)(void *arg, const char *leader);
    void *on_leader_arg;

    uint64_t leads_ms; /* since when we lead; 0 */
    unsigned placing;  /* bit per service: an assignment is under way */
    struct {
        uint64_t epoch, since_ms; /* seen first then; 0: by an earlier leader, or long ago */
    } seen[SERVICES];
    bool seen_epochs;            /* since we lead */
    uint64_t place_ms;           /* placement is asked again then, without news */
    struct place_judge wellness; /* of this machine: what mine.unwell says */

    void (*left)(void *arg); /* NULL: not leaving, or gone */
    void *left_arg;
    uint64_t leave_ms; /* gives up then */
};

/* replica.c */
void replica_enter(struct replica *r);
void replica_settle(struct replica *r); /* every event ends with it */
void replica_soon(struct replica *r);   /* an event of its own, with the loop's next turn */
bool replica_has(struct replica *r, const char *key);
uint64_t replica_applied(const struct replica *r);

/* replica_ask.c */
void asked_applied(void *arg, uint64_t index, const json_t *cmd,
                   const struct registry_result *result);
void asked_settle(struct replica *r); /* sends what waits, ends what is late */
void asked_restored(struct replica *r);
void asked_cancel_all(struct replica *r);

/* replica_advice.c: the command in JSON with advice; NULL: there is none. */
char *advice_text(struct replica *r, json_t *cmd);
void advice_drop(json_t *cmd);
void advice_told(struct replica *r, const json_t *cmd, const struct registry_result *result);

/* replica_hold.c */
void hold_open(struct replica *r);
/* consensus_propose(), now or a little later. */
int hold_propose(struct replica *r, const char *text, size_t len, bool later, consensus_done *done,
                 void *arg);
void hold_cancel(struct replica *r);
void asked_serve(struct replica *r, struct bus_ask *ask, const json_t *body);

/* replica_frame.c */
int frame_open(struct replica *r, struct oerr *e);
void frame_send(struct replica *r, const char *id, const void *message, size_t len);
bool frame_take(struct replica *r, const void *frame, size_t len, const void **message,
                size_t *size); /* false: it is not for this replica */
void frame_wiped(struct replica *r);

/* replica_form.c */
int form_open(struct replica *r, struct oerr *e);
void form_settle(struct replica *r);
json_t *form_standing(void *arg);
/* What that machine, or this one, says of itself; NULL: nothing was heard in that life of it. */
const struct standing *form_said(struct replica *r, const char *id, uint64_t incarnation);
void form_heard(void *arg, const char *from, uint64_t incarnation, const json_t *standing);
void form_close(struct replica *r);
void form_leave_tick(struct replica *r);
void form_wiped(struct replica *r);

/* replica_health.c */
void health_settle(struct replica *r);

/* replica_serve.c */
void serve_settle(struct replica *r);

#endif
