/*
 * loop.c - a libuv loop with a queue for tasks from other threads.
 *
 * The queue is a list under a lock; uv_async wakes the loop. A batch is taken whole, so a task
 * that posts itself again runs in the next turn and cannot starve the loop.
 */
#include "base/loop.h"
#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    pthread_mutex_t lock;
    struct task *head, **tail;
    bool stop;
};

static void run_posted(uv_async_t *wake)
{
    struct loop *l = container_of(wake, struct loop, wake);
    struct task *t;
    bool stop;

    pthread_mutex_lock(&l->lock);
    t = l->head;
    l->head = NULL;
    l->tail = &l->head;
    stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    while (t) {
        struct task *next = t->next;

        t->run(t);
        t = next;
    }
    if (stop)
        uv_stop(&l->uv);
}

int loop_create(struct loop **out)
{
    struct loop *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return -ENOMEM;
    rc = uv_loop_init(&l->uv);
    if (rc < 0) {
        free(l);
        return rc;
    }
    rc = uv_async_init(&l->uv, &l->wake, run_posted);
    if (rc < 0) {
        uv_loop_close(&l->uv);
        free(l);
        return rc;
    }
    pthread_mutex_init(&l->lock, NULL);
    l->tail = &l->head;
    *out = l;
    return 0;
}

void loop_destroy(struct loop *l)
{
    if (!l)
        return;
    /* What is in libuv's pool comes back to the loop, which must still be there. */
    while (l->uv.active_reqs.count > 0)
        uv_run(&l->uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_run(&l->uv, UV_RUN_NOWAIT);
    uv_loop_close(&l->uv);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->stop = false;
}

void loop_stop(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->wake);
}

void loop_post(struct loop *l, struct task *t)
{
    bool first;

    t->next = NULL;
    pthread_mutex_lock(&l->lock);
    first = l->head == NULL;
    *l->tail = t;
    l->tail = &t->next;
    pthread_mutex_unlock(&l->lock);
    if (first)
        uv_async_send(&l->wake);
}

void loop_beat(uv_timer_t *timer, uv_timer_cb cb, unsigned period_ms)
{
    uv_timer_start(timer, cb, period_ms - uv_now(timer->loop) % period_ms, period_ms);
}
