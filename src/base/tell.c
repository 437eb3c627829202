/*
 * tell.c - telling the owners of requests and watches what happened, outside of every lock.
 *
 * A `done` may submit the next request, which may be answered at once, and so on for gigabytes: a
 * call inside a call would need a stack without bound. So each thread has a list of what is to be
 * told, and only the outermost tell() works it off.
 *
 * Invariants: a watch's `link` is set exactly while it is armed or due; a watch leaves the due list
 * under the lock and is in `firing` from then until its `fire` has returned.
 */
#include "base/tell.h"

#include <utlist.h>

/* A `fire` that runs now. */
struct firing {
    const struct iowatch *w;
    pthread_t thread;
    struct firing *prev, *next;
};

static _Thread_local struct {
    struct ioreq *answered;
    struct watches *due;
    bool busy;
} told;

void watches_init(struct watches *ws, pthread_mutex_t *lock, void (*release)(struct watches *))
{
    *ws = (struct watches){ .lock = lock, .release = release };
    pthread_cond_init(&ws->fired, NULL);
}

void watches_destroy(struct watches *ws)
{
    pthread_cond_destroy(&ws->fired);
}

static void link_watch(struct iowatch **list, struct iowatch *w)
{
    w->next = *list;
    w->link = list;
    if (w->next)
        w->next->link = &w->next;
    *list = w;
}

static void unlink_watch(struct iowatch *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
}

void watches_arm(struct watches *ws, int set, struct iowatch *w)
{
    if (!w->link)
        link_watch(&ws->armed[set], w);
}

void watches_rouse(struct watches *ws, int set)
{
    struct iowatch *w;

    while ((w = ws->armed[set])) {
        unlink_watch(w);
        link_watch(&ws->due, w);
    }
}

static bool fires_elsewhere(const struct watches *ws, const struct iowatch *w)
{
    const struct firing *now;

    DL_FOREACH(ws->firing, now)
    {
        if (now->w == w && !pthread_equal(now->thread, pthread_self()))
            return true;
    }
    return false;
}

void watches_disarm(struct watches *ws, struct iowatch *w)
{
    for (;;) {
        if (w->link)
            unlink_watch(w);
        if (!fires_elsewhere(ws, w))
            return;
        pthread_cond_wait(&ws->fired, ws->lock);
    }
}

static bool has(struct iowatch *list, const struct iowatch *w)
{
    while (list && list != w)
        list = list->next;
    return list != NULL;
}

void watches_leave(struct watches *ws, struct iowatch *w)
{
    for (;;) {
        if (has(ws->armed[0], w) || has(ws->armed[1], w) || has(ws->due, w))
            unlink_watch(w);
        if (!fires_elsewhere(ws, w))
            return;
        pthread_cond_wait(&ws->fired, ws->lock);
    }
}

bool watches_due(struct watches *ws)
{
    if (!ws->due || ws->told)
        return false;
    return ws->told = true;
}

static void fire_all(struct watches *ws)
{
    struct iowatch *w;

    pthread_mutex_lock(ws->lock);
    ws->told = false;
    while ((w = ws->due)) {
        struct firing now = { .w = w, .thread = pthread_self() };

        unlink_watch(w);
        DL_APPEND(ws->firing, &now);
        pthread_mutex_unlock(ws->lock);
        w->fire(w);
        pthread_mutex_lock(ws->lock);
        DL_DELETE(ws->firing, &now);
        pthread_cond_broadcast(&ws->fired);
    }
    pthread_mutex_unlock(ws->lock);
}

/* Tells one of each kind, so that neither starves the other; false when there is nothing left. */
static bool tell_next(void)
{
    struct watches *ws = told.due;
    struct ioreq *r = told.answered;

    if (ws) {
        told.due = ws->next;
        fire_all(ws);
        ws->release(ws);
    }
    if (r) {
        DL_DELETE(told.answered, r);
        r->done(r, r->rc);
    }
    return ws || r;
}

void tell(struct ioreq *answered, struct watches *due)
{
    DL_CONCAT(told.answered, answered);
    if (due)
        LL_PREPEND(told.due, due);
    if (told.busy)
        return;
    told.busy = true;
    while (tell_next())
        continue;
    told.busy = false;
}
