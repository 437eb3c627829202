/*
 * options.h - one table of options per program, for the command line, the environment, the
 * configuration files and --help.
 *
 * A row named "log-level" is the flag --log-level, the variable ONEOS_LOG_LEVEL and the line
 * `log-level = debug` of a file. A flag beats the environment, which beats
 * $XDG_CONFIG_HOME/oneos/oneos.conf (~/.config without the variable), which beats
 * /etc/oneos/oneos.conf; an option that may be repeated takes all its values from the strongest
 * place that has one. In a file, lines before any [section] are for every program; those under
 * [oneosd] or [oneos] for that one. An empty variable counts as not set.
 */
#ifndef ONEOS_BASE_OPTIONS_H
#define ONEOS_BASE_OPTIONS_H

#include "base/err.h"

#include <stdbool.h>

struct obuf;
struct options;

struct option_row {
    const char *name;
    char letter;     /* the short flag, or 0 */
    const char *arg; /* what --help calls its value; NULL: a switch (yes and no in files) */
    const char *help;
    bool many;      /* may be repeated; else the last one counts */
    bool negatable; /* --no-NAME, ONEOS_NO_NAME and `no-NAME = yes` turn it off */
    bool flag_only; /* neither in the environment nor in files */
    int (*check)(const char *value, struct oerr *e); /* NULL, or: 0, -errno with words */
};

struct options_spec {
    const char *program;           /* "oneosd": its section too */
    const char *usage;             /* what follows the program's name: "[OPTIONS] [ID]" */
    const char *about;             /* a sentence or more for --help */
    const struct option_row *rows; /* ended by a row without a name */
    bool lenient;                  /* names of other programs before any [section] are no errors */
    bool subcommands;              /* the first operand ends the options */
    struct options *outer;   /* for a subcommand: its program's, which may be given here too */
    const char *system_file; /* NULL: /etc/oneos/oneos.conf */
};

/* Reads all four places; argv[0] is skipped and argv reordered, operands last. --help (-h) and
 * --version (-V) are rows of every program. The options borrow argv and the tables. Errors, with
 * words that name the place: -EINVAL bad usage, -EBADMSG a bad file (its name and line) or a bad
 * variable, -ENOMEM. With `outer` only flags are read. */
int options_read(struct options **out, const struct options_spec *spec, int argc, char **argv,
                 struct oerr *e);
void options_free(struct options *o); /* NULL is allowed */

/* The exit status that cli.md has for a failure of options_read: 64, 78 or 71. */
int options_exit_status(int rc);

/* The value (the last one of a repeated option; "yes" of a switch), or NULL when it is nowhere
 * given or was turned off. Asking for a name without a row is a bug and aborts. */
const char *options_get(const struct options *o, const char *name);
bool options_on(const struct options *o, const char *name);  /* a switch that is on */
bool options_off(const struct options *o, const char *name); /* --no-NAME was given */

/* All values of a repeated option, in the order given; *n of them. */
const char *const *options_all(const struct options *o, const char *name, int *n);

/* Where its value comes from, for words: "--mount", "ONEOS_MOUNT", "FILE:LINE"; "" if nowhere. */
const char *options_source(const struct options *o, const char *name);

/* The first operand's index in argv. */
int options_operands(const struct options *o);

/* --help or --version was given: append the text and leave. options_help() says nothing about
 * where options may stand, so that it fits subcommands too. */
bool options_wants_help(const struct options *o);
bool options_wants_version(const struct options *o);
void options_help(const struct options_spec *spec, struct obuf *out);

#endif
