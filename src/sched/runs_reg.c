/*
 * runs_reg.c - what the registry says: records of jobs and of this machine, to the runner and to
 * those who wait for jobs.
 *
 * Every change of every job comes by here, on each machine: those that concern nobody here are told
 * apart before they are decoded.
 */
#include "sched/runs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

static int job_in(struct registry_view *v, const char *name, struct job *out)
{
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    int rc;

    snprintf(key, sizeof key, JOB_KEY "%s", name);
    rc = view_get(v, key, &value);
    if (rc == 0)
        rc = job_decode(name, value, out);
    json_decref(value);
    return rc;
}

int runs_read_job(struct runs *r, const char *name, struct job *out)
{
    struct registry_view *v;
    int rc =
        strlen(name) < JOB_NAME_MAX ? registry_read(replica_registry(r->replica), &v) : -ENOENT;

    if (rc < 0)
        return rc;
    rc = job_in(v, name, out);
    registry_view_end(v);
    return rc;
}

int runs_read_own(struct runs *r, struct runner_info *out)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    json_t *value = NULL;
    int rc = registry_read(replica_registry(r->replica), &v);

    if (rc < 0)
        return rc;
    snprintf(key, sizeof key, RUNNER_KEY "%s", r->self);
    rc = view_get(v, key, &value);
    registry_view_end(v);
    if (rc == 0)
        rc = runner_info_decode(value, out);
    json_decref(value);
    return rc == -ENOENT || rc == -EPROTO ? 0 : rc < 0 ? rc : 1;
}

static void tell_runner(struct runs *r, const struct job *j)
{
    if (runner_job(r->runner, now_ms(), j) < 0) { /* without memory: it is read again */
        log_error("jobs", "no memory for job %s", j->name);
        r->reread = true;
    }
}

static void job_changed(struct runs *r, const struct job *j)
{
    tell_runner(r, j);
    wire_job(r, j);
    open_job(r, j);
}

static void job_gone(struct runs *r, const char *name)
{
    runner_job_gone(r->runner, now_ms(), name);
    wire_gone(r, name);
    open_gone(r, name);
}

/* ---- all of it */

static void reread_job(struct runs *r, struct registry_view *v, const char *name)
{
    struct job j;

    if (job_in(v, name, &j) < 0)
        return;
    tell_runner(r, &j);
    job_clear(&j);
}

/* The jobs that have been placed here and have not ended, by the index that job.place keeps. */
static void reread_placed(struct runs *r, struct registry_view *v)
{
    char prefix[REGISTRY_KEY_MAX], key[REGISTRY_KEY_MAX] = "";
    size_t len = (size_t)snprintf(prefix, sizeof prefix, PLACED_KEY "%s/", r->self);

    while (view_next(v, prefix, key, key, NULL) == 0)
        reread_job(r, v, key + len);
}

static void reread_waited(struct runs *r)
{
    struct jwatch *w, *next;
    struct job j;

    HASH_ITER (hh, r->watches, w, next) {
        char name[JOB_NAME_MAX];

        strcpy(name, w->name);
        if (runs_read_job(r, name, &j) < 0) {
            open_gone(r, name);
            continue;
        }
        wire_job(r, &j);
        open_job(r, &j);
        job_clear(&j);
    }
}

/* False: it cannot be read now. */
static bool reread_ours(struct runs *r)
{
    size_t n = 0;
    char(*known)[JOB_NAME_MAX] = runner_jobs(r->runner, &n);
    struct registry_view *v;

    if (!known || registry_read(replica_registry(r->replica), &v) < 0) {
        free(known);
        return false;
    }
    runner_sync(r->runner, now_ms(), true);
    for (size_t i = 0; i < n; i++)
        reread_job(r, v, known[i]);
    reread_placed(r, v);
    runner_sync(r->runner, now_ms(), false);
    registry_view_end(v);
    free(known);
    return true;
}

bool runs_read_all(struct runs *r)
{
    struct runner_info own;
    int found = runs_read_own(r, &own);

    r->reread = false;
    if (found >= 0)
        runner_record(r->runner, now_ms(), found ? &own : NULL);
    r->reread |= found < 0 || !reread_ours(r);
    reread_waited(r);
    return !r->reread;
}

/* ---- changes */

static bool names_us(const struct runs *r, const json_t *machines, const char *field)
{
    size_t i;
    json_t *v;

    json_array_foreach (machines, i, v) {
        const char *id = json_string_value(field ? json_object_get(v, field) : v);

        if (id && strcmp(id, r->self) == 0)
            return true;
    }
    return false;
}

static bool concerns(struct runs *r, const char *name, const json_t *value)
{
    return runner_knows(r->runner, name) || open_waits(r, name) ||
           names_us(r, json_object_get(value, "on"), NULL) ||
           names_us(r, json_object_get(value, "groups"), "on");
}

static void on_job(void *arg, const char *key, const json_t *value)
{
    struct runs *r = arg;
    const char *name = key ? key + strlen(JOB_KEY) : NULL;
    struct job j;

    if (r->closing)
        return;
    if (!key) {
        r->reread = true;
    } else if (!value) {
        job_gone(r, name);
    } else if (!concerns(r, name, value)) {
        return;
    } else if (job_decode(name, value, &j) < 0) {
        log_warn("jobs", "what the registry has of job %s cannot be read", name);
    } else {
        job_changed(r, &j);
        job_clear(&j);
    }
    runs_soon(r);
}

static void on_runner(void *arg, const char *key, const json_t *value)
{
    struct runs *r = arg;
    struct runner_info own;
    bool there;

    if (r->closing || (key && strcmp(key + strlen(RUNNER_KEY), r->self) != 0))
        return;
    if (!key) {
        r->reread = true;
    } else {
        there = value && runner_info_decode(value, &own) == 0;
        if (there && own.fenced_us)
            log_warn("jobs", "%s was fenced: what it ran for jobs ends, and is lost", r->self);
        runner_record(r->runner, now_ms(), there ? &own : NULL);
    }
    runs_soon(r);
}

int runs_watch(struct runs *r)
{
    int rc = registry_watch(replica_registry(r->replica), JOB_KEY, on_job, r);

    return rc < 0 ? rc : registry_watch(replica_registry(r->replica), RUNNER_KEY, on_runner, r);
}

void runs_unwatch(struct runs *r)
{
    registry_unwatch(replica_registry(r->replica), on_job, r);
    registry_unwatch(replica_registry(r->replica), on_runner, r);
}
