/*
 * replica_hold.c - company: on the leader, a command that nobody waits for goes into the log with
 * the next one that comes by, or alone after HOLD_MS, since each write costs all machines a sync of
 * their disks.
 *
 * Invariant: what is held, one at most, went to nobody yet. It ends as any other that this leader
 * did not take, with -EAGAIN, when another machine leads by then.
 */
#include "cluster/replica_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define HOLD_MS 2

struct held {
    consensus_done *done;
    void *arg;
    size_t len;
    char text[];
};

static void release(struct replica *r)
{
    struct held *h = r->held;
    int rc;

    if (!h)
        return;
    r->held = NULL;
    uv_timer_stop(&r->holding);
    rc = consensus_propose(r->consensus, h->text, h->len, h->done, h->arg);
    if (rc < 0)
        h->done(h->arg, rc, 0);
    free(h);
}

static void on_held(uv_timer_t *timer)
{
    struct replica *r = container_of(timer, struct replica, holding);

    replica_enter(r);
    release(r);
    replica_settle(r);
}

static int hold(struct replica *r, const char *text, size_t len, consensus_done *done, void *arg)
{
    struct held *h = malloc(sizeof *h + len);

    if (!h)
        return -ENOMEM;
    *h = (struct held){ .done = done, .arg = arg, .len = len };
    memcpy(h->text, text, len);
    r->held = h;
    uv_timer_start(&r->holding, on_held, HOLD_MS, 0);
    return 0;
}

int hold_propose(struct replica *r, const char *text, size_t len, bool later, consensus_done *done,
                 void *arg)
{
    if (!consensus_is_leader(r->consensus))
        return -EAGAIN;
    if (later && !r->held)
        return hold(r, text, len, done, arg);
    release(r);
    return consensus_propose(r->consensus, text, len, done, arg);
}

void hold_open(struct replica *r)
{
    uv_timer_init(loop_uv(r->core), &r->holding);
}

void hold_cancel(struct replica *r)
{
    struct held *h = r->held;

    if (!h)
        return;
    r->held = NULL;
    uv_timer_stop(&r->holding);
    h->done(h->arg, -ECANCELED, 0);
    free(h);
}
