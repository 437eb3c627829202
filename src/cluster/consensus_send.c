/*
 * consensus_send.c - messages out: libraft's, and notices of commits.
 *
 * libraft puts all entries from a server's next index on into one message. They are cut here into
 * messages of PIECE_MAX bytes, at most WINDOW_MAX at a time, and a server that does not answer gets
 * PROBE_MAX; what was left out is given back to libraft (next_index) at the end of the event.
 *
 * A follower learns of a commit with the leader's next message only. So at the end of each event
 * the followers that were not told yet get an empty message that asks for no answer. It speaks of
 * the newest entry that the follower is known to hold, so that it can never be refused; but it
 * says all that is committed of what was sent, as the follower itself knows what it has of that.
 *
 * An answer that says "I have up to last_index" is cut to what was compared with the leader of this
 * very term: libraft 0.15 says what is on its disk, which may be more, left over from another
 * leader, and the leader would count it (recv_append_entries.c, appendFollowerCb). One that
 * refuses, since another entry stands there, says what is committed here: that surely is the
 * leader's too, while libraft would go back one entry a heartbeat.
 */
#include "cluster/consensus_private.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_MAX = 1 << 20, WINDOW_MAX = 4 << 20, PROBE_MAX = 64 << 10 };
enum { PROGRESS_PROBE, PROGRESS_PIPELINE, PROGRESS_SNAPSHOT }; /* of libraft, src/progress.h */

void consensus_say(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    void *data;
    size_t len;

    if (c->fenced || c->closing || m->term == 0 || consensus_msg_encode(m, &data, &len) < 0)
        return;
    c->fn.send(c->env, m->to, id, data, len);
    free(data);
}

static struct consensus_msg msg_to(const struct consensus *c, uint64_t node,
                                   enum consensus_msg_kind kind, uint64_t term)
{
    return (struct consensus_msg){ .kind = kind, .from = c->node, .to = node, .term = term };
}

static unsigned progress_of(const struct raft *r, uint64_t node)
{
    unsigned i = 0;

    while (i < r->configuration.n && r->configuration.servers[i].id != node)
        i++;
    return i;
}

/* libraft counts its timeout of a snapshot from the start, we from the last part that arrived. */
void consensus_snapshot_moves(struct consensus *c, uint64_t node)
{
    unsigned i = progress_of(&c->raft, node);

    if (c->raft.state == RAFT_LEADER && i < c->raft.configuration.n)
        c->raft.leader_state.progress[i].snapshot_last_send = consensus_now(c);
}

/* libraft goes on after a refusal only with the next heartbeat. It always goes back then, so this
 * ends.
 */
void consensus_retry_now(struct consensus *c, uint64_t node)
{
    unsigned i = progress_of(&c->raft, node);

    if (c->raft.state == RAFT_LEADER && i < c->raft.configuration.n)
        c->raft.leader_state.progress[i].last_send = 0;
}

/* A snapshot is being read from our disk, to be sent to somebody. */
static bool reading(const struct consensus *c)
{
    for (const struct disk_op *op = c->ops; op; op = op->next)
        if (op->kind == OP_SNAPSHOT_GET)
            return true;
    return false;
}

/* A server that refuses although its log is not empty is not installing the snapshot that it got:
 * it crashed meanwhile. libraft would wait for its timeout. */
void consensus_snapshot_lost(struct consensus *c, const struct consensus_msg *m)
{
    struct raft *r = &c->raft;
    unsigned i = progress_of(r, m->from);

    if (r->state != RAFT_LEADER || m->term != r->current_term || i >= r->configuration.n ||
        r->leader_state.progress[i].state != PROGRESS_SNAPSHOT || m->appended.rejected == 0 ||
        m->appended.last_index == 0 || consensus_peer(c, m->from)->transfer || reading(c))
        return;
    r->leader_state.progress[i].state = PROGRESS_PROBE;
    r->leader_state.progress[i].snapshot_index = 0;
}

/* ---- entries */

/* How many entries from `from` on, up to `to`, fit into max bytes: at least one. */
static uint32_t fitting(const struct raft_append_entries *a, uint32_t from, uint32_t to, size_t max)
{
    size_t size = 0;
    uint32_t i = from;

    while (i < to) {
        size += a->entries[i].buf.len + 13;
        if (i > from && size > max)
            break;
        i++;
    }
    return i - from;
}

static void say_piece(struct consensus *c, const struct raft_message *m, uint32_t from, uint32_t n)
{
    const struct raft_append_entries *a = &m->append_entries;
    struct consensus_msg out = msg_to(c, m->server_id, MSG_APPEND, a->term);
    struct consensus_entry *v = raft_calloc(n + 1, sizeof *v);

    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct consensus_entry){ .term = a->entries[from + i].term,
                                         .kind = (uint8_t)a->entries[from + i].type,
                                         .data = a->entries[from + i].buf.base,
                                         .len = a->entries[from + i].buf.len };
    out.append.prev_index = a->prev_log_index + from;
    out.append.prev_term = from ? a->entries[from - 1].term : a->prev_log_term;
    out.append.commit = a->leader_commit;
    if (out.append.commit > out.append.prev_index + n)
        out.append.commit = out.append.prev_index + n;
    out.append.n = n;
    out.append.entries = v;
    consensus_say(c, &out, m->server_address);
    free(v);
}

/* How many of the entries may be sent. A change that takes the vote from a server is told to it
 * last, when it is committed: one that has it would neither stand for election nor let others win,
 * whose logs are shorter, and there may be no majority without it. */
static uint32_t sendable(const struct raft *r, const struct raft_append_entries *a, uint64_t node)
{
    const struct raft_server *s = conf_server(r, node);
    uint32_t i = 0;

    if (s && s->role == RAFT_VOTER)
        return a->n_entries;
    while (i < a->n_entries &&
           (a->entries[i].type != RAFT_CHANGE || a->prev_log_index + i + 1 <= r->commit_index))
        i++;
    return i;
}

static void send_append(struct consensus *c, const struct raft_message *m)
{
    const struct raft_append_entries *a = &m->append_entries;
    const struct raft *r = &c->raft;
    unsigned i = progress_of(r, m->server_id);
    struct peer *p = consensus_peer(c, m->server_id);
    bool flows = i < r->configuration.n && r->leader_state.progress[i].state == PROGRESS_PIPELINE;
    size_t room = flows ? WINDOW_MAX : PROBE_MAX;
    uint32_t done = 0, may = sendable(r, a, m->server_id);

    do {
        size_t max = room < PIECE_MAX ? room : PIECE_MAX, size = 0;
        uint32_t n = fitting(a, done, may, max);

        say_piece(c, m, done, n);
        for (uint32_t k = 0; k < n; k++)
            size += a->entries[done + k].buf.len + 13;
        done += n;
        room = size < room ? room - size : 0;
    } while (done < may && room > 0);
    p->next_cut = 0;
    if (flows && done < a->n_entries) {
        p->next_cut = a->prev_log_index + done + 1;
        p->next_seen = a->prev_log_index + a->n_entries + 1;
    }
    if (p->commit_sent < a->leader_commit && a->leader_commit <= a->prev_log_index + done)
        p->commit_sent = a->leader_commit;
}

/* What did not fit was not sent. */
static void give_back(struct consensus *c)
{
    struct raft *r = &c->raft;

    for (size_t k = 0; k < c->n_peers; k++) {
        struct peer *p = &c->peers[k];
        unsigned i = progress_of(r, p->node);

        if (p->next_cut && r->state == RAFT_LEADER && i < r->configuration.n &&
            r->leader_state.progress[i].state == PROGRESS_PIPELINE &&
            r->leader_state.progress[i].next_index == p->next_seen)
            r->leader_state.progress[i].next_index = p->next_cut;
        p->next_cut = 0;
    }
}

/* ---- the others */

static void send_appended(struct consensus *c, const struct raft_message *m)
{
    const struct raft *r = &c->raft;
    const struct raft_append_entries_result *a = &m->append_entries_result;
    struct consensus_msg out = msg_to(c, m->server_id, MSG_APPENDED, a->term);
    uint64_t known;

    if (c->verified_term != r->current_term) {
        c->verified = 0;
        c->verified_term = r->current_term;
    }
    if (a->rejected == 0 && c->in.active && c->verified < c->in.top && a->term == r->current_term)
        c->verified = c->in.top;
    if (c->in.active && c->in.quiet && a->rejected == 0)
        return;
    known = c->verified > r->commit_index ? c->verified : r->commit_index;
    if (c->stored < known)
        known = c->stored;
    out.appended.rejected = a->rejected;
    out.appended.last_index = a->last_log_index;
    if (a->rejected == 0 && out.appended.last_index > known)
        out.appended.last_index = known;
    if (a->rejected && log_term(r, a->rejected) && out.appended.last_index > r->commit_index)
        out.appended.last_index = r->commit_index;
    consensus_say(c, &out, m->server_address);
}

static void send_vote(struct consensus *c, const struct raft_message *m)
{
    struct consensus_msg out = msg_to(c, m->server_id, MSG_VOTE, m->request_vote.term);

    out.vote.last_index = m->request_vote.last_log_index;
    out.vote.last_term = m->request_vote.last_log_term;
    out.vote.disrupt = m->request_vote.disrupt_leader;
    out.vote.pre = m->request_vote.pre_vote;
    consensus_say(c, &out, m->server_address);
}

static void send_voted(struct consensus *c, const struct raft_message *m)
{
    struct consensus_msg out = msg_to(c, m->server_id, MSG_VOTED, m->request_vote_result.term);

    /* libraft gives the asker its own term back, so that one with the longer log but an older term,
     * which may be the only one who can win, would never learn of ours and be refused for ever. */
    if (!m->request_vote_result.vote_granted && out.term < c->raft.current_term)
        out.term = c->raft.current_term;
    c->in.refused = !m->request_vote_result.vote_granted;
    out.voted.granted = m->request_vote_result.vote_granted;
    out.voted.pre = m->request_vote_result.pre_vote == raft_tribool_true;
    consensus_say(c, &out, m->server_address);
}

static void send_timeout_now(struct consensus *c, const struct raft_message *m)
{
    struct consensus_msg out = msg_to(c, m->server_id, MSG_TIMEOUT_NOW, m->timeout_now.term);

    out.timeout_now.last_index = m->timeout_now.last_log_index;
    out.timeout_now.last_term = m->timeout_now.last_log_term;
    consensus_say(c, &out, m->server_address);
}

static void (*const senders[])(struct consensus *c, const struct raft_message *m) = {
    [RAFT_IO_APPEND_ENTRIES] = send_append,   [RAFT_IO_APPEND_ENTRIES_RESULT] = send_appended,
    [RAFT_IO_REQUEST_VOTE] = send_vote,       [RAFT_IO_REQUEST_VOTE_RESULT] = send_voted,
    [RAFT_IO_TIMEOUT_NOW] = send_timeout_now,
};

/* Whether the address can be read: an answer that was due to a leader, sent when we are no follower
 * any more, has garbage there (the union of states). */
static bool is_addressed(const struct consensus *c, const struct raft_message *m)
{
    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT && !c->in.active && c->raft.state != RAFT_FOLLOWER)
        return false;
    return m->server_id != 0 && m->server_id != c->node && m->server_address != NULL;
}

int consensus_io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *m,
                      raft_io_send_cb cb)
{
    struct consensus *c = io->impl;
    struct sent *s = raft_calloc(1, sizeof *s);
    bool addressed = is_addressed(c, m);

    s->req = req;
    s->cb = cb;
    if (m->type == RAFT_IO_INSTALL_SNAPSHOT && addressed)
        return consensus_part_begin(c, s, m);
    if (addressed)
        senders[m->type](c, m);
    consensus_sent_done(c, s, 0);
    return 0;
}

/* The callback comes at the end of the event: never from inside the call. */
void consensus_sent_done(struct consensus *c, struct sent *s, int status)
{
    s->status = status;
    s->next = NULL;
    *c->sent_end = s;
    c->sent_end = &s->next;
}

void consensus_sent_run(struct consensus *c)
{
    give_back(c);
    while (c->sent) {
        struct sent *s = c->sent;

        c->sent = s->next;
        if (!c->sent)
            c->sent_end = &c->sent;
        if (s->cb)
            s->cb(s->req, s->status);
        free(s);
    }
}

/* ---- notices of commits */

static void notice(struct consensus *c, const struct raft_server *s, uint64_t match, uint64_t sent)
{
    const struct raft *r = &c->raft;
    struct peer *p = consensus_peer(c, s->id);
    struct consensus_msg out = msg_to(c, s->id, MSG_APPEND, r->current_term);
    uint64_t commit = sent < r->commit_index ? sent : r->commit_index;

    if (commit <= p->commit_sent || log_term(r, match) == 0)
        return;
    out.append.prev_index = match;
    out.append.prev_term = log_term(r, match);
    out.append.commit = commit;
    out.append.quiet = true;
    p->commit_sent = commit;
    consensus_say(c, &out, s->address);
}

void consensus_notices(struct consensus *c)
{
    const struct raft *r = &c->raft;

    if (r->state != RAFT_LEADER || c->fenced)
        return;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_server *s = &r->configuration.servers[i];
        const struct raft_progress *p = &r->leader_state.progress[i];

        if (s->id != c->node && s->role != RAFT_SPARE && p->state == PROGRESS_PIPELINE)
            notice(c, s, p->match_index, p->next_index - 1);
    }
}

void consensus_spread(struct consensus *c)
{
    consensus_notices(c);
}

/* libraft goes on sending to a server that is gone; one that was not heard gets probes instead. */
void consensus_probe_silent(struct consensus *c)
{
    struct raft *r = &c->raft;

    if (r->state != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        struct raft_progress *p = &r->leader_state.progress[i];

        if (r->configuration.servers[i].id == c->node || p->state != PROGRESS_PIPELINE ||
            consensus_heard(c, r->configuration.servers[i].id))
            continue;
        p->state = PROGRESS_PROBE;
        p->next_index = p->match_index + 1;
    }
}

/* A server that stored more once than it has now: its disk was put back to an older state. libraft
 * takes its answers for stale ones and would send it nothing for as long as we lead. */
void consensus_went_back(struct consensus *c, uint64_t node, uint64_t last)
{
    struct raft *r = &c->raft;
    unsigned i = progress_of(r, node);
    struct raft_progress *p;

    if (r->state != RAFT_LEADER || i >= r->configuration.n)
        return;
    p = &r->leader_state.progress[i];
    if (p->state == PROGRESS_SNAPSHOT || last >= p->match_index)
        return;
    log_warn("consensus",
             "%s had stored entry %llu and now ends at %llu: its state folder was put back to an "
             "older one, which can lose what was agreed on; it gets what it lacks",
             r->configuration.servers[i].address, (unsigned long long)p->match_index,
             (unsigned long long)last);
    p->state = PROGRESS_PROBE;
    p->match_index = 0;
    p->next_index = last + 1;
}
