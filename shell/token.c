/*
 * token.c - `oneos token`: makes a token with which another machine may join.
 *
 * The verb is written and the token read through one descriptor of ctl, so that nobody else can
 * take it.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"
#include "base/units.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int check_time(const char *value, struct oerr *e)
{
    uint64_t usec;

    return units_time(value, &usec, e);
}

static const struct option_row rows[] = {
    { .name = "ttl",
      .arg = "TIME",
      .flag_only = true,
      .check = check_time,
      .help = "how long it is good for (1h)" },
    { 0 },
};

static int print_token(const struct shell *sh, struct obuf *token)
{
    json_t *object;

    if (token->len == 0)
        return say(EXIT_ONEOS, "%s/ctl gave no token", sh->mount);
    if (!sh->json) {
        fwrite(token->p, 1, token->len, stdout);
        return finish(0);
    }
    token->p[strcspn(token->p, "\n")] = '\0';
    object = json_pack("{s:i,s:s}", "schema", 1, "token", token->p);
    print_json(object);
    json_decref(object);
    return finish(0);
}

static int run(struct shell *sh, int argc, char **argv)
{
    const char *ttl = options_get(sh->options, "ttl");
    cleanup_close int fd = tree_open(sh, O_RDWR, "ctl");
    struct obuf line = { 0 }, text = { 0 };
    int rc, status;

    (void)argc;
    (void)argv;
    if (fd < 0)
        return say_errno(sh, "ctl", fd);
    obuf_puts(&line, "token ");
    obuf_quote(&line, ttl ? ttl : "1h");
    obuf_puts(&line, "\n");
    rc = obuf_check(&line);
    if (rc == 0)
        rc = write_all(fd, line.p, line.len);
    if (rc < 0) {
        ctl_words(sh, "ctl", rc, &text);
        status = say(EXIT_ONEOS, "%s", text.p ? text.p : "out of memory");
    } else {
        rc = read_all(fd, &text);
        status = rc < 0 ? say_errno(sh, "ctl", rc) : print_token(sh, &text);
    }
    obuf_free(&line);
    obuf_free(&text);
    return status;
}

const struct command cmd_token = {
    .name = "token",
    .usage = "[--ttl TIME]",
    .help = "make a token with which another machine may join",
    .rows = rows,
    .run = run,
};
