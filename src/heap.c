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
#include <stdbool.h>
#include <stdio.h>

/* jemalloc reads it at the start (jemalloc(3), TUNING). One arena, since one thread allocates
 * most; and only threads that ask for it keep pieces of their own: most threads wait, and each would
 * hold some 30 KiB. */
const char *malloc_conf = "narenas:1,tcache:false,tcache_max:4096";

void heap_keep(void)
{
    bool yes = true;

    mallctl("thread.tcache.enabled", NULL, NULL, &yes, sizeof yes);
}

void heap_trim(void)
{
    char name[32];

    snprintf(name, sizeof name, "arena.%u.purge", MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
}

#else
#include <malloc.h>

void heap_keep(void)
{
}

void heap_trim(void)
{
    malloc_trim(0);
}
#endif
