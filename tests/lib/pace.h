/*
 * pace.h - how fast somebody answers: begins requests so that `outstanding` are under way until the
 * time is up, and says figures in one line. And the other measure: how long after a kill the first
 * request is answered. For whatever has requests; on a libuv loop.
 */
#ifndef ONEOS_TESTS_LIB_PACE_H
#define ONEOS_TESTS_LIB_PACE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct pace;

/* Begins a request, whose end is told by pace_answered(pace, token), never from inside. */
typedef int pace_begin(void *arg, struct pace *p, void *token);

/* One at a time. What was begun before and is not answered yet may still come; it is not counted.
 * Says "WHAT rate R median_us M p99_us P max_us X n N errors E" at the end. */
void pace_run(struct pace *p, const char *what, unsigned outstanding, double seconds,
              pace_begin *begin);

/* One request at a time, and a pause before the next one. */
void pace_run_slowly(struct pace *p, const char *what, unsigned pause_ms, double seconds,
                     pace_begin *begin);

/* Kills that process, begins a request every few milliseconds, and says "failover MS": from the
 * kill to the first answer. "failover none" after 30 s. */
void pace_failover(struct pace *p, int pid, pace_begin *begin);

void pace_answered(struct pace *p, void *token, bool ok);

/* Numbers for keys: the same ones in every run. */
uint32_t pace_random(struct pace *p);

struct pace *pace_create(uv_loop_t *loop, void *arg);
void pace_destroy(struct pace *p); /* the loop must turn once more */

#endif
