/*
 * job_cmd_change.c - a job is held, released, cancelled, forgotten.
 *
 * What is done to an array is done to each of its elements that allows it; it is refused when none
 * does.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <string.h>

/* One of these acts, for a job and for the elements of an array. */
struct change {
    enum job_act act;
    const char *user;
    uint64_t now;
    unsigned done;
};

static int change_one(struct work *w, struct job *j, void *arg)
{
    const struct job_end cancelled = { .cause = JOB_CANCEL, .exit = -1 };
    struct change *c = arg;
    enum job_state to;
    int rc;

    if (job_act(j, c->act, &to, NULL) < 0)
        return 0;
    c->done++;
    rc = work_change(w, j->name, &j);
    if (rc < 0)
        return rc;
    if (c->act == ACT_RELEASE && j->state == JOB_HELD)
        j->queued_us = c->now;
    if (j->state == JOB_NEW && c->act != ACT_CANCEL)
        j->hold = c->act == ACT_HOLD;
    if (c->act == ACT_CANCEL && !j->cancelled) {
        j->cancelled = true;
        strcpy(j->cancelled_by, c->user);
    }
    return to == JOB_CANCELLED ? work_move_over(w, j, to, &cancelled, c->now) : work_move(w, j, to);
}

static int change(struct registry_txn *t, const json_t *cmd, struct change *c, struct oerr *e)
{
    struct work w = { .t = t };
    enum job_state to;
    struct job *j;
    int rc = work_named(&w, cmd, &j, e);

    if (rc == 0 && !j->counts)
        rc = job_act(j, c->act, &to, e);
    if (rc < 0)
        return work_end(&w, rc);
    if (!j->counts)
        return work_end(&w, change_one(&w, j, c));
    if (c->act == ACT_CANCEL && !job_is_over(j->state)) {
        j->cancelled = true;
        strcpy(j->cancelled_by, c->user);
    }
    rc = work_elements(&w, j, change_one, c);
    if (rc == 0 && c->done == 0)
        rc = oerr_set(e, -EBUSY, "no element of job %s can be %s: it is %s", j->name,
                      job_act_past(c->act), job_state_name(j->state));
    return work_end(&w, rc);
}

/* ---- job.hold, job.release, job.cancel */

json_t *job_hold_fields(const char *name, uint64_t uid)
{
    return json_pack("{s:s, s:I}", "name", name, "uid", (json_int_t)uid);
}

int job_hold(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    struct change c = { .act = ACT_HOLD };

    (void)result;
    return change(t, cmd, &c, e);
}

json_t *job_release_fields(const char *name, uint64_t uid, uint64_t now_us)
{
    return json_pack("{s:s, s:I, s:I}", "name", name, "uid", (json_int_t)uid, "at_us",
                     (json_int_t)now_us);
}

int job_release(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_int_t at = time_of(cmd, e);
    struct change c = { .act = ACT_RELEASE, .now = (uint64_t)at };

    (void)result;
    return at < 0 ? -EINVAL : change(t, cmd, &c, e);
}

json_t *job_cancel_fields(const char *name, uint64_t uid, const char *user, uint64_t now_us)
{
    return json_pack("{s:s, s:I, s:s, s:I}", "name", name, "uid", (json_int_t)uid, "user", user,
                     "at_us", (json_int_t)now_us);
}

int job_cancel(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_int_t at = time_of(cmd, e);
    struct change c = { .act = ACT_CANCEL,
                        .user = arg_text(cmd, "user", JOB_USER_MAX, e),
                        .now = (uint64_t)at };

    (void)result;
    return at < 0 || !c.user ? -EINVAL : change(t, cmd, &c, e);
}

/* ---- job.forget */

json_t *job_forget_fields(const struct job_id *ids, size_t n)
{
    json_t *jobs = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(jobs, json_pack("[s, I]", ids[i].name, (json_int_t)ids[i].uid));
    if (json_array_size(jobs) == n)
        return json_pack("{s:o}", "jobs", jobs);
    json_decref(jobs);
    return NULL;
}

static int drop(struct work *w, struct job *element, void *arg)
{
    (void)arg;
    return work_drop(w, element->name);
}

static int forget(struct work *w, const char *name, uint64_t uid, struct oerr *e)
{
    enum job_state to;
    struct job *j;
    int rc = work_uid(w, name, uid, &j, e);

    if (rc == 0 && j->array[0])
        return oerr_set(e, -EBUSY, "job %s belongs to the array %s: forget that", name, j->array);
    if (rc == 0)
        rc = job_act(j, ACT_FORGET, &to, e);
    if (rc == 0)
        rc = work_elements(w, j, drop, NULL);
    return rc < 0 ? rc : work_drop(w, name);
}

int job_forget(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const json_t *jobs = json_object_get(cmd, "jobs");
    size_t n = json_array_size(jobs);
    json_t *left = json_array();
    struct work w = { .t = t };
    int rc = left ? 0 : -ENOMEM;

    *result = json_pack("{s:o}", "left", left);
    if (rc == 0 && n == 0)
        rc = malformed(cmd, e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const char *name;
        json_int_t uid;

        if (json_unpack(json_array_get(jobs, i), "[s, I]", &name, &uid) < 0 ||
            strlen(name) >= JOB_NAME_MAX || !*name) {
            rc = malformed(cmd, e);
            break;
        }
        rc = forget(&w, name, (uint64_t)uid, e);
        if (n > 1 && (rc == -ENOENT || rc == -EBUSY))
            rc = json_array_append_new(left, json_string(name)) < 0 ? -ENOMEM : 0;
    }
    return work_end(&w, rc);
}
