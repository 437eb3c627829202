/*
 * link_pair.h - for tests and measurements of links: identities made in memory, loops on threads,
 * and blocking calls on streams.
 */
#ifndef ONEOS_TESTS_LINK_PAIR_H
#define ONEOS_TESTS_LINK_PAIR_H

#include "net/link.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* An Ed25519 key and a certificate of its own; by identity_drop(). */
void identity_invent(struct identity *i, const char *id);
void identity_drop(struct identity *i);

/* One daemon's part: a data loop on its own thread, with links that listen on 127.0.0.1. */
struct node {
    struct identity me;
    struct loop *loop;
    struct links *links;
    pthread_t thread;
    bool running;

    /* What was opened here, in order; node_opened() takes them. */
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct opened {
        struct chan *c;
        char peer[ID_MAX], *spec;
        struct opened *next;
    } * opened, **opened_tail;
};

void node_start(struct node *n, const char *id);
void node_stop(struct node *n); /* destroys the links on the loop's thread, then stops it */
void node_restart_links(struct node *n); /* others with the same key, at another port */
void node_knows(struct node *n, const struct node *other, uint64_t incarnation);
void node_on_loop(struct node *n, void (*run)(struct node *));     /* runs it there and waits */
struct chan *node_opened(struct node *n, char *spec, size_t size); /* waits 10 s for the next one */

/* Calls that block, on any stream. */
ssize_t stream_read(struct stream *s, void *to, size_t n);
ssize_t stream_write(struct stream *s, const void *from, size_t n);
ssize_t stream_read_some(struct stream *s, struct slices *got, size_t n);
ssize_t stream_write_some(struct stream *s, struct slices *bytes);

/* A request under way, to be awaited or cancelled. */
struct call {
    struct ioreq req;
    sem_t done;
    ssize_t rc;
};
void call_read(struct call *c, struct stream *s, size_t n);
void call_write(struct call *c, struct stream *s, const void *from, size_t n);
ssize_t call_wait(struct call *c); /* frees the bytes of a read */

#endif
