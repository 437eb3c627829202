/*
 * identity.h - who this machine is: its id, its keys, and the cluster key.
 *
 * State layout: `<state>/cluster.key` (mode 0600) is shared by the runtimes of one user,
 * `<state>/.id` holds the id that was made when none was given; `<state>/<id>/` (0700) is this
 * machine's own folder, with `identity` (0600: the CURVE key pair of the bus and the Ed25519 key
 * and self-signed certificate of the links), `incarnation` (the last one used) and `lock` (held
 * while a daemon runs, with its pid).
 */
#ifndef ONEOS_NET_IDENTITY_H
#define ONEOS_NET_IDENTITY_H

#include "base/err.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_MAX  64 /* a machine id: [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 bytes */
#define KEY_Z85 41 /* a CURVE public or secret key in Z85, with its NUL */
#define FINGERPRINT                                                                                \
    65                 /* SHA-256 of the link certificate's public key, hexadecimal, with its NUL  \
                        */
#define CLUSTER_KEY 32 /* bytes of a cluster key */

struct identity {
    char id[ID_MAX];
    char curve_public[KEY_Z85], curve_secret[KEY_Z85];
    char fingerprint[FINGERPRINT];
    EVP_PKEY *tls_key;
    X509 *tls_cert;
    uint8_t cluster_key[CLUSTER_KEY];
    unsigned key_serial;   /* counts the changes of the cluster key */
    bool cluster_key_made; /* true: made by this start, so nobody else can hold it yet */
    char cluster_name[17]; /* 16 hex digits derived from the cluster key: not secret */
    char boot_id[40];      /* /proc/sys/kernel/random/boot_id */
    uint64_t incarnation;  /* wall clock in us at start, made larger than the saved last one */
    char dir[4096];        /* <state>/<id> */
    char key_file[4096];   /* where the cluster key is kept */
    int lock_fd;
};

struct identity_options {
    const char *state;            /* the state folder; made (0700) when missing */
    const char *id;               /* NULL: the saved one, else a fresh UUID, which is saved */
    const char *cluster_key_file; /* NULL: <state>/cluster.key; made when missing */
};

/* 0 when the id is well formed, else -EINVAL with words. */
int identity_check_id(const char *id, struct oerr *e);

/* Loads or makes everything, and takes the lock. Errors: -EINVAL bad id; -EBUSY another daemon
 * runs with this id (the words name its pid); -EACCES; -EPERM a key file others can read; -EBADMSG
 * a damaged file (the words name it and what to do: it is never silently replaced). Writes are
 * atomic (write, fsync, rename). */
int identity_load(struct identity **out, const struct identity_options *opt, struct oerr *e);
void identity_destroy(
    struct identity *i); /* frees, forgets secrets, drops the lock; NULL allowed */

/* Replaces the cluster key (a machine that joined by token) and saves it to its file. */
int identity_set_cluster_key(struct identity *i, const uint8_t key[CLUSTER_KEY], struct oerr *e);

/* What `fingerprint` is of: the certificate that a peer shows, to compare with what it should be.
 * -EINVAL. */
int identity_fingerprint(const X509 *cert, char out[FINGERPRINT]);

/* CURVE keys as their 32 bytes. -EINVAL when the text is not 40 characters of Z85. */
int identity_key_decode(const char *z85, uint8_t raw[32]);
void identity_key_encode(const uint8_t raw[32], char z85[KEY_Z85]);

/* HMAC-SHA-256 with the cluster key over (label, data); 32 bytes into out. */
void identity_mac(const struct identity *i, const char *label, const void *data, size_t n,
                  uint8_t out[32]);
bool identity_mac_ok(const struct identity *i, const char *label, const void *data, size_t n,
                     const uint8_t mac[32]);

/* Join tokens: base64url text of expiry, nonce, issuer's id, address and CURVE key, and a MAC;
 * valid for any holder of the cluster key until it expires. */
#define TOKEN_MAX 512
struct token {
    uint64_t expires_us; /* wall clock */
    char id[ID_MAX], address[64], curve_public[KEY_Z85];
    uint8_t nonce[16], mac[32];
};
int token_make(const struct identity *i, const char *address, uint64_t ttl_us, char text[TOKEN_MAX],
               struct oerr *e);
int token_parse(const char *text, struct token *t, struct oerr *e); /* form only */
int token_check(const struct identity *i, const struct token *t, uint64_t now_us,
                struct oerr *e); /* -EPERM, -ETIME */

#endif
