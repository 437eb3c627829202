/*
 * jobs_ctl.c - what changes jobs: the verbs of jobs/ctl and jobs/NAME/ctl, mkdir and rmdir, clone,
 * and a spec that is written back.
 *
 * Each is one command to the registry, and the write returns when that was carried out: from then
 * on the job survives the loss of any minority. Lines that follow one another are one command where
 * they can be: all `run` lines of a write to jobs/ctl, and what comes with the making of a clone.
 * What no machine could ever run is refused before.
 */
#include "tree/jobs_private.h"
#include "base/cleanup.h"
#include "base/loop.h"
#include "sched/job_spec.h"
#include "sched/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_JOBS  1000
#define BATCH_BYTES ((size_t)256 * 1024) /* of lines: as JSON they must fit into one command */

int job_read(struct system *sys, const char *name, struct job *out)
{
    json_t *value = registry_value(sys, "job", name);
    int rc = value ? job_decode(name, value, out) : -ENOENT;

    json_decref(value);
    return rc;
}

static int gone(struct tree_call *call, int rc)
{
    return oerr_set(&call->err, rc, "there is no job %s (any more)", call->at.v[0]);
}

/* A spec is good to run: its words are those of the call. */
static int check(struct tree_call *call, const json_t *spec)
{
    struct admission *a = NULL;
    int rc = admission_begin(&a, system_of(&call->at));

    if (rc == 0)
        rc = admission_check(a, call->user, spec, &call->err);
    admission_end(a);
    return rc;
}

/* Changes a spec by a patch, which it takes. */
static int apply(json_t *spec, json_t *patch)
{
    int rc = job_spec_apply(spec, patch);

    json_decref(patch);
    return rc;
}

static int apply_line(json_t *spec, const char *line, struct oerr *e)
{
    json_t *patch;
    int rc = job_spec_patch_line(line, strlen(line), &patch, e);

    return rc < 0 ? rc : apply(spec, patch);
}

static json_t *empty_spec(void)
{
    return json_pack("{s:i}", "schema", JOB_SPEC_SCHEMA);
}

/* ---- jobs/ctl */

static void made_many(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;
    const json_t *name;
    size_t i;

    json_array_foreach (json_object_get(body, "names"), i, name)
        obuf_printf(&call->out, "%s\n", json_string_value(name));
    registry_answered(call, rc, body, text);
}

static int add_line(json_t *specs, const struct admission *a, const char *user, const char *line,
                    struct oerr *e)
{
    json_t *spec = empty_spec();
    int rc = spec ? apply_line(spec, line, e) : -ENOMEM;

    if (rc == 0)
        rc = admission_check(a, user, spec, e);
    if (rc == 0)
        rc = json_array_append(specs, spec) < 0 ? -ENOMEM : 0;
    json_decref(spec);
    return rc;
}

/* The lines that follow, as far as they are good: a bad one fails in its turn. */
static void add_more(struct tree_call *call, json_t *specs, const struct admission *a, size_t bytes)
{
    char *line;
    size_t used;
    bool good = true;

    while (good && json_array_size(specs) < BATCH_JOBS && bytes < BATCH_BYTES &&
           (line = tree_call_peek(call, &used)) != NULL) {
        bytes += used;
        good = add_line(specs, a, call->user, line, NULL) == 0;
        free(line);
        if (good)
            tree_call_take(call, used);
    }
}

static int v_run_new(struct tree_call *call, int argc, char **argv)
{
    struct system *sys = system_of(&call->at);
    json_t *specs = json_array();
    struct admission *a = NULL;
    int rc = admission_begin(&a, sys);

    (void)argc;
    if (rc == 0)
        rc = add_line(specs, a, call->user, argv[1], &call->err);
    if (rc == 0)
        add_more(call, specs, a, strlen(argv[1]));
    admission_end(a);
    if (rc == 0)
        return registry_ask(call, "job.make_many",
                            job_make_many_fields(call->user, sys->me->id, specs, wall_us()),
                            made_many);
    json_decref(specs);
    return rc;
}

const struct tree_verb jobs_verbs[] = {
    { "run", 1, 1, v_run_new, "LINE", .raw = true },
    { 0 },
};

/* ---- jobs/NAME/ctl */

/* The job's spec with the patch is good to run. */
static int check_patched(struct tree_call *call, const struct job *j, const json_t *patch)
{
    json_t *spec = json_deep_copy(j->spec);
    int rc = spec ? job_spec_apply(spec, patch) : -ENOMEM;

    if (rc == 0 && json_object_get(spec, "run"))
        rc = check(call, spec);
    json_decref(spec);
    return rc;
}

static int v_set(struct tree_call *call, int argc, char **argv)
{
    struct job j = { 0 };
    json_t *patch = NULL;
    int rc = job_read(system_of(&call->at), call->at.v[0], &j);

    if (rc < 0)
        rc = gone(call, rc);
    else
        rc = job_spec_patch(j.spec, argc - 1, argv + 1, &patch, &call->err);
    if (rc == 0)
        rc = check_patched(call, &j, patch);
    if (rc == 0)
        rc = registry_call(call, "job.set", job_set_fields(j.name, j.uid, json_incref(patch)));
    json_decref(patch);
    job_clear(&j);
    return rc;
}

/* The line replaces the one of the spec; without a line that one is run. */
static int v_run(struct tree_call *call, int argc, char **argv)
{
    struct job j = { 0 };
    json_t *patch = json_object();
    int rc = job_read(system_of(&call->at), call->at.v[0], &j);

    if (rc < 0)
        rc = gone(call, rc);
    else if (argc > 1)
        rc = apply_line(patch, argv[1], &call->err);
    else if (!json_object_get(j.spec, "run"))
        rc = oerr_set(&call->err, -EINVAL, "job %s has nothing to run yet: write run LINE", j.name);
    if (rc == 0)
        rc = check_patched(call, &j, patch);
    if (rc == 0)
        rc = registry_call(call, "job.run",
                           job_run_fields(j.name, j.uid, json_incref(patch), wall_us()));
    json_decref(patch);
    job_clear(&j);
    return rc;
}

static json_t *hold_fields(const struct tree_call *call, const struct job *j)
{
    (void)call;
    return job_hold_fields(j->name, j->uid);
}

static json_t *release_fields(const struct tree_call *call, const struct job *j)
{
    (void)call;
    return job_release_fields(j->name, j->uid, wall_us());
}

static json_t *cancel_fields(const struct tree_call *call, const struct job *j)
{
    return job_cancel_fields(j->name, j->uid, call->user, wall_us());
}

/* The verbs that are a command without words of their own. */
static int v_plain(struct tree_call *call, int argc, char **argv)
{
    static const struct {
        const char *verb, *cmd;
        json_t *(*fields)(const struct tree_call *, const struct job *);
    } plain[] = { { "hold", "job.hold", hold_fields },
                  { "release", "job.release", release_fields },
                  { "cancel", "job.cancel", cancel_fields } };
    struct job j = { 0 };
    int rc = job_read(system_of(&call->at), call->at.v[0], &j);

    (void)argc;
    if (rc < 0)
        return gone(call, rc);
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        if (strcmp(argv[0], plain[i].verb) == 0)
            rc = registry_call(call, plain[i].cmd, plain[i].fields(call, &j));
    job_clear(&j);
    return rc;
}

static void signalled(void *arg, int rc, const char *text)
{
    registry_answered(arg, rc, NULL, text);
}

static int v_signal(struct tree_call *call, int argc, char **argv)
{
    int sig = signal_parse(argv[1], &call->err), rc;

    (void)argc;
    if (sig < 0)
        return sig;
    rc = runs_signal(system_of(&call->at)->runs, call->at.v[0], sig, signalled, call, &call->err);
    return rc < 0 ? rc : TREE_LATER;
}

const struct tree_verb job_verbs[] = {
    { "set", 1, -1, v_set, "KEY [VALUE...]" },
    { "run", 0, 1, v_run, "[LINE]", .raw = true },
    { "hold", 0, 0, v_plain, "" },
    { "release", 0, 0, v_plain, "" },
    { "cancel", 0, 0, v_plain, "" },
    { "signal", 1, 1, v_signal, "NAME" },
    { 0 },
};

/* What makes `from` into `to`: the keys that differ, null for those that go. */
static json_t *patch_of(const json_t *from, const json_t *to)
{
    json_t *patch = json_object(), *value;
    const char *key;

    json_object_foreach ((json_t *)to, key, value)
        if (!json_equal(json_object_get(from, key), value))
            json_object_set(patch, key, value);
    json_object_foreach ((json_t *)from, key, value)
        if (!json_object_get(to, key))
            json_object_set_new(patch, key, json_null());
    return patch;
}

int save_job_spec(struct tree_call *call, const char *text, size_t n)
{
    struct job_spec given = { 0 };
    struct job j = { 0 };
    json_t *spec = NULL;
    int rc = job_read(system_of(&call->at), call->at.v[0], &j);

    if (rc < 0)
        rc = gone(call, rc);
    else
        rc = job_spec_parse(text, n, &given, &call->err);
    if (rc == -EINVAL && job_spec_is_begun(text, n))
        rc = -EINPROGRESS;
    if (rc == 0 && !(spec = job_spec_encode(&given)))
        rc = -ENOMEM;
    if (rc == 0 && given.line.n > 0)
        rc = check(call, spec);
    if (rc == 0)
        rc = registry_call(call, "job.set", job_set_fields(j.name, j.uid, patch_of(j.spec, spec)));
    json_decref(spec);
    job_spec_free(&given);
    job_clear(&j);
    return rc;
}

/* ---- making and forgetting */

int make_job(struct tree_call *call, int flags)
{
    struct system *sys = system_of(&call->at);
    const char *name = call->at.v[0];
    int rc = job_check_name(name, &call->err);

    (void)flags;
    if (rc < 0)
        return rc;
    return registry_call(
        call, "job.make",
        job_make_fields(name, call->user, sys->me->id, empty_spec(), false, false, wall_us()));
}

int drop_job(struct tree_call *call)
{
    struct job j = { 0 };
    struct job_id id;
    int rc = job_read(system_of(&call->at), call->at.v[0], &j);

    id = (struct job_id){ j.name, j.uid };
    if (rc < 0)
        rc = gone(call, rc);
    else if (strcmp(call->user, "root") != 0 && strcmp(call->user, j.user) != 0)
        rc = oerr_set(&call->err, -EPERM, "job %s belongs to %s", j.name, j.user);
    else
        rc = registry_call(call, "job.forget", job_forget_fields(&id, 1));
    job_clear(&j);
    return rc;
}

static void cloned(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;
    const char *name = json_string_value(json_object_get(body, "name"));

    if (rc == 0 && name) {
        obuf_printf(&call->out, "%s\n", name);
        snprintf(call->made, sizeof call->made, "jobs/%s/ctl", name);
    }
    registry_answered(call, rc, body, text);
}

/* The lines that came with a clone, as far as they make one spec. */
struct folded {
    json_t *spec;
    bool start, hold;
};

/* 0: it is in; 1: it is no line for that; -errno with words. */
static int fold_line(struct folded *f, const struct tree_line *line, struct oerr *e)
{
    const struct words *w = &line->words;
    json_t *patch;
    int rc;

    if (w->n == 0)
        return 0;
    if (f->start)
        return 1;
    if (strcmp(w->v[0], "set") == 0 && w->n > 1) {
        for (int i = 1; i < w->n; i++)
            if (w->op[i])
                return 1;
        rc = job_spec_patch(f->spec, w->n - 1, w->v + 1, &patch, e);
        return rc < 0 ? rc : apply(f->spec, patch);
    }
    if (strcmp(w->v[0], "hold") == 0 && w->n == 1) {
        f->hold = true;
        return 0;
    }
    if (strcmp(w->v[0], "run") != 0 || !*line->rest)
        return 1;
    f->start = true;
    return apply_line(f->spec, line->rest, e);
}

/* As fold_line, of all lines. */
static int fold_lines(struct folded *f, struct tree_call *call)
{
    int rc = 0;

    for (size_t at = call->pos; rc == 0 && at < call->len;) {
        struct tree_line line;

        rc = tree_line_read(&line, call->text + at, call->len - at, &call->err);
        if (rc < 0)
            return rc;
        rc = fold_line(f, &line, &call->err);
        at += line.used;
        tree_line_free(&line);
    }
    return rc;
}

int clone_job(struct tree_call *call)
{
    struct folded f = { .spec = empty_spec() };
    int rc = fold_lines(&f, call);

    if (rc == 0 && f.start)
        rc = check(call, f.spec);
    if (rc == 0) {
        call->pos = call->len;
    } else if (rc == 1) { /* they are run one by one, when it is made */
        json_decref(f.spec);
        f = (struct folded){ .spec = empty_spec() };
        rc = 0;
    }
    if (rc < 0) {
        json_decref(f.spec);
        return rc;
    }
    return registry_ask(call, "job.make",
                        job_make_fields("", call->user, system_of(&call->at)->me->id, f.spec,
                                        f.start, f.hold, wall_us()),
                        cloned);
}

/* What was never run goes with the handle that made it. */
void job_ctl_closed(struct tree_call *call)
{
    struct system *sys = system_of(&call->at);
    struct job j = { 0 };

    if (job_read(sys, call->at.v[0], &j) == 0 && j.state == JOB_NEW)
        replica_submit(sys->replica, "job.forget",
                       job_forget_fields(&(struct job_id){ j.name, j.uid }, 1), TREE_DEADLINE_MS,
                       NULL, NULL);
    job_clear(&j);
}
