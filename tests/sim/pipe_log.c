/*
 * pipe_log.c - the registry: its log is true, but it answers only while it has a quorum. A machine
 * asks again until the deadline.
 */
#include "tests/sim/pipe_world.h"
#include "tests/lib/registry_model.h"

#include <errno.h>
#include <string.h>

void on_submit(struct world *w, const struct letter *l)
{
    struct cmd *c = &w->cmd[l->n];
    struct letter news = { .kind = ENTRIES };
    json_t *result;

    if (sim_now(w->s) < w->no_quorum || c->entry)
        return;
    w->log[w->n_log++] = l->n;
    c->entry = w->n_log;
    c->rc = model_apply(w->state, w->n_log, pipe_commands, c->name, c->fields, &result, &c->words);
    json_decref(result);
    news.n = w->n_log;
    for (unsigned i = 0; i < w->n; i++)
        send_letter(w, w->n, i, &news);
}

static void apply_one(struct machine *m, bool tell)
{
    struct world *w = m->w;
    struct cmd *c = &w->cmd[w->log[m->applied++]];
    const char *name = json_string_value(json_object_get(c->fields, "name"));
    struct oerr e = { "" };
    char key[REGISTRY_KEY_MAX];
    json_t *result;

    model_apply(m->state, m->applied, pipe_commands, c->name, c->fields, &result, &e);
    json_decref(result);
    snprintf(key, sizeof key, PIPE_KEY "%s", name);
    if (tell)
        pn_record(m->pn, sim_now(w->s), name, json_object_get(m->state, key));
}

void read_all(struct machine *m)
{
    const char *key;
    json_t *value;

    pn_all_begin(m->pn);
    json_object_foreach (m->state, key, value)
        pn_record(m->pn, sim_now(m->w->s), key + strlen(PIPE_KEY), value);
    pn_all_end(m->pn);
}

static void answer(struct machine *m, uint64_t now)
{
    struct world *w = m->w;

    for (size_t k = 0; k < w->n_cmds; k++) {
        struct cmd *c = &w->cmd[k];
        int rc = -EAGAIN;

        if (c->answered || c->from != m->i || c->life != m->incarnation ||
            !((c->entry && c->entry <= m->applied) || now >= c->deadline))
            continue;
        c->answered = true;
        if (c->entry && c->entry <= m->applied)
            rc = c->rc;
        pn_answered(m->pn, now, c->call, rc, rc == -EAGAIN ? "no quorum" : c->words.text);
    }
}

/* A long way behind it gets a copy of the state. */
void on_entries(struct machine *m, size_t n)
{
    bool behind = n > m->applied + 4;

    while (m->applied < n)
        apply_one(m, !behind);
    if (behind)
        read_all(m);
    answer(m, sim_now(m->w->s));
}

void ask_again(struct machine *m, uint64_t now)
{
    struct world *w = m->w;
    struct letter l = { .kind = POLL };

    answer(m, now);
    send_letter(w, m->i, w->n, &l);
    l.kind = SUBMIT;
    for (l.n = 0; l.n < w->n_cmds; l.n++)
        if (!w->cmd[l.n].answered && !w->cmd[l.n].entry && w->cmd[l.n].from == m->i &&
            w->cmd[l.n].life == m->incarnation)
            send_letter(w, m->i, w->n, &l);
}
