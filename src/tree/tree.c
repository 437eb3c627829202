/*
 * tree.c - compiles the rows into a tree of path components, and answers what needs no call:
 * resolve, stat, access, list.
 *
 * Invariants: every component of a row's path has a row of its own (a directory above a file), a
 * directory has at most one {x} below it, and fixed names win over it. The compiled tree never
 * changes after tree_create(), so resolving is safe on any thread.
 */
#include "tree/tree_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct comp {
    const char *name; /* in row->path; NULL: binds anything */
    size_t len;
    const struct tree_row *row;
    const struct tree_row *finder; /* the nearest row at or above that has find */
    struct comp *child, *next;     /* children in the order of the tables */
};

static void comp_free(struct comp *c)
{
    while (c) {
        struct comp *next = c->next;

        comp_free(c->child);
        free(c);
        c = next;
    }
}

static struct comp *child_named(const struct comp *dir, const char *name, size_t len)
{
    for (struct comp *c = dir->child; c; c = c->next)
        if (c->name && name ? c->len == len && memcmp(c->name, name, len) == 0 : c->name == name)
            return c;
    return NULL;
}

static int add_row(struct tree *t, const struct tree_row *row, struct oerr *e)
{
    struct comp *dir = t->root, *c, **end;
    const char *p = row->path, *last = strrchr(p, '/');
    size_t args = 0;

    for (const char *slash; *p && (slash = strchr(p, '/')) != NULL; p = slash + 1) {
        dir = child_named(dir, *p == '{' ? NULL : p, (size_t)(slash - p));
        if (!dir)
            return oerr_set(e, -EINVAL, "row %s has no row for the directory above it", row->path);
        args += *p == '{';
    }
    if (last ? dir->row->kind != TREE_DIR : false)
        return oerr_set(e, -EINVAL, "row %s lies below a row that is no directory", row->path);
    if (args + (*p == '{') > TREE_ARGS)
        return oerr_set(e, -EINVAL, "row %s binds too many components", row->path);
    if (*p == '\0') {
        dir->row = row;
        dir->finder = row->find ? row : NULL;
        return 0;
    }
    if (child_named(dir, *p == '{' ? NULL : p, strlen(p)))
        return oerr_set(e, -EEXIST, "row %s stands twice", row->path);
    c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->name = *p == '{' ? NULL : p;
    c->len = strlen(p);
    c->row = row;
    c->finder = row->find ? row : dir->finder;
    for (end = &dir->child; *end; end = &(*end)->next)
        ;
    *end = c;
    return 0;
}

int tree_create(struct tree **out, const struct tree_row *const *tables, const struct tree_env *env,
                struct oerr *e)
{
    struct tree *t = calloc(1, sizeof *t);
    int rc = 0;

    if (!t)
        return -ENOMEM;
    t->env = *env;
    t->root = calloc(1, sizeof *t->root);
    if (!t->root)
        rc = -ENOMEM;
    for (; rc == 0 && *tables; tables++)
        for (const struct tree_row *row = *tables; rc == 0 && row->path; row++) {
            const struct tree_row **rows = realloc(t->rows, (t->n_rows + 1) * sizeof *rows);

            if (!rows) {
                rc = -ENOMEM;
                break;
            }
            t->rows = rows;
            rows[t->n_rows++] = row;
            rc = add_row(t, row, e);
        }
    if (rc == 0 && !t->root->row)
        rc = oerr_set(e, -EINVAL, "the tables have no row for the root");
    if (rc < 0) {
        tree_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tree_destroy(struct tree *t)
{
    if (!t)
        return;
    errors_free(t);
    comp_free(t->root);
    free(t->rows);
    free(t);
}

void *tree_system(const struct tree_at *at)
{
    return at->tree->env.system;
}

const char *tree_self(const struct tree *t)
{
    return t->env.self;
}

const struct tree_row *tree_row_at(const struct tree *t, size_t i)
{
    return i < t->n_rows ? t->rows[i] : NULL;
}

/* Walks the compiled tree; NULL when no row fits. */
static const struct comp *walk(struct tree *t, const char *path, struct tree_at *at)
{
    const struct comp *c = t->root;
    char *save = NULL;

    at->tree = t;
    at->n = 0;
    at->user = NULL;
    strcpy(at->path, path);
    strcpy(at->parts, path);
    for (char *p = strtok_r(at->parts, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
        const struct comp *fixed = child_named(c, p, strlen(p));

        if (!fixed && (fixed = child_named(c, NULL, 0)) != NULL)
            at->v[at->n++] = p;
        if (!fixed)
            return NULL;
        c = fixed;
    }
    at->row = c->row;
    return c;
}

int tree_resolve(struct tree *t, const char *path, struct tree_at *at)
{
    if (strlen(path) >= TREE_PATH_MAX)
        return -ENAMETOOLONG;
    return walk(t, path, at) ? 0 : -ENOENT;
}

static const mode_t kind_type[] = {
    [TREE_DIR] = S_IFDIR,   [TREE_LINK] = S_IFLNK,   [TREE_TEXT] = S_IFREG,  [TREE_CTL] = S_IFREG,
    [TREE_ERROR] = S_IFREG, [TREE_STREAM] = S_IFREG, [TREE_CLONE] = S_IFREG,
};

mode_t tree_type(const struct tree_row *row)
{
    return kind_type[row->kind];
}

int tree_stat(struct tree *t, const char *path, struct tree_at *at, struct tree_attr *attr)
{
    return tree_stat_as(t, path, NULL, at, attr);
}

int tree_stat_as(struct tree *t, const char *path, const char *user, struct tree_at *at,
                 struct tree_attr *attr)
{
    const struct comp *c;

    if (strlen(path) >= TREE_PATH_MAX)
        return -ENAMETOOLONG;
    c = walk(t, path, at);
    if (!c)
        return -ENOENT;
    at->user = user;
    *attr = (struct tree_attr){ .mode = tree_type(c->row) | c->row->mode };
    snprintf(attr->owner, sizeof attr->owner, "%s", t->env.owner);
    if (c->finder) {
        int rc = c->finder->find(at, attr);

        if (rc < 0)
            return rc;
        if (c->finder != c->row)
            attr->mode = tree_type(c->row) | c->row->mode;
    }
    errors_stat(t, at, attr);
    return 0;
}

int tree_access(const struct tree_attr *attr, const char *user, int want)
{
    int bits = strcmp(user, attr->owner) == 0 ? attr->mode >> 6 : attr->mode;

    if (strcmp(user, "root") == 0)
        return 0;
    return (want & ~bits & 7) ? -EACCES : 0;
}

void tree_names_add(struct tree_names *names, const char *name)
{
    if (names->bad)
        return;
    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 16;
        char **v = realloc(names->v, cap * sizeof *v);

        if (!v) {
            names->bad = true;
            return;
        }
        names->v = v;
        names->cap = cap;
    }
    names->v[names->n] = strdup(name);
    if (names->v[names->n])
        names->n++;
    else
        names->bad = true;
}

void tree_names_free(struct tree_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i]);
    free(names->v);
    *names = (struct tree_names){ 0 };
}

int tree_list(const struct tree_at *at, struct tree_names *names)
{
    struct tree_at again;
    const struct comp *c = walk(at->tree, at->path, &again);

    if (!c)
        return -ENOENT;
    if (c->row->kind != TREE_DIR)
        return -ENOTDIR;
    for (const struct comp *child = c->child; child; child = child->next) {
        char path[2 * TREE_PATH_MAX];
        struct tree_attr attr;

        if (!child->name)
            continue;
        /* A fixed name may come and go too, when its own row has a find. */
        snprintf(path, sizeof path, "%s%s%.*s", at->path, *at->path ? "/" : "", (int)child->len,
                 child->name);
        if (!child->row->find || tree_stat_as(at->tree, path, at->user, &again, &attr) == 0)
            tree_names_add(names, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    }
    if (c->row->list) {
        int rc = c->row->list(at, names);

        if (rc < 0)
            return rc;
    }
    return names->bad ? -ENOMEM : 0;
}
