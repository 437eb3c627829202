/*
 * main.c - `oneos`: finds the subcommand and its options, and runs it.
 *
 * A subcommand is a struct command in a file of its own, listed in all.c. The options of the
 * program may stand before or behind the subcommand's name.
 */
#include "shell/commands.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct option_row global_rows[] = {
    { .name = "mount", .arg = "DIR", .help = "the tree (default: /oneos, else what is mounted)" },
    { .name = "json", .help = "print JSON, one object a line" },
    { .name = "state", .arg = "DIR", .help = "where oneosd keeps its keys (doctor looks at them)" },
    { 0 },
};

static const struct option_row no_rows[] = { { 0 } };

/* In one write, since several threads may have something to say. */
static void vsay(const char *fmt, va_list ap)
{
    char line[2048] = "oneos: ";
    size_t n = strlen(line);

    vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    n = strlen(line);
    line[n++] = '\n';
    write_all(STDERR_FILENO, line, n);
}

int say(int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsay(fmt, ap);
    va_end(ap);
    return status;
}

int bad_usage(const struct shell *sh, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsay(fmt, ap);
    va_end(ap);
    fprintf(stderr, "usage: oneos %s%s%s\n", sh->command->name, *sh->command->usage ? " " : "",
            sh->command->usage);
    return EX_USAGE;
}

int finish(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return say(EXIT_ONEOS, "standard output cannot be written: %s", strerror(errno));
    return status;
}

static int print(struct obuf *text)
{
    fputs(text->p, stdout);
    obuf_free(text);
    return finish(0);
}

static int print_version(void)
{
    puts("oneos " PACKAGE_VERSION);
    return finish(0);
}

static int print_help(const struct options_spec *spec)
{
    struct obuf text = { 0 };

    options_help(spec, &text);
    obuf_puts(&text, "\nCommands (`oneos COMMAND --help` tells more):\n");
    for (const struct command *const *c = commands; *c; c++)
        obuf_printf(&text, "  %-10s %s\n", (*c)->name, (*c)->help);
    return obuf_check(&text) ? say(EX_OSERR, "out of memory") : print(&text);
}

static int check_operands(struct shell *sh, int argc, char **argv)
{
    const struct command *c = sh->command;

    if (argc < c->min)
        return bad_usage(sh, "%s needs %s", c->name, c->min == 1 ? "an operand" : "more operands");
    if (c->max >= 0 && argc > c->max)
        return bad_usage(sh, "%s does not know what to do with '%s'", c->name, argv[c->max]);
    return 0;
}

static int run_command(struct shell *sh, const struct command *c, int argc, char **argv)
{
    char program[64];
    struct options_spec spec = { .program = program,
                                 .usage = c->usage,
                                 .about = c->help,
                                 .rows = c->rows ? c->rows : no_rows,
                                 .subcommands = c->first_operand_ends,
                                 .outer = sh->global };
    struct obuf help = { 0 };
    struct oerr e = { "" };
    int rc, at;

    snprintf(program, sizeof program, "oneos %s", c->name);
    sh->command = c;
    rc = options_read(&sh->options, &spec, argc, argv, &e);
    if (rc == -EINVAL)
        return bad_usage(sh, "%s", e.text);
    if (rc < 0)
        return say(options_exit_status(rc), "%s", e.text);
    if (options_wants_help(sh->options)) {
        options_help(&spec, &help);
        return obuf_check(&help) ? say(EX_OSERR, "out of memory") : print(&help);
    }
    if (options_wants_version(sh->options))
        return print_version();
    at = options_operands(sh->options);
    sh->json = options_on(sh->global, "json");
    rc = check_operands(sh, argc - at, argv + at);
    if (rc == 0 && !c->no_mount)
        rc = shell_open(sh);
    return rc ? rc : c->run(sh, argc - at, argv + at);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *const *c = commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static int dispatch(struct shell *sh, const struct options_spec *spec, int argc, char **argv)
{
    const struct command *c;
    int at = options_operands(sh->global);

    if (options_wants_help(sh->global))
        return print_help(spec);
    if (options_wants_version(sh->global))
        return print_version();
    if (at == argc)
        return say(EX_USAGE, "which command? There is no shell yet; see oneos --help");
    c = find_command(argv[at]);
    if (!c)
        return say(EX_USAGE, "there is no command '%s': see oneos --help", argv[at]);
    return run_command(sh, c, argc - at, argv + at);
}

/* A program that is started without one of these must not get a file of the tree in its place.
 * The other way round, so that using it fails as it would have. */
static void fill_standard_descriptors(void)
{
    static const int modes[] = { O_WRONLY, O_RDONLY, O_RDONLY };

    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) < 0)
            _exit(EX_OSERR);
}

int main(int argc, char **argv)
{
    static const struct options_spec spec = {
        .program = "oneos",
        .usage = "[OPTIONS] COMMAND [ARGS]",
        .about = "Uses the machines that /oneos joins: runs commands on them and looks at them.",
        .rows = global_rows,
        .lenient = true,
        .subcommands = true,
    };
    struct shell sh = { .dir = -1 };
    struct oerr e = { "" };
    int rc;

    fill_standard_descriptors();
    hand_over(argc, argv);
    rc = options_read(&sh.global, &spec, argc, argv, &e);
    if (rc < 0)
        return say(options_exit_status(rc), "%s", e.text);
    rc = dispatch(&sh, &spec, argc, argv);
    options_free(sh.options);
    options_free(sh.global);
    if (sh.dir >= 0)
        close(sh.dir);
    return rc;
}
