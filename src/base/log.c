/*
 * log.c - the log ring and its sink.
 *
 * A line is "2026-01-31T10:00:00.123Z level component: text\n". The ring is bytes; it wraps, and
 * a reader starts behind the first newline after the oldest byte, so that it sees whole lines.
 */
#include "base/log.h"
#include "base/buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (256 * 1024)
#define LINE_BYTES 512

static struct {
    pthread_mutex_t lock;
    char bytes[RING_BYTES];
    size_t end; /* bytes ever written */
    int fd;
    enum log_level level;
} ring = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .level = LOG_INFO };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_to(int fd, enum log_level level)
{
    pthread_mutex_lock(&ring.lock);
    ring.fd = fd;
    ring.level = level;
    pthread_mutex_unlock(&ring.lock);
}

int log_level_parse(const char *name)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -EINVAL;
}

static size_t format(char *line, enum log_level level, const char *component, const char *fmt,
                     va_list ap)
{
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(line, LINE_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, LINE_BYTES - n, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                          level_names[level], component);
    vsnprintf(line + n, LINE_BYTES - n - 1, fmt, ap);
    n = strlen(line);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    return n;
}

void log_at(enum log_level level, const char *component, const char *fmt, ...)
{
    char line[LINE_BYTES];
    size_t n, at, first;
    va_list ap;

    va_start(ap, fmt);
    n = format(line, level, component, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&ring.lock);
    at = ring.end % RING_BYTES;
    first = n < RING_BYTES - at ? n : RING_BYTES - at;
    memcpy(ring.bytes + at, line, first);
    memcpy(ring.bytes, line + first, n - first);
    ring.end += n;
    if (ring.fd >= 0 && level <= ring.level)
        while (write(ring.fd, line, n) < 0 && errno == EINTR)
            ;
    pthread_mutex_unlock(&ring.lock);
}

void log_show(struct obuf *out)
{
    size_t begin;

    pthread_mutex_lock(&ring.lock);
    begin = ring.end > RING_BYTES ? ring.end - RING_BYTES : 0;
    if (begin > 0)
        while (begin < ring.end && ring.bytes[begin++ % RING_BYTES] != '\n')
            ;
    for (size_t at = begin; at < ring.end;) {
        size_t pos = at % RING_BYTES, n = RING_BYTES - pos;

        if (n > ring.end - at)
            n = ring.end - at;
        obuf_put(out, ring.bytes + pos, n);
        at += n;
    }
    pthread_mutex_unlock(&ring.lock);
}
