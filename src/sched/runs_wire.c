/*
 * runs_wire.c - streams of single processes of jobs, on this machine or through a channel.
 *
 * Spec of a channel: {"run": {"job", "uid", "attempt", "group", "io": 0|1|2, "wire": bool}}.
 *
 * Whoever asks before the process is there waits: for a wire, or where the job is not known here
 * yet, RUNS_WIRE_MS; else until the record says that its group has ended without one.
 */
#include "sched/runs_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

/* ---- streams that are over */

/* A reader that is at its end, or a writer whose reader has gone. */
static int open_empty(enum proc_stdio which, struct stream **out)
{
    struct stream *other = NULL;
    struct flow *flow;
    int rc = flow_create(&flow, 1, FLOW_STREAM);

    if (rc < 0)
        return rc;
    if (which == PROC_STDIN) {
        rc = flow_open_reader(flow, &other);
        if (rc == 0)
            rc = flow_open_writer(flow, false, out);
    } else {
        rc = flow_open_writer(flow, false, &other);
        if (rc == 0)
            rc = flow_open_reader(flow, out);
    }
    if (other)
        other->ops->close(other, 0);
    flow_unref(flow);
    return rc;
}

/* ---- what waits */

static int open_here(struct runs *r, const struct grun *g, enum proc_stdio which, bool wire,
                     struct stream **out)
{
    struct proc *p = procs_find(r->procs, g->number);

    if (!p)
        return -EIO;
    return wire ? proc_wire(p, which, out) : proc_open_whole(p, which, out);
}

static void answer(struct runs *r, struct want *w, struct stream *s, int rc)
{
    DL_DELETE(r->wants, w);
    later_found(w->later, s, rc);
    free(w);
}

static void answer_from(struct runs *r, struct want *w, const struct grun *g)
{
    struct stream *s = NULL;
    int rc = open_here(r, g, w->which, w->wire, &s);

    answer(r, w, s, rc);
}

static int wait_for(struct runs *r, const char *job, const struct run_key *k, enum proc_stdio which,
                    bool wire, bool known, struct stream **out)
{
    struct want *w = calloc(1, sizeof *w);
    int rc = w ? later_create(&w->later, out) : -ENOMEM;

    if (rc < 0) {
        free(w);
        return rc;
    }
    w->key = *k;
    snprintf(w->job, sizeof w->job, "%s", job);
    w->which = which;
    w->wire = wire;
    w->until = wire || !known ? now_ms() + RUNS_WIRE_MS : 0;
    DL_APPEND(r->wants, w);
    runs_second(r);
    return 0;
}

void wire_ready(struct runs *r, const struct grun *g)
{
    struct want *w, *next;

    DL_FOREACH_SAFE(r->wants, w, next)
    {
        if (memcmp(&w->key, &g->key, sizeof w->key) == 0)
            answer_from(r, w, g);
    }
}

/* The group has no process, and will have none. */
static void answer_over(struct runs *r, struct want *w, const struct job_end *end)
{
    struct stream *s = NULL;
    int rc = -EIO;

    if (!w->wire && end && end->cause != JOB_LOSS)
        rc = open_empty(w->which, &s);
    answer(r, w, s, rc);
}

static bool is_over(const struct job *j, const struct run_key *k)
{
    return j->uid != k->uid || j->attempt > k->attempt ||
           (j->attempt == k->attempt &&
            (k->group >= j->n_groups || j->groups[k->group].end.cause != JOB_NOT_ENDED));
}

void wire_job(struct runs *r, const struct job *j)
{
    struct want *w, *next;

    DL_FOREACH_SAFE(r->wants, w, next)
    {
        bool ours = strcmp(w->job, j->name) == 0 && is_over(j, &w->key);
        bool known = ours && j->uid == w->key.uid && j->attempt == w->key.attempt &&
                     w->key.group < j->n_groups;

        if (ours && !runs_find(r, &w->key))
            answer_over(r, w, known ? &j->groups[w->key.group].end : NULL);
    }
}

void wire_gone(struct runs *r, const char *job)
{
    struct want *w, *next;

    DL_FOREACH_SAFE(r->wants, w, next)
    {
        if (strcmp(w->job, job) == 0)
            answer_over(r, w, NULL);
    }
}

void wire_second(struct runs *r)
{
    struct want *w, *next;

    DL_FOREACH_SAFE(r->wants, w, next)
    {
        if ((w->until && now_ms() >= w->until) || !later_wanted(w->later))
            answer(r, w, NULL, -ETIMEDOUT);
    }
}

void wire_close(struct runs *r)
{
    while (r->wants)
        answer(r, r->wants, NULL, -ESHUTDOWN);
}

/* ---- opening */

/* Its group has ended, and there is no process of it here. */
static int open_over(const struct job *j, const struct run_key *k, enum proc_stdio which, bool wire,
                     struct stream **out)
{
    bool lost = j->uid != k->uid || j->attempt != k->attempt || k->group >= j->n_groups ||
                j->groups[k->group].end.cause == JOB_LOSS;

    return wire ? -ESTALE : lost ? -EIO : open_empty(which, out);
}

/* It is, or will be, on this machine; which may be behind, and know nothing of it yet. */
static int open_local(struct runs *r, const char *job, const struct run_key *k,
                      enum proc_stdio which, bool wire, struct stream **out)
{
    const struct grun *g = runs_find(r, k);
    struct job j;
    int rc;

    if (g && g->number)
        return open_here(r, g, which, wire, out);
    rc = runs_read_job(r, job, &j);
    if (rc == -ENOENT)
        return wait_for(r, job, k, which, wire, false, out);
    if (rc < 0)
        return rc;
    rc = is_over(&j, k) ? open_over(&j, k, which, wire, out)
                        : wait_for(r, job, k, which, wire, true, out);
    job_clear(&j);
    return rc;
}

int wire_open(struct runs *r, const char *machine, const char *job, const struct run_key *k,
              enum proc_stdio which, bool wire, struct stream **out)
{
    char *spec;
    json_t *j;
    int rc;

    if (strcmp(machine, r->self) == 0)
        return open_local(r, job, k, which, wire, out);
    j = json_pack("{s:{s:s, s:I, s:I, s:I, s:i, s:b}}", "run", "job", job, "uid",
                  (json_int_t)k->uid, "attempt", (json_int_t)k->attempt, "group",
                  (json_int_t)k->group, "io", (int)which, "wire", (int)wire);
    spec = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    rc = spec ? link_open(r->links, machine, spec, out) : -ENOMEM;
    free(spec);
    return rc;
}

bool runs_spec(const json_t *spec)
{
    return json_object_get(spec, "run") != NULL;
}

int runs_serve(struct runs *r, const json_t *spec, struct stream **out, int *dir)
{
    json_int_t uid, attempt, group;
    struct run_key k;
    const char *job;
    int io, wire;

    if (json_unpack((json_t *)spec, "{s:{s:s, s:I, s:I, s:I, s:i, s:b}}", "run", "job", &job, "uid",
                    &uid, "attempt", &attempt, "group", &group, "io", &io, "wire", &wire) < 0 ||
        uid <= 0 || attempt <= 0 || attempt > UINT32_MAX || group < 0 || group >= JOB_GROUPS_MAX ||
        io < PROC_STDIN || io > PROC_STDERR || (wire && io == PROC_STDIN))
        return -EPROTO;
    if (r->closing)
        return -ESHUTDOWN;
    k = (struct run_key){ (uint64_t)uid, (uint32_t)attempt, (uint32_t)group };
    *dir = io == PROC_STDIN ? LINK_WRITE : LINK_READ;
    return open_local(r, job, &k, (enum proc_stdio)io, wire, out);
}
