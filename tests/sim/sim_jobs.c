/*
 * sim_jobs.c - jobs on machines whose daemons and whole selves die, that are cut off, freeze,
 * leave; while the scheduler moves, and answers get lost.
 *
 *   sim_jobs           some hundred seeds
 *   sim_jobs SEED      that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N  so many seeds
 *
 * Invariants:
 *  - no process of a job begins while one of another attempt of it runs anywhere, and none of one
 *    attempt begins twice (jobs_procs.c);
 *  - nothing of jobs runs on a machine when it is declared lost (jobs_world.c);
 *  - a machine claims a session only when nothing of jobs runs there;
 *  - when the faults are over every job ends, and nothing of it runs any more;
 *  - a job is `done` only when each of its groups ended by itself, had all of its input, and the
 *    last one's exit was 0; `failed` tells the exit that there was;
 *  - what is forgotten in the registry is forgotten by the machines.
 */
#include "tests/sim/jobs_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS_UNTIL = 90000, STEP_MS = 250, CALM_MS = 400000 };

static struct {
    uint64_t starts, early, fences, claims, losses, unanswered, leases_out, restarts;
    uint64_t over[JOB_LOST + 1];
} total;

static void nothing(struct machine *m, uint64_t arg, int rc)
{
    (void)m, (void)arg, (void)rc;
}

static struct machine *any(struct world *w)
{
    return &w->m[sim_below(w->s, w->n)];
}

/* ---- what users do */

static void submit(struct world *w)
{
    static const char *const restart[] = { "never", "on-failure", "never" };
    struct machine *m = any(w);
    json_t *spec = json_pack("{s:i, s:s}", "schema", 1, "run", "x"), *making, *advice = NULL;

    if (!machine_runs(m)) {
        json_decref(spec);
        return;
    }
    if (sim_chance(w->s, 700000))
        json_object_set_new(spec, "retries", json_integer(1 + sim_below(w->s, 3)));
    else
        json_object_set_new(spec, "restart", json_string(restart[sim_below(w->s, 2)]));
    if (sim_chance(w->s, 300000))
        json_object_set_new(spec, "timeout", json_string("5s"));
    if (!json_object_get(spec, "retries"))
        json_object_set_new(spec, "retries", json_integer(0));
    making = job_make_fields("", "root", m->id, spec, true, false, world_wall(w));
    if (sim_chance(w->s, 500000))
        advice = sched_advice(w);
    if (advice)
        json_object_set_new(making, "advice", advice);
    machine_ask(m, "job.make", making, 0, nothing);
    machine_turn(m);
}

static void cancel(struct world *w)
{
    struct machine *m = any(w);
    const char *key;
    json_t *value;

    if (!machine_runs(m))
        return;
    json_object_foreach (m->replica, key, value)
        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) == 0 && sim_chance(w->s, 1000)) {
            struct job j;

            if (job_decode(key + strlen(JOB_KEY), value, &j) < 0)
                abort();
            machine_ask(m, "job.cancel", job_cancel_fields(j.name, j.uid, "root", world_wall(w)), 0,
                        nothing);
            job_clear(&j);
            return;
        }
}

/* ---- faults */

static void cut(struct world *w)
{
    unsigned side[NODES] = { 0 };

    for (unsigned i = 0; i < w->n; i++)
        side[i] = sim_below(w->s, 3) == 0;
    sim_trace(w->s, "cut");
    sim_partition(w->s, side);
}

static void fall(struct world *w)
{
    struct machine *m = any(w);

    if (m->up)
        machine_down(m);
    else
        machine_up(m);
}

static void kill_daemon(struct world *w)
{
    struct machine *m = any(w);

    if (!m->up)
        return;
    if (m->daemon)
        daemon_down(m);
    else
        daemon_up(m);
}

static void kill_init(struct world *w)
{
    struct machine *m = any(w);

    if (!m->up)
        return;
    sim_trace(w->s, "%s: oneos-init is killed", m->id);
    procs_crash(m, false);
}

static void freeze(struct world *w)
{
    struct machine *m = any(w);

    if (!machine_runs(m))
        return;
    sim_trace(w->s, "%s: the daemon is frozen", m->id);
    sim_freeze(w->s, m->no, sim_now(w->s) + 500 + sim_below(w->s, 20000));
}

static void leave(struct world *w)
{
    struct machine *m = any(w);

    if (!machine_runs(m) || m->leaving)
        return;
    sim_trace(w->s, "%s: leaves", m->id);
    m->leaving = true;
    runner_stop(m->r, sim_now(w->s));
    machine_turn(m);
}

static void move(struct world *w)
{
    world_scheduler(w, sim_below(w->s, w->n));
}

static void heal(struct world *w)
{
    sim_heal(w->s);
}

static const struct {
    void (*happen)(struct world *w);
    unsigned chance; /* per million, each STEP_MS */
} faults[] = {
    { cut, 12000 },      { heal, 12000 },   { fall, 15000 }, { kill_daemon, 40000 },
    { kill_init, 8000 }, { freeze, 10000 }, { leave, 6000 }, { move, 20000 },
};

/* Daemons come back within a while; one that left does when it is quiet. */
static void mend(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct machine *m = &w->m[i];

        if (m->daemon && m->leaving && runner_quiet(m->r))
            daemon_down(m);
        else if (m->up && !m->daemon && (w->calm || sim_chance(w->s, 200000)))
            daemon_up(m);
        else if (!m->up && (w->calm || sim_chance(w->s, 8000)))
            machine_up(m);
    }
}

/* ---- the end */

static bool all_over(struct world *w)
{
    const char *key;
    json_t *value;

    json_object_foreach (w->state, key, value) {
        const char *state = json_string_value(json_object_get(value, "state"));

        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) == 0 &&
            (strcmp(state, "running") == 0 || strcmp(state, "pending") == 0))
            return false;
    }
    return true;
}

static const struct process *group(struct world *w, const struct job *j, unsigned g)
{
    struct run_key k = { j->uid, j->attempt, g };

    return procs_of(w, &k);
}

static void check_job(struct world *w, const struct job *j)
{
    const struct process *last = group(w, j, j->status_group);

    total.over[j->state]++;
    total.restarts += j->restarts;
    if (!job_is_over(j->state))
        world_fail(w, "job %s is %s, and no fault is left", j->name, job_state_name(j->state));
    for (unsigned g = 0; j->state == JOB_DONE && g < j->n_groups; g++) {
        const struct process *p = group(w, j, g);

        if (!p || !p->clean || !p->whole)
            world_fail(w, "job %s, %" PRIu64 ".%u, is done, its group %u did not end well", j->name,
                       j->uid, j->attempt, g);
    }
    if (j->state == JOB_DONE && last->end.exit != 0)
        world_fail(w, "job %s is done with exit %d", j->name, last->end.exit);
    if (j->state == JOB_FAILED && j->end.cause == JOB_EXITED &&
        (!last || last->end.exit != j->end.exit || !last->whole))
        world_fail(w, "job %s failed with exit %d that was none", j->name, j->end.exit);
}

static void check_jobs(struct world *w)
{
    const char *key;
    json_t *value;

    json_object_foreach (w->state, key, value) {
        struct job j;

        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) != 0)
            continue;
        if (job_decode(key + strlen(JOB_KEY), value, &j) < 0)
            world_fail(w, "the record of job %s cannot be read", key);
        check_job(w, &j);
        job_clear(&j);
    }
    for (size_t i = 0; i < w->n_procs; i++)
        if (w->procs[i].at != P_ENDED)
            world_fail(w, "all is over, and %" PRIu64 ".%u.%u runs", w->procs[i].key.uid,
                       w->procs[i].key.attempt, w->procs[i].key.group);
}

static void forget_all(struct world *w)
{
    struct job_id ids[JOBS_TOP];
    char names[JOBS_TOP][JOB_NAME_MAX];
    size_t n = 0;
    const char *key;
    json_t *value;

    json_object_foreach (w->state, key, value) {
        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) != 0 || n == JOBS_TOP)
            continue;
        snprintf(names[n], sizeof names[n], "%s", key + strlen(JOB_KEY));
        ids[n] = (struct job_id){ names[n],
                                  (uint64_t)json_integer_value(json_object_get(value, "uid")) };
        n++;
    }
    if (n)
        machine_ask(&w->m[0], "job.forget", job_forget_fields(ids, n), 0, nothing);
    sim_run(w->s, sim_now(w->s) + 20000);
    for (size_t i = 0; i < w->n_procs; i++)
        if (!w->procs[i].forgotten)
            world_fail(w, "%" PRIu64 ".%u.%u is kept, and its job is gone", w->procs[i].key.uid,
                       w->procs[i].key.attempt, w->procs[i].key.group);
}

static void run(uint64_t seed, bool trace)
{
    struct world w;
    unsigned jobs = 0;

    world_make(&w, seed, trace);
    if (seed % 3 == 0)
        *sim_net(w.s) = (struct sim_net){ .latency_min = 1,
                                          .latency_max = 40,
                                          .loss = 50000,
                                          .twice = 20000,
                                          .late = 30000,
                                          .late_max = 4000 };
    while (sim_now(w.s) < FAULTS_UNTIL) {
        sim_run(w.s, sim_now(w.s) + STEP_MS);
        if (jobs < JOBS_TOP / 2 && sim_chance(w.s, 150000)) {
            submit(&w);
            jobs++;
        }
        cancel(&w);
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            if (seed % 10 != 1 && sim_chance(w.s, faults[i].chance))
                faults[i].happen(&w);
        mend(&w);
    }
    sim_heal(w.s);
    *sim_net(w.s) = (struct sim_net){ .latency_min = 1, .latency_max = 3 };
    w.calm = true;
    while (sim_now(w.s) < FAULTS_UNTIL + CALM_MS && !all_over(&w)) {
        mend(&w);
        sim_run(w.s, sim_now(w.s) + STEP_MS);
    }
    for (unsigned i = 0; i < 20000 / STEP_MS; i++) {
        mend(&w);
        sim_run(w.s, sim_now(w.s) + STEP_MS);
    }
    check_jobs(&w);
    forget_all(&w);
    total.starts += w.count.starts;
    total.early += w.count.early;
    total.fences += w.count.fences;
    total.claims += w.count.claims;
    total.losses += w.count.losses;
    total.unanswered += w.count.unanswered;
    total.leases_out += w.count.leases_out;
    if (trace)
        fprintf(stderr, "%s", sim_trace_text(w.s));
    world_free(&w);
}

int main(int argc, char **argv)
{
    const char *more = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 150;

    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run(seed, false);
    printf("%" PRIu64 " seeds: %" PRIu64 " processes, %" PRIu64
           " jobs placed with their making, %" PRIu64 " restarts of jobs, %" PRIu64
           " fences, %" PRIu64 " claims, %" PRIu64 " machines lost, %" PRIu64
           " killed by the lease, %" PRIu64 " questions unanswered; jobs:",
           seeds, total.starts, total.early, total.restarts, total.fences, total.claims,
           total.losses, total.leases_out, total.unanswered);
    for (int s = 0; s <= JOB_LOST; s++)
        if (total.over[s])
            printf(" %" PRIu64 " %s", total.over[s], job_state_name((enum job_state)s));
    printf("\n");
    return 0;
}
