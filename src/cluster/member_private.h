/*
 * member_private.h - the table of machines behind member.c: entries, lists, digest.
 */
#ifndef ONEOS_CLUSTER_MEMBER_PRIVATE_H
#define ONEOS_CLUSTER_MEMBER_PRIVATE_H

#include "cluster/member.h"

/* Buckets for 1,000 machines: each entry of a chain costs a cache miss, for each heartbeat. */
#define HASH_INITIAL_NUM_BUCKETS      1024U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 10U
#define HASH_NONFATAL_OOM             1
#include <uthash.h>

/* The times. Heartbeats come every 1000 ms. */
enum {
    SUSPECT_MS = 1500,
    DEAD_MS = 3000,
    WORD_MS = 2150,      /* others say "heard" for up to SUSPECT_MS: with this it ends before 4 s */
    SUSPECT_LEAST = 500, /* nobody is dead without having been suspect for so long */
    WATCH_GRAIN_MS = 50, /* times are rounded up to this, so that one tick serves many */
    PROBE_MS = 500,
    PROBE_OTHERS = 3,
    PROBES_PER_S = 256,
    DEAD_PROBE_MS = 4000, /* doubled each time, up to 16 times that */
    PULL_PEER_MS = 1000,  /* between two pulls from one machine */
    PULL_ANY_MS = 250,    /* between any two */
    PENDING_MS = 60000,
    PENDING_MAX = 64,
    GONE_MAX = 256,
    LATE_MS = 2000 /* a later tick means that we slept, not that everybody died */
};

/* Each entry but self is on one of these, in the order in which it was put there. */
enum member_list_name {
    ON_NONE,
    ON_FRESH, /* alive, heard in the last SUSPECT_MS: by heard_ms, since that never goes back */
    ON_WATCH, /* to be looked at when due_ms comes */
    ON_GONE,  /* tombstones, oldest first */
    ON_LISTS
};

/* What each heartbeat touches comes first, and close together. */
struct entry {
    UT_hash_handle hh;
    struct entry *prev, *next;
    uint64_t own_ms; /* last heartbeat of its own */
    bool own;        /* there was one in this incarnation */
    enum member_list_name on;
    bool by_word;             /* heard_ms is another's word */
    struct member_view view;  /* view.info.id is the key */
    unsigned round;           /* probes since its own heartbeats stopped: rotates whom we ask */
    uint64_t due_ms;          /* ON_WATCH: when to look again */
    uint64_t probe_ms;        /* when to ask others again */
    uint64_t pull_ms;         /* not asked for its list before */
    struct member_view *tomb; /* pending, but this tombstone still counts and is told; or NULL */
};

struct member {
    struct entry *self, *all; /* all: the hash table, tombstones included */
    struct entry **sorted;    /* by id, what is listed */
    size_t n, cap;
    struct entry *list[ON_LISTS];
    size_t count[ON_LISTS];
    size_t pending;                /* entries in that state */
    uint64_t digest;               /* sum over the trusted entries */
    uint64_t now;                  /* the newest time told */
    uint64_t watch_due;            /* no entry ON_WATCH is due before */
    uint64_t pull_ms;              /* nobody is asked for a list before */
    uint64_t probe_second, probes; /* asked in that second */
    uint64_t made_ms;              /* the first time told */
    uint64_t woke_ms;              /* when it last noticed that it had slept; or 0 */
    const struct member_fx *fx;
    void *arg;
};

struct entry *table_find(const struct member *m, const char *id);

/* A new entry in that state, ON_NONE, listed unless it is gone; NULL when out of memory. */
struct entry *table_add(struct member *m, const struct peer_info *info, enum member_state state);
void table_drop(struct member *m, struct entry *e);

/* Lists it, or takes it off the sorted views. */
bool table_show(struct member *m, struct entry *e);
void table_hide(struct member *m, struct entry *e);

void table_put(struct member *m, struct entry *e, enum member_list_name on);
void table_watch(struct member *m, struct entry *e, uint64_t due_ms);

/* Every change of what the digest covers goes between these two. */
void table_unearth(struct entry *e); /* frees the tombstone of a pending one */
void table_open(struct member *m, const struct entry *e);
void table_close(struct member *m, const struct entry *e);

void member_enter(struct member *m, uint64_t now); /* every event begins with it */

/* member_move.c */
void entry_move(struct member *m, struct entry *e, enum member_state to);
void entry_alive(struct member *m, struct entry *e); /* heard now */
void entry_dead(struct member *m, struct entry *e);
void entry_to(struct member *m, struct entry *e, enum member_state state); /* alive, dead or left */

/* It is gone by that word: no longer listed, nor trusted, and so remembered. */
void entry_bury(struct member *m, struct entry *e, uint32_t word);

/* Trusts it in that state, whatever was known before; told even when the state was that already. */
void entry_welcome(struct member *m, struct entry *e, const struct peer_info *info, uint32_t word,
                   enum member_state state);
struct entry *entry_add(struct member *m, const struct peer_info *info, enum member_state state);
void entry_add_trusted(struct member *m, const struct peer_info *info, enum member_state state,
                       uint32_t word);
void entry_vanish(struct member *m, struct entry *e); /* a pending one is dropped, or gone again */

/* It can be reached somewhere else. The place that works is kept: a machine with several interfaces
 * is seen at several addresses. */
void entry_moved(struct member *m, struct entry *e, const struct peer_info *p);

uint64_t hash_id(uint64_t seed, const char *id);

#endif
