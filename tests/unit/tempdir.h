/*
 * tempdir.h - a folder for one test, removed with all that is in it.
 */
#ifndef ONEOS_TESTS_UNIT_TEMPDIR_H
#define ONEOS_TESTS_UNIT_TEMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static inline int tempdir_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* Fills path (at least 256 bytes) with a fresh folder's; aborts when there is none. */
static inline void tempdir_make(char path[256])
{
    const char *base = getenv("TMPDIR");

    snprintf(path, 256, "%s/oneos-test.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path))
        abort();
}

static inline void tempdir_remove(const char *path)
{
    nftw(path, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#endif
