/*
 * rendezvous_user.c - the operations as users begin them: checks, what can be done at once, and
 * what is answered from the replica alone.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

/* It has begun: what it came to at once, or 1. */
static int began(struct rendezvous *r, struct op *op, struct pipe_info *out, struct oerr *e)
{
    int rc;

    op->beginning = true;
    rv_settle(r);
    op->beginning = false;
    if (op->at != AT_END)
        return 1;
    rc = op->rc;
    if (rc < 0)
        oerr_set(e, rc, "%s", op->words.text);
    else if (out)
        *out = op->result;
    op_free(r, op);
    return rc;
}

static int too_many(struct oerr *e)
{
    return oerr_set(e, -EAGAIN, "too many operations on pipes are under way; try again");
}

static int check_capacity(uint64_t capacity, struct oerr *e)
{
    if (!capacity || (capacity >= PIPE_CAPACITY_MIN && capacity <= PIPE_CAPACITY_MAX))
        return 0;
    return oerr_set(e, -EINVAL, "the capacity of a pipe is from %d to %d bytes", PIPE_CAPACITY_MIN,
                    PIPE_CAPACITY_MAX);
}

static int check_mode(int mode, struct oerr *e)
{
    if (mode == -1 || mode == FLOW_STREAM || mode == FLOW_BROADCAST)
        return 0;
    return oerr_set(e, -EINVAL, "the mode of a pipe is stream or broadcast");
}

static int check_make(const char *name, const struct pipe_options *opt, struct oerr *e)
{
    int rc = pipe_check_name(name, e);

    if (rc == 0)
        rc = check_capacity(opt->capacity, e);
    if (rc == 0)
        rc = check_mode((int)opt->mode, e);
    if (rc == 0 && opt->owner && strlen(opt->owner) >= PIPE_OWNER_MAX)
        rc = oerr_set(e, -EINVAL, "the user name %.100s is too long", opt->owner);
    return rc;
}

int rv_make(struct rendezvous *r, uint64_t now, const char *name, const struct pipe_options *opt,
            void *handle, struct pipe_info *out, struct oerr *e)
{
    int rc = check_make(name, opt, e);
    const struct pipe *p;
    struct op *op;
    bool again;

    if (rc < 0)
        return rc;
    rv_enter(r, now);
    p = book_named(r, name);
    if (p && opt->excl)
        return oerr_set(e, -EEXIST, "pipe %s exists", name);
    again = op_claiming(r, name);
    op = op_new(r, OP_MAKE, handle);
    if (!op)
        return too_many(e);
    strcpy(op->name, name);
    op->make_mode = opt->mode;
    op->capacity = opt->capacity ? opt->capacity : PIPE_CAPACITY;
    strcpy(op->owner, opt->owner ? opt->owner : "");
    op->created_us = opt->created_us;
    op->excl = opt->excl;
    if (!p && r->own >= RV_PIPES_MAX)
        op_create(r, op); /* says why not */
    else if (p || again)
        op_move(r, op, AT_WAIT);
    else
        op_claim(r, op);
    return began(r, op, out, e);
}

/* An operation on a pipe that exists; -errno when it does not. */
static int begin(struct rendezvous *r, uint64_t now, enum op_kind kind, const char *name,
                 void *handle, struct op **op, struct pipe **p, struct oerr *e)
{
    rv_enter(r, now);
    *p = book_named(r, name);
    if (!*p)
        return oerr_set(e, -ENOENT, "there is no pipe %.255s", name);
    *op = op_new(r, kind, handle);
    if (!*op)
        return too_many(e);
    strcpy((*op)->name, name);
    (*op)->uid = (*p)->info.uid;
    return 0;
}

int rv_remove(struct rendezvous *r, uint64_t now, const char *name, void *handle, struct oerr *e)
{
    struct pipe *p;
    struct op *op;
    int rc = begin(r, now, OP_REMOVE, name, handle, &op, &p, e);

    if (rc < 0)
        return rc;
    if (is_own(r, &p->info.uid)) {
        op_spread(r, op, p);
        own_remove(r, p);
        op->version = r->version;
    } else {
        op_go(r, op);
    }
    return began(r, op, NULL, e);
}

int rv_set(struct rendezvous *r, uint64_t now, const char *name, int mode, uint64_t capacity,
           void *handle, struct pipe_info *out, struct oerr *e)
{
    int rc = check_mode(mode, e);
    struct pipe *p;
    struct op *op;

    if (rc == 0)
        rc = check_capacity(capacity, e);
    if (rc == 0)
        rc = begin(r, now, OP_SET, name, handle, &op, &p, e);
    if (rc < 0)
        return rc;
    op->mode = mode;
    op->capacity = capacity;
    if (!is_own(r, &p->info.uid)) {
        op_go(r, op);
    } else {
        rc = own_set(r, p, mode, capacity, &op->words);
        op_spread(r, op, p);
        if (rc < 0) {
            op->rc = rc;
            op_move(r, op, AT_END);
        }
    }
    return began(r, op, out, e);
}

int rv_open_reader(struct rendezvous *r, uint64_t now, const char *name, void *handle,
                   struct pipe_info *out, struct oerr *e)
{
    struct pipe *p;
    struct op *op;
    int rc = begin(r, now, OP_OPEN, name, handle, &op, &p, e);

    if (rc < 0)
        return rc;
    if (!is_own(r, &p->info.uid)) {
        op->at = AT_FOLLOW;
        op_go(r, op);
    } else {
        if (!p->info.holder[0])
            own_hold(r, p, r->self, r->incarnation);
        op->beginning = true;
        op_opened(r, op, p);
    }
    return began(r, op, out, e);
}

int rv_open_writer(struct rendezvous *r, const char *name, struct pipe_info *out, struct oerr *e)
{
    const struct pipe *p = book_named(r, name);
    const char *home, *holder;

    if (!p)
        return oerr_set(e, -ENOENT, "there is no pipe %.255s", name);
    home = p->info.uid.home;
    holder = p->info.holder;
    if (!held_here(r, &p->info) && strcmp(home, r->self) != 0 && !peer_reached(peer_find(r, home)))
        return oerr_set(e, -EHOSTUNREACH,
                        "%s, the machine on which pipe %s was made, cannot be reached", home, name);
    if (holder[0] && strcmp(holder, r->self) != 0 && !peer_reached(peer_find(r, holder)))
        return oerr_set(e, -EHOSTUNREACH, "%s, the machine that holds pipe %s, cannot be reached",
                        holder, name);
    *out = p->info;
    if (strcmp(holder, r->self) == 0 && !held_here(r, &p->info)) /* being given back */
        out->holder[0] = '\0';
    return 0;
}

void rv_cancel(struct rendezvous *r, void *handle)
{
    struct op *op;

    DL_FOREACH(r->ops, op)
    if (handle && op->handle == handle)
        op->handle = NULL;
}
