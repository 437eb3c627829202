/*
 * registry_call.c - what rows ask of the registry: a record, and, for verbs that are commands, that
 * one is carried out; the call ends with what became of it.
 */
#include "tree/system.h"

#include <errno.h>
#include <string.h>

/* Whoever forwarded the call to this machine waits for TREE_DEADLINE_MS: it shall hear why. */
#define DEADLINE_MS (TREE_DEADLINE_MS - 500)

void registry_answered(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;

    (void)body;
    if (rc < 0)
        oerr_set(&call->err, rc, "%s", text && *text ? text : strerror(-rc));
    tree_call_done(call, rc);
}

int registry_ask(struct tree_call *call, const char *cmd, json_t *fields, replica_done *then)
{
    int rc = replica_submit(system_of(&call->at)->replica, cmd, fields, DEADLINE_MS, then, call);

    return rc < 0 ? oerr_set(&call->err, rc, "%s: %s", cmd, strerror(-rc)) : TREE_LATER;
}

int registry_call(struct tree_call *call, const char *cmd, json_t *fields)
{
    return registry_ask(call, cmd, fields, registry_answered);
}

json_t *registry_value(struct system *sys, const char *prefix, const char *name)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    json_t *value = NULL;

    snprintf(key, sizeof key, "%s/%s", prefix, name);
    if (registry_read(replica_registry(sys->replica), &v) < 0)
        return NULL;
    if (view_get(v, key, &value) < 0)
        value = NULL;
    registry_view_end(v);
    return value;
}
