/*
 * replica.c - life of the replica, and the world that the engine of consensus lives in.
 *
 * Every event (a tick, a message, the end of disk work, a membership change, a question) goes
 * replica_enter -> engine -> replica_settle: there the state applies what was committed, what was
 * asked goes on, and formation and placement look whether there is something to do.
 *
 * The engine may stop for good when its disk fails; it is closed and opened again every second, and
 * meanwhile the state can be read.
 */
#include "cluster/replica_private.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#define RESTART_MS   1000
#define REFLUSH_MS   500 /* a batch that the disk did not take is not carried out at each event */
#define ELECTION_MS  1000
#define TICK_MS      250 /* what is idle shall cost nothing */
#define HEARTBEAT_MS 240 /* due with each tick, even one that comes early by a little */
#define ELECTING_MS  20  /* between ticks while nobody leads */

static uint64_t env_now(void *env)
{
    (void)env;
    return now_ms();
}

static unsigned env_random(void *env, unsigned min, unsigned max)
{
    unsigned n;

    (void)env;
    if (RAND_bytes((unsigned char *)&n, sizeof n) != 1)
        n = (unsigned)now_ms();
    return max > min ? min + n % (max - min) : min;
}

static int env_load(void *env, struct consensus_loaded *out, struct oerr *e)
{
    return raft_disk_load(((struct replica *)env)->disk, out, e);
}

static int env_set_term(void *env, uint64_t term)
{
    return raft_disk_set_term(((struct replica *)env)->disk, term);
}

static int env_set_vote(void *env, uint64_t node)
{
    return raft_disk_set_vote(((struct replica *)env)->disk, node);
}

static int env_truncate(void *env, uint64_t index)
{
    return raft_disk_truncate(((struct replica *)env)->disk, index);
}

/* The end of disk work is an event of its own. */
struct written {
    struct replica *r;
    consensus_disk_done *done;
    void *token;
};

static void on_written(void *token, int rc)
{
    struct written w = *(struct written *)token;

    free(token);
    replica_enter(w.r);
    w.done(w.token, rc);
    replica_settle(w.r);
}

static struct written *written_new(struct replica *r, consensus_disk_done *done, void *token)
{
    struct written *w = malloc(sizeof *w);

    if (w)
        *w = (struct written){ .r = r, .done = done, .token = token };
    return w;
}

static int env_append(void *env, uint64_t first, const struct consensus_entry *v, size_t n,
                      consensus_disk_done *done, void *token)
{
    struct replica *r = env;
    struct written *w = written_new(r, done, token);
    int rc = w ? raft_disk_append(r->disk, first, v, n, on_written, w) : -ENOMEM;

    if (rc < 0)
        free(w);
    return rc;
}

static int env_snapshot_put(void *env, const struct consensus_snapshot *s, uint64_t trailing,
                            consensus_disk_done *done, void *token)
{
    struct replica *r = env;
    struct written *w = written_new(r, done, token);
    int rc = w ? raft_disk_snapshot_put(r->disk, s, trailing, on_written, w) : -ENOMEM;

    if (rc < 0)
        free(w);
    return rc;
}

static int env_snapshot_get(void *env, struct consensus_snapshot *out, consensus_disk_done *done,
                            void *token)
{
    struct replica *r = env;
    struct written *w = written_new(r, done, token);
    int rc = w ? raft_disk_snapshot_get(r->disk, out, on_written, w) : -ENOMEM;

    if (rc < 0)
        free(w);
    return rc;
}

static void env_send(void *env, uint64_t node, const char *id, const void *message, size_t len)
{
    (void)node;
    frame_send(env, id, message, len);
}

static void env_committed(void *env, uint64_t index, const void *data, size_t len)
{
    struct replica *r = env;

    r->news = true;
    registry_committed(r->registry, index, data, len);
}

/* What cannot be written now stays queued; replica_settle() tries again with the ticks. */
static int flush(struct replica *r)
{
    bool was = r->flushing;
    int rc;

    if (registry_trouble(r->registry) && now_ms() < r->flush_ms)
        return -EBUSY;
    r->flushing = true;
    rc = registry_flush(r->registry, asked_applied, r);
    r->flushing = was;
    r->flush_ms = now_ms() + REFLUSH_MS;
    return rc;
}

static void env_flush(void *env)
{
    struct replica *r = env;

    if (!r->asked) { /* nothing of ours could go out together with the news: another one waits */
        consensus_spread(r->consensus);
        if (r->news && consensus_is_leader(r->consensus))
            cluster_push(r->cluster);
    }
    r->news = false;
    flush(r);
}

static int env_snapshot(void *env, uint64_t index, void **data, size_t *len)
{
    struct replica *r = env;

    if (flush(r) < 0)
        return -EBUSY;
    if (registry_index(r->registry) > index) /* from before a start: it would say too much */
        return -EBUSY;
    return registry_dump(r->registry, data, len);
}

static int env_restore(void *env, uint64_t index, const void *data, size_t len)
{
    struct replica *r = env;
    int rc;

    if (registry_index(r->registry) >= index)
        return 0;
    rc = registry_restore(r->registry, index, data, len);
    if (rc == 0)
        asked_restored(r);
    return rc;
}

static void env_changed(void *env)
{
    struct replica *r = env;

    r->look = r->look_services = true;
}

static const struct consensus_env world = { .now_ms = env_now,
                                            .random = env_random,
                                            .load = env_load,
                                            .set_term = env_set_term,
                                            .set_vote = env_set_vote,
                                            .truncate = env_truncate,
                                            .append = env_append,
                                            .snapshot_put = env_snapshot_put,
                                            .snapshot_get = env_snapshot_get,
                                            .send = env_send,
                                            .committed = env_committed,
                                            .flush = env_flush,
                                            .snapshot = env_snapshot,
                                            .restore = env_restore,
                                            .changed = env_changed };

/* ---- the engine */

static void before_writing(void *arg)
{
    cluster_push(((struct replica *)arg)->cluster);
}

static int engine_open(struct replica *r, struct oerr *e)
{
    char dir[4300];
    int rc;

    snprintf(dir, sizeof dir, "%s/log", r->dir);
    rc = raft_disk_open(&r->disk, r->core, dir, e);
    if (rc == 0)
        raft_disk_before(r->disk, before_writing, r);
    if (rc == 0 && raft_disk_fresh(r->disk) && registry_index(r->registry) > 0)
        rc = registry_wipe(r->registry); /* of another log */
    if (rc == 0) {
        struct consensus_options opt = { .node = raft_disk_node(r->disk),
                                         .id = r->me->id,
                                         .election_ms = ELECTION_MS,
                                         .heartbeat_ms = HEARTBEAT_MS };

        rc = consensus_create(&r->consensus, &opt, &world, r, e);
    }
    if (rc == 0) {
        r->mine.node = raft_disk_node(r->disk);
        snprintf(r->origin, sizeof r->origin, "%016llx", (unsigned long long)r->mine.node);
    }
    return rc;
}

/* Work of the disk that ends meanwhile still finds the engine. */
static void engine_close(struct replica *r)
{
    r->failed = true;
    hold_cancel(r);
    raft_disk_close(r->disk);
    r->disk = NULL;
    consensus_destroy(r->consensus);
    r->consensus = NULL;
}

static void engine_failed(struct replica *r, const char *words)
{
    if (!r->failed)
        log_error("registry", "%s", words);
    snprintf(r->trouble, sizeof r->trouble, "%s", words);
    r->failed = true;
    r->restart_ms = now_ms() + RESTART_MS;
}

static void engine_reopen(struct replica *r)
{
    struct oerr e = { "" };

    engine_close(r);
    if (engine_open(r, &e) < 0) {
        engine_close(r);
        engine_failed(r, e.text);
        return;
    }
    r->failed = false;
    r->trouble[0] = '\0';
    r->look = true;
}

/* This replica belongs to a registry that was dissolved: everything of it goes. The state first: it
 * would take the entries of a new log for old ones. */
static void wipe(struct replica *r)
{
    struct oerr e = { "" };
    char dir[4300];

    r->wipe = false;
    engine_close(r);
    snprintf(dir, sizeof dir, "%s/log", r->dir);
    if (registry_wipe(r->registry) < 0 || raft_disk_open(&r->disk, r->core, dir, &e) < 0 ||
        raft_disk_wipe(r->disk, &e) < 0) {
        engine_failed(r, e.text[0] ? e.text : "the registry's state cannot be emptied");
        r->wipe = true;
        return;
    }
    raft_disk_close(r->disk);
    r->disk = NULL;
    frame_wiped(r);
    form_wiped(r);
    engine_reopen(r);
    asked_restored(r);
}

/* ---- events */

void replica_enter(struct replica *r)
{
    r->in_event = true;
}

static void on_tick(uv_timer_t *timer);

/* Elections are timed more finely than what is idle. */
static void pace(struct replica *r)
{
    bool led = !r->failed && consensus_leader(r->consensus, NULL) != 0;
    unsigned ms = r->failed || led ? TICK_MS : ELECTING_MS;

    if (ms == r->pace_ms)
        return;
    r->pace_ms = ms;
    loop_beat(&r->tick, on_tick, ms);
}

void replica_settle(struct replica *r)
{
    if (r->closing || !r->in_event)
        return;
    if (!r->failed && consensus_failed(r->consensus))
        engine_failed(r, consensus_failed(r->consensus));
    if (!r->failed) {
        if (registry_trouble(r->registry))
            env_flush(r);
        asked_settle(r);
        form_settle(r);
        serve_settle(r);
    }
    health_settle(r);
    if (r->timer)
        pace(r);
    r->in_event = false;
}

static void on_soon(uv_timer_t *timer)
{
    struct replica *r = container_of(timer, struct replica, soon);

    replica_enter(r);
    replica_settle(r);
}

void replica_soon(struct replica *r)
{
    uv_timer_start(&r->soon, on_soon, 0, 0);
}

static void on_tick(uv_timer_t *timer)
{
    struct replica *r = container_of(timer, struct replica, tick);

    loop_beat(timer, on_tick, r->pace_ms);
    replica_enter(r);
    if (r->wipe)
        wipe(r);
    else if (r->failed && now_ms() >= r->restart_ms)
        engine_reopen(r);
    if (!r->failed)
        consensus_tick(r->consensus);
    form_leave_tick(r);
    replica_settle(r);
}

/* A process that ends takes its connections along: who leads no longer need not be waited for. */
static void on_broke(void *arg, const char *id)
{
    struct replica *r = arg;
    char leader[ID_MAX];

    if (r->failed || r->closing || consensus_leader(r->consensus, leader) == 0 ||
        strcmp(leader, id) != 0)
        return;
    replica_enter(r);
    consensus_leader_silent(r->consensus);
    replica_settle(r);
}

static void on_told(void *arg, const char *from, const void *data, size_t len)
{
    struct replica *r = arg;
    const void *message;
    size_t size;

    if (r->failed || r->wipe || r->closing)
        return;
    if (!frame_take(r, data, len, &message, &size))
        return;
    replica_enter(r);
    consensus_receive(r->consensus, message, size, from);
    replica_settle(r);
}

void replica_machine(struct replica *r)
{
    replica_enter(r);
    r->look = r->look_services = true;
    replica_settle(r);
}

void replica_asked(struct replica *r, struct bus_ask *ask, const json_t *body)
{
    if (r->failed || r->closing) {
        bus_refuse(ask, -EAGAIN, "the registry of %s does not work: %s", r->me->id, r->trouble);
        return;
    }
    replica_enter(r);
    asked_serve(r, ask, body);
    replica_settle(r);
}

/* ---- life */

static const struct cluster_replica_ops hooks = {
    .standing = form_standing, .heard = form_heard, .told = on_told, .broke = on_broke
};

static int state_open(struct replica *r, const struct registry_command *const *tables,
                      struct oerr *e)
{
    const struct registry_command *all[16] = { registry_base_commands, member_commands,
                                               service_commands };
    size_t n = 3;
    char dir[4300];

    for (; *tables && n < ARRAY_SIZE(all) - 1; tables++)
        all[n++] = *tables;
    snprintf(dir, sizeof dir, "%s/state", r->dir);
    return registry_open(&r->registry, dir, r->me->boot_id, all, e);
}

int replica_create(struct replica **out, struct loop *core, const struct identity *me,
                   struct cluster *cluster, const struct registry_command *const *tables,
                   struct oerr *e)
{
    struct replica *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return -ENOMEM;
    r->core = core;
    r->me = me;
    r->cluster = cluster;
    r->started_ms = now_ms();
    r->last_serial = me->incarnation;
    r->look = true;
    snprintf(r->dir, sizeof r->dir, "%s/registry", me->dir);
    rc = file_folder(r->dir, e);
    if (rc == 0)
        rc = state_open(r, tables, e);
    if (rc == 0)
        rc = frame_open(r, e);
    if (rc == 0)
        rc = engine_open(r, e);
    if (rc == 0)
        rc = form_open(r, e);
    if (rc < 0) {
        replica_destroy(r);
        return rc;
    }
    uv_timer_init(loop_uv(core), &r->tick);
    uv_timer_init(loop_uv(core), &r->soon);
    hold_open(r);
    r->timer = true;
    uv_timer_start(&r->tick, on_tick, 0, ELECTING_MS);
    r->pace_ms = ELECTING_MS;
    cluster_replica(cluster, &hooks, r);
    *out = r;
    return 0;
}

void replica_destroy(struct replica *r)
{
    if (!r)
        return;
    r->closing = true;
    if (r->timer) {
        uv_close((uv_handle_t *)&r->tick, NULL);
        uv_close((uv_handle_t *)&r->soon, NULL);
        uv_close((uv_handle_t *)&r->holding, NULL);
        uv_run(loop_uv(r->core), UV_RUN_NOWAIT);
    }
    engine_close(r);
    asked_cancel_all(r);
    form_close(r);
    registry_close(r->registry);
    free(r);
}

struct registry *replica_registry(struct replica *r)
{
    return r->registry;
}

const struct consensus *replica_consensus(const struct replica *r)
{
    return r->consensus;
}

bool replica_ready(const struct replica *r)
{
    return r->ready;
}

void replica_when_ready(struct replica *r, void (*fn)(void *arg), void *arg)
{
    r->when_ready = fn;
    r->when_ready_arg = arg;
    r->look = true;
}

bool replica_has(struct replica *r, const char *key)
{
    struct registry_view *v;
    const char *text;
    size_t len;
    int rc = registry_read(r->registry, &v);

    if (rc < 0)
        return false;
    rc = view_text(v, key, &text, &len);
    registry_view_end(v);
    return rc == 0;
}

/* Commands up to here can be read. After a start the state may be further than the engine. */
uint64_t replica_applied(const struct replica *r)
{
    uint64_t state = registry_index(r->registry);
    uint64_t engine = r->consensus ? consensus_committed_index(r->consensus) : 0;

    return registry_trouble(r->registry) || engine < state ? state : engine;
}
