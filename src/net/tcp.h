/*
 * tcp.h - TCP sockets by numeric addresses, which never block.
 */
#ifndef ONEOS_NET_TCP_H
#define ONEOS_NET_TCP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Listens there; address NULL: everywhere, in both families where there are both; port 0: the
 * kernel chooses. The descriptor is the caller's. -EINVAL: not a numeric address; else -errno. */
int tcp_listen(const char *address, uint16_t port, int *fd);
uint16_t tcp_port(int fd); /* where it is bound; 0: nowhere */

/* Begins to connect: the socket is writable when that has ended, and tcp_connected() tells how. The
 * descriptor is the caller's. -EHOSTUNREACH: not a numeric address; else -errno. */
int tcp_dial(const char *address, uint16_t port, int *fd);
int tcp_connected(int fd); /* 0 or -errno */

/* "ADDRESS port PORT" of the other side, or "?". */
void tcp_peer_name(int fd, char *to, size_t size);

#endif
