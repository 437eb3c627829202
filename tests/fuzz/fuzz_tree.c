/*
 * fuzz_tree.c - what a member may send: the JSON of a request to tree_serve(), and the spec of a
 * stream. Each request must be answered once; no file may be shown that another machine owns.
 */
#include "tree/tree.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int show(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "%s %s\n", at->path, at->n ? at->v[0] : "");
    return 0;
}

static int find(const struct tree_at *at, struct tree_attr *attr)
{
    strcpy(attr->owner, "ann");
    return strlen(at->v[0]) > 3 ? -ENOENT : 0;
}

static int verb(struct tree_call *call, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        obuf_quote(&call->out, argv[i]);
    return 0;
}

/* Takes the lines of this verb that follow; each is a part of what was written. */
static int raw(struct tree_call *call, int argc, char **argv)
{
    char *line = strdup(argc > 1 ? argv[1] : "");
    size_t used = 0;

    while (line) {
        if (!memmem(call->text, call->len, line, strlen(line)))
            abort();
        tree_call_take(call, used);
        free(line);
        line = tree_call_peek(call, &used);
        if (line && (used == 0 || strlen(line) >= used))
            abort();
    }
    return 0;
}

static int save(struct tree_call *call, const char *text, size_t n)
{
    obuf_put(&call->out, text, n);
    return 0;
}

static int clone(struct tree_call *call)
{
    obuf_puts(&call->out, "1\n");
    strcpy(call->made, call->user[1] ? "d/1/ctl" : ""); /* of one letter: what takes no lines */
    return 0;
}

static int open_stream(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)at, (void)user, (void)flags, (void)out;
    return -EBUSY;
}

static int home(const struct tree_at *at, const char **machine)
{
    (void)at;
    *machine = "B";
    return 0;
}

static int never_shown(const struct tree_at *at, struct obuf *out)
{
    (void)at, (void)out;
    abort();
}

static const struct tree_verb verbs[] = { { "set", 1, 2, verb, "A [B]" },
                                          { "any", 0, -1, verb, "[A...]", .pipes = true },
                                          { "run", 0, 1, raw, "[LINE]", .raw = true },
                                          { 0 } };

static const struct tree_row rows[] = {
    { .path = "", .kind = TREE_DIR, .mode = 0555 },
    { .path = "t", .kind = TREE_TEXT, .mode = 0644, .show = show, .save = save },
    { .path = "ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs },
    { .path = "error", .kind = TREE_ERROR, .mode = 0444 },
    { .path = "clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone },
    { .path = "far", .kind = TREE_TEXT, .mode = 0444, .show = never_shown, .home = home },
    { .path = "s", .kind = TREE_STREAM, .mode = 0600, .open = open_stream },
    { .path = "d", .kind = TREE_DIR, .mode = 0555 },
    { .path = "d/{x}", .kind = TREE_DIR, .mode = 0555, .find = find },
    { .path = "d/{x}/t", .kind = TREE_TEXT, .mode = 0400, .show = show },
    { .path = "d/{x}/ctl", .kind = TREE_CTL, .mode = 0600, .verbs = verbs },
    { 0 },
};

static void done(void *arg, int rc, json_t *reply, const char *text)
{
    int *answers = arg;

    ++*answers;
    if (rc > 0 || (rc == 0) != (reply != NULL) || (rc < 0 && (!text || !*text)))
        abort();
    json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tree_row *const tables[] = { rows, NULL };
    const struct tree_env env = { .self = "A", .owner = "root" };
    char *text = calloc(1, size + 1);
    json_t *body = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    struct stream *stream;
    struct tree *t;
    int answers = 0, accmode = 0;

    if (!text || tree_create(&t, tables, &env, NULL) < 0)
        abort();
    if (size)
        memcpy(text, data, size);
    if (body) {
        tree_serve(t, body, done, &answers);
        if (answers != 1)
            abort();
    }
    if (tree_serve_open(t, text, &stream, &accmode) >= 0)
        abort();
    json_decref(body);
    tree_destroy(t);
    free(text);
    return 0;
}
