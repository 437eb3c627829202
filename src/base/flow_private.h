/*
 * flow_private.h - the insides of a flow, for flow.c, flow_end.c and flow_sync.c only.
 */
#ifndef ONEOS_BASE_FLOW_PRIVATE_H
#define ONEOS_BASE_FLOW_PRIVATE_H

#include "base/flow.h"
#include "base/fqueue.h"
#include "base/tell.h"

enum side { READERS, WRITERS };

struct place {
    struct fcursor cur;
    struct ioreq *parked;
};

struct end {
    struct stream s;
    struct flow *f;
    enum side side;
    struct place own; /* a broadcast reader's */
    bool carrier;     /* a reader that tells what has arrived */
};

struct flow {
    pthread_mutex_t lock;
    _Atomic unsigned refs;
    size_t capacity;
    enum flow_mode mode;
    struct fqueue q;
    struct place shared;  /* in stream mode */
    struct ioreq *writes; /* parked */
    unsigned open[2];
    bool been[2];
    bool reader_broke;
    bool refused;        /* a writer got -EPIPE since a reader opened */
    int broke;           /* the errno of a writer that broke */
    bool broke_news;     /* ... and no reader has been told */
    bool eof_news;       /* an end of file that no reader has been told */
    int dead;            /* flow_break() */
    uint64_t dropped;    /* bytes that nobody read */
    struct ioreq *syncs; /* writers that wait for what they wrote to arrive (flow_sync.c) */
    bool carried;        /* there is a carrier */
    bool sync_out;       /* it was told of some of the syncs, and has yet to answer */
    uint64_t sync_at;    /* how much had been written then */
    uint64_t arrived;    /* that much has */
    int lost;            /* -errno: what follows has not and will not */
    struct watches watches;
    void (*changed)(void *arg);
    void (*freed)(void *arg);
    void *arg;
};

/* What a call has brought about. */
struct outcome {
    struct ioreq *answered;
    bool changed;
};

/* flow.c. All but the first with the lock held. */
void flow_unlock_and_tell(struct flow *f, struct outcome *o);
void flow_answer(struct ioreq **list, struct ioreq *r, ssize_t rc, struct outcome *o);
bool flow_serve_all(struct flow *f, struct outcome *o);
bool flow_serve(struct flow *f, struct place *at, struct outcome *o); /* true: bytes were taken */
void flow_advance(struct flow *f, struct outcome *o); /* until neither reads nor writes go on */
void flow_settle(struct flow *f, struct outcome *o);  /* after ends have come or gone */
bool flow_writable(const struct flow *f);
int flow_write_error(const struct flow *f); /* 0, or why no write can succeed */
int flow_read_end(const struct flow *f);    /* what follows the last byte: 0, -errno; 1: wait */
ssize_t flow_short_write(const struct ioreq *r, ssize_t rc); /* the answer to one that fails now */

/* flow_sync.c. */
void flow_end_sync(struct stream *s, struct ioreq *r);
bool flow_sync_begin(struct flow *f, const struct end *reader);
void flow_sync_settle(struct flow *f, struct outcome *o);

#endif
