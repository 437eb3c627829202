/*
 * tree.h - the engine of /oneos: one table row per kind of file, and the calls that serve them.
 *
 * A row says what a file is (path, mode, the functions that find, list, show, write it, and the
 * words of the manual). The engine resolves paths, checks access, splits ctl lines into verbs and
 * forwards what another machine owns. FUSE, the web server and other machines all call it here.
 *
 * Everything but tree_resolve() runs on the core loop.
 */
#ifndef ONEOS_TREE_TREE_H
#define ONEOS_TREE_TREE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/stream.h"
#include "base/words.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_PATH_MAX    640
#define TREE_ARGS        3
#define TREE_USER_MAX    64
#define TREE_DEADLINE_MS 5000          /* for whatever concerns another machine */
#define TREE_TEXT_MAX    (1024 * 1024) /* one write of a ctl or text file */

struct tree;
struct tree_row;
struct tree_call;

/* Where a path leads: its row, and what its {x} components are bound to. */
struct tree_at {
    struct tree *tree;
    const struct tree_row *row;
    const char *v[TREE_ARGS]; /* point into `parts` */
    size_t n;
    const char *user;         /* who looks, by name, borrowed; NULL: nobody in particular */
    char path[TREE_PATH_MAX]; /* without a leading slash; "" is the root */
    char parts[TREE_PATH_MAX];
};

struct tree_attr {
    mode_t mode;
    char owner[TREE_USER_MAX]; /* a user name */
    uint64_t mtime_us;
};

/* A list of names, sorted by whoever needs it. */
struct tree_names {
    char **v;
    size_t n, cap;
    bool bad;
};
void tree_names_add(struct tree_names *names, const char *name);
void tree_names_free(struct tree_names *names);

/* One verb of a ctl file. run returns 0, -errno with words in call->err, or TREE_LATER when it
 * will call tree_call_done() by itself. argv[0] is the verb. */
#define TREE_LATER 1
struct tree_verb {
    const char *name;
    int min, max; /* words after the verb; max < 0: any number */
    int (*run)(struct tree_call *call, int argc, char **argv);
    const char *usage; /* the words after the verb, for messages and the manual */
    bool pipes;        /* an unquoted | among its words is for the verb to understand */
    bool raw;          /* the rest of its line is one word, as it was written: argv[1] */
};

/* One line of a ctl file: its words, and what stands behind the first, as it was written and
 * without the newline. A blank line has no words and no rest. */
struct tree_line {
    struct words words;
    char *rest;
    size_t used; /* bytes that the line took, with its newline */
};
/* Takes the first line of text. Errors as of words_split(); then there is nothing to free. */
int tree_line_read(struct tree_line *line, const char *text, size_t len, struct oerr *e);
void tree_line_free(struct tree_line *line);

enum tree_kind {
    TREE_DIR,
    TREE_LINK,   /* show gives the target */
    TREE_TEXT,   /* show; with save also writable */
    TREE_CTL,    /* verbs; show (optional) is what a read gives before any verb has answered */
    TREE_ERROR,  /* the words of the last failed write to the sibling ctl */
    TREE_STREAM, /* open */
    TREE_CLONE,  /* clone: opening it for reading and writing makes a thing */
};

#define ONLY(accmode) ((accmode) + 1)

struct tree_row {
    const char *path; /* "{x}" binds one component */
    enum tree_kind kind;
    mode_t mode; /* permission bits */
    bool own;    /* ctl: writing is for the owner and root. The mode lets everybody open it, so that
                  * the others get    EPERM and words in `error`, which the kernel's own EACCES could
                  * not    give. */

    bool moves; /* link: it may lead elsewhere the next time, so nobody may remember it */

    /* Does it exist? Fills owner, mtime, and may change the mode. Rows without it inherit the
     * answer of the nearest row above that has one. 0 or -ENOENT. */
    int (*find)(const struct tree_at *at, struct tree_attr *attr);
    int (*list)(const struct tree_at *at, struct tree_names *names); /* names of a {x} below */
    int (*show)(const struct tree_at *at, struct obuf *out);
    const struct tree_verb *verbs; /* ended by a row without a name */
    /* The whole text, as it is after a write that ends a line, and at the close. -EINPROGRESS: it
     * is not whole yet, which is -EINVAL at the close only. */
    int (*save)(struct tree_call *call, const char *text, size_t n);
    int (*open)(const struct tree_at *at, const char *user, int flags, struct stream **out);
    int accmode; /* stream: ONLY(O_RDONLY) and the like where it takes but one; 0: any */
    /* On success call->out holds the name, call->made its ctl's path. It may carry out the lines
     * that came along (text, from pos to len) itself: then it moves pos behind them. */
    int (*clone)(struct tree_call *call);
    void (*closed)(struct tree_call *call); /* ctl: the handle that a clone gave was closed */

    /* Directory only: makes or removes an entry ({x} bound in `at`, which is the entry's). May be
     * TREE_LATER. */
    int (*make)(struct tree_call *call, int flags); /* call->mode: the permission bits */
    int (*drop)(struct tree_call *call);

    int (*chmod)(struct tree_call *call); /* takes call->mode over; may be TREE_LATER */

    /* The machine that must answer show, ctl, save, open, clone; NULL row member: this one. -errno
     * when there is none. */
    int (*home)(const struct tree_at *at, const char **machine);
    const char *help;
};

/* One write, read, making or removing under way: owned by the engine until `done` has been called.
 */
typedef void tree_done_fn(struct tree_call *call, int rc);
struct tree_call {
    struct tree_at at;
    char user[TREE_USER_MAX]; /* who asks, by name */
    mode_t mode;              /* make, chmod: the permission bits */
    struct oerr err;
    struct obuf out;          /* the text read, or what a verb answers */
    char made[TREE_PATH_MAX]; /* the ctl of what clone made */
    json_t *record;     /* what clone made, for the machine that asked; the engine's to free */
    tree_done_fn *done; /* called once; frees nothing: tree_call_free() afterwards */
    void *arg;          /* the caller's */

    char machine[64]; /* private to the engine: who was asked */
    char *text;       /* the lines to run: those from pos on are still to be run */
    size_t len, pos;
    const bool *op;               /* while a verb runs: which of its words are operators */
    const struct tree_verb *verb; /* ... and the verb; private to the engine */
    bool member;                  /* it makes or removes a member of a folder; private */
    void *scratch;                /* a verb's own, between TREE_LATER and done */
};

/* How rows reach what they show, and how the engine reaches other machines. */
struct tree_env {
    const char *self;  /* this machine's id */
    void *system;      /* the rows' context: at->tree -> tree_system() */
    const char *owner; /* the user that the daemon runs as */

    /* Asks a machine for an operation on its tree (a JSON object); answers through done. Takes
     * body. */
    int (*ask)(void *system, const char *machine, json_t *body, unsigned deadline_ms,
               void (*done)(void *arg, int rc, json_t *reply, const char *text), void *arg);
    /* A clone there made this: it must be known here before its maker uses it. */
    void (*made)(void *system, const char *machine, const json_t *record);
    /* Opens a stream there: spec as tree_serve_open() takes it. */
    int (*open)(void *system, const char *machine, const char *spec, struct stream **out);
};

/* rows: tables ended by a row without a path; NULL-ended list of tables. */
int tree_create(struct tree **out, const struct tree_row *const *tables, const struct tree_env *env,
                struct oerr *e);
void tree_destroy(struct tree *t);
void *tree_system(const struct tree_at *at);
const char *tree_self(const struct tree *t);

/* Finds the row of a path, by form only: -ENOENT, -ENAMETOOLONG. Any thread. */
int tree_resolve(struct tree *t, const char *path, struct tree_at *at);

/* Resolves and asks whether it exists. */
int tree_stat(struct tree *t, const char *path, struct tree_at *at, struct tree_attr *attr);

/* The same as one user sees it: what a row with find shows may depend on at->user. */
int tree_stat_as(struct tree *t, const char *path, const char *user, struct tree_at *at,
                 struct tree_attr *attr);

/* May this user do it? want: bits of R_OK, W_OK, X_OK. 0 or -EACCES. */
int tree_access(const struct tree_attr *attr, const char *user, int want);

/* The names in a directory, fixed ones and those of {x}. */
int tree_list(const struct tree_at *at, struct tree_names *names);

/* A call: fill at, user, done, arg; then start it with one of these. done may be called before
 * they return. They check access to at. */
struct tree_call *tree_call_new(const struct tree_at *at, const char *user, tree_done_fn *done,
                                void *arg);
void tree_call_free(struct tree_call *call);
void tree_read(struct tree_call *call);                              /* out: the text */
void tree_write(struct tree_call *call, const char *text, size_t n); /* ctl: verbs; text: save */
/* text: lines for the ctl of what is made, run as if they were written next; made is filled also
 * when one of them fails. n 0: none. */
void tree_clone(struct tree_call *call, const char *text, size_t n);
void tree_closed(struct tree_call *call);          /* the handle of what was cloned was closed */
void tree_make(struct tree_call *call, int flags); /* with call->mode */
void tree_chmod(struct tree_call *call);           /* to call->mode */
void tree_remove(struct tree_call *call);

/* A verb, save, make, drop, chmod or clone that answered TREE_LATER has ended. Never from inside
 * it. */
void tree_call_done(struct tree_call *call, int rc);

/* For a raw verb that can do several lines in one go, while it runs: the rest of the next line when
 * that has the same verb, the caller's to free, else NULL; and to take that line off the call. */
char *tree_call_peek(const struct tree_call *call, size_t *used);
void tree_call_take(struct tree_call *call, size_t used);

/* Opens a stream, here or where it lives. flags as for open(2). */
int tree_open(const struct tree_at *at, const char *user, int flags, struct stream **out);

/* What other machines ask of this one's rows: a request body, answered through done with a
 * reply (the receiver's), or -errno and words. */
void tree_serve(struct tree *t, const json_t *body,
                void (*done)(void *arg, int rc, json_t *reply, const char *text), void *arg);
int tree_serve_open(struct tree *t, const char *spec, struct stream **out, int *accmode);

/* All rows in order, for the walk test and the manual. i from 0; NULL behind the last. */
const struct tree_row *tree_row_at(const struct tree *t, size_t i);

/* A one-line failure of a ctl write to `path`, for its sibling `error`. */
void tree_note_error(struct tree *t, const char *path, const char *text);

#endif
