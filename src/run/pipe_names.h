/*
 * pipe_names.h - this machine's view of the pipes, and what it asks of the registry: sans-I/O.
 *
 * The registry (pipe_cmd.h) is the only authority. Here a replica of it is kept, with what this
 * machine itself knows added: whom it can reach, whose holds are over, and which of its own it let
 * go of.
 *
 * The owner of this object feeds records as the registry shows them and machines as membership
 * does, and carries out the effects of `struct pn_fx`.
 */
#ifndef ONEOS_RUN_PIPE_NAMES_H
#define ONEOS_RUN_PIPE_NAMES_H

#include "cluster/member.h"
#include "run/pipe_cmd.h"

#define PN_DEADLINE_MS    5000  /* every operation has ended by then */
#define PN_HOLDER_LOST_MS 30000 /* a holder dead for so long no longer holds (LINK_RESUME_MS) */
#define PN_LINGER_MS                                                                               \
    250 /* a hold that nobody uses is kept for so long: mostly the next                            \
           reader is on the same machine */

enum pn_change {
    PN_ADDED,
    PN_CHANGED, /* mode, capacity or permissions */
    PN_HOLDER,  /* the holder is another, or none: waiting writers connect to it, or wait on */
    PN_UNHELD,  /* we held it, and no longer do by the registry's word: the buffer breaks with
                   -EIO */
    PN_GONE     /* removed. Open ends go on until they are closed; writers that wait for a holder
                   have none to wait for */
};

/* Effects. Called synchronously from the pn_* calls; but for `done` they must not call back into
 * the same object (post a task instead). */
struct pn_fx {
    void (*changed)(void *arg, const struct pipe_info *p, enum pn_change what);

    /* Ask the registry; takes fields. 0: pn_answered(call) follows, once, not from inside, after
     * the record of fields["name"] was fed as it is after the command. */
    int (*submit)(void *arg, uint64_t call, const char *cmd, json_t *fields, unsigned deadline_ms);

    /* Let go of the buffer that this machine holds, if it has no ends and is empty; false: it is
     * used. */
    bool (*let_go)(void *arg, uint64_t uid);

    /* An operation that was parked (it returned 1) has ended. p: for a reader, when rc is 0. text:
     * words when rc < 0. Never called from inside the call that began it; may begin others. */
    void (*done)(void *arg, void *op, int rc, const struct pipe_info *p, const char *text);
};

struct pipe_names;

int pn_create(struct pipe_names **out, uint64_t now, const char *self, uint64_t incarnation,
              const struct pn_fx *fx, void *arg);
void pn_destroy(struct pipe_names *n); /* operations under way end with -ECANCELED */

/* Events. `now` is in ms and never goes back. */

/* The record under a name; NULL: there is none. What cannot be read (-EPROTO) counts as none. */
int pn_record(struct pipe_names *n, uint64_t now, const char *name, const json_t *value);
/* All records anew: pn_record() for each that there is, between these two. */
void pn_all_begin(struct pipe_names *n);
void pn_all_end(struct pipe_names *n);

/* Feed it from member_fx.changed, for every machine but self. ALIVE and SUSPECT can be reached. */
void pn_member(struct pipe_names *n, uint64_t now, const char *id, uint64_t incarnation,
               enum member_state state);
void pn_answered(struct pipe_names *n, uint64_t now, uint64_t call, int rc, const char *text);
void pn_tick(struct pipe_names *n, uint64_t now); /* when pn_next() says so */
uint64_t pn_next(const struct pipe_names *n);     /* UINT64_MAX: nothing to wait for */

/*
 * Operations. They return 0: done at once; 1: parked, fx.done(op) follows within PN_DEADLINE_MS;
 * -errno with words, also later by fx.done:
 *   -EINVAL -ENAMETOOLONG the name or a value; -ENOENT no such pipe; -EEXIST `excl` and it exists;
 *   -ENOSPC too many pipes; -EBUSY a new mode while it is used; -EHOSTUNREACH its holder cannot be
 *   reached; -EAGAIN no quorum, or too many operations under way.
 */

/* Ends with 0 when the pipe is there, whoever made it, unless `excl`. */
int pn_make(struct pipe_names *n, uint64_t now, const char *name, const struct pipe_options *opt,
            void *op, struct oerr *e);
int pn_remove(struct pipe_names *n, uint64_t now, const char *name, void *op, struct oerr *e);
int pn_set(struct pipe_names *n, uint64_t now, const char *name, const struct pipe_set *set,
           void *op, struct oerr *e);

/* A reader opens. The end tells where the buffer is: out->holder. When that is this machine, it
 * holds the buffer of that uid in out->epoch until fx.let_go or PN_UNHELD. Else open a link to
 * out->holder that names uid and epoch; a holder without that epoch refuses with -ESTALE: then open
 * again. deadline: at most PN_DEADLINE_MS from now. */
int pn_open_reader(struct pipe_names *n, uint64_t now, uint64_t deadline, const char *name,
                   void *op, struct pipe_info *out, struct oerr *e);

/* A writer opens: 0 or -errno at once. With out->holder "" its bytes wait in its own queue for
 * PN_HOLDER of that uid; also after a holder refused with -ESTALE. */
int pn_open_writer(struct pipe_names *n, const char *name, struct pipe_info *out, struct oerr *e);

/* No end of the buffer is left here, and nothing is queued: it is let go of in a moment. */
void pn_release(struct pipe_names *n, uint64_t now, uint64_t uid);

/* A reader elsewhere wants the buffer that nobody uses here: let go of it now. */
void pn_yield(struct pipe_names *n, uint64_t now, uint64_t uid);

/* The caller of op no longer waits: `done` will not be called for it. What it asked for may still
 * happen. */
void pn_cancel(struct pipe_names *n, void *op);

/* The replica, sorted by name. Valid until the next event. holder is "" where the hold is over. */
size_t pn_count(const struct pipe_names *n);
const struct pipe_info *pn_at(const struct pipe_names *n, size_t i);
const struct pipe_info *pn_find(const struct pipe_names *n, const char *name);
const struct pipe_info *pn_by_uid(const struct pipe_names *n, uint64_t uid);

/* Whether this machine holds the buffer, in that epoch: to answer a link that comes in. */
bool pn_holds(const struct pipe_names *n, uint64_t uid, uint64_t epoch);

#endif
