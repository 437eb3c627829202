/*
 * runner_lease.c - the lease and the session: when this machine may start and keep processes of
 * jobs.
 *
 * In: answers of barriers and claims, this machine's record. Out: barrier, lease, claim, start.
 * Invariants: the lease never goes further than JOB_LEASE_MS behind the sending of a barrier or
 * claim that found the session good; no claim is made while anything runs here, or has ended and is
 * not reported; nothing is decided by what was read before the first barrier.
 */
#include "sched/runner_private.h"
#include "base/cleanup.h"

#include <errno.h>

#define SESSION_BITS 20 /* sessions of one boot, counted below its `boot` */

static bool session_good(const struct runner *r)
{
    return r->info.session && !r->info.fenced_us && r->info.session >> SESSION_BITS == r->boot;
}

static uint64_t next_session(const struct runner *r)
{
    if (r->info.session >> SESSION_BITS == r->boot)
        return r->info.session + 1;
    return r->boot << SESSION_BITS | 1;
}

bool lease_valid(const struct runner *r, uint64_t now)
{
    return r->synced && !r->unread && !r->yielded && now + LEASE_MARGIN_MS < r->lease_until;
}

static void grant(struct runner *r, uint64_t now, uint64_t sent)
{
    uint64_t until = sent + JOB_LEASE_MS;

    if (until <= now || until <= r->lease_until)
        return;
    r->lease_until = until;
    r->fx->lease(r->arg, until - now);
}

/* What was placed under a session of this boot, and has no process, has never begun: it can be
 * placed again. Under one of an earlier boot it may have run: the claim makes it lost. */
static void give_back(struct runner *r, uint64_t now)
{
    while (r->list[RUN_WANTED] && r->info.session >> SESSION_BITS == r->boot)
        run_end(r, now, r->list[RUN_WANTED], JOB_NOT_TAKEN, false);
}

/* The session is over: what runs here ends now, and is lost. */
static void yield(struct runner *r, uint64_t now)
{
    if (r->yielded || !r->synced || session_good(r))
        return;
    r->yielded = true;
    r->lease_until = 0;
    r->fx->lease(r->arg, 0);
    give_back(r, now);
    for (size_t i = 0; i < ARRAY_SIZE(run_alive); i++)
        for (struct run *run = r->list[run_alive[i]]; run; run = run->next)
            run_end(r, now, run, JOB_LOSS, true);
}

/* The new session is there: what is wanted under it is read afresh. */
static void begin_session(struct runner *r)
{
    r->yielded = r->claim_doubt = false;
    r->unread = true;
    while (r->list[RUN_WANTED])
        run_drop(r, r->list[RUN_WANTED]);
}

void runner_record(struct runner *r, uint64_t now, const struct runner_info *own)
{
    r->info = own ? *own : (struct runner_info){ 0 };
    yield(r, now);
    if (r->yielded && session_good(r) && r->info.session == r->claim_session && !r->claim_out)
        begin_session(r); /* by a claim whose answer was lost */
}

void runner_barriered(struct runner *r, uint64_t now, int rc, const struct runner_info *own)
{
    if (!r->barrier_out)
        return;
    r->barrier_out = false;
    if (rc < 0) {
        r->barrier_at = now + RETRY_MS;
        return;
    }
    r->barrier_at = r->barrier_sent + LEASE_RENEW_MS;
    if (!r->synced)
        r->synced = r->unread = true;
    r->claim_doubt = false;
    runner_record(r, now, own);
    if (!r->yielded)
        grant(r, now, r->barrier_sent);
}

void runner_claimed(struct runner *r, uint64_t now, int rc)
{
    if (!r->claim_out)
        return;
    r->claim_out = false;
    if (rc < 0) { /* whether it was made after all is for the next barrier to show */
        r->claim_doubt = true;
        r->barrier_at = now + RETRY_MS;
        return;
    }
    r->info = (struct runner_info){ .session = r->claim_session };
    begin_session(r);
    r->barrier_at = r->claim_sent + LEASE_RENEW_MS;
    grant(r, now, r->claim_sent);
}

void runner_init(struct runner *r, uint64_t now)
{
    r->lease_until = 0;
    r->barrier_at = now;
}

static bool any_alive(const struct runner *r)
{
    return r->n[RUN_STARTING] + r->n[RUN_RUNNING] > 0;
}

bool claim_due(const struct runner *r)
{
    return r->yielded && !r->stopping && !r->claim_out && !r->claim_doubt && !any_alive(r) &&
           !r->list[RUN_ENDED] && !r->list[RUN_REPORTING];
}

static void claim_step(struct runner *r, uint64_t now)
{
    if (!claim_due(r))
        return;
    r->claim_out = true;
    r->claim_sent = now;
    r->claim_session = next_session(r);
    r->fx->claim(r->arg, r->claim_session);
}

uint64_t barrier_due(const struct runner *r)
{
    bool wanted = !r->synced || r->claim_doubt || (!r->yielded && r->barrier_at < r->busy_until);

    return wanted && !r->barrier_out && !r->claim_out ? (r->barrier_at ? r->barrier_at : 1) : 0;
}

static void barrier_step(struct runner *r, uint64_t now)
{
    uint64_t due;

    if (any_alive(r) || r->list[RUN_WANTED])
        r->busy_until = now + LEASE_KEEP_MS;
    due = barrier_due(r);
    if (!due || now < due)
        return;
    r->barrier_out = true;
    r->barrier_sent = now;
    r->fx->barrier(r->arg);
}

/* An earlier attempt of it still runs here, since it was told to end only now. */
static bool has_elder(const struct runner *r, const struct run *run)
{
    for (size_t i = 0; r->orphans && i < ARRAY_SIZE(run_alive); i++)
        for (const struct run *o = r->list[run_alive[i]]; o; o = o->next)
            if (!o->job && o->key.uid == run->key.uid)
                return true;
    return false;
}

static void start_step(struct runner *r, uint64_t now)
{
    struct run *run = r->list[RUN_WANTED], *next;
    bool full = false;

    for (; run && !r->stopping && lease_valid(r, now); run = next) {
        next = run->next;
        if (has_elder(r, run))
            continue;
        full = full || !run_fits(r, run);
        if (full && run->alone)
            continue;
        run->begun = now;
        run_to(r, run, RUN_STARTING);
        if (run->job->timeout_ms)
            r->timer = 1;
        r->fx->start(r->arg, run->job->name, &run->key);
    }
}

bool runner_unread(const struct runner *r)
{
    return r->unread;
}

void lease_give_back(struct runner *r, uint64_t now)
{
    while (r->stopping && r->list[RUN_WANTED])
        run_end(r, now, r->list[RUN_WANTED], JOB_NOT_TAKEN, false);
    if (r->yielded && !r->claim_out)
        give_back(r, now);
}

void lease_step(struct runner *r, uint64_t now)
{
    yield(r, now);
    claim_step(r, now);
    barrier_step(r, now);
    start_step(r, now);
}
