/*
 * daemon_talk.c - who tells whom what.
 *
 *   cluster  -> replica, pipes, scheduler, proctab    machines come, go, are lost
 *   cluster  -> tree, pipes, runs, replica            what other machines ask
 *   proctab  -> cluster (publish), events
 *   links    -> tree, pipes, runs                     channels that other machines open
 *   tree     -> cluster (ask), links (open)           what other machines own
 */
#include "daemon_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define PUBLISH_MS 20 /* processes of jobs, for people who look */

static void on_machine(void *arg, const struct member_view *v, enum member_state from)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    if (d->sys.pipes)
        pipes_member(d->sys.pipes, v);
    scheduler_member(d->sys.scheduler, v);
    if (d->sys.replica)
        replica_machine(d->sys.replica);
    if (v->state == MEMBER_ALIVE && from != MEMBER_SUSPECT)
        proctab_back(d->sys.proctab, v->info.id);
    if (v->state == MEMBER_GONE)
        proctab_forget(d->sys.proctab, v->info.id);
    events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "machine", "machine",
                                         v->info.id, "state", member_state_name(v->state)));
}

static void on_learned(void *arg, const char *id)
{
    struct daemon *d = arg;

    if (!d->closing)
        scheduler_learned(d->sys.scheduler, id);
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

static void on_publishing(uv_timer_t *timer)
{
    struct daemon *d = container_of(timer, struct daemon, publishing);

    proctab_publish(d->sys.proctab);
}

static void publish_later(void *arg)
{
    struct daemon *d = arg;

    if (!d->closing)
        uv_timer_start(&d->publishing, on_publishing, PUBLISH_MS, 0);
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

    (void)from;
    if (d->closing)
        bus_refuse(ask, -ESHUTDOWN, "%s stops", d->sys.me->id);
    else if (type == BUS_TREE)
        answer_first(d, ask, body);
    else if (type == BUS_PIPE)
        pipes_asked(d->sys.pipes, ask, body);
    else if (type == BUS_JOB)
        runs_asked(d->sys.runs, ask, body);
    else if (type == BUS_REGISTRY)
        replica_asked(d->sys.replica, ask, body);
    else if (type == BUS_RUNNABLE)
        probes_asked(d->probes, ask, body);
    else
        bus_refuse(ask, -ENOSYS, "%s does not know this question", d->sys.me->id);
}

const struct cluster_ops daemon_cluster_ops = {
    .changed = on_machine, .learned = on_learned, .lost = on_machine_lost, .asked = on_asked
};

static void on_proc(void *arg, const struct proc_rec *r, bool gone)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    if (events_heard(d->sys.events))
        events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "process", "proc", r->name,
                                             "state", gone ? "gone" : proc_state_name(r->state)));
    if (gone) {
        char path[PROC_NAME_MAX + 8];

        snprintf(path, sizeof path, "procs/%s", r->name);
        fusefs_gone(d->fs, path);
    }
}

const struct proctab_ops daemon_proctab_ops = { .changed = on_proc,
                                                .publish = publish_proc,
                                                .later = publish_later };

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

/* The kernel remembers no name of a pipe, so it need not be told (fusefs_gone() must not). */
static void on_pipe(void *arg, const char *name, bool gone)
{
    struct daemon *d = arg;

    if (d->closing)
        return;
    events_tell(d->sys.events, json_pack("{s:s, s:s, s:s}", "event", "pipe", "pipe", name, "state",
                                         gone ? "gone" : "made"));
}

const struct pipes_ops daemon_pipes_ops = { .changed = on_pipe };

/* What the scheduler wants to know of a machine. */
struct question {
    struct daemon *d;
    uint64_t id;
};

static void on_probed(void *arg, int exit, const char *words)
{
    struct question *q = arg;

    if (q->d->sys.scheduler)
        scheduler_probed(q->d->sys.scheduler, q->id, exit, words);
    free(q);
}

static void ask_probe(void *arg, uint64_t id, const char *machine, const struct sched_need *need)
{
    struct question *q = malloc(sizeof *q);
    struct oerr e = { .text = "there is no memory left" };
    struct daemon *d = arg;
    int rc = -ENOMEM;

    if (q) {
        q->d = d;
        q->id = id;
        rc = probe_ask(d->probes, machine, need, on_probed, q, &e);
    }
    if (rc == 0)
        return;
    scheduler_probed(d->sys.scheduler, id, -1, e.text);
    free(q);
}

static const char *tell_near(void *arg, const char *path)
{
    struct daemon *d = arg;

    near_machine(&d->sys, path, d->near);
    return *d->near ? d->near : NULL;
}

const struct scheduler_ops daemon_scheduler_ops = { .probe = ask_probe, .near = tell_near };

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
    } else if (runs_spec(spec)) {
        rc = runs_serve(in->d->sys.runs, spec, &s, &dir);
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

const struct link_ops daemon_link_ops = { .open = on_chan };

int daemon_tree_ask(void *system, const char *machine, json_t *body, unsigned deadline_ms,
                    bus_done_fn *done, void *arg)
{
    struct system *sys = system;

    return cluster_ask(sys->cluster, machine, BUS_TREE, body, deadline_ms, done, arg, NULL);
}

void daemon_tree_made(void *system, const char *machine, const json_t *record)
{
    struct system *sys = system;

    if (proctab_learn(sys->proctab, machine, record) < 0)
        log_warn("oneosd", "%s made a process whose record is not well formed", machine);
}

int daemon_tree_open(void *system, const char *machine, const char *spec, struct stream **out)
{
    struct daemon *d = container_of(system, struct daemon, sys);

    return link_open(d->links, machine, spec, out);
}

void daemon_add_topics(struct daemon *d)
{
    struct cluster_topic procs = { .name = "procs",
                                   .seq = topic_seq,
                                   .all = topic_all,
                                   .apply = topic_apply,
                                   .replace = topic_replace,
                                   .behind = topic_behind,
                                   .arg = d->sys.proctab };

    cluster_topic_add(d->sys.cluster, &procs);
    cluster_topic_add(d->sys.cluster, pipes_topic(d->sys.pipes));
}
