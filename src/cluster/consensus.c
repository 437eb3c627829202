/*
 * consensus.c - one agreed sequence of commands over several machines: events and state.
 *
 * Event: enter, libraft, leave. Inside no callback of the user runs but committed(), snapshot() and
 * restore(); leave() calls libraft's send callbacks and flush(), sends notices of commits, calls
 * done()s, hands in what came of those, and goes round until nothing is left; then changed().
 *
 * The engine is libraft 0.15. It is fast and small, and wrong in places; what matters is mended
 * from outside, by judging what goes in and out and by the public fields of struct raft. What was
 * found in its src/, and the file (consensus_*.c) or function that sees to it:
 *  - replication.c replicationQuorum counts copies of entries of former terms, and commits
 *    nothing below the leader's own last stored entry (_log.c)
 *  - recv_append_entries.c, appendFollowerCb: a follower answers with all that is on its
 *    disk, compared with this leader or not, and commits so far (_send.c, _recv.c)
 *  - convert.c convertToCandidate, start.c: an only voter leads without a new term
 *    (lead_alone(), _start.c)
 *  - membership.c, start.c, snapshot.c: lists of servers that are uncommitted when we start,
 *    while a snapshot is taken or installed, or when a newer one is rolled back (_log.c)
 *  - replication.c deleteConflictingEntries: entries from the first on go to the end of a
 *    trimmed log (_recv.c)
 *  - log.c: an entry that is cut and comes back while it is being written is freed twice
 *    (_recv.c)
 *  - election.c electionVote: who does not know yet that it is a voter refuses to vote
 *    (_recv.c)
 *  - the same: who hands over votes twice in a term (_ask.c)
 *  - recv_request_vote.c: who asks before an election in an old term never learns of the new
 *    one (_send.c)
 *  - tick.c: a candidate that lost goes on without asking before, and its term runs away
 *    while it is cut off (consensus_tick())
 *  - replication.c replicationInstallSnapshot empties the log in memory before the snapshot
 *    is on the disk: no election meanwhile (consensus_tick(), _recv.c)
 *  - the same: a snapshot that comes while we take our own is ignored for 30 seconds; an
 *    entry of a newer term at its index passes for all of it (_part.c)
 *  - installSnapshotCb: after a snapshot that failed nothing fits any more: we stop (_io.c)
 *  - appendLeaderCb: a failed write truncates beyond the log's end: none ever fails (_io.c)
 *  - convert.c convertToCandidate: a term or vote that cannot be written frees a pointer that
 *    is none: they are always written, or we stop (_io.c)
 *  - replication.c sendAppendEntries: all entries at once, to servers that are gone, too;
 *    back by one entry a heartbeat where logs part (_send.c)
 *  - replication.c applyChange: a leader that lost its vote steps down before it tells
 *    anybody (_ask.c)
 *  - and who loses its vote may be the only one to hear of it (_send.c)
 *  - convert.c: no barrier when a leader is elected (_ask.c)
 *  - tick.c, recv.c: any error makes it RAFT_UNAVAILABLE, without a word (look_after())
 *  - replication.c applyCommand: no index is given; it is last_applied + 1 (_io.c)
 *  - client.c raft_apply: of a batch only the first entry has a callback (_ask.c)
 */
#include "cluster/consensus_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const role_names[] = {
    [ROLE_SPARE] = "spare", [ROLE_LEARNER] = "learner", [ROLE_VOTER] = "voter"
};

const char *consensus_role_name(enum consensus_role r)
{
    return r <= ROLE_VOTER ? role_names[r] : "?";
}

/* ---- events */

uint64_t consensus_now(const struct consensus *c)
{
    return c->fn.now_ms(c->env);
}

void consensus_fence(struct consensus *c, const char *fmt, ...)
{
    va_list ap;

    if (c->fenced)
        return;
    c->fenced = true;
    va_start(ap, fmt);
    vsnprintf(c->failed, sizeof c->failed, fmt, ap);
    va_end(ap);
}

/* What is known of that server; made when it is not. */
struct peer *consensus_peer(struct consensus *c, uint64_t node)
{
    for (size_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].node == node)
            return &c->peers[i];
    c->peers = raft_realloc(c->peers, (c->n_peers + 1) * sizeof *c->peers);
    c->peers[c->n_peers] = (struct peer){ .node = node };
    return &c->peers[c->n_peers++];
}

/* Forgets servers that are gone, when there are many. */
static void prune_peers(struct consensus *c)
{
    size_t kept = 0;

    if (c->n_peers <= c->raft.configuration.n + 16)
        return;
    for (size_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].transfer || conf_server(&c->raft, c->peers[i].node))
            c->peers[kept++] = c->peers[i];
    c->n_peers = kept;
}

static enum consensus_role own_role(const struct consensus *c)
{
    const struct raft_server *s = conf_server(&c->raft, c->node);

    if (!s || s->role == RAFT_SPARE)
        return ROLE_SPARE;
    return s->role == RAFT_VOTER ? ROLE_VOTER : ROLE_LEARNER;
}

static void tell_changes(struct consensus *c)
{
    const struct raft *r = &c->raft;
    uint64_t leader = consensus_leader(c, NULL);
    uint64_t conf = r->configuration_index + r->configuration_uncommitted_index * 3;
    bool leads = consensus_is_leader(c);

    if (c->seen.term == r->current_term && c->seen.leader == leader && c->seen.conf == conf &&
        c->seen.role == own_role(c) && c->seen.leads == leads && c->seen.failed == c->fenced)
        return;
    c->seen.term = r->current_term;
    c->seen.leader = leader;
    c->seen.conf = conf;
    c->seen.role = own_role(c);
    c->seen.leads = leads;
    c->seen.failed = c->fenced;
    c->fn.changed(c->env);
}

static void look_after(struct consensus *c)
{
    if (!c->fenced && c->raft.state == RAFT_UNAVAILABLE)
        consensus_fence(c, "the engine gave up: %s",
                        c->raft.errmsg[0] ? c->raft.errmsg : "it did not say why");
    consensus_sent_run(c);
    if (!c->fenced)
        consensus_part_offer(c);
    if (!c->fenced && c->leading && c->change_pending && !c->raft.configuration_uncommitted_index)
        c->tick(&c->io); /* sends what was held back (consensus_send.c) */
    c->change_pending = c->raft.configuration_uncommitted_index != 0;
    conf_audit(c);
    ask_roles(c);
    if (c->fenced)
        ask_end_all(c, -ECANCELED);
}

void consensus_enter(struct consensus *c)
{
    c->depth++;
}

void consensus_leave(struct consensus *c)
{
    if (c->depth > 1 || c->closing) {
        c->depth--;
        return;
    }
    do {
        look_after(c);
        c->fn.flush(c->env);
        ask_reads(c);
        ask_submit(c);
        consensus_sent_run(c);
        consensus_notices(c);
    } while (ask_finish(c));
    prune_peers(c);
    c->depth--;
    tell_changes(c);
}

/* libraft would lead in the old term. */
static void lead_alone(struct consensus *c)
{
    struct raft *r = &c->raft;
    uint64_t term = r->current_term + 1;

    if (c->io.set_term(&c->io, term) != 0 || c->io.set_vote(&c->io, c->node) != 0 || c->fenced)
        return;
    r->current_term = term;
    r->voted_for = c->node;
}

static bool timer_expired(const struct consensus *c)
{
    const struct raft *r = &c->raft; /* a candidate's timeout is at the same place */

    return consensus_now(c) - r->election_timer_start >=
           r->follower_state.randomized_election_timeout;
}

unsigned consensus_tick_ms(const struct consensus *c)
{
    const struct raft *r = &c->raft;
    unsigned ms = c->heartbeat_ms > 1 ? c->heartbeat_ms / 2 : 1;
    uint64_t over = consensus_now(c) - r->election_timer_start;

    if (c->fenced || (r->state != RAFT_FOLLOWER && r->state != RAFT_CANDIDATE))
        return ms;
    if (over >= r->follower_state.randomized_election_timeout)
        return ms;
    over = r->follower_state.randomized_election_timeout - over; /* is left */
    return over < ms ? (unsigned)over : ms;
}

void consensus_tick(struct consensus *c)
{
    struct raft *r = &c->raft;

    if (c->fenced)
        return;
    consensus_enter(c);
    if (r->state == RAFT_FOLLOWER && consensus_installing(c))
        r->election_timer_start = consensus_now(c);
    if (r->state == RAFT_FOLLOWER && conf_alone(c) && timer_expired(c))
        lead_alone(c);
    if (r->state == RAFT_CANDIDATE && !r->candidate_state.in_pre_vote && timer_expired(c)) {
        r->candidate_state.in_pre_vote = true;
        r->candidate_state.disrupt_leader = false;
    }
    if (!c->fenced)
        c->tick(&c->io);
    consensus_probe_silent(c);
    consensus_part_tick(c);
    ask_roles(c);
    ask_tick(c);
    consensus_leave(c);
}

/* ---- a leader whose connection broke */

enum { SILENT_MS = 60 }; /* one voter after the other waits so much longer */

/* How many of the other voters, the leader left out, come before this one. */
static unsigned rank(const struct consensus *c)
{
    const struct raft *r = &c->raft;
    unsigned before = 0;

    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_server *s = &r->configuration.servers[i];

        before += s->role == RAFT_VOTER && s->id < c->node &&
                  s->id != r->follower_state.current_leader.id;
    }
    return before;
}

/* A leader that is alive is heard again within a heartbeat. It is forgotten meanwhile, so that a
 * vote is not refused for its sake; and one after the other wakes, so that votes do not split. */
void consensus_leader_silent(struct consensus *c)
{
    struct raft *r = &c->raft;
    uint64_t wait, start;

    if (c->fenced || r->state != RAFT_FOLLOWER || r->follower_state.current_leader.id == 0)
        return;
    consensus_enter(c);
    wait = SILENT_MS * (1 + rank(c));
    start = consensus_now(c) + wait - r->follower_state.randomized_election_timeout;
    if (wait < r->follower_state.randomized_election_timeout && start < r->election_timer_start)
        r->election_timer_start = start;
    r->follower_state.current_leader.id = 0;
    c->lead_ms = 0;
    consensus_leave(c);
}

/* ---- state */

bool consensus_is_leader(const struct consensus *c)
{
    return !c->fenced && c->raft.state == RAFT_LEADER && !c->raft.transfer;
}

uint64_t consensus_leader(const struct consensus *c, char id[ID_MAX])
{
    const char *known = NULL;
    uint64_t node = 0;

    if (consensus_is_leader(c)) {
        node = c->node;
        known = c->id;
    } else if (!c->fenced && c->raft.state == RAFT_FOLLOWER &&
               c->lead_term == c->raft.current_term && c->lead_node &&
               consensus_now(c) - c->lead_ms < 2 * (uint64_t)c->election_ms) {
        node = c->lead_node;
        known = c->lead_id;
    }
    if (id)
        strcpy(id, known ? known : "");
    return node;
}

uint64_t consensus_term(const struct consensus *c)
{
    return c->raft.current_term;
}

uint64_t consensus_committed_index(const struct consensus *c)
{
    return c->raft.last_applied;
}

uint64_t consensus_last_index(const struct consensus *c)
{
    return log_last(&c->raft);
}

size_t consensus_servers(const struct consensus *c, const struct consensus_server **out)
{
    struct consensus *w = (struct consensus *)(uintptr_t)c; /* the list is a cache */
    const struct raft_configuration *conf = &c->raft.configuration;

    free(c->servers);
    w->servers = raft_calloc(conf->n + 1, sizeof *c->servers);
    for (unsigned i = 0; i < conf->n; i++) {
        const struct raft_server *s = &conf->servers[i];

        w->servers[i].node = s->id;
        strcpy(w->servers[i].id, s->address);
        w->servers[i].role = s->role == RAFT_VOTER     ? ROLE_VOTER
                             : s->role == RAFT_STANDBY ? ROLE_LEARNER
                                                       : ROLE_SPARE;
    }
    *out = c->servers;
    return conf->n;
}

bool consensus_heard(const struct consensus *c, uint64_t node)
{
    if (node == c->node)
        return true;
    for (size_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].node == node)
            return c->peers[i].heard_ms &&
                   consensus_now(c) - c->peers[i].heard_ms < 2 * (uint64_t)c->election_ms;
    return false;
}

const char *consensus_failed(const struct consensus *c)
{
    return c->fenced ? c->failed : NULL;
}
