/*
 * pn_world.c - see pn_world.h.
 */
#include "tests/unit/pn_world.h"
#include "tests/lib/registry_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asked {
    struct asked *next;
    unsigned from;
    uint64_t life, call, deadline;
    bool answered;
    char cmd[32];
    json_t *fields;
};

struct entry {
    unsigned from;
    uint64_t life, call;
    char cmd[32];
    json_t *fields;
};

/* ---- effects */

static void fx_changed(void *arg, const struct pipe_info *p, enum pn_change what)
{
    static const char *const words[] = { [PN_ADDED] = "added",
                                         [PN_CHANGED] = "changed",
                                         [PN_HOLDER] = "holder",
                                         [PN_UNHELD] = "unheld",
                                         [PN_GONE] = "gone" };
    struct machine *m = arg;
    size_t n = strlen(m->log);

    if (what == PN_HOLDER)
        snprintf(m->log + n, sizeof m->log - n, "holder %s %s\n", p->name,
                 p->holder[0] ? p->holder : "-");
    else
        snprintf(m->log + n, sizeof m->log - n, "%s %s\n", words[what], p->name);
    for (size_t i = 0; what == PN_UNHELD && i < 8; i++)
        if (m->used[i] == p->uid)
            m->used[i] = 0;
}

static int fx_submit(void *arg, uint64_t call, const char *cmd, json_t *fields,
                     unsigned deadline_ms)
{
    struct machine *m = arg;
    struct asked *a = calloc(1, sizeof *a);

    if (!a || deadline_ms > PN_DEADLINE_MS)
        abort();
    *a = (struct asked){ .from = m->i,
                         .life = m->incarnation,
                         .call = call,
                         .deadline = m->w->now + deadline_ms,
                         .fields = fields };
    snprintf(a->cmd, sizeof a->cmd, "%s", cmd);
    *m->w->last = a;
    m->w->last = &a->next;
    m->w->asks++;
    return 0;
}

static bool fx_let_go(void *arg, uint64_t uid)
{
    const struct machine *m = arg;

    for (size_t i = 0; i < 8; i++)
        if (m->used[i] == uid)
            return false;
    return true;
}

static void fx_done(void *arg, void *op, int rc, const struct pipe_info *p, const char *text)
{
    struct result *res = op;

    (void)arg;
    res->ended++;
    res->rc = rc;
    if (p)
        res->info = *p;
    if (text)
        snprintf(res->text, sizeof res->text, "%s", text);
}

static const struct pn_fx fx = { fx_changed, fx_submit, fx_let_go, fx_done };

/* ---- the log */

static void unlink_asked(struct world *w, struct asked *a)
{
    struct asked **p = &w->first;

    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
    if (w->last == &a->next)
        w->last = p;
    free(a);
}

static void log_asked(struct world *w, struct asked *a)
{
    struct entry *e;

    w->entries = realloc(w->entries, (w->n_entries + 1) * sizeof *w->entries);
    if (!w->entries)
        abort();
    e = &w->entries[w->n_entries++];
    *e = (struct entry){ a->from, a->life, a->answered ? 0 : a->call, "", a->fields };
    strcpy(e->cmd, a->cmd);
    unlink_asked(w, a);
}

bool log_one(struct world *w)
{
    if (!w->first || w->no_quorum)
        return false;
    log_asked(w, w->first);
    return true;
}

/* As the registry does: all in one transaction, and only then it is told what each came to. */
void apply(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];
    size_t first = m->applied, n = w->n_entries;
    struct outcome {
        int rc;
        struct oerr words;
    } *out = calloc(n - first + 1, sizeof *out);

    if (!out)
        abort();
    for (; m->applied < n; m->applied++) {
        const struct entry *e = &w->entries[m->applied];
        struct outcome *o = &out[m->applied - first];
        json_t *result;

        o->rc = model_apply(m->state, m->applied + 1, pipe_commands, e->cmd, e->fields, &result,
                            &o->words);
        json_decref(result);
    }
    for (size_t k = first; m->pn && k < n; k++) {
        struct entry e = w->entries[k];
        const char *name = json_string_value(json_object_get(e.fields, "name"));
        char key[REGISTRY_KEY_MAX];

        snprintf(key, sizeof key, PIPE_KEY "%s", name);
        pn_record(m->pn, w->now, name, json_object_get(m->state, key));
        if (e.call && e.from == i && e.life == m->incarnation)
            pn_answered(m->pn, w->now, e.call, out[k - first].rc, out[k - first].words.text);
    }
    free(out);
}

static bool overdue(struct world *w)
{
    for (struct asked *a = w->first; a; a = a->next) {
        struct machine *m = &w->m[a->from];

        if (a->answered || w->now < a->deadline)
            continue;
        a->answered = true;
        if (m->pn && m->incarnation == a->life)
            pn_answered(m->pn, w->now, a->call, -EAGAIN, "no quorum: 1 of 3 voters");
        if (!w->late) {
            json_decref(a->fields);
            unlink_asked(w, a);
        }
        return true;
    }
    return false;
}

void settle(struct world *w)
{
    bool more = true;

    while (more) {
        more = overdue(w);
        while (log_one(w))
            more = true;
        for (unsigned i = 0; i < w->n; i++) {
            struct machine *m = &w->m[i];

            if (!m->lags && m->applied < w->n_entries) {
                apply(w, i);
                more = true;
            }
            if (m->pn && pn_next(m->pn) <= w->now) {
                pn_tick(m->pn, w->now);
                more = true;
            }
        }
    }
}

void pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now + ms, next;

    settle(w);
    while (w->now < until) {
        next = until;
        for (unsigned i = 0; i < w->n; i++)
            if (w->m[i].pn && pn_next(w->m[i].pn) < next)
                next = pn_next(w->m[i].pn);
        for (struct asked *a = w->first; a; a = a->next)
            if (!a->answered && a->deadline < next)
                next = a->deadline;
        w->now = next;
        settle(w);
    }
}

/* ---- machines */

void member(struct world *w, unsigned of, unsigned i, enum member_state state)
{
    if (w->m[i].pn && of != i)
        pn_member(w->m[i].pn, w->now, w->m[of].id, w->m[of].incarnation, state);
}

void boot(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];
    const char *key;
    json_t *value;

    m->incarnation += 1000;
    if (pn_create(&m->pn, w->now, m->id, m->incarnation, &fx, m) < 0)
        abort();
    pn_all_begin(m->pn);
    json_object_foreach (m->state, key, value)
        pn_record(m->pn, w->now, key + strlen(PIPE_KEY), value);
    pn_all_end(m->pn);
    for (unsigned j = 0; j < w->n; j++) {
        member(w, i, j, MEMBER_ALIVE);
        if (w->m[j].pn)
            member(w, j, i, MEMBER_ALIVE);
    }
    settle(w);
}

void crash(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    m->incarnation++; /* what is answered from now on is not for it */
    pn_destroy(m->pn);
    m->pn = NULL;
    m->log[0] = '\0';
    memset(m->used, 0, sizeof m->used);
    m->incarnation--;
}

void dead(struct world *w, unsigned i)
{
    for (unsigned j = 0; j < w->n; j++)
        member(w, i, j, MEMBER_DEAD);
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
        w->m[i] = (struct machine){ .w = w, .i = i, .incarnation = i, .state = json_object() };
        snprintf(w->m[i].id, sizeof w->m[i].id, "%c", 'a' + i);
        boot(w, i);
    }
    return w;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        pn_destroy(w->m[i].pn);
        json_decref(w->m[i].state);
    }
    while (w->first) {
        json_decref(w->first->fields);
        unlink_asked(w, w->first);
    }
    for (size_t i = 0; i < w->n_entries; i++)
        json_decref(w->entries[i].fields);
    free(w->entries);
    free(w);
}

void use(struct world *w, unsigned i, uint64_t uid)
{
    for (size_t k = 0; k < 8; k++)
        if (!w->m[i].used[k]) {
            w->m[i].used[k] = uid;
            return;
        }
    abort();
}

void unuse(struct world *w, unsigned i, uint64_t uid)
{
    for (size_t k = 0; k < 8; k++)
        if (w->m[i].used[k] == uid)
            w->m[i].used[k] = 0;
    if (fx_let_go(&w->m[i], uid))
        pn_release(w->m[i].pn, w->now, uid);
    settle(w);
}

/* ---- operations */

static int begun(int rc, struct result *res, const struct oerr *e)
{
    if (rc <= 0) {
        res->ended++;
        res->rc = rc;
        snprintf(res->text, sizeof res->text, "%s", e->text);
    }
    return rc;
}

static int settled(struct world *w, int rc, struct result *res)
{
    settle(w);
    return rc == 1 && res->ended ? res->rc : rc;
}

int make_(struct world *w, unsigned i, const char *name, bool excl, struct result *res)
{
    struct pipe_options opt = {
        .owner = "ann", .perm = 0640, .made_us = w->now * 1000, .excl = excl
    };
    struct oerr e = { "" };

    *res = (struct result){ 0 };
    return begun(pn_make(w->m[i].pn, w->now, name, &opt, res, &e), res, &e);
}

int make(struct world *w, unsigned i, const char *name, bool excl, struct result *res)
{
    return settled(w, make_(w, i, name, excl, res), res);
}

int open_(struct world *w, unsigned i, const char *name, struct result *res)
{
    struct oerr e = { "" };

    *res = (struct result){ 0 };
    return begun(
        pn_open_reader(w->m[i].pn, w->now, w->now + PN_DEADLINE_MS, name, res, &res->info, &e), res,
        &e);
}

int open_reader(struct world *w, unsigned i, const char *name, struct result *res)
{
    return settled(w, open_(w, i, name, res), res);
}

int removes(struct world *w, unsigned i, const char *name, struct result *res)
{
    struct oerr e = { "" };

    *res = (struct result){ 0 };
    return settled(w, begun(pn_remove(w->m[i].pn, w->now, name, res, &e), res, &e), res);
}

int sets(struct world *w, unsigned i, const char *name, int mode, uint64_t capacity, int perm,
         struct result *res)
{
    struct pipe_set set = { mode, capacity, perm };
    struct oerr e = { "" };

    *res = (struct result){ 0 };
    return settled(w, begun(pn_set(w->m[i].pn, w->now, name, &set, res, &e), res, &e), res);
}

const struct pipe_info *at(struct world *w, unsigned i, const char *name)
{
    return pn_find(w->m[i].pn, name);
}
