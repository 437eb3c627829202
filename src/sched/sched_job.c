/*
 * sched_job.c - jobs as their records say: what is promised to them, and what their users have had.
 *
 * Invariants: a job has grants while it is J_SENT to be placed, and as J_RUNNING for those groups
 * that have not ended; its user's account has what it was charged. While J_SENT, only its record's
 * being placed or over, or sched_failed(), changes it: what was sent may still take effect.
 */
#include "sched/sched_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job_node *job_named(const struct sched *s, const char *name)
{
    struct job_node *j;

    HASH_FIND(by_name, s->names, name, strlen(name), j);
    return j;
}

static struct user *user_get(struct sched *s, const char *name)
{
    struct user *u;

    HASH_FIND_STR(s->users, name, u);
    if (u)
        return u;
    if (!(u = calloc(1, sizeof *u)) || !(u->name = strdup(name))) {
        free(u);
        return NULL;
    }
    retain_user(u);
    HASH_ADD_KEYPTR(hh, s->users, u->name, strlen(u->name), u);
    if (u->hh.tbl)
        return u;
    free(u->name);
    free(u);
    return NULL;
}

/* ---- promises */

static void release(struct sched *s, struct job_node *j, uint64_t end_us)
{
    while (j->grants)
        grant_drop(s, j->grants);
    if (j->charged)
        fair_end(&s->fair, &j->user->use, j->charged, j->charged_us, end_us);
    j->charged = 0;
}

static void charge(struct sched *s, struct job_node *j, unsigned cpu_milli, uint64_t start_us)
{
    fair_start(&s->fair, &j->user->use, cpu_milli, start_us);
    j->charged = cpu_milli;
    j->charged_us = start_us;
}

/* The groups that have the stages [first, first + n). */
static void groups_of(const struct want_groups *plan, struct grant *g)
{
    g->group = UINT32_MAX;
    g->groups_end = 0;
    for (size_t i = 0; plan && i < plan->n; i++)
        if (!plan->v[i].file && plan->v[i].first < g->first + g->n &&
            plan->v[i].first + plan->v[i].n > g->first) {
            g->group = i < g->group ? (unsigned)i : g->group;
            g->groups_end = (unsigned)i + 1;
        }
}

static int grant_files(struct sched *s, struct job_node *j, const struct want_groups *plan)
{
    for (size_t i = 0; plan && i < plan->n; i++) {
        struct machine *m = plan->v[i].file ? machine_get(s, plan->v[i].machine) : NULL;
        struct grant *g = m ? grant_make(s, j, m, 0, 0) : NULL;

        if (plan->v[i].file && !g)
            return -ENOMEM;
        if (g) {
            g->group = (unsigned)i;
            g->groups_end = (unsigned)i + 1;
        }
    }
    return 0;
}

int job_grant(struct sched *s, struct job_node *j, const char *const *on, size_t n_on,
              const struct want_groups *plan)
{
    unsigned cpu = 0;

    for (size_t first = 0, end; first < n_on; first = end) {
        struct machine *m = machine_get(s, on[first]);
        struct grant *g;

        for (end = first + 1; end < n_on && strcmp(on[end], on[first]) == 0; end++)
            ;
        if (!m || !(g = grant_make(s, j, m, first, end - first))) {
            release(s, j, s->wall_us);
            return -ENOMEM;
        }
        groups_of(plan, g);
        cpu += (unsigned)g->cpu;
    }
    if (grant_files(s, j, plan) < 0) {
        release(s, j, s->wall_us);
        return -ENOMEM;
    }
    charge(s, j, cpu, s->wall_us);
    return 0;
}

static bool has_ended(const struct grant *g, const struct job *r)
{
    bool ended = g->groups_end > 0;

    for (unsigned i = g->group; i < g->groups_end; i++)
        ended = ended && i < r->n_groups && r->groups[i].end.cause != JOB_NOT_ENDED;
    return ended;
}

static bool all_ended_on(const struct job_node *j, const struct machine *m, const struct job *r)
{
    for (const struct grant *g = j->grants; g; g = g->next)
        if (g->machine == m && !has_ended(g, r))
            return false;
    return true;
}

/* Drops what is promised on machines where all of its groups have ended. */
static void release_ended(struct sched *s, struct job_node *j, const struct job *r)
{
    for (struct grant *g = j->grants, *next; g; g = next) {
        next = g->next;
        if (all_ended_on(j, g->machine, r))
            grant_drop(s, g);
    }
}

/* ---- records */

/* A command could not be started on a machine that said it could: it is asked again. */
static void distrust(struct sched *s, const struct job_node *j, const struct job *r)
{
    for (size_t i = 0; j->lane && i < r->n_groups; i++) {
        struct machine *m = machine_find(s, r->groups[i].machine);

        if (r->groups[i].end.cause != JOB_NOT_BEGUN || !m)
            continue;
        for (size_t k = 0; k < j->lane->n; k++)
            if (j->lane->stages[k].need->verdict[m->slot] == V_YES)
                needs_forget(s, m->slot, j->lane->stages[k].need);
    }
}

/* A machine that gave it back with words could begin nothing else now, either. */
static void learn_poor(struct sched *s, const struct job *r)
{
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct job_end *end = &r->groups[i].end;
        struct machine *m = machine_find(s, r->groups[i].machine);

        if (m && end->cause == JOB_NOT_TAKEN && *end->words)
            machine_poor(s, m);
    }
}

static int copy_on(struct job_node *j, const struct job *r)
{
    char(*on)[ID_MAX] = r->n_on ? malloc(r->n_on * sizeof *on) : NULL;

    if (r->n_on && !on)
        return -ENOMEM;
    if (r->n_on)
        memcpy(on, r->on, r->n_on * sizeof *on);
    free(j->on);
    j->on = on;
    j->n_on = r->n_on;
    return 0;
}

/* Promises what a record says to run, whoever placed it. */
static int grant_record(struct sched *s, struct job_node *j, const struct job *r)
{
    const char *on[WANT_STAGES_MAX];
    struct want_groups plan;
    int rc;

    if (r->n_on > WANT_STAGES_MAX)
        return 0;
    for (size_t i = 0; i < r->n_on; i++)
        on[i] = r->on[i];
    if (!j->lane && (rc = job_read_spec(s, j, NULL)) == -ENOMEM)
        return rc;
    want_placed(j->spec, r->on, r->n_on, j->by, &plan);
    rc = job_grant(s, j, on, r->n_on, &plan);
    want_groups_free(&plan);
    return rc;
}

static int take_running(struct sched *s, struct job_node *j, const struct job *r)
{
    bool ours =
        (j->state == J_SENT || j->state == J_RUNNING) && j->attempt == r->attempt && j->grants;
    int rc = 0;

    for (struct grant *g = j->grants; ours && j->state == J_SENT && g; g = g->next)
        ours = g->n == 0 || (g->first < r->n_on && strcmp(g->machine->id, r->on[g->first]) == 0);
    if (!(j->state == J_RUNNING && j->attempt == r->attempt) && !ours) {
        job_leave(s, j);
        release(s, j, s->wall_us);
        rc = grant_record(s, j, r);
    }
    j->state = J_RUNNING;
    j->attempt = r->attempt;
    if (j->charged && j->charged_us != r->started_us && r->started_us) {
        unsigned cpu = j->charged;

        fair_end(&s->fair, &j->user->use, cpu, j->charged_us, j->charged_us);
        charge(s, j, cpu, r->started_us);
    }
    for (struct grant *g = j->grants; g && j->timeout_us && r->started_us; g = g->next)
        if (g->n)
            g->ends_us = r->started_us + j->timeout_us;
    release_ended(s, j, r);
    return rc;
}

/* What its user has had of an attempt that this scheduler did not see. */
static void count_past(struct sched *s, struct job_node *j, const struct job *r)
{
    unsigned parts = 0;
    struct want w;

    if (!r->started_us || want_read(&w, j->spec, NULL) < 0)
        return;
    for (size_t i = 0; i < r->n_on; i++)
        parts += i == 0 || strcmp(r->on[i], r->on[i - 1]) != 0;
    fair_past(&s->fair, &j->user->use, parts * w.cpu_milli, r->started_us, r->ended_us);
    want_free(&w);
}

static size_t elements_of(const struct job *r)
{
    const char *state;
    size_t n = 0;
    json_t *v;

    json_object_foreach (r->counts, state, v)
        n += (size_t)json_integer_value(v);
    return n;
}

static void take_over(struct sched *s, struct job_node *j, const struct job *r, bool fresh)
{
    if (j->state == J_OVER)
        return;
    job_leave(s, j);
    if (fresh && !j->array)
        count_past(s, j, r);
    if (j->lane && j->grants && r->end.started_us && r->end.ended_us > r->end.started_us)
        lane_ran(s, j->lane, r->end.ended_us - r->end.started_us);
    release(s, j, r->ended_us > j->charged_us ? r->ended_us : j->charged_us);
    distrust(s, j, r);
    if (j->lane)
        lane_put(s, j->lane);
    j->lane = NULL;
    j->records = 1 + elements_of(r);
    if (retain_add(s, j) == 0)
        j->state = J_OVER;
    jobs_wake_waiters(s, j->name);
}

/* It is pending: since it is new here, was released, or an attempt is over (whose running may not
 * have been told). */
static void take_pending(struct sched *s, struct job_node *j, const struct job *r)
{
    if (j->state == J_RUNNING || j->state == J_SENT) {
        distrust(s, j, r);
        learn_poor(s, r);
        if (r->end.cause == JOB_NOT_TAKEN && j->grants)
            ahead_failed(s, j, j->grants->machine);
        release(s, j, r->end.ended_us > j->charged_us ? r->end.ended_us : s->wall_us);
        j->state = J_IDLE;
    }
    if (j->state != J_IDLE)
        return;
    j->attempt = r->attempt;
    j->seen_ms = s->now_ms;
    job_wait(s, j);
}

static void copy_end(struct job_node *j, const struct job *r)
{
    if (r->end.cause == JOB_NOT_ENDED)
        return;
    if (!j->end)
        j->end = malloc(sizeof *j->end);
    if (j->end)
        *j->end = r->end;
    if (*r->cancelled_by && !j->cancelled_by)
        j->cancelled_by = strdup(r->cancelled_by);
}

static int take_record(struct sched *s, struct job_node *j, const struct job *r, bool fresh)
{
    int rc = copy_on(j, r);

    if (j->state == J_OVER) /* its order in the heap depends on it */
        return rc;
    j->record = r->state;
    j->array = r->counts != NULL;
    j->element = *r->array != '\0';
    j->cancelled = r->cancelled;
    j->restarts = r->restarts;
    j->started_us = r->started_us;
    j->ended_us = r->ended_us;
    if (j->state == J_IDLE || j->state == J_RUNNING || j->state == J_SENT) {
        j->queued_us = r->queued_us;
        j->not_before_us = r->not_before_us;
    }
    copy_end(j, r);
    if (job_is_over(r->state))
        take_over(s, j, r, fresh);
    else if (r->state == JOB_RUNNING && !j->array)
        rc = take_running(s, j, r) < 0 ? -ENOMEM : rc;
    else if (j->state == J_SENT && !(j->placing && r->attempt >= j->attempt))
        ; /* see above */
    else if (r->state == JOB_PENDING && !j->array)
        take_pending(s, j, r);
    else
        job_leave(s, j);
    return rc;
}

bool job_index(struct sched *s, struct job_node *j)
{
    HASH_ADD(hh, s->jobs, uid, sizeof j->uid, j);
    if (!j->hh.tbl)
        return false;
    HASH_ADD_KEYPTR(by_name, s->names, j->name, strlen(j->name), j);
    if (!j->by_name.tbl)
        HASH_DEL(s->jobs, j);
    return j->by_name.tbl != NULL;
}

void job_unindex(struct sched *s, struct job_node *j)
{
    HASH_DEL(s->jobs, j);
    HASH_DELETE(by_name, s->names, j);
}

static struct job_node *job_new(struct sched *s, const struct job *r)
{
    struct job_node *j = calloc(1, sizeof *j);

    if (!j || !(j->name = strdup(r->name)) || !(j->user = user_get(s, r->user)))
        goto fail;
    j->uid = r->uid;
    strcpy(j->by, r->by);
    if (job_index(s, j))
        return j;
fail:
    if (j)
        free(j->name);
    free(j);
    return NULL;
}

/* A spec changes only while nobody has looked at it: new and held. */
static void take_spec(struct sched *s, struct job_node *j, const struct job *r)
{
    if (j->state != J_IDLE || json_equal(j->spec, r->spec))
        return;
    if (j->lane)
        lane_put(s, j->lane);
    j->lane = NULL;
    json_decref(j->spec);
    j->spec = json_incref(r->spec);
}

int sched_job(struct sched *s, const struct job *r)
{
    struct job_node *j, *old = job_named(s, r->name);
    bool fresh;

    if (old && old->uid != r->uid)
        job_gone(s, old);
    HASH_FIND(hh, s->jobs, &r->uid, sizeof r->uid, j);
    fresh = !j;
    if (!j && !(j = job_new(s, r)))
        return -ENOMEM;
    j->told = true;
    take_spec(s, j, r);
    return take_record(s, j, r, fresh);
}

void job_drop(struct sched *s, struct job_node *j)
{
    job_leave(s, j);
    release(s, j, s->wall_us);
    if (j->lane)
        lane_put(s, j->lane);
    json_decref(j->spec);
    job_free_after(j);
    free(j->name);
    free(j->near);
    free(j->on);
    free(j->words);
    free(j->end);
    free(j->cancelled_by);
    free(j);
}

void job_gone(struct sched *s, struct job_node *j)
{
    char *name = j->name;

    job_leave(s, j);
    job_unindex(s, j);
    j->name = NULL;
    job_drop(s, j);
    if (s->names || s->deps)
        jobs_wake_waiters(s, name);
    free(name);
}

void sched_job_gone(struct sched *s, const char *name, uint64_t uid)
{
    struct job_node *j = job_named(s, name);

    if (j && (j->uid == uid || uid == 0))
        job_gone(s, j);
}

void sched_failed(struct sched *s, const char *name, uint64_t uid, uint32_t attempt)
{
    struct job_node *j = job_named(s, name);

    if (!j || j->uid != uid || j->state != J_SENT || (attempt && attempt != j->attempt))
        return;
    release(s, j, j->charged_us); /* nobody has used it */
    if (attempt)
        j->attempt--;
    j->state = J_IDLE;
    if (j->record != JOB_PENDING)
        return;
    if (j->not_before_us < s->wall_us + FAILED_PAUSE_MS * 1000)
        j->not_before_us = s->wall_us + FAILED_PAUSE_MS * 1000;
    job_wait(s, j);
}

void jobs_free(struct sched *s)
{
    struct job_node *j, *next;
    struct user *u, *un;

    HASH_ITER (hh, s->jobs, j, next)
        job_gone(s, j);
    HASH_ITER (hh, s->users, u, un) {
        HASH_DEL(s->users, u);
        heap_free(&u->ended);
        free(u->name);
        free(u);
    }
    heap_free(&s->pauses);
    heap_free(&s->ended);
    heap_free(&s->going);
}
