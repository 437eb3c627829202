/*
 * sched_kit.h - a made-up world (tests/lib/sched_world.h) for each test of the scheduler.
 */
#ifndef ONEOS_TESTS_SCHED_KIT_H
#define ONEOS_TESTS_SCHED_KIT_H

#include "tests/lib/sched_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world w;

static int open_world(void **state)
{
    (void)state;
    world_open(&w, NULL);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

/* Opens the world anew with other options. */
static inline void with(const struct sched_options *o)
{
    world_close(&w);
    world_open(&w, o);
}

#define WHY_HAS(name, text)                                                                        \
    do {                                                                                           \
        const char *why_ = world_why(&w, name);                                                    \
        if (!strstr(why_, text))                                                                   \
            fail_msg("why %s has no \"%s\":\n%s", name, text, why_);                               \
    } while (0)

static void go_log(const char *want)
{
    world_go(&w);
    assert_string_equal(world_log(&w), want);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

#endif
