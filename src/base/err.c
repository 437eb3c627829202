/*
 * err.c - errors with text: fills the caller's fixed buffer, one line, printable UTF-8.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The bytes of the character at p, 0 when it is none that text may have (RFC 3629). */
static int utf8_length(const unsigned char *p)
{
    static const struct {
        unsigned char mask, lead;
        unsigned min;
    } forms[] = {
        { 0x80, 0, ' ' }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 }
    };

    for (int n = 0; n < 4; n++) {
        unsigned c = *p & (unsigned char)~forms[n].mask;
        int i;

        if ((*p & forms[n].mask) != forms[n].lead)
            continue;
        for (i = 1; i <= n && (p[i] & 0xc0) == 0x80; i++)
            c = c << 6 | (p[i] & 0x3f);
        return i <= n || c < forms[n].min || c == 0x7f || c > 0x10ffff ||
                       (c >= 0xd800 && c < 0xe000)
                   ? 0
                   : n + 1;
    }
    return 0;
}

int oerr_set(struct oerr *e, int rc, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return rc;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    for (char *p = e->text; *p;) {
        int n = utf8_length((unsigned char *)p);

        if (n == 0)
            *p = '?';
        p += n ? n : 1;
    }
    return rc;
}
