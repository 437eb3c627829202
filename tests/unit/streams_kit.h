/*
 * streams_kit.h - flows and their ends, for the tests of what puts streams together.
 */
#ifndef ONEOS_TESTS_UNIT_STREAMS_KIT_H
#define ONEOS_TESTS_UNIT_STREAMS_KIT_H

#include "base/flow.h"

#include "runkit.h"

#define MIB (1024 * 1024)

static inline struct flow *new_flow(size_t capacity)
{
    struct flow *f;

    assert_int_equal(flow_create(&f, capacity, FLOW_STREAM), 0);
    return f;
}

static inline struct stream *reader(struct flow *f)
{
    struct stream *s;

    assert_int_equal(flow_open_reader(f, &s), 0);
    return s;
}

static inline struct stream *writer(struct flow *f)
{
    struct stream *s;

    assert_int_equal(flow_open_writer(f, false, &s), 0);
    return s;
}

static inline void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

/* Writes a text; waits for it. */
static inline ssize_t rwrite(struct stream *s, const void *data, size_t n)
{
    struct rreq r;
    ssize_t rc;

    rreq_init(&r, 0);
    assert_int_equal(slices_copy(&r.io.bytes, data, n), 0);
    s->ops->write(s, &r.io);
    rc = rreq_wait(&r);
    slices_free(&r.io.bytes);
    return rc;
}

static inline size_t ends_of(struct flow *f)
{
    struct flow_stat st;

    flow_stat(f, &st);
    return st.readers + st.writers;
}

#endif
