/*
 * beacon_private.h - the parts of beacons: the sockets, multicast (beacon_udp.c) and unicast
 * (beacon_join.c), which know nothing of what they carry; the interfaces' changes (beacon_watch.c);
 * and the beacons found good last (beacon_kept.c).
 */
#ifndef ONEOS_NET_BEACON_PRIVATE_H
#define ONEOS_NET_BEACON_PRIVATE_H

#include "net/beacon.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { V4, V6, FAMILIES };

/* A socket on the group's port that other processes may share; -errno. */
int beacon_udp_open(int family, uint16_t port);

/* Joins or leaves the group on an interface. -EADDRINUSE: joined already. */
int beacon_udp_member(int fd, int family, bool join, unsigned index);

/* Sends to the group by an interface, from that address of it (the kernel would choose 0.0.0.0 on
 * lo). Errors are not told: an interface without a route, or just gone, is no news, and the next
 * beacon comes in a second. */
void beacon_udp_send(int fd, int family, unsigned index, uint16_t port,
                     const struct sockaddr_storage *source, void *data, size_t n);

/* Takes one datagram. *index: the interface that it came in by, 0 when it was not sent to the
 * group. */
ssize_t beacon_udp_receive(int fd, void *data, size_t n, struct sockaddr_storage *from,
                           unsigned *index);

/* The numeric address, with the interface when it is link-local; its name, NULL: it is looked up.
 */
void beacon_udp_print(const struct sockaddr_storage *from, const char *name, char out[64]);

/* Whether interfaces or addresses of this machine have changed since the last call. With the error
 * of opening for a descriptor, it is always so. */
int beacon_watch_open(void);
bool beacon_watch_changed(int fd);

/* beacon_decode() that does not compute the MAC of a datagram found good before and kept. All zero
 * is the empty state. */
#define BEACONS_KEPT 64
struct beacon_kept {
    struct beacon_kept_one {
        size_t n; /* 0: free */
        unsigned key_serial;
        uint8_t data[192]; /* enough for the longest id */
        struct peer_info info;
    } v[BEACONS_KEPT];
};
int beacon_decode_kept(struct beacon_kept *k, const struct identity *me, const uint8_t *data,
                       size_t n, struct peer_info *out, bool *ours);

/* beacon_join.c: the unicast sockets. fill writes a beacon (at most BEACON_MAX bytes) and returns
 * its length; heard tells whether the datagram was one worth an answer. */
struct beacon_unicast;
struct beacon_unicast_ops {
    int (*fill)(void *arg, uint8_t *buf);
    bool (*heard)(void *arg, const struct sockaddr_storage *from, const uint8_t *data, size_t n);
};
int beacon_unicast_create(struct beacon_unicast **out, struct loop *core, const char *listen,
                          uint16_t port, const struct beacon_unicast_ops *ops, void *arg);
int beacon_unicast_join(struct beacon_unicast *u, const char *list, struct oerr *e);
void beacon_unicast_destroy(struct beacon_unicast *u);

#endif
