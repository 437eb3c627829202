/*
 * scheduler_act.c - what sched decided, as commands under the epoch; and how they ended.
 *
 * A flight is a command on its way, with the jobs that it is about: where it is refused, or leaves
 * one out, sched hears that this did not happen. A few fly at a time; until one has ended there is
 * no further step, so that what piles up meanwhile goes in one.
 */
#include "sched/scheduler_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define FLYING_MAX 4
#define SUBMIT_MS  5000
#define LIFE_SHIFT 40 /* ids of probes: the life above, sched's own below */

struct about {
    char name[JOB_NAME_MAX];
    uint64_t uid;
    uint32_t attempt; /* 0: refused */
};

struct flight {
    struct scheduler *s;
    const char *cmd;
    json_t *fields; /* until it is sent */
    struct about *about;
    size_t n;
    struct flight *prev, *next;
};

bool act_full(const struct scheduler *s)
{
    return s->flying >= FLYING_MAX;
}

static void flight_free(struct flight *f)
{
    json_decref(f->fields);
    free(f->about);
    free(f);
}

static bool is_left(const json_t *left, const char *name)
{
    for (size_t i = 0; i < json_array_size(left); i++) {
        const char *text = json_string_value(json_array_get(left, i));

        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

/* Those that were left out; all when left is NULL. */
static void did_not_happen(struct scheduler *s, const struct flight *f, const json_t *left)
{
    for (size_t i = 0; i < f->n; i++)
        if (!left || is_left(left, f->about[i].name))
            sched_failed(s->sched, f->about[i].name, f->about[i].uid, f->about[i].attempt);
}

static void on_done(void *arg, int rc, const json_t *body, const char *text)
{
    struct flight *f = arg;
    struct scheduler *s = f->s;
    const json_t *left = json_object_get(body, "left");

    DL_DELETE(s->flights, f);
    s->flying--;
    scheduler_now(s);
    if (rc < 0)
        log_info("scheduler", "%s: %s", f->cmd, text);
    if (rc < 0 || left)
        did_not_happen(s, f, rc < 0 ? NULL : left);
    flight_free(f);
    scheduler_wake(s);
}

static void send_one(struct scheduler *s, struct flight *f)
{
    json_t *fields = take_ptr(f->fields);
    int rc = fields ? replica_submit(s->replica, f->cmd, fields, SUBMIT_MS, on_done, f) : -ENOMEM;

    s->flying++;
    if (rc < 0)
        on_done(f, rc, NULL, strerror(-rc));
}

void act_send(struct scheduler *s)
{
    struct flight *f, *tmp;

    DL_FOREACH_SAFE(s->flights, f, tmp)
    {
        if (f->fields)
            send_one(s, f);
    }
}

void act_drop(struct scheduler *s)
{
    struct flight *f, *tmp;
    struct probed *p, *next;

    DL_FOREACH_SAFE(s->flights, f, tmp)
    {
        replica_cancel(s->replica, f);
        DL_DELETE(s->flights, f);
        flight_free(f);
    }
    LL_FOREACH_SAFE(s->probed, p, next)
    free(p);
    s->probed = NULL;
    s->flying = 0;
}

/* ---- effects; they take fields and leave a flight for act_send() */

static struct flight *fly(struct scheduler *s, const char *cmd, json_t *fields, size_t n)
{
    struct flight *f = calloc(1, sizeof *f);

    if (f && n)
        f->about = calloc(n, sizeof *f->about);
    if (!f || !fields || (n && !f->about)) {
        scheduler_trouble(s, -ENOMEM, "its own decisions");
        json_decref(fields);
        free(f);
        return NULL;
    }
    f->s = s;
    f->cmd = cmd;
    f->fields = fields;
    f->n = n;
    DL_APPEND(s->flights, f);
    return f;
}

static void about(struct flight *f, size_t i, const char *name, uint64_t uid, uint32_t attempt)
{
    if (!f)
        return;
    snprintf(f->about[i].name, sizeof f->about[i].name, "%s", name);
    f->about[i].uid = uid;
    f->about[i].attempt = attempt;
}

static void fx_place(void *arg, const struct job_place *places, size_t n)
{
    struct scheduler *s = arg;
    struct flight *f = fly(s, "job.place", job_place_fields(s->epoch, places, n, wall_us()), n);

    for (size_t i = 0; i < n; i++)
        about(f, i, places[i].name, places[i].uid, places[i].attempt);
}

static void fx_refuse(void *arg, const char *name, uint64_t uid, int exit, const char *words)
{
    struct scheduler *s = arg;

    about(fly(s, "job.refuse", job_refuse_fields(s->epoch, name, uid, exit, words, wall_us()), 1),
          0, name, uid, 0);
}

static void fx_fence(void *arg, const char *machine, uint64_t session)
{
    struct scheduler *s = arg;

    log_info("scheduler", "%s is fenced: it was not heard for long", machine);
    fly(s, "runner.fence", runner_fence_fields(s->epoch, machine, session, wall_us()), 0);
}

static void fx_lost(void *arg, const char *machine, uint64_t session)
{
    struct scheduler *s = arg;

    log_info("scheduler", "what was placed on %s is lost", machine);
    fly(s, "job.lost", job_lost_fields(s->epoch, machine, session, wall_us()), 0);
}

static void fx_forget(void *arg, const struct job_id *ids, size_t n)
{
    fly(arg, "job.forget", job_forget_fields(ids, n), 0);
}

static const char *fx_near(void *arg, const char *path)
{
    struct scheduler *s = arg;

    return s->ops.near ? s->ops.near(s->arg, path) : NULL;
}

/* ---- probes */

static void keep_answer(struct scheduler *s, uint64_t id, int exit, const char *words)
{
    struct probed *p = calloc(1, sizeof *p);

    if (!p)
        return; /* sched asks again */
    p->id = id;
    p->exit = exit;
    snprintf(p->words, sizeof p->words, "%s", words ? words : "");
    LL_APPEND(s->probed, p);
    scheduler_wake(s);
}

static void fx_probe(void *arg, uint64_t id, const char *machine, const struct sched_need *need)
{
    struct scheduler *s = arg;

    if (s->ops.probe)
        s->ops.probe(s->arg, s->life << LIFE_SHIFT | id, machine, need);
    else
        keep_answer(s, id, 0, "");
}

void act_probed(struct scheduler *s)
{
    struct probed *p, *next, *all = take_ptr(s->probed);

    LL_FOREACH_SAFE(all, p, next)
    {
        sched_probed(s->sched, p->id, p->exit, p->words);
        free(p);
    }
}

void scheduler_probed(struct scheduler *s, uint64_t id, int exit, const char *words)
{
    if (s->sched && id >> LIFE_SHIFT == s->life)
        keep_answer(s, id & ((1ull << LIFE_SHIFT) - 1), exit, words);
}

const struct sched_fx scheduler_fx = { .place = fx_place,
                                       .refuse = fx_refuse,
                                       .probe = fx_probe,
                                       .fence = fx_fence,
                                       .lost = fx_lost,
                                       .forget = fx_forget,
                                       .near = fx_near };
