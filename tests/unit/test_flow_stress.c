/*
 * test_flow_stress.c - flows used by many threads at once: nothing lost, doubled, torn or freed too
 * early, while requests are cancelled and watches removed at random moments.
 *
 * Every write is a record that says who wrote it, its number, its length and a checksum.
 */
#include "flowkit.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#define WRITERS 3
#define RECORDS 3000

struct record {
    uint32_t writer, number, len, sum;
};

/* A request that a thread waits for. */
struct call {
    struct ioreq io;
    ssize_t rc;
    sem_t answered;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void call_done(struct ioreq *io, ssize_t rc)
{
    struct call *c = container_of(io, struct call, io);

    c->rc = rc;
    sem_post(&c->answered);
}

/* Submits until it is answered; now and then it takes the request back at once, if that is not too
 * late, and submits it again. */
static ssize_t submit(struct call *c, struct stream *s, void (*op)(struct stream *, struct ioreq *),
                      unsigned *seed, bool cancel)
{
    for (;;) {
        c->io.done = call_done;
        op(s, &c->io);
        if (cancel && rand_r(seed) % 4 == 0) {
            sched_yield();
            if (s->ops->cancel(s, &c->io)) {
                check(c->io.moved == 0, "a small write was cancelled in its middle");
                continue;
            }
        }
        while (sem_wait(&c->answered) < 0)
            continue;
        return c->rc;
    }
}

static uint32_t sum_of(const char *p, size_t n)
{
    uint32_t sum = 2166136261u;

    while (n--)
        sum = (sum ^ (unsigned char)*p++) * 16777619u;
    return sum;
}

struct writing {
    struct flow *f;
    uint32_t id;
    size_t most; /* bytes in a record */
    pthread_t thread;
};

static size_t make_record(char *to, struct writing *w, uint32_t number, unsigned *seed)
{
    size_t most = w->most > 4096 && rand_r(seed) % 16 ? 4096 : w->most;
    struct record r = { .writer = w->id, .number = number };

    r.len = (uint32_t)((unsigned)rand_r(seed) % (most - sizeof r + 1));
    for (uint32_t i = 0; i < r.len; i++)
        to[sizeof r + i] = (char)(number + i);
    r.sum = sum_of(to + sizeof r, r.len);
    memcpy(to, &r, sizeof r);
    return sizeof r + r.len;
}

static void *write_records(void *arg)
{
    struct writing *w = arg;
    unsigned seed = w->id;
    struct stream *s = NULL;
    char *data = malloc(w->most);
    struct call c = { 0 };

    sem_init(&c.answered, 0, 0);
    for (uint32_t i = 0; i < RECORDS; i++) {
        size_t n = make_record(data, w, i, &seed);

        if (!s)
            check(flow_open_writer(w->f, true, &s) == 0, "no writer");
        check(slices_copy(&c.io.bytes, data, n) == 0, "no memory");
        check(submit(&c, s, s->ops->write, &seed, n <= 4096) == (ssize_t)n, "a write was short");
        if (rand_r(&seed) % 64 == 0) {
            shut(s);
            s = NULL;
        }
    }
    if (s)
        shut(s);
    sem_destroy(&c.answered);
    free(data);
    return NULL;
}

struct reading {
    struct stream *s;
    bool whole; /* each answer consists of whole records, in any order */
    unsigned got, next[WRITERS];
    pthread_t thread;
};

/* Checks the records at p and returns how many bytes they take. */
static size_t check_records(struct reading *r, const char *p, size_t n)
{
    size_t at = 0;
    struct record h;

    while (n - at >= sizeof h) {
        memcpy(&h, p + at, sizeof h);
        check(h.writer < WRITERS && h.number < RECORDS, "a record was torn");
        if (n - at < sizeof h + h.len)
            break;
        check(h.sum == sum_of(p + at + sizeof h, h.len), "bytes of a record are wrong");
        check(r->whole ? h.number >= r->next[h.writer] : h.number == r->next[h.writer],
              "records were lost, doubled or mixed up");
        r->next[h.writer] = h.number + 1;
        r->got++;
        at += sizeof h + h.len;
    }
    check(!r->whole || at == n, "a whole read cut a record");
    return at;
}

static void *read_records(void *arg)
{
    static const size_t sizes[] = { 1, 100, 4096, 70000, 300000 };
    struct reading *r = arg;
    unsigned seed = 99;
    size_t held = 0;
    char *data = malloc(1000000);
    struct call c = { .io.whole = r->whole };

    sem_init(&c.answered, 0, 0);
    for (;;) {
        ssize_t n;

        c.io.size = sizes[r->whole ? 2 + rand_r(&seed) % 3 : rand_r(&seed) % 5];
        n = submit(&c, r->s, r->s->ops->read, &seed, true);
        check(n >= 0, "a read failed");
        if (n == 0)
            break;
        check(n == (ssize_t)c.io.bytes.len && (size_t)n <= c.io.size, "a read is too long");
        slices_read(&c.io.bytes, data + held);
        slices_free(&c.io.bytes);
        held += (size_t)n;
        n = (ssize_t)check_records(r, data, held);
        held -= (size_t)n;
        memmove(data, data + n, held);
    }
    check(held == 0, "end of file within a record");
    sem_destroy(&c.answered);
    free(data);
    return NULL;
}

static void note_stat(void *arg)
{
    struct flow_stat st;

    flow_stat(*(struct flow **)arg, &st);
    check(st.bytes_in - st.bytes_out == st.buffered, "figures do not add up");
}

/* Runs writers and readers on a flow until the readers have seen the end of file. */
static void run(enum flow_mode mode, unsigned readers, size_t capacity, size_t most, bool whole)
{
    struct flow *f = new_flow(capacity, mode);
    struct reading r[3] = { 0 };
    struct writing w[WRITERS] = { 0 };
    struct stream *anchor;
    unsigned got = 0;

    flow_on_change(f, note_stat, NULL, &f);
    anchor = writer(f); /* no end of file before all have written */
    for (unsigned i = 0; i < readers; i++) {
        r[i].s = reader(f);
        r[i].whole = whole;
        assert_int_equal(pthread_create(&r[i].thread, NULL, read_records, &r[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writing){ .f = f, .id = i, .most = most };
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_records, &w[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    shut(anchor);
    for (unsigned i = 0; i < readers; i++) {
        pthread_join(r[i].thread, NULL);
        shut(r[i].s);
        got += r[i].got;
    }
    assert_int_equal(got, WRITERS * RECORDS * (mode == FLOW_BROADCAST ? readers : 1));
    flow_unref(f);
}

static void small_and_large_writes_to_one_reader(void **state)
{
    (void)state;
    run(FLOW_STREAM, 1, 100000, 300000, false);
}

static void a_tiny_capacity_tears_nothing(void **state)
{
    (void)state;
    run(FLOW_STREAM, 1, 100, 5000, false);
}

static void broadcast_gives_all_to_all(void **state)
{
    (void)state;
    run(FLOW_BROADCAST, 3, 50000, 100000, false);
}

static void whole_reads_by_many_readers(void **state)
{
    (void)state;
    run(FLOW_STREAM, 3, 50000, 4096, true);
}

/* A pump without a thread: the answer of each request submits the next, wherever it runs. */
struct pump {
    struct ioreq io;
    struct stream *from, *to;
    sem_t ended;
};

static void pump_read(struct ioreq *io, ssize_t rc);

static void pump_written(struct ioreq *io, ssize_t rc)
{
    struct pump *p = container_of(io, struct pump, io);

    check(rc > 0, "a pump's write failed");
    io->done = pump_read;
    p->from->ops->read(p->from, io);
}

static void pump_read(struct ioreq *io, ssize_t rc)
{
    struct pump *p = container_of(io, struct pump, io);

    check(rc >= 0, "a pump's read failed");
    if (rc == 0) {
        shut(p->from);
        shut(p->to);
        sem_post(&p->ended);
        return;
    }
    io->done = pump_written;
    p->to->ops->write(p->to, io);
}

static void pumps_run_on_any_thread(void **state)
{
    struct flow *f[4];
    struct pump pump[3];
    struct writing w[WRITERS];
    struct reading r = { 0 };
    struct stream *anchor;

    (void)state;
    for (int i = 0; i < 4; i++)
        f[i] = new_flow(60000, FLOW_STREAM);
    for (int i = 0; i < 3; i++) {
        pump[i] = (struct pump){ .from = reader(f[i]), .to = writer(f[i + 1]) };
        pump[i].io = (struct ioreq){ .size = 100000, .done = pump_read };
        sem_init(&pump[i].ended, 0, 0);
        pump[i].from->ops->read(pump[i].from, &pump[i].io);
    }
    anchor = writer(f[0]);
    r.s = reader(f[3]);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writing){ .f = f[0], .id = i, .most = 200000 };
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_records, &w[i]), 0);
    }
    assert_int_equal(pthread_create(&r.thread, NULL, read_records, &r), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    shut(anchor);
    pthread_join(r.thread, NULL);
    shut(r.s);
    assert_int_equal(r.got, WRITERS * RECORDS);
    for (int i = 0; i < 3; i++) {
        while (sem_wait(&pump[i].ended) < 0)
            continue;
        sem_destroy(&pump[i].ended);
    }
    for (int i = 0; i < 4; i++)
        flow_unref(f[i]);
}

/* A watch that must not fire once it was removed. */
struct probe {
    struct iowatch w;
    struct stream *s;
    atomic_bool removed;
    unsigned fired;
};

struct polling {
    struct stream *s;
    atomic_bool *stop;
    unsigned fired;
    pthread_t thread;
};

static void probe_fire(struct iowatch *w)
{
    struct probe *p = container_of(w, struct probe, w);

    check(!atomic_load(&p->removed), "a watch fired after it was removed");
    p->fired++;
    p->s->ops->poll(p->s, w);
}

static void *poll_around(void *arg)
{
    struct polling *l = arg;

    while (!atomic_load(l->stop)) {
        struct probe *p = calloc(1, sizeof *p);

        check(p != NULL, "no memory");
        p->w.fire = probe_fire;
        p->s = l->s;
        l->s->ops->poll(l->s, &p->w);
        sched_yield();
        l->s->ops->unwatch(l->s, &p->w);
        atomic_store(&p->removed, true);
        l->fired += p->fired;
        free(p);
    }
    return NULL;
}

static void watches_come_and_go(void **state)
{
    atomic_bool stop = false;
    struct flow *f = new_flow(10000, FLOW_STREAM);
    struct reading r = { .s = reader(f) };
    struct stream *anchor = writer(f);
    struct polling l[3] = { { r.s, &stop }, { anchor, &stop }, { r.s, &stop } };
    struct writing w[WRITERS];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&l[i].thread, NULL, poll_around, &l[i]), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writing){ .f = f, .id = i, .most = 4096 };
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_records, &w[i]), 0);
    }
    assert_int_equal(pthread_create(&r.thread, NULL, read_records, &r), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(l[i].thread, NULL);
    shut(anchor);
    pthread_join(r.thread, NULL);
    shut(r.s);
    flow_unref(f);
    assert_int_equal(r.got, WRITERS * RECORDS);
    assert_true(l[0].fired + l[1].fired + l[2].fired > 0);
}

struct breaker {
    struct flow *f;
    struct stream *r, *w;
};

static void *read_to_break(void *arg)
{
    struct breaker *b = arg;
    struct call c = { .io.size = 1000 };
    unsigned seed = 1;
    ssize_t n;

    sem_init(&c.answered, 0, 0);
    while ((n = submit(&c, b->r, b->r->ops->read, &seed, true)) > 0)
        slices_free(&c.io.bytes);
    check(n == -ESTALE, "the break was not told to the reader");
    sem_destroy(&c.answered);
    return NULL;
}

static void *write_to_break(void *arg)
{
    static const char data[4000];
    struct breaker *b = arg;
    struct call c = { 0 };
    unsigned seed = 2;
    ssize_t n;

    sem_init(&c.answered, 0, 0);
    do {
        check(slices_copy(&c.io.bytes, data, sizeof data) == 0, "no memory");
        n = submit(&c, b->w, b->w->ops->write, &seed, true);
    } while (n == sizeof data);
    check(n == -ESTALE, "the break was not told to the writer");
    slices_free(&c.io.bytes);
    sem_destroy(&c.answered);
    return NULL;
}

/* Each answered once, with bytes or the errno of the break, whatever comes first. */
static void a_break_meets_traffic(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct flow *f = new_flow(5000, FLOW_STREAM);
        struct breaker b = { .f = f, .r = reader(f), .w = writer(f) };
        pthread_t t[2];

        assert_int_equal(pthread_create(&t[0], NULL, read_to_break, &b), 0);
        assert_int_equal(pthread_create(&t[1], NULL, write_to_break, &b), 0);
        for (int spin = 0; spin < i; spin++)
            sched_yield();
        flow_break(f, -ESTALE);
        pthread_join(t[0], NULL);
        pthread_join(t[1], NULL);
        shut(b.r);
        shut(b.w);
        flow_unref(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(small_and_large_writes_to_one_reader),
        flow_test(a_tiny_capacity_tears_nothing),
        flow_test(broadcast_gives_all_to_all),
        flow_test(whole_reads_by_many_readers),
        flow_test(pumps_run_on_any_thread),
        flow_test(watches_come_and_go),
        flow_test(a_break_meets_traffic),
    };

    alarm(300); /* a lost wake-up must not hang the check */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
