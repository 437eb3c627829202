/*
 * each.h - which machines a selector fits, by what machines/all.jsonl says of them.
 */
#ifndef ONEOS_SHELL_EACH_H
#define ONEOS_SHELL_EACH_H

#include "shell/shell.h"

#include <jansson.h>

/* Sets fit[i] for the row i of all that it fits, of those that are members. `*` fits all. -EINVAL
 * with words. */
int select_machines(const struct shell *sh, const char *selector, const json_t *all, bool *fit,
                    struct oerr *e);

#endif
