/*
 * member_view.c - the table of machines: found by id, listed in order, kept on lists by time.
 *
 * Invariants: `sorted` holds exactly the entries that are not gone; an entry is on one list; the
 * digest is the sum of a hash of each trusted entry, so that the order of events does not matter.
 */
#include "cluster/member_private.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

const char *member_state_name(enum member_state s)
{
    static const char *const name[] = {
        [MEMBER_PENDING] = "pending", [MEMBER_ALIVE] = "alive", [MEMBER_SUSPECT] = "suspect",
        [MEMBER_DEAD] = "dead",       [MEMBER_LEFT] = "left",   [MEMBER_GONE] = "gone",
    };

    return name[s];
}

/* splitmix64's finish: every bit of x reaches every bit of the result. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t hash_id(uint64_t seed, const char *id)
{
    uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);

    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
    return mix(h);
}

static uint64_t entry_hash(const struct entry *e)
{
    uint64_t fact = (uint64_t)e->view.word * 2 + (e->view.state == MEMBER_LEFT) + 1;

    return e->view.trusted ? hash_id(mix(mix(fact) + e->view.info.incarnation), e->view.info.id)
                           : 0;
}

void table_open(struct member *m, const struct entry *e)
{
    m->digest -= entry_hash(e);
}

void table_close(struct member *m, const struct entry *e)
{
    m->digest += entry_hash(e);
}

struct entry *table_find(const struct member *m, const char *id)
{
    struct entry *e;

    HASH_FIND_STR(m->all, id, e);
    return e;
}

/* The place of that id among the sorted views: its own, or where it would go. */
static size_t place(const struct member *m, const char *id)
{
    size_t low = 0, high = m->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (strcmp(m->sorted[mid]->view.info.id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool table_show(struct member *m, struct entry *e)
{
    size_t i;

    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 8;
        struct entry **grown = realloc(m->sorted, cap * sizeof *grown);

        if (!grown)
            return false;
        m->sorted = grown;
        m->cap = cap;
    }
    i = place(m, e->view.info.id);
    memmove(m->sorted + i + 1, m->sorted + i, (m->n - i) * sizeof *m->sorted);
    m->sorted[i] = e;
    m->n++;
    return true;
}

void table_hide(struct member *m, struct entry *e)
{
    size_t i = place(m, e->view.info.id);

    m->n--;
    memmove(m->sorted + i, m->sorted + i + 1, (m->n - i) * sizeof *m->sorted);
}

struct entry *table_add(struct member *m, const struct peer_info *info, enum member_state state)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->view.info = *info;
    e->view.state = state;
    HASH_ADD_STR(m->all, view.info.id, e);
    if (!e->hh.tbl) {
        free(e);
        return NULL;
    }
    if (state != MEMBER_GONE && !table_show(m, e)) {
        HASH_DEL(m->all, e);
        free(e);
        return NULL;
    }
    m->pending += state == MEMBER_PENDING;
    return e;
}

void table_drop(struct member *m, struct entry *e)
{
    table_put(m, e, ON_NONE);
    if (e->view.state != MEMBER_GONE)
        table_hide(m, e);
    m->pending -= e->view.state == MEMBER_PENDING;
    HASH_DEL(m->all, e);
    table_unearth(e);
    free(e);
}

void table_unearth(struct entry *e)
{
    free(e->tomb);
    e->tomb = NULL;
}

void table_put(struct member *m, struct entry *e, enum member_list_name on)
{
    if (e->on != ON_NONE) {
        DL_DELETE(m->list[e->on], e);
        m->count[e->on]--;
    }
    e->on = on;
    if (on != ON_NONE) {
        DL_APPEND(m->list[on], e);
        m->count[on]++;
    }
}

void table_watch(struct member *m, struct entry *e, uint64_t due_ms)
{
    due_ms = (due_ms + WATCH_GRAIN_MS - 1) / WATCH_GRAIN_MS * WATCH_GRAIN_MS;
    e->due_ms = due_ms;
    if (e->on != ON_WATCH)
        table_put(m, e, ON_WATCH);
    if (due_ms < m->watch_due)
        m->watch_due = due_ms;
}

uint64_t member_digest(const struct member *m)
{
    return m->digest;
}

size_t member_count(const struct member *m)
{
    return m->n;
}

const struct member_view *member_at(const struct member *m, size_t i)
{
    return i < m->n ? &m->sorted[i]->view : NULL;
}

const struct member_view *member_find(const struct member *m, const char *id)
{
    const struct entry *e = table_find(m, id);

    return e && e->view.state != MEMBER_GONE ? &e->view : NULL;
}

const struct member_view *member_told(const struct member *m, size_t i)
{
    const struct entry *e;

    if (i < m->n)
        return m->sorted[i]->tomb ? m->sorted[i]->tomb : &m->sorted[i]->view;
    i -= m->n;
    for (e = m->list[ON_GONE]; e; e = e->next)
        if (i-- == 0)
            return &e->view;
    return NULL;
}
