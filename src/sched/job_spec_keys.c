/*
 * job_spec_keys.c - the keys of a job's spec: how each is set from words, written and reset.
 *
 * A setter that refuses leaves the field as it was, or the whole spec is thrown away by its caller.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "sched/job.h"
#include "sched/job_spec_private.h"

#include <errno.h>
#include <string.h>

void job_list_free(struct job_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i]);
    free(list->v);
    *list = (struct job_list){ 0 };
}

int job_list_add(struct job_list *list, const char *text)
{
    char **v = realloc(list->v, (list->n + 2) * sizeof *v);

    if (!v)
        return -ENOMEM;
    list->v = v;
    v[list->n] = v[list->n + 1] = NULL;
    if (!(v[list->n] = strdup(text)))
        return -ENOMEM;
    list->n++;
    return 0;
}

/* The text that f writes, as a JSON string. */
static json_t *written(void (*f)(struct obuf *, uint64_t), uint64_t v)
{
    struct obuf b = { 0 };
    json_t *json;

    f(&b, v);
    json = obuf_check(&b) == 0 ? json_string(b.p) : NULL;
    obuf_free(&b);
    return json;
}

/* A whole number of min..max. */
static int whole(const char *text, long min, long max, long *out, struct oerr *e)
{
    const char *digits = text + (*text == '-');
    size_t n = strlen(digits);

    if (n == 0 || n > 9 || digits[strspn(digits, "0123456789")] || atol(text) < min ||
        atol(text) > max)
        return oerr_set(e, -EINVAL, "'%.60s' is not a whole number from %ld to %ld", text, min,
                        max);
    *out = atol(text);
    return 0;
}

/* The place of text among n names, -1 when it is none. */
static int name_in(const char *const *names, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return (int)i;
    return -1;
}

/* ---- cpus, memory */

static int set_cpus(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    uint64_t milli;
    int rc = units_number(argv[0], &milli, e);

    (void)argc;
    if (rc < 0)
        return rc;
    if (milli == 0 || milli > JOB_CPU_MAX)
        return oerr_set(e, -EINVAL, "'%.60s' is not from 0.001 to %d", argv[0], JOB_CPU_MAX / 1000);
    s->cpu_milli = (unsigned)milli;
    return 0;
}

static json_t *get_cpus(const struct job_spec *s)
{
    if (s->cpu_milli == 1000)
        return json_null();
    return s->cpu_milli % 1000 ? json_real(s->cpu_milli / 1000.0)
                               : json_integer(s->cpu_milli / 1000);
}

static void reset_cpus(struct job_spec *s)
{
    s->cpu_milli = 1000;
}

static int set_memory(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    (void)argc;
    return units_size(argv[0], &s->memory, e);
}

static json_t *get_memory(const struct job_spec *s)
{
    return s->memory ? written(units_put_size_exact, s->memory) : json_null();
}

static void reset_memory(struct job_spec *s)
{
    s->memory = 0;
}

/* ---- priority, retries, restart, timeout */

static int set_priority(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    long v;
    int rc = whole(argv[0], -JOB_PRIORITY_MAX, JOB_PRIORITY_MAX, &v, e);

    (void)argc;
    if (rc == 0)
        s->priority = (int)v;
    return rc;
}

static json_t *get_priority(const struct job_spec *s)
{
    return s->priority ? json_integer(s->priority) : json_null();
}

static void reset_priority(struct job_spec *s)
{
    s->priority = 0;
}

static int set_retries(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    long v;
    int rc = whole(argv[0], 0, JOB_RETRIES_MAX, &v, e);

    (void)argc;
    if (rc == 0)
        s->retries = (unsigned)v;
    return rc;
}

static json_t *get_retries(const struct job_spec *s)
{
    return s->retries ? json_integer(s->retries) : json_null();
}

static void reset_retries(struct job_spec *s)
{
    s->retries = 0;
}

static const char *const restarts[] = {
    [JOB_RESTART_NEVER] = "never",
    [JOB_RESTART_ON_FAILURE] = "on-failure",
    [JOB_RESTART_ALWAYS] = "always",
};

static int set_restart(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    int v = name_in(restarts, ARRAY_SIZE(restarts), argv[0]);

    (void)argc;
    if (v < 0)
        return oerr_set(e, -EINVAL, "'%.60s' is not one of never, on-failure, always", argv[0]);
    s->restart = (enum job_restart)v;
    return 0;
}

static json_t *get_restart(const struct job_spec *s)
{
    return s->restart ? json_string(restarts[s->restart]) : json_null();
}

static void reset_restart(struct job_spec *s)
{
    s->restart = JOB_RESTART_NEVER;
}

/* Of several words, as 2h 30min. */
static int set_timeout(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    struct obuf b = { 0 };
    uint64_t usec;
    int rc;

    for (int i = 0; i < argc; i++)
        obuf_printf(&b, "%s%s", i ? " " : "", argv[i]);
    rc = obuf_check(&b);
    if (rc == 0)
        rc = units_time(b.p, &usec, e);
    obuf_free(&b);
    if (rc == 0)
        s->timeout_ms = usec == UNITS_FOREVER ? 0 : usec / 1000 + (usec % 1000 != 0);
    return rc;
}

static json_t *get_timeout(const struct job_spec *s)
{
    return s->timeout_ms ? written(units_put_time_exact, s->timeout_ms * 1000) : json_null();
}

static void reset_timeout(struct job_spec *s)
{
    s->timeout_ms = 0;
}

/* ---- after */

/* What a job can be called: a number or a name, with .I an element of an array. Whether there is
 * one is for others to know. */
static bool is_job_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                      others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-",
                      digits[] = "0123456789";
    size_t n = strlen(text), number = strspn(text, digits);

    if (n == 0 || n >= JOB_NAME_MAX)
        return false;
    if (number == 0)
        return strchr(letters, *text) && strspn(text, others) == n;
    if (*text == '0' || number == n)
        return *text != '0';
    return text[number] == '.' && text[number + 1] &&
           strspn(text + number + 1, digits) == n - number - 1;
}

static int set_after(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    int rc = 0;

    job_list_free(&s->after);
    for (int i = 0; rc == 0 && i < argc; i++) {
        if (!is_job_name(argv[i]))
            rc = oerr_set(e, -EINVAL, "'%.80s' is not the name of a job, as 17 or train", argv[i]);
        if (rc == 0 && name_in((const char *const *)s->after.v, s->after.n, argv[i]) < 0)
            rc = job_list_add(&s->after, argv[i]);
        if (rc == 0 && s->after.n > JOB_AFTER_MAX)
            rc = oerr_set(e, -EINVAL, "a job waits for at most %d others", JOB_AFTER_MAX);
    }
    return rc;
}

static json_t *get_after(const struct job_spec *s)
{
    json_t *list = s->after.n ? json_array() : json_null();

    for (size_t i = 0; list && i < s->after.n; i++)
        if (json_array_append_new(list, json_string(s->after.v[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static void reset_after(struct job_spec *s)
{
    job_list_free(&s->after);
}

/* ---- place, near, cwd */

static const char *const places[] = {
    [JOB_WHERE_ANY] = "any",
    [JOB_WHERE_SPREAD] = "spread",
    [JOB_WHERE_PACK] = "pack",
};

static int set_place(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    int v = name_in(places, ARRAY_SIZE(places), argv[0]);

    (void)argc;
    if (v < 0)
        return oerr_set(e, -EINVAL, "'%.60s' is not one of any, spread, pack", argv[0]);
    s->place = (enum job_where)v;
    return 0;
}

static json_t *get_place(const struct job_spec *s)
{
    return s->place ? json_string(places[s->place]) : json_null();
}

static void reset_place(struct job_spec *s)
{
    s->place = JOB_WHERE_ANY;
}

static int set_path(char **path, const char *text, struct oerr *e)
{
    char *copy;

    if (strlen(text) > JOB_PATH_MAX)
        return oerr_set(e, -EINVAL, "the path %.40s... is longer than %d bytes", text,
                        JOB_PATH_MAX);
    if (!(copy = strdup(text)))
        return -ENOMEM;
    free(*path);
    *path = copy;
    return 0;
}

static int set_near(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    (void)argc;
    if (strncmp(argv[0], "/oneos/", strlen("/oneos/")) != 0)
        return oerr_set(e, -EINVAL, "'%.60s' is not a path under /oneos", argv[0]);
    return set_path(&s->near, argv[0], e);
}

static json_t *get_near(const struct job_spec *s)
{
    return s->near ? json_string(s->near) : json_null();
}

static void reset_near(struct job_spec *s)
{
    free(take_ptr(s->near));
}

static int set_cwd(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    (void)argc;
    if (argv[0][0] != '/')
        return oerr_set(e, -EINVAL, "'%.60s' is not an absolute path: begin it with /", argv[0]);
    return set_path(&s->cwd, argv[0], e);
}

static json_t *get_cwd(const struct job_spec *s)
{
    return s->cwd ? json_string(s->cwd) : json_null();
}

static void reset_cwd(struct job_spec *s)
{
    free(take_ptr(s->cwd));
}

/* ---- array */

static int set_array(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    char first[16];
    const char *dash = strchr(argv[0], '-');
    size_t n = dash ? (size_t)(dash - argv[0]) : 0;
    long from, to;

    (void)argc;
    if (n == 0 || n >= sizeof first)
        return oerr_set(e, -EINVAL, "'%.60s' is not a range: write FIRST-LAST, as 1-100", argv[0]);
    memcpy(first, argv[0], n);
    first[n] = '\0';
    if (whole(first, 0, 999999999, &from, NULL) < 0 || whole(dash + 1, 0, 999999999, &to, NULL) < 0)
        return oerr_set(e, -EINVAL, "'%.60s' is not a range: write FIRST-LAST, as 1-100", argv[0]);
    if (from > to)
        return oerr_set(e, -EINVAL, "'%.60s' is empty: its first is behind its last", argv[0]);
    if (to - from >= JOB_ARRAY_MAX)
        return oerr_set(e, -EINVAL, "'%.60s' has more than %d elements", argv[0], JOB_ARRAY_MAX);
    s->array = true;
    s->array_first = (unsigned)from;
    s->array_last = (unsigned)to;
    return 0;
}

static json_t *get_array(const struct job_spec *s)
{
    return s->array ? json_sprintf("%u-%u", s->array_first, s->array_last) : json_null();
}

static void reset_array(struct job_spec *s)
{
    s->array = false;
    s->array_first = s->array_last = 0;
}

/* ---- env */

/* The place of the variable that text names, with or without a value; list->n: it is not there. */
static size_t env_find(const struct job_list *list, const char *text, size_t name)
{
    size_t i = 0;

    while (i < list->n && (strncmp(list->v[i], text, name) != 0 || list->v[i][name] != '='))
        i++;
    return i;
}

static void env_drop(struct job_list *list, size_t i)
{
    free(list->v[i]);
    list->n--;
    memmove(list->v + i, list->v + i + 1, (list->n - i + 1) * sizeof *list->v);
}

static int set_variable(struct job_list *list, const char *text, struct oerr *e)
{
    size_t name = run_line_name(text), i = env_find(list, text, name);
    char *copy;

    if (name == 0 || (text[name] && text[name] != '='))
        return oerr_set(e, -EINVAL,
                        "'%.60s' is not K=V with a name of letters, digits and '_' that does not "
                        "begin with a digit",
                        text);
    if (!text[name]) {
        if (i < list->n)
            env_drop(list, i);
        return 0;
    }
    if (i == list->n)
        return list->n < JOB_ENV_MAX
                   ? job_list_add(list, text)
                   : oerr_set(e, -EINVAL, "there are more than %d variables", JOB_ENV_MAX);
    if (!(copy = strdup(text)))
        return -ENOMEM;
    free(list->v[i]);
    list->v[i] = copy;
    return 0;
}

static int set_env(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    size_t bytes = 0;
    int rc = 0;

    for (int i = 0; rc == 0 && i < argc; i++)
        rc = set_variable(&s->env, argv[i], e);
    for (size_t i = 0; i < s->env.n; i++)
        bytes += strlen(s->env.v[i]) + 1;
    if (rc == 0 && bytes > JOB_ENV_BYTES)
        rc = oerr_set(e, -EINVAL, "the variables have more than %d bytes: put them into a file",
                      JOB_ENV_BYTES);
    return rc;
}

static json_t *get_env(const struct job_spec *s)
{
    json_t *env = s->env.n ? json_object() : json_null();

    for (size_t i = 0; env && i < s->env.n; i++) {
        size_t name = run_line_name(s->env.v[i]);
        cleanup_free char *key = strndup(s->env.v[i], name);

        if (!key || json_object_set_new(env, key, json_string(s->env.v[i] + name + 1)) < 0) {
            json_decref(env);
            return NULL;
        }
    }
    return env;
}

static void reset_env(struct job_spec *s)
{
    job_list_free(&s->env);
}

/* ---- input */

static const char *const inputs[] = { "open", "none" };

static int set_input(struct job_spec *s, int argc, char *const *argv, struct oerr *e)
{
    int v = name_in(inputs, ARRAY_SIZE(inputs), argv[0]);

    (void)argc;
    if (v < 0)
        return oerr_set(e, -EINVAL, "'%.60s' is not one of open, none", argv[0]);
    s->no_input = v == 1;
    return 0;
}

static json_t *get_input(const struct job_spec *s)
{
    return s->no_input ? json_string(inputs[1]) : json_null();
}

static void reset_input(struct job_spec *s)
{
    s->no_input = false;
}

/* ---- the table */

#define ROW(name, usage, max, pairs, help)                                                         \
    {                                                                                              \
        { #name, usage, help }, max, pairs, set_##name, get_##name, reset_##name                   \
    }
#define KEY(name, usage, max, help) ROW(name, usage, max, false, help)

const struct spec_key spec_keys[] = {
    KEY(cpus, "N", 1, "cores that are promised to it, 1; 0.5 is half of one"),
    KEY(memory, "SIZE", 1, "memory that is promised to it and that it cannot exceed, as 512MiB"),
    KEY(priority, "N", 1, "-1000 to 1000, 0; what has more comes first; above 0 for root only"),
    KEY(retries, "N", 1, "how often it is tried again after it was lost or failed, 0"),
    KEY(restart, "never|on-failure|always", 1, "whether it is started again when it has ended"),
    KEY(timeout, "TIME", -1, "when it is ended, counted from its start, as 2h 30min"),
    KEY(after, "JOB...", -1, "jobs that must have ended well before it starts"),
    KEY(place, "any|spread|pack", 1, "its commands on many machines, or on few"),
    KEY(near, "PATH", 1, "a path under /oneos whose data should be close"),
    KEY(array, "FIRST-LAST", 1, "runs it once for each number, as 1-100"),
    ROW(env, "K=V...", -1, true, "variables of its environment; K alone takes one away"),
    KEY(cwd, "PATH", 1, "where it runs, an absolute path"),
    KEY(input, "open|none", 1, "none: its standard input is empty, and nobody can write to it"),
    { .max = 0 },
};
