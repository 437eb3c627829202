/*
 * tree_line.c - one line of what is written to a ctl file: its words, and what stands behind the
 * first one as it was written, for verbs that have a language of their own.
 */
#include "tree/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tree_line_read(struct tree_line *line, const char *text, size_t len, struct oerr *e)
{
    size_t from, end;
    int rc;

    *line = (struct tree_line){ 0 };
    rc = words_split(&line->words, text, len, &line->used, e);
    if (rc < 0 || line->words.n == 0)
        return rc;
    end = line->used - (text[line->used - 1] == '\n');
    from = line->words.n > 1 ? line->words.at[1] : end;
    line->rest = strndup(text + from, end - from);
    if (line->rest)
        return 0;
    tree_line_free(line);
    return -ENOMEM;
}

void tree_line_free(struct tree_line *line)
{
    words_free(&line->words);
    free(line->rest);
    line->rest = NULL;
}
