/*
 * pipe_names.c - the replica of the pipes: records, machines, own holds, time.
 *
 * A hold that this machine has by the registry's word:
 *
 *   used        idle_at is never; pn_release() when its last end closes
 *   lingering   until idle_at; any end that comes meanwhile uses it again. New ones begin here
 *   let go      its epoch is at or below let_go: refused to all. The registry is asked to release
 *               it, again and again until it shows so; a reader here takes the next epoch
 *
 * A hold of this machine in an earlier life is let go of from the start. One of another machine is
 * over when it restarted, left or was forgotten, or is dead for PN_HOLDER_LOST_MS: then the record
 * shows no holder here, and whoever reads next says so to the registry.
 */
#include "run/pipe_names_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pn_create(struct pipe_names **out, uint64_t now, const char *self, uint64_t incarnation,
              const struct pn_fx *fx, void *arg)
{
    struct pipe_names *n;

    if (strlen(self) >= ID_MAX)
        return -EINVAL;
    n = calloc(1, sizeof *n);
    if (!n)
        return -ENOMEM;
    strcpy(n->self, self);
    n->incarnation = incarnation;
    n->began = now;
    n->fx = fx;
    n->arg = arg;
    n->lost_at = UINT64_MAX;
    *out = n;
    return 0;
}

void pn_destroy(struct pipe_names *n)
{
    struct rec *r, *next_rec;
    struct peer *pe, *next_peer;

    if (!n)
        return;
    ops_end(n);
    HASH_ITER (hh, n->recs, r, next_rec) {
        HASH_DEL(n->recs, r);
        free(r);
    }
    HASH_ITER (hh, n->peers, pe, next_peer) {
        HASH_DEL(n->peers, pe);
        free(pe);
    }
    free(n->by_name);
    free(n);
}

/* ---- finding */

/* Where the name is, or would be. */
static size_t place_of(const struct pipe_names *n, const char *name)
{
    size_t lo = 0, hi = n->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (strcmp(n->by_name[mid]->info.name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct rec *rec_named(const struct pipe_names *n, const char *name)
{
    size_t i = place_of(n, name);

    return i < n->n && strcmp(n->by_name[i]->info.name, name) == 0 ? n->by_name[i] : NULL;
}

struct rec *rec_by_uid(const struct pipe_names *n, uint64_t uid)
{
    struct rec *r;

    HASH_FIND(hh, n->recs, &uid, sizeof uid, r);
    return r;
}

size_t pn_count(const struct pipe_names *n)
{
    return n->n;
}

const struct pipe_info *pn_at(const struct pipe_names *n, size_t i)
{
    return i < n->n ? &n->by_name[i]->info : NULL;
}

const struct pipe_info *pn_find(const struct pipe_names *n, const char *name)
{
    struct rec *r = rec_named(n, name);

    return r ? &r->info : NULL;
}

const struct pipe_info *pn_by_uid(const struct pipe_names *n, uint64_t uid)
{
    struct rec *r = rec_by_uid(n, uid);

    return r ? &r->info : NULL;
}

/* ---- whose holds are over */

static struct peer *peer_find(const struct pipe_names *n, const char *id)
{
    struct peer *pe;

    HASH_FIND_STR(n->peers, id, pe);
    return pe;
}

bool peer_reached(const struct pipe_names *n, const char *id)
{
    const struct peer *pe = peer_find(n, id);

    return strcmp(id, n->self) == 0 ||
           (pe && (pe->state == MEMBER_ALIVE || pe->state == MEMBER_SUSPECT));
}

static bool held_here(const struct pipe_names *n, const struct rec *r)
{
    return r->own && r->info.incarnation == n->incarnation && r->info.epoch > r->let_go;
}

bool pn_holds(const struct pipe_names *n, uint64_t uid, uint64_t epoch)
{
    const struct rec *r = rec_by_uid(n, uid);

    return r && r->info.epoch == epoch && held_here(n, r);
}

/* When the hold of another machine is over, as far as is known now. */
static uint64_t lost_at(const struct pipe_names *n, const struct rec *r)
{
    const struct peer *pe = peer_find(n, r->holder);
    bool of_now = pe && pe->incarnation >= r->info.incarnation;

    if (!pe)
        return n->began + PN_HOLDER_LOST_MS;
    if (pe->incarnation > r->info.incarnation || pe->state == MEMBER_GONE ||
        (pe->state == MEMBER_LEFT && of_now))
        return 0;
    if (pe->state == MEMBER_DEAD || pe->state == MEMBER_LEFT)
        return pe->since + PN_HOLDER_LOST_MS;
    return UINT64_MAX;
}

/* Shows the holder as far as its hold counts; true when that is another than before. */
static bool show_holder(struct pipe_names *n, uint64_t now, struct rec *r)
{
    const char *shown = r->holder;
    uint64_t at;

    if (r->own) {
        shown = held_here(n, r) ? r->holder : "";
    } else if (r->holder[0]) {
        at = lost_at(n, r);
        if (at <= now)
            shown = "";
        else if (at < n->lost_at)
            n->lost_at = at;
    }
    if (strcmp(r->info.holder, shown) == 0)
        return false;
    strcpy(r->info.holder, shown);
    return true;
}

static void show_holders(struct pipe_names *n, uint64_t now)
{
    n->lost_at = UINT64_MAX;
    for (size_t i = 0; i < n->n; i++)
        if (show_holder(n, now, n->by_name[i]))
            n->fx->changed(n->arg, &n->by_name[i]->info, PN_HOLDER);
}

static struct peer *peer_add(struct pipe_names *n, const char *id)
{
    struct peer *pe = calloc(1, sizeof *pe);

    if (!pe)
        return NULL;
    strcpy(pe->id, id);
    HASH_ADD_STR(n->peers, id, pe);
    if (pe->hh.tbl)
        return pe;
    free(pe);
    return NULL;
}

void pn_member(struct pipe_names *n, uint64_t now, const char *id, uint64_t incarnation,
               enum member_state state)
{
    struct peer *pe = peer_find(n, id);

    if (state == MEMBER_PENDING || strcmp(id, n->self) == 0 || strlen(id) >= ID_MAX)
        return;
    if (!pe) {
        pe = peer_add(n, id);
        if (!pe)
            return; /* it counts as unknown */
    } else if (incarnation < pe->incarnation ||
               (incarnation == pe->incarnation && state == pe->state)) {
        return;
    }
    pe->incarnation = incarnation;
    pe->state = state;
    pe->since = now;
    show_holders(n, now);
}

/* ---- own holds */

void own_step(struct pipe_names *n, uint64_t now, struct rec *r)
{
    if (held_here(n, r) && now >= r->idle_at) {
        if (ops_opening(n, r->info.uid)) {
            r->idle_at = now + PN_LINGER_MS;
        } else if (n->fx->let_go(n->arg, r->info.uid)) {
            r->let_go = r->info.epoch;
            r->clean_at = now;
            show_holder(n, now, r);
            n->fx->changed(n->arg, &r->info, PN_HOLDER);
        } else {
            r->idle_at = UINT64_MAX;
        }
    }
    if (r->own && !held_here(n, r) && !r->releasing && now >= r->clean_at)
        ops_release(n, now, r);
}

void pn_release(struct pipe_names *n, uint64_t now, uint64_t uid)
{
    struct rec *r = rec_by_uid(n, uid);

    if (r && held_here(n, r) && r->idle_at == UINT64_MAX)
        r->idle_at = now + PN_LINGER_MS;
}

void pn_yield(struct pipe_names *n, uint64_t now, uint64_t uid)
{
    struct rec *r = rec_by_uid(n, uid);

    if (!r || !held_here(n, r) || ops_opening(n, uid))
        return;
    r->idle_at = now;
    own_step(n, now, r);
}

/* ---- records */

static struct rec *rec_add(struct pipe_names *n, const struct pipe_info *info)
{
    size_t i = place_of(n, info->name);
    struct rec *r;

    if (n->n == n->room) {
        size_t room = n->room ? 2 * n->room : 64;
        struct rec **v = realloc(n->by_name, room * sizeof *v);

        if (!v)
            return NULL;
        n->by_name = v;
        n->room = room;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->info = *info;
    r->info.holder[0] = '\0';
    HASH_ADD(hh, n->recs, info.uid, sizeof r->info.uid, r);
    if (!r->hh.tbl) {
        free(r);
        return NULL;
    }
    memmove(n->by_name + i + 1, n->by_name + i, (n->n - i) * sizeof(struct rec *));
    n->by_name[i] = r;
    n->n++;
    return r;
}

static void rec_drop(struct pipe_names *n, struct rec *r)
{
    size_t i = place_of(n, r->info.name);

    n->n--;
    memmove(n->by_name + i, n->by_name + i + 1, (n->n - i) * sizeof(struct rec *));
    HASH_DEL(n->recs, r);
    if (r->own)
        DL_DELETE(n->own, r);
    n->fx->changed(n->arg, &r->info, PN_GONE);
    free(r);
}

/* Takes the holder over from what the registry says. A new hold of this machine lingers: who asked
 * for it is told in a moment, or no longer wants it. */
static void take_holder(struct pipe_names *n, uint64_t now, struct rec *r,
                        const struct pipe_info *said)
{
    bool own = strcmp(said->holder, n->self) == 0;
    bool other = r->info.epoch != said->epoch || r->info.incarnation != said->incarnation;

    strcpy(r->holder, said->holder);
    r->info.incarnation = said->incarnation;
    r->info.epoch = said->epoch;
    if (own && !r->own)
        DL_APPEND(n->own, r);
    else if (!own && r->own)
        DL_DELETE(n->own, r);
    if (own && (other || !r->own)) {
        r->idle_at = now + PN_LINGER_MS;
        r->clean_at = now;
    }
    r->own = own;
}

static void rec_update(struct pipe_names *n, uint64_t now, struct rec *r,
                       const struct pipe_info *said)
{
    bool held = held_here(n, r), settings, holder;
    uint64_t epoch = r->info.epoch;

    settings = r->info.mode != said->mode || r->info.capacity != said->capacity ||
               r->info.perm != said->perm;
    r->info.mode = said->mode;
    r->info.capacity = said->capacity;
    r->info.perm = said->perm;
    take_holder(n, now, r, said);
    holder = show_holder(n, now, r) || (r->info.holder[0] && epoch != r->info.epoch);
    if (settings)
        n->fx->changed(n->arg, &r->info, PN_CHANGED);
    if (held && (!held_here(n, r) || epoch != r->info.epoch))
        n->fx->changed(n->arg, &r->info, PN_UNHELD);
    if (holder)
        n->fx->changed(n->arg, &r->info, PN_HOLDER);
}

int pn_record(struct pipe_names *n, uint64_t now, const char *name, const json_t *value)
{
    struct rec *r = rec_named(n, name);
    struct pipe_info said;
    int rc = value ? pipe_info_decode(name, value, &said) : 0;

    if (r && (!value || rc < 0 || r->info.uid != said.uid)) {
        rec_drop(n, r);
        r = NULL;
    }
    if (!value || rc < 0)
        return rc;
    if (r) {
        rec_update(n, now, r, &said);
    } else {
        r = rec_add(n, &said);
        if (!r)
            return -ENOMEM;
        take_holder(n, now, r, &said);
        show_holder(n, now, r);
        n->fx->changed(n->arg, &r->info, PN_ADDED);
    }
    r->seen = true;
    own_step(n, now, r);
    return 0;
}

void pn_all_begin(struct pipe_names *n)
{
    for (size_t i = 0; i < n->n; i++)
        n->by_name[i]->seen = false;
}

void pn_all_end(struct pipe_names *n)
{
    for (size_t i = n->n; i > 0; i--)
        if (!n->by_name[i - 1]->seen)
            rec_drop(n, n->by_name[i - 1]);
}

/* ---- time */

void pn_tick(struct pipe_names *n, uint64_t now)
{
    struct rec *r, *next;

    if (now >= n->lost_at)
        show_holders(n, now);
    DL_FOREACH_SAFE(n->own, r, next)
    own_step(n, now, r);
    ops_tick(n, now);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t pn_next(const struct pipe_names *n)
{
    uint64_t next = sooner(n->lost_at, ops_next(n));
    const struct rec *r;

    DL_FOREACH(n->own, r)
    {
        if (held_here(n, r))
            next = sooner(next, r->idle_at);
        else if (!r->releasing)
            next = sooner(next, r->clean_at);
    }
    return next;
}
