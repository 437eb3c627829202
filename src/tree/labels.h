/*
 * labels.h - `key value` lines and JSON objects of them: a machine's labels, info and load.
 */
#ifndef ONEOS_TREE_LABELS_H
#define ONEOS_TREE_LABELS_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* Adds the lines of text to labels; a key without a value is a flag. -EINVAL with words that name
 * the line. */
int labels_parse(json_t *labels, const char *text, size_t n, struct oerr *e);

/* Adds one label, K or K=V. -EINVAL with words. */
int labels_assign(json_t *labels, const char *text, struct oerr *e);

/* The values of an object as `key value` lines. NULL shows nothing. */
void labels_show(const json_t *object, struct obuf *out);

/* Kept in the file `labels` of the machine's folder. load gives an empty object where there is
 * none, NULL when it fails. */
int labels_load(const char *dir, json_t **out, struct oerr *e);
int labels_store(const char *dir, const json_t *labels, struct oerr *e);

#endif
