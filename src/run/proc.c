/*
 * proc.c - one process of this machine: from `clone` to its end.
 *
 *   new      made; cwd, env, tty may be set; stdin may be written, it waits
 *   running  oneos-init has it; stdin is pumped into it (sink), its output out of it (spool)
 *   stopped  the same, after a stop
 *   ended    its end is saved and told; its output stays readable
 *
 * A stdin whose remote writer was lost must not look like its end: the process is killed, and
 * its cause is `lost`.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utlist.h>

#define STDIN_CAPACITY (256 * 1024)
#define DEFAULT_PATH   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const struct proc_rec *proc_rec(const struct proc *p)
{
    return &p->rec;
}

void proc_changed(struct proc *proc)
{
    proc->rec.changed_us = wall_us();
    proctab_set(proc->procs->tab, &proc->rec);
    if (proc->rec.state != PROC_NEW)
        proc_to_save(proc);
}

/* What the data loop has to tell; the process may be gone when the core hears of it. */
struct news {
    struct task task;
    struct procs *procs;
    uint32_t number;
    void (*tell)(struct proc *);
};

static void run_news(struct task *t)
{
    struct news *n = container_of(t, struct news, task);
    struct proc *proc = procs_find(n->procs, n->number);

    if (proc)
        n->tell(proc);
    free(n);
}

static void post_news(struct proc *proc, void (*tell)(struct proc *))
{
    struct news *n = malloc(sizeof *n);

    if (!n) {
        log_error("procs", "%s: no memory to tell of its stdio", proc->rec.name);
        return;
    }
    *n = (struct news){
        .task.run = run_news, .procs = proc->procs, .number = proc->rec.number, .tell = tell
    };
    loop_post(proc->procs->core, &n->task);
}

static void tell_stdin_ended(struct proc *proc)
{
    initc_closed(proc->procs->init, proc->rec.number, INITC_IN);
}

/* oneos-init's own descriptor stays open, so that no end of file comes before the signal. */
static void tell_stdin_broken(struct proc *proc)
{
    if (proc->rec.state == PROC_ENDED)
        return;
    proc->stdin_broken = true;
    log_warn("procs", "%s: the writer of its stdin was lost; it is killed", proc->rec.name);
    proc_signal(proc, SIGKILL, NULL);
}

/* Data loop. */
static void on_stdin_end(void *arg, bool broken)
{
    post_news(arg, broken ? tell_stdin_broken : tell_stdin_ended);
}

static void on_drained(void *arg)
{
    post_news(arg, proc_settle);
}

int proc_create(struct proc **out, struct procs *p, const struct proc_rec *rec, struct oerr *e)
{
    struct proc *proc = calloc(1, sizeof *proc);
    char path[4200];
    int rc;

    if (!proc)
        return -ENOMEM;
    proc->procs = p;
    proc->rec = *rec;
    proc->tty_fd = -1;
    rc = flow_create(&proc->in, STDIN_CAPACITY, FLOW_STREAM);
    proc_path(p, rec->number, "out", path);
    if (rc == 0)
        rc = spool_create(&proc->out, p->data, path, SPOOL_LIMIT, false, e);
    proc_path(p, rec->number, "err", path);
    if (rc == 0)
        rc = spool_create(&proc->err, p->data, path, SPOOL_LIMIT, false, e);
    if (rc < 0) {
        proc_destroy(proc, false);
        return rc;
    }
    HASH_ADD(hh, p->all, rec.number, sizeof proc->rec.number, proc);
    *out = proc;
    return 0;
}

static void free_words(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

void proc_destroy(struct proc *proc, bool remove)
{
    if (!proc)
        return;
    if (proc->hh.tbl)
        HASH_DEL(proc->procs->all, proc);
    if (proc->to_save) {
        DL_DELETE(proc->procs->unsaved, proc);
        if (!remove && proc_save(proc) < 0)
            log_warn("procs", "%s: its record cannot be saved", proc->rec.name);
    }
    if (remove)
        proc_unsave(proc);
    spool_release(proc->out, remove);
    spool_release(proc->err, remove);
    sink_stop(proc->sink);
    if (proc->in)
        flow_break(proc->in, -EPIPE);
    flow_unref(proc->in);
    if (proc->tty_fd >= 0)
        close(proc->tty_fd);
    free_words(proc->argv, proc->argc);
    free_words(proc->env, proc->n_env);
    free(proc->cwd);
    free(proc);
}

static int only_new(const struct proc *proc, struct oerr *e)
{
    if (proc->rec.state != PROC_NEW || proc->starting)
        return oerr_set(e, -EBUSY, "%s has been started already", proc->rec.name);
    return 0;
}

int proc_set_cwd(struct proc *proc, const char *dir, struct oerr *e)
{
    char *copy;
    int rc = only_new(proc, e);

    if (rc == 0 && dir[0] != '/')
        rc = oerr_set(e, -EINVAL, "cwd must be an absolute path, not '%.100s'", dir);
    if (rc < 0)
        return rc;
    copy = strdup(dir);
    if (!copy)
        return -ENOMEM;
    free(proc->cwd);
    proc->cwd = copy;
    return 0;
}

/* What the daemon keeps for its users has bounds; small ones are not added up. */
static int env_fits(const struct proc *proc, size_t more, struct oerr *e)
{
    if (proc->env_bytes + more > PROCS_ENV_MAX)
        return oerr_set(e, -E2BIG, "the environment of %s would have more than %d bytes",
                        proc->rec.name, PROCS_ENV_MAX);
    if (proc->env_bytes + more > 4096 && strcmp(proc->rec.user, "root") != 0 &&
        procs_env_bytes_of(proc->procs, proc->rec.user) + more > PROCS_USER_ENV_MAX)
        return oerr_set(e, -EAGAIN,
                        "the environments of all processes of %s would have more than %d bytes",
                        proc->rec.user, PROCS_USER_ENV_MAX);
    return 0;
}

int proc_set_env(struct proc *proc, const char *assignment, struct oerr *e)
{
    const char *eq = strchr(assignment, '=');
    size_t key = eq ? (size_t)(eq - assignment) + 1 : 0,
           bytes = strlen(assignment) + 1 + sizeof(char *);
    char **grown, *copy;
    int rc = only_new(proc, e);

    if (rc == 0 && key < 2)
        rc = oerr_set(e, -EINVAL, "env takes NAME=VALUE, not '%.100s'", assignment);
    if (rc == 0)
        rc = env_fits(proc, bytes, e);
    if (rc < 0)
        return rc;
    copy = strdup(assignment);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < proc->n_env; i++)
        if (strncmp(proc->env[i], assignment, key) == 0) {
            proc->env_bytes += bytes - (strlen(proc->env[i]) + 1 + sizeof(char *));
            free(proc->env[i]);
            proc->env[i] = copy;
            return 0;
        }
    grown = realloc(proc->env, (proc->n_env + 2) * sizeof *grown);
    if (!grown) {
        free(copy);
        return -ENOMEM;
    }
    proc->env = grown;
    proc->env[proc->n_env++] = copy;
    proc->env[proc->n_env] = NULL;
    proc->env_bytes += bytes;
    return 0;
}

int proc_set_tty(struct proc *proc, unsigned rows, unsigned cols, struct oerr *e)
{
    int rc = only_new(proc, e);

    if (rc < 0)
        return rc;
    if (rows > 10000 || cols > 10000)
        return oerr_set(e, -EINVAL, "no terminal has %u rows and %u columns", rows, cols);
    proc->pty = true;
    proc->rows = (unsigned short)rows;
    proc->cols = (unsigned short)cols;
    return 0;
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

static void drop_argv(struct proc *proc)
{
    free_words(proc->argv, proc->argc);
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
static int build_env(struct proc *proc, const struct passwd *pw, struct obuf *mem, char ***out)
{
    const struct procs *p = proc->procs;
    size_t n = 0, fixed = 8;
    char **env, *at;

    obuf_printf(mem, "PATH=%s", DEFAULT_PATH);
    obuf_put(mem, "", 1);
    obuf_printf(mem, "HOME=%s", pw ? pw->pw_dir : "/");
    obuf_put(mem, "", 1);
    obuf_printf(mem, "USER=%s", proc->rec.user);
    obuf_put(mem, "", 1);
    obuf_printf(mem, "LOGNAME=%s", proc->rec.user);
    obuf_put(mem, "", 1);
    obuf_printf(mem, "SHELL=%s", pw && *pw->pw_shell ? pw->pw_shell : "/bin/sh");
    obuf_put(mem, "", 1);
    obuf_printf(mem, "ONEOS_ID=%s", p->self);
    obuf_put(mem, "", 1);
    obuf_printf(mem, "ONEOS_PROC=%s", proc->rec.name);
    obuf_put(mem, "", 1);
    obuf_printf(mem, "ONEOS_MOUNT=%s", p->mount);
    obuf_put(mem, "", 1);
    env = calloc(fixed + proc->n_env + 1, sizeof *env);
    if (obuf_check(mem) < 0 || !env) {
        free(env);
        return -ENOMEM;
    }
    for (at = mem->p; n < fixed; at += strlen(at) + 1) {
        size_t key = strcspn(at, "=") + 1;
        bool given = false;

        for (size_t i = 0; i < proc->n_env; i++)
            given = given || strncmp(proc->env[i], at, key) == 0;
        if (given)
            fixed--;
        else
            env[n++] = at;
    }
    for (size_t i = 0; i < proc->n_env; i++)
        env[n++] = proc->env[i];
    *out = env;
    return 0;
}

static void started(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds)
{
    struct proc *proc = arg;
    proc_done_fn *done = proc->done;
    void *done_arg = proc->done_arg;

    (void)pid;
    proc->starting = false;
    proc->done = NULL;
    if (rc == 0) {
        proc_attach(proc, fds);
    } else {
        proc->rec.state = PROC_NEW;
        proc->rec.started_us = 0;
        drop_argv(proc);
        proc->rec.cmdline[0] = '\0';
    }
    if (done)
        done(done_arg, rc, text); /* before all others are told: it waits for nothing else */
    if (rc == 0)
        proc_changed(proc);
    if (proc->released && proc->rec.state == PROC_NEW)
        procs_release(proc->procs, proc->rec.number);
}

int proc_exec(struct proc *proc, int argc, char **argv, const bool *op, proc_done_fn *done,
              void *arg, struct oerr *e)
{
    cleanup_free char **env = NULL;
    struct passwd *pw = getpwnam(proc->rec.user);
    struct obuf mem = { 0 };
    int rc = only_new(proc, e);

    if (rc < 0)
        return rc;
    rc = take_argv(proc, argc, argv, op, e);
    if (rc == 0)
        rc = build_env(proc, pw, &mem, &env);
    if (rc == 0) {
        struct init_spawn spawn = {
            .number = proc->rec.number,
            .argv = (const char *const *)proc->argv,
            .env = (const char *const *)env,
            .cwd = proc->cwd                             ? proc->cwd
                   : pw && access(pw->pw_dir, X_OK) == 0 ? pw->pw_dir
                                                         : "/",
            .user = strcmp(proc->rec.user, proc->procs->owner) == 0 ? NULL : proc->rec.user,
            .pty = proc->pty,
            .rows = proc->rows,
            .cols = proc->cols,
            .nice = proc->nice,
        };

        describe(proc);
        proc->starting = true;
        proc->done = done;
        proc->done_arg = arg;
        rc = initc_spawn(proc->procs->init, &spawn, started, proc, e);
    }
    if (rc == 0) {
        proc->rec.state = PROC_RUNNING;
        proc->rec.started_us = proc->rec.changed_us = wall_us();
    }
    obuf_free(&mem);
    if (rc < 0) {
        proc->starting = false;
        drop_argv(proc);
    }
    return rc;
}

static void drain(struct proc *proc, struct spool *spool, int *fd, int missing)
{
    if (*fd >= 0)
        spool_drain(spool, take_fd(fd), on_drained, proc);
    else
        spool_end(spool, missing);
}

void proc_attach(struct proc *proc, struct init_fds *fds)
{
    struct stream *from;

    if (fds->in >= 0 && fds->in == fds->out) { /* a pty: each side closes its own */
        proc->pty = true;
        fds->in = fcntl(fds->out, F_DUPFD_CLOEXEC, 0);
    }
    drain(proc, proc->out, &fds->out, -EIO);
    drain(proc, proc->err, &fds->err, proc->pty ? 0 : -EIO);
    if (fds->in < 0)
        return;
    if (proc->pty)
        proc->tty_fd = fcntl(fds->in, F_DUPFD_CLOEXEC, 0);
    if (flow_open_reader(proc->in, &from) < 0) {
        close(take_fd(&fds->in));
        return;
    }
    if (sink_start(&proc->sink, proc->procs->data, from, fds->in, on_stdin_end, proc) < 0) {
        from->ops->close(from, -EIO);
        close(fds->in);
    }
    fds->in = -1;
}

static bool output_is_whole(struct proc *proc)
{
    struct spool_stat out, err;

    spool_stat(proc->out, &out);
    spool_stat(proc->err, &err);
    return out.ended && err.ended && !out.broken && !err.broken;
}

void proc_ended(struct proc *proc, const struct init_end *end)
{
    proc->end = *end;
    proc->rec.state = PROC_ENDED;
    proc->rec.ended_us = end->ended_us;
    proc->rec.exit = end->exit;
    proc->rec.signal = end->signal ? end->signal : -1;
    proc->rec.cause = proc->stdin_broken ? CAUSE_LOST
                      : end->oom         ? CAUSE_OOM
                      : end->signal      ? CAUSE_KILLED
                                         : CAUSE_EXITED;
    if (proc->tty_fd >= 0)
        close(take_fd(&proc->tty_fd));
    sink_stop(take_ptr(proc->sink));
    flow_break(proc->in, -EPIPE);
    proc->procs->ended++;
    proc->whole = output_is_whole(proc);
    proc_changed(proc);
}

void proc_settle(struct proc *proc)
{
    struct spool_stat out, err;

    spool_stat(proc->out, &out);
    spool_stat(proc->err, &err);
    if (proc->rec.state != PROC_ENDED || out.draining || err.draining)
        return;
    if (!proc->whole && output_is_whole(proc)) {
        proc->whole = true;
        proc_to_save(proc);
    }
    if (proc->saved)
        initc_taken(proc->procs->init, proc->rec.number);
}

void proc_no_output(struct proc *proc, int how)
{
    spool_end(proc->out, how);
    spool_end(proc->err, how);
}

static int only_running(const struct proc *proc, struct oerr *e)
{
    if (proc->rec.state == PROC_ENDED)
        return oerr_set(e, -ESRCH, "%s has ended", proc->rec.name);
    if (proc->rec.state == PROC_NEW)
        return oerr_set(e, -ESRCH, "%s has not been started", proc->rec.name);
    return 0;
}

int proc_signal(struct proc *proc, int sig, struct oerr *e)
{
    enum proc_state was = proc->rec.state;
    int rc = only_running(proc, e);

    if (rc == 0)
        rc = initc_signal(proc->procs->init, proc->rec.number, sig, e);
    if (rc == 0 && (sig == SIGSTOP || sig == SIGTSTP))
        proc->rec.state = PROC_STOPPED;
    else if (rc == 0 && sig == SIGCONT)
        proc->rec.state = PROC_RUNNING;
    if (proc->rec.state != was)
        proc_changed(proc);
    return rc;
}

int proc_nice(struct proc *proc, int nice, struct oerr *e)
{
    int rc = 0;

    if (nice < -20 || nice > 19)
        return oerr_set(e, -EINVAL, "nice takes -20 to 19, not %d", nice);
    if (proc->rec.state != PROC_NEW)
        rc = only_running(proc, e);
    if (rc == 0 && proc->rec.state != PROC_NEW)
        rc = initc_nice(proc->procs->init, proc->rec.number, nice, e);
    if (rc == 0)
        proc->nice = nice;
    return rc;
}

int proc_winsize(struct proc *proc, unsigned rows, unsigned cols, struct oerr *e)
{
    struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
    int rc = only_running(proc, e);

    if (rc < 0)
        return rc;
    if (proc->tty_fd < 0)
        return oerr_set(e, -ENOTTY, "%s has no terminal; it is asked for with `tty` before exec",
                        proc->rec.name);
    return ioctl(proc->tty_fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int signal_parse(const char *name, struct oerr *e)
{
    const char *bare = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
    char *end;
    long number = strtol(name, &end, 10);

    if (*name && !*end && number > 0 && number < NSIG)
        return (int)number;
    for (int sig = 1; sig < NSIG; sig++)
        if (sigabbrev_np(sig) && strcasecmp(sigabbrev_np(sig), bare) == 0)
            return sig;
    return oerr_set(e, -EINVAL, "there is no signal '%.40s'", name);
}

int proc_open(struct proc *proc, enum proc_stdio which, struct stream **out)
{
    if (which == PROC_STDIN)
        return flow_open_writer(proc->in, false, out);
    return spool_open(which == PROC_STDOUT ? proc->out : proc->err, out);
}
