/*
 * machines.c - `oneos machines`: the machines and their load, from machines/all.jsonl.
 */
#include "shell/commands.h"

#include "base/cleanup.h"

static const struct column columns[] = {
    { "id|name", "MACHINE", false, NULL },
    { "state", "STATE", false, NULL },
    { "cores", "CORES", true, NULL },
    { "cpu_used", "CPU", true, NULL },
    { "memory_bytes", "MEMORY", true, put_size },
    { "memory_used_bytes", "USED", true, put_size },
    { "disk_free_bytes", "DISK FREE", true, put_size },
    { "procs", "PROCS", true, NULL },
    { "address", "ADDRESS", false, NULL },
};

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
    else if ((all = parse_lines("machines/all.jsonl", text.p)))
        table_print(columns, ARRAY_SIZE(columns), all);
    rc = rc < 0 || (!all && !sh->json) ? EXIT_ONEOS : 0;
    json_decref(all);
    obuf_free(&text);
    return finish(rc);
}

const struct command cmd_machines = {
    .name = "machines",
    .usage = "",
    .help = "list the machines and their load",
    .run = run,
};
