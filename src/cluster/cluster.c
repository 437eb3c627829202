/*
 * cluster.c - feeds the membership core with what beacon and bus hear, and carries out what it
 * says.
 *
 * Heartbeat: {"inc", "digest", "seqs", "load", "reg"}. HELLO answers {"self"} to anybody and
 * {"members": [VIEW...]} to members; PROBE {"about", "inc"} answers {"heard"}; LEAVE: {"inc"}.
 * Effects that the core causes while it is being called are carried out at once; they never call
 * back into it.
 */
#include "cluster/cluster_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define BEAT_MS 1000
#define ASK_MS  1000
#define TWIN_MS 5000 /* so long a twin counts as there after its last beacon */

struct machine *heard_find(const struct cluster *c, const char *id)
{
    struct machine *m;

    HASH_FIND_STR(c->machines, id, m);
    return m;
}

struct machine *heard_get(struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    if (!m && (m = calloc(1, sizeof *m)) != NULL) {
        snprintf(m->id, sizeof m->id, "%s", id);
        m->changed_us = wall_us();
        HASH_ADD_STR(c->machines, id, m);
    }
    return m;
}

void machine_drop(struct cluster *c, const char *id)
{
    struct machine *m = heard_find(c, id);

    if (!m)
        return;
    HASH_DEL(c->machines, m);
    json_decref(m->info);
    json_decref(m->labels);
    json_decref(m->load);
    json_decref(m->services);
    free(m);
}

/* ---- effects of the membership core */

static void fx_changed(void *arg, const struct member_view *v, enum member_state from)
{
    struct cluster *c = arg;
    struct machine *m;

    log_info("member", "%s %s -> %s", v->info.id, member_state_name(from),
             member_state_name(v->state));
    if (v->state == MEMBER_GONE) {
        machine_drop(c, v->info.id);
    } else if ((m = heard_get(c, v->info.id)) != NULL) {
        m->changed_us = wall_us();
        if (v->state == MEMBER_ALIVE)
            m->lost = false;
        if (v->state == MEMBER_ALIVE && from != MEMBER_SUSPECT)
            m->synced = false; /* the next heartbeat asks for all of it */
    }
    if (c->ops.changed && strcmp(v->info.id, c->self.id) != 0)
        c->ops.changed(c->arg, v, from);
}

static void fx_trust(void *arg, const struct peer_info *p)
{
    struct cluster *c = arg;
    struct oerr e = { "" };

    bus_allow(c->bus, p->id, p->curve_public);
    if (bus_connect(c->bus, p, &e) < 0)
        log_warn("cluster", "cannot connect to %s: %s", p->id, e.text);
    links_peer(c->links, p->id, p->address, p->link_port, p->fingerprint, p->incarnation);
    beacon_now(c->beacon);
}

static void fx_distrust(void *arg, const char *id)
{
    struct cluster *c = arg;

    bus_disconnect(c->bus, id);
    bus_disallow(c->bus, id);
    links_forget(c->links, id);
}

struct probing {
    struct cluster *c;
    char by[ID_MAX], about[ID_MAX];
    uint64_t incarnation;
};

static void probed(void *arg, int rc, json_t *body, const char *text)
{
    struct probing *p = arg;

    (void)text;
    if (rc == 0) {
        member_heard(p->c->member, now_ms(), p->by, p->about, p->incarnation,
                     json_is_true(json_object_get(body, "heard")));
        rearm(p->c);
    }
    free(p);
}

static void fx_probe(void *arg, const char *by, const char *about, uint64_t incarnation)
{
    struct cluster *c = arg;
    struct probing *p = malloc(sizeof *p);

    if (!p)
        return;
    *p = (struct probing){ .c = c, .incarnation = incarnation };
    snprintf(p->by, sizeof p->by, "%s", by);
    snprintf(p->about, sizeof p->about, "%s", about);
    if (bus_ask(c->bus, by, BUS_PROBE,
                json_pack("{s:s, s:I}", "about", about, "inc", (json_int_t)incarnation), ASK_MS,
                probed, p, NULL) < 0)
        free(p);
}

struct pulling {
    struct cluster *c;
    char from[ID_MAX];
};

static void pulled(void *arg, int rc, json_t *body, const char *text)
{
    struct pulling *p = arg;
    json_t *list = rc == 0 ? json_object_get(body, "members") : NULL;
    size_t n = json_array_size(list), good = 0;
    struct member_view *v = calloc(n + 1, sizeof *v);

    (void)text;
    for (size_t i = 0; v && i < n; i++)
        good += member_view_decode(json_array_get(list, i), &v[good]) == 0;
    if (v && good)
        member_list(p->c->member, now_ms(), p->from, v, good);
    rearm(p->c);
    free(v);
    free(p);
}

static void fx_pull(void *arg, const char *from)
{
    struct cluster *c = arg;
    struct pulling *p = malloc(sizeof *p);

    if (!p)
        return;
    p->c = c;
    snprintf(p->from, sizeof p->from, "%s", from);
    if (bus_ask(c->bus, from, BUS_HELLO, json_object(), ASK_MS, pulled, p, NULL) < 0)
        free(p);
}

static const struct member_fx effects = { .changed = fx_changed,
                                          .trust = fx_trust,
                                          .distrust = fx_distrust,
                                          .probe = fx_probe,
                                          .pull = fx_pull };

/* ---- time */

static void on_tick(uv_timer_t *timer)
{
    struct cluster *c = container_of(timer, struct cluster, tick);

    member_tick(c->member, now_ms());
    rearm(c);
}

/* Sets the timer to the core's next time; after every event. */
void rearm(struct cluster *c)
{
    uint64_t now = now_ms(), next = member_next(c->member);

    if (next == UINT64_MAX)
        uv_timer_stop(&c->tick);
    else
        uv_timer_start(&c->tick, on_tick, next > now ? next - now : 0, 0);
}

static void check_lost(struct cluster *c)
{
    uint64_t now = now_ms();

    for (size_t i = 0; i < member_count(c->member); i++) {
        const struct member_view *v = member_at(c->member, i);
        struct machine *m = heard_find(c, v->info.id);
        bool gone = v->state == MEMBER_LEFT ||
                    (v->state == MEMBER_DEAD && now - v->heard_ms >= LINK_RESUME_MS);

        if (m && gone && !m->lost) {
            m->lost = true;
            if (c->ops.lost)
                c->ops.lost(c->arg, m->id);
        }
    }
}

static void publish_beat(struct cluster *c)
{
    json_t *beat = json_pack("{s:I, s:I, s:o, s:O}", "inc", (json_int_t)c->self.incarnation,
                             "digest", (json_int_t)member_digest(c->member), "seqs", live_seqs(c),
                             "load", c->mine->load);

    if (beat && c->replica.standing)
        json_object_set_new(beat, "reg", c->replica.standing(c->replica_arg));
    bus_publish(c->bus, BUS_HEARTBEAT, beat);
}

static void on_beat(uv_timer_t *timer)
{
    struct cluster *c = container_of(timer, struct cluster, beat);

    loop_beat(timer, on_beat, BEAT_MS);
    json_decref(c->mine->load);
    c->mine->load = sysinfo_load(&c->cpu, c->me->dir);
    publish_beat(c);
    check_lost(c);
}

void cluster_beat(struct cluster *c)
{
    if (c->timers && !c->leaving)
        publish_beat(c);
}

/* ---- what is heard */

/* What our own life before said is not news. */
static void on_twin(void *arg, const struct peer_info *p)
{
    struct cluster *c = arg;
    uint64_t now = now_ms();

    if (p->incarnation < c->self.incarnation && now - c->made_ms < TWIN_MS)
        return;
    if (!c->twin_ms)
        log_error("cluster", "another oneosd with the id %s runs at %s: stop one of the two", p->id,
                  p->address);
    c->twin_ms = now;
    strcpy(c->twin, p->address);
}

const char *cluster_twin(const struct cluster *c)
{
    return c->twin_ms && now_ms() - c->twin_ms < TWIN_MS ? c->twin : NULL;
}

static void on_seen(void *arg, const struct peer_info *p, bool ours)
{
    struct cluster *c = arg;

    if (c->leaving)
        return;
    if (!member_find(c->member, p->id))
        beacon_now(c->beacon);
    member_seen(c->member, now_ms(), p, ours);
    if (!ours)
        accepted_seen(c, p);
    rearm(c);
}

static void on_heartbeat(struct cluster *c, const char *from, json_t *body)
{
    struct machine *m = heard_get(c, from);
    json_t *seqs, *load;
    json_int_t inc, digest;

    if (!m || json_unpack(body, "{s:I, s:I, s:o, s:o}", "inc", &inc, "digest", &digest, "seqs",
                          &seqs, "load", &load) < 0)
        return;
    member_heartbeat(c->member, now_ms(), from, (uint64_t)inc, (uint64_t)digest);
    json_incref(load);
    json_decref(m->load);
    m->load = load;
    live_heartbeat(c, from, seqs);
    if (c->replica.heard)
        c->replica.heard(c->replica_arg, from, (uint64_t)inc, json_object_get(body, "reg"));
}

static void on_published(void *arg, const char *from, enum bus_type type, json_t *body)
{
    struct cluster *c = arg;
    json_int_t inc;

    if (type == BUS_HEARTBEAT)
        on_heartbeat(c, from, body);
    else if (type == BUS_LIVE)
        live_change(c, from, body);
    else if (type == BUS_LEAVE && json_unpack(body, "{s:I}", "inc", &inc) == 0)
        member_left(c->member, now_ms(), from, (uint64_t)inc);
    rearm(c);
}

static void answer_hello(struct cluster *c, struct bus_ask *ask, const char *from)
{
    json_t *body = json_pack("{s:o}", "self", peer_info_encode(&c->self));
    const struct member_view *v;

    if (from) {
        json_t *list = json_array();

        for (size_t i = 0; (v = member_told(c->member, i)) != NULL; i++)
            json_array_append_new(list, member_view_encode(v));
        json_object_set_new(body, "members", list);
    }
    bus_answer(ask, body);
}

static void answer_probe(struct cluster *c, struct bus_ask *ask, json_t *body)
{
    const char *about;
    json_int_t inc;

    if (json_unpack(body, "{s:s, s:I}", "about", &about, "inc", &inc) < 0)
        bus_refuse(ask, -EPROTO, "a probe names a machine and its incarnation");
    else
        bus_answer(ask, json_pack("{s:b}", "heard",
                                  member_hears(c->member, now_ms(), about, (uint64_t)inc)));
}

static void on_asked(void *arg, struct bus_ask *ask, const char *from, const char *key,
                     enum bus_type type, json_t *body)
{
    struct cluster *c = arg;

    (void)key;
    if (type == BUS_HELLO)
        answer_hello(c, ask, from);
    else if (type == BUS_JOIN)
        join_asked(c, ask, body);
    else if (type == BUS_PROBE)
        answer_probe(c, ask, body);
    else if (type == BUS_SYNC)
        bus_answer(ask, live_all(c));
    else
        c->ops.asked(c->arg, ask, from, type, body);
}

static void on_missed(void *arg, const char *from)
{
    live_sync(arg, from);
}

static void on_told(void *arg, const char *from, enum bus_type type, const void *data, size_t len)
{
    struct cluster *c = arg;

    if (type == BUS_CONSENSUS && c->replica.told)
        c->replica.told(c->replica_arg, from, data, len);
}

/* It need not wait for our next heartbeat. */
static void on_subscribed(void *arg, const char *id)
{
    (void)id;
    cluster_beat(arg);
}

static void on_broke(void *arg, const char *id)
{
    struct cluster *c = arg;

    if (c->replica.broke)
        c->replica.broke(c->replica_arg, id);
}

static const struct bus_ops bus_ops = { .published = on_published,
                                        .missed = on_missed,
                                        .asked = on_asked,
                                        .told = on_told,
                                        .subscribed = on_subscribed,
                                        .broke = on_broke };

static bool is_silent(void *arg, const char *id)
{
    const struct member_view *v = member_find(((struct cluster *)arg)->member, id);

    return v && (v->state == MEMBER_SUSPECT || v->state == MEMBER_DEAD);
}

static const struct beacon_ops beacon_ops = { .seen = on_seen,
                                              .twin = on_twin,
                                              .silent = is_silent };

/* ---- life */

static int create_bus(struct cluster *c, const struct cluster_options *opt, struct oerr *e)
{
    struct bus_options bo = { .listen = opt->listen,
                              .port = opt->port,
                              .lane_port = opt->port ? (uint16_t)(opt->port + 3) : 0 };
    int rc = bus_create(&c->bus, c->core, c->me, &bo, &bus_ops, c, e);

    if (rc < 0)
        return rc;
    snprintf(c->self.id, sizeof c->self.id, "%s", c->me->id);
    snprintf(c->self.cluster, sizeof c->self.cluster, "%s", c->me->cluster_name);
    memcpy(c->self.curve_public, c->me->curve_public, sizeof c->self.curve_public);
    memcpy(c->self.fingerprint, c->me->fingerprint, sizeof c->self.fingerprint);
    c->self.incarnation = c->me->incarnation;
    c->made_ms = now_ms();
    c->self.req_port = bus_req_port(c->bus);
    c->self.pub_port = bus_pub_port(c->bus);
    c->self.link_port = links_port(c->links);
    if (opt->listen)
        snprintf(c->self.address, sizeof c->self.address, "%s", opt->listen);
    else
        beacon_own_address(c->self.address, sizeof c->self.address);
    return 0;
}

static int create_mine(struct cluster *c, const struct cluster_options *opt)
{
    c->mine = heard_get(c, c->self.id);
    if (!c->mine)
        return -ENOMEM;
    c->mine->info = sysinfo_info(c->me->boot_id);
    c->mine->labels = opt->labels ? json_deep_copy(opt->labels) : json_object();
    c->mine->load = sysinfo_load(&c->cpu, c->me->dir);
    c->mine->seq = 1;
    c->mine->synced = true;
    return c->mine->info && c->mine->labels ? 0 : -ENOMEM;
}

int cluster_create(struct cluster **out, struct loop *core, struct identity *me,
                   struct links *links, const struct cluster_options *opt,
                   const struct cluster_ops *ops, void *arg, struct oerr *e)
{
    struct cluster *c = calloc(1, sizeof *c);
    int rc;

    if (!c)
        return -ENOMEM;
    c->core = core;
    c->me = me;
    c->links = links;
    c->ops = *ops;
    c->arg = arg;
    live_init(c);
    rc = create_bus(c, opt, e);
    if (rc == 0 && opt->token)
        rc = join_by_token(c, opt->token, e);
    if (rc == 0) {
        snprintf(c->self.cluster, sizeof c->self.cluster, "%s", me->cluster_name);
        rc = accepted_load(c, e);
    }
    if (rc == 0)
        rc = create_mine(c, opt);
    if (rc == 0)
        rc = beacon_create(&c->beacon, core, me, &c->self, opt->listen, BEACON_PORT, &beacon_ops, c,
                           e);
    if (rc == 0)
        rc = beacon_unicast(c->beacon, core, opt->port ? opt->port : BEACON_PORT, opt->join, e);
    if (rc == 0)
        rc = member_create(&c->member, &c->self, &effects, c);
    if (rc < 0) {
        cluster_destroy(c);
        return rc;
    }
    *out = c;
    return 0;
}

void cluster_replica(struct cluster *c, const struct cluster_replica_ops *ops, void *arg)
{
    c->replica = *ops;
    c->replica_arg = arg;
}

void cluster_start(struct cluster *c)
{
    uv_timer_init(loop_uv(c->core), &c->beat);
    uv_timer_init(loop_uv(c->core), &c->tick);
    c->timers = true;
    uv_timer_start(&c->beat, on_beat, 0, BEAT_MS);
    rearm(c);
}

void cluster_leave(struct cluster *c)
{
    c->leaving = true;
    if (!c->timers) {
        beacon_destroy(c->beacon);
        c->beacon = NULL;
        return;
    }
    bus_publish(c->bus, BUS_LEAVE, json_pack("{s:I}", "inc", (json_int_t)c->self.incarnation));
}

void cluster_destroy(struct cluster *c)
{
    struct machine *m, *next;

    if (!c)
        return;
    beacon_destroy(c->beacon);
    bus_destroy(c->bus);
    if (c->timers) {
        uv_close((uv_handle_t *)&c->beat, NULL);
        uv_close((uv_handle_t *)&c->tick, NULL);
        uv_run(loop_uv(c->core), UV_RUN_NOWAIT);
    }
    member_destroy(c->member);
    HASH_ITER (hh, c->machines, m, next)
        machine_drop(c, m->id);
    json_decref(c->accepted);
    free(c);
}
