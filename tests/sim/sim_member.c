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
#include "cluster/member.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_MS = 1000,
    BACK_MS = 8000,
    DEAD_BY_MS = 4000,
    SETTLE_MS = 10000,
    PULL_ANY_MS = 250,
    PULL_PEER_MS = 1000,
    PROBES_PER_S = 256
};

enum { T_MEMBER, T_HEARTBEAT, T_BEACON }; /* timers of a machine */

enum msg_type { BEACON, HEARTBEAT, PROBE, HEARD, PULL, LIST, LEAVE };

struct msg {
    enum msg_type type;
    struct peer_info info;        /* BEACON; PROBE, HEARD, LEAVE: its id and incarnation */
    bool ours;                    /* BEACON */
    bool heard;                   /* HEARD */
    uint64_t incarnation, digest; /* HEARTBEAT */
};

/* What one machine has been seen to hold of another. */
struct pair {
    uint64_t incarnation; /* the highest that was trusted */
    uint64_t learned;     /* when it was trusted last */
    uint64_t pulled;
    uint64_t apart;  /* when they were last seen not connected */
    uint64_t forgot; /* when; 0: not, or it was up since */
    bool trusted;    /* what the effects said last */
};

struct machine {
    struct world *w;
    unsigned i;
    struct member *m;
    struct peer_info self;
    bool stranger;
    unsigned forgotten; /* by how many operators: two at a time may undo each other */
    unsigned beacons;   /* sent since the start */
    uint64_t down;      /* since when, if it is down */
    uint64_t frozen;    /* until when, last */
    uint64_t pulled, second, probes;
};

struct world {
    struct sim *s;
    uint64_t seed;
    unsigned n;
    struct machine *m;
    struct pair *p; /* n * n: [holder * n + held] */
    uint64_t checked, check_every;
    unsigned beacon_ms;
    uint64_t thawed; /* when the last frozen machine goes on, with old heartbeats in its queue */
    uint64_t deliveries;
};

static void fail(const struct world *w, const char *what, unsigned i, unsigned j)
{
    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s: m%04u of m%04u\n",
            w->seed, w->n, sim_now(w->s), what, i, j);
    fprintf(stderr, "again: tests/sim/sim_member %" PRIu64 "\n", w->seed);
    exit(1);
}

static unsigned index_of(const char *id)
{
    return (unsigned)strtoul(id + 1, NULL, 10);
}

static struct pair *pair(struct world *w, unsigned holder, unsigned held)
{
    return &w->p[(size_t)holder * w->n + held];
}

/* ---- effects of a machine's core ---- */

static void fx_changed(void *arg, const struct member_view *v, enum member_state from)
{
    struct machine *a = arg;

    sim_trace(a->w->s, "%s: %s %s -> %s", a->self.id, v->info.id, member_state_name(from),
              member_state_name(v->state));
}

static void fx_trust(void *arg, const struct peer_info *info)
{
    struct machine *a = arg;
    struct world *w = a->w;
    unsigned j = index_of(info->id);
    struct pair *p = pair(w, a->i, j);

    sim_trace(w->s, "%s: trusts %s %" PRIu64, a->self.id, info->id, info->incarnation);
    if (w->m[j].stranger)
        fail(w, "trusts a stranger", a->i, j);
    if (info->incarnation < p->incarnation)
        fail(w, "incarnation went back", a->i, j);
    if (p->forgot && w->m[j].forgotten == 1 && info->incarnation <= p->incarnation &&
        !sim_up(w->s, j) && w->m[j].down < p->forgot)
        fail(w, "trusts again what was forgotten", a->i, j);
    p->incarnation = info->incarnation;
    p->learned = sim_now(w->s);
    p->trusted = true;
}

static void fx_distrust(void *arg, const char *id)
{
    struct machine *a = arg;

    pair(a->w, a->i, index_of(id))->trusted = false;
    sim_trace(a->w->s, "%s: distrusts %s", a->self.id, id);
}

static void send_about(struct machine *a, unsigned to, enum msg_type type, const char *about,
                       uint64_t incarnation, bool heard)
{
    struct msg msg = { .type = type, .heard = heard, .incarnation = incarnation };

    strcpy(msg.info.id, about);
    sim_send(a->w->s, a->i, to, &msg, sizeof msg);
}

static void fx_probe(void *arg, const char *ask, const char *about, uint64_t incarnation)
{
    struct machine *a = arg;
    uint64_t now = sim_now(a->w->s);

    if (now - a->second >= 1000) {
        a->second = now;
        a->probes = 0;
    }
    if (++a->probes > PROBES_PER_S)
        fail(a->w, "probes too much", a->i, index_of(about));
    send_about(a, index_of(ask), PROBE, about, incarnation, false);
}

static void fx_pull(void *arg, const char *from)
{
    struct machine *a = arg;
    uint64_t now = sim_now(a->w->s);
    struct pair *p = pair(a->w, a->i, index_of(from));

    if ((p->pulled && now - p->pulled < PULL_PEER_MS) ||
        (a->pulled && now - a->pulled < PULL_ANY_MS))
        fail(a->w, "pulls too much", a->i, index_of(from));
    a->pulled = p->pulled = now;
    send_about(a, index_of(from), PULL, from, 0, false);
}

static const struct member_fx fx = { fx_changed, fx_trust, fx_distrust, fx_probe, fx_pull };

/* ---- what a daemon does around the core ---- */

static void rearm(struct machine *a)
{
    sim_timer(a->w->s, a->i, T_MEMBER, member_next(a->m));
}

static void boot(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];
    uint64_t now = sim_now(w->s);

    sim_boot(w->s, i);
    a->beacons = 0;
    a->pulled = a->probes = 0;
    a->self.incarnation = now * 1000 + 1;
    sim_trace(w->s, "%s: starts, incarnation %" PRIu64, a->self.id, a->self.incarnation);
    for (unsigned j = 0; j < w->n; j++) {
        pair(w, j, i)->forgot = 0;
        *pair(w, i, j) = (struct pair){ 0 };
        pair(w, i, j)->apart = pair(w, j, i)->apart = now;
    }
    sim_timer(w->s, i, T_BEACON, now);
    if (a->stranger)
        return;
    if (member_create(&a->m, &a->self, &fx, a) < 0)
        abort();
    member_tick(a->m, now);
    sim_timer(w->s, i, T_HEARTBEAT, now + 1 + sim_below(w->s, HEARTBEAT_MS));
    rearm(a);
}

static void crash(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];

    sim_trace(w->s, "%s: crashes", a->self.id);
    sim_crash(w->s, i);
    member_destroy(a->m);
    a->m = NULL;
    a->down = sim_now(w->s);
}

static void leave(struct world *w, unsigned i)
{
    struct msg msg = { .type = LEAVE, .info = w->m[i].self };

    sim_trace(w->s, "%s: leaves", w->m[i].self.id);
    sim_cast(w->s, i, &msg, sizeof msg);
    crash(w, i);
}

static void send_beacon(struct machine *a)
{
    static const unsigned gap[] = { 100, 200, 400 };
    struct msg msg = { .type = BEACON, .info = a->self, .ours = !a->stranger };
    unsigned every = a->w->beacon_ms, next = every;

    if (a->beacons < 3)
        next = gap[a->beacons];
    else if (a->beacons == 3)
        next = 1 + sim_below(a->w->s, every);
    a->beacons++;
    sim_cast(a->w->s, a->i, &msg, sizeof msg);
    sim_timer(a->w->s, a->i, T_BEACON, sim_now(a->w->s) + next);
}

/* A stranger also lies: it heard this one, that one has a new incarnation, here is a list. */
static void send_lies(struct machine *a)
{
    struct world *w = a->w;
    unsigned of = sim_below(w->s, w->n), to = sim_below(w->s, w->n);
    struct msg msg = { .type = BEACON, .info = w->m[of].self };
    struct {
        struct msg head;
        struct member_view v;
    } list = { .head = { .type = LIST } };

    if (of == a->i || to == a->i)
        return;
    msg.info.incarnation += 1000000;
    sim_cast(w->s, a->i, &msg, sizeof msg);
    send_about(a, to, HEARD, w->m[of].self.id, w->m[of].self.incarnation, true);
    list.v = (struct member_view){ .info = a->self, .state = MEMBER_ALIVE, .trusted = true };
    sim_send(w->s, a->i, to, &list, sizeof list);
}

static void send_list(struct machine *a, unsigned to)
{
    const struct member_view *v;
    size_t n = 0, cap = 16;
    struct msg *msg = malloc(sizeof *msg + cap * sizeof *v);

    if (!msg)
        abort();
    memset(msg, 0, sizeof *msg);
    msg->type = LIST;
    while ((v = member_told(a->m, n))) {
        if (n == cap)
            msg = realloc(msg, sizeof *msg + (cap *= 2) * sizeof *v);
        if (!msg)
            abort();
        memcpy((struct member_view *)(msg + 1) + n++, v, sizeof *v);
    }
    sim_send(a->w->s, a->i, to, msg, sizeof *msg + n * sizeof *v);
    free(msg);
}

static void on_timer(void *arg, unsigned node, unsigned which)
{
    struct world *w = arg;
    struct machine *a = &w->m[node];
    struct msg msg = { .type = HEARTBEAT, .incarnation = a->self.incarnation };

    if (which == T_BEACON) {
        send_beacon(a);
        if (a->stranger)
            send_lies(a);
    } else if (which == T_HEARTBEAT) {
        msg.digest = member_digest(a->m);
        sim_cast(w->s, node, &msg, sizeof msg);
        sim_timer(w->s, node, T_HEARTBEAT, sim_now(w->s) + HEARTBEAT_MS);
    } else {
        member_tick(a->m, sim_now(w->s));
        rearm(a);
    }
}

/* The bus carries nothing of whom one of the two does not trust. Lies of strangers come through, so
 * that the core itself is tried. */
static bool bus_lets(struct world *w, unsigned to, unsigned from)
{
    return w->m[from].stranger || !sim_up(w->s, from) || pair(w, from, to)->trusted;
}

static void on_message(struct machine *a, struct machine *b, const struct msg *msg, size_t n)
{
    uint64_t now = sim_now(a->w->s);
    bool trusted = pair(a->w, a->i, b->i)->trusted;
    const char *about = msg->info.id;

    switch (msg->type) {
    case BEACON:
        member_seen(a->m, now, &msg->info, msg->ours);
        break;
    case HEARTBEAT:
        member_heartbeat(a->m, now, b->self.id, msg->incarnation, msg->digest);
        break;
    case PROBE:
        if (trusted)
            send_about(a, b->i, HEARD, about, msg->incarnation,
                       member_hears(a->m, now, about, msg->incarnation));
        break;
    case HEARD:
        member_heard(a->m, now, b->self.id, about, msg->incarnation, msg->heard);
        break;
    case PULL:
        if (trusted)
            send_list(a, b->i);
        break;
    case LIST:
        member_list(a->m, now, b->self.id, (const struct member_view *)(msg + 1),
                    (n - sizeof *msg) / sizeof(struct member_view));
        break;
    case LEAVE:
        member_left(a->m, now, about, msg->info.incarnation);
        break;
    }
    rearm(a);
}

static void on_deliver(void *arg, unsigned to, unsigned from, const void *data, size_t n)
{
    struct world *w = arg;
    const struct msg *msg = data;

    w->deliveries++;
    if (!w->m[to].stranger && (msg->type == BEACON || bus_lets(w, to, from)))
        on_message(&w->m[to], &w->m[from], msg, n);
}

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

static void check(void *arg)
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

static const struct sim_ops ops = { on_deliver, on_timer, check };

static struct world *world_new(unsigned n, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->n = n;
    w->beacon_ms = HEARTBEAT_MS;
    w->seed = seed;
    w->s = sim_new(n, seed, &ops, w);
    w->m = calloc(n, sizeof *w->m);
    w->p = calloc((size_t)n * n, sizeof *w->p);
    if (!w->m || !w->p)
        abort();
    for (unsigned i = 0; i < n; i++) {
        w->m[i].w = w;
        w->m[i].i = i;
        snprintf(w->m[i].self.id, sizeof w->m[i].self.id, "m%04u", i);
        snprintf(w->m[i].self.curve_public, sizeof w->m[i].self.curve_public, "key%u", i);
        snprintf(w->m[i].self.address, sizeof w->m[i].self.address, "10.0.0.%u", i);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        member_destroy(w->m[i].m);
    sim_free(w->s);
    free(w->m);
    free(w->p);
    free(w);
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
