/*
 * test_units.c - sizes and times as people write them, read and written.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef int parse_fn(const char *text, uint64_t *out, struct oerr *e);

static const struct good {
    parse_fn *parse;
    const char *text;
    uint64_t value;
} good[] = {
    { units_size, "0", 0 },
    { units_size, "1024", 1024 },
    { units_size, " 512MiB ", 512ULL << 20 },
    { units_size, "8 GiB", 8ULL << 30 },
    { units_size, "1.5GiB", 3ULL << 29 },
    { units_size, "64K", 65536 },
    { units_size, "7B", 7 },
    { units_size, "0.5", 0 },
    { units_size, "15EiB", 15ULL << 60 },
    { units_size, "18446744073709551615", UINT64_MAX },
    { units_number, "0", 0 },
    { units_number, " 2 ", 2000 },
    { units_number, "0.5", 500 },
    { units_number, "1.2349", 1234 },
    { units_number, "18446744073709551.615", UINT64_MAX },
    { units_time, "0", 0 },
    { units_time, "5", 5000000 },
    { units_time, "2h 30min", 9000000000 },
    { units_time, "2h30min", 9000000000 },
    { units_time, "1.5s", 1500000 },
    { units_time, "250ms", 250000 },
    { units_time, "3us", 3 },
    { units_time, "3\302\265s", 3 },
    { units_time, "1d 1 hour 1m 1sec", 90061000000 },
    { units_time, "1M", 2629800000000 },
    { units_time, "1w", 604800000000 },
    { units_time, "infinity", UNITS_FOREVER },
};

static const struct bad {
    parse_fn *parse;
    const char *text, *words;
} bad[] = {
    { units_size, "", "not a size" },
    { units_size, "-1", "not a size" },
    { units_size, "MiB", "not a size" },
    { units_size, "1.MiB", "not a size" },
    { units_size, "512MB", "write MiB" },
    { units_size, "512kB", "write KiB" },
    { units_size, "5 parsecs", "no unit that is known" },
    { units_size, "5MiB 3KiB", "no unit that is known" },
    { units_size, "16EiB", "too large" },
    { units_size, "18446744073709551616", "too large" },
    { units_size, "99999999999999999999999", "too large" },
    { units_number, "", "not a number" },
    { units_number, "-1", "not a number" },
    { units_number, ".5", "not a number" },
    { units_number, "1e3", "not a number" },
    { units_number, "2 3", "not a number" },
    { units_number, "4K", "not a number" },
    { units_number, "18446744073709551.616", "too large" },
    { units_number, "18446744073709551616", "too large" },
    { units_time, "", "not a time" },
    { units_time, "soon", "not a time" },
    { units_time, "2h -1min", "not a time" },
    { units_time, "5 fortnights", "unknown unit 'fortnights'" },
    { units_time, "600000y", "too long" },
    { units_time, "18446744073709551615us", "too long" },
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct oerr e = { "" };
        uint64_t v = 77;

        if (good[i].parse(good[i].text, &v, &e) != 0 || v != good[i].value)
            fail_msg("'%s' gave %llu: %s", good[i].text, (unsigned long long)v, e.text);
    }
}

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct oerr e = { "" };
        uint64_t v = 77;

        if (bad[i].parse(bad[i].text, &v, &e) != -EINVAL || !strstr(e.text, bad[i].words))
            fail_msg("'%s' gave %llu: %s", bad[i].text, (unsigned long long)v, e.text);
        assert_int_equal(v, 77);
    }
}

static void writes(void **state)
{
    static const struct {
        void (*put)(struct obuf *b, uint64_t v);
        uint64_t v;
        const char *text;
    } shown[] = {
        { units_put_size, 0, "0B" },
        { units_put_size, 1023, "1023B" },
        { units_put_size, 1024, "1KiB" },
        { units_put_size, 1536, "1.5KiB" },
        { units_put_size, 512 << 20, "512MiB" },
        { units_put_size, UINT64_MAX, "15EiB" },
        { units_put_time, 0, "0us" },
        { units_put_time, 1500, "1ms" },
        { units_put_time, 59999999, "59s" },
        { units_put_time, 61000000, "1min 1s" },
        { units_put_time, 9000000000, "2h 30min" },
        { units_put_time, 86400000000, "1d" },
        { units_put_time, UNITS_FOREVER, "infinity" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        struct obuf b = { 0 };
        uint64_t v;

        shown[i].put(&b, shown[i].v);
        assert_string_equal(b.p, shown[i].text);
        assert_int_equal((shown[i].put == units_put_size ? units_size : units_time)(b.p, &v, NULL),
                         0);
        obuf_free(&b);
    }
}

static void writes_exactly(void **state)
{
    static const struct {
        void (*put)(struct obuf *b, uint64_t v);
        uint64_t v;
        const char *text;
    } shown[] = {
        { units_put_size_exact, 0, "0B" },
        { units_put_size_exact, 1, "1B" },
        { units_put_size_exact, 1023, "1023B" },
        { units_put_size_exact, 1024, "1KiB" },
        { units_put_size_exact, 1025, "1025B" },
        { units_put_size_exact, 3ULL << 29, "1536MiB" },
        { units_put_size_exact, 15ULL << 60, "15EiB" },
        { units_put_size_exact, UINT64_MAX, "18446744073709551615B" },
        { units_put_time_exact, 0, "0us" },
        { units_put_time_exact, 1500, "1ms 500us" },
        { units_put_time_exact, 9000000000, "2h 30min" },
        { units_put_time_exact, 90061001001, "1d 1h 1min 1s 1ms 1us" },
        { units_put_time_exact, UINT64_MAX - 1, "213503982d 8h 1min 49s 551ms 614us" },
        { units_put_time_exact, UNITS_FOREVER, "infinity" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        struct obuf b = { 0 };
        parse_fn *parse = shown[i].put == units_put_size_exact ? units_size : units_time;
        uint64_t v;

        shown[i].put(&b, shown[i].v);
        assert_int_equal(parse(b.p, &v, NULL), 0);
        assert_int_equal(v, shown[i].v);
        assert_string_equal(b.p, shown[i].text);
        obuf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(writes),
        cmocka_unit_test(writes_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
