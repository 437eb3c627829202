/*
 * sched_wait.c - where a job waits: for others, for a pause, in its lane, to be refused.
 *
 * Invariants: a job is in a lane's heap only as J_QUEUED, in pauses as J_PAUSE, in ended as J_OVER,
 * in the list check as J_CHECK, in doomed as J_DOOMED; others have it as a waiter only while it is
 * J_CHECK or J_AFTER.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists of what is to be looked at */

static void list_add(struct job_node **list, struct job_node *j)
{
    j->next = *list;
    if (j->next)
        j->next->prev = &j->next;
    j->prev = list;
    *list = j;
}

static void list_remove(struct job_node *j)
{
    if (!j->prev)
        return;
    *j->prev = j->next;
    if (j->next)
        j->next->prev = j->prev;
    j->next = NULL;
    j->prev = NULL;
}

/* ---- what others wait for */

static void dep_free(struct sched *s, struct dep *d)
{
    HASH_DEL(s->deps, d);
    free(d);
}

void jobs_wake_waiters(struct sched *s, const char *name)
{
    struct dep *d;

    HASH_FIND_STR(s->deps, name, d);
    if (!d)
        return;
    for (struct waiter *w; (w = d->waiters);) {
        d->waiters = w->next;
        if (w->next)
            w->next->prev = &d->waiters;
        w->dep = NULL;
        if (w->job->state == J_AFTER) {
            w->job->state = J_CHECK;
            list_add(&s->check, w->job);
        }
    }
    dep_free(s, d);
}

static struct dep *dep_get(struct sched *s, const char *name)
{
    struct dep *d;

    HASH_FIND_STR(s->deps, name, d);
    if (d || !(d = calloc(1, sizeof *d + strlen(name) + 1)))
        return d;
    strcpy(d->name, name);
    HASH_ADD_STR(s->deps, name, d);
    if (d->hh.tbl)
        return d;
    free(d);
    return NULL;
}

/* Becomes a waiter of the i-th of those that it is to run after. */
static bool wait_for(struct sched *s, struct job_node *j, size_t i)
{
    struct dep *d = dep_get(s, j->after[i]);
    struct waiter *w = &j->waits[i];

    if (!d)
        return false;
    *w = (struct waiter){ .dep = d, .job = j, .next = d->waiters, .prev = &d->waiters };
    if (w->next)
        w->next->prev = &w->next;
    d->waiters = w;
    return true;
}

static void forget_waits(struct sched *s, struct job_node *j)
{
    for (size_t i = 0; i < j->n_after; i++) {
        struct waiter *w = &j->waits[i];
        struct dep *d = w->dep;

        if (!d)
            continue;
        *w->prev = w->next;
        if (w->next)
            w->next->prev = w->prev;
        w->dep = NULL;
        if (!d->waiters)
            dep_free(s, d);
    }
}

/* ---- out of where it is */

/* Leaves its place; grants stay. */
void job_leave(struct sched *s, struct job_node *j)
{
    switch (j->state) {
    case J_QUEUED:
        keep_drop_job(s, j);
        lane_remove(s, j);
        break;
    case J_PAUSE:
        heap_remove(&s->pauses, j);
        break;
    case J_OVER:
        retain_remove(s, j);
        break;
    case J_AFTER:
        forget_waits(s, j);
        break;
    case J_CHECK:
        forget_waits(s, j);
        list_remove(j);
        break;
    default:
        list_remove(j);
        break;
    }
    j->state = J_IDLE;
}

void job_doom(struct sched *s, struct job_node *j, int exit, const char *words)
{
    job_leave(s, j);
    free(j->words);
    j->words = strdup(words);
    j->doom_exit = exit;
    j->state = J_DOOMED;
    list_add(&s->doomed, j);
}

void jobs_refuse(struct sched *s)
{
    for (struct job_node *j; (j = s->doomed);) {
        list_remove(j);
        j->state = J_SENT;
        j->placing = false;
        if (j == s->early_now)
            continue;
        s->counts.refused++;
        s->fx.refuse(s->arg, j->name, j->uid, j->doom_exit,
                     j->words ? j->words : "it cannot be run");
    }
}

/* ---- into the queue */

void job_free_after(struct job_node *j)
{
    for (size_t i = 0; i < j->n_after; i++)
        free(j->after[i]);
    free(j->after);
    free(j->waits);
    j->after = NULL;
    j->waits = NULL;
    j->n_after = 0;
}

/* Keeps what the scheduler has to know of the spec. */
int job_read_spec(struct sched *s, struct job_node *j, struct oerr *e)
{
    const char *near;
    struct want w;
    int rc = want_read(&w, j->spec, e);

    if (rc < 0)
        return rc;
    j->files = w.files;
    j->endless = w.endless;
    j->timeout_us = w.timeout_us;
    near = w.near && s->fx.near ? s->fx.near(s->arg, w.near) : NULL;
    free(j->near);
    j->near = near ? strdup(near) : NULL;
    job_free_after(j);
    if (w.n_after && (j->after = calloc(w.n_after, sizeof *j->after)) &&
        (j->waits = calloc(w.n_after, sizeof *j->waits)))
        for (; j->n_after < w.n_after; j->n_after++)
            if (!(j->after[j->n_after] = strdup(w.after[j->n_after])))
                break;
    j->lane = j->n_after == w.n_after ? lane_get(s, j, &w) : NULL;
    want_free(&w);
    return j->lane ? 0 : -ENOMEM;
}

static void enqueue(struct sched *s, struct job_node *j)
{
    if (j->not_before_us > s->wall_us && heap_add(&s->pauses, j) == 0)
        j->state = J_PAUSE;
    else if (lane_add(s, j) == 0)
        j->state = J_QUEUED;
}

static void wait_or_enqueue(struct sched *s, struct job_node *j)
{
    if (j->n_after) {
        j->state = J_CHECK;
        list_add(&s->check, j);
    } else {
        enqueue(s, j);
    }
}

void job_wait(struct sched *s, struct job_node *j)
{
    struct oerr e = { "" };
    int rc = j->lane ? 0 : job_read_spec(s, j, &e);

    if (rc == 0)
        wait_or_enqueue(s, j);
    else if (rc == -ENOMEM)
        job_doom(s, j, 126, "the scheduler's machine has no memory left");
    else
        job_doom(s, j, 126, e.text);
}

static const char *bad_end(const struct job_node *d)
{
    return !d                           ? "is gone"
           : d->record == JOB_CANCELLED ? "was cancelled"
           : d->record == JOB_LOST      ? "was lost"
                                        : "failed";
}

/* 1: all have ended well; 0: it waits; -1: it is doomed. While it waits for one it is a waiter of
 * all, so that none is forgotten before it has begun. */
static int look_after(struct sched *s, struct job_node *j)
{
    char words[JOB_WORDS_MAX];
    bool wait = false;

    forget_waits(s, j);
    for (size_t i = 0; i < j->n_after; i++) {
        const struct job_node *d = job_named(s, j->after[i]);

        if (d && (d->record == JOB_DONE || !job_is_over(d->record))) {
            wait = wait || d->record != JOB_DONE;
            if (!wait_for(s, j, i))
                return 0;
            continue;
        }
        snprintf(words, sizeof words, "it was to run after job %s, which %s", j->after[i],
                 bad_end(d));
        forget_waits(s, j);
        job_doom(s, j, 126, words);
        return -1;
    }
    if (!wait)
        forget_waits(s, j);
    return wait ? 0 : 1;
}

void jobs_check(struct sched *s)
{
    for (struct job_node *j; (j = s->check);) {
        int rc;

        list_remove(j);
        j->state = J_IDLE;
        rc = look_after(s, j);
        if (rc == 0)
            j->state = J_AFTER;
        else if (rc > 0)
            enqueue(s, j);
    }
}

void jobs_wake(struct sched *s)
{
    for (struct job_node *j; (j = heap_top(&s->pauses)) && j->not_before_us <= s->wall_us;) {
        heap_remove(&s->pauses, j);
        j->state = J_IDLE;
        enqueue(s, j);
        if (j->state == J_IDLE)
            return;
    }
}
