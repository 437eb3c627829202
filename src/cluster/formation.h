/*
 * formation.h - how machines come to share one registry: sans-I/O.
 *
 * (what this machine knows, time) -> what to do now. Every machine runs it; facts of the others
 * come with their heartbeats as a `struct standing`. The owner (replica.c) asks formation_step()
 * after every change (or once for many) and when formation_next() says so, and carries out the one
 * thing it answers.
 *
 * - A fresh machine that hears of no registry for 1.5 s, and of no fresh member with a lower id,
 *   bootstraps one. Otherwise it waits to be added.
 * - A leader adds fresh members as spare, makes them learn, and keeps 5 voters from 5 machines on,
 *   3 from 3 on, else 1: an odd number, since one more to make it even adds a machine whose death
 *   stops the registry, and none whose death it survives. It promotes the longest alive first,
 *   replaces a voter that has been dead for ROLE_DEAD_MS where somebody alive can take its place,
 *   takes off what was forgotten. One change at a time. A leader that is not well hands over to a
 *   voter that is.
 * - A machine that is about to leave says so (`leaving`), and goes when it does not lead any more
 *   and roles_leaving() has no objection (or its patience ends): leadership is handed over, and the
 *   seats are changed first where those who stay would lose their quorum.
 * - Two registries under one cluster key meet: the leader of the one that must give way (it has no
 *   data and the other has; both have none: fewer machines, then the higher id) proposes
 *   "registry.dissolve", which is refused if data came meanwhile; once it is applied, each of its
 *   machines wipes its replica and waits to be added to the other. Both have data: split is said,
 *   and nothing is done.
 * - A machine that is fresh though the registry knows its id under another node (its disk was
 *   replaced) is not added before somebody forgot it: it is refused, in words.
 */
#ifndef ONEOS_CLUSTER_FORMATION_H
#define ONEOS_CLUSTER_FORMATION_H

#include "cluster/consensus.h"

#include <jansson.h>

#define REGISTRY_ID   40
#define FORM_PAST     (4 * REGISTRY_ID)
#define FORM_QUIET_MS 1500
#define ROLE_DEAD_MS  10000

/* What a machine says of itself. */
struct standing {
    char registry[REGISTRY_ID]; /* id of its registry; "": fresh */
    char from[FORM_PAST];   /* those it was in before and that were dissolved, newest first, with
                               blanks between: said for good, so that who was away learns it */
    char into[REGISTRY_ID]; /* ... into this one at last. "": never */
    uint64_t node;
    bool leader, data;    /* data: what must not be destroyed (as of its replica) */
    bool begun;           /* in a configuration already, though it has applied no id yet */
    bool leaving;         /* wants to say farewell */
    bool unwell;          /* its replica cannot write to its disk, or otherwise not go on */
    char unfit[64];       /* names of services that fail there, with blanks between; "" */
    char refuses[ID_MAX]; /* of the leader: formation_refuses(); "" */
    uint32_t machines;    /* of its registry */
    uint64_t term, index; /* applied */
};

/* One trusted machine, as membership and its heartbeats show it. Sorted by id; self included, with
 * its own standing. */
struct form_machine {
    char id[ID_MAX];
    bool alive;        /* alive or suspect */
    bool left;         /* said farewell */
    uint64_t since_ms; /* in that state */
    bool known;        /* a standing was heard (in this incarnation) */
    struct standing is;
};

/* What the registry's own replica and consensus say. */
struct form_facts {
    uint64_t now_ms;
    const char *self;
    uint64_t started_ms;
    const struct form_machine *machines;
    size_t n;
    bool is_leader, changing;               /* a configuration change is under way */
    const struct consensus_server *servers; /* the configuration */
    size_t n_servers;
    bool (*is_member)(void *arg, const char *id); /* the registry's member/ID exists */
    /* It was dissolved, by our registry's word (ended/ID). */
    bool (*ended)(void *arg, const char *registry, char into[REGISTRY_ID]);
    /* A learner near enough to become a voter, and heard just now (consensus_heard()): the death of
     * a voter that nobody noticed yet can take the quorum. */
    bool (*caught_up)(void *arg, uint64_t node);
    void *arg;
};

enum form_do {
    FORM_NOTHING,
    FORM_BOOTSTRAP, /* this machine, alone */
    FORM_ADD,       /* node + id: as spare. member/ID first: a server without is forgotten */
    FORM_ASSIGN,    /* node: role */
    FORM_REMOVE,    /* node */
    FORM_TRANSFER,  /* leadership away from us, to node: before we are removed or demoted */
    FORM_DISSOLVE,  /* propose registry.dissolve into `registry` */
    FORM_WIPE,      /* our replica belongs to a registry that was dissolved into `registry` */
};

struct form_step {
    enum form_do what;
    uint64_t node;
    char id[ID_MAX];
    enum consensus_role role;
    char registry[REGISTRY_ID];
    char why[160]; /* words for the log */
};

struct formation; /* the little that it remembers: since when who was heard */
int formation_create(struct formation **out);
void formation_destroy(struct formation *f);
void formation_step(struct formation *f, const struct form_facts *facts, struct form_step *out);
uint64_t formation_next(const struct formation *f); /* ms; UINT64_MAX: only after an event */

/* For status and doctor. */
enum form_state { FORM_WAITING, FORM_JOINING, FORM_MEMBER, FORM_REFUSED, FORM_SPLIT };
enum form_state formation_state(const struct formation *f, char words[256]);

/* A leader's: whom it does not add (several take turns, a second each); "". For its standing. */
const char *formation_refuses(const struct formation *f);

/* On the wire, in heartbeats ("reg"). */
json_t *standing_encode(const struct standing *s);
int standing_decode(const json_t *j, struct standing *s); /* -EPROTO */

/* After FORM_WIPE: puts the registry that ended in front of `from`; the oldest drop out. */
void standing_ended(char from[FORM_PAST], const char *registry);
bool standing_was_in(const struct standing *s, const char *registry);

/* May this voter stop politely as it is (0), or must the leader change the seats first (1), so that
 * those who stay keep a quorum? alive(id): stays and can be reached. What formation_step() does
 * about it on the leader, once the leaver's standing says `leaving`, ends with 0 here. */
int roles_leaving(const struct consensus_server *servers, size_t n, const char *leaver,
                  bool (*alive)(void *arg, const char *id), void *arg);

#endif
