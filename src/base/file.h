/*
 * file.h - small files that must be whole: read at once, written atomically.
 */
#ifndef ONEOS_BASE_FILE_H
#define ONEOS_BASE_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads the whole file into buf as text with a NUL behind it. -ENOENT; -EPERM when it is `secret`
 * and group or others may touch it; -EBADMSG when it is not a regular file, does not fit, or
 * holds a NUL. */
int file_read(const char *path, bool secret, char *buf, size_t size, struct oerr *e);

/* Puts a file with mode 0600 in place: temporary file beside it, fsync, rename, fsync of the
 * folder. After a failure the path still names a whole file: in all cases but a failed sync of the
 * folder, the old one. */
int file_replace(const char *path, const void *data, size_t n, struct oerr *e);

/* The same for a file that must not be there yet: -EEXIST when another was first (no words). */
int file_make(const char *path, const void *data, size_t n, struct oerr *e);

/* Makes a folder (0700) unless it is there. -ENOTDIR; -EACCES when it cannot be used. */
int file_folder(const char *path, struct oerr *e);

#endif
