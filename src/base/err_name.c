/*
 * err_name.c - the names of errnos, by glibc.
 */
#include "base/err.h"

#include <string.h>

const char *oerr_name(int err)
{
    const char *name = strerrorname_np(err < 0 ? -err : err);

    return name ? name : "E?";
}
