/*
 * initc.c - the client of oneos-init: the calls.
 *
 * Out go (see init/proto.h): SPAWN, SIGNAL, NICE, CLOSED, TAKEN, LEASE, KILL, STOP; what
 * cannot be sent at once waits as a parcel. Signals and nice values of running processes go to the
 * kernel directly, so that they have taken effect when the call returns.
 *
 * Invariants: each spawn that was accepted is answered exactly once, also when oneos-init dies or
 * the client is destroyed; a process is in `procs` from its spawn or adoption until it is taken.
 */
#include "run/initc_private.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CREATE_MS 5000
#define LAST_MS   12000 /* beyond the grace: oneos-init gives up by itself before */

void initc_send(struct initc *c, const struct imsg *m, int fd)
{
    struct parcel *p;

    if (c->state == CLINK_READY && STAILQ_EMPTY(&c->parcels) &&
        imsg_send(c->watch->fd, m, &fd, fd >= 0) == 0) {
        struct cproc *proc = m->type == IM_SPAWN ? initc_find(c, m->number) : NULL;

        if (proc)
            proc->sent = true;
        if (fd >= 0)
            close(fd);
        return;
    }
    p = malloc(sizeof *p);
    if (!p) {
        log_error("init", "no memory for a message to oneos-init");
        if (fd >= 0)
            close(fd);
        return;
    }
    p->m = *m;
    p->fd = fd;
    STAILQ_INSERT_TAIL(&c->parcels, p, next);
    if (c->state == CLINK_READY)
        link_watch_writable(c);
}

static void drop_parcels(struct initc *c)
{
    struct parcel *p;

    while ((p = STAILQ_FIRST(&c->parcels))) {
        STAILQ_REMOVE_HEAD(&c->parcels, next);
        if (p->fd >= 0)
            close(p->fd);
        free(p);
    }
}

static void free_client(uv_handle_t *timer)
{
    struct initc *c = container_of((uv_timer_t *)timer, struct initc, timer);

    free(c->program);
    free(c->dir);
    free(c);
}

int initc_create(struct initc **out, struct loop *core, const char *program, const char *dir,
                 const struct initc_ops *ops, void *arg, struct oerr *e)
{
    struct initc *c = calloc(1, sizeof *c);
    uint64_t deadline = now_ms() + CREATE_MS;

    *out = NULL;
    if (!c)
        return oerr_set(e, -ENOMEM, "no memory for the client of oneos-init");
    *c = (struct initc){ .core = core, .ops = ops, .arg = arg };
    STAILQ_INIT(&c->parcels);
    uv_timer_init(loop_uv(core), &c->timer);
    c->program = strdup(program);
    c->dir = strdup(dir);
    if (!c->program || !c->dir) {
        initc_destroy(c, false, 0);
        return oerr_set(e, -ENOMEM, "no memory for the client of oneos-init");
    }
    *out = c;
    if (access(dir, W_OK | X_OK) < 0)
        c->failure_rc = oerr_set(&c->failure, -errno, "%s cannot be used for oneos-init: %s", dir,
                                 strerror(errno));
    else
        initc_step(c);
    while (c->state != CLINK_READY && c->failure_rc == 0 && now_ms() < deadline)
        initc_pump(c, deadline);
    if (c->state == CLINK_READY)
        return 0;
    *out = NULL;
    if (c->failure_rc == 0)
        c->failure_rc = oerr_set(&c->failure, -ETIMEDOUT,
                                 "oneos-init in %s did not answer in %d ms", dir, CREATE_MS);
    oerr_set(e, 0, "%s", c->failure.text);
    int rc = c->failure_rc;
    initc_destroy(c, false, 0);
    return rc;
}

/* Tells oneos-init to end all of it and waits for its last word. */
static void stop(struct initc *c, unsigned grace_ms)
{
    uint64_t deadline = now_ms() + grace_ms + LAST_MS;

    while (c->state != CLINK_READY && c->state != CLINK_GONE && now_ms() < deadline)
        initc_pump(c, deadline);
    initc_send(c, &(struct imsg){ IM_STOP, .grace_ms = grace_ms }, -1);
    while (c->state == CLINK_READY && now_ms() < deadline)
        initc_pump(c, deadline);
    if (!c->stopped && c->state != CLINK_GONE)
        log_error("init", "oneos-init in %s did not stop within %u ms", c->dir, grace_ms + LAST_MS);
}

void initc_destroy(struct initc *c, bool do_stop, unsigned grace_ms)
{
    struct cproc *p, *next;

    if (!c)
        return;
    if (do_stop)
        stop(c, grace_ms);
    initc_gone(c, -ECANCELED, "the client of oneos-init is closed");
    initc_answer(c, INITC_ALL, -ECANCELED, "the daemon is shutting down");
    HASH_ITER (hh, c->procs, p, next)
        initc_forget(c, p);
    drop_parcels(c);
    uv_close((uv_handle_t *)&c->timer, free_client);
}

/* argv of all stages in a row, cut into lists; free the result. */
static char ***split_stages(const char *const *argv, unsigned *n)
{
    const char *const *at = argv;
    char ***lists;

    *n = 0;
    for (at = argv; *at; at++, ++*n)
        while (*at)
            at++;
    lists = calloc(*n + 1, sizeof *lists);
    at = argv;
    for (unsigned i = 0; lists && i < *n; i++, at++) {
        lists[i] = (char **)(uintptr_t)at;
        while (*at)
            at++;
    }
    return lists;
}

/* What version 1 cannot say. */
static bool needs_more(const struct init_spawn *s)
{
    return s->redirects || s->stage_env || s->memory || s->cpu_milli || s->leased || s->reap_all;
}

/* Frees with the result; NULL when there is nothing to say of them. */
static struct istage *list_stages(const struct init_spawn *s, unsigned n)
{
    struct istage *stages = calloc(n, sizeof *stages);

    for (unsigned i = 0; stages && i < n; i++) {
        const struct init_redirect none = { 0 }, *r = s->redirects ? &s->redirects[i] : &none;

        stages[i] = (struct istage){ .in = r->in,
                                     .out = r->out,
                                     .err = r->err,
                                     .append = r->append,
                                     .err_append = r->err_append };
        if (s->stage_env)
            stages[i].env = (char **)(uintptr_t)s->stage_env[i];
    }
    return stages;
}

/* The request in a sealed memfd, or -errno. */
static int make_request(const struct init_spawn *s, struct oerr *e)
{
    static const char *const nothing[] = { NULL };
    struct ispec spec = { .number = s->number,
                          .pty = s->pty,
                          .rows = s->rows,
                          .cols = s->cols,
                          .nice = s->nice,
                          .cwd = s->cwd,
                          .user = s->user ? s->user : "",
                          .env = (char **)(uintptr_t)(s->env ? s->env : nothing),
                          .more = needs_more(s),
                          .leased = s->leased,
                          .reap_all = s->reap_all,
                          .memory = s->memory,
                          .cpu_milli = s->cpu_milli };
    cleanup_close int fd = memfd_create("oneos-spawn", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cleanup_free char ***stages = split_stages(s->argv, &spec.nstages);
    cleanup_free struct istage *of_stages = NULL;
    struct obuf b = { 0 };
    int rc;

    spec.argv = stages;
    if (s->redirects || s->stage_env)
        spec.stages = of_stages = list_stages(s, spec.nstages ? spec.nstages : 1);
    if (fd < 0 || !stages || ((s->redirects || s->stage_env) && !of_stages))
        return oerr_set(e, fd < 0 ? -errno : -ENOMEM, "no memory for a spawn request");
    if (spec.nstages == 0 || spec.nstages > ISPEC_STAGES)
        return oerr_set(e, -EINVAL, "a pipeline has 1 to %d commands, not %u", ISPEC_STAGES,
                        spec.nstages);
    ispec_encode(&b, &spec);
    rc = obuf_check(&b);
    if (rc == 0 && b.len > ISPEC_BYTES)
        rc = -E2BIG;
    if (rc == 0 && write(fd, b.p, b.len) != (ssize_t)b.len)
        rc = -ENOMEM;
    if (rc == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        rc = -errno;
    if (rc < 0)
        oerr_set(e, rc, "arguments and environment of %zu bytes cannot be handed to oneos-init: %s",
                 b.len, strerror(-rc));
    obuf_free(&b);
    return rc < 0 ? rc : take_fd(&fd);
}

int initc_spawn(struct initc *c, const struct init_spawn *s, initc_done_fn *done, void *arg,
                struct oerr *e)
{
    struct imsg m = { .type = IM_SPAWN, .number = s->number };
    struct cproc *p;
    int fd;

    if (c->state == CLINK_GONE)
        return oerr_set(e, -ESHUTDOWN, "%s", c->failure.text);
    if (!s->argv || !s->cwd)
        return oerr_set(e, -EINVAL, "a process needs a command and a folder to run in");
    if (initc_find(c, s->number))
        return oerr_set(e, -EEXIST, "process %u is known already", s->number);
    if (needs_more(s) && c->state == CLINK_READY && c->version < 2)
        return initc_refuse_old(c, e);
    fd = make_request(s, e);
    if (fd < 0)
        return fd;
    p = initc_add(c, s->number);
    if (!p) {
        close(fd);
        return oerr_set(e, -ENOMEM, "no memory for a further process");
    }
    if (++c->last_id == 0)
        c->last_id = 1;
    m.id = p->id = c->last_id;
    p->done = done;
    p->arg = arg;
    p->more = needs_more(s);
    initc_send(c, &m, fd);
    return 0;
}

uint32_t initc_boot(const struct initc *c)
{
    return c->boot;
}

/* 0: p's group can be addressed by its number; -ESRCH: no member is left. While the leader is
 * oneos-init's child, or a member of its group lives, the number is not a stranger's. */
static int check_group(const struct initc *c, const struct cproc *p)
{
    char name[32], text[512];
    int parent;

    snprintf(name, sizeof name, "/proc/%d/stat", p->pid);
    cleanup_fclose FILE *f = fopen(name, "re");
    const char *paren = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;

    if (paren)
        return sscanf(paren + 1, " %*c %d", &parent) == 1 && parent == c->init_pid ? 0 : -ESRCH;
    return kill(-p->pid, 0) == 0 || errno == EPERM ? 0 : -ESRCH;
}

/* Kills also what has left the group, where there are cgroups. */
static void kill_cgroup(const struct initc *c, const struct cproc *p)
{
    char name[sizeof c->cgroups + 32];

    if (!*c->cgroups)
        return;
    snprintf(name, sizeof name, "%s/%u/cgroup.kill", c->cgroups, p->number);
    cleanup_close int fd = open(name, O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "1", 1) < 0)
        log_warn("init", "%s: %s", name, strerror(errno));
}

/* Finds a process that a signal or a nice value can be for. A request for one that is being
 * started goes to oneos-init, behind its spawn. */
static int find_group(struct initc *c, uint32_t number, struct cproc **p, struct oerr *e)
{
    *p = initc_find(c, number);
    if (*p && (*p)->state == CPROC_STARTING)
        return 0;
    if (!*p || check_group(c, *p) < 0)
        return oerr_set(e, -ESRCH, "process %u has ended", number);
    return 0;
}

int initc_signal(struct initc *c, uint32_t number, int sig, struct oerr *e)
{
    struct cproc *p;
    int rc;

    if (sig < 0 || sig > SIGRTMAX)
        return oerr_set(e, -EINVAL, "%d is not a signal", sig);
    rc = find_group(c, number, &p, e);
    if (rc < 0)
        return rc;
    if (p->state == CPROC_STARTING) {
        initc_send(c, &(struct imsg){ IM_SIGNAL, .number = number, .value = sig }, -1);
        return 0;
    }
    if (kill(-p->pid, sig) < 0)
        return oerr_set(e, -errno, "process %u cannot be signalled: %s", number, strerror(errno));
    if (sig == SIGKILL)
        kill_cgroup(c, p);
    return 0;
}

int initc_nice(struct initc *c, uint32_t number, int nice, struct oerr *e)
{
    struct cproc *p;
    int rc;

    if (nice < -20 || nice > 19)
        return oerr_set(e, -EINVAL, "a nice value lies between -20 and 19, not at %d", nice);
    rc = find_group(c, number, &p, e);
    if (rc < 0)
        return rc;
    if (p->state == CPROC_STARTING)
        initc_send(c, &(struct imsg){ IM_NICE, .number = number, .value = nice }, -1);
    else if (setpriority(PRIO_PGRP, (id_t)p->pid, nice) < 0)
        return oerr_set(e, -errno, "process %u cannot be given nice value %d: %s", number, nice,
                        strerror(errno));
    return 0;
}

void initc_closed(struct initc *c, uint32_t number, unsigned which)
{
    if (initc_find(c, number))
        initc_send(c, &(struct imsg){ IM_CLOSED, .number = number, .fds = (uint8_t)which }, -1);
}

void initc_taken(struct initc *c, uint32_t number)
{
    struct cproc *p = initc_find(c, number);

    if (!p || p->state != CPROC_ENDED)
        return;
    initc_forget(c, p);
    initc_send(c, &(struct imsg){ IM_TAKEN, .number = number }, -1);
}

int initc_kill_all(struct initc *c, uint32_t number, struct oerr *e)
{
    struct cproc *p = initc_find(c, number);

    if (!p)
        return oerr_set(e, -ESRCH, "process %u has ended", number);
    if (c->state == CLINK_READY && c->version < 2)
        return p->state == CPROC_ENDED ? 0 : initc_signal(c, number, SIGKILL, e);
    initc_send(c, &(struct imsg){ IM_KILL, .number = number }, -1);
    return 0;
}

/* A lease is told when it is set, and to each oneos-init that we meet. */
void initc_send_lease(struct initc *c)
{
    struct imsg m = { IM_LEASE, .until_ms = c->lease_until };
    struct parcel *p;

    if (!c->lease_until || c->version < 2 ||
        (STAILQ_EMPTY(&c->parcels) && imsg_send(c->watch->fd, &m, NULL, 0) == 0))
        return;
    p = STAILQ_FIRST(&c->parcels);
    if (p && p->m.type == IM_LEASE) {
        p->m = m;
        return;
    }
    p = malloc(sizeof *p);
    if (!p) {
        log_error("init", "no memory to tell oneos-init of the lease");
        return;
    }
    *p = (struct parcel){ .m = m, .fd = -1 };
    STAILQ_INSERT_HEAD(&c->parcels, p, next);
    link_watch_writable(c);
}

void initc_lease(struct initc *c, uint64_t ms)
{
    c->lease_until = now_ms() + (ms < UINT32_MAX ? ms : UINT32_MAX);
    if (c->state == CLINK_READY)
        initc_send_lease(c);
}
