/*
 * registry_base.c - the commands about the registry itself: its birth, its end, and that of others.
 *
 * A registry is born with an id. It may end by being dissolved into another, but only while it has
 * no data; from then on it refuses everything, so that nothing can be lost between that word and
 * its machines' going over. The other keeps ended/ID, by which those machines know where to go.
 */
#include "cluster/registry_tables.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define META    "_meta"
#define ID_ROOM 40

const char *const registry_data_prefixes[] = { "pipe/", "job/", "fs/", "kv/", NULL };

/* ---- fields of commands */

const char *arg_text(const json_t *cmd, const char *name, size_t max, struct oerr *e)
{
    const json_t *value = json_object_get(cmd, name);
    size_t n = json_string_length(value);

    if (n > 0 && n < max)
        return json_string_value(value);
    oerr_set(e, -EINVAL, "the command needs `%s`, a text of 1 to %zu bytes", name, max - 1);
    return NULL;
}

const char *arg_maybe(const json_t *cmd, const char *name, size_t max, struct oerr *e)
{
    const json_t *value = json_object_get(cmd, name);

    if (!value)
        return "";
    if (json_is_string(value) && json_string_length(value) < max)
        return json_string_value(value);
    oerr_set(e, -EINVAL, "`%s` must be a text of at most %zu bytes", name, max - 1);
    return NULL;
}

const char *arg_name(const json_t *cmd, const char *name, size_t max, struct oerr *e)
{
    const char *text = arg_text(cmd, name, max, e), *p = text;

    for (; p && *p; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');

        if (!plain && (p == text || !strchr("._-", *p))) {
            oerr_set(e, -EINVAL,
                     "`%s` must be letters, digits and any of . _ - behind the first, not '%.63s'",
                     name, text);
            return NULL;
        }
    }
    return text;
}

json_int_t arg_count(const json_t *cmd, const char *name, struct oerr *e)
{
    const json_t *value = json_object_get(cmd, name);

    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return json_integer_value(value);
    return oerr_set(e, -1, "the command needs `%s`, a whole number", name);
}

void arg_key(char key[REGISTRY_KEY_MAX], const char *prefix, const char *name)
{
    snprintf(key, REGISTRY_KEY_MAX, "%s/%s", prefix, name);
}

/* ---- data */

bool registry_has_data(struct registry *r)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    bool any = false;

    if (registry_read(r, &v) < 0)
        return true; /* to be careful */
    for (size_t i = 0; registry_data_prefixes[i] && !any; i++)
        any = view_next(v, registry_data_prefixes[i], "", key, NULL) != -ENOENT;
    registry_view_end(v);
    return any;
}

/* 0: there is none. */
static int check_no_data(struct registry_txn *t, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX];

    for (size_t i = 0; registry_data_prefixes[i]; i++) {
        int rc = txn_next(t, registry_data_prefixes[i], "", key, NULL);

        if (rc == 0)
            return oerr_set(e, -ENOTEMPTY, "the registry has data: %.200s", key);
        if (rc != -ENOENT)
            return rc;
    }
    return 0;
}

/* ---- commands */

static int run_init(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *id = arg_name(cmd, "id", ID_ROOM, e);
    json_int_t at = arg_count(cmd, "at_us", e);
    json_t *meta;
    int rc;

    (void)result;
    if (!id || at < 0)
        return -EINVAL;
    rc = txn_get(t, META, &meta);
    if (rc < 0)
        return rc;
    if (json_object_get(meta, "id")) {
        json_decref(meta);
        return oerr_set(e, -EEXIST, "the registry has its id already");
    }
    json_object_set_new(meta, "id", json_string(id));
    json_object_set_new(meta, "made_us", json_integer(at));
    return txn_put(t, META, meta);
}

static int run_dissolve(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *into = arg_name(cmd, "into", ID_ROOM, e), *id;
    json_t *meta;
    int rc;

    (void)result;
    if (!into)
        return -EINVAL;
    rc = check_no_data(t, e);
    if (rc == 0)
        rc = txn_get(t, META, &meta);
    if (rc < 0)
        return rc;
    id = json_string_value(json_object_get(meta, "id"));
    if (!id || strcmp(id, into) == 0) {
        json_decref(meta);
        return oerr_set(e, -EINVAL, "a registry is dissolved into another one, not into itself");
    }
    json_object_set_new(meta, "dissolved", json_string(into));
    return txn_put(t, META, meta);
}

static int run_absorb(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *id = arg_name(cmd, "id", ID_ROOM, e), *own;
    char key[REGISTRY_KEY_MAX];
    json_t *meta;
    int rc;

    (void)result;
    if (!id)
        return -EINVAL;
    rc = txn_get(t, META, &meta);
    if (rc < 0)
        return rc;
    own = json_string_value(json_object_get(meta, "id"));
    if (!own || strcmp(own, id) == 0) {
        rc = oerr_set(e, -EINVAL, "a registry takes in another one, not itself");
    } else {
        arg_key(key, "ended", id);
        rc = txn_put(t, key, json_pack("{s:s}", "into", own));
    }
    json_decref(meta);
    return rc;
}

/* clang-format off */
const struct registry_command registry_base_commands[] = {
    { "registry.init",     1, run_init },
    { "registry.dissolve", 1, run_dissolve },
    { "registry.absorb",   1, run_absorb },
    { 0 },
};
/* clang-format on */
