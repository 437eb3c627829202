/*
 * selector.c - compiles a selector into terms, and holds them against a machine.
 *
 * A term is a name, or a key, a comparison and a value. Numbers are compared in thousandths; what
 * is no plain number on both sides is compared as sizes.
 */
#include "sched/selector.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

struct comparison {
    const char *sign;
    bool number;           /* orders numbers; else compares text */
    bool less, same, more; /* holds when what is there is that, compared to what is wanted */
    const char *phrase;    /* "has 2 cores, PHRASE4 are wanted" */
};

/* Each before what it begins with. */
static const struct comparison comparisons[] = {
    { ">=", true, false, true, true, "" },
    { "<=", true, true, true, false, "at most " },
    { "!=", false, true, false, true, NULL },
    { ">", true, false, false, true, "more than " },
    { "<", true, true, false, false, "less than " },
    { "=", false, false, true, false, NULL },
};

struct term {
    const struct comparison *cmp; /* NULL: a name */
    bool not ;                    /* !name */
    const char *key, *value;
    bool is_number, is_size; /* what the value is; a number is no size */
    uint64_t milli, size;
};

struct selector {
    char *text;
    size_t n;
    struct term terms[];
};

/* ---- compiling */

static int malformed(const char *term, struct oerr *e)
{
    return oerr_set(e, -EINVAL,
                    "the term '%.60s' of the selector is not well formed: write a machine, a "
                    "label, !label, key=value, key!=value or a comparison as cores>=4",
                    term);
}

/* Letters of a key or of a value; blanks only inside of a value. */
static bool well_formed(const char *text, bool key)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]) && (key || text[i] != ' '))
            return false;
    return n > 0 && text[0] != ' ' && text[n - 1] != ' ' && text[strcspn(text, "=<>!")] == '\0';
}

static const struct comparison *comparison_at(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++)
        if (strncmp(text, comparisons[i].sign, strlen(comparisons[i].sign)) == 0)
            return &comparisons[i];
    return NULL;
}

static int parse_value(struct term *t, const char *term, struct oerr *e)
{
    t->is_number = units_number(t->value, &t->milli, NULL) == 0;
    t->is_size = units_size(t->value, &t->size, NULL) == 0 && !t->is_number;
    if (t->cmp->number && !t->is_number && !t->is_size)
        return oerr_set(e, -EINVAL,
                        "the term '%.60s' of the selector compares with '%.60s', which is neither "
                        "a number nor a size as 8GiB",
                        term, t->value);
    return 0;
}

/* Cuts the term, which is kept, into its pieces. */
static int parse_term(struct term *t, char *term, struct oerr *e)
{
    cleanup_free char *whole = strdup(term);
    char *sign;

    if (!whole)
        return -ENOMEM;
    t->not = term[0] == '!';
    t->key = term + t->not ;
    sign = term + t->not +strcspn(t->key, "=<>!");
    if (*sign) {
        t->cmp = comparison_at(sign);
        if (!t->cmp || t->not )
            return malformed(whole, e);
        t->value = sign + strlen(t->cmp->sign);
        *sign = '\0';
        if (!well_formed(t->value, false))
            return malformed(whole, e);
    }
    if (!well_formed(t->key, true))
        return malformed(whole, e);
    return t->cmp ? parse_value(t, whole, e) : 0;
}

static int parse_terms(struct selector *sel, struct oerr *e)
{
    char *rest = sel->text, *term;

    while ((term = strsep(&rest, ","))) {
        int rc;

        if (!*term)
            return oerr_set(e, -EINVAL, "the selector has an empty term: take a comma away");
        rc = parse_term(&sel->terms[sel->n++], term, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int selector_parse(const char *text, struct selector **out, struct oerr *e)
{
    struct selector *sel;
    size_t terms = 1;
    int rc;

    *out = NULL;
    if (!*text)
        return oerr_set(e, -EINVAL,
                        "the selector is empty: write a machine or a label behind the @");
    if (strlen(text) > SELECTOR_MAX)
        return oerr_set(e, -EINVAL, "the selector is longer than %d bytes", SELECTOR_MAX);
    for (const char *p = text; *p; p++)
        terms += *p == ',';
    sel = calloc(1, sizeof *sel + terms * sizeof *sel->terms);
    if (!sel || !(sel->text = strdup(text)))
        rc = -ENOMEM;
    else
        rc = parse_terms(sel, e);
    if (rc < 0)
        selector_free(sel);
    else
        *out = sel;
    return rc;
}

void selector_free(struct selector *sel)
{
    if (!sel)
        return;
    free(sel->text);
    free(sel);
}

/* ---- matching */

/* Always false. */
static bool __attribute__((format(printf, 2, 3))) say(char *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, SELECTOR_WHY, fmt, ap);
    va_end(ap);
    return false;
}

static bool match_name(const struct term *t, const struct selector_facts *f, char *why)
{
    const char *key = t->key;

    if (strcmp(key, "here") == 0) {
        if (f->here != t->not )
            return true;
        return say(why, "is %sthe submitter's machine", t->not ? "" : "not ");
    }
    if (strcmp(key, f->id) == 0)
        return !t->not || say(why, "is %.100s", key);
    if (f->is_id && f->is_id(f->arg, key))
        return t->not || say(why, "is not %.100s", key);
    if (!f->label(f->arg, key) == t->not )
        return true;
    return say(why, "has %s label %.100s", t->not ? "the" : "no", key);
}

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* <0, 0, >0: what is there beside what is wanted; false when it is no number. */
static bool compare_numbers(const struct term *t, const char *have, int *cmp)
{
    uint64_t milli, size, wanted = t->size;

    if (t->is_number && units_number(have, &milli, NULL) == 0) {
        *cmp = order(milli, t->milli);
        return true;
    }
    if ((t->is_number && units_size(t->value, &wanted, NULL) < 0) ||
        units_size(have, &size, NULL) < 0)
        return false;
    *cmp = order(size, wanted);
    return true;
}

static bool say_number(const struct term *t, const char *have, char *why)
{
    struct obuf shown = { 0 };
    uint64_t size;

    if (t->is_size && units_size(have, &size, NULL) == 0)
        units_put_size(&shown, size);
    say(why, "has %.40s %.40s, %s%.40s are wanted", shown.p && !shown.bad ? shown.p : have, t->key,
        t->cmp->phrase, t->value);
    obuf_free(&shown);
    return false;
}

static bool match_value(const struct term *t, const char *have, char *why)
{
    int cmp = strcmp(have, t->value);

    if (t->cmp->number && !compare_numbers(t, have, &cmp))
        return say(why, "%.40s is '%.40s', which is no number", t->key, have);
    if (!t->cmp->number && t->is_size)
        compare_numbers(t, have, &cmp);
    if (cmp < 0 ? t->cmp->less : cmp > 0 ? t->cmp->more : t->cmp->same)
        return true;
    if (t->cmp->number)
        return say_number(t, have, why);
    if (t->cmp->same)
        return say(why, "%.40s is %.40s, not %.40s", t->key, *have ? have : "set without a value",
                   t->value);
    return say(why, "%.40s is %.40s", t->key, have);
}

static bool match_term(const struct term *t, const struct selector_facts *f, char *why)
{
    const char *have;

    if (!t->cmp)
        return match_name(t, f, why);
    have = f->label(f->arg, t->key);
    if (!have)
        return (!t->cmp->number && !t->cmp->same) || say(why, "has no label %.100s", t->key);
    return match_value(t, have, why);
}

bool selector_match(const struct selector *sel, const struct selector_facts *f,
                    char why[SELECTOR_WHY])
{
    char unread[SELECTOR_WHY];

    for (size_t i = 0; sel && i < sel->n; i++)
        if (!match_term(&sel->terms[i], f, why ? why : unread))
            return false;
    return true;
}
