/*
 * daemon.h - the parts of oneosd put together: started in order, stopped in the opposite one.
 */
#ifndef ONEOS_DAEMON_H
#define ONEOS_DAEMON_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;

struct daemon_options {
    const char *id, *state, *cluster_key; /* see identity.h; id may be NULL */
    const char *mount;                    /* NULL: /oneos, else below the state folder */
    bool no_mount, handover;
    uint64_t output_limit; /* of each output of a process; 0: SPOOL_LIMIT */
    const char *listen;    /* numeric address or NULL */
    uint16_t port;
    const char *join, *token;
    const char *const *labels; /* K or K=V, n_labels of them */
    int n_labels;
    const char *program; /* oneos-init */
};

/* Errors as of the part that failed; daemon_exit_status() says what they mean for the shell. */
int daemon_create(struct daemon **out, const struct daemon_options *opt, struct oerr *e);
int daemon_exit_status(int rc);

/* Where it is mounted; "" when nowhere. */
const char *daemon_mount(const struct daemon *d);
const char *daemon_id(const struct daemon *d);

/* Runs until this machine has a registry, for ten seconds at most. False: it has none yet, with
 * words; it goes on looking for one while it runs. */
bool daemon_await_ready(struct daemon *d, struct oerr *e);

/* Runs until SIGTERM, SIGINT or `leave`. Then everything has been stopped. */
void daemon_run(struct daemon *d);
void daemon_destroy(struct daemon *d); /* NULL and half-built ones are allowed */

#endif
