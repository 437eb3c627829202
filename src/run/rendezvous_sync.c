/*
 * rendezvous_sync.c - questions under way, and how replicas come to be the same.
 *
 * Each home counts its changes. It pushes the last one (UPDATE) to every machine that it can reach,
 * at most one message a machine and event. A replica that has all changes before it takes it; else
 * it pulls the whole list of that home. Who was away, or missed a push, learns by SYNC how far
 * others are: with everybody who comes, after a push without an answer, and with one machine in
 * turn every SYNC_MS. A list may come from any machine that has it, so that what is known of a dead
 * home reaches those who come later.
 *
 * Invariant: the replica of a home is complete up to `known`, and has nothing newer.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- calls */

struct call *call_find(const struct rendezvous *r, uint64_t id)
{
    struct call *c;

    HASH_FIND(hh, r->calls, &id, sizeof id, c);
    return c;
}

uint64_t call_ask(struct rendezvous *r, const char *to, const struct rv_msg *q, struct op *op)
{
    struct call *c = calloc(1, sizeof *c);

    if (!c)
        return 0;
    c->id = ++r->last_call;
    c->kind = q->kind;
    strcpy(c->to, to);
    c->op = op;
    c->deadline = r->now + RV_ASK_MS;
    if (q->kind == RV_RELEASE) {
        c->uid = q->u.op.uid;
        c->version = q->u.op.epoch;
    } else if (q->kind == RV_PULL) {
        strcpy(c->home, q->u.home);
    } else if (q->kind == RV_UPDATE) {
        c->version = q->u.update.pipe.version;
    }
    HASH_ADD(hh, r->calls, id, sizeof c->id, c);
    if (!c->hh.tbl) {
        free(c);
        return 0;
    }
    DL_APPEND2(r->call_list, c, prev, next);
    r->fx->ask(r->arg, to, c->id, q);
    return c->id;
}

static void update_ended(struct rendezvous *r, const struct call *c, bool ok)
{
    struct peer *pe = peer_find(r, c->to);

    if (!pe)
        return;
    if (c->version > pe->settled)
        pe->settled = c->version;
    if (!ok && peer_reached(pe))
        pe->sync_at = r->now + RETRY_MS;
    r->again = true;
}

static void pull(struct rendezvous *r, struct peer *pe, const char *from)
{
    struct rv_msg q = { .kind = RV_PULL };

    strcpy(q.u.home, pe->id);
    pe->pull_at = r->now;
    pe->pulling = call_ask(r, from, &q, NULL);
}

static void pull_ended(struct rendezvous *r, const struct call *c, const struct rv_msg *a)
{
    struct peer *pe = peer_find(r, c->home);
    uint64_t before;

    if (!pe)
        return;
    before = pe->known;
    if (a && a->kind == RV_LIST)
        replica_list(r, c->to, a);
    parked_settle(r, pe, false);
    if (pe->pulling != c->id) /* asked again since */
        return;
    pe->pulling = 0;
    pe->pull_failed = !a || a->kind != RV_LIST;
    if (pe->pull_failed && strcmp(pe->told_by, c->to) != 0 &&
        peer_reached(peer_find(r, pe->told_by))) {
        pull(r, pe, pe->told_by);
        return;
    }
    parked_settle(r, pe, pe->known == before);
    if (pe->want > pe->known && pe->known > before)
        replica_want(r, pe, pe->want, c->to);
    else
        pe->want = pe->known;
    if (pe->pull_failed && peer_reached(pe) && pe->sync_at == UINT64_MAX)
        pe->sync_at = r->now + RETRY_MS;
}

static void sync_ended(struct rendezvous *r, const struct call *c, const struct rv_msg *a)
{
    struct peer *pe = peer_find(r, c->to);

    if (pe && pe->syncing == c->id)
        pe->syncing = 0;
    if (a && a->kind == RV_SYNC)
        sync_compare(r, c->to, a);
    else if (pe && peer_reached(pe))
        pe->sync_at = r->now + RETRY_MS;
}

void call_end(struct rendezvous *r, struct call *c, int rc, const struct rv_msg *a)
{
    HASH_DEL(r->calls, c);
    DL_DELETE2(r->call_list, c, prev, next);
    if (rc < 0)
        a = NULL;
    switch (c->kind) {
    case RV_UPDATE:
        update_ended(r, c, a && a->kind == RV_OK);
        break;
    case RV_PULL:
        pull_ended(r, c, a);
        break;
    case RV_SYNC:
        sync_ended(r, c, a);
        break;
    case RV_RELEASE:
        holds_released(r, c, a && a->kind == RV_OK);
        break;
    default:
        if (c->op)
            op_answered(r, c->op, c, rc, a);
    }
    free(c);
}

void calls_end_to(struct rendezvous *r, const char *to)
{
    struct call *c, *next;

    DL_FOREACH_SAFE2(r->call_list, c, next, next)
    if (strcmp(c->to, to) == 0)
        call_end(r, c, -EHOSTUNREACH, NULL);
}

void calls_expire(struct rendezvous *r)
{
    while (r->call_list && r->call_list->deadline <= r->now)
        call_end(r, r->call_list, -EHOSTUNREACH, NULL);
}

void calls_detach(struct rendezvous *r, const struct op *op)
{
    struct call *c;

    DL_FOREACH2(r->call_list, c, next)
    if (c->op == op)
        c->op = NULL;
}

void calls_free(struct rendezvous *r)
{
    struct call *c, *next;

    DL_FOREACH_SAFE2(r->call_list, c, next, next)
    {
        HASH_DEL(r->calls, c);
        free(c);
    }
}

/* ---- pushing */

void push_to(struct rendezvous *r, const struct peer *pe)
{
    struct rv_msg m = { .kind = RV_UPDATE };

    if (!r->version)
        return;
    m.u.update.removed = r->last_removed;
    m.u.update.pipe = r->last;
    call_ask(r, pe->id, &m, NULL);
}

void push_changes(struct rendezvous *r)
{
    struct peer *pe, *next;

    if (r->pushed == r->version)
        return;
    r->pushed = r->version;
    HASH_ITER (hh, r->peers, pe, next)
        if (peer_reached(pe))
            push_to(r, pe);
}

uint64_t settled_everywhere(const struct rendezvous *r)
{
    uint64_t least = UINT64_MAX;

    for (const struct peer *pe = r->peers; pe; pe = pe->hh.next)
        if (peer_reached(pe) && pe->settled < least)
            least = pe->settled;
    return least;
}

/* ---- the replica */

struct peer *replica_of(struct rendezvous *r, const char *home, uint64_t incarnation,
                        const char *from)
{
    struct peer *pe = peer_find(r, home);
    bool own_word = strcmp(home, from) == 0;

    if (strcmp(home, r->self) == 0)
        return NULL;
    if (!pe)
        return own_word ? peer_add(r, home, incarnation) : NULL;
    if (incarnation > pe->incarnation && own_word)
        peer_restarted(r, pe, incarnation);
    return incarnation == pe->incarnation && pe->state != MEMBER_LEFT ? pe : NULL;
}

void replica_want(struct rendezvous *r, struct peer *pe, uint64_t version, const char *from)
{
    if (version > pe->want) {
        pe->want = version;
        strcpy(pe->told_by, from);
    }
    if (pe->pulling && r->now < pe->pull_at + RETRY_MS)
        return;
    if (pe->pulling)
        pe->pull_failed = true; /* perhaps it was lost; who speaks to us now can be asked */
    pull(r, pe, peer_reached(pe) && !pe->pull_failed ? pe->id : from);
}

enum taken replica_update(struct rendezvous *r, const char *from, bool removed,
                          const struct pipe_info *info)
{
    struct peer *pe = replica_of(r, info->uid.home, info->uid.incarnation, from);
    struct pipe *p;

    if (!pe)
        return TAKEN_NOT;
    if (info->version <= pe->known)
        return TAKEN;
    p = book_find(r, &info->uid);
    if (info->version > pe->known + 1 || (!removed && book_put(r, info) < 0)) {
        replica_want(r, pe, info->version, from);
        return TAKEN_LATER;
    }
    if (removed && p)
        book_drop(r, p);
    pe->known = info->version;
    r->again = true;
    return TAKEN;
}

static int compare_serial(const void *a, const void *b)
{
    uint64_t x = ((const struct pipe_info *)a)->uid.serial;
    uint64_t y = ((const struct pipe_info *)b)->uid.serial;

    return (x > y) - (x < y);
}

void replica_list(struct rendezvous *r, const char *from, const struct rv_msg *m)
{
    const struct rv_known *of = &m->u.list.of;
    struct peer *pe = replica_of(r, of->home, of->incarnation, from);
    struct pipe_info *v = m->u.list.v;
    size_t n = m->u.list.n;
    struct pipe *p, *next;
    int rc = 0;

    if (!pe || of->version <= pe->known)
        return;
    if (n)
        qsort(v, n, sizeof *v, compare_serial);
    HASH_ITER (hh, r->pipes, p, next)
        if (strcmp(p->info.uid.home, of->home) == 0 &&
            (!n || !bsearch(&p->info, v, n, sizeof *v, compare_serial)))
            book_drop(r, p);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = book_put(r, &v[i]);
    if (rc == 0)
        pe->known = of->version; /* else the next SYNC pulls it again */
    r->again = true;
}

/* ---- SYNC */

void sync_make(const struct rendezvous *r, struct rv_msg *m)
{
    size_t n = 0, max = HASH_COUNT(r->peers) + 1;

    *m = (struct rv_msg){ .kind = RV_SYNC };
    if (max > RV_HOMES_MAX)
        max = RV_HOMES_MAX;
    m->u.sync.v = calloc(max, sizeof *m->u.sync.v);
    if (!m->u.sync.v)
        return;
    if (r->version) {
        strcpy(m->u.sync.v[n].home, r->self);
        m->u.sync.v[n].incarnation = r->incarnation;
        m->u.sync.v[n++].version = r->version;
    }
    for (const struct peer *pe = r->peers; pe && n < max; pe = pe->hh.next) {
        if (!pe->known || pe->state == MEMBER_LEFT)
            continue;
        strcpy(m->u.sync.v[n].home, pe->id);
        m->u.sync.v[n].incarnation = pe->incarnation;
        m->u.sync.v[n++].version = pe->known;
    }
    m->u.sync.n = n;
}

void sync_compare(struct rendezvous *r, const char *from, const struct rv_msg *m)
{
    for (size_t i = 0; i < m->u.sync.n; i++) {
        const struct rv_known *k = &m->u.sync.v[i];
        struct peer *pe = replica_of(r, k->home, k->incarnation, from);

        if (pe && k->version > pe->known)
            replica_want(r, pe, k->version, from);
    }
}

static void sync_with(struct rendezvous *r, struct peer *pe)
{
    struct rv_msg m;

    pe->sync_at = UINT64_MAX;
    if (pe->syncing)
        return;
    sync_make(r, &m);
    pe->syncing = call_ask(r, pe->id, &m, NULL);
    rv_msg_free(&m);
}

/* The machine after the one of the last turn. */
static struct peer *in_turn(struct rendezvous *r)
{
    struct peer *last = peer_find(r, r->sync_last), *pe = last;

    for (size_t n = HASH_COUNT(r->peers); n > 0; n--) {
        pe = pe && pe->hh.next ? pe->hh.next : r->peers;
        if (peer_reached(pe))
            return pe;
    }
    return NULL;
}

void sync_due(struct rendezvous *r)
{
    struct peer *pe, *next;

    if (r->now >= r->sync_at) {
        pe = in_turn(r);
        r->sync_at = pe ? r->now + SYNC_MS : UINT64_MAX;
        if (pe) {
            strcpy(r->sync_last, pe->id);
            pe->sync_at = r->now;
        }
    }
    HASH_ITER (hh, r->peers, pe, next)
        if (pe->sync_at <= r->now && peer_reached(pe))
            sync_with(r, pe);
}
