/*
 * registry_kit.h - a registry in a folder of its own, and commands in one line.
 */
#ifndef ONEOS_TESTS_UNIT_REGISTRY_KIT_H
#define ONEOS_TESTS_UNIT_REGISTRY_KIT_H

#include "cluster/registry_private.h"
#include "cluster/registry_tables.h"
#include "tempdir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef KIT_SCHEMA /* that a program has which opens it */
#define KIT_SCHEMA 1
#endif
#define BOOT "6a1c9d0e-0000-4000-8000-000000000001"

struct kit {
    char dir[256];
    struct registry *r;
    uint64_t index;
    int rc;          /* of the last command */
    json_t *body;    /* ... */
    char words[400]; /* ... */
    unsigned answers;
};

/* kv.set {key, value}, kv.del {key}, kv.add {key}: data for tests. */
static inline int kit_set(struct registry_txn *t, const json_t *cmd, json_t **result,
                          struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 300, e);
    char full[REGISTRY_KEY_MAX];

    (void)result;
    if (!key)
        return -EINVAL;
    arg_key(full, "kv", key);
    return txn_put(t, full, json_incref(json_object_get(cmd, "value")));
}

static inline int kit_del(struct registry_txn *t, const json_t *cmd, json_t **result,
                          struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 300, e);
    char full[REGISTRY_KEY_MAX];

    (void)result;
    if (!key)
        return -EINVAL;
    arg_key(full, "kv", key);
    return txn_del(t, full);
}

/* Adds one, and answers the sum. */
static inline int kit_add(struct registry_txn *t, const json_t *cmd, json_t **result,
                          struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 300, e);
    char full[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    json_int_t sum;
    int rc;

    if (!key)
        return -EINVAL;
    arg_key(full, "kv", key);
    rc = txn_get(t, full, &value);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    sum = json_integer_value(value) + 1;
    json_decref(value);
    *result = json_integer(sum);
    return txn_put(t, full, json_integer(sum));
}

/* Writes, and fails then. */
static inline int kit_bad(struct registry_txn *t, const json_t *cmd, json_t **result,
                          struct oerr *e)
{
    (void)cmd;
    *result = json_true();
    txn_put(t, "kv/bad", json_true());
    txn_del(t, "kv/good");
    return oerr_set(e, -EPERM, "never");
}

static const struct registry_command kit_commands[] = {
    { "kv.set", 1, kit_set }, { "kv.del", 1, kit_del },   { "kv.add", 1, kit_add },
    { "kv.bad", 1, kit_bad }, { "kv.later", 2, kit_set }, { 0 }
};

#ifndef KIT_MORE /* further tables, each with a comma behind it */
#define KIT_MORE
#endif
static const struct registry_command *const kit_tables[] = { registry_base_commands,
                                                             member_commands, service_commands,
                                                             kit_commands, KIT_MORE NULL };

/* From schema 1 to 2: every kv/X that is a number becomes {"n": X}. */
static inline int kit_upgrade(struct registry_txn *t, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX] = "";
    json_t *value;
    int rc;

    (void)e;
    while ((rc = txn_next(t, "kv/u", key, key, &value)) == 0) {
        rc = txn_put(t, key, json_pack("{s:o}", "n", value));
        if (rc < 0)
            return rc;
    }
    return rc == -ENOENT ? 0 : rc;
}

static inline void kit_open_boot(struct kit *k, const char *boot)
{
    struct oerr e = { "" };

    if (registry_open_as(&k->r, k->dir, boot, kit_tables, KIT_SCHEMA, registry_upgrades, &e) < 0)
        fail_msg("%s", e.text);
    k->index = registry_index(k->r);
}

/* In memory, where nobody said otherwise: opening a registry syncs twice. */
static inline void kit_folder(struct kit *k)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tempdir_make(k->dir);
}

static inline void kit_open(struct kit *k)
{
    *k = (struct kit){ .index = 0 };
    kit_folder(k);
    kit_open_boot(k, BOOT);
}

static inline void kit_reopen(struct kit *k)
{
    registry_close(k->r);
    kit_open_boot(k, BOOT);
}

static inline void kit_close(struct kit *k)
{
    registry_close(k->r);
    json_decref(k->body);
    tempdir_remove(k->dir);
}

static inline void kit_applied(void *arg, uint64_t index, const json_t *cmd,
                               const struct registry_result *result)
{
    struct kit *k = arg;

    assert_true(json_is_object(cmd));
    assert_true(index <= k->index);
    k->answers++;
    k->rc = result->rc;
    json_decref(k->body);
    k->body = json_incref(result->body);
    strcpy(k->words, result->words.text);
}

static inline void kit_queue(struct kit *k, const char *text)
{
    assert_int_equal(registry_committed(k->r, ++k->index, text, strlen(text)), 0);
}

/* One command, given as the inside of an object, with ' for ". Returns its result. */
static inline int kit_run(struct kit *k, const char *fmt, ...)
{
    char inside[4000], text[4100];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(inside, sizeof inside, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "{'v':%d,'cmd':%s}", KIT_SCHEMA, inside);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    kit_queue(k, text);
    k->rc = 1;
    assert_int_equal(registry_flush(k->r, kit_applied, k), 0);
    return k->rc;
}

/* The value's text; "" where there is none. Valid until the next call. */
static inline const char *kit_text(struct kit *k, const char *key)
{
    static char text[4096];
    struct registry_view *v;
    const char *p;
    size_t n;

    text[0] = '\0';
    assert_int_equal(registry_read(k->r, &v), 0);
    if (view_text(v, key, &p, &n) == 0)
        snprintf(text, sizeof text, "%.*s", (int)n, p);
    registry_view_end(v);
    return text;
}

#define assert_value(k, key, value) assert_string_equal(kit_text(k, key), value)

/* ---- files */

static inline void kit_path(const struct kit *k, const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", k->dir, name);
}

static inline char *kit_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    struct stat st;
    char *p;

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    *n = (size_t)st.st_size;
    p = malloc(*n + 1);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static inline void kit_write(const char *path, const char *p, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static inline void kit_mark(const struct kit *k, const char *text)
{
    char path[300];

    kit_path(k, "state.mark", path);
    kit_write(path, text, strlen(text));
}

static inline void kit_fill(struct kit *k, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(kit_run(k, "'kv.set','key':'k%d','value':'%0100d'", i, i), 0);
}

#endif
