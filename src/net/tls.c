/*
 * tls.c - OpenSSL between a socket and the frames of a connection.
 *
 * SSL <-> a BIO of our own <-> socket. Writing appends records to `out`, which tls_flush() sends;
 * so 16 KiB records cost no call each. Reading goes straight into OpenSSL's read-ahead buffer.
 *
 * Invariant: application data is only encrypted while `out` has room for the whole record, so
 * SSL_write never has to be repeated.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECORD          (16 * 1024)
#define RECORD_MORE     512         /* head, tag and padding of a record */
#define HANDSHAKE_BYTES (16 * 1024) /* our side of a handshake is far smaller */
#define TURN_BYTES      (256 * 1024)

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    size_t out_bytes;
};

struct tls {
    SSL *ssl;
    size_t out_bytes; /* once it is secure */
    int fd;
    int io_error;
    bool unknown, eof, drained; /* drained: the last recv() left nothing in the socket */
    size_t turn;                /* bytes that this call may still receive */
    bool (*known)(void *arg, const char *fingerprint);
    void *arg;
    char *out;
    size_t cap, begin, end;
};

/* --- the BIO --- */

static int bio_write(BIO *b, const char *p, int n)
{
    struct tls *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if ((size_t)n > t->cap - t->end) {
        BIO_set_retry_write(b);
        return -1;
    }
    memcpy(t->out + t->end, p, (size_t)n);
    t->end += (size_t)n;
    return n;
}

static int bio_read(BIO *b, char *p, int n)
{
    struct tls *t = BIO_get_data(b);
    ssize_t got;

    BIO_clear_retry_flags(b);
    /* Drained: what comes later is told by poll(2), which spares a call for each message. And what
     * is left is told again: OpenSSL would go on for as long as a peer sends only new keys. */
    if (t->drained || t->turn == 0) {
        t->drained = false;
        BIO_set_retry_read(b);
        return -1;
    }
    do
        got = recv(t->fd, p, (size_t)n, 0);
    while (got < 0 && errno == EINTR);
    t->drained = got > 0 && got < n;
    if (got > 0)
        t->turn -= (size_t)got < t->turn ? (size_t)got : t->turn;
    if (got < 0 && errno == EAGAIN)
        BIO_set_retry_read(b);
    else if (got < 0)
        t->io_error = -errno;
    else if (got == 0)
        t->eof = true;
    return (int)got;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
    struct tls *t = BIO_get_data(b);

    (void)n, (void)p;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return t->eof;
    default:
        return 0;
    }
}

/* --- the context --- */

/* Replaces OpenSSL's judgement of the chain: only the key counts. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    struct tls *t = SSL_get_app_data(ssl);
    char print[FINGERPRINT];

    (void)arg;
    if (cert && identity_fingerprint(cert, print) == 0 && t->known(t->arg, print))
        return 1;
    t->unknown = true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
}

static bool configure(SSL_CTX *c, const struct identity *me, size_t read_ahead)
{
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(c, verify, NULL);
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_cert_list(c, 16 * 1024);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, read_ahead);
    return SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                                       "TLS_AES_256_GCM_SHA384") == 1 &&
           SSL_CTX_set_num_tickets(c, 0) == 1 && SSL_CTX_use_certificate(c, me->tls_cert) == 1 &&
           SSL_CTX_use_PrivateKey(c, me->tls_key) == 1;
}

int tls_context_create(struct tls_context **out, const struct identity *me, unsigned records,
                       struct oerr *e)
{
    struct tls_context *c = calloc(1, sizeof *c);

    if (!c)
        return oerr_set(e, -ENOMEM, "no memory for the encryption of links");
    c->out_bytes = records * (size_t)(RECORD + RECORD_MORE);
    c->ssl = SSL_CTX_new(TLS_method());
    c->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "oneos link");
    if (!c->ssl || !c->bio || !BIO_meth_set_write(c->bio, bio_write) ||
        !BIO_meth_set_read(c->bio, bio_read) || !BIO_meth_set_ctrl(c->bio, bio_ctrl) ||
        !configure(c->ssl, me, records * (size_t)RECORD / 2)) {
        tls_context_destroy(c);
        ERR_clear_error();
        return oerr_set(e, -EINVAL,
                        "OpenSSL does not take the link key or TLS 1.3; "
                        "check the identity file of this machine");
    }
    *out = c;
    return 0;
}

void tls_context_destroy(struct tls_context *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    free(c);
}

/* --- a connection --- */

int tls_create(struct tls **out, struct tls_context *c, int fd, bool server,
               bool (*known)(void *arg, const char *fingerprint), void *arg)
{
    struct tls *t = calloc(1, sizeof *t);
    BIO *b;

    if (!t)
        return -ENOMEM;
    t->fd = fd;
    t->known = known;
    t->arg = arg;
    t->cap = HANDSHAKE_BYTES;
    t->out_bytes = c->out_bytes;
    t->out = malloc(t->cap);
    t->ssl = SSL_new(c->ssl);
    b = BIO_new(c->bio);
    if (!t->out || !t->ssl || !b) {
        BIO_free(b);
        tls_destroy(t);
        return -ENOMEM;
    }
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    SSL_set_app_data(t->ssl, t);
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    *out = t;
    return 0;
}

void tls_destroy(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t->out);
    free(t);
}

/* What a call of OpenSSL that did not succeed means: -EAGAIN, 0 for a close, or what broke. */
static int judge(struct tls *t, int ret)
{
    int why = SSL_get_error(t->ssl, ret);

    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return t->io_error ? t->io_error : -EPROTO;
    }
}

static int handshake_failed(struct tls *t, int rc, unsigned long reason, struct oerr *e)
{
    const char *text = ERR_reason_error_string(reason);

    (void)tls_flush(t); /* the alert, for the peer's log */
    if (t->unknown)
        return oerr_set(e, -EPERM, "its key is not known here");
    if (rc == 0 || t->eof || t->io_error)
        return oerr_set(e, -ECONNRESET, "it closed the connection during the TLS handshake");
    return oerr_set(e, rc, "the TLS handshake failed: %s", text ? text : "no reason given");
}

int tls_handshake(struct tls *t, struct oerr *e)
{
    unsigned long reason;
    int ret, rc;
    char *out;

    t->turn = TURN_BYTES;
    ret = SSL_do_handshake(t->ssl);
    if (ret != 1) {
        reason = ERR_peek_error();
        rc = judge(t, ret);
        if (rc != -EAGAIN)
            return handshake_failed(t, rc, reason, e);
        rc = tls_flush(t);
        return rc == 0 ? -EAGAIN : rc;
    }
    out = malloc(t->out_bytes); /* realloc() would touch memory that nothing was written to */
    if (!out)
        return oerr_set(e, -ENOMEM, "no memory for its buffer");
    t->end -= t->begin;
    memcpy(out, t->out + t->begin, t->end);
    t->begin = 0;
    free(t->out);
    t->out = out;
    t->cap = t->out_bytes;
    return 0;
}

ssize_t tls_read(struct tls *t, void *to, size_t n)
{
    int ret;

    t->turn = TURN_BYTES;
    ret = SSL_read(t->ssl, to, n > INT32_MAX ? INT32_MAX : (int)n);
    return ret > 0 ? ret : judge(t, ret);
}

ssize_t tls_write(struct tls *t, const void *from, size_t n)
{
    int ret;

    if (n > RECORD)
        n = RECORD;
    if (n == 0 || t->cap - t->end < n + RECORD_MORE)
        return 0;
    ret = SSL_write(t->ssl, from, (int)n);
    if (ret > 0)
        return ret;
    ret = judge(t, ret);
    return ret == 0 || ret == -EAGAIN ? -EPROTO : ret;
}

int tls_flush(struct tls *t)
{
    while (t->begin < t->end) {
        ssize_t n = send(t->fd, t->out + t->begin, t->end - t->begin, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : -errno;
        t->begin += (size_t)n;
    }
    t->begin = t->end = 0;
    return 0;
}

bool tls_pending(const struct tls *t)
{
    return t->begin < t->end;
}
