/*
 * run.c - `oneos run`: a command on some machine, as if it ran here.
 *
 * It is a job of the scheduler, or, on a machine that is named, a process there. One open of
 * `clone`, one write of several lines that says what to run: only that makes it (O_NONBLOCK) and
 * starts it, so that the other machine, or the registry, is asked once. One read gives its name;
 * the descriptor is its ctl from then on. The rest is passing bytes (run_io.c) and signals
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
#include <stdio.h>
#include <string.h>

static int check_size(const char *value, struct oerr *e)
{
    uint64_t bytes;

    return units_size(value, &bytes, e);
}

static int check_cpus(const char *value, struct oerr *e)
{
    if (*value && value[strspn(value, "0123456789.")] == '\0' && strpbrk(value, "123456789"))
        return 0;
    return oerr_set(e, -EINVAL, "'%s' is not a number of cpus such as 2 or 0.5", value);
}

static const struct option_row rows[] = {
    { .name = "on",
      .letter = 'l',
      .arg = "SELECTOR",
      .flag_only = true,
      .help = "which machines: an id, a label, key=value, cores>=4, ..., joined by commas (also as "
              "a first operand @SELECTOR)" },
    { .name = "line",
      .letter = 'c',
      .arg = "LINE",
      .flag_only = true,
      .help = "a run line as it is, such as '@A echo x | @B cat', in place of COMMAND" },
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
    { .name = "cpus",
      .arg = "N",
      .flag_only = true,
      .check = check_cpus,
      .help = "processors that it needs (1)" },
    { .name = "memory",
      .arg = "SIZE",
      .flag_only = true,
      .check = check_size,
      .help = "memory that it needs, and gets at most" },
    { 0 },
};

/* The clone to open; false: there is none but the scheduler's. A selector that names no machine is
 * the scheduler's too. */
static bool clone_path(const struct run *r, const struct request *q,
                       char path[static NAME_BYTES * 2])
{
    const char *at = q->selector;

    strcpy(path, "procs/clone");
    if (q->line || q->cpus || q->memory)
        return false;
    if (!at)
        return r->pty;
    if (!isalnum((unsigned char)*at) || strpbrk(at, ",=!<>/") || strlen(at) >= NAME_BYTES)
        return false;
    if (strcmp(at, "here") == 0)
        strcpy(path, "self/procs/clone");
    else
        snprintf(path, NAME_BYTES * 2, "machines/%s/procs/clone", at);
    return true;
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

    snprintf(path, sizeof path, "%s/%s/ctl", run_folder(r), r->name);
    ctl_words(r->sh, path, rc, &words);
    say(0, "%s", obuf_check(&words) ? strerror(-rc) : words.p);
    obuf_free(&words);
    return exec_status(rc);
}

/* Opens the clone of the machine, or the scheduler's where there is no such machine. */
static int open_clone(struct run *r, const struct request *q, char path[static NAME_BYTES * 2])
{
    r->job = !clone_path(r, q, path);
    r->ctl = r->job ? -ENOENT : tree_open(r->sh, O_RDWR | O_NONBLOCK, "%s", path);
    if (r->ctl == -ENOENT && r->pty)
        return say(EXIT_ONEOS, "a terminal needs a machine by its id: `oneos machines` lists them");
    if (r->ctl == -ENOENT) {
        r->job = true;
        strcpy(path, "jobs/clone");
        r->ctl = tree_open(r->sh, O_RDWR | O_NONBLOCK, "%s", path);
    }
    return r->ctl < 0 ? say_ctl(r->sh, path, r->ctl) : 0;
}

static int make_lines(const struct run *r, const struct request *q, struct obuf *out)
{
    (r->job ? request_job : request_process)(r, q, out);
    if (obuf_check(out) < 0)
        return say(EXIT_ONEOS, "out of memory");
    if (out->len > WORDS_LINE_MAX)
        return say(EXIT_NOEXEC, "the command is too long: %zu bytes, at most %d", out->len,
                   WORDS_LINE_MAX);
    return 0;
}

/* Makes what runs these lines, and learns its name. 0, or a status. */
static int write_lines(struct run *r, const char *path, const struct obuf *lines)
{
    ssize_t n;
    int rc, named;

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
    char path[NAME_BYTES * 2];
    struct obuf lines = { 0 };
    int rc = open_clone(r, q, path);

    if (rc == 0)
        rc = make_lines(r, q, &lines);
    if (rc == 0)
        rc = write_lines(r, path, &lines);
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

    snprintf(path, sizeof path, "%s/%s/%s", run_folder(r), r->name, file);
    return say_errno(r->sh, path, rc);
}

static int say_lost(const struct run *r, const char *machine)
{
    if (r->job)
        return say(EXIT_ONEOS, "job %s was lost with machine %s: its output is not complete",
                   r->name, machine);
    return say(EXIT_ONEOS,
               "%s was lost with machine %s: its output is not complete, and "
               "whether it goes on is not known",
               r->name, machine);
}

/* Says what the job's status says in words. True when it was never begun, so that it has written
 * nothing, whatever became of its output. */
static bool say_words(const struct run *r)
{
    char path[NAME_BYTES + 16];
    struct obuf text = { 0 };
    const char *words;
    bool idle = false;

    snprintf(path, sizeof path, "jobs/%s/status", r->name);
    if (tree_read(r->sh, &text, path) == 0 && text.p) {
        idle = strstr(text.p, "\ncause not-begun\n") != NULL;
        if ((words = strstr(text.p, "\nwords ")) != NULL)
            say(0, "%.*s", (int)strcspn(words + 7, "\n"), words + 7);
    }
    obuf_free(&text);
    return idle;
}

/* How it ended; but 125 when something that it wrote did not arrive. */
static int take_status(struct run *r)
{
    char line[NAME_BYTES];
    int rc = read_wait(r, line), status = wait_status(line);

    if (rc < 0)
        return fail_file(r, "wait", rc);
    if (strncmp(line, "lost ", 5) == 0)
        return say_lost(r, line + 5);
    if (status < 0)
        return say(EXIT_ONEOS, "%s ended in a way that is not known: '%s'", r->name, line);
    if (strcmp(line, "cancelled") == 0 && forward_cancelled())
        return 128 + forward_cancelled();
    if (strcmp(line, "cancelled") == 0)
        say(0, "job %s was cancelled", r->name);
    if (strcmp(line, "timeout") == 0)
        say(0, "job %s took longer than its timeout", r->name);
    if (r->job && (status == EXIT_NOEXEC || status == EXIT_NOTFOUND || status == EXIT_ONEOS) &&
        say_words(r))
        return status;
    if (r->out.rc < 0)
        return fail_file(r, r->out.file, r->out.rc);
    if (r->err.rc < 0)
        return fail_file(r, r->err.file, r->err.rc);
    return r->out.unwritten || r->err.unwritten ? EXIT_ONEOS : status;
}

static int run_here(struct run *r)
{
    int rc;

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
    /* End of file: nobody will write. A job was told so before. */
    int fd = r->job ? -1 : tree_open(r->sh, O_WRONLY, "%s/%s/stdin", run_folder(r), r->name);

    if (fd >= 0)
        close(fd);
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
                      .detach = options_on(sh->options, "detach") };
    r.input_empty = r.detach || options_on(sh->options, "no-stdin") || stdio_no_input();
    rc = request_parse(sh, argv, &q);
    if (rc)
        return rc;
    if (r.pty && (r.detach || q.line))
        return bad_usage(sh, "--tty and --%s exclude each other", r.detach ? "detach" : "line");
    rc = start(&r, &q);
    if (rc)
        return rc;
    return r.detach ? detach(&r) : run_here(&r);
}

const struct command cmd_run = {
    .name = "run",
    .usage =
        "[-itnd] [-l SELECTOR] [--cpus N] [--memory SIZE] [--] [@SELECTOR] [NAME=VALUE...] COMMAND "
        "[ARGS] | -c LINE",
    .help = "run a command on some machine, as if it ran here",
    .rows = rows,
    .min = 0,
    .max = -1,
    .first_operand_ends = true,
    .run = run,
};
