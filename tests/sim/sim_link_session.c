/*
 * sim_link_session.c - two sessions over a connection that breaks at any byte, at random.
 *
 * Usage: sim_link_session [SEED [RUNS]]. Each run opens channels, writes, ends, aborts, stops
 * reading, moves bytes in pieces of any size, loses the connection (with what is on the way) and
 * makes it anew, while the clock goes on. Then the connection stays, and all has to come to its
 * end.
 *
 * Always: what was delivered is a prefix of what was written, at whole slices; an end of file comes
 * only after a clean end and all bytes; an errno is the writer's; no more is held than was lent;
 * who asked for it is told that bytes have arrived once they have. At the end: every channel is
 * gone on both sides, both sessions are idle, no block is left.
 */
#include "net/link_session.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANS     24
#define WIRE      (64 * 1024)
#define STEPS     4000
#define WRITE_MAX (512 * 1024)

static struct {
    uint64_t seed, random, now;
    unsigned step;
} sim;

static void fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nsim_link_session: seed %llu step %u failed; run: sim_link_session %llu 1\n",
            (unsigned long long)sim.seed, sim.step, (unsigned long long)sim.seed);
    exit(1);
}

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail("%s:%d: %s", __func__, __LINE__, #what);                                          \
    } while (0)

static uint64_t rnd(uint64_t below)
{
    uint64_t z = sim.random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

static bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

/* One side of a channel: it writes a known sequence and checks the other's. */
struct half {
    struct schan w;
    unsigned no;
    int side;
    bool there, gone;
    uint64_t written; /* bytes given to the session */
    bool ended;
    int end_rc;
    uint64_t received, held, held_cost, consumed;
    bool got_end, stopped, was_stopped;
    int got_rc, got_stop;
    bool syncing; /* for the bytes up to sync_written to have arrived */
    uint64_t sync_written;
    uint64_t *cuts; /* where slices end */
    size_t n_cuts, cap_cuts, next_cut;
};

static struct half half[2][CHANS];
static struct session *session[2];
static unsigned opened, synced;
static const int errnos[] = { EIO, EPIPE, ENOSPC };

static struct half *half_of(struct schan *w)
{
    return container_of(w, struct half, w);
}

static char byte_at(unsigned no, int side, uint64_t at)
{
    return (char)(at * 31 + (at >> 8) * 7 + no * 3 + (unsigned)side);
}

/* --- what a session says --- */

static struct schan *on_open(void *arg, const char *spec, size_t n)
{
    char text[16] = "";
    struct half *h;

    CHECK(arg == &session[1] && n < sizeof text);
    memcpy(text, spec, n);
    h = &half[1][atoi(text)];
    CHECK(!h->there);
    h->there = true;
    return &h->w;
}

static void on_opened(struct schan *w)
{
    struct half *h = half_of(w);

    CHECK(h->w.s == session[1]);
    if (chance(10)) { /* refused */
        session_end(w, -EACCES);
        h->ended = true;
        h->end_rc = -EACCES;
        session_stop(w, -EACCES);
        h->stopped = true;
    }
}

static void on_data(struct schan *w, struct blk *b, unsigned len)
{
    struct half *h = half_of(w), *from = &half[!h->side][h->no];

    CHECK(!h->got_end && !h->gone && !h->stopped);
    CHECK(h->received + len <= from->written);
    for (unsigned i = 0; i<len; i += len> 64 ? 61 : 1)
        CHECK(b->data[i] == byte_at(h->no, !h->side, h->received + i));
    h->received += len;
    while (from->next_cut < from->n_cuts && from->cuts[from->next_cut] < h->received)
        from->next_cut++;
    CHECK(from->next_cut < from->n_cuts && from->cuts[from->next_cut] == h->received);
    h->held += len;
    h->held_cost += len + FRAME_COST;
    CHECK(h->held_cost <= SESSION_CREDIT_MAX);
    blk_unref(b);
}

static void on_end(struct schan *w, int rc)
{
    struct half *h = half_of(w), *from = &half[!h->side][h->no];

    CHECK(!h->got_end);
    h->got_end = true;
    h->got_rc = rc;
    if (rc == 0)
        CHECK(from->ended && from->end_rc == 0 && (h->stopped || h->received == from->written));
    else if (!from->was_stopped)
        CHECK(from->ended && from->end_rc == rc && (h->stopped || h->received == from->written));
    else
        CHECK(rc == -EPIPE || rc == from->end_rc);
}

static void on_stop(struct schan *w, int rc)
{
    struct half *h = half_of(w);

    CHECK(!h->was_stopped && half[!h->side][h->no].stopped);
    h->was_stopped = true;
    h->got_stop = rc;
}

static void on_room(struct schan *w)
{
    CHECK(session_pending(w) < SESSION_PENDING_LOW);
}

static void on_gone(struct schan *w)
{
    struct half *h = half_of(w);

    CHECK(!h->gone && h->got_end);
    h->gone = true;
}

static void on_synced(struct schan *w)
{
    struct half *h = half_of(w), *to = &half[!h->side][h->no];

    CHECK(h->syncing && !h->gone);
    CHECK(to->received >= h->sync_written || to->stopped);
    h->syncing = false;
    synced++;
}

static const struct session_ops ops = { on_open, on_opened, on_data,   on_end,
                                        on_stop, on_room,   on_synced, on_gone };

/* --- the connection --- */

static struct wire { /* to side i */
    uint8_t bytes[WIRE];
    size_t n;
} wire[2];

static struct frame_in in[2];
static bool open_end[2]; /* this side holds the connection for good */
static bool greeted[2];
static uint8_t greeting[2][HELLO_FRAME];
static size_t greeting_off[2];

static void put_greeting(int side)
{
    struct hello h;

    session_hello(session[side], &h);
    hello_encode(&h, greeting[side]);
    greeting_off[side] = 0;
}

static void connect_sides(void)
{
    for (int i = 0; i < 2; i++) {
        wire[i].n = 0;
        greeted[i] = false;
        greeting_off[i] = HELLO_FRAME;
        open_end[i] = true;
        frame_in_next(&in[i]);
    }
    put_greeting(0);
}

/* One side finds the connection broken; what is on its way to it is lost. */
static void lose(int side)
{
    if (!open_end[side])
        return;
    open_end[side] = false;
    session_lost(session[side], sim.now);
    frame_in_next(&in[side]);
    wire[side].n = 0;
}

static size_t wire_put(int to, const void *p, size_t n)
{
    struct wire *w = &wire[to];

    n = n < WIRE - w->n ? n : WIRE - w->n;
    if (!open_end[to]) /* sent into the void */
        return n;
    memcpy(w->bytes + w->n, p, n);
    w->n += n;
    return n;
}

static void send_some(int side, size_t max)
{
    struct iovec v[40];
    size_t n;

    if (!open_end[side])
        return;
    if (greeting_off[side] < HELLO_FRAME) {
        n = HELLO_FRAME - greeting_off[side];
        n = wire_put(!side, greeting[side] + greeting_off[side], n < max ? n : max);
        greeting_off[side] += n;
        return;
    }
    if (!session_is_up(session[side]) || session_peek(session[side], v, 40) == 0)
        return;
    n = wire_put(!side, v[0].iov_base, v[0].iov_len < max ? v[0].iov_len : max);
    session_sent(session[side], n);
}

static void take_frame(int side)
{
    struct frame_in *f = &in[side];
    struct hello h;

    if (greeted[side]) {
        CHECK(session_frame(session[side], &f->head, &f->body, sim.now) == 0);
        return;
    }
    CHECK(f->head.type == FRAME_HELLO && hello_decode(&h, f->body->data, f->head.len) == 0);
    greeted[side] = true;
    if (side == 1)
        put_greeting(1);
    CHECK(session_up(session[side], &h, sim.now) == 0);
}

static void receive_some(int side, size_t max)
{
    struct wire *w = &wire[side];
    size_t used = 0;

    while (open_end[side] && used < w->n && used < max) {
        void *to;
        size_t n = frame_in_want(&in[side], &to);
        int rc;

        n = n < w->n - used ? n : w->n - used;
        n = n < max - used ? n : max - used;
        memcpy(to, w->bytes + used, n);
        used += n;
        rc = frame_in_got(&in[side], n);
        CHECK(rc >= 0);
        if (rc > 0) {
            take_frame(side);
            frame_in_next(&in[side]);
        }
    }
    memmove(w->bytes, w->bytes + used, w->n - used);
    w->n -= used;
}

/* --- what users do --- */

static void cut(struct half *h)
{
    if (h->n_cuts == h->cap_cuts) {
        h->cap_cuts = h->cap_cuts ? 2 * h->cap_cuts : 64;
        h->cuts = realloc(h->cuts, h->cap_cuts * sizeof *h->cuts);
    }
    h->cuts[h->n_cuts++] = h->written;
}

static void write_some(struct half *h)
{
    struct slices s = { 0 };
    int n = 1 + (int)rnd(4), rc;
    uint64_t before = h->written;

    for (int i = 0; i < n; i++) {
        unsigned len = 1 + (unsigned)rnd(chance(30) ? BLK_BYTES : chance(50) ? 4096 : 100);
        struct blk *b = blk_alloc(len);

        for (unsigned k = 0; k < len; k++)
            b->data[k] = byte_at(h->no, h->side, h->written + k);
        h->written += len;
        cut(h);
        slices_add_take(&s, b, 0, len);
    }
    rc = session_send(&h->w, &s);
    CHECK(rc == 0 || (rc == -EPIPE && (h->was_stopped || h->gone)));
    if (rc < 0)
        h->written = before;
}

static void use(struct half *h)
{
    if (!h->there || h->gone)
        return;
    if (!h->ended && !h->was_stopped && h->written < WRITE_MAX &&
        session_pending(&h->w) < SESSION_PENDING_LOW && chance(40))
        write_some(h);
    if (!h->syncing && !h->ended && !h->was_stopped && chance(3)) {
        h->syncing = true;
        h->sync_written = h->written;
        session_sync(&h->w);
    }
    if (h->held && chance(40)) {
        session_consumed(&h->w, h->held_cost);
        h->held = h->held_cost = 0;
    }
    if (!h->gone && !h->stopped && !h->got_end && chance(1) && chance(20)) {
        h->stopped = true;
        session_stop(&h->w, -errnos[rnd(3)]);
    }
    if (!h->ended && (h->written >= WRITE_MAX || chance(1))) {
        h->ended = true;
        h->end_rc = chance(70) ? 0 : -errnos[rnd(3)];
        session_end(&h->w, h->end_rc);
    }
}

static void open_one(void)
{
    struct half *h = &half[0][opened];
    char spec[16];

    snprintf(spec, sizeof spec, "%u", opened++);
    h->there = true;
    CHECK(session_open(&h->w, session[0], spec, sim.now) == 0);
}

static void tick(void)
{
    sim.now += rnd(chance(5) ? 2000 : 30);
    for (int i = 0; i < 2; i++) {
        enum session_due due = session_tick(session[i], sim.now);

        CHECK(due != SESSION_OVER || sim.now > 25000);
        if (due == SESSION_SILENT)
            lose(i);
    }
}

static void step(bool faults)
{
    int side = (int)rnd(2);

    if (opened < CHANS && session_is_up(session[0]) && chance(5))
        open_one();
    use(&half[side][rnd(CHANS)]);
    for (int i = 0; i < 4; i++) {
        send_some(side, 1 + rnd(chance(50) ? 200 : WIRE));
        receive_some(!side, 1 + rnd(chance(50) ? 200 : WIRE));
    }
    if (chance(20))
        tick();
    if (faults && chance(2))
        lose((int)rnd(2));
    if (!open_end[0] && !open_end[1] && chance(20))
        connect_sides();
    else if (open_end[0] != open_end[1] && chance(20))
        lose(open_end[1]);
}

static bool all_over(void)
{
    for (unsigned i = 0; i < opened; i++)
        if (!half[0][i].gone || !half[1][i].gone)
            return false;
    return opened == CHANS && session_idle(session[0]) && session_idle(session[1]);
}

static void run(uint64_t seed)
{
    uint8_t id[16] = { 1 };

    sim.seed = seed;
    sim.random = seed * 7919;
    sim.now = 1;
    opened = 0;
    memset(half, 0, sizeof half);
    for (int i = 0; i < 2; i++) {
        CHECK(session_create(&session[i], &ops, &session[i], id, i == 0, 0) == 0);
        for (unsigned k = 0; k < CHANS; k++)
            half[i][k] = (struct half){ .no = k, .side = i };
    }
    connect_sides();
    for (sim.step = 0; sim.step < STEPS; sim.step++)
        step(true);
    for (; !all_over() && sim.step < 40 * STEPS; sim.step++)
        step(false);
    CHECK(all_over());
    for (int i = 0; i < 2; i++) {
        session_free(session[i]);
        frame_in_next(&in[i]);
        for (unsigned k = 0; k < CHANS; k++)
            free(half[i][k].cuts);
    }
    CHECK(blk_live() == 0);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    unsigned runs = argc > 2 ? (unsigned)atoi(argv[2]) : 200;

    for (unsigned i = 0; i < runs; i++)
        run(seed + i);
    if (runs > 10 && synced < runs)
        fail("only %u of the syncs were answered", synced);
    printf("sim_link_session: %u runs from seed %llu passed\n", runs, (unsigned long long)seed);
    return 0;
}
