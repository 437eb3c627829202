/*
 * fair.c - fading use, summed up without a list of jobs.
 *
 * A job that has k cores from s to e has at the time t >= e the use
 *     k/rate * (exp(-rate (t-e)) - exp(-rate (t-s)))
 * and while it runs k/rate * (1 - exp(-rate (t-s))). With the weights w(x) = exp(rate (x-base)) all
 * that depends on t is a factor 1/w(t), the same for every job and user. The base moves before
 * weights become too large.
 */
#include "sched/fair.h"

#include <math.h>

#define REBASE 40.0 /* e^40 is 1e17: what is so much older does not count */

static double weight(const struct fair *f, const struct fair_account *a, uint64_t us)
{
    return exp(f->rate * ((double)us - (double)a->base_us));
}

/* Brings an account to the base that all have now. */
static void rebase(const struct fair *f, struct fair_account *a)
{
    double by;

    if (a->base_us == f->base_us)
        return;
    by = exp(f->rate * ((double)a->base_us - (double)f->base_us));
    a->ended *= by;
    a->begun *= by;
    a->base_us = f->base_us;
}

void fair_init(struct fair *f, uint64_t half_life_ms, uint64_t now_us)
{
    f->rate = M_LN2 / ((double)half_life_ms * 1000);
    f->base_us = now_us;
    fair_time(f, now_us);
}

void fair_time(struct fair *f, uint64_t now_us)
{
    f->now_us = now_us;
    if (fabs(f->rate * ((double)now_us - (double)f->base_us)) > REBASE)
        f->base_us = now_us;
    f->weight = 0;
}

/* Only when it is asked for: most times that pass are those of an idle system. */
static double weight_now(struct fair *f)
{
    if (f->weight == 0)
        f->weight = exp(f->rate * ((double)f->now_us - (double)f->base_us));
    return f->weight;
}

void fair_start(const struct fair *f, struct fair_account *a, unsigned cpu_milli, uint64_t start_us)
{
    rebase(f, a);
    a->begun += cpu_milli * weight(f, a, start_us);
    a->cores += cpu_milli;
}

void fair_past(const struct fair *f, struct fair_account *a, unsigned cpu_milli, uint64_t start_us,
               uint64_t end_us)
{
    rebase(f, a);
    if (end_us > start_us)
        a->ended += cpu_milli / f->rate * (weight(f, a, end_us) - weight(f, a, start_us));
}

void fair_end(const struct fair *f, struct fair_account *a, unsigned cpu_milli, uint64_t start_us,
              uint64_t end_us)
{
    fair_past(f, a, cpu_milli, start_us, end_us);
    a->begun -= cpu_milli * weight(f, a, start_us);
    a->cores -= cpu_milli;
    if (a->cores < 0.5) /* so that rounding does not add up */
        a->begun = a->cores = 0;
}

double fair_use(struct fair *f, struct fair_account *a)
{
    double us;

    rebase(f, a);
    us = (a->ended - a->begun / f->rate) / weight_now(f) + a->cores / f->rate;
    return (us > 0 ? us / 1e6 : 0) + a->cores / 1000 * FAIR_AHEAD_MS;
}
