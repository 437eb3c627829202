/*
 * table.h - tables and JSON, for the subcommands that show something.
 */
#ifndef ONEOS_SHELL_TABLE_H
#define ONEOS_SHELL_TABLE_H

#include "base/buf.h"

#include <jansson.h>

struct column {
    const char *key; /* in the objects; "a|b": the first that is there */
    const char *title;
    bool right;                                         /* numbers are aligned to the right */
    void (*put)(struct obuf *out, const json_t *value); /* NULL: as it is */
};

/* Prints the objects in the array as a table; the last column is cut at the terminal's width. */
void table_print(const struct column *columns, size_t n, const json_t *rows);

void put_size(struct obuf *out, const json_t *value); /* bytes as 1.5GiB */

/* Parses JSON lines into an array: the caller's, or NULL having said what is wrong. */
json_t *parse_lines(const char *path, const char *text);

/* Flat keyed text (`key value`, one a line) as an object; digits become numbers. */
json_t *parse_keyed(const char *text);

/* Prints one object on a line. */
void print_json(const json_t *object);

#endif
