/*
 * tree_kit.c - the rows, what another machine is asked, and calls.
 */
#include "tests/unit/tree_kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct tree_world world;

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

const struct tree_row rows[] = {
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
const struct tree_row *const tables[] = { rows, NULL };

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

int set_up(void **state)
{
    const struct tree_env env = { .self = "A", .owner = "ruth", .ask = ask, .made = made };
    struct tree *t;

    memset(&world, 0, sizeof world);
    world.reachable = true;
    assert_int_equal(tree_create(&t, tables, &env, NULL), 0);
    *state = t;
    return 0;
}

int tear_down(void **state)
{
    json_decref(world.asked);
    tree_destroy(*state);
    return 0;
}

/* ---- calls ---- */

void ended(struct tree_call *call, int rc)
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

struct tree_call *call_on(struct tree *t, const char *path, const char *user, struct result *r)
{
    struct tree_at at;
    struct tree_call *call;

    assert_int_equal(tree_resolve(t, path, &at), 0);
    memset(r, 0, sizeof *r);
    call = tree_call_new(&at, user, ended, r);
    assert_non_null(call);
    return call;
}

int write_n(struct tree *t, const char *path, const char *user, const char *text, size_t n,
            struct result *r)
{
    *world.ran = '\0';
    tree_write(call_on(t, path, user, r), text, n);
    return r->ended ? r->rc : 1;
}

int write_as(struct tree *t, const char *path, const char *user, const char *text, struct result *r)
{
    return write_n(t, path, user, text, strlen(text), r);
}

const char *error_of(struct tree *t, const char *path)
{
    static struct result r;

    tree_read(call_on(t, path, "root", &r));
    assert_true(r.ended && r.rc == 0);
    return r.out;
}

/* The write fails so, and one line of `error` beside it has these words. */
void refuses_n(struct tree *t, const char *text, size_t n, int rc, const char *words)
{
    struct result r;
    const char *line;

    assert_int_equal(write_n(t, "ctl", "ruth", text, n, &r), rc);
    line = error_of(t, "error");
    if (!strstr(line, words))
        fail_msg("no '%s' in: %s", words, line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

void refuses(struct tree *t, const char *text, int rc, const char *words)
{
    refuses_n(t, text, strlen(text), rc, words);
}
