/*
 * registry_model.c - see registry_model.h.
 */
#include "tests/lib/registry_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct registry_txn {
    json_t *state;
    uint64_t index;
    bool wrote;
};

int txn_get(struct registry_txn *t, const char *key, json_t **out)
{
    json_t *value = json_object_get(t->state, key);

    *out = json_deep_copy(value);
    return value ? 0 : -ENOENT;
}

int txn_put(struct registry_txn *t, const char *key, json_t *value)
{
    t->wrote = true;
    return json_object_set_new(t->state, key, value) < 0 ? -ENOMEM : 0;
}

int txn_del(struct registry_txn *t, const char *key)
{
    t->wrote = true;
    return json_object_del(t->state, key) < 0 ? -ENOENT : 0;
}

int txn_next(struct registry_txn *t, const char *prefix, const char *after,
             char key[REGISTRY_KEY_MAX], json_t **value)
{
    const char *k, *best = NULL;
    json_t *v;

    json_object_foreach (t->state, k, v) {
        if (strncmp(k, prefix, strlen(prefix)) == 0 && strcmp(k, after) > 0 &&
            (!best || strcmp(k, best) < 0))
            best = k;
    }
    if (!best)
        return -ENOENT;
    if (value)
        *value = json_deep_copy(json_object_get(t->state, best));
    memmove(key, best, strlen(best) + 1);
    return 0;
}

size_t txn_count(struct registry_txn *t, const char *prefix)
{
    const char *k;
    size_t n = 0;
    json_t *v;

    json_object_foreach (t->state, k, v)
        n += strncmp(k, prefix, strlen(prefix)) == 0;
    return n;
}

uint64_t txn_index(const struct registry_txn *t)
{
    return t->index;
}

int model_apply(json_t *state, uint64_t index, const struct registry_command *table,
                const char *cmd, const json_t *fields, json_t **result, struct oerr *e)
{
    struct registry_txn t = { .state = state, .index = index };
    int rc;

    *result = NULL;
    while (table->name && strcmp(table->name, cmd) != 0)
        table++;
    if (!table->name)
        return oerr_set(e, -ENOSYS, "there is no command %s", cmd);
    rc = table->apply(&t, fields, result, e);
    if (rc < 0 && t.wrote) {
        fprintf(stderr, "%s has written and then failed: %s\n", cmd, e->text);
        abort();
    }
    if (rc < 0 && !e->text[0]) {
        fprintf(stderr, "%s failed without words\n", cmd);
        abort();
    }
    return rc;
}
