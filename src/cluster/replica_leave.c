/*
 * replica_leave.c - leaves politely: says so in the standing, hands leadership over, and waits a
 * little for the leader to change the seats where those who stay would lose their quorum.
 */
#include "cluster/replica_private.h"

#include <string.h>

#define LEAVE_MS 1500

static bool stays(void *arg, const char *id)
{
    struct replica *r = arg;

    return strcmp(id, r->me->id) != 0 && cluster_reachable(r->cluster, id);
}

static bool other_voter(struct replica *r)
{
    const struct consensus_server *v;
    size_t n = consensus_servers(r->consensus, &v);

    for (size_t i = 0; i < n; i++)
        if (v[i].role == ROLE_VOTER && stays(r, v[i].id))
            return true;
    return false;
}

static void leave_now(struct replica *r)
{
    void (*left)(void *arg) = r->left;

    r->left = NULL;
    if (left)
        left(r->left_arg);
}

void form_leave_tick(struct replica *r)
{
    const struct consensus_server *v;
    size_t n;

    if (!r->left)
        return;
    if (r->failed || now_ms() >= r->leave_ms || !other_voter(r)) {
        leave_now(r);
        return;
    }
    n = consensus_servers(r->consensus, &v);
    if (consensus_is_leader(r->consensus))
        consensus_transfer(r->consensus, 0);
    else if (!roles_leaving(v, n, r->me->id, stays, r))
        leave_now(r);
}

void replica_leave(struct replica *r, void (*done)(void *arg), void *arg)
{
    r->left = done;
    r->left_arg = arg;
    r->leave_ms = now_ms() + LEAVE_MS;
    r->mine.leaving = true;
    cluster_beat(r->cluster);
    replica_machine(r);
}
