/*
 * sim_consensus.c - consensus under loss, delay, doubling, cuts, crashes, slow and full disks, and
 * changes of who takes part.
 *
 *   sim_consensus              some thousand seeds, then how long a leader's death is felt
 *   sim_consensus SEED         that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N          so many seeds
 *   ONEOS_SIM_FIRST=N          from that one on
 *
 * What must hold at every step is in cons_world.c, what holds of the history in cons_client.c. At
 * the end all is healed; then a write must be answered within SETTLE_MS, and all that take part be
 * equal.
 */
#include "tests/sim/cons_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAY_MS = 10000, SETTLE_MS = 15000, QUIET_MS = 2000 };

/* ---- what happens to them */

static void do_restart(struct world *w, struct machine *m)
{
    if (sim_up(w->s, m->i))
        machine_crash(m, sim_below(w->s, 2));
    else
        machine_boot(m);
}

static void do_kill_leader(struct world *w, struct machine *m)
{
    struct machine *l = world_leader(w);

    (void)m;
    if (l)
        machine_crash(l, sim_below(w->s, 2));
}

static void do_all_die(struct world *w, struct machine *m)
{
    (void)m;
    if (sim_below(w->s, 3))
        return;
    for (unsigned i = 0; i < w->n; i++)
        if (sim_up(w->s, i))
            machine_crash(&w->m[i], true);
    for (unsigned i = 0; i < w->n; i++)
        machine_boot(&w->m[i]);
}

static void do_cut(struct world *w, struct machine *m)
{
    unsigned to = sim_below(w->s, w->n);

    sim_trace(w->s, "cut %s -> %s", m->id, w->m[to].id);
    sim_cut(w->s, m->i, to, true);
}

static void do_partition(struct world *w, struct machine *m)
{
    unsigned side[MACHINES + 1] = { 0 };

    (void)m;
    for (unsigned i = 0; i < w->n; i++)
        side[i] = sim_below(w->s, 2);
    sim_trace(w->s, "partition");
    sim_partition(w->s, side);
}

static void do_heal(struct world *w, struct machine *m)
{
    (void)m;
    sim_trace(w->s, "heal");
    sim_heal(w->s);
}

static void do_freeze(struct world *w, struct machine *m)
{
    uint64_t until = sim_now(w->s) + sim_below(w->s, 1500);

    sim_trace(w->s, "%s: frozen until %" PRIu64, m->id, until);
    sim_freeze(w->s, m->i, until);
}

static void do_net(struct world *w, struct machine *m)
{
    struct sim_net *net = sim_net(w->s);

    (void)m;
    net->latency_max = 1 + sim_below(w->s, 20);
    net->loss = sim_below(w->s, 2) * sim_below(w->s, 100000);
    net->twice = sim_below(w->s, 50000);
    net->late = sim_below(w->s, 100000);
    net->late_max = sim_below(w->s, 3) ? sim_below(w->s, 100) : 1500;
}

static void do_slow(struct world *w, struct machine *m)
{
    m->disk.slow_ms = sim_below(w->s, 3) ? sim_below(w->s, 300) : 1;
    sim_trace(w->s, "%s: disk takes up to %u ms", m->id, m->disk.slow_ms);
}

static void set_full(struct machine *m, bool full)
{
    if (m->disk.full == full)
        return;
    m->disk.full = full;
    sim_trace(m->w->s, "%s: disk %s", m->id, full ? "full" : "has room");
    if (sim_up(m->w->s, m->i))
        sim_timer(m->w->s, m->i, T_DISK, disk_next(&m->disk));
}

static void do_full(struct world *w, struct machine *m)
{
    set_full(m, sim_below(w->s, 2));
}

/* ---- the end: all is well again */

static void heal_all(struct world *w)
{
    sim_trace(w->s, "all is healed");
    sim_heal(w->s);
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 3 };
    for (unsigned i = 0; i < w->n; i++) {
        struct machine *m = &w->m[i];

        m->disk.slow_ms = 1;
        set_full(m, false);
        sim_freeze(w->s, i, 0);
        if (!sim_up(w->s, i))
            machine_boot(m);
    }
}

static void check_equal(struct world *w)
{
    struct machine *l = world_leader(w);
    const struct consensus_server *v;
    size_t n;

    if (!l)
        world_fail(w, "no leader after all is healed");
    n = consensus_servers(l->c, &v);
    for (size_t i = 0; i < n; i++) {
        struct machine *m = machine_of(w, v[i].node);

        if (v[i].role == ROLE_SPARE || !m)
            continue;
        if (!m->c || consensus_committed_index(m->c) != consensus_committed_index(l->c) ||
            m->state.chain != l->state.chain || memcmp(&m->state, &l->state, sizeof m->state) != 0)
            world_fail(w, "%s is not equal to the leader %s after all is healed", m->id, l->id);
    }
}

static void settle(struct world *w)
{
    uint64_t from, end;

    heal_all(w);
    from = sim_now(w->s);
    end = from + SETTLE_MS;
    w->operator_stop = true;
    while (w->answered_ms <= from) {
        if (sim_now(w->s) >= end)
            world_fail(w, "no answer within %d ms after all is healed", SETTLE_MS);
        sim_run(w->s, sim_now(w->s) + 10);
    }
    sim_run(w->s, sim_now(w->s) + QUIET_MS);
    w->clients_stop = true;
    sim_run(w->s, sim_now(w->s) + QUIET_MS);
    check_equal(w);
}

struct sums {
    uint64_t acked, reads, changes, elections, unjudged;
};

static void run_random(uint64_t seed, bool traced, struct sums *sums)
{
    static void (*const act[])(struct world *, struct machine *) = {
        do_restart, do_restart, do_restart,   do_kill_leader, do_kill_leader, do_all_die,
        do_cut,     do_cut,     do_partition, do_heal,        do_heal,        do_heal,
        do_freeze,  do_net,     do_slow,      do_full,        do_full,
    };
    unsigned n = 1 + (unsigned)(seed % MACHINES), pause;
    struct world *w = world_new(n, seed);

    if (traced)
        sim_trace_on(w->s);
    w->threshold = sim_below(w->s, 3) ? 20 + sim_below(w->s, 200) : 16384;
    w->trailing = 1 + sim_below(w->s, 50);
    w->filler = sim_below(w->s, 60) ? sim_below(w->s, 2000) : 2500000;
    for (unsigned i = 0; i < n; i++)
        w->m[i].rate = 950 + sim_below(w->s, 101);
    world_form(w, n > 1 ? 1 + sim_below(w->s, n) : 1);
    w->change_every = sim_below(w->s, 2) ? 40 : 8;
    pause = sim_below(w->s, 3) ? 900 : 100; /* a storm: hardly ever a leader for long */
    sim_timer(w->s, MACHINES, 0, sim_now(w->s));
    while (sim_now(w->s) < PLAY_MS) {
        act[sim_below(w->s, sizeof act / sizeof act[0])](w, &w->m[sim_below(w->s, n)]);
        sim_run(w->s, sim_now(w->s) + sim_below(w->s, pause));
    }
    settle(w);
    sums->unjudged += !clients_check(w);
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    sums->acked += w->acked;
    sums->reads += w->reads;
    sums->changes += w->changes;
    sums->elections += consensus_term(world_leader(w)->c);
    world_free(w);
}

/* ---- how long a leader's death is felt */

static int by_size(const void *a, const void *b)
{
    return *(const unsigned *)a < *(const unsigned *)b
               ? -1
               : *(const unsigned *)a > *(const unsigned *)b;
}

static unsigned run_failover(uint64_t seed, unsigned n)
{
    struct world *w = world_new(n, seed);
    uint64_t died;
    unsigned took;

    w->threshold = 16384;
    w->trailing = 4096;
    for (unsigned i = 0; i < n; i++)
        w->m[i].disk.slow_ms = 3;
    world_form(w, n);
    w->operator_stop = true;
    sim_timer(w->s, MACHINES, 0, sim_now(w->s));
    sim_run(w->s, sim_now(w->s) + 500 + sim_below(w->s, 500));
    machine_crash(world_leader(w), true);
    died = sim_now(w->s);
    while (w->answered_ms <= died && sim_now(w->s) < died + SETTLE_MS)
        sim_run(w->s, sim_now(w->s) + 1);
    took = (unsigned)(w->answered_ms - died);
    world_free(w);
    return took;
}

static void measure_failover(unsigned n, unsigned runs)
{
    unsigned *ms = calloc(runs, sizeof *ms);

    if (!ms)
        abort();
    for (unsigned i = 0; i < runs; i++)
        ms[i] = run_failover(i + 1, n);
    qsort(ms, runs, sizeof *ms, by_size);
    printf("%u machines, the leader dies, until the next answer, of %u: median %u ms, p99 %u ms, "
           "most %u ms\n",
           n, runs, ms[runs / 2], ms[runs - 1 - runs / 100], ms[runs - 1]);
    free(ms);
}

int main(int argc, char **argv)
{
    const char *more = getenv("ONEOS_SIM_SEEDS"), *first = getenv("ONEOS_SIM_FIRST");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 1000;
    uint64_t from = first ? strtoull(first, NULL, 10) : 1;
    struct sums sums = { 0 };

    if (argc > 1) {
        run_random(strtoull(argv[1], NULL, 10), true, &sums);
        return 0;
    }
    for (uint64_t seed = from; seed < from + seeds; seed++)
        run_random(seed, false, &sums);
    printf("%" PRIu64 " seeds: %" PRIu64 " writes and %" PRIu64 " reads answered, %" PRIu64
           " changes, %" PRIu64 " terms; %" PRIu64 " histories too long to judge\n",
           seeds, sums.acked, sums.reads, sums.changes, sums.elections, sums.unjudged);
    measure_failover(3, 1000);
    measure_failover(5, 500);
    return 0;
}
