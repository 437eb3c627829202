/*
 * token.c - MACs with the cluster key, and the join tokens that are made with them.
 *
 * A token is base64url without padding of: version (1 byte), expiry (8), nonce (16), the issuer's
 * id and address (length byte and text each), its CURVE key (32), MAC over all that (32).
 */
#include "net/identity.h"
#include "base/cur.h"
#include "base/loop.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define TOKEN_VERSION 1
#define TOKEN_LABEL   "join token"
#define TOKEN_BYTES   (TOKEN_MAX / 4 * 3)

/* The label's NUL is part of the input, so that no two (label, data) give the same. */
static bool mac_of(const struct identity *i, const char *label, const void *data, size_t n,
                   uint8_t out[32])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    size_t len = 0;
    bool ok = ctx && EVP_MAC_init(ctx, i->cluster_key, CLUSTER_KEY, params) == 1 &&
              EVP_MAC_update(ctx, (const uint8_t *)label, strlen(label) + 1) == 1 &&
              EVP_MAC_update(ctx, data, n) == 1 && EVP_MAC_final(ctx, out, &len, 32) == 1 &&
              len == 32;

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(hmac);
    return ok;
}

void identity_mac(const struct identity *i, const char *label, const void *data, size_t n,
                  uint8_t out[32])
{
    if (!mac_of(i, label, data, n, out))
        memset(out, 0, 32); /* out of memory: what carries it will be refused */
}

bool identity_mac_ok(const struct identity *i, const char *label, const void *data, size_t n,
                     const uint8_t mac[32])
{
    uint8_t right[32];

    return mac_of(i, label, data, n, right) && CRYPTO_memcmp(right, mac, sizeof right) == 0;
}

/* An address travels into words and commands: no space, no control character, no other script. */
static bool address_ok(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return *text != '\0';
}

/* All of the token but its MAC; the length, or -EINVAL. */
static int encode(const struct token *t, uint8_t buf[TOKEN_BYTES])
{
    struct wcur c = { .p = buf, .end = buf + TOKEN_BYTES };
    uint8_t key[32];

    if (identity_check_id(t->id, NULL) < 0 || identity_key_decode(t->curve_public, key) < 0)
        return -EINVAL;
    wcur_uint(&c, TOKEN_VERSION, 1);
    wcur_uint(&c, t->expires_us, 8);
    wcur_bytes(&c, t->nonce, sizeof t->nonce);
    wcur_text(&c, t->id);
    wcur_text(&c, t->address);
    wcur_bytes(&c, key, sizeof key);
    return c.bad ? -EINVAL : (int)(c.p - buf);
}

static size_t to_base64url(const uint8_t *data, size_t n, char *text)
{
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)text, data, (int)n);

    while (len > 0 && text[len - 1] == '=')
        text[--len] = '\0';
    for (size_t at = 0; at < len; at++)
        text[at] = text[at] == '+' ? '-' : text[at] == '/' ? '_' : text[at];
    return len;
}

/* The one spelling that to_base64url() gives: -EINVAL for any other. */
static int from_base64url(const char *text, size_t len, uint8_t data[TOKEN_BYTES + 3])
{
    char padded[TOKEN_MAX + 4], again[TOKEN_MAX + 4];
    size_t n = len;
    int bytes;

    for (size_t at = 0; at < len; at++) {
        if (!isalnum((unsigned char)text[at]) && text[at] != '-' && text[at] != '_')
            return -EINVAL;
        padded[at] = text[at] == '-' ? '+' : text[at] == '_' ? '/' : text[at];
    }
    while (n % 4)
        padded[n++] = '=';
    bytes = EVP_DecodeBlock(data, (const unsigned char *)padded, (int)n);
    if (bytes < 0 || n - len > 2)
        return -EINVAL;
    bytes -= (int)(n - len);
    if (to_base64url(data, (size_t)bytes, again) != len || memcmp(again, text, len) != 0)
        return -EINVAL;
    return bytes;
}

int token_make(const struct identity *i, const char *address, uint64_t ttl_us, char text[TOKEN_MAX],
               struct oerr *e)
{
    struct token t = { .expires_us = wall_us() + ttl_us };
    uint8_t buf[TOKEN_BYTES];
    int n;

    if (t.expires_us < ttl_us)
        return oerr_set(e, -EINVAL, "the token's time to live is too long");
    if (!address_ok(address) || strlen(address) >= sizeof t.address)
        return oerr_set(e, -EINVAL,
                        "the token's address must be HOST:PORT of at most %zu characters",
                        sizeof t.address - 1);
    if (RAND_bytes(t.nonce, sizeof t.nonce) != 1)
        return oerr_set(e, -EIO, "OpenSSL has no random bytes for a token");
    strcpy(t.id, i->id);
    strcpy(t.address, address);
    strcpy(t.curve_public, i->curve_public);
    n = encode(&t, buf);
    if (n < 0 || (n + 32 + 2) / 3 * 4 >= TOKEN_MAX)
        return oerr_set(e, -EINVAL, "no token can be made for %s at %s", i->id, address);
    identity_mac(i, TOKEN_LABEL, buf, (size_t)n, buf + n);
    to_base64url(buf, (size_t)n + 32, text);
    return 0;
}

int token_parse(const char *text, struct token *t, struct oerr *e)
{
    size_t len = strnlen(text, TOKEN_MAX);
    uint8_t data[TOKEN_BYTES + 3], key[32];
    int n = len < TOKEN_MAX ? from_base64url(text, len, data) : -EINVAL;
    struct rcur c = { .p = data, .end = data + (n > 0 ? n : 0) };
    unsigned version = (unsigned)rcur_uint(&c, 1);

    if (n > 0 && version != TOKEN_VERSION)
        return oerr_set(e, -EPROTONOSUPPORT,
                        "this is no join token of a version known here (%u): copy all of it",
                        version);
    *t = (struct token){ .expires_us = rcur_uint(&c, 8) };
    rcur_bytes(&c, t->nonce, sizeof t->nonce);
    rcur_text(&c, t->id, sizeof t->id);
    rcur_text(&c, t->address, sizeof t->address);
    rcur_bytes(&c, key, sizeof key);
    rcur_bytes(&c, t->mac, sizeof t->mac);
    if (n < 0 || c.bad || c.p != c.end || identity_check_id(t->id, NULL) < 0 ||
        !address_ok(t->address))
        return oerr_set(e, -EINVAL, "this is not a join token, or not all of it: copy it again");
    identity_key_encode(key, t->curve_public);
    return 0;
}

int token_check(const struct identity *i, const struct token *t, uint64_t now_us, struct oerr *e)
{
    uint8_t buf[TOKEN_BYTES];
    int n = encode(t, buf);

    if (n < 0 || !identity_mac_ok(i, TOKEN_LABEL, buf, (size_t)n, t->mac))
        return oerr_set(e, -EPERM, "this join token was not made by this cluster");
    if (now_us >= t->expires_us)
        return oerr_set(
            e, -ETIME,
            "this join token has expired: make a new one with `oneos token` on a member");
    return 0;
}
