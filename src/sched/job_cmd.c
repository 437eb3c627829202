/*
 * job_cmd.c - the table of the commands about jobs, and the jobs that a command works on.
 *
 *   job.make       name user by spec start hold at_us        job_cmd_make.c
 *   job.make_many  user by specs at_us
 *   job.set        name uid patch
 *   job.run        name uid patch at_us
 *   job.hold       name uid                                  job_cmd_change.c
 *   job.release    name uid at_us
 *   job.cancel     name uid user at_us
 *   job.forget     jobs [[name, uid] ...]
 *   job.place      places [{name uid attempt on groups status}] at_us   job_cmd_place.c
 *   job.refuse     name uid exit words at_us
 *   runner.claim   machine session at_us
 *   runner.fence   machine session at_us
 *   job.lost       machine session at_us
 *   job.end        machine session ends [{name uid attempt group cause ...}] at_us  job_cmd_end.c
 *
 * Invariants: a job that is over stays as it is until it is forgotten; its attempt only grows; the
 * counts of an array are those of its elements' states; placed/ID/NAME is there exactly while the
 * job runs and has a group on ID that has not ended; unended/USER counts his jobs that have not.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct work_job {
    struct job job;
    bool changed, gone;
    bool tallied;      /* it had not ended before the command */
    UT_hash_handle hh; /* by name; in the order in which they were looked at */
};

/* ---- small things */

int malformed(const json_t *cmd, struct oerr *e)
{
    const char *name = json_string_value(json_object_get(cmd, "cmd"));

    return oerr_set(e, -EINVAL, "the command %s lacks a field, or one is of another kind",
                    name ? name : "about a job");
}

/* Times, and so uids, are exact in a double, and far from any overflow. */
json_int_t time_of(const json_t *cmd, struct oerr *e)
{
    json_int_t at = arg_count(cmd, "at_us", e);

    return at < 1ll << 52 ? at : oerr_set(e, -1, "`at_us` of a command is not so far from now");
}

bool uid_of(const json_t *o, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);

    *out = (uint64_t)json_integer_value(v);
    return json_is_integer(v);
}

static void key_of(const char *name, char key[REGISTRY_KEY_MAX])
{
    snprintf(key, REGISTRY_KEY_MAX, JOB_KEY "%s", name);
}

/* ---- jobs of a work */

static struct work_job *known(struct work *w, const char *name)
{
    struct work_job *wj;

    HASH_FIND_STR(w->jobs, name, wj);
    return wj;
}

static struct work_job *keep(struct work *w, struct job *j)
{
    struct work_job *wj = calloc(1, sizeof *wj);

    if (!wj) {
        job_clear(j);
        return NULL;
    }
    wj->job = *j;
    HASH_ADD_STR(w->jobs, job.name, wj);
    if (wj->hh.tbl)
        return wj;
    job_clear(&wj->job);
    free(wj);
    return NULL;
}

static int look(struct work *w, const char *name, struct work_job **out)
{
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    struct job j;
    int rc;

    *out = known(w, name);
    if (*out)
        return (*out)->gone ? -ENOENT : 0;
    key_of(name, key);
    rc = txn_get(w->t, key, &value);
    if (rc == 0)
        rc = job_decode(name, value, &j);
    json_decref(value);
    if (rc < 0)
        return rc;
    *out = keep(w, &j);
    if (!*out)
        return -ENOMEM;
    (*out)->tallied = !job_is_over((*out)->job.state);
    return 0;
}

int work_find(struct work *w, const char *name, struct job **out)
{
    struct work_job *wj;
    int rc = look(w, name, &wj);

    *out = rc < 0 ? NULL : &wj->job;
    return rc;
}

int work_change(struct work *w, const char *name, struct job **out)
{
    struct work_job *wj;
    int rc = look(w, name, &wj);

    *out = rc < 0 ? NULL : &wj->job;
    if (rc == 0)
        wj->changed = true;
    return rc;
}

int work_add(struct work *w, const char *name, struct job **out)
{
    struct job j = { .index = -1 };
    struct work_job *wj;
    int rc = look(w, name, &wj);

    if (rc != -ENOENT)
        return rc < 0 ? rc : -EEXIST;
    strcpy(j.name, name);
    wj = keep(w, &j);
    if (!wj)
        return -ENOMEM;
    wj->changed = true;
    *out = &wj->job;
    return 0;
}

int work_drop(struct work *w, const char *name)
{
    struct work_job *wj;
    int rc = look(w, name, &wj);

    if (rc == 0)
        rc = work_head(w);
    if (rc < 0)
        return rc;
    wj->gone = true;
    w->head.n--;
    w->head.changed = true;
    return 0;
}

int work_uid(struct work *w, const char *name, uint64_t uid, struct job **out, struct oerr *e)
{
    int rc = work_change(w, name, out);

    if (rc == -ENOENT || (rc == 0 && (*out)->uid != uid))
        return oerr_set(e, -ENOENT, "there is no job %s (any more)", name);
    if (rc == -EPROTO)
        oerr_set(e, rc, "what the registry has of job %s cannot be read", name);
    return rc;
}

int work_named(struct work *w, const json_t *cmd, struct job **out, struct oerr *e)
{
    const char *name = arg_name(cmd, "name", JOB_NAME_MAX, e);
    uint64_t uid;

    if (!name)
        return -EINVAL;
    if (!uid_of(cmd, "uid", &uid))
        return malformed(cmd, e);
    return work_uid(w, name, uid, out, e);
}

/* ---- the head: next number, last uid, how many jobs there are */

int work_head(struct work *w)
{
    json_t *value = NULL;
    int rc;

    if (w->head.loaded)
        return 0;
    rc = txn_get(w->t, JOBS_KEY, &value);
    w->head.next = 1;
    if (rc == 0 && json_unpack(value, "{s:I, s:I, s:I}", "next", &w->head.next, "uid", &w->head.uid,
                               "n", &w->head.n) < 0)
        rc = -EPROTO;
    json_decref(value);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    w->head.loaded = true;
    return 0;
}

/* ---- its end */

static int store(struct work *w, const struct work_job *wj)
{
    int by = (!wj->gone && !job_is_over(wj->job.state)) - wj->tallied;
    int rc = by ? tally_move(w, wj->job.user, by) : 0;
    char key[REGISTRY_KEY_MAX];
    json_t *value;

    if (rc < 0)
        return rc;
    key_of(wj->job.name, key);
    if (wj->gone) {
        rc = txn_del(w->t, key);
        return rc == -ENOENT ? 0 : rc;
    }
    value = job_encode(&wj->job);
    return value ? txn_put(w->t, key, value) : -ENOMEM;
}

int work_end(struct work *w, int rc)
{
    struct work_job *wj, *tmp;

    HASH_ITER (hh, w->jobs, wj, tmp) {
        if (rc == 0 && (wj->changed || wj->gone))
            rc = store(w, wj);
        HASH_DEL(w->jobs, wj);
        job_clear(&wj->job);
        free(wj);
    }
    rc = tally_end(w, rc);
    if (rc == 0 && w->head.changed)
        rc = txn_put(
            w->t, JOBS_KEY,
            json_pack("{s:I, s:I, s:I}", "next", w->head.next, "uid", w->head.uid, "n", w->head.n));
    return rc;
}

/* ---- moves */

int work_move(struct work *w, struct job *j, enum job_state to)
{
    enum job_state from = j->state;
    struct job *array;
    int rc;

    j->state = to;
    if (!j->array[0] || from == to)
        return 0;
    rc = work_change(w, j->array, &array);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return job_array_tell(array, j, from);
}

int work_move_over(struct work *w, struct job *j, enum job_state to, const struct job_end *end,
                   uint64_t now)
{
    j->end = *end;
    j->end.ended_us = j->ended_us = now;
    return work_move(w, j, to);
}

int work_elements(struct work *w, const struct job *array,
                  int (*fn)(struct work *w, struct job *element, void *arg), void *arg)
{
    char name[JOB_NAME_MAX + 16];
    unsigned first, last;
    struct job *element;
    int rc = 0;

    if (!array->counts || job_array_of(array->spec, &first, &last) != 0)
        return 0;
    for (unsigned i = first; i <= last && rc == 0; i++) {
        snprintf(name, sizeof name, "%s.%u", array->name, i);
        rc = work_find(w, name, &element);
        if (rc == 0 && strcmp(element->array, array->name) == 0)
            rc = fn(w, element, arg);
        else if (rc == -ENOENT)
            rc = 0;
    }
    return rc;
}

/* ---- machines */

int work_placed(struct work *w, const struct job *j, const char *machine, bool yes)
{
    char key[REGISTRY_KEY_MAX];
    int rc;

    snprintf(key, sizeof key, PLACED_KEY "%s/%s", machine, j->name);
    if (yes)
        return txn_put(w->t, key, json_integer((json_int_t)j->uid));
    rc = txn_del(w->t, key);
    return rc == -ENOENT ? 0 : rc;
}

int runner_info_decode(const json_t *value, struct runner_info *out)
{
    *out = (struct runner_info){ 0 };
    if (!uid_of(value, "session", &out->session))
        return -EPROTO;
    uid_of(value, "fenced_us", &out->fenced_us);
    return 0;
}

int work_runner(struct work *w, const char *machine, struct runner_info *out)
{
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    int rc;

    arg_key(key, "runner", machine);
    rc = txn_get(w->t, key, &value);
    if (rc == 0)
        rc = runner_info_decode(value, out);
    json_decref(value);
    return rc;
}

/* clang-format off */
const struct registry_command job_commands[] = {
    { "job.make",      1, job_make },
    { "job.make_many", 1, job_make_many },
    { "job.set",       1, job_set },
    { "job.run",       1, job_run },
    { "job.hold",      1, job_hold },
    { "job.release",   1, job_release },
    { "job.cancel",    1, job_cancel },
    { "job.forget",    1, job_forget },
    { "job.place",     1, job_place },
    { "job.refuse",    1, job_refuse },
    { "job.end",       1, job_end },
    { "job.lost",      1, job_lost },
    { "runner.claim",  1, runner_claim },
    { "runner.fence",  1, runner_fence },
    { 0 },
};
/* clang-format on */
