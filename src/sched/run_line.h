/*
 * run_line.h - the run line: what a job, or a simple command of the shell, runs.
 *
 *     [@SELECTOR] [NAME=VALUE...] command [args...] [< file] [> file] [>> file] [2> file] [| ...]
 *
 * Quoting is that of words.h. Nothing is expanded: $HOME, ~ and * are text. What sh would take for
 * an operator, and this has not (; & && || ( ) $( ` << >& and so on), is refused unless quoted;
 * inside of a word ; & ( ) are text. < and > inside of a selector compare (@cores>=4). The first
 * command alone may have <, the last alone > or >>, each may have 2> or 2>>. A command that begins
 * with @ or looks like NAME=VALUE is quoted. The line is UTF-8.
 */
#ifndef ONEOS_SCHED_RUN_LINE_H
#define ONEOS_SCHED_RUN_LINE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct obuf;

#define RUN_LINE_MAX   (512 * 1024) /* bytes, as given and as printed */
#define RUN_STAGES_MAX 64
#define RUN_STAGE_ENV  1024 /* NAME=VALUE in front of one command */

struct run_stage {
    char *select; /* without its @, known to be well formed; NULL: none */
    char **env;   /* "NAME=VALUE", then NULL; each NAME once */
    size_t n_env;
    char **argv; /* at least the command, then NULL */
    int argc;
    char *in, *out, *err; /* files of < > 2>, or NULL */
    bool append;          /* >> */
    bool err_append;      /* 2>> */
};

struct run_line {
    struct run_stage *stages;
    size_t n;
    char *mem, **lists; /* what the stages point into */
};

/* Reads one line; blanks and newlines may follow. -EINVAL with words; then, and at -ENOMEM, the
 * line is empty. */
int run_line_parse(struct run_line *line, const char *text, size_t len, struct oerr *e);

/* Appends the canonical text: parsed again it gives the same line, and that prints the same. */
void run_line_print(const struct run_line *line, struct obuf *out);

/* An empty one (all zero) is allowed. */
void run_line_free(struct run_line *line);

/* The length of a NAME that begins text and that a variable may have; 0: there is none. */
size_t run_line_name(const char *text);

#endif
