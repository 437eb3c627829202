/*
 * consensus_part.c - snapshots in parts, both ways.
 *
 * Sender: WINDOW parts ahead of what the other says it has (PART_HAVE); from there again after
 * RESEND_MS without news; given up after GIVE_UP_MS, which libraft is told, so that it begins anew.
 * Receiver: one snapshot at a time, parts in order; what is out of order is answered with how far
 * we are and dropped. One of a newer term or number takes the place of an older one, and one that
 * stands still for GIVE_UP_MS is dropped. Whole, it waits until libraft can take it: libraft
 * ignores one while it takes its own, and the leader would wait 30 seconds.
 */
#include "cluster/consensus_private.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 3, RESEND_MS = 500, GIVE_UP_MS = 5000 };

/* ---- out */

static void say_part(struct consensus *c, const struct transfer *t, uint64_t offset)
{
    const struct raft_install_snapshot *w = &t->what;
    const struct raft_server *s = conf_server(&c->raft, t->node);
    struct consensus_msg m = {
        .kind = MSG_PART,
        .from = c->node,
        .to = t->node,
        .term = w->term,
        .part = { .transfer = t->number,
                  .index = w->last_index,
                  .index_term = w->last_term,
                  .conf_index = w->conf_index,
                  .conf = t->conf.base,
                  .conf_len = t->conf.len,
                  .total = w->data.len,
                  .offset = offset },
    };
    size_t left = w->data.len - (size_t)offset;

    m.part.len = left < CONSENSUS_PART_MAX ? left : CONSENSUS_PART_MAX;
    m.part.data = (const char *)w->data.base + offset;
    if (s)
        consensus_say(c, &m, s->address);
}

static void go_on(struct consensus *c, struct transfer *t)
{
    if (t->what.data.len == 0 && t->sent_to == 0) {
        say_part(c, t, 0);
        t->sent_to = 1;
    }
    while (t->sent_to < t->what.data.len &&
           t->sent_to < t->have + (uint64_t)WINDOW * CONSENSUS_PART_MAX) {
        size_t left = t->what.data.len - (size_t)t->sent_to;

        say_part(c, t, t->sent_to);
        t->sent_to += left < CONSENSUS_PART_MAX ? left : CONSENSUS_PART_MAX;
    }
    t->resent_ms = consensus_now(c);
}

static void end(struct consensus *c, struct peer *p, int status)
{
    struct transfer *t = p->transfer;

    p->transfer = NULL;
    consensus_sent_done(c, t->sent, status);
    raft_free(t->conf.base);
    free(t);
}

int consensus_part_begin(struct consensus *c, struct sent *s, const struct raft_message *m)
{
    struct peer *p = consensus_peer(c, m->server_id);
    struct transfer *t;

    if (p->transfer)
        end(c, p, 0); /* an error would abort the new one */
    t = raft_calloc(1, sizeof *t);
    t->number = ++c->transfers;
    t->node = m->server_id;
    t->sent = s;
    t->what = m->install_snapshot;
    t->moved_ms = consensus_now(c);
    p->transfer = t;
    if (raft_configuration_encode(&t->what.conf, &t->conf) != 0) {
        end(c, p, RAFT_NOMEM);
        return 0;
    }
    go_on(c, t);
    return 0;
}

void consensus_part_have(struct consensus *c, const struct consensus_msg *m)
{
    struct peer *p = consensus_peer(c, m->from);
    struct transfer *t = p->transfer;

    if (!t || t->number != m->have.transfer || t->what.term != m->term ||
        m->have.have > t->what.data.len || m->have.have < t->have)
        return;
    if (m->have.have > t->have) {
        t->moved_ms = consensus_now(c);
        consensus_snapshot_moves(c, m->from);
    }
    t->have = m->have.have;
    if (t->have == t->what.data.len)
        end(c, p, 0);
    else
        go_on(c, t);
}

static void tick_out(struct consensus *c, struct peer *p, uint64_t now)
{
    struct transfer *t = p->transfer;

    if (!t)
        return;
    if (c->raft.state != RAFT_LEADER || c->raft.current_term != t->what.term)
        end(c, p, RAFT_CANCELED);
    else if (now - t->moved_ms >= GIVE_UP_MS)
        end(c, p, RAFT_NOCONNECTION);
    else if (now - t->resent_ms >= RESEND_MS) {
        t->sent_to = t->have;
        go_on(c, t);
    }
}

/* ---- in */

static void drop_in(struct consensus *c)
{
    free(c->incoming.data);
    free(c->incoming.conf);
    c->incoming = (struct incoming){ 0 };
}

static bool begin_in(struct consensus *c, const struct consensus_msg *m)
{
    struct incoming *in = &c->incoming;

    drop_in(c);
    in->data = malloc(m->part.total ? m->part.total : 1);
    in->conf = malloc(m->part.conf_len);
    if (!in->data || !in->conf) {
        drop_in(c);
        return false;
    }
    memcpy(in->conf, m->part.conf, m->part.conf_len);
    in->conf_len = m->part.conf_len;
    in->from = m->from;
    in->transfer = m->part.transfer;
    in->term = m->term;
    in->index = m->part.index;
    in->index_term = m->part.index_term;
    in->conf_index = m->part.conf_index;
    in->total = m->part.total;
    in->moved_ms = consensus_now(c);
    return true;
}

static bool is_same(const struct incoming *in, const struct consensus_msg *m)
{
    return in->data && in->from == m->from && in->transfer == m->part.transfer &&
           in->term == m->term && in->index == m->part.index && in->total == m->part.total;
}

void consensus_part_take(struct consensus *c, const struct consensus_msg *m, const char *from_id)
{
    struct incoming *in = &c->incoming;
    struct consensus_msg out = {
        .kind = MSG_PART_HAVE, .from = c->node, .to = m->from, .term = m->term
    };

    if (!is_same(in, m)) {
        if (m->part.offset != 0 || m->term < in->term ||
            (m->term == in->term && m->from == in->from && m->part.transfer < in->transfer))
            return;
        if (!begin_in(c, m))
            return;
    }
    if (m->part.offset == in->have && !in->whole) {
        memcpy(in->data + in->have, m->part.data ? m->part.data : "", m->part.len);
        in->have += m->part.len;
        in->whole = in->have == in->total;
        in->moved_ms = consensus_now(c);
    }
    out.have.transfer = in->transfer;
    out.have.have = in->have;
    consensus_say(c, &out, from_id);
    consensus_part_offer(c);
}

/* Hands a whole snapshot to libraft, when it can take one. When we hold another entry at its index,
 * left over from a leader of a newer term, libraft believes to have all of it; so the term is
 * raised for its eyes and put right in io_snapshot_put(). */
void consensus_part_offer(struct consensus *c)
{
    struct incoming *in = &c->incoming;
    struct raft *r = &c->raft;
    struct raft_message m = { .type = RAFT_IO_INSTALL_SNAPSHOT, .server_id = in->from };
    char id[ID_MAX];
    uint64_t own;

    if (!in->whole || c->fenced)
        return;
    if (in->term < r->current_term || (in->term == c->lead_term && in->from != c->lead_node)) {
        drop_in(c);
        return;
    }
    if (in->term != c->lead_term || r->snapshot.pending.term != 0 || r->snapshot.put.data != NULL)
        return;
    own = log_term(r, in->index);
    if ((in->index <= r->commit_index && own && own != in->index_term) ||
        conf_from_bytes(in->conf, in->conf_len, &m.install_snapshot.conf) < 0) {
        if (rate_take(&c->complaints, consensus_now(c)))
            log_warn("consensus", "ignored a snapshot of %s: it contradicts what is committed",
                     c->lead_id);
        drop_in(c);
        return;
    }
    memcpy(id, c->lead_id, sizeof id);
    m.server_address = id;
    m.install_snapshot.term = in->term;
    m.install_snapshot.last_index = in->index;
    m.install_snapshot.last_term = own > in->index_term ? own + 1 : in->index_term;
    c->in.snapshot_term = in->index_term;
    m.install_snapshot.conf_index = in->conf_index;
    m.install_snapshot.data.base = in->data;
    m.install_snapshot.data.len = (size_t)in->total;
    in->data = NULL;
    c->in.top = in->index;
    drop_in(c);
    consensus_hand_in(c, &m, id);
}

void consensus_part_tick(struct consensus *c)
{
    uint64_t now = consensus_now(c);

    for (size_t i = 0; i < c->n_peers; i++)
        tick_out(c, &c->peers[i], now);
    if (c->incoming.data && now - c->incoming.moved_ms >= GIVE_UP_MS)
        drop_in(c);
}

void consensus_part_drop(struct consensus *c)
{
    for (size_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].transfer)
            end(c, &c->peers[i], RAFT_CANCELED);
    drop_in(c);
}
