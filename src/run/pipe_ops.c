/*
 * pipe_ops.c - operations on pipes under way: what the registry is asked, and what its answer comes
 * to.
 *
 *   asking -> its answer, and the replica as it is then, -> ended | asking again
 *                                                        | waiting (retry_at) -> asking
 *
 * The answer is judged by the replica alone, which is at least as new: a pipe just made may be
 * removed again, a hold that was had may be over.
 */
#include "run/pipe_names_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPS_MAX          1024
#define RELEASE_AGAIN_MS 1000

/* ---- asking */

static uint64_t over_of(const struct pipe_names *n, const struct op *op)
{
    const struct rec *r = rec_by_uid(n, op->uid);

    return r && r->holder[0] && !r->info.holder[0] ? r->info.epoch : 0;
}

static json_t *make_fields(const struct pipe_names *n, const struct op *op)
{
    (void)n;
    return pipe_make_fields(op->name, &op->opt);
}

static json_t *remove_fields(const struct pipe_names *n, const struct op *op)
{
    (void)n;
    return pipe_remove_fields(op->name, op->uid);
}

static json_t *set_fields(const struct pipe_names *n, const struct op *op)
{
    return pipe_set_fields(op->name, op->uid, &op->set, over_of(n, op));
}

static json_t *hold_fields(const struct pipe_names *n, const struct op *op)
{
    return pipe_hold_fields(op->name, op->uid, n->self, n->incarnation, over_of(n, op));
}

static json_t *release_fields(const struct pipe_names *n, const struct op *op)
{
    const struct rec *r = rec_by_uid(n, op->uid);

    return pipe_release_fields(op->name, op->uid, r ? r->info.epoch : 0);
}

/* What its answer comes to: 0 it has ended well; 1 it goes on; -errno. */
static int made(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);
static int removed(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);
static int set(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);
static int held(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);
static int released(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);

static const struct {
    const char *cmd;
    json_t *(*fields)(const struct pipe_names *n, const struct op *op);
    int (*answered)(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e);
} kinds[] = {
    [OP_MAKE] = { "pipe.make", make_fields, made },
    [OP_REMOVE] = { "pipe.remove", remove_fields, removed },
    [OP_SET] = { "pipe.set", set_fields, set },
    [OP_OPEN] = { "pipe.hold", hold_fields, held },
    [OP_RELEASE] = { "pipe.release", release_fields, released },
};

static int no_such(const char *name, struct oerr *e)
{
    return oerr_set(e, -ENOENT, "there is no pipe %.255s", name);
}

/* 1: asked. */
static int ask(struct pipe_names *n, uint64_t now, struct op *op, struct oerr *e)
{
    json_t *fields;
    int rc;

    op->retry_at = UINT64_MAX;
    if (now >= op->deadline)
        return oerr_set(e, -EAGAIN, "the machines did not agree on pipe %.100s in %d ms; try again",
                        op->name, PN_DEADLINE_MS);
    fields = kinds[op->kind].fields(n, op);
    if (!fields)
        return oerr_set(e, -ENOMEM, "out of memory");
    rc = n->fx->submit(n->arg, op->call, kinds[op->kind].cmd, fields,
                       (unsigned)(op->deadline - now));
    return rc < 0 ? oerr_set(e, rc, "the registry cannot be asked: %s", strerror(-rc)) : 1;
}

static struct op *op_new(struct pipe_names *n, uint64_t now, enum op_kind kind, const char *name,
                         uint64_t uid, void *handle)
{
    struct op *op =
        HASH_COUNT(n->ops) < OPS_MAX || kind == OP_RELEASE ? calloc(1, sizeof *op) : NULL;

    if (!op)
        return NULL;
    op->call = ++n->last_call;
    op->kind = kind;
    op->handle = handle;
    op->uid = uid;
    op->deadline = now + PN_DEADLINE_MS;
    op->retry_at = UINT64_MAX;
    strcpy(op->name, name);
    HASH_ADD(hh, n->ops, call, sizeof op->call, op);
    if (!op->hh.tbl) {
        free(op);
        return NULL;
    }
    return op;
}

static void op_free(struct pipe_names *n, struct op *op)
{
    HASH_DEL(n->ops, op);
    free(op);
}

/* It begins: 1, or -errno. */
static int begin(struct pipe_names *n, uint64_t now, struct op *op, struct oerr *e)
{
    int rc;

    if (!op)
        return oerr_set(e, -EAGAIN, "too many operations on pipes are under way; try again");
    rc = ask(n, now, op, e);
    if (rc < 0)
        op_free(n, op);
    return rc;
}

/* ---- make, remove, set */

int pn_make(struct pipe_names *n, uint64_t now, const char *name, const struct pipe_options *opt,
            void *handle, struct oerr *e)
{
    int rc = pipe_check_name(name, e);
    struct op *op;

    if (rc < 0)
        return rc;
    if (rec_named(n, name))
        return opt->excl ? oerr_set(e, -EEXIST, "pipe %s exists", name) : 0;
    if (opt->owner && strlen(opt->owner) >= PIPE_OWNER_MAX)
        return oerr_set(e, -EINVAL, "the user name %.100s is too long", opt->owner);
    op = op_new(n, now, OP_MAKE, name, 0, handle);
    if (op) {
        op->opt = *opt;
        strcpy(op->owner, opt->owner ? opt->owner : "");
        op->opt.owner = op->owner;
    }
    return begin(n, now, op, e);
}

static int made(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e)
{
    if (rc < 0 || rec_named(n, op->name))
        return rc;
    if (!op->opt.excl)
        return ask(n, now, op, e);
    /* To make it a second time would undo a removal that somebody else was told of. */
    return oerr_set(e, -EAGAIN, "pipe '%.100s' was made, and removed by another at once", op->name);
}

int pn_remove(struct pipe_names *n, uint64_t now, const char *name, void *handle, struct oerr *e)
{
    const struct rec *r = rec_named(n, name);

    if (!r)
        return no_such(name, e);
    return begin(n, now, op_new(n, now, OP_REMOVE, name, r->info.uid, handle), e);
}

static int removed(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e)
{
    (void)n, (void)now, (void)op, (void)e;
    return rc;
}

int pn_set(struct pipe_names *n, uint64_t now, const char *name, const struct pipe_set *want,
           void *handle, struct oerr *e)
{
    const struct rec *r = rec_named(n, name);
    struct op *op;

    if (!r)
        return no_such(name, e);
    if (want->mode >= 0)
        pn_yield(n, now, r->info.uid);
    op = op_new(n, now, OP_SET, name, r->info.uid, handle);
    if (op)
        op->set = *want;
    return begin(n, now, op, e);
}

/* Busy may mean that a holder elsewhere lingers: then it no longer does in a moment. */
static int set(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e)
{
    uint64_t again = now + 2 * PN_LINGER_MS;

    (void)n, (void)e;
    if (rc != -EBUSY || op->tried || again >= op->deadline)
        return rc;
    op->tried = true;
    op->retry_at = again;
    return 1;
}

/* ---- opening */

/* 0: the record shows where the buffer is; 1: the registry has to be asked. */
static int find_buffer(const struct pipe_names *n, const struct rec *r, struct oerr *e)
{
    if (!r->info.holder[0])
        return 1;
    if (peer_reached(n, r->info.holder))
        return 0;
    return oerr_set(e, -EHOSTUNREACH, "%s, the machine that holds pipe %s, cannot be reached",
                    r->info.holder, r->info.name);
}

int pn_open_reader(struct pipe_names *n, uint64_t now, uint64_t deadline, const char *name,
                   void *handle, struct pipe_info *out, struct oerr *e)
{
    const struct rec *r = rec_named(n, name);
    int rc = r ? find_buffer(n, r, e) : no_such(name, e);
    struct op *op;

    if (rc == 0)
        *out = r->info;
    if (rc <= 0)
        return rc;
    op = op_new(n, now, OP_OPEN, name, r->info.uid, handle);
    if (op)
        op->deadline = deadline;
    return begin(n, now, op, e);
}

static int held(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e)
{
    const struct rec *r = rec_by_uid(n, op->uid);

    if (rc == 0)
        rc = r ? find_buffer(n, r, e) : no_such(op->name, e);
    return rc > 0 ? ask(n, now, op, e) : rc;
}

int pn_open_writer(struct pipe_names *n, const char *name, struct pipe_info *out, struct oerr *e)
{
    const struct rec *r = rec_named(n, name);
    int rc = r ? find_buffer(n, r, e) : no_such(name, e);

    if (rc >= 0)
        *out = r->info;
    return rc < 0 ? rc : 0;
}

/* ---- releasing */

void ops_release(struct pipe_names *n, uint64_t now, struct rec *r)
{
    struct op *op = op_new(n, now, OP_RELEASE, r->info.name, r->info.uid, NULL);

    r->releasing = op && begin(n, now, op, NULL) == 1;
    r->clean_at = now + RELEASE_AGAIN_MS;
}

static int released(struct pipe_names *n, uint64_t now, struct op *op, int rc, struct oerr *e)
{
    struct rec *r = rec_by_uid(n, op->uid);

    (void)e;
    if (r) {
        r->releasing = false;
        r->clean_at = now + RELEASE_AGAIN_MS;
    }
    return rc;
}

bool ops_opening(const struct pipe_names *n, uint64_t uid)
{
    for (const struct op *op = n->ops; op; op = op->hh.next)
        if (op->kind == OP_OPEN && op->uid == uid)
            return true;
    return false;
}

/* ---- ending */

static void end(struct pipe_names *n, struct op *op, int rc, const char *text)
{
    const struct rec *r = op->kind == OP_OPEN ? rec_by_uid(n, op->uid) : NULL;
    struct pipe_info info;
    void *handle = op->handle;

    if (r)
        info = r->info;
    op_free(n, op);
    if (handle)
        n->fx->done(n->arg, handle, rc, rc == 0 && r ? &info : NULL, rc < 0 ? text : NULL);
}

void pn_answered(struct pipe_names *n, uint64_t now, uint64_t call, int rc, const char *text)
{
    struct oerr e = { "" };
    struct op *op;

    HASH_FIND(hh, n->ops, &call, sizeof call, op);
    if (!op)
        return;
    if (rc < 0)
        oerr_set(&e, rc, "%s", text && *text ? text : strerror(-rc));
    rc = kinds[op->kind].answered(n, now, op, rc, &e);
    if (rc <= 0)
        end(n, op, rc, e.text);
}

void pn_cancel(struct pipe_names *n, void *handle)
{
    for (struct op *op = n->ops; op; op = op->hh.next)
        if (handle && op->handle == handle)
            op->handle = NULL;
}

void ops_tick(struct pipe_names *n, uint64_t now)
{
    struct op *op, *next;

    HASH_ITER (hh, n->ops, op, next) {
        struct oerr e = { "" };
        int rc;

        if (now < op->retry_at)
            continue;
        rc = ask(n, now, op, &e);
        if (rc < 0)
            end(n, op, rc, e.text);
    }
}

uint64_t ops_next(const struct pipe_names *n)
{
    uint64_t next = UINT64_MAX;

    for (const struct op *op = n->ops; op; op = op->hh.next)
        next = op->retry_at < next ? op->retry_at : next;
    return next;
}

void ops_end(struct pipe_names *n)
{
    struct op *op, *next;

    HASH_ITER (hh, n->ops, op, next)
        end(n, op, -ECANCELED, "this machine stops");
}
