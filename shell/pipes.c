/*
 * pipes.c - `oneos pipes`: the named pipes, from the table in pipes/status.
 *
 * Its first line names the columns, as `name mode readers ...`; each other line is a pipe, with
 * words quoted as in the shell.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"
#include "base/words.h"

#include <string.h>

static const struct column columns[] = {
    { "name", "PIPE", false, NULL },
    { "mode", "MODE", false, NULL },
    { "readers", "READERS", true, NULL },
    { "writers", "WRITERS", true, NULL },
    { "bytes_in", "IN", true, put_size },
    { "bytes_out", "OUT", true, put_size },
    { "buffered", "BUFFERED", true, put_size },
    { "machine", "MACHINE", false, NULL },
};

static json_t *value_of(const char *word)
{
    return *word && strlen(word) < 19 && word[strspn(word, "0123456789")] == '\0'
               ? json_integer(atoll(word))
               : json_string(word);
}

/* An object of the words of a line under the words of the heading. Names stay text. */
static json_t *make_row(const struct words *heading, const struct words *line)
{
    json_t *row = json_object();

    for (int i = 0; i < heading->n && i < line->n; i++)
        json_object_set_new(row, heading->v[i],
                            strcmp(heading->v[i], "name") == 0 ||
                                    strcmp(heading->v[i], "machine") == 0
                                ? json_string(line->v[i])
                                : value_of(line->v[i]));
    return row;
}

/* The rows of the table as objects; NULL having said what is wrong. */
static json_t *parse_table(const char *text, size_t len)
{
    json_t *rows = json_array();
    struct words heading = { 0 }, line;
    struct oerr e = { "" };
    size_t used;
    int rc = 0;

    for (; len > 0 && rc == 0; text += used, len -= used) {
        rc = words_split(&line, text, len, &used, &e);
        if (rc == 0 && heading.n == 0) {
            heading = line;
            continue;
        }
        if (rc == 0 && line.n > 0)
            json_array_append_new(rows, make_row(&heading, &line));
        words_free(&line);
    }
    words_free(&heading);
    if (rc == 0)
        return rows;
    json_decref(rows);
    say(EXIT_ONEOS, "pipes/status cannot be understood: %s", e.text);
    return NULL;
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    json_t *rows, *row;
    size_t i;
    int rc = tree_read(sh, &text, "pipes/status");

    (void)argc;
    (void)argv;
    rows = rc < 0 ? NULL : parse_table(text.p ? text.p : "", text.len);
    obuf_free(&text);
    if (!rows)
        return rc < 0 ? say_errno(sh, "pipes/status", rc) : EXIT_ONEOS;
    if (sh->json)
        json_array_foreach (rows, i, row)
            print_json(row);
    else
        table_print(columns, ARRAY_SIZE(columns), rows);
    json_decref(rows);
    return finish(0);
}

const struct command cmd_pipes = {
    .name = "pipes",
    .usage = "",
    .help = "list the named pipes and what is in them",
    .run = run,
};
