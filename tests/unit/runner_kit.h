/*
 * runner_kit.h - a runner for tests that tell it events and compare the effects, in words.
 *
 * Effects are written "start 7.1.0" (uid, attempt, group), "term", "kill", "forget", "report",
 * "barrier", "lease MS", "claim N"; a report names what ended: "7.1.0=exited 0".
 */
#ifndef ONEOS_TESTS_RUNNER_KIT_H
#define ONEOS_TESTS_RUNNER_KIT_H

#include "sched/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define BOOT    5ull
#define SESSION ((BOOT << 20) | 1)

extern struct runner *r;
extern uint64_t now;
extern char seen[8192];        /* the effects since the last assert_seen() */
extern struct runner_info own; /* what the registry says of this machine */

void assert_seen(const char *want); /* after a step; forgets them */

/* A job whose groups are on these machines. It lives until the next call. */
struct job *job(const char *name, uint64_t uid, uint32_t attempt, const char *on);

/* What the runner is told. */
struct run_key key(uint64_t uid, uint32_t attempt, uint32_t group);
void tell(struct job *j);
void started(uint64_t uid, uint32_t attempt, uint32_t group);
void ended(uint64_t uid, uint32_t attempt, uint32_t group, enum job_cause cause, int exit);
void reported(int rc);        /* the last report */
void read_all(struct job *j); /* all jobs: none, or this one */
void barriered(int rc);

/* Before and after each test. */
int make_runner(void **state);
int make_idle(void **state); /* one that has a session, and has read all; its lease is over */
int make_busy(void **state); /* ... with a job 7, group 0, that runs under a fresh lease */
int drop_runner(void **state);

#define T(name, before) cmocka_unit_test_setup_teardown(name, before, drop_runner)

#endif
