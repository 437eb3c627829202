/*
 * sim_formation.c - formation of registries under starts in any order, partitions, late hearing,
 * kills, polite leaves, lost disks, and clusters that meet.
 *
 *   sim_formation           some thousand seeds of each story
 *   sim_formation SEED      that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N       so many seeds
 *
 * The seed picks the story. Beside the invariants of form_world.c: where all hear each other from
 * the start, one registry is begun; at the end, all healed, all are in one registry (in as many as
 * have data, when several have), with the wanted number of voters, and nothing changes any more.
 */
#include "tests/sim/form_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 120000, QUIET_MS = 20000 };

static struct {
    uint64_t seeds, bootstraps, dissolved, wiped, changes, orphans, settle_ms, settle_max;
} total;

static void until(struct world *w, unsigned ms)
{
    world_run(w, sim_now(w->s) + ms);
}

static unsigned between(struct world *w, unsigned a, unsigned b)
{
    return a + sim_below(w->s, b - a + 1);
}

static unsigned wanted(size_t machines)
{
    return machines >= 5 ? 5 : machines >= 3 ? 3 : machines > 0;
}

/* ---- the end: who should be where */

static unsigned groups_with_data(const struct world *w)
{
    unsigned n = 0;

    for (int g = 0; g < w->groups; g++)
        n += w->g[g].data;
    return n;
}

/* A machine whose registry ended while it was away, and nobody is left who was in it then. */
static bool is_orphan(const struct world *w, const struct machine *m)
{
    int g = m->disk.group;

    if (g == NOBODY || !w->g[g].ended || m->disk.state.ended)
        return false;
    for (unsigned i = 0; i < w->n; i++)
        if (strstr(w->m[i].disk.from, w->g[g].registry))
            return false;
    return w->g[g].leader == NOBODY;
}

/* Split: a voter that lost its disk may be in the other registry now, for people to decide. */
static bool seats_taken(const struct world *w, const struct group *g, size_t size, bool split)
{
    const struct entry *conf = world_conf(g);
    unsigned lost = 0;

    for (size_t i = 0; i < conf->n; i++)
        lost += conf->conf[i].role == ROLE_VOTER &&
                w->m[index_of(conf->conf[i].id)].disk.node != conf->conf[i].node;
    return (split && lost > 0) || (world_voters(g) == wanted(size) && conf->n == size);
}

/* NULL: all is as it should be. */
static const char *amiss(const struct world *w, const struct machine **who)
{
    bool used[GROUPS] = { false };
    unsigned groups = 0, data = groups_with_data(w), size[GROUPS] = { 0 };
    char words[256];

    for (unsigned i = 0; i < w->n; i++) {
        const struct machine *m = &w->m[i];
        const struct group *g = &w->g[m->disk.group == NOBODY ? 0 : m->disk.group];
        const struct consensus_server *s;
        enum form_state state;

        *who = m;
        if (!m->f || is_orphan(w, m))
            continue;
        if (m->disk.group == NOBODY || !m->disk.state.init)
            return "is in no registry";
        if (!(s = world_server(g, m->disk.node)) || s->role == ROLE_SPARE)
            return "does not learn its registry";
        if (!(m->disk.state.members & 1u << i))
            return "is not a member";
        state = formation_state(m->f, words);
        if (state != (data > 1 ? FORM_SPLIT : FORM_MEMBER) || (data <= 1 && words[0]))
            return "says another state";
        groups += !used[m->disk.group];
        used[m->disk.group] = true;
        size[m->disk.group]++;
    }
    if (groups != (data > 1 ? data : 1))
        return "another number of registries";
    for (int g = 0; g < w->groups; g++)
        if (used[g] && (w->g[g].leader == NOBODY || !seats_taken(w, &w->g[g], size[g], data > 1)))
            return "wrong voters";
    return NULL;
}

/* An operator forgets machines whose disks were replaced, as they are told to. */
static void help_refused(struct world *w)
{
    char words[256];

    for (unsigned i = 0; i < w->n; i++) {
        if (!w->m[i].f || formation_state(w->m[i].f, words) != FORM_REFUSED)
            continue;
        world_crash(w, i);
        until(w, 4000);
        world_forget(w, i);
        until(w, 3000);
        world_boot(w, i);
    }
}

/* Heals everything and waits until all is well; then nothing may change any more. */
static void settle(struct world *w)
{
    const struct machine *who = NULL;
    uint64_t from, last;
    const char *what;

    sim_heal(w->s);
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 5 };
    until(w, 6000); /* those who were about to leave have left */
    for (unsigned i = 0; i < w->n; i++)
        world_boot(w, i);
    from = sim_now(w->s);
    while ((what = amiss(w, &who))) {
        if (sim_now(w->s) > from + SETTLE_MS)
            world_fail(w, what, who);
        until(w, 500);
        help_refused(w);
    }
    total.settle_ms += sim_now(w->s) - from;
    if (sim_now(w->s) - from > total.settle_max)
        total.settle_max = sim_now(w->s) - from;
    if (groups_with_data(w) > 1)
        until(w, 15000); /* lost voters may still be replaced */
    last = w->changes;
    until(w, QUIET_MS);
    if (w->changes != last)
        world_fail(w, "changes when nothing happens", NULL);
    if ((what = amiss(w, &who)))
        world_fail(w, what, who);
    for (unsigned i = 0; i < w->n; i++)
        total.orphans += is_orphan(w, &w->m[i]);
}

/* ---- stories */

static void boot_all(struct world *w, unsigned apart_ms)
{
    unsigned at = sim_below(w->s, w->n), step = w->n % 5 ? 5 : w->n % 7 ? 7 : 1;

    for (unsigned k = 0; k < w->n; k++) {
        world_boot(w, (at + k * step) % w->n);
        if (apart_ms)
            until(w, sim_below(w->s, apart_ms));
    }
}

/* All hear each other: one registry is begun, and soon it is all there. */
static void story_start(struct world *w)
{
    static const unsigned apart[] = { 0, 300, 1500, 2500, 6000 };
    const struct machine *who = NULL;
    const char *what;

    sim_net(w->s)->latency_max = between(w, 1, 100);
    boot_all(w, apart[sim_below(w->s, 5)]);
    until(w, 12000);
    if ((what = amiss(w, &who)))
        world_fail(w, what, who);
    if (w->bootstraps != 1)
        world_fail(w, "began more than one registry", NULL);
    if (w->g[0].votes_changed != wanted(w->n) - 1)
        world_fail(w, "changed voters without need", NULL);
}

static void write_somewhere(struct world *w)
{
    for (int g = 0; g < w->groups; g++)
        if (world_leader(w, g) != NOBODY && sim_chance(w->s, 500000) && world_write(w, g))
            sim_trace(w->s, "data in registry %d", g);
}

static void partition(struct world *w, unsigned sides)
{
    unsigned side[MACHINES];

    for (unsigned i = 0; i < w->n; i++)
        side[i] = sim_below(w->s, sides);
    sim_partition(w->s, side);
    w->fault_ms = sim_now(w->s);
    sim_trace(w->s, "partition in %u", sides);
}

/* Clusters that formed apart meet: none, one or several with data. */
static void story_meet(struct world *w)
{
    partition(w, between(w, 2, 3));
    boot_all(w, sim_chance(w->s, 500000) ? 1000 : 0);
    until(w, between(w, 1000, 20000));
    for (unsigned k = sim_below(w->s, 4); k > 0; k--)
        write_somewhere(w);
    if (sim_chance(w->s, 300000)) {
        sim_heal(w->s);
        until(w, between(w, 500, 8000));
        world_crash(w, sim_below(w->s, w->n));
        write_somewhere(w);
        until(w, between(w, 100, 5000));
    }
}

/* The disks that a registry can lose, and still have a majority of its voters. */
static bool can_lose(struct world *w, unsigned i)
{
    for (int g = 0; g < w->groups; g++) {
        const struct entry *conf = world_conf(&w->g[g]);
        unsigned voters = 0, left = 0;

        if (w->g[g].ended) {
            if (strstr(w->m[i].disk.from, w->g[g].registry) || w->m[i].disk.group == g)
                return false; /* those who were away must learn of it from somebody */
            continue;
        }
        if (!world_server(&w->g[g], w->m[i].disk.node))
            continue;
        for (size_t k = 0; k < conf->n; k++) {
            unsigned j = index_of(conf->conf[k].id);

            if (conf->conf[k].role != ROLE_VOTER)
                continue;
            voters++;
            left += j != i && w->m[j].disk.node == conf->conf[k].node;
        }
        if (left <= voters / 2)
            return false;
    }
    return true;
}

static void fault(struct world *w)
{
    unsigned i = sim_below(w->s, w->n);

    switch (sim_below(w->s, 12)) {
    case 0:
    case 1:
        world_crash(w, i);
        break;
    case 2:
    case 3:
    case 4:
        world_boot(w, i);
        break;
    case 5:
        world_leave(w, i);
        break;
    case 6:
        partition(w, between(w, 2, 3));
        break;
    case 7:
    case 8:
        sim_heal(w->s);
        break;
    case 9:
        sim_net(w->s)->loss = sim_below(w->s, 3) * 100000;
        sim_net(w->s)->late = sim_below(w->s, 3) * 100000;
        sim_net(w->s)->late_max = 3000;
        sim_net(w->s)->latency_max = between(w, 5, 300);
        w->ask_max = between(w, 10, 2000);
        break;
    case 10:
        if (can_lose(w, i)) {
            world_crash(w, i);
            world_lose_disk(w, i);
        }
        break;
    case 11:
        if (sim_chance(w->s, 300000))
            write_somewhere(w);
        sim_cut(w->s, i, sim_below(w->s, w->n), true);
        w->fault_ms = sim_now(w->s);
        break;
    }
}

static void story_chaos(struct world *w)
{
    unsigned faults = between(w, 5, 60);

    for (unsigned k = 0; k < faults; k++) {
        fault(w);
        until(w, sim_chance(w->s, 700000) ? between(w, 0, 2000) : between(w, 2000, 15000));
    }
}

/* One or two machines come and go all the time: their seats do not go back and forth. */
static void story_flap(struct world *w)
{
    unsigned flappers = w->n > 4 ? between(w, 1, 2) : 1, before, allowed = 2 * flappers;
    uint64_t from;

    boot_all(w, 500);
    until(w, 15000);
    before = w->g[0].votes_changed;
    from = sim_now(w->s);
    for (unsigned k = 0; k < 20; k++) {
        unsigned i = sim_below(w->s, flappers);

        if (world_up(w, i))
            world_crash(w, i);
        else
            world_boot(w, i);
        until(w, between(w, 500, 15000 / flappers));
    }
    for (int g = 1; g < w->groups; g++)
        before += w->g[g].votes_changed;
    /* Each flapper can lose its seat once, to another; where there are too few others, one may take
     * the other's, after 10 s here. */
    if (w->n < wanted(w->n) + flappers)
        allowed += (unsigned)((sim_now(w->s) - from) / 10000);
    if (w->bootstraps == 1 && w->g[0].votes_changed > before + allowed)
        world_fail(w, "seats go back and forth", NULL);
}

/* Machines come one by one, and go politely one by one: it can be written all the time. */
static void story_grow(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        world_boot(w, i);
        until(w, 8000);
        if (w->bootstraps != 1 || !world_write(w, 0) || world_voters(&w->g[0]) != wanted(i + 1))
            world_fail(w, "cannot be written with one machine more, or has wrong voters", &w->m[i]);
    }
    for (unsigned k = 0; k + 1 < w->n; k++) {
        unsigned i = (unsigned)(w->seed / 7 + k) % w->n;

        world_leave(w, i);
        until(w, between(w, 6000, 20000));
        if (world_up(w, i) || !world_write(w, 0))
            world_fail(w, "cannot be written after a polite farewell", &w->m[i]);
        if (sim_chance(w->s, 400000)) {
            world_forget(w, i);
            until(w, 3000);
        }
    }
}

/* The first one dies at any moment of its start, and may come back with or without its disk. */
static void story_first_dies(struct world *w)
{
    boot_all(w, 100);
    until(w, between(w, 500, 4000));
    world_crash(w, 0);
    if (sim_chance(w->s, 500000) && can_lose(w, 0))
        world_lose_disk(w, 0);
    until(w, between(w, 100, 60000));
    if (sim_chance(w->s, 300000))
        write_somewhere(w);
}

static const struct {
    const char *name;
    void (*run)(struct world *w);
} stories[] = {
    { "start", story_start },           { "meet", story_meet }, { "chaos", story_chaos },
    { "chaos", story_chaos },           { "flap", story_flap }, { "grow", story_grow },
    { "first dies", story_first_dies },
};

static void run(uint64_t seed, bool traced)
{
    unsigned story = (unsigned)(seed % (sizeof stories / sizeof stories[0]));
    struct world *w = world_new(seed, 1 + (unsigned)(seed / 7 % MACHINES));

    if (traced)
        sim_trace_on(w->s);
    sim_trace(w->s, "story: %s, %u machines", stories[story].name, w->n);
    stories[story].run(w);
    settle(w);
    total.bootstraps += w->bootstraps;
    total.dissolved += w->dissolved;
    total.wiped += w->wiped;
    total.changes += w->changes;
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    world_free(w);
}

int main(int argc, char **argv)
{
    const char *more = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 3000;

    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run(seed, false);
    printf("%" PRIu64 " seeds: %" PRIu64 " registries begun, %" PRIu64 " dissolved, %" PRIu64
           " replicas wiped, %" PRIu64 " changes; settled in %" PRIu64 " ms (most %" PRIu64
           "); %" PRIu64 " orphans\n",
           seeds, total.bootstraps, total.dissolved, total.wiped, total.changes,
           total.settle_ms / seeds, total.settle_max, total.orphans);
    return 0;
}
