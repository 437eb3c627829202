/*
 * consensus_kit.h - some servers of one consensus in one process: time, disks and network by hand.
 *
 * kit_run() delivers messages and ends disk work at once, in order, and lets time go on a tick at a
 * time. A disk that is held ends nothing; a cut server sends and receives nothing.
 */
#ifndef ONEOS_TESTS_CONSENSUS_KIT_H
#define ONEOS_TESTS_CONSENSUS_KIT_H

#include "cluster/consensus.h"
#include "cluster/consensus_msg.h"

enum { KIT_SERVERS = 5, KIT_ENTRIES = 2000 };

struct kit_work {
    struct kit_work *next;
    consensus_disk_done *done;
    void *token;
    struct consensus_snapshot *out; /* snapshot_get */
};

struct kit_disk {
    uint64_t term, vote, first, n;         /* entries first..first+n-1 */
    struct consensus_entry e[KIT_ENTRIES]; /* by index, modulo */
    bool has_snapshot, held;
    struct consensus_snapshot snapshot;
    struct kit_work *work, **end;
    int fail_set_term;
};

struct kit_server {
    struct kit *kit;
    uint64_t node;
    char id[8];
    struct consensus *c;
    struct kit_disk disk;
    bool cut;
    uint64_t sum, applied, restored; /* the state machine: a sum of all bytes; last index */
    char *text;                      /* all commands, ended by ';' each */
    size_t text_len;
    bool busy;   /* takes no snapshot */
    bool forget; /* keeps no text */
    unsigned changed, flushed, appends;
};

struct kit_mail {
    struct kit_mail *next;
    uint64_t to;
    char from[8];
    size_t len;
    uint8_t data[];
};

struct kit {
    uint64_t now;
    unsigned seed, sent, threshold, trailing;
    struct kit_server s[KIT_SERVERS];
    struct kit_mail *mail, **end;
};

struct kit *kit_new(void);
void kit_free(struct kit *k);
int kit_start(struct kit *k, unsigned i, struct oerr *e);
void kit_stop(struct kit *k, unsigned i); /* what is under way on its disk is lost */
void kit_deliver(struct kit *k);          /* until nothing is under way */
void kit_run(struct kit *k, unsigned ms);
struct consensus *kit_leader(struct kit *k);  /* NULL: none */
bool kit_end_work(struct kit *k, unsigned i); /* one piece of work of that disk, held or not */
/* A configuration as it stands in the log: servers 101 and on, called m0 and on, of these roles. */
size_t kit_conf(uint8_t to[512], const enum consensus_role *roles, size_t n);
/* Three voters, leader found. */
void kit_three(struct kit *k);

/* What a done() said. */
struct kit_said {
    int calls, rc;
    uint64_t index;
};
void kit_done(void *arg, int rc, uint64_t index);

#endif
