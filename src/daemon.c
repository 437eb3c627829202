/*
 * daemon.c - wires the parts: who tells whom what.
 *
 *   cluster  -> pipes, proctab      machines come, go, are lost
 *   proctab  -> cluster (publish), events
 *   links    -> tree, pipes         channels that other machines open
 *   tree     -> cluster (ask), links (open)   what other machines own
 *
 * Stopping: processes get TERM, after ten seconds KILL (not with --handover); farewell; the core
 * loop stops; unmount; processes are let go of; the data loop stops; then the parts from the top
 * down. The core's posted tasks still run between those, on this thread, so that none is lost with
 * what it holds: what they call must be there, or know that it closes.
 */
#include "daemon.h"
#include "base/blk.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "fuse/fusefs.h"
#include "mountpoint.h"
#include "tree/labels.h"
#include "tree/system.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define TERM_MS      10000
#define KILL_MS      2000
#define STOP_POLL_MS 20
#define FAREWELL_MS  50
#define TRIM_MS      5000

struct daemon {
    struct daemon_options opt;
    struct system sys;
    char owner[TREE_USER_MAX];
    char dir[4096]; /* the mount */
    struct loop *core, *data;
    pthread_t data_thread;
    bool data_runs;
    struct links *links;
    struct tree *tree;
    struct fusefs *fs;
    uv_signal_t term, intr;
    uv_timer_t stopping, trimming;
    bool handles;
    bool closing; /* the parts go, one by one */
    uint64_t kill_ms, give_up_ms;
    bool answering; /* a question of another machine is being looked at */
    json_t *untold; /* what it changed: told to all once its answer is on the way */
    enum { RUNNING, TERMINATING, KILLING, FAREWELL } state;
};

/* ---- who tells whom */

static void on_machine(void *arg, const struct member_view *v, enum member_state from)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    if (d->sys.pipes)
        pipes_member(d->sys.pipes, v);
    if (v->state == MEMBER_ALIVE && from != MEMBER_SUSPECT)
        proctab_back(d->sys.proctab, v->info.id);
    if (v->state == MEMBER_GONE)
        proctab_forget(d->sys.proctab, v->info.id);
    events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "machine", "machine",
                                         v->info.id, "state", member_state_name(v->state)));
}

static void on_machine_lost(void *arg, const char *id)
{
    struct daemon *d = arg;

    proctab_lost(d->sys.proctab, id);
}

static void served(void *arg, int rc, json_t *reply, const char *text)
{
    if (rc < 0)
        bus_refuse(arg, rc, "%s", text);
    else
        bus_answer(arg, reply);
}

static void publish_proc(void *arg, json_t *change)
{
    struct daemon *d = arg;

    if (d->answering)
        json_array_append_new(d->untold, change);
    else
        cluster_publish(d->sys.cluster, "procs", change);
}

/* Whoever asked does not wait until all others have been told. */
static void answer_first(struct daemon *d, struct bus_ask *ask, json_t *body)
{
    size_t i;
    json_t *change;

    d->answering = d->untold || (d->untold = json_array()) != NULL;
    tree_serve(d->tree, body, served, ask);
    d->answering = false;
    json_array_foreach (d->untold, i, change)
        cluster_publish(d->sys.cluster, "procs", json_incref(change));
    json_array_clear(d->untold);
}

static void on_asked(void *arg, struct bus_ask *ask, const char *from, enum bus_type type,
                     json_t *body)
{
    struct daemon *d = arg;

    if (d->closing)
        bus_refuse(ask, -ESHUTDOWN, "%s stops", d->sys.me->id);
    else if (type == BUS_TREE)
        answer_first(d, ask, body);
    else if (type == BUS_CLAIM)
        pipes_asked(d->sys.pipes, ask, from, body);
    else
        bus_refuse(ask, -ENOSYS, "%s does not know this question", d->sys.me->id);
}

static const struct cluster_ops cluster_ops = { .changed = on_machine,
                                                .lost = on_machine_lost,
                                                .asked = on_asked };

static void on_proc(void *arg, const struct proc_rec *r, bool gone)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "process", "proc", r->name,
                                         "state", gone ? "gone" : proc_state_name(r->state)));
    if (gone) {
        char path[PROC_NAME_MAX + 8];

        snprintf(path, sizeof path, "procs/%s", r->name);
        fusefs_gone(d->fs, path);
    }
}

static const struct proctab_ops proctab_ops = { .changed = on_proc, .publish = publish_proc };

static uint64_t topic_seq(void *arg)
{
    return proctab_seq(arg);
}

static json_t *topic_all(void *arg)
{
    return proctab_all(arg);
}

static int topic_apply(void *arg, const char *from, const json_t *change)
{
    return proctab_apply(arg, from, change);
}

static int topic_replace(void *arg, const char *from, const json_t *all)
{
    return proctab_replace(arg, from, all);
}

static bool topic_behind(void *arg, const char *from, uint64_t seq)
{
    return proctab_behind(arg, from, seq);
}

static void on_pipe(void *arg, const char *name, bool gone)
{
    struct daemon *d = arg;
    char path[PIPE_NAME_MAX + 8];

    if (d->closing)
        return;
    snprintf(path, sizeof path, "pipes/%s", name);
    if (gone)
        fusefs_gone(d->fs, path);
    events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "pipe", "pipe", name, "state",
                                         gone ? "gone" : "made"));
}

static const struct pipes_ops pipes_ops = { .changed = on_pipe };

/* A channel that another machine opened: data loop; the tree is the core's. */
struct incoming {
    struct task task;
    struct daemon *d;
    struct chan *chan;
    char spec[];
};

static void run_incoming(struct task *t)
{
    struct incoming *in = container_of(t, struct incoming, task);
    json_t *spec = json_loads(in->spec, 0, NULL);
    struct stream *s = NULL;
    int dir = 0, accmode, rc;

    if (in->d->closing) {
        rc = -ESHUTDOWN;
    } else if (pipes_spec(spec)) {
        rc = pipes_serve(in->d->sys.pipes, spec, &s, &dir);
    } else {
        static const int dirs[] = { LINK_READ, LINK_WRITE, LINK_READ | LINK_WRITE };

        rc = tree_serve_open(in->d->tree, in->spec, &s, &accmode);
        if (rc == 0)
            dir = dirs[accmode];
    }
    json_decref(spec);
    if (rc < 0)
        link_refuse(in->chan, rc);
    else
        link_accept(in->chan, s, dir);
    free(in);
}

static void on_chan(void *arg, struct chan *chan, const char *peer, const char *spec)
{
    struct daemon *d = arg;
    struct incoming *in = malloc(sizeof *in + strlen(spec) + 1);

    (void)peer;
    if (!in) {
        link_refuse(chan, -ENOMEM);
        return;
    }
    in->task.run = run_incoming;
    in->d = d;
    in->chan = chan;
    strcpy(in->spec, spec);
    loop_post(d->core, &in->task);
}

static const struct link_ops link_ops = { .open = on_chan };

static int tree_ask(void *system, const char *machine, json_t *body, unsigned deadline_ms,
                    bus_done_fn *done, void *arg)
{
    struct system *sys = system;

    return cluster_ask(sys->cluster, machine, BUS_TREE, body, deadline_ms, done, arg, NULL);
}

static void tree_made(void *system, const char *machine, const json_t *record)
{
    struct system *sys = system;

    if (proctab_learn(sys->proctab, machine, record) < 0)
        log_warn("oneosd", "%s made a process whose record is not well formed", machine);
}

static int tree_open_there(void *system, const char *machine, const char *spec, struct stream **out)
{
    struct daemon *d = container_of(system, struct daemon, sys);

    return link_open(d->links, machine, spec, out);
}

/* After much has passed through, the memory that it took is given back. */
static void on_trimming(uv_timer_t *timer)
{
    (void)timer;
    if (blk_trim())
        malloc_trim(0);
}

/* ---- stopping */

static bool any_running(struct daemon *d, int sig)
{
    bool any = false;

    for (const struct proc_rec *r = NULL; (r = proctab_next(d->sys.proctab, r)) != NULL;)
        if (strcmp(r->machine, d->sys.me->id) == 0 &&
            (r->state == PROC_RUNNING || r->state == PROC_STOPPED)) {
            any = true;
            if (sig)
                proc_signal(procs_find(d->sys.procs, r->number), sig, NULL);
        }
    return any;
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
        loop_stop(d->core);
    } else if (d->opt.handover || !any_running(d, 0) || now >= d->give_up_ms) {
        cluster_leave(d->sys.cluster);
        d->state = FAREWELL;
        uv_timer_start(timer, on_stopping, FAREWELL_MS, 0);
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
    loop_run(arg);
    return NULL;
}

static int start_loops(struct daemon *d)
{
    sigset_t all, old;
    int rc = loop_create(&d->core);

    if (rc == 0)
        rc = loop_create(&d->data);
    if (rc < 0)
        return rc;
    uv_signal_init(loop_uv(d->core), &d->term);
    uv_signal_init(loop_uv(d->core), &d->intr);
    uv_timer_init(loop_uv(d->core), &d->stopping);
    uv_timer_init(loop_uv(d->core), &d->trimming);
    uv_timer_start(&d->trimming, on_trimming, TRIM_MS, TRIM_MS);
    d->term.data = d->intr.data = d;
    d->handles = true;
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
    json_t *labels = NULL;
    int rc = load_labels(d, &labels, e);

    if (rc == 0) {
        struct cluster_options opt = { .listen = d->opt.listen,
                                       .port = d->opt.port,
                                       .join = d->opt.join,
                                       .token = d->opt.token,
                                       .labels = labels };

        rc =
            cluster_create(&d->sys.cluster, d->core, d->sys.me, d->links, &opt, &cluster_ops, d, e);
    }
    json_decref(labels);
    return rc;
}

static int start_run(struct daemon *d, struct oerr *e)
{
    struct cluster_topic topic = { .name = "procs",
                                   .seq = topic_seq,
                                   .all = topic_all,
                                   .apply = topic_apply,
                                   .replace = topic_replace,
                                   .behind = topic_behind,
                                   .arg = d->sys.proctab };
    struct procs_options opt = { .dir = d->sys.me->dir,
                                 .program = d->opt.program,
                                 .self = d->sys.me->id,
                                 .owner = d->owner,
                                 .any_user = geteuid() == 0 };
    int rc;

    cluster_topic_add(d->sys.cluster, &topic);
    rc = pipes_create(&d->sys.pipes, d->core, d->sys.cluster, d->links, d->sys.me->id,
                      d->sys.me->incarnation, &pipes_ops, d);
    if (rc < 0)
        return rc;
    cluster_topic_add(d->sys.cluster, pipes_topic(d->sys.pipes));
    return procs_create(&d->sys.procs, d->core, d->data, d->sys.proctab, &opt, e);
}

static int start_tree(struct daemon *d, struct oerr *e)
{
    struct tree_env env = { .self = d->sys.me->id,
                            .system = &d->sys,
                            .owner = d->owner,
                            .ask = tree_ask,
                            .made = tree_made,
                            .open = tree_open_there };
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
    d->sys.start_us = wall_us();
    d->sys.leave = begin_stop;
    d->sys.arg = d;
    rc = identity_load(&d->sys.me, &who, e);
    if (rc == 0)
        rc = start_loops(d);
    if (rc == 0)
        rc = events_create(&d->sys.events);
    if (rc == 0)
        rc = links_create(&d->links, d->data, d->sys.me, opt->listen,
                          opt->port ? (uint16_t)(opt->port + 2) : 0, &link_ops, d, e);
    if (rc == 0)
        rc = proctab_create(&d->sys.proctab, d->sys.me->id, &proctab_ops, d);
    if (rc == 0)
        rc = start_cluster(d, e);
    if (rc == 0)
        rc = start_run(d, e);
    if (rc == 0)
        rc = start_tree(d, e);
    if (rc == 0) {
        uv_signal_start(&d->term, on_signal, SIGTERM);
        uv_signal_start(&d->intr, on_signal, SIGINT);
        cluster_start(d->sys.cluster);
    }
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

void daemon_run(struct daemon *d)
{
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
    procs_close(d->sys.procs, d->state != RUNNING && !d->opt.handover);
    if (d->data_runs) {
        loop_stop(d->data);
        pthread_join(d->data_thread, NULL);
    }
    pipes_close(d->sys.pipes);
    cluster_destroy(d->sys.cluster);
    pipes_destroy(d->sys.pipes);
    json_decref(d->untold);
    links_destroy(d->links);
    if (d->handles) {
        uv_close((uv_handle_t *)&d->term, NULL);
        uv_close((uv_handle_t *)&d->intr, NULL);
        uv_close((uv_handle_t *)&d->stopping, NULL);
        uv_close((uv_handle_t *)&d->trimming, NULL);
    }
    loop_destroy(d->data);
    if (d->core)
        uv_run(loop_uv(d->core), UV_RUN_NOWAIT);
    procs_destroy(d->sys.procs);
    tree_destroy(d->tree);
    proctab_destroy(d->sys.proctab);
    events_destroy(d->sys.events);
    fusefs_destroy(d->fs);
    loop_destroy(d->core);
    identity_destroy(d->sys.me);
    free(d);
}
