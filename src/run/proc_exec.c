/*
 * proc_exec.c - what a process executes: the words after `exec`, or a plan of stages with their
 * redirections; and the environment that both get.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define LOGIN_MS 2000

/* Reading the password file for each of a thousand processes costs more than their start. */
static const struct login *login_of(struct procs *p, const char *user)
{
    struct login *l = &p->login;
    struct passwd *pw;

    if (strcmp(l->user, user) == 0 && now_ms() < l->until_ms)
        return l;
    pw = getpwnam(user);
    l->known = pw != NULL;
    snprintf(l->user, sizeof l->user, "%s", user);
    snprintf(l->home, sizeof l->home, "%s", pw ? pw->pw_dir : "/");
    snprintf(l->shell, sizeof l->shell, "%s", pw && *pw->pw_shell ? pw->pw_shell : "/bin/sh");
    l->home_ok = pw && access(pw->pw_dir, X_OK) == 0;
    l->until_ms = now_ms() + LOGIN_MS;
    return l;
}

/* Copies the words into stages: an operator ends one. */
static int take_argv(struct proc *proc, int argc, char **argv, const bool *op, struct oerr *e)
{
    proc->argv = calloc((size_t)argc + 2, sizeof *proc->argv);
    if (!proc->argv)
        return -ENOMEM;
    for (int i = 0; i < argc; i++) {
        bool pipe = op && op[i];

        if (pipe && (i == 0 || i == argc - 1 || op[i - 1]))
            return oerr_set(e, -EINVAL, "a command is missing beside '|'");
        if (!pipe && !*argv[i] && (i == 0 || (op && op[i - 1])))
            return oerr_set(e, -EINVAL, "the command's name is empty");
        if (!pipe && !(proc->argv[i] = strdup(argv[i]))) {
            proc->argc = (size_t)i;
            return -ENOMEM;
        }
        proc->argc = (size_t)i + 1;
    }
    proc->argc++; /* the NULL that ends the last stage */
    return 0;
}

void proc_drop_argv(struct proc *proc)
{
    for (size_t i = 0; i < proc->argc; i++)
        free(proc->argv[i]);
    free(proc->argv);
    free(take_ptr(proc->shown));
    proc->argv = NULL;
    proc->argc = 0;
}

static void describe(struct proc *proc)
{
    struct obuf text = { 0 };

    proc_show_cmdline(proc, &text);
    if (text.len && text.p[text.len - 1] == '\n')
        text.p[text.len - 1] = '\0';
    for (char *c = text.p; c && *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
    snprintf(proc->rec.cmdline, sizeof proc->rec.cmdline, "%s", text.p ? text.p : "");
    obuf_free(&text);
}

/* The environment of a login, then what its maker asked for. */
static int build_env(struct proc *proc, const struct login *l, struct obuf *mem, char ***out)
{
    const struct procs *p = proc->procs;
    const char *const login[][2] = {
        { "PATH", PROCS_PATH },
        { "HOME", l->home },
        { "USER", proc->rec.user },
        { "LOGNAME", proc->rec.user },
        { "SHELL", l->shell },
        { "ONEOS_ID", p->self },
        { "ONEOS_PROC", proc->rec.name },
        { "ONEOS_MOUNT", p->mount },
        { "ONEOS_JOB", proc->tag.job },
    };
    size_t n = 0, fixed = ARRAY_SIZE(login) - !*proc->tag.job;
    char **env, *at;

    for (size_t i = 0; i < fixed; i++) {
        obuf_printf(mem, "%s=%s", login[i][0], login[i][1]);
        obuf_put(mem, "", 1);
    }
    env = calloc(fixed + proc->n_env + 1, sizeof *env);
    if (obuf_check(mem) < 0 || !env) {
        free(env);
        return -ENOMEM;
    }
    at = mem->p;
    for (size_t f = 0; f < fixed; f++, at += strlen(at) + 1) {
        size_t key = strcspn(at, "=") + 1;
        bool given = false;

        for (size_t i = 0; i < proc->n_env; i++)
            given = given || strncmp(proc->env[i], at, key) == 0;
        if (!given)
            env[n++] = at;
    }
    for (size_t i = 0; i < proc->n_env; i++)
        env[n++] = proc->env[i];
    *out = env;
    return 0;
}

/* Hands it to oneos-init: what is said in spawn, and what is the same for all. */
static int spawn(struct proc *proc, struct init_spawn *spawn, proc_done_fn *done, void *arg,
                 struct oerr *e)
{
    struct procs *p = proc->procs;
    const struct login *l = login_of(p, proc->rec.user);
    cleanup_free char **env = NULL;
    struct obuf mem = { 0 };
    int rc = build_env(proc, l, &mem, &env);

    if (rc == 0) {
        spawn->number = proc->rec.number;
        spawn->env = (const char *const *)env;
        spawn->cwd = proc->cwd ? proc->cwd : l->home_ok ? l->home : "/";
        spawn->user = strcmp(proc->rec.user, p->owner) == 0 ? NULL : proc->rec.user;
        spawn->nice = proc->nice;
        proc->starting = true;
        proc->done = done;
        proc->done_arg = arg;
        rc = initc_spawn(p->init, spawn, proc_started, proc, e);
    }
    obuf_free(&mem);
    if (rc < 0) {
        proc->starting = false;
        proc_drop_argv(proc);
    }
    return rc;
}

static void now_running(struct proc *proc)
{
    proc->rec.state = PROC_RUNNING;
    proc->rec.started_us = proc->rec.changed_us = wall_us();
}

int proc_exec(struct proc *proc, int argc, char **argv, const bool *op, proc_done_fn *done,
              void *arg, struct oerr *e)
{
    struct init_spawn s = { .pty = proc->pty, .rows = proc->rows, .cols = proc->cols };
    int rc = proc_only_new(proc, e);

    if (rc < 0)
        return rc;
    rc = take_argv(proc, argc, argv, op, e);
    if (rc < 0) {
        proc_drop_argv(proc);
        return rc;
    }
    describe(proc);
    s.argv = (const char *const *)proc->argv;
    rc = spawn(proc, &s, done, arg, e);
    if (rc == 0)
        now_running(proc);
    return rc;
}

/* ---- plans */

static size_t count(char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

static void show_redirect(struct obuf *out, const char *sign, const char *path)
{
    if (!path)
        return;
    obuf_printf(out, " %s ", sign);
    obuf_quote(out, path);
}

/* As it could be typed, but for its variables: everybody reads this, and they may hold secrets. */
static int show_plan(struct proc *proc, const struct proc_plan *plan)
{
    struct obuf out = { 0 };

    for (size_t i = 0; i < plan->n; i++) {
        const struct proc_stage *s = &plan->stages[i];

        obuf_puts(&out, i ? " | " : "");
        for (size_t k = 0; s->argv[k]; k++) {
            obuf_puts(&out, k ? " " : "");
            obuf_quote(&out, s->argv[k]);
        }
        show_redirect(&out, "<", s->io.in);
        show_redirect(&out, s->io.append ? ">>" : ">", s->io.out);
        show_redirect(&out, s->io.err_append ? "2>>" : "2>", s->io.err);
    }
    obuf_puts(&out, "\n");
    if (obuf_check(&out) < 0) {
        obuf_free(&out);
        return -ENOMEM;
    }
    proc->shown = out.p;
    return 0;
}

static int check_plan(const struct proc_plan *plan, struct oerr *e)
{
    if (!plan->n)
        return oerr_set(e, -EINVAL, "a process needs a command");
    for (size_t i = 0; i < plan->n; i++)
        if (!count(plan->stages[i].argv) || !*plan->stages[i].argv[0])
            return oerr_set(e, -EINVAL, "command %zu of the pipeline is empty", i + 1);
    if (plan->cwd && plan->cwd[0] != '/')
        return oerr_set(e, -EINVAL, "cwd must be an absolute path, not '%.100s'", plan->cwd);
    return 0;
}

/* What of the plan outlives the call. */
static int take_plan(struct proc *proc, const struct proc_plan *plan, struct oerr *e)
{
    int rc = 0;

    proc->tag = plan->tag;
    proc->planned = true;
    proc->leased = plan->leased;
    proc->no_stdin = plan->no_stdin || plan->stages[0].io.in;
    snprintf(proc->rec.job, sizeof proc->rec.job, "%s", plan->tag.job);
    if (plan->cwd && !(proc->cwd = strdup(plan->cwd)))
        return -ENOMEM;
    for (size_t i = 0; rc == 0 && i < count(plan->env); i++)
        rc = proc_env_add(proc, plan->env[i], e);
    if (rc == 0 && plan->wire_out)
        rc = proc_out_wire(proc, OUT_STDOUT);
    if (rc == 0 && plan->wire_err)
        rc = proc_out_wire(proc, OUT_STDERR);
    if (rc == 0)
        rc = show_plan(proc, plan);
    if (rc == 0)
        describe(proc);
    return rc;
}

static int spawn_plan(struct proc *proc, const struct proc_plan *plan, proc_done_fn *done,
                      void *arg, struct oerr *e)
{
    cleanup_free struct init_redirect *io = calloc(plan->n, sizeof *io);
    cleanup_free const char *const **env = calloc(plan->n, sizeof *env);
    cleanup_free const char **argv = NULL;
    struct init_spawn s = { .redirects = io,
                            .stage_env = env,
                            .memory = plan->memory,
                            .cpu_milli = plan->cpu_milli,
                            .leased = plan->leased,
                            .reap_all = true };
    size_t words = 1, at = 0;

    for (size_t i = 0; i < plan->n; i++)
        words += count(plan->stages[i].argv) + 1;
    argv = calloc(words, sizeof *argv);
    if (!io || !env || !argv)
        return -ENOMEM;
    for (size_t i = 0; i < plan->n; i++, at++) {
        for (size_t k = 0; plan->stages[i].argv[k]; k++)
            argv[at++] = plan->stages[i].argv[k];
        io[i] = plan->stages[i].io;
        env[i] = (const char *const *)plan->stages[i].env;
    }
    if (plan->no_stdin && !io[0].in)
        io[0].in = "/dev/null";
    s.argv = argv;
    return spawn(proc, &s, done, arg, e);
}

int procs_start(struct procs *p, const struct proc_plan *plan, struct proc **out,
                proc_done_fn *done, void *arg, struct oerr *e)
{
    struct proc *proc;
    int rc = check_plan(plan, e);

    if (rc == 0)
        rc = procs_make(p, plan->user, &proc, e);
    if (rc < 0)
        return rc;
    rc = take_plan(proc, plan, e);
    now_running(proc);
    /* The next daemon must know whose it is, also when this one dies in a moment. */
    if (rc == 0 && *plan->tag.job && (rc = proc_save(proc)) < 0)
        oerr_set(e, rc, "%s/%u.json cannot be written: %s", p->dir, proc->rec.number,
                 strerror(-rc));
    if (rc == 0)
        rc = spawn_plan(proc, plan, done, arg, e);
    if (rc < 0)
        proc_destroy(proc, true);
    else if (out)
        *out = proc;
    return rc;
}
