/*
 * sched_world.c - machines and users for a scheduler, in memory, and time.
 */
#include "tests/lib/sched_world_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void world_die(const struct world *w, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s", w->log.p ? w->log.p : "");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    abort();
}

/* The scheduler's own time on a processor: without what its effects take. */
uint64_t world_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void world_open(struct world *w, const struct sched_options *o)
{
    memset(w, 0, sizeof *w);
    w->todo_end = &w->todo;
    w->logs = true;
    w->options = o ? *o : sched_defaults;
    if (sched_create(&w->s, &w->options, &world_fx, w) < 0)
        abort();
    world_to(w, 1000);
}

void world_job_free(struct world *w, struct world_job *j)
{
    HASH_DEL(w->jobs, j);
    job_clear(&j->r);
    free(j);
}

void world_close(struct world *w)
{
    struct world_machine *m, *mn;
    struct world_job *j, *jn;

    sched_destroy(w->s);
    HASH_ITER (hh, w->machines, m, mn) {
        HASH_DEL(w->machines, m);
        json_decref(m->labels);
        json_decref(m->info);
        free(m);
    }
    HASH_ITER (hh, w->jobs, j, jn)
        world_job_free(w, j);
    for (struct todo *t; (t = w->todo);) {
        w->todo = t->next;
        todo_free(t);
    }
    obuf_free(&w->log);
}

/* ---- machines */

struct world_machine *world_find(struct world *w, const char *id)
{
    struct world_machine *m;

    HASH_FIND_STR(w->machines, id, m);
    return m;
}

static void tell_machine(struct world *w, const struct world_machine *m)
{
    struct sched_machine f = { .id = m->id,
                               .health = m->health,
                               .draining = m->draining,
                               .incarnation = m->incarnation,
                               .info = m->info,
                               .labels = m->labels };

    if (sched_machine(w->s, &f) < 0)
        abort();
}

struct world_machine *world_machine(struct world *w, const char *id, unsigned cores,
                                    unsigned memory_mib, const char *labels)
{
    struct world_machine *m = calloc(1, sizeof *m);
    char text[1000], *save = NULL;

    if (!m)
        abort();
    snprintf(m->id, sizeof m->id, "%s", id);
    m->cores = cores;
    m->memory = (uint64_t)memory_mib << 20;
    m->incarnation = 1;
    m->session = ++w->sessions;
    m->labels = json_object();
    snprintf(text, sizeof text, "%s", labels ? labels : "");
    for (char *t = strtok_r(text, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(t, '=');

        if (eq)
            *eq++ = '\0';
        json_object_set_new(m->labels, t, json_string(eq ? eq : ""));
    }
    m->info = json_pack("{s:i, s:I, s:s, s:s, s:s}", "cores", (int)cores, "memory_bytes",
                        (json_int_t)m->memory, "arch", "x86_64", "os", "linux", "hostname", id);
    m->gpus = (unsigned)atoi(json_string_value(json_object_get(m->labels, "gpus"))
                                 ? json_string_value(json_object_get(m->labels, "gpus"))
                                 : "0");
    HASH_ADD_STR(w->machines, id, m);
    tell_machine(w, m);
    sched_runner(w->s, id, m->session, false);
    return m;
}

void world_health(struct world *w, const char *id, enum sched_health h)
{
    struct world_machine *m = world_find(w, id);

    m->health = h;
    tell_machine(w, m);
}

void world_drain(struct world *w, const char *id, bool on)
{
    struct world_machine *m = world_find(w, id);

    m->draining = on;
    tell_machine(w, m);
}

/* ---- jobs */

void world_tell(struct world *w, struct world_job *j)
{
    uint64_t from = world_now_ns();
    int rc = sched_job(w->s, &j->r);

    w->ns += world_now_ns() - from;
    if (rc == -ENOMEM)
        abort();
}

struct world_job *world_job_of(struct world *w, const char *name)
{
    struct world_job *j;

    HASH_FIND(hh, w->jobs, name, strlen(name), j);
    return j;
}

struct world_job *world_job_json(struct world *w, const char *name, const char *user,
                                 const char *by, json_t *spec)
{
    struct world_job *j = calloc(1, sizeof *j);
    const json_t *cpus, *memory;

    if (!j || !spec)
        abort();
    j->r.uid = ++w->uid;
    if (name)
        snprintf(j->r.name, sizeof j->r.name, "%s", name);
    else
        snprintf(j->r.name, sizeof j->r.name, "%llu", (unsigned long long)j->r.uid);
    snprintf(j->r.user, sizeof j->r.user, "%s", user);
    snprintf(j->r.by, sizeof j->r.by, "%s", by);
    j->r.state = JOB_PENDING;
    j->r.made_us = j->r.queued_us = WORLD_WALL_US + w->now_ms * 1000;
    j->r.index = -1;
    j->r.spec = spec;
    cpus = json_object_get(spec, "cpus");
    memory = json_object_get(spec, "memory");
    j->cpu_milli = cpus ? (unsigned)(json_number_value(cpus) * 1000 + 0.5) : 1000;
    j->memory = (uint64_t)json_integer_value(memory);
    j->retries = (unsigned)json_integer_value(json_object_get(spec, "retries"));
    HASH_ADD_KEYPTR(hh, w->jobs, j->r.name, strlen(j->r.name), j);
    if (!w->early || !world_early(w, j))
        world_tell(w, j);
    return j;
}

struct world_job *world_job(struct world *w, const char *name, const char *user, const char *by,
                            const char *spec)
{
    char text[4000];
    json_error_t error;
    json_t *json;

    snprintf(text, sizeof text, "%s", spec);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (!(json = json_loads(text, 0, &error)))
        world_die(w, "no JSON: %s: %s", spec, error.text);
    json_object_set_new(json, "schema", json_integer(1));
    return world_job_json(w, name, user, by, json);
}

static bool was_before(const struct world_job *j, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(j->r.on[k], j->r.on[i]) == 0)
            return true;
    return false;
}

/* Adds or takes away what the stages of an attempt have, on one machine or (NULL) on all: cores and
 * memory once for each machine. */
void world_use(struct world *w, struct world_job *j, const char *id, int sign)
{
    for (size_t i = 0, end; i < j->r.n_on; i = end) {
        struct world_machine *m = world_find(w, j->r.on[i]);
        unsigned gpus = 0;

        for (end = i; end < j->r.n_on && strcmp(j->r.on[end], j->r.on[i]) == 0; end++)
            gpus += end < 3 ? j->gpus[end] : 0;
        if ((id && strcmp(id, m->id) != 0) || (sign < 0 && j->freed[i]))
            continue;
        j->freed[i] = sign < 0;
        if (!was_before(j, i)) {
            m->used_cpu += sign * (int64_t)j->cpu_milli;
            m->used_memory += sign * (int64_t)j->memory;
        }
        m->used_gpus += (unsigned)sign * gpus;
        if (m->used_gpus > m->gpus)
            world_die(w, "job %s: %s is promised more gpus than it has", j->r.name, m->id);
        if (!w->options.ahead_us &&
            (m->used_cpu > (int64_t)m->cores * 1000 || m->used_memory > (int64_t)m->memory))
            world_die(w, "job %s: %s is promised more than it has", j->r.name, m->id);
    }
}

void world_end_job(struct world *w, struct world_job *j, enum job_cause cause, int exit)
{
    uint64_t wall = WORLD_WALL_US + w->now_ms * 1000;
    struct job_end end = {
        .cause = cause, .exit = exit, .started_us = j->r.started_us, .ended_us = wall
    };

    if (j->r.state != JOB_RUNNING)
        world_die(w, "job %s ends and does not run", j->r.name);
    world_use(w, j, NULL, -1);
    for (size_t i = 0; i < j->r.n_groups; i++)
        if (j->r.groups[i].end.cause == JOB_NOT_ENDED)
            j->r.groups[i].end = end;
    j->r.end = end;
    if (!(cause == JOB_EXITED && exit == 0) && cause != JOB_CANCEL && j->r.restarts < j->retries) {
        j->r.not_before_us = wall + (JOB_PAUSE_US << (j->r.restarts < 8 ? j->r.restarts : 8));
        j->r.restarts++;
        j->r.queued_us = wall;
        j->r.state = JOB_PENDING;
    } else {
        j->r.state = cause == JOB_LOSS              ? JOB_LOST
                     : cause == JOB_CANCEL          ? JOB_CANCELLED
                     : cause == JOB_EXITED && !exit ? JOB_DONE
                                                    : JOB_FAILED;
        j->r.ended_us = wall;
    }
    world_tell(w, j);
}

void world_end(struct world *w, const char *name, int exit)
{
    world_end_job(w, world_job_of(w, name), JOB_EXITED, exit);
}

void world_cancel(struct world *w, const char *name)
{
    struct world_job *j = world_job_of(w, name);

    strcpy(j->r.cancelled_by, "root");
    if (j->r.state == JOB_RUNNING) {
        j->r.cancelled = true;
        world_tell(w, j);
        return;
    }
    j->r.state = JOB_CANCELLED;
    j->r.ended_us = WORLD_WALL_US + w->now_ms * 1000;
    j->r.end = (struct job_end){ .cause = JOB_CANCEL, .ended_us = j->r.ended_us };
    world_tell(w, j);
}

/* ---- time */

void world_to(struct world *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    sched_time(w->s, now_ms, WORLD_WALL_US + now_ms * 1000);
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_ms + ms, next;

    while ((next = sched_next(w->s)) <= end) {
        world_to(w, next > w->now_ms ? next : w->now_ms);
        world_go(w);
    }
    world_to(w, end);
    world_go(w);
}

void world_restart(struct world *w)
{
    struct world_machine *m, *mn;
    struct world_job *j, *jn;

    for (struct todo *t; (t = w->todo);) {
        w->todo = t->next;
        todo_free(t);
    }
    w->todo_end = &w->todo;
    sched_destroy(w->s);
    if (sched_create(&w->s, &w->options, &world_fx, w) < 0)
        abort();
    world_to(w, w->now_ms);
    HASH_ITER (hh, w->jobs, j, jn) {
        j->making = false;
        world_tell(w, j);
    }
    HASH_ITER (hh, w->machines, m, mn) {
        tell_machine(w, m);
        sched_runner(w->s, m->id, m->session, m->fenced);
    }
}

/* ---- looking */

const char *world_log(struct world *w)
{
    static char text[8000];

    snprintf(text, sizeof text, "%s", w->log.p ? w->log.p : "");
    obuf_reset(&w->log);
    return text;
}

const char *world_why(struct world *w, const char *name)
{
    static char text[8000];
    struct obuf out = { 0 };
    int rc = sched_why(w->s, name, &out);

    snprintf(text, sizeof text, "%s", rc < 0 ? "none" : out.p ? out.p : "");
    obuf_free(&out);
    return text;
}
