/*
 * pace.c - see pace.h.
 *
 * A token is what one request needs until its answer; those of a measure that has ended are told
 * apart by its number.
 */
#include "pace.h"
#include "lines.h"
#include "base/cleanup.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define EVERY_MS   5
#define PATIENCE_S 30

struct request {
    unsigned measure;
    double begun;
};

struct pace {
    void *arg;
    pace_begin *begin;
    const char *what;
    unsigned measure, outstanding, errors;
    double began, ends; /* ends 0: until the first answer */
    unsigned pause_ms;  /* between an answer and the next request */
    double *laps;
    size_t n, room;
    uv_timer_t timer;
    uint32_t random;
};

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct pace *pace_create(uv_loop_t *loop, void *arg)
{
    struct pace *p = calloc(1, sizeof *p);

    if (!p)
        abort();
    p->arg = arg;
    p->random = 2463534242;
    uv_timer_init(loop, &p->timer);
    uv_unref((uv_handle_t *)&p->timer);
    return p;
}

static void on_closed(uv_handle_t *handle)
{
    struct pace *p = container_of((uv_timer_t *)handle, struct pace, timer);

    free(p->laps);
    free(p);
}

void pace_destroy(struct pace *p)
{
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

uint32_t pace_random(struct pace *p)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 17;
    p->random ^= p->random << 5;
    return p->random;
}

/* ---- figures */

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double at(const struct pace *p, double share)
{
    size_t i = (size_t)(share * (double)p->n);

    return p->n == 0 ? 0 : p->laps[i < p->n ? i : p->n - 1] * 1e6;
}

static void figures(struct pace *p)
{
    double took = seconds() - p->began;

    qsort(p->laps, p->n, sizeof *p->laps, by_value);
    say("%s rate %.0f median_us %.0f p99_us %.0f max_us %.0f n %zu errors %u", p->what,
        (double)p->n / took, at(p, 0.5), at(p, 0.99), at(p, 1), p->n, p->errors);
}

static void keep(struct pace *p, double lap)
{
    if (p->n == p->room) {
        p->room = p->room ? p->room * 2 : 4096;
        p->laps = realloc(p->laps, p->room * sizeof *p->laps);
        if (!p->laps)
            abort();
    }
    p->laps[p->n++] = lap;
}

/* ---- requests */

static void begin(struct pace *p)
{
    struct request *r = malloc(sizeof *r);

    if (!r)
        abort();
    *r = (struct request){ .measure = p->measure, .begun = seconds() };
    if (p->begin(p->arg, p, r) < 0) {
        free(r);
        p->errors++;
        return;
    }
    p->outstanding++;
}

static void start(struct pace *p, const char *what, double ends, pace_begin *fn)
{
    p->measure++;
    p->what = what;
    p->begin = fn;
    p->outstanding = p->errors = p->pause_ms = 0;
    p->n = 0;
    p->began = seconds();
    p->ends = ends > 0 ? p->began + ends : 0;
}

void pace_run(struct pace *p, const char *what, unsigned outstanding, double lasts, pace_begin *fn)
{
    start(p, what, lasts, fn);
    while (outstanding-- > 0)
        begin(p);
    if (p->outstanding == 0)
        figures(p);
}

void pace_run_slowly(struct pace *p, const char *what, unsigned pause_ms, double lasts,
                     pace_begin *fn)
{
    start(p, what, lasts, fn);
    p->pause_ms = pause_ms;
    begin(p);
}

static void on_tick(uv_timer_t *timer)
{
    struct pace *p = container_of(timer, struct pace, timer);

    if (seconds() - p->began < PATIENCE_S) {
        begin(p);
        return;
    }
    uv_timer_stop(timer);
    p->measure++;
    say("failover none");
}

void pace_failover(struct pace *p, int pid, pace_begin *fn)
{
    start(p, "failover", 0, fn);
    if (kill(pid, SIGKILL) < 0) {
        say("failover none");
        return;
    }
    uv_timer_start(&p->timer, on_tick, 0, EVERY_MS);
}
static void on_pause_over(uv_timer_t *timer)
{
    begin(container_of(timer, struct pace, timer));
}

void pace_answered(struct pace *p, void *token, bool ok)
{
    struct request r = *(struct request *)token;
    double now = seconds();

    free(token);
    if (r.measure != p->measure)
        return;
    p->outstanding--;
    if (!ok) {
        p->errors++;
    } else if (p->ends > 0) {
        keep(p, now - r.begun);
    } else {
        uv_timer_stop(&p->timer);
        p->measure++;
        say("failover %.1f", (now - p->began) * 1e3);
        return;
    }
    if (p->ends > 0 && now < p->ends && p->pause_ms > 0)
        uv_timer_start(&p->timer, on_pause_over, p->pause_ms, 0);
    else if (p->ends > 0 && now < p->ends)
        begin(p);
    else if (p->ends > 0 && p->outstanding == 0)
        figures(p);
}
