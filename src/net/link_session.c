/*
 * link_session.c - numbers, acknowledgements, resumption, credit, and the ends of channels.
 *
 * Frames wait in their channel (link_schan.c) until there is credit and room, then they get a
 * number and go into the queue, where they stay until the peer acknowledges them:
 *
 *     channel.pend --fill--> [ una ... cursor ... next )        kept, sent, still to be sent
 *
 * When the connection is made anew, both sides say which number they expect; what lies before is
 * dropped and the cursor goes there. Invariants: una <= cursor <= next; a frame is received once
 * and in order; the peer never has more of a channel's bytes on the way than we lent; after END or
 * ABORT no DATA is sent; whoever has sent and received END or ABORT forgets the channel, so CREDIT
 * and STOP of an unknown channel mean nothing, and DATA, END and ABORT of one cannot be.
 */
#include "net/link_session_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int session_create(struct session **out, const struct session_ops *ops, void *arg,
                   const uint8_t id[16], bool dialer, uint64_t now)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->ops = ops;
    s->arg = arg;
    memcpy(s->id, id, sizeof s->id);
    s->dialer = dialer;
    s->lost_at = now;
    s->ack_at = UINT64_MAX;
    frames_init(&s->queue);
    s->ready_tail = &s->ready_head;
    *out = s;
    return 0;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    session_break(s, -ECANCELED);
    free(s);
}

const uint8_t *session_id(const struct session *s)
{
    return s->id;
}

/* --- frames of the peer --- */

static int on_open(struct session *s, const struct frame_head *h, struct blk *body)
{
    struct schan *c;
    int rc;

    if (s->n_chans >= SESSION_CHANNELS_MAX)
        return -EPROTO;
    c = s->ops->open(s->arg, body ? body->data : "", h->len);
    if (!c)
        return -ENOMEM;
    rc = schan_add(s, c, h->chan);
    if (rc < 0)
        s->ops->gone(c);
    else
        s->ops->opened(c);
    return rc;
}

static int on_data(struct session *s, struct schan *c, const struct frame_head *h,
                   struct blk **body)
{
    size_t n = (size_t)h->len + FRAME_COST;

    if (n > c->lent)
        return -EPROTO;
    c->lent -= n;
    if (c->stopped)
        return 0;
    s->ops->data(c, *body, h->len);
    *body = NULL;
    return 0;
}

static void on_end(struct session *s, struct schan *c, const struct frame_head *h)
{
    c->peer_ended = true;
    s->ops->end(c, h->type == FRAME_ABORT ? -(int)h->arg : 0);
    if (c->s)
        schan_forget_if_over(c);
}

static void on_stop(struct session *s, struct schan *c, const struct frame_head *h)
{
    if (!c->ended) {
        schan_drop_pending(c);
        c->ending = true;
        c->end_rc = -EPIPE;
        schan_end_if_sent(c);
    }
    s->ops->stop(c, -(int)h->arg);
    if (c->s)
        schan_forget_if_over(c);
}

static int on_numbered(struct session *s, const struct frame_head *h, struct blk **body)
{
    struct schan *c = schan_find(s, h->chan);

    if (h->type == FRAME_OPEN) {
        if (c || s->dialer)
            return -EPROTO;
        return on_open(s, h, *body);
    }
    if (!c)
        return h->type == FRAME_CREDIT || h->type == FRAME_STOP ? 0 : -EPROTO;
    if (h->type == FRAME_CREDIT) {
        c->credit += h->arg;
        schan_ready_if(c);
        return c->credit > UINT32_MAX ? -EPROTO : 0;
    }
    if (h->type == FRAME_STOP) {
        on_stop(s, c, h);
        return 0;
    }
    if (c->peer_ended)
        return -EPROTO;
    if (h->type == FRAME_DATA)
        return on_data(s, c, h, body);
    on_end(s, c, h);
    return 0;
}

/* Everything before number n has arrived there. */
static int on_ack(struct session *s, uint64_t n)
{
    struct frame *f;

    if (n > s->next || (s->queue.head && n > (s->cursor ? s->cursor->seq : s->next)))
        return -EPROTO;
    while ((f = s->queue.head) && f->seq < n) {
        s->kept_bytes -= f->len;
        s->kept_frames--;
        frame_free(frames_pop(&s->queue));
    }
    session_check_syncs(s);
    return 0;
}

int session_frame(struct session *s, const struct frame_head *h, struct blk **body, uint64_t now)
{
    int rc;

    s->heard = now;
    switch (h->type) {
    case FRAME_ACK:
        return on_ack(s, h->seq);
    case FRAME_PING:
        s->want_pong = true;
        return 0;
    case FRAME_PONG:
        return 0;
    default:
        if (!frame_numbered(h->type) || h->seq != s->expected)
            return -EPROTO;
    }
    s->expected++;
    s->unacked_in += h->len;
    if (s->unacked_in >= SESSION_ACK_BYTES)
        s->want_ack = true;
    else if (s->ack_at == UINT64_MAX)
        s->ack_at = now + SESSION_ACK_MS;
    rc = on_numbered(s, h, body);
    if (rc == 0 && s->broken)
        rc = -ENOMEM;
    if (rc == 0 && s->kept_frames > 4 * SESSION_FRAMES_MAX)
        rc = -EPROTO;
    return rc;
}

/* --- the connection --- */

void session_hello(const struct session *s, struct hello *h)
{
    *h = (struct hello){ .version_min = LINK_VERSION,
                         .version_max = LINK_VERSION,
                         .window = SESSION_CREDIT_MIN,
                         .next = s->expected };
    if (s->dialer && !s->was_up)
        h->flags |= HELLO_FRESH;
    memcpy(h->session, s->id, sizeof h->session);
}

int session_up(struct session *s, const struct hello *peer, uint64_t now)
{
    uint64_t una = s->queue.head ? s->queue.head->seq : s->next;

    if (peer->window < FRAME_MAX + FRAME_COST || peer->next < una || peer->next > s->next ||
        (!s->was_up && peer->next != 0))
        return -EPROTO;
    s->cursor = NULL;
    (void)on_ack(s, peer->next);
    s->cursor = s->queue.head;
    s->cursor_off = 0;
    s->ctl_len = s->ctl_off = 0;
    s->up = true;
    s->acked = s->expected;
    s->heard = s->pinged = now;
    if (!s->was_up) {
        s->was_up = true;
        s->peer_window = peer->window;
        for (struct schan *c = s->chans; c; c = c->next) {
            c->credit += peer->window;
            schan_ready_if(c);
        }
    }
    return 0;
}

bool session_is_up(const struct session *s)
{
    return s->up;
}

bool session_was_up(const struct session *s)
{
    return s->was_up;
}

int session_broken(const struct session *s)
{
    return s->broke_rc;
}

void session_lost(struct session *s, uint64_t now)
{
    if (!s->up)
        return;
    s->up = false;
    s->lost_at = now;
    s->asked = 0;
    s->want_ack = s->want_ping = s->want_pong = false;
    s->ack_at = UINT64_MAX;
    s->unacked_in = 0;
}

void session_break(struct session *s, int rc)
{
    struct schan *c;

    s->up = false;
    s->broken = true;
    s->broke_rc = rc;
    while ((c = s->chans)) {
        bool writing = !c->ended, reading = !c->peer_ended;

        c->ended = c->ending = c->peer_ended = true;
        if (reading)
            s->ops->end(c, rc);
        if (writing)
            s->ops->stop(c, rc);
        schan_forget(c);
    }
    frames_free(&s->queue);
    s->cursor = NULL;
    s->kept_bytes = s->kept_frames = 0;
}

static void ctl_add(struct session *s, enum frame_type type, uint64_t seq)
{
    struct frame_head h = { .type = type, .seq = seq };

    frame_encode(&h, s->ctl + s->ctl_len);
    s->ctl_len += FRAME_HEAD;
}

/* Between two frames: what has no number goes first. An acknowledgement goes along with anything
 * else. */
static void make_ctl(struct session *s)
{
    bool other = s->cursor || s->want_ping || s->want_pong;

    s->ctl_len = s->ctl_off = 0;
    if (s->want_ack || (other && s->acked != s->expected)) {
        ctl_add(s, FRAME_ACK, s->expected);
        s->acked = s->expected;
        s->unacked_in = 0;
        s->ack_at = UINT64_MAX;
    }
    if (s->want_ping)
        ctl_add(s, FRAME_PING, 0);
    if (s->want_pong)
        ctl_add(s, FRAME_PONG, 0);
    s->want_ack = s->want_ping = s->want_pong = false;
}

static int piece(struct iovec *v, const void *p, size_t len, size_t *skip)
{
    if (*skip >= len) {
        *skip -= len;
        return 0;
    }
    *v = (struct iovec){ (char *)(uintptr_t)p + *skip, len - *skip };
    *skip = 0;
    return 1;
}

int session_peek(struct session *s, struct iovec *v, int max)
{
    size_t skip = s->cursor_off;
    int n = 0;

    if (!s->up)
        return 0;
    if (!s->cursor)
        session_fill(s);
    session_check_syncs(s);
    if (s->ctl_off == s->ctl_len && s->cursor_off == 0)
        make_ctl(s);
    if (s->ctl_off < s->ctl_len)
        v[n++] = (struct iovec){ s->ctl + s->ctl_off, s->ctl_len - s->ctl_off };
    for (struct frame *f = s->cursor; f; f = f->next) {
        if (n + 1 + (int)f->n > max)
            break;
        n += piece(&v[n], f->head, FRAME_HEAD, &skip);
        for (unsigned i = 0; i < f->n; i++)
            n += piece(&v[n], f->v[i].b->data + f->v[i].off, f->v[i].len, &skip);
    }
    return n;
}

void session_sent(struct session *s, size_t n)
{
    size_t ctl = s->ctl_len - s->ctl_off;

    ctl = ctl < n ? ctl : n;
    s->ctl_off += ctl;
    n -= ctl;
    s->cursor_off += n;
    while (s->cursor && s->cursor_off >= FRAME_HEAD + (size_t)s->cursor->len) {
        s->cursor_off -= FRAME_HEAD + (size_t)s->cursor->len;
        s->cursor = s->cursor->next;
    }
}

bool session_between(const struct session *s)
{
    return s->cursor_off == 0 && s->ctl_off == s->ctl_len;
}

/* --- time --- */

enum session_due session_tick(struct session *s, uint64_t now)
{
    if (s->broken)
        return SESSION_OVER;
    if (!s->up)
        return s->was_up && now >= s->lost_at + LINK_RESUME_MS ? SESSION_OVER : SESSION_FINE;
    if (now >= s->ack_at) {
        s->want_ack = s->acked != s->expected;
        s->ack_at = UINT64_MAX;
    }
    if (s->n_chans == 0 && !s->queue.head)
        return SESSION_FINE;
    if (now >= s->heard + SESSION_SILENT_MS)
        return SESSION_SILENT;
    if (now >= s->heard + SESSION_PING_MS && now >= s->pinged + SESSION_PING_MS) {
        s->want_ping = true;
        s->pinged = now;
    }
    return SESSION_FINE;
}

uint64_t session_deadline(const struct session *s)
{
    uint64_t at = s->ack_at, ping;

    if (s->broken)
        return 0;
    if (!s->up)
        return s->was_up ? s->lost_at + LINK_RESUME_MS : UINT64_MAX;
    if (s->n_chans == 0 && !s->queue.head)
        return at;
    ping = (s->heard > s->pinged ? s->heard : s->pinged) + SESSION_PING_MS;
    at = at < ping ? at : ping;
    return at < s->heard + SESSION_SILENT_MS ? at : s->heard + SESSION_SILENT_MS;
}

unsigned session_channels(const struct session *s)
{
    return s->n_chans;
}

bool session_idle(const struct session *s)
{
    return s->n_chans == 0 && !s->queue.head;
}
