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
    const char *text, *p, *end;
    const char *begun; /* where in text the word under way begins */
    char *to;          /* where the next byte of a word goes */
    char *word;        /* the word under way, or NULL between words */
    char *quoted;      /* where in that word the first quote stands, or NULL */
    bool run;          /* a run line: with all operators */
    int room;          /* of v, op, bare and at */
    struct words *w;
};

/* What sh reads as an operator, each before what it begins with. */
static const char *const run_operators[] = {
    "<<<", "<<", "<&", "<>", "<(", "<", ">>", ">&", ">|", ">(", ">",
    "||",  "|&", "|",  "&>", "&&", "&", ";",  "(",  ")",  "$(", "`",
};

/* Makes *array of that many members of that size. */
static bool enlarge(void *array, int room, size_t size)
{
    void *p, *was;

    memcpy(&was, array, sizeof was);
    p = realloc(was, (size_t)room * size);
    if (p)
        memcpy(array, &p, sizeof p);
    return p;
}

static int add_word(struct splitter *s, char *word, size_t bare, bool op)
{
    struct words *w = s->w;

    if (w->n + 1 >= s->room) {
        int room = s->room ? s->room * 2 : 16;

        if (!enlarge(&w->v, room, sizeof *w->v) || !enlarge(&w->op, room, sizeof *w->op) ||
            !enlarge(&w->bare, room, sizeof *w->bare) || !enlarge(&w->at, room, sizeof *w->at))
            return -ENOMEM;
        s->room = room;
    }
    w->v[w->n] = word;
    w->bare[w->n] = bare;
    w->at[w->n] = (size_t)(s->begun - s->text);
    w->op[w->n++] = op;
    w->v[w->n] = NULL;
    return 0;
}

static int end_word(struct splitter *s)
{
    char *word = s->word;
    size_t bare;

    if (!word)
        return 0;
    bare = (size_t)((s->quoted ? s->quoted : s->to) - word);
    *s->to++ = '\0';
    s->word = NULL;
    return add_word(s, word, bare, false);
}

static void begin_word(struct splitter *s)
{
    if (!s->word) {
        s->word = s->to;
        s->begun = s->p;
        s->quoted = NULL;
    }
}

static void begin_quoted(struct splitter *s)
{
    begin_word(s);
    if (!s->quoted)
        s->quoted = s->to;
}

/* Whether the word under way is the selector of its stage, in which < and > compare. */
static bool in_selector(const struct splitter *s)
{
    const struct words *w = s->w;

    return s->word && s->word != s->to && s->quoted != s->word && s->word[0] == '@' &&
           (w->n == 0 || (w->op[w->n - 1] && strcmp(w->v[w->n - 1], "|") == 0));
}

/* ; and &: operators where a word does not go on behind them. */
static bool joins(char c)
{
    return c == ';' || c == '&';
}

/* Whether the ; or & here ends the word under way; else it is text, as in a?b=1&c=2. */
static bool ends_word(const struct splitter *s)
{
    const char *p = s->p;

    while (p < s->end && joins(*p))
        p++;
    return p == s->end || memchr(" \t\r\n|<>", *p, 7);
}

/* The length of the operator here, 0 where there is none. */
static size_t operator_here(const struct splitter *s)
{
    char c = *s->p;

    if (!s->run)
        return c == '|';
    if ((c == '<' || c == '>') && in_selector(s))
        return 0;
    if (s->word && (c == '(' || c == ')' || (joins(c) && !ends_word(s))))
        return 0;
    for (size_t i = 0; i < sizeof run_operators / sizeof *run_operators; i++) {
        size_t n = strlen(run_operators[i]);

        if (n <= (size_t)(s->end - s->p) && memcmp(s->p, run_operators[i], n) == 0)
            return n;
    }
    return 0;
}

/* Whether the word under way is the number of a descriptor: 2 before >. */
static bool is_number(const struct splitter *s)
{
    const char *p = s->word;

    if (!p || s->quoted || (*s->p != '<' && *s->p != '>'))
        return false;
    while (p < s->to && *p >= '0' && *p <= '9')
        p++;
    return p == s->to;
}

static int add_operator(struct splitter *s, size_t n)
{
    char *op = s->run && is_number(s) ? s->word : NULL;

    if (!op) {
        int rc = end_word(s);

        if (rc < 0)
            return rc;
        op = s->to;
        s->begun = s->p;
    }
    memcpy(s->to, s->p, n);
    s->to += n;
    *s->to++ = '\0';
    s->p += n;
    s->word = NULL;
    return add_word(s, op, 0, true);
}

/* At an opening quote; leaves behind the closing one. */
static int take_quoted(struct splitter *s, struct oerr *e)
{
    char quote = *s->p;

    begin_quoted(s);
    for (s->p++; s->p < s->end; s->p++) {
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
    if (s->p + 1 == s->end) {
        s->p++;
        return oerr_set(e, -EINVAL, "the line ends in a backslash: quote it or take it away");
    }
    if (s->p[1] != '\n') {
        begin_quoted(s);
        *s->to++ = s->p[1];
    }
    s->p += 2;
    return 0;
}

/* Takes what is here and is no operator. */
static int take(struct splitter *s, struct oerr *e)
{
    switch (*s->p) {
    case ' ':
    case '\t':
    case '\r':
        s->p++;
        return end_word(s);
    case '\'':
    case '"':
        return take_quoted(s, e);
    case '\\':
        return take_escaped(s, e);
    default:
        begin_word(s);
        do
            *s->to++ = *s->p++;
        while (s->run && s->p < s->end && joins(s->p[-1]) && joins(*s->p));
        return 0;
    }
}

static int split(struct splitter *s, struct oerr *e)
{
    int rc = 0;

    while (rc == 0 && s->p < s->end && *s->p != '\n') {
        size_t op = operator_here(s);

        rc = op ? add_operator(s, op) : take(s, e);
    }
    return rc ? rc : end_word(s);
}

static int split_line(struct words *w, bool run, const char *text, size_t len, size_t *used,
                      struct oerr *e)
{
    struct splitter s = { .text = text, .p = text, .end = text + len, .run = run, .w = w };
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

int words_split(struct words *w, const char *text, size_t len, size_t *used, struct oerr *e)
{
    return split_line(w, false, text, len, used, e);
}

int words_split_run(struct words *w, const char *text, size_t len, size_t *used, struct oerr *e)
{
    return split_line(w, true, text, len, used, e);
}

void words_free(struct words *w)
{
    free(w->v);
    free(w->op);
    free(w->bare);
    free(w->at);
    free(w->mem);
    *w = (struct words){ 0 };
}
