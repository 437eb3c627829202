/*
 * pipes.c - named pipes: carries out what the pipe names decide. Operations on them are in
 * pipe_open.c.
 *
 *   registry (watch) -> pn_record    each change is read anew, so that the order in which an answer
 *                                    and the news of what it did arrive does not matter
 *   fx.submit -> replica_submit -> pn_record, pn_answered
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

/* A command that the replica was asked for. */
struct asking {
    struct asking *prev, *next;
    struct pipes *p;
    uint64_t call;
    char name[PIPE_NAME_MAX + 1];
};

static void on_tick(uv_timer_t *timer)
{
    struct pipes *p = container_of(timer, struct pipes, tick);

    pn_tick(p->names, now_ms());
    pipes_rearm(p);
}

void pipes_rearm(struct pipes *p)
{
    uint64_t now = now_ms(), next = p->closing ? UINT64_MAX : pn_next(p->names);

    if (next == UINT64_MAX)
        uv_timer_stop(&p->tick);
    else
        uv_timer_start(&p->tick, on_tick, next > now ? next - now : 0, 0);
}

/* ---- the registry */

static void take_record(struct pipes *p, const char *name, const json_t *value)
{
    if (pn_record(p->names, now_ms(), name, value) < 0)
        log_warn("pipes", "what the registry has of pipe %s cannot be used here", name);
}

static void read_one(struct pipes *p, const char *name)
{
    struct registry_view *v;
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    int rc = registry_read(replica_registry(p->replica), &v);

    if (rc < 0) {
        log_warn("pipes", "the registry cannot be read: %s", strerror(-rc));
        return;
    }
    snprintf(key, sizeof key, PIPE_KEY "%s", name);
    rc = view_get(v, key, &value);
    registry_view_end(v);
    if (rc == 0 || rc == -ENOENT)
        take_record(p, name, value);
    json_decref(value);
}

static int read_all(struct pipes *p)
{
    char key[REGISTRY_KEY_MAX], after[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    json_t *value;
    int rc = registry_read(replica_registry(p->replica), &v);

    if (rc < 0)
        return rc;
    pn_all_begin(p->names);
    while (view_next(v, PIPE_KEY, after, key, &value) == 0) {
        take_record(p, key + strlen(PIPE_KEY), value);
        json_decref(value);
        strcpy(after, key);
    }
    registry_view_end(v);
    pn_all_end(p->names);
    return 0;
}

static void on_registry(void *arg, const char *key, const json_t *value)
{
    struct pipes *p = arg;

    (void)value;
    if (p->closing)
        return;
    if (key)
        read_one(p, key + strlen(PIPE_KEY));
    else if (read_all(p) < 0)
        log_warn("pipes", "the registry cannot be read");
    pipes_rearm(p);
}

/* ---- effects */

struct told {
    struct task task;
    struct pipes *p;
    uint64_t uid;
};

/* A new holder: the flow is looked at once the names have returned. */
static void run_told(struct task *t)
{
    struct told *told = container_of(t, struct told, task);
    struct pipe_flow *pf = pipe_flow_find(told->p, told->uid);

    if (pf)
        pipe_flow_check(pf);
    free(told);
}

static void check_later(struct pipes *p, uint64_t uid)
{
    struct told *told = calloc(1, sizeof *told);

    if (!told)
        return;
    *told = (struct told){ .task.run = run_told, .p = p, .uid = uid };
    loop_post(p->core, &told->task);
}

static void fx_changed(void *arg, const struct pipe_info *info, enum pn_change what)
{
    struct pipes *p = arg;
    struct pipe_flow *pf = pipe_flow_find(p, info->uid);

    if (what == PN_ADDED || what == PN_GONE)
        p->ops.changed(p->arg, info->name, what == PN_GONE);
    if (!pf)
        return;
    if (what == PN_CHANGED) {
        flow_set_capacity(pf->flow, info->capacity);
        flow_set_mode(pf->flow, info->mode);
    } else if (what == PN_UNHELD) {
        pipe_flow_drop(pf, -EIO);
    }
    check_later(p, info->uid);
}

static bool fx_let_go(void *arg, uint64_t uid)
{
    struct pipe_flow *pf = pipe_flow_find(arg, uid);
    struct flow_stat st;

    if (!pf || !pf->epoch)
        return true; /* whoever asked for it no longer wanted it */
    flow_stat(pf->flow, &st);
    if (!pipe_flow_idle(&st))
        return false;
    pipe_flow_hold(pf, 0);
    return true;
}

static void answered(void *arg, int rc, const json_t *body, const char *text)
{
    struct asking *a = arg;
    struct pipes *p = a->p;

    (void)body;
    DL_DELETE(p->asked, a);
    read_one(p, a->name);
    pn_answered(p->names, now_ms(), a->call, rc, text);
    pipes_rearm(p);
    free(a);
}

static int fx_submit(void *arg, uint64_t call, const char *cmd, json_t *fields,
                     unsigned deadline_ms)
{
    struct pipes *p = arg;
    struct asking *a = calloc(1, sizeof *a);
    int rc;

    if (!a || p->closing) {
        free(a);
        json_decref(fields);
        return a ? -ECANCELED : -ENOMEM;
    }
    a->p = p;
    a->call = call;
    strncpy(a->name, json_string_value(json_object_get(fields, "name")), sizeof a->name - 1);
    rc = replica_submit(p->replica, cmd, fields, deadline_ms, answered, a);
    if (rc < 0)
        free(a);
    else
        DL_APPEND(p->asked, a);
    return rc;
}

static const struct pn_fx effects = {
    .changed = fx_changed, .submit = fx_submit, .let_go = fx_let_go, .done = pipe_op_done
};

/* ---- life */

static void timers_end(struct pipes *p)
{
    uv_timer_t *const timers[] = { &p->tick, &p->tell, &p->again, &p->look };

    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        uv_close((uv_handle_t *)timers[i], NULL);
    uv_run(loop_uv(p->core), UV_RUN_NOWAIT);
}

int pipes_create(struct pipes **out, struct loop *core, struct cluster *cluster,
                 struct links *links, struct replica *replica, const char *self,
                 uint64_t incarnation, const struct pipes_ops *ops, void *arg)
{
    struct pipes *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return -ENOMEM;
    p->core = core;
    p->cluster = cluster;
    p->links = links;
    p->replica = replica;
    p->ops = *ops;
    p->arg = arg;
    snprintf(p->self, sizeof p->self, "%s", self);
    uv_timer_init(loop_uv(core), &p->tick);
    uv_timer_init(loop_uv(core), &p->tell);
    uv_timer_init(loop_uv(core), &p->again);
    uv_timer_init(loop_uv(core), &p->look);
    pipe_stat_init(p);
    rc = pn_create(&p->names, now_ms(), self, incarnation, &effects, p);
    if (rc == 0)
        rc = registry_watch(replica_registry(replica), PIPE_KEY, on_registry, p);
    if (rc == 0)
        rc = read_all(p);
    if (rc < 0) {
        pipes_destroy(p);
        return rc;
    }
    pipes_rearm(p);
    *out = p;
    return 0;
}

void pipes_close(struct pipes *p)
{
    struct asking *a, *next;

    if (!p || p->closing)
        return;
    p->closing = true;
    uv_timer_stop(&p->tick);
    uv_timer_stop(&p->tell);
    registry_unwatch(replica_registry(p->replica), on_registry, p);
    DL_FOREACH_SAFE(p->asked, a, next)
    {
        replica_cancel(p->replica, a);
        free(a);
    }
    p->asked = NULL;
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
    pn_destroy(p->names);
    timers_end(p);
    pipe_stat_free(p);
    free(p);
}

const struct cluster_topic *pipes_topic(struct pipes *p)
{
    return &p->topic;
}

void pipes_member(struct pipes *p, const struct member_view *v)
{
    pn_member(p->names, now_ms(), v->info.id, v->info.incarnation, v->state);
    if (v->state == MEMBER_LEFT || v->state == MEMBER_GONE)
        pipe_stat_lost(p, v->info.id);
    pipes_rearm(p);
}

const struct pipe_info *pipes_find(const struct pipes *p, const char *name)
{
    return pn_find(p->names, name);
}

size_t pipes_count(const struct pipes *p)
{
    return pn_count(p->names);
}

const struct pipe_info *pipes_at(const struct pipes *p, size_t i)
{
    return pn_at(p->names, i);
}
