/*
 * pn_kit.h - what stories of pipe names share: the names of the machines, and how one is told that
 * an operation ended.
 */
#ifndef ONEOS_TESTS_PN_KIT_H
#define ONEOS_TESTS_PN_KIT_H

#include "tests/unit/pn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { A, B, C };

static struct result one;

static inline bool log_has(struct world *w, unsigned i, const char *line)
{
    return strstr(w->m[i].log, line) != NULL;
}

static inline void ended(const struct result *res, int rc)
{
    assert_int_equal(res->ended, 1);
    assert_int_equal(res->rc, rc);
}

/* A pipe that A made and a reader on machine i that has it; tells its uid. */
static inline uint64_t pipe_read_on(struct world *w, unsigned i)
{
    assert_int_equal(make(w, A, "p", false, &one), 0);
    assert_int_equal(open_reader(w, i, "p", &one), 0);
    assert_string_equal(one.info.holder, w->m[i].id);
    use(w, i, one.info.uid);
    return one.info.uid;
}

#endif
