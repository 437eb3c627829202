/*
 * init_jobs_kit.h - jobs that an oneos-init is asked to run, and files that they read and write.
 */
#ifndef ONEOS_TESTS_UNIT_INIT_JOBS_KIT_H
#define ONEOS_TESTS_UNIT_INIT_JOBS_KIT_H

#include "tests/unit/init_fixture.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const job_env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "ONEOS_PROC=T.1",
                                       "GREETING=hello", NULL };

static inline struct init_spawn request(struct fix *f, uint32_t number, const char *const *argv)
{
    struct init_spawn s = fix_request(number, argv);

    s.env = job_env;
    s.cwd = f->dir;
    return s;
}

static inline struct heard *spawn(struct fix *f, const struct init_spawn *s)
{
    struct heard *h = &f->h[s->number];
    struct oerr e = { "" };

    *h = (struct heard){ .fds = { -1, -1, -1 } };
    if (initc_spawn(f->c, s, fix_done, h, &e) < 0)
        fail_msg("initc_spawn: %s", e.text);
    return h;
}

static inline struct heard *start(struct fix *f, const struct init_spawn *s)
{
    struct heard *h = spawn(f, s);

    FIX_UNTIL(f, h->done);
    if (h->rc < 0)
        fail_msg("%s", h->text);
    return h;
}

static inline struct heard *run(struct fix *f, const struct init_spawn *s)
{
    struct heard *h = start(f, s);

    FIX_UNTIL(f, h->ended);
    fix_close(&h->fds);
    return h;
}

static const char *path_in(struct fix *f, const char *name)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

static inline void put_file(struct fix *f, const char *name, const char *text)
{
    cleanup_close int fd = open(path_in(f, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void expect_file(struct fix *f, const char *name, const char *text)
{
    cleanup_close int fd = open(path_in(f, name), O_RDONLY | O_CLOEXEC);
    char got[256] = "";

    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    assert_string_equal(got, text);
}

static inline void remove_file(struct fix *f, const char *name)
{
    unlink(path_in(f, name));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

#endif
