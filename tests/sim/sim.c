/*
 * sim.c - virtual time: one heap of events, earliest first, then oldest.
 *
 * A message cast to all is one event: who loses it, or gets it late or twice, is drawn when it
 * arrives. Timers are not taken out of the heap: one that was armed anew is recognised by its time.
 */
#include "tests/sim/sim.h"

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL  UINT32_MAX
#define NONE UINT32_MAX

struct msg {
    unsigned refs;
    size_t n;
    char data[];
};

struct event {
    uint64_t at, seq;
    uint32_t node, from; /* node ALL: a cast; from NONE: a timer */
    uint32_t life;       /* of the node that it is for: gone with a crash; of a timer also which */
    uint32_t which;
    bool exact; /* a copy that was delayed already: no more faults */
    struct msg *msg;
};

struct node {
    bool up;
    uint32_t life;
    uint64_t frozen; /* until then */
    uint64_t timer[SIM_TIMERS];
};

struct sim {
    unsigned n;
    struct node *node;
    bool *cut; /* n * n, [from * n + to] */
    struct event *heap;
    size_t len, cap;
    uint64_t now, seq, rng;
    bool stop, tracing;
    struct sim_net net;
    struct obuf trace;
    const struct sim_ops *ops;
    void *arg;
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct sim *s, struct event e)
{
    size_t i = s->len++;

    if (s->len > s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->heap = must(realloc(s->heap, s->cap * sizeof *s->heap));
    }
    e.seq = s->seq++;
    while (i > 0 && before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->len];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < s->len) {
        if (child + 1 < s->len && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

static struct msg *msg_new(const void *data, size_t n)
{
    struct msg *m = must(malloc(sizeof *m + n));

    m->refs = 1;
    m->n = n;
    memcpy(m->data, data, n);
    return m;
}

static void msg_unref(struct msg *m)
{
    if (m && --m->refs == 0)
        free(m);
}

struct sim *sim_new(unsigned nodes, uint64_t seed, const struct sim_ops *ops, void *arg)
{
    struct sim *s = must(calloc(1, sizeof *s));

    s->n = nodes;
    s->node = must(calloc(nodes, sizeof *s->node));
    s->cut = must(calloc((size_t)nodes * nodes, sizeof *s->cut));
    for (unsigned i = 0; i < nodes; i++)
        for (unsigned t = 0; t < SIM_TIMERS; t++)
            s->node[i].timer[t] = UINT64_MAX;
    s->rng = seed;
    s->net = (struct sim_net){ .latency_min = 1, .latency_max = 3 };
    s->ops = ops;
    s->arg = arg;
    return s;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    while (s->len > 0)
        msg_unref(s->heap[--s->len].msg);
    free(s->heap);
    free(s->node);
    free(s->cut);
    obuf_free(&s->trace);
    free(s);
}

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

struct sim_net *sim_net(struct sim *s)
{
    return &s->net;
}

/* splitmix64 */
uint64_t sim_random(struct sim *s)
{
    uint64_t x = s->rng += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

unsigned sim_below(struct sim *s, unsigned n)
{
    return (unsigned)((sim_random(s) >> 32) * n >> 32);
}

bool sim_chance(struct sim *s, unsigned per_million)
{
    return per_million && sim_below(s, 1000000) < per_million;
}

static uint64_t arrival(struct sim *s)
{
    return s->now + s->net.latency_min + sim_below(s, s->net.latency_max - s->net.latency_min + 1);
}

static void push_copy(struct sim *s, unsigned from, unsigned to, struct msg *m, uint64_t at)
{
    m->refs++;
    push(s, (struct event){ .at = at,
                            .node = to,
                            .from = from,
                            .life = s->node[to].life,
                            .msg = m,
                            .exact = true });
}

/* Draws what the network does to one message. True: it arrives, now. */
static bool passes(struct sim *s, unsigned from, unsigned to, struct msg *m)
{
    if (sim_chance(s, s->net.loss))
        return false;
    if (sim_chance(s, s->net.twice))
        push_copy(s, from, to, m, s->now + sim_below(s, s->net.late_max + 1));
    if (!sim_chance(s, s->net.late))
        return true;
    push_copy(s, from, to, m, s->now + 1 + sim_below(s, s->net.late_max + 1));
    return false;
}

void sim_send(struct sim *s, unsigned from, unsigned to, const void *msg, size_t n)
{
    push(s, (struct event){ .at = arrival(s),
                            .node = to,
                            .from = from,
                            .life = s->node[to].life,
                            .msg = msg_new(msg, n) });
}

void sim_cast(struct sim *s, unsigned from, const void *msg, size_t n)
{
    push(s, (struct event){ .at = arrival(s), .node = ALL, .from = from, .msg = msg_new(msg, n) });
}

void sim_timer(struct sim *s, unsigned node, unsigned which, uint64_t at)
{
    assert(which < SIM_TIMERS);
    if (s->node[node].timer[which] == at)
        return;
    s->node[node].timer[which] = at;
    if (at != UINT64_MAX)
        push(s, (struct event){ .at = at < s->now ? s->now : at,
                                .node = node,
                                .from = NONE,
                                .life = s->node[node].life,
                                .which = which });
}

void sim_boot(struct sim *s, unsigned node)
{
    s->node[node].up = true;
}

void sim_crash(struct sim *s, unsigned node)
{
    s->node[node].up = false;
    s->node[node].life++;
    s->node[node].frozen = 0;
    for (unsigned i = 0; i < SIM_TIMERS; i++)
        s->node[node].timer[i] = UINT64_MAX;
}

bool sim_up(const struct sim *s, unsigned node)
{
    return s->node[node].up;
}

void sim_freeze(struct sim *s, unsigned node, uint64_t until)
{
    s->node[node].frozen = until;
}

void sim_cut(struct sim *s, unsigned from, unsigned to, bool cut)
{
    s->cut[from * s->n + to] = cut;
}

void sim_partition(struct sim *s, const unsigned *side)
{
    for (unsigned a = 0; a < s->n; a++)
        for (unsigned b = 0; b < s->n; b++)
            sim_cut(s, a, b, side[a] != side[b]);
}

void sim_heal(struct sim *s)
{
    memset(s->cut, 0, (size_t)s->n * s->n * sizeof *s->cut);
}

bool sim_connected(const struct sim *s, unsigned a, unsigned b)
{
    return sim_up(s, a) && sim_up(s, b) && !s->cut[a * s->n + b] && !s->cut[b * s->n + a];
}

static void arrive(struct sim *s, const struct event *e, unsigned to)
{
    struct node *node = &s->node[to];

    if (!node->up || s->cut[e->from * s->n + to])
        return;
    if (s->now < node->frozen)
        push_copy(s, e->from, to, e->msg, node->frozen);
    else if (e->exact || passes(s, e->from, to, e->msg))
        s->ops->deliver(s->arg, to, e->from, e->msg->data, e->msg->n);
}

static void ring(struct sim *s, const struct event *e)
{
    struct node *node = &s->node[e->node];

    if (!node->up || e->life != node->life)
        return;
    if (s->now < node->frozen) {
        push(s, (struct event){ .at = node->frozen,
                                .node = e->node,
                                .from = NONE,
                                .life = e->life,
                                .which = e->which });
        if (node->timer[e->which] == e->at)
            node->timer[e->which] = node->frozen;
        return;
    }
    if (node->timer[e->which] > s->now)
        return;
    node->timer[e->which] = UINT64_MAX;
    s->ops->timer(s->arg, e->node, e->which);
}

void sim_run(struct sim *s, uint64_t until)
{
    s->stop = false;
    while (!s->stop && s->len > 0 && s->heap[0].at <= until) {
        struct event e = pop(s);

        s->now = e.at;
        if (e.from == NONE) {
            ring(s, &e);
        } else if (e.node != ALL) {
            if (e.life == s->node[e.node].life)
                arrive(s, &e, e.node);
        } else {
            for (unsigned to = 0; to < s->n; to++)
                if (to != e.from)
                    arrive(s, &e, to);
        }
        msg_unref(e.msg);
        if (s->ops->step)
            s->ops->step(s->arg);
    }
    if (!s->stop && s->now < until)
        s->now = until;
}

void sim_stop(struct sim *s)
{
    s->stop = true;
}

void sim_trace_on(struct sim *s)
{
    s->tracing = true;
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    if (!s->tracing)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    obuf_printf(&s->trace, "[%5llu] %s\n", (unsigned long long)s->now, line);
}

const char *sim_trace_text(const struct sim *s)
{
    return s->trace.p ? s->trace.p : "";
}
