/*
 * pipes.c - named pipes: carries out what the rendezvous core decides, and opens the ends.
 *
 * A reader asks who holds the buffer, then opens a channel there (pipe_join.c); refused, it asks
 * again, until RV_DEADLINE_MS.
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "run/rendezvous_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* An operation of the core under way. */
struct op {
    struct pipes *p;
    pipes_done_fn *done; /* make, remove, set */
    void *arg;
    struct later *later; /* open_reader */
    char name[PIPE_NAME_MAX + 1];
    uint64_t deadline;
    struct pipe_join *join;
};

static void rearm(struct pipes *p);

static void on_tick(uv_timer_t *timer)
{
    struct pipes *p = container_of(timer, struct pipes, tick);

    rv_tick(p->rv, now_ms());
    rearm(p);
}

static void rearm(struct pipes *p)
{
    uint64_t now = now_ms(), next = p->closing ? UINT64_MAX : rv_next(p->rv);

    if (next == UINT64_MAX)
        uv_timer_stop(&p->tick);
    else
        uv_timer_start(&p->tick, on_tick, next > now ? next - now : 0, 0);
}

/* ---- effects */

struct told {
    struct task task;
    struct pipes *p;
    struct pipe_uid uid;
};

/* A new holder: the flow is looked at once the core has returned. */
static void run_told(struct task *t)
{
    struct told *told = container_of(t, struct told, task);
    struct pipe_flow *pf = pipe_flow_find(told->p, &told->uid);

    if (pf)
        pipe_flow_check(pf);
    free(told);
}

static void check_later(struct pipes *p, const struct pipe_uid *uid)
{
    struct told *told = calloc(1, sizeof *told);

    if (!told)
        return;
    *told = (struct told){ .task.run = run_told, .p = p, .uid = *uid };
    loop_post(p->core, &told->task);
}

static void fx_changed(void *arg, const struct pipe_info *info, enum rv_change what)
{
    struct pipes *p = arg;
    struct pipe_flow *pf = pipe_flow_find(p, &info->uid);

    if (what == RV_ADDED || what == RV_RENAMED)
        p->ops.changed(p->arg, info->name, false);
    if (what == RV_GONE)
        p->ops.changed(p->arg, info->name, true);
    if (!pf)
        return;
    if (what == RV_CHANGED) {
        flow_set_capacity(pf->flow, info->capacity);
        flow_set_mode(pf->flow, info->mode);
    } else if (what == RV_UNHELD) {
        pipe_flow_drop(pf, -EIO);
    }
    check_later(p, &info->uid);
}

struct asking {
    struct pipes *p;
    uint64_t call;
};

static void asked_done(void *arg, int rc, json_t *body, const char *text)
{
    struct asking *a = arg;
    struct rv_msg m;

    (void)text;
    if (rc == 0)
        rc = rv_msg_decode(&m, body, NULL);
    rv_answered(a->p->rv, now_ms(), a->call, rc, rc == 0 ? &m : NULL);
    if (rc == 0)
        rv_msg_free(&m);
    rearm(a->p);
    free(a);
}

static void run_unreachable(struct task *t);

struct unreachable {
    struct task task;
    struct asking *a;
};

static void fx_ask(void *arg, const char *to, uint64_t call, const struct rv_msg *q)
{
    struct pipes *p = arg;
    struct asking *a = p->closing ? NULL : malloc(sizeof *a);
    json_t *body = rv_msg_encode(q);
    struct unreachable *u;

    if (!a || !body) {
        free(a);
        json_decref(body);
        return; /* the core's own deadline ends it */
    }
    *a = (struct asking){ p, call };
    if (cluster_ask(p->cluster, to, BUS_CLAIM, body, RV_ASK_MS, asked_done, a, NULL) == 0)
        return;
    u = malloc(sizeof *u);
    if (!u) {
        free(a);
        return;
    }
    *u = (struct unreachable){ .task.run = run_unreachable, .a = a };
    loop_post(p->core, &u->task);
}

static void run_unreachable(struct task *t)
{
    struct unreachable *u = container_of(t, struct unreachable, task);

    asked_done(u->a, -EHOSTUNREACH, NULL, "");
    free(u);
}

static void fx_answer(void *arg, void *ask, const struct rv_msg *m)
{
    json_t *body = rv_msg_encode(m);

    (void)arg;
    if (body)
        bus_answer(ask, body);
    else
        bus_refuse(ask, -ENOMEM, "out of memory");
}

static void reader_found(struct op *op, int rc, const struct pipe_info *info);

static void fx_done(void *arg, void *handle, int rc, const struct pipe_info *info, const char *text)
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

static const struct rv_fx effects = {
    .changed = fx_changed, .ask = fx_ask, .answer = fx_answer, .done = fx_done
};

/* ---- life */

int pipes_create(struct pipes **out, struct loop *core, struct cluster *cluster,
                 struct links *links, const char *self, uint64_t incarnation,
                 const struct pipes_ops *ops, void *arg)
{
    struct pipes *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return -ENOMEM;
    p->core = core;
    p->cluster = cluster;
    p->links = links;
    p->ops = *ops;
    p->arg = arg;
    snprintf(p->self, sizeof p->self, "%s", self);
    rc = rv_create(&p->rv, self, incarnation, &effects, p);
    if (rc < 0) {
        free(p);
        return rc;
    }
    uv_timer_init(loop_uv(core), &p->tick);
    uv_timer_init(loop_uv(core), &p->tell);
    uv_timer_init(loop_uv(core), &p->again);
    uv_timer_init(loop_uv(core), &p->look);
    pipe_stat_init(p);
    *out = p;
    return 0;
}

void pipes_close(struct pipes *p)
{
    if (!p)
        return;
    p->closing = true;
    uv_timer_stop(&p->tick);
    uv_timer_stop(&p->tell);
}

void pipes_destroy(struct pipes *p)
{
    struct pipe_flow *pf, *next;

    if (!p)
        return;
    pipes_close(p);
    HASH_ITER (hh, p->flows, pf, next)
        pipe_flow_drop(pf, -EIO);
    pipe_joins_end(p);
    uv_close((uv_handle_t *)&p->tick, NULL);
    uv_close((uv_handle_t *)&p->tell, NULL);
    uv_close((uv_handle_t *)&p->again, NULL);
    uv_close((uv_handle_t *)&p->look, NULL);
    uv_run(loop_uv(p->core), UV_RUN_NOWAIT);
    rv_destroy(p->rv);
    pipe_stat_free(p);
    free(p);
}

const struct cluster_topic *pipes_topic(struct pipes *p)
{
    return &p->topic;
}

void pipes_member(struct pipes *p, const struct member_view *v)
{
    if (v->state == MEMBER_GONE)
        rv_forget(p->rv, now_ms(), v->info.id);
    else if (v->state != MEMBER_PENDING)
        rv_member(p->rv, now_ms(), v->info.id, v->info.incarnation, v->state);
    if (v->state == MEMBER_LEFT || v->state == MEMBER_GONE)
        pipe_stat_lost(p, v->info.id);
    rearm(p);
}

void pipes_asked(struct pipes *p, struct bus_ask *ask, const char *from, const json_t *body)
{
    struct oerr e = { "" };
    struct rv_msg m;
    int rc;

    if (pipe_guard_asked(p, ask, body))
        return;
    rc = rv_msg_decode(&m, body, &e);
    if (rc < 0) {
        bus_refuse(ask, rc, "%s", e.text);
        return;
    }
    rv_asked(p->rv, now_ms(), from, ask, &m);
    rv_msg_free(&m);
    rearm(p);
}

/* ---- operations */

static struct op *op_new(struct pipes *p, pipes_done_fn *done, void *arg)
{
    struct op *op = calloc(1, sizeof *op);

    if (op)
        *op = (struct op){ .p = p, .done = done, .arg = arg };
    return op;
}

/* The core answered a call at once, or parked it. */
static int began(struct pipes *p, struct op *op, int rc)
{
    if (rc <= 0)
        free(op);
    rearm(p);
    return rc;
}

int pipes_make(struct pipes *p, const char *name, const char *user, bool excl, pipes_done_fn *done,
               void *arg, struct oerr *e)
{
    struct pipe_options opt = {
        .mode = FLOW_STREAM, .owner = user, .created_us = wall_us(), .excl = excl
    };
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, rv_make(p->rv, now_ms(), name, &opt, op, NULL, e)) : -ENOMEM;
}

int pipes_remove(struct pipes *p, const char *name, pipes_done_fn *done, void *arg, struct oerr *e)
{
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, rv_remove(p->rv, now_ms(), name, op, e)) : -ENOMEM;
}

int pipes_set(struct pipes *p, const char *name, int mode, uint64_t capacity, pipes_done_fn *done,
              void *arg, struct oerr *e)
{
    struct op *op = op_new(p, done, arg);

    return op ? began(p, op, rv_set(p->rv, now_ms(), name, mode, capacity, op, NULL, e)) : -ENOMEM;
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
        reader_end(op, rc == -ESTALE ? -EHOSTUNREACH : rc, channel);
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

/* The core told where the buffer is, or why not. */
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
    int rc = rv_open_reader(op->p->rv, now_ms(), op->name, op, &info, NULL);

    rearm(op->p);
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
    op->deadline = now_ms() + RV_DEADLINE_MS;
    find_holder(op);
    return 0;
}

static int open_writer(struct pipes *p, const char *name, bool quiet, struct stream **out)
{
    struct pipe_flow *pf;
    struct pipe_info info;
    int rc = rv_open_writer(p->rv, name, &info, NULL);

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
    return json_is_object(json_object_get(spec, "pipe"));
}

int pipes_serve(struct pipes *p, const json_t *spec, struct stream **out, int *dir)
{
    struct pipe_uid uid = { 0 };
    json_int_t inc, serial, epoch;
    const char *home, *way;
    struct pipe_flow *pf;
    struct stream *end;
    int rc;

    if (json_unpack((json_t *)spec, "{s:{s:s, s:I, s:I}, s:I, s:s}", "pipe", "home", &home, "inc",
                    &inc, "serial", &serial, "epoch", &epoch, "dir", &way) < 0 ||
        strlen(home) >= sizeof uid.home)
        return -EPROTO;
    strcpy(uid.home, home);
    uid.incarnation = (uint64_t)inc;
    uid.serial = (uint64_t)serial;
    pf = pipe_flow_find(p, &uid);
    if (!pf || !rv_holds(p->rv, &uid, (uint64_t)epoch))
        return -ESTALE;
    if (*way != 'r')
        pipe_guard_open(pf);
    rc = *way == 'r' ? flow_open_reader(pf->flow, &end) : flow_open_writer(pf->flow, false, &end);
    if (rc == 0)
        rc = pipe_door(out, end);
    *dir = *way == 'r' ? LINK_READ : LINK_READ | LINK_WRITE;
    return rc;
}

const struct pipe_info *pipes_find(const struct pipes *p, const char *name)
{
    return rv_find(p->rv, name);
}

size_t pipes_count(const struct pipes *p)
{
    return rv_count(p->rv);
}

const struct pipe_info *pipes_at(const struct pipes *p, size_t i)
{
    return rv_at(p->rv, i);
}
