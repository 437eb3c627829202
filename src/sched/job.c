/*
 * job.c - the record of a job: JSON in the registry, a struct in the programs.
 *
 * The value of job/NAME:
 *
 *     uid user by state made_us spec          always
 *     queued_us                               when it is not made_us
 *     attempt restarts not_before_us started_us ended_us      when they are not 0
 *     hold                                    true: a new job that is held when it is run
 *     cancelled_by                            somebody asked for its end
 *     on                                      a machine for each stage
 *     groups                                  [{"stage": S | "on": ID, and of its end: cause ...}]
 *     status                                  the index of the group whose end counts, when not 0
 *     end                                     {cause ...}, when it is not that of this group
 *     array index                             of an element
 *     counts                                  of an array: {"pending": N, ...}
 *
 * An end: cause, and what is not 0 of exit signal started_us ended_us cpu_us memory_peak words
 * (exit: always where the cause is `exited` or `not-begun`). A group whose machine is that of a
 * stage names the stage: ids are long, and a record is written three times in a job's life.
 */
#include "sched/job_state.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGES_MAX 64

static const char *const states[] = {
    [JOB_NEW] = "new",
    [JOB_HELD] = "held",
    [JOB_PENDING] = "pending",
    [JOB_RUNNING] = "running",
    [JOB_DONE] = "done",
    [JOB_FAILED] = "failed",
    [JOB_CANCELLED] = "cancelled",
    [JOB_LOST] = "lost",
};
static const char *const causes[] = {
    [JOB_NOT_ENDED] = "",       [JOB_EXITED] = "exited",       [JOB_KILLED] = "killed",
    [JOB_OOM] = "oom",          [JOB_TIMEOUT] = "timeout",     [JOB_LOSS] = "lost",
    [JOB_CANCEL] = "cancelled", [JOB_NOT_BEGUN] = "not-begun", [JOB_NOT_TAKEN] = "not-taken",
};

const char *job_state_name(enum job_state s)
{
    return states[s];
}

const char *job_cause_name(enum job_cause c)
{
    return causes[c];
}

static int named(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

/* ---- reading: what is missing or of another kind is remembered in `bad` */

struct in {
    const json_t *o;
    bool bad;
};

static const char *in_text(struct in *in, const char *key, size_t max)
{
    const json_t *v = json_object_get(in->o, key);

    if (!v)
        return "";
    if (json_is_string(v) && json_string_length(v) < max &&
        strlen(json_string_value(v)) == json_string_length(v))
        return json_string_value(v);
    in->bad = true;
    return "";
}

static json_int_t in_number(struct in *in, const char *key, json_int_t min, json_int_t max)
{
    const json_t *v = json_object_get(in->o, key);

    if (!v)
        return 0;
    if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max)
        return json_integer_value(v);
    in->bad = true;
    return 0;
}

static uint64_t in_count(struct in *in, const char *key)
{
    return (uint64_t)in_number(in, key, 0, INT64_MAX);
}

static void end_read(const json_t *o, struct job_end *end, struct in *whole)
{
    struct in in = { .o = o };
    int cause = named(causes, ARRAY_SIZE(causes), in_text(&in, "cause", 16));

    if (cause < 0 || !json_is_object(o))
        in.bad = true;
    *end = (struct job_end){ .cause = cause < 0 ? JOB_NOT_ENDED : (enum job_cause)cause,
                             .exit = (int)in_number(&in, "exit", -1, 255),
                             .signal = (int)in_number(&in, "signal", 0, 255),
                             .started_us = in_count(&in, "started_us"),
                             .ended_us = in_count(&in, "ended_us"),
                             .cpu_us = in_count(&in, "cpu_us"),
                             .memory_peak = in_count(&in, "memory_peak") };
    strcpy(end->words, in_text(&in, "words", JOB_WORDS_MAX));
    whole->bad |= in.bad;
}

bool job_end_read(const json_t *o, struct job_end *end)
{
    struct in in = { .o = o };

    end_read(o, end, &in);
    return !in.bad && end->cause != JOB_NOT_ENDED;
}

/* The elements of an array of at most max; NULL and *n 0 where there is none, or it is bad. */
static void *in_array(struct in *in, const char *key, size_t max, size_t size, const json_t **array,
                      size_t *n)
{
    void *mem;

    *n = 0;
    *array = json_object_get(in->o, key);
    if (!*array)
        return NULL;
    if (!json_is_array(*array) || json_array_size(*array) > max || json_array_size(*array) == 0) {
        in->bad = true;
        return NULL;
    }
    mem = calloc(json_array_size(*array), size);
    if (mem)
        *n = json_array_size(*array);
    else
        in->bad = true;
    return mem;
}

static bool copy_id(char to[ID_MAX], const json_t *v)
{
    if (!json_is_string(v) || json_string_length(v) >= ID_MAX || json_string_length(v) == 0)
        return false;
    strcpy(to, json_string_value(v));
    return true;
}

static void read_on(struct in *in, struct job *j)
{
    const json_t *array;

    j->on = in_array(in, "on", STAGES_MAX, ID_MAX, &array, &j->n_on);
    for (size_t i = 0; i < j->n_on; i++)
        if (!copy_id(j->on[i], json_array_get(array, i)))
            in->bad = true;
}

static void read_groups(struct in *in, struct job *j)
{
    const json_t *array;

    j->groups = in_array(in, "groups", JOB_GROUPS_MAX, sizeof *j->groups, &array, &j->n_groups);
    for (size_t i = 0; i < j->n_groups; i++) {
        const json_t *o = json_array_get(array, i);
        const json_t *stage = json_object_get(o, "stage");
        json_int_t at = json_integer_value(stage);

        end_read(o, &j->groups[i].end, in);
        if (!stage)
            in->bad |= !copy_id(j->groups[i].machine, json_object_get(o, "on"));
        else if (json_is_integer(stage) && at >= 0 && at < (json_int_t)j->n_on)
            strcpy(j->groups[i].machine, j->on[at]);
        else
            in->bad = true;
    }
}

static void read_numbers(struct in *in, struct job *j)
{
    j->uid = in_count(in, "uid");
    j->attempt = (uint32_t)in_number(in, "attempt", 0, UINT32_MAX);
    j->restarts = (uint32_t)in_number(in, "restarts", 0, UINT32_MAX);
    j->made_us = in_count(in, "made_us");
    j->queued_us = json_object_get(in->o, "queued_us") ? in_count(in, "queued_us") : j->made_us;
    j->not_before_us = in_count(in, "not_before_us");
    j->started_us = in_count(in, "started_us");
    j->ended_us = in_count(in, "ended_us");
    j->hold = json_is_true(json_object_get(in->o, "hold"));
    j->status_group = (unsigned)in_number(in, "status", 0, JOB_GROUPS_MAX - 1);
}

static bool is_object(const json_t *v)
{
    return !v || json_is_object(v);
}

/* It has an end of its own only where that is not its status group's. */
static bool ends_as_group(const struct job *j)
{
    return j->state != JOB_RUNNING && j->n_groups > 0;
}

static void read_rest(struct in *in, struct job *j)
{
    json_t *spec = json_object_get(in->o, "spec"), *counts = json_object_get(in->o, "counts"),
           *end = json_object_get(in->o, "end"), *index = json_object_get(in->o, "index");

    if (!json_is_object(spec) || !is_object(counts) ||
        j->status_group >= j->n_groups + !j->n_groups)
        in->bad = true;
    j->spec = json_incref(spec);
    j->counts = json_incref(counts);
    j->index = index ? (int)in_number(in, "index", 0, INT32_MAX) : -1;
    if (end)
        end_read(end, &j->end, in);
    else if (ends_as_group(j) && !in->bad)
        j->end = j->groups[j->status_group].end;
}

int job_decode(const char *name, const json_t *value, struct job *out)
{
    struct in in = { .o = value };
    int state = named(states, ARRAY_SIZE(states), in_text(&in, "state", 16));

    *out = (struct job){ .index = -1 };
    if (!json_is_object(value) || state < 0 || strlen(name) >= JOB_NAME_MAX)
        return -EPROTO;
    out->state = (enum job_state)state;
    strcpy(out->name, name);
    strcpy(out->user, in_text(&in, "user", JOB_USER_MAX));
    strcpy(out->by, in_text(&in, "by", ID_MAX));
    strcpy(out->array, in_text(&in, "array", JOB_NAME_MAX));
    out->cancelled = json_object_get(value, "cancelled_by") != NULL;
    strcpy(out->cancelled_by, in_text(&in, "cancelled_by", JOB_USER_MAX));
    read_numbers(&in, out);
    read_on(&in, out);
    read_groups(&in, out);
    read_rest(&in, out);
    if (!in.bad && out->uid != 0)
        return 0;
    job_clear(out);
    return -EPROTO;
}

void job_clear(struct job *j)
{
    json_decref(j->spec);
    json_decref(j->counts);
    free(j->on);
    free(j->groups);
    *j = (struct job){ .index = -1 };
}

/* ---- writing */

struct to {
    json_t *o;
    bool bad;
};

static void put(struct to *to, const char *key, json_t *v)
{
    if (json_object_set_new_nocheck(to->o, key, v) < 0)
        to->bad = true;
}

static void put_text(struct to *to, const char *key, const char *text)
{
    if (*text)
        put(to, key, json_string(text));
}

static void put_count(struct to *to, const char *key, uint64_t n)
{
    if (n)
        put(to, key, json_integer((json_int_t)n));
}

static void end_write(struct to *to, const struct job_end *end)
{
    put_text(to, "cause", causes[end->cause]);
    if (end->exit || end->cause == JOB_EXITED || end->cause == JOB_NOT_BEGUN)
        put(to, "exit", json_integer(end->exit));
    put_count(to, "signal", (uint64_t)end->signal);
    put_count(to, "started_us", end->started_us);
    put_count(to, "ended_us", end->ended_us);
    put_count(to, "cpu_us", end->cpu_us);
    put_count(to, "memory_peak", end->memory_peak);
    put_text(to, "words", end->words);
}

bool job_end_write(json_t *o, const struct job_end *end)
{
    struct to to = { .o = o };

    end_write(&to, end);
    return !to.bad;
}

static bool ends_equal(const struct job_end *a, const struct job_end *b)
{
    return a->cause == b->cause && a->exit == b->exit && a->signal == b->signal &&
           a->started_us == b->started_us && a->ended_us == b->ended_us && a->cpu_us == b->cpu_us &&
           a->memory_peak == b->memory_peak && strcmp(a->words, b->words) == 0;
}

static json_t *write_on(const struct job *j)
{
    json_t *array = json_array();

    for (size_t i = 0; i < j->n_on; i++)
        json_array_append_new(array, json_string(j->on[i]));
    return array;
}

static json_t *write_group(const struct job *j, const struct job_group *g)
{
    struct to to = { .o = json_object() };
    size_t s = 0;

    while (s < j->n_on && strcmp(j->on[s], g->machine) != 0)
        s++;
    put(&to, s < j->n_on ? "stage" : "on",
        s < j->n_on ? json_integer((json_int_t)s) : json_string(g->machine));
    end_write(&to, &g->end);
    if (!to.bad)
        return to.o;
    json_decref(to.o);
    return NULL;
}

static json_t *write_groups(const struct job *j)
{
    json_t *array = json_array();

    for (size_t i = 0; i < j->n_groups; i++) {
        if (json_array_append_new(array, write_group(j, &j->groups[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static void write_parts(struct to *to, const struct job *j)
{
    if (j->n_on)
        put(to, "on", write_on(j));
    if (j->n_groups)
        put(to, "groups", write_groups(j));
    put_count(to, "status", j->status_group);
    if (ends_as_group(j) ? !ends_equal(&j->end, &j->groups[j->status_group].end)
                         : j->end.cause != JOB_NOT_ENDED) {
        struct to end = { .o = json_object() };

        end_write(&end, &j->end);
        to->bad |= end.bad;
        put(to, "end", end.o);
    }
    put_text(to, "array", j->array);
    if (j->index >= 0)
        put(to, "index", json_integer(j->index));
    if (j->counts)
        put(to, "counts", json_incref(j->counts));
}

json_t *job_encode(const struct job *j)
{
    struct to to = { .o = json_object() };

    put_count(&to, "uid", j->uid);
    put_text(&to, "user", j->user);
    put_text(&to, "by", j->by);
    put_text(&to, "state", states[j->state]);
    put_count(&to, "made_us", j->made_us);
    if (j->queued_us != j->made_us)
        put(&to, "queued_us", json_integer((json_int_t)j->queued_us));
    put_count(&to, "attempt", j->attempt);
    put_count(&to, "restarts", j->restarts);
    put_count(&to, "not_before_us", j->not_before_us);
    put_count(&to, "started_us", j->started_us);
    put_count(&to, "ended_us", j->ended_us);
    if (j->hold)
        put(&to, "hold", json_true());
    if (j->cancelled)
        put(&to, "cancelled_by", json_string(j->cancelled_by));
    put(&to, "spec", json_incref(j->spec));
    write_parts(&to, j);
    if (!to.bad)
        return to.o;
    json_decref(to.o);
    return NULL;
}
