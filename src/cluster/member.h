/*
 * member.h - who is in the system and how they are: sans-I/O.
 *
 * (state, event with time) -> (state, effects). The owner feeds what it hears and the passing of
 * time, and carries out the effects that `struct member_fx` names. No clock, socket, random source
 * or allocation of thread state in here; the simulator runs it by the thousand.
 *
 * States of a machine as seen from here: pending -> alive <-> suspect -> dead, alive -> left.
 * Heartbeats come once a second; none for 1.5 s: suspect, and the others are asked whether they
 * hear it; any that does refutes (alive again, as long as that goes on); else dead when 3 s old. A
 * higher incarnation of a machine replaces the lower one in any state. A machine that was rejected
 * or forgotten is gone: no longer listed, but remembered (a tombstone), so that what others say of
 * it does not bring it back.
 */
#ifndef ONEOS_CLUSTER_MEMBER_H
#define ONEOS_CLUSTER_MEMBER_H

#include "net/beacon.h"

enum member_state {
    MEMBER_PENDING,
    MEMBER_ALIVE,
    MEMBER_SUSPECT,
    MEMBER_DEAD,
    MEMBER_LEFT,
    MEMBER_GONE
};

const char *member_state_name(enum member_state s);

struct member_view {
    enum member_state state;
    bool trusted;      /* false: pending or gone */
    uint32_t word;     /* count of decisions about it: of two claims the later one wins */
    uint64_t since_ms; /* when it came into this state, on the caller's clock */
    uint64_t heard_ms; /* last heartbeat, own or by another's word */
    struct peer_info info;
};

/* Effects. Called synchronously from the member_* calls; they must not call back into the same
 * member. */
struct member_fx {
    /* A state has changed. Also the first: from == to. GONE: it is no longer listed. */
    void (*changed)(void *arg, const struct member_view *m, enum member_state from);

    /* Allow its key, connect to it (also: it moved, it restarted); drop it. */
    void (*trust)(void *arg, const struct peer_info *peer);
    void (*distrust)(void *arg, const char *id);

    /* Ask `ask`: do you hear `about`? */
    void (*probe)(void *arg, const char *ask, const char *about, uint64_t incarnation);

    /* Our views differ: ask it for its list of members. */
    void (*pull)(void *arg, const char *from);
};

struct member;

int member_create(struct member **out, const struct peer_info *self, const struct member_fx *fx,
                  void *arg);
void member_destroy(struct member *m);

/*
 * Events. `now` is in ms and never goes back.
 */

/* A beacon, or --join's hello. ours: it has a good MAC of the cluster key. */
void member_seen(struct member *m, uint64_t now, const struct peer_info *p, bool ours);

void member_heartbeat(struct member *m, uint64_t now, const char *from, uint64_t incarnation,
                      uint64_t digest);

/* The answer to a pull: another's member_told(). Its times do not count, since its clock is
 * another. */
void member_list(struct member *m, uint64_t now, const char *from, const struct member_view *v,
                 size_t n);

/* The answer to a probe. */
void member_heard(struct member *m, uint64_t now, const char *by, const char *about,
                  uint64_t incarnation, bool heard);
void member_left(struct member *m, uint64_t now, const char *id, uint64_t incarnation);

/* An operator's words. -ENOENT nobody with that id; accept: -EBUSY a member already (what was
 * rejected or forgotten can be accepted); reject: -EBUSY a member; forget: -EBUSY alive or suspect,
 * -EINVAL self. */
int member_accept(struct member *m, uint64_t now, const char *id, struct oerr *e);
int member_reject(struct member *m, uint64_t now, const char *id, struct oerr *e);
int member_forget(struct member *m, uint64_t now, const char *id, struct oerr *e);

void member_tick(struct member *m, uint64_t now); /* when member_next() says so */
uint64_t member_next(const struct member *m);     /* the earliest time that a tick can have work */

/* What heartbeats carry: equal digests mean equal views (id, incarnation, word, left or not, of the
 * trusted ones). */
uint64_t member_digest(const struct member *m);

/* Whether its own heartbeats are heard here: to answer a probe. */
bool member_hears(const struct member *m, uint64_t now, const char *about, uint64_t incarnation);

/* Views, sorted by id; includes self. Valid until the next event. */
size_t member_count(const struct member *m);
const struct member_view *member_at(const struct member *m, size_t i);
const struct member_view *member_find(const struct member *m, const char *id);

/* What the answer to a pull carries: all views and the tombstones. NULL when i is past the end. */
const struct member_view *member_told(const struct member *m, size_t i);

#endif
