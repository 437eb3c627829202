/*
 * registry_kv.c - kv.put {key, value}, kv.cas {key, old, new}, kv.del {key}: data of tests.
 *
 * old may be null: the key is not there. A cas that found something else is -ESTALE.
 */
#include "registry_node.h"
#include "cluster/registry_tables.h"

#include <errno.h>

#define KEY_ROOM 300

void kv_key(char key[REGISTRY_KEY_MAX], const char *name)
{
    arg_key(key, "kv", name);
}

static int run_put(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *name = arg_name(cmd, "key", KEY_ROOM, e);
    json_t *value = json_object_get(cmd, "value");
    char key[REGISTRY_KEY_MAX];

    (void)result;
    if (!name || !value)
        return -EINVAL;
    kv_key(key, name);
    return txn_put(t, key, json_incref(value));
}

static int run_cas(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *name = arg_name(cmd, "key", KEY_ROOM, e);
    json_t *old = json_object_get(cmd, "old"), *new = json_object_get(cmd, "new"), *is = NULL;
    char key[REGISTRY_KEY_MAX];
    bool same;
    int rc;

    (void)result;
    if (!name || !old || !new)
        return -EINVAL;
    kv_key(key, name);
    rc = txn_get(t, key, &is);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    same = rc == 0 ? json_equal(is, old) : json_is_null(old);
    json_decref(is);
    if (!same)
        return oerr_set(e, -ESTALE, "%s is something else", key);
    return txn_put(t, key, json_incref(new));
}

static int run_del(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *name = arg_name(cmd, "key", KEY_ROOM, e);
    char key[REGISTRY_KEY_MAX];

    (void)result;
    if (!name)
        return -EINVAL;
    kv_key(key, name);
    return txn_del(t, key);
}

/* clang-format off */
const struct registry_command kv_commands[] = {
    { "kv.put", 1, run_put },
    { "kv.cas", 1, run_cas },
    { "kv.del", 1, run_del },
    { 0 },
};
/* clang-format on */
