/*
 * flow.h - a bounded queue of bytes between writers and readers on any threads.
 *
 * It is what a named pipe's buffer, a process's stdin and the local half of a channel are. Its
 * ends are streams (stream.h). Semantics, those of "Pipes, exactly" in oneosfs(5):
 *  - A read waits for data; it answers 0 (end of file) once a writer has been there, all writers
 *    have closed cleanly and everything was read. A write waits while `capacity` bytes are queued.
 *  - Writes of at most 4096 bytes go in whole and are never interleaved with others.
 *  - stream mode: each byte goes to one reader. broadcast mode: each reader has its own place and
 *    gets every byte from its open onwards (one that finds no other reader also what is queued);
 *    the slowest sets the pace.
 *  - Once readers have been there and all have closed, writes answer -EPIPE.
 *  - When a writer breaks (close with how < 0), readers get what is queued and then that errno,
 *    always, never end of file. When a reader breaks, writers get -EPIPE.
 *  - When no end is left, what was said about "has been there" and broken ends is forgotten,
 *    but queued bytes, and an end of file or a break that no reader has seen yet, are kept;
 *    unless a writer got -EPIPE since a reader was there last: then what is queued is the
 *    beginning of something that was cut off, and goes.
 *  - A writer that closes with -EPIPE, when no reader is left, has only been told so elsewhere.
 */
#ifndef ONEOS_BASE_FLOW_H
#define ONEOS_BASE_FLOW_H

#include "base/stream.h"

struct flow;

enum flow_mode { FLOW_STREAM, FLOW_BROADCAST };

struct flow_stat {
    unsigned readers, writers; /* ends open now */
    bool readers_been, writers_been;
    bool news;                    /* an end of file or a break that no reader has been told */
    size_t buffered;              /* bytes queued */
    uint64_t bytes_in, bytes_out; /* since the flow was made; broadcast counts a byte out once */
};

/* One reference for the caller; each end holds another. capacity > 0, in bytes. */
int flow_create(struct flow **out, size_t capacity, enum flow_mode mode);
struct flow *flow_ref(struct flow *f);
void flow_unref(struct flow *f);

/* Opens an end. -ENOMEM. */
int flow_open_reader(struct flow *f, struct stream **out);

/* A reader whose owner carries the bytes elsewhere, and learns when they have arrived: the writers'
 * sync (stream.h) waits for that. While one waits and all that was written before was read, a read
 * answers -EINPROGRESS, once; flow_synced() then says that all of that has arrived (0). With rc <
 * 0, at any time: what has not arrived yet never will. At most one at a time. */
int flow_open_carrier(struct flow *f, struct stream **out);
void flow_synced(struct flow *f, int rc);

/* `quiet`: a writer that closes without having written, and without a reader having been there
 * during its life, does not count as having been there (a `touch`, or the `>` that makes a pipe).
 */
int flow_open_writer(struct flow *f, bool quiet, struct stream **out);

void flow_set_capacity(struct flow *f, size_t capacity);

/* -EBUSY while it holds bytes or has an end open. */
int flow_set_mode(struct flow *f, enum flow_mode mode);
void flow_stat(struct flow *f, struct flow_stat *st);

/* Breaks it for good: what is queued is dropped, everything parked and everything later answers rc
 * (-EIO, ...). */
void flow_break(struct flow *f, int rc);

/* Called, with no lock held, on any thread, when ends come and go or bytes pass; coalesce in it.
 * Set once, before the first end is opened. freed (may be NULL): on any thread, with the last
 * reference: changed will not be called any more. */
void flow_on_change(struct flow *f, void (*changed)(void *arg), void (*freed)(void *arg),
                    void *arg);

#endif
