/*
 * raft_disk_op.c - what is asked of the disk, and lists of it.
 */
#include "cluster/raft_disk_private.h"

#include <stdlib.h>

void ops_init(struct ops *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

void ops_push(struct ops *q, struct op *o)
{
    o->next = NULL;
    *q->tail = o;
    q->tail = &o->next;
}

struct op *ops_pop(struct ops *q)
{
    struct op *o = q->head;

    if (!o)
        return NULL;
    q->head = o->next;
    if (!q->head)
        q->tail = &q->head;
    return o;
}

void ops_remove(struct ops *q, struct op *o)
{
    struct op **at = &q->head;

    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (!o->next)
        q->tail = at;
}

/* All of b, before what q holds. */
void ops_unshift(struct ops *q, struct ops *b)
{
    if (!b->head)
        return;
    *b->tail = q->head;
    if (!q->head)
        q->tail = b->tail;
    q->head = b->head;
    ops_init(b);
}

void ops_append(struct ops *q, struct ops *b)
{
    if (!b->head)
        return;
    *q->tail = b->head;
    q->tail = b->tail;
    ops_init(b);
}

struct op *disk_op_create(enum op_kind kind, consensus_disk_done *done, void *token)
{
    struct op *o = calloc(1, sizeof *o);

    if (o) {
        o->kind = kind;
        o->done = done;
        o->token = token;
    }
    return o;
}

void op_end(struct op *o)
{
    if (o->kind == OP_GET && o->rc == 0)
        *o->out = o->snapshot;
    else if (o->kind == OP_GET)
        snap_free(&o->snapshot);
    if (o->done)
        o->done(o->token, o->rc);
    free(o->entries);
    free(o);
}
