/*
 * source.h - a descriptor as a stream that is read once: what a process writes into a wire.
 *
 * Nothing is kept: who opens it reads the descriptor itself, and the process waits while he does
 * not. The end of the descriptor is not yet the end of the stream: the owner, who knows why the
 * process ended, says with source_end() whether readers may take it for the end of file.
 */
#ifndef ONEOS_RUN_SOURCE_H
#define ONEOS_RUN_SOURCE_H

#include "base/loop.h"
#include "base/stream.h"

struct source;

/* over: called once on the data loop when the descriptor has been closed here: at its end, or since
 * the reader closed before that (unread). With a lock held, so post and return; not after
 * source_release() returned. */
int source_create(struct source **out, struct loop *data, void (*over)(void *arg, bool unread),
                  void *arg);

/* Reads from fd (non-blocking; the source's from here on). Once; the other calls may come before.
 * Any thread, as for all of them. */
void source_attach(struct source *s, int fd);

/* The reader gets this after what it has read: 0 the end of file, -errno it broke. Nothing more is
 * read from the descriptor. The first call counts. */
void source_end(struct source *s, int rc);

/* The reader: one, once; -EALREADY afterwards. Closing it closes the descriptor. */
int source_open(struct source *s, struct stream **out);

uint64_t source_bytes(struct source *s); /* read so far */

/* Lets go of it; what had no end said breaks with -EIO. NULL is allowed. */
void source_release(struct source *s);

#endif
