/*
 * cons_disk.c - a disk for consensus in memory, kept apart from the server (cons_world.h).
 *
 * Work ends in order, each after some time. At a crash each piece under way may have been written,
 * in order, and the first that was not may be torn at any entry. What the engine may not do is
 * checked here: entries with a gap, a term that falls, two votes in one term.
 */
#include "tests/sim/cons_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum work_kind { APPEND, PUT, GET };
struct disk_work {
    struct disk_work *next;
    enum work_kind kind;
    uint64_t due;
    uint64_t first, n; /* entries left: some may have been truncated */
    struct consensus_entry *entries;
    struct consensus_snapshot snapshot, *out;
    uint64_t trailing;
    consensus_disk_done *done;
    void *token;
};

static void *copy(const void *data, size_t len)
{
    char *p = malloc(len + 1);

    if (!p)
        abort();
    if (len)
        memcpy(p, data, len);
    return p;
}

static struct consensus_snapshot copy_snapshot(const struct consensus_snapshot *s)
{
    struct consensus_snapshot out = *s;

    out.data = copy(s->data, s->len);
    out.conf = copy(s->conf, s->conf_len);
    return out;
}

static void free_snapshot(struct consensus_snapshot *s)
{
    free(s->data);
    free((void *)(uintptr_t)s->conf);
    *s = (struct consensus_snapshot){ 0 };
}

static void free_entries(struct consensus_entry *v, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)v[i].data);
}

static struct disk *of(void *env)
{
    return &((struct machine *)env)->disk;
}

static uint64_t now(const struct disk *d)
{
    return sim_now(d->m->w->s);
}

/* ---- what is synced */

static uint64_t last(const struct disk *d)
{
    return d->first + d->n - 1;
}

static void store(struct disk *d, struct disk_work *w)
{
    if (w->n == 0)
        return;
    if (d->n == 0)
        d->first = w->first;
    if (w->first != d->first + d->n)
        world_fail(d->m->w, "%s: entry %" PRIu64 " comes after %" PRIu64, d->m->id, w->first,
                   last(d));
    if (d->n + w->n > d->cap) {
        d->cap = 2 * (d->n + w->n);
        d->entries = realloc(d->entries, d->cap * sizeof *d->entries);
    }
    memcpy(d->entries + d->n, w->entries, w->n * sizeof *w->entries);
    d->n += w->n;
    w->n = 0;
}

static void drop_front(struct disk *d, uint64_t n)
{
    free_entries(d->entries, n);
    d->first += n;
    d->n -= n;
    memmove(d->entries, d->entries + n, d->n * sizeof *d->entries);
}

static void put(struct disk *d, struct disk_work *w)
{
    free_snapshot(&d->snapshot);
    d->snapshot = w->snapshot;
    d->has_snapshot = true;
    w->snapshot = (struct consensus_snapshot){ 0 };
    if (d->n && last(d) < d->snapshot.index)
        drop_front(d, d->n);
    else if (d->n && d->snapshot.index >= d->first + w->trailing)
        drop_front(d, d->snapshot.index - w->trailing - d->first + 1);
}

/* ---- work */

static struct disk_work *begin(struct disk *d, enum work_kind kind, consensus_disk_done *done,
                               void *token)
{
    struct disk_work *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->kind = kind;
    w->done = done;
    w->token = token;
    w->due = now(d) + sim_below(d->m->w->s, d->slow_ms + 1);
    if (w->due < d->busy_until)
        w->due = d->busy_until;
    d->busy_until = w->due;
    *d->end = w;
    d->end = &w->next;
    sim_timer(d->m->w->s, d->m->i, T_DISK, disk_next(d));
    return w;
}

static void work_free(struct disk_work *w)
{
    free_entries(w->entries, w->n);
    free(w->entries);
    free_snapshot(&w->snapshot);
    free(w);
}

static struct disk_work *take(struct disk *d)
{
    struct disk_work *w = d->work;

    d->work = w->next;
    if (!d->work)
        d->end = &d->work;
    return w;
}

uint64_t disk_next(struct disk *d)
{
    if (!d->work || d->full)
        return UINT64_MAX;
    return d->work->due > now(d) ? d->work->due : now(d);
}

void disk_run(struct disk *d)
{
    while (d->work && !d->full && d->work->due <= now(d)) {
        struct disk_work *w = take(d);

        if (w->kind == APPEND)
            store(d, w);
        if (w->kind == PUT)
            put(d, w);
        if (w->kind == GET)
            *w->out = copy_snapshot(&d->snapshot);
        w->done(w->token, w->kind == GET && !d->has_snapshot ? -ENOENT : 0);
        work_free(w);
    }
    sim_timer(d->m->w->s, d->m->i, T_DISK, disk_next(d));
}

void disk_crash(struct disk *d)
{
    struct sim *s = d->m->w->s;
    bool more = !d->full;

    while (d->work) {
        struct disk_work *w = take(d);

        if (more && sim_below(s, 2)) {
            more = false;
            if (w->kind == APPEND && w->n > 0) { /* torn */
                uint64_t kept = sim_below(s, (unsigned)w->n);

                free_entries(w->entries + kept, w->n - kept);
                w->n = kept;
                store(d, w);
            }
        } else if (more) {
            if (w->kind == APPEND)
                store(d, w);
            if (w->kind == PUT)
                put(d, w);
        }
        work_free(w);
    }
    d->busy_until = 0;
}

void disk_init(struct disk *d, struct machine *m)
{
    *d = (struct disk){ .m = m, .first = 1, .slow_ms = 1 };
    d->end = &d->work;
}

void disk_wipe(struct disk *d)
{
    while (d->work)
        work_free(take(d));
    free_entries(d->entries, d->n);
    free(d->entries);
    free_snapshot(&d->snapshot);
    disk_init(d, d->m);
}

/* ---- env */

static int e_load(void *env, struct consensus_loaded *out, struct oerr *e)
{
    struct disk *d = of(env);

    (void)e;
    *out = (struct consensus_loaded){ .term = d->term,
                                      .voted_for = d->vote,
                                      .has_snapshot = d->has_snapshot,
                                      .first = d->first,
                                      .n = d->n };
    if (d->has_snapshot)
        out->snapshot = copy_snapshot(&d->snapshot);
    out->entries = calloc(d->n + 1, sizeof *out->entries);
    for (uint64_t i = 0; i < d->n; i++) {
        out->entries[i] = d->entries[i];
        out->entries[i].data = copy(d->entries[i].data, d->entries[i].len);
    }
    return 0;
}

static int e_set_term(void *env, uint64_t term)
{
    struct disk *d = of(env);

    if (d->full && sim_below(d->m->w->s, 2))
        return -ENOSPC;
    if (term < d->term)
        world_fail(d->m->w, "%s: term falls from %" PRIu64 " to %" PRIu64, d->m->id, d->term, term);
    if (term > d->term)
        d->vote = 0;
    d->term = term;
    return 0;
}

static int e_set_vote(void *env, uint64_t node)
{
    struct disk *d = of(env);

    if (d->full && sim_below(d->m->w->s, 2))
        return -ENOSPC;
    if (d->vote && d->vote != node)
        world_fail(d->m->w, "%s: votes for %" PRIu64 " and %" PRIu64 " in term %" PRIu64, d->m->id,
                   d->vote, node, d->term);
    d->vote = node;
    return 0;
}

/* What is under way and stays is written later: only what has to go, goes. */
static int e_truncate(void *env, uint64_t index)
{
    struct disk *d = of(env);

    if (d->n && last(d) >= index) {
        uint64_t kept = index > d->first ? index - d->first : 0;

        free_entries(d->entries + kept, d->n - kept);
        d->n = kept;
    }
    for (struct disk_work *w = d->work; w; w = w->next)
        if (w->kind == APPEND && w->first + w->n > index) {
            uint64_t kept = index > w->first ? index - w->first : 0;

            free_entries(w->entries + kept, w->n - kept);
            w->n = kept;
        }
    return 0;
}

static int e_append(void *env, uint64_t first, const struct consensus_entry *v, size_t n,
                    consensus_disk_done *done, void *token)
{
    struct disk_work *w = begin(of(env), APPEND, done, token);

    w->first = first;
    w->n = n;
    w->entries = calloc(n, sizeof *w->entries);
    for (size_t i = 0; i < n; i++) {
        w->entries[i] = v[i];
        w->entries[i].data = copy(v[i].data, v[i].len);
    }
    return 0;
}

static int e_snapshot_put(void *env, const struct consensus_snapshot *s, uint64_t trailing,
                          consensus_disk_done *done, void *token)
{
    struct disk_work *w = begin(of(env), PUT, done, token);

    w->snapshot = copy_snapshot(s);
    w->trailing = trailing;
    return 0;
}

static int e_snapshot_get(void *env, struct consensus_snapshot *out, consensus_disk_done *done,
                          void *token)
{
    begin(of(env), GET, done, token)->out = out;
    return 0;
}

const struct consensus_env disk_env = { .load = e_load,
                                        .set_term = e_set_term,
                                        .set_vote = e_set_vote,
                                        .truncate = e_truncate,
                                        .append = e_append,
                                        .snapshot_put = e_snapshot_put,
                                        .snapshot_get = e_snapshot_get };
