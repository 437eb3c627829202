/*
 * tree_private.h - what the engine's own files share.
 */
#ifndef ONEOS_TREE_PRIVATE_H
#define ONEOS_TREE_PRIVATE_H

#include "tree/tree.h"

struct comp;
struct last_error;

struct tree {
    struct tree_env env;
    struct comp *root;
    const struct tree_row **rows;
    size_t n_rows;
    struct last_error *errors; /* by path, the newest last */
};

mode_t tree_type(const struct tree_row *row);

/* tree_error.c: the last words of failed ctl writes, a bounded number of them. */
const char *errors_find(struct tree *t, const char *path);
void errors_stat(struct tree *t, const struct tree_at *at, struct tree_attr *attr);
void errors_free(struct tree *t);
bool tree_notes_errors(
    const struct tree_row *row); /* what is done to it leaves words in the sibling `error` */

/* tree_forward.c. The machine that must answer: NULL for this one. */
int forward_home(const struct tree_at *at, const char **machine);
void forward_call(struct tree_call *call, const char *machine, const char *op, const char *text,
                  size_t n);
int forward_open(const struct tree_at *at, const char *machine, const char *user, int flags,
                 struct stream **out);

/* tree_call.c: access to what a call names, as it is now. */
int call_check(struct tree_call *call, int want);

#endif
