/*
 * consensus_msg.c - what the servers of one consensus say to each other, as bytes.
 *
 *   version u8 (1), kind u8, from u64, to u64, term u64, then
 *   APPEND       flags u8 (1 quiet), prev index u64, its term u64, commit u64, n u32,
 *                n * (term u64, kind u8, len u32, bytes)
 *   APPENDED     rejected u64, last index u64
 *   VOTE         flags u8 (1 disrupt, 2 pre), last index u64, its term u64
 *   VOTED        flags u8 (1 granted, 2 pre)
 *   PART         transfer u64, index u64, its term u64, conf index u64, conf len u32, conf,
 *                total u64, offset u64, len u32, bytes
 *   PART_HAVE    transfer u64, have u64
 *   TIMEOUT_NOW  last index u64, its term u64
 *   READ, READ_YES  round u64
 *
 * All big-endian. What decodes is sane in itself: known kinds and flags, no byte left over, terms
 * that never fall from entry to entry, configurations that can be read. The engine below trusts
 * what it is given, so whatever it does not check itself is checked here or in consensus_recv.c.
 */
#include "cluster/consensus_msg.h"

#include "base/cleanup.h"
#include "base/cur.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MSG_VERSION = 1, HEAD = 26, ENTRY_HEAD = 13 };
enum { QUIET = 1, DISRUPT = 1, GRANTED = 1, PRE = 2 };

static int bad(struct oerr *e, const char *what)
{
    return oerr_set(e, -EPROTO, "a message of consensus has no good %s", what);
}

static bool is_index(uint64_t v)
{
    return v <= CONSENSUS_INDEX_MAX;
}

/* An index and its term: both are 0 before the first entry. */
static bool is_place(uint64_t index, uint64_t term, uint64_t newest)
{
    return is_index(index) && term <= newest && (index == 0) == (term == 0);
}

/* ---- configurations: version u8 (1), n u64, n * (node u64, id with NUL, role u8), padding to 8;
 * little-endian, as libraft does it */

static const enum consensus_role conf_roles[] = { ROLE_LEARNER, ROLE_VOTER, ROLE_SPARE };

static uint64_t take_le64(struct rcur *c)
{
    return __builtin_bswap64(rcur_uint(c, 8));
}

static bool take_server(struct rcur *c, struct consensus_server *s)
{
    const uint8_t *nul;
    size_t len;
    uint64_t role;

    s->node = take_le64(c);
    nul = c->bad ? NULL : memchr(c->p, 0, (size_t)(c->end - c->p));
    len = nul ? (size_t)(nul - c->p) : 0;
    if (len == 0 || len >= sizeof s->id)
        return false;
    rcur_bytes(c, s->id, len + 1);
    role = rcur_uint(c, 1);
    if (c->bad || role >= ARRAY_SIZE(conf_roles) || s->node == 0)
        return false;
    s->role = conf_roles[role];
    return true;
}

static bool is_twice(const struct consensus_server *v, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (v[j].node == v[i].node || strcmp(v[j].id, v[i].id) == 0)
            return true;
    return false;
}

int consensus_conf_decode(const void *data, size_t len, struct consensus_server **out, size_t *n,
                          struct oerr *e)
{
    struct rcur c = { .p = data, .end = (const uint8_t *)data + len };
    cleanup_free struct consensus_server *v = NULL;
    uint64_t version = rcur_uint(&c, 1), count = take_le64(&c);

    if (c.bad || version != 1 || count == 0 || count > CONSENSUS_SERVERS_MAX)
        return bad(e, "list of servers");
    v = calloc(count, sizeof *v);
    if (!v)
        return oerr_set(e, -ENOMEM, "no memory for a list of servers");
    for (size_t i = 0; i < count; i++)
        if (!take_server(&c, &v[i]) || is_twice(v, i))
            return bad(e, "list of servers");
    if (c.end - c.p > 7) /* padding, of any content */
        return bad(e, "end of a list of servers");
    *out = take_ptr(v);
    *n = count;
    return 0;
}

static int check_conf(const void *data, size_t len, struct oerr *e)
{
    struct consensus_server *v = NULL;
    size_t n;
    int rc = consensus_conf_decode(data, len, &v, &n, e);

    free(v);
    return rc;
}

/* ---- encode */

size_t consensus_msg_entry_size(const struct consensus_entry *entry)
{
    return ENTRY_HEAD + entry->len;
}

static size_t size_of(const struct consensus_msg *m)
{
    size_t size = HEAD;

    switch (m->kind) {
    case MSG_APPEND:
        size += 1 + 3 * 8 + 4;
        for (uint32_t i = 0; i < m->append.n; i++)
            size += consensus_msg_entry_size(&m->append.entries[i]);
        return size;
    case MSG_PART:
        return size + 4 * 8 + 4 + m->part.conf_len + 2 * 8 + 4 + m->part.len;
    default:
        return size + 1 + 2 * 8; /* the largest of the others */
    }
}

static void put_append(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->append.quiet ? QUIET : 0, 1);
    wcur_uint(w, m->append.prev_index, 8);
    wcur_uint(w, m->append.prev_term, 8);
    wcur_uint(w, m->append.commit, 8);
    wcur_uint(w, m->append.n, 4);
    for (uint32_t i = 0; i < m->append.n; i++) {
        const struct consensus_entry *entry = &m->append.entries[i];

        wcur_uint(w, entry->term, 8);
        wcur_uint(w, entry->kind, 1);
        wcur_uint(w, entry->len, 4);
        wcur_bytes(w, entry->data, entry->len);
    }
}

static void put_appended(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->appended.rejected, 8);
    wcur_uint(w, m->appended.last_index, 8);
}

static void put_vote(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, (m->vote.disrupt ? DISRUPT : 0) | (m->vote.pre ? PRE : 0), 1);
    wcur_uint(w, m->vote.last_index, 8);
    wcur_uint(w, m->vote.last_term, 8);
}

static void put_voted(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, (m->voted.granted ? GRANTED : 0) | (m->voted.pre ? PRE : 0), 1);
}

static void put_part(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->part.transfer, 8);
    wcur_uint(w, m->part.index, 8);
    wcur_uint(w, m->part.index_term, 8);
    wcur_uint(w, m->part.conf_index, 8);
    wcur_uint(w, m->part.conf_len, 4);
    wcur_bytes(w, m->part.conf, m->part.conf_len);
    wcur_uint(w, m->part.total, 8);
    wcur_uint(w, m->part.offset, 8);
    wcur_uint(w, m->part.len, 4);
    wcur_bytes(w, m->part.data, m->part.len);
}

static void put_have(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->have.transfer, 8);
    wcur_uint(w, m->have.have, 8);
}

static void put_timeout_now(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->timeout_now.last_index, 8);
    wcur_uint(w, m->timeout_now.last_term, 8);
}

static void put_read(struct wcur *w, const struct consensus_msg *m)
{
    wcur_uint(w, m->read.round, 8);
}

/* ---- decode */

static int walk_entries(struct rcur *c, const struct consensus_msg *m, struct oerr *e)
{
    uint64_t index = m->append.prev_index, term = m->append.prev_term;

    for (uint32_t i = 0; i < m->append.n; i++) {
        uint64_t entry_term = rcur_uint(c, 8), kind = rcur_uint(c, 1);
        size_t len = (size_t)rcur_uint(c, 4);

        index++;
        if (!rcur_has(c, len))
            return bad(e, "length of an entry");
        if (entry_term < term || entry_term == 0 || entry_term > m->term)
            return bad(e, "term of an entry");
        if (kind < ENTRY_COMMAND || kind > ENTRY_CHANGE || (index == 1 && kind != ENTRY_CHANGE))
            return bad(e, "kind of an entry");
        if (kind == ENTRY_CHANGE && check_conf(c->p, len, e) < 0)
            return -EPROTO;
        term = entry_term;
        c->p += len;
    }
    return 0;
}

static int take_append(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    uint64_t flags = rcur_uint(c, 1);

    m->append.prev_index = rcur_uint(c, 8);
    m->append.prev_term = rcur_uint(c, 8);
    m->append.commit = rcur_uint(c, 8);
    m->append.n = (uint32_t)rcur_uint(c, 4);
    m->append.quiet = flags & QUIET;
    m->append.raw = c->p;
    m->append.raw_len = c->bad ? 0 : (size_t)(c->end - c->p);
    if (flags & ~(uint64_t)QUIET || m->append.n > m->append.raw_len / ENTRY_HEAD ||
        !is_place(m->append.prev_index, m->append.prev_term, m->term) ||
        !is_index(m->append.commit))
        return bad(e, "head of entries");
    return walk_entries(c, m, e);
}

static int take_appended(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    m->appended.rejected = rcur_uint(c, 8);
    m->appended.last_index = rcur_uint(c, 8);
    if (!is_index(m->appended.rejected) || !is_index(m->appended.last_index))
        return bad(e, "index");
    return 0;
}

static int take_vote(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    uint64_t flags = rcur_uint(c, 1);

    m->vote.last_index = rcur_uint(c, 8);
    m->vote.last_term = rcur_uint(c, 8);
    m->vote.disrupt = flags & DISRUPT;
    m->vote.pre = flags & PRE;
    if (flags & ~(uint64_t)(DISRUPT | PRE) ||
        !is_place(m->vote.last_index, m->vote.last_term, m->term))
        return bad(e, "request for a vote");
    return 0;
}

static int take_voted(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    uint64_t flags = rcur_uint(c, 1);

    m->voted.granted = flags & GRANTED;
    m->voted.pre = flags & PRE;
    return flags & ~(uint64_t)(GRANTED | PRE) ? bad(e, "vote") : 0;
}

static const void *take_bytes(struct rcur *c, size_t max, size_t *len)
{
    const void *p;

    *len = (size_t)rcur_uint(c, 4);
    if (*len > max || !rcur_has(c, *len)) {
        c->bad = true;
        *len = 0;
        return NULL;
    }
    p = c->p;
    c->p += *len;
    return p;
}

static int take_part(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    m->part.transfer = rcur_uint(c, 8);
    m->part.index = rcur_uint(c, 8);
    m->part.index_term = rcur_uint(c, 8);
    m->part.conf_index = rcur_uint(c, 8);
    m->part.conf = take_bytes(c, CONSENSUS_PART_MAX, &m->part.conf_len);
    m->part.total = rcur_uint(c, 8);
    m->part.offset = rcur_uint(c, 8);
    m->part.data = take_bytes(c, CONSENSUS_PART_MAX, &m->part.len);
    if (c->bad || m->part.index == 0 || m->part.conf_index > m->part.index ||
        !is_place(m->part.index, m->part.index_term, m->term) || m->part.conf_index == 0)
        return bad(e, "head of a snapshot");
    if (m->part.total > CONSENSUS_SNAPSHOT_MAX || m->part.offset > m->part.total ||
        m->part.len > m->part.total - m->part.offset || (m->part.len == 0 && m->part.total != 0))
        return bad(e, "part of a snapshot");
    return check_conf(m->part.conf, m->part.conf_len, e) < 0 ? -EPROTO : 0;
}

static int take_have(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    m->have.transfer = rcur_uint(c, 8);
    m->have.have = rcur_uint(c, 8);
    return m->have.have > CONSENSUS_SNAPSHOT_MAX ? bad(e, "part of a snapshot") : 0;
}

static int take_timeout_now(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    m->timeout_now.last_index = rcur_uint(c, 8);
    m->timeout_now.last_term = rcur_uint(c, 8);
    if (!is_place(m->timeout_now.last_index, m->timeout_now.last_term, m->term))
        return bad(e, "index");
    return 0;
}

static int take_read(struct rcur *c, struct consensus_msg *m, struct oerr *e)
{
    (void)e;
    m->read.round = rcur_uint(c, 8);
    return 0;
}

static const struct {
    void (*put)(struct wcur *w, const struct consensus_msg *m);
    int (*take)(struct rcur *c, struct consensus_msg *m, struct oerr *e);
} kinds[MSG_KINDS] = {
    [MSG_APPEND] = { put_append, take_append },
    [MSG_APPENDED] = { put_appended, take_appended },
    [MSG_VOTE] = { put_vote, take_vote },
    [MSG_VOTED] = { put_voted, take_voted },
    [MSG_PART] = { put_part, take_part },
    [MSG_PART_HAVE] = { put_have, take_have },
    [MSG_TIMEOUT_NOW] = { put_timeout_now, take_timeout_now },
    [MSG_READ] = { put_read, take_read },
    [MSG_READ_YES] = { put_read, take_read },
};

int consensus_msg_encode(const struct consensus_msg *m, void **data, size_t *len)
{
    size_t size = size_of(m);
    cleanup_free uint8_t *buf = NULL;
    struct wcur w;

    if (m->kind <= 0 || m->kind >= MSG_KINDS)
        return -EINVAL;
    if (size > CONSENSUS_MSG_MAX)
        return -EMSGSIZE;
    buf = malloc(size);
    if (!buf)
        return -ENOMEM;
    w = (struct wcur){ .p = buf, .end = buf + size };
    wcur_uint(&w, MSG_VERSION, 1);
    wcur_uint(&w, m->kind, 1);
    wcur_uint(&w, m->from, 8);
    wcur_uint(&w, m->to, 8);
    wcur_uint(&w, m->term, 8);
    kinds[m->kind].put(&w, m);
    if (w.bad)
        return -EINVAL;
    *len = (size_t)(w.p - buf);
    *data = take_ptr(buf);
    return 0;
}

int consensus_msg_decode(const void *data, size_t len, struct consensus_msg *m, struct oerr *e)
{
    struct rcur c = { .p = data, .end = (const uint8_t *)data + len };
    uint64_t version, kind;
    int rc;

    memset(m, 0, sizeof *m);
    if (len > CONSENSUS_MSG_MAX)
        return bad(e, "length");
    version = rcur_uint(&c, 1);
    kind = rcur_uint(&c, 1);
    m->from = rcur_uint(&c, 8);
    m->to = rcur_uint(&c, 8);
    m->term = rcur_uint(&c, 8);
    if (c.bad)
        return bad(e, "head");
    if (version != MSG_VERSION)
        return oerr_set(e, -EPROTO, "a message of consensus has version %u, known is %d",
                        (unsigned)version, MSG_VERSION);
    if (kind == 0 || kind >= MSG_KINDS)
        return bad(e, "kind");
    if (m->from == 0 || m->to == 0 || m->from == m->to || m->term == 0 || !is_index(m->term))
        return bad(e, "sender or term");
    m->kind = (enum consensus_msg_kind)kind;
    rc = kinds[kind].take(&c, m, e);
    if (rc == 0 && c.bad)
        rc = bad(e, "end: it is cut short");
    if (rc == 0 && c.p != c.end)
        rc = bad(e, "end: there is more");
    return rc;
}

void consensus_msg_entries(const struct consensus_msg *m, struct consensus_entry *v)
{
    struct rcur c = { .p = m->append.raw, .end = m->append.raw + m->append.raw_len };

    for (uint32_t i = 0; i < m->append.n; i++) {
        v[i].term = rcur_uint(&c, 8);
        v[i].kind = (uint8_t)rcur_uint(&c, 1);
        v[i].len = (size_t)rcur_uint(&c, 4);
        v[i].data = c.p;
        c.p += v[i].len;
    }
}
