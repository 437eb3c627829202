/*
 * member_world.c - what machines do with what their membership decides, and what it is told.
 */
#include "tests/sim/member_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(const struct world *w, const char *what, unsigned i, unsigned j)
{
    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s: m%04u of m%04u\n",
            w->seed, w->n, sim_now(w->s), what, i, j);
    fprintf(stderr, "again: tests/sim/sim_member %" PRIu64 "\n", w->seed);
    exit(1);
}

unsigned index_of(const char *id)
{
    return (unsigned)strtoul(id + 1, NULL, 10);
}

struct pair *pair(struct world *w, unsigned holder, unsigned held)
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

void rearm(struct machine *a)
{
    sim_timer(a->w->s, a->i, T_MEMBER, member_next(a->m));
}

void boot(struct world *w, unsigned i)
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

void crash(struct world *w, unsigned i)
{
    struct machine *a = &w->m[i];

    sim_trace(w->s, "%s: crashes", a->self.id);
    sim_crash(w->s, i);
    member_destroy(a->m);
    a->m = NULL;
    a->down = sim_now(w->s);
}

void leave(struct world *w, unsigned i)
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

/* ---- the world ---- */

static const struct sim_ops ops = { on_deliver, on_timer, check };

struct world *world_new(unsigned n, uint64_t seed)
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

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        member_destroy(w->m[i].m);
    sim_free(w->s);
    free(w->m);
    free(w->p);
    free(w);
}
