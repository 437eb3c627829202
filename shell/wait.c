/*
 * wait.c - `oneos wait`: waits for jobs and processes to end and tells how; exits with the last
 * one's status.
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

static int wait_one(const struct shell *sh, const char *name)
{
    char path[NAME_BYTES * 2];
    struct obuf line = { 0 };
    int rc = thing_path(sh, name, path), status;

    if (rc)
        return rc;
    strcat(path, "/wait");
    rc = tree_read_line(sh, &line, path);
    status = rc < 0 ? say_errno(sh, path, rc) : wait_status(line.p ? line.p : "");
    if (rc == 0 && status < 0)
        status = say(EXIT_ONEOS, "%s does not say how it ended", path);
    else if (rc == 0)
        print_end(sh, name, line.p);
    obuf_free(&line);
    return status;
}

static int run(struct shell *sh, int argc, char **argv)
{
    int status = 0;

    for (int i = 0; i < argc; i++) {
        status = wait_one(sh, argv[i]);
        fflush(stdout);
    }
    return finish(status);
}

const struct command cmd_wait = {
    .name = "wait",
    .usage = "JOB|PROC...",
    .help = "wait for jobs or processes to end; exit with the status of the last one",
    .min = 1,
    .max = -1,
    .run = run,
};
