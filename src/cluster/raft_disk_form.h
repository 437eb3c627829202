/*
 * raft_disk_form.h - how the disk of consensus writes things: bytes with a checksum, big-endian.
 *
 * The checksum is SHA-256: OpenSSL has it anyway, it costs 0.2 us for an entry of 128 bytes (a
 * synced write takes a thousand times that), and it cannot be fooled by what users put into
 * entries. Entries and the state keep its first 8 bytes, snapshots all 32.
 */
#ifndef ONEOS_CLUSTER_RAFT_DISK_FORM_H
#define ONEOS_CLUSTER_RAFT_DISK_FORM_H

#include "cluster/consensus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUM_LEN           32
#define ENTRY_HEAD        17 /* sum 8, term 8, kind 1; the data follows */
#define STATE_LEN         89
#define SNAPSHOT_HEAD     80 /* then conf, then data */
#define SNAPSHOT_CONF_MAX (16u << 20)

/* What makes checksums; not for two threads at once. */
struct sums;
struct sums *sums_create(void); /* NULL: no memory */
void sums_destroy(struct sums *s);

/* The one record beside the entries, written with every transaction. */
struct disk_state {
    uint64_t node, term, voted_for;
    uint64_t first, next;           /* indexes of the entries: first <= i < next */
    uint64_t snap_index, snap_term; /* a snapshot that is there, or a newer one */
    uint64_t txn;                   /* LMDB's number of the transaction that wrote it */
    uint64_t marks;                 /* sum of the marks of all entries */
    bool wiping;                    /* all snapshots are to be removed */
};

void state_encode(struct sums *s, const struct disk_state *st, uint8_t to[STATE_LEN]);
/* -EBADMSG; -EPROTONOSUPPORT: written by a newer version. */
int state_decode(struct sums *s, const void *p, size_t n, struct disk_state *st);

void entry_encode(struct sums *s, uint64_t index, const struct consensus_entry *e, uint8_t *to);
/* e->data points into p. -EBADMSG. */
int entry_decode(struct sums *s, uint64_t index, const void *p, size_t n,
                 struct consensus_entry *e);

/* What tells an entry from others: the first bytes of its sum. 0: too short to be one. */
uint64_t entry_mark(const void *p, size_t n);

void snapshot_encode_head(struct sums *s, const struct consensus_snapshot *sn,
                          uint8_t to[SNAPSHOT_HEAD]);
/* The lengths of conf and data must make up `file_len`; both pointers stay NULL. sum: what
 * snapshot_check() wants. -EBADMSG, -EPROTONOSUPPORT. */
int snapshot_decode_head(const uint8_t p[SNAPSHOT_HEAD], uint64_t file_len,
                         struct consensus_snapshot *sn);
/* Whether the checksum in the head is that of head, conf and data. */
bool snapshot_check(struct sums *s, const uint8_t head[SNAPSHOT_HEAD],
                    const struct consensus_snapshot *sn);

#endif
