/*
 * files.c - reading and writing files of the tree, and words for what fails.
 */
#include "shell/shell.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define READ_BYTES (32 * 1024) /* small: a direct read touches every page of it */

int tree_open(const struct shell *sh, int flags, const char *fmt, ...)
{
    char path[PATH_BYTES];
    va_list ap;
    int n, fd;

    va_start(ap, fmt);
    n = vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof path)
        return -ENAMETOOLONG;
    do
        fd = openat(sh->dir, path, flags | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* Up to the end of the file, or of the first line; -EFBIG: there is more than `most`. */
static int read_some(int fd, bool one_line, size_t most, struct obuf *out)
{
    char buffer[READ_BYTES];
    ssize_t n;

    for (;;) {
        n = read(fd, buffer, sizeof buffer);
        if (n > 0)
            obuf_put(out, buffer, (size_t)n);
        else if (n < 0 && errno != EINTR)
            return -errno;
        if (out->len > most)
            return -EFBIG;
        if (n == 0 || (n > 0 && one_line && memchr(buffer, '\n', (size_t)n)))
            return obuf_check(out);
    }
}

int read_all(int fd, struct obuf *out)
{
    return read_some(fd, false, SIZE_MAX, out);
}

int read_most(int fd, size_t most, struct obuf *out)
{
    return read_some(fd, false, most, out);
}

int tree_read(const struct shell *sh, struct obuf *out, const char *path)
{
    cleanup_close int fd = tree_open(sh, O_RDONLY, "%s", path);

    return fd < 0 ? fd : read_all(fd, out);
}

int tree_read_line(const struct shell *sh, struct obuf *out, const char *path)
{
    cleanup_close int fd = tree_open(sh, O_RDONLY, "%s", path);

    return fd < 0 ? fd : read_some(fd, true, SIZE_MAX, out);
}

int write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN && fcntl(fd, F_GETFL) & O_NONBLOCK) {
            /* somebody else made our standard output so; without it, it is an answer */
            struct pollfd pfd = { .fd = fd, .events = POLLOUT };

            poll(&pfd, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* A path in the folder of a thing that there is not: words for people, who gave its name alone. */
static bool missing_words(const struct shell *sh, const char *path, struct obuf *out)
{
    static const struct {
        const char *folder, *what, *lists;
    } known[] = {
        { "jobs/", "job", "`oneos jobs -a` lists them" },
        { "procs/", "job or process", "`oneos jobs -a` and `oneos ps -a` list them" },
        { "machines/", "machine", "`oneos machines` lists them" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        size_t n = strlen(known[i].folder);
        const char *name = path + n, *end;
        char thing[PATH_BYTES];

        if (strncmp(path, known[i].folder, n) != 0 || !(end = strchr(name, '/')))
            continue;
        snprintf(thing, sizeof thing, "%.*s", (int)(end - path), path);
        if (faccessat(sh->dir, thing, F_OK, 0) == 0)
            return false;
        obuf_printf(out, "there is no %s '%s': %s", known[i].what, thing + n, known[i].lists);
        return true;
    }
    return false;
}

void errno_words(const struct shell *sh, const char *path, int rc, struct obuf *out)
{
    static const struct {
        int rc;
        const char *words;
    } known[] = {
        { -ENOTCONN, "the daemon of this mount is gone: start oneosd again" },
        { -ECONNABORTED, "the daemon of this mount is gone: start oneosd again" },
        { -EHOSTUNREACH, "that machine cannot be reached" },
        { -ESRCH, "it has ended" },
        { -ENOENT, "there is no such file" },
        { -EIO, "some of it was lost with a machine or a connection, or is kept no more" },
    };
    const char *words = strerror(-rc);

    if (rc == -ENOENT && missing_words(sh, path, out))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].rc == rc)
            words = known[i].words;
    obuf_printf(out, "%s/%s: %s", sh->mount, path, words);
}

/* The sibling of a path: the same folder, another name. */
static void sibling(const char *path, const char *name, char out[static PATH_BYTES])
{
    const char *slash = strrchr(path, '/');

    snprintf(out, PATH_BYTES, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
}

void ctl_words(const struct shell *sh, const char *path, int rc, struct obuf *out)
{
    char error[PATH_BYTES];
    struct obuf text = { 0 };
    size_t n;

    sibling(path, "error", error);
    if (tree_read(sh, &text, error) == 0 && text.len > 0 && (n = strcspn(text.p, "\n")) > 0)
        obuf_put(out, text.p, n);
    else
        errno_words(sh, path, rc, out);
    obuf_free(&text);
}

int say_errno(const struct shell *sh, const char *path, int rc)
{
    struct obuf words = { 0 };

    errno_words(sh, path, rc, &words);
    say(EXIT_ONEOS, "%s", obuf_check(&words) ? "out of memory" : words.p);
    obuf_free(&words);
    return EXIT_ONEOS;
}

int say_ctl(const struct shell *sh, const char *path, int rc)
{
    struct obuf words = { 0 };

    ctl_words(sh, path, rc, &words);
    say(EXIT_ONEOS, "%s", obuf_check(&words) ? "out of memory" : words.p);
    obuf_free(&words);
    return EXIT_ONEOS;
}

int ctl_write(const struct shell *sh, const char *path, const char *lines)
{
    cleanup_close int fd = tree_open(sh, O_WRONLY, "%s", path);
    int rc;

    if (fd < 0)
        return say_errno(sh, path, fd);
    rc = write_all(fd, lines, strlen(lines));
    if (rc == 0)
        return 0;
    return say_ctl(sh, path, rc);
}

static bool is_plain_name(const char *name)
{
    return isalnum((unsigned char)*name) && strlen(name) < NAME_BYTES && !strchr(name, '/');
}

static bool is_there(const struct shell *sh, const char *folder, const char *name)
{
    char path[NAME_BYTES * 2];

    snprintf(path, sizeof path, "%s%s", folder, name);
    return faccessat(sh->dir, path, F_OK, 0) == 0;
}

int thing_path(const struct shell *sh, const char *name, char path[static NAME_BYTES * 2])
{
    bool procs = strncmp(name, "procs/", 6) == 0, jobs = strncmp(name, "jobs/", 5) == 0;
    const char *plain = name + (procs ? 6 : jobs ? 5 : 0);
    bool number = plain[strspn(plain, "0123456789")] == '\0';

    if (!is_plain_name(plain))
        return bad_usage(
            sh, "'%s' is not the name of a job such as 17, or of a process such as A.17", name);
    if (!procs && !jobs && !number) {
        jobs = is_there(sh, "jobs/", plain);
        procs = is_there(sh, "procs/", plain);
        if (jobs && procs)
            return bad_usage(sh, "'%s' is a job and a process: say jobs/%s or procs/%s", name, name,
                             name);
    }
    snprintf(path, NAME_BYTES * 2, "%s/%s", jobs || (number && !procs) ? "jobs" : "procs", plain);
    return 0;
}

int job_path(const struct shell *sh, const char *name, char path[static NAME_BYTES * 2])
{
    const char *plain = name + (strncmp(name, "jobs/", 5) == 0 ? 5 : 0);

    if (!is_plain_name(plain))
        return bad_usage(sh, "'%s' is not the name of a job such as 17", name);
    snprintf(path, NAME_BYTES * 2, "jobs/%s", plain);
    return 0;
}

int check_machine(const struct shell *sh, const char *id)
{
    return is_plain_name(id) ? 0 : bad_usage(sh, "'%s' is not the id of a machine", id);
}
