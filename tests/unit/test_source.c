/*
 * test_source.c - a descriptor read as a stream, once, with an end that its owner says.
 */
#include "run/source.h"

#include "runkit.h"

#include <poll.h>

#define MIB (1024 * 1024)

struct fixture {
    struct source *source;
    struct stream *s;
    int in, out; /* what a process writes to; the source's */
    _Atomic int over;
    _Atomic bool unread;
};

static void on_over(void *arg, bool unread)
{
    struct fixture *f = arg;

    f->unread = unread;
    f->over++;
}

static void make(struct fixture *f, struct kit *k)
{
    int ends[2];

    *f = (struct fixture){ 0 };
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    nonblocking(ends[0]);
    f->in = ends[1];
    f->out = ends[0];
    assert_int_equal(source_create(&f->source, k->loop, on_over, f), 0);
    assert_int_equal(source_open(f->source, &f->s), 0);
}

static void start(struct fixture *f, struct kit *k)
{
    make(f, k);
    source_attach(f->source, f->out);
}

/* The data loop has done with it. */
static void end(struct fixture *f, struct kit *k)
{
    source_release(f->source);
    kit_sync(k);
    kit_sync(k);
    if (f->in >= 0)
        close(f->in);
}

static void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static void write_pattern(int fd, uint64_t n)
{
    pattern_write(fd, 0, n);
}

struct writer {
    pthread_t thread;
    int fd;
    uint64_t n;
};

static void *run_writer(void *arg)
{
    struct writer *w = arg;

    write_pattern(w->fd, w->n);
    close(w->fd);
    return NULL;
}

static void all_of_it_comes_and_then_the_end_that_is_said(void **state)
{
    struct fixture f;
    struct writer w = { .n = 20 * MIB + 17 };
    char *got = malloc(MIB);
    struct rreq r;
    uint64_t at = 0;

    start(&f, *state);
    w.fd = take_fd(&f.in);
    assert_int_equal(pthread_create(&w.thread, NULL, run_writer, &w), 0);
    while (at < w.n) {
        ssize_t n = rread(f.s, got, MIB);

        assert_true(n > 0);
        assert_pattern(got, at, (size_t)n);
        at += (uint64_t)n;
    }
    pthread_join(w.thread, NULL);
    free(got);
    rreq_init(&r, 100);
    f.s->ops->read(f.s, &r.io);
    await(f.over == 1);
    assert_false(f.unread);
    assert_false(rreq_answered(&r)); /* nobody said yet what end it is */
    assert_int_equal(source_bytes(f.source), w.n);
    source_end(f.source, 0);
    assert_int_equal(rreq_wait(&r), 0);
    source_end(f.source, -EIO); /* too late */
    assert_end(f.s, 0);
    shut(f.s);
    end(&f, *state);
}

static void it_breaks_when_that_is_said(void **state)
{
    struct fixture f;

    start(&f, *state);
    assert_int_equal(write(f.in, "abc", 3), 3);
    assert_text(f.s, "abc");
    source_end(f.source, -EIO);
    assert_end(f.s, -EIO);
    await(f.over == 1);
    await(write(f.in, "x", 1) < 0); /* its descriptor is closed */
    assert_int_equal(errno, EPIPE);
    shut(f.s);
    end(&f, *state);
}

static void a_reader_may_wait_before_there_is_a_descriptor(void **state)
{
    struct fixture f;
    struct rreq r;

    make(&f, *state);
    rreq_init(&r, 100);
    f.s->ops->read(f.s, &r.io);
    assert_int_equal(write(f.in, "x", 1), 1);
    kit_sync(*state);
    assert_false(rreq_answered(&r));
    source_attach(f.source, f.out);
    assert_int_equal(rreq_wait(&r), 1);
    slices_free(&r.io.bytes);
    shut(f.s);
    end(&f, *state);
}

static void a_reader_that_leaves_closes_the_descriptor(void **state)
{
    struct fixture f;

    start(&f, *state);
    shut(f.s);
    await(f.over == 1);
    assert_true(f.unread);
    kit_sync(*state);
    await(write(f.in, "x", 1) < 0);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(source_open(f.source, &f.s), -EALREADY);
    end(&f, *state);
}

static void one_that_left_early_closes_what_comes_later(void **state)
{
    struct fixture f;

    make(&f, *state);
    shut(f.s);
    kit_sync(*state);
    assert_int_equal(f.over, 0);
    source_attach(f.source, f.out);
    await(f.over == 1);
    await(write(f.in, "x", 1) < 0);
    end(&f, *state);
}

static void requests_can_be_taken_back(void **state)
{
    struct rreq first, second;
    struct fixture f;

    start(&f, *state);
    rreq_init(&first, 100);
    rreq_init(&second, 100);
    f.s->ops->read(f.s, &first.io);
    f.s->ops->read(f.s, &second.io);
    assert_true(f.s->ops->cancel(f.s, &first.io));
    assert_int_equal(write(f.in, "x", 1), 1);
    assert_int_equal(rreq_wait(&second), 1);
    assert_false(f.s->ops->cancel(f.s, &second.io));
    assert_false(rreq_answered(&first));
    slices_free(&second.io.bytes);
    shut(f.s);
    end(&f, *state);
}

static void nobody_waits_who_does_not_want_to(void **state)
{
    struct fixture f;
    struct rreq r;

    start(&f, *state);
    rreq_init(&r, 100);
    r.io.nonblock = true;
    f.s->ops->read(f.s, &r.io);
    assert_int_equal(rreq_wait(&r), -EAGAIN);
    shut(f.s);
    end(&f, *state);
}

struct watch {
    struct iowatch w;
    _Atomic int fired;
};

static void on_fire(struct iowatch *w)
{
    container_of(w, struct watch, w)->fired++;
}

static void readiness_is_told(void **state)
{
    struct watch w = { .w.fire = on_fire };
    struct fixture f;

    start(&f, *state);
    assert_int_equal(f.s->ops->poll(f.s, &w.w), 0);
    assert_int_equal(write(f.in, "x", 1), 1);
    await(w.fired == 1);
    assert_int_equal(f.s->ops->poll(f.s, NULL), POLLIN);
    assert_text(f.s, "x");
    assert_int_equal(f.s->ops->poll(f.s, &w.w), 0);
    source_end(f.source, 0);
    await(w.fired == 2);
    assert_int_equal(f.s->ops->poll(f.s, NULL), POLLIN | POLLHUP);
    f.s->ops->poll(f.s, &w.w);
    f.s->ops->unwatch(f.s, &w.w);
    shut(f.s);
    end(&f, *state);
}

static void an_owner_that_goes_breaks_it(void **state)
{
    struct fixture f;
    struct rreq r;

    start(&f, *state);
    rreq_init(&r, 100);
    f.s->ops->read(f.s, &r.io);
    source_release(f.source);
    assert_int_equal(rreq_wait(&r), -EIO);
    assert_end(f.s, -EIO);
    shut(f.s);
    kit_sync(*state);
    kit_sync(*state);
    await(write(f.in, "x", 1) < 0);
    assert_int_equal(f.over, 0);
    close(f.in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(all_of_it_comes_and_then_the_end_that_is_said),
        kit_test(it_breaks_when_that_is_said),
        kit_test(a_reader_may_wait_before_there_is_a_descriptor),
        kit_test(a_reader_that_leaves_closes_the_descriptor),
        kit_test(one_that_left_early_closes_what_comes_later),
        kit_test(requests_can_be_taken_back),
        kit_test(nobody_waits_who_does_not_want_to),
        kit_test(readiness_is_told),
        kit_test(an_owner_that_goes_breaks_it),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
