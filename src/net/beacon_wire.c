/*
 * beacon_wire.c - the datagram of a beacon.
 *
 * "1OSb", version (1 byte), id (length byte and text), cluster name (8 bytes), incarnation (8),
 * CURVE key (32), fingerprint (32), request, publish and link port (2 each), MAC over all that
 * (32). Numbers are big-endian. The address is not in it: it is where the datagram came from.
 */
#include "net/beacon.h"
#include "base/cur.h"

#include <errno.h>
#include <stdio.h>

#define BEACON_VERSION 1
#define MAC_LABEL      "beacon"

static const uint8_t magic[] = { '1', 'O', 'S', 'b' };

/* n bytes from 2 n lower-case hexadecimal digits. */
static bool from_hex(const char *text, uint8_t *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 2 * n || strspn(text, digits) != 2 * n)
        return false;
    for (size_t at = 0; at < n; at++)
        out[at] = (uint8_t)((strchr(digits, text[2 * at]) - digits) << 4 |
                            (strchr(digits, text[2 * at + 1]) - digits));
    return true;
}

static void to_hex(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t at = 0; at < n; at++)
        sprintf(out + 2 * at, "%02x", bytes[at]);
}

int beacon_encode(const struct identity *me, const struct peer_info *self, uint8_t buf[BEACON_MAX])
{
    struct wcur c = { .p = buf, .end = buf + BEACON_MAX - 32 };
    uint8_t cluster[8], key[32], fingerprint[32];

    if (!from_hex(self->cluster, cluster, sizeof cluster) ||
        !from_hex(self->fingerprint, fingerprint, sizeof fingerprint) ||
        identity_key_decode(self->curve_public, key) < 0 || identity_check_id(self->id, NULL) < 0)
        return -EINVAL;
    wcur_bytes(&c, magic, sizeof magic);
    wcur_uint(&c, BEACON_VERSION, 1);
    wcur_text(&c, self->id);
    wcur_bytes(&c, cluster, sizeof cluster);
    wcur_uint(&c, self->incarnation, 8);
    wcur_bytes(&c, key, sizeof key);
    wcur_bytes(&c, fingerprint, sizeof fingerprint);
    wcur_uint(&c, self->req_port, 2);
    wcur_uint(&c, self->pub_port, 2);
    wcur_uint(&c, self->link_port, 2);
    if (c.bad)
        return -EINVAL;
    identity_mac(me, MAC_LABEL, buf, (size_t)(c.p - buf), c.p);
    return (int)(c.p + 32 - buf);
}

int beacon_decode(const struct identity *me, const uint8_t *buf, size_t n, struct peer_info *out,
                  bool *ours)
{
    struct rcur c = { .p = buf, .end = buf + n };
    uint8_t start[sizeof magic], cluster[8], key[32], fingerprint[32], mac[32];
    unsigned version;

    *ours = false;
    *out = (struct peer_info){ 0 };
    rcur_bytes(&c, start, sizeof start);
    version = (unsigned)rcur_uint(&c, 1);
    if (c.bad || n > BEACON_MAX || memcmp(start, magic, sizeof magic) != 0)
        return -EPROTO;
    if (version != BEACON_VERSION)
        return -EPROTONOSUPPORT;
    rcur_text(&c, out->id, sizeof out->id);
    rcur_bytes(&c, cluster, sizeof cluster);
    out->incarnation = rcur_uint(&c, 8);
    rcur_bytes(&c, key, sizeof key);
    rcur_bytes(&c, fingerprint, sizeof fingerprint);
    out->req_port = (uint16_t)rcur_uint(&c, 2);
    out->pub_port = (uint16_t)rcur_uint(&c, 2);
    out->link_port = (uint16_t)rcur_uint(&c, 2);
    rcur_bytes(&c, mac, sizeof mac);
    if (c.bad || c.p != c.end || identity_check_id(out->id, NULL) < 0 || !out->req_port ||
        !out->pub_port || !out->link_port)
        return -EPROTO;
    to_hex(cluster, sizeof cluster, out->cluster);
    to_hex(fingerprint, sizeof fingerprint, out->fingerprint);
    identity_key_encode(key, out->curve_public);
    *ours = identity_mac_ok(me, MAC_LABEL, buf, n - sizeof mac, mac);
    return 0;
}
