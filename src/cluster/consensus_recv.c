/*
 * consensus_recv.c - messages in: judged, mended, handed to libraft.
 *
 * libraft 0.15 trusts its peers: its checks are assertions, which Debian's build leaves out. What
 * would make it write beyond arrays, read a union wrongly or give up for good is dropped here, with
 * words where only a broken server says such a thing:
 *  - entries or a snapshot of our own term while we lead; a second leader in one term;
 *  - entries that contradict what is committed;
 *  - entries from the very first on after our log was trimmed: they would be appended at its end
 *    (deleteConflictingEntries). What is committed here is cut off the front of every message;
 *  - a request to take over while a snapshot is being installed, or as the only voter.
 * And a server that does not know yet that it is a voter has to vote: it is the candidate's list of
 * servers that counts (dissertation, 4.2.2). libraft refuses, and its learners never forget a
 * leader. A commit index beyond what the message itself speaks of is cut: the entries behind may be
 * left over from another leader. It counts as far as they are known to be this leader's
 * (consensus_take_told()).
 */
#include "cluster/consensus_private.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG_MAX = 32 << 20 }; /* entries that wait for our disk */

/* Hands a message to libraft. What it allocated is libraft's from here on. */
void consensus_hand_in(struct consensus *c, struct raft_message *m, const char *id)
{
    m->server_address = id;
    c->in.active = true;
    c->in.appends = false;
    c->recv(&c->io, m);
    if (c->in.appends && c->verified_term == c->raft.current_term && c->verified < c->in.top)
        c->verified = c->in.top;
    c->in.active = c->in.quiet = false;
    c->in.top = 0;
    conf_audit(c);
}

static void complain(struct consensus *c, const struct consensus_msg *m, const char *id,
                     const char *what)
{
    if (!rate_take(&c->complaints, consensus_now(c)))
        return;
    log_warn("consensus", "ignored what %s (server %llx) said in term %llu: %s", id,
             (unsigned long long)m->from, (unsigned long long)m->term, what);
}

/* Whether the one who speaks as the leader of its term may be it; remembers it. */
static bool is_leader_of(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft *r = &c->raft;

    if (m->term < r->current_term)
        return true; /* libraft tells it so */
    if ((m->term == r->current_term && r->state == RAFT_LEADER) ||
        (m->term == c->lead_term && m->from != c->lead_node)) {
        complain(c, m, id, "it claims to lead beside another leader");
        return false;
    }
    if (!consensus_persist_term(c, m->term))
        return false; /* as if the message were lost: the disk is full */
    if (m->term != c->lead_term)
        c->told = 0;
    c->lead_term = m->term;
    c->lead_node = m->from;
    c->lead_ms = consensus_now(c);
    strcpy(c->lead_id, id);
    return true;
}

/* ---- entries */

struct entries {
    uint64_t prev_index, prev_term, commit;
    struct consensus_entry *v;
    size_t n;
};

/* Drops what is committed here from the front. false: it contradicts. */
static bool cut_committed(const struct raft *r, struct entries *a)
{
    uint64_t commit = r->commit_index, known = log_term(r, a->prev_index);

    if (a->prev_index <= commit && a->prev_index > 0 && known && known != a->prev_term)
        return false;
    if (a->prev_index >= commit)
        return true;
    while (a->n > 0 && a->prev_index < commit) {
        a->prev_index++;
        a->prev_term = a->v->term;
        a->v++;
        a->n--;
        known = log_term(r, a->prev_index);
        if (known && known != a->prev_term)
            return false;
    }
    a->prev_index = commit;
    a->prev_term = log_term(r, commit);
    return true;
}

/* The first index whose entry of ours will have to go; 0: none. */
static uint64_t conflict(const struct raft *r, const struct entries *a)
{
    if (a->prev_index && log_term(r, a->prev_index) != a->prev_term)
        return 0; /* libraft will refuse it */
    for (size_t i = 0; i < a->n; i++) {
        uint64_t term = log_term(r, a->prev_index + 1 + i);

        if (term == 0)
            return 0;
        if (term != a->v[i].term)
            return a->prev_index + 1 + i;
    }
    return 0;
}

/* Entries that were cut from the log while they are being written must not come back before they
 * are: libraft counts the users of an entry by index and term, and would free it twice. */
static bool is_being_written(const struct consensus *c, const struct entries *a)
{
    for (const struct disk_op *op = c->ops; op; op = op->next)
        for (uint64_t i = op->valid; op->kind == OP_APPEND && i < op->n; i++) {
            uint64_t at = op->first + i - a->prev_index - 1;

            if (op->first + i > a->prev_index && at < a->n && a->v[at].term == op->entries[i].term)
                return true;
        }
    return false;
}

static void fill_entries(struct raft_message *m, const struct entries *a)
{
    struct raft_append_entries *out = &m->append_entries;
    size_t size = 1;
    char *batch;

    out->prev_log_index = a->prev_index;
    out->prev_log_term = a->prev_term;
    out->leader_commit = a->commit;
    out->n_entries = (unsigned)a->n;
    out->entries = NULL;
    if (a->n == 0)
        return;
    for (size_t i = 0; i < a->n; i++)
        size += a->v[i].len;
    batch = raft_malloc(size);
    out->entries = raft_calloc(a->n, sizeof *out->entries);
    for (size_t i = 0; i < a->n; i++) {
        out->entries[i] = (struct raft_entry){ .term = a->v[i].term,
                                               .type = a->v[i].kind,
                                               .buf = { .base = batch, .len = a->v[i].len },
                                               .batch = NULL };
        memcpy(batch, a->v[i].data, a->v[i].len);
        batch += a->v[i].len;
    }
    for (size_t i = 0; i < a->n; i++)
        out->entries[i].batch = out->entries[0].buf.base;
}

static void take_append(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft *r = &c->raft;
    struct raft_message out = { .type = RAFT_IO_APPEND_ENTRIES, .server_id = m->from };
    struct consensus_entry *v;
    struct entries a = { .prev_index = m->append.prev_index,
                         .prev_term = m->append.prev_term,
                         .commit = m->append.commit,
                         .n = m->append.n };
    uint64_t at;

    if (!is_leader_of(c, m, id))
        return;
    v = raft_calloc(a.n + 1, sizeof *v);
    a.v = v;
    consensus_msg_entries(m, v);
    if (m->term >= r->current_term && !consensus_installing(c) && !cut_committed(r, &a)) {
        complain(c, m, id, "its entries contradict what is committed");
        free(v);
        return;
    }
    if (m->term < r->current_term || c->ops_bytes > BACKLOG_MAX || is_being_written(c, &a))
        a.n = 0;
    if (a.commit > a.prev_index + a.n)
        a.commit = a.prev_index + a.n;
    at = m->term >= r->current_term ? conflict(r, &a) : 0;
    if (at)
        conf_rollback(c, at);
    out.append_entries.term = m->term;
    fill_entries(&out, &a);
    free(v);
    c->in.top = a.prev_index + a.n;
    c->in.quiet = m->append.quiet;
    if (c->verified_term != m->term && m->term >= r->current_term) {
        c->verified_term = m->term;
        c->verified = 0;
    }
    consensus_hand_in(c, &out, id);
    if (c->lead_term == m->term && c->told < m->append.commit)
        c->told = m->append.commit;
    consensus_take_told(c);
}

/* ---- what is committed */

/* Up to where it may be carried out. What is committed is on the disks of a majority and need not
 * be on ours; but lists of servers and snapshots must not be ahead of our log. */
static uint64_t may_apply(const struct consensus *c)
{
    const struct raft *r = &c->raft;
    uint64_t to = c->told < c->verified ? c->told : c->verified;

    if (to > r->last_stored && (c->change_last > r->last_stored ||
                                to - r->log.snapshot.last_index >= r->snapshot.threshold))
        to = r->last_stored;
    return to;
}

/* libraft would wait for our own disk, and then for the leader's next message. It is given an empty
 * one that speaks of what we have from this leader; it is no sign of life of that. */
void consensus_take_told(struct consensus *c)
{
    struct raft *r = &c->raft;
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES, .server_id = c->lead_node };
    struct raft_append_entries *a = &m.append_entries;
    uint64_t stored = r->last_stored, heard = r->election_timer_start, to = may_apply(c);

    if (c->fenced || r->state != RAFT_FOLLOWER || r->follower_state.current_leader.id == 0 ||
        c->lead_term != r->current_term || c->verified_term != r->current_term ||
        to <= r->commit_index || consensus_installing(c))
        return;
    a->term = r->current_term;
    a->prev_log_index = a->leader_commit = c->in.top = to;
    a->prev_log_term = log_term(r, to);
    c->in.quiet = true;
    if (stored < to)
        r->last_stored = to;
    consensus_hand_in(c, &m, c->lead_id);
    r->last_stored = stored;
    r->election_timer_start = heard;
}

/* ---- answers to the leader */

/* libraft's own count of the majority is kept from happening: it would commit entries of former
 * terms, and none below our last stored one. Ours is put in its place. */
static void take_appended(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft *r = &c->raft;
    struct raft_message out = { .type = RAFT_IO_APPEND_ENTRIES_RESULT, .server_id = m->from };
    uint64_t stored = r->last_stored, last = m->appended.last_index, target;
    bool counts = r->state == RAFT_LEADER && m->term == r->current_term &&
                  m->appended.rejected == 0 && conf_server(r, m->from);

    if (m->term > r->current_term && r->state == RAFT_LEADER && !consensus_persist_term(c, m->term))
        return;
    consensus_snapshot_lost(c, m);
    if (m->term == r->current_term && m->appended.rejected != 0)
        consensus_went_back(c, m->from, last);
    if (m->appended.rejected)
        consensus_retry_now(c, m->from);
    out.append_entries_result.term = m->term;
    out.append_entries_result.rejected = m->appended.rejected;
    out.append_entries_result.last_log_index = last;
    if (counts) {
        target = commit_target(c, m->from, last < log_last(r) ? last : log_last(r));
        if (target)
            r->commit_index = target;
        r->last_stored = r->commit_index;
    }
    consensus_hand_in(c, &out, id);
    if (counts)
        r->last_stored = stored;
}

/* ---- votes */

/* Lets a non-voter vote, when it hears no leader. */
static void hand_in_as_voter(struct consensus *c, struct raft_message *m, const char *id)
{
    struct raft *r = &c->raft;
    struct raft_server *self = (struct raft_server *)(uintptr_t)conf_server(r, c->node);
    int role = self ? self->role : RAFT_VOTER;

    if (role == RAFT_VOTER || r->state != RAFT_FOLLOWER) {
        consensus_hand_in(c, m, id);
        return;
    }
    if (consensus_now(c) - c->lead_ms >= c->election_ms)
        r->follower_state.current_leader.id = 0;
    self->role = RAFT_VOTER;
    consensus_hand_in(c, m, id);
    if (self == conf_server(r, c->node))
        self->role = role;
}

static void take_vote(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft *r = &c->raft;
    struct raft_message out = { .type = RAFT_IO_REQUEST_VOTE, .server_id = m->from };
    bool led = r->state == RAFT_LEADER ||
               (r->state == RAFT_FOLLOWER && r->follower_state.current_leader.id != 0);

    if (!m->vote.pre && (m->vote.disrupt || !led) && !consensus_persist_term(c, m->term))
        return;
    out.request_vote.term = m->term;
    out.request_vote.candidate_id = m->from;
    out.request_vote.last_log_index = m->vote.last_index;
    out.request_vote.last_log_term = m->vote.last_term;
    out.request_vote.disrupt_leader = m->vote.disrupt;
    out.request_vote.pre_vote = m->vote.pre;
    c->in.refused = false;
    hand_in_as_voter(c, &out, id);
    /* It, too, lost the leader, and our log is the longer one: no need to wait for our time. */
    if (c->in.refused && m->vote.pre && r->state == RAFT_CANDIDATE &&
        r->candidate_state.in_pre_vote && consensus_now(c) - c->hurried_ms >= c->heartbeat_ms) {
        c->hurried_ms = consensus_now(c);
        r->election_timer_start = 0;
        c->tick(&c->io);
    }
}

/* Whether libraft takes over the term of that answer. */
static bool ends_candidacy(const struct consensus *c, const struct consensus_msg *m)
{
    const struct raft *r = &c->raft;
    const struct raft_server *s = conf_server(r, m->from);

    if (r->state != RAFT_CANDIDATE || !s || s->role != RAFT_VOTER)
        return false;
    if (r->candidate_state.in_pre_vote)
        return m->voted.pre && m->term > r->current_term + 1;
    return m->term > r->current_term;
}

static void take_voted(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft_message out = { .type = RAFT_IO_REQUEST_VOTE_RESULT, .server_id = m->from };

    if (ends_candidacy(c, m) && !consensus_persist_term(c, m->term))
        return;
    out.request_vote_result.term = m->term;
    out.request_vote_result.vote_granted = m->voted.granted;
    out.request_vote_result.pre_vote = m->voted.pre ? raft_tribool_true : raft_tribool_false;
    consensus_hand_in(c, &out, id);
}

static void take_timeout_now(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct raft_message out = { .type = RAFT_IO_TIMEOUT_NOW, .server_id = m->from };

    if (m->term != c->raft.current_term || consensus_installing(c) || conf_alone(c))
        return;
    out.timeout_now.term = m->term;
    out.timeout_now.last_log_index = m->timeout_now.last_index;
    out.timeout_now.last_log_term = m->timeout_now.last_term;
    consensus_hand_in(c, &out, id);
}

/* ---- the rest */

static void take_part(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    if (m->term == c->raft.current_term && is_leader_of(c, m, id))
        consensus_part_take(c, m, id);
}

static void take_have(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    (void)id;
    consensus_part_have(c, m);
}

/* Our term is on our disk: nobody of a newer term can have had our vote. */
static void take_read(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    struct consensus_msg out = { .kind = MSG_READ_YES,
                                 .from = c->node,
                                 .to = m->from,
                                 .term = m->term,
                                 .read = { .round = m->read.round } };

    if (m->term == c->raft.current_term && c->raft.state == RAFT_FOLLOWER)
        consensus_say(c, &out, id);
}

static void take_read_yes(struct consensus *c, const struct consensus_msg *m, const char *id)
{
    (void)id;
    ask_read_yes(c, m);
}

static void (*const takers[MSG_KINDS])(struct consensus *c, const struct consensus_msg *m,
                                       const char *id) = {
    [MSG_APPEND] = take_append,
    [MSG_APPENDED] = take_appended,
    [MSG_VOTE] = take_vote,
    [MSG_VOTED] = take_voted,
    [MSG_PART] = take_part,
    [MSG_PART_HAVE] = take_have,
    [MSG_TIMEOUT_NOW] = take_timeout_now,
    [MSG_READ] = take_read,
    [MSG_READ_YES] = take_read_yes,
};

/* Whether the bus let that machine speak for that server, as far as we know. */
static bool is_who_it_says(const struct consensus *c, const struct consensus_msg *m,
                           const char *from_id)
{
    const struct raft_server *s = conf_server(&c->raft, m->from);

    return from_id[0] && strlen(from_id) < ID_MAX && (!s || strcmp(s->address, from_id) == 0);
}

void consensus_receive(struct consensus *c, const void *message, size_t len, const char *from_id)
{
    struct consensus_msg m;
    struct oerr e = { "" };

    if (c->fenced)
        return;
    if (consensus_msg_decode(message, len, &m, &e) < 0) {
        if (rate_take(&c->complaints, consensus_now(c)))
            log_warn("consensus", "ignored a message of %s: %s", from_id, e.text);
        return;
    }
    if (m.to != c->node) /* to who was here before */
        return;
    if (!is_who_it_says(c, &m, from_id)) {
        complain(c, &m, from_id, "it speaks for another server");
        return;
    }
    consensus_enter(c);
    consensus_peer(c, m.from)->heard_ms = consensus_now(c);
    takers[m.kind](c, &m, from_id);
    consensus_leave(c);
}
