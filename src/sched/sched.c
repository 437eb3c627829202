/*
 * sched.c - the scheduler's steps: what has changed is looked at, then jobs are tried in order.
 *
 * A step tries the lanes that are not blocked, by priority, share and age, until each is placed,
 * blocked or refused. What it decides leaves in one batch. Invariant: between steps every waiting
 * job is in a lane that is blocked for a reason that still holds, unless sched_next() says so.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct sched_options sched_defaults = {
    .fair = true,
    .backfill = true,
    .half_life_ms = 3600 * 1000,
    .fence_ms = 4000,
    .lost_ms = 12000,
    .keep_ms = 7ull * 24 * 3600 * 1000,
    .keep_jobs = 10000,
};

static bool wakes_before(const void *a, const void *b)
{
    const struct job_node *x = a, *y = b;

    return x->not_before_us != y->not_before_us ? x->not_before_us < y->not_before_us
                                                : x->uid < y->uid;
}

int sched_create(struct sched **out, const struct sched_options *options, const struct sched_fx *fx,
                 void *arg)
{
    struct sched *s = calloc(1, sizeof *s);

    *out = NULL;
    if (!s || !(s->batch = calloc(STEP_PLACES, sizeof *s->batch))) {
        free(s);
        return -ENOMEM;
    }
    s->opt = options ? *options : sched_defaults;
    s->fx = *fx;
    s->arg = arg;
    s->pauses = HEAP_INIT(struct job_node, place, wakes_before);
    retain_init(s);
    s->fences_ms = s->probes_ms = s->poor_ms = UINT64_MAX;
    fair_init(&s->fair, s->opt.half_life_ms, 0);
    *out = s;
    return 0;
}

void sched_destroy(struct sched *s)
{
    if (!s)
        return;
    jobs_free(s);
    lanes_free(s);
    needs_free(s);
    choices_free(s);
    machines_free(s);
    free(s->batch);
    free(s);
}

void sched_time(struct sched *s, uint64_t now_ms, uint64_t wall_us)
{
    s->now_ms = now_ms;
    s->wall_us = wall_us;
    fair_time(&s->fair, wall_us);
}

static void forget_untold(struct sched *s)
{
    struct job_node *j, *next;

    HASH_ITER (hh, s->jobs, j, next)
        if (!j->told)
            job_gone(s, j);
    for (struct machine *m = s->machines; m; m = m->hh.next)
        if (!m->told)
            sched_runner(s, m->id, 0, false);
}

void sched_sync(struct sched *s, bool begin)
{
    if (!begin) {
        forget_untold(s);
        return;
    }
    for (struct job_node *j = s->jobs; j; j = j->hh.next)
        j->told = false;
    for (struct machine *m = s->machines; m; m = m->hh.next)
        m->told = false;
}

/* ---- deciding */

/* Acts on how a try went; false: nothing more is tried in this step. */
static bool tried(struct sched *s, struct queue *q, struct lane *l, enum outcome how)
{
    static const enum blocked blocked[] = { [NO_ROOM] = BLOCKED_FULL,
                                            [KEPT_ROOM] = BLOCKED_KEPT,
                                            [ASKS] = BLOCKED_ASKS,
                                            [UNFIT] = BLOCKED_UNFIT };

    if (how == NO_MEMORY)
        return false;
    if (how == PLACED || how == DOOMED) {
        queue_moved(s, q);
        return true;
    }
    if (!s->opt.backfill && how == NO_ROOM)
        return false;
    return lane_block(s, l, blocked[how]);
}

/* Tries the queues of a level; false: enough for this step. */
static bool try_level(struct sched *s, struct level *level, size_t *tries)
{
    struct queue *q = queue_first(s, level);

    for (; q; q = heap_top(&s->order)) {
        struct lane *l = heap_top(&q->ready);

        if (!lane_still_hopeful(s, l)) {
            if (!lane_block(s, l, l->was))
                return false;
            continue;
        }
        if (s->n_batch == STEP_PLACES || ++*tries > STEP_TRIES) {
            s->left_over = true;
            return false;
        }
        if (!tried(s, q, l, place_try(s, heap_top(&l->jobs))))
            return false;
        if (s->kinds_look)
            kinds_keep(s);
    }
    return true;
}

static void decide(struct sched *s)
{
    size_t tries = 0;

    for (size_t i = 0; i < s->n_levels && s->n_ready; i++)
        if (!try_level(s, s->levels[i], &tries))
            break;
    queues_done(s);
    if (blocked_left(s))
        s->left_over = true;
}

void sched_step(struct sched *s)
{
    s->left_over = false;
    s->steps++;
    early_expire(s);
    machine_rank(s);
    machines_look(s);
    needs_expire(s);
    jobs_wake(s);
    jobs_check(s);
    keeps_look(s);
    blocked_look(s);
    if (s->kinds_look)
        kinds_keep(s);
    decide(s);
    place_send(s);
    jobs_refuse(s);
    fences_look(s);
    retain_look(s);
}

uint64_t sched_next(const struct sched *s)
{
    const struct job_node *j = heap_top(&s->pauses);
    uint64_t at = s->left_over ? s->now_ms : UINT64_MAX, t;

    if (j) {
        t = j->not_before_us > s->wall_us ? (j->not_before_us - s->wall_us + 999) / 1000 : 0;
        at = s->now_ms + t < at ? s->now_ms + t : at;
    }
    at = s->probes_ms < at ? s->probes_ms : at;
    at = s->fences_ms < at ? s->fences_ms : at;
    at = s->poor_ms < at ? s->poor_ms : at;
    at = s->retain_ms < at ? s->retain_ms : at;
    t = early_next(s);
    at = t < at ? t : at;
    for (size_t i = 0; i < KEEPS_MAX; i++) {
        t = s->keeps[i].since_ms + KEEP_PATIENCE_MS;
        if (s->keeps[i].job && t > s->now_ms && t < at)
            at = t;
    }
    return at;
}

void sched_counts(const struct sched *s, struct sched_counts *out)
{
    *out = s->counts;
    out->jobs = HASH_COUNT(s->jobs);
    out->machines = s->fit.n;
    out->over = s->ended.n + s->going.n + s->elements_over;
    for (const struct job_node *j = s->jobs; j; j = j->hh.next) {
        out->running += j->state == J_RUNNING;
        out->waiting += j->state == J_CHECK || j->state == J_AFTER || j->state == J_PAUSE;
    }
}
