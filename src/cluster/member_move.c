/*
 * member_move.c - the moves of one machine between states, with the effects that belong to them.
 *
 * Invariant: after each move the entry is on the list that its state asks for (alive: fresh, or
 * watched when alive by another's word; suspect, dead, pending: watched; left: none; gone: gone).
 */
#include "cluster/member_private.h"

#include <string.h>

void entry_move(struct member *m, struct entry *e, enum member_state to)
{
    enum member_state from = e->view.state;

    if (from == to)
        return;
    table_open(m, e);
    e->view.state = to;
    table_close(m, e);
    e->view.since_ms = m->now;
    m->pending -= from == MEMBER_PENDING;
    m->pending += to == MEMBER_PENDING;
    m->fx->changed(m->arg, &e->view, from);
}

void entry_alive(struct member *m, struct entry *e)
{
    e->view.heard_ms = m->now;
    e->by_word = false;
    e->round = 0;
    table_put(m, e, ON_FRESH);
    entry_move(m, e, MEMBER_ALIVE);
}

void entry_dead(struct member *m, struct entry *e)
{
    e->round = 0;
    table_watch(m, e, m->now + DEAD_PROBE_MS);
    entry_move(m, e, MEMBER_DEAD);
}

static void left(struct member *m, struct entry *e)
{
    table_put(m, e, ON_NONE);
    entry_move(m, e, MEMBER_LEFT);
}

void entry_bury(struct member *m, struct entry *e, uint32_t word)
{
    enum member_state from = e->view.state;

    table_open(m, e);
    e->view.trusted = false;
    e->view.word = word;
    table_close(m, e);
    table_unearth(e);
    if (from != MEMBER_GONE)
        table_hide(m, e);
    table_put(m, e, ON_GONE);
    entry_move(m, e, MEMBER_GONE);
    if (from != MEMBER_GONE)
        m->fx->distrust(m->arg, e->view.info.id);
    if (m->count[ON_GONE] > GONE_MAX)
        table_drop(m, m->list[ON_GONE]);
}

void entry_to(struct member *m, struct entry *e, enum member_state state)
{
    if (state == MEMBER_LEFT)
        left(m, e);
    else if (state == MEMBER_DEAD)
        entry_dead(m, e);
    else
        entry_alive(m, e);
}

/* Takes on what is known of it, and trusts it. */
static void adopt(struct member *m, struct entry *e, const struct peer_info *info, uint32_t word)
{
    table_open(m, e);
    if (info->incarnation != e->view.info.incarnation)
        e->own = false;
    e->view.info = *info;
    e->view.word = word;
    e->view.trusted = true;
    table_unearth(e);
    table_close(m, e);
    m->fx->trust(m->arg, &e->view.info);
}

void entry_welcome(struct member *m, struct entry *e, const struct peer_info *info, uint32_t word,
                   enum member_state state)
{
    if (e->view.state == MEMBER_GONE && !table_show(m, e))
        return;
    adopt(m, e, info, word);
    if (e->view.state == state) {
        e->view.since_ms = m->now;
        m->fx->changed(m->arg, &e->view, state);
    }
    entry_to(m, e, state);
}

struct entry *entry_add(struct member *m, const struct peer_info *info, enum member_state state)
{
    struct entry *e = table_add(m, info, state);

    if (e)
        e->view.since_ms = e->view.heard_ms = m->now;
    return e;
}

void entry_add_trusted(struct member *m, const struct peer_info *info, enum member_state state,
                       uint32_t word)
{
    struct entry *e = entry_add(m, info, state);

    if (!e)
        return;
    adopt(m, e, info, word);
    m->fx->changed(m->arg, &e->view, state);
    entry_to(m, e, state);
}

void entry_vanish(struct member *m, struct entry *e)
{
    struct member_view was = e->view;

    if (e->tomb) {
        e->view.info = e->tomb->info;
        entry_bury(m, e, e->tomb->word);
        return;
    }
    table_drop(m, e);
    was.state = MEMBER_GONE;
    m->fx->changed(m->arg, &was, MEMBER_PENDING);
}

static bool same_place(const struct peer_info *a, const struct peer_info *b)
{
    return a->req_port == b->req_port && a->pub_port == b->pub_port &&
           a->link_port == b->link_port && strcmp(a->address, b->address) == 0;
}

void entry_moved(struct member *m, struct entry *e, const struct peer_info *p)
{
    struct peer_info *to = &e->view.info;

    if ((e->view.state != MEMBER_SUSPECT && e->view.state != MEMBER_DEAD) || same_place(to, p))
        return;
    memcpy(to->address, p->address, sizeof to->address);
    to->req_port = p->req_port;
    to->pub_port = p->pub_port;
    to->link_port = p->link_port;
    m->fx->trust(m->arg, to);
}
