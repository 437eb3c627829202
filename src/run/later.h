/*
 * later.h - a stream whose other side is still being found: requests wait until it is there.
 */
#ifndef ONEOS_RUN_LATER_H
#define ONEOS_RUN_LATER_H

#include "base/stream.h"

struct later;

/* Two references: the stream's (closing it drops that) and the finder's. */
int later_create(struct later **out, struct stream **stream);

/* The stream is still open: for the finder, who need not make what nobody wants. */
bool later_wanted(struct later *l);

/* The finder's word, once: s (taken over) when rc is 0, else every request answers rc. If the
 * stream was closed meanwhile, s is closed with it. Drops the finder's reference. */
void later_found(struct later *l, struct stream *s, int rc);

#endif
