/*
 * services.c - `oneos services`: which machine runs each core service, from services/all.jsonl.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

static const struct column columns[] = {
    { "name", "SERVICE", false, NULL },    { "state", "STATE", false, NULL },
    { "machine", "MACHINE", false, NULL }, { "epoch", "EPOCH", true, NULL },
    { "since", "SINCE", false, NULL },     { "trouble|why", "WHY", false, NULL },
};

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    json_t *all = NULL;
    int rc = tree_read(sh, &text, "services/all.jsonl");

    (void)argc;
    (void)argv;
    if (rc < 0)
        say_errno(sh, "services/all.jsonl", rc);
    else if (sh->json)
        fwrite(text.p ? text.p : "", 1, text.len, stdout);
    else if ((all = parse_lines("services/all.jsonl", text.p)))
        table_print(columns, ARRAY_SIZE(columns), all);
    rc = rc < 0 || (!all && !sh->json) ? EXIT_ONEOS : 0;
    json_decref(all);
    obuf_free(&text);
    return finish(rc);
}

const struct command cmd_services = {
    .name = "services",
    .usage = "",
    .help = "list the core services and the machines that run them",
    .run = run,
};
