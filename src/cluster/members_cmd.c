/*
 * members_cmd.c - the commands about machines: who belongs here, with which disk, and what an
 * operator said of them.
 *
 * member/ID is made when a machine is first added, under the number of its disk (`node`), and
 * refreshed when it comes again with another key or address. Another disk under the same id is
 * another machine: somebody has to forget the first one before. Forgetting takes an operator's
 * acceptance too.
 */
#include "cluster/registry_tables.h"
#include "net/identity.h"

#include <errno.h>
#include <string.h>

#define ACCEPTED_MAX 256
#define LABELS_MAX   64
#define LABEL_MAX    257

/* member/ID for the field id of the command: 0 with key and, where it is there, the value. */
static int find(struct registry_txn *t, const json_t *cmd, char key[REGISTRY_KEY_MAX],
                const char **id, json_t **member, struct oerr *e)
{
    *member = NULL;
    *id = arg_name(cmd, "id", ID_MAX, e);
    if (!*id)
        return -EINVAL;
    arg_key(key, "member", *id);
    return txn_get(t, key, member);
}

/* The same where it has to be there. */
static int need(struct registry_txn *t, const json_t *cmd, char key[REGISTRY_KEY_MAX],
                json_t **member, struct oerr *e)
{
    const char *id;
    int rc = find(t, cmd, key, &id, member, e);

    return rc == -ENOENT ? oerr_set(e, rc, "there is no machine %s in the registry", id) : rc;
}

/* ---- members */

/* What a machine brings anew each time. */
struct brought {
    const char *node, *key, *address;
};

static int brought_parse(const json_t *cmd, struct brought *b, struct oerr *e)
{
    b->node = arg_text(cmd, "node", 17, e);
    b->key = b->node ? arg_text(cmd, "key", 129, e) : NULL;
    b->address = b->key ? arg_maybe(cmd, "address", 64, e) : NULL;
    if (!b->address)
        return -EINVAL;
    if (b->node[strspn(b->node, "0123456789abcdef")])
        return oerr_set(e, -EINVAL, "`node` must be a hexadecimal number");
    return 0;
}

static int refresh(json_t *member, const struct brought *b)
{
    if (json_object_set_new(member, "node", json_string(b->node)) < 0 ||
        json_object_set_new(member, "key", json_string(b->key)) < 0 ||
        json_object_set_new(member, "address", json_string(b->address)) < 0)
        return -ENOMEM;
    return 0;
}

static int check_node(const json_t *member, const char *id, const char *node, struct oerr *e)
{
    const char *known = json_string_value(json_object_get(member, "node"));

    if (known && strcmp(known, node) == 0)
        return 0;
    return oerr_set(e, -EEXIST, "machine %s was here under another disk; forget it first", id);
}

static int run_put(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_int_t at = json_integer_value(json_object_get(cmd, "at_us"));
    char name[REGISTRY_KEY_MAX];
    struct brought b;
    json_t *member;
    const char *id;
    int rc = brought_parse(cmd, &b, e);

    (void)result;
    if (rc < 0)
        return rc;
    rc = find(t, cmd, name, &id, &member, e);
    if (rc == 0)
        rc = check_node(member, id, b.node, e);
    else if (rc == -ENOENT)
        rc = (member = json_pack("{s:I, s:{}, s:b}", "joined_us", at, "labels", "draining", 0))
                 ? 0
                 : -ENOMEM;
    if (rc == 0)
        rc = refresh(member, &b);
    if (rc == 0)
        rc = txn_put(t, name, json_incref(member));
    json_decref(member);
    return rc;
}

static int run_forget(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX], accepted[REGISTRY_KEY_MAX];
    const char *id;
    json_t *member;
    int rc = find(t, cmd, key, &id, &member, e), other;

    (void)result;
    json_decref(member);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0)
        rc = txn_del(t, key);
    arg_key(accepted, "accepted", id);
    other = txn_del(t, accepted);
    if (rc == -ENOENT && other == -ENOENT)
        return oerr_set(e, -ENOENT, "there is no machine %s in the registry", id);
    return rc < 0 && rc != -ENOENT ? rc : other < 0 && other != -ENOENT ? other : 0;
}

static int check_labels(const json_t *labels, struct oerr *e)
{
    const char *key;
    json_t *value;

    if (!json_is_object(labels))
        return oerr_set(e, -EINVAL, "the command needs `labels`, an object of texts");
    if (json_object_size(labels) > LABELS_MAX)
        return oerr_set(e, -EINVAL, "a machine has at most %d labels", LABELS_MAX);
    json_object_foreach ((json_t *)labels, key, value) {
        if (!*key || strlen(key) >= LABEL_MAX || !json_is_string(value) ||
            json_string_length(value) >= LABEL_MAX)
            return oerr_set(e, -EINVAL, "label '%.60s' must have a text of at most %d bytes", key,
                            LABEL_MAX - 1);
    }
    return 0;
}

static int run_label(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_t *labels = json_object_get(cmd, "labels"), *member;
    char key[REGISTRY_KEY_MAX];
    int rc = need(t, cmd, key, &member, e);

    (void)result;
    if (rc == 0)
        rc = check_labels(labels, e);
    if (rc == 0 && json_object_set(member, "labels", labels) < 0)
        rc = -ENOMEM;
    if (rc == 0)
        rc = txn_put(t, key, json_incref(member));
    json_decref(member);
    return rc;
}

static int run_drain(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_t *on = json_object_get(cmd, "on"), *member;
    char key[REGISTRY_KEY_MAX];
    int rc = need(t, cmd, key, &member, e);

    (void)result;
    if (rc == 0 && !json_is_boolean(on))
        rc = oerr_set(e, -EINVAL, "the command needs `on`, true or false");
    if (rc == 0 && json_object_set(member, "draining", on) < 0)
        rc = -ENOMEM;
    if (rc == 0)
        rc = txn_put(t, key, json_incref(member));
    json_decref(member);
    return rc;
}

/* ---- machines without the cluster key */

static int run_accept(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *id = arg_name(cmd, "id", ID_MAX, e);
    const char *key = arg_text(cmd, "key", 129, e);
    char name[REGISTRY_KEY_MAX];
    json_t *known = NULL;
    int rc;

    (void)result;
    if (!id || !key)
        return -EINVAL;
    arg_key(name, "accepted", id);
    rc = txn_get(t, name, &known);
    json_decref(known);
    if (rc == -ENOENT && txn_count(t, "accepted/") >= ACCEPTED_MAX)
        return oerr_set(e, -ENOSPC, "%d machines have been accepted already; forget some",
                        ACCEPTED_MAX);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    return txn_put(t, name, json_pack("{s:s}", "key", key));
}

static int run_reject(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *id = arg_name(cmd, "id", ID_MAX, e);
    char key[REGISTRY_KEY_MAX];
    int rc;

    (void)result;
    if (!id)
        return -EINVAL;
    arg_key(key, "accepted", id);
    rc = txn_del(t, key);
    return rc == -ENOENT ? oerr_set(e, rc, "nobody accepted a machine %s", id) : rc;
}

/* clang-format off */
const struct registry_command member_commands[] = {
    { "member.put",    1, run_put },
    { "member.forget", 1, run_forget },
    { "member.label",  1, run_label },
    { "member.drain",  1, run_drain },
    { "member.accept", 1, run_accept },
    { "member.reject", 1, run_reject },
    { 0 },
};
/* clang-format on */
