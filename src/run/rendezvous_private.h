/*
 * rendezvous_private.h - what the files of the rendezvous core share.
 *
 *   rendezvous.c        life, machines, time, and how every event ends
 *   rendezvous_book.c   the records of the replica, their names, what changed in them
 *   rendezvous_sync.c   questions asked, pushing own changes, catching up with others'
 *   rendezvous_home.c   questions answered, own records, holds
 *   rendezvous_ops.c    operations under way
 *   rendezvous_user.c   how users begin them
 */
#ifndef ONEOS_RUN_RENDEZVOUS_PRIVATE_H
#define ONEOS_RUN_RENDEZVOUS_PRIVATE_H

#include "run/rendezvous_msg.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    RETRY_MS = 250,
    OPS_MAX = 1024,
    PARKED_MAX = 1024,
    SYNC_MS = 5000,        /* one machine, in turn, is asked for a SYNC */
    SPREAD_ASKED_MS = 600, /* another machine that asked for a change waits RV_ASK_MS for us */
    FRESH_MS = 2 * RV_ASK_MS,
    PENDING_MS = 10000 /* after which membership should know a machine that speaks to us */
};

/* One record of the replica. */
struct pipe {
    struct pipe_info info;        /* info.uid is the key; info.name is what is shown */
    char base[PIPE_NAME_MAX + 1]; /* the name that its home gave it */
    uint64_t added_ms;
    uint64_t releasing; /* a RELEASE under way */
    unsigned what;      /* bits 1 << enum rv_change, not told yet; then on the list `touched` */
    struct pipe *prev, *next;
    UT_hash_handle hh;
};

/* Another machine: as a home, and as one that has our records. */
struct peer {
    char id[ID_MAX];
    uint64_t incarnation;
    enum member_state state; /* PENDING: heard of, but membership did not tell yet */
    uint64_t since;          /* in that state */
    enum member_state told;  /* what membership told last, with its incarnation; PENDING: nothing */
    uint64_t told_incarnation;
    uint64_t known;       /* its changes up to this version are in the replica */
    uint64_t want;        /* it is known to have changes up to this one */
    char told_by[ID_MAX]; /* ... by this one */
    uint64_t pulling;     /* a PULL of its records under way, from anybody */
    uint64_t pull_at;     /* when it was asked */
    bool pull_failed;     /* the last one */
    uint64_t settled;     /* our changes up to this one: it has them, or did not answer */
    uint64_t syncing;     /* a SYNC under way */
    uint64_t sync_at;     /* when to ask it for a SYNC; UINT64_MAX: only in turn */
    UT_hash_handle hh;
};

/* This machine holds the buffer of that pipe. Outlives the record. */
struct hold {
    struct pipe_uid uid;
    uint64_t epoch;
    UT_hash_handle hh;
};

/* A question under way. */
struct call {
    uint64_t id;
    enum rv_kind kind;
    char to[ID_MAX];
    uint64_t deadline;
    struct op *op;       /* CLAIM OPEN REMOVE SET; NULL: nobody waits any more */
    struct pipe_uid uid; /* RELEASE */
    char home[ID_MAX];   /* PULL */
    uint64_t version;    /* UPDATE; RELEASE: the epoch */
    struct call *prev, *next;
    UT_hash_handle hh;
};

/* An UPDATE to answer once the replica of `home` has come to `version`. */
struct parked {
    void *ask;
    char home[ID_MAX];
    uint64_t version, deadline;
    struct parked *prev, *next;
};

enum op_kind { OP_MAKE, OP_REMOVE, OP_SET, OP_OPEN };

enum op_at {
    AT_CLAIM,   /* MAKE: answers to CLAIM are missing */
    AT_WAIT,    /* MAKE: somebody else has it or makes it; claims again at retry_at */
    AT_ASK,     /* the home is asked */
    AT_RETRY,   /* the home did not answer; asked again at retry_at */
    AT_FOLLOW,  /* OPEN: another operation of this machine asks the same */
    AT_REPLICA, /* the home has done it; until the replica shows it */
    AT_SPREAD,  /* done here; until every machine that can be reached knows */
    AT_END,
    AT_STATES
};

struct op {
    enum op_kind kind;
    enum op_at at;
    void *handle; /* the caller's; NULL: nobody waits */
    void *ask;    /* the question of another machine, when it is not an operation of ours */
    bool beginning;
    char name[PIPE_NAME_MAX + 1];
    struct pipe_uid uid;
    enum flow_mode make_mode;
    char owner[PIPE_OWNER_MAX];
    uint64_t created_us;
    bool excl;
    int mode;          /* SET: -1 leaves it */
    uint64_t capacity; /* MAKE, SET */
    unsigned left;     /* AT_CLAIM: answers missing */
    unsigned tries;
    uint64_t version; /* AT_SPREAD: ours; AT_REPLICA: the home's */
    uint64_t deadline, retry_at;
    int rc;
    struct oerr words;
    struct pipe_info result;
    struct op *prev, *next;
};

struct rendezvous {
    char self[ID_MAX];
    uint64_t incarnation, now;
    const struct rv_fx *fx;
    void *arg;

    struct pipe *pipes;                     /* by uid */
    struct pipe **sorted, **work, **losing; /* by name; two scratch arrays of the same size */
    size_t n, cap;
    size_t own;       /* records whose home we are */
    size_t losers;    /* records that are not shown under their base name */
    bool names_dirty; /* names must be settled; `sorted` is not complete until then */
    struct pipe *touched;

    struct peer *peers;
    struct hold *holds;
    struct call *calls, *call_list; /* by id; oldest first */
    uint64_t last_call;
    struct parked *parked;
    size_t parked_count;
    struct op *ops;
    size_t op_count;

    uint64_t serial, version;
    struct pipe_info last; /* the change that made `version` */
    bool last_removed;
    uint64_t pushed; /* the version pushed last */
    uint64_t sync_at, release_at, lost_at, pending_at;
    bool holders_dirty; /* lost_at must be computed */
    char sync_last[ID_MAX];
    bool again; /* something changed while operations were looked at */
};

/* rendezvous.c */
void rv_enter(struct rendezvous *r, uint64_t now); /* every event begins with it */
void rv_settle(struct rendezvous *r);              /* ... and ends with it */
struct peer *peer_find(const struct rendezvous *r, const char *id);
bool peer_reached(const struct peer *pe); /* NULL: false */
struct peer *peer_add(struct rendezvous *r, const char *id, uint64_t incarnation);
void peer_restarted(struct rendezvous *r, struct peer *pe, uint64_t incarnation);
void uid_set(struct pipe_uid *to, const char *home, uint64_t incarnation, uint64_t serial);
bool uid_same(const struct pipe_uid *a, const struct pipe_uid *b);

/* rendezvous_book.c */
struct pipe *book_find(const struct rendezvous *r, const struct pipe_uid *uid);
struct pipe *book_named(const struct rendezvous *r, const char *name);
bool is_own(const struct rendezvous *r, const struct pipe_uid *uid);

/* Takes the record as its home says it (info->name: the base name). -ENOMEM. */
int book_put(struct rendezvous *r, const struct pipe_info *info);
void book_drop(struct rendezvous *r, struct pipe *p);
void book_drop_home(struct rendezvous *r, const char *home);
void book_touch(struct rendezvous *r, struct pipe *p, unsigned what);
void book_names(struct rendezvous *r); /* settles who is shown under which name */
void book_tell(struct rendezvous *r);  /* fx.changed for everything touched */
void book_free(struct rendezvous *r);

/* rendezvous_sync.c */

/* Asks; 0 when out of memory or `to` cannot be reached, else the call's number. */
uint64_t call_ask(struct rendezvous *r, const char *to, const struct rv_msg *q, struct op *op);
struct call *call_find(const struct rendezvous *r, uint64_t id);
void call_end(struct rendezvous *r, struct call *c, int rc, const struct rv_msg *a);
void calls_end_to(struct rendezvous *r, const char *to);
void calls_expire(struct rendezvous *r);
void calls_detach(struct rendezvous *r, const struct op *op);
void calls_free(struct rendezvous *r);
void push_changes(struct rendezvous *r);
void push_to(struct rendezvous *r, const struct peer *pe);
uint64_t settled_everywhere(const struct rendezvous *r);

/* The replica of that home in that incarnation, when what `from` says of it may be taken. */
struct peer *replica_of(struct rendezvous *r, const char *home, uint64_t incarnation,
                        const char *from);
enum taken { TAKEN, TAKEN_NOT, TAKEN_LATER }; /* LATER: changes before it are missing; pulling */
enum taken replica_update(struct rendezvous *r, const char *from, bool removed,
                          const struct pipe_info *info);
void replica_want(struct rendezvous *r, struct peer *pe, uint64_t version, const char *from);
void replica_list(struct rendezvous *r, const char *from, const struct rv_msg *list);
void sync_due(struct rendezvous *r);
void sync_make(const struct rendezvous *r, struct rv_msg *m);
void sync_compare(struct rendezvous *r, const char *from, const struct rv_msg *m);

/* rendezvous_home.c */
void own_changed(struct rendezvous *r, struct pipe *p, unsigned what);
int own_create(struct rendezvous *r, const struct op *op, struct pipe **out);
void own_remove(struct rendezvous *r, struct pipe *p);
int own_set(struct rendezvous *r, struct pipe *p, int mode, uint64_t capacity, struct oerr *e);
void own_hold(struct rendezvous *r, struct pipe *p, const char *who, uint64_t incarnation);
void own_unhold_by(struct rendezvous *r, const char *who, uint64_t below); /* incarnations */
void own_lost(struct rendezvous *r); /* holders dead for too long */
bool held_here(const struct rendezvous *r, const struct pipe_info *info);
int hold_add(struct rendezvous *r, const struct pipe_uid *uid, uint64_t epoch);
void hold_drop(struct rendezvous *r, const struct pipe_uid *uid);
void holds_check(struct rendezvous *r, struct pipe *p);
void holds_release(struct rendezvous *r); /* holds that nobody here took are given back */
void holds_released(struct rendezvous *r, const struct call *c, bool ok);
void parked_settle(struct rendezvous *r, const struct peer *pe, bool failed);
void parked_expire(struct rendezvous *r);
void parked_free(struct rendezvous *r);

/* rendezvous_ops.c */
struct op *op_new(struct rendezvous *r, enum op_kind kind, void *handle);
void op_free(struct rendezvous *r, struct op *op);
void op_move(struct rendezvous *r, struct op *op, enum op_at to);
void op_claim(struct rendezvous *r, struct op *op);  /* asks all machines for the name */
void op_create(struct rendezvous *r, struct op *op); /* nobody is against it */
void op_go(struct rendezvous *r, struct op *op);     /* asks the home, if it can */

/* The replica shows what the home said of the holder. */
void op_opened(struct rendezvous *r, struct op *op, const struct pipe *p);
void op_spread(struct rendezvous *r, struct op *op, const struct pipe *p);
void op_answered(struct rendezvous *r, struct op *op, const struct call *c, int rc,
                 const struct rv_msg *a);
bool op_opening(const struct rendezvous *r, const struct pipe_uid *uid);
struct op *op_claiming(const struct rendezvous *r, const char *name);
void op_yield(struct rendezvous *r, struct op *op);
void ops_claim(struct rendezvous *r, const char *to); /* a machine that came */
void ops_step(struct rendezvous *r);
void ops_tell(struct rendezvous *r); /* fx.done and fx.answer for all that ended */
uint64_t ops_next(const struct rendezvous *r);
void ops_free(struct rendezvous *r);

#endif
