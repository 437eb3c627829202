/*
 * sim_rendezvous.c - names of pipes under loss, delay, cuts, partitions, freezes and restarts.
 *
 *   sim_rendezvous              some thousand seeds
 *   sim_rendezvous SEED         that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N           so many seeds
 *
 * Membership is played, as its own simulator checks it: who cannot be reached is suspect after
 * 1.5 s and dead after 3 s, who can be again is alive within a second.
 *
 * Invariants:
 *  - in each replica names are unique and sorted, after every event;
 *  - an operation ends once, within RV_DEADLINE_MS;
 *  - when a make ends with 0, every machine that was connected to it and to the home all the time
 *    (and CAUGHT_UP_MS before, when the pipe was there already) has the pipe; when a remove does,
 *    none has it; in runs whose network loses and delays nothing;
 *  - a machine holds a buffer from the end of its open until it releases it or is told; no epoch is
 *    held by two machines, and a machine becomes the holder only by an open of its own;
 *  - a home loses a pipe only by a remove;
 *  - a second sees a bounded number of messages;
 * and at the end, when all is healed: all replicas are equal, have every pipe of every home that is
 * up, under the name that its home shows, the holder by its home's word is the one that holds,
 * and hardly anything is said.
 */
#include "run/rendezvous_msg.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MACHINES = 6,
    NAMES = 6,
    CAUGHT_UP_MS = 3000, /* after they were apart */
    OPS = 512,
    POLL_MS = 100,
    SUSPECT_MS = 1500,
    DEAD_MS = 3000,
    BUSY_MS = 25000,
    SETTLE_MS = RV_HOLDER_LOST_MS + 20000,
    QUIET_MS = 10000
};

enum { T_RV, T_MEMBER }; /* timers of a machine */

enum kind { MAKE, REMOVE, SET, OPEN };

struct simop {
    enum kind kind;
    unsigned at;          /* machine */
    uint64_t began, over; /* over: when it ended */
    char name[PIPE_NAME_MAX + 1];
    struct pipe_uid uid; /* of what is removed */
    bool ended, cancelled;
};

/* What one machine's membership says of another. */
struct view {
    bool known;
    enum member_state state;
    uint64_t incarnation;
    uint64_t reached, missed; /* since when; 0: not */
    uint64_t apart;           /* when they were last not connected */
};

struct hold {
    struct pipe_uid uid;
    uint64_t epoch;
};

struct machine {
    struct world *w;
    unsigned i;
    char id[ID_MAX];
    uint64_t incarnation, frozen;
    bool left;
    struct rendezvous *rv;
    struct view view[MACHINES];
    struct hold hold[64];
    unsigned holds;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    bool exact; /* the network loses and delays nothing */
    struct machine m[MACHINES];
    struct simop op[OPS];
    unsigned ops;
    unsigned sent, sent_other; /* messages in this second; since the end of the busy time */
    uint64_t second;
    uint64_t frozen; /* until when anybody is */
    struct asking *asked;
};

struct letter {
    bool answer;
    unsigned asker;
    uint64_t asker_life, call, sent;
    struct rv_msg m; /* its array follows the letter */
};

/* A question that was delivered. */
struct asking {
    struct asking *next; /* freed with the world: a core that crashes drops its own */
    unsigned asker;
    uint64_t asker_life, call, sent;
};

static uint64_t total_makes, total_opens, total_renames;

static void fail(const struct world *w, const char *what, const struct machine *a)
{
    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s: %s\n", w->seed, w->n,
            sim_now(w->s), a ? a->id : "-", what);
    fprintf(stderr, "again: tests/sim/sim_rendezvous %" PRIu64 "\n", w->seed);
    exit(1);
}

static bool uid_same(const struct pipe_uid *a, const struct pipe_uid *b)
{
    return strcmp(a->home, b->home) == 0 && a->incarnation == b->incarnation &&
           a->serial == b->serial;
}

static unsigned index_of(const char *id)
{
    return (unsigned)(id[1] - '0');
}

static bool connected(const struct world *w, unsigned i, unsigned j)
{
    uint64_t now = sim_now(w->s);

    return sim_connected(w->s, i, j) && now >= w->m[i].frozen && now >= w->m[j].frozen;
}

static bool sees(const struct world *w, unsigned i, unsigned j, uint64_t since)
{
    const struct view *v = &w->m[i].view[j];

    return v->apart < since && v->reached && v->state == MEMBER_ALIVE &&
           v->incarnation == w->m[j].incarnation;
}

/* Both have been alive to each other since then. */
static bool together_since(const struct world *w, unsigned i, unsigned j, uint64_t since)
{
    return i == j || (connected(w, i, j) && sees(w, i, j, since) && sees(w, j, i, since));
}

static const struct pipe_info *record(const struct world *w, unsigned i, const struct pipe_uid *uid)
{
    return w->m[i].rv ? rv_by_uid(w->m[i].rv, uid) : NULL;
}

/* ---- messages */

static void post(struct machine *a, unsigned to, struct letter *l, const struct rv_msg *m)
{
    const void *v = m->kind == RV_SYNC ? (void *)m->u.sync.v : m->u.list.v;
    size_t n = m->kind == RV_SYNC   ? m->u.sync.n * sizeof *m->u.sync.v
               : m->kind == RV_LIST ? m->u.list.n * sizeof *m->u.list.v
                                    : 0;
    struct world *w = a->w;
    char *bytes = malloc(sizeof *l + n);

    if (!bytes)
        abort();
    if (sim_now(w->s) >= w->second + 1000) {
        w->second = sim_now(w->s);
        w->sent = 0;
    }
    w->sent++;
    w->sent_other += m->kind != RV_SYNC;
    l->m = *m;
    memcpy(bytes, l, sizeof *l);
    if (n)
        memcpy(bytes + sizeof *l, v, n);
    sim_send(w->s, a->i, to, bytes, sizeof *l + n);
    free(bytes);
}

static void fx_ask(void *arg, const char *to, uint64_t call, const struct rv_msg *q)
{
    struct machine *a = arg;
    struct letter l = {
        .asker = a->i, .asker_life = a->incarnation, .call = call, .sent = sim_now(a->w->s)
    };

    if (strcmp(to, a->id) == 0)
        fail(a->w, "asks itself", a);
    post(a, index_of(to), &l, q);
}

static void fx_answer(void *arg, void *ask, const struct rv_msg *m)
{
    struct asking *g = ask;
    struct letter l = { .answer = true,
                        .asker = g->asker,
                        .asker_life = g->asker_life,
                        .call = g->call,
                        .sent = g->sent };

    post(arg, g->asker, &l, m);
}

static void rearm(struct machine *a)
{
    sim_timer(a->w->s, a->i, T_RV, rv_next(a->rv));
}

/* As the bus: what comes later than RV_ASK_MS, or is of a life before, is dropped. */
static void on_deliver(void *arg, unsigned to, unsigned from, const void *data, size_t n)
{
    struct world *w = arg;
    struct machine *a = &w->m[to];
    struct letter l;
    struct asking *g;
    void *array;

    memcpy(&l, data, sizeof l);
    if (sim_now(w->s) > l.sent + RV_ASK_MS || w->m[l.asker].incarnation != l.asker_life)
        return;
    n -= sizeof l;
    array = malloc(n + 1);
    g = malloc(sizeof *g);
    if (!array || !g)
        abort();
    memcpy(array, (const char *)data + sizeof l, n);
    if (l.m.kind == RV_SYNC)
        l.m.u.sync.v = array;
    else if (l.m.kind == RV_LIST)
        l.m.u.list.v = array;
    *g = (struct asking){ w->asked, l.asker, l.asker_life, l.call, l.sent };
    w->asked = g;
    if (l.answer)
        rv_answered(a->rv, sim_now(w->s), l.call, 0, &l.m);
    else
        rv_asked(a->rv, sim_now(w->s), w->m[from].id, g, &l.m);
    free(array);
    rearm(a);
}

/* ---- what the cores tell */

static struct hold *held(struct machine *a, const struct pipe_uid *uid)
{
    for (unsigned k = 0; k < a->holds; k++)
        if (uid_same(&a->hold[k].uid, uid))
            return &a->hold[k];
    return NULL;
}

static void unhold(struct machine *a, struct hold *h)
{
    *h = a->hold[--a->holds];
}

/* Whether an open of that pipe at that machine may have asked for it. */
static bool was_opened(const struct world *w, unsigned at)
{
    for (unsigned k = 0; k < w->ops; k++)
        if (w->op[k].kind == OPEN && w->op[k].at == at &&
            (!w->op[k].ended || w->op[k].over + RV_ASK_MS >= sim_now(w->s)))
            return true;
    return false;
}

static bool was_removed(const struct world *w, const struct pipe_uid *uid)
{
    for (unsigned k = 0; k < w->ops; k++)
        if (w->op[k].kind == REMOVE && uid_same(&w->op[k].uid, uid))
            return true;
    return false;
}

static void fx_changed(void *arg, const struct pipe_info *p, enum rv_change what)
{
    static const char *const word[] = { "added", "changed", "holder", "renamed", "unheld", "gone" };
    struct machine *a = arg;
    bool home = strcmp(p->uid.home, a->id) == 0;
    struct hold *h = held(a, &p->uid);

    sim_trace(a->w->s,
              "%s: %s %s (%s/%" PRIu64 ".%" PRIu64 ") holder %s epoch %" PRIu64 " v%" PRIu64, a->id,
              word[what], p->name, p->uid.home, p->uid.incarnation, p->uid.serial,
              p->holder[0] ? p->holder : "-", p->epoch, p->version);
    total_renames += what == RV_RENAMED && home;
    if (what == RV_GONE && home && !was_removed(a->w, &p->uid))
        fail(a->w, "the home lost a pipe", a);
    if (what == RV_HOLDER && home && p->holder[0] && !was_opened(a->w, index_of(p->holder)))
        fail(a->w, "a holder that did not open", a);
    if (what == RV_UNHELD) {
        if (!h)
            fail(a->w, "told that it no longer holds what it did not hold", a);
        else
            unhold(a, h);
    }
}

/* Every machine that was together with the maker and the home since then has it, or does not. */
static void check_everywhere(struct world *w, const struct simop *op, const struct pipe_uid *uid,
                             bool there)
{
    unsigned home = index_of(uid->home);
    const struct pipe_info *p = record(w, home, uid);
    bool own = home == op->at && (!p || p->created_us == op->began * 1000);
    uint64_t since = own ? op->began : op->began < CAUGHT_UP_MS ? 0 : op->began - CAUGHT_UP_MS;

    if (!w->exact || w->m[home].incarnation != uid->incarnation ||
        !together_since(w, op->at, home, since))
        return;
    for (unsigned j = 0; j < w->n; j++)
        if (together_since(w, op->at, j, since) && together_since(w, home, j, since) &&
            !record(w, j, uid) == there && !(there && was_removed(w, uid)))
            fail(w, there ? "does not know what was made" : "knows what was removed", &w->m[j]);
}

/* A name that is made while all are together is nobody else's. */
static void check_made(struct world *w, const struct simop *op, const struct pipe_info *p)
{
    check_everywhere(w, op, &p->uid, true);
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned j = 0; j < w->n; j++)
            if (!w->exact || op->began < w->frozen + CAUGHT_UP_MS ||
                !together_since(w, i, j, op->began - CAUGHT_UP_MS))
                return;
    if (strcmp(p->name, op->name) != 0)
        fail(w, "two made one name", &w->m[op->at]);
}

static void opened(struct machine *a, const struct simop *op, const struct pipe_info *p)
{
    struct hold *h;

    if (strcmp(p->holder, a->id) != 0)
        return;
    if (!rv_holds(a->rv, &p->uid, p->epoch))
        fail(a->w, "opened here, but not held", a);
    h = held(a, &p->uid);
    if (h && h->epoch != p->epoch)
        fail(a->w, "another epoch without being told", a);
    if (!h && a->holds == sizeof a->hold / sizeof a->hold[0])
        abort();
    if (!h)
        a->hold[a->holds++] = (struct hold){ p->uid, p->epoch };
    (void)op;
}

static void ended(struct machine *a, struct simop *op, int rc, const struct pipe_info *p,
                  const char *text)
{
    static const char *const word[] = { "make", "remove", "set", "open" };
    struct world *w = a->w;
    uint64_t late = op->began + RV_DEADLINE_MS;

    if (a->frozen > op->began && a->frozen > late)
        late = a->frozen;
    sim_trace(w->s, "%s: %s %s ends %d %s", a->id, word[op->kind], op->name, rc, text ? text : "");
    if (op->ended || op->cancelled)
        fail(w, "an operation ended twice, or after it was cancelled", a);
    if (sim_now(w->s) > late)
        fail(w, "an operation ended late", a);
    op->ended = true;
    op->over = sim_now(w->s);
    if (rc < 0 && (!text || !text[0]))
        fail(w, "an error without words", a);
    if (rc == 0 && op->kind == MAKE) {
        total_makes++;
        check_made(w, op, p);
    } else if (rc == 0 && op->kind == REMOVE) {
        check_everywhere(w, op, &op->uid, false);
    } else if (rc == 0 && op->kind == OPEN) {
        total_opens++;
        opened(a, op, p);
    }
}

static void fx_done(void *arg, void *handle, int rc, const struct pipe_info *p, const char *text)
{
    ended(arg, handle, rc, p, text);
}

static const struct rv_fx fx = { fx_changed, fx_ask, fx_answer, fx_done };

/* ---- membership, played */

static void tell(struct machine *a, unsigned j, enum member_state state)
{
    static const char *const word[] = { "pending", "alive", "suspect", "dead", "left", "gone" };
    struct view *v = &a->view[j];

    v->known = true;
    v->state = state;
    sim_trace(a->w->s, "%s: %s is %s, incarnation %" PRIu64, a->id, a->w->m[j].id, word[state],
              v->incarnation);
    rv_member(a->rv, sim_now(a->w->s), a->w->m[j].id, v->incarnation, state);
}

/* Members tell each other of the highest incarnation that they know, and that it left. */
static void hear_of(struct machine *a, unsigned j)
{
    struct world *w = a->w;
    struct view *v = &a->view[j];

    for (unsigned k = 0; k < w->n; k++) {
        const struct view *u = &w->m[k].view[j];
        bool left = u->state == MEMBER_LEFT;

        if (!w->m[k].rv || !connected(w, a->i, k) || !u->known)
            continue;
        if (u->incarnation > v->incarnation ||
            (u->incarnation == v->incarnation && left && v->state != MEMBER_LEFT)) {
            v->incarnation = u->incarnation;
            tell(a, j, left ? MEMBER_LEFT : MEMBER_DEAD);
        }
    }
}

static void look_at(struct machine *a, unsigned j)
{
    struct world *w = a->w;
    struct view *v = &a->view[j];
    uint64_t now = sim_now(w->s), inc = w->m[j].incarnation;

    if (w->m[j].left) {
        v->missed = v->reached = 0;
        if (!v->known || v->state != MEMBER_LEFT || v->incarnation != inc) {
            v->incarnation = inc;
            tell(a, j, MEMBER_LEFT);
        }
    } else if (connected(w, a->i, j)) {
        v->missed = 0;
        v->reached = v->reached ? v->reached : now;
        if ((!v->known || v->state != MEMBER_ALIVE || v->incarnation != inc) &&
            sim_chance(w->s, 200000)) {
            v->incarnation = inc;
            tell(a, j, MEMBER_ALIVE);
        }
    } else if (inc) {
        v->reached = 0;
        v->missed = v->missed ? v->missed : now;
        if (v->known && v->state == MEMBER_ALIVE && now >= v->missed + SUSPECT_MS)
            tell(a, j, MEMBER_SUSPECT);
        if (!v->known)
            v->incarnation = inc;
        if (now < v->missed + DEAD_MS)
            return;
        if (!v->known || v->state == MEMBER_SUSPECT)
            tell(a, j, MEMBER_DEAD);
        hear_of(a, j);
    }
}

static void on_timer(void *arg, unsigned node, unsigned which)
{
    struct world *w = arg;
    struct machine *a = &w->m[node];

    if (which == T_RV) {
        rv_tick(a->rv, sim_now(w->s));
    } else {
        for (unsigned j = 0; j < w->n; j++)
            if (j != node)
                look_at(a, j);
        sim_timer(w->s, node, T_MEMBER, sim_now(w->s) + POLL_MS);
    }
    rearm(a);
}

static void note_apart(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned j = 0; j < w->n; j++)
            if (!connected(w, i, j))
                w->m[i].view[j].apart = sim_now(w->s);
}

/* ---- after every event */

static void check_holds(struct world *w, struct machine *a)
{
    for (unsigned k = 0; k < a->holds; k++) {
        const struct hold *h = &a->hold[k];
        unsigned home = index_of(h->uid.home);
        const struct pipe_info *p = record(w, home, &h->uid);

        if (!rv_holds(a->rv, &h->uid, h->epoch))
            fail(w, "no longer holds, and was not told", a);
        if (p && p->epoch == h->epoch && p->holder[0] && strcmp(p->holder, a->id) != 0)
            fail(w, "holds an epoch that is another's", a);
        for (unsigned j = 0; j < w->n; j++)
            if (j != a->i && w->m[j].rv && rv_holds(w->m[j].rv, &h->uid, h->epoch))
                fail(w, "two hold one epoch", a);
    }
}

static void check(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < w->n; i++) {
        struct machine *a = &w->m[i];

        if (!a->rv)
            continue;
        for (size_t k = 1; k < rv_count(a->rv); k++)
            if (strcmp(rv_at(a->rv, k - 1)->name, rv_at(a->rv, k)->name) >= 0)
                fail(w, "names are not unique and sorted", a);
        check_holds(w, a);
    }
    if (w->sent > 400 * w->n)
        fail(w, "too many messages in a second", NULL);
}

static const struct sim_ops ops = { on_deliver, on_timer, check };

/* ---- what happens to them */

static void boot(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];

    sim_boot(w->s, i);
    a->incarnation = sim_now(w->s) + 1;
    a->left = false;
    a->holds = 0;
    memset(a->view, 0, sizeof a->view);
    for (unsigned j = 0; j < w->n; j++)
        a->view[j].apart = sim_now(w->s);
    if (rv_create(&a->rv, a->id, a->incarnation, &fx, a) < 0)
        abort();
    sim_trace(w->s, "%s: starts, incarnation %" PRIu64, a->id, a->incarnation);
    sim_timer(w->s, i, T_MEMBER, sim_now(w->s) + sim_below(w->s, POLL_MS));
}

static void crash(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];

    sim_trace(w->s, "%s: crashes", a->id);
    sim_crash(w->s, i);
    rv_destroy(a->rv);
    a->rv = NULL;
    a->frozen = 0;
    a->holds = 0;
    for (unsigned k = 0; k < w->ops; k++)
        if (w->op[k].at == i && !w->op[k].ended) {
            w->op[k].ended = true;
            w->op[k].over = sim_now(w->s);
        }
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
    if (!sim_up(w->s, i))
        return;
    crash(w, i);
    w->m[i].left = true;
}

static void do_freeze(struct world *w, unsigned i)
{
    if (!sim_up(w->s, i) || sim_now(w->s) < w->m[i].frozen)
        return;
    w->m[i].frozen = sim_now(w->s) + sim_below(w->s, 5000);
    sim_trace(w->s, "%s: frozen until %" PRIu64, w->m[i].id, w->m[i].frozen);
    sim_freeze(w->s, i, w->m[i].frozen);
    if (w->m[i].frozen > w->frozen)
        w->frozen = w->m[i].frozen;
}

static void do_cut(struct world *w, unsigned i)
{
    unsigned j = sim_below(w->s, w->n);

    if (i == j)
        return;
    sim_trace(w->s, "cut %s -> %s", w->m[i].id, w->m[j].id);
    sim_cut(w->s, i, j, true);
}

static void do_partition(struct world *w, unsigned i)
{
    unsigned side[MACHINES];

    (void)i;
    for (unsigned k = 0; k < w->n; k++) {
        side[k] = sim_below(w->s, 2);
        sim_trace(w->s, "partition: %s %u", w->m[k].id, side[k]);
    }
    sim_partition(w->s, side);
}

static void do_heal(struct world *w, unsigned i)
{
    (void)i;
    sim_trace(w->s, "heal");
    sim_heal(w->s);
}

static void do_net(struct world *w, unsigned i)
{
    struct sim_net *net = sim_net(w->s);

    (void)i;
    net->latency_max = 1 + sim_below(w->s, 20);
    if (w->exact)
        return;
    net->loss = sim_below(w->s, 2) * sim_below(w->s, 100000);
    net->late = sim_below(w->s, 100000);
    net->late_max = sim_below(w->s, 1500);
}

/* One is away for so long that it loses what it holds. */
static void do_away(struct world *w, unsigned i)
{
    sim_trace(w->s, "%s: away", w->m[i].id);
    for (unsigned j = 0; j < w->n; j++) {
        sim_cut(w->s, i, j, true);
        sim_cut(w->s, j, i, true);
    }
    note_apart(w);
    sim_run(w->s, sim_now(w->s) + RV_HOLDER_LOST_MS + DEAD_MS + 1000);
}

static struct simop *op_at(struct world *w, unsigned i, enum kind kind)
{
    struct simop *op = w->ops < OPS ? &w->op[w->ops++] : NULL;

    if (!op)
        abort();
    *op = (struct simop){ .kind = kind, .at = i, .began = sim_now(w->s) };
    return op;
}

/* A name that is there, or one of the few that everybody uses. */
static void some_name(struct world *w, unsigned i, char name[PIPE_NAME_MAX + 1])
{
    size_t n = rv_count(w->m[i].rv);

    if (n && sim_below(w->s, 2))
        strcpy(name, rv_at(w->m[i].rv, sim_below(w->s, (unsigned)n))->name);
    else
        snprintf(name, PIPE_NAME_MAX + 1, "p%u", sim_below(w->s, NAMES));
}

static void finish(struct world *w, struct simop *op, int rc, const struct pipe_info *out,
                   const struct oerr *e)
{
    if (rc <= 0)
        ended(&w->m[op->at], op, rc, out, e->text);
    rearm(&w->m[op->at]);
}

static bool can(const struct world *w, unsigned i)
{
    return sim_up(w->s, i) && sim_now(w->s) >= w->m[i].frozen;
}

static void do_make(struct world *w, unsigned i)
{
    struct pipe_options opt = { .owner = "ann", .created_us = sim_now(w->s) * 1000 };
    struct oerr e = { "" };
    struct pipe_info out;
    struct simop *op;

    if (!can(w, i))
        return;
    op = op_at(w, i, MAKE);
    opt.excl = sim_below(w->s, 2);
    snprintf(op->name, sizeof op->name, "p%u", sim_below(w->s, NAMES));
    sim_trace(w->s, "%s: make %s%s", w->m[i].id, op->name, opt.excl ? " excl" : "");
    finish(w, op, rv_make(w->m[i].rv, sim_now(w->s), op->name, &opt, op, &out, &e), &out, &e);
}

/* The same name everywhere at once. */
static void do_race(struct world *w, unsigned i)
{
    struct pipe_options opt = { .created_us = sim_now(w->s) * 1000 };
    char name[8];

    (void)i;
    snprintf(name, sizeof name, "p%u", sim_below(w->s, NAMES));
    opt.excl = sim_below(w->s, 2);
    for (unsigned k = 0; k < w->n; k++) {
        struct oerr e = { "" };
        struct pipe_info out;
        struct simop *op;

        if (!can(w, k))
            continue;
        op = op_at(w, k, MAKE);
        strcpy(op->name, name);
        sim_trace(w->s, "%s: make %s", w->m[k].id, op->name);
        finish(w, op, rv_make(w->m[k].rv, sim_now(w->s), name, &opt, op, &out, &e), &out, &e);
    }
}

static void do_remove(struct world *w, unsigned i)
{
    const struct pipe_info *p;
    struct oerr e = { "" };
    struct simop *op;

    if (!can(w, i))
        return;
    op = op_at(w, i, REMOVE);
    some_name(w, i, op->name);
    p = rv_find(w->m[i].rv, op->name);
    if (p)
        op->uid = p->uid;
    sim_trace(w->s, "%s: remove %s", w->m[i].id, op->name);
    finish(w, op, rv_remove(w->m[i].rv, sim_now(w->s), op->name, op, &e), NULL, &e);
}

static void do_set(struct world *w, unsigned i)
{
    struct oerr e = { "" };
    struct pipe_info out;
    struct simop *op;

    if (!can(w, i))
        return;
    op = op_at(w, i, SET);
    some_name(w, i, op->name);
    sim_trace(w->s, "%s: set %s", w->m[i].id, op->name);
    finish(w, op,
           rv_set(w->m[i].rv, sim_now(w->s), op->name, (int)sim_below(w->s, 3) - 1,
                  4096 * (1 + sim_below(w->s, 4)), op, &out, &e),
           &out, &e);
}

static void do_open(struct world *w, unsigned i)
{
    struct oerr e = { "" };
    struct pipe_info out;
    struct simop *op;

    if (!can(w, i) || w->m[i].holds + 8 > sizeof w->m[i].hold / sizeof w->m[i].hold[0])
        return;
    op = op_at(w, i, OPEN);
    some_name(w, i, op->name);
    sim_trace(w->s, "%s: open %s", w->m[i].id, op->name);
    finish(w, op, rv_open_reader(w->m[i].rv, sim_now(w->s), op->name, op, &out, &e), &out, &e);
}

static void do_release(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];
    struct pipe_uid uid;
    struct hold *h;

    if (!can(w, i) || !a->holds)
        return;
    h = &a->hold[sim_below(w->s, a->holds)];
    uid = h->uid;
    unhold(a, h);
    sim_trace(w->s, "%s: releases %s.%" PRIu64, a->id, uid.home, uid.serial);
    rv_release(a->rv, sim_now(w->s), &uid);
    rearm(a);
}

static void do_cancel(struct world *w, unsigned i)
{
    for (unsigned k = 0; k < w->ops; k++) {
        struct simop *op = &w->op[k];

        if (op->ended || op->cancelled || op->at != i)
            continue;
        sim_trace(w->s, "%s: cancels %s", w->m[i].id, op->name);
        op->cancelled = true;
        rv_cancel(w->m[i].rv, op);
        return;
    }
}

/* ---- the end */

static void check_equal(struct world *w, const struct machine *a, const struct machine *b)
{
    if (rv_count(a->rv) != rv_count(b->rv))
        fail(w, "another number of pipes than others", a);
    for (size_t k = 0; k < rv_count(a->rv); k++) {
        const struct pipe_info *p = rv_at(a->rv, k), *q = rv_at(b->rv, k);

        if (strcmp(p->name, q->name) != 0 || !uid_same(&p->uid, &q->uid) || p->mode != q->mode ||
            p->capacity != q->capacity || strcmp(p->holder, q->holder) != 0 ||
            p->epoch != q->epoch || p->version != q->version)
            fail(w, "another record than others", a);
    }
}

static void check_home(struct world *w, struct machine *a)
{
    for (size_t k = 0; k < rv_count(a->rv); k++) {
        const struct pipe_info *p = rv_at(a->rv, k);
        struct machine *home = &w->m[index_of(p->uid.home)], *holder;

        if (!home->rv)
            continue;
        if (p->uid.incarnation != home->incarnation)
            fail(w, "a pipe of a life before", a);
        holder = p->holder[0] ? &w->m[index_of(p->holder)] : NULL;
        if (home == a && holder && (!holder->rv || !rv_holds(holder->rv, &p->uid, p->epoch)))
            fail(w, "its holder does not hold it", a);
    }
    for (unsigned k = 0; k < a->holds; k++) {
        const struct pipe_info *p = rv_by_uid(a->rv, &a->hold[k].uid);

        if (p && strcmp(p->holder, a->id) != 0)
            fail(w, "still holds what is another's", a);
    }
}

static void check_end(struct world *w)
{
    struct machine *first = NULL;

    for (unsigned k = 0; k < w->ops; k++)
        if (!w->op[k].ended && !w->op[k].cancelled)
            fail(w, "an operation never ended", &w->m[w->op[k].at]);
    for (unsigned i = 0; i < w->n; i++) {
        if (!w->m[i].rv)
            continue;
        first = first ? first : &w->m[i];
        check_equal(w, &w->m[i], first);
        check_home(w, &w->m[i]);
    }
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->n = 2 + (unsigned)(seed % (MACHINES - 1));
    w->seed = seed;
    w->exact = seed / 8 % 2;
    w->s = sim_new(w->n, seed, &ops, w);
    for (unsigned i = 0; i < w->n; i++) {
        w->m[i].w = w;
        w->m[i].i = i;
        snprintf(w->m[i].id, sizeof w->m[i].id, "m%u", i);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        rv_destroy(w->m[i].rv);
    while (w->asked) {
        struct asking *g = w->asked;

        w->asked = g->next;
        free(g);
    }
    sim_free(w->s);
    free(w);
}

static void run_random(uint64_t seed, bool traced)
{
    static void (*const act[])(struct world *, unsigned) = {
        do_make,    do_make,    do_make,   do_make, do_make,      do_race, do_remove,
        do_remove,  do_set,     do_set,    do_open, do_open,      do_open, do_open,
        do_release, do_release, do_cancel, do_cut,  do_partition, do_heal, do_heal,
        do_restart, do_restart, do_freeze, do_net,  do_leave
    };
    struct world *w = world_new(seed);
    bool away = seed / 16 % 4 == 0, went = false;

    if (traced)
        sim_trace_on(w->s);
    do_net(w, 0);
    for (unsigned i = 0; i < w->n; i++)
        boot(w, i);
    sim_run(w->s, 1000);
    while (sim_now(w->s) < (away ? 2 * BUSY_MS : BUSY_MS)) {
        if (away && sim_now(w->s) >= BUSY_MS / 2 && !went) {
            do_away(w, sim_below(w->s, w->n));
            went = true;
        }
        act[sim_below(w->s, sizeof act / sizeof act[0])](w, sim_below(w->s, w->n));
        note_apart(w);
        sim_run(w->s,
                sim_now(w->s) + (sim_below(w->s, 3) ? sim_below(w->s, 50) : sim_below(w->s, 2500)));
        note_apart(w);
        if (w->ops > OPS - MACHINES - 1)
            break;
    }
    do_heal(w, 0);
    *sim_net(w->s) = (struct sim_net){ .latency_min = 1, .latency_max = 5 };
    sim_run(w->s, (w->frozen > sim_now(w->s) ? w->frozen : sim_now(w->s)) + SETTLE_MS);
    check_end(w);
    w->sent_other = 0;
    sim_run(w->s, sim_now(w->s) + QUIET_MS);
    if (w->sent_other)
        fail(w, "talks when nothing happens", NULL);
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    world_free(w);
}

int main(int argc, char **argv)
{
    const char *env = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = env ? strtoull(env, NULL, 10) : 8000;

    if (argc > 1) {
        run_random(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run_random(seed, false);
    printf("%" PRIu64 " seeds: %" PRIu64 " pipes made, %" PRIu64 " readers opened, %" PRIu64
           " pipes renamed\n",
           seeds, total_makes, total_opens, total_renames);
    return 0;
}
