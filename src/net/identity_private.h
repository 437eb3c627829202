/*
 * identity_private.h - between identity.c and identity_keys.c.
 */
#ifndef ONEOS_NET_IDENTITY_PRIVATE_H
#define ONEOS_NET_IDENTITY_PRIVATE_H

#include "net/identity.h"

/* Fills the CURVE and TLS keys from `<dir>/identity`, or makes the file. */
int identity_load_keys(struct identity *i, struct oerr *e);

#endif
