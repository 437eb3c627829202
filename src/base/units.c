/*
 * units.c - the tables of units, and one parser of decimal numbers for both.
 *
 * Numbers are kept as whole plus fraction in integers, so that no locale and no rounding of
 * floating point comes in. Values beyond 64 bits are refused, never wrapped.
 */
#include "base/units.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    { "EiB", 1ULL << 60 },
    { "PiB", 1ULL << 50 },
    { "TiB", 1ULL << 40 },
    { "GiB", 1ULL << 30 },
    { "MiB", 1ULL << 20 },
    { "KiB", 1ULL << 10 },
    { "E", 1ULL << 60 },
    { "P", 1ULL << 50 },
    { "T", 1ULL << 40 },
    { "G", 1ULL << 30 },
    { "M", 1ULL << 20 },
    { "K", 1ULL << 10 },
    { "B", 1 },
    { "", 1 },
};

#define SECOND 1000000ULL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MONTH  2629800000000ULL /* 30.4375 days, as systemd has it */
#define YEAR   31557600000000ULL

static const struct unit time_units[] = {
    { "usec", 1 },       { "us", 1 },           { "\302\265s", 1 },   { "msec", 1000 },
    { "ms", 1000 },      { "seconds", SECOND }, { "second", SECOND }, { "sec", SECOND },
    { "s", SECOND },     { "minutes", MINUTE }, { "minute", MINUTE }, { "min", MINUTE },
    { "months", MONTH }, { "month", MONTH },    { "M", MONTH },       { "m", MINUTE },
    { "hours", HOUR },   { "hour", HOUR },      { "hr", HOUR },       { "h", HOUR },
    { "days", DAY },     { "day", DAY },        { "d", DAY },         { "weeks", 7 * DAY },
    { "week", 7 * DAY }, { "w", 7 * DAY },      { "years", YEAR },    { "year", YEAR },
    { "y", YEAR },       { "", SECOND },
};

/* What times are written in. */
static const struct unit shown_times[] = {
    { "d", DAY }, { "h", HOUR }, { "min", MINUTE }, { "s", SECOND }, { "ms", 1000 }, { "us", 1 },
};

struct number {
    uint64_t whole, part, scale; /* whole + part / scale */
};

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* Reads digits with an optional fraction at *p and moves *p behind them; -EINVAL, -ERANGE. */
static int take_number(const char **p, struct number *n)
{
    const char *start = *p, *q = *p;
    bool wraps = false;

    *n = (struct number){ .scale = 1 };
    for (; isdigit((unsigned char)*q); q++)
        wraps |= __builtin_mul_overflow(n->whole, 10, &n->whole) ||
                 __builtin_add_overflow(n->whole, (uint64_t)(*q - '0'), &n->whole);
    if (q == start)
        return -EINVAL;
    if (*q == '.') {
        if (!isdigit((unsigned char)*++q))
            return -EINVAL;
        for (; isdigit((unsigned char)*q); q++)
            if (n->scale < 1000000000) {
                n->part = n->part * 10 + (uint64_t)(*q - '0');
                n->scale *= 10;
            }
    }
    *p = q;
    return wraps ? -ERANGE : 0;
}

/* Adds n units to *sum; false when that does not fit 64 bits. */
static bool add(uint64_t *sum, const struct number *n, uint64_t factor)
{
    uint64_t whole, part = (uint64_t)((unsigned __int128)n->part * factor / n->scale);

    return !__builtin_mul_overflow(n->whole, factor, &whole) &&
           !__builtin_add_overflow(whole, part, &whole) &&
           !__builtin_add_overflow(*sum, whole, sum);
}

/* The unit that is exactly the n letters at p, or NULL. */
static const struct unit *find(const struct unit *units, size_t count, const char *p, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0)
            return &units[i];
    return NULL;
}

static size_t letters(const char *p)
{
    return strcspn(p, " \t0123456789.");
}

int units_size(const char *text, uint64_t *bytes, struct oerr *e)
{
    const char *p = skip_blanks(text);
    const struct unit *u;
    struct number n;
    uint64_t sum = 0;
    size_t len;
    int rc = take_number(&p, &n);

    if (rc == -EINVAL)
        return oerr_set(e, -EINVAL, "'%s' is not a size: write a number and a unit, as 512MiB",
                        text);
    p = skip_blanks(p);
    len = letters(p);
    u = find(size_units, ARRAY_SIZE(size_units), p, len);
    if (!u && len == 2 && p[1] == 'B')
        return oerr_set(e, -EINVAL, "the size '%s' has the unit %.2s: write %ciB (1024 based)",
                        text, p, toupper((unsigned char)*p));
    if (!u || *skip_blanks(p + len))
        return oerr_set(e, -EINVAL,
                        "the size '%s' has no unit that is known: use KiB, MiB, GiB, TiB", text);
    if (rc < 0 || !add(&sum, &n, u->factor))
        return oerr_set(e, -EINVAL, "the size '%s' is too large", text);
    *bytes = sum;
    return 0;
}

int units_time(const char *text, uint64_t *usec, struct oerr *e)
{
    const char *p = skip_blanks(text);
    uint64_t sum = 0;

    if (strcmp(p, "infinity") == 0) {
        *usec = UNITS_FOREVER;
        return 0;
    }
    do {
        const struct unit *u;
        struct number n;
        size_t len;
        int rc = take_number(&p, &n);

        if (rc == -EINVAL)
            return oerr_set(e, -EINVAL, "'%s' is not a time: write it as 2h 30min or 250ms", text);
        p = skip_blanks(p);
        len = letters(p);
        u = find(time_units, ARRAY_SIZE(time_units), p, len);
        if (!u)
            return oerr_set(e, -EINVAL,
                            "the time '%s' has the unknown unit '%.*s': use ms, s, min, h, d", text,
                            (int)len, p);
        if (rc < 0 || !add(&sum, &n, u->factor))
            return oerr_set(e, -EINVAL, "the time '%s' is too long", text);
        p = skip_blanks(p + len);
    } while (*p);
    if (sum == UNITS_FOREVER)
        return oerr_set(e, -EINVAL, "the time '%s' is too long", text);
    *usec = sum;
    return 0;
}

int units_number(const char *text, uint64_t *milli, struct oerr *e)
{
    const char *p = skip_blanks(text);
    struct number n;
    uint64_t sum = 0;
    int rc = take_number(&p, &n);

    if (rc == -EINVAL || *skip_blanks(p))
        return oerr_set(e, -EINVAL, "'%s' is not a number: write it as 2 or 0.5", text);
    if (rc < 0 || !add(&sum, &n, 1000))
        return oerr_set(e, -EINVAL, "the number '%s' is too large", text);
    *milli = sum;
    return 0;
}

void units_put_size(struct obuf *b, uint64_t bytes)
{
    static const char letter[] = "KMGTPE";
    int i = -1;
    uint64_t unit = 1, tenths;

    while (i < 5 && bytes / unit >= 1024) {
        unit <<= 10;
        i++;
    }
    if (i < 0) {
        obuf_printf(b, "%lluB", (unsigned long long)bytes);
        return;
    }
    tenths = (uint64_t)((unsigned __int128)bytes * 10 / unit);
    if (tenths < 100 && tenths % 10)
        obuf_printf(b, "%llu.%llu%ciB", (unsigned long long)tenths / 10,
                    (unsigned long long)tenths % 10, letter[i]);
    else
        obuf_printf(b, "%llu%ciB", (unsigned long long)tenths / 10, letter[i]);
}

void units_put_time(struct obuf *b, uint64_t usec)
{
    size_t i = 0;

    if (usec == UNITS_FOREVER) {
        obuf_puts(b, "infinity");
        return;
    }
    while (i + 1 < ARRAY_SIZE(shown_times) && usec < shown_times[i].factor)
        i++;
    obuf_printf(b, "%llu%s", (unsigned long long)(usec / shown_times[i].factor),
                shown_times[i].name);
    if (i < 3 && usec % shown_times[i].factor / shown_times[i + 1].factor)
        obuf_printf(b, " %llu%s",
                    (unsigned long long)(usec % shown_times[i].factor / shown_times[i + 1].factor),
                    shown_times[i + 1].name);
}

void units_put_size_exact(struct obuf *b, uint64_t bytes)
{
    const struct unit *u = size_units;

    while (u->factor > 1 && (bytes < u->factor || bytes % u->factor))
        u++;
    obuf_printf(b, "%llu%s", (unsigned long long)(bytes / u->factor),
                u->factor > 1 ? u->name : "B");
}

void units_put_time_exact(struct obuf *b, uint64_t usec)
{
    const char *between = "";

    if (usec == 0 || usec == UNITS_FOREVER) {
        units_put_time(b, usec);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(shown_times); i++) {
        const struct unit *u = &shown_times[i];

        if (usec / u->factor == 0)
            continue;
        obuf_printf(b, "%s%llu%s", between, (unsigned long long)(usec / u->factor), u->name);
        usec %= u->factor;
        between = " ";
    }
}
