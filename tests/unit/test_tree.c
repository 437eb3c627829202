/*
 * test_tree.c - the engine of the tree, over rows of its own: paths, access, lists, the lines of a
 * ctl, what another machine is asked and what it asks.
 */
#include "base/cleanup.h"
#include "tree/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    char ran[256]; /* the verbs that ran, each with a blank */
    struct tree_call *later;
    json_t *asked;
    void (*answer)(void *arg, int rc, json_t *reply, const char *text);
    void *arg;
    int ask_rc, learned;
    bool reachable;
} world;

/* ---- rows ---- */

static int find_thing(const struct tree_at *at, struct tree_attr *attr)
{
    if (strcmp(at->v[0], "gone") == 0)
        return -ENOENT;
    strcpy(attr->owner, "ann");
    attr->mtime_us = 7;
    return 0;
}

static int list_things(const struct tree_at *at, struct tree_names *names)
{
    (void)at;
    tree_names_add(names, "one");
    return 0;
}

static int show(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "this is %s%s\n", at->path, at->n ? at->v[0] : "");
    return 0;
}

static int save(struct tree_call *call, const char *text, size_t n)
{
    if (n == 3 && memcmp(text, "bad", 3) == 0)
        return oerr_set(&call->err, -EINVAL, "that is bad");
    strncat(world.ran, text, n);
    return 0;
}

static int v_note(struct tree_call *call, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        sprintf(world.ran + strlen(world.ran), "%s ", argv[i]);
    obuf_printf(&call->out, "%d words\n", argc);
    return 0;
}

static int v_fail(struct tree_call *call, int argc, char **argv)
{
    (void)call, (void)argc, (void)argv;
    return -EBUSY; /* without words of its own */
}

static int v_later(struct tree_call *call, int argc, char **argv)
{
    (void)argc, (void)argv;
    world.later = call;
    return TREE_LATER;
}

static const struct tree_verb verbs[] = {
    { "note", 1, 2, v_note, "A [B]" },
    { "any", 0, -1, v_note, "[WORD...]", .pipes = true },
    { "fail", 0, 0, v_fail, "" },
    { "later", 0, 0, v_later, "" },
    { 0 },
};

static int clone(struct tree_call *call)
{
    obuf_puts(&call->out, "one\n");
    strcpy(call->made, "things/one/ctl");
    return 0;
}

static void closed(struct tree_call *call)
{
    (void)call;
    strcat(world.ran, "closed ");
}

static int home_far(const struct tree_at *at, const char **machine)
{
    (void)at;
    *machine = "B";
    return world.reachable ? 0 : -EHOSTUNREACH;
}

static int chmod_thing(struct tree_call *call)
{
    sprintf(world.ran, "%o", call->mode);
    world.later = call;
    return TREE_LATER;
}

static const struct tree_row rows[] = {
    { .path = "", .kind = TREE_DIR, .mode = 0555, .help = "." },
    { .path = "text", .kind = TREE_TEXT, .mode = 0444, .show = show, .help = "." },
    { .path = "note", .kind = TREE_TEXT, .mode = 0644, .show = show, .save = save, .help = "." },
    { .path = "ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs, .help = "." },
    { .path = "error", .kind = TREE_ERROR, .mode = 0444, .help = "." },
    { .path = "things", .kind = TREE_DIR, .mode = 0555, .list = list_things, .help = "." },
    { .path = "things/clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone, .help = "." },
    { .path = "things/{x}",
      .kind = TREE_DIR,
      .mode = 0500,
      .find = find_thing,
      .chmod = chmod_thing,
      .help = "." },
    { .path = "things/{x}/text", .kind = TREE_TEXT, .mode = 0400, .show = show, .help = "." },
    { .path = "things/{x}/ctl",
      .kind = TREE_CTL,
      .mode = 0600,
      .verbs = verbs,
      .closed = closed,
      .help = "." },
    { .path = "things/{x}/error", .kind = TREE_ERROR, .mode = 0444, .help = "." },
    { .path = "far", .kind = TREE_DIR, .mode = 0555, .help = "." },
    { .path = "far/text",
      .kind = TREE_TEXT,
      .mode = 0444,
      .show = show,
      .home = home_far,
      .help = "." },
    { .path = "far/ctl",
      .kind = TREE_CTL,
      .mode = 0666,
      .verbs = verbs,
      .home = home_far,
      .help = "." },
    { .path = "far/error", .kind = TREE_ERROR, .mode = 0444, .help = "." },
    { .path = "far/clone",
      .kind = TREE_CLONE,
      .mode = 0666,
      .clone = clone,
      .home = home_far,
      .help = "." },
    { 0 },
};
static const struct tree_row *const tables[] = { rows, NULL };

/* ---- the other machine ---- */

static int ask(void *system, const char *machine, json_t *body, unsigned deadline_ms,
               void (*done)(void *arg, int rc, json_t *reply, const char *text), void *arg)
{
    (void)system;
    assert_string_equal(machine, "B");
    assert_int_equal(deadline_ms, TREE_DEADLINE_MS);
    if (world.ask_rc < 0) {
        json_decref(body);
        return world.ask_rc;
    }
    world.asked = body;
    world.answer = done;
    world.arg = arg;
    return 0;
}

static void made(void *system, const char *machine, const json_t *record)
{
    (void)system;
    assert_string_equal(machine, "B");
    world.learned += json_is_object(record);
}

static int set_up(void **state)
{
    const struct tree_env env = { .self = "A", .owner = "ruth", .ask = ask, .made = made };
    struct tree *t;

    memset(&world, 0, sizeof world);
    world.reachable = true;
    assert_int_equal(tree_create(&t, tables, &env, NULL), 0);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    json_decref(world.asked);
    tree_destroy(*state);
    return 0;
}

/* ---- calls ---- */

struct result {
    bool ended;
    int rc;
    char out[256], words[400], made[64];
};

static void ended(struct tree_call *call, int rc)
{
    struct result *r = call->arg;

    assert_false(r->ended);
    r->ended = true;
    r->rc = rc;
    snprintf(r->out, sizeof r->out, "%.*s", (int)call->out.len, call->out.p ? call->out.p : "");
    snprintf(r->words, sizeof r->words, "%s", call->err.text);
    snprintf(r->made, sizeof r->made, "%.60s", call->made);
    tree_call_free(call);
}

static struct tree_call *call_on(struct tree *t, const char *path, const char *user,
                                 struct result *r)
{
    struct tree_at at;
    struct tree_call *call;

    assert_int_equal(tree_resolve(t, path, &at), 0);
    memset(r, 0, sizeof *r);
    call = tree_call_new(&at, user, ended, r);
    assert_non_null(call);
    return call;
}

static int write_n(struct tree *t, const char *path, const char *user, const char *text, size_t n,
                   struct result *r)
{
    *world.ran = '\0';
    tree_write(call_on(t, path, user, r), text, n);
    return r->ended ? r->rc : 1;
}

static int write_as(struct tree *t, const char *path, const char *user, const char *text,
                    struct result *r)
{
    return write_n(t, path, user, text, strlen(text), r);
}

static const char *error_of(struct tree *t, const char *path)
{
    static struct result r;

    tree_read(call_on(t, path, "root", &r));
    assert_true(r.ended && r.rc == 0);
    return r.out;
}

/* The write fails so, and one line of `error` beside it has these words. */
static void refuses_n(struct tree *t, const char *text, size_t n, int rc, const char *words)
{
    struct result r;
    const char *line;

    assert_int_equal(write_n(t, "ctl", "ruth", text, n, &r), rc);
    line = error_of(t, "error");
    if (!strstr(line, words))
        fail_msg("no '%s' in: %s", words, line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void refuses(struct tree *t, const char *text, int rc, const char *words)
{
    refuses_n(t, text, strlen(text), rc, words);
}

/* ---- tests ---- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
        TEST(the_owner_of_a_row_is_asked),
        TEST(a_clone_takes_lines),
        TEST(what_cannot_be_asked_is_said),
        TEST(others_are_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
