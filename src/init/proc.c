/*
 * proc.c - the processes: their records, their ends, signals, and stopping all of them.
 *
 *     STARTING -> RUNNING -> ENDED     told STARTED, ENDED; goes when the client has taken it
 *     STARTING -> FAILED               told STARTED with words; goes when told and reaped
 *
 * One whose commands have ended stays RUNNING while what they left behind is killed (doom.c).
 *
 * Invariants: `procs` counts the records in `all`, `running` those STARTING or RUNNING, `held` the
 * stdio descriptors kept; a stage is in by_pid until it is reaped; `left` counts those.
 */
#include "init/init.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_STEP_MS 50 /* between rounds of KILL: what a killed parent leaves becomes ours */
#define GIVE_UP_MS                                                                                 \
    10000 /* after the first KILL: a process that cannot die, stuck in the kernel                  \
           */

static unsigned bucket(uint32_t key)
{
    return key & (BUCKETS - 1);
}

struct proc *proc_find(struct init *in, uint32_t number)
{
    struct proc *p;

    LIST_FOREACH(p, &in->by_number[bucket(number)], by_number)
    if (p->number == number)
        return p;
    return NULL;
}

static char *copy_tag(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "ONEOS_PROC=", 11) == 0)
            return strdup(*env);
    return NULL;
}

struct proc *proc_create(struct init *in, const struct ispec *s)
{
    struct proc *p = calloc(1, sizeof *p + s->nstages * sizeof p->stages[0]);

    if (!p)
        return NULL;
    if (s->user && *s->user && !(p->user = strdup(s->user))) {
        free(p);
        return NULL;
    }
    p->number = s->number;
    p->pty = s->pty;
    p->nstages = s->nstages;
    p->leased = s->leased;
    p->reap_all = s->reap_all;
    p->tag = s->env ? copy_tag(s->env) : NULL;
    p->status.fd = p->gate = -1;
    for (int i = 0; i < IM_FDS; i++)
        p->fds[i] = -1;
    LIST_INSERT_HEAD(&in->by_number[bucket(p->number)], p, by_number);
    TAILQ_INSERT_TAIL(&in->all, p, all);
    in->procs++;
    in->running++;
    return p;
}

void proc_add_stage(struct init *in, struct proc *p, pid_t pid)
{
    unsigned i = 0;

    while (p->stages[i].proc)
        i++;
    p->stages[i] = (struct stage){ .proc = p, .pid = pid };
    LIST_INSERT_HEAD(&in->by_pid[bucket((uint32_t)pid)], &p->stages[i], by_pid);
    p->left++;
    if (i == 0)
        p->pgid = pid;
}

struct stage *proc_stage(struct init *in, pid_t pid)
{
    struct stage *s;

    LIST_FOREACH(s, &in->by_pid[bucket((uint32_t)pid)], by_pid)
    if (s->pid == pid)
        return s;
    return NULL;
}

void proc_let_go(struct init *in, struct proc *p, uint8_t mask)
{
    for (int i = 0; i < IM_FDS; i++)
        if (mask & 1u << i && p->fds[i] >= 0) {
            close(p->fds[i]);
            p->fds[i] = -1;
            p->fdmask &= (uint8_t) ~(1u << i);
            in->held--;
        }
}

static void close_gate(struct proc *p)
{
    if (p->gate >= 0)
        close(take_fd(&p->gate));
}

void proc_free(struct init *in, struct proc *p)
{
    proc_let_go(in, p, IM_IN | IM_OUT | IM_ERR);
    watch_close(in, &p->status);
    close_gate(p);
    doom_forget(in, p);
    if (p->state != PROC_FAILED)
        LIST_REMOVE(p, by_number);
    if (p->tell)
        TAILQ_REMOVE(&in->tell, p, told);
    TAILQ_REMOVE(&in->all, p, all);
    in->procs--;
    free(p->failure);
    free(p->user);
    free(p->tag);
    free(p);
}

/* A group number stays taken while a member lives. Once the leader is reaped, a process with
 * its number is a stranger, and the group is gone. */
int proc_signal(struct init *in, struct proc *p, int sig)
{
    if (p->nstages == 0 || (p->stages[0].ended && (kill(p->pgid, 0) == 0 || errno == EPERM)))
        return -ESRCH;
    if (sig == SIGKILL && p->tracked)
        cgroup_kill(&in->cgroups, p->number);
    if (kill(-p->pgid, sig) == 0)
        return 0;
    /* With a terminal the child makes its group itself, and may not have come to it. */
    if (errno == ESRCH && p->state == PROC_STARTING && !p->stages[0].ended)
        return kill(p->pgid, sig) < 0 ? -errno : 0;
    return -errno;
}

/* Its folders and what they counted, once nothing runs in them. */
static void leave_cgroup(struct init *in, struct proc *p)
{
    if (p->grouped)
        cgroup_remove(&in->cgroups, p->number);
}

void proc_finish(struct init *in, struct proc *p)
{
    struct cgroup_end figures = { 0 };

    p->state = PROC_ENDED;
    p->ended_us = wall_us();
    in->running--;
    if (p->grouped)
        cgroup_figures(&in->cgroups, p->number, &figures);
    p->oom = figures.oom;
    if (figures.cpu_us > p->cpu_us)
        p->cpu_us = figures.cpu_us;
    if (figures.memory_peak)
        p->memory_peak = figures.memory_peak;
    leave_cgroup(in, p);
    conn_tell(in, p, TELL_ENDED);
}

/* Its commands have ended. */
static void end(struct init *in, struct proc *p)
{
    if (p->reap_all || p->doomed)
        doom(in, p);
    else
        proc_finish(in, p);
}

void proc_started(struct init *in, struct proc *p)
{
    p->state = PROC_RUNNING;
    if (p->id)
        conn_tell(in, p, TELL_STARTED);
    if (p->left == 0)
        end(in, p);
}

void proc_fail(struct init *in, struct proc *p, int rc, const char *text)
{
    if (p->left > 0)
        proc_signal(in, p, SIGKILL);
    if (p->id == 0) {
        /* Its client is gone and the next one takes it for started: it ends as in a shell. */
        log_warn("init", "process %u: %s", p->number, text);
        proc_started(in, p);
        return;
    }
    p->state = PROC_FAILED;
    p->rc = rc;
    in->running--;
    p->failure = calloc(1, sizeof *p->failure);
    if (p->failure)
        oerr_set(p->failure, 0, "%s", text);
    LIST_REMOVE(p, by_number);
    watch_close(in, &p->status);
    close_gate(p);
    proc_let_go(in, p, IM_IN | IM_OUT | IM_ERR);
    if (p->left == 0)
        leave_cgroup(in, p);
    conn_tell(in, p, TELL_STARTED);
}

static void stage_ended(struct init *in, struct stage *s, int status, const struct rusage *ru)
{
    struct proc *p = s->proc;
    uint64_t peak = (uint64_t)ru->ru_maxrss * 1024;

    LIST_REMOVE(s, by_pid);
    s->ended = true;
    p->left--;
    p->cpu_us += (uint64_t)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 +
                 (uint64_t)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
    if (peak > p->memory_peak)
        p->memory_peak = peak;
    if (s == &p->stages[p->nstages - 1]) {
        p->exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        p->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    if (p->out_of_lease && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        p->lease = true;
    /* Who died before the gate opened will not come to it. */
    if (p->left > 0 && p->gate >= 0)
        proc_signal(in, p, SIGKILL);
    if (p->left > 0)
        return;
    /* All who could write on the status pipe are gone: it has its word or its end. */
    if (p->state == PROC_STARTING) {
        spawn_status(in, &p->status, EPOLLIN);
    } else if (p->state == PROC_RUNNING) {
        end(in, p);
    } else {
        leave_cgroup(in, p);
        if (!p->tell)
            proc_free(in, p);
    }
}

void proc_reap(struct init *in)
{
    struct rusage ru;
    pid_t pid;
    int status;

    while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
        struct stage *s = proc_stage(in, pid);

        if (s)
            stage_ended(in, s, status, &ru);
    }
    if (pid < 0 && errno == ECHILD && in->stopping)
        in->quit = true;
}

/* To our children that no record knows: what others left behind. */
static void signal_orphans(struct init *in, int sig)
{
    DIR *d = opendir("/proc");
    pid_t self = getpid();

    for (struct dirent *at; d && (at = readdir(d));) {
        char name[32], text[512];
        int parent;

        if (!isdigit((unsigned char)at->d_name[0]) || strlen(at->d_name) > 10)
            continue;
        snprintf(name, sizeof name, "/proc/%.10s/stat", at->d_name);
        cleanup_fclose FILE *f = fopen(name, "re");
        char *paren = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;

        if (paren && sscanf(paren + 1, " %*c %d", &parent) == 1 && parent == self &&
            !proc_stage(in, atoi(at->d_name)))
            kill(atoi(at->d_name), sig);
    }
    if (d)
        closedir(d);
}

static void signal_all(struct init *in, int sig)
{
    struct proc *p;

    TAILQ_FOREACH(p, &in->all, all)
    proc_signal(in, p, sig);
    signal_orphans(in, sig);
}

void proc_stop(struct init *in, uint64_t grace_ms)
{
    uint64_t at = now_ms() + grace_ms;

    log_info("init", "stopping: %u processes, KILL after %llu ms", in->running,
             (unsigned long long)grace_ms);
    if (!in->stopping) {
        signal_all(in, SIGTERM);
        signal_all(in, SIGCONT);
        in->stop_ms = at;
    } else if (!in->killed && at < in->stop_ms) {
        in->stop_ms = at;
    }
    in->stopping = true;
    proc_reap(in);
}

void proc_stop_step(struct init *in)
{
    if (!in->killed)
        in->give_up_ms = now_ms() + GIVE_UP_MS;
    in->killed = true;
    if (now_ms() >= in->give_up_ms) {
        log_error("init", "%u processes do not die of KILL; leaving them", in->running);
        in->quit = true;
        return;
    }
    signal_all(in, SIGKILL);
    in->stop_ms = now_ms() + KILL_STEP_MS;
}
