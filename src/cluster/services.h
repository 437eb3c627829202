/*
 * services.h - the core services on this machine: started and stopped as the registry places them.
 *
 * A service runs here while service/NAME names this machine, under the epoch of that record. It
 * acts on the registry only by commands that carry {"service", "epoch"}: the registry refuses an
 * old epoch, so that one that was moved while it could not hear of it does no harm. Besides, it is
 * stopped here when no leader was known for SERVICE_LEASE_MS, or while the registry cannot be
 * written here though another machine leads (replica_stuck(): it would not hear that it was moved),
 * and after that or a start of the daemon it is begun only when a read barrier has shown that the
 * record still holds.
 *
 * One that fails here again and again for SERVICE_UNFIT_MS is said to (replica_unfit()), so that
 * placement moves it; that is taken back when it has run for PLACE_WELL_MS without a failure, has
 * been elsewhere for SERVICE_BAR_MS, or is placed here once more.
 */
#ifndef ONEOS_CLUSTER_SERVICES_H
#define ONEOS_CLUSTER_SERVICES_H

#include "cluster/placement.h"
#include "cluster/replica.h"

#define SERVICE_LEASE_MS 2500
#define SERVICE_UNFIT_MS 10000
#define SERVICE_BAR_MS   600000

struct services;

/* What a service must offer. Core loop; none may block. */
struct service_ops {
    int (*start)(void *arg, uint64_t epoch, struct oerr *e); /* fails: tried again every second */
    void (*stop)(void *arg);                                 /* what it holds is let go of */
    bool (*health)(void *arg, struct oerr *e); /* false: it does not work, with words */
};

enum service_state { SERVICE_ELSEWHERE, SERVICE_STARTING, SERVICE_RUNNING, SERVICE_FAILED };
const char *service_state_name(enum service_state s);

int services_create(struct services **out, struct loop *core, struct replica *replica,
                    const char *self);
void services_destroy(struct services *s); /* stops what runs */

/* name: of service_names[]. A service that nobody offers is placed all the same, and is running
 * when this machine may act for it. */
int services_offer(struct services *s, const char *name, const struct service_ops *ops, void *arg);

/* How they are here, for all machines to know: {NAME: {"epoch", "state", "trouble"}} of those that
 * are placed here. fn gets it, borrowed, whenever it has changed. */
void services_on_change(struct services *s, void (*fn)(void *arg, const json_t *report), void *arg);

/* What a machine's report (NULL: none) says of a service that is placed there under this epoch;
 * words where it failed. */
enum service_state service_reported(const json_t *report, const char *name, uint64_t epoch,
                                    char words[160]);

#endif
