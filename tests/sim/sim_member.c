/*
 * sim_member.c - membership under loss, delay, doubling, cuts, partitions, freezes and restarts.
 *
 *   sim_member              some thousand seeds of a few machines, then 1,000 machines once
 *   sim_member SEED         that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N       so many seeds
 *   ONEOS_SIM_MACHINES=N    so many machines at the end (0: leave that out)
 *
 * Invariants, checked after every event (1,000 machines: every 250 ms):
 *  - who is up and connected both ways for BACK_MS is not held dead;
 *  - who is down is dead, left or gone everywhere DEAD_BY_MS later;
 *  - incarnations of trusted machines never go back;
 *  - a stranger is never trusted; what was forgotten while down is not trusted until it is up
 * again;
 *  - pulls and probes keep to their rates;
 * and at the end, when all is healed, all views and digests are equal within SETTLE_MS.
 */
#include "tests/sim/member_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- invariants ---- */

static void check_pair(struct world *w, unsigned i, const struct member_view *v)
{
    unsigned j = index_of(v->info.id);
    const struct pair *p = pair(w, i, j);
    uint64_t now = sim_now(w->s), at = w->thawed;
    bool silent = v->state == MEMBER_DEAD || v->state == MEMBER_LEFT || !v->trusted;

    at = p->learned > at ? p->learned : at;
    if (v->trusted && w->m[j].stranger)
        fail(w, "trusts a stranger", i, j);
    if (!sim_up(w->s, j)) {
        at = w->m[j].down > at ? w->m[j].down : at;
        if (!silent && now > at + DEAD_BY_MS)
            fail(w, "alive too long", i, j);
    } else if (!w->m[j].stranger && silent) {
        at = p->apart > at ? p->apart : at;
        at = v->since_ms > at ? v->since_ms : at;
        if (now > at + BACK_MS)
            fail(w, "dead too long", i, j);
    }
}

void check(void *arg)
{
    struct world *w = arg;
    const struct member_view *self;
    uint64_t now = sim_now(w->s);

    if (now < w->checked + w->check_every)
        return;
    w->checked = now;
    for (unsigned i = 0; i < w->n; i++) {
        if (!w->m[i].m || now < w->m[i].frozen)
            continue;
        self = member_find(w->m[i].m, w->m[i].self.id);
        for (size_t k = 0; k < member_count(w->m[i].m); k++)
            if (member_at(w->m[i].m, k) != self)
                check_pair(w, i, member_at(w->m[i].m, k));
    }
}

static const struct member_view *held(const struct member *m, const char *id)
{
    const struct member_view *v = member_find(m, id);

    return v && v->trusted ? v : NULL;
}

/* All that are up: same digest, everybody up alive, everybody down not, and all of one opinion. */
static bool settled(struct world *w, unsigned *who, unsigned *of)
{
    const struct member *first = NULL;

    for (unsigned i = 0; i < w->n; i++) {
        const struct member *m = w->m[i].m;

        if (!m)
            continue;
        first = first ? first : m;
        *who = *of = i;
        if (member_digest(m) != member_digest(first))
            return false;
        for (unsigned j = 0; j < w->n; j++) {
            const struct member_view *v = held(m, w->m[j].self.id);
            const struct member_view *u = held(first, w->m[j].self.id);

            *of = j;
            if (w->m[j].stranger)
                continue;
            if (sim_up(w->s, j) ? !v || v->state != MEMBER_ALIVE : v && v->state < MEMBER_DEAD)
                return false;
            if (!v != !u ||
                (v && (v->state != u->state || v->info.incarnation != u->info.incarnation)))
                return false;
        }
    }
    return true;
}

/* ---- what happens to them ---- */

static void note_apart(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned j = 0; j < w->n; j++)
            if (!sim_connected(w->s, i, j))
                pair(w, i, j)->apart = sim_now(w->s);
}

static void do_restart(struct world *w, unsigned i)
{
    if (sim_up(w->s, i))
        crash(w, i);
    else
        boot(w, i);
}

static void do_leave(struct world *w, unsigned i)
{
    if (sim_up(w->s, i) && !w->m[i].stranger)
        leave(w, i);
}

static void do_freeze(struct world *w, unsigned i)
{
    if (!sim_up(w->s, i) || sim_now(w->s) < w->m[i].frozen)
        return;
    w->m[i].frozen = sim_now(w->s) + sim_below(w->s, 8000);
    sim_trace(w->s, "%s: frozen until %" PRIu64, w->m[i].self.id, w->m[i].frozen);
    sim_freeze(w->s, i, w->m[i].frozen);
    if (w->m[i].frozen > w->thawed)
        w->thawed = w->m[i].frozen;
}

static void do_cut(struct world *w, unsigned i)
{
    unsigned j = sim_below(w->s, w->n);

    sim_trace(w->s, "cut %s -> %s", w->m[i].self.id, w->m[j].self.id);
    sim_cut(w->s, i, j, true);
}

static void do_partition(struct world *w, unsigned i)
{
    unsigned side[16];

    (void)i;
    for (unsigned k = 0; k < w->n; k++)
        side[k] = sim_below(w->s, 2);
    sim_trace(w->s, "partition");
    sim_partition(w->s, side);
}

static void do_heal(struct world *w, unsigned i)
{
    (void)i;
    note_apart(w);
    sim_trace(w->s, "heal");
    sim_heal(w->s);
}

static void do_forget(struct world *w, unsigned i)
{
    unsigned j = sim_below(w->s, w->n);

    if (!w->m[i].m || sim_now(w->s) < w->m[i].frozen ||
        member_forget(w->m[i].m, sim_now(w->s), w->m[j].self.id, NULL) < 0)
        return;
    sim_trace(w->s, "%s: forgets %s", w->m[i].self.id, w->m[j].self.id);
    pair(w, i, j)->forgot = sim_now(w->s);
    w->m[j].forgotten++;
    rearm(&w->m[i]);
}

static void do_net(struct world *w, unsigned i)
{
    struct sim_net *net = sim_net(w->s);

    (void)i;
    net->latency_max = 1 + sim_below(w->s, 20);
    net->loss = sim_below(w->s, 2) * sim_below(w->s, 100000);
    net->twice = sim_below(w->s, 50000);
    net->late = sim_below(w->s, 100000);
    net->late_max = sim_below(w->s, 100);
}

static void run_random(uint64_t seed, bool traced)
{
    static void (*const act[])(struct world *, unsigned) = {
        do_restart,   do_restart, do_restart, do_leave,  do_freeze, do_cut,
        do_partition, do_heal,    do_heal,    do_forget, do_forget, do_net,
    };
    unsigned n = 2 + (unsigned)(seed % 9), who = 0, of = 0;
    struct world *w = world_new(n, seed);
    uint64_t end;

    if (traced)
        sim_trace_on(w->s);
    do_net(w, 0);
    w->m[n - 1].stranger = n > 3 && sim_below(w->s, 2);
    for (unsigned i = 0; i < n; i++) {
        sim_run(w->s, sim_now(w->s) + sim_below(w->s, 1000));
        boot(w, i);
    }
    while (sim_now(w->s) < 40000) {
        act[sim_below(w->s, sizeof act / sizeof act[0])](w, sim_below(w->s, n));
        note_apart(w);
        sim_run(w->s, sim_now(w->s) + sim_below(w->s, 3000));
    }
    do_heal(w, 0);
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 5 };
    end = sim_now(w->s) + SETTLE_MS;
    sim_run(w->s, w->thawed + SETTLE_MS > end ? w->thawed + SETTLE_MS : end);
    if (!settled(w, &who, &of))
        fail(w, "views differ after all is healed", who, of);
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    world_free(w);
}

/* Three machines start in any order within 3 s, with some loss: each lists the others within 3 s of
 * the last start. */
static void run_start(uint64_t seed)
{
    struct world *w = world_new(3, seed);
    unsigned first = sim_below(w->s, 3), who = 0, of = 0;

    sim_net(w->s)->loss = 50000;
    boot(w, first);
    sim_run(w->s, sim_below(w->s, 1500));
    boot(w, (first + 1) % 3);
    sim_run(w->s, sim_now(w->s) + sim_below(w->s, 1500));
    boot(w, (first + 2) % 3);
    sim_run(w->s, sim_now(w->s) + 3000);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++) {
            const struct member_view *v = member_find(w->m[i].m, w->m[j].self.id);

            if (!v || !v->trusted)
                fail(w, "does not list", i, j);
        }
    sim_net(w->s)->loss = 0;
    sim_run(w->s, sim_now(w->s) + 3000);
    if (!settled(w, &who, &of))
        fail(w, "views differ after the start", who, of);
    world_free(w);
}

/* One way is cut for good: others hear it, so it is never dead. */
static void run_one_way(uint64_t seed)
{
    struct world *w = world_new(5, seed);

    for (unsigned i = 0; i < 5; i++)
        boot(w, i);
    sim_run(w->s, 3000);
    sim_cut(w->s, 1, 0, true);
    for (uint64_t t = 3000; t < 20000; t += 50) {
        sim_run(w->s, t);
        if (member_find(w->m[0].m, "m0001")->state == MEMBER_DEAD)
            fail(w, "dead although others hear it", 0, 1);
    }
    world_free(w);
}

static void run_many(unsigned n, uint64_t seed)
{
    struct world *w = world_new(n, seed);
    unsigned *side = calloc(n, sizeof *side), who = 0, of = 0, down = n / 20;

    if (!side)
        abort();
    w->check_every = 250;
    w->beacon_ms = 2000; /* they are half of the work otherwise */
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1,
                                       .latency_max = 20,
                                       .loss = 20000,
                                       .twice = 1000,
                                       .late = 10000,
                                       .late_max = 100 };
    for (unsigned i = 0; i < n; i++) {
        sim_run(w->s, (uint64_t)i * 500 / n);
        boot(w, i);
    }
    sim_run(w->s, 2500);
    for (unsigned i = 0; i < n; i++)
        if (member_count(w->m[i].m) != n)
            fail(w, "does not list all", i, i);
    for (unsigned i = 0; i < n; i++)
        side[i] = i % 3 == 0;
    sim_partition(w->s, side);
    for (unsigned k = 0; k < down; k++)
        crash(w, k * 20);
    sim_run(w->s, 6600);
    note_apart(w);
    sim_heal(w->s);
    sim_net(w->s)->loss = 0;
    for (unsigned k = 0; k < down; k++)
        boot(w, k * 20);
    sim_run(w->s, 9600);
    if (!settled(w, &who, &of))
        fail(w, "views differ after all is healed", who, of);
    printf("%u machines, %" PRIu64 " deliveries\n", n, w->deliveries);
    free(side);
    world_free(w);
}

int main(int argc, char **argv)
{
    const char *more = getenv("ONEOS_SIM_SEEDS");
    const char *many = getenv("ONEOS_SIM_MACHINES");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 1500;
    unsigned machines = many ? (unsigned)strtoul(many, NULL, 10) : 1000;

    if (argc > 1) {
        run_random(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_start(seed);
        run_random(seed, false);
    }
    run_one_way(1);
    printf("%" PRIu64 " seeds\n", seeds);
    if (machines)
        run_many(machines, 1);
    return 0;
}
