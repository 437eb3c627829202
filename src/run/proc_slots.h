/*
 * proc_slots.h - records of many short processes in one file, each in a slot of its own.
 */
#ifndef ONEOS_RUN_PROC_SLOTS_H
#define ONEOS_RUN_PROC_SLOTS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SLOT_BYTES 2048

struct slots;

/* Opens or makes it. found is called for each text in it, from inside the call; false: it is of no
 * use, the slot is free. */
typedef bool slots_found_fn(void *arg, unsigned slot, const char *text);
int slots_open(struct slots **out, const char *path, slots_found_fn *found, void *arg,
               struct oerr *e);
void slots_close(struct slots *s); /* NULL is allowed */

/* Writes text of n bytes that begins with '{' and has no newline to this slot, or, when it is -1,
 * to a free one. -E2BIG when it has SLOT_BYTES or more. */
int slots_write(struct slots *s, int *slot, const char *text, size_t n);
void slots_free(struct slots *s, int *slot); /* -1 is allowed, and what it becomes */

#endif
