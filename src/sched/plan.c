/*
 * plan.c - cuts a run line into groups and joins them.
 *
 * Three passes: stages into groups, their files, the wires of the pipeline. Everything follows from
 * the arguments, so that each machine which reads the record makes the same plan.
 */
#include "sched/plan.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define ROOT "/oneos"

/* ---- paths */

/* Takes the last name of an absolute path away. */
static void drop_name(struct obuf *b, size_t begin)
{
    if (b->len == begin)
        return;
    while (b->p[b->len - 1] != '/')
        b->len--;
    b->p[--b->len] = '\0';
}

/* Appends path without empty names and `.`; with dots also without `..`. */
static void clean_path(struct obuf *b, const char *path, bool dots)
{
    size_t begin = b->len;

    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        size_t n = strcspn(path, "/");

        if (dots && n == 2 && memcmp(path, "..", 2) == 0) {
            drop_name(b, begin);
        } else if (n != 1 || *path != '.') {
            obuf_puts(b, "/");
            obuf_put(b, path, n);
        }
        path += n;
    }
    if (b->len == begin || path[-1] == '/')
        obuf_puts(b, "/");
}

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool shared(const char *path, struct obuf *cleaned)
{
    clean_path(cleaned, path, true);
    return cleaned->p && below(cleaned->p, ROOT);
}

bool plan_shared(const char *path)
{
    struct obuf b = { 0 };
    bool is = *path == '/' && shared(path, &b);

    obuf_free(&b);
    return is;
}

void plan_path(const char *path, const char *mount, struct obuf *out)
{
    struct obuf b = { 0 };

    if (*path == '/' && shared(path, &b)) {
        obuf_puts(out, mount);
        obuf_puts(out, b.p + strlen(ROOT));
    } else {
        obuf_puts(out, path);
    }
    out->bad |= b.bad;
    obuf_free(&b);
}

/* What every machine has, and what is the process's own: nobody means those of another machine. */
static bool is_everywhere(const char *path)
{
    static const char *const paths[] = {
        ROOT,          "/dev/null",   "/dev/zero",  "/dev/full", "/dev/random", "/dev/urandom",
        "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/fd",   "/proc/self",
    };

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (below(path, paths[i]))
            return true;
    return false;
}

/* The path that the line names, as a child opens it. The `..` of other paths than those under
 * /oneos is left to the kernel, which knows the links. */
static char *absolute(const char *path, const char *cwd)
{
    struct obuf joined = { 0 }, plain = { 0 }, full = { 0 };

    if (*path != '/' && !cwd)
        return strdup(path);
    if (*path != '/')
        obuf_printf(&joined, "%s/", cwd);
    obuf_puts(&joined, path);
    clean_path(&plain, joined.bad ? "/" : joined.p, false);
    clean_path(&full, joined.bad ? "/" : joined.p, true);
    if (joined.bad || plain.bad || full.bad) {
        obuf_free(&plain);
        obuf_free(&full);
    } else {
        obuf_free(below(plain.p, ROOT) || below(full.p, ROOT) ? &plain : &full);
    }
    obuf_free(&joined);
    return plain.p ? plain.p : full.p;
}

/* ---- building */

static char cat_name[] = "cat";
static char *cat_argv[] = { cat_name, NULL };
static char *no_env[] = { NULL };

struct build {
    struct plan *plan;
    const struct run_line *line;
    char *const *on;
    const char *by, *cwd;
    size_t n_paths;
};

static struct plan_group *add_group(struct plan *p, const char *machine, size_t first)
{
    struct plan_group *g = &p->groups[p->n++];

    *g = (struct plan_group){ .machine = machine,
                              .first = first,
                              .n = 1,
                              .in_from = PLAN_NONE,
                              .out_to = PLAN_NONE,
                              .err_to = PLAN_NONE };
    return g;
}

/* The file as the child opens it, NULL without memory; *wired: on another machine. */
static const char *resolve(struct build *b, const char *file, const char *machine, bool *wired)
{
    char *path = absolute(file, b->cwd);

    if (!path)
        return NULL;
    b->plan->paths[b->n_paths++] = path;
    *wired = strcmp(machine, b->by) != 0 && !is_everywhere(path);
    return path;
}

/* The `cat` that opens a file on the submitter's machine; the number of its group. */
static int add_file(struct build *b, struct plan_proc **proc)
{
    struct plan *p = b->plan;

    *proc = &p->procs[p->n_procs];
    **proc = (struct plan_proc){ .argv = cat_argv, .env = no_env };
    add_group(p, b->by, p->n_procs++)->file = true;
    return (int)p->n - 1;
}

static bool err_wired(struct build *b, size_t stage, int *rc)
{
    struct plan_proc *proc = &b->plan->procs[stage];
    const char *file = b->line->stages[stage].err;
    bool wired = false;

    if (!file)
        return false;
    proc->io.err = resolve(b, file, b->on[stage], &wired);
    proc->io.err_append = b->line->stages[stage].err_append;
    if (!proc->io.err)
        *rc = -ENOMEM;
    return wired;
}

/* Stages into groups; alone[i]: the errors of stage i take a wire. */
static int cut(struct build *b, bool *alone)
{
    struct plan *p = b->plan;
    int rc = 0;

    for (size_t i = 0; i < b->line->n; i++) {
        const struct run_stage *s = &b->line->stages[i];

        p->procs[i] = (struct plan_proc){ .argv = s->argv, .env = s->n_env ? s->env : no_env };
        alone[i] = err_wired(b, i, &rc);
        if (i == 0 || alone[i - 1] || alone[i] || strcmp(b->on[i - 1], b->on[i]) != 0)
            add_group(p, b->on[i], i);
        else
            p->groups[p->n - 1].n++;
    }
    p->n_procs = b->line->n;
    return rc;
}

static void join(struct plan *p, bool no_input)
{
    for (size_t i = 1; i < p->n; i++) {
        p->groups[i - 1].out_to = (int)i;
        p->groups[i].in_from = (int)i - 1;
    }
    p->stdin_group = no_input ? PLAN_NONE : 0;
    p->stdout_group = p->status_group = (int)p->n - 1;
}

static int add_input(struct build *b)
{
    const char *file = b->line->stages[0].in, *path;
    struct plan *p = b->plan;
    struct plan_proc *cat;
    bool wired;
    int g;

    if (!file)
        return 0;
    p->stdin_group = PLAN_NONE;
    if (!(path = resolve(b, file, b->on[0], &wired)))
        return -ENOMEM;
    if (!wired) {
        p->procs[0].io.in = path;
        return 0;
    }
    g = add_file(b, &cat);
    cat->io.in = path;
    p->groups[g].out_to = 0;
    p->groups[0].in_from = g;
    return 0;
}

static int add_output(struct build *b)
{
    size_t last = b->line->n - 1;
    const struct run_stage *s = &b->line->stages[last];
    struct plan *p = b->plan;
    struct plan_proc *proc = &p->procs[last];
    const char *path;
    bool wired;
    int g;

    if (!s->out)
        return 0;
    p->stdout_group = PLAN_NONE;
    if (!(path = resolve(b, s->out, b->on[last], &wired)))
        return -ENOMEM;
    if (wired) {
        g = add_file(b, &proc);
        p->groups[g].in_from = p->status_group;
        p->groups[p->status_group].out_to = g;
    }
    proc->io.out = path;
    proc->io.append = s->append;
    return 0;
}

/* A stage whose errors take a wire is alone in its group. */
static void add_errors(struct build *b, const bool *alone)
{
    struct plan *p = b->plan;
    size_t stages = p->n; /* and files, whose errors take none */

    for (size_t i = 0; i < stages; i++) {
        struct plan_proc *proc = &p->procs[p->groups[i].first], *cat;
        int g;

        if (p->groups[i].file || !alone[p->groups[i].first])
            continue;
        g = add_file(b, &cat);
        cat->io.out = proc->io.err;
        cat->io.append = proc->io.err_append;
        proc->io.err = NULL;
        proc->io.err_append = false;
        p->groups[g].in_from = (int)i;
        p->groups[g].from_err = true;
        p->groups[i].err_to = g;
    }
}

static int check(const struct build *b, struct oerr *e)
{
    if (b->line->n == 0)
        return oerr_set(e, -EINVAL, "the job has no run line: write run LINE into its ctl");
    if (!b->by)
        return oerr_set(e, -EINVAL, "the job does not say which machine it was submitted on");
    for (size_t i = 0; i < b->line->n; i++)
        if (!b->on || !b->on[i])
            return oerr_set(e, -EINVAL, "command %zu of the run line has no machine", i + 1);
    return 0;
}

int plan_make(struct plan *out, const struct job_spec *spec, char *const *on, const char *by,
              const char *cwd, struct oerr *e)
{
    struct build b = {
        .plan = out, .line = &spec->line, .on = on, .by = by, .cwd = spec->cwd ? spec->cwd : cwd
    };
    size_t n = spec->line.n, files = n + 2;
    bool alone[RUN_STAGES_MAX];
    int rc;

    *out = (struct plan){ 0 };
    rc = check(&b, e);
    if (rc < 0)
        return rc;
    out->groups = calloc(n + files, sizeof *out->groups);
    out->procs = calloc(n + files, sizeof *out->procs);
    out->paths = calloc(files + 1, sizeof *out->paths);
    rc = out->groups && out->procs && out->paths ? cut(&b, alone) : -ENOMEM;
    if (rc == 0) {
        join(out, spec->no_input);
        rc = add_input(&b);
    }
    if (rc == 0)
        rc = add_output(&b);
    if (rc == 0)
        add_errors(&b, alone);
    else
        plan_free(out);
    return rc;
}

void plan_free(struct plan *plan)
{
    for (char **path = plan->paths; path && *path; path++)
        free(*path);
    free(plan->paths);
    free(plan->groups);
    free(plan->procs);
    *plan = (struct plan){ 0 };
}
