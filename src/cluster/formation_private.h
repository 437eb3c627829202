/*
 * formation_private.h - what formation.c and roles.c share.
 */
#ifndef ONEOS_CLUSTER_FORMATION_PRIVATE_H
#define ONEOS_CLUSTER_FORMATION_PRIVATE_H

#include "cluster/formation.h"

/* The times, in ms. */
enum {
    ROLE_STABLE_MS = 2000,  /* who is promoted has been here for so long */
    ROLE_UNKNOWN_MS = 5000, /* who never was a member here is taken off after so long */
    RETRY_MS = 1000,        /* the same step is not asked for again before */
    LOOK_MS = 250,          /* what tells nobody when it changes is looked at again */
    FORM_SILENT_MS = 10000, /* a member that never says its standing is not waited for any longer */
    FORM_GONE_MS = 30000,   /* ... nor a registry whose last machine has died */
    FORM_MEET_MS = 3000,    /* a registry gives way when that was the verdict for so long */
    FORM_LAST_MS = 3000,    /* the leader wipes last: the others need it to learn of the end */
    FORM_REFUSED_MS = 15000 /* a refusal is believed for so long */
};

/* A server of the configuration, as we have seen it. */
struct seat {
    uint64_t node;
    const struct consensus_server *server; /* of these facts */
    const struct form_machine *machine;    /* of these facts; NULL: not listed */
    enum consensus_role role;
    bool here;           /* its machine is alive, with this node */
    uint64_t since_ms;   /* here, or not */
    bool was_member;     /* we saw it as a member, ... */
    uint64_t unknown_ms; /* ... or it is none since then */
};

struct formation {
    uint64_t now, next;
    bool stepped;
    struct seat *seats; /* in the order of the configuration */
    size_t n;
    struct seat **of;         /* per machine of these facts: the seat with its id, or NULL */
    uint64_t noise_ms;        /* when a registry was heard of last, or anything not yet clear */
    char giving[REGISTRY_ID]; /* to whom our registry gives way, by the verdict since ... */
    uint64_t giving_ms;       /* ... then */
    bool over;                /* our registry was dissolved, seen first ... */
    uint64_t over_ms;         /* ... then */
    bool refused;             /* by a leader, last heard ... */
    uint64_t refused_ms;      /* ... then */
    struct form_step last;    /* what was asked for last ... */
    uint64_t last_ms;         /* ... then */
    char refuses[ID_MAX];     /* whom we refuse as leader */
    enum form_state state;
    char words[256];
};

/* Whether it is that late; if not, formation_next() will say when. */
bool form_due(struct formation *f, uint64_t at_ms);
const struct form_machine *form_machine_find(const struct form_facts *k, const char *id);
const struct form_machine *form_self(const struct form_facts *k);

/* Writes the step down; true, so that rules end with it. */
bool form_say(struct form_step *out, enum form_do what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* roles.c. Brings the seats up to date with the facts; -ENOMEM. */
int roles_look(struct formation *f, const struct form_facts *k);
/* The leader's next change; takes: may fresh machines be added to us. */
void roles_step(struct formation *f, const struct form_facts *k, bool takes, struct form_step *out);

#endif
