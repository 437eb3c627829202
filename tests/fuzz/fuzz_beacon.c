/*
 * fuzz_beacon.c - the datagram of a beacon: what decodes encodes to the same bytes but for the MAC,
 * and none is ours that we did not sign.
 */
#include "net/beacon.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct identity me = { .cluster_key = "the key of no cluster" };
    struct peer_info p;
    uint8_t again[BEACON_MAX];
    bool ours;

    if (beacon_decode(&me, data, n, &p, &ours) < 0)
        return 0;
    if (beacon_encode(&me, &p, again) != (int)n || memcmp(again, data, n - 32) != 0)
        abort();
    if (ours != (memcmp(again + n - 32, data + n - 32, 32) == 0))
        abort();
    return 0;
}
