/*
 * fair.h - how much of the machines each user has had: a pure account.
 *
 * Use is core-time that fades: what was used a half-life ago counts half. What runs now counts from
 * its start, and as if it ran FAIR_AHEAD more, so that of jobs that are placed at one time each
 * user gets some. All follows from the records (start, end, cores), in any order.
 */
#ifndef ONEOS_SCHED_FAIR_H
#define ONEOS_SCHED_FAIR_H

#include <stdint.h>

#define FAIR_AHEAD_MS 60000

/* The clock that all accounts share. */
struct fair {
    double rate; /* of fading, per us */
    uint64_t base_us, now_us;
    double weight; /* of what is used now, beside what was used at base_us: e^(rate * (now - base));
                      0: not computed yet */
};

struct fair_account {
    uint64_t base_us; /* that ended and begun are for */
    double ended,
        begun;    /* weighed use of what has ended; weighed cores at the starts of what runs */
    double cores; /* that run now, in thousandths */
};

void fair_init(struct fair *f, uint64_t half_life_ms, uint64_t now_us);
void fair_time(struct fair *f, uint64_t now_us);

/* Something that has so many cores started; ended. The same start for both. */
void fair_start(const struct fair *f, struct fair_account *a, unsigned cpu_milli,
                uint64_t start_us);
void fair_end(const struct fair *f, struct fair_account *a, unsigned cpu_milli, uint64_t start_us,
              uint64_t end_us);
/* Both at once, of what is over. */
void fair_past(const struct fair *f, struct fair_account *a, unsigned cpu_milli, uint64_t start_us,
               uint64_t end_us);

/* Core-milliseconds now: smaller is first. */
double fair_use(struct fair *f, struct fair_account *a);

#endif
