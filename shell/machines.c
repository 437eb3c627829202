/*
 * machines.c - `oneos machines`: the machines and their load, from machines/all.jsonl.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <string.h>

static const struct column columns[] = {
    { "id|name", "MACHINE", false, NULL },
    { "state", "STATE", false, NULL },
    { "role", "ROLE", false, NULL },
    { "cores", "CORES", true, NULL },
    { "cpu_used", "CPU", true, NULL },
    { "memory_bytes", "MEMORY", true, put_size },
    { "memory_used_bytes", "USED", true, put_size },
    { "disk_free_bytes", "DISK FREE", true, put_size },
    { "procs", "PROCS", true, NULL },
    { "address", "ADDRESS", false, NULL },
};

/* Of a machine that is alive, whether it takes new work is what people want to know. */
static void mark_draining(json_t *all)
{
    json_t *row;
    size_t i;

    json_array_foreach (all, i, row) {
        const char *state = json_string_value(json_object_get(row, "state"));

        if (state && strcmp(state, "alive") == 0 && json_is_true(json_object_get(row, "draining")))
            json_object_set_new(row, "state", json_string("draining"));
    }
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    json_t *all = NULL;
    int rc = tree_read(sh, &text, "machines/all.jsonl");

    (void)argc;
    (void)argv;
    if (rc < 0)
        say_errno(sh, "machines/all.jsonl", rc);
    else if (sh->json)
        fwrite(text.p, 1, text.len, stdout);
    else if ((all = parse_lines("machines/all.jsonl", text.p))) {
        mark_draining(all);
        table_print(columns, ARRAY_SIZE(columns), all);
    }
    rc = rc < 0 || (!all && !sh->json) ? EXIT_ONEOS : 0;
    json_decref(all);
    obuf_free(&text);
    return finish(rc);
}

const struct command cmd_machines = {
    .name = "machines",
    .usage = "",
    .help = "list the machines, their roles and their load",
    .run = run,
};
