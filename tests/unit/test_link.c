/*
 * test_link.c - channels between two daemons' links, over real sockets on loopback.
 */
#include "tests/unit/link_kit.h"
#include "net/link_private.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
