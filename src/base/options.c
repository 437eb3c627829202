/*
 * options.c - options from flags, the environment and files, over one table of rows.
 *
 * Each place has a level. A value replaces those of a lower level, joins those of its own level
 * when the option may be repeated and replaces them when not, and is dropped beside those of a
 * higher one. The order in which the places are read therefore does not matter.
 */
#include "base/options_private.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

static const struct option_row standard_rows[] = {
    { .name = "help", .letter = 'h', .help = "print this and exit" },
    { .name = "version", .letter = 'V', .help = "print the version and exit" },
};

static int row_count(const struct option_row *rows)
{
    int n = 0;

    while (rows[n].name)
        n++;
    return n;
}

static void value_clear(struct value *v)
{
    for (int i = 0; i < v->n; i++)
        free(v->v[i]);
    free(v->v);
    free(v->source);
    *v = (struct value){ 0 };
}

static int value_add(struct value *v, const char *text)
{
    char **all = realloc(v->v, ((size_t)v->n + 2) * sizeof *all);

    if (!all)
        return -ENOMEM;
    v->v = all;
    if (!(all[v->n] = strdup(text)))
        return -ENOMEM;
    all[++v->n] = NULL;
    return 0;
}

/* "yes" or "no" of a switch; NULL for anything else. */
static const char *switch_value(const char *text)
{
    static const char *const yes[] = { "yes", "true", "on", "1" };
    static const char *const no[] = { "no", "false", "off", "0" };

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return "yes";
        if (strcasecmp(text, no[i]) == 0)
            return "no";
    }
    return NULL;
}

int options_set(struct options *o, int i, bool negated, const char *text, enum level level,
                const char *source, struct oerr *e)
{
    const struct option_row *row = &o->rows[i];
    struct value *v = &o->values[i];
    struct oerr why = { "" };
    bool off = false;
    int rc = 0;

    if (negated || !row->arg) {
        const char *on = switch_value(text);

        if (!on)
            return oerr_set(e, -EINVAL, "%s: '%s' is neither yes nor no", source, text);
        off = negated == (*on == 'y');
        if (negated && !off)
            return 0; /* `no-NAME = no` says nothing */
        text = on;
    } else if (row->check && (rc = row->check(text, &why)) < 0) {
        return rc == -ENOMEM ? rc : oerr_set(e, -EINVAL, "%s: %s", source, why.text);
    }
    if (v->level > level)
        return 0;
    if (v->level < level || !row->many || off || v->off)
        value_clear(v);
    free(v->source);
    v->level = level;
    v->off = off;
    if (!(v->source = strdup(source)))
        return -ENOMEM;
    return off ? 0 : value_add(v, text);
}

int options_find(const struct options *o, const char *name, bool *negated)
{
    bool no = strncmp(name, "no-", 3) == 0;

    for (int i = 0; i < o->nrows; i++) {
        *negated = no && o->rows[i].negatable && strcmp(name + 3, o->rows[i].name) == 0;
        if (*negated || strcmp(name, o->rows[i].name) == 0)
            return i;
    }
    return -1;
}

/* ---- flags ---- */

/* What getopt_long() is given, and what its answers mean. */
struct flags {
    struct option *longs; /* `val` is FIRST_REF + the index in refs */
    struct ref {
        struct options *o; /* NULL: a standard row */
        int row;
        bool negated;
        char name[64];
    } * refs;
    int n;
    char *letters;
};

#define FIRST_REF 256

static void flags_add(struct flags *f, struct options *o, const struct option_row *row, int i,
                      bool negated)
{
    struct ref *ref = &f->refs[f->n];
    char *letter = f->letters + strlen(f->letters);

    *ref = (struct ref){ .o = o, .row = i, .negated = negated };
    snprintf(ref->name, sizeof ref->name, "%s%s", negated ? "no-" : "", row->name);
    f->longs[f->n] =
        (struct option){ .name = ref->name,
                         .has_arg = row->arg && !negated ? required_argument : no_argument,
                         .val = FIRST_REF + f->n };
    f->n++;
    if (row->letter && !negated && !strchr(f->letters, row->letter)) {
        *letter++ = row->letter;
        if (row->arg)
            *letter++ = ':';
        *letter = '\0';
    }
}

static int flags_create(struct flags *f, struct options *o)
{
    size_t n = ARRAY_SIZE(standard_rows) + 1;

    for (const struct options *x = o; x; x = x->spec->outer)
        n += 2 * (size_t)x->nrows;
    *f = (struct flags){ .longs = calloc(n, sizeof *f->longs),
                         .refs = calloc(n, sizeof *f->refs),
                         .letters = calloc(n, 2 * 2) };
    if (!f->longs || !f->refs || !f->letters)
        return -ENOMEM;
    strcpy(f->letters, o->spec->subcommands ? "+:" : ":");
    for (struct options *x = o; x; x = x->spec->outer)
        for (int i = 0; i < x->nrows; i++) {
            flags_add(f, x, &x->rows[i], i, false);
            if (x->rows[i].negatable)
                flags_add(f, x, &x->rows[i], i, true);
        }
    for (size_t i = 0; i < ARRAY_SIZE(standard_rows); i++)
        flags_add(f, NULL, &standard_rows[i], (int)i, false);
    return 0;
}

static void flags_free(struct flags *f)
{
    free(f->longs);
    free(f->refs);
    free(f->letters);
}

static const struct option_row *ref_row(const struct ref *r)
{
    return r->o ? &r->o->rows[r->row] : &standard_rows[r->row];
}

/* What getopt_long() answered: the long flag, or the first one with that letter. */
static const struct ref *flags_find(const struct flags *f, int c)
{
    if (c >= FIRST_REF)
        return &f->refs[c - FIRST_REF];
    for (int i = 0; i < f->n; i++)
        if (!f->refs[i].negated && ref_row(&f->refs[i])->letter == c)
            return &f->refs[i];
    return NULL;
}

static int bad_flag(const struct options *o, const struct flags *f, int c, char **argv,
                    struct oerr *e)
{
    const struct ref *r = optopt ? flags_find(f, optopt) : NULL;

    if (c == ':' && r)
        return oerr_set(e, -EINVAL, "--%s needs a value: %s", r->name, ref_row(r)->arg);
    if (r && optopt >= FIRST_REF)
        return oerr_set(e, -EINVAL, "--%s takes no value", r->name);
    if (optopt)
        return oerr_set(e, -EINVAL, "there is no option -%c: see %s --help", optopt,
                        o->spec->program);
    return oerr_set(e, -EINVAL, "there is no option %s, or it is short for several: see %s --help",
                    argv[optind - 1], o->spec->program);
}

static int take_flag(struct options *o, const struct ref *r, struct oerr *e)
{
    char source[80];

    if (!r->o) {
        *(r->row == 0 ? &o->help : &o->version) = true;
        return 0;
    }
    snprintf(source, sizeof source, "--%s", r->name);
    return options_set(r->o, r->row, r->negated, optarg ? optarg : "yes", FLAG, source, e);
}

static int read_flags(struct options *o, int argc, char **argv, struct oerr *e)
{
    struct flags f;
    int c, rc = flags_create(&f, o);

    optind = 0; /* GNU: start afresh */
    opterr = 0;
    while (rc == 0 && (c = getopt_long(argc, argv, f.letters, f.longs, NULL)) != -1) {
        if (c == '?' || c == ':')
            rc = bad_flag(o, &f, c, argv, e);
        else
            rc = take_flag(o, flags_find(&f, c), e);
    }
    o->operands = optind;
    flags_free(&f);
    return rc;
}

/* ---- the calls ---- */

int options_read(struct options **out, const struct options_spec *spec, int argc, char **argv,
                 struct oerr *e)
{
    struct options *o = calloc(1, sizeof *o);
    int rc = 0;

    if (!o)
        return oerr_set(e, -ENOMEM, "out of memory");
    o->spec = spec;
    o->rows = spec->rows;
    o->nrows = row_count(spec->rows);
    if (!(o->values = calloc((size_t)o->nrows + 1, sizeof *o->values)))
        rc = -ENOMEM;
    if (rc == 0)
        rc = read_flags(o, argc, argv, e);
    if (rc == 0 && !spec->outer && !o->help && !o->version) {
        rc = options_read_files(o, e);
        if (rc == 0)
            rc = options_read_environment(o, e);
    }
    if (rc < 0) {
        options_free(o);
        return rc == -ENOMEM ? oerr_set(e, rc, "out of memory") : rc;
    }
    *out = o;
    return 0;
}

void options_free(struct options *o)
{
    if (!o)
        return;
    for (int i = 0; o->values && i < o->nrows; i++)
        value_clear(&o->values[i]);
    free(o->values);
    free(o);
}

int options_exit_status(int rc)
{
    return rc == -EINVAL ? EX_USAGE : rc == -EBADMSG ? EX_CONFIG : EX_OSERR;
}

static const struct value *get(const struct options *o, const char *name)
{
    for (int i = 0; i < o->nrows; i++)
        if (strcmp(o->rows[i].name, name) == 0)
            return &o->values[i];
    fprintf(stderr, "there is no row for the option '%s'\n", name);
    abort();
}

const char *options_get(const struct options *o, const char *name)
{
    const struct value *v = get(o, name);

    return v->n ? v->v[v->n - 1] : NULL;
}

bool options_on(const struct options *o, const char *name)
{
    const char *text = options_get(o, name);

    return text && strcmp(text, "yes") == 0;
}

bool options_off(const struct options *o, const char *name)
{
    return get(o, name)->off;
}

const char *const *options_all(const struct options *o, const char *name, int *n)
{
    const struct value *v = get(o, name);

    *n = v->n;
    return (const char *const *)v->v;
}

const char *options_source(const struct options *o, const char *name)
{
    const struct value *v = get(o, name);

    return v->source ? v->source : "";
}

int options_operands(const struct options *o)
{
    return o->operands;
}

bool options_wants_help(const struct options *o)
{
    return o->help;
}

bool options_wants_version(const struct options *o)
{
    return o->version;
}

#define HELP_COLUMN 30

static void help_row(const struct option_row *row, struct obuf *out)
{
    char flag[128];
    int n = 0;

    if (row->letter)
        n = snprintf(flag, sizeof flag, "-%c, ", row->letter);
    n += snprintf(flag + n, sizeof flag - (size_t)n, "--%s%s%s%s%s", row->name, row->arg ? " " : "",
                  row->arg ? row->arg : "", row->negatable ? " | --no-" : "",
                  row->negatable ? row->name : "");
    obuf_printf(out, "  %s%*s", row->letter ? "" : "    ",
                row->letter ? -HELP_COLUMN - 4 : -HELP_COLUMN, flag);
    if (n >= (row->letter ? HELP_COLUMN + 4 : HELP_COLUMN))
        obuf_printf(out, "\n%*s", HELP_COLUMN + 6, "");
    obuf_printf(out, "%s%s\n", row->help, row->many ? " (may be repeated)" : "");
}

void options_help(const struct options_spec *spec, struct obuf *out)
{
    obuf_printf(out, "Usage: %s%s%s\n%s\n\nOptions:\n", spec->program, *spec->usage ? " " : "",
                spec->usage, spec->about);
    for (const struct option_row *row = spec->rows; row->name; row++)
        help_row(row, out);
    for (size_t i = 0; i < ARRAY_SIZE(standard_rows); i++)
        help_row(&standard_rows[i], out);
    if (!spec->outer)
        obuf_puts(
            out,
            "\nAn option NAME may also be given as ONEOS_NAME in the environment, or as a line\n"
            "`name = value` in ~/.config/oneos/oneos.conf or " OPTIONS_SYSTEM_FILE ".\n");
}
