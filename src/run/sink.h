/*
 * sink.h - bytes from a stream into a descriptor: a process's stdin.
 *
 * Reads the stream's end of file as the order to close the descriptor; a descriptor that nobody
 * reads any more (EPIPE) closes the stream with -EPIPE, so that writers get EPIPE. Runs on the data
 * loop; the calls may be made from any thread.
 */
#ifndef ONEOS_RUN_SINK_H
#define ONEOS_RUN_SINK_H

#include "base/loop.h"
#include "base/stream.h"

#include <stdbool.h>

struct sink;

/* Takes over the stream and the descriptor (non-blocking); sink_stop() must still be called, once.
 * ended: called once on the data loop, before fd is closed, with a lock held (so post and return);
 * not after sink_stop() returned. broken tells that the stream broke instead of ending. */
int sink_start(struct sink **out, struct loop *data, struct stream *from, int fd,
               void (*ended)(void *arg, bool broken), void *arg);

uint64_t sink_bytes(const struct sink *s); /* delivered so far; NULL is allowed */

/* Ends it now; bytes not yet delivered are dropped. The sink must not be used any more. */
void sink_stop(struct sink *s);

#endif
