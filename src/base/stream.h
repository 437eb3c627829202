/*
 * stream.h - the interface of everything that bytes flow through.
 *
 * A stream is one open end: of a pipe, of a process's output, of a file on another machine. A
 * read or write is a request that the caller owns and that is answered through `done`, now or
 * later, from any thread and with no lock held: a blocked call costs a parked request, no thread.
 */
#ifndef ONEOS_BASE_STREAM_H
#define ONEOS_BASE_STREAM_H

#include "base/blk.h"

struct stream;

/* One read or write under way. The caller zero-initialises and embeds it, keeps it alive until
 * `done`, and does not touch it in between.
 *
 * `done` and `fire` must not wait for another request. What is submitted from inside of them is
 * answered after they return, so that a long chain of requests needs no deep stack. */
struct ioreq {
    /* rc > 0: bytes read, or bytes written; 0: end of file (reads), nothing to write (writes);
     * -EAGAIN: `nonblock` and it would block; -EPIPE, -EIO, ...: as for read(2) and write(2).
     * A write that fails after some bytes were taken answers their count; the next one fails. */
    void (*done)(struct ioreq *, ssize_t rc);
    size_t size;         /* read: the most bytes wanted */
    bool nonblock;       /* do not park: -EAGAIN, or what can be moved now */
    bool whole;          /* read: do not end inside a write of at most 4096 bytes if the answer can
                            end before it (for senders: what they cut in two could be torn) */
    struct slices bytes; /* read: empty, then the answer, the caller's to free; write: what is to be
                            written, consumed by the stream as it takes it */
    size_t moved;        /* private to the stream: bytes of a write taken so far */
    ssize_t rc;          /* private to the stream: the answer on its way to `done` */
    struct ioreq *prev, *next; /* private to the stream: its queue */
    void *owner;               /* private to the stream: the queue's owner, NULL when not queued */
};

/* Fires once when readiness may have changed; zero-initialised and embedded by the poller. `fire`
 * is called from any thread, with no lock of the stream's held, and may call poll again. */
struct iowatch {
    void (*fire)(struct iowatch *);
    struct iowatch *next, **link; /* private to the stream */
};

struct stream_ops {
    /* Answers req->done; it may do so before it returns. NULL: -EBADF for the caller. */
    void (*read)(struct stream *, struct ioreq *req);
    void (*write)(struct stream *, struct ioreq *req);

    /* Answers 0 when all that was written to this end has arrived where it goes, -errno when some
     * of it has not and will not; at once where nothing carries it elsewhere. req has no bytes.
     * NULL: it is not for writing. */
    void (*sync)(struct stream *, struct ioreq *req);

    /* Takes a request back. True: it was parked here, `done` will not be called, it is the
     * caller's again (a write's `moved` tells what was taken). False: it has been or is being
     * answered. The request must be alive while this runs. */
    bool (*cancel)(struct stream *, struct ioreq *req);

    /* Returns POLLIN, POLLOUT, POLLHUP, POLLERR as they are now; arms w (may be NULL) for the
     * next change. Arming it again while armed changes nothing. */
    short (*poll)(struct stream *, struct iowatch *w);

    /* w will not fire after this returns: it waits for a `fire` that runs on another thread, so
     * hold no lock that `fire` takes. */
    void (*unwatch)(struct stream *, struct iowatch *w);

    /* Closes and frees the end. No request may be under way, no watch armed. how: 0 the owner
     * closed it cleanly; -errno it broke, and whoever is on the other side must not take it for an
     * end of file. */
    void (*close)(struct stream *, int how);
};

struct stream {
    const struct stream_ops *ops;
};

#endif
