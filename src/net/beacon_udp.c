/*
 * beacon_udp.c - the multicast sockets of beacons.
 *
 * Each is shared with the other runtimes of the machine by SO_REUSEADDR: the kernel gives every one
 * a copy of a multicast datagram. The IPv4 socket is bound to the group, so it gets nothing else.
 * That would need a scope with IPv6, so that one is bound to the port and looks at where a datagram
 * was sent.
 */
#include "net/beacon_private.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define GROUP4 "239.79.83.1"
#define GROUP6 "ff02::4f53"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

static int open4(uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    inet_pton(AF_INET, GROUP4, &at.sin_addr);
    if (fd < 0 || set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        set(fd, IPPROTO_IP, IP_PKTINFO, 1) < 0 || set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1) < 0 ||
        set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1) < 0 ||
        set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    return take_fd(&fd);
}

static int open6(uint16_t port)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    cleanup_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0 ||
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) < 0 ||
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1) < 0 ||
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0); /* Linux 4.20; before, the owner filters */
    return take_fd(&fd);
}

int beacon_udp_open(int family, uint16_t port)
{
    return family == V4 ? open4(port) : open6(port);
}

int beacon_udp_member(int fd, int family, bool join, unsigned index)
{
    struct ip_mreqn m4 = { .imr_ifindex = (int)index };
    struct ipv6_mreq m6 = { .ipv6mr_interface = index };
    int op4 = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
    int op6 = join ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP;

    inet_pton(AF_INET, GROUP4, &m4.imr_multiaddr);
    inet_pton(AF_INET6, GROUP6, &m6.ipv6mr_multiaddr);
    if (family == V4 ? setsockopt(fd, IPPROTO_IP, op4, &m4, sizeof m4)
                     : setsockopt(fd, IPPROTO_IPV6, op6, &m6, sizeof m6))
        return -errno;
    return 0;
}

void beacon_udp_send(int fd, int family, unsigned index, uint16_t port,
                     const struct sockaddr_storage *source, void *data, size_t n)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control = { .space = { 0 } };
    struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
                                .sin6_port = htons(port),
                                .sin6_scope_id = index };
    struct in_pktinfo info4 = { .ipi_ifindex = (int)index };
    struct in6_pktinfo info6 = { .ipi6_ifindex = index };
    struct iovec iov = { .iov_base = data, .iov_len = n };
    struct msghdr m = { .msg_name = family == V4 ? (void *)&to4 : (void *)&to6,
                        .msg_namelen = family == V4 ? sizeof to4 : sizeof to6,
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.space };
    size_t info = family == V4 ? sizeof info4 : sizeof info6;
    struct cmsghdr *c = &control.align;

    inet_pton(AF_INET, GROUP4, &to4.sin_addr);
    inet_pton(AF_INET6, GROUP6, &to6.sin6_addr);
    if (family == V4)
        info4.ipi_spec_dst = ((const struct sockaddr_in *)source)->sin_addr;
    else
        info6.ipi6_addr = ((const struct sockaddr_in6 *)source)->sin6_addr;
    m.msg_controllen = CMSG_SPACE(info);
    c->cmsg_level = family == V4 ? IPPROTO_IP : IPPROTO_IPV6;
    c->cmsg_type = family == V4 ? IP_PKTINFO : IPV6_PKTINFO;
    c->cmsg_len = CMSG_LEN(info);
    memcpy(CMSG_DATA(c), family == V4 ? (void *)&info4 : (void *)&info6, info);
    sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The interface that the datagram came in by, 0 when it was not sent to the group. */
static unsigned came_by(struct msghdr *m)
{
    struct in6_addr group;

    inet_pton(AF_INET6, GROUP6, &group);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct in_pktinfo info4;
        struct in6_pktinfo info6;

        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&info4, CMSG_DATA(c), sizeof info4); /* the socket is bound to the group */
            return (unsigned)info4.ipi_ifindex;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&info6, CMSG_DATA(c), sizeof info6);
            return memcmp(&info6.ipi6_addr, &group, sizeof group) == 0 ? info6.ipi6_ifindex : 0;
        }
    }
    return 0;
}

ssize_t beacon_udp_receive(int fd, void *data, size_t n, struct sockaddr_storage *from,
                           unsigned *index)
{
    union {
        struct cmsghdr align;
        char space[256];
    } control;
    struct iovec iov = { .iov_base = data, .iov_len = n };
    struct msghdr m = { .msg_name = from,
                        .msg_namelen = sizeof *from,
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.space,
                        .msg_controllen = sizeof control.space };
    ssize_t got;

    memset(from, 0, sizeof *from);
    got = recvmsg(fd, &m, MSG_DONTWAIT);
    if (got < 0)
        return -errno;
    *index = came_by(&m);
    return got;
}

void beacon_udp_print(const struct sockaddr_storage *from, const char *name, char out[64])
{
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)from;
    char space[IF_NAMESIZE];

    if (from->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, out, 64);
        return;
    }
    inet_ntop(AF_INET6, &a6->sin6_addr, out, 64);
    if (!IN6_IS_ADDR_LINKLOCAL(&a6->sin6_addr))
        return;
    if (!name)
        name = if_indextoname(a6->sin6_scope_id, space);
    if (name)
        strcat(strcat(out, "%"), name);
}
