/*
 * pipe_ops.c - buffers, played as the ends that they have; what the names of pipes ask for; and
 * operations of users, with readers that join the buffer of another machine.
 */
#include "tests/sim/pipe_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t total_ops, total_opens, total_again, total_unheld, total_commands;

/* ---- buffers */

bool used(const struct machine *m, uint64_t uid)
{
    for (unsigned k = 0; k < m->ends; k++)
        if (m->end[k].uid == uid)
            return true;
    return false;
}

void end_add(struct machine *m, uint64_t uid, uint64_t epoch)
{
    uint64_t until = sim_now(m->w->s) + sim_below(m->w->s, 4000);

    if (m->ends == ENDS)
        abort();
    m->end[m->ends++] = (struct end){ uid, epoch, until };
    sim_trace(m->w->s, "%s: an end of %" PRIx64 " epoch %" PRIu64 " until %" PRIu64, m->id, uid,
              epoch, until);
}

void ends_close(struct machine *m, uint64_t uid, uint64_t now)
{
    for (unsigned k = m->ends; k-- > 0;) {
        struct end e = m->end[k];

        if ((uid && e.uid != uid) || (!uid && e.until > now))
            continue;
        m->end[k] = m->end[--m->ends];
        if (!used(m, e.uid) && !uid)
            pn_release(m->pn, now, e.uid);
    }
}

/* ---- effects */

static void fx_changed(void *arg, const struct pipe_info *p, enum pn_change what)
{
    struct machine *m = arg;
    unsigned *made = &m->w->made[p->uid >> 20], name = (unsigned)(p->name[1] - '0') + 1;

    if (what == PN_ADDED && *made && *made != name)
        fail(m->w, m, "uid %" PRIx64 " is p%u and %s", p->uid, *made - 1, p->name);
    *made = name;
    sim_trace(m->w->s, "%s: %s %s holder %s epoch %" PRIu64, m->id,
              what == PN_ADDED    ? "added"
              : what == PN_GONE   ? "gone"
              : what == PN_UNHELD ? "unheld"
                                  : "changed",
              p->name, p->holder, p->epoch);
    if (what != PN_UNHELD)
        return;
    total_unheld++;
    if (!m->was_lost)
        fail(m->w, m, "lost its hold of %s, and nobody had reason to take it", p->name);
    ends_close(m, p->uid, 0);
}

static int fx_submit(void *arg, uint64_t call, const char *cmd, json_t *fields,
                     unsigned deadline_ms)
{
    struct machine *m = arg;
    struct world *w = m->w;
    struct cmd *c = &w->cmd[w->n_cmds];
    struct letter l = { .kind = SUBMIT, .n = w->n_cmds };

    if (w->n_cmds++ == CMDS - 1)
        fail(w, m, "too many commands");
    total_commands++;
    *c = (struct cmd){ .from = m->i,
                       .life = m->incarnation,
                       .call = call,
                       .deadline = sim_now(w->s) + deadline_ms,
                       .fields = fields };
    snprintf(c->name, sizeof c->name, "%s", cmd);
    sim_trace(w->s, "%s: asks %s %s", m->id, cmd,
              json_string_value(json_object_get(fields, "name")));
    send_letter(w, m->i, w->n, &l);
    return 0;
}

static bool fx_let_go(void *arg, uint64_t uid)
{
    return !used(arg, uid);
}

static void fx_done(void *arg, void *handle, int rc, const struct pipe_info *p, const char *text)
{
    struct machine *m = arg;

    if (rc < 0 && (!text || !*text))
        fail(m->w, m, "an error without words");
    if (m->pn)
        op_ended(handle, m, rc, p);
}

const struct pn_fx fx = { fx_changed, fx_submit, fx_let_go, fx_done };

/* ---- operations */

static void op_over(struct simop *op, struct machine *m, int rc)
{
    uint64_t by = op->deadline > m->frozen ? op->deadline : m->frozen;

    sim_trace(m->w->s, "%s: %s of kind %d ends: %d", m->id, op->name, (int)op->kind, rc);
    if (op->ended || op->cancelled)
        fail(m->w, m, "an operation ended twice, or after it was cancelled");
    if (sim_now(m->w->s) > by + SLACK_MS + (op->kind == OPEN ? 1000 : 0))
        fail(m->w, m, "an operation on %s took too long", op->name);
    op->ended = true;
    total_ops++;
}

void op_ended(struct simop *op, struct machine *m, int rc, const struct pipe_info *p)
{
    struct letter l = { .kind = JOIN, .life = m->incarnation };

    if (rc < 0 || op->kind != OPEN) {
        if (rc == 0 && op->kind == MAKE && !pn_find(m->pn, op->name))
            fail(m->w, m, "%s was made and is not there", op->name);
        if (rc == 0 && op->kind == REMOVE && pn_by_uid(m->pn, op->uid))
            fail(m->w, m, "%s was removed and is there", op->name);
        op_over(op, m, rc);
        return;
    }
    if (strcmp(p->holder, m->id) == 0) {
        if (!pn_holds(m->pn, p->uid, p->epoch))
            fail(m->w, m, "is to hold %s and does not", p->name);
        end_add(m, p->uid, p->epoch);
        total_opens++;
        op_over(op, m, 0);
        return;
    }
    l.n = (size_t)(op - m->w->op);
    l.uid = p->uid;
    l.epoch = p->epoch;
    op->joining = true;
    op->again_at = sim_now(m->w->s) + 1000; /* no answer by then: unreachable */
    send_letter(m->w, m->i, (unsigned)(p->holder[1] - '0'), &l);
}

void op_open(struct simop *op, struct machine *m)
{
    struct pipe_info info;
    struct oerr e = { "" };
    int rc = pn_open_reader(m->pn, sim_now(m->w->s), op->deadline, op->name, op, &info, &e);

    op->joining = false;
    op->again_at = UINT64_MAX;
    if (rc <= 0)
        op_ended(op, m, rc, &info);
}

void joins_look(struct machine *m, uint64_t now)
{
    for (size_t k = 0; k < m->w->n_ops; k++) {
        struct simop *op = &m->w->op[k];

        if (op->ended || op->cancelled || op->at != m->i || op->kind != OPEN || op->again_at > now)
            continue;
        if (op->joining)
            op_over(op, m, -EHOSTUNREACH);
        else if (now >= op->deadline)
            op_over(op, m, -EAGAIN);
        else {
            total_again++;
            op_open(op, m);
        }
    }
}

void on_join(struct machine *m, unsigned from, const struct letter *q)
{
    struct letter a = *q;

    if (!pn_holds(m->pn, q->uid, q->epoch)) {
        a.kind = REFUSED;
    } else if (!q->writes && !used(m, q->uid)) {
        pn_yield(m->pn, sim_now(m->w->s), q->uid);
        a.kind = REFUSED;
    } else {
        if (m->ends < ENDS / 2)
            end_add(m, q->uid, q->epoch);
        a.kind = JOINED;
    }
    send_letter(m->w, m->i, from, &a);
}

void on_join_answer(struct machine *m, const struct letter *a)
{
    struct simop *op = &m->w->op[a->n];

    if (a->writes || a->life != m->incarnation || op->ended || op->cancelled || !op->joining)
        return;
    if (a->kind == JOINED) {
        total_opens++;
        op_over(op, m, 0);
    } else {
        op->joining = false;
        op->again_at = sim_now(m->w->s) + REFUSED_MS;
    }
}
