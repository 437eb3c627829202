/*
 * status.c - `oneos status`: the state of the whole, from the file of that name.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include <stdio.h>

static int run(struct shell *sh, int argc, char **argv)
{
    struct obuf text = { 0 };
    int rc = tree_read(sh, &text, "status");

    (void)argc;
    (void)argv;
    if (rc < 0) {
        obuf_free(&text);
        return say_errno(sh, "status", rc);
    }
    if (sh->json) {
        json_t *object = parse_keyed(text.p);

        print_json(object);
        json_decref(object);
    } else {
        fwrite(text.p ? text.p : "", 1, text.len, stdout);
    }
    obuf_free(&text);
    return finish(0);
}

const struct command cmd_status = {
    .name = "status",
    .usage = "",
    .help = "print the state of the whole",
    .run = run,
};
