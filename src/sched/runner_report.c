/*
 * runner_report.c - what ended is told to the registry, in batches, until it is there; and the
 * runner's step.
 *
 * Invariant: of one run at most one report is under way.
 */
#include "sched/runner_private.h"

#include <errno.h>

#define REFUSED_MS 2000

/* While others wait here for room, ends are told together: each report costs all machines a write
 * to their disks, and nobody's turn comes sooner by it. Far below the time for which machines are
 * sent work ahead. */
#define GATHER_MS 30

/* Nobody waits for this end: others of its job run on, as far as is known here, and are to. */
static bool can_wait(const struct run *run)
{
    size_t told = 0;

    if (!run->job || run->end.cause != JOB_EXITED)
        return false;
    for (const struct run *o = run->job->runs; o; o = o->after)
        told += o->at == RUN_ENDED || o->at == RUN_REPORTING;
    return run->job->open > told;
}

static void send_some(struct runner *r, uint64_t now)
{
    struct job_ended ends[REPORT_MAX];
    uint64_t serial = ++r->serial;
    bool later = true;
    size_t n = 0;

    for (struct run *run; n < REPORT_MAX && (run = r->list[RUN_ENDED]) != NULL; n++) {
        ends[n] = (struct job_ended){ .name = run->job->name,
                                      .uid = run->key.uid,
                                      .attempt = run->key.attempt,
                                      .group = run->key.group,
                                      .end = run->end };
        later &= can_wait(run);
        run->serial = serial;
        run_to(r, run, RUN_REPORTING);
    }
    r->reports_out++;
    r->report_last = now;
    r->fx->report(r->arg, serial, r->info.session, ends, n, later);
}

void runner_reported(struct runner *r, uint64_t now, uint64_t serial, int rc)
{
    if (r->reports_out)
        r->reports_out--;
    for (struct run *run = r->list[RUN_REPORTING], *next; run; run = next) {
        next = run->next;
        if (run->serial != serial)
            continue;
        if (rc == 0 || rc == -ESTALE) /* what had not ended in an old session is lost */
            run_taken(r, run);
        else
            run_to(r, run, RUN_ENDED);
    }
    if (rc < 0 && rc != -ESTALE)
        r->report_at = now + (rc == -EAGAIN ? RETRY_MS : REFUSED_MS);
}

/* When there may be a report, if anything is to be told; 0: never. */
static uint64_t report_due(const struct runner *r)
{
    uint64_t at = r->list[RUN_WANTED] && r->report_last ? r->report_last + GATHER_MS : 1;

    if (!r->list[RUN_ENDED] || !r->synced || r->reports_out >= REPORTS_MAX)
        return 0;
    return at > r->report_at ? at : r->report_at;
}

/* When the first that waits for room is given back; 0: none waits for that. */
static uint64_t back_at(const struct runner *r, uint64_t now)
{
    const struct run *run = r->list[RUN_WANTED];

    while (run && !run->alone)
        run = run->next;
    return run && lease_valid(r, now) && !run_fits(r, run) ? run->wanted + RUNNER_WAIT_MS : 0;
}

/* What runs here takes longer than the scheduler thought: others may be free. */
static void give_back_waiting(struct runner *r, uint64_t now)
{
    uint64_t at = back_at(r, now);
    struct run *run, *next;

    for (run = r->list[RUN_WANTED]; at && at <= now && run; run = next) {
        next = run->next;
        if (run->alone && run->wanted + RUNNER_WAIT_MS <= now)
            run_end(r, now, run, JOB_NOT_TAKEN, false);
    }
}

void runner_step(struct runner *r, uint64_t now)
{
    uint64_t due;

    run_times(r, now);
    give_back_waiting(r, now);
    lease_give_back(r, now);
    while ((due = report_due(r)) != 0 && due <= now)
        send_some(r, now);
    lease_step(r, now);
    r->back_at = back_at(r, now);
}

static void sooner(uint64_t *first, uint64_t at)
{
    if (at && (!*first || at < *first))
        *first = at;
}

uint64_t runner_next(const struct runner *r)
{
    uint64_t first = r->timer;

    sooner(&first, r->back_at);
    sooner(&first, report_due(r));
    if (claim_due(r))
        sooner(&first, 1);
    sooner(&first, barrier_due(r));
    return first;
}

void runner_status(const struct runner *r, uint64_t now, struct runner_status *s)
{
    *s = (struct runner_status){ .wanted = r->n[RUN_WANTED],
                                 .alive = r->n[RUN_STARTING] + r->n[RUN_RUNNING],
                                 .untaken = r->n[RUN_ENDED] + r->n[RUN_REPORTING],
                                 .kept = r->n[RUN_TAKEN],
                                 .lease_ms = r->lease_until > now ? r->lease_until - now : 0,
                                 .session = r->info.session,
                                 .trouble = "" };
    if (r->stopping)
        s->trouble = "it stops";
    else if (!r->synced)
        s->trouble = "it has not reached the registry's leader since its start";
    else if (r->yielded)
        s->trouble = "it was fenced, and claims a new session";
    else if (r->list[RUN_WANTED] && !lease_valid(r, now))
        s->trouble = "it cannot renew its lease: the registry has no quorum that it can reach";
}
