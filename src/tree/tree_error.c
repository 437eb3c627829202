/*
 * tree_error.c - the `error` files: the words of the last failed write to the sibling ctl.
 *
 * They are this machine's memory of what its users asked, wherever the ctl lives. The newest
 * ERRORS_MAX are kept; a write that succeeds empties its sibling.
 */
#include "tree/tree_private.h"
#include "base/loop.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ERRORS_MAX 1024

struct last_error {
    char path[TREE_PATH_MAX]; /* of the directory */
    char text[sizeof(struct oerr)];
    uint64_t mtime_us;
    UT_hash_handle hh;
};

static size_t dir_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) : 0;
}

static struct last_error *find(struct tree *t, const char *path)
{
    struct last_error *found;

    HASH_FIND(hh, t->errors, path, dir_length(path), found);
    return found;
}

bool tree_notes_errors(const struct tree_row *row)
{
    return row->verbs || row->save || row->clone;
}

void tree_note_error(struct tree *t, const char *path, const char *text)
{
    struct last_error *le = find(t, path);

    if (le)
        HASH_DEL(t->errors, le);
    else if (!*text)
        return;
    else if (HASH_COUNT(t->errors) >= ERRORS_MAX) {
        le = t->errors;
        HASH_DEL(t->errors, le);
    } else {
        le = malloc(sizeof *le);
        if (!le)
            return;
    }
    snprintf(le->path, sizeof le->path, "%.*s", (int)dir_length(path), path);
    snprintf(le->text, sizeof le->text, "%s", text);
    le->mtime_us = wall_us();
    HASH_ADD(hh, t->errors, path, strlen(le->path), le);
}

const char *errors_find(struct tree *t, const char *path)
{
    struct last_error *le = find(t, path);

    return le ? le->text : "";
}

void errors_stat(struct tree *t, const struct tree_at *at, struct tree_attr *attr)
{
    struct last_error *le = at->row->kind == TREE_ERROR ? find(t, at->path) : NULL;

    if (le)
        attr->mtime_us = le->mtime_us;
}

void errors_free(struct tree *t)
{
    struct last_error *le, *next;

    HASH_ITER (hh, t->errors, le, next) {
        HASH_DEL(t->errors, le);
        free(le);
    }
}
