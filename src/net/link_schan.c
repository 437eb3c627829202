/*
 * link_schan.c - the channels of a session: what they wait for to send, their credit and their
 * ends.
 *
 * A channel with a waiting frame that its credit allows is in the turn (ready_*); session_fill()
 * takes one frame of each in turn, until enough is numbered. Slices are never divided, so what a
 * writer gave as a small piece stays in one frame. Invariants: a channel in the turn has credit for
 * its first frame; END or ABORT is numbered behind the last DATA; lent <= the window, and what the
 * peer sends is taken off it.
 */
#include "net/link_session_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILL_BYTES (256 * 1024) /* numbered ahead of what the connection takes */

void frames_init(struct frames *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void frames_push(struct frames *q, struct frame *f)
{
    f->next = NULL;
    *q->tail = f;
    q->tail = &f->next;
}

struct frame *frames_pop(struct frames *q)
{
    struct frame *f = q->head;

    if (f && !(q->head = f->next))
        q->tail = &q->head;
    return f;
}

static struct frame *frame_new(unsigned cap)
{
    struct frame *f = malloc(sizeof *f + cap * sizeof f->v[0]);

    if (!f)
        return NULL;
    f->len = f->n = 0;
    f->cap = cap;
    return f;
}

void frame_free(struct frame *f)
{
    for (unsigned i = 0; i < f->n; i++)
        blk_unref(f->v[i].b);
    free(f);
}

void frames_free(struct frames *q)
{
    struct frame *f;

    while ((f = frames_pop(q)))
        frame_free(f);
}

/* Gives the frame its number; from here on it is kept until acknowledged. */
static void enqueue(struct session *s, struct frame *f, enum frame_type type, uint32_t chan,
                    uint32_t arg)
{
    struct frame_head h = { .len = f->len, .chan = chan, .arg = arg, .seq = s->next, .type = type };

    frame_encode(&h, f->head);
    f->seq = s->next++;
    frames_push(&s->queue, f);
    s->kept_bytes += f->len;
    s->kept_frames++;
    if (!s->cursor) {
        s->cursor = f;
        s->cursor_off = 0;
    }
}

void session_say(struct session *s, enum frame_type type, uint32_t chan, uint32_t arg)
{
    struct frame *f = s->broken ? NULL : frame_new(0);

    if (f)
        enqueue(s, f, type, chan, arg);
    else
        s->broken = true;
}

struct schan *schan_find(struct session *s, uint32_t id)
{
    struct entry *e;

    HASH_FIND(hh, s->table, &id, sizeof id, e);
    return e ? e->c : NULL;
}

int schan_add(struct session *s, struct schan *c, uint32_t id)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return -ENOMEM;
    *c = (struct schan){ .id = id, .hash = e, .lent = SESSION_CREDIT_MIN };
    c->credit = s->was_up ? s->peer_window : 0;
    frames_init(&c->pend);
    e->c = c;
    HASH_ADD_KEYPTR(hh, s->table, &c->id, sizeof c->id, e);
    if (!e->hh.tbl) {
        free(e);
        return -ENOMEM;
    }
    c->s = s;
    c->link = &s->chans;
    c->next = s->chans;
    if (c->next)
        c->next->link = &c->next;
    s->chans = c;
    s->n_chans++;
    return 0;
}

static void ready_remove(struct session *s, struct schan *c)
{
    struct schan **pp = &s->ready_head;

    if (!c->ready)
        return;
    while (*pp != c)
        pp = &(*pp)->ready_next;
    *pp = c->ready_next;
    if (s->ready_tail == &c->ready_next)
        s->ready_tail = pp;
    c->ready = false;
}

void schan_drop_pending(struct schan *c)
{
    frames_free(&c->pend);
    c->pend_bytes = 0;
    ready_remove(c->s, c);
}

void schan_forget(struct schan *c)
{
    struct session *s = c->s;
    struct entry *e = c->hash;

    schan_drop_pending(c);
    s->n_syncing -= c->syncing;
    c->syncing = false;
    HASH_DEL(s->table, e);
    free(e);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    s->n_chans--;
    c->s = NULL;
    s->ops->gone(c);
}

void schan_forget_if_over(struct schan *c)
{
    if (c->ended && c->peer_ended)
        schan_forget(c);
}

static size_t cost(const struct frame *f)
{
    return (size_t)f->len + FRAME_COST;
}

void schan_ready_if(struct schan *c)
{
    struct session *s = c->s;

    if (c->ready || !c->pend.head || cost(c->pend.head) > c->credit)
        return;
    c->ready = true;
    c->ready_next = NULL;
    *s->ready_tail = c;
    s->ready_tail = &c->ready_next;
}

static uint32_t errno_arg(int rc)
{
    return rc < 0 && rc >= -4095 ? (uint32_t)-rc : EPIPE;
}

void schan_end_if_sent(struct schan *c)
{
    if (!c->ending || c->ended || c->pend.head)
        return;
    if (c->end_rc < 0)
        session_say(c->s, FRAME_ABORT, c->id, errno_arg(c->end_rc));
    else
        session_say(c->s, FRAME_END, c->id, 0);
    c->ended = true;
}

void session_fill(struct session *s)
{
    size_t filled = 0;

    while (s->ready_head && filled < FILL_BYTES && s->kept_bytes < SESSION_UNACKED_MAX &&
           s->kept_frames < SESSION_FRAMES_MAX) {
        struct schan *c = s->ready_head;
        struct frame *f = frames_pop(&c->pend);
        bool was_high = c->pend_bytes >= SESSION_PENDING_LOW;

        ready_remove(s, c);
        c->pend_bytes -= f->len;
        c->credit -= cost(f);
        filled += cost(f);
        enqueue(s, f, FRAME_DATA, c->id, 0);
        schan_ready_if(c);
        schan_end_if_sent(c);
        if (c->ended && c->peer_ended)
            schan_forget(c);
        else if (was_high && !c->ending && c->pend_bytes < SESSION_PENDING_LOW)
            s->ops->room(c);
    }
}

int session_open(struct schan *c, struct session *s, const char *spec, uint64_t now)
{
    size_t n = strlen(spec);
    struct frame *f;
    int rc;

    if (n > LINK_SPEC_MAX)
        return -EMSGSIZE;
    if (s->n_chans >= SESSION_CHANNELS_MAX)
        return -EMFILE;
    if (!(f = frame_new(1)))
        return -ENOMEM;
    if (n) {
        f->v[0] = (struct slice){ .b = blk_alloc(n), .len = (unsigned)n };
        if (!f->v[0].b) {
            free(f);
            return -ENOMEM;
        }
        memcpy(f->v[0].b->data, spec, n);
        f->n = 1;
        f->len = (uint32_t)n;
    }
    if (session_idle(s) && s->heard < now)
        s->heard = s->pinged = now; /* silence until now was no sign of anything */
    do
        s->last_id += 1;
    while (s->last_id == 0 || schan_find(s, s->last_id));
    rc = schan_add(s, c, s->last_id);
    if (rc < 0)
        frame_free(f);
    else
        enqueue(s, f, FRAME_OPEN, c->id, 0);
    return rc;
}

/* The frame that the next slice goes into: the last waiting one while it has room, so that many
 * small writes that have to wait share a head. */
static struct frame *frame_for(struct schan *c, unsigned len)
{
    struct frame *f = NULL;

    if (c->pend.head) {
        f = container_of(c->pend.tail, struct frame, next);
        if (f->n < f->cap && f->len + len <= FRAME_MAX &&
            (f != c->pend.head || !c->ready || cost(f) + len <= c->credit))
            return f; /* one that is ready must stay so */
    }
    f = frame_new(len >= FRAME_MAX / 2 ? 2 : SLICES_MAX);
    if (f)
        frames_push(&c->pend, f);
    return f;
}

int session_send(struct schan *c, struct slices *bytes)
{
    int rc = 0;

    if (!c->s || c->ending) {
        slices_free(bytes);
        return -EPIPE;
    }
    for (unsigned i = 0; i < bytes->n && rc == 0; i++) {
        struct slice *v = &bytes->v[i];
        struct frame *f = frame_for(c, v->len);

        if (!f) {
            rc = -ENOMEM;
            break;
        }
        f->v[f->n++] = (struct slice){ .b = blk_ref(v->b), .off = v->off, .len = v->len };
        f->len += v->len;
        c->pend_bytes += v->len;
    }
    slices_free(bytes);
    schan_ready_if(c);
    return rc;
}

/* Calls `synced` for those whose frames have arrived, and has the peer asked to acknowledge the
 * others once all is sent: it would take its time otherwise. */
void session_check_syncs(struct session *s)
{
    uint64_t una = s->queue.head ? s->queue.head->seq : s->next, until = 0;
    struct schan *c, *next;

    for (c = s->n_syncing ? s->chans : NULL; c; c = next) {
        next = c->next;
        if (c->syncing && !c->sync_seq && !c->pend.head)
            c->sync_seq = s->next;
        if (!c->syncing || !c->sync_seq)
            continue;
        if (una >= c->sync_seq) {
            c->syncing = false;
            s->n_syncing--;
            s->ops->synced(c);
        } else if (c->sync_seq > until) {
            until = c->sync_seq;
        }
    }
    if (s->up && !s->cursor && until > s->asked) {
        s->asked = s->next;
        s->want_ping = true;
    }
}

void session_sync(struct schan *c)
{
    if (!c->s)
        return;
    c->s->n_syncing += !c->syncing;
    c->syncing = true;
    c->sync_seq = 0;
    session_check_syncs(c->s);
}

size_t session_pending(const struct schan *c)
{
    return c->pend_bytes;
}

void session_end(struct schan *c, int rc)
{
    if (!c->s || c->ending)
        return;
    c->ending = true;
    c->end_rc = rc;
    schan_end_if_sent(c);
    schan_forget_if_over(c);
}

void session_stop(struct schan *c, int rc)
{
    if (!c->s || c->stopped || c->peer_ended)
        return;
    c->stopped = true;
    session_say(c->s, FRAME_STOP, c->id, errno_arg(rc));
}

void session_consumed(struct schan *c, size_t n)
{
    uint64_t window;

    if (!c->s || c->stopped || c->peer_ended)
        return;
    c->owed += n;
    window = SESSION_CREDIT_ALL / c->s->n_chans;
    if (window < SESSION_CREDIT_MIN)
        window = SESSION_CREDIT_MIN;
    if (window > SESSION_CREDIT_MAX)
        window = SESSION_CREDIT_MAX;
    /* Lend again in large steps, but at once when the peer may be unable to send a full frame. */
    if (c->lent >= window || (c->owed < window / 4 && c->lent >= FRAME_MAX + FRAME_COST))
        return;
    n = window - c->lent;
    if (c->owed < SESSION_CREDIT_MIN / 4 && c->owed < n)
        n = c->owed;
    c->lent += n;
    c->owed = 0;
    session_say(c->s, FRAME_CREDIT, c->id, (uint32_t)n);
}
