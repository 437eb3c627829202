/*
 * link_kit.h - two daemons' links for each test, A and B, and channels that A opens and B serves.
 */
#ifndef ONEOS_TESTS_LINK_KIT_H
#define ONEOS_TESTS_LINK_KIT_H

#include "tests/unit/link_pair.h"
#include "base/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct node a, b;

static inline int start(void **state)
{
    (void)state;
    node_start(&a, "A");
    node_start(&b, "B");
    node_knows(&a, &b, 1);
    node_knows(&b, &a, 1);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    node_stop(&a);
    node_stop(&b);
    return blk_live() == 0 ? 0 : -1;
}

static inline void shut(struct stream *s, int how)
{
    s->ops->close(s, how);
}

static inline struct stream *open_to_b(const char *spec)
{
    struct stream *s = NULL;

    assert_int_equal(link_open(a.links, "B", spec, &s), 0);
    return s;
}

static inline struct chan *offered(void)
{
    struct chan *c = node_opened(&b, NULL, 0);

    assert_non_null(c);
    return c;
}

/* A flow of which one end serves a channel and the other is the test's. Here the peer writes, and
 * we read. */
static inline struct stream *serve_reader(struct chan *c, size_t capacity)
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

/* Here the peer reads, and we write. */
static inline struct stream *serve_writer(struct chan *c, struct flow **flow)
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

static inline void assert_reads(struct stream *s, const char *text)
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

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

#endif
