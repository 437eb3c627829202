/*
 * run.c - `oneos run`: a command on a machine, as if it ran here.
 *
 * One open of `clone`, one write of several lines that says what to run: only that makes the
 * process (O_NONBLOCK) and starts it, so that the other machine is asked once. One read gives its
 * name; the descriptor is its ctl from then on. The rest is passing bytes (run_io.c) and signals
 * (run_signals.c), then the line of `wait` and the ends of both outputs: exit 0 here means that
 * everything arrived.
 */
#include "shell/commands.h"
#include "shell/run.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "base/words.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static int check_size(const char *value, struct oerr *e)
{
    uint64_t bytes;

    return units_size(value, &bytes, e);
}

static const struct option_row rows[] = {
    { .name = "on",
      .letter = 'l',
      .arg = "SELECTOR",
      .flag_only = true,
      .help = "the machine: its id, or `here` (also as a first operand @SELECTOR)" },
    { .name = "tty", .letter = 't', .flag_only = true, .help = "give it a terminal" },
    { .name = "interactive",
      .letter = 'i',
      .flag_only = true,
      .help = "pass standard input; always done, but for -n and -d" },
    { .name = "no-stdin",
      .letter = 'n',
      .flag_only = true,
      .help = "leave standard input alone: the command's is empty" },
    { .name = "detach",
      .letter = 'd',
      .flag_only = true,
      .help = "print its name and leave it running" },
    { .name = "cpus", .arg = "N", .flag_only = true, .help = "for the scheduler, not there yet" },
    { .name = "memory",
      .arg = "SIZE",
      .flag_only = true,
      .check = check_size,
      .help = "for the scheduler, not there yet" },
    { 0 },
};

/* The command line as the run line has it: [@SELECTOR] [NAME=VALUE...] command [args...]. */
struct request {
    const char *selector; /* NULL: any machine */
    char **assign;        /* nassign of NAME=VALUE */
    int nassign;
    char **command; /* ended by NULL */
};

static bool is_assignment(const char *word)
{
    const char *p = word;

    if (!isalpha((unsigned char)*p) && *p != '_')
        return false;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return *p == '=';
}

static int parse(const struct shell *sh, char **argv, struct request *q)
{
    q->selector = options_get(sh->options, "on");
    if (*argv && **argv == '@') {
        if (q->selector)
            return bad_usage(sh, "the machine is given twice: by -l and by %s", *argv);
        q->selector = *argv++ + 1;
        if (*argv && strcmp(*argv, "--") == 0)
            argv++;
    }
    for (q->assign = argv; *argv && is_assignment(*argv); argv++)
        q->nassign++;
    q->command = argv;
    if (!*argv)
        return bad_usage(sh, "run needs a command");
    if (q->selector && strcmp(q->selector, "here") == 0)
        q->selector = "self";
    else if (q->selector && strpbrk(q->selector, ",=!<>"))
        return say(EXIT_ONEOS, "@%s needs the scheduler, which is not there yet: name a machine",
                   q->selector);
    return q->selector ? check_machine(sh, q->selector) : 0;
}

static void put_line(struct obuf *out, const char *verb, const char *word)
{
    obuf_puts(out, verb);
    obuf_puts(out, " ");
    obuf_quote(out, word);
    obuf_puts(out, "\n");
}

/* `cwd` when we stand in the shared files, which are /oneos/fs for every process. */
static void put_cwd(const struct shell *sh, struct obuf *out)
{
    size_t n = strlen(sh->mount);
    char cwd[PATH_MAX], path[PATH_MAX + 16];

    while (n > 0 && sh->mount[n - 1] == '/')
        n--;
    if (!getcwd(cwd, sizeof cwd) || strncmp(cwd, sh->mount, n) != 0 ||
        strncmp(cwd + n, "/fs", 3) != 0 || (cwd[n + 3] != '/' && cwd[n + 3] != '\0'))
        return;
    snprintf(path, sizeof path, "/oneos%s", cwd + n);
    put_line(out, "cwd", path);
}

static void put_env(const struct request *q, struct obuf *out)
{
    extern char **environ;
    static const char *const passed[] = { "TERM=", "LANG=", "LC_", "TZ=" };

    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
            if (strncmp(*e, passed[i], strlen(passed[i])) == 0 && is_assignment(*e))
                put_line(out, "env", *e);
    for (int i = 0; i < q->nassign; i++)
        put_line(out, "env", q->assign[i]);
}

static int make_lines(const struct run *r, const struct request *q, struct obuf *out)
{
    unsigned height, width;

    if (r->pty) {
        terminal_size(&height, &width);
        obuf_printf(out, "tty %u %u\n", height, width);
    }
    put_cwd(r->sh, out);
    put_env(q, out);
    obuf_puts(out, "exec");
    for (char **word = q->command; *word; word++) {
        obuf_puts(out, " ");
        obuf_quote(out, *word);
    }
    obuf_puts(out, "\n");
    if (obuf_check(out) < 0)
        return say(EXIT_ONEOS, "out of memory");
    if (out->len > WORDS_LINE_MAX)
        return say(EXIT_NOEXEC, "the command is too long: %zu bytes, at most %d", out->len,
                   WORDS_LINE_MAX);
    return 0;
}

static void clone_path(const struct request *q, char path[static NAME_BYTES * 2])
{
    if (!q->selector)
        strcpy(path, "procs/clone");
    else if (strcmp(q->selector, "self") == 0)
        strcpy(path, "self/procs/clone");
    else
        snprintf(path, NAME_BYTES * 2, "machines/%s/procs/clone", q->selector);
}

static int read_name(struct run *r)
{
    ssize_t n = read(r->ctl, r->name, sizeof r->name - 1);
    int rc = n < 0 ? -errno : n == 0 ? -EIO : 0;

    r->name[n > 0 ? n : 0] = '\0';
    r->name[strcspn(r->name, "\n")] = '\0';
    return rc;
}

/* The status that a shell would have for a command that could not be started. */
static int exec_status(int rc)
{
    return rc == -ENOENT                     ? EXIT_NOTFOUND
           : rc == -EACCES || rc == -ENOEXEC ? EXIT_NOEXEC
                                             : EXIT_ONEOS;
}

/* The command could not be started: says why. */
static int not_started(const struct run *r, int rc)
{
    char path[NAME_BYTES + 16];
    struct obuf words = { 0 };

    snprintf(path, sizeof path, "procs/%s/ctl", r->name);
    ctl_words(r->sh, path, rc, &words);
    say(0, "%s", obuf_check(&words) ? strerror(-rc) : words.p);
    obuf_free(&words);
    return exec_status(rc);
}

/* Makes a process that runs these lines, and learns its name. 0, or a status. */
static int make_process(struct run *r, const struct request *q, const struct obuf *lines)
{
    char path[NAME_BYTES * 2];
    ssize_t n;
    int rc, named;

    clone_path(q, path);
    r->ctl = tree_open(r->sh, O_RDWR | O_NONBLOCK, "%s", path);
    if (r->ctl == -ENOENT && q->selector)
        return say(EXIT_ONEOS, "there is no machine '%s': `oneos machines` lists them",
                   q->selector);
    if (r->ctl < 0)
        return say_ctl(r->sh, path, r->ctl);
    forward_hold();
    n = write(r->ctl, lines->p, lines->len);
    rc = n < 0 ? -errno : (size_t)n < lines->len ? -E2BIG : 0;
    named = read_name(r);
    if (named < 0)
        return say_ctl(r->sh, path, rc < 0 ? rc : named); /* not even made */
    return rc < 0 ? not_started(r, rc) : 0;
}

static int start(struct run *r, const struct request *q)
{
    struct obuf lines = { 0 };
    int rc = make_lines(r, q, &lines);

    if (rc == 0)
        rc = make_process(r, q, &lines);
    obuf_free(&lines);
    return rc;
}

/* The line of `wait`, without its newline: 0 or -errno. */
static int read_wait(const struct run *r, char line[static NAME_BYTES])
{
    ssize_t n;

    line[0] = '\0';
    if (r->wait < 0)
        return r->wait;
    do
        n = read(r->wait, line, NAME_BYTES - 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return 0;
}

static int fail_file(const struct run *r, const char *file, int rc)
{
    char path[NAME_BYTES + 16];

    snprintf(path, sizeof path, "procs/%s/%s", r->name, file);
    return say_errno(r->sh, path, rc);
}

/* How it ended; but 125 when something that it wrote did not arrive. */
static int take_status(struct run *r)
{
    char line[NAME_BYTES];
    int rc = read_wait(r, line), status = wait_status(line);

    if (rc < 0)
        return fail_file(r, "wait", rc);
    if (strncmp(line, "lost ", 5) == 0)
        return say(EXIT_ONEOS,
                   "%s was lost with machine %s: its output is not complete, and "
                   "whether it goes on is not known",
                   r->name, line + 5);
    if (status < 0)
        return say(EXIT_ONEOS, "%s ended in a way that is not known: '%s'", r->name, line);
    if (r->out.rc < 0)
        return fail_file(r, r->out.file, r->out.rc);
    if (r->err.rc < 0)
        return fail_file(r, r->err.file, r->err.rc);
    return r->out.unwritten || r->err.unwritten ? EXIT_ONEOS : status;
}

static int run_here(struct run *r)
{
    int rc;

    stdio_open(r);
    if (r->pty)
        terminal_raw();
    rc = stdio_start(r);
    forward_start(r);
    if (rc < 0)
        return say(EXIT_ONEOS, "no thread can be started: %s", strerror(-rc));
    stdio_pass(r);
    return take_status(r);
}

static int detach(struct run *r)
{
    int fd = tree_open(r->sh, O_WRONLY, "procs/%s/stdin", r->name);

    if (fd >= 0)
        close(fd); /* end of file: nobody will write */
    puts(r->name);
    return finish(0);
}

static int run(struct shell *sh, int argc, char **argv)
{
    /* Static: the thread that passes standard input may outlive this call. */
    static struct run r;
    struct request q = { 0 };
    int rc;

    (void)argc;
    r = (struct run){ .sh = sh,
                      .ctl = -1,
                      .pty = options_on(sh->options, "tty"),
                      .detach = options_on(sh->options, "detach"),
                      .no_stdin = options_on(sh->options, "no-stdin") };
    rc = parse(sh, argv, &q);
    if (rc)
        return rc;
    if (options_get(sh->options, "cpus") || options_get(sh->options, "memory"))
        return say(EXIT_ONEOS, "--cpus and --memory need the scheduler, which is not there yet");
    if (r.pty && r.detach)
        return bad_usage(sh, "--tty and --detach exclude each other");
    rc = start(&r, &q);
    if (rc)
        return rc;
    return r.detach ? detach(&r) : run_here(&r);
}

const struct command cmd_run = {
    .name = "run",
    .usage = "[-itnd] [-l SELECTOR] [--] [@SELECTOR] [NAME=VALUE...] COMMAND [ARGS]",
    .help = "run a command on a machine, as if it ran here",
    .rows = rows,
    .min = 1,
    .max = -1,
    .first_operand_ends = true,
    .run = run,
};
