/*
 * jobs.c - `oneos jobs`: what the scheduler was asked to do, from jobs/all.jsonl.
 *
 * Shown are those that are not over, and the last few that are. An array job stands for its
 * elements.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <string.h>

#define ENDED_SHOWN 10

static const struct option_row rows[] = {
    { .name = "all",
      .letter = 'a',
      .flag_only = true,
      .help = "also all that are over, and the elements of arrays" },
    { 0 },
};

static const struct column columns[] = {
    { "id", "JOB", false, NULL },
    { "user", "USER", false, NULL },
    { "state", "STATE", false, NULL },
    { "exit|signal|cause|counts", "END", false, NULL },
    { "machines", "MACHINES", false, NULL },
    { "run", "COMMAND", false, NULL },
};

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

static bool is_over(const json_t *row)
{
    static const char *const over[] = { "done", "failed", "cancelled", "lost" };

    for (size_t i = 0; i < ARRAY_SIZE(over); i++)
        if (strcmp(text_of(row, "state"), over[i]) == 0)
            return true;
    return false;
}

static int by_time(const void *a, const void *b)
{
    return strcmp(text_of(*(json_t *const *)a, "created"), text_of(*(json_t *const *)b, "created"));
}

/* The rows in the order in which they were made. */
static json_t *sorted(const json_t *all)
{
    size_t n = json_array_size(all);
    cleanup_free json_t **v = calloc(n + 1, sizeof *v);
    json_t *in_order = json_array();

    for (size_t i = 0; v && i < n; i++)
        v[i] = json_array_get(all, i);
    if (v)
        qsort(v, n, sizeof *v, by_time);
    for (size_t i = 0; v && i < n; i++)
        json_array_append(in_order, v[i]);
    return in_order;
}

/* Those that are shown, of rows in order. */
static json_t *filter(const struct shell *sh, const json_t *all)
{
    bool every = options_on(sh->options, "all");
    json_t *wanted = json_array(), *row;
    size_t i, ended = 0;

    json_array_foreach (all, i, row)
        ended += is_over(row) && !json_object_get(row, "array");
    json_array_foreach (all, i, row) {
        bool element = json_object_get(row, "array") != NULL;

        if (every || (!element && (!is_over(row) || ended <= ENDED_SHOWN)))
            json_array_append(wanted, row);
        ended -= is_over(row) && !element;
    }
    return wanted;
}

/* "3 running 97 pending": of an array, in place of an end. */
static void add_counts(json_t *row)
{
    const json_t *count;
    struct obuf text = { 0 };
    const char *state;

    json_object_foreach (json_object_get(row, "elements"), state, count)
        if (json_integer_value(count) > 0)
            obuf_printf(&text, "%s%lld %s", text.len ? " " : "",
                        (long long)json_integer_value(count), state);
    if (text.len)
        json_object_set_new(row, "counts", json_string(text.p));
    obuf_free(&text);
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    json_t *all, *in_order, *wanted, *row;
    size_t i;
    int rc = tree_read(sh, &text, "jobs/all.jsonl");

    (void)argc, (void)argv;
    all = rc < 0 ? NULL : parse_lines("jobs/all.jsonl", text.p);
    obuf_free(&text);
    if (!all)
        return rc < 0 ? say_errno(sh, "jobs/all.jsonl", rc) : EXIT_ONEOS;
    in_order = sorted(all);
    wanted = filter(sh, in_order);
    json_array_foreach (wanted, i, row) {
        if (sh->json)
            print_json(row);
        else
            add_counts(row);
    }
    if (!sh->json)
        table_print(columns, ARRAY_SIZE(columns), wanted);
    json_decref(wanted);
    json_decref(in_order);
    json_decref(all);
    return finish(0);
}

const struct command cmd_jobs = {
    .name = "jobs",
    .usage = "[-a]",
    .help = "list the jobs of all users",
    .rows = rows,
    .run = run,
};
