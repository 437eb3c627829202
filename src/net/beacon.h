/*
 * beacon.h - small UDP datagrams that say where a daemon's bus is.
 *
 * Sent to a multicast group on every interface that is up (IPv4 239.79.83.1, IPv6 ff02::4f53,
 * UDP port 7946 unless set otherwise), loopback included, so that several runtimes on one machine
 * find each other too; several sockets share the port. At start at 0, 100, 300 and 700 ms, then
 * once a second; before each the interfaces are looked at again if they have changed. Nothing in a
 * beacon is trusted unless its MAC holds.
 */
#ifndef ONEOS_NET_BEACON_H
#define ONEOS_NET_BEACON_H

#include "base/loop.h"
#include "net/identity.h"

#define BEACON_PORT 7946

/* Where and who a daemon is: what a beacon carries, and what members tell each other of others. */
struct peer_info {
    char id[ID_MAX];
    char cluster[17]; /* identity.cluster_name */
    uint64_t incarnation;
    char curve_public[KEY_Z85];
    char fingerprint[FINGERPRINT];
    char address[64]; /* numeric; a received beacon's is the datagram's sender */
    uint16_t req_port, pub_port, link_port;
};

struct beacon;

struct beacon_ops {
    /* A beacon came. ours: it carries a good MAC of our cluster key. Called on the loop, at most
     * 64 times a second for foreign ones (the rest are dropped). Own beacons are not reported. */
    void (*seen)(void *arg, const struct peer_info *from, bool ours);

    /* A beacon of ours has our own id, but another incarnation. May be NULL. */
    void (*twin)(void *arg, const struct peer_info *from);

    /* Is this one of ours not reached, so that another address is worth a try? NULL: never. */
    bool (*silent)(void *arg, const char *id);
};

/* listen: NULL for all interfaces, else only the interface that has this address. */
int beacon_create(struct beacon **out, struct loop *core, const struct identity *me,
                  const struct peer_info *self, const char *listen, uint16_t port,
                  const struct beacon_ops *ops, void *arg, struct oerr *e);
void beacon_destroy(struct beacon *b);
void beacon_now(struct beacon *b); /* send once at once, e.g. when a new neighbour was heard */

/* Beacons to and from where multicast does not reach: answers those that come to UDP `port` of
 * this machine, and sends to the hosts of join ("HOST[:PORT],...", NULL: none) once a second. */
int beacon_unicast(struct beacon *b, struct loop *core, uint16_t port, const char *join,
                   struct oerr *e);

/* This machine's first address that is not the loopback's, else that; numeric. */
void beacon_own_address(char *out, size_t size);

/* The datagram: encode returns its length or -errno; decode checks every field and the length
 * exactly and answers -EPROTO, or -EPROTONOSUPPORT for another version. *ours tells whether the MAC
 * holds. */
#define BEACON_MAX 512
int beacon_encode(const struct identity *me, const struct peer_info *self, uint8_t buf[BEACON_MAX]);
int beacon_decode(const struct identity *me, const uint8_t *buf, size_t n, struct peer_info *out,
                  bool *ours);

#endif
