/*
 * raft_disk_form.c - entries, the state record and snapshots as bytes.
 *
 * Every form has its checksum over all other bytes; that of an entry is also over its index, so
 * that an entry in another's place is noticed.
 */
#include "cluster/raft_disk_form.h"
#include "base/cur.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC    0x4f4e4544 /* ONED */
#define SNAPSHOT_MAGIC 0x4f4e4553 /* ONES */
#define FORM_VERSION   1
#define SHORT_SUM      8
#define SNAPSHOT_PLAIN (SNAPSHOT_HEAD - SUM_LEN)

struct sums {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

struct part {
    const void *p;
    size_t n;
};

struct sums *sums_create(void)
{
    struct sums *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->ctx = EVP_MD_CTX_new();
    if (!s->md || !s->ctx || !EVP_DigestInit_ex2(s->ctx, s->md, NULL)) {
        sums_destroy(s);
        return NULL;
    }
    return s;
}

void sums_destroy(struct sums *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    EVP_MD_free(s->md);
    free(s);
}

static void sum(struct sums *s, const struct part *v, size_t n, uint8_t out[SUM_LEN])
{
    bool ok = EVP_DigestInit_ex2(s->ctx, NULL, NULL);

    for (size_t i = 0; i < n && ok; i++)
        ok = EVP_DigestUpdate(s->ctx, v[i].p, v[i].n);
    /* With the memory at hand nothing of this can fail; a wrong sum must not pass if it did. */
    if (!ok || !EVP_DigestFinal_ex(s->ctx, out, NULL))
        abort();
}

/* There never was a version 0. */
static int check_version(uint64_t version)
{
    if (version > FORM_VERSION)
        return -EPROTONOSUPPORT;
    return version < FORM_VERSION ? -EBADMSG : 0;
}

void state_encode(struct sums *s, const struct disk_state *st, uint8_t to[STATE_LEN])
{
    struct wcur c = { .p = to, .end = to + STATE_LEN };
    const uint64_t fields[] = { st->node,       st->term,      st->voted_for, st->first, st->next,
                                st->snap_index, st->snap_term, st->txn,       st->marks };
    uint8_t digest[SUM_LEN];

    memset(to, 0, STATE_LEN);
    wcur_uint(&c, STATE_MAGIC, 4);
    wcur_uint(&c, FORM_VERSION, 4);
    wcur_uint(&c, st->wiping, 1);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        wcur_uint(&c, fields[i], 8);
    sum(s, &(struct part){ to, STATE_LEN - SHORT_SUM }, 1, digest);
    memcpy(to + STATE_LEN - SHORT_SUM, digest, SHORT_SUM);
}

int state_decode(struct sums *s, const void *p, size_t n, struct disk_state *st)
{
    struct rcur c = { .p = p, .end = (const uint8_t *)p + n };
    uint64_t *const fields[] = { &st->node,      &st->term, &st->voted_for,
                                 &st->first,     &st->next, &st->snap_index,
                                 &st->snap_term, &st->txn,  &st->marks };
    uint8_t digest[SUM_LEN];
    uint64_t wiping;
    int rc;

    memset(st, 0, sizeof *st);
    if (n < 8 || rcur_uint(&c, 4) != STATE_MAGIC)
        return -EBADMSG;
    rc = check_version(rcur_uint(&c, 4));
    if (rc < 0)
        return rc;
    if (n != STATE_LEN)
        return -EBADMSG;
    wiping = rcur_uint(&c, 1);
    if (wiping > 1)
        return -EBADMSG;
    st->wiping = wiping;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        *fields[i] = rcur_uint(&c, 8);
    sum(s, &(struct part){ p, STATE_LEN - SHORT_SUM }, 1, digest);
    if (memcmp((const uint8_t *)p + STATE_LEN - SHORT_SUM, digest, SHORT_SUM) != 0)
        return -EBADMSG;
    /* Nothing is missing between the snapshot and the entries. */
    if (st->node == 0 || st->first < 1 || st->first > st->next || st->snap_index >= st->next ||
        st->first - 1 > st->snap_index)
        return -EBADMSG;
    return 0;
}

static void entry_sum(struct sums *s, uint64_t index, const uint8_t *head, const void *data,
                      size_t len, uint8_t out[SUM_LEN])
{
    uint8_t at[8];
    struct wcur c = { .p = at, .end = at + sizeof at };
    const struct part parts[] = { { at, sizeof at },
                                  { head + SHORT_SUM, ENTRY_HEAD - SHORT_SUM },
                                  { data, len } };

    wcur_uint(&c, index, 8);
    sum(s, parts, 3, out);
}

void entry_encode(struct sums *s, uint64_t index, const struct consensus_entry *e, uint8_t *to)
{
    struct wcur c = { .p = to + SHORT_SUM, .end = to + ENTRY_HEAD };
    uint8_t digest[SUM_LEN];

    wcur_uint(&c, e->term, 8);
    wcur_uint(&c, e->kind, 1);
    if (e->len > 0)
        memcpy(to + ENTRY_HEAD, e->data, e->len);
    entry_sum(s, index, to, to + ENTRY_HEAD, e->len, digest);
    memcpy(to, digest, SHORT_SUM);
}

int entry_decode(struct sums *s, uint64_t index, const void *p, size_t n, struct consensus_entry *e)
{
    struct rcur c = { .p = p, .end = (const uint8_t *)p + n };
    uint8_t stored[SHORT_SUM], digest[SUM_LEN];

    memset(e, 0, sizeof *e);
    rcur_bytes(&c, stored, SHORT_SUM);
    e->term = rcur_uint(&c, 8);
    e->kind = (uint8_t)rcur_uint(&c, 1);
    if (c.bad)
        return -EBADMSG;
    e->data = c.p;
    e->len = n - ENTRY_HEAD;
    entry_sum(s, index, p, e->data, e->len, digest);
    return memcmp(stored, digest, SHORT_SUM) == 0 ? 0 : -EBADMSG;
}

uint64_t entry_mark(const void *p, size_t n)
{
    struct rcur c = { .p = p, .end = (const uint8_t *)p + n };

    return rcur_uint(&c, SHORT_SUM);
}

static void snapshot_sum(struct sums *s, const uint8_t *head, const struct consensus_snapshot *sn,
                         uint8_t out[SUM_LEN])
{
    const struct part parts[] = { { head, SNAPSHOT_PLAIN },
                                  { sn->conf, sn->conf_len },
                                  { sn->data, sn->len } };

    sum(s, parts, 3, out);
}

void snapshot_encode_head(struct sums *s, const struct consensus_snapshot *sn,
                          uint8_t to[SNAPSHOT_HEAD])
{
    struct wcur c = { .p = to, .end = to + SNAPSHOT_HEAD };

    memset(to, 0, SNAPSHOT_HEAD);
    wcur_uint(&c, SNAPSHOT_MAGIC, 4);
    wcur_uint(&c, FORM_VERSION, 4);
    wcur_uint(&c, sn->index, 8);
    wcur_uint(&c, sn->term, 8);
    wcur_uint(&c, sn->conf_index, 8);
    wcur_uint(&c, sn->conf_len, 8);
    wcur_uint(&c, sn->len, 8);
    snapshot_sum(s, to, sn, to + SNAPSHOT_PLAIN);
}

int snapshot_decode_head(const uint8_t p[SNAPSHOT_HEAD], uint64_t file_len,
                         struct consensus_snapshot *sn)
{
    struct rcur c = { .p = p, .end = p + SNAPSHOT_HEAD };
    uint64_t conf_len, len;
    int rc;

    memset(sn, 0, sizeof *sn);
    if (rcur_uint(&c, 4) != SNAPSHOT_MAGIC)
        return -EBADMSG;
    rc = check_version(rcur_uint(&c, 4));
    if (rc < 0)
        return rc;
    sn->index = rcur_uint(&c, 8);
    sn->term = rcur_uint(&c, 8);
    sn->conf_index = rcur_uint(&c, 8);
    conf_len = rcur_uint(&c, 8);
    len = rcur_uint(&c, 8);
    if (file_len < SNAPSHOT_HEAD || file_len > SIZE_MAX / 2 || conf_len > SNAPSHOT_CONF_MAX ||
        len > file_len || len + conf_len != file_len - SNAPSHOT_HEAD)
        return -EBADMSG;
    sn->conf_len = (size_t)conf_len;
    sn->len = (size_t)len;
    return 0;
}

bool snapshot_check(struct sums *s, const uint8_t head[SNAPSHOT_HEAD],
                    const struct consensus_snapshot *sn)
{
    uint8_t digest[SUM_LEN];

    snapshot_sum(s, head, sn, digest);
    return memcmp(head + SNAPSHOT_PLAIN, digest, SUM_LEN) == 0;
}
