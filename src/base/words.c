/*
 * words.c - one pass over the line; the words land one after the other in one piece of memory.
 *
 * Invariant: `mem` has two bytes for each byte of the line. That is enough, since a word takes one
 * byte more than it has, and has taken at least that many, and never none, from the line.
 */
#include "base/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct splitter {
    const char *p, *end;
    char *to;   /* where the next byte of a word goes */
    char *word; /* the word under way, or NULL between words */
    int room;   /* of v and op */
    struct words *w;
};

static int add_word(struct splitter *s, char *word, bool op)
{
    struct words *w = s->w;

    if (w->n + 1 >= s->room) {
        int room = s->room ? s->room * 2 : 16;
        char **v = realloc(w->v, (size_t)room * sizeof *v);
        bool *ops = v ? realloc(w->op, (size_t)room * sizeof *ops) : NULL;

        if (v)
            w->v = v;
        if (!ops)
            return -ENOMEM;
        w->op = ops;
        s->room = room;
    }
    w->v[w->n] = word;
    w->op[w->n++] = op;
    w->v[w->n] = NULL;
    return 0;
}

static int end_word(struct splitter *s)
{
    char *word = s->word;

    if (!word)
        return 0;
    *s->to++ = '\0';
    s->word = NULL;
    return add_word(s, word, false);
}

static void begin_word(struct splitter *s)
{
    if (!s->word)
        s->word = s->to;
}

static int add_operator(struct splitter *s)
{
    char *word;
    int rc = end_word(s);

    if (rc < 0)
        return rc;
    word = s->to;
    *s->to++ = *s->p++;
    *s->to++ = '\0';
    return add_word(s, word, true);
}

/* At an opening quote; leaves behind the closing one. */
static int take_quoted(struct splitter *s, struct oerr *e)
{
    char quote = *s->p++;

    begin_word(s);
    for (; s->p < s->end; s->p++) {
        if (*s->p == quote) {
            s->p++;
            return 0;
        }
        if (quote == '"' && *s->p == '\\' && s->p + 1 < s->end && strchr("\"\\$`\n", s->p[1])) {
            if (*++s->p == '\n')
                continue;
        }
        *s->to++ = *s->p;
    }
    return oerr_set(e, -EINVAL, "a %s quote is not closed: add the missing %c",
                    quote == '"' ? "double" : "single", quote);
}

/* At a backslash outside quotes. */
static int take_escaped(struct splitter *s, struct oerr *e)
{
    if (++s->p == s->end)
        return oerr_set(e, -EINVAL, "the line ends in a backslash: quote it or take it away");
    if (*s->p != '\n') {
        begin_word(s);
        *s->to++ = *s->p;
    }
    s->p++;
    return 0;
}

static int split(struct splitter *s, struct oerr *e)
{
    int rc = 0;

    while (rc == 0 && s->p < s->end && *s->p != '\n') {
        switch (*s->p) {
        case ' ':
        case '\t':
        case '\r':
            rc = end_word(s);
            s->p++;
            break;
        case '|':
            rc = add_operator(s);
            break;
        case '\'':
        case '"':
            rc = take_quoted(s, e);
            break;
        case '\\':
            rc = take_escaped(s, e);
            break;
        default:
            begin_word(s);
            *s->to++ = *s->p++;
        }
    }
    return rc ? rc : end_word(s);
}

int words_split(struct words *w, const char *text, size_t len, size_t *used, struct oerr *e)
{
    struct splitter s = { .p = text, .end = text + len, .w = w };
    const char *nul;
    int rc;

    *w = (struct words){ 0 };
    *used = len;
    if (len > WORDS_LINE_MAX)
        s.end = text + WORDS_LINE_MAX;
    len = (size_t)(s.end - s.p);
    if (!(w->mem = malloc(2 * len + 1)))
        return -ENOMEM;
    s.to = w->mem;
    rc = split(&s, e);
    if (s.p == text + WORDS_LINE_MAX && *used > WORDS_LINE_MAX)
        rc = oerr_set(e, -EINVAL, "the line is longer than %d bytes", WORDS_LINE_MAX);
    nul = memchr(text, '\0', (size_t)(s.p - text));
    if (rc == 0 && nul)
        rc = oerr_set(e, -EINVAL, "there is a NUL byte at byte %zu of the line", nul - text);
    if (rc < 0) {
        words_free(w);
        return rc;
    }
    *used = (size_t)(s.p - text) + (s.p < s.end);
    return 0;
}

void words_free(struct words *w)
{
    free(w->v);
    free(w->op);
    free(w->mem);
    *w = (struct words){ 0 };
}
