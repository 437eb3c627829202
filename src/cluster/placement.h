/*
 * placement.h - which machine runs which core service: sans-I/O.
 *
 * The leader asks for it after every change; what it answers becomes the command service.assign.
 * Each service runs on one machine, under an epoch that grows with every move; who acts for a
 * service names its epoch, and the registry refuses an old one.
 *
 * A service stays where it is while its machine is alive and not draining, unless somebody wrote
 * `move`: then it goes to the machine that was asked for, if that is alive and not draining. Else
 * it goes to the alive one with the fewest services (label service=NAME or service=any preferred,
 * service=none avoided, draining only if all are; ties: the longest alive, then the lower id).
 */
#ifndef ONEOS_CLUSTER_PLACEMENT_H
#define ONEOS_CLUSTER_PLACEMENT_H

#include "net/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVICE_MAX 16                    /* a name with its NUL */
extern const char *const service_names[]; /* filesystem scheduler shell web; NULL */

struct place_machine {
    char id[ID_MAX];
    bool alive, draining;
    uint64_t since_ms;
    enum { SERVE_MAY, SERVE_RATHER, SERVE_NOT } wish[4]; /* by label, per service */
};

struct place_service {
    char name[SERVICE_MAX];
    char machine[ID_MAX]; /* "": nowhere yet */
    char wanted[ID_MAX];  /* by `move`; "": nobody */
    uint64_t epoch;
};

struct place_move {
    char name[SERVICE_MAX], to[ID_MAX];
    uint64_t epoch; /* of what it replaces */
    char why[120];
};

/* Moves to make now, at most one a service; returns how many. */
size_t place_services(const struct place_machine *m, size_t nm, const struct place_service *s,
                      size_t ns, struct place_move *out);

#endif
