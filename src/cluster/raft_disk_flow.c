/*
 * raft_disk_flow.c - what the disk of consensus has under way: two jobs of libuv's pool, one for
 * the log and one for snapshot files.
 *
 * The log's job takes what is queued when it starts, and writes it in one transaction; its end
 * calls the dones, and starts it again when more was queued meanwhile. It begins when the loop has
 * done what it is at, and after `before`: a leader's messages to the others leave before its own
 * disk takes the processor (Ongaro, "Consensus: bridging theory and practice", 10.2.1). The loop's
 * thread writes term, vote and truncations itself, between two transactions of the job (`txn` is
 * the turn).
 *
 * A put goes to the snapshots' job (the file), and then to the log's (the entries it replaces):
 * either `cut`, some entries with each transaction so that appends do not wait for long, or, when
 * the log does not hold the entry that the snapshot ends with, a reset. That stands in the queue
 * from the beginning, and what is appended behind it waits until the file is durable: entries
 * behind a snapshot that is not there would be a gap.
 *
 * Dones of one kind (append, put, get) come in the order of the calls. No room: what was to be
 * written stays at the head, and a timer tries again. Any other error ends all writing for good,
 * since after a failed sync nobody knows what the disk holds.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/raft_disk_private.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS 250

unsigned disk_rest_ms = 1000; /* of quiet, before the log is sealed */

static void unref(struct raft_disk *d)
{
    if (--d->refs > 0)
        return;
    pthread_cond_destroy(&d->idle);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->txn);
    free(d);
}

static void start_job(struct raft_disk *d, struct job *j, uv_work_cb work, uv_after_work_cb after)
{
    j->active = true;
    j->finished = false;
    d->refs++;
    uv_queue_work(loop_uv(d->core), &j->req, work, after);
}

static bool log_has_work(struct raft_disk *d)
{
    const struct op *o;
    bool has;

    pthread_mutex_lock(&d->lock);
    o = d->queue.head;
    has = d->cut || (o && (o->kind != OP_RESET || o->of->stored));
    pthread_mutex_unlock(&d->lock);
    return has;
}

/* A get, or the first put unless its file is stored already. */
static struct op *next_snap(struct raft_disk *d)
{
    bool put_seen = d->snap_waits;

    for (struct op *o = d->snaps.head; o; o = o->next) {
        if (o->kind == OP_GET || (!put_seen && !o->stored))
            return o;
        put_seen = true;
    }
    return NULL;
}

static void after_log(uv_work_t *req, int status);
static void after_snap(uv_work_t *req, int status);

static void start_jobs(struct raft_disk *d)
{
    uv_idle_stop(&d->soon);
    if (d->closing || d->failed)
        return;
    if (!d->log_job.active && !d->log_waits && (d->seal_due || log_has_work(d))) {
        if (d->before)
            d->before(d->before_arg);
        start_job(d, &d->log_job, flow_log_work, after_log);
    }
    if (!d->snap_job.active && (d->snap_op = next_snap(d)))
        start_job(d, &d->snap_job, flow_snap_work, after_snap);
}

static void on_soon(uv_idle_t *idle)
{
    start_jobs(container_of(idle, struct raft_disk, soon));
}

void flow_kick(struct raft_disk *d)
{
    if (!d->closing)
        uv_idle_start(&d->soon, on_soon);
}

/* Ends everything that waits and that no job works at. */
static void end_waiting(struct raft_disk *d, int rc)
{
    struct ops queue, kept;
    struct op *o;

    ops_init(&queue);
    ops_init(&kept);
    pthread_mutex_lock(&d->lock);
    ops_append(&queue, &d->queue);
    d->cut = NULL;
    pthread_mutex_unlock(&d->lock);
    while ((o = ops_pop(&queue))) {
        o->rc = o->rc ? o->rc : rc;
        op_end(o);
    }
    ops_append(&queue, &d->snaps);
    while ((o = ops_pop(&queue))) {
        if (o == d->snap_op && d->snap_job.active && !d->closing) {
            ops_push(&kept, o);
            continue;
        }
        o->rc = rc;
        op_end(o);
    }
    ops_append(&d->snaps, &kept);
}

static void on_timer(uv_timer_t *t)
{
    struct raft_disk *d = container_of(t, struct raft_disk, timer);

    d->log_waits = d->snap_waits = false;
    if (d->failed && !d->log_job.active)
        end_waiting(d, d->failed);
    flow_kick(d);
}

static void on_rest(uv_timer_t *t)
{
    struct raft_disk *d = container_of(t, struct raft_disk, rest);

    if (d->log_job.active || d->log_waits || d->log.sealed)
        return;
    d->seal_due = true;
    flow_kick(d);
}

/* Something was written. */
void flow_rest(struct raft_disk *d)
{
    if (!d->closing)
        uv_timer_start(&d->rest, on_rest, disk_rest_ms, 0);
}

static void retry_later(struct raft_disk *d, struct oerr *trouble, bool *waits,
                        const struct oerr *words)
{
    if (!trouble->text[0])
        log_warn("registry", "%s; it is tried again until there is room", words->text);
    oerr_set(trouble, 0, "%s; it is tried again until there is room", words->text);
    *waits = true;
    if (!uv_is_active((uv_handle_t *)&d->timer))
        uv_timer_start(&d->timer, on_timer, RETRY_MS, 0);
}

static void room_again(struct oerr *trouble)
{
    if (trouble->text[0])
        log_info("registry", "there is room on the disk again");
    trouble->text[0] = '\0';
}

void flow_fail(struct raft_disk *d, int rc, const struct oerr *words)
{
    if (d->failed)
        return;
    log_error("registry", "%s", words->text);
    d->failure = *words;
    pthread_mutex_lock(&d->lock);
    d->failed = rc;
    pthread_mutex_unlock(&d->lock);
    uv_timer_start(&d->timer, on_timer, 0, 0);
}

static void end_put(struct raft_disk *d, struct op *put)
{
    ops_remove(&d->snaps, put);
    op_end(put);
}

/* Calls the dones of what is written. */
static void deliver(struct raft_disk *d)
{
    struct ops finished;
    struct op *o, *cut;

    ops_init(&finished);
    pthread_mutex_lock(&d->lock);
    ops_append(&finished, &d->finished);
    cut = d->was_cut;
    d->was_cut = NULL;
    pthread_mutex_unlock(&d->lock);
    while ((o = ops_pop(&finished))) {
        if (o->kind == OP_RESET)
            end_put(d, o->of);
        op_end(o);
    }
    if (cut)
        end_put(d, cut);
}

static void after_log(uv_work_t *req, int status)
{
    struct job *j = container_of(req, struct job, req);
    struct raft_disk *d = j->disk;

    (void)status;
    j->active = d->seal_due = false;
    if (!d->closing) {
        if (!d->log.sealed)
            flow_rest(d);
        if (d->log_rc == 0)
            room_again(&d->log_trouble);
        else if (disk_waits(d->log_rc))
            retry_later(d, &d->log_trouble, &d->log_waits, &d->log_words);
        else
            flow_fail(d, d->log_rc, &d->log_words);
        deliver(d);
        if (d->failed) /* while the job worked: what waits ends now */
            uv_timer_start(&d->timer, on_timer, 0, 0);
        start_jobs(d);
    }
    unref(d);
}

static void put_ended(struct raft_disk *d, struct op *o)
{
    if (o->rc == 0) {
        room_again(&d->snap_trouble);
        d->newest = (struct snap_name){ o->snapshot.index, o->snapshot.term };
        pthread_mutex_lock(&d->lock);
        o->stored = true;
        if (!o->resets)
            d->cut = o;
        pthread_mutex_unlock(&d->lock);
        return;
    }
    if (disk_waits(o->rc) && !d->failed) {
        retry_later(d, &d->snap_trouble, &d->snap_waits, &d->snap_words);
        return;
    }
    /* Without this one, what is queued behind the reset can never be written. */
    if (o->resets)
        flow_fail(d, o->rc, &d->snap_words);
    else
        log_error("registry", "%s", d->snap_words.text);
    end_put(d, o);
}

static void after_snap(uv_work_t *req, int status)
{
    struct job *j = container_of(req, struct job, req);
    struct raft_disk *d = j->disk;
    struct op *o = d->snap_op;

    (void)status;
    j->active = false;
    if (!d->closing) {
        if (o->kind == OP_PUT) {
            put_ended(d, o);
        } else {
            if (o->rc < 0)
                log_error("registry", "%s", d->snap_words.text);
            ops_remove(&d->snaps, o);
            op_end(o);
        }
        if (d->failed)
            uv_timer_start(&d->timer, on_timer, 0, 0);
        start_jobs(d);
    }
    unref(d);
}

/* ---- for raft_disk.c */

int flow_start(struct raft_disk *d)
{
    int rc = uv_timer_init(loop_uv(d->core), &d->timer);

    if (rc < 0)
        return rc;
    uv_timer_init(loop_uv(d->core), &d->rest);
    uv_idle_init(loop_uv(d->core), &d->soon);
    d->log_job.disk = d->snap_job.disk = d;
    d->refs = 3;
    ops_init(&d->queue);
    ops_init(&d->finished);
    ops_init(&d->snaps);
    pthread_mutex_init(&d->txn, NULL);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->idle, NULL);
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    unref(container_of((uv_timer_t *)h, struct raft_disk, timer));
}

static void on_rest_closed(uv_handle_t *h)
{
    unref(container_of((uv_timer_t *)h, struct raft_disk, rest));
}

static void on_soon_closed(uv_handle_t *h)
{
    unref(container_of((uv_idle_t *)h, struct raft_disk, soon));
}

/* The pool does no more with it; after_work still comes. */
static void stop_job(struct raft_disk *d, struct job *j)
{
    if (!j->active || uv_cancel((uv_req_t *)&j->req) == 0)
        return;
    pthread_mutex_lock(&d->lock);
    while (!j->finished)
        pthread_cond_wait(&d->idle, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

void flow_stop(struct raft_disk *d)
{
    d->closing = true;
    stop_job(d, &d->log_job);
    stop_job(d, &d->snap_job);
    deliver(d);
    end_waiting(d, -ECANCELED);
    uv_close((uv_handle_t *)&d->timer, on_closed);
    uv_close((uv_handle_t *)&d->rest, on_rest_closed);
    uv_close((uv_handle_t *)&d->soon, on_soon_closed);
}

bool flow_busy(struct raft_disk *d)
{
    return d->log_job.active || d->snap_job.active || d->queue.head || d->finished.head ||
           d->snaps.head;
}

void flow_queue(struct raft_disk *d, struct op *o)
{
    pthread_mutex_lock(&d->lock);
    ops_push(o->kind == OP_PUT || o->kind == OP_GET ? &d->snaps : &d->queue, o);
    pthread_mutex_unlock(&d->lock);
}

void flow_truncate(struct raft_disk *d, uint64_t index)
{
    pthread_mutex_lock(&d->lock);
    for (struct op *o = d->queue.head; o; o = o->next) {
        if (o->kind != OP_APPEND || o->first + o->n <= index)
            continue;
        if (o->first >= index)
            o->rc = -ECANCELED;
        o->n = o->first >= index ? 0 : (size_t)(index - o->first);
    }
    pthread_mutex_unlock(&d->lock);
}

int flow_term_of(struct raft_disk *d, uint64_t index, uint64_t *term)
{
    bool found = false, in_log = true;
    int rc = 0;

    pthread_mutex_lock(&d->txn);
    pthread_mutex_lock(&d->lock);
    for (struct op *o = d->queue.head; o; o = o->next) {
        if (o->kind == OP_RESET) {
            found = in_log = false;
        } else if (index >= o->first && index - o->first < o->n) {
            *term = o->entries[index - o->first].term;
            found = true;
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (!found)
        rc = in_log ? log_term_of(&d->log, index, term) : -ENOENT;
    pthread_mutex_unlock(&d->txn);
    return rc;
}
