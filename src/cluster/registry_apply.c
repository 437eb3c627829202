/*
 * registry_apply.c - one command: (state, command) -> (state, result).
 *
 * In this order: a command of a newer schema stops this machine (going on without it would make
 * its state another than that of the rest); one that was carried out already gives its old result;
 * after the registry was dissolved nothing is carried out; an unknown command is a result like any
 * other, by the schema of the command and not of the program, so that all machines answer alike;
 * who acts for a service must name its present epoch.
 */
#include "cluster/registry_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *name, const void *row)
{
    return strcmp(name, (*(const struct registry_command *const *)row)->name);
}

static const struct registry_command *find(const struct registry *r, const char *name, int schema)
{
    const struct registry_command **row =
        bsearch(name, r->commands, r->n_commands, sizeof(r->commands[0]), by_name);

    return row && (*row)->since <= schema ? *row : NULL;
}

/* Whoever says that it acts for a service: does it still? */
static int check_epoch(struct registry_txn *t, const json_t *cmd, struct oerr *e)
{
    const json_t *name = json_object_get(cmd, "service"), *epoch = json_object_get(cmd, "epoch");
    char key[REGISTRY_KEY_MAX];
    json_t *service = NULL;
    json_int_t now = 0;
    int rc;

    if (!name || !epoch)
        return 0;
    if (!json_is_string(name) || !json_is_integer(epoch) || json_string_length(name) > 63)
        return oerr_set(e, -EINVAL, "`service` is a name and `epoch` a number");
    snprintf(key, sizeof key, "service/%s", json_string_value(name));
    rc = txn_get(t, key, &service);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    json_unpack(service, "{s:I}", "epoch", &now);
    json_decref(service);
    if (rc == 0 && now == json_integer_value(epoch))
        return 0;
    return oerr_set(e, -ESTALE, "service %s is in epoch %lld by now, not %lld",
                    json_string_value(name), (long long)now, (long long)json_integer_value(epoch));
}

static int check_dissolved(struct registry_txn *t, struct oerr *e)
{
    json_t *meta = NULL;
    int rc;

    if (!t->meta_read) {
        rc = txn_get(t, KEY_META, &meta);
        if (rc < 0 && rc != -ENOENT)
            return rc;
        t->meta_read = true;
        t->dissolved = json_object_get(meta, "dissolved") != NULL;
        json_decref(meta);
    }
    return t->dissolved ? oerr_set(e, -ESHUTDOWN, "this registry was dissolved into another") : 0;
}

static int carry_out(struct registry_txn *t, const json_t *cmd, int schema,
                     struct registry_result *result)
{
    const char *name = json_string_value(json_object_get(cmd, "cmd"));
    const struct registry_command *row = name ? find(t->r, name, schema) : NULL;
    struct oerr *e = &result->words;
    int rc = check_dissolved(t, e);

    if (rc == 0 && !row)
        rc = oerr_set(e, -ENOSYS, "'%.60s' is no command of schema %d", name ? name : "", schema);
    if (rc == 0)
        rc = check_epoch(t, cmd, e);
    if (rc == 0)
        rc = row->apply(t, cmd, &result->body, e);
    return rc < 0 ? rc : 0;
}

/* -errno: not a result; this machine cannot carry it out (now). */
static int settle(struct registry_txn *t, int rc, struct registry_result *result)
{
    if (rc == -ENOMEM && t->failed == 0)
        t->failed = rc;
    if (rc == 0 && t->failed == 0)
        txn_carry_out(t);
    changes_cut(&t->writes, t->carried);
    if (t->failed)
        return t->failed;
    if (rc < 0 || json_is_null(result->body)) {
        json_decref(result->body);
        result->body = NULL;
    }
    if (rc == 0)
        result->words.text[0] = '\0';
    else if (!result->words.text[0])
        oerr_set(&result->words, rc, "%s", oerr_name(-rc)); /* strerror() is not alike */
    result->rc = rc;
    return 0;
}

int registry_apply(struct registry_txn *t, const json_t *cmd, struct registry_result *result)
{
    json_int_t schema = json_integer_value(json_object_get(cmd, "v"));
    struct asked asked;
    int rc;

    *result = (struct registry_result){ 0 };
    if (schema < 1 || schema > 1000000) {
        result->rc = oerr_set(&result->words, -EINVAL, "a command is an object with `v`, `cmd`");
        return 0;
    }
    if (schema > t->r->schema)
        return oerr_set(&result->words, -EPROTONOSUPPORT,
                        "the registry goes on with commands of schema %d and this oneosd knows "
                        "%d: it stands still until a newer one is started",
                        (int)schema, t->r->schema);
    result->rc = asked_parse(cmd, &asked, &result->words);
    if (result->rc < 0)
        return 0;
    rc = done_find(t, &asked, result);
    result->again = rc > 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = settle(t, carry_out(t, cmd, (int)schema, result), result);
    return rc < 0 ? rc : done_keep(t, &asked, result);
}
