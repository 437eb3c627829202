/*
 * ps.c - `oneos ps`: the processes of all machines, from procs/all.jsonl.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <string.h>

static const struct option_row rows[] = {
    { .name = "all", .letter = 'a', .flag_only = true, .help = "those that have ended too" },
    { .name = "on", .letter = 'l', .arg = "ID", .flag_only = true, .help = "of one machine only" },
    { 0 },
};

static const struct column columns[] = {
    { "id", "PROC", false, NULL },         { "user", "USER", false, NULL },
    { "state", "STATE", false, NULL },     { "exit|signal|cause", "END", false, NULL },
    { "cmdline", "COMMAND", false, NULL },
};

static bool has_ended(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));

    return state && strcmp(state, "ended") == 0;
}

static bool is_on(const json_t *row, const char *machine)
{
    const char *on = json_string_value(json_object_get(row, "machine"));

    return on && strcmp(on, machine) == 0;
}

/* Those that are wanted, as a new array. */
static json_t *filter(const struct shell *sh, const json_t *all)
{
    const char *machine = options_get(sh->options, "on");
    json_t *wanted = json_array(), *row;
    size_t i;

    json_array_foreach (all, i, row)
        if ((options_on(sh->options, "all") || !has_ended(row)) &&
            (!machine || is_on(row, machine)))
            json_array_append(wanted, row);
    return wanted;
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    json_t *all, *wanted, *row;
    size_t i;
    int rc = tree_read(sh, &text, "procs/all.jsonl");

    (void)argc;
    (void)argv;
    all = rc < 0 ? NULL : parse_lines("procs/all.jsonl", text.p);
    obuf_free(&text);
    if (!all)
        return rc < 0 ? say_errno(sh, "procs/all.jsonl", rc) : EXIT_ONEOS;
    wanted = filter(sh, all);
    if (sh->json)
        json_array_foreach (wanted, i, row)
            print_json(row);
    else
        table_print(columns, ARRAY_SIZE(columns), wanted);
    json_decref(wanted);
    json_decref(all);
    return finish(0);
}

const struct command cmd_ps = {
    .name = "ps",
    .usage = "[-a] [-l ID]",
    .help = "list the processes of all machines",
    .rows = rows,
    .run = run,
};
