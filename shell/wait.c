/*
 * wait.c - `oneos wait`: waits for jobs and processes to end and tells how; exits with the last
 * one's status, or 125 when one could not be waited for.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include <stdio.h>
#include <string.h>

static void print_end(const struct shell *sh, const char *name, const char *line)
{
    char how[16] = "", value[NAME_BYTES] = "";
    json_t *object;

    sscanf(line, "%15s %127s", how, value);
    if (!sh->json) {
        printf("%s %s%s%s\n", name, how, *value ? " " : "", value);
        return;
    }
    object = json_pack("{s:i,s:s}", "schema", 1, "id", name);
    json_object_set_new(object, how,
                        strcmp(how, "exit") == 0 ? json_integer(atoi(value))
                        : *value                 ? json_string(value)
                                                 : json_true());
    print_json(object);
    json_decref(object);
}

/* 0 and how it ended, or what to exit with when that cannot be told. */
static int wait_one(const struct shell *sh, const char *name, int *status)
{
    char path[NAME_BYTES * 2];
    struct obuf line = { 0 };
    int rc = thing_path(sh, name, path);

    if (rc)
        return rc;
    strcat(path, "/wait");
    rc = tree_read_line(sh, &line, path);
    *status = rc < 0 ? -1 : wait_status(line.p ? line.p : "");
    if (rc < 0)
        rc = say_errno(sh, path, rc);
    else if (*status < 0)
        rc = say(EXIT_ONEOS, "%s does not say how it ended", path);
    else
        print_end(sh, name, line.p);
    obuf_free(&line);
    return rc;
}

static int run(struct shell *sh, int argc, char **argv)
{
    int status = 0, failed = 0;

    for (int i = 0; i < argc; i++) {
        int rc = wait_one(sh, argv[i], &status);

        failed = rc ? rc : failed;
        fflush(stdout);
    }
    return finish(failed ? failed : status);
}

const struct command cmd_wait = {
    .name = "wait",
    .usage = "JOB|PROC...",
    .help = "wait for jobs or processes to end; exit with the status of the last one",
    .min = 1,
    .max = -1,
    .run = run,
};
