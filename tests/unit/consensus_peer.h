/*
 * consensus_peer.h - one server, and the test plays its peers, message by message.
 *
 * The server is 101 (m0); the others are 102 (m1) and on.
 */
#ifndef ONEOS_TESTS_CONSENSUS_PEER_H
#define ONEOS_TESTS_CONSENSUS_PEER_H

#include "tests/unit/consensus_kit.h"

extern const enum consensus_role peer_voters[5];

/* ---- the disk it starts with */
struct consensus_entry peer_change(const enum consensus_role *roles, size_t n, uint64_t term);
struct consensus_entry peer_command(uint64_t term);
void *peer_copy_of(const void *data, size_t len);
void peer_on_disk(struct kit *k, struct consensus_entry e);
void peer_start(struct kit *k);
struct kit *peer_three_voters(void); /* entry 1 says so, in term 1; not started */

/* ---- what the peers say */
struct leader {
    uint64_t from, term;
};
void peer_say(struct kit *k, struct consensus_msg m, uint64_t from, uint64_t term);
void peer_append(struct kit *k, struct leader l, uint64_t prev, uint64_t prev_term,
                 const struct consensus_entry *v, uint32_t n, uint64_t commit);
void peer_commands(struct kit *k, struct leader l, uint64_t prev, uint64_t prev_term, uint32_t n,
                   uint64_t commit); /* n commands of the leader's term */
void peer_appended(struct kit *k, uint64_t from, uint64_t term, uint64_t last);
void peer_snapshot(struct kit *k, struct leader l, uint64_t index);

/* ---- what it says */
/* The newest message of that kind (to that server, if not 0); all are forgotten. */
bool peer_hears(struct kit *k, enum consensus_msg_kind kind, uint64_t to,
                struct consensus_msg *out);
uint64_t peer_last_appended(struct kit *k); /* in an answer that refuses nothing; UINT64_MAX */
void peer_ticks(struct kit *k, unsigned ms);
bool peer_stands(struct kit *k, struct consensus_msg *m); /* asks 102 for its vote, in 1.5 s */
void peer_lead(struct kit *k);                            /* 102 votes for it */
size_t peer_servers(struct kit *k);
bool peer_works(struct kit *k);

#endif
