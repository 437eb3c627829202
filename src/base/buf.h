/*
 * buf.h - obuf, a growing text buffer with a sticky failure: write everything, check once.
 */
#ifndef ONEOS_BASE_BUF_H
#define ONEOS_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct obuf {
    char *p; /* always NUL-terminated when not NULL */
    size_t len, cap;
    bool bad; /* memory ran out: the content is short and must not be used */
};

void obuf_put(struct obuf *b, const void *data, size_t n);
void obuf_puts(struct obuf *b, const char *text);
void obuf_printf(struct obuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends text as one word quoted for the shell, so that splitting it gives it back. */
void obuf_quote(struct obuf *b, const char *word);

/* The same, with quotes also where none are needed. */
void obuf_quote_all(struct obuf *b, const char *word);

/* 0, or -ENOMEM when something did not fit. */
int obuf_check(const struct obuf *b);

/* Empties it, keeping the memory. */
void obuf_reset(struct obuf *b);
void obuf_free(struct obuf *b);

#endif
