/*
 * rendezvous_home.c - what this machine answers as a home, its own records, and what it holds.
 *
 * The holder: the first reader's machine asks the home (OPEN), which makes it the holder in a new
 * epoch when there is none. When the holder itself asks, it no longer holds the epoch before. The
 * holder gives it back (RELEASE), or loses it: by a restart or leaving at once, dead for
 * RV_HOLDER_LOST_MS.
 *
 * A machine that finds itself the holder in an epoch that no operation of its own took (the answer
 * came too late) gives it back.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- holds */

static struct hold *hold_find(const struct rendezvous *r, const struct pipe_uid *uid)
{
    struct pipe_uid key;
    struct hold *h;

    uid_set(&key, uid->home, uid->incarnation, uid->serial);
    HASH_FIND(hh, r->holds, &key, sizeof key, h);
    return h;
}

bool rv_holds(const struct rendezvous *r, const struct pipe_uid *uid, uint64_t epoch)
{
    const struct hold *h = hold_find(r, uid);

    return h && h->epoch == epoch;
}

static bool names_us(const struct rendezvous *r, const struct pipe_info *info)
{
    return strcmp(info->holder, r->self) == 0 && info->holder_incarnation == r->incarnation;
}

bool held_here(const struct rendezvous *r, const struct pipe_info *info)
{
    return names_us(r, info) && rv_holds(r, &info->uid, info->epoch);
}

int hold_add(struct rendezvous *r, const struct pipe_uid *uid, uint64_t epoch)
{
    struct hold *h = hold_find(r, uid);

    if (h) {
        h->epoch = epoch;
        return 0;
    }
    h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->uid = *uid;
    h->epoch = epoch;
    HASH_ADD(hh, r->holds, uid, sizeof h->uid, h);
    if (!h->hh.tbl) {
        free(h);
        return -ENOMEM;
    }
    return 0;
}

void hold_drop(struct rendezvous *r, const struct pipe_uid *uid)
{
    struct hold *h = hold_find(r, uid);

    if (!h)
        return;
    HASH_DEL(r->holds, h);
    free(h);
}

/* A record has come: does it still say that we hold what we hold, or that we hold what we do not?
 */
void holds_check(struct rendezvous *r, struct pipe *p)
{
    if (hold_find(r, &p->info.uid) && !held_here(r, &p->info)) {
        hold_drop(r, &p->info.uid);
        book_touch(r, p, 1U << RV_UNHELD);
    }
    if (names_us(r, &p->info) && !held_here(r, &p->info))
        r->release_at = r->now;
}

static void release(struct rendezvous *r, struct pipe *p)
{
    struct rv_msg q = { .kind = RV_RELEASE };

    if (p->releasing || !names_us(r, &p->info) || held_here(r, &p->info) ||
        is_own(r, &p->info.uid) || op_opening(r, &p->info.uid) ||
        !peer_reached(peer_find(r, p->info.uid.home)))
        return;
    q.u.op.uid = p->info.uid;
    q.u.op.epoch = p->info.epoch;
    p->releasing = call_ask(r, p->info.uid.home, &q, NULL);
}

void holds_release(struct rendezvous *r)
{
    struct pipe *p, *next;

    if (r->now < r->release_at)
        return;
    r->release_at = UINT64_MAX;
    HASH_ITER (hh, r->pipes, p, next)
        release(r, p);
}

/* The record may still say so: in another epoch by now, or until the home's change comes. */
void holds_released(struct rendezvous *r, const struct call *c, bool ok)
{
    struct pipe *p = book_find(r, &c->uid);

    if (!p || p->releasing != c->id)
        return;
    p->releasing = 0;
    if (names_us(r, &p->info) && !held_here(r, &p->info))
        r->release_at = r->now + (p->info.epoch != c->version ? 0 : ok ? RV_ASK_MS : RETRY_MS);
}

/* ---- own records */

static void count(struct rendezvous *r, const struct pipe_info *info, bool removed)
{
    r->last = *info;
    r->last.version = ++r->version;
    r->last_removed = removed;
}

void own_changed(struct rendezvous *r, struct pipe *p, unsigned what)
{
    count(r, &p->info, false);
    p->info.version = r->version;
    book_touch(r, p, what);
    if (what & 1U << RV_HOLDER)
        r->holders_dirty = true;
}

int own_create(struct rendezvous *r, const struct op *op, struct pipe **out)
{
    struct pipe_info info = { .mode = op->make_mode,
                              .capacity = op->capacity,
                              .created_us = op->created_us };
    int rc;

    uid_set(&info.uid, r->self, r->incarnation, r->serial + 1);
    strcpy(info.name, op->name);
    strcpy(info.owner, op->owner);
    rc = book_put(r, &info);
    if (rc < 0)
        return rc;
    r->serial++;
    *out = book_find(r, &info.uid);
    own_changed(r, *out, 0);
    return 0;
}

void own_remove(struct rendezvous *r, struct pipe *p)
{
    count(r, &p->info, true);
    r->holders_dirty = true;
    book_drop(r, p);
}

int own_set(struct rendezvous *r, struct pipe *p, int mode, uint64_t capacity, struct oerr *e)
{
    bool remode = mode >= 0 && (enum flow_mode)mode != p->info.mode;

    if (remode && p->info.holder[0])
        return oerr_set(e, -EBUSY,
                        "the mode of pipe %s cannot change while it is in use; wait until its "
                        "ends are closed and it is empty",
                        p->info.name);
    if (!remode && (!capacity || capacity == p->info.capacity))
        return 0;
    if (remode)
        p->info.mode = (enum flow_mode)mode;
    if (capacity)
        p->info.capacity = capacity;
    own_changed(r, p, 1U << RV_CHANGED);
    return 0;
}

void own_hold(struct rendezvous *r, struct pipe *p, const char *who, uint64_t incarnation)
{
    strcpy(p->info.holder, who);
    p->info.holder_incarnation = incarnation;
    p->info.epoch++;
    own_changed(r, p, 1U << RV_HOLDER);
}

static void own_unhold(struct rendezvous *r, struct pipe *p)
{
    p->info.holder[0] = '\0';
    p->info.holder_incarnation = 0;
    own_changed(r, p, 1U << RV_HOLDER);
}

void own_unhold_by(struct rendezvous *r, const char *who, uint64_t below)
{
    struct pipe *p, *next;

    HASH_ITER (hh, r->pipes, p, next)
        if (is_own(r, &p->info.uid) && strcmp(p->info.holder, who) == 0 &&
            p->info.holder_incarnation < below)
            own_unhold(r, p);
}

/* Takes it from holders that are dead for too long, and computes when to look again. */
void own_lost(struct rendezvous *r)
{
    struct pipe *p, *next;

    if (!r->holders_dirty && r->now < r->lost_at)
        return;
    r->holders_dirty = false;
    r->lost_at = UINT64_MAX;
    HASH_ITER (hh, r->pipes, p, next) {
        const struct peer *pe =
            is_own(r, &p->info.uid) && p->info.holder[0] ? peer_find(r, p->info.holder) : NULL;

        if (!pe || peer_reached(pe))
            continue;
        if (r->now >= pe->since + RV_HOLDER_LOST_MS)
            own_unhold(r, p);
        else if (pe->since + RV_HOLDER_LOST_MS < r->lost_at)
            r->lost_at = pe->since + RV_HOLDER_LOST_MS;
    }
    r->holders_dirty = false;
}

void rv_release(struct rendezvous *r, uint64_t now, const struct pipe_uid *uid)
{
    struct pipe *p = book_find(r, uid);

    rv_enter(r, now);
    if (!hold_find(r, uid))
        return;
    hold_drop(r, uid);
    if (p && is_own(r, uid))
        own_unhold(r, p);
    else if (p)
        r->release_at = r->now;
    rv_settle(r);
}

/* ---- questions */

struct asking {
    const char *from;
    void *ask;
    const struct rv_msg *q;
};

static void answer(struct rendezvous *r, void *ask, enum rv_kind kind)
{
    struct rv_msg a = { .kind = kind };

    r->fx->answer(r->arg, ask, &a);
}

static void refuse(struct rendezvous *r, void *ask, int rc, const struct oerr *e)
{
    struct rv_msg a = { .kind = RV_REFUSE };

    a.u.refuse.rc = rc;
    a.u.refuse.words = *e;
    r->fx->answer(r->arg, ask, &a);
}

static void asked_claim(struct rendezvous *r, const struct asking *g)
{
    const struct pipe *p = book_named(r, g->q->u.name);
    struct op *op = op_claiming(r, g->q->u.name);
    struct rv_msg a = { .kind = RV_EXISTS };
    const struct peer *pe;

    if (p && strcmp(p->info.uid.home, g->from) != 0) {
        pe = peer_find(r, p->info.uid.home);
        strcpy(a.u.exists.home, p->info.uid.home);
        a.u.exists.incarnation = p->info.uid.incarnation;
        a.u.exists.version = pe ? pe->known : r->version;
        r->fx->answer(r->arg, g->ask, &a);
    } else if (op && strcmp(r->self, g->from) < 0) {
        answer(r, g->ask, RV_YIELD);
    } else {
        if (op)
            op_yield(r, op);
        answer(r, g->ask, RV_OK);
    }
}

static void asked_update(struct rendezvous *r, const struct asking *g)
{
    const struct pipe_info *info = &g->q->u.update.pipe;
    struct parked *w;
    struct oerr e;

    if (strcmp(info->uid.home, g->from) != 0) {
        oerr_set(&e, -EPERM, "%s tells of a pipe of %s, which is not its own", g->from,
                 info->uid.home);
        refuse(r, g->ask, -EPERM, &e);
        return;
    }
    if (replica_update(r, g->from, g->q->u.update.removed, info) != TAKEN_LATER) {
        answer(r, g->ask, RV_OK);
        return;
    }
    w = r->parked_count < PARKED_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        oerr_set(&e, -EAGAIN, "too many changes wait here for a list of pipes");
        refuse(r, g->ask, -EAGAIN, &e);
        return;
    }
    *w = (struct parked){ .ask = g->ask, .version = info->version, .deadline = r->now + RV_ASK_MS };
    strcpy(w->home, info->uid.home);
    DL_APPEND(r->parked, w);
    r->parked_count++;
}

static void unpark(struct rendezvous *r, struct parked *w, bool ok)
{
    struct oerr e;

    DL_DELETE(r->parked, w);
    r->parked_count--;
    oerr_set(&e, -EAGAIN, "the list of the pipes of %s could not be had in time", w->home);
    if (ok)
        answer(r, w->ask, RV_OK);
    else
        refuse(r, w->ask, -EAGAIN, &e);
    free(w);
}

void parked_settle(struct rendezvous *r, const struct peer *pe, bool failed)
{
    struct parked *w, *next;

    DL_FOREACH_SAFE(r->parked, w, next)
    if (strcmp(w->home, pe->id) == 0 && (w->version <= pe->known || failed))
        unpark(r, w, w->version <= pe->known);
}

void parked_expire(struct rendezvous *r)
{
    while (r->parked && r->parked->deadline <= r->now)
        unpark(r, r->parked, false);
}

void parked_free(struct rendezvous *r)
{
    struct parked *w, *next;

    DL_FOREACH_SAFE(r->parked, w, next)
    free(w);
}

static void asked_sync(struct rendezvous *r, const struct asking *g)
{
    struct rv_msg a;

    sync_make(r, &a);
    sync_compare(r, g->from, g->q);
    r->fx->answer(r->arg, g->ask, &a); /* ends `from` with the question */
    rv_msg_free(&a);
}

static void asked_pull(struct rendezvous *r, const struct asking *g)
{
    const char *home = g->q->u.home;
    bool own = strcmp(home, r->self) == 0;
    const struct peer *pe = own ? NULL : peer_find(r, home);
    struct rv_msg a = { .kind = RV_LIST };
    struct pipe *p, *next;
    struct oerr e;

    if (!own && (!pe || pe->state == MEMBER_LEFT)) {
        oerr_set(&e, -ENOENT, "the pipes of %s are not known here", home);
        refuse(r, g->ask, -ENOENT, &e);
        return;
    }
    strcpy(a.u.list.of.home, home);
    a.u.list.of.incarnation = own ? r->incarnation : pe->incarnation;
    a.u.list.of.version = own ? r->version : pe->known;
    a.u.list.v = calloc(HASH_COUNT(r->pipes) + 1, sizeof *a.u.list.v);
    if (!a.u.list.v) {
        oerr_set(&e, -ENOMEM, "out of memory");
        refuse(r, g->ask, -ENOMEM, &e);
        return;
    }
    HASH_ITER (hh, r->pipes, p, next)
        if (strcmp(p->info.uid.home, home) == 0) {
            a.u.list.v[a.u.list.n] = p->info;
            strcpy(a.u.list.v[a.u.list.n++].name, p->base);
        }
    r->fx->answer(r->arg, g->ask, &a);
    rv_msg_free(&a);
}

/* The own record that is asked for; NULL: refused. */
static struct pipe *asked_of(struct rendezvous *r, const struct asking *g)
{
    struct pipe *p = book_find(r, &g->q->u.op.uid);
    struct oerr e;

    if (p && is_own(r, &p->info.uid))
        return p;
    oerr_set(&e, -ENOENT, "the pipe no longer exists on its machine %s", r->self);
    refuse(r, g->ask, -ENOENT, &e);
    return NULL;
}

static void asked_open(struct rendezvous *r, const struct asking *g)
{
    const struct peer *pe = peer_find(r, g->from);
    struct pipe *p = asked_of(r, g);
    struct rv_msg a = { .kind = RV_PIPE };
    struct oerr e;

    if (!p)
        return;
    if (!pe)
        pe = peer_add(r, g->from, g->q->u.op.incarnation);
    if (!pe || g->q->u.op.incarnation < pe->incarnation) {
        oerr_set(&e, -ESTALE, "%s has restarted since it asked", g->from);
        refuse(r, g->ask, -ESTALE, &e);
        return;
    }
    if (!p->info.holder[0] || strcmp(p->info.holder, g->from) == 0)
        own_hold(r, p, g->from, g->q->u.op.incarnation);
    a.u.update.pipe = p->info;
    r->fx->answer(r->arg, g->ask, &a);
}

static void asked_release(struct rendezvous *r, const struct asking *g)
{
    struct pipe *p = book_find(r, &g->q->u.op.uid);

    if (p && is_own(r, &p->info.uid) && strcmp(p->info.holder, g->from) == 0 &&
        p->info.epoch == g->q->u.op.epoch)
        own_unhold(r, p);
    answer(r, g->ask, RV_OK);
}

/* REMOVE and SET: answered once everybody knows. */
static void asked_change(struct rendezvous *r, const struct asking *g)
{
    struct pipe *p = asked_of(r, g);
    struct op *op;
    struct oerr e;
    int rc = 0;

    if (!p)
        return;
    op = op_new(r, g->q->kind == RV_SET ? OP_SET : OP_REMOVE, NULL);
    if (!op) {
        oerr_set(&e, -EAGAIN, "too many operations on pipes are under way on %s", r->self);
        refuse(r, g->ask, -EAGAIN, &e);
        return;
    }
    op->ask = g->ask;
    op->deadline = r->now + SPREAD_ASKED_MS;
    if (op->kind == OP_SET)
        rc = own_set(r, p, g->q->u.op.mode, g->q->u.op.capacity, &op->words);
    op_spread(r, op, p);
    if (op->kind == OP_REMOVE)
        own_remove(r, p);
    op->version = r->version;
    op->rc = rc;
    if (rc < 0)
        op->at = AT_END;
}

void rv_asked(struct rendezvous *r, uint64_t now, const char *from, void *ask,
              const struct rv_msg *q)
{
    static void (*const by_kind[RV_KINDS])(struct rendezvous *, const struct asking *) = {
        [RV_CLAIM] = asked_claim,   [RV_UPDATE] = asked_update, [RV_SYNC] = asked_sync,
        [RV_PULL] = asked_pull,     [RV_OPEN] = asked_open,     [RV_RELEASE] = asked_release,
        [RV_REMOVE] = asked_change, [RV_SET] = asked_change,
    };
    struct asking g = { from, ask, q };
    struct oerr e;

    rv_enter(r, now);
    if (by_kind[q->kind]) {
        by_kind[q->kind](r, &g);
    } else {
        oerr_set(&e, -EPROTO, "this is an answer, not a question about pipes");
        refuse(r, ask, -EPROTO, &e);
    }
    rv_settle(r);
}
