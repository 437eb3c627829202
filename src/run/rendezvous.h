/*
 * rendezvous.h - names of pipes that reach every machine, without a registry: sans-I/O.
 *
 * (state, event with time) -> (state, effects), as cluster/member.h. The machine on which a pipe is
 * made is its *home*: the only one that changes its record. Every machine keeps a replica of all
 * records. The *holder* is the machine whose memory holds the buffer: that of the first reader's
 * open; none before, and none again when the holder releases it. A pipe is known by its uid (home,
 * incarnation, serial), which never changes; its name can (a conflict after a partition).
 *
 * The owner of this object carries out the effects of `struct rv_fx` and feeds what comes back.
 * Questions between machines travel as `struct rv_msg` (rendezvous_msg.h) in bus frames BUS_CLAIM:
 *
 *   fx.ask(to, call, q)      -> bus_ask(to, BUS_CLAIM, rv_msg_encode(q), RV_ASK_MS);
 *                               its done -> rv_answered(call, rc, decoded reply or NULL)
 *   bus asked, from a member -> rv_asked(from, ask, decoded q); fx.answer(ask, a) follows, now or
 *                               later, exactly once -> bus_answer(ask, rv_msg_encode(a))
 */
#ifndef ONEOS_RUN_RENDEZVOUS_H
#define ONEOS_RUN_RENDEZVOUS_H

#include "base/err.h"
#include "base/flow.h"
#include "cluster/member.h"

#define PIPE_NAME_MAX     255           /* bytes */
#define PIPE_OWNER_MAX    64            /* with its NUL */
#define PIPE_CAPACITY     (1024 * 1024) /* unless said otherwise */
#define PIPE_CAPACITY_MIN 4096
#define PIPE_CAPACITY_MAX (1024 * 1024 * 1024)
#define RV_PIPES_MAX      4096  /* pipes of one home */
#define RV_ASK_MS         1000  /* who does not answer for so long does not count */
#define RV_DEADLINE_MS    5000  /* every operation has ended by then */
#define RV_HOLDER_LOST_MS 30000 /* a holder dead for so long no longer holds (LINK_RESUME_MS) */

struct pipe_uid {
    char home[ID_MAX];
    uint64_t incarnation; /* of the home */
    uint64_t serial;      /* of the home in that incarnation; from 1 */
};

/* One record, as its home last said it. */
struct pipe_info {
    struct pipe_uid uid;
    char name[PIPE_NAME_MAX + 1]; /* what users see and open: unique in one replica */
    char holder[ID_MAX];          /* "": none */
    uint64_t holder_incarnation;
    uint64_t epoch; /* of the holder: another value means that it was another hold */
    enum flow_mode mode;
    uint64_t capacity;
    char owner[PIPE_OWNER_MAX]; /* user name */
    uint64_t created_us;        /* wall clock of the home */
    uint64_t version;           /* the home's count of changes when this was last changed */
};

enum rv_change {
    RV_ADDED,
    RV_CHANGED, /* mode or capacity */
    RV_HOLDER,  /* the holder is another, or none: waiting writers connect to it, or wait on */
    RV_RENAMED,
    RV_UNHELD, /* we held it, and no longer do by the home's word: the buffer breaks with -EIO */
    RV_GONE    /* removed, or its home restarted or left. Open ends go on until they are closed;
                  writers that wait for a holder have none to wait for */
};

struct rv_msg;

/* Effects. Called synchronously from the rv_* calls; they must not call back into the same object
 * (post a task instead). */
struct rv_fx {
    void (*changed)(void *arg, const struct pipe_info *p, enum rv_change what); /* of the replica */
    void (*ask)(void *arg, const char *to, uint64_t call, const struct rv_msg *q);
    void (*answer)(void *arg, void *ask, const struct rv_msg *a);

    /* An operation that was parked (it returned 1) has ended. p: the pipe, when rc is 0 (not for a
     * removal); text: words when rc < 0. Never called from inside the call that began it. */
    void (*done)(void *arg, void *op, int rc, const struct pipe_info *p, const char *text);
};

struct rendezvous;

int rv_create(struct rendezvous **out, const char *self, uint64_t incarnation,
              const struct rv_fx *fx, void *arg);
void rv_destroy(struct rendezvous *r); /* operations under way are dropped without `done` */

/* 0 when a pipe may have this name, else -EINVAL or -ENAMETOOLONG with words. */
int pipe_check_name(const char *name, struct oerr *e);

/* Events. `now` is in ms and never goes back. Feed rv_member from member_fx.changed for every
 * machine but self; ALIVE and SUSPECT can be reached. */
void rv_member(struct rendezvous *r, uint64_t now, const char *id, uint64_t incarnation,
               enum member_state state);
/* From member_fx.distrust: its pipes go. */
void rv_forget(struct rendezvous *r, uint64_t now, const char *id);
void rv_asked(struct rendezvous *r, uint64_t now, const char *from, void *ask,
              const struct rv_msg *q);
void rv_answered(struct rendezvous *r, uint64_t now, uint64_t call, int rc, const struct rv_msg *a);
void rv_tick(struct rendezvous *r, uint64_t now); /* when rv_next() says so */
uint64_t rv_next(const struct rendezvous *r);     /* UINT64_MAX: nothing to wait for */

/*
 * Operations. They return 0: done at once, *out (may be NULL) is filled; 1: parked, fx.done(op)
 * follows within RV_DEADLINE_MS; -errno with words, also later by fx.done:
 *   -EINVAL -ENAMETOOLONG the name or a value; -ENOENT no such pipe; -EEXIST `excl` and it exists;
 *   -ENOSPC 4096 pipes here; -EHOSTUNREACH its home or holder is dead or does not answer;
 *   -EBUSY a new mode while it has a holder; -EAGAIN too many operations under way.
 */
struct pipe_options {
    enum flow_mode mode;
    uint64_t capacity; /* 0: PIPE_CAPACITY */
    const char *owner;
    uint64_t created_us; /* the wall clock now */
    bool excl;           /* O_EXCL */
};

/* When it ends with 0 every live and connected machine knows the name. Without `excl` it also ends
 * with 0 when the pipe exists or somebody else makes it meanwhile: *out tells. */
int rv_make(struct rendezvous *r, uint64_t now, const char *name, const struct pipe_options *opt,
            void *op, struct pipe_info *out, struct oerr *e);

/* When it ends with 0 no live and connected machine knows the name. */
int rv_remove(struct rendezvous *r, uint64_t now, const char *name, void *op, struct oerr *e);

/* mode: -1 leaves it; capacity: 0 leaves it. When it ends with 0 every live machine knows. */
int rv_set(struct rendezvous *r, uint64_t now, const char *name, int mode, uint64_t capacity,
           void *op, struct pipe_info *out, struct oerr *e);

/* A reader opens. The end tells where the buffer is: out->holder. When that is this machine, it now
 * holds the buffer of that uid, until rv_release or RV_UNHELD. Else open a link to out->holder that
 * names uid and epoch; a holder without that epoch refuses with -ESTALE: then open again. */
int rv_open_reader(struct rendezvous *r, uint64_t now, const char *name, void *op,
                   struct pipe_info *out, struct oerr *e);

/* A writer opens: 0 or -errno at once. With out->holder "" its bytes wait in its own queue for
 * RV_HOLDER of that uid; also after a holder refused with -ESTALE. */
int rv_open_writer(struct rendezvous *r, const char *name, struct pipe_info *out, struct oerr *e);

/* The holder says: no end is left and nothing is queued. From here on it refuses that epoch. */
void rv_release(struct rendezvous *r, uint64_t now, const struct pipe_uid *uid);

/* The caller of op no longer waits: `done` will not be called for it. What it asked for may still
 * happen. */
void rv_cancel(struct rendezvous *r, void *op);

/* The replica, sorted by name. Valid until the next event. */
size_t rv_count(const struct rendezvous *r);
const struct pipe_info *rv_at(const struct rendezvous *r, size_t i);
const struct pipe_info *rv_find(const struct rendezvous *r, const char *name);
const struct pipe_info *rv_by_uid(const struct rendezvous *r, const struct pipe_uid *uid);

/* Whether this machine holds the buffer, in that epoch: to answer a link that comes in. */
bool rv_holds(const struct rendezvous *r, const struct pipe_uid *uid, uint64_t epoch);

#endif
