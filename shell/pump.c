/*
 * pump.c - copies bytes between descriptors.
 *
 * It begins with a small buffer, which costs nothing to have, and goes on with 1 MiB once that came
 * back full: a direct read of the tree touches every page of what it asks for.
 */
#include "shell/shell.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>

#define FIRST_BYTES (16 * 1024)

enum pump_end pump(int from, int to, int *rc)
{
    char first[FIRST_BYTES];
    cleanup_free char *large = NULL;
    char *buffer = first;
    size_t size = sizeof first;

    for (;;) {
        ssize_t n = read(from, buffer, size);

        *rc = n < 0 ? -errno : 0;
        if (n == 0)
            return PUMP_EOF;
        if (*rc == -EINTR)
            continue;
        if (n < 0)
            return *rc == -EAGAIN ? PUMP_WOULD_BLOCK : PUMP_READ_FAILED;
        *rc = write_all(to, buffer, (size_t)n);
        if (*rc < 0)
            return PUMP_WRITE_FAILED;
        if ((size_t)n == size && !large && (large = malloc(IO_BYTES))) {
            buffer = large;
            size = IO_BYTES;
            fcntl(to, F_SETPIPE_SZ, IO_BYTES); /* fails where it is no pipe: no matter */
        }
    }
}
