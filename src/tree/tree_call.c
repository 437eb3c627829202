/*
 * tree_call.c - calls: reading a text, running the verbs of a ctl write, making things.
 *
 * A ctl write is a small state machine: take a line, split it, run its verb; a verb that answers
 * TREE_LATER stops the machine until tree_call_done() turns it again. The first failure ends it
 * and leaves its words in the sibling `error`. A call whose row lives elsewhere is handed to
 * tree_forward.c whole. A clone may bring lines for what it makes: the call then goes on as a
 * write to the ctl of that.
 */
#include "tree/tree_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tree_call *tree_call_new(const struct tree_at *at, const char *user, tree_done_fn *done,
                                void *arg)
{
    struct tree_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    tree_resolve(at->tree, at->path, &call->at);
    snprintf(call->user, sizeof call->user, "%s", user);
    call->done = done;
    call->arg = arg;
    return call;
}

void tree_call_free(struct tree_call *call)
{
    if (!call)
        return;
    obuf_free(&call->out);
    json_decref(call->record);
    free(call->text);
    free(call);
}

int call_check(struct tree_call *call, int want)
{
    char path[TREE_PATH_MAX];
    struct tree_attr attr;
    int rc;

    strcpy(path, call->at.path);
    rc = tree_stat_as(call->at.tree, path, call->user, &call->at, &attr);
    if (rc < 0)
        return oerr_set(&call->err, rc, "%s does not exist (any more)", path);
    rc = tree_access(&attr, call->user, want);
    if (rc == 0 && call->at.row->own && (want & W_OK) && strcmp(call->user, "root") != 0 &&
        strcmp(call->user, attr.owner) != 0)
        rc = -EPERM;
    if (rc < 0)
        return oerr_set(&call->err, rc, "%s belongs to %s; %s may not do this", path, attr.owner,
                        call->user);
    return 0;
}

/* Ends a call: the words of a failed write, making or removing go to the sibling `error`. */
static void finish(struct tree_call *call, int rc)
{
    if (tree_notes_errors(call->at.row) || call->member) {
        if (rc < 0 && !call->err.text[0])
            oerr_set(&call->err, rc, "%s: %s", call->at.path, strerror(-rc));
        tree_note_error(call->at.tree, call->at.path, rc < 0 ? call->err.text : "");
    }
    call->done(call, rc);
}

void tree_read(struct tree_call *call)
{
    const struct tree_row *row = call->at.row;
    const char *machine;
    int rc = call_check(call, R_OK);

    if (rc == 0)
        rc = forward_home(&call->at, &machine);
    if (rc == 0 && machine) {
        forward_call(call, machine, "read", NULL, 0);
        return;
    }
    if (rc == 0 && row->kind == TREE_ERROR) {
        obuf_puts(&call->out, errors_find(call->at.tree, call->at.path));
        if (call->out.len)
            obuf_puts(&call->out, "\n");
    } else if (rc == 0 && row->show) {
        rc = row->show(&call->at, &call->out);
    }
    if (rc == 0)
        rc = obuf_check(&call->out);
    call->done(call, rc);
}

/* Where the row lives, with words when it cannot be reached. */
static int call_home(struct tree_call *call, const char **machine)
{
    int rc = forward_home(&call->at, machine);

    if (rc == -EHOSTUNREACH)
        oerr_set(&call->err, rc, "the machine that %s lives on does not answer", call->at.path);
    return rc;
}

static const struct tree_verb *find_verb(const struct tree_verb *v, const char *name)
{
    while (v->name && strcmp(v->name, name) != 0)
        v++;
    return v->name ? v : NULL;
}

static int unknown_verb(struct tree_call *call, const char *name)
{
    struct obuf all = { 0 };

    for (const struct tree_verb *v = call->at.row->verbs; v->name; v++)
        obuf_printf(&all, " %s", v->name);
    oerr_set(&call->err, -EINVAL, "unknown verb '%.60s'; %s knows:%s", name, call->at.path,
             all.p ? all.p : "");
    obuf_free(&all);
    return -EINVAL;
}

static int run_verb(struct tree_call *call, const struct tree_verb *v, int argc, char **argv)
{
    if (argc - 1 < v->min)
        return oerr_set(&call->err, -EINVAL, "a word is missing: %s %s", v->name, v->usage);
    if (v->max >= 0 && argc - 1 > v->max)
        return oerr_set(&call->err, -EINVAL, "too many words from '%.60s' on: %s%s%s",
                        argv[v->max + 1], v->name, *v->usage ? " " : "", v->usage);
    for (int i = 1; i < argc && !v->pipes && !v->raw; i++)
        if (call->op[i])
            return oerr_set(&call->err, -EINVAL,
                            "%s takes no '%s'; quote it if it is meant as text", v->name, argv[i]);
    call->verb = v;
    return v->run(call, argc, argv);
}

static int run_raw(struct tree_call *call, const struct tree_verb *v, struct tree_line *line)
{
    char *argv[] = { line->words.v[0], line->rest, NULL };

    return run_verb(call, v, *line->rest ? 2 : 1, argv);
}

static int run_line(struct tree_call *call)
{
    const struct tree_verb *v = NULL;
    struct tree_line line;
    int rc;

    rc = tree_line_read(&line, call->text + call->pos, call->len - call->pos, &call->err);
    if (rc < 0)
        return rc;
    call->pos += line.used;
    call->op = line.words.op;
    if (line.words.n > 0 && !(v = find_verb(call->at.row->verbs, line.words.v[0])))
        rc = unknown_verb(call, line.words.v[0]);
    else if (v)
        rc = v->raw ? run_raw(call, v, &line) : run_verb(call, v, line.words.n, line.words.v);
    call->op = NULL;
    tree_line_free(&line);
    return rc;
}

char *tree_call_peek(const struct tree_call *call, size_t *used)
{
    struct tree_line line;
    char *rest = NULL;

    if (call->pos >= call->len ||
        tree_line_read(&line, call->text + call->pos, call->len - call->pos, NULL) < 0)
        return NULL;
    *used = line.used;
    if (line.words.n > 1 && strcmp(line.words.v[0], call->verb->name) == 0)
        rest = take_ptr(line.rest);
    tree_line_free(&line);
    return rest;
}

void tree_call_take(struct tree_call *call, size_t used)
{
    call->pos += used;
}

/* Runs lines until one must wait, one fails, or the text ends. */
static void run_lines(struct tree_call *call)
{
    int rc = 0;

    while (rc == 0 && call->pos < call->len)
        rc = run_line(call);
    if (rc != TREE_LATER)
        finish(call, rc);
}

/* A clone made something: the lines that came with it are for that. */
static void cloned(struct tree_call *call, int rc)
{
    if (rc == 0 && call->len > 0) {
        tree_note_error(call->at.tree, call->at.path, "");
        rc = tree_resolve(call->at.tree, call->made, &call->at);
        if (rc == 0 && !call->at.row->verbs)
            rc = oerr_set(&call->err, -EINVAL, "what was made takes no lines");
        if (rc == 0) {
            run_lines(call);
            return;
        }
    }
    finish(call, rc);
}

void tree_call_done(struct tree_call *call, int rc)
{
    if (call->at.row->kind == TREE_CTL && rc == 0)
        run_lines(call);
    else if (call->at.row->kind == TREE_CLONE)
        cloned(call, rc);
    else
        finish(call, rc);
}

static int check_text(struct tree_call *call, const char *text, size_t n)
{
    if (n > TREE_TEXT_MAX)
        return oerr_set(&call->err, -EINVAL, "one write may have at most %d bytes", TREE_TEXT_MAX);
    if (n > 0 && memchr(text, '\0', n))
        return oerr_set(&call->err, -EINVAL, "the text has a NUL byte at offset %zu",
                        (size_t)((const char *)memchr(text, '\0', n) - text));
    return 0;
}

/* Keeps the lines to run, which may end after their writer has gone. */
static int keep_lines(struct tree_call *call, const char *text, size_t n)
{
    call->text = malloc(n + 1);
    if (!call->text)
        return -ENOMEM;
    if (n > 0)
        memcpy(call->text, text, n);
    call->len = n;
    return 0;
}

void tree_write(struct tree_call *call, const char *text, size_t n)
{
    const struct tree_row *row = call->at.row;
    const char *machine = NULL;
    int rc = call_check(call, W_OK);

    if (rc == 0 && !row->verbs && !row->save)
        rc = oerr_set(&call->err, -EACCES, "%s cannot be written", call->at.path);
    if (rc == 0)
        rc = check_text(call, text, n);
    if (rc == 0)
        rc = call_home(call, &machine);
    if (rc == 0 && machine) {
        forward_call(call, machine, row->verbs ? "ctl" : "save", text, n);
        return;
    }
    if (rc == 0 && row->save) {
        rc = row->save(call, text, n);
        if (rc == TREE_LATER)
            return;
    } else if (rc == 0) {
        rc = keep_lines(call, text, n);
        if (rc == 0) {
            run_lines(call);
            return;
        }
    }
    finish(call, rc);
}

void tree_clone(struct tree_call *call, const char *text, size_t n)
{
    const char *machine = NULL;
    int rc = call_check(call, R_OK | W_OK);

    if (rc == 0)
        rc = check_text(call, text, n);
    if (rc == 0)
        rc = call_home(call, &machine);
    if (rc == 0 && machine) {
        forward_call(call, machine, "clone", text, n);
        return;
    }
    if (rc == 0)
        rc = keep_lines(call, text, n);
    if (rc == 0)
        rc = call->at.row->clone(call);
    if (rc != TREE_LATER)
        cloned(call, rc);
}

void tree_closed(struct tree_call *call)
{
    const char *machine = NULL;
    int rc = call_check(call, W_OK);

    if (rc == 0)
        rc = forward_home(&call->at, &machine);
    if (rc == 0 && machine) {
        forward_call(call, machine, "closed", NULL, 0);
        return;
    }
    if (rc == 0 && call->at.row->closed)
        call->at.row->closed(call);
    call->done(call, rc);
}

/* The row of the directory that call->at is made in or removed from; NULL when it is no member of a
 * collection but a fixed part of the tree. */
static const struct tree_row *parent_row(struct tree_call *call)
{
    const char *row = call->at.row->path;
    char path[TREE_PATH_MAX], *slash;
    struct tree_at above;

    if (!*row || row[strlen(row) - 1] != '}')
        return NULL;
    strcpy(path, call->at.path);
    slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    else
        *path = '\0';
    return tree_resolve(call->at.tree, path, &above) == 0 ? above.row : NULL;
}

/* Ends a making or removing that was not left for later. */
static void finish_member(struct tree_call *call, int rc)
{
    if (rc == TREE_LATER)
        return;
    if (call->member)
        finish(call, rc);
    else
        call->done(call, rc);
}

void tree_make(struct tree_call *call, int flags)
{
    const struct tree_row *dir = parent_row(call);
    int rc = dir && dir->make ? dir->make(call, flags)
                              : oerr_set(&call->err, -EPERM, "nothing can be made there");

    call->member = dir && dir->make;
    finish_member(call, rc);
}

void tree_chmod(struct tree_call *call)
{
    const struct tree_row *row = call->at.row;
    int rc = row->chmod
                 ? row->chmod(call)
                 : oerr_set(&call->err, -EPERM, "%s has the mode that it has", call->at.path);

    if (rc != TREE_LATER)
        call->done(call, rc);
}

void tree_remove(struct tree_call *call)
{
    const struct tree_row *dir = parent_row(call);
    int rc = dir && dir->drop ? dir->drop(call)
                              : oerr_set(&call->err, -EPERM, "nothing can be removed there");

    call->member = dir && dir->drop;
    finish_member(call, rc);
}

int tree_open(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    const char *machine = NULL;
    int rc;

    if (!at->row->open || (at->row->accmode && at->row->accmode != ONLY(flags & O_ACCMODE)))
        return -EACCES;
    rc = forward_home(at, &machine);
    if (rc < 0)
        return rc;
    return machine ? forward_open(at, machine, user, flags, out)
                   : at->row->open(at, user, flags, out);
}
