/*
 * tls.h - TLS 1.3 over a non-blocking socket, both sides known by the fingerprint of their
 * key.
 *
 * What is written is encrypted into a buffer and goes out in one send(); what is received is read
 * in large pieces. There are no certificate authorities, names or dates: the SHA-256 of the
 * certificate's SubjectPublicKeyInfo is the identity, and the caller says whether it is welcome.
 */
#ifndef ONEOS_NET_TLS_H
#define ONEOS_NET_TLS_H

#include "net/identity.h"

#include <stdbool.h>
#include <sys/types.h>

struct tls_context;
struct tls;

/* Keeps its own references to key and certificate. Each connection may hold so many records of
 * 16 KiB on their way out, and half of that on their way in. */
int tls_context_create(struct tls_context **out, const struct identity *me, unsigned records,
                       struct oerr *e);
void tls_context_destroy(struct tls_context *c);

/* `known` is asked once, within tls_handshake(), about the peer's key. fd stays the caller's. */
int tls_create(struct tls **out, struct tls_context *c, int fd, bool server,
               bool (*known)(void *arg, const char *fingerprint), void *arg);
void tls_destroy(struct tls *t); /* NULL allowed */

/* 0: done; -EAGAIN: wait for the socket; else it failed: -EPERM unknown key, -ECONNRESET, -EPROTO.
 */
int tls_handshake(struct tls *t, struct oerr *e);

/* > 0: bytes read; 0: the peer closed; -EAGAIN; else it broke. */
ssize_t tls_read(struct tls *t, void *to, size_t n);

/* Encrypts the first of n bytes, as many as the buffer has room for: 0 when it is full. < 0: it
 * broke. */
ssize_t tls_write(struct tls *t, const void *from, size_t n);

/* Sends what is in the buffer. 0: all; -EAGAIN: wait until the socket takes more; else it broke. */
int tls_flush(struct tls *t);
bool tls_pending(const struct tls *t); /* the buffer is not empty */

#endif
