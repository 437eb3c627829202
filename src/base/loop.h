/*
 * loop.h - a libuv loop that other threads can post work to, and one-shot timers on it.
 *
 * The daemon has two: core (owns all state but bulk data) and data (pumps byte channels).
 */
#ifndef ONEOS_BASE_LOOP_H
#define ONEOS_BASE_LOOP_H

#include "base/clock.h"

#include <uv.h>

struct loop;

/* Work for a loop, embedded in what it concerns. It may be posted again once it runs. */
struct task {
    void (*run)(struct task *);
    struct task *next; /* private to loop.c */
};

int loop_create(struct loop **out);

/* The loop must have stopped. Waits for work in libuv's pool. Posted tasks that did not run are
 * dropped. NULL is allowed. */
void loop_destroy(struct loop *l);

/* For handles and requests of libuv; use it on the loop's own thread only. */
uv_loop_t *loop_uv(struct loop *l);

/* Runs until loop_stop(); tasks posted before that call have run. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */

/* Starts a timer that is due at the next whole multiple of the period, and so on. Its callback calls
 * this again, since a timer that is late would stay late: so all that is done now and then is done
 * together, and the loop of an idle daemon wakes less often. */
void loop_beat(uv_timer_t *timer, uv_timer_cb cb, unsigned period_ms);

/* Has t->run(t) called on the loop's thread, in the order of posting. Any thread; never runs it
 * from inside the call. t belongs to the loop until it runs, and must not be posted meanwhile. */
void loop_post(struct loop *l, struct task *t);

#endif
