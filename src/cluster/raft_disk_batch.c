/*
 * raft_disk_batch.c - the two jobs of the disk on a thread of libuv's pool: the next transaction of
 * the log, and one snapshot file.
 *
 * With `txn` a job has the log; with `lock`, which is never held over anything slow, the queues.
 * What did not find room goes back to the head of the queue, but the entries that a snapshot
 * replaced are dropped even then: that needs only what is reserved.
 */
#include "base/cleanup.h"
#include "cluster/raft_disk_private.h"

#include <string.h>

#define TXN_BYTES ((size_t)8 << 20) /* so that no transaction takes long */
#define CUT_MAX   512               /* entries dropped with one transaction */

struct batch {
    struct ops ops;
    struct op *cut;
    bool all_cut;
};

static size_t op_cost(struct disk_log *l, const struct op *o)
{
    size_t bytes = 0;

    for (size_t i = 0; o->kind == OP_APPEND && i < o->n; i++)
        bytes += log_cost(l, o->entries[i].len);
    return bytes;
}

/* The bytes that the next transaction wants: at least its first append, as a rule TXN_BYTES. */
static size_t wanted(struct raft_disk *d)
{
    size_t bytes = 0;

    for (struct op *o = d->queue.head; o && bytes < TXN_BYTES; o = o->next) {
        if (o->kind == OP_RESET && !o->of->stored)
            break;
        bytes += op_cost(&d->log, o);
    }
    return bytes;
}

/* The index behind the log's end, once these are written. */
static uint64_t next_after(uint64_t next, const struct ops *ops)
{
    for (const struct op *o = ops->head; o; o = o->next) {
        if (o->kind == OP_RESET)
            next = o->of->snapshot.index + 1;
        else if (o->n > 0)
            next = o->first + o->n;
    }
    return next;
}

/* Takes from the queue what is to be written now. */
static int take_batch(struct raft_disk *d, struct batch *b)
{
    size_t want, room, left;
    struct op *o;
    int rc;

    pthread_mutex_lock(&d->lock);
    want = wanted(d);
    pthread_mutex_unlock(&d->lock);
    room = log_room(&d->log, want, &rc); /* may wait for the disk */
    ops_init(&b->ops);
    left = room < want ? room : want;
    pthread_mutex_lock(&d->lock);
    if (d->failed) {
        pthread_mutex_unlock(&d->lock);
        return d->failed;
    }
    while ((o = d->queue.head) && (o->kind != OP_RESET || o->of->stored)) {
        size_t cost = op_cost(&d->log, o);

        if (cost > left)
            break;
        left -= cost;
        ops_push(&b->ops, ops_pop(&d->queue));
    }
    /* The machine may be ahead of its disk: not before the entries are there. */
    if (d->cut && d->cut->snapshot.index < next_after(d->log.st.next, &b->ops))
        b->cut = d->cut;
    pthread_mutex_unlock(&d->lock);
    return b->ops.head || b->cut ? 0 : rc;
}

static int cut_log(struct log_txn *x, struct batch *b)
{
    const struct op *put = b->cut;
    uint64_t index = put->snapshot.index, below = index - put->trailing + 1;
    int rc = put->trailing > index ? 0 : txn_drop_below(x, below, CUT_MAX);

    b->all_cut = rc == 0;
    x->st.snap_index = index;
    x->st.snap_term = put->snapshot.term;
    return rc == 1 ? 0 : rc;
}

static int reset_log(struct log_txn *x, const struct op *put)
{
    x->st.snap_index = put->snapshot.index;
    x->st.snap_term = put->snapshot.term;
    return txn_drop_all(x, put->snapshot.index + 1);
}

static int write_batch(struct log_txn *x, void *arg)
{
    struct batch *b = arg;
    int rc = 0;

    for (struct op *o = b->ops.head; o && rc == 0; o = o->next) {
        if (o->kind == OP_RESET)
            rc = reset_log(x, o->of);
        for (size_t i = 0; o->kind == OP_APPEND && i < o->n && rc == 0; i++)
            rc = txn_put_entry(x, o->first + i, &o->entries[i]);
    }
    return rc == 0 && b->cut ? cut_log(x, b) : rc;
}

/* With txn held. */
static void write_once(struct raft_disk *d)
{
    struct oerr words = { "" };
    struct batch b = { 0 };
    int dead, rc = take_batch(d, &b);

    if (rc < 0)
        oerr_set(&words, rc, "%s cannot grow: %s", d->log.path, strerror(-rc));
    else if (b.ops.head || b.cut)
        rc = log_run(&d->log, write_batch, &b);
    if (rc < 0 && !words.text[0])
        words = d->log.words;
    /* Readers in other processes that were killed would keep old pages for ever. */
    if (rc == 0 && b.all_cut)
        mdb_reader_check(d->log.env, &dead);
    pthread_mutex_lock(&d->lock);
    d->log_rc = rc;
    d->log_words = words;
    if (rc < 0) {
        ops_unshift(&d->queue, &b.ops);
    } else {
        ops_append(&d->finished, &b.ops);
        if (b.cut && b.all_cut) {
            d->was_cut = b.cut;
            d->cut = NULL;
        }
    }
    pthread_mutex_unlock(&d->lock);
}

/* With txn held. Where there is no room now, it stays as it is. */
static void seal(struct raft_disk *d)
{
    int rc = log_seal(&d->log);

    pthread_mutex_lock(&d->lock);
    d->log_rc = disk_waits(rc) ? 0 : rc;
    d->log_words = d->log.words;
    pthread_mutex_unlock(&d->lock);
}

static bool has_ops(struct raft_disk *d)
{
    bool has;

    pthread_mutex_lock(&d->lock);
    has = d->queue.head || d->cut;
    pthread_mutex_unlock(&d->lock);
    return has;
}

void flow_log_work(uv_work_t *req)
{
    struct job *j = container_of(req, struct job, req);
    struct raft_disk *d = j->disk;

    pthread_mutex_lock(&d->txn);
    if (d->seal_due && !has_ops(d))
        seal(d);
    else
        write_once(d);
    pthread_mutex_unlock(&d->txn);
    pthread_mutex_lock(&d->lock);
    j->finished = true;
    pthread_cond_broadcast(&d->idle);
    pthread_mutex_unlock(&d->lock);
}

/* ---- the snapshots' job */

void flow_snap_work(uv_work_t *req)
{
    struct job *j = container_of(req, struct job, req);
    struct raft_disk *d = j->disk;
    struct oerr words = { "" };
    struct op *o = d->snap_op;
    int rc;

    if (o->kind == OP_PUT)
        rc = snap_write(d->dir, &o->snapshot, &words);
    else
        rc = snap_read(d->dir, d->newest, &o->snapshot, &words);
    pthread_mutex_lock(&d->lock);
    o->rc = rc;
    d->snap_words = words;
    j->finished = true;
    pthread_cond_broadcast(&d->idle);
    pthread_mutex_unlock(&d->lock);
}
