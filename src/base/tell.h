/*
 * tell.h - telling the owners of requests and watches what happened, outside of every lock.
 *
 * For those who implement a stream (stream.h). While the stream's lock is held, answered requests
 * are collected in a list and watches are roused; after unlocking, tell() calls `done` and `fire`.
 * Only the outermost tell() on a thread calls them; what they bring about in turn joins its work.
 */
#ifndef ONEOS_BASE_TELL_H
#define ONEOS_BASE_TELL_H

#include "base/stream.h"

#include <pthread.h>

struct firing;

/* The watches of one stream or flow, under the lock of that. Its fields are private. */
struct watches {
    pthread_mutex_t *lock;
    void (*release)(struct watches *);
    struct iowatch *armed[2];
    struct iowatch *due;
    struct firing *firing;
    pthread_cond_t fired;
    bool told; /* it is in some thread's list */
    struct watches *next;
};

/* release gives back the reference that watches_due() asked for. */
void watches_init(struct watches *ws, pthread_mutex_t *lock, void (*release)(struct watches *));
void watches_destroy(struct watches *ws);

/* With the lock held. There are two sets, 0 and 1, such as readers and writers. */
void watches_arm(struct watches *ws, int set, struct iowatch *w);
void watches_rouse(struct watches *ws, int set);
void watches_disarm(struct watches *ws, struct iowatch *w); /* may let go of the lock to wait */

/* The same for a watch that may by now be armed with another stream instead. */
void watches_leave(struct watches *ws, struct iowatch *w);

/* True: take a reference on whatever holds ws, unlock, and give ws to tell(). */
bool watches_due(struct watches *ws);

/* A list of requests with their `rc` set (utlist's DL_, may be NULL), and watches (may be NULL). */
void tell(struct ioreq *answered, struct watches *due);

#endif
