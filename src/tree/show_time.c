/*
 * show_time.c - times as the files of the tree have them: RFC 3339, UTC, with microseconds.
 */
#include "tree/system.h"

#include <time.h>

static void format_time(uint64_t us, char text[40])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, 40 - n, ".%06uZ", (unsigned)(us % 1000000));
}

void show_time(struct obuf *out, const char *key, uint64_t us)
{
    char text[40];

    format_time(us, text);
    obuf_printf(out, "%s %s\n", key, text);
}

void json_set_time(json_t *object, const char *key, uint64_t us)
{
    char text[40];

    if (!us)
        return;
    format_time(us, text);
    json_object_set_new(object, key, json_string(text));
}
