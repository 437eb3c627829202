/*
 * test_tree_far.c - rows of the tree that another machine owns: what it is asked, and
 * what it asks.
 */
#include "tests/unit/tree_kit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void the_owner_of_a_row_is_asked(void **state)
{
    struct result r;
    json_t *reply =
        json_pack("{s:s, s:s, s:{}}", "text", "hello\n", "made", "things/two/ctl", "record");

    assert_int_equal(write_as(*state, "far/ctl", "bob", "frob\n", &r), 1);
    assert_string_equal(json_string_value(json_object_get(world.asked, "op")), "ctl");
    assert_string_equal(json_string_value(json_object_get(world.asked, "path")), "far/ctl");
    assert_string_equal(json_string_value(json_object_get(world.asked, "user")), "bob");
    assert_string_equal(json_string_value(json_object_get(world.asked, "text")), "frob\n");
    world.answer(world.arg, -EINVAL, NULL, "unknown verb");
    assert_int_equal(r.rc, -EINVAL);
    assert_string_equal(error_of(*state, "far/error"), "unknown verb\n");
    json_decref(take_ptr(world.asked));

    tree_clone(call_on(*state, "far/clone", "bob", &r), NULL, 0);
    assert_string_equal(json_string_value(json_object_get(world.asked, "op")), "clone");
    world.answer(world.arg, 0, reply, NULL);
    assert_int_equal(r.rc, 0);
    assert_string_equal(r.out, "hello\n");
    assert_string_equal(r.made, "things/two/ctl");
    assert_int_equal(world.learned, 1);
    json_decref(reply);
    json_decref(take_ptr(world.asked));
}

/* A clone that brings lines: made, then told what was written. */
static void a_clone_takes_lines(void **state)
{
    json_t *reply = json_pack("{s:s, s:s, s:i, s:s}", "text", "two\n", "made", "things/two/ctl",
                              "errno", ENOENT, "words", "no such command");
    struct result r;

    tree_clone(call_on(*state, "things/clone", "bob", &r), "note a\nnote b c\n", 16);
    assert_int_equal(r.rc, 0);
    assert_string_equal(r.made, "things/one/ctl");
    assert_string_equal(world.ran, "note a note b c ");
    tree_clone(call_on(*state, "things/clone", "bob", &r), "frob\n", 5);
    assert_int_equal(r.rc, -EINVAL);
    assert_string_equal(r.made, "things/one/ctl"); /* made all the same */
    assert_non_null(strstr(error_of(*state, "things/one/error"), "unknown verb 'frob'"));

    tree_clone(call_on(*state, "far/clone", "bob", &r), "exec x\n", 7);
    assert_string_equal(json_string_value(json_object_get(world.asked, "text")), "exec x\n");
    world.answer(world.arg, 0, reply, NULL);
    assert_int_equal(r.rc, -ENOENT);
    assert_string_equal(r.made, "things/two/ctl");
    assert_string_equal(error_of(*state, "things/two/error"), "no such command\n");
    assert_string_equal(error_of(*state, "far/error"), "");
    json_decref(reply);
}

static void what_cannot_be_asked_is_said(void **state)
{
    struct result r;

    assert_int_equal(write_as(*state, "far/ctl", "bob", "\xff\n", &r), -EINVAL);
    assert_string_equal(error_of(*state, "far/error"),
                        "what is written to far/ctl must be UTF-8 text\n");
    world.ask_rc = -EHOSTUNREACH;
    assert_int_equal(write_as(*state, "far/ctl", "bob", "note a\n", &r), -EHOSTUNREACH);
    assert_string_not_equal(error_of(*state, "far/error"), "\n");
    world.reachable = false;
    assert_int_equal(write_as(*state, "far/ctl", "bob", "note a\n", &r), -EHOSTUNREACH);
    assert_string_equal(error_of(*state, "far/error"),
                        "the machine that far/ctl lives on does not answer\n");
    tree_read(call_on(*state, "far/text", "bob", &r));
    assert_int_equal(r.rc, -EHOSTUNREACH);
}

static void served(void *arg, int rc, json_t *reply, const char *text)
{
    struct result *r = arg;

    r->ended = true;
    r->rc = rc;
    snprintf(r->out, sizeof r->out, "%s",
             rc == 0 ? json_string_value(json_object_get(reply, "text")) : "");
    snprintf(r->words, sizeof r->words, "%s", text ? text : "");
    json_decref(reply);
}

static void others_are_served(void **state)
{
    static const struct {
        const char *body, *out;
        int rc;
    } cases[] = {
        { "{\"op\":\"read\",\"path\":\"text\",\"user\":\"bob\"}", "this is text\n", 0 },
        { "{\"op\":\"ctl\",\"path\":\"ctl\",\"user\":\"ruth\",\"text\":\"note a\"}", "2 words\n",
          0 },
        { "{\"op\":\"ctl\",\"path\":\"ctl\",\"user\":\"bob\",\"text\":\"note a\"}", "", -EPERM },
        { "{\"op\":\"clone\",\"path\":\"things/clone\",\"user\":\"bob\"}", "one\n", 0 },
        { "{\"op\":\"clone\",\"path\":\"things/clone\",\"user\":\"bob\",\"text\":\"frob\"}",
          "one\n", 0 },
        { "{\"op\":\"closed\",\"path\":\"things/one/ctl\",\"user\":\"ann\"}", "", 0 },
        { "{\"op\":\"closed\",\"path\":\"things/one/ctl\",\"user\":\"bob\"}", "", -EACCES },
        { "{\"op\":\"read\",\"path\":\"things/one/text\",\"user\":\"bob\"}", "", -EACCES },
        { "{\"op\":\"read\",\"path\":\"far/text\",\"user\":\"bob\"}", "", -ESTALE },
        { "{\"op\":\"clone\",\"path\":\"text\",\"user\":\"bob\"}", "", -EINVAL },
        { "{\"op\":\"read\",\"path\":\"things\",\"user\":\"bob\"}", "", -EINVAL },
        { "{\"op\":\"frob\",\"path\":\"text\",\"user\":\"bob\"}", "", -EINVAL },
        { "{\"op\":\"read\",\"path\":\"nothing\",\"user\":\"bob\"}", "", -ENOENT },
        { "{\"op\":\"read\",\"path\":\"text\",\"user\":\"\"}", "", -EPROTO },
        { "{\"op\":\"read\",\"path\":\"text\"}", "", -EPROTO },
        { "{\"op\":7,\"path\":\"text\",\"user\":\"bob\"}", "", -EPROTO },
        { "[]", "", -EPROTO },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *body = json_loads(cases[i].body, 0, NULL);
        struct result r = { 0 };

        assert_non_null(body);
        tree_serve(*state, body, served, &r);
        if (!r.ended || r.rc != cases[i].rc || strcmp(r.out, cases[i].out) != 0)
            fail_msg("%s: ended %d with %d, %s, %s", cases[i].body, r.ended, r.rc, r.out, r.words);
        assert_true(r.rc == 0 || r.words[0]);
        json_decref(body);
    }
    assert_non_null(strstr(world.ran, "closed "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_owner_of_a_row_is_asked),
        TEST(a_clone_takes_lines),
        TEST(what_cannot_be_asked_is_said),
        TEST(others_are_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
