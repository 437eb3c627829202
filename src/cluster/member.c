/*
 * member.c - who is in the system and how they are: events in, effects out.
 *
 *   state    comes by                           goes on
 *   pending  a beacon of a stranger             accepted or a good MAC: alive; rejected: gone;
 *                                               not seen for PENDING_MS, or the 65th: vanishes
 *   alive    trust, heartbeat, another's word   silent for SUSPECT_MS: suspect
 *   suspect  silence                            DEAD_MS after its last heartbeat, or WORD_MS after
 *                                               another's word: dead; others are asked meanwhile
 *   dead     silence                            heartbeat or another's word (they are asked, ever
 *                                               more rarely): alive; forgotten: gone
 *   left     its farewell                       a higher incarnation: alive; forgotten: gone
 *   gone     rejected or forgotten, here or     accepted, or a good MAC: alive; a stranger with a
 *            by another's list                  higher incarnation: pending
 *
 * A machine whose own heartbeats fail to come, while others hear it, is alive by their word; they
 * are asked again every PROBE_MS.
 *
 * Invariants: incarnations of trusted machines never go back. Claims of others are merged by the
 * rules of member_list.c; a tombstone is stronger than lists that do not know of it. Times are kept
 * per entry; the lists of member_view.c make each event cost O(1), a tick what is due.
 */
#include "cluster/member_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Incarnations are start times in us; what a stranger claims beyond this is nonsense. */
#define CLAIM_AHEAD_US (UINT64_C(24) * 3600 * 1000 * 1000)

static void later(uint64_t *t, uint64_t gap, uint64_t now)
{
    if (*t)
        *t = *t + gap < now ? *t + gap : now;
}

/* This machine slept (or was stopped) for `gap`: nobody could be heard, so that time does not
 * count. */
static void slept(struct member *m, uint64_t gap, uint64_t now)
{
    for (struct entry *e = m->all; e; e = e->hh.next) {
        later(&e->view.heard_ms, gap, now);
        e->due_ms += gap;
        e->probe_ms += gap;
    }
    if (m->watch_due != UINT64_MAX)
        m->watch_due += gap;
    m->woke_ms = now;
}

void member_enter(struct member *m, uint64_t now)
{
    uint64_t next = member_next(m);

    if (!m->made_ms)
        m->made_ms = now;
    if (next != UINT64_MAX && now > next + LATE_MS)
        slept(m, now - next, now);
    if (now > m->now)
        m->now = now;
    m->self->view.heard_ms = m->now;
}

/* One more is pending: the oldest goes when there are too many. */
static void trim_pending(struct member *m)
{
    struct entry *e, *oldest = NULL;

    if (m->pending <= PENDING_MAX)
        return;
    for (e = m->list[ON_WATCH]; e; e = e->next)
        if (e->view.state == MEMBER_PENDING &&
            (!oldest || e->view.heard_ms < oldest->view.heard_ms))
            oldest = e;
    entry_vanish(m, oldest);
}

static void add_pending(struct member *m, const struct peer_info *info)
{
    struct entry *e = entry_add(m, info, MEMBER_PENDING);

    if (!e)
        return;
    table_watch(m, e, m->now + PENDING_MS);
    m->fx->changed(m->arg, &e->view, MEMBER_PENDING);
}

/* What was rejected or forgotten shows up with a higher incarnation: an operator may look again.
 * The tombstone still counts against lists, since the incarnation is only a claim. */
static void gone_pending(struct member *m, struct entry *e, const struct peer_info *info)
{
    e->tomb = malloc(sizeof *e->tomb);
    if (!e->tomb || !table_show(m, e)) {
        table_unearth(e);
        return;
    }
    *e->tomb = e->view;
    e->view.info = *info;
    e->view.heard_ms = m->now;
    table_watch(m, e, m->now + PENDING_MS);
    entry_move(m, e, MEMBER_PENDING);
}

/* A stranger, not trusted, says who it is. */
static void seen_stranger(struct member *m, struct entry *e, const struct peer_info *p)
{
    uint64_t up_us = (m->now - m->made_ms) * 1000;

    if (p->incarnation > m->self->view.info.incarnation + up_us + CLAIM_AHEAD_US)
        return;
    if (!e) {
        add_pending(m, p);
        trim_pending(m);
    } else if (e->view.state == MEMBER_GONE) {
        if (p->incarnation <= e->view.info.incarnation)
            return;
        gone_pending(m, e, p);
        trim_pending(m);
    } else if (strcmp(p->curve_public, e->view.info.curve_public) == 0) {
        /* With another key it would be another machine than the one that an operator looks at. */
        if (e->tomb && p->incarnation <= e->tomb->info.incarnation)
            return;
        e->view.info = *p;
        e->view.heard_ms = m->now;
        e->due_ms = m->now + PENDING_MS;
    }
}

void member_seen(struct member *m, uint64_t now, const struct peer_info *p, bool ours)
{
    struct entry *e = table_find(m, p->id);
    const struct member_view *v = e ? &e->view : NULL;

    member_enter(m, now);
    if (e == m->self)
        return;
    if (!ours && (!e || !v->trusted)) {
        seen_stranger(m, e, p);
        return;
    }
    if (!e) {
        entry_add_trusted(m, p, MEMBER_ALIVE, 0);
        return;
    }
    if (!v->trusted)
        entry_welcome(m, e, p, v->word + (v->state == MEMBER_GONE || e->tomb), MEMBER_ALIVE);
    else if (ours && p->incarnation > v->info.incarnation)
        entry_welcome(m, e, p, v->word, MEMBER_ALIVE);
    else if (ours && p->incarnation == v->info.incarnation &&
             strcmp(p->curve_public, v->info.curve_public) == 0)
        entry_moved(m, e, p);
}

static void maybe_pull(struct member *m, struct entry *e)
{
    if (m->now < m->pull_ms || m->now < e->pull_ms)
        return;
    m->pull_ms = m->now + PULL_ANY_MS;
    e->pull_ms = m->now + PULL_PEER_MS;
    m->fx->pull(m->arg, e->view.info.id);
}

void member_heartbeat(struct member *m, uint64_t now, const char *from, uint64_t incarnation,
                      uint64_t digest)
{
    struct entry *e = table_find(m, from);

    member_enter(m, now);
    if (!e || e == m->self || !e->view.trusted || incarnation < e->view.info.incarnation)
        return;
    if (incarnation > e->view.info.incarnation) {
        struct peer_info info = e->view.info;

        info.incarnation = incarnation;
        entry_welcome(m, e, &info, e->view.word, MEMBER_ALIVE);
    } else if (e->view.state == MEMBER_LEFT) {
        return;
    }
    e->own_ms = m->now;
    e->own = true;
    entry_alive(m, e);
    if (digest != m->digest)
        maybe_pull(m, e);
}

void member_heard(struct member *m, uint64_t now, const char *by, const char *about,
                  uint64_t incarnation, bool heard)
{
    const struct entry *who = table_find(m, by);
    struct entry *e = table_find(m, about);

    member_enter(m, now);
    if (!heard || !who || !who->view.trusted || who == e || !e || e == m->self)
        return;
    if (e->on != ON_WATCH || !e->view.trusted || e->view.info.incarnation != incarnation)
        return;
    e->view.heard_ms = m->now;
    e->by_word = true;
    e->probe_ms = m->now + PROBE_MS;
    entry_move(m, e, MEMBER_ALIVE);
    table_watch(m, e, e->probe_ms);
}

bool member_hears(const struct member *m, uint64_t now, const char *about, uint64_t incarnation)
{
    const struct entry *e = table_find(m, about);

    if (!e || !e->view.trusted || e->view.info.incarnation != incarnation ||
        e->view.state == MEMBER_LEFT)
        return false;
    /* After a sleep old heartbeats are still in the queues: they say nothing to others. */
    if (m->woke_ms && now < m->woke_ms + SUSPECT_MS)
        return false;
    return e == m->self || (e->own && now < e->own_ms + SUSPECT_MS);
}

void member_left(struct member *m, uint64_t now, const char *id, uint64_t incarnation)
{
    struct entry *e = table_find(m, id);

    member_enter(m, now);
    if (!e || e == m->self || !e->view.trusted || incarnation < e->view.info.incarnation)
        return;
    table_open(m, e);
    e->view.info.incarnation = incarnation;
    table_close(m, e);
    entry_to(m, e, MEMBER_LEFT);
}

/* Asks some that are heard well. Whom is a matter of the ids and of how often we asked, so that the
 * same events always give the same effects. */
static void probe(struct member *m, struct entry *e)
{
    const struct peer_info *about = &e->view.info;
    size_t at = hash_id(hash_id(e->round++, m->self->view.info.id), about->id) % m->n;

    if (m->now - m->probe_second >= 1000) {
        m->probe_second = m->now;
        m->probes = 0;
    }
    if (m->count[ON_FRESH] == 0)
        return;
    for (size_t i = 0, asked = 0; i < m->n && asked < PROBE_OTHERS; i++) {
        const struct entry *other = m->sorted[(at + i) % m->n];

        if (other->on != ON_FRESH || other == e || !other->own)
            continue;
        if (m->probes++ >= PROBES_PER_S)
            return;
        asked++;
        m->fx->probe(m->arg, other->view.info.id, about->id, about->incarnation);
    }
}

/* When silence since heard_ms (in this state) means the next state. */
static uint64_t patience(const struct entry *e)
{
    uint64_t least = e->view.since_ms + SUSPECT_LEAST;
    uint64_t end = e->view.heard_ms + (e->by_word ? WORD_MS : DEAD_MS);

    if (e->view.state == MEMBER_ALIVE)
        return e->view.heard_ms + SUSPECT_MS;
    return end > least ? end : least;
}

static void look_silent(struct member *m, struct entry *e)
{
    uint64_t due;

    if (e->view.state == MEMBER_ALIVE && m->now >= patience(e))
        entry_move(m, e, MEMBER_SUSPECT);
    if (e->view.state == MEMBER_SUSPECT && m->now >= patience(e)) {
        entry_dead(m, e);
        return;
    }
    if (m->now >= e->probe_ms) {
        e->probe_ms = m->now + PROBE_MS;
        probe(m, e);
    }
    due = patience(e);
    table_watch(m, e, due < e->probe_ms ? due : e->probe_ms);
}

static void look_dead(struct member *m, struct entry *e)
{
    unsigned doublings;

    probe(m, e);
    doublings = e->round < 4 ? e->round : 4;
    table_watch(m, e, m->now + ((uint64_t)DEAD_PROBE_MS << doublings));
}

static void look(struct member *m, struct entry *e)
{
    if (e->view.state == MEMBER_PENDING)
        entry_vanish(m, e);
    else if (e->view.state == MEMBER_DEAD)
        look_dead(m, e);
    else
        look_silent(m, e);
}

void member_tick(struct member *m, uint64_t now)
{
    struct entry *e, *next;
    uint64_t due = UINT64_MAX;

    member_enter(m, now);
    while ((e = m->list[ON_FRESH]) && m->now >= e->view.heard_ms + SUSPECT_MS) {
        e->probe_ms = m->now;
        look_silent(m, e);
    }
    if (m->now < m->watch_due)
        return;
    for (e = m->list[ON_WATCH]; e; e = next) {
        next = e->next;
        if (m->now >= e->due_ms)
            look(m, e);
    }
    for (e = m->list[ON_WATCH]; e; e = e->next)
        due = e->due_ms < due ? e->due_ms : due;
    m->watch_due = due;
}

uint64_t member_next(const struct member *m)
{
    const struct entry *first = m->list[ON_FRESH];
    uint64_t silent = first ? first->view.heard_ms + SUSPECT_MS : UINT64_MAX;

    return silent < m->watch_due ? silent : m->watch_due;
}

int member_accept(struct member *m, uint64_t now, const char *id, struct oerr *e)
{
    struct entry *p = table_find(m, id);
    struct peer_info info;

    member_enter(m, now);
    if (!p)
        return oerr_set(e, -ENOENT, "no machine %s waits to be accepted", id);
    if (p->view.trusted)
        return oerr_set(e, -EBUSY, "machine %s is a member already", id);
    info = p->view.info;
    entry_welcome(m, p, &info, p->view.word + 1, MEMBER_ALIVE);
    return p->view.trusted ? 0 : -ENOMEM;
}

int member_reject(struct member *m, uint64_t now, const char *id, struct oerr *e)
{
    struct entry *p = table_find(m, id);

    member_enter(m, now);
    if (!p || p->view.state == MEMBER_GONE)
        return oerr_set(e, -ENOENT, "no machine %s waits to be accepted", id);
    if (p->view.trusted)
        return oerr_set(e, -EBUSY, "machine %s is a member: stop it, then forget it", id);
    entry_bury(m, p, p->view.word + 1);
    return 0;
}

int member_forget(struct member *m, uint64_t now, const char *id, struct oerr *e)
{
    struct entry *p = table_find(m, id);

    member_enter(m, now);
    if (!p || p->view.state == MEMBER_GONE)
        return oerr_set(e, -ENOENT, "there is no machine %s", id);
    if (p == m->self)
        return oerr_set(e, -EINVAL, "machine %s cannot forget itself", id);
    if (p->view.state == MEMBER_ALIVE || p->view.state == MEMBER_SUSPECT)
        return oerr_set(e, -EBUSY, "machine %s is %s: stop it before you forget it", id,
                        member_state_name(p->view.state));
    entry_bury(m, p, p->view.word + 1);
    return 0;
}

int member_create(struct member **out, const struct peer_info *self, const struct member_fx *fx,
                  void *arg)
{
    struct member *m = calloc(1, sizeof *m);

    if (!m)
        return -ENOMEM;
    m->fx = fx;
    m->arg = arg;
    m->watch_due = UINT64_MAX;
    m->self = table_add(m, self, MEMBER_ALIVE);
    if (!m->self) {
        member_destroy(m);
        return -ENOMEM;
    }
    m->self->view.trusted = true;
    table_close(m, m->self);
    *out = m;
    return 0;
}

void member_destroy(struct member *m)
{
    struct entry *e, *next;

    if (!m)
        return;
    HASH_ITER (hh, m->all, e, next) {
        HASH_DEL(m->all, e);
        table_unearth(e);
        free(e);
    }
    free(m->sorted);
    free(m);
}
