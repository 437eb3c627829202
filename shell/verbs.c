/*
 * verbs.c - the subcommands that are one line to a ctl file: accept, reject, forget, drain, resume.
 */
#include "shell/commands.h"

#include <stdio.h>

/* The verb with the machine as its word, to the ctl of the tree. */
static int tell_tree(struct shell *sh, int argc, char **argv)
{
    char line[NAME_BYTES * 2];
    int rc = 0;

    for (int i = 0; i < argc && rc == 0; i++) {
        rc = check_machine(sh, argv[i]);
        if (rc)
            break;
        snprintf(line, sizeof line, "%s %s\n", sh->command->name, argv[i]);
        rc = ctl_write(sh, "ctl", line);
    }
    return rc;
}

/* The verb alone, to the ctl of the machine. */
static int tell_machine(struct shell *sh, int argc, char **argv)
{
    char path[NAME_BYTES * 2], line[32];
    int rc = 0;

    snprintf(line, sizeof line, "%s\n", sh->command->name);
    for (int i = 0; i < argc && rc == 0; i++) {
        rc = check_machine(sh, argv[i]);
        if (rc)
            break;
        snprintf(path, sizeof path, "machines/%s/ctl", argv[i]);
        rc = ctl_write(sh, path, line);
    }
    return rc;
}

#define VERB(verb, tell, words)                                                                    \
    const struct command cmd_##verb = {                                                            \
        .name = #verb, .usage = "ID...", .help = words, .min = 1, .max = -1, .run = tell           \
    }

VERB(accept, tell_tree, "let machines that are pending join");
VERB(reject, tell_tree, "turn machines that are pending away");
VERB(forget, tell_tree, "forget machines that are dead or have left");
VERB(drain, tell_machine, "start nothing new on machines, move their services away");
VERB(resume, tell_machine, "use drained machines again");
