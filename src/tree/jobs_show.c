/*
 * jobs_show.c - what the files of a job say: its record, for people and for programs.
 *
 * Everybody may see that a job is there, how it goes and what it runs. Its variables may hold
 * secrets: they are in `spec`, which is its owner's, and are left out elsewhere.
 */
#include "tree/jobs_private.h"
#include "base/cleanup.h"
#include "sched/job_spec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- pieces */

/* The line without its variables; as it is, when nobody can read it. */
static void put_line(struct obuf *out, const struct job *j)
{
    const char *text = json_string_value(json_object_get(j->spec, "run"));
    struct run_line line;

    if (!text)
        return;
    if (run_line_parse(&line, text, strlen(text), NULL) < 0) {
        obuf_puts(out, text);
        return;
    }
    for (size_t i = 0; i < line.n; i++)
        line.stages[i].n_env = 0;
    run_line_print(&line, out);
    run_line_free(&line);
}

/* The machines of its stages, each once, in order. */
static bool is_first(const struct job *j, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(j->on[k], j->on[i]) == 0)
            return false;
    return true;
}

static const char *signal_name(int sig)
{
    return sigabbrev_np(sig) ? sigabbrev_np(sig) : "?";
}

/* ---- all.jsonl */

static json_t *machines_of(const struct job *j)
{
    json_t *on = json_array();

    for (size_t i = 0; i < j->n_on; i++)
        if (is_first(j, i))
            json_array_append_new(on, json_string(j->on[i]));
    return on;
}

static void add_end(json_t *o, const struct job *j)
{
    if (!j->end.cause)
        return;
    if (j->end.signal > 0)
        json_object_set_new(o, "signal", json_string(signal_name(j->end.signal)));
    else if (j->end.exit >= 0)
        json_object_set_new(o, "exit", json_integer(j->end.exit));
    json_object_set_new(o, "cause", json_string(job_cause_name(j->end.cause)));
    json_object_set_new(o, "cpu_usec", json_integer((json_int_t)j->end.cpu_us));
    json_object_set_new(o, "memory_peak_bytes", json_integer((json_int_t)j->end.memory_peak));
}

static json_t *describe(const struct job *j)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:I}", "schema", 1, "id", j->name, "user",
                          j->user, "state", job_state_name(j->state), "by", j->by, "machines",
                          machines_of(j), "restarts", (json_int_t)j->restarts);
    struct obuf line = { 0 };

    add_end(o, j);
    if (*j->array)
        json_object_set_new(o, "array", json_string(j->array));
    if (j->counts)
        json_object_set(o, "elements", j->counts);
    json_object_set(o, "priority", json_object_get(j->spec, "priority"));
    json_set_time(o, "created", j->made_us);
    json_set_time(o, "started", j->started_us);
    json_set_time(o, "ended", j->ended_us);
    put_line(&line, j);
    json_object_set_new(o, "run", json_string(line.p ? line.p : ""));
    obuf_free(&line);
    return o;
}

static void put_job(struct obuf *out, const char *name, const json_t *value)
{
    struct job j = { 0 };
    json_t *o = NULL;
    char *text = NULL;

    if (job_decode(name, value, &j) == 0)
        o = describe(&j);
    if (o)
        text = json_dumps(o, JSON_COMPACT);
    if (text)
        obuf_printf(out, "%s\n", text);
    free(text);
    json_decref(o);
    job_clear(&j);
}

int show_jobs(const struct tree_at *at, struct obuf *out)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    json_t *value;
    int rc = registry_read(replica_registry(system_of(at)->replica), &v);

    if (rc < 0)
        return rc;
    while (view_next(v, JOB_KEY, key, key, &value) == 0) {
        put_job(out, key + strlen(JOB_KEY), value);
        json_decref(value);
    }
    registry_view_end(v);
    return 0;
}

/* ---- spec */

int show_job_spec(const struct tree_at *at, struct obuf *out)
{
    struct job j = { 0 };
    cleanup_free char *text = NULL;
    int rc = job_read(system_of(at), at->v[0], &j);

    if (rc == 0)
        text = json_dumps(j.spec, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    if (rc == 0)
        obuf_printf(out, "%s\n", text ? text : "{}");
    job_clear(&j);
    return rc;
}

/* ---- status */

static void put_end(struct obuf *out, const struct job *j)
{
    if (!j->end.cause)
        return;
    if (j->end.signal > 0)
        obuf_printf(out, "signal %s\n", signal_name(j->end.signal));
    else if (j->end.exit >= 0)
        obuf_printf(out, "exit %d\n", j->end.exit);
    obuf_printf(out, "cause %s\n", job_cause_name(j->end.cause));
    if (*j->end.words)
        obuf_printf(out, "words %s\n", j->end.words);
}

static void put_machines(struct obuf *out, const struct job *j)
{
    for (size_t i = 0; i < j->n_on; i++)
        if (is_first(j, i))
            obuf_printf(out, "%s%s", i ? " " : "machines ", j->on[i]);
    if (j->n_on)
        obuf_puts(out, "\n");
}

static void put_times(struct obuf *out, const struct job *j)
{
    const struct {
        const char *key;
        uint64_t us;
    } times[] = { { "created", j->made_us },
                  { "queued", j->state == JOB_NEW ? 0 : j->queued_us },
                  { "not_before", job_is_over(j->state) ? 0 : j->not_before_us },
                  { "started", j->started_us },
                  { "ended", j->ended_us } };

    for (size_t i = 0; i < ARRAY_SIZE(times); i++)
        if (times[i].us)
            show_time(out, times[i].key, times[i].us);
}

static void put_elements(struct obuf *out, const struct job *j)
{
    const char *state;
    json_t *count;

    if (*j->array)
        obuf_printf(out, "array %s\nindex %d\n", j->array, j->index);
    json_object_foreach (j->counts, state, count)
        obuf_printf(out, "elements_%s %lld\n", state, (long long)json_integer_value(count));
}

int show_job_status(const struct tree_at *at, struct obuf *out)
{
    struct job j = { 0 };
    int rc = job_read(system_of(at), at->v[0], &j);

    if (rc == 0) {
        obuf_printf(out, "state %s\n", job_state_name(j.state));
        put_end(out, &j);
        obuf_printf(out, "user %s\nby %s\n", j.user, j.by);
        put_machines(out, &j);
        obuf_printf(out, "attempt %u\nrestarts %u\n", j.attempt, j.restarts);
        if (*j.cancelled_by)
            obuf_printf(out, "cancelled_by %s\n", j.cancelled_by);
        put_times(out, &j);
        obuf_printf(out, "cpu_usec %lu\nmemory_peak_bytes %lu\n", j.end.cpu_us, j.end.memory_peak);
        put_elements(out, &j);
    }
    job_clear(&j);
    return rc;
}

/* ---- why */

int home_job_why(const struct tree_at *at, const char **machine)
{
    static char id[ID_MAX]; /* read by the engine at once; core loop only */
    struct system *sys = system_of(at);

    *machine = sys->me->id;
    if (scheduler_machine(sys->scheduler, id) == 0 && cluster_reachable(sys->cluster, id))
        *machine = id;
    return 0;
}

/* Without the scheduler's word: what the record alone says. */
static void why_by_record(const struct job *j, const char *trouble, struct obuf *out)
{
    char line[128];

    if (job_is_over(j->state)) {
        job_verdict(j, line);
        obuf_printf(out, "it has ended: %s\n", line);
        if (*j->end.words)
            obuf_printf(out, "%s\n", j->end.words);
    } else if (j->state == JOB_NEW) {
        obuf_puts(out, "it was not run yet: write run LINE to its ctl\n");
    } else if (j->state == JOB_HELD) {
        obuf_puts(out, "it is held: write release to its ctl\n");
    } else if (j->state == JOB_RUNNING) {
        obuf_puts(out, "it runs\n");
    } else {
        obuf_printf(out, "it waits for the scheduler: %s\n", trouble);
    }
}

/* What the machines where it runs say of its processes. */
static void why_stuck(struct system *sys, const struct job *j, struct obuf *out)
{
    for (const struct proc_rec *p = NULL; (p = proctab_next(sys->proctab, p)) != NULL;)
        if (p->stuck && p->state != PROC_ENDED && strcmp(p->job, j->name) == 0)
            obuf_printf(out,
                        "it stands still: what it writes cannot be kept on %s: %s; make room there "
                        "(rmdir of ended jobs gives back what they wrote)\n",
                        p->machine, strerror(p->stuck));
}

int show_job_why(const struct tree_at *at, struct obuf *out)
{
    struct system *sys = system_of(at);
    struct oerr e = { "" };
    struct job j = { 0 };
    int rc = job_read(sys, at->v[0], &j);

    if (rc == 0 && scheduler_why(sys->scheduler, j.name, out, &e) < 0)
        why_by_record(&j, e.text, out);
    if (rc == 0 && j.state == JOB_RUNNING)
        why_stuck(sys, &j, out);
    job_clear(&j);
    return rc;
}
