/*
 * tree_forward.c - rows that live on another machine: what is asked of it, and what it is asked.
 *
 * Request body (bus type TREE): {"op": "read"|"ctl"|"save"|"clone"|"closed", "path": P, "user": U,
 * "text": T}; the reply is {"text": T, "made": P, "record": R}, an error carries its words. A
 * clone whose lines failed was made all the same: its reply has {"errno": N, "words": W} too. A
 * stream's spec (link.h) is {"path": P, "user": U, "flags": F}. The machine that owns the row
 * checks access by the user's name again: it trusts a member for who its users are, and for nothing
 * else.
 */
#include "tree/tree_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int forward_home(const struct tree_at *at, const char **machine)
{
    int rc = 0;

    *machine = NULL;
    if (at->row->home)
        rc = at->row->home(at, machine);
    if (rc == 0 && *machine && strcmp(*machine, at->tree->env.self) == 0)
        *machine = NULL;
    return rc;
}

/* Takes what a reply holds: 0, or how the lines of a clone failed. */
static int take_reply(struct tree_call *call, const json_t *reply)
{
    const char *made = json_string_value(json_object_get(reply, "made"));
    const char *words = json_string_value(json_object_get(reply, "words"));
    json_t *got = json_object_get(reply, "text"), *record = json_object_get(reply, "record");
    int err = (int)json_integer_value(json_object_get(reply, "errno"));

    if (json_is_string(got))
        obuf_put(&call->out, json_string_value(got), json_string_length(got));
    if (made && strlen(made) < sizeof call->made)
        strcpy(call->made, made);
    if (record)
        call->at.tree->env.made(call->at.tree->env.system, call->machine, record);
    if (err > 0)
        return oerr_set(&call->err, -err, "%s", words ? words : strerror(err));
    return obuf_check(&call->out);
}

static void answered(void *arg, int rc, json_t *reply, const char *text)
{
    struct tree_call *call = arg;
    struct tree *t = call->at.tree;

    if (rc == 0)
        rc = take_reply(call, reply);
    else if (text != call->err.text || !*text)
        oerr_set(&call->err, rc, "%s", text && *text ? text : strerror(-rc));
    if (call->made[0])
        tree_note_error(t, call->made, rc < 0 ? call->err.text : "");
    if (tree_notes_errors(call->at.row))
        tree_note_error(t, call->at.path, rc < 0 && !call->made[0] ? call->err.text : "");
    call->done(call, rc);
}

void forward_call(struct tree_call *call, const char *machine, const char *op, const char *text,
                  size_t n)
{
    struct tree_env *env = &call->at.tree->env;
    json_t *body;
    int rc;

    snprintf(call->machine, sizeof call->machine, "%s", machine);
    body = json_pack("{s:s, s:s, s:s, s:s%}", "op", op, "path", call->at.path, "user", call->user,
                     "text", text ? text : "", n);
    if (body)
        rc = env->ask(env->system, machine, body, TREE_DEADLINE_MS, answered, call);
    else
        rc = oerr_set(&call->err, -EINVAL, "what is written to %s must be UTF-8 text",
                      call->at.path);
    if (rc < 0)
        answered(call, rc, NULL, call->err.text);
}

int forward_open(const struct tree_at *at, const char *machine, const char *user, int flags,
                 struct stream **out)
{
    struct tree_env *env = &at->tree->env;
    json_t *spec = json_pack("{s:s, s:s, s:i}", "path", at->path, "user", user, "flags",
                             flags & (O_ACCMODE | O_NONBLOCK));
    char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
    int rc = text ? env->open(env->system, machine, text, out) : -ENOMEM;

    json_decref(spec);
    free(text);
    return rc;
}

/* One operation under way for another machine. */
struct served {
    void (*done)(void *arg, int rc, json_t *reply, const char *text);
    void *arg;
};

static void serve_done(struct tree_call *call, int rc)
{
    struct served *s = call->arg;
    json_t *reply = NULL;

    if (rc == 0 || call->made[0]) {
        reply = json_pack("{s:s%, s:s, s:O*}", "text", call->out.p ? call->out.p : "",
                          call->out.len, "made", call->made, "record", call->record);
        if (rc < 0) {
            json_object_set_new(reply, "errno", json_integer(-rc));
            json_object_set_new(reply, "words", json_string(call->err.text));
            rc = 0;
        }
        if (!reply)
            rc = oerr_set(&call->err, -EILSEQ, "%s is not UTF-8 text", call->at.path);
    }
    s->done(s->arg, rc, reply, call->err.text);
    free(s);
    tree_call_free(call);
}

static void serve_start(struct tree_call *call, const char *op, const char *text, size_t n)
{
    const char *machine;

    /* A row that is not ours either would go round for ever. */
    if (forward_home(&call->at, &machine) < 0 || machine) {
        oerr_set(&call->err, -ESTALE, "%s does not live on this machine", call->at.path);
        serve_done(call, -ESTALE);
    } else if (strcmp(op, "read") == 0 &&
               (call->at.row->show || call->at.row->kind == TREE_ERROR)) {
        tree_read(call);
    } else if (strcmp(op, "ctl") == 0 || strcmp(op, "save") == 0) {
        tree_write(call, text, n);
    } else if (strcmp(op, "clone") == 0 && call->at.row->clone) {
        tree_clone(call, text, n);
    } else if (strcmp(op, "closed") == 0 && call->at.row->closed) {
        tree_closed(call);
    } else {
        oerr_set(&call->err, -EINVAL, "%s does not know the operation %.40s", call->at.path, op);
        serve_done(call, -EINVAL);
    }
}

void tree_serve(struct tree *t, const json_t *body,
                void (*done)(void *arg, int rc, json_t *reply, const char *text), void *arg)
{
    const char *op, *path, *user, *text = "";
    size_t n = 0;
    struct served *s;
    struct tree_call *call;
    struct tree_at at;

    if (json_unpack((json_t *)body, "{s:s, s:s, s:s, s?s%}", "op", &op, "path", &path, "user",
                    &user, "text", &text, &n) < 0) {
        done(arg, -EPROTO, NULL, "a tree request must have op, path and user");
        return;
    }
    if (strlen(user) >= TREE_USER_MAX || !*user) {
        done(arg, -EPROTO, NULL, "a tree request names no user that could exist");
        return;
    }
    if (tree_resolve(t, path, &at) < 0) {
        done(arg, -ENOENT, NULL, "there is no such file");
        return;
    }
    s = malloc(sizeof *s);
    call = s ? tree_call_new(&at, user, serve_done, s) : NULL;
    if (!call) {
        free(s);
        done(arg, -ENOMEM, NULL, "out of memory");
        return;
    }
    *s = (struct served){ .done = done, .arg = arg };
    serve_start(call, op, text, n);
}

int tree_serve_open(struct tree *t, const char *spec, struct stream **out, int *accmode)
{
    json_t *json = json_loads(spec, 0, NULL);
    struct tree_attr attr;
    struct tree_at at;
    const char *path, *user, *machine;
    int flags, rc;

    if (json_unpack(json, "{s:s, s:s, s:i}", "path", &path, "user", &user, "flags", &flags) < 0) {
        rc = -EPROTO;
    } else {
        *accmode = flags & O_ACCMODE;
        rc = tree_stat_as(t, path, user, &at, &attr);
        if (rc == 0)
            rc = tree_access(&attr, user,
                             *accmode == O_RDONLY   ? R_OK
                             : *accmode == O_WRONLY ? W_OK
                                                    : R_OK | W_OK);
        if (rc == 0)
            rc = forward_home(&at, &machine);
        if (rc == 0)
            rc = machine || !at.row->open
                     ? -ESTALE
                     : at.row->open(&at, user, flags & (O_ACCMODE | O_NONBLOCK), out);
    }
    json_decref(json);
    return rc;
}
