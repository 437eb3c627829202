/*
 * registry.c - the registry opened and closed, its transactions, its commands by name.
 *
 * Invariant: the index in the file is that of the state beside it, since both change in one
 * transaction; `index` in memory follows once that is committed, so who reads after it sees at
 * least that state.
 */
#include "cluster/registry_private.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- transactions */

int registry_begin(struct registry *r, struct registry_txn *t)
{
    int rc;

    *t = (struct registry_txn){ .r = r, .dbi = r->store.dbi };
    rc = store_begin(&r->store, &t->mdb);
    return rc ? store_write_errno(&r->store, rc) : 0;
}

void registry_abort(struct registry_txn *t)
{
    mdb_txn_abort(t->mdb);
    t->mdb = NULL;
    changes_free(&t->writes);
}

int registry_commit(struct registry_txn *t, uint64_t index)
{
    struct registry *r = t->r;
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, index);
    int rc = store_put(t->mdb, t->dbi, KEY_INDEX, text, (size_t)n);

    if (rc == 0) {
        rc = mdb_txn_commit(t->mdb);
        t->mdb = NULL;
    }
    if (rc != 0) {
        rc = store_write_errno(&r->store, rc);
        registry_abort(t);
        return rc;
    }
    atomic_store(&r->index, index);
    return 0;
}

int registry_room(struct registry *r, int rc)
{
    int grown;

    if (rc != -EOVERFLOW)
        return rc;
    if (readers_hold(&r->readers) < 0)
        return -ENOSPC;
    grown = store_grow(&r->store);
    readers_go_on(&r->readers);
    return grown < 0 ? -ENOSPC : -EAGAIN;
}

int registry_make_empty(struct registry_txn *t)
{
    json_t *meta = json_pack("{s:i}", "schema", t->r->schema);
    int rc = mdb_drop(t->mdb, t->dbi, 0);

    if (rc != 0)
        rc = store_write_errno(&t->r->store, rc);
    else
        rc = txn_put_now(t, KEY_META, meta);
    json_decref(meta);
    return rc;
}

void registry_replaced(struct registry *r, uint64_t index)
{
    queue_drop(r, index);
    if (r->last < index || index == 0)
        r->last = index;
    r->trouble.text[0] = '\0';
    if (r->flushing)
        r->all_changed = true;
    else
        watchers_tell(&r->watchers, NULL);
}

/* ---- opening */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct registry_command *const *)a)->name,
                  (*(const struct registry_command *const *)b)->name);
}

static int sort_commands(struct registry *r, const struct registry_command *const *tables,
                         struct oerr *e)
{
    const struct registry_command *row;
    size_t n = 0;

    for (size_t i = 0; tables[i]; i++) {
        for (row = tables[i]; row->name; row++)
            n++;
    }
    r->commands = calloc(n + 1, sizeof(r->commands[0]));
    if (!r->commands)
        return -ENOMEM;
    for (size_t i = 0; tables[i]; i++) {
        for (row = tables[i]; row->name; row++)
            r->commands[r->n_commands++] = row;
    }
    qsort(r->commands, n, sizeof(r->commands[0]), by_name);
    for (size_t i = 1; i < n; i++) {
        if (by_name(&r->commands[i - 1], &r->commands[i]) == 0)
            return oerr_set(e, -EEXIST, "two commands are called %s", r->commands[i]->name);
    }
    return 0;
}

/* The index that the file says; a fresh one is made a registry, an older one upgraded. */
static int settle_state(struct registry_txn *t, uint64_t *index, struct oerr *e)
{
    json_t *known = NULL;
    int rc = txn_get(t, KEY_INDEX, &known);

    *index = 0;
    if (rc == -ENOENT)
        return registry_make_empty(t);
    if (rc < 0)
        return rc;
    *index = (uint64_t)json_integer_value(known);
    json_decref(known);
    return txn_upgrade(t, t->r->schema, t->r->upgrades, e);
}

static int load_state(struct registry *r, struct oerr *e)
{
    struct registry_txn t;
    uint64_t index;
    int rc = registry_begin(r, &t);

    if (rc < 0)
        return rc;
    rc = settle_state(&t, &index, e);
    if (rc < 0) {
        registry_abort(&t);
        return rc;
    }
    rc = registry_commit(&t, index);
    changes_free(&t.writes);
    r->last = index;
    return rc;
}

/* A state that can be read but makes no sense is thrown away too, once. */
static int open_state(struct registry *r, const char *dir, const char *boot, struct oerr *e)
{
    int rc = store_open(&r->store, dir, boot, r->schema, e);

    if (rc < 0)
        return rc;
    rc = load_state(r, e);
    if (rc != -EBADMSG)
        return rc;
    log_warn("registry", "%s is made anew from log and snapshot: it is damaged", r->store.path);
    store_close(&r->store, false);
    rc = store_remove(&r->store, e);
    if (rc == 0)
        rc = store_open(&r->store, dir, boot, r->schema, e);
    return rc < 0 ? rc : load_state(r, e);
}

int registry_open_as(struct registry **out, const char *dir, const char *boot,
                     const struct registry_command *const *tables, int schema,
                     const struct registry_upgrade *upgrades, struct oerr *e)
{
    struct registry *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return -ENOMEM;
    r->schema = schema;
    r->upgrades = upgrades;
    rc = readers_init(&r->readers);
    if (rc < 0) {
        free(r);
        return rc;
    }
    if (e)
        e->text[0] = '\0';
    rc = sort_commands(r, tables, e);
    if (rc == 0)
        rc = open_state(r, dir, boot, e);
    if (rc < 0) {
        if (e && !e->text[0])
            oerr_set(e, rc, "cannot open the registry in %s: %s", dir, strerror(-rc));
        registry_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

int registry_open(struct registry **out, const char *dir, const char *boot,
                  const struct registry_command *const *tables, struct oerr *e)
{
    return registry_open_as(out, dir, boot, tables, REGISTRY_SCHEMA, registry_upgrades, e);
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    readers_destroy(&r->readers);
    queue_drop(r, UINT64_MAX);
    watchers_free(&r->watchers);
    store_close(&r->store, !r->stuck);
    free(r->commands);
    free(r->buf);
    free(r);
}

static int put_empty(struct registry *r)
{
    struct registry_txn t;
    int rc = registry_begin(r, &t);

    if (rc < 0)
        return rc;
    rc = registry_make_empty(&t);
    if (rc < 0) {
        registry_abort(&t);
        return rc;
    }
    return registry_commit(&t, 0);
}

int registry_wipe(struct registry *r)
{
    int rc;

    do {
        rc = registry_room(r, put_empty(r));
    } while (rc == -EAGAIN);
    if (rc < 0)
        return rc;
    queue_drop(r, UINT64_MAX);
    registry_replaced(r, 0);
    return 0;
}

/* ---- small questions */

uint64_t registry_index(const struct registry *r)
{
    return atomic_load(&r->index);
}

const char *registry_trouble(const struct registry *r)
{
    return r->trouble.text[0] ? r->trouble.text : NULL;
}

int registry_watch(struct registry *r, const char *prefix, registry_changed *fn, void *arg)
{
    return watchers_add(&r->watchers, prefix, fn, arg);
}

void registry_unwatch(struct registry *r, registry_changed *fn, void *arg)
{
    watchers_remove(&r->watchers, fn, arg);
}
