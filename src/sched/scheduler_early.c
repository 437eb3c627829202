/*
 * scheduler_early.c - a job's first placement, decided while the command that makes it is on its
 * way into the log: as advice to it (replica.h, job_advice()), which saves a command.
 *
 * Only what is placed at once; all else is decided when the job is there, as ever.
 */
#include "sched/scheduler_private.h"

#include <string.h>

/* The job that the command makes, borrowed from it; false: none that could be placed. */
static bool job_of(const json_t *cmd, struct job *j)
{
    const char *user = json_string_value(json_object_get(cmd, "user"));
    const char *by = json_string_value(json_object_get(cmd, "by"));
    json_t *spec = json_object_get(cmd, "spec");
    json_int_t at = json_integer_value(json_object_get(cmd, "at_us"));

    *j = (struct job){ .index = -1, .spec = spec, .made_us = (uint64_t)at };
    if (!user || !by || strlen(user) >= sizeof j->user || strlen(by) >= sizeof j->by || at <= 0)
        return false;
    strcpy(j->user, user);
    strcpy(j->by, by);
    j->queued_us = j->made_us;
    return json_is_true(json_object_get(cmd, "start")) &&
           !json_is_true(json_object_get(cmd, "hold")) && json_is_object(spec) &&
           json_object_get(spec, "run") && !json_object_get(spec, "array") &&
           !json_object_get(spec, "after");
}

struct advising {
    struct scheduler *s;
    uint64_t id;
    json_t *advice;
};

static void put(void *arg, const struct job_place *place)
{
    struct advising *a = arg;

    a->advice = job_advice(a->s->epoch, a->id, place);
}

static json_t *advise(void *arg, const json_t *cmd)
{
    struct scheduler *s = arg;
    struct advising a = { .s = s };
    const char *name = json_string_value(json_object_get(cmd, "cmd"));
    struct job j;

    if (!s->sched || s->reading || s->stepping || act_full(s) || !name ||
        strcmp(name, "job.make") != 0 || !job_of(cmd, &j))
        return NULL;
    scheduler_now(s);
    if (sched_early(s->sched, &j, &a.id, put, &a) && !a.advice)
        sched_early_gone(s->sched, a.id);
    scheduler_wake(s); /* for all else that the step decided */
    return a.advice;
}

static void carried_out(void *arg, const json_t *advice, int rc, const json_t *body)
{
    struct scheduler *s = arg;
    uint64_t id = (uint64_t)json_integer_value(json_object_get(advice, "id"));
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(advice, "epoch"));
    uint64_t uid = (uint64_t)json_integer_value(json_object_get(body, "uid"));
    const char *name = json_string_value(json_object_get(body, "name"));

    if (!s->sched || epoch != s->epoch)
        return;
    scheduler_now(s);
    if (rc == 0 && name && json_is_true(json_object_get(body, "placed")))
        sched_early_made(s->sched, id, name, uid);
    else
        sched_early_gone(s->sched, id);
    scheduler_wake(s);
}

const struct replica_adviser scheduler_advice = { .advise = advise, .carried_out = carried_out };
