/*
 * procs.c - all processes of this machine: numbers, adoption after a restart, retention.
 *
 * `next` in the folder holds the next number, so that none is given twice. At start the saved
 * records are read, then oneos-init tells what still runs or has ended since; a process that was
 * running and that oneos-init does not know was lost with it.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define SWEEP_MS 10000
#define STOP_MS  10000

struct proc *procs_find(const struct procs *p, uint32_t number)
{
    struct proc *proc;

    HASH_FIND(hh, p->all, &number, sizeof number, proc);
    return proc;
}

void procs_set_mount(struct procs *p, const char *mount)
{
    snprintf(p->mount, sizeof p->mount, "%s", mount);
}

void procs_drop(struct procs *p, struct proc *proc)
{
    char name[PROC_NAME_MAX];

    strcpy(name, proc->rec.name);
    initc_taken(p->init, proc->rec.number);
    proc_destroy(proc, true);
    proctab_drop(p->tab, name);
}

static void sweep(uv_timer_t *timer)
{
    struct procs *p = container_of(timer, struct procs, sweep);
    uint64_t now = now_ms();
    struct proc *proc, *next;

    HASH_ITER (hh, p->all, proc, next) {
        uint64_t age = now - proc->changed_ms;

        if ((proc->rec.state == PROC_ENDED && !*proc->tag.job && age > PROCS_KEEP_MS) ||
            (proc->rec.state == PROC_NEW && !proc->starting && age > PROCS_NEW_MS))
            procs_drop(p, proc);
        else if (proc->rec.state == PROC_ENDED && !proc->saved)
            proc_to_save(proc); /* the disk was full; perhaps it no longer is */
    }
}

/* Who is told of the end may have it forgotten at once. */
static void end_and_settle(struct procs *p, uint32_t number, const struct init_end *end)
{
    struct proc *proc = procs_find(p, number);

    if (proc->rec.state != PROC_ENDED)
        proc_ended(proc, end);
    proc = procs_find(p, number);
    if (proc)
        proc_settle(proc);
}

static void on_adopted(void *arg, struct init_proc *known)
{
    struct procs *p = arg;
    struct proc *proc = procs_find(p, known->number);

    if (!proc) {
        /* Its record was never saved: the daemon died between the two. */
        struct proc_rec rec = { .number = known->number,
                                .state = PROC_RUNNING,
                                .exit = -1,
                                .signal = -1,
                                .created_us = known->started_us,
                                .started_us = known->started_us,
                                .changed_us = known->started_us };

        snprintf(rec.name, sizeof rec.name, "%s.%u", p->self, known->number);
        snprintf(rec.machine, sizeof rec.machine, "%s", p->self);
        snprintf(rec.user, sizeof rec.user, "%s", *known->user ? known->user : p->owner);
        if (proc_create(&proc, p, &rec, NULL) < 0)
            return;
    }
    if (known->number >= p->next)
        p->next = known->number + 1;
    proc_adopted(proc, &known->fds, known->running);
    if (!known->running)
        end_and_settle(p, known->number, &known->end);
}

static void on_ended(void *arg, uint32_t number, const struct init_end *end)
{
    struct procs *p = arg;

    if (procs_find(p, number))
        end_and_settle(p, number, end);
    else
        initc_taken(p->init, number);
    keep_bounds(p);
}

/* What runs without oneos-init knowing it was lost. */
static void lose_running(struct procs *p)
{
    struct init_end end = { .exit = -1, .ended_us = wall_us() };
    cleanup_free uint32_t *numbers = calloc(HASH_COUNT(p->all) + 1, sizeof *numbers);
    size_t n = 0;

    for (struct proc *proc = p->all; numbers && proc; proc = proc->hh.next)
        if (proc->rec.state == PROC_RUNNING || proc->rec.state == PROC_STOPPED)
            numbers[n++] = proc->rec.number;
    for (size_t i = 0; i < n; i++) {
        struct proc *proc = procs_find(p, numbers[i]);

        if (!proc)
            continue; /* who was told of another one had it forgotten */
        proc->cause = CAUSE_LOST;
        proc_ended(proc, &end);
    }
}

static void on_lost(void *arg)
{
    struct procs *p = arg;

    log_error("procs", "oneos-init died; its processes were killed with it");
    lose_running(p);
}

static const struct initc_ops init_ops = { .adopted = on_adopted,
                                           .ended = on_ended,
                                           .lost = on_lost };

static int load_one(struct procs *p, const char *name)
{
    struct oerr e = { "" };
    struct proc *proc;
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (number > UINT32_MAX)
        return 0;
    if (number >= p->next && *end == '.')
        p->next = (uint32_t)number + 1;
    if (strcmp(end, ".json") != 0 || procs_find(p, (uint32_t)number))
        return 0;
    if (proc_load(p, (uint32_t)number, &proc, &e) < 0)
        log_warn("procs", "%s", e.text);
    return 0;
}

static int load_all(struct procs *p, struct oerr *e)
{
    char path[4200], text[32] = "";
    struct dirent *entry;
    DIR *dir;

    if (mkdir(p->dir, 0700) < 0 && errno != EEXIST)
        return oerr_set(e, -errno, "cannot make %s: %s", p->dir, strerror(errno));
    snprintf(path, sizeof path, "%s/next", p->dir);
    p->next_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    dir = p->next_fd >= 0 ? opendir(p->dir) : NULL;
    if (!dir)
        return oerr_set(e, -errno, "cannot read %s: %s", p->dir, strerror(errno));
    p->next = 1;
    if (pread(p->next_fd, text, sizeof text - 1, 0) > 0)
        p->next = (uint32_t)strtoul(text, NULL, 10);
    if (p->next == 0)
        p->next = 1;
    while ((entry = readdir(dir)) != NULL)
        load_one(p, entry->d_name);
    closedir(dir);
    return 0;
}

/* Adopted or lost, by now: told to everybody only here. */
static void settle_loaded(struct procs *p)
{
    struct init_end end = { .exit = -1, .ended_us = wall_us() };

    for (struct proc *proc = p->all; proc; proc = proc->hh.next) {
        bool running = proc->rec.state == PROC_RUNNING || proc->rec.state == PROC_STOPPED;

        if (!proc->adopted && proc->rec.state != PROC_NEW)
            proc_no_output(proc, proc->whole ? 0 : -EIO);
        if (running && !proc->adopted) {
            proc->cause = CAUSE_LOST;
            proc_ended(proc, &end);
        } else {
            proctab_set(p->tab, &proc->rec);
        }
    }
}

static int by_number(const void *a, const void *b)
{
    const struct proc *x = a, *y = b;

    return x->rec.number < y->rec.number ? -1 : x->rec.number > y->rec.number;
}

int procs_create(struct procs **out, struct loop *core, struct loop *data, struct proctab *tab,
                 const struct procs_options *opt, struct oerr *e)
{
    struct procs *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return -ENOMEM;
    p->core = core;
    p->data = data;
    p->tab = tab;
    p->any_user = opt->any_user;
    p->output_limit = opt->output_limit ? opt->output_limit : SPOOL_LIMIT;
    p->next_fd = -1;
    p->keep_bytes = PROCS_KEEP_BYTES;
    snprintf(p->dir, sizeof p->dir, "%s/procs", opt->dir);
    snprintf(p->self, sizeof p->self, "%s", opt->self);
    snprintf(p->owner, sizeof p->owner, "%s", opt->owner);
    snprintf(p->mount, sizeof p->mount, "%s", opt->mount ? opt->mount : "");
    uv_timer_init(loop_uv(core), &p->sweep);
    uv_timer_init(loop_uv(core), &p->saving);
    uv_timer_init(loop_uv(core), &p->draining);
    rc = load_all(p, e);
    if (rc == 0)
        rc = procs_load_slots(p, e);
    if (rc == 0)
        rc = initc_create(&p->init, core, opt->program, opt->dir, &init_ops, p, e);
    if (rc < 0) {
        procs_close(p, false);
        procs_destroy(p);
        return rc;
    }
    HASH_SORT(p->all, by_number);
    settle_loaded(p);
    keep_bounds(p);
    uv_timer_start(&p->sweep, sweep, SWEEP_MS, SWEEP_MS);
    *out = p;
    return 0;
}

void procs_close(struct procs *p, bool stop)
{
    struct proc *proc, *next;

    if (!p)
        return;
    p->closing = true;
    initc_destroy(p->init, stop, STOP_MS); /* it still tells of ends */
    p->init = NULL;
    HASH_ITER (hh, p->all, proc, next)
        proc_destroy(proc, false);
    uv_timer_stop(&p->sweep);
    uv_timer_stop(&p->saving);
    uv_timer_stop(&p->draining);
}

void procs_destroy(struct procs *p)
{
    if (!p)
        return;
    if (p->next_fd >= 0)
        close(p->next_fd);
    slots_close(p->slots);
    uv_close((uv_handle_t *)&p->sweep, NULL);
    uv_close((uv_handle_t *)&p->saving, NULL);
    uv_close((uv_handle_t *)&p->draining, NULL);
    uv_run(loop_uv(p->core), UV_RUN_NOWAIT);
    free(p);
}

size_t procs_count_of(const struct procs *p, const char *user)
{
    size_t n = 0;

    for (const struct proc *proc = p->all; proc; proc = proc->hh.next)
        n += !(proc->listed && *proc->tag.job) && strcmp(proc->rec.user, user) == 0;
    return n;
}

size_t procs_env_bytes_of(const struct procs *p, const char *user)
{
    size_t n = 0;

    for (const struct proc *proc = p->all; proc; proc = proc->hh.next)
        n += strcmp(proc->rec.user, user) == 0 ? proc->env_bytes : 0;
    return n;
}

/* Not yet told to anybody. */
int procs_make(struct procs *p, const char *user, struct proc **out, struct oerr *e)
{
    struct proc_rec rec = { .state = PROC_NEW, .exit = -1, .signal = -1 };
    char text[32];
    int n;

    if (p->closing)
        return oerr_set(e, -ESHUTDOWN, "the daemon on %s stops", p->self);
    if (strcmp(user, p->owner) != 0 && !p->any_user)
        return oerr_set(e, -EPERM,
                        "the daemon on %s runs as %s and cannot run processes of %.60s; start it "
                        "as root for that",
                        p->self, p->owner, user);
    if (keep_live(p) >= PROCS_MAX)
        return oerr_set(e, -EAGAIN, "%s has %d processes already; wait for some to end", p->self,
                        PROCS_MAX);
    if (keep_live(p) >= PROCS_USER_MAX && strcmp(user, "root") != 0 &&
        procs_count_of(p, user) >= PROCS_USER_MAX)
        return oerr_set(e, -EAGAIN, "%.60s has %d processes on %s already; wait for some to end",
                        user, PROCS_USER_MAX, p->self);
    rec.number = p->next++;
    n = snprintf(text, sizeof text, "%u\n", p->next);
    if (pwrite(p->next_fd, text, (size_t)n, 0) != n)
        log_warn("procs", "the next number cannot be saved in %s/next: %s", p->dir,
                 strerror(errno));
    snprintf(rec.name, sizeof rec.name, "%s.%u", p->self, rec.number);
    snprintf(rec.machine, sizeof rec.machine, "%s", p->self);
    snprintf(rec.user, sizeof rec.user, "%s", user);
    rec.created_us = rec.changed_us = wall_us();
    return proc_create(out, p, &rec, e);
}

int procs_new(struct procs *p, const char *user, struct proc **out, struct oerr *e)
{
    int rc = procs_make(p, user, out, e);

    if (rc == 0)
        proctab_set(p->tab, &(*out)->rec);
    return rc;
}

void procs_release(struct procs *p, uint32_t number)
{
    struct proc *proc = procs_find(p, number);

    if (proc && proc->rec.state == PROC_NEW && !proc->starting)
        procs_drop(p, proc);
    else if (proc)
        proc->released = true;
}
