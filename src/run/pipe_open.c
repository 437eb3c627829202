/*
 * pipe_open.c - operations on pipes: they are made, removed and set, and their ends opened, by this
 * machine or for another.
 *
 * A reader asks who holds the buffer, then opens a channel there (pipe_join.c); refused, it asks
 * again, until PN_DEADLINE_MS.
 */
#include "run/pipes_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* An operation under way. */
struct op {
    struct pipes *p;
    pipes_done_fn *done; /* make, remove, set */
    void *arg;
    struct later *later; /* open_reader */
    char name[PIPE_NAME_MAX + 1];
    uint64_t deadline;
    struct pipe_join *join;
};

static struct op *op_new(struct pipes *p, pipes_done_fn *done, void *arg)
{
    struct op *op = calloc(1, sizeof *op);

    if (op)
        *op = (struct op){ .p = p, .done = done, .arg = arg };
    return op;
}

/* It was answered at once, or parked. */
static int began(struct pipes *p, struct op *op, int rc)
{
    if (rc <= 0)
        free(op);
    pipes_rearm(p);
    return rc;
}

static void reader_found(struct op *op, int rc, const struct pipe_info *info);

void pipe_op_done(void *arg, void *handle, int rc, const struct pipe_info *info, const char *text)
{
    struct op *op = handle;

    (void)arg;
    if (op->later) {
        reader_found(op, rc, info);
        return;
    }
    if (op->done)
        op->done(op->arg, rc, text);
    free(op);
}

int pipes_make(struct pipes *p, const char *name, const char *user, unsigned perm, bool excl,
               pipes_done_fn *done, void *arg, struct oerr *e)
{
    struct pipe_options opt = {
        .mode = FLOW_STREAM, .owner = user, .perm = perm, .made_us = wall_us(), .excl = excl
    };
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, pn_make(p->names, now_ms(), name, &opt, op, e)) : -ENOMEM;
}

int pipes_remove(struct pipes *p, const char *name, pipes_done_fn *done, void *arg, struct oerr *e)
{
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, pn_remove(p->names, now_ms(), name, op, e)) : -ENOMEM;
}

int pipes_set(struct pipes *p, const char *name, const struct pipe_set *set, pipes_done_fn *done,
              void *arg, struct oerr *e)
{
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, pn_set(p->names, now_ms(), name, set, op, e)) : -ENOMEM;
}

/* The end of opening a reader. */
static void reader_end(struct op *op, int rc, struct stream *s)
{
    later_found(op->later, s, rc);
    free(op);
}

static void find_holder(struct op *op);

static void reader_joined(void *arg, int rc, struct stream *channel)
{
    struct op *op = arg;

    op->join = NULL;
    if (rc == -ESTALE && now_ms() < op->deadline)
        find_holder(op);
    else
        reader_end(op, rc == -ESTALE ? -EAGAIN : rc, channel);
}

static int open_here(struct pipes *p, const struct pipe_info *info, struct stream **out)
{
    struct pipe_flow *pf;
    int rc = pipe_flow_get(p, info, &pf);

    if (rc < 0)
        return rc;
    pipe_flow_hold(pf, info->epoch);
    return flow_open_reader(pf->flow, out);
}

/* Where the buffer is, or why not. */
static void reader_found(struct op *op, int rc, const struct pipe_info *info)
{
    struct stream *s = NULL;
    bool here;

    if (rc == 0 && !later_wanted(op->later))
        rc = -ECANCELED; /* a reader that nobody has would make the writers' pipe break */
    here = rc == 0 && strcmp(info->holder, op->p->self) == 0;
    if (here)
        rc = open_here(op->p, info, &s);
    else if (rc == 0)
        rc = pipe_join(&op->join, op->p, info, 'r', reader_joined, op);
    if (here || rc < 0)
        reader_end(op, rc, s);
}

static void find_holder(struct op *op)
{
    struct pipe_info info;
    int rc = pn_open_reader(op->p->names, now_ms(), op->deadline, op->name, op, &info, NULL);

    pipes_rearm(op->p);
    if (rc != 1)
        reader_found(op, rc, &info);
}

static int open_reader(struct pipes *p, const char *name, struct stream **out)
{
    struct op *op = op_new(p, NULL, NULL);
    int rc = op ? later_create(&op->later, out) : -ENOMEM;

    if (rc < 0) {
        free(op);
        return rc;
    }
    snprintf(op->name, sizeof op->name, "%s", name);
    op->deadline = now_ms() + PN_DEADLINE_MS;
    find_holder(op);
    return 0;
}

static int open_writer(struct pipes *p, const char *name, bool quiet, struct stream **out)
{
    struct pipe_flow *pf;
    struct pipe_info info;
    int rc = pn_open_writer(p->names, name, &info, NULL);

    if (rc == 0)
        rc = pipe_flow_get(p, &info, &pf);
    if (rc == 0) {
        pipe_guard_open(pf);
        rc = flow_open_writer(pf->flow, quiet, out);
    }
    return rc;
}

int pipes_open(struct pipes *p, const char *name, int flags, bool quiet, struct stream **out)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return open_reader(p, name, out);
    case O_WRONLY:
        return open_writer(p, name, quiet, out);
    default:
        return -EINVAL; /* a pipe has two ends */
    }
}

bool pipes_spec(const json_t *spec)
{
    return json_is_integer(json_object_get(spec, "pipe"));
}

/* The buffer that another machine's reader or writer looks for; NULL: it is not here. One that only
 * lingers is not kept from a reader elsewhere. */
static struct pipe_flow *serving(struct pipes *p, uint64_t uid, uint64_t epoch, bool reads)
{
    struct pipe_flow *pf = pipe_flow_find(p, uid);
    struct flow_stat st;

    if (!pf || pf->epoch != epoch || !pn_holds(p->names, uid, epoch))
        return NULL;
    flow_stat(pf->flow, &st);
    if (!reads || !pipe_flow_idle(&st))
        return pf;
    pn_yield(p->names, now_ms(), uid);
    pipes_rearm(p);
    return NULL;
}

int pipes_serve(struct pipes *p, const json_t *spec, struct stream **out, int *dir)
{
    json_int_t uid, epoch;
    struct pipe_flow *pf;
    struct stream *end;
    const char *way;
    int rc;

    if (json_unpack((json_t *)spec, "{s:I, s:I, s:s}", "pipe", &uid, "epoch", &epoch, "dir", &way) <
        0)
        return -EPROTO;
    pf = serving(p, (uint64_t)uid, (uint64_t)epoch, *way == 'r');
    if (!pf)
        return -ESTALE;
    if (*way != 'r')
        pipe_guard_open(pf);
    rc = *way == 'r' ? flow_open_reader(pf->flow, &end) : flow_open_writer(pf->flow, false, &end);
    if (rc == 0)
        rc = pipe_door(out, end);
    *dir = *way == 'r' ? LINK_READ : LINK_READ | LINK_WRITE;
    return rc;
}
