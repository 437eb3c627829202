/*
 * link.c - links as a whole: listener, peers, timer, inbox, beginning and end.
 *
 * Other threads only put tasks into the inbox and wake the loop. One timer serves every deadline:
 * whoever has one says so with links_due(); when it fires, everybody is asked.
 *
 * Ending: links_destroy() breaks every channel and takes their requests back. A request that is
 * being answered on another thread at that moment will be in the inbox soon, and is waited for. The
 * memory stays until libuv has closed the handles and the user has answered the channels that were
 * offered to him.
 */
#include "net/link_private.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#define COMPLAINTS  8 /* lines about bad connections in... */
#define COMPLAIN_MS 10000

/* --- counting --- */

void links_ref(struct links *l)
{
    atomic_fetch_add(&l->refs, 1);
}

void links_unref(struct links *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    tls_context_destroy(l->tls);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->posted);
    free(l);
}

void links_handle_closed(uv_handle_t *h)
{
    links_unref(h->data);
}

/* --- the inbox --- */

bool links_post(struct links *l, struct task *t)
{
    bool alive;

    t->next = NULL;
    pthread_mutex_lock(&l->lock);
    alive = !l->dead;
    if (alive) {
        if (!l->inbox)
            uv_async_send(&l->wake);
        *l->inbox_tail = t;
        l->inbox_tail = &t->next;
        pthread_cond_signal(&l->posted);
    }
    pthread_mutex_unlock(&l->lock);
    return alive;
}

static void run_inbox(struct links *l)
{
    struct task *t, *next;

    pthread_mutex_lock(&l->lock);
    t = l->inbox;
    l->inbox = NULL;
    l->inbox_tail = &l->inbox;
    pthread_mutex_unlock(&l->lock);
    for (; t; t = next) {
        next = t->next;
        t->run(t);
    }
}

static void on_wake(uv_async_t *h)
{
    struct links *l = container_of(h, struct links, wake);

    run_inbox(l);
    links_settle(l);
}

void links_settle(struct links *l)
{
    if (l->settling)
        return;
    l->settling = true;
    while (l->touched || l->dirty) {
        struct chan *c = l->touched;
        struct link *k = l->dirty;

        if (c) {
            l->touched = c->next_touched;
            c->touched = false;
            chan_step(c);
        } else {
            l->dirty = k->next_dirty;
            k->dirty = false;
            link_flush(k);
        }
    }
    l->settling = false;
}

/* --- time --- */

static void on_timer(uv_timer_t *h);

void links_due(struct links *l, uint64_t at)
{
    uint64_t now;

    if (at >= l->timer_at || l->dead)
        return;
    now = now_ms();
    l->timer_at = at;
    uv_update_time(loop_uv(l->loop));
    uv_timer_start(&l->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_timer(uv_timer_t *h)
{
    struct links *l = container_of(h, struct links, timer);
    uint64_t now = now_ms();
    struct peer *p, *next;

    l->timer_at = UINT64_MAX;
    conn_tick(l, now);
    HASH_ITER (hh, l->peers, p, next) {
        link_tick(&p->out, now);
        link_tick(&p->in, now);
    }
    if (now >= l->sweep_at)
        chan_sweep(l);
    else
        links_due(l, l->sweep_at);
    if (now >= l->accept_at)
        links_listen_again(l);
    else
        links_due(l, l->accept_at);
    links_settle(l);
    links_due(l, conn_deadline(l));
}

/* --- complaints --- */

void links_complain(struct links *l, const char *fmt, ...)
{
    uint64_t now = now_ms();
    char text[320];
    va_list ap;

    if (now - l->complain_from >= COMPLAIN_MS) {
        if (l->complained > COMPLAINTS)
            log_warn("link", "%u more connections were refused", l->complained - COMPLAINTS);
        l->complain_from = now;
        l->complained = 0;
    }
    if (++l->complained > COMPLAINTS)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_warn("link", "%s", text);
}

/* --- beginning and end --- */

static void keep_handle(struct links *l, void *handle)
{
    ((uv_handle_t *)handle)->data = l;
    links_ref(l);
}

static int start_handles(struct links *l)
{
    uv_loop_t *uv = loop_uv(l->loop);
    int rc = uv_async_init(uv, &l->wake, on_wake);

    if (rc < 0)
        return rc;
    keep_handle(l, &l->wake);
    uv_timer_init(uv, &l->timer);
    keep_handle(l, &l->timer);
    rc = uv_poll_init(uv, &l->listener, l->listen_fd);
    if (rc == 0) {
        keep_handle(l, &l->listener);
        links_listen_again(l);
    }
    return rc;
}

static void close_handles(struct links *l)
{
    uv_handle_t *all[] = { (uv_handle_t *)&l->listener, (uv_handle_t *)&l->wake,
                           (uv_handle_t *)&l->timer };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i]->data)
            uv_close(all[i], links_handle_closed);
    if (l->listen_fd >= 0)
        close(l->listen_fd);
    l->listen_fd = -1;
}

int links_create(struct links **out, struct loop *data, const struct identity *me,
                 const char *listen, uint16_t port, const struct link_ops *ops, void *arg,
                 struct oerr *e)
{
    struct links *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return oerr_set(e, -ENOMEM, "no memory for links");
    atomic_init(&l->refs, 1);
    l->loop = data;
    l->me = me;
    l->ops = ops;
    l->arg = arg;
    l->listen_fd = -1;
    l->inbox_tail = &l->inbox;
    l->timer_at = l->sweep_at = l->accept_at = UINT64_MAX;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->posted, NULL);
    rc = tls_context_create(&l->tls, me, LINK_RECORDS, e);
    if (rc == 0)
        rc = links_listen(l, listen, port, e);
    if (rc == 0) {
        rc = start_handles(l);
        if (rc < 0)
            oerr_set(e, rc, "cannot start the links: %s", uv_strerror(rc));
    }
    if (rc < 0) {
        l->dead = true;
        close_handles(l);
        links_unref(l);
        return rc;
    }
    *out = l;
    return 0;
}

uint16_t links_port(const struct links *l)
{
    return l->port;
}

static void forget_peer(struct links *l, struct peer *p, int rc)
{
    link_break(&p->out, rc);
    link_break(&p->in, rc);
    conn_forget_peer(l, p);
    links_settle(l);
    HASH_DEL(l->peers, p);
    free(p);
}

/* True once no channel is left but those that the user has to answer, and nothing is on its way. */
static bool now_dead(struct links *l)
{
    struct chan *c;

    LL_FOREACH(l->chans, c)
    {
        if (!c->offered)
            return false;
    }
    pthread_mutex_lock(&l->lock);
    l->dead = !l->inbox;
    pthread_mutex_unlock(&l->lock);
    return l->dead;
}

void links_destroy(struct links *l)
{
    struct peer *p, *next_peer;
    struct chan *c, *next;

    if (!l)
        return;
    run_inbox(l);
    HASH_ITER (hh, l->peers, p, next_peer)
        forget_peer(l, p, -ECANCELED);
    while (l->conns)
        conn_close(l->conns);
    for (;;) {
        l->sweep_at = UINT64_MAX;
        chan_sweep(l);
        LL_FOREACH_SAFE(l->chans, c, next)
        chan_cancel(c, -ECANCELED);
        links_settle(l);
        if (now_dead(l))
            break;
        pthread_mutex_lock(&l->lock);
        while (!l->inbox)
            pthread_cond_wait(&l->posted, &l->lock);
        pthread_mutex_unlock(&l->lock);
        run_inbox(l);
    }
    LL_FOREACH_SAFE(l->chans, c, next)
    c->prev_link = NULL;
    close_handles(l);
    links_unref(l);
}

/* --- peers --- */

struct peer *links_peer_by_print(struct links *l, const char *fingerprint)
{
    struct peer *p, *next;

    HASH_ITER (hh, l->peers, p, next) {
        if (strcasecmp(p->fingerprint, fingerprint) == 0)
            return p;
    }
    return NULL;
}

struct news { /* what another thread says about a peer */
    struct task task;
    struct links *l;
    bool forget;
    char id[ID_MAX], address[64], fingerprint[FINGERPRINT];
    uint16_t port;
    uint64_t incarnation;
};

static struct peer *peer_add(struct links *l, const char *id)
{
    struct peer *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    snprintf(p->id, sizeof p->id, "%s", id);
    link_init(&p->out, l, p, true);
    link_init(&p->in, l, p, false);
    HASH_ADD_STR(l->peers, id, p);
    return p;
}

/* Its sessions with another daemon than the one that runs there now are over. */
static void outdate(struct link *k, uint64_t incarnation)
{
    if (k->s && k->incarnation != incarnation)
        link_break(k, -EIO);
}

static void take_news(struct task *t)
{
    cleanup_free struct news *n = container_of(t, struct news, task);
    struct links *l = n->l;
    struct peer *p;

    HASH_FIND_STR(l->peers, n->id, p);
    if (n->forget) {
        if (p)
            forget_peer(l, p, -EIO);
        return;
    }
    if (!p && !(p = peer_add(l, n->id))) {
        log_error("link", "no memory for peer %s: it cannot be linked with", n->id);
        return;
    }
    if (p->fingerprint[0] && strcasecmp(p->fingerprint, n->fingerprint) != 0) {
        link_break(&p->out, -EIO);
        link_break(&p->in, -EIO);
        conn_forget_peer(l, p);
    } else if (p->incarnation && p->incarnation != n->incarnation) {
        outdate(&p->out, n->incarnation);
        outdate(&p->in, n->incarnation);
    }
    memcpy(p->address, n->address, sizeof p->address);
    memcpy(p->fingerprint, n->fingerprint, sizeof p->fingerprint);
    p->port = n->port;
    p->incarnation = n->incarnation;
}

static void post_news(struct links *l, struct news *n, const char *id)
{
    if (!n) {
        log_error("link", "no memory for news of peer %s", id);
        return;
    }
    n->l = l;
    n->task.run = take_news;
    snprintf(n->id, sizeof n->id, "%s", id);
    if (!links_post(l, &n->task))
        free(n);
}

void links_peer(struct links *l, const char *id, const char *address, uint16_t port,
                const char *fingerprint, uint64_t incarnation)
{
    struct news *n = calloc(1, sizeof *n);

    if (n) {
        snprintf(n->address, sizeof n->address, "%s", address);
        snprintf(n->fingerprint, sizeof n->fingerprint, "%s", fingerprint);
        n->port = port;
        n->incarnation = incarnation;
    }
    post_news(l, n, id);
}

void links_forget(struct links *l, const char *id)
{
    struct news *n = calloc(1, sizeof *n);

    if (n)
        n->forget = true;
    post_news(l, n, id);
}
