/*
 * pipes.h - named pipes that reach every machine: buffers, and the channels that fill them.
 *
 * Names, and which machine holds a pipe's buffer, are the registry's (pipe_names.h). Here
 * every machine has at most one flow per pipe: on the holder it is the buffer; elsewhere an outbox
 * that one channel pumps to the holder. Readers elsewhere read the holder's buffer by a channel
 * each. Core loop only.
 */
#ifndef ONEOS_RUN_PIPES_H
#define ONEOS_RUN_PIPES_H

#include "base/buf.h"
#include "cluster/cluster.h"
#include "cluster/replica.h"
#include "run/pipe_names.h"

struct pipes;

/* changed: a name came or went (by its path below pipes/), for caches and events. */
struct pipes_ops {
    void (*changed)(void *arg, const char *name, bool gone);
};

/* The replica knows pipe_commands, and was made before. */
int pipes_create(struct pipes **out, struct loop *core, struct cluster *cluster,
                 struct links *links, struct replica *replica, const char *self,
                 uint64_t incarnation, const struct pipes_ops *ops, void *arg);

/* The end comes in two steps; NULL is allowed. After pipes_close() it asks and publishes nothing
 * any more, and the replica may go; pipes_destroy() comes after the cluster has answered what was
 * asked before, and before the links go. */
void pipes_close(struct pipes *p);
void pipes_destroy(struct pipes *p);

/* From the cluster. */
void pipes_member(struct pipes *p, const struct member_view *v);
void pipes_asked(struct pipes *p, struct bus_ask *ask, const json_t *body);
const struct cluster_topic *pipes_topic(struct pipes *p);

typedef void pipes_done_fn(void *arg, int rc, const char *text);

/* Each returns 0 when it is done at once, 1 when done follows, or -errno with words. */
int pipes_make(struct pipes *p, const char *name, const char *user, unsigned perm, bool excl,
               pipes_done_fn *done, void *arg, struct oerr *e);
int pipes_remove(struct pipes *p, const char *name, pipes_done_fn *done, void *arg, struct oerr *e);
int pipes_set(struct pipes *p, const char *name, const struct pipe_set *set, pipes_done_fn *done,
              void *arg, struct oerr *e);

/* Opens an end: at once; what must still be found out is waited for by the first read or write.
 * quiet: as flow_open_writer(). */
int pipes_open(struct pipes *p, const char *name, int flags, bool quiet, struct stream **out);

/* A channel came in for a pipe: its spec as pipes.c made it. dir: LINK_READ or LINK_WRITE. */
bool pipes_spec(const json_t *spec);
int pipes_serve(struct pipes *p, const json_t *spec, struct stream **out, int *dir);

const struct pipe_info *pipes_find(const struct pipes *p, const char *name);
size_t pipes_count(const struct pipes *p);
const struct pipe_info *pipes_at(const struct pipes *p, size_t i);

/* The table of pipes/status. */
void pipes_status(struct pipes *p, struct obuf *out);

#endif
