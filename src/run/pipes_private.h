/*
 * pipes_private.h - what the files of the pipes share.
 */
#ifndef ONEOS_RUN_PIPES_PRIVATE_H
#define ONEOS_RUN_PIPES_PRIVATE_H

#include "run/pipes.h"
#include "base/flow.h"
#include "run/later.h"
#include "run/pump.h"

#include <uthash.h>

/* This machine's flow of one pipe. */
struct pipe_flow {
    struct pipes *pipes;
    uint64_t uid;
    struct flow *flow;
    uint64_t epoch;         /* held here in this epoch; 0: it is an outbox */
    uint64_t in, out;       /* bytes that passed in epochs that are over */
    uint64_t in_at, out_at; /* the flow's counts when this epoch began */
    struct loop *core;
    struct pipe_join *join; /* outbox: the way to the holder is being opened */
    struct pump *pump;      /* outbox: to the holder */
    struct stream *guard;   /* buffer: keeps back the end of file, see pipe_guard.c */
    struct guard_round *round;
    struct task check; /* posted when ends or bytes changed */
    _Atomic bool posted;
    bool dropped;     /* no longer in the table; open ends may still hold the flow */
    struct task gone; /* posted when the flow is gone, behind the last check: frees this */
    UT_hash_handle hh;
};

/* What another machine told of its part in a pipe; our own is told from our flow. */
struct pipe_part {
    struct part_key {
        uint64_t uid;
        char machine[ID_MAX];
    } key;
    json_int_t readers, writers, in, out, buffered;
    UT_hash_handle hh;
};

struct pipes {
    struct loop *core;
    struct cluster *cluster;
    struct links *links;
    struct replica *replica;
    struct pipe_names *names;
    struct asking *asked; /* of the replica, under way */
    char self[ID_MAX];
    struct pipes_ops ops;
    void *arg;
    uv_timer_t tick, tell, again, look;
    struct pipe_flow *flows;
    struct pipe_join *joins;

    struct cluster_topic topic;
    struct pipe_part *parts;
    struct pipe_seq *seqs;
    uint64_t seq;
    json_t *told; /* what we told last */
    bool closing;
};

/* pipes.c: the names were called: they may have to be looked at at another time. */
void pipes_rearm(struct pipes *p);

/* pipe_open.c: what began there has ended (an effect of the names). */
void pipe_op_done(void *arg, void *handle, int rc, const struct pipe_info *info, const char *text);

/* pipe_flow.c */
struct pipe_flow *pipe_flow_find(struct pipes *p, uint64_t uid);
int pipe_flow_get(struct pipes *p, const struct pipe_info *info, struct pipe_flow **out);
void pipe_flow_hold(struct pipe_flow *pf, uint64_t epoch); /* 0: no longer */
void pipe_flow_check(struct pipe_flow *pf);
bool pipe_flow_writes(const struct flow_stat *st);
void pipe_flow_drop(struct pipe_flow *pf, int rc);
bool pipe_flow_idle(const struct flow_stat *st); /* it has no ends, and nothing to tell */

/* pipe_join.c. done comes once, on the core loop, not from inside of pipe_join(): the channel,
 * which is the callee's, or an -errno: -ESTALE when there is no such hold. dir: 'r' or 'w'. */
typedef void pipe_joined_fn(void *arg, int rc, struct stream *channel);
int pipe_join(struct pipe_join **out, struct pipes *p, const struct pipe_info *info, char dir,
              pipe_joined_fn *done, void *arg);
void pipe_join_cancel(struct pipe_join *j);             /* done will not come */
void pipe_joins_end(struct pipes *p);                   /* done comes for all, with -ECANCELED */
int pipe_door(struct stream **out, struct stream *end); /* takes over end */

/* pipe_guard.c */
void pipe_guard_open(struct pipe_flow *pf); /* before a writer comes, or with the hold: the buffer
                                               may have had writers */
void pipe_guard_check(struct pipe_flow *pf, const struct flow_stat *st);
void pipe_guard_drop(struct pipe_flow *pf, int how);

/* pipe_stat.c: the topic of counts. */
void pipe_stat_init(struct pipes *p);
void pipe_stat_free(struct pipes *p);
void pipe_stat_changed(struct pipes *p);
void pipe_stat_lost(struct pipes *p, const char *machine);
bool pipe_stat_writing(const struct pipes *p, const char *machine,
                       uint64_t uid); /* as it told last */

#endif
