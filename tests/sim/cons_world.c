/*
 * cons_world.c - servers of one consensus, their state machine, and what must hold (cons_world.h).
 *
 * Checked as it happens:
 *  - one leader a term: nobody else sends entries in it;
 *  - what is committed at an index is the same everywhere and for ever, after the same past (a hash
 *    chain over all commands), and gives the same result;
 *  - entries come in order, each once in the life of a server;
 *  - what was acknowledged is what was asked for, at that index.
 */
#include "tests/sim/cons_world.h"

#include "cluster/consensus_msg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void world_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: ", w->seed, w->n,
            sim_now(w->s));
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nagain: tests/sim/sim_consensus %" PRIu64 "\n", w->seed);
    exit(1);
}

/* ---- the state machine */

int64_t state_apply(struct state *s, const struct command *cmd)
{
    int64_t *v = &s->value[cmd->key], old = *v;

    switch ((enum linear_kind)cmd->kind) {
    case LINEAR_WRITE:
        *v = cmd->a;
        return 0;
    case LINEAR_CAS:
        if (old == cmd->a)
            *v = cmd->b;
        return old == cmd->a;
    case LINEAR_CREATE:
        *v = 1;
        return old ? -EEXIST : 0;
    case LINEAR_REMOVE:
        *v = 0;
        return old ? 0 : -ENOENT;
    case LINEAR_LOOK:
        return old ? 0 : -ENOENT;
    case LINEAR_READ:
        return old;
    }
    return 0;
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len--)
        h = (h ^ *p++) * UINT64_C(0x100000001b3);
    return h;
}

static struct record *record(struct world *w, uint64_t index)
{
    if (index >= w->n_records) {
        uint64_t n = 2 * index + 64;

        w->records = realloc(w->records, n * sizeof *w->records);
        memset(w->records + w->n_records, 0, (n - w->n_records) * sizeof *w->records);
        w->n_records = n;
    }
    return &w->records[index];
}

static void e_committed(void *env, uint64_t index, const void *data, size_t len)
{
    struct machine *m = env;
    struct world *w = m->w;
    struct command cmd;
    struct record *r = record(w, index);
    int64_t result;

    if (len < sizeof cmd)
        world_fail(w, "%s: entry %" PRIu64 " has %zu bytes", m->id, index, len);
    memcpy(&cmd, data, sizeof cmd);
    if (index <= m->state.index) { /* it is further: from before a restart */
        if (r->id != cmd.id)
            world_fail(w, "%s: entry %" PRIu64 " changed after a restart", m->id, index);
        return;
    }
    result = state_apply(&m->state, &cmd);
    m->state.index = index;
    m->state.chain = mix(mix(m->state.chain, &index, sizeof index), data, len);
    sim_trace(w->s, "%s: %" PRIu64 " is command %" PRIu64, m->id, index, cmd.id);
    if (!r->id)
        *r = (struct record){ cmd.id, m->state.chain, result };
    if (r->id != cmd.id || r->chain != m->state.chain || r->result != result)
        world_fail(w,
                   "%s: entry %" PRIu64 " is command %" PRIu64 ", elsewhere it is %" PRIu64
                   " or had another past",
                   m->id, index, cmd.id, r->id);
}

static int e_snapshot(void *env, uint64_t index, void **data, size_t *len)
{
    struct machine *m = env;

    if (sim_below(m->w->s, 8) == 0 || index < m->state.index) /* it is further since a restart */
        return -EBUSY;
    *len = sizeof m->state + m->w->filler;
    *data = calloc(1, *len);
    memcpy(*data, &m->state, sizeof m->state);
    return 0;
}

static int e_restore(void *env, uint64_t index, const void *data, size_t len)
{
    struct machine *m = env;

    if (len != sizeof m->state + m->w->filler)
        world_fail(m->w, "%s: a snapshot of %zu bytes", m->id, len);
    if (index < m->state.index)
        return 0;
    memcpy(&m->state, data, sizeof m->state);
    sim_trace(m->w->s, "%s: restored %" PRIu64, m->id, index);
    if (m->state.index && record(m->w, m->state.index)->chain != m->state.chain)
        world_fail(m->w, "%s: the snapshot at %" PRIu64 " has another past", m->id, index);
    return 0;
}

static void e_flush(void *env)
{
    (void)env;
}

/* ---- time, chance, messages */

static uint64_t e_now(void *env)
{
    struct machine *m = env;

    return m->offset + sim_now(m->w->s) * m->rate / 1000;
}

static unsigned e_random(void *env, unsigned min, unsigned max)
{
    return min + sim_below(((struct machine *)env)->w->s, max - min);
}

static void check_leader(struct machine *m, const void *message, size_t len)
{
    struct world *w = m->w;
    struct consensus_msg msg;
    struct oerr e;
    unsigned slot;

    if (consensus_msg_decode(message, len, &msg, &e) < 0)
        world_fail(w, "%s: sends what cannot be read: %s", m->id, e.text);
    if (msg.kind != MSG_APPEND && msg.kind != MSG_PART && msg.kind != MSG_TIMEOUT_NOW)
        return;
    slot = (unsigned)(msg.term % (sizeof w->led / sizeof w->led[0]));
    if (w->led[slot].term < msg.term) {
        w->led[slot].term = msg.term;
        w->led[slot].node = msg.from;
    }
    if (w->led[slot].term == msg.term && w->led[slot].node != msg.from)
        world_fail(w, "%s: two leaders in term %" PRIu64, m->id, msg.term);
}

static void e_send(void *env, uint64_t node, const char *id, const void *message, size_t len)
{
    struct machine *m = env;

    (void)node;
    check_leader(m, message, len);
    sim_send(m->w->s, m->i, (unsigned)(id[1] - '0'), message, len);
}

static void e_changed(void *env)
{
    struct machine *m = env;

    if (!m->c)
        return;
    sim_trace(m->w->s, "%s: term %" PRIu64 ", leader %" PRIu64 "%s%s", m->id, consensus_term(m->c),
              consensus_leader(m->c, NULL), consensus_is_leader(m->c) ? ", leads" : "",
              consensus_failed(m->c) ? ", failed" : "");
}

static struct consensus_env env_fn(void)
{
    struct consensus_env fn = disk_env;

    fn.now_ms = e_now;
    fn.random = e_random;
    fn.send = e_send;
    fn.committed = e_committed;
    fn.flush = e_flush;
    fn.snapshot = e_snapshot;
    fn.restore = e_restore;
    fn.changed = e_changed;
    return fn;
}

/* ---- machines */

static void arm(struct machine *m)
{
    uint64_t ms = consensus_tick_ms(m->c) * 1000 / m->rate;

    sim_timer(m->w->s, m->i, T_TICK, sim_now(m->w->s) + (ms ? ms : 1));
}

static void start(struct machine *m)
{
    struct consensus_options opt = { .node = m->node,
                                     .id = m->id,
                                     .snapshot_threshold = m->w->threshold,
                                     .snapshot_trailing = m->w->trailing };
    struct consensus_env fn = env_fn();
    struct oerr e = { "" };
    int rc = consensus_create(&m->c, &opt, &fn, m, &e);

    if (rc < 0 && rc != -ENOSPC)
        world_fail(m->w, "%s: does not start: %s", m->id, e.text);
    if (rc < 0)
        sim_timer(m->w->s, m->i, T_AGAIN, sim_now(m->w->s) + 300);
    else
        sim_timer(m->w->s, m->i, T_TICK, sim_now(m->w->s) + sim_below(m->w->s, 20));
}

void machine_boot(struct machine *m)
{
    if (m->wiped) {
        disk_wipe(&m->disk);
        m->state = (struct state){ 0 };
        m->node = ++m->w->nodes * 1000 + m->i;
        m->wiped = false;
        m->fresh = true;
    }
    sim_trace(m->w->s, "%s: starts as %" PRIu64 ", term %" PRIu64 ", entries to %" PRIu64, m->id,
              m->node, m->disk.term, m->disk.first + m->disk.n - 1);
    sim_boot(m->w->s, m->i);
    start(m);
}

void machine_crash(struct machine *m, bool power)
{
    sim_trace(m->w->s, "%s: %s", m->id, power ? "loses power" : "crashes");
    sim_crash(m->w->s, m->i);
    disk_crash(&m->disk);
    consensus_destroy(m->c);
    m->c = NULL;
    if (power)
        m->state = (struct state){ 0 };
}

/* What an owner does with an engine that stopped. */
static void look_after(struct machine *m)
{
    if (!m->c || !consensus_failed(m->c))
        return;
    sim_trace(m->w->s, "%s: %s", m->id, consensus_failed(m->c));
    if (!strstr(consensus_failed(m->c), "could not be written"))
        world_fail(m->w, "%s: stopped: %s", m->id, consensus_failed(m->c));
    consensus_destroy(m->c);
    m->c = NULL;
    disk_crash(&m->disk);
    sim_timer(m->w->s, m->i, T_AGAIN, sim_now(m->w->s) + 300);
}

static void on_deliver(void *arg, unsigned to, unsigned from, const void *msg, size_t n)
{
    struct world *w = arg;

    if (w->m[to].c)
        consensus_receive(w->m[to].c, msg, n, w->m[from].id);
}

static void on_timer(void *arg, unsigned node, unsigned which)
{
    struct world *w = arg;
    struct machine *m = &w->m[node];

    if (node == MACHINES) { /* the clients' */
        clients_step(w);
        operator_step(w);
        sim_timer(w->s, MACHINES, 0, sim_now(w->s) + 1 + sim_below(w->s, 10));
    } else if (which == T_DISK) {
        disk_run(&m->disk);
    } else if (which == T_AGAIN) {
        start(m);
    } else if (m->c) {
        consensus_tick(m->c);
        arm(m);
    }
}

static void on_step(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < w->n; i++)
        look_after(&w->m[i]);
}

static const struct sim_ops sim_ops = { on_deliver, on_timer, on_step };

struct machine *machine_of(struct world *w, uint64_t node)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->m[i].node == node)
            return &w->m[i];
    return NULL;
}

struct machine *world_leader(struct world *w)
{
    struct machine *found = NULL;

    for (unsigned i = 0; i < w->n; i++) {
        struct machine *m = &w->m[i];

        if (m->c && consensus_is_leader(m->c) &&
            (!found || consensus_term(m->c) > consensus_term(found->c)))
            found = m;
    }
    return found;
}

struct world *world_new(unsigned n, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->n = n;
    w->seed = seed;
    w->s = sim_new(MACHINES + 1, seed, &sim_ops, w);
    for (unsigned i = 0; i < MACHINES; i++) {
        struct machine *m = &w->m[i];

        m->w = w;
        m->i = i;
        snprintf(m->id, sizeof m->id, "m%u", i);
        m->node = ++w->nodes * 1000 + i;
        m->rate = 1000;
        m->offset = 1000;
        m->fresh = true;
        disk_init(&m->disk, m);
    }
    sim_boot(w->s, MACHINES);
    return w;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < MACHINES; i++) {
        consensus_destroy(w->m[i].c);
        disk_wipe(&w->m[i].disk);
    }
    clients_free(w);
    sim_free(w->s);
    free(w->records);
    free(w);
}

static void ignore(void *arg, int rc, uint64_t index)
{
    (void)arg;
    (void)rc;
    (void)index;
}

/* All machines up, the first `voters` of them voters. */
void world_form(struct world *w, unsigned voters)
{
    struct oerr e;
    uint64_t end = sim_now(w->s) + 20000;

    for (unsigned i = 0; i < w->n; i++)
        machine_boot(&w->m[i]);
    if (consensus_bootstrap(w->m[0].c, &e) < 0)
        world_fail(w, "no bootstrap: %s", e.text);
    while (!world_leader(w))
        sim_run(w->s, sim_now(w->s) + 10);
    for (unsigned i = 1; i < voters;) {
        struct machine *l = world_leader(w), *m = &w->m[i];
        const struct consensus_server *v;
        size_t n;

        sim_run(w->s, sim_now(w->s) + 10);
        if (sim_now(w->s) > end)
            world_fail(w, "no cluster is formed");
        if (!l || !l->c)
            continue;
        n = consensus_servers(l->c, &v);
        for (size_t k = 0; k < n && m; k++)
            if (v[k].node == w->m[i].node) {
                m = NULL;
                if (v[k].role == ROLE_VOTER)
                    i++;
                else
                    consensus_assign(l->c, v[k].node, ROLE_VOTER, ignore, NULL);
            }
        if (m)
            consensus_add(l->c, m->node, m->id, ignore, NULL);
    }
}
