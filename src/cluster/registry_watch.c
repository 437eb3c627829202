/*
 * registry_watch.c - what a batch changed, and who is told.
 *
 * A watch may be added or removed from inside a call. One that is added is first told of the next
 * batch; one that is removed is told no more and freed once nobody walks the list.
 */
#include "cluster/registry_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct watch {
    registry_changed *fn;
    void *arg;
    bool gone;
    struct watch *prev, *next;
    char prefix[];
};

/* ---- changes */

void change_free(struct change *c)
{
    free(c->key);
    json_decref(c->value);
}

void changes_cut(struct changes *c, size_t n)
{
    while (c->n > n)
        change_free(&c->v[--c->n]);
}

void changes_free(struct changes *c)
{
    changes_cut(c, 0);
    free(c->v);
    *c = (struct changes){ 0 };
}

/* By key; of one key, in their order. */
static int by_key(const void *a, const void *b)
{
    const struct change *x = *(struct change *const *)a, *y = *(struct change *const *)b;
    int order = strcmp(x->key, y->key);

    return order ? order : (x > y) - (x < y);
}

void changes_last(struct changes *c)
{
    struct change **sorted = malloc((c->n + 1) * sizeof(struct change *));
    size_t left = 0;

    if (!sorted)
        return; /* somebody is told more often than need be */
    for (size_t i = 0; i < c->n; i++)
        sorted[i] = &c->v[i];
    qsort(sorted, c->n, sizeof(struct change *), by_key);
    for (size_t i = 0; i + 1 < c->n; i++)
        sorted[i]->stale = strcmp(sorted[i]->key, sorted[i + 1]->key) == 0;
    free(sorted);
    for (size_t i = 0; i < c->n; i++) {
        if (!c->v[i].stale)
            c->v[left++] = c->v[i];
        else
            change_free(&c->v[i]);
    }
    c->n = left;
}

/* ---- watches */

int watchers_add(struct watchers *ws, const char *prefix, registry_changed *fn, void *arg)
{
    size_t n = strlen(prefix) + 1;
    struct watch *w = calloc(1, sizeof *w + n);

    if (!w)
        return -ENOMEM;
    memcpy(w->prefix, prefix, n);
    w->fn = fn;
    w->arg = arg;
    DL_APPEND(ws->all, w);
    return 0;
}

static void reap(struct watchers *ws)
{
    struct watch *w, *tmp;

    if (ws->telling)
        return;
    DL_FOREACH_SAFE(ws->all, w, tmp)
    {
        if (w->gone) {
            DL_DELETE(ws->all, w);
            free(w);
        }
    }
}

void watchers_remove(struct watchers *ws, registry_changed *fn, void *arg)
{
    struct watch *w;

    DL_FOREACH(ws->all, w)
    {
        w->gone = w->gone || (w->fn == fn && w->arg == arg);
    }
    reap(ws);
}

static void tell_one(struct watch *w, const struct change *c)
{
    if (w->gone)
        return;
    if (!c)
        w->fn(w->arg, NULL, NULL);
    else if (strncmp(c->key, w->prefix, strlen(w->prefix)) == 0)
        w->fn(w->arg, c->key, c->value);
}

void watchers_tell(struct watchers *ws, const struct changes *c)
{
    struct watch *last = ws->all ? ws->all->prev : NULL;
    size_t n = c ? c->n : 1;

    ws->telling++;
    for (size_t i = 0; i < n && last; i++) {
        struct watch *w = ws->all;

        for (tell_one(w, c ? &c->v[i] : NULL); w != last; tell_one(w, c ? &c->v[i] : NULL))
            w = w->next;
    }
    ws->telling--;
    reap(ws);
}

void watchers_free(struct watchers *ws)
{
    struct watch *w, *tmp;

    DL_FOREACH_SAFE(ws->all, w, tmp)
    {
        DL_DELETE(ws->all, w);
        free(w);
    }
}
