/*
 * log.c - `oneos log`: the log of a machine's daemon.
 */
#include "shell/commands.h"

#include <stdio.h>

static int run(struct shell *sh, int argc, char **argv)
{
    char path[NAME_BYTES * 2] = "self/log";
    struct obuf text = { 0 };
    int rc = argc ? check_machine(sh, argv[0]) : 0;

    if (rc)
        return rc;
    if (argc)
        snprintf(path, sizeof path, "machines/%s/log", argv[0]);
    rc = tree_read(sh, &text, path);
    if (rc == 0)
        fwrite(text.p ? text.p : "", 1, text.len, stdout);
    obuf_free(&text);
    return rc < 0 ? say_errno(sh, path, rc) : finish(0);
}

const struct command cmd_log = {
    .name = "log",
    .usage = "[ID]",
    .help = "print the log of a machine's daemon (default: this one)",
    .max = 1,
    .run = run,
};
