/*
 * jobs_world.c - see jobs_world.h: the registry, the way to it, machines and daemons.
 */
#include "tests/sim/jobs_world.h"
#include "tests/lib/registry_model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 3000, AGAIN_MS = 300, BEAT_MS = 500 };

/* What nodes send each other. */
struct packet {
    enum { ASK, ANSWER, HEAD, BEAT } kind;
    int cmd, rc;
    uint64_t serial, index, life;
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

void world_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s", sim_trace_text(w->s));
    va_start(ap, fmt);
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 ": ", w->seed, w->n,
            sim_now(w->s));
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nagain: tests/sim/sim_jobs %" PRIu64 "\n", w->seed);
    exit(1);
}

uint64_t world_wall(const struct world *w)
{
    return 1000000000000000ull + sim_now(w->s) * 1000;
}

unsigned world_lot(const struct world *w, uint64_t uid, unsigned n)
{
    return (unsigned)(((uid + w->seed) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % n;
}

/* ---- the registry */

static void log_add(struct world *w, json_t *changes)
{
    if (w->index == w->cap_log) {
        w->cap_log = w->cap_log ? 2 * w->cap_log : 256;
        w->log = must(realloc(w->log, w->cap_log * sizeof *w->log));
    }
    w->log[w->index++] = changes;
}

static json_t *changes_since(const json_t *before, json_t *now)
{
    json_t *changes = json_object(), *v;
    const char *key;

    json_object_foreach (now, key, v)
        if (json_object_get(before, key) != v)
            json_object_set(changes, key, v);
    json_object_foreach ((json_t *)before, key, v)
        if (!json_object_get(now, key))
            json_object_set_new(changes, key, json_null());
    return changes;
}

/* What is lost by the registry's word must not run. */
static void check_lost(struct world *w, const char *machine)
{
    for (size_t i = 0; i < w->n_procs; i++) {
        const struct process *p = &w->procs[i];

        if (p->at == P_RUNNING && strcmp(w->m[p->machine].id, machine) == 0)
            world_fail(w, "%s is lost, and %" PRIu64 ".%u.%u runs there", machine, p->key.uid,
                       p->key.attempt, p->key.group);
    }
}

static void apply(struct world *w, struct command *c)
{
    json_t *before = json_copy(w->state), *result = NULL;
    struct oerr e = { "" };

    if (strcmp(json_string_value(json_object_get(c->fields, "service")) ?: "", "scheduler") == 0 &&
        (uint64_t)json_integer_value(json_object_get(c->fields, "epoch")) != w->epoch)
        c->rc = -ESTALE;
    else
        c->rc = model_apply(w->state, w->index + 1, job_commands, c->name, c->fields, &result, &e);
    if (c->rc == -EINVAL || c->rc == -EPROTO)
        world_fail(w, "%s is refused: %s", c->name, e.text);
    c->applied = true;
    log_add(w, changes_since(before, w->state));
    c->index = w->index;
    if (c->rc == 0 && strcmp(c->name, "job.lost") == 0)
        check_lost(w, json_string_value(json_object_get(c->fields, "machine")));
    w->count.early += c->rc == 0 && json_object_get(result, "placed") != NULL;
    w->count.fences += c->rc == 0 && strcmp(c->name, "runner.fence") == 0;
    w->count.claims += c->rc == 0 && strcmp(c->name, "runner.claim") == 0;
    sim_trace(w->s, "%" PRIu64 " %s %s: %d", w->index, c->name,
              json_string_value(json_object_get(c->fields, "machine")) ?: "", c->rc);
    json_decref(result);
    json_decref(before);
}

static void send(struct world *w, unsigned from, unsigned to, struct packet p)
{
    sim_send(w->s, from, to, &p, sizeof p);
}

static void tell_head(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        send(w, w->n, i, (struct packet){ .kind = HEAD, .index = w->index });
}

static void registry_asked(struct world *w, unsigned from, const struct packet *p)
{
    struct packet answer = *p;

    if (p->cmd >= 0 && !w->cmds[p->cmd].applied) {
        apply(w, &w->cmds[p->cmd]);
        tell_head(w);
    }
    answer.kind = ANSWER;
    answer.index = p->cmd >= 0 ? w->cmds[p->cmd].index : w->index;
    answer.rc = p->cmd >= 0 ? w->cmds[p->cmd].rc : 0;
    send(w, w->n, from, answer);
}

void world_scheduler(struct world *w, unsigned at)
{
    json_t *before = json_copy(w->state);

    w->epoch++;
    json_object_set_new(
        w->state, "service/scheduler",
        json_pack("{s:s, s:I}", "machine", w->m[at].id, "epoch", (json_int_t)w->epoch));
    log_add(w, changes_since(before, w->state));
    json_decref(before);
    sim_trace(w->s, "the scheduler is on %s, epoch %" PRIu64, w->m[at].id, w->epoch);
    tell_head(w);
}

/* ---- a machine's replica */

static void own_record(struct machine *m, const json_t *value)
{
    struct runner_info info;

    if (value && runner_info_decode(value, &info) < 0)
        world_fail(m->w, "the record of %s cannot be read", m->id);
    runner_record(m->r, sim_now(m->w->s), value ? &info : NULL);
}

static void tell_job(struct machine *m, const char *name, const json_t *value)
{
    struct job j;

    if (!value) {
        runner_job_gone(m->r, sim_now(m->w->s), name);
        return;
    }
    if (job_decode(name, value, &j) < 0)
        world_fail(m->w, "the record of job %s cannot be read", name);
    if (runner_job(m->r, sim_now(m->w->s), &j) < 0)
        abort();
    job_clear(&j);
}

static void changed(struct machine *m, const char *key, const json_t *value)
{
    if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) == 0)
        tell_job(m, key + strlen(JOB_KEY), value);
    else if (strncmp(key, RUNNER_KEY, strlen(RUNNER_KEY)) == 0 &&
             strcmp(key + strlen(RUNNER_KEY), m->id) == 0)
        own_record(m, value);
}

static void answer_asks(struct machine *m)
{
    for (size_t i = 0; i < ASKS_MAX; i++) {
        struct ask a = m->asks[i];

        if (!a.used)
            continue;
        if (!(a.answered && a.index <= m->applied)) {
            if (sim_now(m->w->s) < a.deadline)
                continue;
            a.rc = -EAGAIN;
            m->w->count.unanswered++;
        }
        m->asks[i].used = false;
        a.done(m, a.arg, a.rc);
    }
}

/* One entry after the other, as a replica that follows: what was asked is answered when the entry
 * that carried it out is here, before its watches are told. */
static void follow(struct machine *m, uint64_t index)
{
    while (m->daemon && m->applied < index) {
        json_t *changes = m->w->log[m->applied++], *value;
        const char *key;

        json_object_foreach (changes, key, value)
            if (json_is_null(value))
                json_object_del(m->replica, key);
            else
                json_object_set(m->replica, key, value);
        answer_asks(m);
        json_object_foreach (changes, key, value)
            changed(m, key, json_is_null(value) ? NULL : value);
    }
}

static void read_all(struct machine *m)
{
    const char *key;
    json_t *value;

    runner_sync(m->r, sim_now(m->w->s), true);
    json_object_foreach (m->replica, key, value)
        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) == 0)
            tell_job(m, key + strlen(JOB_KEY), value);
    runner_sync(m->r, sim_now(m->w->s), false);
}

void machine_turn(struct machine *m)
{
    uint64_t now = sim_now(m->w->s), next;

    if (!m->daemon)
        return;
    if (runner_unread(m->r))
        read_all(m);
    runner_step(m->r, now);
    next = runner_next(m->r);
    if (next && next <= now)
        next = now + 1;
    sim_timer(m->w->s, m->no, TIMER_RUNNER, next ? next : UINT64_MAX);
}

/* ---- asking */

static void send_ask(struct machine *m, struct ask *a)
{
    a->retry_at = sim_now(m->w->s) + AGAIN_MS;
    send(m->w, m->no, m->w->n,
         (struct packet){ .kind = ASK, .cmd = a->cmd, .serial = a->serial, .life = m->life });
}

void machine_ask(struct machine *m, const char *cmd, json_t *fields, uint64_t arg, answered *done)
{
    struct world *w = m->w;
    struct ask *a = NULL;

    for (size_t i = 0; i < ASKS_MAX && !a; i++)
        if (!m->asks[i].used)
            a = &m->asks[i];
    if (!a)
        world_fail(w, "%s asks too much at once", m->id);
    *a = (struct ask){ .used = true,
                       .cmd = -1,
                       .serial = ++w->serial,
                       .deadline = sim_now(w->s) + ASK_MS,
                       .arg = arg,
                       .done = done };
    if (cmd) {
        if (w->n_cmds == w->cap_cmds) {
            w->cap_cmds = w->cap_cmds ? 2 * w->cap_cmds : 256;
            w->cmds = must(realloc(w->cmds, w->cap_cmds * sizeof *w->cmds));
        }
        a->cmd = (int)w->n_cmds++;
        w->cmds[a->cmd] = (struct command){ .fields = must(fields) };
        json_object_set_new(fields, "v", json_integer(REGISTRY_SCHEMA));
        snprintf(w->cmds[a->cmd].name, sizeof w->cmds[a->cmd].name, "%s", cmd);
    }
    send_ask(m, a);
}

static void got_answer(struct machine *m, const struct packet *p)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (m->asks[i].used && m->asks[i].serial == p->serial && p->life == m->life) {
            m->asks[i].answered = true;
            m->asks[i].rc = p->rc;
            m->asks[i].index = p->index;
        }
    follow(m, p->index);
    answer_asks(m);
}

/* ---- machines */

bool machine_runs(const struct machine *m)
{
    return m->up && m->daemon;
}

void daemon_up(struct machine *m)
{
    m->daemon = true;
    m->leaving = false;
    m->life++;
    m->epoch = 0;
    memset(m->asks, 0, sizeof m->asks);
    for (unsigned i = 0; i < MACHINES_MAX; i++)
        m->heard[i] = sim_now(m->w->s);
    sim_trace(m->w->s, "%s: the daemon starts", m->id);
    if (runner_create(&m->r, m->id, m->boot, &machine_fx, m) < 0)
        abort();
    procs_adopt(m);
    read_all(m);
    sim_timer(m->w->s, m->no, TIMER_TICK, sim_now(m->w->s) + 1);
    sim_timer(m->w->s, m->no, TIMER_SCHED, sim_now(m->w->s) + SCHED_MS);
    machine_turn(m);
}

void daemon_down(struct machine *m)
{
    sim_trace(m->w->s, "%s: the daemon is killed", m->id);
    m->daemon = false;
    m->life++;
    runner_destroy(m->r);
    m->r = NULL;
    sim_freeze(m->w->s, m->no, 0);
    sim_timer(m->w->s, m->no, TIMER_RUNNER, UINT64_MAX);
}

void machine_up(struct machine *m)
{
    m->up = true;
    m->lease_until = 0;
    sim_boot(m->w->s, m->no);
    daemon_up(m);
}

/* Either all that ran is killed, or the machine boots: then its replica may come back as it was
 * before. */
void machine_down(struct machine *m)
{
    bool boot = sim_below(m->w->s, 2);
    uint64_t back = !boot || sim_below(m->w->s, 3) ? 0 : sim_below(m->w->s, 20);

    sim_trace(m->w->s, "%s: the machine is down%s", m->id, boot ? ", and boots" : "");
    m->boot += boot;
    if (m->daemon)
        daemon_down(m);
    m->up = false;
    procs_crash(m, boot);
    sim_crash(m->w->s, m->no);
    m->applied -= back < m->applied ? back : m->applied;
    json_object_clear(m->replica);
    for (uint64_t i = 0; i < m->applied; i++) {
        const char *key;
        json_t *value;

        json_object_foreach (m->w->log[i], key, value)
            if (json_is_null(value))
                json_object_del(m->replica, key);
            else
                json_object_set(m->replica, key, value);
    }
}

static void on_tick(struct machine *m)
{
    uint64_t now = sim_now(m->w->s);

    sim_timer(m->w->s, m->no, TIMER_TICK, now + TICK_MS);
    procs_tell(m);
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (m->asks[i].used && !m->asks[i].answered && now >= m->asks[i].retry_at)
            send_ask(m, &m->asks[i]);
    answer_asks(m);
    if (now % BEAT_MS < TICK_MS)
        for (unsigned i = 0; i < m->w->n; i++)
            if (i != m->no)
                send(m->w, m->no, i, (struct packet){ .kind = BEAT });
    machine_turn(m);
}

static void on_deliver(void *arg, unsigned to, unsigned from, const void *msg, size_t n)
{
    struct world *w = arg;
    struct packet p;

    memcpy(&p, msg, n);
    if (to == w->n) {
        if (p.kind == ASK)
            registry_asked(w, from, &p);
        return;
    }
    if (to > w->n || !w->m[to].daemon)
        return;
    if (p.kind == BEAT)
        w->m[to].heard[from] = sim_now(w->s);
    else if (p.kind == HEAD)
        follow(&w->m[to], p.index);
    else
        got_answer(&w->m[to], &p);
    machine_turn(&w->m[to]);
}

static void on_timer(void *arg, unsigned node, unsigned which)
{
    struct world *w = arg;
    struct machine *m;

    if (node > w->n) {
        sim_timer(w->s, node, which, sim_now(w->s) + WORLD_MS);
        procs_tick(w);
        if (sim_now(w->s) % 200 < WORLD_MS) /* what got lost on the way */
            tell_head(w);
        return;
    }
    if (node == w->n || !w->m[node].daemon)
        return;
    m = &w->m[node];
    if (which == TIMER_TICK) {
        on_tick(m);
    } else if (which == TIMER_SCHED) {
        sim_timer(w->s, node, which, sim_now(w->s) + SCHED_MS);
        sched_tick(m);
    } else {
        machine_turn(m);
    }
}

void world_make(struct world *w, uint64_t seed, bool trace)
{
    static const struct sim_ops ops = { .deliver = on_deliver, .timer = on_timer };

    *w = (struct world){ .seed = seed, .state = must(json_object()) };
    w->s = sim_new(NODES, seed, &ops, w);
    if (trace)
        sim_trace_on(w->s);
    w->n = 1 + sim_below(w->s, MACHINES_MAX);
    sim_boot(w->s, w->n);
    sim_boot(w->s, w->n + 1);
    sim_timer(w->s, w->n + 1, 0, WORLD_MS);
    for (unsigned i = 0; i < w->n; i++) {
        w->m[i] = (struct machine){ .w = w, .no = i, .replica = must(json_object()) };
        w->m[i].boot = 100 * (i + 1);
        snprintf(w->m[i].id, sizeof w->m[i].id, "m%u", i);
    }
    world_scheduler(w, sim_below(w->s, w->n));
    for (unsigned i = 0; i < w->n; i++)
        machine_up(&w->m[i]);
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        runner_destroy(w->m[i].r);
        json_decref(w->m[i].replica);
    }
    for (size_t i = 0; i < w->n_cmds; i++)
        json_decref(w->cmds[i].fields);
    for (uint64_t i = 0; i < w->index; i++)
        json_decref(w->log[i]);
    json_decref(w->state);
    free(w->log);
    free(w->cmds);
    free(w->procs);
    sim_free(w->s);
}
