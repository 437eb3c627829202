/*
 * runs_open.c - streams of whole jobs: stdin, stdout, stderr, and the verdict.
 *
 * A job's stdout comes out of one process, its stderr out of many. They are pumped into one flow,
 * whose end waits for the registry's word: a reader must not take the output of an attempt that was
 * lost for the whole.
 */
#include "sched/runs_private.h"
#include "base/cleanup.h"
#include "run/pump.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#define GATHER_CAPACITY (1024 * 1024)

/* One that waits for the job to begin. */
struct jopen {
    enum proc_stdio which;
    struct later *later;
    struct jopen *prev, *next;
};

struct source {
    struct gather *gather;
    struct pump *pump;
    bool over;
    int rc;
};

/* Readers' end of one attempt. */
struct gather {
    struct runs *runs;
    struct jwatch *watch;
    uint64_t uid;
    uint32_t attempt;
    struct source *sources;
    size_t n;
    struct gather *prev, *next;
};

/* ---- what is waited for of a job */

static struct jwatch *find(const struct runs *r, const char *job)
{
    struct jwatch *w;

    HASH_FIND_STR(r->watches, job, w);
    return w;
}

static struct jwatch *watch(struct runs *r, const char *job)
{
    struct jwatch *w = find(r, job);

    if (w || !(w = calloc(1, sizeof *w)))
        return w;
    snprintf(w->name, sizeof w->name, "%s", job);
    HASH_ADD_STR(r->watches, name, w);
    runs_second(r);
    return w;
}

static void unwatch_if_idle(struct runs *r, struct jwatch *w)
{
    if (w->verdict || w->opens || w->gathers || w->held)
        return;
    HASH_DEL(r->watches, w);
    free(w);
}

bool open_waits(const struct runs *r, const char *job)
{
    return find(r, job) != NULL;
}

/* ---- gathering */

static void end_gather(struct gather *g, int how)
{
    DL_DELETE(g->watch->gathers, g);
    for (size_t i = 0; i < g->n; i++) {
        struct source *s = &g->sources[i];

        if (s->pump && s->over)
            pump_end(s->pump, s->rc < 0 ? s->rc : how);
        else if (s->pump)
            pump_stop(s->pump, how < 0 ? how : -EIO);
    }
    free(g->sources);
    free(g);
}

/* How the attempt's readers end: 1: not yet. */
static int verdict_for(const struct job *j, const struct gather *g)
{
    if (j->uid != g->uid || j->attempt > g->attempt)
        return j->uid == g->uid && j->end.cause != JOB_LOSS ? 0 : -EIO;
    if (!job_is_over(j->state) && j->state != JOB_PENDING)
        return 1;
    return j->end.cause == JOB_LOSS ? -EIO : 0;
}

static bool all_read(const struct gather *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->sources[i].over)
            return false;
    return true;
}

/* Ends it when all was read and the registry has spoken. */
static void settle_gather(struct gather *g, const struct job *j)
{
    int how = verdict_for(j, g);

    if (how <= 0 && all_read(g))
        end_gather(g, how);
}

static void source_ended(void *arg, int rc)
{
    struct source *s = arg;
    struct gather *g = s->gather;
    struct runs *r = g->runs;
    struct jwatch *w = g->watch;
    struct job j;

    s->over = true;
    s->rc = rc;
    if (rc < 0) { /* it broke, or nobody reads any more */
        end_gather(g, rc);
    } else if (all_read(g)) {
        rc = runs_read_job(r, w->name, &j);
        if (rc < 0)
            end_gather(g, rc == -ENOENT ? -EIO : rc);
        if (rc == 0) {
            settle_gather(g, &j);
            job_clear(&j);
        }
    }
    unwatch_if_idle(r, w);
}

static bool has_stream(const struct plan *plan, size_t group, enum proc_stdio which)
{
    const struct plan_group *g = &plan->groups[group];

    if (which == PROC_STDOUT)
        return (int)group == plan->stdout_group;
    return g->err_to == PLAN_NONE;
}

static int add_source(struct gather *g, const struct job *j, const struct plan *plan, size_t group,
                      enum proc_stdio which, struct flow *flow)
{
    struct run_key k = { j->uid, j->attempt, (uint32_t)group };
    struct source *s = &g->sources[g->n];
    struct stream *from, *to;
    int rc = wire_open(g->runs, plan->groups[group].machine, j->name, &k, which, false, &from);

    if (rc < 0)
        return rc;
    rc = flow_open_writer(flow, false, &to);
    if (rc < 0) {
        from->ops->close(from, rc);
        return rc;
    }
    s->gather = g;
    rc = pump_start(&s->pump, g->runs->core, from, NULL, to, source_ended, s);
    g->n += rc == 0;
    return rc;
}

static int add_sources(struct gather *g, const struct job *j, const struct plan *plan,
                       enum proc_stdio which, struct flow *flow)
{
    int rc = 0;

    for (size_t i = 0; i < plan->n && rc == 0; i++)
        if (has_stream(plan, i, which))
            rc = add_source(g, j, plan, i, which, flow);
    return rc;
}

/* A reader that is at its end, at once. */
static int no_bytes(struct flow *flow)
{
    struct stream *w;
    int rc = flow_open_writer(flow, false, &w);

    if (rc == 0)
        w->ops->close(w, 0);
    return rc;
}

static int gather(struct runs *r, const struct job *j, const struct plan *plan,
                  enum proc_stdio which, struct stream **out)
{
    struct gather *g = calloc(1, sizeof *g);
    struct jwatch *w = watch(r, j->name);
    struct flow *flow = NULL;
    int rc = g && w && (g->sources = calloc(plan->n, sizeof *g->sources)) ? 0 : -ENOMEM;

    if (rc == 0)
        rc = flow_create(&flow, GATHER_CAPACITY, FLOW_STREAM);
    if (rc < 0) {
        if (w)
            unwatch_if_idle(r, w);
        if (g)
            free(g->sources);
        free(g);
        return rc;
    }
    g->runs = r;
    g->watch = w;
    g->uid = j->uid;
    g->attempt = j->attempt;
    DL_APPEND(w->gathers, g);
    rc = flow_open_reader(flow, out);
    if (rc == 0) {
        rc = add_sources(g, j, plan, which, flow);
        if (rc == 0 && g->n == 0)
            rc = no_bytes(flow);
        if (rc < 0)
            (*out)->ops->close(*out, rc);
    }
    if (rc < 0 || g->n == 0)
        end_gather(g, rc);
    unwatch_if_idle(r, w);
    flow_unref(flow);
    return rc;
}

/* ---- opening */

/* It has been placed. */
static int open_placed(struct runs *r, const struct job *j, enum proc_stdio which,
                       struct stream **out)
{
    struct run_key k = { j->uid, j->attempt, 0 };
    struct planned what;
    int rc = runs_plan(j, &what, NULL);

    if (rc < 0)
        return rc;
    if (which != PROC_STDIN) {
        rc = gather(r, j, &what.plan, which, out);
    } else if (what.plan.stdin_group == PLAN_NONE) {
        rc = -EPIPE;
    } else {
        k.group = (uint32_t)what.plan.stdin_group;
        rc = wire_open(r, what.plan.groups[k.group].machine, j->name, &k, which, false, out);
    }
    runs_unplan(&what);
    return rc;
}

/* It was over before it was placed anywhere: nothing was written. */
static int open_never_placed(const struct job *j, struct stream **out)
{
    struct flow *flow;
    int rc;

    if (j->end.cause == JOB_LOSS)
        return -EIO;
    rc = flow_create(&flow, 1, FLOW_STREAM);
    if (rc < 0)
        return rc;
    rc = no_bytes(flow);
    if (rc == 0)
        rc = flow_open_reader(flow, out);
    flow_unref(flow);
    return rc;
}

/* It waits to be placed, for the first time or again. */
static bool begins_later(const struct job *j)
{
    return j->state < JOB_RUNNING;
}

/* What is over reads nothing: its machine is not asked, since a write there is answered before it
 * arrives, and what it takes would be lost without a word. */
static int open_now(struct runs *r, const struct job *j, enum proc_stdio which, struct stream **out)
{
    if (which == PROC_STDIN && job_is_over(j->state))
        return -EPIPE;
    return j->n_groups ? open_placed(r, j, which, out) : open_never_placed(j, out);
}

static int open_later(struct runs *r, const char *job, enum proc_stdio which, struct stream **out)
{
    struct jwatch *w = watch(r, job);
    struct jopen *o = calloc(1, sizeof *o);
    int rc = w && o ? later_create(&o->later, out) : -ENOMEM;

    if (rc < 0) {
        free(o);
        if (w)
            unwatch_if_idle(r, w);
        return rc;
    }
    o->which = which;
    DL_APPEND(w->opens, o);
    return 0;
}

int runs_open(struct runs *r, const char *job, enum proc_stdio which, struct stream **out)
{
    struct job j;
    int rc = r->closing ? -ESHUTDOWN : runs_read_job(r, job, &j);

    if (rc < 0)
        return rc;
    if (j.counts)
        rc = -EINVAL;
    else if (begins_later(&j))
        rc = open_later(r, job, which, out);
    else
        rc = open_now(r, &j, which, out);
    job_clear(&j);
    return rc;
}

static void answer_opens(struct runs *r, struct jwatch *w, const struct job *j, int rc)
{
    struct jopen *o;

    while ((o = w->opens) != NULL) {
        struct stream *s = NULL;

        DL_DELETE(w->opens, o);
        if (j)
            rc = open_now(r, j, o->which, &s);
        later_found(o->later, s, rc);
        free(o);
    }
}

/* ---- the verdict */

static void discard(struct ioreq *io, ssize_t rc)
{
    (void)rc;
    slices_free(&io->bytes);
    free(io);
}

static void tell_verdict(struct jwatch *w, const struct job *j)
{
    struct flow *flow = take_ptr(w->verdict);
    struct ioreq *io = calloc(1, sizeof *io);
    struct stream *to = NULL;
    char line[130];

    if (!flow) {
        free(io);
        return;
    }
    job_verdict(j, line);
    strcat(line, "\n");
    if (io && slices_copy(&io->bytes, line, strlen(line)) == 0 &&
        flow_open_writer(flow, false, &to) == 0) {
        io->done = discard;
        io->nonblock = true;
        to->ops->write(to, io);
        to->ops->close(to, 0);
    } else {
        if (io)
            slices_free(&io->bytes);
        free(io);
        flow_break(flow, -ENOMEM);
    }
    flow_unref(flow);
}

int runs_wait(struct runs *r, const char *job, struct stream **out)
{
    struct jwatch *w;
    struct job j;
    int rc = r->closing ? -ESHUTDOWN : runs_read_job(r, job, &j);

    if (rc < 0)
        return rc;
    w = watch(r, job);
    rc = !w ? -ENOMEM : w->verdict ? 0 : flow_create(&w->verdict, 4096, FLOW_BROADCAST);
    if (rc == 0)
        rc = flow_open_reader(w->verdict, out);
    if (rc == 0 && job_is_over(j.state))
        tell_verdict(w, &j);
    if (w)
        unwatch_if_idle(r, w);
    job_clear(&j);
    return rc;
}

/* ---- events */

void open_job(struct runs *r, const struct job *j)
{
    struct jwatch *w = find(r, j->name);
    struct gather *g, *next;

    if (!w)
        return;
    if (job_is_over(j->state))
        tell_verdict(w, j);
    w->held = true;
    if (!begins_later(j))
        answer_opens(r, w, j, 0);
    DL_FOREACH_SAFE(w->gathers, g, next)
    {
        settle_gather(g, j);
    }
    w->held = false;
    unwatch_if_idle(r, w);
}

void open_gone(struct runs *r, const char *job)
{
    struct jwatch *w = find(r, job);

    if (!w)
        return;
    answer_opens(r, w, NULL, -ENOENT);
    while (w->gathers)
        end_gather(w->gathers, -EIO);
    if (w->verdict) {
        flow_break(w->verdict, -ENOENT);
        flow_unref(take_ptr(w->verdict));
    }
    unwatch_if_idle(r, w);
}

/* Readers that have gone are not seen while a source is silent. */
void open_second(struct runs *r)
{
    struct jwatch *w, *next;

    HASH_ITER (hh, r->watches, w, next) {
        struct flow_stat st = { .readers = 1 };

        for (struct gather *g = w->gathers; g; g = g->next)
            for (size_t i = 0; i < g->n; i++)
                if (!g->sources[i].over)
                    pump_look(g->sources[i].pump);
        if (w->verdict)
            flow_stat(w->verdict, &st);
        if (st.readers == 0)
            flow_unref(take_ptr(w->verdict));
        unwatch_if_idle(r, w);
    }
}

void open_close(struct runs *r)
{
    struct jwatch *w, *next;

    HASH_ITER (hh, r->watches, w, next) {
        char name[JOB_NAME_MAX];

        strcpy(name, w->name);
        open_gone(r, name);
    }
}
