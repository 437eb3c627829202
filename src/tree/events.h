/*
 * events.h - the stream of what happens: one JSON object a line, to everyone who reads `events`.
 *
 * A reader sees what happens from its open onwards. One that does not keep up loses lines, and is
 * told how many: {"lost":n}. Core loop only.
 */
#ifndef ONEOS_TREE_EVENTS_H
#define ONEOS_TREE_EVENTS_H

#include "base/stream.h"

#include <jansson.h>

struct events;

int events_create(struct events **out);
void events_destroy(struct events *e); /* readers get end of file */
int events_open(struct events *e, struct stream **out);

bool events_heard(const struct events *e); /* somebody reads them */

/* Adds "time" and sends it to all readers; takes the reference. */
void events_tell(struct events *e, json_t *event);

#endif
