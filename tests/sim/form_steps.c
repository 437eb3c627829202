/*
 * form_steps.c - asks formation for steps, and carries them out (form_world.h).
 *
 * Invariants, at every change:
 *  - nothing is wiped but the replica of a registry that has ended, and none ends with data;
 *  - a machine asks for one change at a time, of servers that are there, to another role;
 *  - no change takes the quorum from the voters that its leader holds alive; nor from those that
 *    are alive in truth, when nobody died lately.
 */
#include "tests/sim/form_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALM_MS = 5000 };

static void check_quorum(const struct machine *m, const struct entry *before,
                         const struct entry *after)
{
    const struct world *w = m->w;
    bool calm = sim_now(w->s) - w->fault_ms > CALM_MS;
    unsigned voters = 0, seen = 0, was = 0, was_seen = 0;

    for (size_t i = 0; i < before->n; i++) {
        unsigned j = index_of(before->conf[i].id);

        was += before->conf[i].role == ROLE_VOTER;
        was_seen += before->conf[i].role == ROLE_VOTER && (j == m->i || m->view[j].alive);
    }
    for (size_t i = 0; i < after->n; i++) {
        unsigned j = index_of(after->conf[i].id);
        bool there = calm ? w->m[j].f && w->m[j].disk.node == after->conf[i].node
                          : j == m->i || m->view[j].alive;

        voters += after->conf[i].role == ROLE_VOTER;
        seen += after->conf[i].role == ROLE_VOTER && there;
    }
    if (was_seen > was / 2 && seen <= voters / 2)
        world_fail(w, "a change takes the quorum from those alive", m);
}

/* The configuration that a step makes; false: it is so already, or the server is gone. */
static bool make_conf(const struct machine *m, const struct group *group,
                      const struct form_step *step, struct entry *make)
{
    struct consensus_server *s;

    *make = *world_conf(group);
    make->kind = E_CONF;
    s = (struct consensus_server *)log_server(make, step->node);
    if (step->what == FORM_ADD) {
        if (s || make->n == SERVERS)
            world_fail(m->w, "adds a server twice", m);
        s = &make->conf[make->n++];
        *s = (struct consensus_server){ .node = step->node, .role = ROLE_SPARE };
        strcpy(s->id, step->id);
        return true;
    }
    if (!s || (step->what == FORM_ASSIGN && s->role == step->role))
        return false;
    if (step->what == FORM_ASSIGN)
        s->role = step->role;
    else
        *s = make->conf[--make->n];
    return true;
}

static bool changes_votes(const struct entry *a, const struct entry *b)
{
    unsigned n[2] = { 0, 0 };

    for (size_t i = 0; i < a->n; i++)
        n[0] += a->conf[i].role == ROLE_VOTER;
    for (size_t i = 0; i < b->n; i++)
        n[1] += b->conf[i].role == ROLE_VOTER;
    return n[0] != n[1];
}

static void change(struct machine *m, int g, const struct form_step *step)
{
    struct world *w = m->w;
    struct group *group = &w->g[g];
    struct entry make;
    bool votes;

    if (!make_conf(m, group, step, &make))
        return;
    votes = changes_votes(world_conf(group), &make);
    if (step->what == FORM_ADD &&
        !log_propose(m, g, &(struct entry){ .kind = E_MEMBER, .machine = index_of(step->id) }))
        return;
    if (!log_propose(m, g, &make))
        return;
    w->changes++;
    group->changes++;
    group->votes_changed += votes;
}

/* What a leader asks for, by what it knows. */
static void check_ask(const struct machine *m, const struct form_step *step)
{
    struct entry make;
    const struct group *group;

    if (step->what != FORM_ADD && step->what != FORM_ASSIGN && step->what != FORM_REMOVE)
        return;
    if (m->asking)
        world_fail(m->w, "asks for two changes at once", m);
    group = &m->w->g[m->disk.group];
    if (group->leader != (int)m->i)
        return;
    if (!make_conf(m, group, step, &make))
        world_fail(m->w, "asks for what is so already", m);
    if (changes_votes(world_conf(group), &make))
        check_quorum(m, world_conf(group), &make);
}

static void bootstrap(struct machine *m)
{
    struct world *w = m->w;
    struct group *group = &w->g[w->groups];
    struct entry *e;

    if (w->groups == GROUPS)
        world_fail(w, "too many registries", m);
    snprintf(group->registry, sizeof group->registry, "%016" PRIx64, sim_random(w->s));
    group->leader = NOBODY;
    e = log_push(group);
    e->kind = E_CONF;
    e->conf[0] = (struct consensus_server){ .node = m->disk.node, .role = ROLE_VOTER };
    strcpy(e->conf[0].id, m->id);
    e->n = 1;
    m->disk.group = w->groups++;
    m->disk.stored = m->disk.applied = 1;
    w->bootstraps++;
}

void step_fresh(struct disk *d, struct sim *s)
{
    d->group = NOBODY;
    d->node = sim_random(s) | 1;
    d->stored = d->applied = 0;
    d->state = (struct applied){ 0 };
}

static void wipe(struct machine *m, const struct form_step *step)
{
    struct world *w = m->w;
    struct group *group = &w->g[m->disk.group];

    if (!group->ended || group->data)
        world_fail(w, "wipes what has not ended", m);
    standing_ended(m->disk.from, group->registry);
    memcpy(m->disk.into, step->registry, sizeof m->disk.into);
    step_fresh(&m->disk, w->s);
    w->wiped++;
}

static void hand_over(struct world *w, int g, uint64_t node)
{
    struct group *group = &w->g[g];
    const struct consensus_server *s = world_server(group, node);
    struct machine *to = s ? &w->m[index_of(s->id)] : NULL;

    if (!to || s->role != ROLE_VOTER || !sim_connected(w->s, to->i, (unsigned)group->leader) ||
        to->disk.group != g || to->disk.node != node || to->disk.stored != group->n)
        return;
    log_depose(w, g);
    group->leader = (int)to->i;
    group->term++;
    to->dirty = true;
    sim_trace(w->s, "%s: leads registry %d by a hand-over", to->id, g);
}

void step_carry_out(struct machine *m)
{
    struct world *w = m->w;
    const struct form_step *step = &m->ask;
    struct entry dissolve = { .kind = E_DISSOLVE };
    bool led = m->ask_group != NOBODY && w->g[m->ask_group].leader == (int)m->i;

    m->asking = false;
    m->dirty = true;
    if (m->disk.group != m->ask_group)
        return;
    switch (step->what) {
    case FORM_NOTHING:
        break;
    case FORM_BOOTSTRAP:
        bootstrap(m);
        break;
    case FORM_ADD:
    case FORM_ASSIGN:
    case FORM_REMOVE:
        if (led)
            change(m, m->ask_group, step);
        break;
    case FORM_TRANSFER:
        if (led)
            hand_over(w, m->ask_group, step->node);
        break;
    case FORM_DISSOLVE:
        strcpy(dissolve.into, step->registry);
        if (led && !w->g[m->ask_group].ended && log_propose(m, m->ask_group, &dissolve))
            w->dissolved += w->g[m->ask_group].ended;
        break;
    case FORM_WIPE:
        wipe(m, step);
        break;
    }
}

/* ---- asking formation */

static bool is_member(void *arg, const char *id)
{
    const struct machine *m = arg;

    return m->disk.state.members & 1u << index_of(id);
}

static bool ended(void *arg, const char *registry, char into[REGISTRY_ID])
{
    const struct machine *m = arg;

    if (!m->disk.state.ended || strcmp(registry, m->w->g[m->disk.group].registry) != 0)
        return false;
    memcpy(into, m->disk.state.into, REGISTRY_ID);
    return true;
}

static bool caught_up(void *arg, uint64_t node)
{
    const struct machine *m = arg;

    for (unsigned j = 0; j < m->w->n; j++) {
        const struct disk *d = &m->w->m[j].disk;

        if (d->node == node)
            return d->group == m->disk.group && d->stored == m->w->g[d->group].n &&
                   sim_connected(m->w->s, m->i, j);
    }
    return false;
}

static size_t list(const struct machine *m, struct form_machine *v)
{
    size_t n = 0;

    for (unsigned j = 0; j < m->w->n; j++) {
        const struct view *a = &m->view[j];

        if (j == m->i) {
            v[n] = (struct form_machine){ .alive = true, .known = true, .is = world_standing(m) };
            v[n].since_ms = m->started_ms + m->clock;
        } else if (a->listed) {
            v[n] = (struct form_machine){
                .alive = a->alive, .left = a->left, .known = a->known, .is = a->is
            };
            v[n].since_ms = a->since_ms + m->clock;
        } else {
            continue;
        }
        strcpy(v[n++].id, m->w->m[j].id);
    }
    return n;
}

void step_ask(struct machine *m)
{
    struct world *w = m->w;
    struct form_machine machines[MACHINES];
    struct form_facts k = { .now_ms = sim_now(w->s) + m->clock,
                            .self = m->id,
                            .started_ms = m->started_ms + m->clock,
                            .machines = machines,
                            .n = list(m, machines),
                            .is_leader = log_leads(m),
                            .changing = m->asking,
                            .is_member = is_member,
                            .ended = ended,
                            .caught_up = caught_up,
                            .arg = m };
    struct form_step step;

    if (m->disk.group != NOBODY && m->disk.stored > 0) {
        const struct entry *conf = &w->g[m->disk.group].log[m->disk.stored - 1];

        k.servers = conf->conf;
        k.n_servers = conf->n;
    }
    m->dirty = false;
    formation_step(m->f, &k, &step);
    if (step.what == FORM_NOTHING)
        return;
    check_ask(m, &step);
    if (m->asking)
        return;
    sim_trace(w->s, "%s: %s (%d %s)", m->id, step.why, step.what, step.id);
    m->asking = true;
    m->ask = step;
    m->ask_group = m->disk.group;
    m->ask_ms = sim_now(w->s) + 1 + sim_below(w->s, w->ask_max);
}
