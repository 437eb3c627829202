/*
 * job_cmd_make.c - jobs are made, their specs set, and they are given to the scheduler.
 *
 * A uid is higher than any before, and at least the time of its making: a registry begun anew
 * gives none that the one before gave, whose processes machines may still know.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <string.h>

#define ADVICE_SINCE 3 /* schema */

/* What all of one command have in common. */
struct making {
    const char *user, *by;
    json_int_t at;
};

static int making_of(const json_t *cmd, struct making *m, struct oerr *e)
{
    m->user = arg_text(cmd, "user", JOB_USER_MAX, e);
    m->by = m->user ? arg_name(cmd, "by", ID_MAX, e) : NULL;
    m->at = m->by ? time_of(cmd, e) : -1;
    return m->at < 0 ? -EINVAL : 0;
}

/* Makes a record; its head is loaded. */
static int add(struct work *w, const struct making *m, const char *name, struct job **out,
               struct oerr *e)
{
    int rc;

    if (w->head.n >= JOBS_MAX)
        return oerr_set(e, -ENOSPC,
                        "there are %d jobs, which is the most: forget some that are over",
                        JOBS_MAX);
    rc = tally_room(w, m->user, e);
    if (rc < 0)
        return rc;
    rc = work_add(w, name, out);
    if (rc == -EEXIST || rc == -EPROTO)
        return oerr_set(e, -EEXIST, "job %s exists", name);
    if (rc < 0)
        return rc;
    w->head.n++;
    w->head.uid = w->head.uid >= m->at ? w->head.uid + 1 : m->at;
    w->head.changed = true;
    (*out)->uid = (uint64_t)w->head.uid;
    (*out)->made_us = (*out)->queued_us = (uint64_t)m->at;
    strcpy((*out)->user, m->user);
    strcpy((*out)->by, m->by);
    return 0;
}

/* ---- to run */

/* What it waits for must be on its way already: then nothing can wait in a circle. */
static int check_after(struct work *w, const struct job *j, struct oerr *e)
{
    const json_t *after = json_object_get(j->spec, "after");
    struct job *other;

    for (size_t i = 0; i < json_array_size(after); i++) {
        const char *name = json_string_value(json_array_get(after, i));
        int rc = work_find(w, name, &other);

        if (rc == -ENOENT || rc == -EPROTO)
            return oerr_set(e, -EINVAL, "job %s is to run after job %s, and there is none", j->name,
                            name);
        if (rc < 0)
            return rc;
        if (other->state == JOB_NEW)
            return oerr_set(e, -EBUSY,
                            "job %s is to run after job %s, which was not run yet: run that first",
                            j->name, name);
    }
    return 0;
}

static int add_elements(struct work *w, struct job *j, unsigned first, unsigned last,
                        struct oerr *e)
{
    struct making m = { .user = j->user, .by = j->by, .at = (json_int_t)j->queued_us };
    char name[JOB_NAME_MAX + 16];
    json_t *spec = json_copy(j->spec);
    int rc = spec ? 0 : -ENOMEM;

    json_object_del(spec, "array");
    for (unsigned i = first; i <= last && rc == 0; i++) {
        struct job *element;

        snprintf(name, sizeof name, "%s.%u", j->name, i);
        rc = add(w, &m, name, &element, e);
        if (rc < 0)
            break;
        element->state = j->state;
        element->spec = json_incref(spec);
        element->index = (int)i;
        strcpy(element->array, j->name);
    }
    json_decref(spec);
    if (rc < 0)
        return rc;
    j->counts = json_pack("{s:I}", job_state_name(j->state), (json_int_t)(last - first + 1));
    return j->counts ? 0 : -ENOMEM;
}

/* From new to pending, or held. */
static int begin(struct work *w, struct job *j, json_int_t at, struct oerr *e)
{
    unsigned first, last;
    enum job_state to;
    int rc = job_act(j, ACT_RUN, &to, e);

    if (rc == 0)
        rc = job_check_spec(j->spec, e);
    if (rc == 0 && !json_object_get(j->spec, "run"))
        rc = oerr_set(e, -EINVAL, "job %s has nothing to run: write run LINE", j->name);
    if (rc == 0)
        rc = check_after(w, j, e);
    if (rc == 0)
        rc = work_head(w);
    if (rc < 0)
        return rc;
    j->state = j->hold ? JOB_HELD : to;
    j->hold = false;
    j->queued_us = (uint64_t)at;
    if (job_array_of(j->spec, &first, &last) == 0)
        rc = add_elements(w, j, first, last, e);
    return rc;
}

static int next_number(struct work *w, char name[JOB_NAME_MAX])
{
    snprintf(name, JOB_NAME_MAX, "%lld", (long long)w->head.next++);
    w->head.changed = true;
    return 0;
}

static int make_one(struct work *w, const struct making *m, const char *name, json_t *spec,
                    bool start, bool hold, struct job **out, struct oerr *e)
{
    char number[JOB_NAME_MAX];
    int rc = work_head(w);

    if (rc == 0)
        rc = *name ? job_check_name(name, e) : next_number(w, number);
    if (rc == 0)
        rc = job_check_spec(spec, e);
    if (rc == 0)
        rc = add(w, m, *name ? name : number, out, e);
    if (rc < 0)
        return rc;
    (*out)->spec = json_incref(spec);
    (*out)->hold = hold;
    return start && json_object_get(spec, "run") ? begin(w, *out, m->at, e) : 0;
}

/* ---- job.make */

json_t *job_make_fields(const char *name, const char *user, const char *by, json_t *spec,
                        bool start, bool held, uint64_t now_us)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:b, s:I}", "name", name, "user", user, "by", by,
                     "spec", spec, "start", start, "hold", held, "at_us", (json_int_t)now_us);
}

/* 1: it is placed as advised. */
static int follow_advice(struct work *w, const json_t *cmd, struct job *j, json_int_t at)
{
    const json_t *advice = json_object_get(cmd, "advice");
    int rc;

    if (!advice || json_integer_value(json_object_get(cmd, "v")) < ADVICE_SINCE)
        return 0;
    rc = job_place_advised(w, j, advice, (uint64_t)at);
    return rc < 0 ? rc : rc == 0;
}

int job_make(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *name = arg_maybe(cmd, "name", JOB_NAME_MAX, e);
    json_t *spec = json_object_get(cmd, "spec");
    struct work w = { .t = t, .bounded = tally_bounds(cmd) };
    struct making m;
    struct job *j;
    int rc = name ? making_of(cmd, &m, e) : -EINVAL;

    if (rc == 0)
        rc = make_one(&w, &m, name, spec, json_is_true(json_object_get(cmd, "start")),
                      json_is_true(json_object_get(cmd, "hold")), &j, e);
    if (rc == 0)
        rc = follow_advice(&w, cmd, j, m.at);
    if (rc >= 0)
        *result = json_pack("{s:s, s:I, s:o*}", "name", j->name, "uid", (json_int_t)j->uid,
                            "placed", rc > 0 ? json_true() : NULL);
    return work_end(&w, rc < 0 ? rc : 0);
}

/* ---- job.make_many */

json_t *job_make_many_fields(const char *user, const char *by, json_t *specs, uint64_t now_us)
{
    return json_pack("{s:s, s:s, s:o, s:I}", "user", user, "by", by, "specs", specs, "at_us",
                     (json_int_t)now_us);
}

int job_make_many(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const json_t *specs = json_object_get(cmd, "specs");
    json_t *names = json_array();
    struct work w = { .t = t, .bounded = tally_bounds(cmd) };
    struct making m;
    int rc = making_of(cmd, &m, e);

    if (rc == 0 && !json_is_array(specs))
        rc = malformed(cmd, e);
    for (size_t i = 0; i < json_array_size(specs) && rc == 0; i++) {
        json_t *spec = json_array_get(specs, i);
        struct job *j;

        if (!json_object_get(spec, "run"))
            rc = oerr_set(e, -EINVAL, "job %zu of %zu has nothing to run", i + 1,
                          json_array_size(specs));
        else
            rc = make_one(&w, &m, "", spec, true, false, &j, e);
        if (rc == 0 && json_array_append_new(names, json_string(j->name)) < 0)
            rc = -ENOMEM;
    }
    *result = json_pack("{s:o}", "names", names);
    return work_end(&w, rc);
}

/* ---- job.set, job.run */

static json_t *with_patch(json_t *fields, json_t *patch)
{
    if (!patch)
        return fields;
    if (fields && json_object_set_new(fields, "patch", patch) == 0)
        return fields;
    if (!fields)
        json_decref(patch);
    json_decref(fields);
    return NULL;
}

json_t *job_set_fields(const char *name, uint64_t uid, json_t *patch)
{
    return with_patch(json_pack("{s:s, s:I}", "name", name, "uid", (json_int_t)uid), patch);
}

json_t *job_run_fields(const char *name, uint64_t uid, json_t *patch, uint64_t now_us)
{
    return with_patch(json_pack("{s:s, s:I, s:I}", "name", name, "uid", (json_int_t)uid, "at_us",
                                (json_int_t)now_us),
                      patch);
}

/* The spec of the job as the patch makes it. */
static int patch_spec(struct job *j, const json_t *patch, struct oerr *e)
{
    json_t *spec = json_copy(j->spec), *value;
    const char *key;
    int rc = spec ? 0 : -ENOMEM;

    json_object_foreach ((json_t *)patch, key, value) {
        if (json_is_null(value))
            json_object_del(spec, key);
        else if (json_object_set(spec, key, value) < 0)
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = job_check_spec(spec, e);
    if (rc < 0) {
        json_decref(spec);
        return rc;
    }
    json_decref(j->spec);
    j->spec = spec;
    return 0;
}

static int set_element(struct work *w, struct job *element, void *arg)
{
    struct job *j;
    int rc = element->state == JOB_HELD ? work_change(w, element->name, &j) : 0;

    return element->state == JOB_HELD && rc == 0 ? patch_spec(j, arg, NULL) : rc;
}

/* Once it was run, others may wait for it, and its elements are there. */
static int check_held(const struct job *j, const json_t *patch, struct oerr *e)
{
    static const char *const fixed[] = { "after", "array" };

    for (size_t i = 0; i < 2 && j->state == JOB_HELD; i++)
        if (json_object_get(patch, fixed[i]))
            return oerr_set(e, -EBUSY, "`%s` of job %s cannot change any more: it was run already",
                            fixed[i], j->name);
    if (j->state == JOB_HELD && json_is_null(json_object_get(patch, "run")))
        return oerr_set(e, -EINVAL, "job %s must have something to run: it was run already",
                        j->name);
    return 0;
}

int job_set(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_t *patch = json_object_get(cmd, "patch");
    struct work w = { .t = t };
    enum job_state to;
    struct job *j;
    int rc = work_named(&w, cmd, &j, e);

    (void)result;
    if (rc == 0 && !json_is_object(patch))
        rc = malformed(cmd, e);
    if (rc == 0)
        rc = job_act(j, ACT_SET, &to, e);
    if (rc == 0)
        rc = check_held(j, patch, e);
    if (rc == 0)
        rc = patch_spec(j, patch, e);
    if (rc == 0)
        rc = work_elements(&w, j, set_element, patch);
    return work_end(&w, rc);
}

int job_run(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const json_t *patch = json_object_get(cmd, "patch");
    json_int_t at = time_of(cmd, e);
    struct work w = { .t = t, .bounded = tally_bounds(cmd) };
    enum job_state to;
    struct job *j;
    int rc = at < 0 ? -EINVAL : work_named(&w, cmd, &j, e);

    (void)result;
    if (rc == 0 && patch && !json_is_object(patch))
        rc = malformed(cmd, e);
    if (rc == 0)
        rc = job_act(j, ACT_RUN, &to, e);
    if (rc == 0 && patch)
        rc = patch_spec(j, patch, e);
    if (rc == 0)
        rc = begin(&w, j, at, e);
    return work_end(&w, rc);
}
