/*
 * jobs_procs.c - see jobs_world.h: processes, oneos-init with its lease, and what a runner's
 * effects do to them.
 *
 * A group with one before it reads all that comes out of that: it can end well only when that one
 * ended by itself, and is killed (lost) when that one was ended by us, or never came.
 */
#include "tests/sim/jobs_world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { WIRE_MS = 10000 };

struct process *procs_of(struct world *w, const struct run_key *k)
{
    for (size_t i = w->n_procs; i-- > 0;)
        if (memcmp(&w->procs[i].key, k, sizeof *k) == 0 && !w->procs[i].refused)
            return &w->procs[i];
    return NULL;
}

/* ---- effects */

static void fx_start(void *arg, const char *job, const struct run_key *k)
{
    struct machine *m = arg;
    struct world *w = m->w;
    struct process p = { .key = *k, .machine = m->no, .due = sim_now(w->s) + sim_below(w->s, 30) };

    snprintf(p.job, sizeof p.job, "%s", job);
    p.refused = sim_chance(w->s, 20000);
    p.ignores_term = sim_chance(w->s, 200000);
    p.exits_at_term = sim_chance(w->s, 200000);
    if (w->n_procs == w->cap_procs) {
        w->cap_procs = w->cap_procs ? 2 * w->cap_procs : 256;
        w->procs = realloc(w->procs, w->cap_procs * sizeof *w->procs);
        if (!w->procs)
            abort();
    }
    w->procs[w->n_procs++] = p;
    sim_trace(w->s, "%s: start %" PRIu64 ".%u.%u", m->id, k->uid, k->attempt, k->group);
}

static struct process *here(struct machine *m, const struct run_key *k)
{
    struct process *p = procs_of(m->w, k);

    return p && p->machine == m->no && !p->forgotten ? p : NULL;
}

static void fx_end(void *arg, const struct run_key *k, int sig, enum job_cause cause)
{
    struct machine *m = arg;
    struct process *p = here(m, k);
    uint64_t now = sim_now(m->w->s);

    sim_trace(m->w->s, "%s: signal %d to %" PRIu64 ".%u.%u: %s", m->id, sig, k->uid, k->attempt,
              k->group, job_cause_name(cause));
    if (!p || p->at == P_ENDED)
        return;
    p->ended_by_us = true;
    if (p->why == JOB_NOT_ENDED)
        p->why = cause;
    if (sig == SIGKILL || !p->ignores_term)
        p->dies_at = now + sim_below(m->w->s, 20);
    if (sig == SIGKILL)
        p->exits_at_term = false;
}

static void fx_forget(void *arg, const struct run_key *k)
{
    struct machine *m = arg;
    struct process *p = here(m, k);

    if (!p)
        return; /* it never came to be one */
    if (p->at != P_ENDED)
        world_fail(m->w, "%s forgets what runs", m->id);
    p->forgotten = true;
}

static void on_reported(struct machine *m, uint64_t serial, int rc)
{
    runner_reported(m->r, sim_now(m->w->s), serial, rc);
}

static void fx_report(void *arg, uint64_t serial, uint64_t session, const struct job_ended *ends,
                      size_t n, bool later)
{
    struct machine *m = arg;

    (void)later;
    machine_ask(m, "job.end", job_end_fields(m->id, session, ends, n, world_wall(m->w)), serial,
                on_reported);
}

static void on_barriered(struct machine *m, uint64_t arg, int rc)
{
    char key[64];
    const json_t *value;
    struct runner_info own;

    (void)arg;
    snprintf(key, sizeof key, RUNNER_KEY "%s", m->id);
    value = json_object_get(m->replica, key);
    if (value && runner_info_decode(value, &own) < 0)
        abort();
    runner_barriered(m->r, sim_now(m->w->s), rc, value ? &own : NULL);
}

static void fx_barrier(void *arg)
{
    machine_ask(arg, NULL, NULL, 0, on_barriered);
}

static void fx_lease(void *arg, uint64_t ms)
{
    struct machine *m = arg;

    m->lease_until = sim_now(m->w->s) + ms;
}

static void on_claimed(struct machine *m, uint64_t arg, int rc)
{
    (void)arg;
    runner_claimed(m->r, sim_now(m->w->s), rc);
}

static void fx_claim(void *arg, uint64_t session)
{
    struct machine *m = arg;

    for (size_t i = 0; i < m->w->n_procs; i++)
        if (m->w->procs[i].machine == m->no && m->w->procs[i].at != P_ENDED)
            world_fail(m->w, "%s claims a session while something runs", m->id);
    machine_ask(m, "runner.claim", runner_claim_fields(m->id, session, world_wall(m->w)), 0,
                on_claimed);
}

const struct runner_fx machine_fx = { .start = fx_start,
                                      .end = fx_end,
                                      .forget = fx_forget,
                                      .report = fx_report,
                                      .barrier = fx_barrier,
                                      .lease = fx_lease,
                                      .claim = fx_claim };

/* ---- processes */

/* What this group of this job does: the same in each attempt, but for its luck. */
static uint64_t duration(struct world *w, const struct run_key *k)
{
    static const unsigned top[] = { 20, 200, 3000, 20000, 60000 };

    return 1 + sim_below(w->s, top[world_lot(w, k->uid, 5)]);
}

static void begin(struct world *w, struct process *p)
{
    uint64_t now = sim_now(w->s);

    for (size_t i = 0; i < w->n_procs; i++) {
        const struct process *o = &w->procs[i];

        if (o == p || o->key.uid != p->key.uid || o->refused)
            continue;
        if (o->at == P_RUNNING && o->key.attempt != p->key.attempt)
            world_fail(w, "%" PRIu64 ".%u.%u begins while attempt %u runs on m%u", p->key.uid,
                       p->key.attempt, p->key.group, o->key.attempt, o->machine);
        if (o->began && o->key.attempt == p->key.attempt && o->key.group == p->key.group)
            world_fail(w, "%" PRIu64 ".%u.%u begins twice", p->key.uid, p->key.attempt,
                       p->key.group);
    }
    p->at = P_RUNNING;
    p->began = now;
    p->due = now + duration(w, &p->key);
    w->count.starts++;
}

static void end(struct world *w, struct process *p, enum job_cause cause, int exit, int sig)
{
    p->at = P_ENDED;
    p->end = (struct job_end){ .cause = p->why != JOB_NOT_ENDED ? p->why : cause,
                               .exit = exit,
                               .signal = sig,
                               .started_us = 1 + p->began * 1000,
                               .ended_us = world_wall(w) };
    sim_trace(w->s, "m%u: %" PRIu64 ".%u.%u ended: %s %d", p->machine, p->key.uid, p->key.attempt,
              p->key.group, job_cause_name(cause), exit);
}

/* Whether all that it reads has come: 1; it is still coming: 0; it broke: -1. */
static int input(struct world *w, struct process *p)
{
    struct run_key before = p->key;
    const struct process *from;

    if (p->key.group == 0)
        return 1;
    before.group--;
    from = procs_of(w, &before);
    if (!from || from->at == P_SPAWNING)
        return sim_now(w->s) > p->began + WIRE_MS ? -1 : 0;
    if (from->at != P_ENDED)
        return 0;
    return from->clean ? 1 : -1;
}

static void tick(struct world *w, struct process *p)
{
    uint64_t now = sim_now(w->s);
    struct machine *m = &w->m[p->machine];
    bool lease_out = now >= m->lease_until;
    int in;

    if (p->at == P_SPAWNING) {
        if (now < p->due)
            return;
        if (p->refused)
            p->end = (struct job_end){ .cause = JOB_NOT_BEGUN, .exit = 126, .words = "no luck" };
        if (lease_out)
            p->refused = true;
        if (p->refused)
            p->at = P_ENDED;
        else
            begin(w, p);
        return;
    }
    if (lease_out) {
        w->count.leases_out++;
        p->ended_by_us = true;
        end(w, p, JOB_LOSS, -1, SIGKILL);
    } else if (p->dies_at && now >= p->dies_at) {
        if (p->exits_at_term)
            end(w, p, JOB_EXITED, 0, 0);
        else
            end(w, p, JOB_KILLED, -1, SIGKILL);
    } else if ((in = input(w, p)) < 0) {
        p->ended_by_us = true;
        end(w, p, JOB_LOSS, -1, SIGKILL);
    } else if (in > 0 && now >= p->due) {
        p->clean = !p->ended_by_us;
        p->whole = p->clean;
        end(w, p, JOB_EXITED, world_lot(w, p->key.uid, 7) == 0 ? 3 : 0, 0);
    }
}

void procs_tick(struct world *w)
{
    for (size_t i = 0; i < w->n_procs; i++)
        if (w->procs[i].at != P_ENDED)
            tick(w, &w->procs[i]);
}

/* What the daemon hears of oneos-init. */
void procs_tell(struct machine *m)
{
    struct world *w = m->w;
    uint64_t now = sim_now(w->s);

    for (size_t i = 0; i < w->n_procs; i++) {
        struct process p = w->procs[i];

        if (p.machine != m->no || p.forgotten || p.told_ended || p.at == P_SPAWNING)
            continue;
        w->procs[i].told_started = true;
        w->procs[i].told_ended = p.at == P_ENDED;
        w->procs[i].forgotten = p.refused;
        if (p.refused && p.end.cause == JOB_NOT_BEGUN)
            runner_started(m->r, now, &p.key, -EACCES, 126, "no luck");
        else if (p.refused)
            runner_started(m->r, now, &p.key, p.end.cause == JOB_LOSS ? -EPIPE : -EAGAIN, 126,
                           "no lease");
        else if (!p.told_started)
            runner_started(m->r, now, &p.key, 0, 0, NULL);
        if (p.at == P_ENDED && !p.refused)
            runner_ended(m->r, now, &p.key, &p.end);
    }
}

void procs_adopt(struct machine *m)
{
    struct world *w = m->w;
    uint64_t now = sim_now(w->s);

    for (size_t i = 0; i < w->n_procs; i++) {
        struct process *p = &w->procs[i];

        if (p->machine != m->no || p->forgotten)
            continue;
        if (p->refused && p->at == P_ENDED) {
            p->forgotten = true;
            continue;
        }
        p->told_started = true;
        p->told_ended = p->at == P_ENDED;
        if (p->at == P_SPAWNING) /* what it was asked, oneos-init does */
            p->refused = false;
        if (runner_adopt(m->r, now, p->job, &p->key, p->began ? now - p->began : 0,
                         p->at == P_ENDED ? &p->end : NULL) < 0)
            world_fail(w, "%s cannot take up %" PRIu64 ".%u.%u", m->id, p->key.uid, p->key.attempt,
                       p->key.group);
    }
}

/* After a boot, what was not on the disk yet is not known at all. The daemon is down, or only
 * oneos-init has died. */
void procs_crash(struct machine *m, bool boot)
{
    struct world *w = m->w;

    for (size_t i = 0; i < w->n_procs; i++) {
        struct process *p = &w->procs[i];

        if (p->machine != m->no || p->forgotten)
            continue;
        if (p->at != P_ENDED) {
            p->ended_by_us = true;
            p->refused = p->at == P_SPAWNING;
            end(w, p, JOB_LOSS, -1, SIGKILL);
        }
        if (boot && !p->told_ended && sim_chance(w->s, 500000))
            p->forgotten = true;
    }
    m->lease_until = 0;
    if (machine_runs(m)) {
        procs_tell(m);
        runner_init(m->r, sim_now(w->s));
        machine_turn(m);
    }
}
