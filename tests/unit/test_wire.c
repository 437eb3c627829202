/*
 * test_wire.c - the header of bus messages: golden bytes, and every way to be wrong.
 */
#include "net/bus_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct wire_header header = { .version = 1,
                                           .flags = BUS_ERROR,
                                           .type = 0x0203,
                                           .request = 0x1122334455667788,
                                           .time = 0x99aabbccddeeff00 };
static const uint8_t golden[WIRE_HEADER] = { '1',  'O',  'S',  1,    2,    3,    1,    0,
                                             0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                             0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00 };

static void the_bytes_are_these(void **unused)
{
    uint8_t bytes[WIRE_HEADER];
    struct wire_header h;

    (void)unused;
    wire_encode(&header, bytes);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(wire_decode(golden, sizeof golden, &h), 0);
    assert_int_equal(h.version, 1);
    assert_int_equal(h.flags, BUS_ERROR);
    assert_int_equal(h.type, 0x0203);
    assert_true(h.request == header.request);
    assert_true(h.time == header.time);
}

static void every_other_length_is_refused(void **unused)
{
    uint8_t bytes[2 * WIRE_HEADER] = { 0 };
    struct wire_header h;

    (void)unused;
    memcpy(bytes, golden, sizeof golden);
    for (size_t n = 0; n <= sizeof bytes; n++)
        assert_int_equal(wire_decode(bytes, n, &h), n == WIRE_HEADER ? 0 : -EPROTO);
}

static void a_wrong_start_is_refused(void **unused)
{
    uint8_t bytes[WIRE_HEADER];
    struct wire_header h;

    (void)unused;
    for (size_t at = 0; at < 8; at++) {
        static const int want[8] = {
            -EPROTO, -EPROTO, -EPROTO, -EPROTONOSUPPORT, 0, 0, 0, -EPROTO
        };

        memcpy(bytes, golden, sizeof golden);
        bytes[at] ^= 0x40;
        assert_int_equal(wire_decode(bytes, sizeof bytes, &h), want[at]);
    }
}

/* A type without a row is refused by everybody who is asked. */
static void every_type_has_a_row(void **state)
{
    (void)state;
    for (unsigned type = 1; type < BUS_TYPES; type++) {
        const struct bus_type_row *row = bus_type_row(type);

        assert_non_null(row);
        assert_int_equal(row->published + row->asked + row->told, 1);
    }
    assert_null(bus_type_row(0));
    assert_null(bus_type_row(BUS_TYPES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_these),
        cmocka_unit_test(every_other_length_is_refused),
        cmocka_unit_test(a_wrong_start_is_refused),
        cmocka_unit_test(every_type_has_a_row),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
