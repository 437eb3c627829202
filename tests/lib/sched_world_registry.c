/*
 * sched_world_registry.c - what the scheduler asks for, and what a registry and machines do with
 * it.
 */
#include "tests/lib/sched_world_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct todo *todo_add(struct world *w, int what)
{
    struct todo *t = calloc(1, sizeof *t);

    if (!t)
        abort();
    t->what = what;
    *w->todo_end = t;
    w->todo_end = &t->next;
    return t;
}

void todo_free(struct todo *t)
{
    free(t->on);
    free(t->groups);
    free(t);
}

/* ---- effects */

static void log_place(struct world *w, const char *verb, const struct todo *t)
{
    if (!w->logs)
        return;
    obuf_printf(&w->log, "%s %s", verb, t->name);
    for (size_t k = 0; k < t->n_on; k++)
        obuf_printf(&w->log, " %s", t->on[k]);
    if (t->n_groups > t->n_on) {
        obuf_puts(&w->log, " /");
        for (size_t k = 0; k < t->n_groups; k++)
            obuf_printf(&w->log, " %s", t->groups[k]);
    }
    obuf_puts(&w->log, "\n");
}

static void fill_place(struct world *w, struct todo *t, const struct job_place *p)
{
    t->attempt = p->attempt;
    t->on = calloc(p->n_on, sizeof *t->on);
    t->groups = calloc(p->n_groups, sizeof *t->groups);
    t->n_on = p->n_on;
    t->n_groups = p->n_groups;
    t->status = p->status_group;
    for (size_t k = 0; k < t->n_on; k++) {
        const struct world_machine *m = world_find(w, p->on[k]);

        strcpy(t->on[k], p->on[k]);
        if (m->health != SCHED_ALIVE || m->draining || !m->session || m->fenced)
            world_die(w, "job %s is placed on %s, which may not have it", t->name, m->id);
    }
    for (size_t k = 0; k < t->n_groups; k++)
        strcpy(t->groups[k], p->groups[k]);
}

static void fx_place(void *arg, const struct job_place *p, size_t n)
{
    struct world *w = arg;
    uint64_t from = world_now_ns();

    for (size_t i = 0; i < n; i++) {
        struct todo *t = todo_add(w, DO_PLACE);

        strcpy(t->name, p[i].name);
        t->uid = p[i].uid;
        fill_place(w, t, &p[i]);
        log_place(w, "place", t);
    }
    w->effects_ns += world_now_ns() - from;
}

/* ---- jobs that are placed with their making */

struct making {
    struct world *w;
    struct world_job *j;
    struct todo *t;
};

static void put_early(void *arg, const struct job_place *p)
{
    struct making *m = arg;

    m->t = todo_add(m->w, DO_MAKE);
    strcpy(m->t->name, m->j->r.name);
    m->t->uid = m->j->r.uid;
    fill_place(m->w, m->t, p);
    log_place(m->w, "early", m->t);
}

bool world_early(struct world *w, struct world_job *j)
{
    struct making m = { .w = w, .j = j };
    struct job r = j->r;
    uint64_t id;

    r.name[0] = '\0'; /* nobody knows it yet */
    r.uid = 0;
    j->making = sched_early(w->s, &r, &id, put_early, &m);
    if (j->making != (m.t != NULL))
        world_die(w, "job %s is placed, or it is not", j->r.name);
    if (j->making)
        m.t->id = id;
    return j->making;
}

static void fx_refuse(void *arg, const char *name, uint64_t uid, int exit, const char *words)
{
    struct world *w = arg;
    struct todo *t = todo_add(w, DO_REFUSE);

    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->words, sizeof t->words, "%s", words);
    t->uid = uid;
    t->exit = exit;
    if (w->logs)
        obuf_printf(&w->log, "refuse %s %d %s\n", name, exit, words);
}

static void fx_probe(void *arg, uint64_t id, const char *machine, const struct sched_need *need)
{
    struct world *w = arg;
    const char *words = NULL;
    struct todo *t;

    w->probes++;
    if (w->logs && w->can)
        obuf_printf(&w->log, "probe %s %s %s\n", machine, need->user, need->command);
    if (w->mute)
        return;
    t = todo_add(w, DO_PROBE);
    t->id = id;
    t->exit = w->can ? w->can(w->arg, machine, need, &words) : 0;
    snprintf(t->words, sizeof t->words, "%s", words ? words : "");
}

static void fx_fence(void *arg, const char *machine, uint64_t session)
{
    struct world *w = arg;
    struct todo *t = todo_add(w, DO_FENCE);

    strcpy(t->machine, machine);
    t->session = session;
    if (w->logs)
        obuf_printf(&w->log, "fence %s\n", machine);
}

static void fx_lost(void *arg, const char *machine, uint64_t session)
{
    struct world *w = arg;
    struct todo *t = todo_add(w, DO_LOST);

    strcpy(t->machine, machine);
    t->session = session;
    if (w->logs)
        obuf_printf(&w->log, "lost %s\n", machine);
}

static void fx_forget(void *arg, const struct job_id *ids, size_t n)
{
    struct world *w = arg;

    if (w->logs)
        obuf_puts(&w->log, "forget");
    for (size_t i = 0; i < n; i++) {
        struct todo *t = todo_add(w, DO_FORGET);

        strcpy(t->name, ids[i].name);
        t->uid = ids[i].uid;
        if (w->logs)
            obuf_printf(&w->log, " %s", t->name);
    }
    if (w->logs)
        obuf_puts(&w->log, "\n");
}

static const char *fx_near(void *arg, const char *path)
{
    struct world *w = arg;

    return w->near ? w->near(path) : NULL;
}

const struct sched_fx world_fx = { fx_place, fx_refuse, fx_probe, fx_fence,
                                   fx_lost,  fx_forget, fx_near };

/* ---- what the registry does with what the scheduler asks for */

static void step(struct world *w)
{
    uint64_t from = world_now_ns();

    w->effects_ns = 0;
    sched_step(w->s);
    w->ns += world_now_ns() - from - w->effects_ns;
}

static bool is_left(struct world *w, const struct world_job *j, const struct todo *t)
{
    bool left =
        !j || j->r.uid != t->uid || j->r.state != JOB_PENDING || t->attempt != j->r.attempt + 1;

    for (size_t i = 0; !left && i < t->n_groups; i++)
        left = world_find(w, t->groups[i])->fenced || !world_find(w, t->groups[i])->session;
    return left;
}

static void do_place(struct world *w, struct todo *t)
{
    struct world_job *j = world_job_of(w, t->name);

    if (is_left(w, j, t)) {
        sched_failed(w->s, t->name, t->uid, t->attempt);
        return;
    }
    free(j->r.on);
    free(j->r.groups);
    j->r.on = t->on;
    j->r.n_on = t->n_on;
    t->on = NULL;
    j->r.groups = calloc(t->n_groups, sizeof *j->r.groups);
    j->r.n_groups = t->n_groups;
    for (size_t i = 0; i < t->n_groups; i++)
        strcpy(j->r.groups[i].machine, t->groups[i]);
    j->r.status_group = t->status;
    j->r.attempt++;
    j->r.state = JOB_RUNNING;
    j->r.not_before_us = 0;
    j->r.started_us = WORLD_WALL_US + w->now_ms * 1000;
    j->r.end = (struct job_end){ 0 };
    if (!j->begun)
        j->first_ms = w->now_ms;
    j->begun = true;
    w->placements++;
    world_use(w, j, NULL, 1);
    if (w->placed)
        w->placed(w->arg, j);
    world_tell(w, j);
}

static void do_make(struct world *w, struct todo *t)
{
    struct world_job *j = world_job_of(w, t->name);

    if (j)
        j->making = false;
    if (is_left(w, j, t)) { /* it was refused, or is made all the same */
        sched_early_gone(w->s, t->id);
        if (j)
            world_tell(w, j);
        return;
    }
    sched_early_made(w->s, t->id, t->name, t->uid);
    do_place(w, t);
}

static void do_refuse(struct world *w, struct todo *t)
{
    struct world_job *j = world_job_of(w, t->name);

    if (!j || j->r.uid != t->uid || j->r.state != JOB_PENDING) {
        sched_failed(w->s, t->name, t->uid, 0);
        return;
    }
    w->refusals++;
    j->r.state = JOB_FAILED;
    j->r.ended_us = WORLD_WALL_US + w->now_ms * 1000;
    j->r.end = (struct job_end){ .cause = JOB_NOT_BEGUN, .exit = t->exit };
    strcpy(j->r.end.words, t->words);
    world_tell(w, j);
}

static void do_fence(struct world *w, struct todo *t)
{
    struct world_machine *m = world_find(w, t->machine);

    if (m->session != t->session || m->fenced)
        return;
    w->fences++;
    m->fenced = true;
    sched_runner(w->s, m->id, m->session, true);
}

void world_lose(struct world *w, struct world_job *j, const char *id)
{
    bool over = true;

    if (w->gone)
        w->gone(w->arg, j, id);
    world_use(w, j, id, -1);
    for (size_t i = 0; i < j->r.n_groups; i++) {
        struct job_group *g = &j->r.groups[i];

        if (strcmp(g->machine, id) == 0)
            g->end.cause = JOB_LOSS;
        /* Those that hear of it end their parts, which has no use any more. */
        over = over &&
               (g->end.cause != JOB_NOT_ENDED || world_find(w, g->machine)->health == SCHED_ALIVE);
    }
    if (over) {
        w->losses++;
        world_end_job(w, j, JOB_LOSS, -1);
    } else {
        world_tell(w, j);
    }
}

/* What was placed on the machine and has not ended is lost. */
static void lose(struct world *w, const char *id)
{
    struct world_job *j, *next;

    HASH_ITER (hh, w->jobs, j, next) {
        bool there = false;

        for (size_t i = 0; i < j->r.n_groups; i++)
            there = there || (strcmp(j->r.groups[i].machine, id) == 0 &&
                              j->r.groups[i].end.cause == JOB_NOT_ENDED);
        if (there && j->r.state == JOB_RUNNING)
            world_lose(w, j, id);
    }
}

void world_claim(struct world *w, const char *id)
{
    struct world_machine *m = world_find(w, id);

    lose(w, id);
    m->session = ++w->sessions;
    m->fenced = false;
    sched_runner(w->s, id, m->session, false);
}

static void do_lost(struct world *w, struct todo *t)
{
    struct world_machine *m = world_find(w, t->machine);

    if (m->session != t->session)
        return;
    if (!m->fenced)
        world_die(w, "%s is lost and was not fenced", m->id);
    lose(w, m->id);
}

static void do_forget(struct world *w, struct todo *t)
{
    struct world_job *j = world_job_of(w, t->name);

    if (!j || j->r.uid != t->uid)
        return;
    if (!job_is_over(j->r.state))
        world_die(w, "job %s is forgotten and not over", t->name);
    w->forgotten++;
    sched_job_gone(w->s, j->r.name, j->r.uid);
    world_job_free(w, j);
}

static void do_one(struct world *w, struct todo *t)
{
    static void (*const acts[])(struct world *, struct todo *) = {
        [DO_PLACE] = do_place, [DO_MAKE] = do_make, [DO_REFUSE] = do_refuse,
        [DO_FENCE] = do_fence, [DO_LOST] = do_lost, [DO_FORGET] = do_forget
    };

    if (t->what == DO_PROBE)
        sched_probed(w->s, t->id, t->exit, *t->words ? t->words : NULL);
    else
        acts[t->what](w, t);
}

void world_commit(struct world *w)
{
    struct todo *list = w->todo;

    w->todo = NULL;
    w->todo_end = &w->todo;
    for (struct todo *t; (t = list);) {
        list = t->next;
        do_one(w, t);
        todo_free(t);
    }
}

void world_go(struct world *w)
{
    do {
        step(w);
        if (w->hold)
            return;
        world_commit(w);
        step(w);
    } while (w->todo || sched_next(w->s) <= w->now_ms);
}
