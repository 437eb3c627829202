/*
 * init_fixture.h - a oneos-init of its own for each test, and the record of what its client heard.
 */
#ifndef ONEOS_TESTS_INIT_FIXTURE_H
#define ONEOS_TESTS_INIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/loop.h"
#include "run/initc.h"
#include "run/initc_private.h"

#define NUMBERS 6000

/* What came back about one process. */
struct heard {
    unsigned done, ended, adopted;
    int rc;
    char text[320];
    pid_t pid;
    bool running; /* when adopted */
    struct init_fds fds;
    struct init_end end;
};

struct fix {
    struct loop *loop;
    uv_timer_t guard;
    struct initc *c;
    char dir[512];
    unsigned n_done, n_ended, n_adopted, n_lost;
    struct heard h[NUMBERS];
};

extern const char *const fix_env[];
extern const struct initc_ops fix_ops;

/* The whole of what a program of the tests may take; then it fails loudly. */
#define GUARD_S 300

int fix_setup(void **state);    /* a folder and a loop; no oneos-init yet */
int fix_teardown(void **state); /* stops it; asserts that nothing is left */

void fix_connect(struct fix *f);
void fix_start_init(struct fix *f, const char *option, const char *value); /* by hand */
pid_t fix_init_pid(struct fix *f);

/* With the address sanitizer, freed memory is kept for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FIX_RSS_SLACK_KB (256 * 1024)
#else
#define FIX_RSS_SLACK_KB 256
#endif

/* Turns the loop until cond holds. */
#define FIX_UNTIL(f, cond)                                                                         \
    while (!(cond))                                                                                \
    uv_run(loop_uv((f)->loop), UV_RUN_ONCE)

/* Spawns; argv as in struct init_spawn, ended by two NULLs. */
void fix_spawn(struct fix *f, uint32_t number, const char *const *argv);
struct init_spawn fix_request(uint32_t number, const char *const *argv);
void fix_done(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds);
#define ARGV(...)  ((const char *const[]){ __VA_ARGS__, NULL, NULL })
#define SH(script) ARGV("sh", "-c", script)

/* Runs to its start, or to its end. */
struct heard *fix_start(struct fix *f, uint32_t number, const char *const *argv);
struct heard *fix_run(struct fix *f, uint32_t number, const char *const *argv);

/* Reads until the end of file (or EIO of a terminal) into text; the length. */
size_t fix_read_all(int fd, char *text, size_t size);
void fix_read_until(int fd, const char *what); /* until that was read */
void fix_close(struct init_fds *fds);

bool fix_is_free(void *dir); /* no oneos-init has the folder */

/* Polls for what no event tells, at most 20 s. */
bool fix_eventually(bool (*cond)(void *), void *arg);
bool fix_is_gone(void *pid); /* pid_t *: no such process, or a zombie */
bool fix_is_childless(void *pid);
unsigned fix_count_fds(pid_t pid);
long fix_rss_kb(pid_t pid);
unsigned fix_count_children(pid_t pid);

#endif
