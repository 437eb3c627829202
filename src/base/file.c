/*
 * file.c - small files that must be whole.
 *
 * Invariant: `path` names, at every moment and after a loss of power, either what was there
 * before or all of what was written. A temporary file that a killed process left behind is
 * named `.NAME.XXXXXX` and is never read.
 */
#include "base/file.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_kind(const char *path, int fd, bool secret, struct oerr *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return oerr_set(e, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return oerr_set(e, -EBADMSG, "%s is not a regular file: move it away", path);
    if (secret && (st.st_mode & 077))
        return oerr_set(e, -EPERM,
                        "%s holds a secret, but others than its owner may use it (mode %03o): "
                        "run `chmod 600 %s`",
                        path, (unsigned)(st.st_mode & 0777), path);
    return 0;
}

int file_read(const char *path, bool secret, char *buf, size_t size, struct oerr *e)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t len = 0;
    int rc;

    if (fd < 0)
        return oerr_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
    rc = check_kind(path, fd, secret, e);
    if (rc < 0)
        return rc;
    while (len < size) {
        ssize_t got = read(fd, buf + len, size - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return oerr_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    if (len == size || memchr(buf, '\0', len))
        return oerr_set(e, -EBADMSG, "%s is damaged: it %s", path,
                        len == size ? "is too long" : "contains NUL bytes");
    buf[len] = '\0';
    return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        n -= (size_t)put;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder(const char *folder)
{
    cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Some file systems cannot sync a folder and say EINVAL: nothing more can be done there. */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        return -errno;
    return 0;
}

static int put(const char *path, const void *data, size_t n, bool make, struct oerr *e)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX], temp[PATH_MAX];
    cleanup_close int fd = -1;
    int rc, len;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 2,
             slash ? path : "./");
    len = snprintf(temp, sizeof temp, "%s.%s.XXXXXX", folder, slash ? slash + 1 : path);
    if (len < 0 || (size_t)len >= sizeof temp)
        return oerr_set(e, -ENAMETOOLONG, "the path %.100s... is too long", path);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return oerr_set(e, -errno, "cannot make a file in %s: %s", folder, strerror(errno));
    rc = write_all(fd, data, n);
    if (rc == 0 && (make ? link(temp, path) : rename(temp, path)) < 0)
        rc = -errno;
    if (rc < 0 || make)
        unlink(temp);
    if (rc == 0)
        rc = sync_folder(folder);
    if (rc == -EEXIST)
        return rc;
    if (rc < 0)
        return oerr_set(e, rc, "cannot write %s: %s", path, strerror(-rc));
    return 0;
}

int file_replace(const char *path, const void *data, size_t n, struct oerr *e)
{
    return put(path, data, n, false, e);
}

int file_make(const char *path, const void *data, size_t n, struct oerr *e)
{
    return put(path, data, n, true, e);
}

int file_folder(const char *path, struct oerr *e)
{
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return oerr_set(e, -errno, "cannot make the folder %s: %s", path, strerror(errno));
    if (stat(path, &st) < 0)
        return oerr_set(e, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return oerr_set(e, -ENOTDIR,
                        "%s is not a folder: move it away or choose another with --state", path);
    if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
        return oerr_set(e, -errno, "cannot write in the folder %s: %s", path, strerror(errno));
    return 0;
}
