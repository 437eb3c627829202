/*
 * kind.c - lanes whose selectors mean the same machines: who of them has a machine kept for it.
 *
 * Invariants: a lane that is blocked for want of room is in its group's heap `full`; a kind that
 * has such lanes has a keep for the first job of them, as far as there are keeps, or kinds_look is
 * set. What is kept stays with its job until that is placed or a kind's job of higher priority
 * comes: so that shares, which move all the time, do not make it begin to wait again.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct kind *kind_get(struct sched *s, const struct lane *l)
{
    struct choice *choices[WANT_STAGES_MAX];
    size_t len = l->n * sizeof *choices;
    struct kind *k;

    for (size_t i = 0; i < l->n; i++)
        choices[i] = l->stages[i].choice;
    HASH_FIND(hh, s->kinds, choices, len, k);
    if (k || !(k = calloc(1, sizeof *k + len)))
        return k;
    memcpy(k->key, choices, len);
    HASH_ADD_KEYPTR(hh, s->kinds, k->key, len, k);
    if (k->hh.tbl)
        return k;
    free(k);
    return NULL;
}

static void kind_put(struct sched *s, struct kind *k)
{
    if (k->n)
        return;
    HASH_DEL(s->kinds, k);
    free(k->groups);
    free(k);
}

static struct group *group_new(struct kind *k, struct queue *q, size_t n_choices)
{
    struct group **v = realloc(k->groups, (k->n + 1) * sizeof *v), *g;

    if (!v)
        return NULL;
    k->groups = v;
    if (!(g = calloc(1, sizeof *g)))
        return NULL;
    g->kind = k;
    g->queue = q;
    g->n_choices = n_choices;
    g->place = HEAP_OUT;
    g->full = HEAP_INIT(struct lane, place_full, lane_before);
    return v[k->n++] = g;
}

int group_join(struct sched *s, struct lane *l)
{
    struct kind *k = kind_get(s, l);

    if (!k)
        return -ENOMEM;
    for (size_t i = 0; i < k->n && !l->group; i++)
        if (k->groups[i]->queue == l->queue)
            l->group = k->groups[i];
    if (!l->group && !(l->group = group_new(k, l->queue, l->n))) {
        kind_put(s, k);
        return -ENOMEM;
    }
    l->group->lanes++;
    l->place_full = HEAP_OUT;
    return 0;
}

void group_leave(struct sched *s, struct lane *l)
{
    struct group *g = l->group;
    struct kind *k;
    size_t i = 0;

    if (!g || --g->lanes > 0)
        return;
    k = g->kind;
    while (k->groups[i] != g)
        i++;
    k->groups[i] = k->groups[--k->n];
    heap_free(&g->full);
    free(g);
    kind_put(s, k);
}

/* ---- the first of a kind */

static double share_of(struct sched *s, struct queue *q)
{
    return s->opt.fair ? fair_use(&s->fair, &q->key.user->use) : 0;
}

static struct job_node *first_of(struct sched *s, struct kind *k)
{
    struct job_node *first = NULL;
    double least = 0;
    int priority = 0;

    for (size_t i = 0; i < k->n; i++) {
        struct lane *l = heap_top(&k->groups[i]->full);
        struct job_node *j = l ? heap_top(&l->jobs) : NULL;
        double share;
        bool before;

        if (!j)
            continue;
        share = share_of(s, l->queue);
        before = !first                               ? true
                 : l->queue->key.priority != priority ? l->queue->key.priority > priority
                 : share != least                     ? share < least
                                                      : lanes_before(j, first);
        if (!before)
            continue;
        first = j;
        least = share;
        priority = l->queue->key.priority;
    }
    return first;
}

/* Whether a job of the kind that waits has a higher priority than the one that has the keep. */
static bool outranked(const struct kind *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->groups[i]->full.n && k->groups[i]->queue->key.priority > k->keep->priority)
            return true;
    return false;
}

void kinds_keep(struct sched *s)
{
    bool alone = HASH_COUNT(s->lanes) == 1; /* there is nobody who could pass */

    s->kinds_look = false;
    for (struct kind *k = s->kinds; k && s->opt.backfill && !alone; k = k->hh.next) {
        struct job_node *j;

        if (k->keep && outranked(k))
            keep_drop(s, k->keep);
        if (!k->keep && (j = first_of(s, k)))
            k->keep = keep_take(s, j);
    }
    s->kinds_look = false; /* what was dropped above has been looked at */
}
