/*
 * rv_world.c - see rv_world.h.
 */
#include "tests/unit/rv_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct letter {
    struct letter *next;
    unsigned from, to;
    uint64_t from_incarnation, to_incarnation;
    uint64_t call;
    bool answer;
    json_t *body;
};

/* A question that has been delivered. */
struct asking {
    unsigned from;
    uint64_t from_incarnation, call;
};

static void post(struct machine *m, const struct letter *proto, const struct rv_msg *msg)
{
    struct world *w = m->w;
    struct letter *l = malloc(sizeof *l);

    if (!l)
        abort();
    *l = *proto;
    l->next = NULL;
    l->from = m->i;
    l->from_incarnation = m->incarnation;
    l->body = rv_msg_encode(msg);
    if (!l->body)
        abort();
    w->sent[msg->kind]++;
    *w->last = l;
    w->last = &l->next;
}

static void fx_ask(void *arg, const char *to, uint64_t call, const struct rv_msg *q)
{
    struct machine *m = arg;
    unsigned i = (unsigned)(to[0] - 'a');

    post(m, &(struct letter){ .to = i, .to_incarnation = m->w->m[i].incarnation, .call = call }, q);
}

static void fx_answer(void *arg, void *ask, const struct rv_msg *a)
{
    struct asking *g = ask;

    post(
        arg,
        &(struct letter){
            .to = g->from, .to_incarnation = g->from_incarnation, .call = g->call, .answer = true },
        a);
    free(g);
}

static void fx_changed(void *arg, const struct pipe_info *p, enum rv_change what)
{
    static const char *const word[] = { "added", "changed", "holder", "renamed", "unheld", "gone" };
    struct machine *m = arg;
    size_t n = strlen(m->log);

    if (what == RV_HOLDER)
        snprintf(m->log + n, sizeof m->log - n, "holder %s %s\n", p->name,
                 p->holder[0] ? p->holder : "-");
    else
        snprintf(m->log + n, sizeof m->log - n, "%s %s\n", word[what], p->name);
    if (what == RV_ADDED && rv_find(m->rv, p->name) != p)
        abort(); /* names are unique and found when they are told */
}

static void fx_done(void *arg, void *op, int rc, const struct pipe_info *p, const char *text)
{
    struct result *res = op;

    (void)arg;
    res->ended++;
    res->rc = rc;
    if (p)
        res->info = *p;
    snprintf(res->text, sizeof res->text, "%s", text ? text : "");
}

static const struct rv_fx fx = { fx_changed, fx_ask, fx_answer, fx_done };

static void arrive(struct world *w, struct letter *l)
{
    struct machine *m = &w->m[l->to];
    struct asking *g;
    struct rv_msg msg;
    struct oerr e;

    if (!m->rv || m->incarnation != l->to_incarnation || w->cut[l->from][l->to])
        return;
    if (rv_msg_decode(&msg, l->body, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    if (l->answer) {
        rv_answered(m->rv, w->now, l->call, 0, &msg);
    } else {
        g = malloc(sizeof *g);
        if (!g)
            abort();
        *g = (struct asking){ l->from, l->from_incarnation, l->call };
        rv_asked(m->rv, w->now, w->m[l->from].id, g, &msg);
    }
    rv_msg_free(&msg);
}

bool deliver_one(struct world *w)
{
    struct letter *l = w->first;

    if (!l)
        return false;
    w->first = l->next;
    if (!w->first)
        w->last = &w->first;
    arrive(w, l);
    json_decref(l->body);
    free(l);
    return true;
}

void settle(struct world *w)
{
    for (unsigned n = 0; deliver_one(w); n++)
        if (n > 1000000)
            abort(); /* they never stop talking */
}

void pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now + ms;

    for (;;) {
        struct machine *due = NULL;
        uint64_t next = until;

        settle(w);
        for (unsigned i = 0; i < w->n; i++)
            if (w->m[i].rv && rv_next(w->m[i].rv) <= next) {
                due = &w->m[i];
                next = rv_next(due->rv);
            }
        if (next > w->now)
            w->now = next;
        if (!due)
            return;
        rv_tick(due->rv, w->now);
    }
}

void member(struct world *w, unsigned of, unsigned at, enum member_state state)
{
    if (w->m[at].rv)
        rv_member(w->m[at].rv, w->now, w->m[of].id, w->m[of].incarnation, state);
}

void boot(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    m->incarnation++;
    m->log[0] = '\0';
    if (rv_create(&m->rv, m->id, m->incarnation, &fx, m) < 0)
        abort();
    for (unsigned j = 0; j < w->n; j++) {
        if (j == i || !w->m[j].rv)
            continue;
        member(w, i, j, MEMBER_ALIVE);
        member(w, j, i, MEMBER_ALIVE);
    }
    settle(w);
}

void crash(struct world *w, unsigned i)
{
    rv_destroy(w->m[i].rv);
    w->m[i].rv = NULL;
}

void dead(struct world *w, unsigned i)
{
    for (unsigned j = 0; j < w->n; j++)
        if (j != i)
            member(w, i, j, MEMBER_DEAD);
}

void cut_off(struct world *w, unsigned i, bool cut)
{
    for (unsigned j = 0; j < w->n; j++) {
        w->cut[i][j] = w->cut[j][i] = cut;
        if (j == i)
            continue;
        member(w, i, j, cut ? MEMBER_DEAD : MEMBER_ALIVE);
        member(w, j, i, cut ? MEMBER_DEAD : MEMBER_ALIVE);
    }
    settle(w);
}

struct world *world_new(unsigned n)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->n = n;
    w->now = 1000;
    w->last = &w->first;
    for (unsigned i = 0; i < n; i++) {
        w->m[i].w = w;
        w->m[i].i = i;
        w->m[i].id[0] = (char)('a' + i);
        boot(w, i);
    }
    return w;
}

/* Answers that never came leave their askings behind: they are the letters' and the cores' own. */
void world_free(struct world *w)
{
    pass(w, RV_DEADLINE_MS); /* so that every question is answered */
    for (unsigned i = 0; i < w->n; i++)
        rv_destroy(w->m[i].rv);
    while (w->first) {
        struct letter *l = w->first;

        w->first = l->next;
        json_decref(l->body);
        free(l);
    }
    free(w);
}

static int record(int rc, struct result *res, const struct oerr *e)
{
    if (rc <= 0) {
        res->ended++;
        res->rc = rc;
        snprintf(res->text, sizeof res->text, "%s", rc < 0 ? e->text : "");
    }
    return rc;
}

int make_at(struct world *w, unsigned i, const char *name, uint64_t created_us, struct result *res)
{
    struct pipe_options opt = { .owner = "ann", .created_us = created_us };
    struct oerr e = { "" };

    *res = (struct result){ 0 };
    return record(rv_make(w->m[i].rv, w->now, name, &opt, res, &res->info, &e), res, &e);
}

int make(struct world *w, unsigned i, const char *name, bool excl, struct result *res)
{
    struct pipe_options opt = { .owner = "ann", .created_us = w->now, .excl = excl };
    struct oerr e = { "" };
    int rc;

    *res = (struct result){ 0 };
    rc = record(rv_make(w->m[i].rv, w->now, name, &opt, res, &res->info, &e), res, &e);
    settle(w);
    return rc;
}

int open_reader(struct world *w, unsigned i, const char *name, struct result *res)
{
    struct oerr e = { "" };
    int rc;

    *res = (struct result){ 0 };
    rc = record(rv_open_reader(w->m[i].rv, w->now, name, res, &res->info, &e), res, &e);
    settle(w);
    return rc;
}

int removes(struct world *w, unsigned i, const char *name, struct result *res)
{
    struct oerr e = { "" };
    int rc;

    *res = (struct result){ 0 };
    rc = record(rv_remove(w->m[i].rv, w->now, name, res, &e), res, &e);
    settle(w);
    return rc;
}

int sets(struct world *w, unsigned i, const char *name, int mode, uint64_t capacity,
         struct result *res)
{
    struct oerr e = { "" };
    int rc;

    *res = (struct result){ 0 };
    rc = record(rv_set(w->m[i].rv, w->now, name, mode, capacity, res, &res->info, &e), res, &e);
    settle(w);
    return rc;
}

const struct pipe_info *at(struct world *w, unsigned i, const char *name)
{
    return rv_find(w->m[i].rv, name);
}
