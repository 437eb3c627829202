/*
 * registry.c - `oneos registry`: the registry as one machine has it, for who debugs it.
 *
 *     dump [ID]   its state, `KEY JSON` a line                 machines/ID/registry
 *     log [ID]    its log on disk, `INDEX TERM KIND TEXT`      machines/ID/registry.log
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* The text as JSON, or as it is when it is none. */
static json_t *value_of(const char *text, size_t n)
{
    json_t *value = json_loadb(text, n, JSON_DECODE_ANY, NULL);

    return value ? value : json_stringn(text, n);
}

/* `KEY JSON`; a key has no blank. */
static json_t *dump_line(const char *line, size_t n)
{
    size_t key = strcspn(line, " \n"), at = key < n ? key + 1 : n;

    return json_pack("{s:i, s:s%, s:o}", "schema", 1, "key", line, key, "value",
                     value_of(line + at, n - at));
}

static json_t *log_line(const char *line, size_t n)
{
    uint64_t index, term;
    char kind[16];
    int at = 0;

    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %15[a-z]%n", &index, &term, kind, &at) != 3)
        return NULL;
    at += (size_t)at < n;
    return json_pack("{s:i, s:I, s:I, s:s, s:o}", "schema", 1, "index", (json_int_t)index, "term",
                     (json_int_t)term, "kind", kind, "value", value_of(line + at, n - (size_t)at));
}

static const struct part {
    const char *name, *file;
    json_t *(*object)(const char *line, size_t n);
} parts[] = {
    { "dump", "registry", dump_line },
    { "log", "registry.log", log_line },
};

static int print_objects(const struct part *part, const char *path, const char *text)
{
    for (; text && *text; text += strcspn(text, "\n"), text += *text == '\n') {
        json_t *object = part->object(text, strcspn(text, "\n"));

        if (!object)
            return say(EXIT_ONEOS, "%s has a line that cannot be understood: %.*s", path,
                       (int)strcspn(text, "\n"), text);
        print_json(object);
        json_decref(object);
    }
    return finish(0);
}

static int show_text(const char *path, int fd, const struct shell *sh)
{
    int rc;

    switch (pump(fd, STDOUT_FILENO, &rc)) {
    case PUMP_EOF:
        return 0;
    case PUMP_WRITE_FAILED:
        return say(EXIT_ONEOS, "standard output cannot be written: %s", strerror(-rc));
    default:
        return say_errno(sh, path, rc);
    }
}

static int show_objects(const struct part *part, const char *path, int fd, const struct shell *sh)
{
    struct obuf text = { 0 };
    int rc = read_all(fd, &text);

    rc = rc < 0 ? say_errno(sh, path, rc) : print_objects(part, path, text.p);
    obuf_free(&text);
    return rc;
}

static int run(struct shell *sh, int argc, char **argv)
{
    const struct part *part = NULL;
    cleanup_close int fd = -1;
    char path[NAME_BYTES * 2];

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strcmp(argv[0], parts[i].name) == 0)
            part = &parts[i];
    if (!part)
        return bad_usage(sh, "'%s' is neither dump nor log", argv[0]);
    if (argc > 1 && check_machine(sh, argv[1]))
        return EX_USAGE;
    snprintf(path, sizeof path, "%s%s/%s", argc > 1 ? "machines/" : "", argc > 1 ? argv[1] : "self",
             part->file);
    fd = tree_open(sh, O_RDONLY, "%s", path);
    if (fd < 0)
        return say_errno(sh, path, fd);
    return sh->json ? show_objects(part, path, fd, sh) : show_text(path, fd, sh);
}

const struct command cmd_registry = {
    .name = "registry",
    .usage = "dump|log [ID]",
    .help = "print the registry, or its log, as a machine has it (default: this one)",
    .min = 1,
    .max = 2,
    .run = run,
};
