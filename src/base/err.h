/*
 * err.h - errors: a negative errno that programs test, and a sentence that people read.
 *
 * Every call that can fail returns 0 (or a count) or -errno. Where words help, it also takes a
 * caller-owned `struct oerr *` (NULL: no words wanted). The buffer is fixed, so that saying what
 * went wrong can never fail itself.
 */
#ifndef ONEOS_BASE_ERR_H
#define ONEOS_BASE_ERR_H

struct oerr {
    char text[320]; /* one plain sentence: what, where, what to do; no newline */
};

/* Fills e (may be NULL) and returns rc, so that `return oerr_set(e, -EINVAL, ...)` reads well.
 * Control characters in the text and what is no UTF-8 become '?', since part of it may come from
 * outside. */
int oerr_set(struct oerr *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The name of an errno ("EHOSTUNREACH"); "E?" where there is none. */
const char *oerr_name(int err);

#endif
