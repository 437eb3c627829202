/*
 * link.h - byte channels to other daemons: TCP, TLS 1.3 pinned to machine keys, framed, resumable.
 *
 * A channel carries one open stream (stream.h) of another machine to this one. All channels that
 * this machine opens to one peer share one TCP connection, made at the first and kept while there
 * are any (and a minute longer). Frames carry sequence numbers and are kept until they are
 * acknowledged; credit bounds what a channel has in flight, so a slow reader slows its writer and
 * nobody else; the end is said explicitly. When the connection breaks it is made anew and goes on
 * where it was, for LINK_RESUME_MS; after that its channels break with -EIO.
 *
 * Everything runs on the data loop; the calls here may be made from any thread.
 */
#ifndef ONEOS_NET_LINK_H
#define ONEOS_NET_LINK_H

#include "base/loop.h"
#include "base/stream.h"
#include "net/identity.h"

#define LINK_RESUME_MS 30000
#define LINK_SPEC_MAX  65536

struct links;
struct chan;

struct link_ops {
    /* The peer opened a channel. spec is what it gave to link_open(). Called on the data loop;
     * answer once, from any thread, with link_accept or link_refuse. */
    void (*open)(void *arg, struct chan *c, const char *peer, const char *spec);
};

/* listen: numeric address or NULL for all. Refuses connections of peers not made known by
 * links_peer(). */
int links_create(struct links **out, struct loop *data, const struct identity *me,
                 const char *listen, uint16_t port, const struct link_ops *ops, void *arg,
                 struct oerr *e);
/* On the data loop's thread or after it stopped, but not from inside a `done` or a `fire` of a
 * stream; channels break with -ECANCELED. The loop must run once more, which loop_destroy() does,
 * before the memory is free. */
void links_destroy(struct links *l);
uint16_t links_port(const struct links *l);

/* Makes a peer known, or changes where it is. A new incarnation breaks its channels with -EIO at
 * once. */
void links_peer(struct links *l, const char *id, const char *address, uint16_t port,
                const char *fingerprint, uint64_t incarnation);
void links_forget(struct links *l, const char *id); /* breaks its channels with -EIO */

/* Opens a channel; returns at once with a stream to read and write. If the peer refuses, or is not
 * known, or is not reached within 5 s (-EHOSTUNREACH), reads and writes answer that errno. Bytes
 * written are queued at most LINK_WINDOW ahead. Closing it cleanly (how 0) first delivers what was
 * written, then the end. */
#define LINK_WINDOW (2 * 1024 * 1024)
int link_open(struct links *l, const char *peer, const char *spec, struct stream **out);

/* Serves a channel with a local stream: bytes from the peer are written to it, bytes read from it
 * are sent, according to `dir` (LINK_READ: the peer reads, LINK_WRITE: the peer writes, both or'ed:
 * both). The stream is the channel's from here on, and is closed with the peer's `how`, or -EIO
 * when the link is lost. Errors of the stream travel to the peer as they are. */
#define LINK_READ  1
#define LINK_WRITE 2
void link_accept(struct chan *c, struct stream *s, int dir);
void link_refuse(struct chan *c, int rc);

#endif
