/*
 * registry_private.h - what the parts of the registry share.
 *
 * store    the LMDB file: opening, growing, words for its errors   registry_store.c
 * view     readers of any thread                                   registry_view.c
 * txn      what commands read and write                            registry_txn.c
 * done     results that may be asked for again                     registry_done.c
 * watch    who is told of changes                                  registry_watch.c
 * upgrade  from the schema of the file to ours                     registry_upgrade.c
 */
#ifndef ONEOS_CLUSTER_REGISTRY_PRIVATE_H
#define ONEOS_CLUSTER_REGISTRY_PRIVATE_H

#include "cluster/registry.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define KEY_META  "_meta"        /* {"schema", "id", "dissolved"} */
#define KEY_LOCAL "_local/"      /* of this file only: in no dump */
#define KEY_INDEX "_local/index" /* the last one applied */
#define KEY_DONE  "_done/"       /* ORIGIN/SERIAL: [rc, words, body] */
#define KEY_FROM  "_from/"       /* ORIGIN: [floor, index of its last command] */

/* ---- store */
struct store {
    MDB_env *env;
    MDB_dbi dbi;
    char path[4096];
    char marker[4096]; /* beside it: whether the file can be trusted, see registry_store.c */
    size_t map;
    char boot[64];
    int schema; /* that this program writes */
};

extern size_t store_first_map; /* bytes of address space; tests make it small */

/* Opens the file, or makes it anew where it is no good. */
int store_open(struct store *s, const char *dir, const char *boot, int schema, struct oerr *e);
/* whole: everything that was asked for is in the file; it then outlives a power failure. */
void store_close(struct store *s, bool whole);
int store_remove(const struct store *s, struct oerr *e);
void store_distrust(const struct store *s); /* the next start makes the file anew */
int store_begin(struct store *s, MDB_txn **out);
int store_grow(struct store *s); /* no transaction may be open */
int store_errno(int mdb);        /* LMDB's code as -errno */
/* For a write that failed; knows LMDB's short writes for what they are. */
int store_write_errno(const struct store *s, int mdb);
void store_words(const struct store *s, int rc, struct oerr *e);

/* Whether LMDB can walk the file without harm: 0, -EBADMSG with words, or another error. */
int store_check(const char *path, struct oerr *e);
int store_sum(const char *path, uint64_t *sum); /* of its bytes */

static inline MDB_val store_key(const char *key)
{
    return (MDB_val){ .mv_size = strlen(key), .mv_data = (void *)key };
}

int store_get(MDB_txn *t, MDB_dbi dbi, const char *key, MDB_val *out);
int store_put(MDB_txn *t, MDB_dbi dbi, const char *key, const void *data, size_t n);
int store_del(MDB_txn *t, MDB_dbi dbi, const char *key);
int store_next(MDB_txn *t, MDB_dbi dbi, const char *prefix, const char *after,
               char key[REGISTRY_KEY_MAX], MDB_val *value);
int store_json(const MDB_val *v, json_t **out); /* -EBADMSG */

/* ---- view: the kept readers of all threads */
struct readers {
    struct registry_view *all; /* of this registry */
    pthread_mutex_t hold;      /* held while no view may begin */
    atomic_bool held;
};
int readers_init(struct readers *rs);
void readers_drop(struct readers *rs); /* no view may be open */
void readers_destroy(struct readers *rs);
/* Keeps views from beginning, and waits a little for those that are open. 0, or -EBUSY: go on. */
int readers_hold(struct readers *rs);
void readers_go_on(struct readers *rs);

/* ---- watch */
struct change {
    char *key;
    json_t *value; /* NULL: deleted */
    bool stale;    /* changes_last()'s */
};
struct changes {
    struct change *v;
    size_t n, cap;
};
void change_free(struct change *c);
void changes_cut(struct changes *c, size_t n); /* forgets those behind the first n */
void changes_free(struct changes *c);
/* Leaves of each key the last one, in the order of those. */
void changes_last(struct changes *c);

struct watch;
struct watchers {
    struct watch *all; /* utlist */
    unsigned telling;
};
int watchers_add(struct watchers *ws, const char *prefix, registry_changed *fn, void *arg);
void watchers_remove(struct watchers *ws, registry_changed *fn, void *arg);
void watchers_tell(struct watchers *ws, const struct changes *c); /* NULL: read all */
void watchers_free(struct watchers *ws);

/* ---- txn: one batch */
struct registry_txn {
    struct registry *r;
    MDB_txn *mdb;
    MDB_dbi dbi;
    uint64_t index; /* of the command */
    int failed;     /* not the command's fault, so the whole batch must be tried again: -errno */
    struct changes writes;
    size_t carried;            /* writes that are in mdb; those behind are of the present command */
    bool meta_read, dissolved; /* what _meta says, once it was read */
};
int txn_carry_out(struct registry_txn *t); /* the command's writes; drops what changes nothing */
int txn_put_now(struct registry_txn *t, const char *key, const json_t *value); /* told to nobody */

/* ---- done */
struct asked {
    const char *origin; /* NULL: nobody who would ask again */
    uint64_t serial, floor;
};
int asked_parse(const json_t *cmd, struct asked *a, struct oerr *e);
/* 1: *result is what was answered then. 0: it is new. */
int done_find(struct registry_txn *t, const struct asked *a, struct registry_result *result);
int done_keep(struct registry_txn *t, const struct asked *a, const struct registry_result *result);

/* ---- upgrade */
struct registry_upgrade {
    int from; /* to from + 1 */
    int (*run)(struct registry_txn *t, struct oerr *e);
};
extern const struct registry_upgrade registry_upgrades[]; /* ended by a row without run */
int txn_upgrade(struct registry_txn *t, int to, const struct registry_upgrade *steps,
                struct oerr *e);

/* ---- the registry */
struct queued;
struct registry {
    struct store store;
    struct readers readers;
    struct watchers watchers;
    const struct registry_command **commands; /* sorted by name */
    size_t n_commands;
    const struct registry_upgrade *upgrades;
    int schema;
    struct queued *queue; /* utlist, in order */
    uint64_t last;        /* index of the last one ever queued or applied */
    _Atomic uint64_t index;
    char *buf; /* room for values as text */
    size_t room;
    bool flushing;
    bool all_changed; /* tell so at the end of the flush under way */
    bool stuck;       /* nothing more until the daemon starts again; trouble says why */
    struct oerr trouble;
};

/* As registry_open(), for a program of that schema. */
int registry_open_as(struct registry **out, const char *dir, const char *boot,
                     const struct registry_command *const *tables, int schema,
                     const struct registry_upgrade *upgrades, struct oerr *e);
int registry_begin(struct registry *r, struct registry_txn *t);
void registry_abort(struct registry_txn *t);
/* The state now is that of index. Aborts where it fails. */
int registry_commit(struct registry_txn *t, uint64_t index);
/* What a failed transaction comes to: -EAGAIN where it found no room in the map, which has grown
 * now: try again. */
int registry_room(struct registry *r, int rc);
/* Writes what an empty registry holds. */
int registry_make_empty(struct registry_txn *t);
/* Another state was put in place: what is queued up to its index is in it. */
void registry_replaced(struct registry *r, uint64_t index);

/* registry_queue.c */
void queue_drop(struct registry *r, uint64_t index); /* up to it */

/* registry_apply.c: 0 with a result, or -errno: it cannot be carried out on this machine now
 * (-EPROTONOSUPPORT, with the result's words: never by this program). */
int registry_apply(struct registry_txn *t, const json_t *cmd, struct registry_result *result);

#endif
