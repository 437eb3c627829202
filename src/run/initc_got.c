/*
 * initc_got.c - what oneos-init tells its client, and the records that it is noted in.
 *
 * STARTED and ENDED answer and follow a spawn. PROC comes between WELCOME and READY: a process
 * that oneos-init had when we connected. Callbacks may call anything, initc_destroy too: nothing
 * is kept across them but the client, whose memory lives until the loop turns.
 */
#include "run/initc_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct init_fds no_fds = { -1, -1, -1 };

struct cproc *initc_find(const struct initc *c, uint32_t number)
{
    struct cproc *p;

    HASH_FIND(hh, c->procs, &number, sizeof number, p);
    return p;
}

struct cproc *initc_add(struct initc *c, uint32_t number)
{
    struct cproc *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->number = number;
    HASH_ADD(hh, c->procs, number, sizeof p->number, p);
    return p;
}

void initc_forget(struct initc *c, struct cproc *p)
{
    HASH_DEL(c->procs, p);
    free(p);
}

static void note(struct cproc *p, const struct imsg *m)
{
    p->pid = m->pid;
    p->npids = m->npids;
    for (unsigned i = 0; i < m->npids; i++)
        p->pids[i] = m->pids[i];
}

/* Answers a spawn that failed. */
void initc_answer_one(struct initc *c, struct cproc *p, int rc, const char *text)
{
    initc_done_fn *done = p->done;
    struct init_fds fds = no_fds;
    void *arg = p->arg;

    initc_forget(c, p);
    done(arg, rc, text, 0, &fds);
}

static bool is_among(const struct cproc *p, enum initc_which which)
{
    if (p->state != CPROC_STARTING)
        return false;
    return which == INITC_ALL || (p->sent && (which == INITC_SENT || !p->seen));
}

int initc_refuse_old(const struct initc *c, struct oerr *e)
{
    return oerr_set(e, -EOPNOTSUPP,
                    "the oneos-init of %s (pid %d) is older than the daemon and cannot redirect, "
                    "limit or lease; end its processes and restart the daemon",
                    c->dir, c->init_pid);
}

void initc_answer(struct initc *c, enum initc_which which, int rc, const char *text)
{
    struct cproc *p = c->procs;

    while (p) {
        struct cproc *next = p->hh.next;

        if (is_among(p, which)) {
            initc_answer_one(c, p, rc, text);
            next = c->procs; /* the callback may have changed anything */
        }
        p = next;
    }
}

/* Descriptors arrive without gaps; the mask says which they are. */
static void sort_fds(const struct imsg *m, int got[IM_FDS], struct init_fds *fds)
{
    int *const place[IM_FDS] = { &fds->in, &fds->out, &fds->err };
    int n = 0;

    *fds = no_fds;
    for (int i = 0; i < IM_FDS; i++)
        if (m->fds & 1 << i)
            *place[i] = got[n++];
    if (m->fds & IM_PTY)
        fds->out = fds->in;
    for (; n < IM_FDS; n++)
        if (got[n] >= 0)
            close(got[n]);
}

static void close_fds(const struct init_fds *fds)
{
    if (fds->in >= 0)
        close(fds->in);
    if (fds->out >= 0 && fds->out != fds->in)
        close(fds->out);
    if (fds->err >= 0)
        close(fds->err);
}

static void end_of(const struct imsg *m, struct init_end *end)
{
    *end = (struct init_end){ .exit = m->exit,
                              .signal = m->signal,
                              .oom = m->oom,
                              .lease = m->lease,
                              .ended_us = m->ended_us,
                              .cpu_us = m->cpu_us,
                              .memory_peak = m->memory_peak };
}

static void got_started(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    struct cproc *p = initc_find(c, m->number);
    initc_done_fn *done = p ? p->done : NULL;

    if (!p || p->state != CPROC_STARTING || p->id != m->id) {
        close_fds(fds);
        return;
    }
    if (m->rc < 0) {
        close_fds(fds);
        initc_answer_one(c, p, m->rc, m->text);
        return;
    }
    note(p, m);
    p->state = CPROC_RUNNING;
    p->done = NULL;
    if (fds_lost) {
        p->unwanted = true;
        initc_send(c, &(struct imsg){ IM_SIGNAL, .number = p->number, .value = SIGKILL }, -1);
        done(p->arg, -EMFILE,
             "no descriptors left for the process's stdio; raise the limit (ulimit -n)", 0, fds);
        return;
    }
    done(p->arg, 0, "", p->pid, fds);
}

static void got_end(struct initc *c, struct cproc *p, const struct imsg *m)
{
    struct init_end end;

    if (p->state != CPROC_RUNNING)
        return;
    p->state = CPROC_ENDED;
    if (p->unwanted) {
        initc_taken(c, p->number);
        return;
    }
    end_of(m, &end);
    c->ops->ended(c->arg, p->number, &end);
}

static void got_ended(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    struct cproc *p = initc_find(c, m->number);

    (void)fds;
    (void)fds_lost;
    if (p)
        got_end(c, p, m);
}

/* A process that oneos-init had when we connected: usually one of the daemon before us; after a
 * connection that was lost, one of ours. */
static void got_proc(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    struct cproc *p = initc_find(c, m->number);
    struct init_proc told = { .number = m->number,
                              .pid = m->pid,
                              .started_us = m->started_us,
                              .running = m->running,
                              .fds = *fds,
                              .user = m->text };

    if (fds_lost)
        log_error("init", "no descriptors left for the stdio of process %u", m->number);
    if (p && p->state == CPROC_STARTING && p->sent) {
        m->id = p->id;
        got_started(c, m, fds, fds_lost);
        p = initc_find(c, m->number);
    } else if (p) {
        close_fds(fds);
    }
    if (p) {
        p->seen = true;
        if (!m->running)
            got_end(c, p, m);
        return;
    }
    p = initc_add(c, m->number);
    if (!p) {
        close_fds(fds);
        return;
    }
    note(p, m);
    p->seen = true;
    p->state = m->running ? CPROC_RUNNING : CPROC_ENDED;
    if (!m->running)
        end_of(m, &told.end);
    c->ops->adopted(c->arg, &told);
}

/* By the boot of the machine, the pid, and when that was started. */
static uint32_t boot_of(pid_t pid)
{
    char name[32], text[1024] = "", id[64] = "";
    const char *paren, *start;
    uint32_t hash = 2166136261u;

    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    cleanup_fclose FILE *stat = fopen(name, "re");
    cleanup_fclose FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!stat || !fgets(text, sizeof text, stat) || !boot || !fgets(id, sizeof id, boot))
        return 0;
    start = paren = strrchr(text, ')');
    for (int field = 2; start && field < 22; field++)
        start = strchr(start + 1, ' ');
    if (!start)
        return 0;
    snprintf(text, sizeof text, "%s %d %llu", id, pid, strtoull(start, NULL, 10));
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return hash ? hash : 1;
}

static void got_welcome(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    struct cproc *p, *next;

    (void)fds;
    (void)fds_lost;
    if (c->orphaned && m->pid != c->init_pid)
        initc_declare_lost(c);
    c->orphaned = false;
    if (c->init_pid != m->pid)
        c->boot = boot_of(m->pid);
    c->init_pid = m->pid;
    c->version = m->version;
    memcpy(c->cgroups, m->text, sizeof c->cgroups);
    HASH_ITER (hh, c->procs, p, next)
        p->seen = false;
}

static void got_ready(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    (void)m;
    (void)fds;
    (void)fds_lost;
    if (c->state != CLINK_GREETING)
        return;
    c->state = CLINK_READY;
    c->again_ms = 0;
    initc_send_lease(c);
    initc_answer(c, INITC_UNSEEN, -EIO, "oneos-init dropped the request");
}

static void got_refused(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    (void)fds;
    (void)fds_lost;
    log_error("init", "%s", m->text);
    if (c->state == CLINK_GREETING)
        initc_gone(c, -EPROTONOSUPPORT, m->text);
}

static void got_stopped(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    (void)m;
    (void)fds;
    (void)fds_lost;
    c->stopped = true;
}

static void got_replaced(struct initc *c, struct imsg *m, struct init_fds *fds, bool fds_lost)
{
    static const char text[] = "another daemon has taken over oneos-init";

    (void)m;
    (void)fds;
    (void)fds_lost;
    log_error("init", "%s in %s", text, c->dir);
    initc_gone(c, -ESHUTDOWN, text);
    initc_answer(c, INITC_ALL, -ESHUTDOWN, text);
}

void initc_got(struct initc *c, struct imsg *m, int fds[IM_FDS], bool fds_lost)
{
    static void (*const handlers[])(struct initc *, struct imsg *, struct init_fds *, bool) = {
        [IM_WELCOME] = got_welcome, [IM_REFUSED] = got_refused,   [IM_PROC] = got_proc,
        [IM_READY] = got_ready,     [IM_STARTED] = got_started,   [IM_ENDED] = got_ended,
        [IM_STOPPED] = got_stopped, [IM_REPLACED] = got_replaced,
    };
    struct init_fds sorted;

    sort_fds(m, fds, &sorted);
    if (m->type < ARRAY_SIZE(handlers) && handlers[m->type])
        handlers[m->type](c, m, &sorted, fds_lost);
    else
        close_fds(&sorted);
}

/* The commands were killed by the kernel with their parent; what they had started in their groups
 * was not. A group's number cannot be another's while a member lives. */
void initc_declare_lost(struct initc *c)
{
    struct cproc *p, *next;

    c->orphaned = false;
    c->init_pid = 0;
    c->boot = 0;
    log_error("init", "oneos-init in %s died; its processes are lost", c->dir);
    initc_answer(c, INITC_SENT, -EPIPE, "oneos-init died while the process was started");
    HASH_ITER (hh, c->procs, p, next) {
        if (p->state == CPROC_STARTING)
            continue;
        if (p->state == CPROC_RUNNING || kill(p->pid, 0) < 0)
            kill(-p->pid, SIGKILL);
        initc_forget(c, p);
    }
    c->ops->lost(c->arg);
}
