#include "run/spool.h"

#include "runkit.h"

#include <pty.h>
#include <sched.h>
#include <sys/mount.h>

#define MIB (1024 * 1024)

struct fixture {
    struct spool *spool;
    char path[300];
    int in; /* what the process writes to */
};

static _Atomic int drained_calls;

static void on_drained(void *arg)
{
    (void)arg;
    drained_calls++;
}

static void open_file(struct fixture *f, struct kit *k, uint64_t limit)
{
    struct oerr e = { "" };

    snprintf(f->path, sizeof f->path, "%s/out", k->dir);
    assert_int_equal(spool_create(&f->spool, k->loop, f->path, limit, false, &e), 0);
}

static void start(struct fixture *f, struct kit *k, uint64_t limit)
{
    int ends[2];

    drained_calls = 0;
    open_file(f, k, limit);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    nonblocking(ends[0]);
    f->in = ends[1];
    spool_drain(f->spool, ends[0], on_drained, NULL);
}

static void put(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->in, text, strlen(text)), strlen(text));
}

static struct spool_stat stat_of(struct spool *s)
{
    struct spool_stat st;

    spool_stat(s, &st);
    return st;
}

static struct stream *reader(struct fixture *f)
{
    struct stream *s;

    assert_int_equal(spool_open(f->spool, false, &s), 0);
    return s;
}

static void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static void what_was_written_is_read_to_its_end(void **state)
{
    struct fixture f;
    struct stream *s;

    start(&f, *state, SPOOL_LIMIT);
    put(&f, "one\ntwo\n");
    s = reader(&f);
    assert_text(s, "one\ntwo\n");
    close(f.in);
    assert_end(s, 0);
    assert_end(s, 0);
    shut(s);
    await(drained_calls == 1);
    s = reader(&f); /* again, from its start */
    assert_text(s, "one\ntwo\n");
    assert_end(s, 0);
    shut(s);
    assert_int_equal(stat_of(f.spool).bytes, 8);
    assert_true(stat_of(f.spool).ended);
    assert_false(stat_of(f.spool).draining);
    spool_release(f.spool, false);
}

static void a_silent_process_makes_no_file(void **state)
{
    struct fixture f;
    struct stream *s;

    start(&f, *state, SPOOL_LIMIT);
    s = reader(&f);
    close(f.in);
    assert_end(s, 0);
    shut(s);
    assert_int_equal(access(f.path, F_OK), -1);
    spool_release(f.spool, true);
}

static void readers_follow_live(void **state)
{
    struct rreq r[3];
    struct stream *s[3];
    struct fixture f;
    char got[8];

    start(&f, *state, SPOOL_LIMIT);
    for (int i = 0; i < 3; i++) {
        s[i] = reader(&f);
        rreq_init(&r[i], 100);
        s[i]->ops->read(s[i], &r[i].io);
        assert_false(rreq_answered(&r[i]));
    }
    put(&f, "live");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rreq_wait(&r[i]), 4);
        slices_read(&r[i].io.bytes, got);
        assert_memory_equal(got, "live", 4);
        slices_free(&r[i].io.bytes);
        shut(s[i]);
    }
    close(f.in);
    spool_release(f.spool, false);
}

static void a_parked_read_can_be_taken_back_once(void **state)
{
    struct fixture f;
    struct stream *s;
    struct rreq r;

    start(&f, *state, SPOOL_LIMIT);
    s = reader(&f);
    rreq_init(&r, 10);
    s->ops->read(s, &r.io);
    assert_true(s->ops->cancel(s, &r.io));
    assert_false(s->ops->cancel(s, &r.io));
    rreq_init(&r, 10);
    r.io.nonblock = true;
    s->ops->read(s, &r.io);
    assert_int_equal(rreq_wait(&r), -EAGAIN);
    put(&f, "x");
    assert_text(s, "x");
    shut(s);
    close(f.in);
    spool_release(f.spool, false);
}

struct watcher {
    struct iowatch w;
    _Atomic unsigned fires;
};

static void on_fire(struct iowatch *w)
{
    container_of(w, struct watcher, w)->fires++;
}

static void poll_tells_of_bytes_and_of_the_end(void **state)
{
    struct watcher w = { .w.fire = on_fire };
    struct fixture f;
    struct stream *s;

    start(&f, *state, SPOOL_LIMIT);
    s = reader(&f);
    assert_int_equal(s->ops->poll(s, &w.w), 0);
    put(&f, "x");
    await(w.fires == 1);
    assert_int_equal(s->ops->poll(s, &w.w), POLLIN);
    assert_text(s, "x");
    assert_int_equal(s->ops->poll(s, NULL), 0);
    close(f.in);
    await(w.fires == 2);
    assert_int_equal(s->ops->poll(s, &w.w), POLLIN | POLLHUP);
    s->ops->unwatch(s, &w.w);
    shut(s);
    spool_release(f.spool, false);
    assert_int_equal(w.fires, 2);
}

static void only_the_newest_are_kept_when_nobody_reads(void **state)
{
    struct spool_stat st;
    struct fixture f;
    struct stream *s;

    start(&f, *state, MIB);
    pattern_write(f.in, 0, 5 * MIB);
    close(f.in);
    await(stat_of(f.spool).ended);
    st = stat_of(f.spool);
    assert_int_equal(st.bytes, 5 * MIB);
    assert_int_equal(st.dropped, 4 * MIB);
    s = reader(&f);
    assert_int_equal(assert_pattern_to_end(s, st.dropped, 0), 5 * MIB);
    shut(s);
    spool_release(f.spool, false);
}

/* And who wants the whole is told that it is not there. */
static void what_was_read_is_not_counted_as_dropped(void **state)
{
    struct fixture f;
    struct stream *s;
    char *got = malloc(MIB);
    size_t got_n;
    ssize_t rc;

    start(&f, *state, MIB);
    pattern_write(f.in, 0, MIB / 2);
    s = reader(&f);
    for (size_t n = 0; n < MIB / 2;)
        n += (size_t)rread(s, got, MIB);
    shut(s);
    pattern_write(f.in, MIB / 2, 4 * MIB);
    close(f.in);
    await(stat_of(f.spool).ended);
    assert_int_equal(stat_of(f.spool).dropped, 3 * MIB);
    assert_int_equal(spool_open(f.spool, true, &s), 0);
    for (got_n = 0; (rc = rread(s, got, MIB)) > 0; got_n += (size_t)rc)
        ;
    assert_int_equal(rc, -EIO);
    assert_true(got_n >= MIB);
    shut(s);
    free(got);
    spool_release(f.spool, false);
}

static void *write_long(void *arg)
{
    struct fixture *f = arg;

    pattern_write(f->in, 0, 20 * MIB);
    close(f->in);
    return NULL;
}

/* The process waits for the reader, who misses nothing. */
static void a_reader_gets_all_of_what_exceeds_the_limit(void **state)
{
    struct fixture f;
    struct stream *s;
    pthread_t writer;

    start(&f, *state, MIB);
    s = reader(&f);
    pthread_create(&writer, NULL, write_long, &f);
    await(stat_of(f.spool).bytes >= MIB);
    assert_true(stat_of(f.spool).bytes <= 2 * MIB);
    assert_int_equal(assert_pattern_to_end(s, 0, 0), 20 * MIB);
    assert_int_equal(stat_of(f.spool).dropped, 0);
    pthread_join(writer, NULL);
    shut(s);
    spool_release(f.spool, false);
}

static void *read_long(void *arg)
{
    uint64_t *end = calloc(1, sizeof *end);

    *end = assert_pattern_to_end(arg, 0, 0);
    return end;
}

/* Bytes are punched out of the file while others are read. */
static void many_readers_never_see_a_hole(void **state)
{
    struct stream *s[4];
    pthread_t writer, readers[4];
    struct fixture f;

    start(&f, *state, MIB);
    for (int i = 0; i < 4; i++) {
        s[i] = reader(&f);
        pthread_create(&readers[i], NULL, read_long, s[i]);
    }
    pthread_create(&writer, NULL, write_long, &f);
    for (int i = 0; i < 4; i++) {
        void *end;

        pthread_join(readers[i], &end);
        assert_int_equal(*(uint64_t *)end, 20 * MIB);
        free(end);
        shut(s[i]);
    }
    pthread_join(writer, NULL);
    spool_release(f.spool, false);
}

static void a_restart_goes_on_behind_what_is_kept(void **state)
{
    struct kit *k = *state;
    struct fixture f;
    struct stream *s;
    int rest, ends[2];

    drained_calls = 0;
    open_file(&f, k, MIB);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    nonblocking(ends[0]);
    rest = dup(ends[0]);
    spool_drain(f.spool, ends[0], on_drained, NULL);
    pattern_write(ends[1], 0, 3 * MIB);
    await(stat_of(f.spool).bytes == 3 * MIB);
    s = reader(&f);
    spool_release(f.spool, false);
    assert_pattern_to_end(s, 2 * MIB, -EIO); /* its end was not seen */
    shut(s);
    assert_int_equal(drained_calls, 0);

    pattern_write(ends[1], 3 * MIB, 1000);
    open_file(&f, k, MIB);
    assert_int_equal(stat_of(f.spool).bytes, 3 * MIB);
    assert_int_equal(stat_of(f.spool).dropped, 2 * MIB);
    s = reader(&f);
    spool_drain(f.spool, rest, on_drained, NULL);
    close(ends[1]);
    assert_int_equal(assert_pattern_to_end(s, 2 * MIB, 0), 3 * MIB + 1000);
    shut(s);
    spool_release(f.spool, false);
}

static void an_end_that_broke_is_no_end_of_file(void **state)
{
    struct fixture f;
    struct stream *s;
    struct rreq r;

    open_file(&f, *state, MIB);
    s = reader(&f);
    rreq_init(&r, 10);
    s->ops->read(s, &r.io);
    spool_end(f.spool, -EIO);
    assert_int_equal(rreq_wait(&r), -EIO);
    assert_end(s, -EIO);
    assert_int_equal(s->ops->poll(s, NULL), POLLIN | POLLERR);
    spool_end(f.spool, 0);
    assert_end(s, 0);
    shut(s);
    spool_release(f.spool, false);
}

static void letting_go_wakes_who_waits(void **state)
{
    struct fixture f;
    struct stream *s;
    struct rreq r;

    start(&f, *state, MIB);
    put(&f, "kept");
    s = reader(&f);
    assert_text(s, "kept");
    rreq_init(&r, 10);
    s->ops->read(s, &r.io);
    spool_release(f.spool, true);
    assert_int_equal(rreq_wait(&r), -EIO);
    assert_int_equal(access(f.path, F_OK), 0); /* somebody has it open */
    shut(s);
    await(access(f.path, F_OK) < 0);
    assert_int_equal(drained_calls, 0);
    close(f.in);
}

static void a_terminal_is_drained_to_its_hangup(void **state)
{
    int master, slave;
    struct fixture f;
    struct stream *s;

    open_file(&f, *state, MIB);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    nonblocking(master);
    spool_drain(f.spool, master, NULL, NULL);
    assert_int_equal(write(slave, "tty\n", 4), 4);
    s = reader(&f);
    assert_text(s, "tty\r\n");
    close(slave);
    assert_end(s, 0);
    shut(s);
    spool_release(f.spool, false);
}

static void what_cannot_be_watched_breaks(void **state)
{
    struct fixture f;
    struct stream *s;

    open_file(&f, *state, MIB);
    s = reader(&f);
    spool_drain(f.spool, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), on_drained, NULL);
    assert_end(s, -EIO);
    shut(s);
    spool_release(f.spool, false);
}

/* A tmpfs of one MiB over the test's folder; the whole test is skipped where that is not allowed.
 */
static void fill_the_disk(struct kit *k)
{
    char option[] = "size=1m";

    if (mount("tmpfs", k->dir, "tmpfs", 0, option) < 0)
        skip();
}

static void a_full_disk_slows_the_process_and_loses_nothing(void **state)
{
    struct kit *k = *state;
    char ballast[300];
    struct fixture f;
    struct stream *s;
    int fd;

    fill_the_disk(k);
    snprintf(ballast, sizeof ballast, "%s/ballast", k->dir);
    fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, MIB - 128 * 1024), 0);
    start(&f, k, SPOOL_LIMIT);
    fcntl(f.in, F_SETPIPE_SZ, MIB);
    pattern_write(f.in, 0, 600 * 1024);
    await(stat_of(f.spool).error == -ENOSPC);
    assert_true(stat_of(f.spool).bytes < 600 * 1024);
    s = reader(&f);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(f.in);
    assert_int_equal(assert_pattern_to_end(s, 0, 0), 600 * 1024);
    assert_int_equal(stat_of(f.spool).error, 0);
    shut(s);
    close(fd);
    spool_release(f.spool, false);
    await(umount(k->dir) == 0);
}

/* What the disk did not take is still in the pipe when the daemon goes. */
static void a_daemon_that_goes_takes_no_byte_with_it(void **state)
{
    struct kit *k = *state;
    struct fixture f;
    struct spool_stat st;
    int ends[2], rest;
    cleanup_free char *got = malloc(4 * MIB);
    size_t left = 0;
    ssize_t n;

    fill_the_disk(k);
    open_file(&f, k, SPOOL_LIMIT);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, MIB);
    nonblocking(ends[0]);
    rest = dup(ends[0]);
    spool_drain(f.spool, ends[0], NULL, NULL);
    pattern_write(ends[1], 0, MIB + MIB / 2);
    await(stat_of(f.spool).error == -ENOSPC);
    st = stat_of(f.spool);
    spool_release(f.spool, false);
    close(ends[1]);
    while ((n = read(rest, got + left, 4 * MIB - left)) > 0)
        left += (size_t)n;
    assert_int_equal(st.bytes + left, MIB + MIB / 2);
    assert_pattern(got, st.bytes, left);
    close(rest);
    await(umount(k->dir) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_was_written_is_read_to_its_end),
        kit_test(a_silent_process_makes_no_file),
        kit_test(readers_follow_live),
        kit_test(a_parked_read_can_be_taken_back_once),
        kit_test(poll_tells_of_bytes_and_of_the_end),
        kit_test(only_the_newest_are_kept_when_nobody_reads),
        kit_test(what_was_read_is_not_counted_as_dropped),
        kit_test(a_reader_gets_all_of_what_exceeds_the_limit),
        kit_test(many_readers_never_see_a_hole),
        kit_test(a_restart_goes_on_behind_what_is_kept),
        kit_test(an_end_that_broke_is_no_end_of_file),
        kit_test(letting_go_wakes_who_waits),
        kit_test(a_terminal_is_drained_to_its_hangup),
        kit_test(what_cannot_be_watched_breaks),
        kit_test(a_full_disk_slows_the_process_and_loses_nothing),
        kit_test(a_daemon_that_goes_takes_no_byte_with_it),
    };

    /* Before any thread is started; mounts stay in here. */
    if (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0)
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
