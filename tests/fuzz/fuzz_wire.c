/*
 * fuzz_wire.c - the header of a bus message: what decodes encodes to the same bytes.
 */
#include "net/bus.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct wire_header h;
    uint8_t again[WIRE_HEADER];

    if (wire_decode(data, n, &h) < 0)
        return 0;
    wire_encode(&h, again);
    if (n != sizeof again || memcmp(again, data, n) != 0)
        abort();
    return 0;
}
