/*
 * consensus_private.h - what the files of consensus share: the object around libraft.
 *
 * consensus.c        events, state; what is wrong with libraft, and where it is mended
 * consensus_start.c  life
 * consensus_io.c     raft_io: disk
 * consensus_send.c   raft_io: messages out; notices of commits
 * consensus_part.c   snapshots in parts, both ways
 * consensus_recv.c   messages in: judged, mended, handed to libraft
 * consensus_log.c    looking into libraft's log and configuration, and setting them right
 * consensus_ask.c    proposals, reads, changes of the configuration
 * consensus_msg.c    bytes of messages
 */
#ifndef ONEOS_CLUSTER_CONSENSUS_PRIVATE_H
#define ONEOS_CLUSTER_CONSENSUS_PRIVATE_H

#include "base/rate.h"
#include "cluster/consensus.h"
#include "cluster/consensus_msg.h"

#include <raft.h>

/* Disk work under way; in the order it was begun. */
enum disk_op_kind { OP_APPEND, OP_SNAPSHOT_OWN, OP_SNAPSHOT_FOREIGN, OP_SNAPSHOT_GET };
struct disk_op {
    struct disk_op *next;
    struct consensus *c;
    enum disk_op_kind kind;
    union {
        struct raft_io_append *append;
        struct raft_io_snapshot_put *put;
        struct raft_io_snapshot_get *get;
    };
    union {
        raft_io_append_cb append_cb;
        raft_io_snapshot_put_cb put_cb;
        raft_io_snapshot_get_cb get_cb;
    };
    uint64_t began_ms;
    uint64_t first, n, valid; /* entries; valid: not truncated since */
    size_t bytes;
    struct consensus_entry *entries;
    struct consensus_snapshot snapshot;
    struct raft_buffer conf, *bufs; /* bufs: libraft forgets to free them when it discards */
};

/* A message of libraft that is sent; its callback runs at the end of the event. */
struct sent {
    struct sent *next;
    struct raft_io_send *req;
    raft_io_send_cb cb;
    int status;
};

/* What we know of another server. */
struct peer {
    uint64_t node;
    uint64_t heard_ms;    /* 0: never */
    uint64_t commit_sent; /* as leader of this term */
    uint64_t read_yes;    /* newest round it answered */
    uint64_t next_cut;    /* entries from here on did not fit: 0 none */
    uint64_t next_seen;   /* what libraft took for sent then */
    struct transfer *transfer;
};

/* A snapshot on its way to a server. */
struct transfer {
    uint64_t number, node;
    struct sent *sent;
    struct raft_install_snapshot what; /* of libraft's memory, until the callback */
    struct raft_buffer conf;
    uint64_t have, sent_to; /* the other has; we sent */
    uint64_t moved_ms, resent_ms;
};

/* A snapshot on its way here. At most one. */
struct incoming {
    uint64_t from, transfer, term, index, index_term, conf_index;
    uint8_t *conf, *data;
    size_t conf_len;
    uint64_t total, have;
    uint64_t moved_ms;
    bool whole; /* waits until libraft can take it */
};

/* Somebody waits: for a proposal, a read or a change. */
struct waiter {
    struct waiter *next;
    consensus_done *done;
    void *arg;
    int rc;
    uint64_t index;
    struct raft_buffer data; /* a proposal not yet handed in */
};
struct waiters {
    struct waiter *head, **tail;
};

struct consensus {
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct consensus_env fn;
    void *env;
    uint64_t node;
    char id[ID_MAX];
    unsigned election_ms, heartbeat_ms, trailing;

    bool has_raft; /* raft_init() was done */
    bool fenced;   /* something failed: nothing leaves any more */
    bool closing;
    char failed[320];
    unsigned depth; /* inside an event */
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;

    /* disk */
    struct consensus_loaded loaded; /* between create and raft_start() */
    struct disk_op *ops, **ops_end;
    size_t ops_bytes, ops_appends;
    uint64_t term_ahead; /* this term is on the disk already, before libraft asks for it */
    uint64_t appended;   /* last index that was given to the disk */
    uint64_t stored;     /* last index that is on it */
    bool restored;       /* fsm.restore() took a snapshot in this call of libraft */

    /* the message being received */
    struct {
        bool active, quiet, appends;
        uint64_t top; /* last index it speaks of */
        uint64_t snapshot_term;
        bool refused; /* a vote */
    } in;
    uint64_t hurried_ms;
    uint64_t verified, verified_term; /* up to here our log is that of this term's leader */
    uint64_t told;                    /* the leader of lead_term said: committed up to here */
    uint64_t lead_term, lead_node, lead_ms;
    char lead_id[ID_MAX];

    /* messages out */
    struct sent *sent, **sent_end;
    struct peer *peers;
    size_t n_peers;
    struct incoming incoming;
    struct rate complaints; /* about what others say */
    uint64_t transfers;

    /* configuration */
    struct raft_buffer conf; /* the newest committed one */
    uint64_t conf_index;
    uint64_t change_last;             /* newest entry in the log that changes it; 0: none */
    struct consensus_server *servers; /* for consensus_servers() */

    /* asking */
    bool leading, ready;
    uint64_t leading_term;
    struct raft_barrier barrier;
    struct raft_transfer transfer;
    struct waiters fresh; /* proposals not yet handed in */
    size_t fresh_n, fresh_bytes, flying_bytes;
    struct waiters flying; /* in the log, by index */
    struct waiters read_next, read_now;
    uint64_t read_round, read_index, read_ms;
    bool change_pending;
    struct raft_change change;
    struct waiter *change_waiter;
    struct waiters finished;

    /* what was reported with changed() */
    struct {
        uint64_t term, leader, conf;
        enum consensus_role role;
        bool leads, failed;
    } seen;
};

/* consensus.c */
void consensus_enter(struct consensus *c);
void consensus_leave(struct consensus *c);
/* Stops for good, with words: nothing is written, sent or handed out from here on. */
void consensus_fence(struct consensus *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t consensus_now(const struct consensus *c);
struct peer *consensus_peer(struct consensus *c, uint64_t node);

/* consensus_io.c */
void consensus_io_init(struct consensus *c);
bool consensus_persist_term(struct consensus *c, uint64_t term);
bool consensus_installing(const struct consensus *c);

/* consensus_send.c */
int consensus_io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *m,
                      raft_io_send_cb cb);
void consensus_say(struct consensus *c, const struct consensus_msg *m, const char *id);
void consensus_sent_done(struct consensus *c, struct sent *s, int status);
void consensus_sent_run(struct consensus *c);
void consensus_notices(struct consensus *c);
void consensus_probe_silent(struct consensus *c);
void consensus_retry_now(struct consensus *c, uint64_t node);
void consensus_snapshot_lost(struct consensus *c, const struct consensus_msg *m);
void consensus_snapshot_moves(struct consensus *c, uint64_t node);
/* It answered that its log ends at `last`. */
void consensus_went_back(struct consensus *c, uint64_t node, uint64_t last);

/* consensus_part.c */
int consensus_part_begin(struct consensus *c, struct sent *s, const struct raft_message *m);
void consensus_part_have(struct consensus *c, const struct consensus_msg *m);
void consensus_part_take(struct consensus *c, const struct consensus_msg *m, const char *from_id);
void consensus_part_tick(struct consensus *c);
void consensus_part_offer(struct consensus *c);
void consensus_part_drop(struct consensus *c); /* all of them, both ways */

/* consensus_recv.c */
void consensus_hand_in(struct consensus *c, struct raft_message *m, const char *id);
void consensus_take_told(struct consensus *c);

/* consensus_log.c */
uint64_t log_last(const struct raft *r);
uint64_t log_term(const struct raft *r, uint64_t index); /* 0: not known */
const struct raft_entry *log_entry(const struct raft *r, uint64_t index);
const struct raft_server *conf_server(const struct raft *r, uint64_t node);
size_t conf_voters(const struct raft *r);
bool conf_alone(const struct consensus *c); /* we are the only voter */
int conf_from_bytes(const void *data, size_t len, struct raft_configuration *out);
void conf_loaded(struct consensus *c);
void conf_audit(struct consensus *c);
void conf_appended(struct consensus *c, uint64_t first, const struct raft_entry *v, size_t n);
void conf_truncated(struct consensus *c, uint64_t index);
void conf_rollback(struct consensus *c, uint64_t index);
int conf_committed(struct consensus *c, struct raft_buffer *out); /* a copy */
uint64_t commit_target(const struct consensus *c, uint64_t node, uint64_t match);

/* consensus_ask.c */
void ask_init(struct consensus *c);
void ask_applied(struct consensus *c, uint64_t index);
void ask_roles(struct consensus *c);  /* leadership may have changed */
void ask_submit(struct consensus *c); /* proposals into the log */
void ask_reads(struct consensus *c);  /* rounds of reads */
void ask_tick(struct consensus *c);
void ask_end_all(struct consensus *c, int rc);
bool ask_finish(struct consensus *c); /* calls what is done; false: nothing was */
void ask_read_yes(struct consensus *c, const struct consensus_msg *m);

#endif
