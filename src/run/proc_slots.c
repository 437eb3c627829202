/*
 * proc_slots.c - one file for the records of many short processes.
 *
 * A file of its own for each would cost an inode that is made and removed again, which is what a
 * file system is slowest at. Here each has a slot of SLOT_BYTES: text, a newline, and behind it
 * what is left of longer text. A slot that does not begin with '{' is free. A slot is written with
 * one call that lies within one page: a daemon that is killed has done it or not done it.
 */
#include "run/proc_slots.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct slots {
    int fd;
    unsigned n; /* slots that the file has */
    unsigned *free_ones, n_free, room;
};

/* Remembers that a slot is free; without memory for that it stays unused until the next start. */
static void note_free(struct slots *s, unsigned slot)
{
    if (s->n_free == s->room) {
        unsigned room = s->room ? 2 * s->room : 64;
        unsigned *grown = realloc(s->free_ones, room * sizeof *grown);

        if (!grown)
            return;
        s->free_ones = grown;
        s->room = room;
    }
    s->free_ones[s->n_free++] = slot;
}

int slots_open(struct slots **out, const char *path, slots_found_fn *found, void *arg,
               struct oerr *e)
{
    struct slots *s = calloc(1, sizeof *s);
    char text[SLOT_BYTES + 1];
    struct stat st;
    unsigned n;

    if (!s)
        return -ENOMEM;
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        int rc = oerr_set(e, -errno, "%s cannot be used: %s", path, strerror(errno));

        slots_close(s);
        return rc;
    }
    n = (unsigned)((st.st_size + SLOT_BYTES - 1) / SLOT_BYTES);
    for (s->n = 0; s->n < n; s->n++) {
        ssize_t got = pread(s->fd, text, SLOT_BYTES, (off_t)s->n * SLOT_BYTES);

        text[got > 0 ? got : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        if (text[0] != '{' || !found(arg, s->n, text))
            note_free(s, s->n);
    }
    *out = s;
    return 0;
}

void slots_close(struct slots *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->free_ones);
    free(s);
}

int slots_write(struct slots *s, int *slot, const char *text, size_t n)
{
    char line[SLOT_BYTES];
    bool fresh = *slot < 0;
    unsigned at;

    if (n >= SLOT_BYTES)
        return -E2BIG;
    if (!fresh)
        at = (unsigned)*slot;
    else
        at = s->n_free ? s->free_ones[--s->n_free] : s->n++;
    memcpy(line, text, n);
    line[n] = '\n';
    if (pwrite(s->fd, line, n + 1, (off_t)at * SLOT_BYTES) != (ssize_t)n + 1) {
        int rc = errno ? -errno : -ENOSPC;

        if (fresh)
            note_free(s, at);
        return rc;
    }
    *slot = (int)at;
    return 0;
}

void slots_free(struct slots *s, int *slot)
{
    if (*slot < 0)
        return;
    if (pwrite(s->fd, "\n", 1, (off_t)*slot * SLOT_BYTES) == 1)
        note_free(s, (unsigned)*slot);
    *slot = -1;
}
