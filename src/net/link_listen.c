/*
 * link_listen.c - the socket that peers dial. Without descriptors it pauses for a second.
 */
#include "net/link_private.h"
#include "net/tcp.h"

#include <errno.h>
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

int links_listen(struct links *l, const char *listen, uint16_t port, struct oerr *e)
{
    int rc = tcp_listen(listen, port, &l->listen_fd);

    if (rc < 0)
        return oerr_set(e, rc, "cannot listen for links on %s port %u: %s", listen ? listen : "*",
                        port, strerror(-rc));
    l->port = tcp_port(l->listen_fd);
    return 0;
}
