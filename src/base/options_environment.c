/*
 * options_environment.c - options from the environment: ONEOS_NAME.
 */
#include "base/options_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int read_variable(struct options *o, int i, bool negated, struct oerr *e)
{
    char name[128];
    const char *text;
    int n, rc;

    n = snprintf(name, sizeof name, "ONEOS_%s%s", negated ? "NO_" : "", o->rows[i].name);
    for (int k = 0; k < n; k++)
        name[k] = name[k] == '-' ? '_' : (char)toupper((unsigned char)name[k]);
    text = getenv(name);
    if (!text || !*text)
        return 0;
    rc = options_set(o, i, negated, text, ENVIRONMENT, name, e);
    return rc == -EINVAL ? -EBADMSG : rc;
}

int options_read_environment(struct options *o, struct oerr *e)
{
    int rc = 0;

    for (int i = 0; i < o->nrows && rc == 0; i++) {
        if (o->rows[i].flag_only)
            continue;
        rc = read_variable(o, i, false, e);
        if (rc == 0 && o->rows[i].negatable)
            rc = read_variable(o, i, true, e);
    }
    return rc;
}
