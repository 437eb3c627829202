/*
 * run_request.c - `oneos run`: what is asked, from the command line to the lines of a ctl file.
 *
 * A process is told by the verbs of procs/N/ctl, a job by those of jobs/N/ctl, where the words
 * become a run line. Both get the variables that a login has, and stand where we stand when that is
 * in the shared files, which are /oneos/fs for every process.
 */
#include "shell/run.h"

#include "base/cleanup.h"
#include "base/words.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The bytes of NAME= at the front; 0: it is no assignment. */
static size_t assignment(const char *word)
{
    const char *p = word;

    if (!isalpha((unsigned char)*p) && *p != '_')
        return 0;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return *p == '=' ? (size_t)(p - word) + 1 : 0;
}

int request_parse(const struct shell *sh, char **argv, struct request *q)
{
    q->selector = options_get(sh->options, "on");
    if (q->selector && *q->selector == '@') /* as it stands in a run line */
        q->selector++;
    q->cpus = options_get(sh->options, "cpus");
    q->memory = options_get(sh->options, "memory");
    q->line = options_get(sh->options, "line");
    if (q->line && (*argv || q->selector))
        return bad_usage(sh, "a line (-c) says itself what runs, and where");
    if (q->line && q->line[strcspn(q->line, "\n")])
        return bad_usage(sh, "a run line (-c) is one line");
    if (q->line)
        return 0;
    if (*argv && **argv == '@') {
        if (q->selector)
            return bad_usage(sh, "the machine is given twice: by -l and by %s", *argv);
        q->selector = *argv++ + 1;
        if (*argv && strcmp(*argv, "--") == 0)
            argv++;
    }
    for (q->assign = argv; *argv && assignment(*argv); argv++)
        q->nassign++;
    q->command = argv;
    return *argv ? 0 : bad_usage(sh, "%s needs a command", sh->command->name);
}

static void put_line(struct obuf *out, const char *verb, const char *word)
{
    obuf_printf(out, "%s ", verb);
    obuf_quote(out, word);
    obuf_puts(out, "\n");
}

static void put_cwd(const struct shell *sh, const char *verb, struct obuf *out)
{
    size_t n = strlen(sh->mount);
    char cwd[PATH_MAX], path[PATH_MAX + 16];

    while (n > 0 && sh->mount[n - 1] == '/')
        n--;
    if (!getcwd(cwd, sizeof cwd) || strncmp(cwd, sh->mount, n) != 0 ||
        strncmp(cwd + n, "/fs", 3) != 0 || (cwd[n + 3] != '/' && cwd[n + 3] != '\0'))
        return;
    snprintf(path, sizeof path, "/oneos%s", cwd + n);
    put_line(out, verb, path);
}

static void put_login(const char *verb, struct obuf *out)
{
    extern char **environ;
    static const char *const passed[] = { "TERM=", "LANG=", "LC_", "TZ=" };

    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
            if (strncmp(*e, passed[i], strlen(passed[i])) == 0 && assignment(*e))
                put_line(out, verb, *e);
}

void request_process(const struct run *r, const struct request *q, struct obuf *out)
{
    unsigned height, width;

    if (r->pty) {
        terminal_size(&height, &width);
        obuf_printf(out, "tty %u %u\n", height, width);
    }
    put_cwd(r->sh, "cwd", out);
    put_login("env", out);
    for (int i = 0; i < q->nassign; i++)
        put_line(out, "env", q->assign[i]);
    obuf_puts(out, "exec");
    for (char **word = q->command; *word; word++) {
        obuf_puts(out, " ");
        obuf_quote(out, *word);
    }
    obuf_puts(out, "\n");
}

/* NAME=VALUE with only the value quoted: as a whole it would be a command of that name. */
static void put_assignment(struct obuf *out, const char *word)
{
    size_t n = assignment(word);

    obuf_puts(out, " ");
    obuf_put(out, word, n);
    obuf_quote(out, word + n);
}

static void put_command(struct obuf *out, char **word)
{
    obuf_puts(out, " ");
    if (**word == '@' || assignment(*word))
        obuf_quote_all(out, *word);
    else
        obuf_quote(out, *word);
    while (*++word) {
        obuf_puts(out, " ");
        obuf_quote(out, *word);
    }
}

void request_job(const struct run *r, const struct request *q, struct obuf *out)
{
    if (q->cpus)
        put_line(out, "set cpus", q->cpus);
    if (q->memory)
        put_line(out, "set memory", q->memory);
    if (r->input_empty)
        obuf_puts(out, "set input none\n");
    put_cwd(r->sh, "set cwd", out);
    put_login("set env", out);
    obuf_puts(out, "run");
    if (q->line) {
        obuf_printf(out, " %s\n", q->line);
        return;
    }
    if (q->selector) {
        obuf_puts(out, " @");
        obuf_quote(out, q->selector);
    }
    for (int i = 0; i < q->nassign; i++)
        put_assignment(out, q->assign[i]);
    put_command(out, q->command);
    obuf_puts(out, "\n");
}
