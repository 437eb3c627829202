/*
 * raft_disk.h - the disk of consensus: term, vote and log in LMDB, snapshots in files.
 *
 * Implements the disk members of struct consensus_env (consensus.h). Folder: log.mdb (LMDB, one
 * file, with log.mdb-lock), `snapshot-INDEX-TERM`, lock. The node number is in the log. Appends are
 * written by one worker of libuv's pool at a time, everything that queued meanwhile in one synced
 * transaction. Every entry carries a checksum of itself and its index.
 *
 * A full disk is waited out: raft_disk_trouble() says so in words, and the write is tried again
 * every 250 ms. Term and vote always find room: the first megabytes of the file are reserved.
 * What is damaged (a file cut short, an entry or snapshot whose checksum is wrong, a gap) is
 * refused at raft_disk_open() with words that name the file and say what to do.
 */
#ifndef ONEOS_CLUSTER_RAFT_DISK_H
#define ONEOS_CLUSTER_RAFT_DISK_H

#include "base/loop.h"
#include "cluster/consensus.h"

struct raft_disk;

/* Makes the folder when it is missing (then the disk is fresh and draws its node number). Locks it:
 * -EBUSY another process has it. -EBADMSG damaged; -EPROTONOSUPPORT written by a newer version;
 * -ENOSPC; -EROFS, -EACCES. */
int raft_disk_open(struct raft_disk **out, struct loop *core, const char *dir, struct oerr *e);
/* fn is called before each time that the log begins to be written: what is to leave this machine
 * first leaves then. It may not use the disk. */
void raft_disk_before(struct raft_disk *d, void (*fn)(void *arg), void *arg);

/* Waits for the write under way; what was only queued ends with -ECANCELED (from inside). Not from
 * a done. NULL is allowed. */
void raft_disk_close(struct raft_disk *d);

/* Forgets everything: the disk is fresh again, with a new node number. Nothing may be under way. */
int raft_disk_wipe(struct raft_disk *d, struct oerr *e);

uint64_t raft_disk_node(const struct raft_disk *d); /* never 0 */
bool raft_disk_fresh(const struct raft_disk *d);

/* As the members of consensus_env of the same names. Dones of one kind (append, put, get) come in
 * the order of the calls; a snapshot's may come after those of later appends, which do not wait for
 * it unless it replaces the log. A list of entries is copied, their data is not. An append of which
 * truncate() left nothing ends with -ECANCELED, one of which it left a part with 0.
 * -EIO: a write failed; nothing is written any more, and raft_disk_trouble() says so. -EINVAL: it
 * does not follow on what is there. snapshot_get: -ENOENT none; conf and data are the caller's. */
int raft_disk_load(struct raft_disk *d, struct consensus_loaded *out, struct oerr *e);
int raft_disk_set_term(struct raft_disk *d, uint64_t term);
int raft_disk_set_vote(struct raft_disk *d, uint64_t node);
int raft_disk_truncate(struct raft_disk *d, uint64_t index);
int raft_disk_append(struct raft_disk *d, uint64_t first, const struct consensus_entry *v, size_t n,
                     consensus_disk_done *done, void *token);
int raft_disk_snapshot_put(struct raft_disk *d, const struct consensus_snapshot *s,
                           uint64_t trailing, consensus_disk_done *done, void *token);
int raft_disk_snapshot_get(struct raft_disk *d, struct consensus_snapshot *out,
                           consensus_disk_done *done, void *token);

/* What keeps it from writing now, in words; NULL: nothing. Core loop. */
const char *raft_disk_trouble(const struct raft_disk *d);

/* For `oneos registry log`: the entries as they are on the disk, from another process than the one
 * that has it open (there -EBUSY); what is cut off meanwhile is passed over. fn: non-zero ends it.
 * -ENOENT no registry; -EBADMSG damaged. */
int raft_disk_each(const char *dir,
                   int (*fn)(void *arg, uint64_t index, const struct consensus_entry *entry),
                   void *arg, struct oerr *e);
/* The same of a disk that this process has open: the entries that are durable. Core loop; may wait
 * for a write under way. */
int raft_disk_list(struct raft_disk *d,
                   int (*fn)(void *arg, uint64_t index, const struct consensus_entry *entry),
                   void *arg, struct oerr *e);

#endif
