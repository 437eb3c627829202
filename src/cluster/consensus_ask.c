/*
 * consensus_ask.c - proposals, reads, changes of the configuration.
 *
 * A proposal waits in `fresh` until the end of the event, is put into the log with all others of it
 * as one batch, waits in `flying` by its index, and is called from `finished` after env->flush().
 * While APPENDS_MAX writes are under way fresh ones gather, so that a slow disk gets few large
 * ones.
 *
 * A leader is `ready` when an entry of its own term is committed (a barrier, submitted when it is
 * elected: libraft adds none). Only then does its commit index hold all that was acknowledged
 * before, and only then may the configuration change (Ongaro's correction of 2015).
 *
 * Reads: `read_now` is the round under way, with the commit index of its start; all that come
 * meanwhile are `read_next`. Every voter whose term is the leader's answers; a majority, the leader
 * included, proves that nobody else had been elected when the round began.
 */
#include "cluster/consensus_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { APPENDS_MAX = 4, BYTES_MAX = 64 << 20, BATCH_MAX = 1024 };

/* ---- queues of waiters */

static void queue_init(struct waiters *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_put(struct waiters *q, struct waiter *w)
{
    w->next = NULL;
    *q->tail = w;
    q->tail = &w->next;
}

static struct waiter *queue_take(struct waiters *q)
{
    struct waiter *w = q->head;

    if (!w)
        return NULL;
    q->head = w->next;
    if (!q->head)
        q->tail = &q->head;
    return w;
}

static void finish(struct consensus *c, struct waiter *w, int rc, uint64_t index)
{
    w->rc = rc;
    w->index = index;
    raft_free(w->data.base);
    w->data.base = NULL;
    queue_put(&c->finished, w);
}

static void finish_all(struct consensus *c, struct waiters *q, int rc, uint64_t index)
{
    struct waiter *w;

    while ((w = queue_take(q)))
        finish(c, w, rc, index);
}

static struct waiter *waiter_new(consensus_done *done, void *arg)
{
    struct waiter *w = raft_calloc(1, sizeof *w);

    w->done = done;
    w->arg = arg;
    return w;
}

void ask_init(struct consensus *c)
{
    queue_init(&c->fresh);
    queue_init(&c->flying);
    queue_init(&c->read_next);
    queue_init(&c->read_now);
    queue_init(&c->finished);
}

bool ask_finish(struct consensus *c)
{
    struct waiter *w = queue_take(&c->finished);

    if (!w)
        return false;
    do {
        w->done(w->arg, w->rc, w->index);
        free(w);
    } while ((w = queue_take(&c->finished)));
    return true;
}

/* ---- proposals */

int consensus_propose(struct consensus *c, const void *data, size_t len, consensus_done *done,
                      void *arg)
{
    struct waiter *w;

    if (len > CONSENSUS_DATA_MAX)
        return -EMSGSIZE;
    if (!consensus_is_leader(c) || c->fresh_bytes + c->flying_bytes + len > BYTES_MAX)
        return -EAGAIN;
    w = waiter_new(done, arg);
    w->data.base = raft_malloc(len ? len : 1);
    w->data.len = len;
    memcpy(w->data.base, data, len);
    consensus_enter(c);
    queue_put(&c->fresh, w);
    c->fresh_n++;
    c->fresh_bytes += len;
    consensus_leave(c);
    return 0;
}

struct batch {
    struct raft_apply req;
};

/* Of a batch, libraft tells only its first entry; all of them are found by their index. */
static void batch_done(struct raft_apply *req, int status, void *result)
{
    (void)status;
    (void)result;
    free(container_of(req, struct batch, req));
}

static void submit_batch(struct consensus *c)
{
    size_t n = c->fresh_n < BATCH_MAX ? c->fresh_n : BATCH_MAX;
    struct raft_buffer *bufs = raft_calloc(n, sizeof *bufs);
    struct batch *batch = raft_calloc(1, sizeof *batch);
    uint64_t first = log_last(&c->raft) + 1;
    int rv;

    for (size_t i = 0; i < n; i++) {
        struct waiter *w = queue_take(&c->fresh);

        bufs[i] = w->data;
        w->data.base = NULL;
        w->index = first + i;
        c->fresh_n--;
        c->fresh_bytes -= bufs[i].len;
        c->flying_bytes += bufs[i].len;
        queue_put(&c->flying, w);
    }
    rv = raft_apply(&c->raft, &batch->req, bufs, (unsigned)n, batch_done);
    if (rv != 0) { /* not leader: asked before, so this does not happen */
        consensus_fence(c, "the engine refused entries: %s", raft_strerror(rv));
        for (size_t i = 0; i < n; i++)
            raft_free(bufs[i].base);
        free(batch);
    }
    free(bufs);
}

void ask_submit(struct consensus *c)
{
    if (!c->fresh_n)
        return;
    if (!consensus_is_leader(c)) {
        finish_all(c, &c->fresh, -EAGAIN, 0);
        c->fresh_n = c->fresh_bytes = 0;
        return;
    }
    while (c->fresh_n && c->ops_appends < APPENDS_MAX && !c->fenced)
        submit_batch(c);
}

/* An entry was handed out. */
void ask_applied(struct consensus *c, uint64_t index)
{
    struct waiter *w = c->flying.head;

    if (!w || w->index != index)
        return;
    queue_take(&c->flying);
    c->flying_bytes -= w->data.len;
    finish(c, w, 0, index);
}

/* ---- leadership */

static void barrier_done(struct raft_barrier *req, int status)
{
    struct consensus *c = container_of(req, struct consensus, barrier);

    if (status == 0)
        c->ready = true;
}

static void begin_leading(struct consensus *c)
{
    c->leading = true;
    c->leading_term = c->raft.current_term;
    c->ready = false;
    for (size_t i = 0; i < c->n_peers; i++)
        c->peers[i].commit_sent = c->peers[i].read_yes = 0;
    if (raft_barrier(&c->raft, &c->barrier, barrier_done) != 0)
        consensus_fence(c, "the engine refused the first entry of a term");
}

static void end_leading(struct consensus *c)
{
    c->leading = c->ready = false;
    finish_all(c, &c->flying, -EAGAIN, 0);
    finish_all(c, &c->fresh, -EAGAIN, 0);
    finish_all(c, &c->read_now, -EAGAIN, 0);
    finish_all(c, &c->read_next, -EAGAIN, 0);
    c->fresh_n = c->fresh_bytes = c->flying_bytes = 0;
}

/* libraft keeps a hand-over beyond the end of the leadership: it would vote for its target although
 * it had voted (electionVote), and refuse entries when it leads again. */
void ask_roles(struct consensus *c)
{
    bool leads = !c->fenced && c->raft.state == RAFT_LEADER;

    if (!leads || (c->leading && c->leading_term != c->raft.current_term))
        c->raft.transfer = NULL;
    if (c->leading && (!leads || c->leading_term != c->raft.current_term))
        end_leading(c);
    if (leads && !c->leading)
        begin_leading(c);
}

/* ---- reads */

int consensus_read_index(struct consensus *c, consensus_done *done, void *arg)
{
    if (!consensus_is_leader(c))
        return -EAGAIN;
    consensus_enter(c);
    queue_put(&c->read_next, waiter_new(done, arg));
    consensus_leave(c);
    return 0;
}

static void say_read(struct consensus *c)
{
    const struct raft *r = &c->raft;
    struct consensus_msg m = {
        .kind = MSG_READ, .from = c->node, .term = r->current_term, .read = { c->read_round }
    };

    c->read_ms = consensus_now(c);
    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_server *s = &r->configuration.servers[i];

        if (s->id == c->node || s->role != RAFT_VOTER)
            continue;
        m.to = s->id;
        consensus_say(c, &m, s->address);
    }
}

static bool read_proved(struct consensus *c)
{
    const struct raft *r = &c->raft;
    size_t yes = 0;

    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_server *s = &r->configuration.servers[i];

        if (s->role == RAFT_VOTER)
            yes += s->id == c->node || consensus_peer(c, s->id)->read_yes == c->read_round;
    }
    return yes > conf_voters(r) / 2;
}

void ask_reads(struct consensus *c)
{
    if (!c->leading || !c->ready || c->fenced)
        return;
    for (;;) {
        if (c->read_now.head && read_proved(c))
            finish_all(c, &c->read_now, 0, c->read_index);
        if (c->read_now.head || !c->read_next.head)
            return;
        c->read_now = c->read_next;
        if (c->read_now.head->next == NULL)
            c->read_now.tail = &c->read_now.head->next;
        queue_init(&c->read_next);
        c->read_round++;
        c->read_index = c->raft.last_applied;
        say_read(c);
    }
}

void ask_read_yes(struct consensus *c, const struct consensus_msg *m)
{
    if (c->raft.state == RAFT_LEADER && m->term == c->raft.current_term)
        consensus_peer(c, m->from)->read_yes = m->read.round;
}

/* ---- changes of the configuration */

static const struct {
    int raft, rc;
} change_errors[] = {
    { RAFT_NOTLEADER, -EAGAIN },        { RAFT_LEADERSHIPLOST, -EAGAIN },
    { RAFT_CANTCHANGE, -EBUSY },        { RAFT_DUPLICATEID, -EEXIST },
    { RAFT_DUPLICATEADDRESS, -EEXIST }, { RAFT_BADROLE, -EALREADY },
    { RAFT_NOTFOUND, -ENOENT },         { RAFT_BADID, -ENOENT },
    { RAFT_NOCONNECTION, -ETIMEDOUT },  { RAFT_NOMEM, -ENOMEM },
};

static int change_rc(int rv)
{
    for (size_t i = 0; i < ARRAY_SIZE(change_errors); i++)
        if (change_errors[i].raft == rv)
            return change_errors[i].rc;
    return rv ? -EIO : 0;
}

static void change_done(struct raft_change *req, int status)
{
    struct consensus *c = container_of(req, struct consensus, change);
    struct waiter *w = c->change_waiter;

    c->change_waiter = NULL;
    if (w)
        finish(c, w, change_rc(status), status ? 0 : c->raft.configuration_index);
}

static int may_change(const struct consensus *c)
{
    if (!consensus_is_leader(c))
        return -EAGAIN;
    return c->change_waiter || !c->ready || c->raft.configuration_uncommitted_index ? -EBUSY : 0;
}

/* Between these two libraft is called. */
static void change_begin(struct consensus *c, consensus_done *done, void *arg)
{
    consensus_enter(c);
    c->change_waiter = waiter_new(done, arg);
}

static int change_end(struct consensus *c, int rv)
{
    if (rv != 0) {
        free(c->change_waiter);
        c->change_waiter = NULL;
        c->raft.leader_state.change = NULL; /* raft_assign() leaves it behind */
    }
    consensus_leave(c);
    return change_rc(rv);
}

/* Without a voter nothing could ever be decided again. */
static bool is_last_voter(const struct consensus *c, uint64_t node)
{
    const struct raft_server *s = conf_server(&c->raft, node);

    return s && s->role == RAFT_VOTER && conf_voters(&c->raft) == 1;
}

/* A leader that takes its own vote hands over first: else its followers would know of it only when
 * their time is up, and if it crashed, its log might be needed while it may not stand for election.
 */
static int hand_over_first(struct consensus *c, uint64_t node)
{
    if (node != c->node)
        return 0;
    consensus_transfer(c, 0);
    return -EAGAIN;
}

int consensus_add(struct consensus *c, uint64_t node, const char *id, consensus_done *done,
                  void *arg)
{
    int rc = may_change(c);

    if (rc == 0 && (node == 0 || !id[0] || strlen(id) >= ID_MAX))
        rc = -EINVAL;
    if (rc == 0 && c->raft.configuration.n >= CONSENSUS_SERVERS_MAX)
        rc = -ENOSPC;
    if (rc < 0)
        return rc;
    change_begin(c, done, arg);
    return change_end(c, raft_add(&c->raft, &c->change, node, id, change_done));
}

int consensus_assign(struct consensus *c, uint64_t node, enum consensus_role role,
                     consensus_done *done, void *arg)
{
    static const int roles[] = {
        [ROLE_SPARE] = RAFT_SPARE, [ROLE_LEARNER] = RAFT_STANDBY, [ROLE_VOTER] = RAFT_VOTER
    };
    int rc = may_change(c);

    if (rc == 0 && (role > ROLE_VOTER || (role != ROLE_VOTER && is_last_voter(c, node))))
        rc = -EINVAL;
    if (rc == 0 && role != ROLE_VOTER)
        rc = hand_over_first(c, node);
    if (rc < 0)
        return rc;
    change_begin(c, done, arg);
    return change_end(c, raft_assign(&c->raft, &c->change, node, roles[role], change_done));
}

int consensus_remove(struct consensus *c, uint64_t node, consensus_done *done, void *arg)
{
    int rc = may_change(c);

    if (rc == 0 && is_last_voter(c, node))
        rc = -EINVAL;
    if (rc == 0)
        rc = hand_over_first(c, node);
    if (rc < 0)
        return rc;
    change_begin(c, done, arg);
    return change_end(c, raft_remove(&c->raft, &c->change, node, change_done));
}

int consensus_transfer(struct consensus *c, uint64_t node)
{
    int rv;

    if (!consensus_is_leader(c))
        return -EAGAIN;
    consensus_enter(c);
    rv = raft_transfer(&c->raft, &c->transfer, node, NULL);
    consensus_leave(c);
    return change_rc(rv);
}

/* ---- time, end */

/* A leader whose disk stands still keeps everybody waiting: another one may do better. */
static void hand_over_when_stuck(struct consensus *c)
{
    const struct disk_op *op = c->ops;

    while (op && op->kind != OP_APPEND)
        op = op->next;
    if (op && c->raft.state == RAFT_LEADER && !c->raft.transfer && conf_voters(&c->raft) > 1 &&
        consensus_now(c) - op->began_ms >= 4 * (uint64_t)c->election_ms)
        raft_transfer(&c->raft, &c->transfer, 0, NULL);
}

void ask_tick(struct consensus *c)
{
    if (c->read_now.head && c->leading && consensus_now(c) - c->read_ms >= c->heartbeat_ms)
        say_read(c);
    hand_over_when_stuck(c);
}

void ask_end_all(struct consensus *c, int rc)
{
    finish_all(c, &c->flying, rc, 0);
    finish_all(c, &c->fresh, rc, 0);
    finish_all(c, &c->read_now, rc, 0);
    finish_all(c, &c->read_next, rc, 0);
    c->fresh_n = c->fresh_bytes = c->flying_bytes = 0;
    if (c->change_waiter)
        finish(c, take_ptr(c->change_waiter), rc, 0);
}
