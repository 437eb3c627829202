/*
 * label.c - `oneos label`: shows and changes the labels of a machine.
 *
 * The file is read, changed and written back whole, as an editor would.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct option_row rows[] = {
    { .name = "remove",
      .letter = 'r',
      .arg = "KEY",
      .many = true,
      .flag_only = true,
      .help = "take a label away" },
    { 0 },
};

static int check_word(const struct shell *sh, const char *word)
{
    if (*word == '\0' || *word == '=' || word[strcspn(word, " \t\n")] != '\0')
        return bad_usage(sh, "'%s' is not a label: write KEY or KEY=VALUE, without blanks", word);
    return 0;
}

/* Is key (n bytes) one that is set or removed now? */
static bool is_named(const char *key, size_t n, char **set, const char *const *removed,
                     int nremoved)
{
    for (; *set; set++)
        if (strcspn(*set, "=") == n && memcmp(*set, key, n) == 0)
            return true;
    for (int i = 0; i < nremoved; i++)
        if (strlen(removed[i]) == n && memcmp(removed[i], key, n) == 0)
            return true;
    return false;
}

static void change(const char *old, char **set, const char *const *removed, int nremoved,
                   struct obuf *out)
{
    while (old && *old) {
        size_t n = strcspn(old, "\n");

        if (n > 0 && !is_named(old, strcspn(old, " \n"), set, removed, nremoved)) {
            obuf_put(out, old, n);
            obuf_puts(out, "\n");
        }
        old += n + (old[n] == '\n');
    }
    for (; *set; set++) {
        size_t n = strcspn(*set, "=");

        obuf_put(out, *set, n);
        if ((*set)[n] && (*set)[n + 1])
            obuf_printf(out, " %s", *set + n + 1);
        obuf_puts(out, "\n");
    }
}

static int write_labels(const struct shell *sh, const char *path, const struct obuf *text)
{
    cleanup_close int fd = tree_open(sh, O_WRONLY | O_TRUNC, "%s", path);
    struct obuf words = { 0 };
    int rc;

    if (fd < 0)
        return say_errno(sh, path, fd);
    rc = obuf_check(text);
    if (rc == 0)
        rc = write_all(fd, text->p ? text->p : "", text->len);
    if (rc == 0 && close(take_fd(&fd)) == 0)
        return 0;
    ctl_words(sh, path, rc, &words);
    say(EXIT_ONEOS, "%s", words.p ? words.p : "out of memory");
    obuf_free(&words);
    return EXIT_ONEOS;
}

static int show(const struct shell *sh, const struct obuf *text)
{
    json_t *object;

    if (sh->json) {
        object = parse_keyed(text->p);
        print_json(object);
        json_decref(object);
    } else {
        fwrite(text->p ? text->p : "", 1, text->len, stdout);
    }
    return finish(0);
}

static int run(struct shell *sh, int argc, char **argv)
{
    const char *const *removed;
    char path[NAME_BYTES * 2];
    struct obuf old = { 0 }, text = { 0 };
    int nremoved, rc = check_machine(sh, argv[0]);

    for (int i = 1; i < argc && rc == 0; i++)
        rc = check_word(sh, argv[i]);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "machines/%s/labels", argv[0]);
    removed = options_all(sh->options, "remove", &nremoved);
    rc = tree_read(sh, &old, path);
    if (rc < 0) {
        rc = say_errno(sh, path, rc);
    } else if (argc == 1 && nremoved == 0) {
        rc = show(sh, &old);
    } else {
        change(old.p, argv + 1, removed, nremoved, &text);
        rc = write_labels(sh, path, &text);
    }
    obuf_free(&old);
    obuf_free(&text);
    return rc;
}

const struct command cmd_label = {
    .name = "label",
    .usage = "[-r KEY]... ID [KEY[=VALUE]...]",
    .help = "show or change the labels of a machine",
    .rows = rows,
    .min = 1,
    .max = -1,
    .run = run,
};
