/*
 * replica_advice.c - what somebody here adds to commands on their way into the log, so that what
 * would be the next command is part of the one before it.
 *
 * Advice is given once: what has some keeps it, also when it is asked again of another leader. By
 * then it may be wrong, so a command follows it only as far as the state allows. It means nothing
 * in another registry, and is taken away there.
 */
#include "cluster/replica_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE "advice"

void replica_advised_by(struct replica *r, const struct replica_adviser *adviser, void *arg)
{
    r->adviser = adviser;
    r->adviser_arg = arg;
}

static bool add(struct replica *r, json_t *cmd)
{
    json_t *advice = NULL;

    /* An older program's command means what it meant there. */
    if (r->adviser && !json_object_get(cmd, ADVICE) &&
        json_integer_value(json_object_get(cmd, "v")) == REGISTRY_SCHEMA)
        advice = r->adviser->advise(r->adviser_arg, cmd);
    return advice && json_object_set_new(cmd, ADVICE, advice) == 0;
}

char *advice_text(struct replica *r, json_t *cmd)
{
    char *text = add(r, cmd) ? json_dumps(cmd, JSON_COMPACT) : NULL;

    if (text && strlen(text) <= COMMAND_MAX)
        return text;
    free(text);
    advice_drop(cmd);
    return NULL;
}

void advice_drop(json_t *cmd)
{
    json_object_del(cmd, ADVICE);
}

void advice_told(struct replica *r, const json_t *cmd, const struct registry_result *result)
{
    const json_t *advice = json_object_get(cmd, ADVICE);

    if (advice && r->adviser)
        r->adviser->carried_out(r->adviser_arg, advice, result->again ? -EALREADY : result->rc,
                                result->body);
}
