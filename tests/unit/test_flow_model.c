/*
 * test_flow_model.c - a flow against a model of it that is too simple to be wrong: flat arrays of
 * bytes and of requests, searched from the start each time. Random calls on one thread; after each
 * one, every answer, figure and poll must be the model's. The seed is printed on failure, and
 * FLOW_SEED=N runs that one alone.
 */
#include "flowkit.h"

#include <time.h>

#define ENDS  5
#define REQS  40
#define BYTES 2000000
#define BIG   200000

enum kind { NONE, READ, WRITE };

struct mreq {
    enum kind kind;
    int end;
    unsigned long order; /* of arrival */
    size_t from, size;   /* write: its bytes in `made`; read: the most wanted */
    size_t moved;
    struct req real;
};

struct mend {
    struct stream *s;
    bool writer;
    size_t pos; /* broadcast reader */
};

static struct model {
    unsigned seed;
    struct flow *f;
    bool broadcast, dead, reader_broke, untold_eof, untold_break, reader_been, writer_been, refused;
    int broke;
    size_t capacity, head, tail; /* offsets into `bytes` */
    size_t dropped;
    unsigned long order;
    struct mend ends[ENDS];
    struct mreq reqs[REQS];
} m;

static char bytes[BYTES], got[BIG], made[BIG * 2];

static unsigned rnd(unsigned n)
{
    return (unsigned)rand_r(&m.seed) % n;
}

static int count(bool writers)
{
    int n = 0;

    for (int i = 0; i < ENDS; i++)
        n += m.ends[i].s && m.ends[i].writer == writers;
    return n;
}

static size_t *pos_of(int end)
{
    return m.broadcast ? &m.ends[end].pos : &m.head;
}

static void move_head(void)
{
    size_t least = m.tail;

    if (!m.broadcast || !count(false))
        return;
    for (int i = 0; i < ENDS; i++) {
        if (m.ends[i].s && !m.ends[i].writer && m.ends[i].pos < least)
            least = m.ends[i].pos;
    }
    m.head = least;
}

static struct mreq *first(enum kind kind, int end)
{
    struct mreq *found = NULL;

    for (int i = 0; i < REQS; i++) {
        struct mreq *r = &m.reqs[i];

        if (r->kind == kind && (end < 0 || r->end == end) && (!found || r->order < found->order))
            found = r;
    }
    return found;
}

static void expect(struct mreq *r, ssize_t rc)
{
    assert_int_equal(r->real.answers, 1);
    assert_int_equal(r->real.rc, rc);
    if (r->kind == READ && rc > 0) {
        assert_int_equal(r->real.io.bytes.len, rc);
        slices_read(&r->real.io.bytes, got);
        assert_memory_equal(got, bytes + *pos_of(r->end), rc);
    }
    slices_free(&r->real.io.bytes);
    r->kind = NONE;
}

static int write_fails(void)
{
    if (m.dead)
        return -ESTALE;
    return m.reader_broke || (m.reader_been && !count(false)) ? -EPIPE : 0;
}

/* 1: nothing ends the reading. */
static int reading_ends(void)
{
    if (m.dead)
        return -ESTALE;
    if (m.broke)
        return m.broke;
    return !count(true) && (m.writer_been || m.untold_eof) ? 0 : 1;
}

static bool model_admit(void)
{
    struct mreq *r = first(WRITE, -1);
    size_t queued = m.tail - m.head, n;

    if (!r)
        return false;
    n = r->size - r->moved;
    if (r->size <= 4096 ? queued && queued + n > m.capacity : queued >= m.capacity)
        return false;
    if (r->size > 4096 && n > m.capacity - queued)
        n = m.capacity - queued;
    memcpy(bytes + m.tail, made + r->from + r->moved, n);
    m.tail += n;
    r->moved += n;
    m.writer_been = true;
    if (r->moved == r->size)
        expect(r, (ssize_t)r->size);
    return true;
}

static bool model_serve(int end)
{
    struct mreq *r = first(READ, end);
    size_t pos, n;
    int ends;

    if (!r)
        return false;
    pos = *pos_of(r->end);
    n = m.tail - pos < r->size ? m.tail - pos : r->size;
    if (n) {
        end = r->end;
        expect(r, (ssize_t)n);
        *pos_of(end) += n;
        move_head();
        return true;
    }
    ends = reading_ends();
    if (ends > 0)
        return false;
    expect(r, ends);
    m.untold_eof &= ends < 0;
    m.untold_break &= ends == 0;
    return true;
}

/* What the model says must have happened by now. */
static void settle(void)
{
    struct mreq *r;
    bool more;

    m.refused |= write_fails() == -EPIPE && first(WRITE, -1);
    while (write_fails() && (r = first(WRITE, -1)))
        expect(r, r->moved && !m.dead ? (ssize_t)r->moved : write_fails());
    do {
        more = false;
        for (int i = m.broadcast ? 0 : -1; i < (m.broadcast ? ENDS : 0); i++) {
            while (model_serve(i))
                continue;
        }
        while (model_admit())
            more = true;
    } while (more);
    for (int i = 0; i < REQS; i++) {
        if (m.reqs[i].kind && !m.reqs[i].real.io.nonblock)
            assert_int_equal(m.reqs[i].real.answers, 0);
    }
}

static void compare(void)
{
    struct flow_stat st = stat_of(m.f);
    int end = reading_ends();

    assert_int_equal(st.readers, count(false));
    assert_int_equal(st.writers, count(true));
    assert_int_equal(st.readers_been, m.reader_been);
    assert_int_equal(st.writers_been, m.writer_been);
    assert_int_equal(st.buffered, m.tail - m.head);
    assert_int_equal(st.bytes_in, m.tail);
    if (!m.dead) {
        assert_int_equal(st.bytes_out, m.head - m.dropped);
        assert_int_equal(st.news, m.untold_eof || m.untold_break);
    }
    for (int i = 0; i < ENDS; i++) {
        struct stream *s = m.ends[i].s;
        bool room = !first(WRITE, -1) && (m.tail == m.head || m.tail - m.head + 4096 <= m.capacity);
        short ready;

        if (!s)
            continue;
        if (m.ends[i].writer)
            ready = write_fails() ? POLLOUT | POLLERR : room ? POLLOUT : 0;
        else
            ready = (m.tail > *pos_of(i) || end <= 0 ? POLLIN : 0) | (end < 0    ? POLLERR
                                                                      : end == 0 ? POLLHUP
                                                                                 : 0);
        assert_int_equal(s->ops->poll(s, NULL), ready);
    }
}

static struct mreq *free_req(void)
{
    for (int i = 0; i < REQS; i++) {
        if (!m.reqs[i].kind)
            return &m.reqs[i];
    }
    return NULL;
}

/* A nonblock request that is still there once all is settled has been given up. */
static void settle_nonblock(struct mreq *r)
{
    settle();
    if (r->kind && r->real.io.nonblock)
        expect(r, r->moved ? (ssize_t)r->moved : -EAGAIN);
}

static size_t random_size(size_t most)
{
    static const size_t edges[] = { 0, 1, 4095, 4096, 4097, 65535, 65536, 131072 };
    size_t n = rnd(3) ? rnd(5000) : rnd(3) ? edges[rnd(ARRAY_SIZE(edges))] : rnd(BIG);

    return n < most ? n : most;
}

static void do_read(int end)
{
    struct mreq *r = free_req();

    if (!r)
        return;
    *r = (struct mreq){ .kind = READ, .end = end, .order = m.order++, .size = random_size(BIG) };
    req_init(&r->real, rnd(2));
    r->real.io.size = r->size;
    m.ends[end].s->ops->read(m.ends[end].s, &r->real.io);
    if (r->size == 0)
        expect(r, m.dead ? -ESTALE : 0);
    else
        settle_nonblock(r);
}

static void do_write(int end)
{
    struct mreq *r = free_req();
    size_t n = random_size(BIG);
    int rc = write_fails();

    if (!r)
        return;
    m.refused |= n && rc == -EPIPE;
    *r = (struct mreq){ .kind = WRITE, .end = end, .order = m.order++, .size = n };
    r->from = rnd(BIG);
    req_init(&r->real, rnd(2));
    assert_int_equal(slices_copy(&r->real.io.bytes, made + r->from, n), 0);
    m.ends[end].s->ops->write(m.ends[end].s, &r->real.io);
    if (n == 0 || rc)
        expect(r, m.dead || n ? rc : 0);
    else
        settle_nonblock(r);
}

static void do_cancel(struct mreq *r)
{
    struct stream *s = m.ends[r->end].s;

    assert_true(s->ops->cancel(s, &r->real.io));
    assert_false(s->ops->cancel(s, &r->real.io));
    assert_int_equal(r->real.answers, 0);
    if (r->kind == WRITE) {
        assert_int_equal(r->real.io.moved, r->moved);
        assert_int_equal(r->real.io.bytes.len, r->size - r->moved);
    }
    slices_free(&r->real.io.bytes);
    r->kind = NONE;
    settle();
}

static void do_open(int end)
{
    struct mend *e = &m.ends[end];
    bool quiet = rnd(2);

    e->writer = rnd(2);
    e->pos = count(false) ? m.tail : m.head;
    e->s = e->writer ? quiet ? quiet_writer(m.f) : writer(m.f) : reader(m.f);
    m.reader_been |= !e->writer;
    m.refused &= e->writer;
    m.writer_been |= (e->writer && !quiet) || (count(false) && count(true));
    settle();
}

static void do_close(int end)
{
    struct mend *e = &m.ends[end];
    int how = rnd(4) ? 0 : rnd(3) ? -EPIPE : rnd(2) ? -EIO : -ENOSPC;

    for (int i = 0; i < REQS; i++) {
        if (m.reqs[i].kind && m.reqs[i].end == end)
            do_cancel(&m.reqs[i]);
    }
    e->s->ops->close(e->s, how);
    e->s = NULL;
    if (!e->writer) {
        m.reader_broke |= how < 0;
        move_head();
    } else if (how == -EPIPE && m.reader_been && !count(false)) {
        m.refused = true;
    } else if (how < 0) {
        m.broke = m.broke ? m.broke : how;
        m.untold_break = true;
        m.untold_eof = false;
    } else if (!count(true) && m.writer_been && !m.broke) {
        m.untold_eof = true;
    }
    settle();
    if (!count(true) && !count(false)) {
        m.reader_been = m.writer_been = m.reader_broke = false;
        if (m.refused) {
            m.dropped += m.tail - m.head;
            m.head = m.tail;
            m.untold_eof = m.untold_break = m.refused = false;
        }
        m.broke = m.untold_break ? m.broke : 0;
    }
}

static void do_owner(void)
{
    bool idle = m.head == m.tail && !count(true) && !count(false);
    bool broadcast = rnd(2);

    switch (rnd(20)) {
    case 0:
        assert_int_equal(flow_set_mode(m.f, broadcast ? FLOW_BROADCAST : FLOW_STREAM),
                         idle ? 0 : -EBUSY);
        m.broadcast = idle ? broadcast : m.broadcast;
        break;
    case 1:
        if (rnd(30))
            break;
        flow_break(m.f, -ESTALE);
        m.dead = true;
        m.head = m.tail;
        for (int i = 0; i < ENDS; i++)
            m.ends[i].pos = m.tail;
        break;
    default:
        m.capacity = 1 + random_size(BIG);
        flow_set_capacity(m.f, m.capacity);
    }
    settle();
}

static void step(void)
{
    int end = (int)rnd(ENDS);
    struct mreq *r = &m.reqs[rnd(REQS)];

    if (!m.ends[end].s) {
        if (rnd(5) == 0)
            do_open(end);
    } else if (rnd(40) == 0) {
        do_close(end);
    } else if (rnd(30) == 0) {
        do_owner();
    } else if (rnd(15) == 0) {
        if (r->kind)
            do_cancel(r);
    } else if (m.ends[end].writer) {
        do_write(end);
    } else {
        do_read(end);
    }
    compare();
}

static unsigned running; /* the seed, 0 when done */

static void run(unsigned seed)
{
    m = (struct model){ .seed = seed };
    running = seed;
    m.capacity = 1 + random_size(BIG);
    m.broadcast = rnd(2);
    m.f = new_flow(m.capacity, m.broadcast ? FLOW_BROADCAST : FLOW_STREAM);
    for (int i = 0; i < 3000 && m.tail + BIG < BYTES; i++)
        step();
    for (int i = 0; i < ENDS; i++) {
        if (m.ends[i].s)
            do_close(i);
    }
    flow_unref(m.f);
    assert_int_equal(blk_live(), 0);
}

static int say_seed(void **state)
{
    (void)state;
    if (running)
        fprintf(stderr, "to repeat: FLOW_SEED=%u\n", running);
    return 0;
}

/* Some seeds that are always the same, and some that nobody has tried. */
static void the_flow_does_what_the_model_does(void **state)
{
    const char *only = getenv("FLOW_SEED");
    unsigned fresh = (unsigned)time(NULL);

    (void)state;
    for (unsigned i = 0; i < sizeof made; i++)
        made[i] = (char)(i * 7 + i / 255);
    for (unsigned i = 1; !only && i <= 100; i++) {
        run(i);
        run(fresh + i);
    }
    if (only)
        run((unsigned)strtoul(only, NULL, 0));
    running = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_flow_does_what_the_model_does, say_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
