/*
 * units.h - sizes and times as people write them.
 *
 * Sizes count in powers of 1024: `512MiB`, `1.5GiB`, `64K`, or a number of bytes. Times are
 * systemd's: `2h 30min`, `1.5s`, `250ms`; a bare number is seconds.
 */
#ifndef ONEOS_BASE_UNITS_H
#define ONEOS_BASE_UNITS_H

#include "base/err.h"

#include <stdint.h>

struct obuf;

#define UNITS_FOREVER UINT64_MAX /* `infinity`, as a time */

/* -EINVAL with words: no number, an unknown unit (MB: it says to write MiB), something behind
 * it, or too large for 64 bits. *out is set only when it succeeds. */
int units_size(const char *text, uint64_t *bytes, struct oerr *e);
int units_time(const char *text, uint64_t *usec, struct oerr *e);

/* A plain number, `2` or `0.5`, in thousandths; what is finer is dropped. -EINVAL with words. */
int units_number(const char *text, uint64_t *milli, struct oerr *e);

/* Appends it for people, rounded: "1.5GiB", "2h 30min". What is written can be read back. */
void units_put_size(struct obuf *b, uint64_t bytes);
void units_put_time(struct obuf *b, uint64_t usec);

/* The same without rounding: "1536MiB", "2h 30min 1s 5ms". */
void units_put_size_exact(struct obuf *b, uint64_t bytes);
void units_put_time_exact(struct obuf *b, uint64_t usec);

#endif
