/*
 * consensus_msg.h - what the servers of one consensus say to each other, as bytes.
 *
 * One message is at most CONSENSUS_MSG_MAX bytes. Decoding copies nothing: the entries and texts of
 * a decoded message point into the bytes it came from.
 */
#ifndef ONEOS_CLUSTER_CONSENSUS_MSG_H
#define ONEOS_CLUSTER_CONSENSUS_MSG_H

#include "cluster/consensus.h"

#define CONSENSUS_MSG_MAX      (4 << 20) /* what the bus carries in one piece */
#define CONSENSUS_DATA_MAX     (1 << 20) /* one command */
#define CONSENSUS_PART_MAX     (1 << 20) /* one part of a snapshot */
#define CONSENSUS_SERVERS_MAX  256
#define CONSENSUS_SNAPSHOT_MAX ((uint64_t)1 << 30)
#define CONSENSUS_INDEX_MAX    ((uint64_t)1 << 62) /* of terms too: none is ever near it */

enum consensus_msg_kind {
    MSG_APPEND = 1,  /* entries, or a sign of life: from the leader */
    MSG_APPENDED,    /* the answer */
    MSG_VOTE,        /* a candidate asks for a vote */
    MSG_VOTED,       /* the answer */
    MSG_PART,        /* a part of a snapshot */
    MSG_PART_HAVE,   /* the answer: how much of it is there */
    MSG_TIMEOUT_NOW, /* the leader asks a follower to take over */
    MSG_READ,        /* the leader asks whether its term still is the newest */
    MSG_READ_YES,    /* the answer, when it is */
    MSG_KINDS
};

/* Kinds of entries, as the disk and the engine number them. */
enum consensus_entry_kind { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 };

struct consensus_msg {
    enum consensus_msg_kind kind;
    uint64_t from, to, term;
    union {
        struct {
            uint64_t prev_index, prev_term, commit;
            bool quiet; /* no answer wanted */
            uint32_t n;
            const struct consensus_entry *entries; /* encode only */
            const uint8_t *raw;                    /* decode only: consensus_msg_entries() */
            size_t raw_len;
        } append;
        struct {
            uint64_t rejected, last_index;
        } appended;
        struct {
            uint64_t last_index, last_term;
            bool disrupt, pre;
        } vote;
        struct {
            bool granted, pre;
        } voted;
        struct {
            uint64_t transfer; /* number of this sending */
            uint64_t index, index_term, conf_index;
            const void *conf;
            size_t conf_len;
            uint64_t total, offset;
            const void *data;
            size_t len;
        } part;
        struct {
            uint64_t transfer, have;
        } have;
        struct {
            uint64_t last_index, last_term;
        } timeout_now;
        struct {
            uint64_t round;
        } read;
    };
};

/* The bytes of a message: malloc()ed. -EMSGSIZE; -EINVAL what may not be said. */
int consensus_msg_encode(const struct consensus_msg *m, void **data, size_t *len);

/* -EPROTO with words: not a message that a server would send. */
int consensus_msg_decode(const void *data, size_t len, struct consensus_msg *m, struct oerr *e);

/* The entries of a decoded MSG_APPEND, into an array of m->append.n. */
void consensus_msg_entries(const struct consensus_msg *m, struct consensus_entry *v);

/* Bytes of an entry inside a message. */
size_t consensus_msg_entry_size(const struct consensus_entry *entry);

/* A configuration as libraft writes it into the log. out: malloc()ed, at least one server.
 * -EPROTO with words. */
int consensus_conf_decode(const void *data, size_t len, struct consensus_server **out, size_t *n,
                          struct oerr *e);

#endif
