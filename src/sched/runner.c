/*
 * runner.c - runs: made as the registry wants them, started, ended, forgotten.
 *
 * In: records of jobs, and what becomes of processes. Out: start, end, forget. Invariants: a run is
 * in exactly one of the lists by state; one that has been started is told to the registry as ended
 * exactly once, or the registry knew it already; two attempts of a job are never alive here at
 * once.
 */
#include "sched/runner_private.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "sched/want.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

const enum run_state run_alive[2] = { RUN_STARTING, RUN_RUNNING };

struct run *run_find(const struct runner *r, const struct run_key *k)
{
    struct run *run;

    HASH_FIND(hh, r->all, k, sizeof *k, run);
    return run;
}

void run_to(struct runner *r, struct run *run, enum run_state at)
{
    bool was = run_is_alive(run);

    DL_DELETE(r->list[run->at], run);
    r->n[run->at]--;
    run->at = at;
    if (!was && run_is_alive(run))
        room_use(r, run);
    else if (was && !run_is_alive(run))
        room_free(r, run);
    DL_APPEND(r->list[at], run);
    r->n[at]++;
}

static struct run *make(struct runner *r, struct rjob *job, const struct run_key *k)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->key = *k;
    run->job = job;
    run->at = RUN_WANTED;
    DL_APPEND(r->list[RUN_WANTED], run);
    r->n[RUN_WANTED]++;
    if (job)
        DL_APPEND2(job->runs, run, before, after);
    r->orphans += !job;
    HASH_ADD(hh, r->all, key, sizeof run->key, run);
    return run;
}

static struct rjob *job_find(const struct runner *r, const char *name)
{
    struct rjob *job;

    HASH_FIND_STR(r->jobs, name, job);
    return job;
}

static struct rjob *job_make(struct runner *r, const char *name, uint64_t uid)
{
    struct rjob *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    snprintf(job->name, sizeof job->name, "%s", name);
    job->uid = uid;
    job->cpu = 1000;
    HASH_ADD_STR(r->jobs, name, job);
    return job;
}

static void job_drop_if_empty(struct runner *r, struct rjob *job)
{
    if (job->runs)
        return;
    HASH_DEL(r->jobs, job);
    free(job);
}

static void unlink_job(struct runner *r, struct run *run)
{
    DL_DELETE2(run->job->runs, run, before, after);
    run->job = NULL;
    r->orphans++;
}

/* Frees it; its job, which the caller looks after, stays. */
static void drop(struct runner *r, struct run *run)
{
    if (run->job)
        unlink_job(r, run);
    r->orphans--;
    room_free(r, run);
    DL_DELETE(r->list[run->at], run);
    r->n[run->at]--;
    HASH_DEL(r->all, run);
    free(run);
}

void run_drop(struct runner *r, struct run *run)
{
    struct rjob *job = run->job;

    drop(r, run);
    job_drop_if_empty(r, job);
}

/* The registry wants nothing of this run any more. */
static void let_go(struct runner *r, uint64_t now, struct run *run)
{
    if (run_is_alive(run)) {
        run_end(r, now, run, JOB_LOSS, true);
        unlink_job(r, run);
        return;
    }
    if (run->at != RUN_WANTED)
        r->fx->forget(r->arg, &run->key);
    drop(r, run);
}

void run_taken(struct runner *r, struct run *run)
{
    run_to(r, run, RUN_TAKEN);
}

/* A pipeline is one thing: where a part was lost or never began, the rest here ends too. */
static void end_others(struct runner *r, uint64_t now, const struct run *cause)
{
    struct run *run, *next;

    if (!cause->job || (cause->end.cause != JOB_LOSS && cause->end.cause != JOB_NOT_BEGUN &&
                        cause->end.cause != JOB_NOT_TAKEN))
        return;
    for (run = cause->job->runs; run; run = next) {
        next = run->after;
        if (run != cause && run->key.attempt == cause->key.attempt)
            run_end(r, now, run, JOB_CANCEL, cause->end.cause == JOB_LOSS);
    }
}

/* It has ended, or never began. */
static void over(struct runner *r, uint64_t now, struct run *run, const struct job_end *end)
{
    run->end = *end;
    if (run->why != JOB_NOT_ENDED)
        run->end.cause = run->why;
    run_to(r, run, RUN_ENDED);
    end_others(r, now, run);
    if (!run->job) {
        r->fx->forget(r->arg, &run->key);
        drop(r, run);
    }
}

void run_end(struct runner *r, uint64_t now, struct run *run, enum job_cause cause, bool hard)
{
    if (run->at == RUN_WANTED) {
        struct job_end end = { .cause = cause, .exit = -1 };

        over(r, now, run, &end);
        return;
    }
    if (!run_is_alive(run))
        return;
    if (run->why == JOB_NOT_ENDED)
        run->why = cause;
    if (hard && !run->killed) {
        run->killed = true;
        run->kill_at = 0;
        r->fx->end(r->arg, &run->key, SIGKILL, run->why);
    } else if (!run->killed && !run->kill_at) {
        run->kill_at = now + RUN_TERM_MS;
        if (!r->timer || run->kill_at < r->timer)
            r->timer = run->kill_at;
        r->fx->end(r->arg, &run->key, SIGTERM, run->why);
    }
}

/* What is due of one that is alive; returns when it has something to do next. */
static uint64_t run_time(struct runner *r, uint64_t now, struct run *run)
{
    uint64_t limit = run->job ? run->job->timeout_ms : 0;

    if (limit && run->why == JOB_NOT_ENDED && now >= run->begun + limit)
        run_end(r, now, run, JOB_TIMEOUT, false);
    if (run->kill_at && now >= run->kill_at)
        run_end(r, now, run, run->why, true);
    if (run->kill_at)
        return run->kill_at;
    return limit && run->why == JOB_NOT_ENDED ? run->begun + limit : 0;
}

void run_times(struct runner *r, uint64_t now)
{
    uint64_t first = 0;

    if (!r->timer || now < r->timer)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(run_alive); i++)
        for (struct run *run = r->list[run_alive[i]]; run; run = run->next) {
            uint64_t at = run_time(r, now, run);

            if (at && (!first || at < first))
                first = at;
        }
    r->timer = first;
}

/* ---- what the registry says */

/* What a limit of time in a spec means, in ms; job_spec has checked it. */
static uint64_t timeout_of(const struct job *j)
{
    const json_t *limit = json_object_get(j->spec, "timeout");
    uint64_t us = 0;

    if (json_is_integer(limit) && json_integer_value(limit) > 0)
        return (uint64_t)json_integer_value(limit) * 1000;
    if (!json_is_string(limit) || units_time(json_string_value(limit), &us, NULL) < 0 ||
        us == UNITS_FOREVER)
        return 0;
    return (us + 999) / 1000;
}

static bool is_here(const struct runner *r, const struct job *j, size_t g)
{
    return g < j->n_groups && strcmp(j->groups[g].machine, r->self) == 0;
}

/* One that is here, by what the record says of it. */
static void match(struct runner *r, uint64_t now, struct run *run, const struct job *j)
{
    if (run->key.attempt < j->attempt) {
        let_go(r, now, run);
        return;
    }
    if (is_here(r, j, run->key.group) && j->groups[run->key.group].end.cause == JOB_NOT_ENDED &&
        j->state == JOB_RUNNING) {
        if (run->at == RUN_TAKEN) /* it is not there: once more, which does no harm */
            run_to(r, run, RUN_ENDED);
        return;
    }
    if (run_is_alive(run))
        run_end(r, now, run, JOB_LOSS, true);
    else if (run->at == RUN_WANTED)
        drop(r, run);
    else if (run->at != RUN_TAKEN)
        run_taken(r, run);
}

static int want(struct runner *r, uint64_t now, struct rjob *job, const struct job *j)
{
    struct run_key k = { .uid = j->uid, .attempt = j->attempt };
    struct want_groups plan = { 0 };
    struct run *run;
    int rc = 0;

    for (size_t g = 0; rc == 0 && g < j->n_groups; g++) {
        k.group = (uint32_t)g;
        if (!is_here(r, j, g) || j->groups[g].end.cause != JOB_NOT_ENDED || run_find(r, &k))
            continue;
        if (j->n_groups > 1 && plan.n == 0)
            rc = want_placed(j->spec, j->on, j->n_on, j->by, &plan);
        if (rc == -ENOMEM || !(run = make(r, job, &k))) {
            rc = -ENOMEM;
            break;
        }
        rc = 0;
        run->carries = g < plan.n && plan.v[g].file;
        run->alone = j->n_groups == 1;
        run->wanted = now;
    }
    want_groups_free(&plan);
    return rc;
}

/* What ended elsewhere, or a word of the user, may end all of the attempt. */
static void spread(struct runner *r, uint64_t now, struct rjob *job, const struct job *j)
{
    enum job_cause cause = j->cancelled ? JOB_CANCEL : JOB_NOT_ENDED;
    bool hard = false;
    struct run *run, *next;

    for (size_t g = 0; g < j->n_groups; g++)
        switch (j->groups[g].end.cause) {
        case JOB_LOSS:
            hard = true; /* fall through */
        case JOB_NOT_BEGUN:
        case JOB_NOT_TAKEN:
        case JOB_CANCEL:
            cause = JOB_CANCEL;
            break;
        case JOB_TIMEOUT:
            if (cause == JOB_NOT_ENDED)
                cause = JOB_TIMEOUT;
            break;
        default:
            break;
        }
    if (cause == JOB_NOT_ENDED)
        return;
    for (run = job->runs; run; run = next) {
        next = run->after;
        if (run->key.attempt == j->attempt)
            run_end(r, now, run, cause, hard);
    }
}

int runner_job(struct runner *r, uint64_t now, const struct job *j)
{
    struct rjob *job = job_find(r, j->name);
    bool here = false;
    size_t open = 0;
    int rc = 0;

    if (job && (job->uid > j->uid || (job->uid == j->uid && job->attempt > j->attempt)))
        return 0; /* older than what we know */
    if (job && job->uid < j->uid) {
        runner_job_gone(r, now, j->name);
        job = NULL;
    }
    for (size_t g = 0; g < j->n_groups; g++) {
        here |= is_here(r, j, g);
        open += j->groups[g].end.cause == JOB_NOT_ENDED;
    }
    here = here && j->state == JOB_RUNNING;
    if (!job && (!here || !(job = job_make(r, j->name, j->uid))))
        return here ? -ENOMEM : 0;
    job->seen = true;
    job->attempt = j->attempt;
    job->open = open;
    job->timeout_ms = timeout_of(j);
    room_promise(j, job);
    if (job->timeout_ms)
        r->timer = 1;
    for (struct run *run = job->runs, *next; run; run = next) {
        next = run->after;
        match(r, now, run, j);
    }
    if (here)
        rc = want(r, now, job, j);
    spread(r, now, job, j);
    job_drop_if_empty(r, job);
    return rc;
}

void runner_job_gone(struct runner *r, uint64_t now, const char *name)
{
    struct rjob *job = job_find(r, name);

    if (!job)
        return;
    for (struct run *run = job->runs, *next; run; run = next) {
        next = run->after;
        let_go(r, now, run);
    }
    job_drop_if_empty(r, job);
}

void runner_sync(struct runner *r, uint64_t now, bool begin)
{
    struct rjob *job, *tmp;

    HASH_ITER (hh, r->jobs, job, tmp) {
        if (begin)
            job->seen = false;
        else if (!job->seen && r->synced)
            runner_job_gone(r, now, job->name);
    }
    if (!begin && r->synced)
        r->unread = false;
}

bool runner_knows(const struct runner *r, const char *name)
{
    return job_find(r, name) != NULL;
}

char (*runner_jobs(const struct runner *r, size_t *n))[JOB_NAME_MAX]
{
    char(*names)[JOB_NAME_MAX] = calloc(HASH_COUNT(r->jobs) + 1, sizeof *names);

    *n = 0;
    for (const struct rjob *job = r->jobs; job && names; job = job->hh.next)
        memcpy(names[(*n)++], job->name, sizeof job->name);
    return names;
}

/* ---- what becomes of processes */

int runner_adopt(struct runner *r, uint64_t now, const char *name, const struct run_key *k,
                 uint64_t age_ms, const struct job_end *end)
{
    struct rjob *job = job_find(r, name);
    bool orphan = job && job->uid != k->uid; /* another job has the name by now */
    struct run *run;

    if (run_find(r, k))
        return -EEXIST;
    if (!job && !(job = job_make(r, name, k->uid)))
        return -ENOMEM;
    if (!(run = make(r, orphan ? NULL : job, k))) {
        job_drop_if_empty(r, job);
        return -ENOMEM;
    }
    run->begun = age_ms < now ? now - age_ms : 0;
    run_to(r, run, RUN_RUNNING);
    if (!orphan && k->attempt > job->attempt)
        job->attempt = k->attempt;
    if (end)
        over(r, now, run, end);
    else if (orphan)
        run_end(r, now, run, JOB_LOSS, true);
    return 0;
}

void runner_started(struct runner *r, uint64_t now, const struct run_key *k, int rc, int exit,
                    const char *words)
{
    struct run *run = run_find(r, k);
    struct job_end end = { .cause = JOB_NOT_BEGUN, .exit = exit };

    if (!run || run->at != RUN_STARTING)
        return;
    if (rc == 0) {
        run->begun = now;
        run_to(r, run, RUN_RUNNING);
        if (run->job && run->job->timeout_ms)
            r->timer = 1;
    } else if (rc == -EAGAIN && !lease_valid(r, now) && run->why == JOB_NOT_ENDED) {
        run_to(r, run, RUN_WANTED);
    } else {
        if (rc == -EPIPE || rc == -ENOSPC) {
            end.cause = rc == -EPIPE ? JOB_LOSS : JOB_NOT_TAKEN;
            end.exit = -1;
        }
        snprintf(end.words, sizeof end.words, "%s", words ? words : "");
        over(r, now, run, &end);
    }
}

void runner_ended(struct runner *r, uint64_t now, const struct run_key *k,
                  const struct job_end *end)
{
    struct run *run = run_find(r, k);

    if (run && run_is_alive(run))
        over(r, now, run, end);
}

/* ---- life */

int runner_create(struct runner **out, const char *self, uint64_t boot, const struct runner_fx *fx,
                  void *arg)
{
    struct runner *r = calloc(1, sizeof *r);

    if (!r)
        return -ENOMEM;
    snprintf(r->self, sizeof r->self, "%s", self);
    r->boot = boot & 0xffffffff;
    r->fx = fx;
    r->arg = arg;
    *out = r;
    return 0;
}

void runner_destroy(struct runner *r)
{
    struct run *run, *tmp;
    struct rjob *job, *next;

    if (!r)
        return;
    HASH_ITER (hh, r->all, run, tmp)
        drop(r, run);
    HASH_ITER (hh, r->jobs, job, next) {
        HASH_DEL(r->jobs, job);
        free(job);
    }
    free(r);
}

void runner_stop(struct runner *r, uint64_t now)
{
    r->stopping = true;
    lease_give_back(r, now);
    for (size_t i = 0; i < ARRAY_SIZE(run_alive); i++)
        for (struct run *run = r->list[run_alive[i]]; run; run = run->next)
            run_end(r, now, run, JOB_LOSS, false);
}

bool runner_quiet(const struct runner *r)
{
    return r->n[RUN_WANTED] + r->n[RUN_STARTING] + r->n[RUN_RUNNING] + r->n[RUN_ENDED] +
               r->n[RUN_REPORTING] ==
           0;
}
