/*
 * placement.h - which machine runs which core service: sans-I/O.
 *
 * The leader asks for it after every change; what it answers becomes the command service.assign.
 * Each service runs on one machine, under an epoch that grows with every move; who acts for a
 * service names its epoch, and the registry refuses an old one.
 *
 * A service stays where it is while its machine is alive, well and not draining, unless somebody
 * wrote `move`: then it goes to the machine that was asked for, if that is alive and not draining.
 * Else it goes to the alive one with the fewest services (label service=NAME or service=any
 * preferred, service=none avoided; draining only if all are, and what is not well only then; ties:
 * the longest alive, then the lower id), or stays where none is better off. The scheduler goes to
 * the leader first, whatever else that has, and the others are spread around it: all that it
 * decides goes through the leader. It does not follow when another machine leads.
 *
 * A machine says itself that it is not well (it cannot write its registry), or not for one service
 * (that fails there again and again), by place_judge(): not for a short trouble, and not well again
 * at once. What came to a machine stays for PLACE_STAY_MS even so: an operator's `move` gets its
 * chance, and nothing goes round and round.
 */
#ifndef ONEOS_CLUSTER_PLACEMENT_H
#define ONEOS_CLUSTER_PLACEMENT_H

#include "net/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVICE_MAX 16                    /* a name with its NUL */
extern const char *const service_names[]; /* filesystem scheduler shell web; NULL */

enum {
    PLACE_UNWELL_MS = 3000, /* a registry that cannot be written for so long makes it unwell, ... */
    PLACE_WELL_MS = 10000,  /* ... one without trouble for so long well again */
    PLACE_STAY_MS = 10000
};

struct place_machine {
    char id[ID_MAX];
    bool alive, draining, unwell, leads;
    uint64_t since_ms;
    enum { SERVE_MAY, SERVE_RATHER, SERVE_NOT } wish[4]; /* by label, per service */
    bool unfit[4];                                       /* per service: it fails there */
};

struct place_service {
    char name[SERVICE_MAX];
    char machine[ID_MAX]; /* "": nowhere yet */
    char wanted[ID_MAX];  /* by `move`; "": nobody */
    uint64_t epoch;
    uint64_t since_ms; /* when this epoch was seen first; 0: long ago */
};

struct place_move {
    char name[SERVICE_MAX], to[ID_MAX];
    uint64_t epoch; /* of what it replaces */
    char why[120];
};

/* Moves to make now, at most one a service; returns how many. *again_ms: without news, when there
 * may be more; UINT64_MAX. */
size_t place_services(const struct place_machine *m, size_t nm, const struct place_service *s,
                      size_t ns, uint64_t now_ms, struct place_move *out, uint64_t *again_ms);

/* A verdict with inertia: bad when things were bad for bad_ms without a break, good when they were
 * good for good_ms. {0} is good. Returns the verdict. */
struct place_judge {
    bool bad;
    uint64_t other_ms; /* since when things are other than the verdict; 0: they are not */
};
bool place_judge(struct place_judge *j, uint64_t now_ms, bool bad, uint64_t bad_ms,
                 uint64_t good_ms);

#endif
