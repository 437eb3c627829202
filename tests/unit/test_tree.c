/*
 * test_tree.c - the engine of the tree, over rows of its own: paths, access, lists, the
 * lines of a ctl.
 */
#include "tests/unit/tree_kit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void paths_lead_to_rows(void **state)
{
    struct tree_at at;
    char longest[TREE_PATH_MAX + 1];

    assert_int_equal(tree_resolve(*state, "", &at), 0);
    assert_string_equal(at.row->path, "");
    assert_int_equal(tree_resolve(*state, "things/clone", &at), 0);
    assert_string_equal(at.row->path, "things/clone"); /* a fixed name wins */
    assert_int_equal(tree_resolve(*state, "things/x y/text", &at), 0);
    assert_string_equal(at.row->path, "things/{x}/text");
    assert_int_equal(at.n, 1);
    assert_string_equal(at.v[0], "x y");
    assert_int_equal(tree_resolve(*state, "nothing", &at), -ENOENT);
    assert_int_equal(tree_resolve(*state, "text/below", &at), -ENOENT);
    assert_int_equal(tree_resolve(*state, "things/one/nothing", &at), -ENOENT);
    memset(longest, 'x', TREE_PATH_MAX);
    longest[TREE_PATH_MAX] = '\0';
    assert_int_equal(tree_resolve(*state, longest, &at), -ENAMETOOLONG);
}

static void wrong_tables_are_refused(void **state)
{
#define ROOT                                                                                       \
    {                                                                                              \
        .path = "", .kind = TREE_DIR                                                               \
    }
    static const struct tree_row orphan[] = { ROOT, { .path = "a/b", .kind = TREE_TEXT }, { 0 } };
    static const struct tree_row twice[] = {
        ROOT, { .path = "a", .kind = TREE_TEXT }, { .path = "a", .kind = TREE_TEXT }, { 0 }
    };
    static const struct tree_row below[] = {
        ROOT, { .path = "a", .kind = TREE_TEXT }, { .path = "a/b", .kind = TREE_TEXT }, { 0 }
    };
    static const struct tree_row deep[] = { ROOT,
                                            { .path = "{a}", .kind = TREE_DIR },
                                            { .path = "{a}/{b}", .kind = TREE_DIR },
                                            { .path = "{a}/{b}/{c}", .kind = TREE_DIR },
                                            { .path = "{a}/{b}/{c}/{d}", .kind = TREE_DIR },
                                            { 0 } };
    static const struct tree_row no_root[] = { { 0 } };
    const struct tree_row *const all[] = { orphan, twice, below, deep, no_root };
    const struct tree_env env = { .self = "A" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const struct tree_row *const table[] = { all[i], NULL };
        struct oerr e = { "" };
        struct tree *t = NULL;

        assert_true(tree_create(&t, table, &env, &e) < 0);
        assert_true(e.text[0] != '\0');
        assert_null(t);
    }
}

static void attributes_come_from_the_nearest_find(void **state)
{
    struct tree_attr attr;
    struct tree_at at;

    assert_int_equal(tree_stat(*state, "text", &at, &attr), 0);
    assert_int_equal(attr.mode, S_IFREG | 0444);
    assert_string_equal(attr.owner, "ruth");
    assert_int_equal(tree_stat(*state, "things/one/ctl", &at, &attr), 0);
    assert_int_equal(attr.mode, S_IFREG | 0600);
    assert_string_equal(attr.owner, "ann");
    assert_int_equal(attr.mtime_us, 7);
    assert_int_equal(tree_stat(*state, "things/gone/ctl", &at, &attr), -ENOENT);
}

static void modes_say_who_may(void **state)
{
    const struct tree_attr attr = { .mode = S_IFREG | 0604, .owner = "ann" };

    (void)state;
    assert_int_equal(tree_access(&attr, "ann", R_OK | W_OK), 0);
    assert_int_equal(tree_access(&attr, "ann", X_OK), -EACCES);
    assert_int_equal(tree_access(&attr, "bob", R_OK), 0);
    assert_int_equal(tree_access(&attr, "bob", W_OK), -EACCES);
    assert_int_equal(tree_access(&attr, "root", R_OK | W_OK), 0);
}

static void a_list_has_fixed_and_found_names(void **state)
{
    struct tree_names names = { 0 };
    struct tree_at at;

    assert_int_equal(tree_resolve(*state, "things", &at), 0);
    assert_int_equal(tree_list(&at, &names), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.v[0], "clone");
    assert_string_equal(names.v[1], "one");
    tree_names_free(&names);
    assert_int_equal(tree_resolve(*state, "text", &at), 0);
    assert_int_equal(tree_list(&at, &names), -ENOTDIR);
}

static void every_row_can_be_asked(void **state)
{
    const struct tree_row *row;

    for (size_t i = 0; (row = tree_row_at(*state, i)) != NULL; i++) {
        struct result r;

        tree_read(call_on(*state, row->path, "root", &r));
        assert_true(r.ended || world.asked);
        if (!r.ended) {
            world.answer(world.arg, -EHOSTUNREACH, NULL, "B is away");
            assert_int_equal(r.rc, -EHOSTUNREACH);
            json_decref(take_ptr(world.asked));
        }
        assert_true(write_as(*state, row->path, "root", "no-such-verb\n", &r) <= 0 || world.asked);
        if (world.asked) {
            world.answer(world.arg, -EINVAL, NULL, "no");
            json_decref(take_ptr(world.asked));
        }
        assert_true(r.ended);
        assert_int_equal(r.rc, row->verbs ? -EINVAL : row->save ? 0 : -EACCES);
    }
}

static void bad_lines_are_refused_in_words(void **state)
{
    static char big[TREE_TEXT_MAX + 1];

    refuses(*state, "frob\n", -EINVAL, "unknown verb 'frob'; ctl knows: note any fail later");
    refuses(*state, "note\n", -EINVAL, "a word is missing: note A [B]");
    refuses(*state, "note a b c d\n", -EINVAL, "too many words from 'c' on: note A [B]");
    refuses(*state, "note 'a\n", -EINVAL, "quote");
    refuses(*state, "note a \\", -EINVAL, "backslash");
    refuses(*state, "note |\n", -EINVAL, "takes no '|'");
    refuses(*state, "fail\n", -EBUSY, "busy");
    refuses(*state, "fail 'x\ny'\n", -EINVAL, "x?y");
    refuses(*state, "\xff\xc3\n", -EINVAL, "'\?\?'");
    refuses(*state, "'\xc3\xa4\xe2\x82\xac\xed\xa0\x80'\n", -EINVAL,
            "'\xc3\xa4\xe2\x82\xac\?\?\?'");
    refuses_n(*state, "note\0a\n", 7, -EINVAL, "NUL byte at offset 4");
    memset(big, 'x', sizeof big);
    refuses_n(*state, big, sizeof big, -EINVAL, "at most 1048576 bytes");
    refuses_n(*state, big, TREE_TEXT_MAX, -EINVAL, "longer than");
}

static void lines_run_in_order_until_one_fails(void **state)
{
    struct result r;

    assert_int_equal(write_as(*state, "ctl", "ruth", "\nnote a\n any 'b c' | d\nnote e f", &r), 0);
    assert_string_equal(world.ran, "note a any b c | d note e f ");
    assert_string_equal(r.out, "2 words\n4 words\n3 words\n");
    assert_int_equal(write_as(*state, "ctl", "ruth", "note a\nfail\nnote b\n", &r), -EBUSY);
    assert_string_equal(world.ran, "note a ");
    assert_string_not_equal(error_of(*state, "error"), "");
    assert_int_equal(write_as(*state, "ctl", "ruth", "note a\n", &r), 0);
    assert_string_equal(error_of(*state, "error"), "");
}

static void a_verb_may_end_later(void **state)
{
    struct result r;

    assert_int_equal(write_as(*state, "ctl", "ruth", "note a\nlater\nnote b\nlater\n", &r), 1);
    assert_string_equal(world.ran, "note a ");
    tree_call_done(world.later, 0);
    assert_false(r.ended);
    assert_string_equal(world.ran, "note a note b ");
    tree_call_done(world.later, -ESRCH);
    assert_int_equal(r.rc, -ESRCH);
    assert_string_not_equal(error_of(*state, "error"), "");
}

static void a_write_needs_the_right(void **state)
{
    struct result r;

    assert_int_equal(write_as(*state, "text", "root", "x", &r), -EACCES);
    assert_int_equal(write_as(*state, "things/one/ctl", "bob", "note a\n", &r), -EACCES);
    assert_non_null(strstr(error_of(*state, "things/one/error"), "belongs to ann"));
    assert_int_equal(write_as(*state, "ctl", "bob", "note a\n", &r), -EPERM);
    assert_string_equal(world.ran, "");
    assert_non_null(strstr(error_of(*state, "error"), "ctl belongs to ruth; bob may not"));
    assert_int_equal(write_as(*state, "ctl", "root", "note a\n", &r), 0);
    assert_int_equal(write_as(*state, "things/gone/ctl", "root", "note a\n", &r), -ENOENT);
    tree_read(call_on(*state, "things/one/text", "bob", &r));
    assert_int_equal(r.rc, -EACCES);
}

static void a_text_is_saved(void **state)
{
    struct result r;

    assert_int_equal(write_as(*state, "note", "ruth", "good", &r), 0);
    assert_string_equal(world.ran, "good");
    assert_int_equal(write_as(*state, "note", "ruth", "bad", &r), -EINVAL);
    assert_string_equal(error_of(*state, "error"), "that is bad\n");
    assert_int_equal(write_as(*state, "note", "bob", "good", &r), -EACCES);
}

static void a_mode_changes_where_a_row_says_how(void **state)
{
    struct tree_call *call;
    struct result r;

    tree_chmod(call_on(*state, "text", "ruth", &r));
    assert_true(r.ended);
    assert_int_equal(r.rc, -EPERM);
    assert_true(r.words[0]);
    call = call_on(*state, "things/one", "ann", &r);
    call->mode = 0640;
    tree_chmod(call);
    assert_string_equal(world.ran, "640");
    assert_false(r.ended);
    tree_call_done(world.later, 0);
    assert_true(r.ended);
    assert_int_equal(r.rc, 0);
}

static void errors_are_bounded(void **state)
{
    char path[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof path, "things/%d/ctl", i);
        tree_note_error(*state, path, "wrong");
    }
    assert_string_equal(error_of(*state, "things/2999/error"), "wrong\n");
    assert_string_equal(error_of(*state, "things/2000/error"), "wrong\n");
    assert_string_equal(error_of(*state, "things/0/error"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_lead_to_rows),
        TEST(wrong_tables_are_refused),
        TEST(attributes_come_from_the_nearest_find),
        TEST(modes_say_who_may),
        TEST(a_list_has_fixed_and_found_names),
        TEST(every_row_can_be_asked),
        TEST(bad_lines_are_refused_in_words),
        TEST(lines_run_in_order_until_one_fails),
        TEST(a_verb_may_end_later),
        TEST(a_write_needs_the_right),
        TEST(a_text_is_saved),
        TEST(a_mode_changes_where_a_row_says_how),
        TEST(errors_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
