/*
 * beacon_kept.c - the beacons found good last, so that the same bytes are not checked again.
 *
 * A daemon's beacon is the same datagram for as long as it runs, and comes by every interface every
 * second. Equal bytes have an equal MAC, so they are ours as long as our cluster key is the same; a
 * beacon carries no time, and its repetition by anybody is good with the MAC too.
 */
#include "net/beacon_private.h"

#include <openssl/crypto.h>
#include <string.h>

/* The place is chosen by the end of the MAC, which nobody without the key can choose. */
static struct beacon_kept_one *place(struct beacon_kept *k, const uint8_t *data, size_t n)
{
    return &k->v[data[n - 1] % BEACONS_KEPT];
}

int beacon_decode_kept(struct beacon_kept *k, const struct identity *me, const uint8_t *data,
                       size_t n, struct peer_info *out, bool *ours)
{
    struct beacon_kept_one *one;
    int rc;

    if (n == 0 || n > sizeof one->data)
        return beacon_decode(me, data, n, out, ours);
    one = place(k, data, n);
    if (one->n == n && one->key_serial == me->key_serial &&
        CRYPTO_memcmp(one->data, data, n) == 0) {
        *out = one->info;
        *ours = true;
        return 0;
    }
    rc = beacon_decode(me, data, n, out, ours);
    if (rc == 0 && *ours) {
        *one = (struct beacon_kept_one){ .n = n, .key_serial = me->key_serial, .info = *out };
        memcpy(one->data, data, n);
    }
    return rc;
}
