/*
 * earlier.c - to be preloaded: a program for which it is an hour earlier (CLOCK_REALTIME).
 */
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

#define BEHIND_S 3600

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*next)(clockid_t, struct timespec *);
    int rc;

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    rc = next(id, ts);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec -= BEHIND_S;
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);

    (void)zone;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
