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
#include "run/pipe_names.h"
#include "tests/lib/registry_model.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MACHINES = 5,
    NAMES = 4,
    OPS = 1024,
    CMDS = 8192,
    ENDS = 64,
    POLL_MS = 100,
    SUSPECT_MS = 1500,
    DEAD_MS = 3000,
    REFUSED_MS = 25, /* as pipe_join.c pauses */
    BUSY_MS = 25000,
    SETTLE_MS = PN_HOLDER_LOST_MS + 20000,
    QUIET_MS = 10000,
    SLACK_MS = 2 * POLL_MS
};

enum { T_PN, T_POLL };
enum kind { MAKE, REMOVE, SET, OPEN };
enum letter_kind { SUBMIT, ENTRIES, POLL, JOIN, JOINED, REFUSED };

struct letter {
    enum letter_kind kind;
    size_t n; /* SUBMIT: the command; ENTRIES: how long the log is; JOIN...: the operation */
    uint64_t uid, epoch, life;
    bool writes;
};

struct cmd {
    unsigned from;
    uint64_t life, call, deadline;
    char name[16];
    json_t *fields;
    size_t entry; /* 1..: its place in the log */
    int rc;       /* what it came to */
    struct oerr words;
    bool answered;
};

struct simop {
    enum kind kind;
    unsigned at; /* machine */
    uint64_t life, deadline, again_at;
    char name[16];
    uint64_t uid; /* of what is removed */
    bool ended, cancelled, joining;
};

struct end {
    uint64_t uid, epoch, until;
};

struct view {
    enum member_state state;
    uint64_t incarnation, missed;
};

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    uint64_t incarnation, frozen;
    struct pipe_names *pn;
    json_t *state;
    size_t applied;
    struct view view[MACHINES];
    bool was_lost; /* somebody may have taken it for lost */
    struct end end[ENDS];
    unsigned ends;
};

/* Who held what. */
struct claim {
    uint64_t uid, epoch, life;
    unsigned machine;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    struct machine m[MACHINES];
    uint64_t no_quorum; /* until then */
    size_t log[CMDS], n_log;
    json_t *state; /* the registry's own */
    struct cmd cmd[CMDS];
    size_t n_cmds;
    struct simop op[OPS];
    size_t n_ops;
    struct claim *claim;
    size_t n_claims;
    unsigned made[CMDS]; /* names by the index of their making: 1 is p0 */
    uint64_t frozen;     /* until when anybody is */
};

static uint64_t total_ops, total_opens, total_again, total_unheld, total_commands;

static void fail(const struct world *w, const struct machine *m, const char *fmt, ...)
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

static void rearm(struct machine *m)
{
    uint64_t now = sim_now(m->w->s), next = pn_next(m->pn);

    sim_timer(m->w->s, m->i, T_PN, next > now ? next : now + 1);
}

/* ---- buffers */

static bool used(const struct machine *m, uint64_t uid)
{
    for (unsigned k = 0; k < m->ends; k++)
        if (m->end[k].uid == uid)
            return true;
    return false;
}

static void end_add(struct machine *m, uint64_t uid, uint64_t epoch)
{
    uint64_t until = sim_now(m->w->s) + sim_below(m->w->s, 4000);

    if (m->ends == ENDS)
        abort();
    m->end[m->ends++] = (struct end){ uid, epoch, until };
    sim_trace(m->w->s, "%s: an end of %" PRIx64 " epoch %" PRIu64 " until %" PRIu64, m->id, uid,
              epoch, until);
}

static void ends_close(struct machine *m, uint64_t uid, uint64_t now)
{
    for (unsigned k = m->ends; k-- > 0;) {
        struct end e = m->end[k];

        if ((uid && e.uid != uid) || (!uid && e.until > now))
            continue;
        m->end[k] = m->end[--m->ends];
        if (!used(m, e.uid) && !uid)
            pn_release(m->pn, now, e.uid);
    }
}

/* ---- effects */

static void fx_changed(void *arg, const struct pipe_info *p, enum pn_change what)
{
    struct machine *m = arg;
    unsigned *made = &m->w->made[p->uid >> 20], name = (unsigned)(p->name[1] - '0') + 1;

    if (what == PN_ADDED && *made && *made != name)
        fail(m->w, m, "uid %" PRIx64 " is p%u and %s", p->uid, *made - 1, p->name);
    *made = name;
    sim_trace(m->w->s, "%s: %s %s holder %s epoch %" PRIu64, m->id,
              what == PN_ADDED    ? "added"
              : what == PN_GONE   ? "gone"
              : what == PN_UNHELD ? "unheld"
                                  : "changed",
              p->name, p->holder, p->epoch);
    if (what != PN_UNHELD)
        return;
    total_unheld++;
    if (!m->was_lost)
        fail(m->w, m, "lost its hold of %s, and nobody had reason to take it", p->name);
    ends_close(m, p->uid, 0);
}

static void send_letter(struct world *w, unsigned from, unsigned to, const struct letter *l)
{
    sim_send(w->s, from, to, l, sizeof *l);
}

static int fx_submit(void *arg, uint64_t call, const char *cmd, json_t *fields,
                     unsigned deadline_ms)
{
    struct machine *m = arg;
    struct world *w = m->w;
    struct cmd *c = &w->cmd[w->n_cmds];
    struct letter l = { .kind = SUBMIT, .n = w->n_cmds };

    if (w->n_cmds++ == CMDS - 1)
        fail(w, m, "too many commands");
    total_commands++;
    *c = (struct cmd){ .from = m->i,
                       .life = m->incarnation,
                       .call = call,
                       .deadline = sim_now(w->s) + deadline_ms,
                       .fields = fields };
    snprintf(c->name, sizeof c->name, "%s", cmd);
    sim_trace(w->s, "%s: asks %s %s", m->id, cmd,
              json_string_value(json_object_get(fields, "name")));
    send_letter(w, m->i, w->n, &l);
    return 0;
}

static bool fx_let_go(void *arg, uint64_t uid)
{
    return !used(arg, uid);
}

static void op_ended(struct simop *op, struct machine *m, int rc, const struct pipe_info *p);

static void fx_done(void *arg, void *handle, int rc, const struct pipe_info *p, const char *text)
{
    struct machine *m = arg;

    if (rc < 0 && (!text || !*text))
        fail(m->w, m, "an error without words");
    if (m->pn)
        op_ended(handle, m, rc, p);
}

static const struct pn_fx fx = { fx_changed, fx_submit, fx_let_go, fx_done };

/* ---- operations */

static void op_over(struct simop *op, struct machine *m, int rc)
{
    uint64_t by = op->deadline > m->frozen ? op->deadline : m->frozen;

    sim_trace(m->w->s, "%s: %s of kind %d ends: %d", m->id, op->name, (int)op->kind, rc);
    if (op->ended || op->cancelled)
        fail(m->w, m, "an operation ended twice, or after it was cancelled");
    if (sim_now(m->w->s) > by + SLACK_MS + (op->kind == OPEN ? 1000 : 0))
        fail(m->w, m, "an operation on %s took too long", op->name);
    op->ended = true;
    total_ops++;
}

static void op_ended(struct simop *op, struct machine *m, int rc, const struct pipe_info *p)
{
    struct letter l = { .kind = JOIN, .life = m->incarnation };

    if (rc < 0 || op->kind != OPEN) {
        if (rc == 0 && op->kind == MAKE && !pn_find(m->pn, op->name))
            fail(m->w, m, "%s was made and is not there", op->name);
        if (rc == 0 && op->kind == REMOVE && pn_by_uid(m->pn, op->uid))
            fail(m->w, m, "%s was removed and is there", op->name);
        op_over(op, m, rc);
        return;
    }
    if (strcmp(p->holder, m->id) == 0) {
        if (!pn_holds(m->pn, p->uid, p->epoch))
            fail(m->w, m, "is to hold %s and does not", p->name);
        end_add(m, p->uid, p->epoch);
        total_opens++;
        op_over(op, m, 0);
        return;
    }
    l.n = (size_t)(op - m->w->op);
    l.uid = p->uid;
    l.epoch = p->epoch;
    op->joining = true;
    op->again_at = sim_now(m->w->s) + 1000; /* no answer by then: unreachable */
    send_letter(m->w, m->i, (unsigned)(p->holder[1] - '0'), &l);
}

static void op_open(struct simop *op, struct machine *m)
{
    struct pipe_info info;
    struct oerr e = { "" };
    int rc = pn_open_reader(m->pn, sim_now(m->w->s), op->deadline, op->name, op, &info, &e);

    op->joining = false;
    op->again_at = UINT64_MAX;
    if (rc <= 0)
        op_ended(op, m, rc, &info);
}

static void joins_look(struct machine *m, uint64_t now)
{
    for (size_t k = 0; k < m->w->n_ops; k++) {
        struct simop *op = &m->w->op[k];

        if (op->ended || op->cancelled || op->at != m->i || op->kind != OPEN || op->again_at > now)
            continue;
        if (op->joining)
            op_over(op, m, -EHOSTUNREACH);
        else if (now >= op->deadline)
            op_over(op, m, -EAGAIN);
        else {
            total_again++;
            op_open(op, m);
        }
    }
}

static void on_join(struct machine *m, unsigned from, const struct letter *q)
{
    struct letter a = *q;

    if (!pn_holds(m->pn, q->uid, q->epoch)) {
        a.kind = REFUSED;
    } else if (!q->writes && !used(m, q->uid)) {
        pn_yield(m->pn, sim_now(m->w->s), q->uid);
        a.kind = REFUSED;
    } else {
        if (m->ends < ENDS / 2)
            end_add(m, q->uid, q->epoch);
        a.kind = JOINED;
    }
    send_letter(m->w, m->i, from, &a);
}

static void on_join_answer(struct machine *m, const struct letter *a)
{
    struct simop *op = &m->w->op[a->n];

    if (a->writes || a->life != m->incarnation || op->ended || op->cancelled || !op->joining)
        return;
    if (a->kind == JOINED) {
        total_opens++;
        op_over(op, m, 0);
    } else {
        op->joining = false;
        op->again_at = sim_now(m->w->s) + REFUSED_MS;
    }
}

/* ---- the registry */

static void on_submit(struct world *w, const struct letter *l)
{
    struct cmd *c = &w->cmd[l->n];
    struct letter news = { .kind = ENTRIES };
    json_t *result;

    if (sim_now(w->s) < w->no_quorum || c->entry)
        return;
    w->log[w->n_log++] = l->n;
    c->entry = w->n_log;
    c->rc = model_apply(w->state, w->n_log, pipe_commands, c->name, c->fields, &result, &c->words);
    json_decref(result);
    news.n = w->n_log;
    for (unsigned i = 0; i < w->n; i++)
        send_letter(w, w->n, i, &news);
}

static void apply_one(struct machine *m, bool tell)
{
    struct world *w = m->w;
    struct cmd *c = &w->cmd[w->log[m->applied++]];
    const char *name = json_string_value(json_object_get(c->fields, "name"));
    struct oerr e = { "" };
    char key[REGISTRY_KEY_MAX];
    json_t *result;

    model_apply(m->state, m->applied, pipe_commands, c->name, c->fields, &result, &e);
    json_decref(result);
    snprintf(key, sizeof key, PIPE_KEY "%s", name);
    if (tell)
        pn_record(m->pn, sim_now(w->s), name, json_object_get(m->state, key));
}

static void read_all(struct machine *m)
{
    const char *key;
    json_t *value;

    pn_all_begin(m->pn);
    json_object_foreach (m->state, key, value)
        pn_record(m->pn, sim_now(m->w->s), key + strlen(PIPE_KEY), value);
    pn_all_end(m->pn);
}

static void answer(struct machine *m, uint64_t now)
{
    struct world *w = m->w;

    for (size_t k = 0; k < w->n_cmds; k++) {
        struct cmd *c = &w->cmd[k];
        int rc = -EAGAIN;

        if (c->answered || c->from != m->i || c->life != m->incarnation ||
            !((c->entry && c->entry <= m->applied) || now >= c->deadline))
            continue;
        c->answered = true;
        if (c->entry && c->entry <= m->applied)
            rc = c->rc;
        pn_answered(m->pn, now, c->call, rc, rc == -EAGAIN ? "no quorum" : c->words.text);
    }
}

/* A long way behind it gets a copy of the state. */
static void on_entries(struct machine *m, size_t n)
{
    bool behind = n > m->applied + 4;

    while (m->applied < n)
        apply_one(m, !behind);
    if (behind)
        read_all(m);
    answer(m, sim_now(m->w->s));
}

static void ask_again(struct machine *m, uint64_t now)
{
    struct world *w = m->w;
    struct letter l = { .kind = POLL };

    answer(m, now);
    send_letter(w, m->i, w->n, &l);
    l.kind = SUBMIT;
    for (l.n = 0; l.n < w->n_cmds; l.n++)
        if (!w->cmd[l.n].answered && !w->cmd[l.n].entry && w->cmd[l.n].from == m->i &&
            w->cmd[l.n].life == m->incarnation)
            send_letter(w, m->i, w->n, &l);
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

static void check(void *arg)
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

static const struct sim_ops ops = { on_deliver, on_timer, check };

/* ---- what happens to them */

static void boot(struct world *w, unsigned i)
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

static void crash(struct world *w, unsigned i, bool leaves)
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

static struct world *world_new(uint64_t seed)
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

static void world_free(struct world *w)
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
