/*
 * job_cmd_end.c - groups end, by the word of their machine or since it is lost; and with the last
 * one the attempt.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <string.h>

/* Cut where a character ends, and marked as cut. */
void job_end_words(struct job_end *end, const char *words)
{
    static const char cut[] = "...";
    struct oerr clean;
    size_t n;

    oerr_set(&clean, 0, "%s", words ? words : "");
    n = strlen(clean.text);
    if (n >= JOB_WORDS_MAX) {
        n = JOB_WORDS_MAX - sizeof cut;
        while (n > 0 && ((unsigned char)clean.text[n] & 0xc0) == 0x80)
            n--;
        strcpy(clean.text + n, cut);
        n += sizeof cut - 1;
    }
    memcpy(end->words, clean.text, n + 1);
}

/* ---- job.end: fields */

static json_t *end_fields(const struct job_ended *x)
{
    json_t *o = json_pack("{s:s, s:I, s:I, s:i}", "name", x->name, "uid", (json_int_t)x->uid,
                          "attempt", (json_int_t)x->attempt, "group", (int)x->group);
    struct job_end end = x->end;

    job_end_words(&end, x->end.words);
    if (o && job_end_write(o, &end))
        return o;
    json_decref(o);
    return NULL;
}

json_t *job_end_fields(const char *machine, uint64_t session, const struct job_ended *ends,
                       size_t n, uint64_t now_us)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, end_fields(&ends[i]));
    if (json_array_size(array) == n)
        return json_pack("{s:s, s:I, s:o, s:I}", "machine", machine, "session", (json_int_t)session,
                         "ends", array, "at_us", (json_int_t)now_us);
    json_decref(array);
    return NULL;
}

/* ---- ends */

static int attempt_over(struct work *w, struct job *j, uint64_t now)
{
    return work_move(w, j, job_settle(j, now));
}

/* The machine is no longer used by the attempt when its last group there has ended. */
static int group_over(struct work *w, struct job *j, struct job_group *g, const struct job_end *end)
{
    g->end = *end;
    for (size_t i = 0; i < j->n_groups; i++)
        if (j->groups[i].end.cause == JOB_NOT_ENDED &&
            strcmp(j->groups[i].machine, g->machine) == 0)
            return 0;
    return work_placed(w, j, g->machine, false);
}

struct ended {
    const char *name;
    uint64_t uid, attempt;
    json_int_t group;
    struct job_end end;
};

static bool ended_of(const json_t *o, struct ended *x)
{
    const json_t *group = json_object_get(o, "group");

    x->name = json_string_value(json_object_get(o, "name"));
    x->group = json_integer_value(group);
    return x->name && *x->name && strlen(x->name) < JOB_NAME_MAX && uid_of(o, "uid", &x->uid) &&
           uid_of(o, "attempt", &x->attempt) && json_is_integer(group) && x->group >= 0 &&
           job_end_read(o, &x->end);
}

/* What is not of this attempt, or ended before, says nothing new. */
static int end_one(struct work *w, const char *machine, const struct ended *x, uint64_t now)
{
    struct job_group *g;
    struct job *j;
    int rc = work_find(w, x->name, &j);

    if (rc < 0)
        return rc == -ENOENT || rc == -EPROTO ? 0 : rc;
    if (j->uid != x->uid || j->state != JOB_RUNNING || j->attempt != x->attempt ||
        x->group >= (json_int_t)j->n_groups)
        return 0;
    g = &j->groups[x->group];
    if (g->end.cause != JOB_NOT_ENDED || strcmp(g->machine, machine) != 0)
        return 0;
    rc = work_change(w, x->name, &j);
    if (rc == 0)
        rc = group_over(w, j, g, &x->end);
    return rc == 0 && job_attempt_over(j) ? attempt_over(w, j, now) : rc;
}

int job_end(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *machine = arg_name(cmd, "machine", ID_MAX, e);
    const json_t *ends = json_object_get(cmd, "ends");
    json_int_t at = machine ? time_of(cmd, e) : -1;
    struct work w = { .t = t };
    struct runner_info known;
    uint64_t session;
    int rc;

    (void)result;
    if (at < 0)
        return -EINVAL;
    if (!uid_of(cmd, "session", &session) || !json_is_array(ends))
        return malformed(cmd, e);
    rc = work_runner(&w, machine, &known);
    if (rc == -ENOENT || rc == -EPROTO || (rc == 0 && known.session != session))
        return oerr_set(e, -ESTALE, "machine %s is in another session by now", machine);
    for (size_t i = 0; i < json_array_size(ends) && rc == 0; i++) {
        struct ended x;

        rc = ended_of(json_array_get(ends, i), &x) ? end_one(&w, machine, &x, (uint64_t)at)
                                                   : malformed(cmd, e);
    }
    return work_end(&w, rc);
}

/* ---- a machine is lost */

static int lose_job(struct work *w, struct job *j, const char *machine, uint64_t now)
{
    struct job_end lost = { .cause = JOB_LOSS, .exit = -1, .ended_us = now };
    int rc = 0;

    snprintf(lost.words, sizeof lost.words, "machine %s was lost", machine);
    for (size_t i = 0; i < j->n_groups && rc == 0; i++)
        if (j->groups[i].end.cause == JOB_NOT_ENDED && strcmp(j->groups[i].machine, machine) == 0)
            rc = group_over(w, j, &j->groups[i], &lost);
    return rc == 0 && job_attempt_over(j) ? attempt_over(w, j, now) : rc;
}

int job_lose(struct work *w, const char *machine, uint64_t now)
{
    char prefix[REGISTRY_KEY_MAX], key[REGISTRY_KEY_MAX] = "";
    size_t len = (size_t)snprintf(prefix, sizeof prefix, PLACED_KEY "%s/", machine);
    int rc;

    while ((rc = txn_next(w->t, prefix, key, key, NULL)) == 0) {
        struct job *j;

        rc = work_change(w, key + len, &j);
        if (rc == 0 && j->state == JOB_RUNNING)
            rc = lose_job(w, j, machine, now);
        if (rc < 0 && rc != -ENOENT && rc != -EPROTO)
            return rc;
    }
    return rc == -ENOENT ? 0 : rc;
}
