/*
 * clock.h - the two clocks.
 */
#ifndef ONEOS_BASE_CLOCK_H
#define ONEOS_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_BOOTTIME: goes on while the machine sleeps, never goes back. */
uint64_t now_ms(void);

/* Microseconds of CLOCK_REALTIME, for what people see. */
uint64_t wall_us(void);

#endif
