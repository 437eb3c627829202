/*
 * words.h - splits a line into words, quoted as in the shell.
 *
 * Quotes: '...' keeps everything; "..." keeps everything but \" \\ \$ \` and backslash-newline;
 * a backslash elsewhere keeps the next byte, and backslash-newline is nothing. A quoted newline
 * belongs to its word, so that a line of a ctl file may be several lines of text. An unquoted |
 * is a word of its own and marked as an operator. Nothing is expanded, nothing is a comment.
 * The inverse is obuf_quote().
 */
#ifndef ONEOS_BASE_WORDS_H
#define ONEOS_BASE_WORDS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define WORDS_LINE_MAX (512 * 1024) /* bytes of one line, with its quotes */

struct words {
    int n;
    char **v;     /* n words, then NULL */
    bool *op;     /* op[i]: v[i] is an operator, not text */
    size_t *bare; /* bare[i]: bytes at the front of v[i] that were not quoted */
    size_t *at;   /* at[i]: where in the text v[i] begins, with its quotes */
    char *mem;    /* what v points into */
};

/* Splits the first line of text (up to an unquoted newline, or all of it) and says in *used how
 * many bytes it took, with its newline; a text of several lines is a loop over this. A blank line
 * has n == 0. -EINVAL with words: a quote that is not closed, a backslash at the very end, a NUL
 * byte, a line over WORDS_LINE_MAX. -ENOMEM. When it fails, w is empty and *used is len. */
int words_split(struct words *w, const char *text, size_t len, size_t *used, struct oerr *e);

/* The same for a run line, where more is an operator: < > >> (with the digits that stand directly
 * before it, as in 2>) and whatever else is one in sh: ; & && || ( ) << >& $( ` and their like.
 * Inside of a word ; & ( ) are text, as in a?b=1&c=2; so are < and > in a word that begins with an
 * unquoted @ and is the first of the line or the first behind a |: a selector. */
int words_split_run(struct words *w, const char *text, size_t len, size_t *used, struct oerr *e);

/* Frees what it holds; an empty one (all zero) is allowed. */
void words_free(struct words *w);

#endif
