/*
 * pipe_guard.c - keeps back the end of file until no machine has a writer of the pipe.
 *
 * All writers that the buffer knows may have closed while another machine's writer, who opened
 * before they did, is still on its way here. So while a buffer has or had writers one more end is
 * open, the guard. When it is the last one, every other machine is asked whether it has a writer or
 * bytes of that pipe:
 *
 *   {"writing": UID}  ->  {"writing": true | false}
 *
 * Nobody has: the guard closes, and readers get their end of file. Somebody has, or does not
 * answer: asked again a moment later. A dead machine cannot be asked: what it told last counts
 * (pipe_stat.c), and when it is lost for longer than a link resumes, the readers get -EIO.
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define AGAIN_MS 20
#define ASK_MS   1000

struct guard_round {
    struct pipes *p;
    uint64_t uid;
    unsigned left;
    bool wait, lost;
};

void pipe_guard_open(struct pipe_flow *pf)
{
    if (pf->epoch && !pf->guard)
        (void)flow_open_writer(pf->flow, true, &pf->guard);
}

void pipe_guard_drop(struct pipe_flow *pf, int how)
{
    struct stream *guard = take_ptr(pf->guard);

    pf->round = NULL;
    if (guard)
        guard->ops->close(guard, how);
}

static void on_again(uv_timer_t *timer)
{
    struct pipes *p = container_of(timer, struct pipes, again);
    struct pipe_flow *pf, *next;

    HASH_ITER (hh, p->flows, pf, next)
        if (pf->guard)
            pipe_flow_check(pf);
}

static void conclude(struct guard_round *r)
{
    struct pipe_flow *pf = pipe_flow_find(r->p, r->uid);
    struct flow_stat st;

    if (pf && pf->round == r) {
        pf->round = NULL;
        flow_stat(pf->flow, &st);
        if (r->lost)
            pipe_guard_drop(pf, -EIO);
        else if (!r->wait && st.writers == 1)
            pipe_guard_drop(pf, 0);
        else if (!uv_is_active((uv_handle_t *)&r->p->again))
            uv_timer_start(&r->p->again, on_again, AGAIN_MS, 0);
    }
    free(r);
}

static void answered(void *arg, int rc, json_t *body, const char *text)
{
    struct guard_round *r = arg;

    (void)text;
    if (rc < 0 || !json_is_false(json_object_get(body, "writing")))
        r->wait = true;
    if (--r->left == 0)
        conclude(r);
}

static void ask(struct guard_round *r, const char *machine)
{
    json_t *body = json_pack("{s:I}", "writing", (json_int_t)r->uid);

    r->left++;
    if (cluster_ask(r->p->cluster, machine, BUS_PIPE, body, ASK_MS, answered, r, NULL) < 0) {
        r->left--;
        r->wait = true;
    }
}

/* A machine that cannot be asked. */
static void judge(struct guard_round *r, const struct member_view *v)
{
    if (!pipe_stat_writing(r->p, v->info.id, r->uid))
        return;
    if (v->state == MEMBER_DEAD && now_ms() < v->since_ms + LINK_RESUME_MS) {
        r->wait = true;
    } else {
        r->lost = true;
        pipe_stat_lost(r->p, v->info.id);
    }
}

void pipe_guard_check(struct pipe_flow *pf, const struct flow_stat *st)
{
    const struct member *m = cluster_members(pf->pipes->cluster);
    struct guard_round *r;

    if (!pf->guard || pf->round || st->writers > 1)
        return;
    r = calloc(1, sizeof *r);
    if (!r)
        return;
    *r = (struct guard_round){ .p = pf->pipes, .uid = pf->uid, .left = 1 };
    pf->round = r;
    for (size_t i = 0; i < member_count(m); i++) {
        const struct member_view *v = member_at(m, i);

        if (!v->trusted || strcmp(v->info.id, pf->pipes->self) == 0)
            continue;
        if (v->state == MEMBER_ALIVE || v->state == MEMBER_SUSPECT)
            ask(r, v->info.id);
        else
            judge(r, v);
    }
    if (--r->left == 0)
        conclude(r);
}

void pipes_asked(struct pipes *p, struct bus_ask *ask, const json_t *body)
{
    struct pipe_flow *pf;
    struct flow_stat st;
    json_int_t uid;
    bool writing;

    if (json_unpack((json_t *)body, "{s:I}", "writing", &uid) < 0) {
        bus_refuse(ask, -EPROTO, "this question about pipes is malformed");
        return;
    }
    pf = pipe_flow_find(p, (uint64_t)uid);
    writing = pf && !pf->epoch && (pf->join || pf->pump);
    if (pf && !pf->epoch && !writing) {
        flow_stat(pf->flow, &st);
        writing = pipe_flow_writes(&st);
    }
    bus_answer(ask, json_pack("{s:b}", "writing", writing));
}
