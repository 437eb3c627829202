/*
 * registry_txn.c - what a command reads and writes.
 *
 * A command sees the state as it was before it. What it writes is kept aside and carried out when
 * it has returned 0, so that a refused command leaves nothing behind, wherever it failed.
 *
 * When LMDB or the memory fails, that is not the command's result: other machines would see
 * another. It is kept in `failed`, and the batch is tried again later as a whole.
 *
 * Values are written with sorted keys: their text does not depend on the order in which an object
 * was built.
 */
#include "cluster/registry_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORM (JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY)

static int failed(struct registry_txn *t, int rc)
{
    if (t->failed == 0)
        t->failed = rc;
    return rc;
}

/* -ENOENT is an answer; all else ends the batch. */
static int answered(struct registry_txn *t, int mdb)
{
    if (mdb == 0 || mdb == MDB_NOTFOUND)
        return store_errno(mdb);
    return failed(t, store_write_errno(&t->r->store, mdb));
}

int txn_get(struct registry_txn *t, const char *key, json_t **out)
{
    MDB_val v;
    int rc = answered(t, store_get(t->mdb, t->dbi, key, &v));

    if (rc == 0 && store_json(&v, out) < 0)
        rc = failed(t, -EBADMSG);
    return rc;
}

int txn_next(struct registry_txn *t, const char *prefix, const char *after,
             char key[REGISTRY_KEY_MAX], json_t **value)
{
    MDB_val v;
    int rc = answered(t, store_next(t->mdb, t->dbi, prefix, after, key, &v));

    if (rc == 0 && value && store_json(&v, value) < 0)
        rc = failed(t, -EBADMSG);
    return rc;
}

size_t txn_count(struct registry_txn *t, const char *prefix)
{
    MDB_val k = store_key(prefix), v;
    size_t n = 0, len = strlen(prefix);
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->mdb, t->dbi, &c);

    if (rc == 0) {
        rc = mdb_cursor_get(c, &k, &v, len ? MDB_SET_RANGE : MDB_FIRST);
        for (; rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
            if (k.mv_size < len || memcmp(k.mv_data, prefix, len) != 0)
                break;
            n++;
        }
        mdb_cursor_close(c);
    }
    answered(t, rc);
    return n;
}

uint64_t txn_index(const struct registry_txn *t)
{
    return t->index;
}

/* Takes the value; NULL deletes. */
static int keep_write(struct registry_txn *t, const char *key, json_t *value)
{
    struct changes *c = &t->writes;
    char *copy = strdup(key);

    if (copy && c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        struct change *v = realloc(c->v, cap * sizeof *v);

        if (v)
            c->v = v, c->cap = cap;
    }
    if (!copy || c->n == c->cap) {
        free(copy);
        json_decref(value);
        return failed(t, -ENOMEM);
    }
    c->v[c->n++] = (struct change){ .key = copy, .value = value };
    return 0;
}

static int check_key(const char *key)
{
    size_t n = strnlen(key, REGISTRY_KEY_MAX);

    return n == 0 ? -EINVAL : n == REGISTRY_KEY_MAX ? -ENAMETOOLONG : 0;
}

int txn_put(struct registry_txn *t, const char *key, json_t *value)
{
    int rc = check_key(key);

    if (!value)
        return failed(t, -ENOMEM);
    if (rc < 0) {
        json_decref(value);
        return rc;
    }
    return keep_write(t, key, value);
}

int txn_del(struct registry_txn *t, const char *key)
{
    MDB_val v;
    int rc = check_key(key);

    if (rc == 0)
        rc = answered(t, store_get(t->mdb, t->dbi, key, &v));
    return rc < 0 ? rc : keep_write(t, key, NULL);
}

/* ---- carrying out */

/* The value as text, in the registry's room for that. */
static int as_text(struct registry_txn *t, const json_t *value, size_t *len)
{
    struct registry *r = t->r;

    for (;;) {
        char *more;
        size_t n = json_dumpb(value, r->buf, r->room, FORM);

        if (n == 0)
            return failed(t, -ENOMEM);
        if (n <= r->room) {
            *len = n;
            return 0;
        }
        more = realloc(r->buf, 2 * n);
        if (!more)
            return failed(t, -ENOMEM);
        r->buf = more;
        r->room = 2 * n;
    }
}

int txn_put_now(struct registry_txn *t, const char *key, const json_t *value)
{
    size_t n;
    int rc = value ? as_text(t, value, &n) : failed(t, -ENOMEM);

    return rc < 0 ? rc : answered(t, store_put(t->mdb, t->dbi, key, t->r->buf, n));
}

/* 1: it changed something. */
static int carry_out_one(struct registry_txn *t, const struct change *c)
{
    MDB_val old;
    size_t n = 0;
    int rc;

    if (!c->value) {
        rc = answered(t, store_del(t->mdb, t->dbi, c->key));
        return rc == -ENOENT ? 0 : rc < 0 ? rc : 1;
    }
    rc = as_text(t, c->value, &n);
    if (rc < 0)
        return rc;
    rc = answered(t, store_get(t->mdb, t->dbi, c->key, &old));
    if (rc == 0 && old.mv_size == n && memcmp(old.mv_data, t->r->buf, n) == 0)
        return 0;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = answered(t, store_put(t->mdb, t->dbi, c->key, t->r->buf, n));
    return rc < 0 ? rc : 1;
}

int txn_carry_out(struct registry_txn *t)
{
    struct changes *c = &t->writes;
    size_t left = t->carried;
    int rc = 0;

    for (size_t i = t->carried; i < c->n; i++) {
        rc = rc < 0 ? rc : carry_out_one(t, &c->v[i]);
        if (strcmp(c->v[i].key, KEY_META) == 0)
            t->meta_read = false;
        if (rc != 0)
            c->v[left++] = c->v[i];
        else
            change_free(&c->v[i]);
    }
    c->n = t->carried = left;
    return rc < 0 ? rc : 0;
}
