/*
 * each.c - `oneos each`: a command on every machine that a selector fits, all at once.
 *
 * Each is an `oneos run` of its own, with its output in a file in memory; what is equal is printed
 * once, under the names of those that said it. Machines that fit and are not alive are named: what
 * was to be done everywhere was not done there.
 */
#include "shell/commands.h"
#include "shell/each.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define AT_ONCE 64

/* One machine, and what became of the command there. */
struct target {
    const char *id;
    pid_t pid;
    int out, status;
    struct obuf text;
    bool shown;
};

/* ---- running */

static int spawn_run(const struct shell *sh, struct target *t, char **command, int argc)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    char mount[4200];
    const char *head[] = { "oneos", mount, "run", "-n", "-l", t->id, "--" };
    cleanup_free const char **argv = calloc(ARRAY_SIZE(head) + (size_t)argc + 1, sizeof *argv);
    int rc;

    t->out = memfd_create("oneos", MFD_CLOEXEC);
    if (!argv || t->out < 0)
        return -ENOMEM;
    snprintf(mount, sizeof mount, "--mount=%s", sh->mount);
    memcpy(argv, head, sizeof head);
    memcpy(argv + ARRAY_SIZE(head), command, (size_t)argc * sizeof *argv);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, t->out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, t->out, STDERR_FILENO);
    rc = posix_spawn(&t->pid, "/proc/self/exe", &actions, NULL, (char *const *)(uintptr_t)argv,
                     environ);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static void collect(struct target *t)
{
    int status;

    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
        ;
    t->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    lseek(t->out, 0, SEEK_SET);
    read_all(t->out, &t->text);
    close(t->out);
}

static int run_all(const struct shell *sh, struct target *v, size_t n, char **command, int argc)
{
    size_t begun = 0, ended = 0;
    int rc = 0;

    while (ended < begun || (begun < n && rc == 0)) {
        if (begun < n && rc == 0 && begun - ended < AT_ONCE) {
            rc = spawn_run(sh, &v[begun], command, argc);
            if (rc == 0)
                begun++;
        } else {
            collect(&v[ended++]);
        }
    }
    return rc < 0 ? say(EXIT_ONEOS, "%s: the command cannot be run: %s", v[begun].id, strerror(-rc))
                  : 0;
}

/* ---- printing */

static bool is_same(const struct target *a, const struct target *b)
{
    return a->status == b->status && a->text.len == b->text.len &&
           (a->text.len == 0 || memcmp(a->text.p, b->text.p, a->text.len) == 0);
}

static void print_body(const struct obuf *text)
{
    fwrite(text->p ? text->p : "", 1, text->len, stdout);
    if (text->len && text->p[text->len - 1] != '\n')
        putchar('\n');
}

/* This one, and all behind it that said the same. */
static void print_folded(struct target *v, size_t n)
{
    fputs("---", stdout);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || (!v[i].shown && is_same(&v[0], &v[i]))) {
            printf(" %s", v[i].id);
            v[i].shown = true;
        }
    if (v->status)
        printf(" (exit %d)", v->status);
    puts(":");
    print_body(&v->text);
}

static void print_object(const struct target *t)
{
    json_t *o = json_pack("{s:i, s:s, s:i}", "schema", 1, "machine", t->id, "exit", t->status);
    json_t *output = json_stringn(t->text.p ? t->text.p : "", t->text.len);

    json_object_set_new(o, "output", output ? output : json_null()); /* null: no UTF-8 */
    print_json(o);
    json_decref(o);
}

static int print_all(const struct shell *sh, struct target *v, size_t n)
{
    int worst = 0;

    for (size_t i = 0; i < n; i++) {
        worst = v[i].status > worst ? v[i].status : worst;
        if (sh->json)
            print_object(&v[i]);
        else if (!v[i].shown)
            print_folded(v + i, n - i);
        else
            continue;
    }
    return worst;
}

/* ---- the command */

static json_t *read_machines(const struct shell *sh)
{
    struct obuf text = { 0 };
    json_t *all = NULL;
    int rc = tree_read(sh, &text, "machines/all.jsonl");

    if (rc < 0)
        say_errno(sh, "machines/all.jsonl", rc);
    else
        all = parse_lines("machines/all.jsonl", text.p);
    obuf_free(&text);
    return all;
}

static bool is_alive(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));

    return state && (strcmp(state, "alive") == 0 || strcmp(state, "suspect") == 0);
}

/* The machines that are to run it; 125 where one cannot, which is said. */
static int pick(const struct shell *sh, const char *selector, const json_t *all, struct target *v,
                size_t *n)
{
    struct oerr e = { "" };
    bool *fit = calloc(json_array_size(all) + 1, sizeof *fit);
    const json_t *row;
    int status = 0;
    size_t i;

    *n = 0;
    if (!fit || select_machines(sh, selector, all, fit, &e) < 0) {
        free(fit);
        return bad_usage(sh, "%s", *e.text ? e.text : "out of memory");
    }
    json_array_foreach (all, i, row) {
        const char *id = json_string_value(json_object_get(row, "id"));

        if (!fit[i] || !id)
            continue;
        if (is_alive(row))
            v[(*n)++] = (struct target){ .id = id };
        else
            status = say(EXIT_ONEOS, "%s is %s: it was left out", id,
                         json_string_value(json_object_get(row, "state")));
    }
    free(fit);
    if (*n == 0 && status == 0)
        status = say(EXIT_ONEOS, "no machine fits '%s': `oneos machines` lists them", selector);
    return status;
}

static int run(struct shell *sh, int argc, char **argv)
{
    const char *selector = argv[0] + (argv[0][0] == '@');
    int skip = strcmp(argv[1], "--") == 0 ? 2 : 1, status, failed = 0, worst = 0;
    json_t *all;
    struct target *v;
    size_t n;

    if (skip >= argc)
        return bad_usage(sh, "each needs a command");
    all = read_machines(sh);
    v = all ? calloc(json_array_size(all) + 1, sizeof *v) : NULL;
    if (!v) {
        json_decref(all);
        return EXIT_ONEOS;
    }
    status = pick(sh, selector, all, v, &n);
    if (n > 0) {
        failed = run_all(sh, v, n, argv + skip, argc - skip);
        worst = print_all(sh, v, n);
    }
    for (size_t i = 0; i < n; i++)
        obuf_free(&v[i].text);
    free(v);
    json_decref(all);
    status = status ? status : failed;
    return finish(status > worst ? status : worst);
}

const struct command cmd_each = {
    .name = "each",
    .usage = "SELECTOR -- COMMAND [ARGS]",
    .help = "run a command on every machine that fits (`*`: on all); print what is equal once",
    .min = 2,
    .max = -1,
    .first_operand_ends = true,
    .run = run,
};
