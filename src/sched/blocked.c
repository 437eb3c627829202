/*
 * blocked.c - lanes that cannot go on, and what they wait for.
 *
 * What no machine has room for waits in the heap of its group, by age; when machines get room only
 * the first of the first groups are tried again, then the next as long as there is room: with
 * thousands of lanes most would be tried in vain. What waits for answers or for other facts about
 * machines is in `stuck`.
 *
 * Invariants: a lane that is blocked for room is in its group's heap `full`; any other blocked one
 * is in stuck. A lane that could go on is ready, or hopes_left makes another step look for it.
 */
#include "sched/sched_private.h"

#include <stdlib.h>

#define HOPES_GROUPS 16 /* groups whose lanes are tried again in one step... */
#define HOPES_LANES  8  /* ...and lanes of each */
#define DIRTY_MANY   64 /* so many machines are not gone through one by one */

static bool for_room(enum blocked how)
{
    return how == BLOCKED_FULL || how == BLOCKED_KEPT;
}

void lane_free_blocked(struct sched *s, struct lane *l)
{
    if (for_room(l->blocked)) {
        if (l->place_full != HEAP_OUT)
            heap_remove(&l->group->full, l);
    } else {
        struct lane *last = s->stuck[--s->n_stuck];

        s->stuck[l->blocked_at] = last;
        last->blocked_at = l->blocked_at;
    }
    l->blocked = BLOCKED_NOT;
}

static bool stick(struct sched *s, struct lane *l)
{
    if (s->n_stuck == s->stuck_cap) {
        size_t cap = 2 * s->stuck_cap + 64;
        struct lane **v = realloc(s->stuck, cap * sizeof *v);

        if (!v)
            return false;
        s->stuck = v;
        s->stuck_cap = cap;
    }
    l->blocked_at = s->n_stuck;
    s->stuck[s->n_stuck++] = l;
    return true;
}

bool lane_block(struct sched *s, struct lane *l, enum blocked how)
{
    const struct keep *k = l->group->kind->keep;

    if (for_room(how) ? heap_add(&l->group->full, l) < 0 : !stick(s, l))
        return false;
    lane_unready(s, l);
    l->was = BLOCKED_NOT;
    l->blocked = how;
    if (for_room(how) && (!k || k->priority < l->queue->key.priority))
        s->kinds_look = true;
    return true;
}

void lane_unblock(struct sched *s, struct lane *l)
{
    if (l->blocked == BLOCKED_NOT || lane_ready(s, l) < 0)
        return;
    l->was = BLOCKED_NOT;
    lane_free_blocked(s, l);
}

/* ---- what may help */

/* Whether the machine has room and could have some stage; one that was not asked could when there
 * is still something to ask it for. */
static bool may_use(const struct sched *s, const struct lane *l, const struct machine *m)
{
    bool can = false;

    if (s->fit.cpu[m->slot] < l->cpu || s->fit.memory[m->slot] < l->memory)
        return false;
    for (size_t i = 0; i < l->n && !can; i++) {
        uint8_t v = l->stages[i].need->verdict[m->slot];

        can = bit_get(l->stages[i].choice->match, m->slot) &&
              (v == V_YES || (v == V_UNKNOWN && m->n_probes * l->cpu <= s->fit.cpu[m->slot]));
    }
    return can && (!m->keep || keep_allows(s, heap_top(&l->jobs), m));
}

static bool may_use_any(const struct sched *s, const struct lane *l, struct machine *const *m,
                        size_t n)
{
    if (n > DIRTY_MANY)
        return true;
    for (size_t i = 0; i < n; i++)
        if (may_use(s, l, m[i]))
            return true;
    return false;
}

bool lane_still_hopeful(const struct sched *s, const struct lane *l)
{
    return l->was == BLOCKED_NOT || l->was_look != s->look || may_use_any(s, l, s->hot, s->n_hot);
}

static bool answered(const struct lane *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->stages[i].need->fresh)
            return true;
    return false;
}

static void look_at_stuck(struct sched *s)
{
    for (size_t i = s->n_stuck; i-- > 0;) {
        struct lane *l = s->stuck[i];

        if (s->facts_changed || (s->needs_fresh && answered(l)) ||
            (l->blocked == BLOCKED_ASKS && may_use_any(s, l, s->hot, s->n_hot)))
            lane_unblock(s, l);
    }
    for (struct need *n = s->needs_fresh ? s->needs : NULL; n; n = n->hh.next)
        n->fresh = false;
}

/* ---- who is tried when machines have got room */

static bool hopes_before(const void *a, const void *b)
{
    const struct group *x = a, *y = b;

    if (x->queue->key.priority != y->queue->key.priority)
        return x->queue->key.priority > y->queue->key.priority;
    if (x->share != y->share)
        return x->share < y->share;
    return lane_before(heap_top(&x->full), heap_top(&y->full));
}

static bool kind_may_use(const struct sched *s, const struct kind *k)
{
    const struct group *g = k->groups[0];

    if (s->n_hot > DIRTY_MANY || s->hope_ahead)
        return true;
    for (size_t i = 0; i < s->n_hot; i++)
        for (size_t c = 0; c < g->n_choices; c++)
            if (bit_get(k->key[c]->match, s->hot[i]->slot))
                return true;
    return false;
}

static void gather(struct sched *s)
{
    s->hopes = (struct heap){ .v = s->hopes.v,
                              .cap = s->hopes.cap,
                              .before = hopes_before,
                              .place = offsetof(struct group, place) };
    for (struct kind *k = s->kinds; k; k = k->hh.next) {
        if (!kind_may_use(s, k))
            continue;
        for (size_t i = 0; i < k->n; i++) {
            struct group *g = k->groups[i];

            if (g->full.n == 0)
                continue;
            g->share = s->opt.fair ? fair_use(&s->fair, &g->queue->key.user->use) : 0;
            heap_add(&s->hopes, g);
        }
    }
}

static bool may_go_ahead(const struct sched *s, const struct lane *l)
{
    return s->hope_ahead && l->blocked == BLOCKED_FULL && ahead_may(s, l);
}

/* Makes some of the group's lanes ready, and says whether all that may use the room are. */
static bool hope(struct sched *s, struct group *g, size_t *made)
{
    struct lane *some[HOPES_LANES];
    size_t n = 0, i;

    for (i = 0; i < g->full.n && n < HOPES_LANES; i++) {
        struct lane *l = g->full.v[i];

        if (l->round != s->round && (may_go_ahead(s, l) || may_use_any(s, l, s->hot, s->n_hot)))
            some[n++] = l;
    }
    for (size_t k = 0; k < n; k++) {
        enum blocked was = may_go_ahead(s, some[k]) ? BLOCKED_NOT : some[k]->blocked;

        lane_unblock(s, some[k]);
        some[k]->was = was;
        some[k]->was_look = s->look;
        some[k]->round = s->round;
    }
    *made += n;
    return n < HOPES_LANES;
}

static void look_for_room(struct sched *s)
{
    size_t groups = 0;

    gather(s);
    s->hopes_left = false;
    for (struct group *g; (g = heap_top(&s->hopes));) {
        size_t made = 0;

        if (groups == HOPES_GROUPS) {
            s->hopes_left = true;
            return;
        }
        heap_remove(&s->hopes, g);
        s->hopes_left = !hope(s, g, &made) || s->hopes_left;
        groups += made > 0;
    }
}

static void try_all(struct sched *s)
{
    while (s->n_stuck)
        lane_unblock(s, s->stuck[s->n_stuck - 1]);
    for (struct kind *k = s->kinds; k; k = k->hh.next)
        for (size_t i = 0; i < k->n; i++)
            while (k->groups[i]->full.n)
                lane_unblock(s, heap_top(&k->groups[i]->full));
}

void blocked_look(struct sched *s)
{
    struct machine **hot = s->hot;

    s->look++;
    /* When it only goes on, those that were tried need not be tried again. */
    if (s->got_room || (s->ahead_changed && !s->resume))
        s->round++;
    s->hot = s->dirty;
    s->n_hot = s->n_dirty;
    s->dirty = hot;
    s->n_dirty = 0;
    for (size_t i = 0; i < s->n_hot; i++)
        s->hot[i]->dirty = false;
    s->hope_ahead = s->ahead_changed;
    s->got_room = s->hopes_left = s->ahead_changed = s->resume = false;
    if (!s->opt.backfill) {
        try_all(s);
    } else {
        if (s->n_hot || s->facts_changed || s->needs_fresh)
            look_at_stuck(s);
        if (s->n_hot || s->hope_ahead)
            look_for_room(s);
    }
    s->facts_changed = s->needs_fresh = false;
}

bool blocked_left(struct sched *s)
{
    bool had = s->got_room, more = had;

    for (size_t i = 0; s->hopes_left && i < s->n_hot; i++)
        if (s->fit.cpu[s->hot[i]->slot] > 0) {
            machine_dirty(s, s->hot[i]);
            more = true;
        }
    s->got_room = had; /* that it is looked at again gives nobody room */
    if (s->hopes_left && s->hope_ahead && !s->ahead_changed && s->n_batch)
        more = s->ahead_changed = s->resume = true;
    return more;
}
