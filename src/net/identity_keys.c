/*
 * identity_keys.c - the machine's own keys, in `<state>/<id>/identity`.
 *
 * The file is text: a line with the version, lines with the id and the CURVE key pair in Z85, then
 * the Ed25519 key and its self-signed certificate in PEM. Reading demands all of it and that the
 * halves of each pair belong together, so a damaged file is noticed at start.
 */
#include "net/identity_private.h"
#include "base/file.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define FIRST_LINE "oneos-identity 1\n"
#define FILE_MAX   8192

int identity_key_decode(const char *z85, uint8_t raw[32])
{
    return strlen(z85) == KEY_Z85 - 1 && zmq_z85_decode(raw, z85) ? 0 : -EINVAL;
}

void identity_key_encode(const uint8_t raw[32], char z85[KEY_Z85])
{
    zmq_z85_encode(z85, raw, 32);
}

int identity_fingerprint(const X509 *cert, char out[FINGERPRINT])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (X509_pubkey_digest(cert, EVP_sha256(), hash, &n) != 1 || n != 32)
        return -EINVAL;
    for (unsigned at = 0; at < n; at++)
        sprintf(out + 2 * at, "%02x", hash[at]);
    return 0;
}

/* Fills in all but the signature. Clocks of machines may be wrong, and what is trusted is the key:
 * so the validity is all of time. */
static bool describe(X509 *cert, EVP_PKEY *key, const char *id)
{
    X509_NAME *name = X509_get_subject_name(cert);
    uint64_t serial;

    return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
           X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "20000101000000Z") == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)id, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1;
}

static int make_keys(struct identity *i, struct oerr *e)
{
    if (zmq_curve_keypair(i->curve_public, i->curve_secret) < 0)
        return oerr_set(e, -errno, "libzmq cannot make CURVE keys: %s", zmq_strerror(errno));
    i->tls_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    i->tls_cert = X509_new();
    if (!i->tls_key || !i->tls_cert || !describe(i->tls_cert, i->tls_key, i->id) ||
        X509_sign(i->tls_cert, i->tls_key, NULL) <= 0)
        return oerr_set(e, -EIO, "OpenSSL cannot make an Ed25519 key and certificate");
    return 0;
}

/* The text of the file; NULL when out of memory. */
static BIO *format(const struct identity *i)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    if (bio &&
        BIO_printf(bio, FIRST_LINE "id %s\ncurve_public %s\ncurve_secret %s\n", i->id,
                   i->curve_public, i->curve_secret) > 0 &&
        PEM_write_bio_PrivateKey(bio, i->tls_key, NULL, NULL, 0, NULL, NULL) == 1 &&
        PEM_write_bio_X509(bio, i->tls_cert) == 1)
        return bio;
    BIO_free(bio);
    return NULL;
}

static int save_keys(struct identity *i, const char *path, struct oerr *e)
{
    BIO *bio = format(i);
    char *text;
    long n = bio ? BIO_get_mem_data(bio, &text) : 0;
    int rc = n > 0 ? file_make(path, text, (size_t)n, e) : oerr_set(e, -ENOMEM, "out of memory");

    BIO_free(bio);
    return rc;
}

/* PEM is lenient: what was read must also be what would be written. */
static bool same_text(const struct identity *i, const char *text)
{
    BIO *bio = format(i);
    char *again;
    long n = bio ? BIO_get_mem_data(bio, &again) : 0;
    bool same = n > 0 && (size_t)n == strlen(text) && memcmp(again, text, (size_t)n) == 0;

    BIO_free(bio);
    return same;
}

/* Takes "word value\n" off *p. */
static bool take_line(const char **p, const char *word, char *value, size_t size)
{
    size_t n = strlen(word), len;

    if (strncmp(*p, word, n) != 0 || (*p)[n] != ' ')
        return false;
    *p += n + 1;
    len = strcspn(*p, "\n");
    if ((*p)[len] != '\n' || len >= size)
        return false;
    memcpy(value, *p, len);
    value[len] = '\0';
    *p += len + 1;
    return true;
}

static bool parse_curve(struct identity *i, const char **p, char owner[ID_MAX])
{
    char derived[KEY_Z85];
    uint8_t raw[32];

    return take_line(p, "id", owner, ID_MAX) &&
           take_line(p, "curve_public", i->curve_public, KEY_Z85) &&
           take_line(p, "curve_secret", i->curve_secret, KEY_Z85) &&
           identity_key_decode(i->curve_secret, raw) == 0 &&
           zmq_curve_public(derived, i->curve_secret) == 0 && strcmp(derived, i->curve_public) == 0;
}

static bool parse_tls(struct identity *i, const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    bool ok;

    if (!bio)
        return false;
    i->tls_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    i->tls_cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    ok = i->tls_key && i->tls_cert && EVP_PKEY_get_base_id(i->tls_key) == EVP_PKEY_ED25519 &&
         X509_check_private_key(i->tls_cert, i->tls_key) == 1 &&
         X509_verify(i->tls_cert, i->tls_key) == 1;
    BIO_free(bio);
    return ok;
}

static int parse(struct identity *i, const char *path, const char *text, struct oerr *e)
{
    const char *at = text + strlen(FIRST_LINE);
    char owner[ID_MAX] = "";

    if (strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
        return oerr_set(
            e, -EBADMSG,
            "%s is damaged or of another version: restore it, or move the folder away to "
            "make this machine a new one",
            path);
    if (!parse_curve(i, &at, owner) || !parse_tls(i, at) ||
        (strcmp(owner, i->id) == 0 && !same_text(i, text)))
        return oerr_set(
            e, -EBADMSG,
            "%s is damaged: restore it, or move the folder away to make this machine a new one",
            path);
    if (strcmp(owner, i->id) != 0)
        return oerr_set(e, -EBADMSG,
                        "%s belongs to the machine %.64s, not to %s: do not rename or copy folders",
                        path, owner, i->id);
    return 0;
}

int identity_load_keys(struct identity *i, struct oerr *e)
{
    char path[4096 + 16], text[FILE_MAX];
    int rc;

    snprintf(path, sizeof path, "%s/identity", i->dir);
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        rc = make_keys(i, e);
        if (rc == 0)
            rc = save_keys(i, path, e);
    } else {
        rc = file_read(path, true, text, sizeof text, e);
        if (rc == 0)
            rc = parse(i, path, text, e);
        OPENSSL_cleanse(text, sizeof text);
    }
    if (rc == 0 && identity_fingerprint(i->tls_cert, i->fingerprint) < 0)
        rc = oerr_set(e, -EBADMSG, "%s is damaged: its certificate has no usable key", path);
    return rc;
}
