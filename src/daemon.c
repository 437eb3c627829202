/*
 * daemon.c - starts the parts, in order, and stops them.
 *
 * Ready is a daemon that is mounted and has a registry; it does not wait for one for ever.
 *
 * Stopping: processes get TERM, after ten seconds KILL (not with --handover); the replica hands
 * over what it leads; farewell; the core loop stops; unmount; processes are let go of; the data
 * loop stops; then the parts from the top down. The core's posted tasks still run between those, on
 * this thread, so that none is lost with what it holds: what they call must be there, or know that
 * it closes.
 */
#include "daemon_private.h"
#include "heap.h"
#include "base/blk.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "mountpoint.h"
#include "sched/job_cmd.h"
#include "tree/labels.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define TERM_MS      10000
#define KILL_MS      2000
#define REPORT_MS    3000
#define STOP_POLL_MS 20
#define FAREWELL_MS  50
#define TRIM_MS      5000
#define TRIM_ALL_MS  60000
#define PATIENCE_MS  10000 /* for a registry, before readiness is told without one */

/* After much has passed through, the memory that it took is given back; and now and then what other
 * peaks left, such as the log that another machine lacked. */
static void on_trimming(uv_timer_t *timer)
{
    struct daemon *d = container_of(timer, struct daemon, trimming);
    uint64_t now = now_ms();

    if (!blk_trim() && now < d->trim_all_ms)
        return;
    d->trim_all_ms = now + TRIM_ALL_MS;
    heap_trim();
}

/* ---- stopping */

/* Those of jobs are ended by runs_stop(); they get no second TERM. */
static bool any_running(struct daemon *d, int sig)
{
    bool any = false;

    for (const struct proc_rec *r = NULL; (r = proctab_next(d->sys.proctab, r)) != NULL;)
        if (strcmp(r->machine, d->sys.me->id) == 0 &&
            (r->state == PROC_RUNNING || r->state == PROC_STOPPED)) {
            any = true;
            if (sig && (sig == SIGKILL || !*r->job))
                proc_signal(procs_find(d->sys.procs, r->number), sig, NULL);
        }
    return any;
}

static void on_stopping(uv_timer_t *timer);

static void say_farewell(void *arg)
{
    struct daemon *d = arg;

    cluster_leave(d->sys.cluster);
    d->state = FAREWELL;
    uv_timer_start(&d->stopping, on_stopping, FAREWELL_MS, 0);
}

/* What ran has ended, and the registry has been told of jobs, or does not take it. */
static bool all_ended(struct daemon *d, uint64_t now)
{
    if (any_running(d, 0))
        return false;
    if (!d->ended_ms)
        d->ended_ms = now;
    return runs_quiet(d->sys.runs) || now >= d->ended_ms + REPORT_MS;
}

/* Moves on through the states of stopping. */
static void on_stopping(uv_timer_t *timer)
{
    struct daemon *d = container_of(timer, struct daemon, stopping);
    uint64_t now = now_ms();

    if (d->state == TERMINATING && now >= d->kill_ms) {
        any_running(d, SIGKILL);
        d->state = KILLING;
    }
    if (d->state == FAREWELL) {
        d->state = STOPPED;
        loop_stop(d->core);
    } else if (d->opt.handover || all_ended(d, now) || now >= d->give_up_ms) {
        d->state = LEAVING;
        uv_timer_stop(timer);
        replica_leave(d->sys.replica, say_farewell, d);
    }
}

static void begin_stop(void *arg)
{
    struct daemon *d = arg;

    if (d->state != RUNNING)
        return;
    log_info("oneosd", "%s stops", d->sys.me->id);
    d->state = TERMINATING;
    d->sys.draining = true;
    d->kill_ms = now_ms() + TERM_MS;
    d->give_up_ms = d->kill_ms + KILL_MS;
    if (!d->opt.handover) {
        runs_stop(d->sys.runs);
        any_running(d, SIGCONT);
        any_running(d, SIGTERM);
    }
    uv_timer_start(&d->stopping, on_stopping, 0, STOP_POLL_MS);
}

static void on_signal(uv_signal_t *handle, int sig)
{
    (void)sig;
    begin_stop(handle->data);
}

/* ---- starting */

static void *run_data(void *arg)
{
    heap_keep();
    loop_run(arg);
    return NULL;
}

static int create_loops(struct daemon *d)
{
    int rc = loop_create(&d->core);

    heap_keep(); /* this is the core's thread */
    if (rc == 0)
        rc = loop_create(&d->data);
    if (rc < 0)
        return rc;
    uv_signal_init(loop_uv(d->core), &d->term);
    uv_signal_init(loop_uv(d->core), &d->intr);
    uv_timer_init(loop_uv(d->core), &d->stopping);
    uv_timer_init(loop_uv(d->core), &d->trimming);
    uv_timer_init(loop_uv(d->core), &d->patience);
    uv_timer_init(loop_uv(d->core), &d->publishing);
    uv_timer_start(&d->trimming, on_trimming, TRIM_MS, TRIM_MS);
    d->term.data = d->intr.data = d;
    d->handles = true;
    return 0;
}

/* Only when all parts have put their handles on the data loop: from then on it is its own. */
static int run_data_loop(struct daemon *d)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    rc = -pthread_create(&d->data_thread, NULL, run_data, d->data);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    d->data_runs = rc == 0;
    return rc;
}

static int load_labels(struct daemon *d, json_t **labels, struct oerr *e)
{
    int rc = labels_load(d->sys.me->dir, labels, e);

    for (int i = 0; rc == 0 && i < d->opt.n_labels; i++)
        rc = labels_assign(*labels, d->opt.labels[i], e);
    return rc;
}

static int start_cluster(struct daemon *d, struct oerr *e)
{
    static const struct registry_command *const tables[] = { pipe_commands, job_commands, NULL };
    json_t *labels = NULL;
    int rc = load_labels(d, &labels, e);

    if (rc == 0) {
        struct cluster_options opt = { .listen = d->opt.listen,
                                       .port = d->opt.port,
                                       .join = d->opt.join,
                                       .token = d->opt.token,
                                       .labels = labels };

        rc = cluster_create(&d->sys.cluster, d->core, d->sys.me, d->links, &opt,
                            &daemon_cluster_ops, d, e);
    }
    json_decref(labels);
    if (rc == 0)
        rc = replica_create(&d->sys.replica, d->core, d->sys.me, d->sys.cluster, tables, e);
    if (rc == 0)
        rc = joblist_create(&d->sys.joblist, replica_registry(d->sys.replica));
    if (rc == 0)
        rc = services_create(&d->sys.services, d->core, d->sys.replica, d->sys.me->id);
    if (rc == 0)
        rc = scheduler_create(&d->sys.scheduler, d->core, d->sys.cluster, d->sys.replica, NULL,
                              &daemon_scheduler_ops, d);
    if (rc == 0)
        rc = services_offer(d->sys.services, "scheduler", &scheduler_service, d->sys.scheduler);
    if (rc == 0)
        rc = daemon_watch_members(d);
    if (rc == 0)
        rc = daemon_watch_registry(d);
    return rc;
}

static int start_run(struct daemon *d, struct oerr *e)
{
    struct procs_options opt = { .dir = d->sys.me->dir,
                                 .program = d->opt.program,
                                 .self = d->sys.me->id,
                                 .owner = d->owner,
                                 .any_user = geteuid() == 0,
                                 .output_limit = d->opt.output_limit };
    int rc;

    rc = pipes_create(&d->sys.pipes, d->core, d->sys.cluster, d->links, d->sys.replica,
                      d->sys.me->id, d->sys.me->incarnation, &daemon_pipes_ops, d);
    if (rc < 0)
        return rc;
    daemon_add_topics(d);
    rc = procs_create(&d->sys.procs, d->core, d->data, d->sys.proctab, &opt, e);
    if (rc == 0) {
        struct runs_options runs = { .self = d->sys.me->id,
                                     .cluster = d->sys.cluster,
                                     .replica = d->sys.replica,
                                     .procs = d->sys.procs,
                                     .links = d->links };

        rc = runs_create(&d->sys.runs, d->core, &runs, e);
    }
    return rc;
}

static int start_tree(struct daemon *d, struct oerr *e)
{
    struct tree_env env = { .self = d->sys.me->id,
                            .system = &d->sys,
                            .owner = d->owner,
                            .ask = daemon_tree_ask,
                            .made = daemon_tree_made,
                            .open = daemon_tree_open };
    int rc = tree_create(&d->tree, tree_tables, &env, e);
    cleanup_close int lock = -1;

    if (rc == 0 && !d->opt.no_mount) {
        rc = mountpoint_choose(d->opt.mount, d->sys.me, d->dir, sizeof d->dir, &lock, e);
        if (rc == 0)
            rc = fusefs_mount(&d->fs, d->tree, d->core, d->dir, e);
        if (rc < 0)
            d->dir[0] = '\0';
    }
    if (rc == 0)
        procs_set_mount(d->sys.procs, d->dir);
    if (rc == 0)
        runs_set_mount(d->sys.runs, d->dir);
    if (rc == 0)
        rc = probes_create(&d->probes, d->core, d->sys.cluster, d->sys.me->id, d->dir);
    return rc;
}

static void own_user(struct daemon *d)
{
    struct passwd *pw = getpwuid(geteuid());

    if (pw)
        snprintf(d->owner, sizeof d->owner, "%s", pw->pw_name);
    else
        snprintf(d->owner, sizeof d->owner, "%u", geteuid());
    d->sys.owner = d->owner;
}

int daemon_create(struct daemon **out, const struct daemon_options *opt, struct oerr *e)
{
    struct identity_options who = { .state = opt->state,
                                    .id = opt->id,
                                    .cluster_key_file = opt->cluster_key };
    struct daemon *d = calloc(1, sizeof *d);
    int rc;

    if (!d)
        return -ENOMEM;
    *out = d;
    d->opt = *opt;
    own_user(d);
    d->sys.start_ms = now_ms();
    d->sys.leave = begin_stop;
    d->sys.arg = d;
    rc = identity_load(&d->sys.me, &who, e);
    if (rc == 0)
        rc = create_loops(d);
    if (rc == 0)
        rc = events_create(&d->sys.events);
    if (rc == 0)
        rc = links_create(&d->links, d->data, d->sys.me, opt->listen,
                          opt->port ? (uint16_t)(opt->port + 2) : 0, &daemon_link_ops, d, e);
    if (rc == 0)
        rc = proctab_create(&d->sys.proctab, d->sys.me->id, &daemon_proctab_ops, d);
    if (rc == 0)
        rc = start_cluster(d, e);
    if (rc == 0) { /* from here on oneos-init must be told of the end */
        uv_signal_start(&d->term, on_signal, SIGTERM);
        uv_signal_start(&d->intr, on_signal, SIGINT);
        rc = start_run(d, e);
    }
    if (rc == 0)
        rc = start_tree(d, e);
    if (rc == 0)
        rc = run_data_loop(d);
    if (rc == 0)
        cluster_start(d->sys.cluster);
    return rc;
}

int daemon_exit_status(int rc)
{
    static const struct {
        int rc, status;
    } known[] = { { -EPERM, 77 },   { -EACCES, 77 }, { -ETIME, 77 },
                  { -EBADMSG, 78 }, { -EINVAL, 64 }, { -EPROTONOSUPPORT, 64 } };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].rc == rc)
            return known[i].status;
    return 69;
}

const char *daemon_mount(const struct daemon *d)
{
    return d->dir;
}

const char *daemon_id(const struct daemon *d)
{
    return d->sys.me->id;
}

static void on_ready(void *arg)
{
    struct daemon *d = arg;

    daemon_members_ready(d);
    if (uv_is_active((uv_handle_t *)&d->patience) && d->state == RUNNING)
        loop_stop(d->core);
    uv_timer_stop(&d->patience);
}

static void on_patience(uv_timer_t *timer)
{
    struct daemon *d = container_of(timer, struct daemon, patience);

    if (d->state == RUNNING)
        loop_stop(d->core);
}

bool daemon_await_ready(struct daemon *d, struct oerr *e)
{
    struct replica_health h;

    uv_timer_start(&d->patience, on_patience, PATIENCE_MS, 0);
    replica_when_ready(d->sys.replica, on_ready, d);
    loop_run(d->core);
    if (replica_ready(d->sys.replica) || d->state != RUNNING)
        return true;
    replica_health(d->sys.replica, &h);
    oerr_set(e, -EAGAIN, "%s", h.trouble);
    return false;
}

void daemon_run(struct daemon *d)
{
    if (d->state != STOPPED)
        loop_run(d->core);
}

void daemon_destroy(struct daemon *d)
{
    if (!d)
        return;
    if (d->state == RUNNING && d->sys.cluster) /* it never ran: nobody shall take it for a member */
        cluster_leave(d->sys.cluster);
    d->closing = true;
    fusefs_unmount(d->fs);
    runs_close(d->sys.runs);
    procs_close(d->sys.procs, d->state != RUNNING && !d->opt.handover);
    if (d->data_runs) {
        loop_stop(d->data);
        pthread_join(d->data_thread, NULL);
    }
    pipes_close(d->sys.pipes);
    services_destroy(d->sys.services); /* what they are made of looks at the cluster */
    scheduler_destroy(d->sys.scheduler);
    d->sys.scheduler = NULL;
    cluster_destroy(d->sys.cluster);
    probes_destroy(d->probes);
    joblist_destroy(take_ptr(d->sys.joblist));
    replica_destroy(d->sys.replica);
    pipes_destroy(d->sys.pipes);
    json_decref(d->untold);
    links_destroy(d->links);
    if (d->handles) {
        uv_close((uv_handle_t *)&d->term, NULL);
        uv_close((uv_handle_t *)&d->intr, NULL);
        uv_close((uv_handle_t *)&d->stopping, NULL);
        uv_close((uv_handle_t *)&d->trimming, NULL);
        uv_close((uv_handle_t *)&d->patience, NULL);
        uv_close((uv_handle_t *)&d->publishing, NULL);
    }
    loop_destroy(d->data);
    if (d->core)
        uv_run(loop_uv(d->core), UV_RUN_NOWAIT);
    procs_destroy(d->sys.procs);
    runs_destroy(d->sys.runs);
    tree_destroy(d->tree);
    proctab_destroy(d->sys.proctab);
    events_destroy(d->sys.events);
    fusefs_destroy(d->fs);
    loop_destroy(d->core);
    identity_destroy(d->sys.me);
    free(d);
}
