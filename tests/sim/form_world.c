/*
 * form_world.c - see form_world.h: machines, and what they know of each other.
 */
#include "tests/sim/form_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T_HELLO, T_HEARTBEAT };
enum { HEARTBEAT_MS = 1000, DEAD_MS = 3000 };

struct msg {
    enum { HELLO, HEARTBEAT, FAREWELL } type;
    uint64_t incarnation;
    struct standing is;
};

static const char *role_name(enum consensus_role r)
{
    static const char *const name[] = { "spare", "learner", "voter" };

    return name[r];
}

void world_fail(const struct world *w, const char *what, const struct machine *m)
{
    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s%s%s\n", w->seed, w->n,
            sim_now(w->s), what, m ? ": " : "", m ? m->id : "");
    for (unsigned i = 0; i < w->n; i++) {
        const struct machine *a = &w->m[i];
        char words[256] = "";

        if (a->f)
            formation_state(a->f, words);
        fprintf(stderr, "  %s %s registry %d %zu/%zu%s %s\n", a->id, a->f ? "up" : "down",
                a->disk.group, a->disk.applied, a->disk.stored, a->disk.state.data ? " data" : "",
                words);
    }
    for (int g = 0; g < w->groups; g++) {
        const struct entry *c = world_conf(&w->g[g]);

        fprintf(stderr, "  registry %d %.8s leader %d%s%s:", g, w->g[g].registry, w->g[g].leader,
                w->g[g].data ? " data" : "", w->g[g].ended ? " ended" : "");
        for (size_t i = 0; i < c->n; i++)
            fprintf(stderr, " %s/%s%s", c->conf[i].id, role_name(c->conf[i].role),
                    w->m[index_of(c->conf[i].id)].disk.node == c->conf[i].node ? "" : "(old)");
        fprintf(stderr, "\n");
    }
    fprintf(stderr, "again: tests/sim/sim_formation %" PRIu64 "\n", w->seed);
    exit(1);
}

unsigned index_of(const char *id)
{
    return (unsigned)strtoul(id + 1, NULL, 10);
}

bool world_up(const struct world *w, unsigned i)
{
    return w->m[i].f != NULL;
}

/* ---- membership */

struct standing world_standing(const struct machine *m)
{
    const struct disk *d = &m->disk;
    struct standing is = { .node = d->node, .leaving = m->leaving, .index = d->applied };

    memcpy(is.from, d->from, sizeof is.from);
    memcpy(is.into, d->into, sizeof is.into);
    if (d->group == NOBODY)
        return is;
    is.begun = !d->state.init;
    is.data = d->state.data;
    is.leader = log_leads(m);
    is.term = m->w->g[d->group].term - (is.leader && m->w->g[d->group].leader != (int)m->i);
    if (d->stored > 0)
        is.machines = (uint32_t)m->w->g[d->group].log[d->stored - 1].n;
    if (d->state.init)
        memcpy(is.registry, m->w->g[d->group].registry, sizeof is.registry);
    if (is.leader)
        strcpy(is.refuses, formation_refuses(m->f));
    return is;
}

static void cast(struct machine *m, int type)
{
    struct msg msg = { .type = type, .incarnation = m->incarnation };

    if (type == HEARTBEAT)
        msg.is = world_standing(m);
    sim_cast(m->w->s, m->i, &msg, sizeof msg);
}

static void on_timer(void *arg, unsigned i, unsigned which)
{
    static const unsigned gap[] = { 100, 200, 400 };
    struct world *w = arg;
    struct machine *m = &w->m[i];

    if (which == T_HELLO) {
        cast(m, HELLO);
        sim_timer(w->s, i, T_HELLO, sim_now(w->s) + (m->hellos < 3 ? gap[m->hellos++] : 1000));
    } else {
        cast(m, HEARTBEAT);
        sim_timer(w->s, i, T_HEARTBEAT, sim_now(w->s) + HEARTBEAT_MS);
    }
}

static void hear(struct machine *m, struct view *v, const struct msg *msg)
{
    uint64_t now = sim_now(m->w->s);

    if (msg->incarnation < v->incarnation || msg->incarnation <= v->gone ||
        (v->left && msg->incarnation == v->incarnation))
        return;
    if (!v->listed || msg->incarnation > v->incarnation) {
        v->alive = v->known = v->left = false;
        v->listed = true;
    }
    v->incarnation = msg->incarnation;
    v->heard_ms = now;
    if (v->alive != (msg->type != FAREWELL)) {
        v->alive = msg->type != FAREWELL;
        v->since_ms = now;
        m->dirty = true;
    }
    v->left = msg->type == FAREWELL;
    if (msg->type != HEARTBEAT)
        return;
    m->dirty |= !v->known || memcmp(&v->is, &msg->is, sizeof v->is) != 0;
    v->known = true;
    v->is = msg->is;
}

static void on_deliver(void *arg, unsigned to, unsigned from, const void *data, size_t n)
{
    struct world *w = arg;

    (void)n;
    if (w->m[to].f)
        hear(&w->m[to], &w->m[to].view[from], data);
}

static void tick_views(struct machine *m)
{
    uint64_t now = sim_now(m->w->s);

    for (unsigned j = 0; j < m->w->n; j++) {
        struct view *v = &m->view[j];

        if (j == m->i || !v->alive || now - v->heard_ms < DEAD_MS)
            continue;
        v->alive = false;
        v->since_ms = now;
        m->dirty = true;
    }
}

/* ---- machines come and go */

static bool stays(void *arg, const char *id)
{
    const struct machine *m = arg;
    const struct view *v = &m->view[index_of(id)];

    return v->alive && v->known && !v->is.leaving;
}

static bool others_stay(const struct machine *m)
{
    for (unsigned j = 0; j < m->w->n; j++)
        if (j != m->i && stays((void *)m, m->w->m[j].id))
            return true;
    return false;
}

static void tick_leave(struct machine *m)
{
    struct world *w = m->w;
    const struct entry *conf = m->disk.group == NOBODY || m->disk.stored == 0
                                   ? NULL
                                   : &w->g[m->disk.group].log[m->disk.stored - 1];

    if (sim_now(w->s) < m->leave_ms && conf &&
        (roles_leaving(conf->conf, conf->n, m->id, stays, m) || (log_leads(m) && others_stay(m))))
        return;
    sim_trace(w->s, "%s: leaves%s", m->id, sim_now(w->s) < m->leave_ms ? "" : " in a hurry");
    cast(m, FAREWELL);
    world_crash(w, m->i);
}

void world_boot(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    if (m->f)
        return;
    if (formation_create(&m->f) < 0)
        abort();
    sim_boot(w->s, i);
    for (unsigned j = 0; j < w->n; j++)
        m->view[j] = (struct view){ .gone = m->view[j].gone };
    m->incarnation++;
    m->started_ms = sim_now(w->s);
    m->clock = sim_below(w->s, 100000);
    m->leads_ms = m->hellos = 0;
    m->leaving = m->asking = false;
    m->dirty = true;
    sim_trace(w->s, "%s: starts", m->id);
    sim_timer(w->s, i, T_HELLO, sim_now(w->s) + sim_below(w->s, 20));
    sim_timer(w->s, i, T_HEARTBEAT, sim_now(w->s) + 50 + sim_below(w->s, HEARTBEAT_MS));
}

void world_crash(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    if (!m->f)
        return;
    sim_trace(w->s, "%s: stops", m->id);
    formation_destroy(m->f);
    m->f = NULL;
    m->leads_ms = 0;
    sim_crash(w->s, i);
    w->fault_ms = sim_now(w->s);
}

void world_leave(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    if (!m->f || m->leaving)
        return;
    sim_trace(w->s, "%s: wants to leave", m->id);
    m->leaving = m->dirty = true;
    m->leave_ms = sim_now(w->s) + 5000;
    cast(m, HEARTBEAT);
}

void world_lose_disk(struct world *w, unsigned i)
{
    struct disk *d = &w->m[i].disk;

    sim_trace(w->s, "%s: loses its disk", w->m[i].id);
    d->from[0] = d->into[0] = '\0';
    step_fresh(d, w->s);
}

void world_forget(struct world *w, unsigned i)
{
    sim_trace(w->s, "%s: is forgotten", w->m[i].id);
    for (int g = 0; g < w->groups; g++)
        if (w->g[g].leader != NOBODY && !w->g[g].ended)
            log_propose(&w->m[w->g[g].leader], g,
                        &(struct entry){ .kind = E_FORGET, .machine = i });
    for (unsigned j = 0; j < w->n; j++)
        w->m[j].view[i] = (struct view){ .gone = w->m[i].incarnation };
    for (unsigned j = 0; j < w->n; j++)
        w->m[j].dirty = true;
}

bool world_write(struct world *w, int g)
{
    struct entry data = { .kind = E_DATA };
    int leader = w->g[g].leader;

    return leader != NOBODY && !w->g[g].ended && w->m[leader].disk.state.init &&
           log_propose(&w->m[leader], g, &data);
}

/* ---- time */

static void tick_machine(struct machine *m)
{
    uint64_t now = sim_now(m->w->s);

    tick_views(m);
    if (m->disk.group != NOBODY && sim_chance(m->w->s, 700000))
        log_apply(m, m->disk.stored);
    if (m->leads_ms && now >= m->leads_ms) {
        m->leads_ms = 0;
        m->dirty = true;
    }
    if (m->asking && now >= m->ask_ms)
        step_carry_out(m);
    if (m->leaving)
        tick_leave(m);
    if (m->f && (m->dirty || now + m->clock >= formation_next(m->f)))
        step_ask(m);
}

void world_run(struct world *w, uint64_t until)
{
    while (sim_now(w->s) < until) {
        sim_run(w->s, sim_now(w->s) + QUANTUM_MS);
        for (int g = 0; g < w->groups; g++)
            log_tick(w, g);
        for (unsigned i = 0; i < w->n; i++)
            if (w->m[i].f)
                tick_machine(&w->m[i]);
    }
}

static const struct sim_ops ops = { on_deliver, on_timer, NULL };

struct world *world_new(uint64_t seed, unsigned machines)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->seed = seed;
    w->n = machines;
    w->s = sim_new(machines, seed, &ops, w);
    w->ask_max = 100;
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 5 };
    for (unsigned i = 0; i < machines; i++) {
        w->m[i].w = w;
        w->m[i].i = i;
        snprintf(w->m[i].id, sizeof w->m[i].id, "m%02u", i);
        step_fresh(&w->m[i].disk, w->s);
    }
    return w;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        formation_destroy(w->m[i].f);
    for (int g = 0; g < w->groups; g++)
        free(w->g[g].log);
    sim_free(w->s);
    free(w);
}
