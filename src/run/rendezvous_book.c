/*
 * rendezvous_book.c - the replica: one record per pipe, found by uid, listed by name.
 *
 * Names: of several records with one base name the oldest (then the lowest home) is shown under
 * it, the others under BASE~HOME, or BASE~HOME~2 ... when that is taken. This depends only on the
 * set of records, so that all replicas show the same. The home of a renamed pipe makes its new name
 * the base name, so that it stays when the other one is removed.
 *
 * What changed is collected in `what` and told at the end of the event, when all names are unique
 * again.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

_Static_assert(sizeof(struct pipe_uid) == ID_MAX + 16, "the key has no padding");

bool is_own(const struct rendezvous *r, const struct pipe_uid *uid)
{
    return strcmp(uid->home, r->self) == 0;
}

struct pipe *book_find(const struct rendezvous *r, const struct pipe_uid *uid)
{
    struct pipe_uid key;
    struct pipe *p;

    uid_set(&key, uid->home, uid->incarnation, uid->serial);
    HASH_FIND(hh, r->pipes, &key, sizeof key, p);
    return p;
}

/* The place of that name among the sorted: its own, or where it would go. */
static size_t place(const struct rendezvous *r, const char *name)
{
    size_t low = 0, high = r->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (strcmp(r->sorted[mid]->info.name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct pipe *book_named(const struct rendezvous *r, const char *name)
{
    size_t i = place(r, name);

    return i < r->n && strcmp(r->sorted[i]->info.name, name) == 0 ? r->sorted[i] : NULL;
}

void book_touch(struct rendezvous *r, struct pipe *p, unsigned what)
{
    if (!what)
        return;
    if (!p->what)
        DL_APPEND(r->touched, p);
    p->what |= what;
    r->again = true;
}

/* Room for every record in all three arrays, so that settling names cannot fail. */
static int room(struct rendezvous *r)
{
    struct pipe ***array[] = { &r->sorted, &r->work, &r->losing };
    size_t cap = r->cap ? 2 * r->cap : 64;

    if (HASH_COUNT(r->pipes) < r->cap)
        return 0;
    for (size_t i = 0; i < sizeof array / sizeof array[0]; i++) {
        struct pipe **grown = realloc(*array[i], cap * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        *array[i] = grown;
    }
    r->cap = cap;
    return 0;
}

/* Shows p under its base name, or leaves it to book_names(). */
static void list(struct rendezvous *r, struct pipe *p)
{
    size_t i = place(r, p->base);

    strcpy(p->info.name, p->base);
    if (r->names_dirty || r->losers || book_named(r, p->base)) {
        r->names_dirty = true;
        return;
    }
    memmove(r->sorted + i + 1, r->sorted + i, (r->n - i) * sizeof *r->sorted);
    r->sorted[i] = p;
    r->n++;
}

static void unlist(struct rendezvous *r, const struct pipe *p)
{
    size_t i = place(r, p->info.name);

    if (i < r->n && r->sorted[i] == p) {
        r->n--;
        memmove(r->sorted + i, r->sorted + i + 1, (r->n - i) * sizeof *r->sorted);
    }
    if (r->losers)
        r->names_dirty = true;
}

static int book_add(struct rendezvous *r, const struct pipe_info *info)
{
    struct pipe *p;

    if (room(r) < 0)
        return -ENOMEM;
    p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->info = *info;
    uid_set(&p->info.uid, info->uid.home, info->uid.incarnation, info->uid.serial);
    strcpy(p->base, info->name);
    p->added_ms = r->now;
    HASH_ADD(hh, r->pipes, info.uid, sizeof p->info.uid, p);
    if (!p->hh.tbl) {
        free(p);
        return -ENOMEM;
    }
    r->own += is_own(r, &p->info.uid);
    list(r, p);
    book_touch(r, p, 1U << RV_ADDED);
    holds_check(r, p);
    return 0;
}

static unsigned difference(const struct pipe_info *a, const struct pipe_info *b)
{
    unsigned what = 0;

    if (a->mode != b->mode || a->capacity != b->capacity)
        what |= 1U << RV_CHANGED;
    if (strcmp(a->holder, b->holder) != 0 || a->epoch != b->epoch ||
        a->holder_incarnation != b->holder_incarnation)
        what |= 1U << RV_HOLDER;
    return what;
}

int book_put(struct rendezvous *r, const struct pipe_info *info)
{
    struct pipe *p = book_find(r, &info->uid);
    char shown[sizeof info->name];
    unsigned what;

    if (!p)
        return book_add(r, info);
    what = difference(&p->info, info);
    strcpy(shown, p->info.name);
    if (strcmp(p->base, info->name) != 0) {
        unlist(r, p);
        strcpy(p->base, info->name);
        list(r, p);
        if (strcmp(shown, p->base) != 0)
            what |= 1U << RV_RENAMED;
        strcpy(shown, p->info.name);
    }
    p->info = *info;
    strcpy(p->info.name, shown);
    book_touch(r, p, what);
    holds_check(r, p);
    return 0;
}

void book_drop(struct rendezvous *r, struct pipe *p)
{
    unlist(r, p);
    HASH_DEL(r->pipes, p);
    r->own -= is_own(r, &p->info.uid);
    r->again = true;
    if (p->what)
        DL_DELETE(r->touched, p);
    if (p->what & 1U << RV_ADDED) { /* nobody was told of it */
        free(p);
        return;
    }
    p->what = 1U << RV_GONE;
    DL_APPEND(r->touched, p);
}

void book_drop_home(struct rendezvous *r, const char *home)
{
    struct pipe *p, *next;

    HASH_ITER (hh, r->pipes, p, next)
        if (strcmp(p->info.uid.home, home) == 0)
            book_drop(r, p);
}

/* ---- names */

static int compare_age(const struct pipe *a, const struct pipe *b)
{
    int c;

    if (a->info.created_us != b->info.created_us)
        return a->info.created_us < b->info.created_us ? -1 : 1;
    c = strcmp(a->info.uid.home, b->info.uid.home);
    if (c)
        return c;
    if (a->info.uid.incarnation != b->info.uid.incarnation)
        return a->info.uid.incarnation < b->info.uid.incarnation ? -1 : 1;
    return (a->info.uid.serial > b->info.uid.serial) - (a->info.uid.serial < b->info.uid.serial);
}

static int by_age(const void *a, const void *b)
{
    return compare_age(*(struct pipe *const *)a, *(struct pipe *const *)b);
}

static int by_base(const void *a, const void *b)
{
    const struct pipe *x = *(struct pipe *const *)a, *y = *(struct pipe *const *)b;
    int c = strcmp(x->base, y->base);

    return c ? c : compare_age(x, y);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct pipe *const *)a)->info.name, (*(struct pipe *const *)b)->info.name);
}

static int has_base(const void *name, const void *p)
{
    return strcmp(name, (*(struct pipe *const *)p)->base);
}

/* The n-th name for a pipe that cannot have its own; the base is cut at a whole character. */
static void other_name(char to[PIPE_NAME_MAX + 1], const struct pipe *p, unsigned n)
{
    char tail[ID_MAX + 16];
    size_t keep = strlen(p->base), tail_len;

    if (n == 1)
        snprintf(tail, sizeof tail, "~%s", p->info.uid.home);
    else
        snprintf(tail, sizeof tail, "~%s~%u", p->info.uid.home, n);
    tail_len = strlen(tail);
    if (keep + tail_len > PIPE_NAME_MAX)
        keep = PIPE_NAME_MAX - tail_len;
    while (keep > 0 && ((unsigned char)p->base[keep] & 0xc0) == 0x80)
        keep--;
    memcpy(to, p->base, keep);
    memcpy(to + keep, tail, tail_len + 1);
}

static void show_as(struct rendezvous *r, struct pipe *p, const char *name)
{
    if (strcmp(p->info.name, name) == 0)
        return;
    strcpy(p->info.name, name);
    book_touch(r, p, 1U << RV_RENAMED);
}

/* Gives the i-th loser the first of its other names that is nobody's. */
static void name_loser(struct rendezvous *r, size_t i, size_t winners)
{
    char name[PIPE_NAME_MAX + 1];
    bool taken = true;

    for (unsigned n = 1; taken; n++) {
        other_name(name, r->losing[i], n);
        taken = bsearch(name, r->work, winners, sizeof *r->work, has_base);
        for (size_t j = 0; !taken && j < i; j++)
            taken = strcmp(r->losing[j]->info.name, name) == 0;
    }
    show_as(r, r->losing[i], name);
}

/* Splits all records into winners, in r->work by base name, and losers, by age. */
static size_t split_names(struct rendezvous *r, size_t *losers)
{
    size_t n = 0, winners = 0;
    struct pipe *p, *next;

    HASH_ITER (hh, r->pipes, p, next)
        r->work[n++] = p;
    if (n)
        qsort(r->work, n, sizeof *r->work, by_base);
    *losers = 0;
    for (size_t i = 0; i < n; i++)
        if (winners && strcmp(r->work[winners - 1]->base, r->work[i]->base) == 0)
            r->losing[(*losers)++] = r->work[i];
        else
            r->work[winners++] = r->work[i];
    if (*losers)
        qsort(r->losing, *losers, sizeof *r->losing, by_age);
    return winners;
}

void book_names(struct rendezvous *r)
{
    size_t losers, winners;

    if (!r->names_dirty)
        return;
    winners = split_names(r, &losers);
    for (size_t i = 0; i < winners; i++)
        show_as(r, r->work[i], r->work[i]->base);
    r->losers = losers;
    for (size_t i = 0; i < losers; i++) {
        struct pipe *p = r->losing[i];

        name_loser(r, i, winners);
        if (is_own(r, &p->info.uid)) {
            strcpy(p->base, p->info.name);
            own_changed(r, p, 1U << RV_RENAMED);
            r->losers--;
        }
    }
    r->n = winners + losers;
    if (winners)
        memcpy(r->sorted, r->work, winners * sizeof *r->sorted);
    if (losers)
        memcpy(r->sorted + winners, r->losing, losers * sizeof *r->sorted);
    if (r->n)
        qsort(r->sorted, r->n, sizeof *r->sorted, by_name);
    r->names_dirty = false;
}

/* ---- telling */

static void tell(struct rendezvous *r, struct pipe *p, unsigned what)
{
    static const enum rv_change order[] = { RV_RENAMED, RV_CHANGED, RV_UNHELD, RV_HOLDER };

    if (what & 1U << RV_ADDED)
        r->fx->changed(r->arg, &p->info, RV_ADDED);
    for (size_t i = 0; i < sizeof order / sizeof order[0] && !(what & 1U << RV_ADDED); i++)
        if (what & 1U << order[i])
            r->fx->changed(r->arg, &p->info, order[i]);
}

void book_tell(struct rendezvous *r)
{
    struct pipe *p, *next;

    DL_FOREACH_SAFE(r->touched, p, next)
    {
        unsigned what = p->what;

        DL_DELETE(r->touched, p);
        p->what = 0;
        if (what & 1U << RV_GONE) {
            r->fx->changed(r->arg, &p->info, RV_GONE);
            free(p);
        } else {
            tell(r, p, what);
        }
    }
}

void book_free(struct rendezvous *r)
{
    struct pipe *p, *next;

    DL_FOREACH_SAFE(r->touched, p, next)
    if (p->what & 1U << RV_GONE)
        free(p);
    HASH_ITER (hh, r->pipes, p, next) {
        HASH_DEL(r->pipes, p);
        free(p);
    }
    free(r->sorted);
    free(r->work);
    free(r->losing);
}

/* ---- the replica, for users */

size_t rv_count(const struct rendezvous *r)
{
    return r->n;
}

const struct pipe_info *rv_at(const struct rendezvous *r, size_t i)
{
    return i < r->n ? &r->sorted[i]->info : NULL;
}

const struct pipe_info *rv_find(const struct rendezvous *r, const char *name)
{
    const struct pipe *p = book_named(r, name);

    return p ? &p->info : NULL;
}

const struct pipe_info *rv_by_uid(const struct rendezvous *r, const struct pipe_uid *uid)
{
    const struct pipe *p = book_find(r, uid);

    return p ? &p->info : NULL;
}
