/*
 * link_peer.c - one direction of opening to one peer: its session through several connections.
 *
 * The dialer has a session from its first channel on; it dials while channels wait or the session
 * has something to lose, and says BYE after LINK_IDLE_MS without channels. The listener's session
 * is made by a HELLO that says FRESH; it is found again by its id, else the dialer is told that it
 * is gone.
 *
 * Invariants: channels are opened in the session only while it is up, so one that never reached the
 * peer can fail without a trace; a session that breaks is freed and its channels have been told.
 */
#include "net/link_private.h"
#include "base/log.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>
#include <utlist.h>

void link_init(struct link *k, struct links *l, struct peer *p, bool dialer)
{
    *k = (struct link){ .l = l, .peer = p, .dialer = dialer };
    k->redial_at = k->idle_at = UINT64_MAX;
}

void link_dirty(struct link *k)
{
    if (k->dirty)
        return;
    k->dirty = true;
    LL_PREPEND2(k->l->dirty, k, next_dirty);
}

void link_flush(struct link *k)
{
    if (k->conn && k->s && session_is_up(k->s))
        conn_flush(k->conn);
    links_due(k->l, link_deadline(k));
}

enum bye { BYE_NOT, BYE_IDLE, BYE_BROKEN };

/* The session and its channels end; the connection, if any, with it. Waiting channels stay. */
static void session_over(struct link *k, int rc, enum bye bye)
{
    struct session *s = k->s;
    struct conn *c = k->conn;

    if (bye != BYE_NOT && s && c && session_is_up(s) && session_between(s))
        conn_say_bye(c, bye == BYE_IDLE ? 0 : EIO);
    if (s)
        session_break(s, rc);
    k->s = NULL;
    k->conn = NULL;
    if (c)
        conn_close(c);
    session_free(s);
    k->incarnation = 0;
    k->idle_at = k->redial_at = UINT64_MAX;
}

static void fail_waiting(struct link *k, int rc)
{
    struct chan *c;

    while ((c = k->waiting)) {
        k->waiting = c->next_waiting;
        chan_break(c, rc);
    }
}

void link_break(struct link *k, int rc)
{
    session_over(k, rc, BYE_BROKEN);
    fail_waiting(k, rc);
}

/* --- dialing --- */

static void redial(struct link *k, uint64_t at)
{
    k->redial_at = at;
    links_due(k->l, at);
}

static uint64_t later(void)
{
    uint8_t r = 0;

    RAND_bytes(&r, 1);
    return now_ms() + LINK_REDIAL_MS + r % 200;
}

static void dial(struct link *k)
{
    uint8_t id[16];
    int rc = 0;

    k->redial_at = UINT64_MAX;
    if (k->conn)
        return;
    if (!k->s) {
        if (RAND_bytes(id, sizeof id) != 1)
            rc = -EIO;
        if (rc == 0)
            rc = session_create(&k->s, &chan_session_ops, k, id, true, now_ms());
    }
    if (rc == 0)
        rc = conn_dial(k);
    if (rc < 0) {
        log_debug("link", "cannot dial %s: %s", k->peer->id, oerr_name(rc));
        redial(k, later());
    }
}

static void open_now(struct link *k, struct chan *c)
{
    int rc = session_open(&c->w, k->s, c->spec, now_ms());

    if (rc < 0) {
        chan_break(c, rc);
        return;
    }
    k->idle_at = UINT64_MAX;
    chan_touch(c);
    link_dirty(k);
}

void link_add(struct link *k, struct chan *c)
{
    c->link = k;
    if (k->s && session_is_up(k->s)) {
        open_now(k, c);
        return;
    }
    c->waiting = true;
    c->reach_by = now_ms() + LINK_REACH_MS;
    LL_APPEND2(k->waiting, c, next_waiting);
    links_due(k->l, c->reach_by);
    if (!k->conn && k->redial_at == UINT64_MAX)
        dial(k);
}

static void open_waiting(struct link *k)
{
    struct chan *c;

    while ((c = k->waiting)) {
        k->waiting = c->next_waiting;
        c->waiting = false;
        open_now(k, c);
    }
}

void link_lost(struct link *k, struct conn *c)
{
    if (k->conn != c)
        return;
    k->conn = NULL;
    if (k->s)
        session_lost(k->s, now_ms());
    link_dirty(k);
    if (!k->dialer)
        return;
    if (k->s && session_idle(k->s)) {
        session_free(k->s);
        k->s = NULL;
        k->idle_at = UINT64_MAX;
    }
    if (k->s || k->waiting)
        redial(k, later());
}

/* --- the first words --- */

static void answer(struct link *k, struct conn *c, int status)
{
    struct hello mine = { .version_min = LINK_VERSION, .version_max = LINK_VERSION };

    if (status == 0)
        session_hello(k->s, &mine);
    mine.status = (uint16_t)status;
    mine.incarnation = k->l->me->incarnation;
    conn_say_hello(c, &mine);
}

static int listener_hello(struct link *k, struct conn *c, const struct hello *h, struct oerr *e)
{
    bool same = k->s && memcmp(session_id(k->s), h->session, sizeof h->session) == 0;

    if (same && k->conn)
        conn_close(k->conn);
    if (!same && !(h->flags & HELLO_FRESH)) {
        answer(k, c, ESTALE);
        return oerr_set(e, -ESTALE, "%s resumes a session that is not known here", k->peer->id);
    }
    if (!same) {
        int rc;

        session_over(k, -EIO, BYE_NOT);
        rc = session_create(&k->s, &chan_session_ops, k, h->session, false, now_ms());
        if (rc < 0)
            return oerr_set(e, rc, "no memory for a session with %s", k->peer->id);
    }
    k->incarnation = h->incarnation;
    conn_take_link(c, k);
    answer(k, c, 0);
    if (k->conn == c && session_up(k->s, h, now_ms()) < 0) {
        session_over(k, -EIO, BYE_BROKEN);
        return oerr_set(e, -EPROTO, "%s resumes where it cannot have been", k->peer->id);
    }
    return 0;
}

static int dialer_hello(struct link *k, const struct hello *h, struct oerr *e)
{
    if (h->status == ESTALE) {
        log_info("link", "%s does not know our session any more", k->peer->id);
        session_over(k, -EIO, BYE_NOT);
        if (k->waiting)
            dial(k);
        return 0;
    }
    if (h->status != 0 || memcmp(session_id(k->s), h->session, sizeof h->session) != 0 ||
        session_up(k->s, h, now_ms()) < 0) {
        link_break(k, -EPROTO);
        return oerr_set(e, -EPROTO, "%s answers with what cannot be", k->peer->id);
    }
    k->incarnation = h->incarnation;
    open_waiting(k);
    return 0;
}

int link_hello(struct link *k, struct conn *c, const struct hello *h, struct oerr *e)
{
    int rc;

    if (h->version_min > LINK_VERSION || h->version_max < LINK_VERSION) {
        oerr_set(
            e, -EPROTONOSUPPORT,
            "%s speaks versions %u to %u of the link protocol, this daemon %u; update one of them",
            k->peer->id, h->version_min, h->version_max, LINK_VERSION);
        if (conn_is_dialer(c))
            link_break(k, -EPROTONOSUPPORT);
        else
            answer(k, c, EPROTONOSUPPORT);
        return -EPROTONOSUPPORT;
    }
    rc = conn_is_dialer(c) ? dialer_hello(k, h, e) : listener_hello(k, c, h, e);
    if (rc == 0 && k->s && session_is_up(k->s))
        log_info("link", "link %s %s (%s) is up", k->dialer ? "to" : "from", k->peer->id,
                 conn_from(c));
    link_dirty(k);
    return rc;
}

/* --- frames and time --- */

int link_frame(struct link *k, const struct frame_head *h, struct blk **body)
{
    int rc = session_frame(k->s, h, body, now_ms());

    link_dirty(k);
    if (rc < 0) {
        log_warn("link", "the session with %s ends: %s in %s frame", k->peer->id, oerr_name(rc),
                 frame_name(h->type));
        session_over(k, -EIO, BYE_BROKEN);
    }
    return rc;
}

void link_bye(struct link *k, int rc)
{
    session_over(k, rc ? rc : -EIO, BYE_NOT);
    if (k->waiting)
        dial(k);
}

static void say_bye(struct link *k)
{
    log_debug("link", "link to %s is idle: closed", k->peer->id);
    session_over(k, -EIO, BYE_IDLE);
}

void link_tick(struct link *k, uint64_t now)
{
    struct chan *c, *next;

    LL_FOREACH_SAFE2(k->waiting, c, next, next_waiting)
    {
        if (now < c->reach_by)
            continue;
        LL_DELETE2(k->waiting, c, next_waiting);
        chan_break(c, -EHOSTUNREACH);
    }
    if (k->s) {
        enum session_due due = session_tick(k->s, now);

        if (due == SESSION_OVER) {
            log_warn("link", "the link with %s was not made anew in time: its channels break",
                     k->peer->id);
            session_over(k, -EIO, BYE_BROKEN);
        } else if (due == SESSION_SILENT && k->conn) {
            log_info("link", "%s has been silent for %u s: connecting anew", k->peer->id,
                     SESSION_SILENT_MS / 1000);
            conn_close(k->conn);
        }
    }
    if (k->dialer && k->s && session_is_up(k->s) && !k->waiting && session_idle(k->s) &&
        now >= k->idle_at && now - k->idle_at >= LINK_IDLE_MS)
        say_bye(k);
    if (k->s && !session_was_up(k->s) && k->dialer && !k->waiting)
        session_over(k, -EHOSTUNREACH, BYE_NOT);
    if (now >= k->redial_at)
        dial(k);
    link_dirty(k);
}

uint64_t link_deadline(const struct link *k)
{
    uint64_t at = k->redial_at, d;
    const struct chan *c;

    LL_FOREACH2(k->waiting, c, next_waiting)
    {
        if (c->reach_by < at)
            at = c->reach_by;
    }
    if (k->s && (d = session_deadline(k->s)) < at)
        at = d;
    if (k->dialer && k->idle_at != UINT64_MAX && k->idle_at + LINK_IDLE_MS < at)
        at = k->idle_at + LINK_IDLE_MS;
    return at;
}
