/*
 * lmdb_check.h - is a file of LMDB sound, before LMDB maps it?
 *
 * LMDB trusts its file: a byte that is wrong in a page makes it read outside of the map or stop the
 * process. So a file that must be refused in words when it is damaged is looked at here first, with
 * plain reads.
 */
#ifndef ONEOS_CLUSTER_LMDB_CHECK_H
#define ONEOS_CLUSTER_LMDB_CHECK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One item of the main tree; the memory is good during the call. txn: of the state that it belongs
 * to. newest: of the state that LMDB will open; the other is the one before. Non-zero: ends this
 * state's walk; negative: ends the check with that. */
typedef int lmdb_check_item(void *arg, uint64_t txn, bool newest, const void *key, size_t key_len,
                            const void *value, size_t len, struct oerr *e);

/* For a file without named trees that nobody writes to meanwhile. 0; -EBADMSG damaged: e says how
 * ("page 12 is listed twice"), without the file's name; -EIO, -ENOMEM. Walks the state before the
 * newest only as far as `fn` wants to see it. */
int lmdb_check(int fd, lmdb_check_item *fn, void *arg, struct oerr *e);

/* The same for the state before the newest, which fn is told is the newest, and for nothing else.
 * A transaction writes to no page of it, so it is whole where the newest was cut off. */
int lmdb_check_before(int fd, lmdb_check_item *fn, void *arg, struct oerr *e);

/* Makes that one the newest, durably. */
int lmdb_step_back(int fd, struct oerr *e);

#endif
