/*
 * cluster_use.c - what other parts ask of the cluster: questions to machines, what is known of
 * them, and an operator's words about them.
 */
#include "cluster/cluster_private.h"

#include <errno.h>
#include <string.h>

bool cluster_reachable(const struct cluster *c, const char *id)
{
    const struct member_view *v = member_find(c->member, id);

    return v && (v->state == MEMBER_ALIVE || v->state == MEMBER_SUSPECT);
}

int cluster_ask(struct cluster *c, const char *id, enum bus_type type, json_t *body,
                unsigned deadline_ms, bus_done_fn *done, void *arg, struct oerr *e)
{
    const struct member_view *v = member_find(c->member, id);

    if (!cluster_reachable(c, id)) {
        json_decref(body);
        return oerr_set(e, -EHOSTUNREACH, "machine %s is %s", id,
                        v ? member_state_name(v->state) : "unknown");
    }
    return bus_ask(c->bus, id, type, body, deadline_ms, done, arg, NULL);
}

void cluster_tell(struct cluster *c, const char *id, const void *data, size_t len)
{
    bus_tell(c->bus, id, BUS_CONSENSUS, data, len);
}

void cluster_push(struct cluster *c)
{
    bus_push(c->bus);
}

const struct member *cluster_members(const struct cluster *c)
{
    return c->member;
}

const json_t *cluster_info(const struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    return m ? m->info : NULL;
}

const json_t *cluster_labels(const struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    return m ? m->labels : NULL;
}

const json_t *cluster_load(const struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    return m ? m->load : NULL;
}

const json_t *cluster_services(const struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    return m ? m->services : NULL;
}

uint64_t cluster_changed_us(const struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    return m ? m->changed_us : 0;
}

int cluster_accept(struct cluster *c, const char *id, struct oerr *e)
{
    const struct member_view *v = member_find(c->member, id);
    char key[KEY_Z85] = "";
    int rc;

    if (v)
        memcpy(key, v->info.curve_public, sizeof key);
    rc = member_accept(c->member, now_ms(), id, e);
    rearm(c);
    return rc == 0 && *key ? accepted_set(c, id, key, e) : rc;
}

int cluster_accept_key(struct cluster *c, const char *id, const char *key, struct oerr *e)
{
    const struct member_view *v = member_find(c->member, id);

    if (!key && v && v->trusted)
        cluster_forget(c, id, NULL); /* refused while it is alive; it will not come back then */
    else if (key && v && !v->trusted && strcmp(v->info.curve_public, key) == 0)
        return cluster_accept(c, id, e);
    return accepted_set(c, id, key, e);
}

int cluster_reject(struct cluster *c, const char *id, struct oerr *e)
{
    int rc = member_reject(c->member, now_ms(), id, e);

    rearm(c);
    return rc == 0 ? accepted_set(c, id, NULL, e) : rc;
}

int cluster_forget(struct cluster *c, const char *id, struct oerr *e)
{
    int rc = member_forget(c->member, now_ms(), id, e);

    rearm(c);
    return rc == 0 ? accepted_set(c, id, NULL, e) : rc;
}
