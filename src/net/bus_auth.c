/*
 * bus_auth.c - who may do what: the ZAP handler and the allow-list.
 *
 * libzmq asks the ZAP handler (RFC 27) in every CURVE handshake, and waits for the answer without
 * holding up anything else, so the handler runs on the core loop and the list needs no lock. The
 * ROUTER (domain "req") lets every key in, because strangers may ask some things, but only so many
 * at a time, since libzmq cannot cut a connection off again; it gives the key with each message as
 * its User-Id. The XPUB (domain "pub") lets in only keys on the list. Others are told 300 (try
 * again later), since after 400 a client would never try again, and a peer may well connect a
 * moment before it is allowed.
 */
#include "net/bus_private.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZAP_FRAMES 7

enum { ZAP_VERSION, ZAP_REQUEST, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_ROUTING, ZAP_MECHANISM, ZAP_KEY };

static bool frame_is(zmq_msg_t *m, const char *text)
{
    return zmq_msg_size(m) == strlen(text) && memcmp(zmq_msg_data(m), text, strlen(text)) == 0;
}

/* The status for a request; key gets the client's. */
static const char *judge(struct bus *b, zmq_msg_t *f, unsigned n, char key[KEY_Z85])
{
    if (n != ZAP_FRAMES || !frame_is(&f[ZAP_VERSION], "1.0") ||
        !frame_is(&f[ZAP_MECHANISM], "CURVE") || zmq_msg_size(&f[ZAP_KEY]) != 32)
        return "500";
    identity_key_encode(zmq_msg_data(&f[ZAP_KEY]), key);
    if (auth_by_key(b, key))
        return "200";
    if (frame_is(&f[ZAP_DOMAIN], "req")) {
        if (b->inbound <= HASH_CNT(by_id, b->allowed_by_id) + STRANGERS_MAX)
            return "200";
        if (rate_take(&b->refused, now_ms()))
            log_warn("bus", "%u connections: strangers like the key %s at %.*s have to wait",
                     b->inbound, key, (int)zmq_msg_size(&f[ZAP_ADDRESS]),
                     (char *)zmq_msg_data(&f[ZAP_ADDRESS]));
        return "300";
    }
    if (rate_take(&b->refused, now_ms()))
        log_info("bus", "refused a subscription by the unknown key %s at %.*s", key,
                 (int)zmq_msg_size(&f[ZAP_ADDRESS]), (char *)zmq_msg_data(&f[ZAP_ADDRESS]));
    return "300";
}

static bool take_zap(struct bsock *s)
{
    zmq_msg_t f[ZAP_FRAMES];
    char key[KEY_Z85] = "";
    const char *status;
    unsigned n = 0;
    bool more = true;

    for (; more && n < ZAP_FRAMES; n++) {
        zmq_msg_init(&f[n]);
        if (zmq_msg_recv(&f[n], s->zmq, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&f[n]);
            break;
        }
        more = zmq_msg_more(&f[n]);
    }
    if (n < 2) {
        if (n == 1)
            zmq_msg_close(&f[0]);
        return false; /* libzmq always sends all frames at once */
    }
    status = judge(s->bus, f, n, key);
    zmq_send(s->zmq, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(s->zmq, zmq_msg_data(&f[ZAP_REQUEST]), zmq_msg_size(&f[ZAP_REQUEST]), ZMQ_SNDMORE);
    zmq_send(s->zmq, status, 3, ZMQ_SNDMORE);
    zmq_send(s->zmq, "", 0, ZMQ_SNDMORE);
    zmq_send(s->zmq, key, strcmp(status, "200") == 0 ? strlen(key) : 0, ZMQ_SNDMORE);
    zmq_send(s->zmq, "", 0, 0);
    while (n > 0)
        zmq_msg_close(&f[--n]);
    return true;
}

int auth_open(struct bus *b, struct oerr *e)
{
    void *zmq = zmq_socket(b->ctx, ZMQ_REP);
    int zero = 0;

    if (!zmq || zmq_setsockopt(zmq, ZMQ_LINGER, &zero, sizeof zero) < 0 ||
        zmq_bind(zmq, "inproc://zeromq.zap.01") < 0) {
        int rc = -errno;

        zmq_close(zmq);
        return oerr_set(e, rc, "cannot check keys: %s", zmq_strerror(-rc));
    }
    return bsock_adopt(&b->zap, b, zmq, take_zap, NULL, e);
}

struct allowed *auth_by_key(struct bus *b, const char *key)
{
    struct allowed *a = NULL;

    HASH_FIND(by_key, b->allowed_by_key, key, strlen(key), a);
    return a;
}

struct allowed *auth_by_id(struct bus *b, const char *id)
{
    struct allowed *a = NULL;

    HASH_FIND(by_id, b->allowed_by_id, id, strlen(id), a);
    return a;
}

/* Derived, not random, so that a peer that is disallowed and allowed again keeps its topic; from a
 * secret of this bus, so that nobody can subscribe to another's. */
static int make_topic(struct bus *b, struct allowed *a)
{
    uint8_t input[sizeof b->topic_secret + KEY_Z85], hash[32];
    size_t n = sizeof hash;

    memcpy(input, b->topic_secret, sizeof b->topic_secret);
    memcpy(input + sizeof b->topic_secret, a->key, KEY_Z85);
    if (EVP_Q_digest(NULL, "SHA256", NULL, input, sizeof input, hash, &n) != 1)
        return -ENOMEM;
    for (int at = 0; at < 16; at++)
        sprintf(a->topic + 2 * at, "%02x", hash[at]);
    return 0;
}

static void forget(struct bus *b, struct allowed *a)
{
    HASH_DELETE(by_id, b->allowed_by_id, a);
    HASH_DELETE(by_key, b->allowed_by_key, a);
    free(a);
}

int bus_allow(struct bus *b, const char *id, const char *curve_public)
{
    struct allowed *old = auth_by_id(b, id), *a;
    uint8_t raw[32];

    if (identity_check_id(id, NULL) < 0 || identity_key_decode(curve_public, raw) < 0)
        return -EINVAL;
    a = auth_by_key(b, curve_public);
    if (a)
        return a == old ? 0 : -EEXIST;
    a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    strcpy(a->id, id);
    strcpy(a->key, curve_public);
    a->lanes = (struct rate){ .gap_ms = 1000, .burst = 8 };
    a->lost = (struct rate){ .gap_ms = 10000, .burst = 1 };
    if (make_topic(b, a) < 0 || lane_ticket(a) < 0) {
        free(a);
        return -ENOMEM;
    }
    if (old)
        bus_disallow(b, id);
    HASH_ADD(by_id, b->allowed_by_id, id, strlen(a->id), a);
    HASH_ADD(by_key, b->allowed_by_key, key, strlen(a->key), a);
    return 0;
}

void bus_disallow(struct bus *b, const char *id)
{
    struct allowed *a = auth_by_id(b, id);

    if (a)
        forget(b, a);
    lanes_drop(b, id);
    bus_disconnect(b, id);
}

void auth_clear(struct bus *b)
{
    while (b->allowed_by_id)
        forget(b, b->allowed_by_id);
}
