/*
 * pipe_world.c - machines that start, see each other, get letters, and crash.
 */
#include "tests/sim/pipe_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(const struct world *w, const struct machine *m, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s: ", w->seed, w->n,
            sim_now(w->s), m ? m->id : "-");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

void rearm(struct machine *m)
{
    uint64_t now = sim_now(m->w->s), next = pn_next(m->pn);

    sim_timer(m->w->s, m->i, T_PN, next > now ? next : now + 1);
}

void send_letter(struct world *w, unsigned from, unsigned to, const struct letter *l)
{
    sim_send(w->s, from, to, l, sizeof *l);
}

/* ---- membership */

static void see(struct machine *m, unsigned j, enum member_state state, uint64_t incarnation)
{
    struct view *v = &m->view[j];

    if (v->state == state && v->incarnation == incarnation)
        return;
    v->state = state;
    v->incarnation = incarnation;
    pn_member(m->pn, sim_now(m->w->s), m->w->m[j].id, incarnation, state);
}

static void look(struct machine *m, uint64_t now)
{
    struct world *w = m->w;

    for (unsigned j = 0; j < w->n; j++) {
        struct view *v = &m->view[j];

        if (j == m->i)
            continue;
        if (sim_connected(w->s, m->i, j)) {
            v->missed = 0;
            see(m, j, MEMBER_ALIVE, w->m[j].incarnation);
            continue;
        }
        if (!v->missed)
            v->missed = now;
        if (now - v->missed >= PN_HOLDER_LOST_MS)
            w->m[j].was_lost = true;
        if (v->incarnation && v->state != MEMBER_LEFT && now - v->missed >= SUSPECT_MS)
            see(m, j, now - v->missed < DEAD_MS ? MEMBER_SUSPECT : MEMBER_DEAD, v->incarnation);
    }
}

/* ---- events */

static void on_deliver(void *arg, unsigned to, unsigned from, const void *msg, size_t n)
{
    struct world *w = arg;
    const struct letter *l = msg;
    struct letter a = { .kind = ENTRIES, .n = w->n_log };

    (void)n;
    if (to == w->n) {
        if (l->kind == SUBMIT)
            on_submit(w, l);
        else
            send_letter(w, to, from, &a);
        return;
    }
    if (l->kind == ENTRIES)
        on_entries(&w->m[to], l->n);
    else if (l->kind == JOIN)
        on_join(&w->m[to], from, l);
    else
        on_join_answer(&w->m[to], l);
    rearm(&w->m[to]);
}

static void on_timer(void *arg, unsigned node, unsigned which)
{
    struct world *w = arg;
    struct machine *m = &w->m[node];
    uint64_t now = sim_now(w->s);

    if (which == T_PN) {
        pn_tick(m->pn, now);
    } else {
        look(m, now);
        ends_close(m, 0, now);
        ask_again(m, now);
        joins_look(m, now);
        sim_timer(w->s, node, T_POLL, now + POLL_MS / 4 + sim_below(w->s, POLL_MS / 2));
    }
    rearm(m);
}

static const struct sim_ops ops = { on_deliver, on_timer, check };

/* ---- life */

void boot(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    sim_boot(w->s, i);
    m->incarnation = sim_now(w->s) + 1;
    m->frozen = 0;
    memset(m->view, 0, sizeof m->view);
    if (pn_create(&m->pn, sim_now(w->s), m->id, m->incarnation, &fx, m) < 0)
        abort();
    sim_trace(w->s, "%s: starts", m->id);
    read_all(m);
    sim_timer(w->s, i, T_POLL, sim_now(w->s) + sim_below(w->s, POLL_MS));
    rearm(m);
}

void crash(struct world *w, unsigned i, bool leaves)
{
    struct machine *m = &w->m[i];
    struct pipe_names *pn = m->pn;

    sim_trace(w->s, "%s: %s", m->id, leaves ? "leaves" : "crashes");
    for (unsigned j = 0; leaves && j < w->n; j++)
        if (j != i && sim_connected(w->s, i, j))
            see(&w->m[j], j == i ? j : i, MEMBER_LEFT, m->incarnation);
    sim_crash(w->s, i);
    m->pn = NULL;
    pn_destroy(pn);
    m->ends = 0;
    m->was_lost = true; /* whatever it held */
    for (size_t k = 0; k < w->n_ops; k++)
        if (w->op[k].at == i)
            w->op[k].ended = true;
}

struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->n = 2 + (unsigned)(seed % (MACHINES - 1));
    w->seed = seed;
    w->state = json_object();
    w->s = sim_new(w->n + 1, seed, &ops, w);
    for (unsigned i = 0; i < w->n; i++) {
        w->m[i] = (struct machine){ .w = w, .i = i, .state = json_object() };
        snprintf(w->m[i].id, sizeof w->m[i].id, "m%u", i);
    }
    return w;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct pipe_names *pn = w->m[i].pn;

        w->m[i].pn = NULL;
        pn_destroy(pn);
        json_decref(w->m[i].state);
    }
    for (size_t k = 0; k < w->n_cmds; k++)
        json_decref(w->cmd[k].fields);
    json_decref(w->state);
    free(w->claim);
    sim_free(w->s);
    free(w);
}
