/*
 * daemon_members.c - what operators decided about machines, from the registry to the parts that act
 * on it: accepted and forgotten machines, this machine's labels, and whether it drains.
 *
 * The registry is the authority: member/ID {labels, draining, ...}, accepted/ID {key}. What is kept
 * beside it (the labels file, the list of accepted machines) serves a start without a quorum.
 */
#include "daemon_private.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "tree/labels.h"

#include <errno.h>
#include <string.h>

#define SUBMIT_MS 5000

static bool is_self(const struct daemon *d, const char *key)
{
    return strcmp(key + strlen("member/"), d->sys.me->id) == 0;
}

static void take_labels(struct daemon *d, const json_t *labels)
{
    struct oerr e = { "" };

    if (!json_is_object(labels) ||
        json_equal((json_t *)labels, (json_t *)cluster_labels(d->sys.cluster, d->sys.me->id)))
        return;
    if (labels_store(d->sys.me->dir, labels, &e) < 0)
        log_warn("oneosd", "%s", e.text);
    cluster_set_labels(d->sys.cluster, json_deep_copy(labels));
}

static void on_member(void *arg, const char *key, const json_t *value)
{
    struct daemon *d = arg;

    if (d->closing || !key)
        return;
    if (!value) {
        cluster_forget(d->sys.cluster, key + strlen("member/"), NULL);
    } else if (is_self(d, key) && d->labels_told) {
        d->sys.draining = json_is_true(json_object_get(value, "draining"));
        take_labels(d, json_object_get(value, "labels"));
    }
}

static void on_accepted(void *arg, const char *key, const json_t *value)
{
    struct daemon *d = arg;
    const char *curve = json_string_value(json_object_get(value, "key"));
    struct oerr e = { "" };

    if (d->closing || !key || (value && !curve))
        return;
    if (cluster_accept_key(d->sys.cluster, key + strlen("accepted/"), curve, &e) < 0)
        log_warn("oneosd", "%s", e.text);
}

static void on_labelled(void *arg, int rc, const json_t *body, const char *text)
{
    (void)arg, (void)body;
    if (rc < 0)
        log_warn("oneosd", "the labels are not in the registry: %s", text);
}

/* What the command line says goes into the registry; else what the registry says counts here. */
static void settle_labels(struct daemon *d)
{
    const json_t *mine = cluster_labels(d->sys.cluster, d->sys.me->id);
    char key[ID_MAX + 16];
    struct registry_view *v;
    json_t *value = NULL, *known;

    snprintf(key, sizeof key, "member/%s", d->sys.me->id);
    if (registry_read(replica_registry(d->sys.replica), &v) < 0)
        return;
    if (view_get(v, key, &value) < 0)
        value = NULL;
    registry_view_end(v);
    known = json_object_get(value, "labels");
    d->labels_told = true;
    if ((d->opt.n_labels > 0 || json_object_size(known) == 0) && !json_equal(known, (json_t *)mine))
        replica_submit(d->sys.replica, "member.label",
                       json_pack("{s:s, s:O}", "id", d->sys.me->id, "labels", mine), SUBMIT_MS,
                       on_labelled, d);
    else if (value)
        on_member(d, key, value);
    json_decref(value);
}

static void each_accepted(struct daemon *d)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    json_t *value = NULL;

    if (registry_read(replica_registry(d->sys.replica), &v) < 0)
        return;
    while (view_next(v, "accepted/", key, key, &value) == 0) {
        on_accepted(d, key, value);
        json_decref(value);
    }
    registry_view_end(v);
}

void daemon_members_ready(struct daemon *d)
{
    settle_labels(d);
    each_accepted(d);
}

int daemon_watch_members(struct daemon *d)
{
    struct registry *r = replica_registry(d->sys.replica);
    int rc = registry_watch(r, "member/", on_member, d);

    return rc < 0 ? rc : registry_watch(r, "accepted/", on_accepted, d);
}
