/*
 * form_log.c - the model of consensus of form_world.h: logs, elections, replication.
 */
#include "tests/sim/form_world.h"

#include <stdlib.h>
#include <string.h>

int world_leader(const struct world *w, int group)
{
    return w->g[group].leader;
}

const struct entry *world_conf(const struct group *g)
{
    return &g->log[g->n - 1];
}

const struct consensus_server *log_server(const struct entry *e, uint64_t node)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->conf[i].node == node)
            return &e->conf[i];
    return NULL;
}

const struct consensus_server *world_server(const struct group *g, uint64_t node)
{
    return log_server(world_conf(g), node);
}

unsigned world_voters(const struct group *g)
{
    const struct entry *c = world_conf(g);
    unsigned n = 0;

    for (size_t i = 0; i < c->n; i++)
        n += c->conf[i].role == ROLE_VOTER;
    return n;
}

/* ---- the log */

struct entry *log_push(struct group *g)
{
    struct entry *e;

    if (g->n == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 64;
        if (!(g->log = realloc(g->log, g->cap * sizeof *g->log)))
            abort();
    }
    e = &g->log[g->n];
    if (g->n > 0)
        *e = g->log[g->n - 1];
    else
        memset(e, 0, sizeof *e);
    g->n++;
    return e;
}

static void apply_one(struct applied *a, const struct entry *e)
{
    if (e->kind == E_INIT)
        a->init = true;
    if (a->ended)
        return;
    if (e->kind == E_MEMBER) {
        a->members |= 1u << e->machine;
        a->forgotten &= ~(1u << e->machine);
    } else if (e->kind == E_FORGET) {
        a->members &= ~(1u << e->machine);
        a->forgotten |= 1u << e->machine;
    } else if (e->kind == E_DATA)
        a->data = true;
    else if (e->kind == E_DISSOLVE && !a->data) {
        a->ended = true;
        memcpy(a->into, e->into, sizeof a->into);
    }
}

void log_apply(struct machine *m, size_t upto)
{
    struct disk *d = &m->disk;

    while (d->applied < upto) {
        apply_one(&d->state, &m->w->g[d->group].log[d->applied++]);
        m->dirty = true;
    }
}

/* Has it a replica of that registry, under that node, and a link to `from`? */
static struct machine *replica(struct world *w, int g, const struct consensus_server *s,
                               unsigned from)
{
    struct machine *m = &w->m[index_of(s->id)];

    if (!m->f || m->disk.node != s->node || m->disk.group != g ||
        (m->i != from && !sim_connected(w->s, m->i, from)))
        return NULL;
    return m;
}

/* Voters of that configuration which `m` reaches and whose log is not newer than `stored`. */
static bool has_quorum(struct world *w, int g, const struct machine *m, const struct entry *conf,
                       size_t stored)
{
    unsigned voters = 0, got = 0;

    for (size_t i = 0; i < conf->n; i++) {
        const struct machine *a;

        if (conf->conf[i].role != ROLE_VOTER)
            continue;
        voters++;
        a = replica(w, g, &conf->conf[i], m->i);
        got += a && a->disk.stored <= stored;
    }
    return got > voters / 2;
}

/* Commits e as the newest entry: on the leader's disk, and on those of just a majority. */
static void commit(struct world *w, int g, struct machine *m, size_t had)
{
    struct group *group = &w->g[g];
    const struct entry *e = world_conf(group);
    unsigned voters = world_voters(group), got = 0;
    size_t at = sim_below(w->s, (unsigned)e->n + 1);

    m->disk.stored = group->n;
    for (size_t k = 0; k < e->n; k++) {
        const struct consensus_server *s = &e->conf[(at + k) % e->n];
        struct machine *a = replica(w, g, s, m->i);

        if (!a || s->role != ROLE_VOTER || a->disk.stored > had + 1)
            continue;
        if (a == m || got <= voters / 2) {
            a->disk.stored = group->n;
            a->dirty = true;
            got++;
        }
    }
    log_apply(m, group->n);
}

/* Appends an entry on the leader, if it leads and reaches a quorum of the configuration that `e`
 * makes. */
bool log_propose(struct machine *m, int g, const struct entry *make)
{
    struct world *w = m->w;
    struct group *group = &w->g[g];
    size_t had = group->n;
    struct entry *e;

    if (group->leader != (int)m->i || m->disk.group != g)
        return false;
    e = log_push(group);
    e->kind = make->kind;
    e->machine = make->machine;
    memcpy(e->into, make->into, sizeof e->into);
    if (make->kind == E_CONF) {
        memcpy(e->conf, make->conf, sizeof e->conf);
        e->n = make->n;
    }
    if (!has_quorum(w, g, m, e, had)) {
        group->n = had;
        return false;
    }
    if (e->kind == E_DATA && !group->ended)
        group->data = true;
    if (e->kind == E_DISSOLVE && !group->data)
        group->ended = true;
    commit(w, g, m, had);
    return true;
}

static void elect(struct world *w, int g)
{
    struct group *group = &w->g[g];
    unsigned at = sim_below(w->s, w->n);

    for (unsigned k = 0; k < w->n; k++) {
        struct machine *m = &w->m[(at + k) % w->n];
        const struct consensus_server *s;
        const struct entry *conf;

        if (!m->f || m->disk.group != g || m->disk.stored == 0)
            continue;
        conf = &group->log[m->disk.stored - 1];
        s = log_server(conf, m->disk.node);
        if (!s || s->role != ROLE_VOTER || !has_quorum(w, g, m, conf, m->disk.stored))
            continue;
        if (m->disk.stored != group->n)
            world_fail(w, "wins an election without all that was committed", m);
        group->leader = (int)m->i;
        group->term++;
        group->led_ms = sim_now(w->s);
        m->dirty = true;
        log_apply(m, group->n);
        sim_trace(w->s, "%s: leads registry %d", m->id, g);
        return;
    }
}

void log_depose(struct world *w, int g)
{
    struct group *group = &w->g[g];
    struct machine *m = &w->m[group->leader];

    m->leads_ms = sim_now(w->s) + sim_below(w->s, 400);
    m->dirty = true;
    group->leader = NOBODY;
    group->elect_ms = sim_now(w->s) + 100 + sim_below(w->s, 300);
}

/* Sends the log to those who learn or vote; a fresh one takes up the first that comes. */
static void replicate(struct world *w, int g)
{
    struct group *group = &w->g[g];
    unsigned leader = (unsigned)group->leader;
    const struct entry *conf = world_conf(group);

    for (size_t i = 0; i < conf->n; i++) {
        struct machine *m = &w->m[index_of(conf->conf[i].id)];

        if (m->i == leader || conf->conf[i].role == ROLE_SPARE || !m->f ||
            m->disk.node != conf->conf[i].node || !sim_connected(w->s, leader, m->i) ||
            sim_chance(w->s, 300000))
            continue;
        if (m->disk.group == NOBODY) {
            m->disk.group = g;
            m->dirty = true;
        }
        if (m->disk.group != g)
            continue;
        log_apply(m, m->disk.stored);
        m->dirty |= m->disk.stored != group->n;
        m->disk.stored = group->n;
    }
}

bool log_leads(const struct machine *m)
{
    return m->disk.group != NOBODY &&
           (m->w->g[m->disk.group].leader == (int)m->i || sim_now(m->w->s) < m->leads_ms);
}

void log_tick(struct world *w, int g)
{
    struct group *group = &w->g[g];
    const struct consensus_server *s;
    struct machine *m;

    if (group->leader == NOBODY) {
        if (sim_now(w->s) >= group->elect_ms)
            elect(w, g);
        return;
    }
    m = &w->m[group->leader];
    s = m->f && m->disk.group == g ? world_server(group, m->disk.node) : NULL;
    if (!s || s->role != ROLE_VOTER || !has_quorum(w, g, m, world_conf(group), group->n)) {
        log_depose(w, g);
        return;
    }
    replicate(w, g);
    if (sim_chance(w->s, 500000))
        return;
    if (!m->disk.state.init) {
        log_propose(m, g, &(struct entry){ .kind = E_INIT });
        sim_trace(w->s, "%s: registry %d has its id %.8s", m->id, g, group->registry);
    } else if (!((m->disk.state.members | m->disk.state.forgotten) & 1u << m->i) && !group->ended)
        log_propose(m, g, &(struct entry){ .kind = E_MEMBER, .machine = m->i });
}
