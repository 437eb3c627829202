/*
 * mountpoint.h - where /oneos is mounted on this machine.
 */
#ifndef ONEOS_MOUNTPOINT_H
#define ONEOS_MOUNTPOINT_H

#include "net/identity.h"

/* wanted, or when NULL: /oneos where that can be made and is free, else <state>/<id>/oneos. Makes
 * the directory. A dead mount of the same id counts as free. Errors with words, for a `wanted` that
 * will not do. Until *lock is closed, no other daemon takes the directory; -1 where none could. */
int mountpoint_choose(const char *wanted, const struct identity *me, char *dir, size_t size,
                      int *lock, struct oerr *e);

#endif
