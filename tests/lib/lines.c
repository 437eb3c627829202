/*
 * lines.c - see lines.h. There is one standard input, so there is one of it.
 */
#include "lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS 16

static struct {
    uv_pipe_t in;
    const struct line_verb *verbs;
    void (*ended)(void *arg);
    void *arg;
    char text[65536];
    size_t len;
} lines;

void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static void carry_out(char *line)
{
    char *words[WORDS], *save = NULL;
    int n = 0;

    for (char *w = strtok_r(line, " ", &save); w && n < WORDS; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    if (n == 0)
        return;
    for (const struct line_verb *v = lines.verbs; v->name; v++)
        if (strcmp(v->name, words[0]) == 0 && n - 1 >= v->min && n - 1 <= v->max) {
            v->run(lines.arg, n - 1, words + 1);
            return;
        }
    say("error: not understood: %s", words[0]);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle, (void)suggested;
    *out = uv_buf_init(lines.text + lines.len, (unsigned)(sizeof lines.text - lines.len));
}

static void on_text(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    char *end, *line = lines.text;

    (void)buf;
    if (n < 0) {
        uv_read_stop(stream);
        lines.ended(lines.arg);
        return;
    }
    lines.len += (size_t)n;
    while ((end = memchr(line, '\n', lines.len - (size_t)(line - lines.text))) != NULL) {
        *end = '\0';
        carry_out(line);
        line = end + 1;
    }
    lines.len -= (size_t)(line - lines.text);
    memmove(lines.text, line, lines.len);
}

void lines_start(uv_loop_t *loop, const struct line_verb *verbs, void (*ended)(void *arg),
                 void *arg)
{
    lines.verbs = verbs;
    lines.ended = ended;
    lines.arg = arg;
    uv_pipe_init(loop, &lines.in, 0);
    uv_pipe_open(&lines.in, 0);
    uv_read_start((uv_stream_t *)&lines.in, on_room, on_text);
}

void lines_stop(void)
{
    uv_close((uv_handle_t *)&lines.in, NULL);
}
