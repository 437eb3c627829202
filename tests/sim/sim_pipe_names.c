/*
 * sim_pipe_names.c - names and holders of pipes under loss, delay, cuts, a registry that comes and
 * goes, freezes and restarts.
 *
 *   sim_pipe_names              some thousand seeds
 *   sim_pipe_names SEED         that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N           so many seeds
 *
 * The registry is played by one more node: its log is true, but it answers only while it has a
 * quorum, and what passes between it and the machines is lost and late like everything. A machine
 * asks again until the deadline; what it then gives up may still happen. Membership is played:
 * who cannot be reached is suspect after 1.5 s and dead after 3 s. Buffers are played as the ends
 * that they have.
 *
 * Invariants:
 *  - an epoch of a pipe is held by one machine in one life of it;
 *  - the ends of a buffer are where it is held, unless its pipe was removed;
 *  - a machine is told that it no longer holds only when others could have taken it for lost;
 *  - a uid belongs to one name; in each replica names are unique and sorted;
 *  - an operation ends once, by its deadline; a pipe that was made is there, and one that was
 *    removed is not, when the call ends;
 * and at the end, when all is healed: all replicas are those of the registry, nobody holds what it
 * does not use, nobody waits, and nothing is asked.
 */
#include "tests/sim/pipe_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- invariants */

static void claim(struct world *w, const struct machine *m, const struct pipe_info *p)
{
    for (size_t k = w->n_claims; k-- > 0;)
        if (w->claim[k].uid == p->uid && w->claim[k].epoch == p->epoch) {
            if (w->claim[k].machine != m->i || w->claim[k].life != m->incarnation)
                fail(w, m, "holds an epoch of %s that another held", p->name);
            return;
        }
    w->claim = realloc(w->claim, (w->n_claims + 1) * sizeof *w->claim);
    if (!w->claim)
        abort();
    w->claim[w->n_claims++] = (struct claim){ p->uid, p->epoch, m->incarnation, m->i };
}

void check(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < w->n; i++) {
        struct machine *m = &w->m[i];

        for (size_t k = 0; m->pn && k < pn_count(m->pn); k++) {
            const struct pipe_info *p = pn_at(m->pn, k);

            if (k && strcmp(pn_at(m->pn, k - 1)->name, p->name) >= 0)
                fail(w, m, "names are not unique and sorted");
            if (pn_holds(m->pn, p->uid, p->epoch))
                claim(w, m, p);
        }
        for (unsigned k = 0; m->pn && k < m->ends; k++)
            if (pn_by_uid(m->pn, m->end[k].uid) && !pn_holds(m->pn, m->end[k].uid, m->end[k].epoch))
                fail(w, m, "has ends of a buffer that it does not hold");
    }
}

/* ---- what happens to them */

static bool can(const struct world *w, unsigned i)
{
    return sim_up(w->s, i) && sim_now(w->s) >= w->m[i].frozen;
}

static struct simop *op_at(struct world *w, unsigned i, enum kind kind)
{
    struct simop *op;

    if (!can(w, i) || w->n_ops == OPS)
        return NULL;
    op = &w->op[w->n_ops++];
    *op = (struct simop){ .kind = kind,
                          .at = i,
                          .life = w->m[i].incarnation,
                          .deadline = sim_now(w->s) + PN_DEADLINE_MS,
                          .again_at = UINT64_MAX };
    snprintf(op->name, sizeof op->name, "p%u", sim_below(w->s, NAMES));
    sim_trace(w->s, "%s: operation %d on %s", w->m[i].id, (int)kind, op->name);
    return op;
}

static void begun(struct world *w, struct simop *op, int rc)
{
    if (rc <= 0)
        op_ended(op, &w->m[op->at], rc, NULL);
    rearm(&w->m[op->at]);
}

static void do_make(struct world *w, unsigned i)
{
    struct pipe_options opt = {
        .owner = "ann", .perm = 0644, .made_us = sim_now(w->s) * 1000, .excl = sim_below(w->s, 2)
    };
    struct simop *op = op_at(w, i, MAKE);

    if (op)
        begun(w, op, pn_make(w->m[i].pn, sim_now(w->s), op->name, &opt, op, NULL));
}

static void do_race(struct world *w, unsigned i)
{
    (void)i;
    for (unsigned k = 0; k < w->n; k++)
        do_make(w, k);
}

static void do_remove(struct world *w, unsigned i)
{
    struct simop *op = op_at(w, i, REMOVE);
    const struct pipe_info *p = op ? pn_find(w->m[i].pn, op->name) : NULL;

    if (p)
        op->uid = p->uid;
    if (op)
        begun(w, op, pn_remove(w->m[i].pn, sim_now(w->s), op->name, op, NULL));
}

static void do_set(struct world *w, unsigned i)
{
    struct pipe_set set = { .mode = (int)sim_below(w->s, 3) - 1,
                            .capacity = 4096 * (1 + sim_below(w->s, 4)),
                            .perm = (int)sim_below(w->s, 02000) - 01000 };
    struct simop *op = op_at(w, i, SET);

    if (op)
        begun(w, op, pn_set(w->m[i].pn, sim_now(w->s), op->name, &set, op, NULL));
}

static void do_open(struct world *w, unsigned i)
{
    struct simop *op = w->m[i].ends < ENDS / 2 ? op_at(w, i, OPEN) : NULL;

    if (op)
        op_open(op, &w->m[i]);
    if (op)
        rearm(&w->m[i]);
}

/* The same machine reads and closes, and others read at the same time. */
static void do_crowd(struct world *w, unsigned i)
{
    for (unsigned k = 0; k < 6; k++)
        do_open(w, k % 2 ? i : sim_below(w->s, w->n));
}

static void do_write(struct world *w, unsigned i)
{
    struct letter l = { .kind = JOIN, .writes = true, .life = w->m[i].incarnation };
    struct pipe_info p;
    char name[16];

    snprintf(name, sizeof name, "p%u", sim_below(w->s, NAMES));
    if (!can(w, i) || pn_open_writer(w->m[i].pn, name, &p, NULL) < 0 || !p.holder[0])
        return;
    l.uid = p.uid;
    l.epoch = p.epoch;
    if (strcmp(p.holder, w->m[i].id) != 0)
        send_letter(w, i, (unsigned)(p.holder[1] - '0'), &l);
    else if (w->m[i].ends < ENDS / 2)
        end_add(&w->m[i], p.uid, p.epoch);
}

static void do_cancel(struct world *w, unsigned i)
{
    for (size_t k = 0; k < w->n_ops; k++) {
        struct simop *op = &w->op[k];

        if (op->ended || op->cancelled || op->at != i || !can(w, i))
            continue;
        op->cancelled = true;
        pn_cancel(w->m[i].pn, op);
        return;
    }
}

static void do_restart(struct world *w, unsigned i)
{
    if (sim_up(w->s, i))
        crash(w, i, sim_below(w->s, 3) == 0);
    else
        boot(w, i);
}

static void do_freeze(struct world *w, unsigned i)
{
    struct machine *m = &w->m[i];

    if (!can(w, i))
        return;
    m->frozen = sim_now(w->s) + sim_below(w->s, 5000);
    sim_trace(w->s, "%s: frozen until %" PRIu64, m->id, m->frozen);
    sim_freeze(w->s, i, m->frozen);
    if (m->frozen > w->frozen)
        w->frozen = m->frozen;
}

static void do_cut(struct world *w, unsigned i)
{
    unsigned j = sim_below(w->s, w->n + 1);

    if (i == j)
        return;
    sim_trace(w->s, "cut %u -> %u", i, j);
    sim_cut(w->s, i, j, true);
}

static void do_partition(struct world *w, unsigned i)
{
    unsigned side[MACHINES + 1];

    (void)i;
    for (unsigned k = 0; k <= w->n; k++) {
        side[k] = sim_below(w->s, 2);
        sim_trace(w->s, "partition: %u %u", k, side[k]);
    }
    sim_partition(w->s, side);
}

static void do_heal(struct world *w, unsigned i)
{
    (void)i;
    sim_trace(w->s, "heal");
    sim_heal(w->s);
}

/* A change of leader, or a majority that is away for longer. */
static void do_quorum(struct world *w, unsigned i)
{
    (void)i;
    w->no_quorum =
        sim_now(w->s) + (sim_below(w->s, 4) ? 300 + sim_below(w->s, 700) : sim_below(w->s, 8000));
    sim_trace(w->s, "no quorum until %" PRIu64, w->no_quorum);
}

static void do_net(struct world *w, unsigned i)
{
    struct sim_net *net = sim_net(w->s);

    (void)i;
    net->latency_min = 1;
    net->latency_max = 1 + sim_below(w->s, 20);
    net->loss = sim_below(w->s, 2) * sim_below(w->s, 100000);
    net->twice = sim_below(w->s, 2) * sim_below(w->s, 100000);
    net->late = sim_below(w->s, 100000);
    net->late_max = sim_below(w->s, 1500);
}

/* One is away for so long that it loses what it holds; with the registry, or from it too. */
static void do_away(struct world *w, unsigned i)
{
    sim_trace(w->s, "%s: away", w->m[i].id);
    for (unsigned j = 0; j <= w->n; j++) {
        if (j == i || (j == w->n && w->seed % 3 == 0))
            continue;
        sim_cut(w->s, i, j, true);
        sim_cut(w->s, j, i, true);
    }
    sim_run(w->s, sim_now(w->s) + PN_HOLDER_LOST_MS + DEAD_MS);
}

/* ---- the end */

static void check_machine(struct world *w, struct machine *m)
{
    if (!json_equal(m->state, w->state))
        fail(w, m, "its replica is not the registry's");
    if (m->ends)
        fail(w, m, "ends stay open");
    if (pn_next(m->pn) != UINT64_MAX)
        fail(w, m, "waits for something");
    if (pn_count(m->pn) != json_object_size(w->state))
        fail(w, m, "shows another number of pipes");
    for (size_t k = 0; k < pn_count(m->pn); k++)
        if (pn_at(m->pn, k)->holder[0])
            fail(w, m, "shows a holder of %s, which nobody uses", pn_at(m->pn, k)->name);
}

static void check_end(struct world *w)
{
    const char *key, *holder;
    json_t *value;

    for (size_t k = 0; k < w->n_ops; k++)
        if (!w->op[k].ended && !w->op[k].cancelled)
            fail(w, &w->m[w->op[k].at], "an operation on %s never ended", w->op[k].name);
    for (unsigned i = 0; i < w->n; i++)
        if (w->m[i].pn)
            check_machine(w, &w->m[i]);
    json_object_foreach (w->state, key, value) {
        holder = json_string_value(json_object_get(value, "holder"));
        if (holder && w->m[holder[1] - '0'].pn)
            fail(w, &w->m[holder[1] - '0'], "the registry says that it holds %s", key);
    }
}

static void run_random(uint64_t seed, bool traced)
{
    static void (*const act[])(struct world *, unsigned) = {
        do_make,  do_make,   do_make,    do_race,   do_remove, do_set,    do_set,
        do_open,  do_open,   do_open,    do_open,   do_crowd,  do_crowd,  do_write,
        do_write, do_cut,    do_cancel,  do_heal,   do_heal,   do_quorum, do_partition,
        do_net,   do_freeze, do_restart, do_restart
    };
    struct world *w = world_new(seed);
    bool away = seed / 16 % 4 == 0, went = false;
    size_t asked;

    if (traced)
        sim_trace_on(w->s);
    do_net(w, 0);
    sim_boot(w->s, w->n);
    for (unsigned i = 0; i < w->n; i++)
        boot(w, i);
    sim_run(w->s, 1000);
    while (sim_now(w->s) < (away ? 2 * BUSY_MS : BUSY_MS) && w->n_ops < OPS - 8) {
        if (away && sim_now(w->s) >= BUSY_MS / 2 && !went) {
            do_away(w, sim_below(w->s, w->n));
            went = true;
        }
        act[sim_below(w->s, sizeof act / sizeof act[0])](w, sim_below(w->s, w->n));
        sim_run(w->s, sim_now(w->s) +
                          (sim_below(w->s, 6) ? sim_below(w->s, 100) : sim_below(w->s, 2000)));
    }
    do_heal(w, 0);
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 5 };
    sim_run(w->s, (w->frozen > sim_now(w->s) ? w->frozen : sim_now(w->s)) + SETTLE_MS);
    asked = w->n_cmds;
    sim_run(w->s, sim_now(w->s) + QUIET_MS);
    if (w->n_cmds != asked)
        fail(w, NULL, "something is asked when nothing happens");
    check_end(w);
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    world_free(w);
}

int main(int argc, char **argv)
{
    const char *env = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = env ? strtoull(env, NULL, 10) : 2000;

    if (argc > 1) {
        run_random(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run_random(seed, false);
    printf("%" PRIu64 " seeds: %" PRIu64 " operations, %" PRIu64 " commands, %" PRIu64
           " readers opened, %" PRIu64 " opened again, %" PRIu64 " buffers lost\n",
           seeds, total_ops, total_commands, total_opens, total_again, total_unheld);
    return 0;
}
