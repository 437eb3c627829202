/*
 * scheduler.c - life of the service, its steps, and what others ask of it.
 *
 * Events come from the registry's watches and the cluster; each only arms the timer `step` for now.
 * libuv runs it when all that this turn brought has been handed in. It steps, sends the commands
 * that came of it, and arms the timer for when sched has something to do by itself.
 *
 * Invariants: no command leaves from inside of sched_step(); nothing is decided while keys are
 * still being read; what ends after stop() is not heard.
 */
#include "sched/scheduler_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000 /* how often the machines' loads are looked at */
#define AHEAD_US                                                                                   \
    100000 /* so much longer than a command takes that its machine never waits for it */

void scheduler_now(struct scheduler *s)
{
    sched_time(s->sched, now_ms(), wall_us());
}

void scheduler_trouble(struct scheduler *s, int rc, const char *what)
{
    if (rc < 0 && rc != -EINVAL && !s->trouble.text[0])
        oerr_set(&s->trouble, rc, "the scheduler could not take in %s: %s", what, strerror(-rc));
}

/* ---- steps */

static void on_step(uv_timer_t *timer);

/* From inside of a step for the next turn: libuv runs a timer that is due at once again in this
 * one, and nothing else would ever come. */
static void arm(struct scheduler *s, uint64_t delay)
{
    uv_timer_start(&s->step, on_step, s->stepping && delay == 0 ? 1 : delay, 0);
}

void scheduler_wake(struct scheduler *s)
{
    if (s->sched)
        arm(s, 0);
}

static void arm_next(struct scheduler *s)
{
    uint64_t next = sched_next(s->sched), now = now_ms();

    if (next != UINT64_MAX)
        arm(s, next > now ? next - now : 0);
}

static void decide(struct scheduler *s)
{
    act_probed(s);
    sched_step(s->sched);
    if (s->probed) { /* answered from inside */
        act_probed(s);
        sched_step(s->sched);
    }
    arm_next(s);
    act_send(s);
}

static void on_step(uv_timer_t *timer)
{
    struct scheduler *s = container_of(timer, struct scheduler, step);

    s->stepping = true;
    if (s->reading) {
        feed_read(s);
        arm(s, 0);
    } else if (!act_full(s)) { /* else the end of a command wakes it */
        scheduler_now(s);
        decide(s);
    }
    s->stepping = false;
}

static void on_look(uv_timer_t *timer)
{
    loop_beat(timer, on_look, LOOK_MS);
    feed_loads(container_of(timer, struct scheduler, look));
}

/* ---- life */

int scheduler_create(struct scheduler **out, struct loop *core, struct cluster *cluster,
                     struct replica *replica, const struct sched_options *options,
                     const struct scheduler_ops *ops, void *arg)
{
    struct scheduler *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->core = core;
    s->cluster = cluster;
    s->replica = replica;
    s->options = options ? *options : sched_defaults;
    if (!options)
        s->options.ahead_us = AHEAD_US;
    if (ops)
        s->ops = *ops;
    s->arg = arg;
    uv_timer_init(loop_uv(core), &s->step);
    uv_timer_init(loop_uv(core), &s->look);
    replica_advised_by(replica, &scheduler_advice, s);
    *out = s;
    return 0;
}

static void stop(void *arg)
{
    struct scheduler *s = arg;

    if (!s->sched)
        return;
    feed_end(s);
    act_drop(s);
    uv_timer_stop(&s->step);
    uv_timer_stop(&s->look);
    sched_destroy(s->sched);
    s->sched = NULL;
    s->epoch = 0;
}

void scheduler_destroy(struct scheduler *s)
{
    if (!s)
        return;
    stop(s);
    replica_advised_by(s->replica, NULL, NULL);
    uv_close((uv_handle_t *)&s->step, NULL);
    uv_close((uv_handle_t *)&s->look, NULL);
    uv_run(loop_uv(s->core), UV_RUN_NOWAIT);
    free(s);
}

static int start(void *arg, uint64_t epoch, struct oerr *e)
{
    struct scheduler *s = arg;
    int rc = sched_create(&s->sched, &s->options, &scheduler_fx, s);

    if (rc < 0)
        return oerr_set(e, rc, "the scheduler cannot be begun: %s", strerror(-rc));
    s->epoch = epoch;
    s->life++;
    s->trouble.text[0] = '\0';
    scheduler_now(s);
    rc = feed_begin(s);
    if (rc < 0) {
        stop(s);
        return oerr_set(e, rc, "the scheduler cannot read the jobs: %s", strerror(-rc));
    }
    loop_beat(&s->look, on_look, LOOK_MS);
    scheduler_wake(s);
    return 0;
}

static bool health(void *arg, struct oerr *e)
{
    struct scheduler *s = arg;

    if (s->trouble.text[0])
        *e = s->trouble;
    return !s->trouble.text[0];
}

const struct service_ops scheduler_service = { .start = start, .stop = stop, .health = health };

/* ---- looking */

int scheduler_machine(struct scheduler *s, char id[ID_MAX])
{
    struct registry_view *v;
    json_t *value = NULL;
    const char *machine;
    int rc = registry_read(replica_registry(s->replica), &v);

    if (rc < 0)
        return rc;
    rc = view_get(v, "service/scheduler", &value);
    registry_view_end(v);
    machine = json_string_value(json_object_get(value, "machine"));
    if (rc == 0 && (!machine || !*machine || strlen(machine) >= ID_MAX))
        rc = -ENOENT;
    if (rc == 0)
        strcpy(id, machine);
    json_decref(value);
    return rc;
}

static int check_here(const struct scheduler *s, struct oerr *e)
{
    if (!s->sched)
        return oerr_set(e, -EAGAIN, "the scheduler is not on this machine, or not yet: ask again");
    if (s->reading)
        return oerr_set(e, -EAGAIN, "the scheduler still reads the jobs: ask again");
    return 0;
}

int scheduler_why(struct scheduler *s, const char *name, struct obuf *out, struct oerr *e)
{
    int rc = check_here(s, e);

    if (rc < 0)
        return rc;
    scheduler_now(s);
    rc = sched_why(s->sched, name, out);
    return rc == -ENOENT ? oerr_set(e, rc, "there is no job %s", name) : rc;
}

int scheduler_allocated(struct scheduler *s, const char *machine, struct sched_allocation *out)
{
    if (!s->sched || s->reading)
        return -EAGAIN;
    sched_allocated(s->sched, machine, out);
    return 0;
}
