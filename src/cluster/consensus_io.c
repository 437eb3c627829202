/*
 * consensus_io.c - raft_io: the disk below libraft, and its state machine.
 *
 * Invariants:
 *  - No error ever reaches libraft from here: it would leave half-changed state behind (a failed
 *    vote after a request to take over frees a pointer that is none, a failed append truncates
 *    beyond the end). What cannot be done fences the whole object instead.
 *  - Work ends in the order it was begun. A truncation cuts what is under way (`valid`).
 *  - What is still under way at the end is told to libraft as done, since only that path frees
 *    without touching the log.
 */
#include "cluster/consensus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct consensus *of(struct raft_io *io)
{
    return io->impl;
}

/* ---- work under way */

static struct disk_op *op_new(struct consensus *c, enum disk_op_kind kind)
{
    struct disk_op *op = raft_calloc(1, sizeof *op);

    op->c = c;
    op->kind = kind;
    op->began_ms = consensus_now(c);
    *c->ops_end = op;
    c->ops_end = &op->next;
    return op;
}

static void op_free(struct disk_op *op)
{
    struct consensus *c = op->c;

    for (struct disk_op **pp = &c->ops; *pp; pp = &(*pp)->next)
        if (*pp == op) {
            *pp = op->next;
            if (c->ops_end == &op->next)
                c->ops_end = pp;
            break;
        }
    c->ops_bytes -= op->bytes;
    if (op->kind == OP_APPEND)
        c->ops_appends--;
    free(op->entries);
    raft_free(op->conf.base);
    free(op);
}

/* ---- entries */

/* What the leader's own disk brings: the commit index is counted before libraft does. */
static void append_done_leader(struct consensus *c, struct disk_op *op)
{
    struct raft *r = &c->raft;
    uint64_t held[CONSENSUS_SERVERS_MAX], target = commit_target(c, c->node, c->stored);
    unsigned n =
        r->configuration.n < CONSENSUS_SERVERS_MAX ? r->configuration.n : CONSENSUS_SERVERS_MAX;
    struct raft_progress *progress = r->leader_state.progress;
    bool old = log_term(r, c->stored) != r->current_term && conf_voters(r) > 1;

    if (target)
        r->commit_index = target;
    for (unsigned i = 0; old && i < n; i++) {
        held[i] = progress[i].match_index;
        if (r->configuration.servers[i].id != c->node)
            progress[i].match_index = 0;
    }
    op->append_cb(op->append, 0);
    for (unsigned i = 0; old && i < n && r->leader_state.progress == progress; i++)
        if (r->configuration.servers[i].id != c->node)
            progress[i].match_index = held[i];
}

static void append_done(struct consensus *c, struct disk_op *op)
{
    struct raft *r = &c->raft;

    if (op->valid)
        c->stored = op->first + op->valid - 1;
    if (r->state == RAFT_LEADER) {
        append_done_leader(c, op);
    } else {
        op->append_cb(op->append, 0);
        consensus_take_told(c);
    }
}

static void on_append(void *token, int rc)
{
    struct disk_op *op = token;
    struct consensus *c = op->c;

    consensus_enter(c);
    if (rc < 0)
        consensus_fence(c, "the log could not be written: %s", strerror(-rc));
    if (!c->fenced) {
        append_done(c, op);
        op_free(op);
    }
    consensus_leave(c);
}

static int io_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry v[],
                     unsigned n, raft_io_append_cb cb)
{
    struct consensus *c = of(io);
    struct disk_op *op = op_new(c, OP_APPEND);
    int rc;

    op->append = req;
    op->append_cb = cb;
    op->n = op->valid = n;
    op->entries = raft_calloc(n, sizeof *op->entries);
    for (unsigned i = 0; i < n; i++) {
        op->entries[i] = (struct consensus_entry){ .term = v[i].term,
                                                   .kind = (uint8_t)v[i].type,
                                                   .data = v[i].buf.base,
                                                   .len = v[i].buf.len };
        op->bytes += v[i].buf.len + sizeof v[i];
    }
    op->first = log_last(&c->raft) - n + 1; /* they are in the log already, at its end */
    c->ops_bytes += op->bytes;
    c->ops_appends++;
    c->in.appends = true;
    conf_appended(c, op->first, v, n);
    c->appended = op->first + n - 1;
    if (c->fenced)
        return 0;
    rc = c->fn.append(c->env, op->first, op->entries, n, on_append, op);
    if (rc < 0)
        consensus_fence(c, "the log could not be written: %s", strerror(-rc));
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct consensus *c = of(io);
    int rc;

    conf_truncated(c, index);
    for (struct disk_op *op = c->ops; op; op = op->next)
        if (op->kind == OP_APPEND && op->first + op->valid > index)
            op->valid = op->first < index ? index - op->first : 0;
    if (c->stored >= index)
        c->stored = index - 1;
    c->appended = index - 1;
    if (c->verified >= index)
        c->verified = index - 1;
    if (c->fenced)
        return 0;
    rc = c->fn.truncate(c->env, index);
    if (rc < 0)
        consensus_fence(c, "the log could not be cut at %llu: %s", index, strerror(-rc));
    return 0;
}

/* ---- term and vote */

/* Writes a term that libraft is about to ask for; false: the disk does not take it now. */
bool consensus_persist_term(struct consensus *c, uint64_t term)
{
    if (term <= c->raft.current_term || term == c->term_ahead)
        return true;
    if (c->fn.set_term(c->env, term) < 0)
        return false;
    c->term_ahead = term;
    return true;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct consensus *c = of(io);
    int rc;

    if (c->fenced || c->term_ahead == term)
        return 0;
    rc = c->fn.set_term(c->env, term);
    if (rc < 0)
        consensus_fence(c, "the term could not be written: %s", strerror(-rc));
    c->term_ahead = term;
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id node)
{
    struct consensus *c = of(io);
    int rc;

    if (c->fenced)
        return 0;
    rc = c->fn.set_vote(c->env, node);
    if (rc < 0)
        consensus_fence(c, "the vote could not be written: %s", strerror(-rc));
    return 0;
}

/* ---- snapshots */

/* libraft emptied its log for a snapshot of another server, which is not on the disk yet. */
bool consensus_installing(const struct consensus *c)
{
    return c->raft.last_stored == 0 && c->raft.snapshot.put.data != NULL;
}

static void on_put(void *token, int rc)
{
    struct disk_op *op = token;
    struct consensus *c = op->c;
    bool foreign = op->kind == OP_SNAPSHOT_FOREIGN;

    consensus_enter(c);
    if (rc < 0 && foreign)
        consensus_fence(c, "a snapshot could not be written: %s", strerror(-rc));
    if (!c->fenced) {
        if (foreign)
            c->stored = c->appended = op->snapshot.index;
        c->restored = false;
        op->put_cb(op->put, rc < 0 ? RAFT_IOERR : 0);
        if (foreign && !c->restored) {
            raft_free(op->bufs);
            consensus_fence(c, "the state at %llu was not taken over",
                            (unsigned long long)op->snapshot.index);
        }
        op_free(op);
    }
    consensus_leave(c);
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *s, raft_io_snapshot_put_cb cb)
{
    struct consensus *c = of(io);
    bool foreign = s != &c->raft.snapshot.pending;
    struct disk_op *op = op_new(c, foreign ? OP_SNAPSHOT_FOREIGN : OP_SNAPSHOT_OWN);
    int rc = 0;

    op->put = req;
    op->put_cb = cb;
    op->bufs = s->bufs;
    if (foreign)
        rc = raft_configuration_encode(&s->configuration, &op->conf) == 0 ? 0 : -ENOMEM;
    else
        rc = conf_committed(c, &op->conf);
    op->snapshot = (struct consensus_snapshot){ .index = s->index,
                                                .term = s->term,
                                                .conf_index = s->configuration_index,
                                                .conf = op->conf.base,
                                                .conf_len = op->conf.len,
                                                .data = s->bufs[0].base,
                                                .len = s->bufs[0].len };
    if (foreign && c->appended >= s->index) /* the disk holds what the snapshot contradicts */
        io_truncate(io, s->index);
    if (foreign) {
        c->change_last = 0;
        c->raft.log.snapshot.last_term = op->snapshot.term = c->in.snapshot_term;
    }
    if (rc == 0 && !c->fenced)
        rc = c->fn.snapshot_put(c->env, &op->snapshot, trailing, on_put, op);
    if (rc < 0)
        consensus_fence(c, "a snapshot could not be written: %s", strerror(-rc));
    return 0;
}

static struct raft_snapshot *snapshot_for_raft(struct consensus_snapshot *s)
{
    struct raft_snapshot *out = raft_calloc(1, sizeof *out);

    if (conf_from_bytes(s->conf, s->conf_len, &out->configuration) < 0) {
        free(out);
        return NULL;
    }
    out->index = s->index;
    out->term = s->term;
    out->configuration_index = s->conf_index;
    out->bufs = raft_calloc(1, sizeof *out->bufs);
    out->n_bufs = 1;
    out->bufs[0].base = s->data ? s->data : raft_malloc(1);
    out->bufs[0].len = s->len;
    s->data = NULL;
    return out;
}

static void on_get(void *token, int rc)
{
    struct disk_op *op = token;
    struct consensus *c = op->c;

    consensus_enter(c);
    if (!c->fenced) {
        struct raft_snapshot *s = rc < 0 ? NULL : snapshot_for_raft(&op->snapshot);

        free(op->snapshot.data);
        free((void *)(uintptr_t)op->snapshot.conf);
        op->get_cb(op->get, s, s ? 0 : RAFT_IOERR);
        op_free(op);
    }
    consensus_leave(c);
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req,
                           raft_io_snapshot_get_cb cb)
{
    struct consensus *c = of(io);
    struct disk_op *op = op_new(c, OP_SNAPSHOT_GET);
    int rc;

    op->get = req;
    op->get_cb = cb;
    if (c->fenced)
        return 0;
    rc = c->fn.snapshot_get(c->env, &op->snapshot, on_get, op);
    if (rc < 0)
        consensus_fence(c, "a snapshot could not be read: %s", strerror(-rc));
    return 0;
}

/* ---- start and end */

/* The only voter becomes leader without a new term; after a crash it would write other entries
 * under the same index and term as those a learner may hold. So its term grows with each start. */
static int io_load(struct raft_io *io, raft_term *term, raft_id *vote,
                   struct raft_snapshot **snapshot, raft_index *start, struct raft_entry **entries,
                   size_t *n)
{
    struct consensus *c = of(io);
    struct consensus_loaded *l = &c->loaded;

    *term = l->term;
    *vote = l->voted_for;
    *snapshot = l->has_snapshot ? snapshot_for_raft(&l->snapshot) : NULL;
    *start = l->first;
    *n = l->n;
    *entries = l->n ? raft_calloc(l->n, sizeof **entries) : NULL;
    for (size_t i = 0; i < l->n; i++) {
        (*entries)[i] = (struct raft_entry){
            .term = l->entries[i].term,
            .type = l->entries[i].kind,
            .buf = { .base = (void *)(uintptr_t)l->entries[i].data, .len = l->entries[i].len },
        };
        l->entries[i].data = NULL;
    }
    c->stored = c->appended = l->first + l->n - 1;
    return 0;
}

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct consensus *c = of(io);

    (void)msecs;
    c->tick = tick;
    c->recv = recv;
    return 0;
}

static void end_op(struct disk_op *op)
{
    switch (op->kind) {
    case OP_APPEND:
        op->append_cb(op->append, 0);
        break;
    case OP_SNAPSHOT_OWN:
        op->put_cb(op->put, RAFT_CANCELED);
        break;
    case OP_SNAPSHOT_FOREIGN:
        op->put_cb(op->put, RAFT_CANCELED);
        raft_free(op->bufs);
        break;
    case OP_SNAPSHOT_GET:
        op->get_cb(op->get, NULL, RAFT_CANCELED);
        break;
    }
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct consensus *c = of(io);

    consensus_part_drop(c);
    consensus_sent_run(c);
    while (c->ops) {
        end_op(c->ops);
        op_free(c->ops);
    }
    consensus_sent_run(c);
    cb(io);
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    return RAFT_CANTBOOTSTRAP; /* consensus_bootstrap() does it */
}

static raft_time io_time(struct raft_io *io)
{
    return consensus_now(of(io));
}

static int io_random(struct raft_io *io, int min, int max)
{
    struct consensus *c = of(io);

    return (int)c->fn.random(c->env, (unsigned)min, (unsigned)max);
}

/* ---- the state machine. libraft gives no index: it is the one after the last applied. */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct consensus *c = fsm->data;
    uint64_t index = c->raft.last_applied + 1;

    *result = NULL;
    if (c->fenced)
        return 0;
    c->fn.committed(c->env, index, buf->base, buf->len);
    ask_applied(c, index);
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct consensus *c = fsm->data;
    void *data = NULL;
    size_t len = 0;

    if (c->fenced || c->fn.snapshot(c->env, c->raft.last_applied, &data, &len) < 0)
        return RAFT_BUSY; /* libraft tries again with the next entry */
    *bufs = raft_calloc(1, sizeof **bufs);
    (*bufs)[0].base = data;
    (*bufs)[0].len = len;
    *n_bufs = 1;
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct consensus *c = fsm->data;
    uint64_t index = c->raft.log.snapshot.last_index; /* set before, but for the start */
    int rc;

    if (!c->tick)
        index = c->loaded.snapshot.index;
    rc = c->fn.restore(c->env, index, buf->base, buf->len);
    if (rc < 0) {
        consensus_fence(c, "the state at %llu could not be taken over: %s",
                        (unsigned long long)index, strerror(-rc));
        return RAFT_IOERR;
    }
    free(buf->base);
    c->restored = true;
    return 0;
}

void consensus_io_init(struct consensus *c)
{
    c->ops_end = &c->ops;
    c->sent_end = &c->sent;
    c->io = (struct raft_io){ .version = 2,
                              .impl = c,
                              .init = io_init,
                              .close = io_close,
                              .load = io_load,
                              .start = io_start,
                              .bootstrap = io_bootstrap,
                              .recover = io_bootstrap,
                              .set_term = io_set_term,
                              .set_vote = io_set_vote,
                              .send = consensus_io_send,
                              .append = io_append,
                              .truncate = io_truncate,
                              .snapshot_put = io_snapshot_put,
                              .snapshot_get = io_snapshot_get,
                              .time = io_time,
                              .random = io_random };
    c->fsm = (struct raft_fsm){ .version = 2,
                                .data = c,
                                .apply = fsm_apply,
                                .snapshot = fsm_snapshot,
                                .restore = fsm_restore };
}
