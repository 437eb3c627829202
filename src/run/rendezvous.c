/*
 * rendezvous.c - names of pipes that reach every machine: life, machines, time.
 *
 * Each event enters with the time, changes the state, and settles: names are made unique,
 * operations are looked at until none moves, own changes are pushed, and then the owner is told,
 * first of changed records, then of operations that ended. Since the owner is told at the end, it
 * never sees two pipes with one name, and an operation ends after the records that it made are
 * told.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- names */

/* What stands in the folder pipes/ beside the pipes. */
static const char *const reserved[] = { ".", "..", "ctl", "status", "all.jsonl" };

int pipe_check_name(const char *name, struct oerr *e)
{
    size_t len = strlen(name);
    json_t *text;

    if (len == 0)
        return oerr_set(e, -EINVAL, "a pipe needs a name");
    if (len > PIPE_NAME_MAX)
        return oerr_set(e, -ENAMETOOLONG, "the pipe name %.40s... is longer than %d bytes", name,
                        PIPE_NAME_MAX);
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(name, reserved[i]) == 0)
            return oerr_set(e, -EINVAL, "%s is not a name for a pipe; choose another", name);
    for (size_t i = 0; i < len; i++)
        if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return oerr_set(e, -EINVAL,
                            "the pipe name %s has a slash or a control character; use others",
                            name);
    text = json_string(name);
    if (!text)
        return oerr_set(e, -EINVAL, "the pipe name %s is not UTF-8", name);
    json_decref(text);
    return 0;
}

void uid_set(struct pipe_uid *to, const char *home, uint64_t incarnation, uint64_t serial)
{
    memset(to, 0, sizeof *to);
    strncpy(to->home, home, sizeof to->home - 1);
    to->incarnation = incarnation;
    to->serial = serial;
}

bool uid_same(const struct pipe_uid *a, const struct pipe_uid *b)
{
    return strcmp(a->home, b->home) == 0 && a->incarnation == b->incarnation &&
           a->serial == b->serial;
}

/* ---- life */

int rv_create(struct rendezvous **out, const char *self, uint64_t incarnation,
              const struct rv_fx *fx, void *arg)
{
    struct rendezvous *r;

    if (strlen(self) >= ID_MAX)
        return -EINVAL;
    r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    strcpy(r->self, self);
    r->incarnation = incarnation;
    r->fx = fx;
    r->arg = arg;
    r->sync_at = r->release_at = r->lost_at = r->pending_at = UINT64_MAX;
    *out = r;
    return 0;
}

void rv_destroy(struct rendezvous *r)
{
    struct peer *pe, *next_peer;
    struct hold *h, *next_hold;

    if (!r)
        return;
    calls_free(r);
    parked_free(r);
    ops_free(r);
    HASH_ITER (hh, r->peers, pe, next_peer) {
        HASH_DEL(r->peers, pe);
        free(pe);
    }
    HASH_ITER (hh, r->holds, h, next_hold) {
        HASH_DEL(r->holds, h);
        free(h);
    }
    book_free(r);
    free(r);
}

void rv_enter(struct rendezvous *r, uint64_t now)
{
    if (now > r->now)
        r->now = now;
}

/* ---- machines */

struct peer *peer_find(const struct rendezvous *r, const char *id)
{
    struct peer *pe;

    HASH_FIND_STR(r->peers, id, pe);
    return pe;
}

bool peer_reached(const struct peer *pe)
{
    return pe && (pe->state == MEMBER_ALIVE || pe->state == MEMBER_SUSPECT);
}

static void pend(struct rendezvous *r, struct peer *pe)
{
    pe->state = MEMBER_PENDING;
    pe->since = r->now;
    if (r->pending_at == UINT64_MAX)
        r->pending_at = r->now + PENDING_MS;
}

struct peer *peer_add(struct rendezvous *r, const char *id, uint64_t incarnation)
{
    struct peer *pe = calloc(1, sizeof *pe);

    if (!pe)
        return NULL;
    strncpy(pe->id, id, sizeof pe->id - 1);
    pe->incarnation = incarnation;
    pend(r, pe);
    pe->sync_at = UINT64_MAX;
    HASH_ADD_STR(r->peers, id, pe);
    if (!pe->hh.tbl) {
        free(pe);
        return NULL;
    }
    return pe;
}

/* Nothing of its life before counts; it comes anew when membership says that it is alive. */
void peer_restarted(struct rendezvous *r, struct peer *pe, uint64_t incarnation)
{
    pend(r, pe);
    calls_end_to(r, pe->id);
    book_drop_home(r, pe->id);
    own_unhold_by(r, pe->id, incarnation);
    pe->incarnation = incarnation;
    pe->known = pe->want = pe->settled = 0;
    pe->pull_failed = false;
}

static void peer_came(struct rendezvous *r, struct peer *pe)
{
    pe->settled = 0;
    pe->pull_failed = false;
    pe->sync_at = r->now;
    if (r->sync_at == UINT64_MAX)
        r->sync_at = r->now + SYNC_MS;
    if (r->pushed)
        push_to(r, pe);
    ops_claim(r, pe->id);
    r->release_at = r->now;
}

static void peer_move(struct rendezvous *r, struct peer *pe, enum member_state to)
{
    bool reached = peer_reached(pe);

    if (pe->state == MEMBER_SUSPECT && to == MEMBER_ALIVE)
        pe->sync_at = r->now; /* it may have missed something */
    if (pe->state != to)
        pe->since = r->now;
    pe->state = to;
    r->holders_dirty = true;
    if (to == MEMBER_LEFT) {
        book_drop_home(r, pe->id);
        own_unhold_by(r, pe->id, UINT64_MAX);
        pe->known = pe->want = 0;
    }
    if (peer_reached(pe) && !reached)
        peer_came(r, pe);
    else if (!peer_reached(pe))
        calls_end_to(r, pe->id);
}

static void peer_drop(struct rendezvous *r, struct peer *pe)
{
    peer_move(r, pe, MEMBER_LEFT);
    HASH_DEL(r->peers, pe);
    free(pe);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Its word was taken, but membership never told of it: what membership told before counts. */
static void peer_expire(struct rendezvous *r, struct peer *pe)
{
    enum member_state told = pe->told;

    if (told == MEMBER_PENDING) {
        peer_drop(r, pe);
        return;
    }
    peer_move(r, pe, MEMBER_LEFT);
    pe->incarnation = pe->told_incarnation;
    peer_move(r, pe, told);
}

static void peers_expire(struct rendezvous *r)
{
    struct peer *pe, *next;

    if (r->now < r->pending_at)
        return;
    r->pending_at = UINT64_MAX;
    HASH_ITER (hh, r->peers, pe, next) {
        if (pe->state != MEMBER_PENDING)
            continue;
        if (r->now >= pe->since + PENDING_MS)
            peer_expire(r, pe);
        else
            r->pending_at = sooner(r->pending_at, pe->since + PENDING_MS);
    }
}

void rv_settle(struct rendezvous *r)
{
    peers_expire(r);
    do {
        r->again = false;
        own_lost(r);
        book_names(r);
        ops_step(r);
    } while (r->again || r->names_dirty);
    push_changes(r);
    holds_release(r);
    sync_due(r);
    book_tell(r);
    ops_tell(r);
}

void rv_member(struct rendezvous *r, uint64_t now, const char *id, uint64_t incarnation,
               enum member_state state)
{
    struct peer *pe = peer_find(r, id);

    if (state == MEMBER_GONE) {
        rv_forget(r, now, id);
        return;
    }
    if (state == MEMBER_PENDING || strcmp(id, r->self) == 0 || strlen(id) >= ID_MAX)
        return;
    rv_enter(r, now);
    if (!pe)
        pe = peer_add(r, id, incarnation);
    if (!pe)
        return;
    pe->told = state;
    pe->told_incarnation = incarnation;
    if (incarnation < pe->incarnation)
        return;
    if (incarnation > pe->incarnation)
        peer_restarted(r, pe, incarnation);
    peer_move(r, pe, state);
    rv_settle(r);
}

void rv_forget(struct rendezvous *r, uint64_t now, const char *id)
{
    struct peer *pe = peer_find(r, id);

    if (!pe)
        return;
    rv_enter(r, now);
    peer_drop(r, pe);
    rv_settle(r);
}

/* ---- answers and time */

void rv_answered(struct rendezvous *r, uint64_t now, uint64_t call, int rc, const struct rv_msg *a)
{
    struct call *c = call_find(r, call);

    rv_enter(r, now);
    if (!c)
        return;
    call_end(r, c, a ? rc : rc < 0 ? rc : -EPROTO, a);
    rv_settle(r);
}

void rv_tick(struct rendezvous *r, uint64_t now)
{
    rv_enter(r, now);
    calls_expire(r);
    parked_expire(r);
    rv_settle(r);
}

uint64_t rv_next(const struct rendezvous *r)
{
    uint64_t next = sooner(sooner(r->sync_at, r->release_at), sooner(r->lost_at, ops_next(r)));

    next = sooner(next, r->pending_at);
    if (r->call_list)
        next = sooner(next, r->call_list->deadline);
    if (r->parked)
        next = sooner(next, r->parked->deadline);
    for (const struct peer *pe = r->peers; pe; pe = pe->hh.next)
        if (peer_reached(pe) && !pe->syncing)
            next = sooner(next, pe->sync_at);
    return next;
}
