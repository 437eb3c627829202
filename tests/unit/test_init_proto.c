/*
 * test_init_proto.c - the messages between oneos-init and its client: the bytes, and bad ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "init/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The form of version 2. A change here breaks the upgrade of a running system. */
static void test_golden(void **state)
{
    static const uint8_t hello[] = { 0x31, 0x4f, 0x49, 0x31, 2, 1, 0, 0, 20, 0,
                                     0,    0,    7,    0,    0, 0, 1, 0, 3,  0 };
    static const uint8_t ended[] = {
        0x31, 0x4f, 0x49, 0x31, 2, 8, 0, 0, 54, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, /* number */
        0xff, 0xff, 0xff, 0xff, 9, 0, 0, 0, 1,                                    /* exit... */
        1,    2,    0,    0,    0, 0, 0, 0, 3,  0, 0, 0, 0, 0, 0, 0, 4,  0, 0, 0,
        0,    0,    0,    0,    1, /* lease */
    };
    static const uint8_t lease[] = { 0x31, 0x4f, 0x49, 0x31, 2, 16, 0, 0, 24, 0, 0, 0,
                                     0,    0,    0,    0,    5, 1,  0, 0, 0,  0, 0, 0 };
    static const uint8_t refused[] = { 0x31, 0x4f, 0x49, 0x31, 2, 3, 0, 0, 28, 0, 0, 0, 0,   0,
                                       0,    0,    1,    0,    2, 0, 5, 0, 0,  0, 2, 0, 'n', 'o' };
    const struct {
        struct imsg m;
        const uint8_t *bytes;
        size_t n;
    } cases[] = {
        { { IM_HELLO, .id = 7, .version_min = 1, .version_max = 3 }, hello, sizeof hello },
        { { IM_ENDED, .number = 42, .exit = -1, .signal = 9, .oom = 1, .ended_us = 513, .cpu_us = 3,
            .memory_peak = 4, .lease = 1 },
          ended,
          sizeof ended },
        { { IM_REFUSED, .version_min = 1, .version_max = 2, .pid = 5, .text = "no" },
          refused,
          sizeof refused },
        { { IM_LEASE, .until_ms = 261 }, lease, sizeof lease },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[IM_BYTES];
        struct imsg m;

        assert_int_equal(imsg_encode(&cases[i].m, bytes), cases[i].n);
        assert_memory_equal(bytes, cases[i].bytes, cases[i].n);
        assert_int_equal(imsg_decode(&m, bytes, cases[i].n), 0);
        assert_memory_equal(&m, &cases[i].m, sizeof m);
    }
}

/* An older one's message has no more than it has; what came later is 0. */
static void test_older(void **state)
{
    static const uint8_t ended[] = {
        0x31, 0x4f, 0x49, 0x31, 1, 8, 0, 0, 53, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, /* number */
        0xff, 0xff, 0xff, 0xff, 9, 0, 0, 0, 1,                                    /* exit... */
        1,    2,    0,    0,    0, 0, 0, 0, 3,  0, 0, 0, 0, 0, 0, 0, 4,  0, 0, 0, 0, 0, 0, 0,
    };
    uint8_t bytes[sizeof ended];
    struct imsg m;

    (void)state;
    assert_int_equal(imsg_decode(&m, ended, sizeof ended), 0);
    assert_int_equal(m.number, 42);
    assert_int_equal(m.memory_peak, 4);
    assert_int_equal(m.lease, 0);
    memcpy(bytes, ended, sizeof ended);
    bytes[4] = 2; /* then a byte is missing */
    assert_int_equal(imsg_decode(&m, bytes, sizeof bytes), -EPROTO);
    bytes[4] = 0;
    assert_int_equal(imsg_decode(&m, bytes, sizeof bytes), -EPROTO);
}

/* Every type comes back as it went, fits, and is refused when a byte is missing. */
static void test_each_type(void **state)
{
    (void)state;
    for (uint8_t type = 1; type <= IM_KILL; type++) {
        struct imsg full, m, back;
        uint8_t bytes[IM_BYTES + 8] = { 0 };
        size_t n;

        memset(&full, 'x', sizeof full);
        full.type = type;
        full.npids = IM_PIDS;
        full.text[sizeof full.text - 1] = '\0';
        n = imsg_encode(&full, bytes);
        assert_in_range(n, 16, IM_BYTES);
        assert_int_equal(imsg_decode(&m, bytes, n), 0);
        assert_int_equal(imsg_encode(&m, bytes), n);
        assert_int_equal(imsg_decode(&back, bytes, n), 0);
        assert_memory_equal(&m, &back, sizeof m);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1);

            memcpy(exact, bytes, cut);
            assert_int_equal(imsg_decode(&m, exact, cut), -EPROTO);
            if (cut >= 16) { /* also when it says that this is its length */
                exact[8] = (uint8_t)cut;
                exact[9] = (uint8_t)(cut >> 8);
                assert_int_equal(imsg_decode(&m, exact, cut), -EPROTO);
            }
            free(exact);
        }
        /* A later version's tail is left alone. */
        n = imsg_encode(&full, bytes);
        bytes[8] = (uint8_t)(n + 4);
        bytes[9] = (uint8_t)((n + 4) >> 8);
        assert_int_equal(imsg_decode(&m, bytes, n + 4), 0);
    }
}

static void test_unknown(void **state)
{
    uint8_t bytes[IM_BYTES];
    struct imsg m = { IM_READY, .id = 9 };
    size_t n = imsg_encode(&m, bytes);

    (void)state;
    bytes[5] = IM_KILL + 1;
    assert_int_equal(imsg_decode(&m, bytes, n), -EOPNOTSUPP);
    assert_int_equal(m.id, 9);
    bytes[5] = 0;
    assert_int_equal(imsg_decode(&m, bytes, n), -EOPNOTSUPP);
    bytes[5] = IM_READY;
    bytes[0] ^= 1;
    assert_int_equal(imsg_decode(&m, bytes, n), -EPROTO);
    m = (struct imsg){ IM_STARTED, .npids = IM_PIDS + 1 };
    n = imsg_encode(&m, bytes);
    assert_int_equal(imsg_decode(&m, bytes, n), -EPROTO);
}

#define W(text) ((char[]){ text })
static char *first[] = { W("ls"), W("-l"), W(""), NULL }, *second[] = { W("wc"), NULL };
static char **stages[] = { first, second };
static char *environment[] = { W("A=b"), W("C="), NULL };
static const struct ispec spec = { .number = 5,
                                   .pty = 1,
                                   .rows = 24,
                                   .cols = 80,
                                   .nice = -7,
                                   .cwd = "/tmp",
                                   .user = "bob",
                                   .env = environment,
                                   .nstages = 2,
                                   .argv = stages };

static char *own[] = { W("C=d"), NULL };
static struct istage of_stages[] = { { .in = "in", .err = "e", .err_append = true },
                                     { .out = "", .append = true, .env = own } };

/* With what version 2 adds. */
static struct ispec more(void)
{
    struct ispec s = spec;

    s.more = s.leased = true;
    s.memory = 0x123456789a;
    s.cpu_milli = 1500;
    s.stages = of_stages;
    return s;
}

/* Cut anywhere, or with one byte too many, it is refused with words, but where `whole` ends it. */
static void cut_anywhere(const struct obuf *b, size_t whole)
{
    struct ispec s;
    struct oerr e;

    for (size_t cut = 0; cut <= b->len + 1; cut++) {
        char *exact;

        if (cut == b->len || cut == whole)
            continue;
        exact = calloc(1, cut + 1);
        memcpy(exact, b->p, cut < b->len ? cut : b->len);
        e.text[0] = '\0';
        assert_true(ispec_decode(&s, exact, cut, &e) < 0);
        assert_true(e.text[0] != '\0');
        ispec_free(&s);
        free(exact);
    }
}

static void test_spec_more(void **state)
{
    const struct ispec full = more();
    struct obuf b = { 0 }, v1 = { 0 };
    struct ispec s;
    struct oerr e;

    (void)state;
    ispec_encode(&b, &full);
    assert_int_equal(ispec_decode(&s, b.p, b.len, &e), 0);
    assert_true(s.more && s.leased && !s.reap_all);
    assert_true(s.memory == 0x123456789a);
    assert_int_equal(s.cpu_milli, 1500);
    assert_string_equal(s.stages[0].in, "in");
    assert_null(s.stages[0].out);
    assert_string_equal(s.stages[0].err, "e");
    assert_true(!s.stages[0].append && s.stages[0].err_append);
    assert_null(s.stages[0].env[0]);
    assert_string_equal(s.stages[1].out, "");
    assert_true(s.stages[1].append);
    assert_string_equal(s.stages[1].env[0], "C=d");
    assert_string_equal(s.argv[1][0], "wc");
    ispec_free(&s);
    ispec_encode(&v1, &spec);
    assert_memory_equal(v1.p, b.p, v1.len); /* version 1's is the beginning of it */
    cut_anywhere(&b, v1.len);
    obuf_free(&v1);
    obuf_free(&b);
}

static void test_spec(void **state)
{
    struct obuf b = { 0 };
    struct ispec s;
    struct oerr e;

    (void)state;
    ispec_encode(&b, &spec);
    assert_int_equal(ispec_decode(&s, b.p, b.len, &e), 0);
    assert_int_equal(s.number, 5);
    assert_int_equal(s.nice, -7);
    assert_int_equal(s.cols, 80);
    assert_string_equal(s.cwd, "/tmp");
    assert_string_equal(s.user, "bob");
    assert_string_equal(s.env[1], "C=");
    assert_null(s.env[2]);
    assert_int_equal(s.nstages, 2);
    assert_string_equal(s.argv[0][2], "");
    assert_null(s.argv[0][3]);
    assert_string_equal(s.argv[1][0], "wc");
    assert_null(s.argv[1][1]);
    ispec_free(&s);
    cut_anywhere(&b, b.len);
    obuf_free(&b);
}

/* Each 32-bit word of a request replaced by bad ones: lengths and counts of all sizes. */
static void test_bad_spec(void **state)
{
    static const uint32_t bad[] = { 0, 1, 2, 3, 255, 256, 257, 65535, 0x7fffffff, 0xffffffff };
    struct obuf b = { 0 };
    const struct ispec full = more();
    unsigned refused = 0;

    (void)state;
    ispec_encode(&b, &full);
    for (size_t at = 0; at + 4 <= b.len; at++)
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
            char *copy = malloc(b.len);
            struct ispec s;

            memcpy(copy, b.p, b.len);
            memcpy(copy + at, &bad[i], 4);
            refused += ispec_decode(&s, copy, b.len, NULL) < 0;
            ispec_free(&s);
            free(copy);
        }
    assert_true(refused > 500);
    obuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_each_type),
        cmocka_unit_test(test_unknown),   cmocka_unit_test(test_spec),
        cmocka_unit_test(test_bad_spec),  cmocka_unit_test(test_older),
        cmocka_unit_test(test_spec_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
