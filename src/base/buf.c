/*
 * buf.c - obuf, the growing text buffer.
 *
 * Invariant: p[len] is NUL whenever p is not NULL; after a failed growth `bad` stays set and
 * further writes do nothing.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool grow(struct obuf *b, size_t more)
{
    size_t need = b->len + more + 1, cap = b->cap ? b->cap : 128;
    char *p;

    if (b->bad || need < more)
        return !(b->bad = true);
    if (need <= b->cap)
        return true;
    while (cap < need)
        cap *= 2;
    p = realloc(b->p, cap);
    if (!p)
        return !(b->bad = true);
    b->p = p;
    b->cap = cap;
    return true;
}

void obuf_put(struct obuf *b, const void *data, size_t n)
{
    if (!grow(b, n))
        return;
    if (n)
        memcpy(b->p + b->len, data, n);
    b->len += n;
    b->p[b->len] = '\0';
}

void obuf_puts(struct obuf *b, const char *text)
{
    obuf_put(b, text, strlen(text));
}

void obuf_printf(struct obuf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && grow(b, (size_t)n)) {
        vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void obuf_quote(struct obuf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=.,/:@%^";

    if (*word && word[strspn(word, plain)] == '\0') {
        obuf_puts(b, word);
        return;
    }
    obuf_quote_all(b, word);
}

void obuf_quote_all(struct obuf *b, const char *word)
{
    obuf_puts(b, "'");
    for (; *word; word++) {
        if (*word == '\'')
            obuf_puts(b, "'\\''");
        else
            obuf_put(b, word, 1);
    }
    obuf_puts(b, "'");
}

int obuf_check(const struct obuf *b)
{
    return b->bad ? -ENOMEM : 0;
}

void obuf_reset(struct obuf *b)
{
    b->len = 0;
    b->bad = false;
    if (b->p)
        b->p[0] = '\0';
}

void obuf_free(struct obuf *b)
{
    free(b->p);
    *b = (struct obuf){ 0 };
}
