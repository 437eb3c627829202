/*
 * test_link.c - channels between two daemons' links, over real sockets on loopback.
 */
#include "tests/unit/link_pair.h"
#include "net/link_private.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct node a, b;

static int start(void **state)
{
    (void)state;
    node_start(&a, "A");
    node_start(&b, "B");
    node_knows(&a, &b, 1);
    node_knows(&b, &a, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    node_stop(&a);
    node_stop(&b);
    return blk_live() == 0 ? 0 : -1;
}

static void shut(struct stream *s, int how)
{
    s->ops->close(s, how);
}

static struct stream *open_to_b(const char *spec)
{
    struct stream *s = NULL;

    assert_int_equal(link_open(a.links, "B", spec, &s), 0);
    return s;
}

static struct chan *offered(void)
{
    struct chan *c = node_opened(&b, NULL, 0);

    assert_non_null(c);
    return c;
}

/* A flow of which one end serves a channel and the other is the test's. */
static struct stream *serve_reader(struct chan *c, size_t capacity) /* the peer writes, we read */
{
    struct stream *r, *w;
    struct flow *f;

    assert_int_equal(flow_create(&f, capacity, FLOW_STREAM), 0);
    assert_int_equal(flow_open_reader(f, &r), 0);
    assert_int_equal(flow_open_writer(f, false, &w), 0);
    flow_unref(f);
    link_accept(c, w, LINK_WRITE);
    return r;
}

static struct stream *serve_writer(struct chan *c,
                                   struct flow **flow) /* the peer reads, we write */
{
    struct stream *r, *w;
    struct flow *f;

    assert_int_equal(flow_create(&f, 65536, FLOW_STREAM), 0);
    assert_int_equal(flow_open_reader(f, &r), 0);
    assert_int_equal(flow_open_writer(f, false, &w), 0);
    if (flow)
        *flow = f;
    else
        flow_unref(f);
    link_accept(c, r, LINK_READ);
    return w;
}

static void assert_reads(struct stream *s, const char *text)
{
    char got[64] = "";
    size_t n = 0;

    while (n < strlen(text)) {
        ssize_t rc = stream_read(s, got + n, sizeof got - 1 - n);

        assert_true(rc > 0);
        n += (size_t)rc;
    }
    assert_string_equal(got, text);
}

static void writer_to_reader_then_end_of_file(void **state)
{
    struct stream *s = open_to_b("pipe x"), *r;
    char spec[32], c;
    struct chan *ch;

    (void)state;
    assert_int_equal(stream_write(s, "before", 6), 6); /* before it is accepted */
    ch = node_opened(&b, spec, sizeof spec);
    assert_non_null(ch);
    assert_string_equal(spec, "pipe x");
    r = serve_reader(ch, 65536);
    assert_reads(r, "before");
    assert_int_equal(stream_write(s, "after", 5), 5);
    shut(s, 0);
    assert_reads(r, "after");
    assert_int_equal(stream_read(r, &c, 1), 0);
    shut(r, 0);
}

static void reader_from_writer_then_end_of_file(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "hello", 5), 5);
    assert_reads(s, "hello");
    shut(w, 0);
    assert_int_equal(stream_read(s, &c, 1), 0);
    assert_int_equal(stream_write(s, "x", 1), -EBADF); /* it was opened for reading only */
    shut(s, 0);
}

/* The end is the last that is said of the channel: nothing else comes behind it and takes it along.
 */
static void end_of_file_comes_at_once(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    uint64_t began;
    char c;

    (void)state;
    for (int i = 0; i < 10000 && stream_write(s, "x", 1) > 0; i++)
        usleep(1000); /* until A has heard that B only writes, and has ended its direction */
    assert_int_equal(stream_write(w, "y", 1), 1);
    assert_reads(s, "y");
    usleep(3 * SESSION_ACK_MS * 1000); /* no acknowledgement is due any more, on either side */
    began = now_ms();
    shut(w, 0);
    assert_int_equal(stream_read(s, &c, 1), 0);
    assert_in_range(now_ms() - began, 0, SESSION_PING_MS / 2);
    shut(s, 0);
}

static void reading_what_only_takes_is_refused(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 65536);
    char c;

    (void)state;
    assert_int_equal(stream_read(s, &c, 1), -EBADF);
    assert_int_equal(stream_write(s, "yes", 3), 3);
    assert_reads(r, "yes");
    shut(s, 0);
    shut(r, 0);
}

static void refusal_gives_its_errno(void **state)
{
    struct stream *s = open_to_b("no");
    char c;

    (void)state;
    link_refuse(offered(), -EACCES);
    assert_int_equal(stream_read(s, &c, 1), -EACCES);
    assert_int_equal(stream_write(s, "x", 1), -EACCES);
    shut(s, 0);
}

static void unknown_peer_is_unreachable(void **state)
{
    struct stream *s;
    char c;

    (void)state;
    assert_int_equal(link_open(a.links, "nobody", "", &s), 0);
    assert_int_equal(stream_read(s, &c, 1), -EHOSTUNREACH);
    assert_int_equal(stream_write(s, "x", 1), -EHOSTUNREACH);
    shut(s, 0);
}

static void peer_that_does_not_listen_is_unreachable(void **state)
{
    struct timespec from, to;
    struct stream *s;
    char c;

    (void)state;
    links_peer(a.links, "C", "127.0.0.1", 1, b.me.fingerprint, 1);
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(link_open(a.links, "C", "", &s), 0);
    assert_int_equal(stream_read(s, &c, 1), -EHOSTUNREACH);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, 4, 8);
    shut(s, 0);
}

static void peer_with_another_key_is_unreachable(void **state)
{
    struct stream *s;
    char c;

    (void)state;
    links_peer(a.links, "C", "127.0.0.1", links_port(b.links), a.me.fingerprint, 1);
    assert_int_equal(link_open(a.links, "C", "", &s), 0);
    assert_int_equal(stream_read(s, &c, 1), -EHOSTUNREACH);
    shut(s, 0);
}

static void spec_is_bounded_and_whole(void **state)
{
    char *spec = malloc(LINK_SPEC_MAX + 2), *got = malloc(LINK_SPEC_MAX + 2);
    struct stream *s;
    struct chan *c;

    (void)state;
    memset(spec, 's', LINK_SPEC_MAX + 1);
    spec[LINK_SPEC_MAX + 1] = '\0';
    assert_int_equal(link_open(a.links, "B", spec, &s), -EMSGSIZE);
    spec[LINK_SPEC_MAX] = '\0';
    s = open_to_b(spec);
    c = node_opened(&b, got, LINK_SPEC_MAX + 2);
    assert_non_null(c);
    assert_string_equal(got, spec);
    link_refuse(c, -ENOENT);
    shut(s, 0);
    s = open_to_b("");
    c = node_opened(&b, got, 10);
    assert_non_null(c);
    assert_string_equal(got, "");
    link_refuse(c, -ENOENT);
    shut(s, 0);
    free(spec);
    free(got);
}

static void broken_writer_is_never_end_of_file(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 65536);
    char c;

    (void)state;
    assert_int_equal(stream_write(s, "part", 4), 4);
    shut(s, -ENOSPC);
    assert_reads(r, "part");
    assert_int_equal(stream_read(r, &c, 1), -ENOSPC);
    assert_int_equal(stream_read(r, &c, 1), -ENOSPC);
    shut(r, 0);
}

static void error_of_the_served_stream_travels(void **state)
{
    struct stream *s = open_to_b("out");
    struct flow *f;
    struct stream *w = serve_writer(offered(), &f);
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "x", 1), 1);
    assert_reads(s, "x");
    flow_break(f, -EDQUOT);
    assert_int_equal(stream_read(s, &c, 1), -EDQUOT);
    shut(s, 0);
    shut(w, 0);
    flow_unref(f);
}

/* The writer has been told nothing by a write; it learns from readiness, or from the next one. */
static void closed_reader_is_a_broken_pipe_for_the_writer(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 65536);
    ssize_t rc = 1;

    (void)state;
    assert_int_equal(stream_write(s, "x", 1), 1);
    assert_reads(r, "x");
    shut(r, 0);
    for (int i = 0; i < 1000 && rc > 0; i++) {
        rc = stream_write(s, "y", 1);
        usleep(1000);
    }
    assert_int_equal(rc, -EPIPE);
    shut(s, 0);
}

static void blocked_writer_gets_the_broken_pipe(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 4096);
    static char block[BLK_BYTES];
    ssize_t rc;

    (void)state;
    struct call c;
    size_t taken = 0;

    for (;;) {
        struct timespec t = { 0 };

        call_write(&c, s, block, sizeof block);
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 300000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        if (sem_timedwait(&c.done, &t) < 0)
            break;
        sem_post(&c.done);
        rc = call_wait(&c);
        assert_true(rc > 0);
        taken += (size_t)rc;
        assert_true(taken < 4u << 20); /* a slow reader slows its writer */
    }
    shut(r, 0);
    rc = call_wait(&c);
    assert_true(rc == -EPIPE || rc >= 0);
    assert_int_equal(stream_write(s, "x", 1), -EPIPE);
    shut(s, 0);
}

static void reader_that_goes_stops_the_source(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    static char block[4096];
    ssize_t rc;

    (void)state;
    assert_true(stream_write(w, block, sizeof block) > 0);
    assert_true(stream_read(s, block, sizeof block) > 0);
    shut(s, 0);
    do
        rc = stream_write(w, block, sizeof block);
    while (rc > 0);
    assert_int_equal(rc, -EPIPE);
    shut(w, 0);
}

static void closed_before_it_is_accepted(void **state)
{
    struct stream *s = open_to_b("in"), *r;
    char c;

    (void)state;
    assert_int_equal(stream_write(s, "all", 3), 3);
    shut(s, 0);
    r = serve_reader(offered(), 65536);
    assert_reads(r, "all");
    assert_int_equal(stream_read(r, &c, 1), 0);
    shut(r, 0);
}

static void requests_are_taken_back_in_any_state(void **state)
{
    struct stream *s = open_to_b("both"), *r;
    static char block[BLK_BYTES];
    struct call c, w;

    (void)state;
    call_read(&c, s, 10); /* not connected yet, perhaps */
    assert_true(s->ops->cancel(s, &c.req));
    sem_destroy(&c.done);
    r = serve_reader(offered(), 4096);
    for (;;) {
        call_write(&w, s, block, sizeof block);
        usleep(20000);
        if (s->ops->cancel(s, &w.req))
            break;
        assert_true(call_wait(&w) > 0);
    }
    slices_free(&w.req.bytes);
    sem_destroy(&w.done);
    call_read(&c, r, 1);
    assert_int_equal(call_wait(&c), 1);
    shut(s, -ECANCELED);
    shut(r, 0);
}

struct bell {
    struct iowatch w;
    sem_t rung;
};

static void ring(struct iowatch *w)
{
    sem_post(&container_of(w, struct bell, w)->rung);
}

static void readiness_is_told(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    struct bell bell = { .w.fire = ring };

    (void)state;
    sem_init(&bell.rung, 0, 0);
    assert_int_equal(s->ops->poll(s, NULL) & (POLLIN | POLLHUP), 0);
    while (!(s->ops->poll(s, &bell.w) & POLLIN)) {
        if (stream_write(w, "x", 1) != 1)
            fail();
        sem_wait(&bell.rung);
    }
    s->ops->unwatch(s, &bell.w);
    sem_destroy(&bell.rung);
    shut(w, 0);
    shut(s, 0);
}

/* --- whole links end --- */

static void kill_b(struct node *n)
{
    links_destroy(n->links);
    n->links = NULL;
}

static void destroyed_links_break_both_sides(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 65536);
    struct stream *later = open_to_b("never answered"), *none;
    struct chan *unanswered = offered();
    char c;

    (void)state;
    assert_int_equal(stream_write(s, "x", 1), 1);
    assert_reads(r, "x");
    node_on_loop(&b, kill_b);
    assert_int_equal(stream_read(r, &c, 1), -ECANCELED);
    assert_int_equal(stream_read(later, &c, 1), -EIO);
    assert_int_equal(stream_write(later, "x", 1), -EIO);
    none = serve_reader(unanswered, 4096); /* answered too late: its stream is closed at once */
    assert_int_equal(stream_read(none, &c, 1), -ECANCELED);
    shut(none, 0);
    shut(r, 0);
    shut(s, 0);
    shut(later, 0);
}

static void own_links_destroyed_with_requests_parked(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    struct stream *unreached;
    struct call c, d;

    (void)state;
    links_peer(a.links, "C", "127.0.0.1", 1, b.me.fingerprint, 1);
    assert_int_equal(link_open(a.links, "C", "", &unreached), 0);
    call_read(&c, s, 10);
    call_read(&d, unreached, 10);
    node_on_loop(&a, kill_b);
    assert_int_equal(call_wait(&c), -ECANCELED);
    assert_int_equal(call_wait(&d), -ECANCELED);
    shut(s, 0);
    shut(unreached, 0);
    shut(w, 0);
}

static void forgotten_peer_breaks_channels(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL), *t;
    ssize_t rc;
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "x", 1), 1);
    assert_reads(s, "x");
    links_forget(a.links, "B");
    assert_int_equal(stream_read(s, &c, 1), -EIO);
    assert_int_equal(link_open(a.links, "B", "", &t), 0);
    assert_int_equal(stream_read(t, &c, 1), -EHOSTUNREACH);
    do
        rc = stream_write(w, "x", 1);
    while (rc > 0);
    assert_int_equal(rc, -EPIPE);
    shut(s, 0);
    shut(t, 0);
    shut(w, 0);
}

static void new_incarnation_breaks_channels(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL), *t, *r;
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "x", 1), 1);
    assert_reads(s, "x");
    node_knows(&a, &b, 1); /* the same again changes nothing */
    assert_int_equal(stream_write(w, "y", 1), 1);
    assert_reads(s, "y");
    node_knows(&a, &b, 2);
    assert_int_equal(stream_read(s, &c, 1), -EIO);
    t = open_to_b("again");
    r = serve_reader(offered(), 4096);
    assert_int_equal(stream_write(t, "z", 1), 1);
    assert_reads(r, "z");
    shut(s, 0);
    shut(w, 0);
    shut(t, 0);
    shut(r, 0);
}

/* B learns of A's key only after A has begun to dial. */
static void a_peer_that_learns_of_us_late_is_reached(void **state)
{
    struct stream *s, *r;

    (void)state;
    links_forget(b.links, "A");
    s = open_to_b("in");
    assert_int_equal(stream_write(s, "x", 1), 1);
    usleep(100000); /* so that it was refused once, mostly; either way it must succeed */
    node_knows(&b, &a, 1);
    r = serve_reader(offered(), 4096);
    assert_reads(r, "x");
    shut(s, 0);
    shut(r, 0);
}

static void both_sides_open(void **state)
{
    struct stream *s = open_to_b("there"), *back, *r;
    struct chan *c;
    char byte;

    (void)state;
    assert_int_equal(link_open(b.links, "A", "back", &back), 0);
    r = serve_reader(offered(), 4096);
    c = node_opened(&a, NULL, 0);
    assert_non_null(c);
    link_refuse(c, -ENOTDIR);
    assert_int_equal(stream_write(s, "x", 1), 1);
    assert_reads(r, "x");
    assert_int_equal(stream_read(back, &byte, 1), -ENOTDIR);
    shut(s, 0);
    shut(back, 0);
    shut(r, 0);
}

static bool idle, closed;

static void look(struct node *n)
{
    struct peer *p;

    HASH_FIND_STR(n->links->peers, "B", p);
    idle = p->out.s && session_idle(p->out.s);
    closed = !p->out.s && !p->out.conn;
}

static void a_minute_passes(struct node *n)
{
    struct peer *p;

    HASH_FIND_STR(n->links->peers, "B", p);
    link_tick(&p->out, now_ms() + LINK_IDLE_MS / 2);
    look(n);
    assert_false(closed);
    link_tick(&p->out, now_ms() + LINK_IDLE_MS);
    look(n);
}

static void an_idle_link_is_closed_and_made_anew(void **state)
{
    struct stream *s = open_to_b("first");
    char byte;

    (void)state;
    link_refuse(offered(), -ENOENT);
    assert_int_equal(stream_read(s, &byte, 1), -ENOENT);
    shut(s, 0);
    for (idle = false; !idle; usleep(1000))
        node_on_loop(&a, look);
    node_on_loop(&a, a_minute_passes);
    assert_true(closed);
    s = open_to_b("second");
    link_refuse(offered(), -ENOENT);
    assert_int_equal(stream_read(s, &byte, 1), -ENOENT);
    shut(s, 0);
}

/* --- many --- */

static void a_thousand_channels_at_once(void **state)
{
    enum { N = 1000 };
    static struct stream *s[N], *r[N];
    char text[16], got[16];

    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "%d", i);
        s[i] = open_to_b(text);
        assert_int_equal(stream_write(s[i], text, strlen(text)), (int)strlen(text));
    }
    for (int i = 0; i < N; i++) {
        struct chan *c = node_opened(&b, got, sizeof got);

        assert_non_null(c);
        assert_int_equal(atoi(got), i); /* in the order of opening */
        r[i] = serve_reader(c, 65536);
    }
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_reads(r[i], text);
        shut(s[i], 0);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(stream_read(r[i], got, 1), 0);
        shut(r[i], 0);
    }
}

/* Records of two channels into one flow: each stays in one piece. */
enum { RECORDS = 3000 };

static void *write_records(void *arg)
{
    struct stream *s = open_to_b("records");
    char record[4096];
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (int i = 0; i < RECORDS; i++) {
        size_t n = 8 + (size_t)(rand_r(&seed) % 4000);

        memset(record, (int)(uintptr_t)arg, n);
        record[0] = (char)(n >> 8);
        record[1] = (char)n;
        if (stream_write(s, record, n) != (ssize_t)n)
            abort();
    }
    shut(s, 0);
    return NULL;
}

static void get_all(struct stream *r, unsigned char *to, size_t n)
{
    while (n) {
        ssize_t rc = stream_read(r, to, n);

        assert_true(rc > 0);
        to += rc;
        n -= (size_t)rc;
    }
}

static void small_records_stay_whole(void **state)
{
    unsigned char record[4096], c;
    pthread_t t[3];
    struct flow *f;
    struct stream *r;

    (void)state;
    assert_int_equal(flow_create(&f, 20000, FLOW_STREAM), 0);
    assert_int_equal(flow_open_reader(f, &r), 0);
    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_records, (void *)(i + 'a')), 0);
    for (int i = 0; i < 3; i++) {
        struct stream *w;

        assert_int_equal(flow_open_writer(f, false, &w), 0);
        link_accept(offered(), w, LINK_WRITE);
    }
    for (int i = 0; i < 3 * RECORDS; i++) {
        size_t n;

        get_all(r, record, 3);
        n = (size_t)record[0] << 8 | record[1];
        assert_in_range(n, 8, 4008);
        get_all(r, record + 3, n - 3);
        for (size_t k = 3; k < n; k++)
            assert_int_equal(record[k], record[2]);
    }
    assert_int_equal(stream_read(r, &c, 1), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    shut(r, 0);
    flow_unref(f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(writer_to_reader_then_end_of_file),
        T(reader_from_writer_then_end_of_file),
        T(end_of_file_comes_at_once),
        T(reading_what_only_takes_is_refused),
        T(refusal_gives_its_errno),
        T(unknown_peer_is_unreachable),
        T(peer_that_does_not_listen_is_unreachable),
        T(peer_with_another_key_is_unreachable),
        T(spec_is_bounded_and_whole),
        T(broken_writer_is_never_end_of_file),
        T(error_of_the_served_stream_travels),
        T(closed_reader_is_a_broken_pipe_for_the_writer),
        T(blocked_writer_gets_the_broken_pipe),
        T(reader_that_goes_stops_the_source),
        T(closed_before_it_is_accepted),
        T(requests_are_taken_back_in_any_state),
        T(readiness_is_told),
        T(destroyed_links_break_both_sides),
        T(own_links_destroyed_with_requests_parked),
        T(forgotten_peer_breaks_channels),
        T(new_incarnation_breaks_channels),
        T(a_peer_that_learns_of_us_late_is_reached),
        T(both_sides_open),
        T(an_idle_link_is_closed_and_made_anew),
        T(a_thousand_channels_at_once),
        T(small_records_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
