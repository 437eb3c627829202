/*
 * job_cmd_place.c - the scheduler's part: where an attempt goes, and what it refuses; and the
 * sessions of machines, by which nothing runs twice at the same time.
 *
 * What is placed on a machine and has not ended belongs to its present session: a new session and
 * the end of a fenced one leave nothing of that behind.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGES_MAX 64

/* ---- job.place */

static json_t *texts(const char *const *list, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(list[i]));
    if (json_array_size(array) == n)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *where(const struct job_place *p)
{
    return json_pack("{s:o, s:o, s:i}", "on", texts(p->on, p->n_on), "groups",
                     texts(p->groups, p->n_groups), "status", (int)p->status_group);
}

json_t *job_place_fields(uint64_t epoch, const struct job_place *places, size_t n, uint64_t now_us)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        const struct job_place *p = &places[i];
        json_t *place = where(p);

        if (place && json_object_set_new(place, "name", json_string(p->name)) == 0 &&
            json_object_set_new(place, "uid", json_integer((json_int_t)p->uid)) == 0 &&
            json_object_set_new(place, "attempt", json_integer((json_int_t)p->attempt)) == 0)
            json_array_append(array, place);
        json_decref(place);
    }
    if (json_array_size(array) == n)
        return json_pack("{s:s, s:I, s:o, s:I}", "service", "scheduler", "epoch", (json_int_t)epoch,
                         "places", array, "at_us", (json_int_t)now_us);
    json_decref(array);
    return NULL;
}

json_t *job_advice(uint64_t epoch, uint64_t id, const struct job_place *p)
{
    json_t *advice = where(p);

    if (advice && json_object_set_new(advice, "epoch", json_integer((json_int_t)epoch)) == 0 &&
        json_object_set_new(advice, "id", json_integer((json_int_t)id)) == 0)
        return advice;
    json_decref(advice);
    return NULL;
}

/* One element of `places`, read. */
struct place {
    const char *name;
    uint64_t uid, attempt;
    const json_t *on, *groups;
    unsigned status;
};

static bool are_ids(const json_t *array, size_t max)
{
    size_t n = json_array_size(array), i = 0;

    while (i < n && json_string_length(json_array_get(array, i)) < ID_MAX &&
           json_string_length(json_array_get(array, i)) > 0)
        i++;
    return n > 0 && n <= max && i == n;
}

static bool where_of(const json_t *o, struct place *p)
{
    json_int_t status = json_integer_value(json_object_get(o, "status"));

    *p = (struct place){ .on = json_object_get(o, "on"),
                         .groups = json_object_get(o, "groups"),
                         .status = (unsigned)status };
    return are_ids(p->on, STAGES_MAX) && are_ids(p->groups, JOB_GROUPS_MAX) && status >= 0 &&
           status < (json_int_t)json_array_size(p->groups);
}

static bool place_of(const json_t *o, struct place *p)
{
    json_int_t attempt = json_integer_value(json_object_get(o, "attempt"));

    if (!where_of(o, p))
        return false;
    p->name = json_string_value(json_object_get(o, "name"));
    p->attempt = (uint64_t)attempt;
    return p->name && *p->name && strlen(p->name) < JOB_NAME_MAX && uid_of(o, "uid", &p->uid) &&
           attempt > 0;
}

/* Each machine may run something: 0; 1: one may not. */
static int all_may_run(struct work *w, const json_t *groups)
{
    const char *last = "";

    for (size_t i = 0; i < json_array_size(groups); i++) {
        const char *id = json_string_value(json_array_get(groups, i));
        struct runner_info r = { 0 };
        int rc = strcmp(id, last) == 0 ? 0 : work_runner(w, id, &r);

        if (rc == -ENOENT || rc == -EPROTO || r.fenced_us)
            return 1;
        if (rc < 0)
            return rc;
        last = id;
    }
    return 0;
}

static int store_place(struct work *w, struct job *j, const struct place *p)
{
    size_t n_on = json_array_size(p->on), n = json_array_size(p->groups);
    int rc = 0;

    free(j->on);
    free(j->groups);
    j->on = calloc(n_on, sizeof *j->on);
    j->groups = calloc(n, sizeof *j->groups);
    j->n_on = j->on ? n_on : 0;
    j->n_groups = j->groups ? n : 0;
    if (!j->on || !j->groups)
        return -ENOMEM;
    for (size_t i = 0; i < n_on; i++)
        strcpy(j->on[i], json_string_value(json_array_get(p->on, i)));
    for (size_t i = 0; i < n && rc == 0; i++) {
        strcpy(j->groups[i].machine, json_string_value(json_array_get(p->groups, i)));
        rc = work_placed(w, j, j->groups[i].machine, true);
    }
    return rc;
}

/* 1: it is left out. */
static int place_job(struct work *w, struct job *j, const struct place *p, uint64_t now)
{
    enum job_state to;
    int rc;

    if (job_act(j, ACT_PLACE, &to, NULL) < 0 || j->counts || p->attempt != j->attempt + 1ull)
        return 1;
    rc = all_may_run(w, p->groups);
    if (rc == 0)
        rc = store_place(w, j, p);
    if (rc != 0)
        return rc;
    j->attempt++;
    j->status_group = p->status;
    j->end = (struct job_end){ 0 };
    j->started_us = now;
    j->not_before_us = 0;
    return work_move(w, j, to);
}

static int place(struct work *w, const struct place *p, uint64_t now)
{
    struct job *j;
    int rc = work_uid(w, p->name, p->uid, &j, NULL);

    if (rc == -ENOENT || rc == -EPROTO)
        return 1;
    return rc < 0 ? rc : place_job(w, j, p, now);
}

int job_place_advised(struct work *w, struct job *j, const json_t *advice, uint64_t now)
{
    json_t *service = NULL;
    json_int_t epoch = -1;
    struct place p;
    int rc = txn_get(w->t, "service/scheduler", &service);

    if (rc < 0)
        return rc == -ENOENT ? 1 : rc;
    json_unpack(service, "{s:I}", "epoch", &epoch);
    json_decref(service);
    if (epoch != json_integer_value(json_object_get(advice, "epoch")) || !where_of(advice, &p))
        return 1;
    p.attempt = j->attempt + 1ull;
    return place_job(w, j, &p, now);
}

int job_place(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const json_t *places = json_object_get(cmd, "places");
    json_int_t at = time_of(cmd, e);
    json_t *left = json_array();
    struct work w = { .t = t };
    int rc = at < 0 ? -EINVAL : json_is_array(places) ? 0 : malformed(cmd, e);

    *result = json_pack("{s:o}", "left", left);
    for (size_t i = 0; i < json_array_size(places) && rc == 0; i++) {
        struct place p;

        rc = place_of(json_array_get(places, i), &p) ? place(&w, &p, (uint64_t)at)
                                                     : malformed(cmd, e);
        if (rc > 0)
            rc = json_array_append_new(left, json_string(p.name)) < 0 ? -ENOMEM : 0;
    }
    return work_end(&w, rc);
}

/* ---- job.refuse */

json_t *job_refuse_fields(uint64_t epoch, const char *name, uint64_t uid, int exit,
                          const char *words, uint64_t now_us)
{
    struct job_end end = { .cause = JOB_NOT_BEGUN, .exit = exit };
    json_t *f =
        json_pack("{s:s, s:I, s:s, s:I, s:I}", "service", "scheduler", "epoch", (json_int_t)epoch,
                  "name", name, "uid", (json_int_t)uid, "at_us", (json_int_t)now_us);

    job_end_words(&end, words);
    if (f && job_end_write(f, &end))
        return f;
    json_decref(f);
    return NULL;
}

int job_refuse(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_int_t at = time_of(cmd, e);
    struct work w = { .t = t };
    enum job_state to;
    struct job_end end;
    struct job *j;
    int rc = at < 0 ? -EINVAL : work_named(&w, cmd, &j, e);

    (void)result;
    if (rc == 0 && (!job_end_read(cmd, &end) || end.cause != JOB_NOT_BEGUN))
        rc = malformed(cmd, e);
    if (rc == 0)
        rc = job_act(j, ACT_REFUSE, &to, e);
    if (rc == 0 && j->counts)
        rc = oerr_set(e, -EBUSY, "job %s is an array: refuse its elements", j->name);
    if (rc == 0)
        rc = work_move_over(&w, j, to, &end, (uint64_t)at);
    return work_end(&w, rc);
}

/* ---- sessions */

struct session {
    const char *machine;
    uint64_t id;
    json_int_t at;
    struct runner_info known; /* all 0: it has none */
};

static int session_of(struct work *w, const json_t *cmd, struct session *s, struct oerr *e)
{
    int rc;

    *s = (struct session){ .machine = arg_name(cmd, "machine", ID_MAX, e) };
    s->at = s->machine ? time_of(cmd, e) : -1;
    if (s->at < 0)
        return -EINVAL;
    if (!uid_of(cmd, "session", &s->id) || s->id == 0)
        return malformed(cmd, e);
    rc = work_runner(w, s->machine, &s->known);
    return rc == -ENOENT || rc == -EPROTO ? 0 : rc;
}

/* ... of a command that is about the session which the machine has. */
static int same_session_of(struct work *w, const json_t *cmd, struct session *s, struct oerr *e)
{
    int rc = session_of(w, cmd, s, e);

    if (rc < 0 || s->known.session == s->id)
        return rc;
    return oerr_set(e, -ESTALE, "machine %s is in another session by now", s->machine);
}

static int store_session(struct work *w, const struct session *s, json_int_t fenced_us)
{
    char key[REGISTRY_KEY_MAX];

    arg_key(key, "runner", s->machine);
    return txn_put(
        w->t, key,
        fenced_us ? json_pack("{s:I, s:I}", "session", (json_int_t)s->id, "fenced_us", fenced_us)
                  : json_pack("{s:I}", "session", (json_int_t)s->id));
}

json_t *runner_claim_fields(const char *machine, uint64_t session, uint64_t now_us)
{
    return json_pack("{s:s, s:I, s:I}", "machine", machine, "session", (json_int_t)session, "at_us",
                     (json_int_t)now_us);
}

int runner_claim(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    struct work w = { .t = t };
    struct session s;
    int rc = session_of(&w, cmd, &s, e);

    (void)result;
    if (rc == 0 && s.known.session == s.id && !s.known.fenced_us)
        return work_end(&w, 0);
    if (rc == 0 && s.known.session == s.id)
        rc = oerr_set(e, -ESTALE, "this session of machine %s is fenced: claim another", s.machine);
    if (rc == 0)
        rc = job_lose(&w, s.machine, (uint64_t)s.at);
    if (rc == 0)
        rc = store_session(&w, &s, 0);
    return work_end(&w, rc);
}

static json_t *of_scheduler(uint64_t epoch, const char *machine, uint64_t session, uint64_t now_us)
{
    return json_pack("{s:s, s:I, s:s, s:I, s:I}", "service", "scheduler", "epoch",
                     (json_int_t)epoch, "machine", machine, "session", (json_int_t)session, "at_us",
                     (json_int_t)now_us);
}

json_t *runner_fence_fields(uint64_t epoch, const char *machine, uint64_t session, uint64_t now_us)
{
    return of_scheduler(epoch, machine, session, now_us);
}

int runner_fence(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    struct work w = { .t = t };
    struct session s;
    int rc = same_session_of(&w, cmd, &s, e);

    (void)result;
    if (rc == 0 && !s.known.fenced_us)
        rc = store_session(&w, &s, s.at ? s.at : 1);
    return work_end(&w, rc);
}

json_t *job_lost_fields(uint64_t epoch, const char *machine, uint64_t session, uint64_t now_us)
{
    return of_scheduler(epoch, machine, session, now_us);
}

int job_lost(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    struct work w = { .t = t };
    struct session s;
    int rc = same_session_of(&w, cmd, &s, e);

    (void)result;
    if (rc == 0 && !s.known.fenced_us)
        rc =
            oerr_set(e, -EBUSY, "machine %s is not fenced: its processes may still run", s.machine);
    if (rc == 0)
        rc = job_lose(&w, s.machine, (uint64_t)s.at);
    return work_end(&w, rc);
}
