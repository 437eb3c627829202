/*
 * runs.c - the runner's effects and events: procs, the registry, the time.
 *
 * What happens in one turn of the loop is told to the runner as it comes; at the end of the turn
 * runner_step() decides once, so that what ended together is one command.
 */
#include "sched/runs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <utlist.h>

#define REPORT_MS  5000
#define BARRIER_MS 3000
#define CLAIM_MS   5000
#define SECOND_MS  1000
#define AGAIN_MS   200

struct grun *runs_find(const struct runs *r, const struct run_key *k)
{
    struct grun *g;

    HASH_FIND(hh, r->gruns, k, sizeof *k, g);
    return g;
}

/* ---- turns */

static void on_soon(uv_idle_t *idle);

void runs_soon(struct runs *r)
{
    if (!r->closing && !uv_is_active((uv_handle_t *)&r->soon))
        uv_idle_start(&r->soon, on_soon);
}

static void tell_failures(struct runs *r, uint64_t now)
{
    struct failure *f;

    while ((f = r->failures) != NULL) {
        LL_DELETE(r->failures, f);
        if (f->what == START_FAILED)
            runner_started(r->runner, now, &f->key, f->rc, runs_exit_of(f->rc, f->words.text),
                           f->words.text);
        else if (f->what == REPORT_FAILED)
            runner_reported(r->runner, now, f->serial, -EAGAIN);
        else if (f->what == BARRIER_FAILED)
            runner_barriered(r->runner, now, -EAGAIN, NULL);
        else
            runner_claimed(r->runner, now, -EAGAIN);
        free(f);
    }
}

static void failed(struct runs *r, struct failure what)
{
    struct failure *f = malloc(sizeof *f);

    if (!f) { /* what is running would never be told of */
        log_error("jobs", "no memory for the jobs of this machine");
        abort();
    }
    *f = what;
    LL_APPEND(r->failures, f);
}

static void on_timer(uv_timer_t *timer)
{
    runs_soon(container_of(timer, struct runs, timer));
}

/* As the scheduler knows it, once the cluster does. */
static void tell_room(struct runs *r)
{
    const json_t *info = r->cluster ? cluster_info(r->cluster, r->self) : NULL;

    if (!info || r->room_told)
        return;
    r->room_told = true;
    runner_room(r->runner, json_integer_value(json_object_get(info, "cores")) * 1000,
                json_integer_value(json_object_get(info, "memory_bytes")));
}

static void on_soon(uv_idle_t *idle)
{
    struct runs *r = container_of(idle, struct runs, soon);
    uint64_t now = now_ms(), next;
    uint32_t init = procs_boot(r->procs);
    bool read = true;

    uv_idle_stop(idle);
    tell_room(r);
    if (init && init != r->init) {
        r->init = init;
        runner_init(r->runner, now);
    }
    do {
        if (r->reread || runner_unread(r->runner))
            read = runs_read_all(r);
        tell_failures(r, now);
        runner_step(r->runner, now);
    } while (r->failures || (read && runner_unread(r->runner)));
    next = runner_next(r->runner);
    if (!read && (!next || next > now + AGAIN_MS))
        next = now + AGAIN_MS;
    if (next)
        uv_timer_start(&r->timer, on_timer, next > now ? next - now : 1, 0);
    else
        uv_timer_stop(&r->timer);
}

static void on_second(uv_timer_t *timer)
{
    struct runs *r = container_of(timer, struct runs, second);

    wire_second(r);
    open_second(r);
    if (!r->wants && !r->watches)
        uv_timer_stop(timer);
}

void runs_second(struct runs *r)
{
    if (!r->closing && !uv_is_active((uv_handle_t *)&r->second))
        uv_timer_start(&r->second, on_second, SECOND_MS, SECOND_MS);
}

/* ---- effects */

/* What a machine can lack for any job: disk, memory, descriptors. */
static int lacks(int rc)
{
    static const int those[] = { -ENOSPC, -EDQUOT, -EROFS, -ENOMEM, -EMFILE, -ENFILE };

    for (size_t i = 0; i < ARRAY_SIZE(those); i++)
        if (rc == those[i])
            return -ENOSPC;
    return rc;
}

static void fx_start(void *arg, const char *job, const struct run_key *k)
{
    struct runs *r = arg;
    struct oerr e = { "" };
    int rc = runs_start(r, job, k, &e);

    if (rc == 0)
        return;
    if (!*e.text)
        oerr_set(&e, 0, "it cannot be started: %s", strerror(-rc));
    failed(r, (struct failure){ .what = START_FAILED, .key = *k, .rc = lacks(rc), .words = e });
}

static void fx_end(void *arg, const struct run_key *k, int sig, enum job_cause cause)
{
    static const enum proc_cause causes[] = {
        [JOB_TIMEOUT] = CAUSE_TIMEOUT, [JOB_LOSS] = CAUSE_LOST, [JOB_CANCEL] = CAUSE_KILLED
    };
    struct runs *r = arg;
    const struct grun *g = runs_find(r, k);
    struct proc *p = g ? procs_find(r->procs, g->number) : NULL;

    if (!p)
        return;
    proc_end(p, sig, causes[cause], NULL);
    if (sig != SIGKILL) /* one that is stopped would not hear of it */
        proc_signal(p, SIGCONT, NULL);
}

static void fx_forget(void *arg, const struct run_key *k)
{
    struct runs *r = arg;
    struct grun *g = runs_find(r, k);

    if (!g)
        return;
    procs_forget(r->procs, g->number);
    runs_drop(r, g);
}

struct report {
    struct runs *runs;
    uint64_t serial;
};

static void reported(void *arg, int rc, const json_t *body, const char *text)
{
    struct report *x = arg;
    struct runs *r = x->runs;

    (void)body;
    if (!r->closing) {
        if (rc < 0 && rc != -EAGAIN && rc != -ESTALE)
            log_warn("jobs", "the ends of jobs are not taken: %s", text);
        runner_reported(r->runner, now_ms(), x->serial, rc);
        runs_soon(r);
    }
    free(x);
}

static void fx_report(void *arg, uint64_t serial, uint64_t session, const struct job_ended *ends,
                      size_t n, bool later)
{
    int (*submit)(struct replica * r, const char *cmd, json_t *fields, unsigned deadline_ms,
                  replica_done *done, void *arg) = later ? replica_submit_later : replica_submit;
    struct runs *r = arg;
    struct report *x = malloc(sizeof *x);
    json_t *fields = x ? job_end_fields(r->self, session, ends, n, wall_us()) : NULL;

    if (x)
        *x = (struct report){ r, serial };
    if (!fields || submit(r->replica, "job.end", fields, REPORT_MS, reported, x) < 0) {
        free(x);
        failed(r, (struct failure){ .what = REPORT_FAILED, .serial = serial });
    }
}

static void barriered(void *arg, int rc, const json_t *body, const char *text)
{
    struct runs *r = arg;
    struct runner_info own;
    int found;

    (void)body, (void)text;
    if (r->closing)
        return;
    found = rc == 0 ? runs_read_own(r, &own) : 0;
    if (found < 0)
        rc = found;
    runner_barriered(r->runner, now_ms(), rc, found > 0 ? &own : NULL);
    runs_soon(r);
}

static void fx_barrier(void *arg)
{
    struct runs *r = arg;

    if (replica_barrier(r->replica, BARRIER_MS, barriered, r) < 0)
        failed(r, (struct failure){ .what = BARRIER_FAILED });
}

static void fx_lease(void *arg, uint64_t ms)
{
    struct runs *r = arg;

    procs_lease(r->procs, ms);
}

static void claimed(void *arg, int rc, const json_t *body, const char *text)
{
    struct runs *r = arg;

    (void)body;
    if (r->closing)
        return;
    if (rc < 0)
        log_warn("jobs", "no new session for jobs yet: %s", text);
    runner_claimed(r->runner, now_ms(), rc);
    runs_soon(r);
}

static void fx_claim(void *arg, uint64_t session)
{
    struct runs *r = arg;
    json_t *fields = runner_claim_fields(r->self, session, wall_us());

    log_info("jobs", "a new session for jobs begins here");
    if (!fields || replica_submit(r->replica, "runner.claim", fields, CLAIM_MS, claimed, r) < 0)
        failed(r, (struct failure){ .what = CLAIM_FAILED });
}

static const struct runner_fx effects = { .start = fx_start,
                                          .end = fx_end,
                                          .forget = fx_forget,
                                          .report = fx_report,
                                          .barrier = fx_barrier,
                                          .lease = fx_lease,
                                          .claim = fx_claim };

/* ---- processes */

static struct run_key key_of(struct proc *p)
{
    const struct proc_tag *tag = proc_tag(p);

    return (struct run_key){ tag->uid, tag->attempt, tag->group };
}

static void on_started(void *arg, struct proc *p)
{
    (void)arg, (void)p; /* the answer to procs_start() tells it */
}

static void on_ended(void *arg, struct proc *p, const struct init_end *end)
{
    struct runs *r = arg;
    struct run_key k = key_of(p);
    struct job_end how;

    if (r->closing || r->adopting)
        return;
    runs_end_of(r, p, end, &how);
    runner_ended(r->runner, now_ms(), &k, &how);
    runs_soon(r);
}

static const struct procs_job_ops job_ops = { .started = on_started, .ended = on_ended };

static int adopt_one(struct runs *r, struct proc *p)
{
    const struct proc_rec *rec = proc_rec(p);
    struct grun *g = calloc(1, sizeof *g);
    uint64_t age = rec->started_us < wall_us() ? (wall_us() - rec->started_us) / 1000 : 0;
    struct job_end end;
    int rc;

    if (!g)
        return -ENOMEM;
    *g = (struct grun){ .runs = r, .key = key_of(p), .number = rec->number };
    snprintf(g->job, sizeof g->job, "%s", proc_tag(p)->job);
    if (runs_find(r, &g->key)) {
        free(g);
        return -EEXIST;
    }
    HASH_ADD(hh, r->gruns, key, sizeof g->key, g);
    if (rec->state == PROC_ENDED)
        runs_end_of(r, p, proc_end_of(p), &end);
    rc = runner_adopt(r->runner, now_ms(), g->job, &g->key, age,
                      rec->state == PROC_ENDED ? &end : NULL);
    if (rc < 0)
        runs_drop(r, g);
    return rc;
}

static void adopt(struct runs *r)
{
    struct proc *p, *next;

    r->adopting = true;
    procs_on_jobs(r->procs, &job_ops, r);
    r->adopting = false;
    for (p = procs_next_job(r->procs, NULL); p; p = next) {
        next = procs_next_job(r->procs, p);
        if (proc_rec(p)->state != PROC_NEW && adopt_one(r, p) < 0) {
            log_warn("jobs", "%s is of no job that can be taken up; it is ended",
                     proc_rec(p)->name);
            proc_end(p, SIGKILL, CAUSE_LOST, NULL);
        }
    }
}

/* ---- life */

static int boot_number(uint32_t *out, struct oerr *e)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    cleanup_fclose FILE *f = fopen(path, "re");
    char id[64] = "";

    if (!f || !fgets(id, sizeof id, f))
        return oerr_set(e, -EIO,
                        "%s cannot be read: what was started before a boot and what after "
                        "it could not be told apart",
                        path);
    *out = 2166136261u;
    for (const char *c = id; *c; c++)
        *out = (*out ^ (unsigned char)*c) * 16777619u;
    *out += *out == 0;
    return 0;
}

int runs_create(struct runs **out, struct loop *core, const struct runs_options *opt,
                struct oerr *e)
{
    struct runs *r = calloc(1, sizeof *r);
    uint32_t boot = 0;
    int rc;

    if (!r)
        return -ENOMEM;
    *out = r;
    r->core = core;
    snprintf(r->self, sizeof r->self, "%s", opt->self);
    r->cluster = opt->cluster;
    r->replica = opt->replica;
    r->procs = opt->procs;
    r->links = opt->links;
    r->init = procs_boot(opt->procs);
    uv_idle_init(loop_uv(core), &r->soon);
    uv_timer_init(loop_uv(core), &r->timer);
    uv_timer_init(loop_uv(core), &r->second);
    r->handles = 3;
    rc = boot_number(&boot, e);
    if (rc < 0)
        return rc;
    rc = runner_create(&r->runner, r->self, boot, &effects, r);
    if (rc == 0)
        rc = runs_watch(r);
    if (rc < 0)
        return oerr_set(e, rc, "no memory for the jobs of this machine");
    adopt(r);
    r->reread = true;
    runs_soon(r);
    return 0;
}

void runs_set_mount(struct runs *r, const char *mount)
{
    snprintf(r->mount, sizeof r->mount, "%s", mount);
}

void runs_stop(struct runs *r)
{
    runner_stop(r->runner, now_ms());
    runs_soon(r);
}

bool runs_quiet(const struct runs *r)
{
    return runner_quiet(r->runner);
}

void runs_status(const struct runs *r, struct runner_status *s)
{
    runner_status(r->runner, now_ms(), s);
}

void runs_close(struct runs *r)
{
    if (!r || r->closing)
        return;
    r->closing = true;
    runs_unwatch(r);
    replica_cancel(r->replica, r);
    procs_on_jobs(r->procs, NULL, NULL);
    uv_idle_stop(&r->soon);
    uv_timer_stop(&r->timer);
    uv_timer_stop(&r->second);
    wire_close(r);
    open_close(r);
}

static void on_closed(uv_handle_t *handle)
{
    struct runs *r = handle->data;

    if (--r->handles == 0)
        free(r);
}

void runs_destroy(struct runs *r)
{
    struct grun *g, *next;
    struct failure *f;

    if (!r)
        return;
    runs_close(r);
    HASH_ITER (hh, r->gruns, g, next)
        runs_drop(r, g);
    while ((f = r->failures) != NULL) {
        LL_DELETE(r->failures, f);
        free(f);
    }
    runner_destroy(r->runner);
    r->soon.data = r->timer.data = r->second.data = r;
    uv_close((uv_handle_t *)&r->soon, on_closed);
    uv_close((uv_handle_t *)&r->timer, on_closed);
    uv_close((uv_handle_t *)&r->second, on_closed);
}
