/*
 * fuzz_wire.c - the header of a bus message, and the frames of a lane: what decodes encodes to the
 * same bytes, and no frame reaches beyond what was received.
 */
#include "net/bus.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_frames(const uint8_t *p, size_t n)
{
    uint8_t again[WIRE_FRAME_HEAD];
    struct wire_header h;
    size_t size;

    while (wire_frame_decode(p, n, &h, &size) > 0) {
        if (size > n || size < WIRE_FRAME_HEAD || size - WIRE_FRAME_HEAD > BUS_BODY_MAX)
            abort();
        wire_frame_encode(&h, size - WIRE_FRAME_HEAD, again);
        if (memcmp(again, p, sizeof again) != 0)
            abort();
        p += size;
        n -= size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct wire_header h;
    uint8_t again[WIRE_HEADER];

    check_frames(data, n);
    if (wire_decode(data, n, &h) < 0)
        return 0;
    wire_encode(&h, again);
    if (n != sizeof again || memcmp(again, data, n) != 0)
        abort();
    return 0;
}
