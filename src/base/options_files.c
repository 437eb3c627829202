/*
 * options_files.c - options from the configuration files.
 *
 * inih reads the files; its lines are counted here, since it does not tell them.
 */
#include "base/options_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 4096

struct file {
    struct options *o;
    const char *path;
    FILE *in;
    enum level level;
    int line, error_line; /* error_line: 0, or the first bad one, with words in err */
    int rc;
    struct oerr err;
};

static int file_error(struct file *f, int rc, const char *what)
{
    if (f->error_line)
        return 0;
    f->error_line = f->line;
    f->rc = rc == -ENOMEM ? rc : -EBADMSG;
    snprintf(f->err.text, sizeof f->err.text, "%s", what);
    return 0;
}

/* The fgets of inih: counts lines, and takes the blanks before them, which would make inih join
 * them to the line before. */
static char *read_line(char *to, int size, void *arg)
{
    struct file *f = arg;
    size_t n;

    if (f->error_line || !fgets(to, size, f->in))
        return NULL;
    f->line++;
    n = strlen(to);
    if (n + 1 == (size_t)size && to[n - 1] != '\n') {
        file_error(f, -EINVAL, "the line is too long; an option that takes a list may be repeated");
        return NULL;
    }
    n = strspn(to, " \t");
    memmove(to, to + n, strlen(to + n) + 1);
    return to;
}

static bool for_us(struct file *f, const char *section)
{
    return !*section || strcmp(section, f->o->spec->program) == 0;
}

/* Called by inih for each `name = value`; 0 is an error. */
static int on_line(void *arg, const char *section, const char *name, const char *value)
{
    struct file *f = arg;
    char source[PATH_BYTES + 16];
    struct oerr e = { "" };
    bool negated;
    int i, rc;

    if (!for_us(f, section)) {
        if (strcmp(section, "oneosd") == 0 || strcmp(section, "oneos") == 0)
            return 1;
        oerr_set(&e, 0, "there is no section [%s]: use [oneosd] or [oneos]", section);
        return file_error(f, -EINVAL, e.text);
    }
    i = options_find(f->o, name, &negated);
    if (i < 0 || f->o->rows[i].flag_only) {
        if (!*section && f->o->spec->lenient)
            return 1;
        oerr_set(&e, 0, "%s has no option '%s': see %s --help", f->o->spec->program, name,
                 f->o->spec->program);
        return file_error(f, -EINVAL, e.text);
    }
    snprintf(source, sizeof source, "%s:%d", f->path, f->line);
    rc = options_set(f->o, i, negated, value, f->level, source, &e);
    if (rc == 0)
        return 1;
    /* The words of options_set() begin with the source, which the caller puts in front of all
     * words. */
    return file_error(f, rc, e.text + (*e.text ? strlen(source) + 2 : 0));
}

static int read_file(struct options *o, const char *path, enum level level, struct oerr *e)
{
    cleanup_fclose FILE *in = fopen(path, "re");
    struct file f = { .o = o, .path = path, .in = in, .level = level };
    int rc;

    if (!in && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!in)
        return oerr_set(e, -EBADMSG, "%s cannot be read: %s", path, strerror(errno));
    rc = ini_parse_stream(read_line, &f, on_line, &f);
    if (ferror(in))
        return oerr_set(e, -EBADMSG, "%s cannot be read: %s", path, strerror(errno));
    if (f.error_line)
        return f.rc == -ENOMEM ? f.rc
                               : oerr_set(e, f.rc, "%s:%d: %s", path, f.error_line, f.err.text);
    if (rc != 0)
        return oerr_set(e, -EBADMSG, "%s:%d: not a line of the form `name = value`", path, rc);
    return 0;
}

int options_read_files(struct options *o, struct oerr *e)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    const char *system = o->spec->system_file ? o->spec->system_file : OPTIONS_SYSTEM_FILE;
    char path[PATH_BYTES];
    int n = 0, rc;

    if ((rc = read_file(o, system, SYSTEM, e)) < 0)
        return rc;
    if (config && *config == '/')
        n = snprintf(path, sizeof path, "%s/oneos/oneos.conf", config);
    else if (home && *home == '/')
        n = snprintf(path, sizeof path, "%s/.config/oneos/oneos.conf", home);
    if (n == 0)
        return 0;
    if (n >= (int)sizeof path)
        return oerr_set(e, -EBADMSG, "the path in XDG_CONFIG_HOME or HOME is too long");
    return read_file(o, path, USER, e);
}
