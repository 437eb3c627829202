/*
 * cluster_live.c - topics of live state: publishing changes, noticing gaps, asking for all of it.
 *
 * LIVE body: {"topic": NAME, "change": CHANGE}. SYNC answers {NAME: ALL, ...} for all topics at
 * once. At most one SYNC per machine is under way; another gap noticed meanwhile is noticed again
 * by the next heartbeat. The topic "machine" ({"seq", "info", "labels", "services"}) is the
 * cluster's own.
 */
#include "cluster/cluster_private.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define SYNC_MS 3000

static uint64_t machine_seq(void *arg)
{
    return ((struct cluster *)arg)->mine->seq;
}

static json_t *machine_all(void *arg)
{
    struct machine *m = ((struct cluster *)arg)->mine;

    return json_pack("{s:I, s:O, s:O, s:O*}", "seq", (json_int_t)m->seq, "info", m->info, "labels",
                     m->labels, "services", m->services);
}

static int machine_replace(void *arg, const char *from, const json_t *all)
{
    struct cluster *c = arg;
    struct machine *m = heard_get(c, from);
    json_t *info, *labels, *services = NULL;
    json_int_t seq;
    bool changed;

    if (json_unpack((json_t *)all, "{s:I, s:o, s:o, s?o}", "seq", &seq, "info", &info, "labels",
                    &labels, "services", &services) < 0 ||
        !json_is_object(info) || !json_is_object(labels))
        return -EPROTO;
    if (!m)
        return -ENOMEM;
    changed = !json_equal(info, m->info) || !json_equal(labels, m->labels);
    if (changed)
        m->changed_us = wall_us();
    json_incref(info);
    json_incref(labels);
    json_incref(services);
    json_decref(m->info);
    json_decref(m->labels);
    json_decref(m->services);
    m->info = info;
    m->labels = labels;
    m->services = services;
    m->seq = (uint64_t)seq;
    m->synced = true;
    if (changed && c->ops.learned)
        c->ops.learned(c->arg, from);
    return 0;
}

static bool machine_behind(void *arg, const char *from, uint64_t seq)
{
    struct machine *m = heard_find(arg, from);

    return !m || !m->synced || m->seq < seq;
}

void live_init(struct cluster *c)
{
    static const struct cluster_topic machine = { .name = "machine",
                                                  .seq = machine_seq,
                                                  .all = machine_all,
                                                  .apply = machine_replace,
                                                  .replace = machine_replace,
                                                  .behind = machine_behind };

    c->topics[0] = machine;
    c->topics[0].arg = c;
    c->n_topics = 1;
}

static struct cluster_topic *topic_find(struct cluster *c, const char *name)
{
    for (size_t i = 0; i < c->n_topics; i++)
        if (strcmp(c->topics[i].name, name) == 0)
            return &c->topics[i];
    return NULL;
}

json_t *live_all(struct cluster *c)
{
    json_t *all = json_object();

    for (size_t i = 0; i < c->n_topics; i++)
        json_object_set_new(all, c->topics[i].name, c->topics[i].all(c->topics[i].arg));
    return all;
}

json_t *live_seqs(struct cluster *c)
{
    json_t *seqs = json_object();

    for (size_t i = 0; i < c->n_topics; i++)
        json_object_set_new(seqs, c->topics[i].name,
                            json_integer((json_int_t)c->topics[i].seq(c->topics[i].arg)));
    return seqs;
}

struct syncing {
    struct cluster *c;
    char id[ID_MAX];
};

static void synced(void *arg, int rc, json_t *body, const char *text)
{
    struct syncing *s = arg;
    struct machine *m = heard_find(s->c, s->id);

    if (m)
        m->syncing = false;
    if (rc < 0)
        log_debug("cluster", "no live state from %s: %s", s->id, text);
    for (size_t i = 0; rc == 0 && i < s->c->n_topics; i++) {
        struct cluster_topic *t = &s->c->topics[i];
        json_t *all = json_object_get(body, t->name);

        if (all && t->replace(t->arg, s->id, all) < 0)
            log_warn("cluster", "%s sent live state '%s' that is not well formed", s->id, t->name);
    }
    free(s);
}

void live_sync(struct cluster *c, const char *id)
{
    struct machine *m = heard_get(c, id);
    struct syncing *s;

    if (!m || m->syncing || !(s = malloc(sizeof *s)))
        return;
    s->c = c;
    snprintf(s->id, sizeof s->id, "%s", id);
    if (bus_ask(c->bus, id, BUS_SYNC, json_object(), SYNC_MS, synced, s, NULL) < 0)
        free(s);
    else
        m->syncing = true;
}

void live_heartbeat(struct cluster *c, const char *from, const json_t *seqs)
{
    for (size_t i = 0; i < c->n_topics; i++) {
        const json_t *seq = json_object_get(seqs, c->topics[i].name);

        if (json_is_integer(seq) &&
            c->topics[i].behind(c->topics[i].arg, from, (uint64_t)json_integer_value(seq))) {
            live_sync(c, from);
            return;
        }
    }
}

void live_change(struct cluster *c, const char *from, const json_t *body)
{
    struct cluster_topic *t;
    json_t *change;
    const char *name;
    int rc;

    if (json_unpack((json_t *)body, "{s:s, s:o}", "topic", &name, "change", &change) < 0 ||
        !(t = topic_find(c, name)))
        return;
    rc = t->apply(t->arg, from, change);
    if (rc == -EAGAIN)
        live_sync(c, from);
    else if (rc < 0)
        log_warn("cluster", "%s sent a change of '%s' that is not well formed", from, name);
}

void cluster_topic_add(struct cluster *c, const struct cluster_topic *topic)
{
    if (c->n_topics < TOPICS_MAX)
        c->topics[c->n_topics++] = *topic;
}

void cluster_publish(struct cluster *c, const char *topic, json_t *change)
{
    bus_publish(c->bus, BUS_LIVE, json_pack("{s:s, s:o}", "topic", topic, "change", change));
}

static int set_mine(struct cluster *c, json_t **which, json_t *value)
{
    json_decref(*which);
    *which = value;
    c->mine->seq++;
    cluster_publish(c, "machine", machine_all(c));
    return 0;
}

int cluster_set_labels(struct cluster *c, json_t *labels)
{
    c->mine->changed_us = wall_us();
    return set_mine(c, &c->mine->labels, labels);
}

int cluster_set_services(struct cluster *c, json_t *report)
{
    return set_mine(c, &c->mine->services, report);
}
