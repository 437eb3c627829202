/*
 * registry.h - the state that all machines agree on: keys and JSON values in LMDB, changed by
 * commands.
 *
 * Commands are JSON objects {"v": SCHEMA, "cmd": NAME, ...}, applied in the order that consensus
 * gives, each deterministic: (state, command) -> (state, result). One LMDB transaction a batch.
 * Tables of commands come from the modules whose state it is. A command reads the state as it was
 * before it; its writes take effect when it returns 0, so that a refused one leaves nothing behind.
 * Time comes only from the command ("at_us", set by who asked for it).
 *
 * Every command carries "from": [ORIGIN, SERIAL, FLOOR]; a repeated (ORIGIN, SERIAL) gives the
 * recorded result and changes nothing; results below FLOOR are forgotten (what still comes then is
 * refused: -EALREADY). So who asks may ask again after a lost answer. At most 4,096 origins are
 * remembered; the one that was silent for longest goes first.
 *
 * A command with "service" and "epoch" is refused (-ESTALE) when that service is in another epoch.
 * "v" is the lowest schema that knows all of the command: a machine below it stands still.
 *
 * Keys are paths: member/ID, service/NAME, pipe/NAME, ... ; `_` begins what is the registry's own
 * (_meta, _from/ORIGIN, _done/ORIGIN/SERIAL; _local/index, which is in no dump).
 *
 * Reading: any thread, no lock, from a consistent snapshot (LMDB's). The file is a copy of what log
 * and snapshots of a majority hold (it may be ahead of this machine's log) and is not synced: after
 * a power failure, or when it is damaged, it is emptied and consensus fills it again.
 */
#ifndef ONEOS_CLUSTER_REGISTRY_H
#define ONEOS_CLUSTER_REGISTRY_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define REGISTRY_SCHEMA  3
#define REGISTRY_KEY_MAX 400 /* with its NUL */

struct registry;
struct registry_txn;

/* ---- commands */
struct registry_command {
    const char *name;
    int since; /* schema version that brought it */
    /* 0 with *result (may stay NULL; the caller's reference) or -errno with words. */
    int (*apply)(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e);
};

/* For apply functions, and for views. get: a new reference; -ENOENT. put: takes the reference. */
int txn_get(struct registry_txn *t, const char *key, json_t **out);
int txn_put(struct registry_txn *t, const char *key, json_t *value);
int txn_del(struct registry_txn *t, const char *key); /* -ENOENT */
/* The first key behind `after` ("" at first) that has the prefix; -ENOENT at the end. */
int txn_next(struct registry_txn *t, const char *prefix, const char *after,
             char key[REGISTRY_KEY_MAX], json_t **value);
size_t txn_count(struct registry_txn *t, const char *prefix);
uint64_t txn_index(const struct registry_txn *t);

/* ---- life */
/* tables: NULL-ended list of tables ended by a row without a name; they stay the caller's.
 * boot: of this machine (/proc/sys/kernel/random/boot_id); another than the file's, and that was
 * not closed: it is emptied. -EPROTONOSUPPORT: written by a newer version; -ENOSPC, -EACCES, ... */
int registry_open(struct registry **out, const char *dir, const char *boot,
                  const struct registry_command *const *tables, struct oerr *e);
void registry_close(struct registry *r); /* no view may be open; threads may have kept readers */

/* Empty again, index 0. Of a replica that starts afresh, wipe this before the log: a state beside a
 * log of other commands would take those for ones that it has. */
int registry_wipe(struct registry *r);

/* ---- the state machine; one thread (the core) */
struct registry_result {
    int rc;       /* the command's */
    json_t *body; /* may be NULL */
    struct oerr words;
    bool again; /* it was carried out before: this is what came of it then */
};

/* Queues a committed command; index must grow by any step; what is at or below registry_index() is
 * ignored. Copies. */
int registry_committed(struct registry *r, uint64_t index, const void *text, size_t len);
/* Carries out what is queued, up to 1,024 in a transaction; then calls applied() for each, in
 * order, then the watches. From inside those it does nothing: what is queued there is carried out
 * before the outer call returns. Else than 0 the queue is kept and registry_trouble() says why:
 * -ENOSPC and others, call it again later; -EPROTONOSUPPORT, a command that needs a newer program;
 * -EIO, it goes on only after a new start. applied: may be NULL. cmd: {} for what was no object. */
typedef void registry_applied(void *arg, uint64_t index, const json_t *cmd,
                              const struct registry_result *result);
int registry_flush(struct registry *r, registry_applied *applied, void *arg);
uint64_t registry_index(const struct registry *r);      /* applied and visible */
const char *registry_trouble(const struct registry *r); /* words while it cannot write; NULL */

/* The whole state as bytes, malloc()ed: the same for the same state. -EBUSY while something is
 * queued. */
int registry_dump(struct registry *r, void **data, size_t *len);

/* Takes over the state of index; does nothing when ours is of that or a later one. What was queued
 * up to index is dropped without a call of applied(). -EBADMSG, -EPROTONOSUPPORT: it stays as it
 * was. */
int registry_restore(struct registry *r, uint64_t index, const void *data, size_t len);

/* Called after a change is visible: key and value (borrowed; NULL: deleted). key NULL: anything may
 * have changed (a restore): read all. The list may change from inside; commands may be asked for.
 */
typedef void registry_changed(void *arg, const char *key, const json_t *value);
int registry_watch(struct registry *r, const char *prefix, registry_changed *fn, void *arg);
void registry_unwatch(struct registry *r, registry_changed *fn, void *arg);

/* ---- reading; any thread */
struct registry_view;
/* Cheap: a kept reader of this thread. -EAGAIN: about 1,000 readers are kept already. End it soon,
 * on the same thread: while it is open, what it shows takes room in the file. */
int registry_read(struct registry *r, struct registry_view **out);
void registry_view_end(struct registry_view *v);
/* The bytes of a value (JSON text), valid until the view's end; -ENOENT. */
int view_text(struct registry_view *v, const char *key, const char **text, size_t *len);
int view_get(struct registry_view *v, const char *key, json_t **out);
int view_next(struct registry_view *v, const char *prefix, const char *after,
              char key[REGISTRY_KEY_MAX], json_t **value);
uint64_t view_index(const struct registry_view *v);

/* Id of the registry, drawn at its formation ("" before the command registry.init). */
void registry_id(struct registry *r, char id[40]);

#endif
