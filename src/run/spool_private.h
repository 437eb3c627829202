/*
 * spool_private.h - a spool, shared by the file that fills it and the one that reads it.
 */
#ifndef ONEOS_RUN_SPOOL_PRIVATE_H
#define ONEOS_RUN_SPOOL_PRIVATE_H

#include "base/tell.h"
#include "run/spool.h"

#include <pthread.h>

#define SPOOL_CHUNK (256 * 1024) /* also what `start` is a multiple of */

struct reader {
    struct stream stream;
    struct spool *spool;
    uint64_t at;
    uint64_t low;  /* while reads are under way: where the oldest of them began, or before that */
    unsigned busy; /* reads under way */
    int broken;    /* bytes could not be read back: what follows would be out of order */
    bool cut;      /* the first bytes had gone, and it wants to know */
    struct reader *prev, *next;
};

struct spool {
    pthread_mutex_t lock;
    _Atomic unsigned refs;
    struct loop *data;
    char *path;
    int file, fd;
    uint64_t limit, start, end, dropped;
    uint64_t seen; /* all before this was read by somebody or has gone */
    bool ended, draining, released, waiting, remove;
    int broken; /* ended, but not by an end of file */
    int error;
    struct reader *readers;
    struct ioreq *parked;
    struct watches watches;
    void (*news)(void *arg);
    void *arg;

    /* Of the turn. */
    char *held; /* bytes that the disk did not take yet */
    size_t held_n;
    uint64_t punched;
    bool copies;  /* splice() cannot do it */
    ssize_t turn; /* what it came to: > 0 more, 0 end, -errno */

    /* Of the data loop. */
    struct task begin, resume, halt;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_work_t work;
    bool turning; /* a turn is in the pool */
    bool stopped; /* its handles are closed or about to be */
    unsigned handles;
};

void spool_unref(struct spool *s);

/* With the lock held. Opens the file for who reads or drains it; closes it when nobody does. */
int spool_reopen(struct spool *s);
void spool_idle(struct spool *s);

/* spool_read.c. The first three with the lock held. */
uint64_t
spool_pinned(const struct spool *s); /* the lowest offset that an open reader still needs */
bool spool_full(const struct spool *s);
void spool_resume(struct spool *s); /* has the draining go on that waited for a reader */
void spool_wake(struct spool *s); /* answers all parked reads that can be, and tells the watches */

#endif
