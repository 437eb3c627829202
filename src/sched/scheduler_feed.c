/*
 * scheduler_feed.c - what the registry and the cluster say, told to sched.
 *
 * At the start, and when the registry's state came as a whole, all keys are read: some in each turn
 * of the loop, so that nobody waits for 200,000 jobs. Changes that come meanwhile are told at once;
 * a key that is read later is at least as new.
 */
#include "sched/scheduler_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define READ_MS   3  /* of reading in one turn */
#define READ_KEYS 32 /* between two looks at the clock */

/* ---- machines */

static const int healths[] = {
    [MEMBER_PENDING] = -1,      [MEMBER_ALIVE] = SCHED_ALIVE, [MEMBER_SUSPECT] = SCHED_SUSPECT,
    [MEMBER_DEAD] = SCHED_DEAD, [MEMBER_LEFT] = SCHED_LEFT,   [MEMBER_GONE] = -1
};

static json_t *member_record(struct scheduler *s, const char *id)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    json_t *value = NULL;

    snprintf(key, sizeof key, "member/%s", id);
    if (registry_read(replica_registry(s->replica), &v) < 0)
        return NULL;
    if (view_get(v, key, &value) < 0)
        value = NULL;
    registry_view_end(v);
    return value;
}

/* Labels: what the registry has counts, since it is told of at once; a machine that is not in it
 * yet speaks for itself. */
static void tell_machine(struct scheduler *s, const struct member_view *v, const json_t *record)
{
    const char *id = v->info.id;
    const json_t *labels = json_object_get(record, "labels");
    struct sched_machine m = { .id = id,
                               .health = (enum sched_health)healths[v->state],
                               .draining = json_is_true(json_object_get(record, "draining")),
                               .incarnation = v->info.incarnation,
                               .info = cluster_info(s->cluster, id),
                               .labels = labels ? labels : cluster_labels(s->cluster, id) };

    scheduler_trouble(s, sched_machine(s->sched, &m), "a machine");
}

void feed_machine(struct scheduler *s, const struct member_view *v)
{
    json_t *record;

    scheduler_now(s);
    if (healths[v->state] < 0) {
        sched_machine_gone(s->sched, v->info.id);
    } else {
        record = member_record(s, v->info.id);
        tell_machine(s, v, record);
        json_decref(record);
    }
    scheduler_wake(s);
}

static const struct member_view *view_of(struct scheduler *s, const char *id)
{
    return member_find(cluster_members(s->cluster), id);
}

void scheduler_member(struct scheduler *s, const struct member_view *v)
{
    if (s && s->sched)
        feed_machine(s, v);
}

void scheduler_learned(struct scheduler *s, const char *machine)
{
    const struct member_view *v = s && s->sched ? view_of(s, machine) : NULL;

    if (v)
        feed_machine(s, v);
}

static void on_member(void *arg, const char *key, const json_t *value)
{
    struct scheduler *s = arg;
    const struct member_view *v = key ? view_of(s, key + strlen("member/")) : NULL;

    if (!v || healths[v->state] < 0)
        return;
    scheduler_now(s);
    tell_machine(s, v, value);
    scheduler_wake(s);
}

void feed_loads(struct scheduler *s)
{
    const struct member *m = cluster_members(s->cluster);

    scheduler_now(s);
    for (size_t i = 0; i < member_count(m); i++) {
        const char *id = member_at(m, i)->info.id;
        double cores = json_number_value(json_object_get(cluster_info(s->cluster, id), "cores"));
        double used = json_number_value(json_object_get(cluster_load(s->cluster, id), "cpu_used"));

        if (cores > 0 && used >= 0 && used <= 1)
            sched_load(s->sched, id, (unsigned)(used * cores * 1000));
    }
}

/* ---- records */

static void on_job(struct scheduler *s, const char *name, const json_t *value)
{
    struct job j;

    if (value && job_decode(name, value, &j) == 0) {
        scheduler_trouble(s, sched_job(s->sched, &j), "a job");
        job_clear(&j);
    } else {
        if (value)
            log_warn("scheduler", "what the registry has of job %s cannot be read", name);
        sched_job_gone(s->sched, name, 0);
    }
}

static void on_runner(struct scheduler *s, const char *id, const json_t *value)
{
    struct runner_info r = { 0 };

    if (value && runner_info_decode(value, &r) < 0)
        r = (struct runner_info){ 0 };
    scheduler_trouble(s, sched_runner(s->sched, id, r.session, r.fenced_us != 0), "a runner");
}

static const struct {
    const char *prefix;
    void (*tell)(struct scheduler *s, const char *name, const json_t *value);
} feeds[] = { { RUNNER_KEY, on_runner }, { JOB_KEY, on_job } };

static void restart(struct scheduler *s)
{
    s->again = s->reading;
    if (s->reading)
        return;
    sched_sync(s->sched, true);
    s->reading = true;
    s->prefix = 0;
    s->after[0] = '\0';
}

static void on_key(void *arg, const char *key, const json_t *value)
{
    struct scheduler *s = arg;

    scheduler_now(s);
    if (!key)
        restart(s);
    for (size_t i = 0; key && i < ARRAY_SIZE(feeds); i++)
        if (strncmp(key, feeds[i].prefix, strlen(feeds[i].prefix)) == 0)
            feeds[i].tell(s, key + strlen(feeds[i].prefix), value);
    scheduler_wake(s);
}

/* ---- reading all */

/* false: there is no more of this prefix. */
static bool read_one(struct scheduler *s, struct registry_view *v)
{
    const char *prefix = feeds[s->prefix].prefix;
    json_t *value = NULL;

    if (view_next(v, prefix, s->after, s->after, &value) < 0)
        return false;
    feeds[s->prefix].tell(s, s->after + strlen(prefix), value);
    json_decref(value);
    return true;
}

static void read_some(struct scheduler *s, struct registry_view *v)
{
    for (unsigned i = 0; i < READ_KEYS && s->prefix < ARRAY_SIZE(feeds); i++) {
        if (!read_one(s, v)) {
            s->prefix++;
            s->after[0] = '\0';
        }
    }
}

void feed_read(struct scheduler *s)
{
    uint64_t until = now_ms() + READ_MS;
    struct registry_view *v;

    if (registry_read(replica_registry(s->replica), &v) < 0)
        return; /* again in the next turn */
    scheduler_now(s);
    do
        read_some(s, v);
    while (s->prefix < ARRAY_SIZE(feeds) && now_ms() < until);
    registry_view_end(v);
    if (s->prefix < ARRAY_SIZE(feeds))
        return;
    sched_sync(s->sched, false);
    s->reading = false;
    if (s->again)
        restart(s);
}

int feed_begin(struct scheduler *s)
{
    struct registry *r = replica_registry(s->replica);
    const struct member *m = cluster_members(s->cluster);
    int rc = 0;

    for (size_t i = 0; i < ARRAY_SIZE(feeds) && rc == 0; i++)
        rc = registry_watch(r, feeds[i].prefix, on_key, s);
    if (rc == 0)
        rc = registry_watch(r, "member/", on_member, s);
    for (size_t i = 0; i < member_count(m) && rc == 0; i++)
        if (healths[member_at(m, i)->state] >= 0)
            feed_machine(s, member_at(m, i));
    s->reading = s->again = false;
    restart(s);
    feed_loads(s);
    return rc;
}

void feed_end(struct scheduler *s)
{
    struct registry *r = replica_registry(s->replica);

    registry_unwatch(r, on_key, s);
    registry_unwatch(r, on_member, s);
    s->reading = s->again = false;
}
