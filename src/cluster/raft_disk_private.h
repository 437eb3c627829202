/*
 * raft_disk_private.h - the parts of raft_disk: the log in LMDB (raft_disk_log.c), snapshot files
 * (raft_disk_snap.c), what is under way (raft_disk_flow.c).
 */
#ifndef ONEOS_CLUSTER_RAFT_DISK_PRIVATE_H
#define ONEOS_CLUSTER_RAFT_DISK_PRIVATE_H

#include "cluster/raft_disk.h"
#include "cluster/raft_disk_form.h"

#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/types.h>

/* Words for what is damaged; `what` fits behind "PATH is damaged: ". */
int disk_damaged(struct oerr *e, const char *dir, const char *path, const char *what);

/* The error means that there is no room (or memory) now, and may be later. */
bool disk_waits(int rc);

/* ---- the log: one user at a time */

/* How much address space LMDB gets at first; doubled when it is used up. Tests make it small. */
extern size_t disk_first_map;

struct disk_log {
    MDB_env *env;
    MDB_dbi dbi;
    const char *dir;
    char path[PATH_MAX];
    int fd;
    bool no_fallocate; /* the file system has none */
    off_t reserved;    /* bytes of the file that surely have room */
    size_t map_size, page_size;
    struct sums *sums;
    struct disk_state st; /* as it is on the disk */
    bool sealed;          /* the last transaction changed nothing */
    struct oerr words;    /* of the last error */
};

/* A transaction that is being made. */
struct log_txn {
    struct disk_log *log;
    MDB_txn *txn;
    struct disk_state st;
};

/* -ENOENT: there is none. Verifies all of it. */
int log_open(struct disk_log *l, const char *dir, struct oerr *e);
/* Only to read, from another process than the one that writes. */
int log_open_read(struct disk_log *l, const char *dir, bool verified, struct oerr *e);
int log_make(const char *dir, struct oerr *e);
void log_close(struct disk_log *l);
int disk_draw_node(uint64_t *node);

/* One synced transaction around fn, which may run twice. */
typedef int log_step(struct log_txn *x, void *arg);
int log_run(struct disk_log *l, log_step *fn, void *arg);
int log_seal(struct disk_log *l);

/* Room that new entries may take, up to want: reserves more. When it is less, *rc says why. */
size_t log_room(struct disk_log *l, size_t want, int *rc);
size_t log_cost(const struct disk_log *l, size_t len); /* of an entry, at most */

/* Steps. -errno, or LMDB's codes, which log_run() understands. */
int txn_put_entry(struct log_txn *x, uint64_t index, const struct consensus_entry *e);
int txn_drop_below(struct log_txn *x, uint64_t index, unsigned max); /* 1: there are more */
int txn_drop_from(struct log_txn *x, uint64_t index);
int txn_drop_all(struct log_txn *x, uint64_t next);

/* The term of an entry; -ENOENT. */
int log_term_of(struct disk_log *l, uint64_t index, uint64_t *term);
int log_begin_read(struct disk_log *l, MDB_txn **txn);
/* Copies the first entry at or behind `from`; -ENOENT. */
int log_copy_next(struct disk_log *l, MDB_cursor *c, uint64_t from, uint64_t *index,
                  struct consensus_entry *to);
/* All entries, copied: *v is the caller's. */
int log_load(struct disk_log *l, struct consensus_entry **v, size_t *n, struct oerr *e);
void entries_free(struct consensus_entry *v, size_t n);

/* ---- snapshots */
struct snap_name {
    uint64_t index, term;
};

/* The newest (index 0: none), and whether there is any at all. Removes what was half written. */
int snap_newest(const char *dir, struct snap_name *out, struct oerr *e);
/* Writes it durably, then removes all but it and the one before. */
int snap_write(const char *dir, const struct consensus_snapshot *s, struct oerr *e);
/* Reads and checks it. conf and data are the caller's. */
int snap_read(const char *dir, struct snap_name name, struct consensus_snapshot *out,
              struct oerr *e);
void snap_free(struct consensus_snapshot *s);
int snap_remove_all(const char *dir, struct oerr *e);
int disk_sync_folder(const char *dir, struct oerr *e);

/* ---- what is under way */
enum op_kind { OP_APPEND, OP_RESET, OP_PUT, OP_GET };

struct op {
    struct op *next;
    enum op_kind kind;
    consensus_disk_done *done;
    void *token;
    int rc;

    /* append; n shrinks when a part of it is truncated */
    uint64_t first;
    size_t n;
    struct consensus_entry *entries;

    /* put, get; reset: drops the whole log once the snapshot of the put `of` is durable */
    struct consensus_snapshot snapshot, *out;
    uint64_t trailing;
    bool resets; /* put: by its reset, not by `cut` */
    bool stored; /* the file is durable */
    struct op *of;
};

struct ops {
    struct op *head, **tail;
};

struct job {
    uv_work_t req;
    struct raft_disk *disk;
    bool active;   /* loop: handed to the pool, after_work has not come */
    bool finished; /* under lock: the pool's thread has done all it does */
};

struct raft_disk {
    struct loop *core;
    char dir[PATH_MAX - 64];
    int lock_fd;
    unsigned refs; /* handles and jobs */
    bool closing;

    /* The loop's view: what was asked for, on the disk or under way. */
    uint64_t node, next, snap_index;
    struct snap_name newest; /* durable */
    bool fresh;
    struct oerr failure;

    pthread_mutex_t txn; /* taken for a transaction; guards log */
    struct disk_log log;

    pthread_mutex_t lock; /* taken shortly; guards what follows */
    pthread_cond_t idle;
    int failed;          /* -errno: nothing is written any more; set by the loop only */
    struct ops queue;    /* appends and resets to be written */
    struct ops finished; /* whose done is to be called */
    struct op *cut;      /* the put whose entries are being dropped */
    struct op *was_cut;  /* ... are gone */
    int log_rc;          /* of the last transaction; */
    struct oerr log_words;

    struct ops snaps;   /* puts and gets */
    struct op *snap_op; /* the one that the pool works at */
    struct oerr snap_words;

    struct job log_job, snap_job;
    uv_timer_t timer, rest;
    void (*before)(void *arg);
    void *before_arg;
    uv_idle_t soon; /* active: something may have been queued in this turn */
    bool seal_due;  /* the job is to seal the log, where nothing else is to be written */
    bool log_waits, snap_waits; /* for the timer */
    struct oerr log_trouble, snap_trouble;
};

/* raft_disk_op.c */
struct op *disk_op_create(enum op_kind kind, consensus_disk_done *done, void *token);
void op_end(struct op *o); /* calls done, frees it */
void ops_init(struct ops *q);
void ops_push(struct ops *q, struct op *o);
struct op *ops_pop(struct ops *q);
void ops_remove(struct ops *q, struct op *o);
void ops_append(struct ops *q, struct ops *b);  /* empties b */
void ops_unshift(struct ops *q, struct ops *b); /* the same, in front */

/* raft_disk_batch.c */
void flow_log_work(uv_work_t *req);
void flow_snap_work(uv_work_t *req);

/* raft_disk_flow.c; the loop */
int flow_start(struct raft_disk *d);
void flow_stop(struct raft_disk *d); /* ends everything; then the disk frees itself */
bool flow_busy(struct raft_disk *d);
void flow_kick(struct raft_disk *d); /* what is queued is begun at the end of this turn */
void flow_rest(struct raft_disk *d);
extern unsigned disk_rest_ms; /* tests change it */
void flow_fail(struct raft_disk *d, int rc, const struct oerr *words);
void flow_queue(struct raft_disk *d, struct op *o);
/* Entries from index on are not to be written any more. With txn held. */
void flow_truncate(struct raft_disk *d, uint64_t index);
/* The term of an entry that is written or queued; -ENOENT. */
int flow_term_of(struct raft_disk *d, uint64_t index, uint64_t *term);

#endif
