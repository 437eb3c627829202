/*
 * rendezvous_msg.h - what the rendezvous of machines say to each other, and its JSON form.
 *
 * Every question (CLAIM to SET) has exactly one answer. One pair of functions per message in
 * rendezvous_msg.c; decode checks every field and bound.
 */
#ifndef ONEOS_RUN_RENDEZVOUS_MSG_H
#define ONEOS_RUN_RENDEZVOUS_MSG_H

#include "run/rendezvous.h"

#include <jansson.h>

enum rv_kind {
    /* questions */
    RV_CLAIM,   /* name: may I make it?                     -> OK | EXISTS | YIELD */
    RV_UPDATE,  /* one change of one of my pipes            -> OK */
    RV_SYNC,    /* how far my replica is, per home          -> SYNC, the other's */
    RV_PULL,    /* all pipes of that home                   -> LIST | REFUSE */
    RV_OPEN,    /* to the home: a reader opens here         -> PIPE | REFUSE */
    RV_RELEASE, /* to the home: I no longer hold that epoch -> OK */
    RV_REMOVE,  /* to the home                              -> OK | REFUSE */
    RV_SET,     /* to the home: mode, capacity              -> PIPE | REFUSE */
    /* answers */
    RV_OK,
    RV_EXISTS, /* home, incarnation, version: whose it is, and how far I know that home */
    RV_YIELD,  /* I am making it myself, and win */
    RV_LIST,
    RV_PIPE,
    RV_REFUSE, /* rc and words */
    RV_KINDS
};

#define RV_HOMES_MAX 16384 /* homes that a replica and a SYNC hold at most */

/* How far a replica knows a home: all of its changes up to `version`. */
struct rv_known {
    char home[ID_MAX];
    uint64_t incarnation, version;
};

struct rv_msg {
    enum rv_kind kind;
    union {
        char name[PIPE_NAME_MAX + 1]; /* CLAIM */
        struct rv_known exists;       /* EXISTS */
        struct {
            bool removed; /* then of pipe only uid and version count */
            struct pipe_info pipe;
        } update; /* UPDATE; PIPE uses update.pipe */
        struct {
            struct rv_known *v; /* owned: rv_msg_free() */
            size_t n;
        } sync; /* SYNC */
        struct {
            struct rv_known of;  /* what it is the list of */
            struct pipe_info *v; /* owned: rv_msg_free() */
            size_t n;
        } list;            /* LIST */
        char home[ID_MAX]; /* PULL */
        struct {
            struct pipe_uid uid;
            uint64_t incarnation; /* OPEN: the asker's */
            uint64_t epoch;       /* RELEASE */
            int mode;             /* SET: -1 leaves it */
            uint64_t capacity;    /* SET: 0 leaves it */
        } op;                     /* OPEN RELEASE REMOVE SET */
        struct {
            int rc; /* < 0 */
            struct oerr words;
        } refuse; /* REFUSE */
    } u;
};

/* A new JSON object; NULL when out of memory. */
json_t *rv_msg_encode(const struct rv_msg *m);

/* 0, or -EPROTO with words (then *m holds nothing), or -ENOMEM. Free with rv_msg_free(). */
int rv_msg_decode(struct rv_msg *m, const json_t *body, struct oerr *e);
void rv_msg_free(struct rv_msg *m);

#endif
