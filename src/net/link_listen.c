/*
 * link_listen.c - the socket that peers dial. Without descriptors it pauses for a second.
 */
#include "net/link_private.h"
#include "base/log.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

static void on_connection(uv_poll_t *h, int status, int events)
{
    struct links *l = container_of(h, struct links, listener);

    (void)status, (void)events;
    for (int i = 0; i < 128; i++) {
        int fd = accept4(l->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            conn_accept(l, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            links_complain(l, "cannot accept connections: %s", strerror(errno));
            uv_poll_stop(&l->listener);
            l->accept_at = now_ms() + 1000;
            links_due(l, l->accept_at);
            break;
        } else if (errno == EAGAIN) {
            break;
        }
    }
    links_settle(l);
}

void links_listen_again(struct links *l)
{
    l->accept_at = UINT64_MAX;
    uv_poll_start(&l->listener, UV_READABLE, on_connection);
}

/* NULL: all addresses of both families, where there are both. */
static int open_listener(const char *address, uint16_t port, int *out)
{
    struct addrinfo hint = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *a = NULL;
    cleanup_close int fd = -1;
    char service[8];
    int one = 1, off = 0;

    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hint, &a) != 0)
        return -EINVAL;
    fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (a->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (fd < 0 || bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 256) < 0) {
        int rc = -errno;

        freeaddrinfo(a);
        return rc;
    }
    freeaddrinfo(a);
    *out = take_fd(&fd);
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t n = sizeof a;
    struct sockaddr_in6 six;

    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    memcpy(&six, &a, sizeof six);
    return ntohs(six.sin6_port); /* where sin_port is, too */
}

int links_listen(struct links *l, const char *listen, uint16_t port, struct oerr *e)
{
    int rc;

    if (listen)
        rc = open_listener(listen, port, &l->listen_fd);
    else if ((rc = open_listener("::", port, &l->listen_fd)) == -EAFNOSUPPORT ||
             rc == -EADDRNOTAVAIL)
        rc = open_listener("0.0.0.0", port, &l->listen_fd);
    if (rc < 0)
        return oerr_set(e, rc, "cannot listen for links on %s port %u: %s", listen ? listen : "*",
                        port, strerror(-rc));
    l->port = port_of(l->listen_fd);
    return 0;
}
