/*
 * proc.c - one process of this machine: from `clone` or its plan to its end.
 *
 *   new      made; cwd, env, tty may be set; stdin may be written, it waits
 *   running  oneos-init has it; stdin is pumped into it, its output out of it (proc_stdio.c)
 *   stopped  the same, after a stop
 *   ended    its end is saved and told; its output stays readable
 *
 * One that was planned begins as running, and goes when it cannot be started.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <utlist.h>

const struct proc_rec *proc_rec(const struct proc *p)
{
    return &p->rec;
}

const struct proc_tag *proc_tag(const struct proc *p)
{
    return &p->tag;
}

const struct init_end *proc_end_of(const struct proc *p)
{
    return &p->end;
}

void proc_changed(struct proc *proc)
{
    proc->rec.changed_us = wall_us();
    proc->changed_ms = now_ms();
    proctab_set(proc->procs->tab, &proc->rec);
    if (proc->rec.state != PROC_NEW)
        proc_to_save(proc);
}

int proc_create(struct proc **out, struct procs *p, const struct proc_rec *rec, struct oerr *e)
{
    struct proc *proc = calloc(1, sizeof *proc);
    uint64_t now = wall_us();

    if (!proc)
        return oerr_set(e, -ENOMEM, "no memory for a further process");
    proc->procs = p;
    proc->rec = *rec;
    proc->rec.stuck = 0;
    proc->changed_ms = now_ms() - (now > rec->changed_us ? (now - rec->changed_us) / 1000 : 0);
    proc->tty_fd = proc->in_fd = proc->slot = -1;
    for (int i = 0; i < N_OUT; i++)
        proc->out[i].fd = -1;
    HASH_ADD(hh, p->all, rec.number, sizeof proc->rec.number, proc);
    *out = proc;
    return 0;
}

void proc_destroy(struct proc *proc, bool remove)
{
    if (!proc)
        return;
    HASH_DEL(proc->procs->all, proc);
    keep_forget(proc);
    if (proc->to_save) {
        DL_DELETE(proc->procs->unsaved, proc);
        if (!remove && proc_save(proc) < 0)
            log_warn("procs", "%s: its record cannot be saved", proc->rec.name);
    }
    if (remove)
        proc_unsave(proc);
    proc_stdio_free(proc, remove);
    proc_drop_argv(proc);
    for (size_t i = 0; i < proc->n_env; i++)
        free(proc->env[i]);
    free(proc->env);
    free(proc->cwd);
    free(proc);
}

static void not_started(struct proc *proc)
{
    struct procs *p = proc->procs;

    if (proc->planned) { /* when we close it may be started yet: the next daemon must know it */
        proc_destroy(proc, !p->closing);
        return;
    }
    proc->rec.state = PROC_NEW;
    proc->rec.started_us = 0;
    proc_drop_argv(proc);
    proc->rec.cmdline[0] = '\0';
    if (proc->released)
        procs_release(p, proc->rec.number);
}

void proc_started(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds)
{
    struct proc *proc = arg;
    proc_done_fn *done = proc->done;

    (void)pid;
    proc->starting = false;
    proc->done = NULL;
    if (rc == 0)
        proc_attach(proc, fds);
    if (done)
        done(proc->done_arg, rc, text); /* before all others are told: it waits for nothing else */
    if (rc < 0) {
        not_started(proc);
        return;
    }
    if (*proc->tag.job) { /* its file has all of that already */
        proctab_set(proc->procs->tab, &proc->rec);
        job_started(proc);
    } else {
        proc_changed(proc);
    }
}

/* A wire that an earlier daemon read from, or wrote to, has lost something. */
void proc_adopted(struct proc *proc, struct init_fds *fds, bool running)
{
    bool cut = proc_attach(proc, fds) < 0;

    proc->adopted = true;
    if (!cut || proc->rec.state == PROC_ENDED)
        return;
    if (running)
        proc_kill(proc, CAUSE_LOST);
    else
        proc->cause = CAUSE_LOST;
}

void proc_ended(struct proc *proc, const struct init_end *end)
{
    proc->end = *end;
    proc->rec.state = PROC_ENDED;
    proc->rec.ended_us = end->ended_us;
    proc->rec.exit = end->exit;
    proc->rec.signal = end->signal ? end->signal : -1;
    proc->rec.cause = proc->cause   ? proc->cause
                      : end->lease  ? CAUSE_LOST
                      : end->oom    ? CAUSE_OOM
                      : end->signal ? CAUSE_KILLED
                                    : CAUSE_EXITED;
    proc_stdio_ended(proc);
    keep_ended(proc);
    proc->whole = proc_output_whole(proc);
    proc_changed(proc);
    if (*proc->tag.job)
        job_ended(proc);
}

/* Others shall see it, too, when it stands still since there is no room for its output. */
static void tell_stuck(struct proc *proc)
{
    struct spool_stat out, err;
    int stuck;

    proc_out_stat(proc, OUT_STDOUT, &out);
    proc_out_stat(proc, OUT_STDERR, &err);
    stuck = out.error ? -out.error : -err.error;
    if (stuck == proc->rec.stuck)
        return;
    proc->rec.stuck = stuck;
    proc_changed(proc);
}

void proc_settle(struct proc *proc)
{
    struct spool_stat out, err;

    tell_stuck(proc);
    if (proc->rec.state != PROC_ENDED || !proc_output_over(proc))
        return;
    if (!proc->whole && proc_output_whole(proc)) {
        proc->whole = true;
        proc_to_save(proc);
    }
    proc_out_rest(proc);
    proc_out_stat(proc, OUT_STDOUT, &out);
    proc_out_stat(proc, OUT_STDERR, &err);
    if (!proc->kept && out.kept + err.kept)
        keep_output(proc, out.kept + err.kept);
    if (proc->saved)
        initc_taken(proc->procs->init, proc->rec.number);
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

void proc_kill(struct proc *proc, enum proc_cause cause)
{
    if (!proc->cause)
        proc->cause = cause;
    initc_kill_all(proc->procs->init, proc->rec.number, NULL);
}

int proc_end(struct proc *proc, int sig, enum proc_cause cause, struct oerr *e)
{
    enum proc_cause was = proc->cause;
    int rc = proc->starting ? 0 : only_running(proc, e);

    if (rc < 0)
        return rc;
    if (!proc->cause) {
        proc->cause = cause;
        proc_save(proc); /* first: another daemon may hear of its end */
    }
    rc = sig == SIGKILL ? initc_kill_all(proc->procs->init, proc->rec.number, e)
                        : initc_signal(proc->procs->init, proc->rec.number, sig, e);
    if (rc < 0)
        proc->cause = was; /* it ended by itself */
    return rc;
}
