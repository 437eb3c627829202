/*
 * rendezvous_ops.c - operations under way: make, remove, set, open a reader.
 *
 * make: CLAIM to every machine that can be reached. All said OK, or did not answer in RV_ASK_MS:
 * the record is made, pushed, and the operation ends when the push has settled. EXISTS: the list
 * that has it is pulled. YIELD, or a claim by a lower id while ours is under way: the other one
 * makes it. In both cases the operation ends when the name appears in the replica, and claims
 * again when it does not.
 *
 * The others ask the home, up to the deadline of the operation, and end when the replica shows
 * what the home has answered. What the home does for them is pushed before it answers.
 */
#include "run/rendezvous_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct op *op_new(struct rendezvous *r, enum op_kind kind, void *handle)
{
    struct op *op = r->op_count < OPS_MAX ? calloc(1, sizeof *op) : NULL;

    if (!op)
        return NULL;
    op->kind = kind;
    op->handle = handle;
    op->mode = -1;
    op->deadline = r->now + RV_DEADLINE_MS;
    DL_APPEND(r->ops, op);
    r->op_count++;
    return op;
}

void op_free(struct rendezvous *r, struct op *op)
{
    calls_detach(r, op);
    DL_DELETE(r->ops, op);
    r->op_count--;
    free(op);
}

void op_move(struct rendezvous *r, struct op *op, enum op_at to)
{
    op->at = to;
    op->retry_at = r->now + RETRY_MS;
    r->again = true;
}

static void done(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    if (p)
        op->result = p->info;
    op->rc = 0;
    op_move(r, op, AT_END);
}

static void failed(struct rendezvous *r, struct op *op, int rc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void failed(struct rendezvous *r, struct op *op, int rc, const char *fmt, ...)
{
    char text[sizeof op->words.text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    op->rc = oerr_set(&op->words, rc, "%s", text);
    op_move(r, op, AT_END);
}

static void no_such(struct rendezvous *r, struct op *op)
{
    failed(r, op, -ENOENT, "there is no pipe %s", op->name);
}

/* ---- make */

struct op *op_claiming(const struct rendezvous *r, const char *name)
{
    struct op *op;

    DL_FOREACH(r->ops, op)
    if (op->kind == OP_MAKE && op->at == AT_CLAIM && strcmp(op->name, name) == 0)
        return op;
    return NULL;
}

void op_yield(struct rendezvous *r, struct op *op)
{
    calls_detach(r, op);
    op_move(r, op, AT_WAIT);
}

static void claim_of(struct rendezvous *r, struct op *op, const char *of)
{
    struct rv_msg q = { .kind = RV_CLAIM };

    strcpy(q.u.name, op->name);
    if (call_ask(r, of, &q, op))
        op->left++;
}

void op_claim(struct rendezvous *r, struct op *op)
{
    struct peer *pe, *next;

    calls_detach(r, op);
    op->left = 0;
    op_move(r, op, AT_CLAIM);
    HASH_ITER (hh, r->peers, pe, next)
        if (peer_reached(pe))
            claim_of(r, op, pe->id);
}

void ops_claim(struct rendezvous *r, const char *to)
{
    struct op *op;

    DL_FOREACH(r->ops, op)
    if (op->kind == OP_MAKE && op->at == AT_CLAIM)
        claim_of(r, op, to);
}

/* Whether what a machine says of a pipe with our name stands: not when it does not yet know that
 * this pipe's home restarted or left, or that we ourselves removed it. */
static bool exists(struct rendezvous *r, const struct rv_known *k)
{
    const struct peer *pe = peer_find(r, k->home);

    if (strcmp(k->home, r->self) == 0)
        return false;
    return !pe || (k->incarnation >= pe->incarnation &&
                   !(pe->state == MEMBER_LEFT && k->incarnation == pe->incarnation));
}

static void claim_answered(struct rendezvous *r, struct op *op, const struct call *c,
                           const struct rv_msg *a)
{
    const struct rv_known *k = a && a->kind == RV_EXISTS ? &a->u.exists : NULL;
    struct peer *pe;

    if (op->at != AT_CLAIM)
        return;
    op->left--;
    r->again = true;
    if (a && a->kind == RV_YIELD) {
        op_yield(r, op);
    } else if (k && exists(r, k)) {
        op_yield(r, op);
        pe = replica_of(r, k->home, k->incarnation, c->to);
        if (pe && pe->known < k->version)
            replica_want(r, pe, k->version, c->to);
    }
}

void op_create(struct rendezvous *r, struct op *op)
{
    struct pipe *p;

    if (r->own >= RV_PIPES_MAX) {
        failed(r, op, -ENOSPC, "%s has %d pipes, which is the most; remove some", r->self,
               RV_PIPES_MAX);
        return;
    }
    if (own_create(r, op, &p) < 0)
        failed(r, op, -ENOMEM, "out of memory");
    else
        op_spread(r, op, p);
}

void op_spread(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    op->uid = p->info.uid;
    op->result = p->info;
    strcpy(op->name, p->info.name);
    op->version = r->version;
    op_move(r, op, AT_SPREAD);
}

/* ---- what is asked of the home */

bool op_opening(const struct rendezvous *r, const struct pipe_uid *uid)
{
    struct op *op;

    DL_FOREACH(r->ops, op)
    if (op->kind == OP_OPEN && op->at != AT_END && op->at != AT_FOLLOW && uid_same(&op->uid, uid))
        return true;
    return false;
}

static void ask_home(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    static const enum rv_kind kind[] = {
        [OP_MAKE] = RV_SET, [OP_REMOVE] = RV_REMOVE, [OP_SET] = RV_SET, [OP_OPEN] = RV_OPEN
    };
    struct rv_msg q = { .kind = kind[op->kind] };

    q.u.op.uid = p->info.uid;
    q.u.op.incarnation = r->incarnation;
    q.u.op.mode = op->kind == OP_SET ? op->mode : -1;
    q.u.op.capacity = op->kind == OP_SET ? op->capacity : 0;
    op->tries++;
    op_move(r, op, call_ask(r, p->info.uid.home, &q, op) ? AT_ASK : AT_RETRY);
}

/* The home cannot do it: it is gone, or dead. */
static void home_cannot(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    if (op->kind == OP_MAKE)
        p ? done(r, op, p) : op_move(r, op, AT_WAIT);
    else if (!p && op->kind == OP_REMOVE && op->tries)
        done(r, op, NULL);
    else if (!p)
        no_such(r, op);
    else
        failed(r, op, -EHOSTUNREACH, "%s, the machine on which pipe %s was made, cannot be reached",
               p->info.uid.home, p->info.name);
}

void op_go(struct rendezvous *r, struct op *op)
{
    const struct pipe *p = book_find(r, &op->uid);

    if (!p)
        home_cannot(r, op, NULL);
    else if (op->kind == OP_OPEN && held_here(r, &p->info))
        done(r, op, p);
    else if (!peer_reached(peer_find(r, p->info.uid.home)))
        home_cannot(r, op, p);
    else if (op->kind == OP_OPEN && op->at == AT_FOLLOW && op_opening(r, &op->uid))
        return;
    else
        ask_home(r, op, p);
}

/* The replica shows what the home said of the holder. */
void op_opened(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    const struct pipe_info *info = &p->info;

    if (!info->holder[0])
        op_move(r, op, AT_RETRY); /* it has been given back meanwhile */
    else if (strcmp(info->holder, r->self) != 0 && !peer_reached(peer_find(r, info->holder)))
        failed(r, op, -EHOSTUNREACH, "%s, the machine that holds pipe %s, cannot be reached",
               info->holder, info->name);
    else if (strcmp(info->holder, r->self) != 0 || held_here(r, info))
        done(r, op, p);
    else if (info->holder_incarnation != r->incarnation)
        op_move(r, op, AT_RETRY);
    else if (!op->handle && !op->beginning)
        done(r, op, p); /* nobody takes it: holds_release() gives it back */
    else if (hold_add(r, &info->uid, info->epoch) < 0)
        failed(r, op, -ENOMEM, "out of memory");
    else
        done(r, op, p);
}

/* The home has removed it; until it is gone here too, its list is pulled. */
static void home_removed(struct rendezvous *r, struct op *op)
{
    struct peer *pe = peer_find(r, op->uid.home);

    op->version = UINT64_MAX;
    op_move(r, op, AT_REPLICA);
    if (pe && book_find(r, &op->uid))
        replica_want(r, pe, pe->known + 1, pe->id);
}

static void home_refused(struct rendezvous *r, struct op *op, const struct rv_msg *a)
{
    int rc = a->u.refuse.rc;

    if (op->kind == OP_MAKE)
        op_move(r, op, AT_WAIT);
    else if (op->kind == OP_REMOVE && rc == -ENOENT && op->tries > 1)
        home_removed(r, op); /* an earlier try was heard, its answer lost */
    else if (rc == -ENOENT)
        no_such(r, op);
    else
        failed(r, op, rc, "%s", a->u.refuse.words.text);
}

void op_answered(struct rendezvous *r, struct op *op, const struct call *c, int rc,
                 const struct rv_msg *a)
{
    if (c->kind == RV_CLAIM) {
        claim_answered(r, op, c, a);
    } else if (op->at != AT_ASK) {
        return;
    } else if (rc == 0 && a->kind == RV_REFUSE) {
        home_refused(r, op, a);
    } else if (rc == 0 && a->kind == RV_OK && op->kind == OP_REMOVE) {
        home_removed(r, op);
    } else if (rc == 0 && a->kind == RV_PIPE && op->kind != OP_REMOVE) {
        op->version = a->u.update.pipe.version;
        replica_update(r, c->to, false, &a->u.update.pipe);
        op_move(r, op, AT_REPLICA);
    } else if (op->kind == OP_MAKE) {
        home_cannot(r, op, book_find(r, &op->uid)); /* it does not count; the name is there */
    } else {
        op_move(r, op, AT_RETRY);
    }
}

/* ---- each state, looked at after every event */

/* The name is there: by another machine, or by another operation of this one. */
static void found(struct rendezvous *r, struct op *op, const struct pipe *p)
{
    calls_detach(r, op);
    op->uid = p->info.uid;
    if (op->excl)
        failed(r, op, -EEXIST, "pipe %s exists", op->name);
    else if (is_own(r, &p->info.uid))
        op_spread(r, op, p);
    else if (r->now < p->added_ms + FRESH_MS)
        op_go(r, op); /* its home tells when everybody knows */
    else
        done(r, op, p);
}

static void step_claim(struct rendezvous *r, struct op *op)
{
    const struct pipe *p = book_named(r, op->name);

    if (p)
        found(r, op, p);
    else if (op->at == AT_CLAIM && !op->left)
        op_create(r, op);
    else if (op->at == AT_WAIT && r->now >= op->retry_at)
        op_claim(r, op);
}

static void step_retry(struct rendezvous *r, struct op *op)
{
    if (op->at == AT_FOLLOW || r->now >= op->retry_at)
        op_go(r, op);
}

static void step_replica(struct rendezvous *r, struct op *op)
{
    const struct pipe *p = book_find(r, &op->uid);
    const struct peer *pe = peer_find(r, op->uid.home);

    if (!p)
        home_cannot(r, op, NULL);
    else if (!pe || r->now >= op->retry_at)
        op_move(r, op, AT_RETRY);
    else if (pe->known >= op->version)
        op->kind == OP_OPEN ? op_opened(r, op, p) : done(r, op, p);
}

static void step_spread(struct rendezvous *r, struct op *op)
{
    if (settled_everywhere(r) >= op->version)
        done(r, op, book_find(r, &op->uid));
}

static void step(struct rendezvous *r, struct op *op)
{
    static void (*const by_state[AT_STATES])(struct rendezvous *, struct op *) = {
        [AT_CLAIM] = step_claim,  [AT_WAIT] = step_claim,      [AT_RETRY] = step_retry,
        [AT_FOLLOW] = step_retry, [AT_REPLICA] = step_replica, [AT_SPREAD] = step_spread,
    };

    if (by_state[op->at])
        by_state[op->at](r, op);
    if (op->at == AT_END || r->now < op->deadline)
        return;
    if (op->at == AT_SPREAD)
        done(r, op, book_find(r, &op->uid)); /* who did not answer by now does not count */
    else
        failed(r, op, -EHOSTUNREACH, "the machines did not agree on pipe %s in %d ms", op->name,
               RV_DEADLINE_MS);
}

void ops_step(struct rendezvous *r)
{
    struct op *op, *next;

    DL_FOREACH_SAFE(r->ops, op, next)
    step(r, op);
}

static void tell_asker(struct rendezvous *r, const struct op *op)
{
    struct rv_msg a = { .kind = op->kind == OP_SET ? RV_PIPE : RV_OK };

    if (op->rc < 0) {
        a.kind = RV_REFUSE;
        a.u.refuse.rc = op->rc;
        a.u.refuse.words = op->words;
    } else if (op->kind == OP_SET) {
        a.u.update.pipe = op->result;
    }
    r->fx->answer(r->arg, op->ask, &a);
}

static void tell(struct rendezvous *r, struct op *op)
{
    const struct pipe *p = book_find(r, &op->uid);

    if (p && op->rc == 0)
        op->result = p->info;
    if (op->kind == OP_OPEN)
        r->release_at = r->now; /* it may have become a hold that nobody takes */
    if (op->ask)
        tell_asker(r, op);
    else if (op->handle)
        r->fx->done(r->arg, op->handle, op->rc,
                    op->rc == 0 && op->kind != OP_REMOVE ? &op->result : NULL,
                    op->rc < 0 ? op->words.text : NULL);
}

void ops_tell(struct rendezvous *r)
{
    struct op *op, *next;

    DL_FOREACH_SAFE(r->ops, op, next)
    {
        if (op->at != AT_END || op->beginning)
            continue;
        tell(r, op);
        op_free(r, op);
    }
}

uint64_t ops_next(const struct rendezvous *r)
{
    uint64_t next = UINT64_MAX;
    struct op *op;

    DL_FOREACH(r->ops, op)
    {
        bool retries = op->at == AT_WAIT || op->at == AT_RETRY || op->at == AT_REPLICA;
        uint64_t at = retries && op->retry_at < op->deadline ? op->retry_at : op->deadline;

        next = at < next ? at : next;
    }
    return next;
}

void ops_free(struct rendezvous *r)
{
    struct op *op, *next;

    DL_FOREACH_SAFE(r->ops, op, next)
    free(op);
}
