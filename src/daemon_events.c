/*
 * daemon_events.c - what `events` tells of the registry: who leads, whether there is a quorum,
 * where the services go; and what is told to the other machines of those that run here.
 *
 *     {"event": "leader", "machine": ID}        another one than before, or one again
 *     {"event": "quorum", "state": "lost"|"back"}
 *     {"event": "service", "service": NAME, "machine": ID, "epoch": N}
 *     {"event": "job", "job": NAME, "state": STATE | "gone"}
 *
 * A service is told once per epoch, a job whenever its state is another.
 */
#include "daemon_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <string.h>

static void on_leader(void *arg, const char *leader)
{
    struct daemon *d = arg;
    bool lost = *leader == '\0', was_lost = d->quorum_lost;

    if (d->closing)
        return;
    d->quorum_lost = lost;
    if (lost != was_lost) {
        log_info("registry", "the quorum is %s", lost ? "lost" : "back");
        events_tell(d->sys.events,
                    json_pack("{s:s, s:s}", "event", "quorum", "state", lost ? "lost" : "back"));
    }
    if (strcmp(leader, d->leader) == 0)
        return;
    snprintf(d->leader, sizeof d->leader, "%s", leader);
    if (lost)
        return;
    events_tell(d->sys.events, json_pack("{s:s, s:s}", "event", "leader", "machine", leader));
}

static void tell_service(struct daemon *d, const char *name, const json_t *value)
{
    const char *machine = json_string_value(json_object_get(value, "machine"));
    json_int_t epoch = json_integer_value(json_object_get(value, "epoch"));

    for (size_t i = 0; machine && i < ARRAY_SIZE(d->placed); i++) {
        if (strcmp(service_names[i], name) != 0 ||
            (epoch == d->placed[i].epoch && strcmp(machine, d->placed[i].machine) == 0))
            continue;
        d->placed[i].epoch = epoch;
        snprintf(d->placed[i].machine, sizeof d->placed[i].machine, "%s", machine);
        events_tell(d->sys.events, json_pack("{s:s, s:s, s:s, s:I}", "event", "service", "service",
                                             name, "machine", machine, "epoch", epoch));
    }
}

static void tell_all_services(struct daemon *d)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    json_t *value = NULL;

    if (registry_read(replica_registry(d->sys.replica), &v) < 0)
        return;
    while (view_next(v, "service/", key, key, &value) == 0) {
        tell_service(d, key + strlen("service/"), value);
        json_decref(value);
    }
    registry_view_end(v);
}

static void on_service(void *arg, const char *key, const json_t *value)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    if (!key)
        tell_all_services(d);
    else if (value)
        tell_service(d, key + strlen("service/"), value);
}

static void on_job(void *arg, const struct job_brief *b, bool gone)
{
    struct daemon *d = arg;

    if (!d->closing && events_heard(d->sys.events))
        events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "job", "job", b->name,
                                             "state", gone ? "gone" : job_state_name(b->state)));
}

static void on_report(void *arg, const json_t *report)
{
    struct daemon *d = arg;

    if (!d->closing)
        cluster_set_services(d->sys.cluster, json_incref((json_t *)report));
}

int daemon_watch_registry(struct daemon *d)
{
    replica_on_leader(d->sys.replica, on_leader, d);
    joblist_on_change(d->sys.joblist, on_job, d);
    services_on_change(d->sys.services, on_report, d);
    tell_all_services(d);
    return registry_watch(replica_registry(d->sys.replica), "service/", on_service, d);
}
