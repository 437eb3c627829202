/*
 * beacon_watch.c - whether the machine's interfaces or their addresses have changed.
 *
 * The kernel tells each change on a netlink socket. What it tells is not read: that it told
 * anything is reason enough to look at the interfaces again, and looking costs much more than
 * asking here.
 */
#include "net/beacon_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#define READ_BUDGET 64

int beacon_watch_open(void)
{
    struct sockaddr_nl at = { .nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
    cleanup_close int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    int least = 0; /* a full buffer is told too, as ENOBUFS */

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    return take_fd(&fd);
}

bool beacon_watch_changed(int fd)
{
    bool changed = fd < 0;
    char start;

    for (int budget = READ_BUDGET; fd >= 0 && budget > 0; budget--) {
        if (recv(fd, &start, sizeof start, MSG_DONTWAIT) < 0 && errno == EAGAIN)
            break;
        changed = true;
    }
    return changed;
}
