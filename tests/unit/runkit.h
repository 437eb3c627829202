/*
 * runkit.h - what the tests of streams on other threads share: a data loop on a thread of its own,
 * requests that can be waited for, and waiting for a condition with a deadline.
 */
#ifndef ONEOS_TESTS_UNIT_RUNKIT_H
#define ONEOS_TESTS_UNIT_RUNKIT_H

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tempdir.h"

#define DEADLINE_MS 60000

/* Waits until the condition holds; fails the test when it does not in time. */
#define await(condition)                                                                           \
    do {                                                                                           \
        uint64_t until_ = now_ms() + DEADLINE_MS;                                                  \
        while (!(condition)) {                                                                     \
            assert_true(now_ms() < until_);                                                        \
            nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);                              \
        }                                                                                          \
    } while (0)

struct kit {
    struct loop *loop;
    pthread_t thread;
    char dir[256];
};

static inline void *kit_run(void *arg)
{
    loop_run(arg);
    return NULL;
}

static inline int kit_setup(void **state)
{
    struct kit *k = calloc(1, sizeof *k);

    if (!k || loop_create(&k->loop) < 0 || pthread_create(&k->thread, NULL, kit_run, k->loop) != 0)
        return -1;
    tempdir_make(k->dir);
    *state = k;
    return 0;
}

struct kit_task {
    struct task task;
    _Atomic bool ran;
};

static inline void kit_task_run(struct task *t)
{
    container_of(t, struct kit_task, task)->ran = true;
}

/* What was posted to the data loop before has run. */
static inline void kit_sync(struct kit *k)
{
    struct kit_task t = { .task.run = kit_task_run };

    loop_post(k->loop, &t.task);
    await(t.ran);
}

/* Everything is freed, which LeakSanitizer checks, and no block is left. */
static inline int kit_teardown(void **state)
{
    struct kit *k = *state;

    loop_stop(k->loop);
    pthread_join(k->thread, NULL);
    loop_destroy(k->loop);
    tempdir_remove(k->dir);
    free(k);
    if (blk_live() > 0)
        fprintf(stderr, "%zu blocks leak\n", blk_live());
    return blk_live() > 0 ? -1 : 0;
}

#define kit_test(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

struct rreq {
    struct ioreq io;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    ssize_t rc;
    unsigned answers;
};

static inline void rreq_done(struct ioreq *io, ssize_t rc)
{
    struct rreq *r = container_of(io, struct rreq, io);

    pthread_mutex_lock(&r->lock);
    r->rc = rc;
    r->answers++;
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static inline void rreq_init(struct rreq *r, size_t size)
{
    *r = (struct rreq){ .io = { .done = rreq_done, .size = size },
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .cond = PTHREAD_COND_INITIALIZER };
}

static inline bool rreq_answered(struct rreq *r)
{
    bool answered;

    pthread_mutex_lock(&r->lock);
    answered = r->answers > 0;
    pthread_mutex_unlock(&r->lock);
    return answered;
}

static inline ssize_t rreq_wait(struct rreq *r)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&r->lock);
    while (!r->answers && rc == 0)
        rc = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    pthread_mutex_unlock(&r->lock);
    assert_int_equal(rc, 0);
    assert_int_equal(r->answers, 1);
    return r->rc;
}

/* Reads at most n bytes into `to`, waiting for them. */
static inline ssize_t rread(struct stream *s, void *to, size_t n)
{
    struct rreq r;
    ssize_t rc;

    rreq_init(&r, n);
    s->ops->read(s, &r.io);
    rc = rreq_wait(&r);
    assert_int_equal(r.io.bytes.len, rc > 0 ? rc : 0);
    if (rc > 0)
        slices_read(&r.io.bytes, to);
    slices_free(&r.io.bytes);
    return rc;
}

/* Reads this text, in whatever pieces. */
static inline void assert_text(struct stream *s, const char *text)
{
    char got[4096];
    ssize_t n;

    for (size_t at = 0; text[at]; at += (size_t)n) {
        n = rread(s, got, strlen(text + at));
        assert_true(n > 0);
        assert_memory_equal(got, text + at, n);
    }
}

static inline void assert_end(struct stream *s, ssize_t rc)
{
    char c;

    assert_int_equal(rread(s, &c, 1), rc);
}

/* The byte at an offset of a long stream: 4-byte numbers, so that a gap or zeros show. */
static inline unsigned char pattern(uint64_t at)
{
    uint32_t word = (uint32_t)(at / 4) * 2654435761u + 1;

    return (unsigned char)(word >> 8 * (at % 4));
}

static inline void pattern_fill(void *to, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)to)[i] = pattern(at + i);
}

/* Writes n bytes of the pattern from an offset on into a blocking descriptor. */
static inline void pattern_write(int fd, uint64_t at, size_t n)
{
    char part[16384];

    while (n > 0) {
        size_t size = n < sizeof part ? n : sizeof part, put = 0;

        pattern_fill(part, at, size);
        while (put < size) {
            ssize_t got = write(fd, part + put, size - put);

            assert_true(got > 0);
            put += (size_t)got;
        }
        at += size;
        n -= size;
    }
}

static inline void assert_pattern(const void *got, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)got)[i] != pattern(at + i))
            fail_msg("the byte at %lu is wrong", (unsigned long)(at + i));
}

/* Reads the pattern from an offset to the end, which answers rc. Returns the offset of the end. */
static inline uint64_t assert_pattern_to_end(struct stream *s, uint64_t at, ssize_t rc)
{
    cleanup_free char *got = malloc(1 << 20);
    ssize_t n;

    while ((n = rread(s, got, 1 << 20)) > 0) {
        assert_pattern(got, at, (size_t)n);
        at += (uint64_t)n;
    }
    assert_int_equal(n, rc);
    return at;
}

static inline void nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

#endif
