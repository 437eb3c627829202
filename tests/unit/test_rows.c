/*
 * test_rows.c - the rows of the real tree: each is complete and well formed, and the manual page
 * says of each what the row does.
 *
 *   test_rows                    the tests; they compare man/oneosfs.5 with what the rows give
 *   test_rows --render IN        writes that page: IN with the rows in place of the line @ROWS@
 */
#include "base/cleanup.h"
#include "tree/system.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct tree *tree;

static int set_up(void **state)
{
    const struct tree_env env = { .self = "A", .owner = "root" };
    struct oerr e = { "" };

    (void)state;
    if (tree_create(&tree, tree_tables, &env, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_destroy(tree);
    return 0;
}

/* ---- the page ---- */

/* Text as mdoc takes it, in lines of at most FOLD bytes where it has blanks. */
#define FOLD 78
static void put_text(struct obuf *out, const char *text)
{
    size_t column = 0;

    for (; *text; text++) {
        if (*text == ' ' && column + strcspn(text + 1, " ") >= FOLD) {
            obuf_puts(out, "\n");
            column = 0;
            continue;
        }
        obuf_puts(out, column == 0 && (*text == '.' || *text == '\'') ? "\\&" : "");
        if (*text == '\\')
            obuf_puts(out, "\\e");
        else
            obuf_put(out, text, 1);
        column++;
    }
}

static void put_row(struct obuf *out, const struct tree_row *row)
{
    obuf_puts(out, ".It Pa ");
    put_text(out, *row->path ? row->path : "/");
    obuf_puts(out, row->kind == TREE_DIR && *row->path ? "/\n" : "\n");
    put_text(out, row->help);
    obuf_puts(out, "\n");
    if (!row->verbs)
        return;
    obuf_puts(out, ".Bl -tag -width Ds -compact\n");
    for (const struct tree_verb *v = row->verbs; v->name; v++) {
        obuf_printf(out, ".It Cm %s", v->name);
        if (*v->usage) {
            obuf_puts(out, " No ");
            put_text(out, v->usage);
        }
        obuf_puts(out, "\n");
    }
    obuf_puts(out, ".El\n");
}

/* The page of the template at path; NULL, with words on stderr, when that cannot be read. */
static char *render(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    struct obuf out = { 0 };
    const struct tree_row *row;
    char line[512];

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    while (fgets(line, sizeof line, f)) {
        if (strcmp(line, "@ROWS@\n") != 0)
            obuf_puts(&out, line);
        else
            for (size_t i = 1; (row = tree_row_at(tree, i)) != NULL; i++)
                put_row(&out, row);
    }
    obuf_put(&out, "", 1);
    return out.p;
}

static char *file_text(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    struct obuf out = { 0 };
    char line[512];

    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, f))
        obuf_puts(&out, line);
    obuf_put(&out, "", 1);
    return out.p;
}

/* ---- tests ---- */

static void the_page_is_what_the_rows_say(void **state)
{
    const char *src = getenv("srcdir");
    char in[4096], page[4096];
    cleanup_free char *want = NULL, *have = NULL;

    (void)state;
    snprintf(in, sizeof in, "%s/man/oneosfs.5.in", src ? src : ".");
    snprintf(page, sizeof page, "%s/man/oneosfs.5", src ? src : ".");
    want = render(in);
    have = file_text(page);
    assert_non_null(want);
    if (strcmp(want, have) != 0)
        fail_msg("%s is not what the rows say: run `make man-page`, look at it, and commit it",
                 page);
}

/* What a row of each kind must have and may not have. */
static void each_row_is_complete(void **state)
{
    static const struct {
        bool show, show_may, verbs, open, clone;
    } kinds[] = {
        [TREE_DIR] = { 0 },
        [TREE_LINK] = { .show = true },
        [TREE_TEXT] = { .show = true },
        [TREE_CTL] = { .show_may = true, .verbs = true },
        [TREE_ERROR] = { 0 },
        [TREE_STREAM] = { .open = true },
        [TREE_CLONE] = { .clone = true },
    };
    const struct tree_row *row;
    size_t i;

    (void)state;
    for (i = 0; (row = tree_row_at(tree, i)) != NULL; i++) {
        const char *wrong =
            !row->help || !*row->help                                            ? "help"
            : !!row->show != kinds[row->kind].show && !kinds[row->kind].show_may ? "show"
            : !!row->verbs != kinds[row->kind].verbs                             ? "verbs"
            : !!row->open != kinds[row->kind].open                               ? "open"
            : !!row->clone != kinds[row->kind].clone                             ? "clone"
            : row->own && row->kind != TREE_CTL                                  ? "own"
            : row->closed && row->kind != TREE_CTL                               ? "closed"
            : row->moves && row->kind != TREE_LINK                               ? "moves"
            : (row->list || row->make || row->drop) && row->kind != TREE_DIR     ? "list"
            : row->save && row->kind != TREE_TEXT                                ? "save"
                                                                                 : NULL;

        if (wrong)
            fail_msg("row '%s' is wrong in: %s", row->path, wrong);
    }
    assert_true(i > 30);
}

/* The mode agrees with what can be done. */
static void each_mode_is_right(void **state)
{
    const struct tree_row *row;

    (void)state;
    for (size_t i = 0; (row = tree_row_at(tree, i)) != NULL; i++) {
        bool file = row->kind != TREE_DIR && row->kind != TREE_LINK;
        bool written = row->verbs || row->save || row->clone || row->open;

        if ((file && (row->mode & 0111)) || (file && !written && (row->mode & 0222)) ||
            (row->verbs && !(row->mode & 0200)) || (row->save && !(row->mode & 0200)) ||
            (row->clone && (row->mode & 0666) != 0666) ||
            (row->kind == TREE_DIR && (row->mode & 0555) != 0555))
            fail_msg("row '%s' has the mode %o", row->path, row->mode);
    }
}

static bool word_in(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        if ((p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[n]))
            return true;
    return false;
}

/* Number of words in a usage that must be there: those not in brackets. */
static int required(const char *usage)
{
    int n = 0, depth = 0;

    for (const char *p = usage; *p; p++) {
        bool begins = *p != ' ' && (p == usage || p[-1] == ' ');

        depth += *p == '[';
        n += begins && depth == 0;
        depth -= *p == ']';
    }
    return n;
}

static void each_verb_says_its_words(void **state)
{
    const struct tree_row *row;

    (void)state;
    for (size_t i = 0; (row = tree_row_at(tree, i)) != NULL; i++)
        for (const struct tree_verb *v = row->verbs; v && v->name; v++) {
            bool more = v->max < 0 || v->max > v->min;

            if (!v->run || (v->max >= 0 && v->max < v->min) || !v->usage ||
                !word_in(row->help, v->name))
                fail_msg("%s of '%s' is not complete, or not in its help", v->name, row->path);
            if (!v->pipes && required(v->usage) != v->min)
                fail_msg("%s of '%s' needs %d words and says: %s", v->name, row->path, v->min,
                         v->usage);
            if (more != (strchr(v->usage, '[') || strstr(v->usage, "...")))
                fail_msg("%s of '%s' takes up to %d words and says: %s", v->name, row->path, v->max,
                         v->usage);
        }
}

/* Beside all that is written in words there is the place for what was wrong with them. */
static void each_ctl_has_its_error(void **state)
{
    const struct tree_row *row;

    (void)state;
    for (size_t i = 0; (row = tree_row_at(tree, i)) != NULL; i++) {
        char path[TREE_PATH_MAX];
        struct tree_at at;
        char *name;

        if (!row->verbs && !row->save)
            continue;
        snprintf(path, sizeof path, "/%s", row->path);
        name = strrchr(path, '/') + 1;
        strcpy(name, "error");
        if (tree_resolve(tree, path + 1, &at) < 0 || at.row->kind != TREE_ERROR)
            fail_msg("'%s' has no error beside it", row->path);
    }
}

static void each_path_leads_to_its_row(void **state)
{
    const struct tree_row *row;

    (void)state;
    for (size_t i = 0; (row = tree_row_at(tree, i)) != NULL; i++) {
        struct tree_at at;

        assert_int_equal(tree_resolve(tree, row->path, &at), 0);
        assert_ptr_equal(at.row, row);
    }
}

static int print_page(const char *template)
{
    cleanup_free char *page = NULL;

    if (set_up(NULL) < 0)
        return 1;
    page = render(template);
    tear_down(NULL);
    return !page || fputs(page, stdout) < 0 || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_what_the_rows_say),
        cmocka_unit_test(each_row_is_complete),
        cmocka_unit_test(each_mode_is_right),
        cmocka_unit_test(each_verb_says_its_words),
        cmocka_unit_test(each_ctl_has_its_error),
        cmocka_unit_test(each_path_leads_to_its_row),
    };

    if (argc == 3 && strcmp(argv[1], "--render") == 0)
        return print_page(argv[2]);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
