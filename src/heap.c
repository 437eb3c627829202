/*
 * heap.c - the daemon's memory: jemalloc where there is one, else the C library's.
 *
 * A job costs thousands of small pieces, nearly all of JSON, from the core's thread; the C library
 * takes a fifth of that thread's time for them, jemalloc a tenth (doc/performance.md).
 */
#include "heap.h"
#include "config.h"

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#include <stdio.h>

/* jemalloc reads it at the start (jemalloc(3), TUNING). One arena, since one thread allocates
 * most; and no large pieces kept per thread: most threads wait, and never need them again. */
const char *malloc_conf = "narenas:1,tcache_max:4096";

void heap_trim(void)
{
    char name[32];

    snprintf(name, sizeof name, "arena.%u.purge", MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
}

#else
#include <malloc.h>

void heap_trim(void)
{
    malloc_trim(0);
}
#endif
