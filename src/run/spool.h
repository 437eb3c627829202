/*
 * spool.h - what a process wrote, kept in a file: readable from its start, then live, then its end.
 *
 * The spool drains a descriptor (the parent's end of stdout or stderr) into a file, which outlives
 * the daemon. The newest `limit` bytes are kept; older ones go unless an open reader still needs
 * them, and then the process is slowed instead. What went unread is counted, never silent. When the
 * disk is full the draining stops (the process blocks as on a full pipe) and is tried again every
 * second. A daemon that is killed loses nothing of what came through a pipe: a byte is in the pipe
 * or in the file. There is no file before the first byte, and none is open while nobody drains or
 * reads.
 */
#ifndef ONEOS_RUN_SPOOL_H
#define ONEOS_RUN_SPOOL_H

#include "base/err.h"
#include "base/loop.h"
#include "base/stream.h"

#include <stdbool.h>
#include <stdint.h>

#define SPOOL_LIMIT (64 * 1024 * 1024) /* where nobody says otherwise */

struct spool;

struct spool_stat {
    uint64_t bytes;   /* written by the process so far */
    uint64_t dropped; /* of these, no longer kept and never read */
    uint64_t kept;    /* of these, in the file */
    bool ended;       /* nothing more will come: the end of file was seen, or it broke */
    bool draining;    /* a descriptor is drained whose end was not seen yet */
    int broken;       /* -errno: it ended, but not by an end of file; something may be missing */
    int error;        /* -errno while it cannot store more, else 0 */
};

/* Opens or makes the file at path; what is in it is kept. ended: nothing more will come, until
 * spool_drain() says otherwise. */
int spool_create(struct spool **out, struct loop *data, const char *path, uint64_t limit,
                 bool ended, struct oerr *e);

/* Starts draining fd (non-blocking; the spool's from here on). Any thread, once. news (may be
 * NULL): called when that is over, and when it cannot store more or can again, on the data loop,
 * with a lock held (so post and return); not after spool_release(). */
void spool_drain(struct spool *s, int fd, void (*news)(void *arg), void *arg);

/* There is no descriptor to drain: readers get what is kept, then end of file, or, with how < 0,
 * that errno: something may be missing. */
void spool_end(struct spool *s, int how);

/* A reader from the first byte kept; whole: it ends with -EIO when that is not the first of all. */
int spool_open(struct spool *s, bool whole, struct stream **out);
void spool_stat(struct spool *s, struct spool_stat *st);

/* Drops all that is kept, so that it takes no room on the disk. -EBUSY while it is drained or read.
 */
int spool_drop(struct spool *s);

/* Lets go of it: draining stops, readers keep what they have open and then get end of file, or -EIO
 * when the end had not been seen. remove: the file goes too. */
void spool_release(struct spool *s, bool remove);

#endif
