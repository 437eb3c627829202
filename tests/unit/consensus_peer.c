/*
 * consensus_peer.c - one server, and the test plays its peers (consensus_peer.h).
 */
#include "tests/unit/consensus_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const enum consensus_role peer_voters[5] = { ROLE_VOTER, ROLE_VOTER, ROLE_VOTER, ROLE_VOTER,
                                             ROLE_VOTER };

/* ---- the disk it starts with */

struct consensus_entry peer_change(const enum consensus_role *roles, size_t n, uint64_t term)
{
    static uint8_t bytes[8][512];
    static unsigned i;
    uint8_t *to = bytes[i++ % 8];

    return (struct consensus_entry){ term, ENTRY_CHANGE, to, kit_conf(to, roles, n) };
}

void *peer_copy_of(const void *data, size_t len)
{
    return memcpy(malloc(len + 1), data, len);
}

void peer_on_disk(struct kit *k, struct consensus_entry e)
{
    struct kit_disk *d = &k->s[0].disk;

    e.data = peer_copy_of(e.data, e.len);
    d->e[d->first + d->n++] = e;
    d->term = e.term > d->term ? e.term : d->term;
}

struct consensus_entry peer_command(uint64_t term)
{
    return (struct consensus_entry){ term, ENTRY_COMMAND, "x", 1 };
}

void peer_start(struct kit *k)
{
    struct oerr e;

    if (kit_start(k, 0, &e) < 0)
        fail_msg("%s", e.text);
}

struct kit *peer_three_voters(void)
{
    struct kit *k = kit_new();

    peer_on_disk(k, peer_change(peer_voters, 3, 1));
    return k;
}

/* ---- what the peers say */

void peer_say(struct kit *k, struct consensus_msg m, uint64_t from, uint64_t term)
{
    char id[8];
    void *data;
    size_t len;

    m.from = from;
    m.to = 101;
    m.term = term;
    snprintf(id, sizeof id, "m%u", (unsigned)(from - 101));
    assert_int_equal(consensus_msg_encode(&m, &data, &len), 0);
    consensus_receive(k->s[0].c, data, len, id);
    free(data);
}

void peer_append(struct kit *k, struct leader l, uint64_t prev, uint64_t prev_term,
                 const struct consensus_entry *v, uint32_t n, uint64_t commit)
{
    struct consensus_msg m = { .kind = MSG_APPEND,
                               .append = { .prev_index = prev,
                                           .prev_term = prev_term,
                                           .commit = commit,
                                           .n = n,
                                           .entries = v } };

    peer_say(k, m, l.from, l.term);
}

void peer_commands(struct kit *k, struct leader l, uint64_t prev, uint64_t prev_term, uint32_t n,
                   uint64_t commit)
{
    struct consensus_entry v[32];

    for (uint32_t i = 0; i < n; i++)
        v[i] = peer_command(l.term);
    peer_append(k, l, prev, prev_term, v, n, commit);
}

void peer_appended(struct kit *k, uint64_t from, uint64_t term, uint64_t last)
{
    struct consensus_msg m = { .kind = MSG_APPENDED, .appended = { .last_index = last } };

    peer_say(k, m, from, term);
}

void peer_snapshot(struct kit *k, struct leader l, uint64_t index)
{
    struct consensus_entry c = peer_change(peer_voters, 3, 1);
    struct consensus_msg m = { .kind = MSG_PART,
                               .part = { .transfer = index,
                                         .index = index,
                                         .index_term = l.term,
                                         .conf_index = 1,
                                         .conf = c.data,
                                         .conf_len = c.len,
                                         .total = 2,
                                         .data = "s;",
                                         .len = 2 } };

    peer_say(k, m, l.from, l.term);
}

/* ---- what it says */

bool peer_hears(struct kit *k, enum consensus_msg_kind kind, uint64_t to, struct consensus_msg *out)
{
    static uint8_t held[8][4096]; /* what decoded messages point into */
    static unsigned i;
    bool found = false;

    while (k->mail) {
        struct kit_mail *m = k->mail;
        struct consensus_msg msg;
        struct oerr e;
        uint8_t *bytes = held[i % 8];

        if (m->len > sizeof held[0])
            abort();
        memcpy(bytes, m->data, m->len);
        if (consensus_msg_decode(bytes, m->len, &msg, &e) < 0)
            fail_msg("%s", e.text);
        if (msg.kind == kind && (!to || msg.to == to)) {
            *out = msg;
            found = true;
            i++;
        }
        k->mail = m->next;
        free(m);
    }
    k->end = &k->mail;
    return found;
}

uint64_t peer_last_appended(struct kit *k)
{
    struct consensus_msg m;

    if (!peer_hears(k, MSG_APPENDED, 0, &m))
        return UINT64_MAX;
    assert_int_equal(m.appended.rejected, 0);
    return m.appended.last_index;
}

void peer_ticks(struct kit *k, unsigned ms)
{
    for (uint64_t end = k->now + ms; k->now < end; k->now += 5) {
        consensus_tick(k->s[0].c);
        if (!k->s[0].disk.held)
            while (kit_end_work(k, 0))
                ;
    }
}

bool peer_stands(struct kit *k, struct consensus_msg *m)
{
    for (int i = 0; i < 300; i++) {
        peer_ticks(k, 5);
        if (peer_hears(k, MSG_VOTE, 102, m))
            return true;
    }
    return false;
}

void peer_lead(struct kit *k)
{
    struct consensus_msg m, vote = { .kind = MSG_VOTED, .voted = { .granted = true, .pre = true } };

    assert_true(peer_stands(k, &m));
    assert_true(m.vote.pre);
    peer_say(k, vote, 102, m.term);
    assert_true(peer_hears(k, MSG_VOTE, 102, &m));
    assert_false(m.vote.pre);
    vote.voted.pre = false;
    peer_say(k, vote, 102, m.term);
    assert_true(consensus_is_leader(k->s[0].c));
}

size_t peer_servers(struct kit *k)
{
    const struct consensus_server *v;

    return consensus_servers(k->s[0].c, &v);
}

bool peer_works(struct kit *k)
{
    if (consensus_failed(k->s[0].c))
        fail_msg("%s", consensus_failed(k->s[0].c));
    return true;
}
