/*
 * test_link_many.c - many channels at once between two daemons' links, and many into one flow.
 */
#include "tests/unit/link_kit.h"

#include <stdio.h>
#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_thousand_channels_at_once),
        T(small_records_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
