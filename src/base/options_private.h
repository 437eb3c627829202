/*
 * options_private.h - what the readers of the four places share.
 */
#ifndef ONEOS_BASE_OPTIONS_PRIVATE_H
#define ONEOS_BASE_OPTIONS_PRIVATE_H

#include "base/options.h"

#define OPTIONS_SYSTEM_FILE "/etc/oneos/oneos.conf"

enum level { UNSET, SYSTEM, USER, ENVIRONMENT, FLAG };

struct value {
    enum level level;
    bool off;
    char **v; /* n of them, then NULL; each ours */
    int n;
    char *source;
};

struct options {
    const struct options_spec *spec;
    const struct option_row *rows; /* spec->rows */
    int nrows;
    struct value *values; /* one for each row */
    int operands;
    bool help, version;
};

/* Sets row i from one place. `negated`: it was given as no-NAME. */
int options_set(struct options *o, int i, bool negated, const char *text, enum level level,
                const char *source, struct oerr *e);

/* The row of that name, or -1. *negated: it is no-NAME. */
int options_find(const struct options *o, const char *name, bool *negated);

/* 0, -EBADMSG with words that name the file and line or the variable, -ENOMEM. */
int options_read_files(struct options *o, struct oerr *e);
int options_read_environment(struct options *o, struct oerr *e);

#endif
