/*
 * log.h - the log: lines of level, component and text in a ring, and on a descriptor.
 *
 * The ring (the newest 256 KiB) is what `machines/ID/log` and `oneos log` show. A sink receives
 * the lines from `level` up as they come. All calls may be made from any thread.
 */
#ifndef ONEOS_BASE_LOG_H
#define ONEOS_BASE_LOG_H

struct obuf;

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Sets what goes to the sink: lines of `level` and more important ones, to fd (-1: none). */
void log_to(int fd, enum log_level level);

/* The level of that name ("error", "warn", "info", "debug"), or -EINVAL. */
int log_level_parse(const char *name);

/* Adds one line. `component` is a short constant such as "link". Text: a sentence, or words and
 * key=value. Lines are cut at 512 bytes; control characters become '?'. */
void log_at(enum log_level level, const char *component, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(component, ...) log_at(LOG_ERROR, component, __VA_ARGS__)
#define log_warn(component, ...)  log_at(LOG_WARN, component, __VA_ARGS__)
#define log_info(component, ...)  log_at(LOG_INFO, component, __VA_ARGS__)
#define log_debug(component, ...) log_at(LOG_DEBUG, component, __VA_ARGS__)

/* Appends what the ring holds, oldest first, in whole lines. */
void log_show(struct obuf *out);

#endif
