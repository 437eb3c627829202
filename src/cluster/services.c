/*
 * services.c - runs the core services that the registry places on this machine.
 *
 *   ELSEWHERE --placed here, and that is certain--> STARTING --start()--> RUNNING
 *   STARTING --start() failed--> FAILED --a second later--> STARTING
 *   RUNNING --health() failed--> FAILED
 *   any --placed elsewhere, another epoch, no longer certain--> ELSEWHERE (after stop())
 *
 * `certain` is lost at the start, whenever no leader was known for SERVICE_LEASE_MS, and while this
 * machine cannot write what others agree on; a read barrier brings it back.
 */
#include "cluster/services.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS    500 /* a part of SERVICE_LEASE_MS */
#define BARRIER_MS 2000
#define AGAIN_MS   1000
#define STEADY_MS  3000 /* what failed and runs again may fail again at once */

struct service {
    const struct service_ops *ops;
    void *arg;
    enum service_state state;
    uint64_t epoch;    /* under which it runs, or tries to */
    uint64_t again_ms; /* FAILED: when to try again */
    char words[160];
    uint64_t judged;          /* the last epoch placed here: each is judged afresh */
    uint64_t failed_ms;       /* last in that epoch; 0: never */
    struct place_judge unfit; /* does it fail again and again? */
};

struct services {
    struct loop *core;
    struct replica *replica;
    char self[ID_MAX];
    struct service v[4];
    uv_timer_t timer;
    bool closing;
    bool certain, asking;
    uint64_t leader_ms; /* when a leader was known last */
    json_t *told;       /* the report that was told last */
    void (*changed)(void *arg, const json_t *report);
    void *changed_arg;
};

static const char *const state_names[] = { [SERVICE_ELSEWHERE] = "elsewhere",
                                           [SERVICE_STARTING] = "starting",
                                           [SERVICE_RUNNING] = "running",
                                           [SERVICE_FAILED] = "failed" };

const char *service_state_name(enum service_state s)
{
    return state_names[s];
}

/* ---- reports */

static json_t *report(const struct services *s)
{
    json_t *all = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(s->v); i++)
        if (s->v[i].state != SERVICE_ELSEWHERE)
            json_object_set_new(all, service_names[i],
                                json_pack("{s:I, s:s, s:s}", "epoch", (json_int_t)s->v[i].epoch,
                                          "state", state_names[s->v[i].state], "trouble",
                                          s->v[i].words));
    return all;
}

static void tell(struct services *s)
{
    json_t *now = report(s);

    if (!now || json_equal(now, s->told)) {
        json_decref(now);
        return;
    }
    json_decref(s->told);
    s->told = now;
    if (s->changed)
        s->changed(s->changed_arg, now);
}

enum service_state service_reported(const json_t *all, const char *name, uint64_t epoch,
                                    char words[160])
{
    const char *state, *trouble;
    json_int_t of;

    words[0] = '\0';
    if (json_unpack((json_t *)all, "{s:{s:I, s:s, s:s}}", name, "epoch", &of, "state", &state,
                    "trouble", &trouble) < 0 ||
        (uint64_t)of != epoch)
        return SERVICE_ELSEWHERE;
    snprintf(words, 160, "%s", trouble);
    for (enum service_state s = SERVICE_ELSEWHERE; s <= SERVICE_FAILED; s++)
        if (strcmp(state, state_names[s]) == 0)
            return s;
    return SERVICE_ELSEWHERE;
}

/* ---- starting and stopping */

static void stop(struct service *v, const char *name)
{
    if (v->state == SERVICE_RUNNING && v->ops)
        v->ops->stop(v->arg);
    if (v->state == SERVICE_RUNNING)
        log_info("services", "%s of epoch %llu stops here", name, (unsigned long long)v->epoch);
    v->state = SERVICE_ELSEWHERE;
    v->epoch = 0;
    v->words[0] = '\0';
}

static void failed(struct service *v, const char *name, const struct oerr *e)
{
    log_warn("services", "%s: %s", name, e->text);
    snprintf(v->words, sizeof v->words, "%s", e->text);
    v->state = SERVICE_FAILED;
    v->failed_ms = now_ms();
    v->again_ms = v->failed_ms + AGAIN_MS;
}

static void start(struct service *v, const char *name, uint64_t epoch)
{
    struct oerr e = { "" };

    if (v->judged != epoch) {
        v->judged = epoch;
        v->failed_ms = 0;
        v->unfit = (struct place_judge){ 0 };
    }
    v->epoch = epoch;
    v->state = SERVICE_STARTING;
    if (v->ops && v->ops->start(v->arg, epoch, &e) < 0) {
        failed(v, name, &e);
        return;
    }
    log_info("services", "%s of epoch %llu runs here", name, (unsigned long long)epoch);
    v->state = SERVICE_RUNNING;
    v->words[0] = '\0';
}

/* The epoch under which it is placed here; 0: it is not. */
static uint64_t placed_here(struct services *s, struct registry_view *view, const char *name)
{
    char key[REGISTRY_KEY_MAX];
    const char *machine;
    json_t *value = NULL;
    uint64_t epoch = 0;

    snprintf(key, sizeof key, "service/%s", name);
    if (view_get(view, key, &value) < 0)
        return 0;
    machine = json_string_value(json_object_get(value, "machine"));
    if (machine && strcmp(machine, s->self) == 0)
        epoch = (uint64_t)json_integer_value(json_object_get(value, "epoch"));
    json_decref(value);
    return epoch;
}

static void look_at(struct services *s, struct registry_view *view, size_t i)
{
    struct service *v = &s->v[i];
    const char *name = service_names[i];
    uint64_t epoch = s->certain ? placed_here(s, view, name) : 0;
    struct oerr e = { "" };

    if (v->epoch != epoch)
        stop(v, name);
    if (!epoch)
        return;
    if (v->state == SERVICE_ELSEWHERE || (v->state == SERVICE_FAILED && now_ms() >= v->again_ms))
        start(v, name, epoch);
    else if (v->state == SERVICE_RUNNING && v->ops && !v->ops->health(v->arg, &e)) {
        v->ops->stop(v->arg);
        failed(v, name, &e);
    }
}

static bool is_unfit(struct service *v)
{
    uint64_t now = now_ms();
    bool here = v->state != SERVICE_ELSEWHERE;
    bool fails = here && v->failed_ms && now - v->failed_ms < STEADY_MS;

    return place_judge(&v->unfit, now, fails, SERVICE_UNFIT_MS,
                       here ? PLACE_WELL_MS : SERVICE_BAR_MS);
}

static void tell_unfit(struct services *s)
{
    char names[ARRAY_SIZE(s->v) * SERVICE_MAX] = "";

    for (size_t i = 0; i < ARRAY_SIZE(s->v); i++)
        if (is_unfit(&s->v[i]))
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     names[0] ? " " : "", service_names[i]);
    replica_unfit(s->replica, names);
}

static void look(struct services *s)
{
    struct registry_view *view;

    if (registry_read(replica_registry(s->replica), &view) < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(s->v); i++)
        look_at(s, view, i);
    registry_view_end(view);
    tell(s);
    tell_unfit(s);
}

static void on_barrier(void *arg, int rc, const json_t *body, const char *text)
{
    struct services *s = arg;

    (void)body, (void)text;
    s->asking = false;
    if (s->closing || rc < 0)
        return;
    s->certain = true;
    s->leader_ms = now_ms();
    look(s);
}

static bool leader_known(struct services *s)
{
    const struct consensus *c = replica_consensus(s->replica);
    char id[ID_MAX];

    return c && consensus_leader(c, id) != 0;
}

/* Others may have moved what runs here, and it cannot be seen here. What this machine itself leads
 * is not moved behind its back. */
static bool is_blind(struct services *s)
{
    const struct consensus *c = replica_consensus(s->replica);

    return replica_stuck(s->replica) && !(c && consensus_is_leader(c));
}

static void on_timer(uv_timer_t *timer)
{
    struct services *s = container_of(timer, struct services, timer);
    uint64_t now = now_ms();
    bool blind = is_blind(s);

    loop_beat(timer, on_timer, LOOK_MS);
    if (leader_known(s))
        s->leader_ms = now;
    else if (now - s->leader_ms >= SERVICE_LEASE_MS)
        s->certain = false;
    if (blind)
        s->certain = false;
    if (!s->certain && !blind && !s->asking && leader_known(s) && replica_ready(s->replica)) {
        s->asking = true; /* the only voter is answered at once */
        if (replica_barrier(s->replica, BARRIER_MS, on_barrier, s) < 0)
            s->asking = false;
    }
    look(s);
}

static void on_changed(void *arg, const char *key, const json_t *value)
{
    (void)key, (void)value;
    look(arg);
}

int services_create(struct services **out, struct loop *core, struct replica *replica,
                    const char *self)
{
    struct services *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return -ENOMEM;
    s->core = core;
    s->replica = replica;
    snprintf(s->self, sizeof s->self, "%s", self);
    rc = registry_watch(replica_registry(replica), "service/", on_changed, s);
    if (rc < 0) {
        free(s);
        return rc;
    }
    uv_timer_init(loop_uv(core), &s->timer);
    loop_beat(&s->timer, on_timer, LOOK_MS);
    *out = s;
    return 0;
}

void services_destroy(struct services *s)
{
    if (!s)
        return;
    s->closing = true;
    for (size_t i = 0; i < ARRAY_SIZE(s->v); i++)
        stop(&s->v[i], service_names[i]);
    registry_unwatch(replica_registry(s->replica), on_changed, s);
    replica_cancel(s->replica, s);
    uv_close((uv_handle_t *)&s->timer, NULL);
    uv_run(loop_uv(s->core), UV_RUN_NOWAIT);
    json_decref(s->told);
    free(s);
}

static struct service *find(struct services *s, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->v); i++)
        if (strcmp(service_names[i], name) == 0)
            return &s->v[i];
    return NULL;
}

int services_offer(struct services *s, const char *name, const struct service_ops *ops, void *arg)
{
    struct service *v = find(s, name);

    if (!v)
        return -ENOENT;
    v->ops = ops;
    v->arg = arg;
    return 0;
}

void services_on_change(struct services *s, void (*fn)(void *arg, const json_t *report), void *arg)
{
    s->changed = fn;
    s->changed_arg = arg;
}
