/*
 * test_tree_lines.c - the engine of the tree: verbs that take the rest of their line as it was
 * written, and several lines in one go; clones that run their lines themselves; rows that depend on
 * who looks; words for what cannot be made.
 */
#include "base/cleanup.h"
#include "tree/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char ran[512]; /* what the verbs were given, each in brackets */
static size_t batch;  /* lines that `raw` takes in one go */
static struct tree_call *later;

static void note(const char *text)
{
    snprintf(ran + strlen(ran), sizeof ran - strlen(ran), "[%s]", text);
}

/* Takes the lines that follow it, up to a `bad` one. */
static int v_raw(struct tree_call *call, int argc, char **argv)
{
    size_t used;
    char *more;

    if (argc > 1 && strcmp(argv[1], "bad") == 0)
        return oerr_set(&call->err, -EINVAL, "that is bad");
    note(argc > 1 ? argv[1] : "");
    for (size_t i = 1; i < batch && (more = tree_call_peek(call, &used)) != NULL; i++) {
        bool bad = strcmp(more, "bad") == 0;

        if (!bad) {
            strcat(ran, "+");
            note(more);
            tree_call_take(call, used);
        }
        free(more);
        if (bad)
            break;
    }
    if (batch == 0)
        return 0;
    later = call;
    return TREE_LATER;
}

static int v_word(struct tree_call *call, int argc, char **argv)
{
    (void)call, (void)argc;
    note(argv[1]);
    return 0;
}

static const struct tree_verb verbs[] = {
    { "raw", 0, 1, v_raw, "[LINE]", .raw = true },
    { "word", 1, 1, v_word, "WORD" },
    { 0 },
};

/* Takes all lines itself when the first is `word fold`. */
static int clone(struct tree_call *call)
{
    struct tree_line line;

    if (call->len > 0 && tree_line_read(&line, call->text, call->len, &call->err) == 0) {
        if (line.words.n == 2 && strcmp(line.words.v[1], "fold") == 0) {
            note("folded");
            call->pos = call->len;
        }
        tree_line_free(&line);
    }
    obuf_puts(&call->out, "one\n");
    strcpy(call->made, "things/one/ctl");
    return 0;
}

static int make(struct tree_call *call, int flags)
{
    (void)flags;
    if (strcmp(call->at.v[0], "never") == 0)
        return oerr_set(&call->err, -EINVAL, "never is no name");
    return 0;
}

static int drop(struct tree_call *call)
{
    later = call;
    return TREE_LATER;
}

static int find_mine(const struct tree_at *at, struct tree_attr *attr)
{
    (void)attr;
    return at->user && strcmp(at->user, "ann") == 0 ? 0 : -ENOENT;
}

static int show_mine(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "of-%s", at->user);
    return 0;
}

static const struct tree_row rows[] = {
    { .path = "", .kind = TREE_DIR, .mode = 0555, .help = "." },
    { .path = "things", .kind = TREE_DIR, .mode = 01777, .make = make, .drop = drop, .help = "." },
    { .path = "things/mine",
      .kind = TREE_LINK,
      .mode = 0777,
      .moves = true,
      .find = find_mine,
      .show = show_mine,
      .help = "." },
    { .path = "things/error", .kind = TREE_ERROR, .mode = 0444, .help = "." },
    { .path = "things/clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone, .help = "." },
    { .path = "things/{x}", .kind = TREE_DIR, .mode = 0555, .help = "." },
    { .path = "things/{x}/ctl", .kind = TREE_CTL, .mode = 0666, .verbs = verbs, .help = "." },
    { .path = "things/{x}/error", .kind = TREE_ERROR, .mode = 0444, .help = "." },
    { 0 },
};
static const struct tree_row *const tables[] = { rows, NULL };

static int set_up(void **state)
{
    const struct tree_env env = { .self = "A", .owner = "ruth" };
    struct tree *t;

    ran[0] = '\0';
    batch = 0;
    later = NULL;
    assert_int_equal(tree_create(&t, tables, &env, NULL), 0);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    tree_destroy(*state);
    return 0;
}

/* ---- calls ---- */

static struct {
    bool ended;
    int rc;
    char out[100];
} result;

static void ended(struct tree_call *call, int rc)
{
    result.ended = true;
    result.rc = rc;
    snprintf(result.out, sizeof result.out, "%s", call->out.p ? call->out.p : "");
    tree_call_free(call);
}

static struct tree_call *call_on(struct tree *t, const char *path, const char *user)
{
    struct tree_call *call;
    struct tree_at at;

    assert_int_equal(tree_resolve(t, path, &at), 0);
    memset(&result, 0, sizeof result);
    call = tree_call_new(&at, user, ended, NULL);
    assert_non_null(call);
    return call;
}

/* 1: it has not ended. */
static int write_lines(struct tree *t, const char *text)
{
    ran[0] = '\0';
    tree_write(call_on(t, "things/a/ctl", "ann"), text, strlen(text));
    return result.ended ? result.rc : 1;
}

static const char *read_as(struct tree *t, const char *path, const char *user)
{
    tree_read(call_on(t, path, user));
    assert_true(result.ended);
    return result.rc == 0 ? result.out : "";
}

/* ---- tests ---- */

static void a_raw_verb_gets_the_rest_of_its_line(void **state)
{
    static const struct {
        const char *text, *given;
    } cases[] = {
        { "raw", "[]" },
        { "raw  \n", "[]" },
        { "raw a b\n", "[a b]" },
        { "  raw\ta  'b c' | d > e \r\n", "[a  'b c' | d > e \r]" },
        { "'ra'w x\n", "[x]" },
        { "r\\aw \\ x\n", "[\\ x]" },
        { "raw 'a\nb' c\nword d\n", "['a\nb' c][d]" },
        { "raw a \\\nb\n", "[a \\\nb]" },
        { "raw|b\n", "[|b]" },
        { "raw \"q\\\" r\"", "[\"q\\\" r\"]" },
        { "raw a\n\nraw b\n", "[a][b]" },
        { "raw # no comment\n", "[# no comment]" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(write_lines(*state, cases[i].text), 0);
        assert_string_equal(ran, cases[i].given);
    }
    assert_int_equal(write_lines(*state, "raw 'open\n"), -EINVAL);
    assert_int_equal(write_lines(*state, "word a|b\n"), -EINVAL);
}

static void lines_of_one_verb_are_taken_together(void **state)
{
    batch = 3;
    assert_int_equal(write_lines(*state, "raw a\nraw 'b\nc'\nraw d\nraw e\nword f\nraw g"), 1);
    assert_string_equal(ran, "[a]+['b\nc']+[d]");
    tree_call_done(later, 0);
    assert_string_equal(ran, "[a]+['b\nc']+[d][e]");
    tree_call_done(later, 0);
    assert_string_equal(ran, "[a]+['b\nc']+[d][e][f][g]");
    assert_false(result.ended);
    tree_call_done(later, 0);
    assert_true(result.ended && result.rc == 0);
}

/* What comes before the line that fails has run, nothing behind it. */
static void a_bad_line_fails_in_its_turn(void **state)
{
    batch = 10;
    assert_int_equal(write_lines(*state, "raw a\nraw b\nraw bad\nraw c\n"), 1);
    assert_string_equal(ran, "[a]+[b]");
    tree_call_done(later, 0);
    assert_true(result.ended);
    assert_int_equal(result.rc, -EINVAL);
    assert_string_equal(ran, "[a]+[b]");
    assert_string_equal(read_as(*state, "things/a/error", "ann"), "that is bad\n");
    assert_int_equal(write_lines(*state, "raw a\nraw 'open\n"), 1);
    assert_string_equal(ran, "[a]");
    tree_call_done(later, 0);
    assert_int_equal(result.rc, -EINVAL);
    assert_int_equal(write_lines(*state, "raw a\nraw\nraw b\n"), 1); /* without a rest: by itself */
    assert_string_equal(ran, "[a]");
    tree_call_done(later, -ECANCELED);
    assert_int_equal(result.rc, -ECANCELED);
    assert_string_equal(ran, "[a]");
}

static int clone_with(struct tree *t, const char *lines)
{
    ran[0] = '\0';
    tree_clone(call_on(t, "things/clone", "ann"), lines, strlen(lines));
    assert_true(result.ended);
    return result.rc;
}

static void a_clone_may_run_its_lines_itself(void **state)
{
    assert_int_equal(clone_with(*state, "word x\nraw y z\n"), 0);
    assert_string_equal(ran, "[x][y z]");
    assert_int_equal(clone_with(*state, "word fold\nraw y z\n"), 0);
    assert_string_equal(ran, "[folded]");
    assert_string_equal(result.out, "one\n");
}

static void a_row_may_depend_on_who_looks(void **state)
{
    struct tree_names names = { 0 };
    struct tree_attr attr;
    struct tree_at at;

    assert_int_equal(tree_stat_as(*state, "things/mine", "ann", &at, &attr), 0);
    assert_int_equal(tree_stat_as(*state, "things/mine", "bob", &at, &attr), -ENOENT);
    assert_int_equal(tree_stat(*state, "things/mine", &at, &attr), -ENOENT);
    assert_string_equal(read_as(*state, "things/mine", "ann"), "of-ann");
    tree_read(call_on(*state, "things/mine", "bob"));
    assert_int_equal(result.rc, -ENOENT);
    assert_int_equal(tree_stat_as(*state, "things", "bob", &at, &attr), 0);
    assert_int_equal(tree_list(&at, &names), 0);
    assert_int_equal(names.n, 2);
    tree_names_free(&names);
    assert_int_equal(tree_stat_as(*state, "things", "ann", &at, &attr), 0);
    assert_int_equal(tree_list(&at, &names), 0);
    assert_int_equal(names.n, 3);
    assert_string_equal(names.v[0], "mine");
    tree_names_free(&names);
}

static void what_cannot_be_made_leaves_words(void **state)
{
    tree_make(call_on(*state, "things/never", "ann"), 0);
    assert_int_equal(result.rc, -EINVAL);
    assert_string_equal(read_as(*state, "things/error", "ann"), "never is no name\n");
    tree_make(call_on(*state, "things/new", "ann"), 0);
    assert_int_equal(result.rc, 0);
    assert_string_equal(read_as(*state, "things/error", "ann"), "");
    tree_remove(call_on(*state, "things/new", "ann"));
    assert_false(result.ended);
    oerr_set(&later->err, -EBUSY, "it is in use");
    tree_call_done(later, -EBUSY);
    assert_int_equal(result.rc, -EBUSY);
    assert_string_equal(read_as(*state, "things/error", "ann"), "it is in use\n");
    tree_make(call_on(*state, "things/a/ctl", "ann"), 0); /* no member: nothing is noted */
    assert_int_equal(result.rc, -EPERM);
    assert_string_equal(read_as(*state, "things/a/error", "ann"), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_raw_verb_gets_the_rest_of_its_line), TEST(lines_of_one_verb_are_taken_together),
        TEST(a_bad_line_fails_in_its_turn),         TEST(a_clone_may_run_its_lines_itself),
        TEST(a_row_may_depend_on_who_looks),        TEST(what_cannot_be_made_leaves_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
