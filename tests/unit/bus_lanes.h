/*
 * bus_lanes.h - A and B with lanes between them, for the tests of lanes.
 */
#ifndef ONEOS_TESTS_UNIT_BUS_LANES_H
#define ONEOS_TESTS_UNIT_BUS_LANES_H

#include "net/bus_private.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "tests/unit/bus_nodes.h"

#include <poll.h>
#include <sys/socket.h>

/* The lane by which the node asks that peer; NULL: none is up. */
static inline struct lane *lane_to(const struct node *n, const char *peer)
{
    struct remote *r = remote_find(n->bus, peer);

    return r && r->lane && r->lane->at == LANE_UP ? r->lane : NULL;
}

static inline void connect_both(void)
{
    trust(&a, &b);
    trust(&b, &a);
    SOON(lane_to(&a, "B") && lane_to(&b, "A"));
}

/* A connection to B's port for lanes. */
static inline int dial(void)
{
    struct pollfd p = { .events = POLLOUT };

    assert_int_equal(tcp_dial("127.0.0.1", b.bus->lane_port, &p.fd), 0);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(tcp_connected(p.fd), 0);
    return p.fd;
}

/* For tls_create(): every key is welcome. */
static inline bool anyone(void *arg, const char *fingerprint)
{
    (void)arg, (void)fingerprint;
    return true;
}

#endif
