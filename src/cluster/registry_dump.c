/*
 * registry_dump.c - the whole state as bytes: what a snapshot is.
 *
 *     "OOSREG" version[2] count[8] { key_len[2] value_len[4] key value }... sum[8]
 *
 * Integers are big-endian. Keys ascend, so equal states give equal bytes. Keys of this file only
 * (_local/) are left out. The sum is FNV-1a over all before it: it finds accidents, not malice.
 *
 * Restoring checks all of the bytes before it touches the state, and replaces that in one
 * transaction: readers see the old state or the new one.
 */
#include "cluster/registry_private.h"
#include "base/cur.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC      "OOSREG"
#define MAGIC_LEN  6
#define FORM       1
#define HEADER_LEN (MAGIC_LEN + 2 + 8)
#define ENTRY_LEN  (2 + 4)
#define SUM_LEN    8

static uint64_t sum_of(const uint8_t *p, size_t n)
{
    uint64_t sum = 0xcbf29ce484222325;

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    return sum;
}

/* ---- dump */

static bool local(const MDB_val *key)
{
    size_t n = strlen(KEY_LOCAL);

    return key->mv_size >= n && memcmp(key->mv_data, KEY_LOCAL, n) == 0;
}

/* Walks all entries that count: their number and bytes, and, where w is given, into it. */
static int walk(MDB_txn *t, MDB_dbi dbi, struct wcur *w, uint64_t *count, size_t *bytes)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(t, dbi, &c);

    *count = *bytes = 0;
    if (rc != 0)
        return store_errno(rc);
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        if (local(&k))
            continue;
        ++*count;
        *bytes += ENTRY_LEN + k.mv_size + v.mv_size;
        if (!w)
            continue;
        wcur_uint(w, k.mv_size, 2);
        wcur_uint(w, v.mv_size, 4);
        wcur_bytes(w, k.mv_data, k.mv_size);
        wcur_bytes(w, v.mv_data, v.mv_size);
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
}

static int dump(MDB_txn *t, MDB_dbi dbi, void **data, size_t *len)
{
    uint64_t count;
    struct wcur w;
    size_t bytes;
    uint8_t *p;
    int rc = walk(t, dbi, NULL, &count, &bytes);

    if (rc < 0)
        return rc;
    bytes += HEADER_LEN + SUM_LEN;
    p = malloc(bytes);
    if (!p)
        return -ENOMEM;
    w = (struct wcur){ .p = p, .end = p + bytes };
    wcur_bytes(&w, MAGIC, MAGIC_LEN);
    wcur_uint(&w, FORM, 2);
    wcur_uint(&w, count, 8);
    rc = walk(t, dbi, &w, &count, &(size_t){ 0 });
    wcur_uint(&w, sum_of(p, bytes - SUM_LEN), 8);
    if (rc < 0 || w.bad) {
        free(p);
        return rc < 0 ? rc : -EBADMSG;
    }
    *data = p;
    *len = bytes;
    return 0;
}

int registry_dump(struct registry *r, void **data, size_t *len)
{
    MDB_txn *t;
    int rc;

    if (r->queue || r->stuck)
        return -EBUSY;
    rc = mdb_txn_begin(r->store.env, NULL, MDB_RDONLY, &t);
    if (rc != 0)
        return store_errno(rc);
    rc = dump(t, r->store.dbi, data, len);
    mdb_txn_abort(t);
    return rc;
}

/* ---- restore */

struct entry {
    MDB_val key, value;
};

static bool next_entry(struct rcur *c, struct entry *e)
{
    e->key.mv_size = (size_t)rcur_uint(c, 2);
    e->value.mv_size = (size_t)rcur_uint(c, 4);
    if (!rcur_has(c, e->key.mv_size + e->value.mv_size))
        return false;
    e->key.mv_data = (void *)c->p;
    e->value.mv_data = (void *)(c->p + e->key.mv_size);
    c->p += e->key.mv_size + e->value.mv_size;
    return true;
}

static bool ascends(const MDB_val *a, const MDB_val *b)
{
    size_t n = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = n ? memcmp(a->mv_data, b->mv_data, n) : 0;

    return order ? order < 0 : a->mv_size < b->mv_size;
}

static int check_entries(struct rcur c, uint64_t count)
{
    struct entry e, last = { { 0, NULL }, { 0, NULL } };

    for (; count; count--, last = e) {
        if (!next_entry(&c, &e) || e.key.mv_size == 0 || e.key.mv_size >= REGISTRY_KEY_MAX ||
            memchr(e.key.mv_data, '\0', e.key.mv_size) || local(&e.key) ||
            !ascends(&last.key, &e.key))
            return -EBADMSG;
    }
    return c.p == c.end ? 0 : -EBADMSG;
}

/* On 0, c begins with the first of count entries, all of which are sound. */
static int check(const void *data, size_t len, struct rcur *c, uint64_t *count)
{
    struct rcur sum;
    char magic[MAGIC_LEN];

    if (len < HEADER_LEN + SUM_LEN)
        return -EBADMSG;
    *c = (struct rcur){ .p = data, .end = (const uint8_t *)data + len - SUM_LEN };
    sum = (struct rcur){ .p = c->end, .end = c->end + SUM_LEN };
    rcur_bytes(c, magic, sizeof magic);
    if (memcmp(magic, MAGIC, sizeof magic) != 0 ||
        rcur_uint(&sum, SUM_LEN) != sum_of(data, len - SUM_LEN))
        return -EBADMSG;
    if (rcur_uint(c, 2) != FORM)
        return -EPROTONOSUPPORT;
    *count = rcur_uint(c, 8);
    return check_entries(*c, *count);
}

static int fill(struct registry_txn *t, struct rcur c, uint64_t count, struct oerr *e)
{
    int rc = mdb_drop(t->mdb, t->dbi, 0);
    struct entry next;

    for (; rc == 0 && count && next_entry(&c, &next); count--)
        rc = mdb_put(t->mdb, t->dbi, &next.key, &next.value, MDB_APPEND);
    if (rc != 0)
        return store_write_errno(&t->r->store, rc);
    return txn_upgrade(t, t->r->schema, t->r->upgrades, e);
}

static int replace(struct registry *r, uint64_t index, struct rcur c, uint64_t count,
                   struct oerr *e)
{
    struct registry_txn t;
    int rc = registry_begin(r, &t);

    if (rc < 0)
        return rc;
    t.index = index;
    rc = fill(&t, c, count, e);
    if (rc < 0) {
        registry_abort(&t);
        return rc;
    }
    rc = registry_commit(&t, index);
    changes_free(&t.writes);
    return rc;
}

int registry_restore(struct registry *r, uint64_t index, const void *data, size_t len)
{
    struct oerr e = { "" };
    uint64_t count = 0;
    struct rcur c;
    int rc;

    if (index <= registry_index(r))
        return 0;
    rc = check(data, len, &c, &count);
    if (rc < 0) {
        log_error("registry", "a snapshot of %zu bytes is %s", len,
                  rc == -EBADMSG ? "damaged" : "of a newer form: start a newer oneosd");
        return rc;
    }
    do {
        rc = registry_room(r, replace(r, index, c, count, &e));
    } while (rc == -EAGAIN);
    if (rc < 0) {
        if (!e.text[0])
            store_words(&r->store, rc, &e);
        log_error("registry", "a snapshot cannot be taken over: %s", e.text);
        r->trouble = e;
        return rc;
    }
    registry_replaced(r, index);
    return 0;
}
