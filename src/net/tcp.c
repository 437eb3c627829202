/*
 * tcp.c - TCP sockets by numeric addresses, which never block.
 */
#include "net/tcp.h"
#include "base/cleanup.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define BACKLOG 256

static int resolve(const char *address, uint16_t port, struct addrinfo **out)
{
    struct addrinfo hint = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
    char service[8];

    snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(address, service, &hint, out) == 0 ? 0 : -EINVAL;
}

static int new_socket(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

static int listen_at(const char *address, uint16_t port, int *out)
{
    struct addrinfo *a = NULL;
    cleanup_close int fd = -1;
    int one = 1, off = 0, rc = resolve(address, port, &a);

    if (rc < 0)
        return rc;
    rc = fd = new_socket(a);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (a->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        rc = bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ? -errno : 0;
    }
    freeaddrinfo(a);
    if (rc == 0)
        *out = take_fd(&fd);
    return rc;
}

int tcp_listen(const char *address, uint16_t port, int *fd)
{
    int rc;

    if (address)
        return listen_at(address, port, fd);
    rc = listen_at("::", port, fd);
    if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)
        rc = listen_at("0.0.0.0", port, fd);
    return rc;
}

uint16_t tcp_port(int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t n = sizeof a;
    struct sockaddr_in6 six;

    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    memcpy(&six, &a, sizeof six);
    return ntohs(six.sin6_port); /* where sin_port is, too */
}

int tcp_dial(const char *address, uint16_t port, int *out)
{
    struct addrinfo *a = NULL;
    cleanup_close int fd = -1;
    int rc = 0;

    if (resolve(address, port, &a) < 0)
        return -EHOSTUNREACH;
    fd = new_socket(a);
    if (fd < 0)
        rc = fd;
    else if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        rc = -errno;
    freeaddrinfo(a);
    if (rc == 0)
        *out = take_fd(&fd);
    return rc;
}

int tcp_connected(int fd)
{
    socklen_t n = sizeof(int);
    int err = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0)
        err = errno;
    return -err;
}

void tcp_peer_name(int fd, char *to, size_t size)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[64] = "?", port[16] = "?";

    snprintf(to, size, "?");
    if (getpeername(fd, (struct sockaddr *)&a, &len) == 0 &&
        getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(to, size, "%s port %s", host, port);
}
