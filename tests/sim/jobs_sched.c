/*
 * jobs_sched.c - see jobs_world.h: a scheduler that acts on what its machine's replica shows.
 */
#include "tests/sim/jobs_world.h"

#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 1500 };

static bool holds(struct machine *m)
{
    const json_t *s = json_object_get(m->replica, "service/scheduler");
    const char *at = json_string_value(json_object_get(s, "machine"));
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(s, "epoch"));

    if (!at || strcmp(at, m->id) != 0)
        return false;
    if (m->epoch != epoch) {
        m->epoch = epoch;
        memset(m->fence_seen, 0, sizeof m->fence_seen);
        memset(m->fence_asked, 0, sizeof m->fence_asked);
        memset(m->placed_at, 0, sizeof m->placed_at);
    }
    return true;
}

static void nothing(struct machine *m, uint64_t arg, int rc)
{
    (void)m, (void)arg, (void)rc;
}

static bool session(struct machine *m, unsigned i, struct runner_info *out)
{
    char key[64];
    const json_t *value;

    snprintf(key, sizeof key, RUNNER_KEY "%s", m->w->m[i].id);
    value = json_object_get(m->replica, key);
    return value && runner_info_decode(value, out) == 0;
}

static bool heard(const struct machine *m, unsigned i)
{
    return i == m->no || sim_now(m->w->s) < m->heard[i] + DEAD_MS;
}

/* Puts so many stages on machines that may have them, as far as it knows; false: there is none. */
static bool choose(struct machine *m, unsigned stages, const char *on[STAGES_TOP],
                   struct job_place *p)
{
    struct runner_info info;
    unsigned good[MACHINES_MAX], n = 0;
    struct world *w = m->w;

    for (unsigned i = 0; i < w->n; i++)
        if (heard(m, i) && session(m, i, &info) && !info.fenced_us)
            good[n++] = i;
    if (n == 0)
        return false;
    for (size_t i = 0; i < stages; i++)
        on[i] = w->m[good[sim_below(w->s, n)]].id;
    p->n_on = p->n_groups = stages;
    p->on = p->groups = on;
    p->status_group = stages - 1;
    return true;
}

json_t *sched_advice(struct world *w)
{
    const char *on[STAGES_TOP];
    struct job_place p = { 0 };

    for (unsigned i = 0; i < w->n; i++)
        if (machine_runs(&w->m[i]) && holds(&w->m[i]))
            return choose(&w->m[i], 1 + sim_below(w->s, STAGES_TOP), on, &p)
                       ? job_advice(w->m[i].epoch, 0, &p)
                       : NULL;
    return NULL;
}

static void place(struct machine *m, const struct job *j)
{
    const char *on[STAGES_TOP];
    struct job_place p = { .name = j->name, .uid = j->uid, .attempt = j->attempt + 1 };
    struct world *w = m->w;

    if (!choose(m, 1 + world_lot(w, j->uid / 3, STAGES_TOP), on, &p))
        return;
    m->placed_at[j->uid % JOBS_TOP] = sim_now(w->s);
    machine_ask(m, "job.place", job_place_fields(m->epoch, &p, 1, world_wall(w)), 0, nothing);
}

static void look_at_job(struct machine *m, const char *name, const json_t *value)
{
    struct job j;

    if (job_decode(name, value, &j) < 0)
        world_fail(m->w, "the record of job %s cannot be read", name);
    if (j.state == JOB_PENDING && world_wall(m->w) >= j.not_before_us &&
        sim_now(m->w->s) > m->placed_at[j.uid % JOBS_TOP] + AGAIN_MS)
        place(m, &j);
    job_clear(&j);
}

static bool placed(struct machine *m, unsigned i)
{
    const char *key;
    json_t *value;
    char prefix[64];

    snprintf(prefix, sizeof prefix, "placed/%s/", m->w->m[i].id);
    json_object_foreach (m->replica, key, value)
        if (strncmp(key, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static void look_at_machine(struct machine *m, unsigned i)
{
    struct world *w = m->w;
    uint64_t now = sim_now(w->s);
    bool wrong = !w->calm && sim_chance(w->s, 200); /* it is thought dead, and is not */
    struct runner_info info;

    if (!session(m, i, &info))
        return;
    if (!info.fenced_us) {
        m->fence_seen[i] = 0;
        if ((!heard(m, i) || wrong) && now > m->fence_asked[i] + AGAIN_MS && placed(m, i)) {
            m->fence_asked[i] = now;
            machine_ask(m, "runner.fence",
                        runner_fence_fields(m->epoch, w->m[i].id, info.session, world_wall(w)), 0,
                        nothing);
        }
        return;
    }
    if (!m->fence_seen[i])
        m->fence_seen[i] = now;
    if (now < m->fence_seen[i] + LOST_MS || now < m->fence_asked[i] + AGAIN_MS || !placed(m, i))
        return;
    m->fence_asked[i] = now;
    w->count.losses++;
    machine_ask(m, "job.lost", job_lost_fields(m->epoch, w->m[i].id, info.session, world_wall(w)),
                0, nothing);
}

void sched_tick(struct machine *m)
{
    const char *key;
    json_t *value;

    if (!holds(m))
        return;
    json_object_foreach (m->replica, key, value)
        if (strncmp(key, JOB_KEY, strlen(JOB_KEY)) == 0)
            look_at_job(m, key + strlen(JOB_KEY), value);
    for (unsigned i = 0; i < m->w->n; i++)
        look_at_machine(m, i);
    machine_turn(m);
}
