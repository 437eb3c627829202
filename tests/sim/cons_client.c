/*
 * cons_client.c - clients that keep a history, and an operator who changes the configuration
 * (cons_world.h).
 *
 * A client asks for one thing at a time; when it never learns the end, it goes on under a new name.
 * Half of the reads are made on another machine than the one that gave the index, once that one has
 * got there.
 */
#include "tests/sim/cons_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_MS = 2000, PADDING = 200, CONFIGURATIONS = 200000 };

/* ---- history */

static struct linear_op *entry(struct op *op)
{
    return &op->w->history[op->history];
}

static void begin_entry(struct op *op)
{
    struct world *w = op->w;

    if (w->n_history == w->cap_history) {
        w->cap_history = w->cap_history ? 2 * w->cap_history : 1024;
        w->history = realloc(w->history, w->cap_history * sizeof *w->history);
    }
    op->history = w->n_history++;
    *entry(op) = (struct linear_op){ .client = op->client,
                                     .call = ++w->stamp,
                                     .ret = LINEAR_NEVER,
                                     .key = op->cmd.key,
                                     .kind = (enum linear_kind)op->cmd.kind,
                                     .a = op->cmd.a,
                                     .b = op->cmd.b };
}

static struct client *client_of(struct op *op)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (op->w->clients[i].op == op)
            return &op->w->clients[i];
    return NULL;
}

static void op_free(struct op *op)
{
    for (struct op **pp = &op->w->ops; *pp; pp = &(*pp)->next)
        if (*pp == op) {
            *pp = op->next;
            break;
        }
    free(op);
}

static void answered(struct op *op, int64_t result)
{
    struct world *w = op->w;

    entry(op)->ret = ++w->stamp;
    entry(op)->result = result;
    w->answered_ms = sim_now(w->s);
    client_of(op)->op = NULL;
    op_free(op);
}

static void unanswered(struct op *op, bool matters)
{
    struct client *c = client_of(op);

    if (!matters)
        entry(op)->client = 0; /* a read without an answer says nothing */
    c->op = NULL;
    c->name = ++op->w->names;
    op_free(op);
}

/* ---- what comes of an operation */

static void on_written(void *arg, int rc, uint64_t index)
{
    struct op *op = arg;
    struct world *w = op->w;

    sim_trace(w->s, "client %u: command %" PRIu64 " ends with %d at %" PRIu64, op->client,
              op->cmd.id, rc, index);
    if (rc < 0) {
        unanswered(op, true);
        return;
    }
    if (index >= w->n_records || w->records[index].id != op->cmd.id)
        world_fail(w, "command %" PRIu64 " was acknowledged at %" PRIu64 ", where another is",
                   op->cmd.id, index);
    w->acked++;
    answered(op, w->records[index].result);
}

static void read_here(struct op *op, struct machine *m)
{
    struct state copy = m->state;

    op->w->reads++;
    answered(op, state_apply(&copy, &op->cmd));
}

static void on_read(void *arg, int rc, uint64_t index)
{
    struct op *op = arg;
    struct world *w = op->w;
    struct machine *m = &w->m[op->reader];

    if (rc < 0) {
        unanswered(op, false);
        return;
    }
    if (consensus_committed_index(m->c) < index)
        world_fail(w, "%s: may read at %" PRIu64 ", is at %" PRIu64, m->id, index,
                   consensus_committed_index(m->c));
    if (sim_below(w->s, 2)) {
        read_here(op, m);
        return;
    }
    op->reading = true;
    op->reader = sim_below(w->s, w->n);
    op->index = index;
    op->acked_ms = sim_now(w->s);
}

static void go_on_reading(struct op *op)
{
    struct machine *m = &op->w->m[op->reader];

    if (!op->reading)
        return;
    if (m->c && consensus_committed_index(m->c) >= op->index)
        read_here(op, m);
    else if (sim_now(op->w->s) - op->acked_ms > READ_MS)
        unanswered(op, false);
}

/* ---- clients */

static void choose(struct world *w, struct command *cmd)
{
    bool name;

    cmd->id = ++w->ids;
    cmd->key = sim_below(w->s, KEYS);
    name = cmd->key >= REGISTERS;
    cmd->kind = (name ? LINEAR_CREATE : LINEAR_READ) + sim_below(w->s, 3);
    cmd->b = (int64_t)cmd->id;
    cmd->a = cmd->kind == LINEAR_CAS ? w->m[sim_below(w->s, w->n)].state.value[cmd->key]
                                     : (int64_t)cmd->id;
}

static void begin(struct world *w, struct client *c)
{
    struct machine *m = sim_below(w->s, 10) ? world_leader(w) : &w->m[sim_below(w->s, w->n)];
    struct op *op;
    char bytes[sizeof(struct command) + PADDING] = { 0 };
    bool reads;
    int rc;

    if (!m || !m->c) {
        c->pause_until = sim_now(w->s) + 5;
        return;
    }
    op = calloc(1, sizeof *op);
    op->w = w;
    op->client = c->name;
    op->reader = m->i;
    op->next = w->ops;
    w->ops = op;
    c->op = op;
    choose(w, &op->cmd);
    begin_entry(op);
    memcpy(bytes, &op->cmd, sizeof op->cmd);
    reads = op->cmd.kind == LINEAR_READ || op->cmd.kind == LINEAR_LOOK;
    sim_trace(w->s, "client %u: %s: command %" PRIu64 " kind %u key %u", c->name, m->id, op->cmd.id,
              op->cmd.kind, op->cmd.key);
    if (reads && sim_below(w->s, 10))
        rc = consensus_read_index(m->c, on_read, op);
    else
        rc = consensus_propose(m->c, bytes, sizeof op->cmd + sim_below(w->s, PADDING), on_written,
                               op);
    if (rc == 0)
        return;
    w->n_history--;
    c->op = NULL;
    c->pause_until = sim_now(w->s) + 5;
    op_free(op);
}

void clients_step(struct world *w)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];

        if (!c->name)
            c->name = ++w->names;
        if (c->op)
            go_on_reading(c->op);
        else if (!w->clients_stop && sim_now(w->s) >= c->pause_until)
            begin(w, c);
    }
}

bool clients_check(struct world *w)
{
    static char why[1 << 20];
    size_t n = 0;

    for (size_t i = 0; i < w->n_history; i++)
        if (w->history[i].client)
            w->history[n++] = w->history[i];
    w->n_history = n;
    switch (linear_check(w->history, n, CONFIGURATIONS, why, sizeof why)) {
    case LINEAR_YES:
        return true;
    case LINEAR_NO:
        world_fail(w, "not linearizable: %s", why);
    case LINEAR_GAVE_UP:
        break;
    }
    return false;
}

void clients_free(struct world *w)
{
    while (w->ops)
        op_free(w->ops);
    free(w->history);
}

/* ---- operator */

static void on_changed(void *arg, int rc, uint64_t index)
{
    struct world *w = arg;
    unsigned i = w->wipe_after;

    sim_trace(w->s, "operator: change ends with %d at %" PRIu64, rc, index);
    w->changing = false;
    w->wipe_after = 0;
    if (rc == 0)
        w->changes++;
    if (rc == 0 && i)
        w->m[i - 1].wiped = true; /* carried out when it starts again */
}

static const struct consensus_server *server_of(struct machine *l, uint64_t node)
{
    const struct consensus_server *v;
    size_t n = consensus_servers(l->c, &v);

    for (size_t i = 0; i < n; i++)
        if (v[i].node == node)
            return &v[i];
    return NULL;
}

static int change(struct world *w, struct machine *l, struct machine *m)
{
    static const enum consensus_role roles[] = { ROLE_VOTER, ROLE_VOTER, ROLE_VOTER, ROLE_LEARNER,
                                                 ROLE_SPARE };
    enum consensus_role role = roles[sim_below(w->s, 5)];

    if (m->wiped)
        return -EBUSY;
    if (!server_of(l, m->node)) {
        sim_trace(w->s, "operator: %s adds %s", l->id, m->id);
        return consensus_add(l->c, m->node, m->id, on_changed, w);
    }
    if (sim_below(w->s, 6) == 0) {
        sim_trace(w->s, "operator: %s removes %s", l->id, m->id);
        w->wipe_after = sim_below(w->s, 2) ? m->i + 1 : 0;
        return consensus_remove(l->c, m->node, on_changed, w);
    }
    sim_trace(w->s, "operator: %s makes %s a %s", l->id, m->id, consensus_role_name(role));
    return consensus_assign(l->c, m->node, role, on_changed, w);
}

void operator_step(struct world *w)
{
    struct machine *l = world_leader(w), *m = &w->m[sim_below(w->s, w->n)];

    if (w->operator_stop || w->changing || !l || sim_below(w->s, w->change_every))
        return;
    if (sim_below(w->s, 5) == 0) {
        sim_trace(w->s, "operator: %s hands over to %s", l->id, m->id);
        consensus_transfer(l->c, sim_below(w->s, 2) ? m->node : 0);
        return;
    }
    w->changing = true;
    w->wipe_after = 0;
    if (change(w, l, m) < 0) {
        w->changing = false;
        w->wipe_after = 0;
    }
}
