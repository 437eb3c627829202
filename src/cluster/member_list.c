/*
 * member_list.c - what a trusted machine says of all others, merged into what is known here.
 *
 * A claim is trusted or gone, with an incarnation and a word (the count of decisions). Both sides
 * of a merge come to the same, so lists in any order, any number of times, lead to equal views:
 *
 *   trusted, trusted   the higher incarnation, the higher word
 *   gone, gone         the higher word, then the higher incarnation
 *   trusted, gone      trusted, if its word is higher; or its incarnation: what is gone was an
 * earlier life (its word then becomes the higher one); else gone
 *
 * What a stranger (pending here) says of itself is no claim: any other counts more.
 */
#include "cluster/member_private.h"

#include <string.h>

static void set_word(struct member *m, struct entry *e, uint32_t word)
{
    table_open(m, e);
    e->view.word = word;
    table_close(m, e);
}

/* Another says that we are gone, or has a later word on us: ours is the last. */
static void told_of_self(struct member *m, const struct member_view *v)
{
    struct member_view *self = &m->self->view;

    if (v->info.incarnation != self->info.incarnation || v->word < self->word)
        return;
    set_word(m, m->self, v->word + (v->state == MEMBER_GONE));
}

static uint32_t higher(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Whether v, which says gone, wins over e. */
static bool gone_wins(struct member *m, struct entry *e, const struct member_view *v)
{
    const struct member_view *known = e->tomb ? e->tomb : &e->view;

    if (known->state == MEMBER_PENDING)
        return v->info.incarnation >= known->info.incarnation;
    if (known->state == MEMBER_GONE)
        return v->word != known->word ? v->word > known->word
                                      : v->info.incarnation > known->info.incarnation;
    if (v->word < known->word)
        return false;
    if (v->info.incarnation >= known->info.incarnation)
        return true;
    set_word(m, e, v->word + 1);
    return false;
}

static void told_gone(struct member *m, struct entry *e, const struct member_view *v)
{
    if (!e) {
        e = entry_add(m, &v->info, MEMBER_GONE);
        if (!e)
            return;
    } else if (!gone_wins(m, e, v)) {
        return;
    }
    table_open(m, e);
    e->view.info = v->info;
    table_close(m, e);
    entry_bury(m, e, v->word);
}

/* Whether v, which says trusted, wins over e, and with which word. */
static bool trusted_wins(struct member *m, struct entry *e, const struct member_view *v,
                         uint32_t *word)
{
    const struct member_view *known = e->tomb ? e->tomb : &e->view;
    bool later = v->info.incarnation > known->info.incarnation;

    *word = v->word;
    if (known->state == MEMBER_PENDING)
        return true;
    if (known->state == MEMBER_GONE) {
        if (later)
            *word = higher(v->word, known->word + 1);
        return *word > known->word;
    }
    *word = higher(v->word, known->word);
    set_word(m, e, *word);
    return later;
}

/* A state that another reports of a machine that we did not know in this incarnation. */
static enum member_state reported(enum member_state s)
{
    return s == MEMBER_SUSPECT ? MEMBER_ALIVE : s;
}

/* The same incarnation is known here: what it adds to that. */
static void told_known(struct member *m, struct entry *e, const struct member_view *v)
{
    if (v->state == MEMBER_LEFT) {
        entry_to(m, e, MEMBER_LEFT);
    } else if (v->state == MEMBER_ALIVE) {
        entry_moved(m, e, &v->info);
        if (e->view.state == MEMBER_DEAD)
            table_watch(m, e, m->now); /* asks others at once */
    }
}

static void told_trusted(struct member *m, struct entry *e, const struct member_view *v)
{
    uint32_t word;

    if (!e)
        entry_add_trusted(m, &v->info, reported(v->state), v->word);
    else if (trusted_wins(m, e, v, &word))
        entry_welcome(m, e, &v->info, word, reported(v->state));
    else if (e->view.trusted && v->info.incarnation == e->view.info.incarnation)
        told_known(m, e, v);
}

static bool well_formed(const struct member_view *v)
{
    size_t n = strnlen(v->info.id, sizeof v->info.id);

    return n > 0 && n < sizeof v->info.id && v->state <= MEMBER_GONE &&
           v->trusted == (v->state != MEMBER_PENDING && v->state != MEMBER_GONE);
}

void member_list(struct member *m, uint64_t now, const char *from, const struct member_view *v,
                 size_t n)
{
    const struct entry *by = table_find(m, from);

    member_enter(m, now);
    if (!by || !by->view.trusted)
        return;
    for (; n > 0; v++, n--) {
        struct entry *e;

        if (!well_formed(v) || v->state == MEMBER_PENDING)
            continue;
        e = table_find(m, v->info.id);
        if (e == m->self)
            told_of_self(m, v);
        else if (v->state == MEMBER_GONE)
            told_gone(m, e, v);
        else
            told_trusted(m, e, v);
    }
}
