/*
 * lines.h - a program that is told what to do by lines on standard input, and answers each with one
 * line on standard output, at once or later. The end of its input ends it.
 */
#ifndef ONEOS_TESTS_LIB_LINES_H
#define ONEOS_TESTS_LIB_LINES_H

#include <uv.h>

struct line_verb {
    const char *name; /* the first word */
    int min, max;     /* words behind it */
    void (*run)(void *arg, int n, char **words);
};

/* verbs: ended by a row without a name. ended: at the end of the input. */
void lines_start(uv_loop_t *loop, const struct line_verb *verbs, void (*ended)(void *arg),
                 void *arg);
void lines_stop(void);

/* One line of answer. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
