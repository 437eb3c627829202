/*
 * flowkit.h - what the tests of blocks and flows share: requests that note their answer.
 */
#ifndef ONEOS_TESTS_FLOWKIT_H
#define ONEOS_TESTS_FLOWKIT_H

#include "base/cleanup.h"
#include "base/flow.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PENDING ((ssize_t)-100000) /* not answered yet */

struct req {
    struct ioreq io;
    ssize_t rc;
    unsigned answers;
};

static inline void req_done(struct ioreq *io, ssize_t rc)
{
    struct req *r = container_of(io, struct req, io);

    r->rc = rc;
    r->answers++;
}

static inline void req_init(struct req *r, bool nonblock)
{
    *r = (struct req){ .io = { .done = req_done, .nonblock = nonblock }, .rc = PENDING };
}

/* Starts a write of n bytes; returns the answer so far. */
static inline ssize_t put_n(struct req *r, struct stream *w, const void *data, size_t n)
{
    req_init(r, false);
    assert_int_equal(slices_copy(&r->io.bytes, data, n), 0);
    w->ops->write(w, &r->io);
    return r->rc;
}

static inline ssize_t put(struct req *r, struct stream *w, const char *text)
{
    return put_n(r, w, text, strlen(text));
}

/* Writes without waiting; nothing of it is kept. */
static inline ssize_t try_put_n(struct stream *w, const void *data, size_t n)
{
    struct req r;

    req_init(&r, true);
    assert_int_equal(slices_copy(&r.io.bytes, data, n), 0);
    w->ops->write(w, &r.io);
    assert_int_equal(r.answers, 1);
    slices_free(&r.io.bytes);
    return r.rc;
}

static inline ssize_t try_put(struct stream *w, const char *text)
{
    return try_put_n(w, text, strlen(text));
}

/* Starts a read of at most n bytes; returns the answer so far. */
static inline ssize_t get(struct req *r, struct stream *s, size_t n)
{
    req_init(r, false);
    r->io.size = n;
    s->ops->read(s, &r->io);
    return r->rc;
}

/* The bytes that a read got, which are freed, are this text. */
static inline void assert_got(struct req *r, const char *text)
{
    cleanup_free char *got = calloc(1, r->io.bytes.len + 1);

    assert_non_null(got);
    slices_read(&r->io.bytes, got);
    assert_string_equal(got, text);
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->rc, strlen(text));
    slices_free(&r->io.bytes);
}

/* Reads without waiting, into `to`. */
static inline ssize_t try_get(struct stream *s, void *to, size_t n)
{
    struct req r;

    req_init(&r, true);
    r.io.size = n;
    s->ops->read(s, &r.io);
    assert_int_equal(r.answers, 1);
    assert_int_equal(r.io.bytes.len, r.rc > 0 ? r.rc : 0);
    slices_read(&r.io.bytes, to);
    slices_free(&r.io.bytes);
    return r.rc;
}

/* A read answers this text now, or this errno or 0. */
static inline void assert_read(struct stream *s, const char *text)
{
    char got[256] = "";

    assert_int_equal(try_get(s, got, sizeof got - 1), strlen(text));
    assert_string_equal(got, text);
}

static inline void assert_read_rc(struct stream *s, ssize_t rc)
{
    char c;

    assert_int_equal(try_get(s, &c, 1), rc);
}

static inline struct flow *new_flow(size_t capacity, enum flow_mode mode)
{
    struct flow *f = NULL;

    assert_int_equal(flow_create(&f, capacity, mode), 0);
    return f;
}

static inline struct stream *reader(struct flow *f)
{
    struct stream *s = NULL;

    assert_int_equal(flow_open_reader(f, &s), 0);
    return s;
}

static inline struct stream *writer(struct flow *f)
{
    struct stream *s = NULL;

    assert_int_equal(flow_open_writer(f, false, &s), 0);
    return s;
}

static inline struct stream *quiet_writer(struct flow *f)
{
    struct stream *s = NULL;

    assert_int_equal(flow_open_writer(f, true, &s), 0);
    return s;
}

static inline void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static inline void shatter(struct stream *s)
{
    s->ops->close(s, -EIO);
}

static inline struct flow_stat stat_of(struct flow *f)
{
    struct flow_stat st;

    flow_stat(f, &st);
    return st;
}

/* Teardown of every test: no block is left. */
static inline int no_block_left(void **state)
{
    (void)state;
    if (blk_live() == 0)
        return 0;
    fprintf(stderr, "%zu blocks leak\n", blk_live());
    return -1;
}

#define flow_test(f) cmocka_unit_test_teardown(f, no_block_left)

#endif
