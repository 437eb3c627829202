/*
 * beacon.c - sends and hears beacons.
 *
 * Two sockets, IPv4 and IPv6 (either may be missing, not both), which all runtimes of a machine
 * share by SO_REUSEADDR: the kernel gives each a copy of a multicast datagram. Before each sending
 * the interfaces are looked at again if they have changed: new ones are joined, lost ones left.
 *
 * A daemon may be heard by several ways. So that its owner does not move about, the way with the
 * best rank (IPv4, then IPv6, then loopback) is reported as long as it is fresh; see better().
 */
#include "net/beacon.h"
#include "net/beacon_private.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/rate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVERY_MS      1000
#define NOW_GAP_MS    100 /* beacon_now() sends at most this often */
#define FOREIGN_PER_S 64
#define READ_BUDGET   64 /* datagrams read in one turn of the loop */
#define IFACES_MAX    64
#define WAYS_MAX      256
#define WAY_FRESH_MS  3500
#define WAY_TRIAL_MS  2000 /* time enough to reach a machine there */

struct iface {
    unsigned index;
    char name[IF_NAMESIZE];
    bool loopback;
    bool has[FAMILIES];
    bool joined[FAMILIES];
    struct sockaddr_storage source[FAMILIES]; /* its first address of the family */
};

/* How one of ours was last reported. */
struct way {
    char id[ID_MAX], address[64];
    uint64_t incarnation, heard_ms, since_ms; /* since: when this address was first reported */
    int rank;
};

struct sock {
    struct beacon *b;
    uv_poll_t poll;
    int fd;
};

struct beacon {
    const struct identity *me;
    struct peer_info self;
    struct beacon_ops ops;
    void *arg;
    struct sockaddr_storage listen; /* AF_UNSPEC: all */
    uint16_t port;
    struct sock socks[FAMILIES];
    uv_timer_t timer;
    unsigned handles, sent;
    uint64_t sent_ms;
    int watch;
    bool stale; /* ifaces is */
    struct iface ifaces[IFACES_MAX];
    size_t nifaces;
    struct way ways[WAYS_MAX];
    size_t nways;
    struct beacon_kept kept;
    struct rate foreign, complaints;
    struct beacon_unicast *unicast;
};

static bool same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
    if (a->sa_family != b->ss_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static struct iface *find_iface(struct iface *v, size_t n, unsigned index)
{
    for (size_t at = 0; at < n; at++)
        if (v[at].index == index)
            return &v[at];
    return NULL;
}

static void add_iface(struct beacon *b, struct iface *v, size_t *n, const struct ifaddrs *a)
{
    int family = a->ifa_addr->sa_family == AF_INET ? V4 : V6;
    unsigned index = if_nametoindex(a->ifa_name);
    struct iface *old = find_iface(b->ifaces, b->nifaces, index), *f = find_iface(v, *n, index);

    if (index == 0)
        return;
    if (!f && *n == IFACES_MAX)
        return;
    if (!f) {
        f = &v[(*n)++];
        *f = (struct iface){ .index = index, .loopback = a->ifa_flags & IFF_LOOPBACK };
        snprintf(f->name, sizeof f->name, "%.*s", (int)strcspn(a->ifa_name, ":"), a->ifa_name);
        if (old)
            memcpy(f->joined, old->joined, sizeof f->joined);
    }
    if (!f->has[family])
        memcpy(&f->source[family], a->ifa_addr,
               family == V4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    f->has[family] = true;
}

static int loopback_last(const void *a, const void *b)
{
    const struct iface *x = a, *y = b;

    if (x->loopback != y->loopback)
        return x->loopback ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void join(struct beacon *b, struct iface *f, int family)
{
    int rc;

    if (f->joined[family])
        return;
    rc = beacon_udp_member(b->socks[family].fd, family, true, f->index);
    f->joined[family] = rc == 0 || rc == -EADDRINUSE;
    if (!f->joined[family] && rate_take(&b->complaints, now_ms()))
        log_warn("beacon", "cannot hear multicast on interface %u: %s", f->index, strerror(-rc));
}

/* Joins the group where that has not been done or has failed. */
static void join_all(struct beacon *b)
{
    for (size_t at = 0; at < b->nifaces; at++)
        for (int family = 0; family < FAMILIES; family++)
            if (b->ifaces[at].has[family] && b->socks[family].fd >= 0)
                join(b, &b->ifaces[at], family);
}

/* Looks at the interfaces, and leaves the group on those that are gone. */
static void scan(struct beacon *b)
{
    struct iface fresh[IFACES_MAX];
    struct ifaddrs *all, *a;
    size_t n = 0;

    if (getifaddrs(&all) < 0)
        return;
    b->stale = false;
    for (a = all; a; a = a->ifa_next)
        if (a->ifa_addr && (a->ifa_flags & IFF_UP) &&
            (a->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) &&
            (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6) &&
            (b->listen.ss_family == AF_UNSPEC || same_address(a->ifa_addr, &b->listen)))
            add_iface(b, fresh, &n, a);
    freeifaddrs(all);
    for (size_t at = 0; at < b->nifaces; at++)
        for (int family = 0; family < FAMILIES; family++)
            if (b->ifaces[at].joined[family] && !find_iface(fresh, n, b->ifaces[at].index))
                beacon_udp_member(b->socks[family].fd, family, false, b->ifaces[at].index);
    qsort(fresh, n, sizeof *fresh, loopback_last);
    memcpy(b->ifaces, fresh, n * sizeof *fresh);
    b->nifaces = n;
}

static void send_all(struct beacon *b)
{
    uint8_t data[BEACON_MAX];
    int n;

    if (beacon_watch_changed(b->watch))
        b->stale = true;
    if (b->stale)
        scan(b);
    join_all(b);
    strcpy(b->self.cluster, b->me->cluster_name); /* it changes when a token lets us in elsewhere */
    n = beacon_encode(b->me, &b->self, data);
    for (size_t at = 0; n > 0 && at < b->nifaces; at++)
        for (int family = 0; family < FAMILIES; family++)
            if (b->ifaces[at].has[family] && b->socks[family].fd >= 0)
                beacon_udp_send(b->socks[family].fd, family, b->ifaces[at].index, b->port,
                                &b->ifaces[at].source[family], data, (size_t)n);
    b->sent_ms = now_ms();
}

static void on_timer(uv_timer_t *t)
{
    static const unsigned start[] = { 100, 200, 400 };
    struct beacon *b = t->data;

    send_all(b);
    if (b->sent < ARRAY_SIZE(start))
        uv_timer_start(t, on_timer, start[b->sent], 0);
    else
        loop_beat(t, on_timer, EVERY_MS);
    b->sent++;
}

void beacon_now(struct beacon *b)
{
    uint64_t now = now_ms(), next = b->sent_ms + NOW_GAP_MS;
    uint64_t wait = next > now ? next - now : 0;

    if (wait < uv_timer_get_due_in(&b->timer))
        uv_timer_start(&b->timer, on_timer, wait, 0);
}

static int rank_of(const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)from)->sin_addr.s_addr) >> 24 == 127 ? 0 : 2;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)from)->sin6_addr) ? 0 : 1;
}

/* Whether w stays, though another way of that rank was heard. */
static bool keeps(const struct beacon *b, const struct way *w, int rank, uint64_t now)
{
    if (b->ops.silent && b->ops.silent(b->arg, w->id))
        return now - w->since_ms < WAY_TRIAL_MS;
    return rank <= w->rank;
}

/* Whether this way to p is the one to report: the one already reported, or a better one, or any
 * other when that has not been heard for a while or p was restarted. Or when p could not be reached
 * by it: where a datagram came from is not covered by its MAC, and anybody can repeat one. */
static bool better(struct beacon *b, const struct peer_info *p, int rank)
{
    struct way *w = NULL, *oldest = b->ways;
    uint64_t now = now_ms(), since = now;

    for (size_t at = 0; at < b->nways && !w; at++) {
        if (strcmp(b->ways[at].id, p->id) == 0)
            w = &b->ways[at];
        else if (b->ways[at].heard_ms < oldest->heard_ms)
            oldest = &b->ways[at];
    }
    if (w && w->incarnation == p->incarnation && strcmp(w->address, p->address) != 0 &&
        now - w->heard_ms < WAY_FRESH_MS && keeps(b, w, rank, now))
        return false;
    if (w && strcmp(w->address, p->address) == 0)
        since = w->since_ms;
    if (!w)
        w = b->nways < WAYS_MAX ? &b->ways[b->nways++] : oldest;
    *w = (struct way){
        .incarnation = p->incarnation, .heard_ms = now, .since_ms = since, .rank = rank
    };
    strcpy(w->id, p->id);
    strcpy(w->address, p->address);
    return true;
}

/* The name of its interface is known here, and need not be asked of the kernel for each beacon. */
static void print_sender(struct beacon *b, const struct sockaddr_storage *from, char out[64])
{
    const struct iface *f = NULL;

    if (from->ss_family == AF_INET6)
        f = find_iface(b->ifaces, b->nifaces, ((const struct sockaddr_in6 *)from)->sin6_scope_id);
    beacon_udp_print(from, f ? f->name : NULL, out);
}

/* Whether it was a beacon of another machine. */
static bool heard(struct beacon *b, const struct sockaddr_storage *from, const uint8_t *data,
                  size_t n)
{
    struct peer_info p;
    bool ours;
    int rc = beacon_decode_kept(&b->kept, b->me, data, n, &p, &ours);

    if (rc == 0 && !ours && !rate_take(&b->foreign, now_ms()))
        return false;
    print_sender(b, from, p.address);
    if (rc < 0) {
        if (rate_take(&b->complaints, now_ms()))
            log_warn("beacon", "dropped a datagram of %zu bytes from %s: %s", n, p.address,
                     rc == -EPROTO ? "not a beacon" : "a beacon of another version");
        return false;
    }
    if (strcmp(p.id, b->self.id) == 0) {
        if (strcmp(p.curve_public, b->self.curve_public) != 0 &&
            rate_take(&b->complaints, now_ms()))
            log_warn("beacon", "another machine at %s also calls itself %s: give one another id",
                     p.address, p.id);
        if (ours && p.incarnation != b->self.incarnation && b->ops.twin)
            b->ops.twin(b->arg, &p);
        return false;
    }
    if (!ours || better(b, &p, rank_of(from)))
        b->ops.seen(b->arg, &p, ours);
    return true;
}

static int unicast_fill(void *arg, uint8_t *buf)
{
    struct beacon *b = arg;

    return beacon_encode(b->me, &b->self, buf);
}

static bool unicast_heard(void *arg, const struct sockaddr_storage *from, const uint8_t *data,
                          size_t n)
{
    return heard(arg, from, data, n);
}

int beacon_unicast(struct beacon *b, struct loop *core, uint16_t port, const char *join,
                   struct oerr *e)
{
    static const struct beacon_unicast_ops ops = { .fill = unicast_fill, .heard = unicast_heard };
    char text[64];
    int rc;

    beacon_udp_print(&b->listen, NULL, text);
    rc = beacon_unicast_create(&b->unicast, core, b->listen.ss_family ? text : NULL, port, &ops, b);
    if (rc == 0 && join)
        rc = beacon_unicast_join(b->unicast, join, e);
    return rc;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct sock *s = poll->data;

    (void)status; /* an error on the socket is read and so cleared below */
    (void)events;
    for (int budget = READ_BUDGET; budget > 0 && s->fd >= 0; budget--) {
        uint8_t data[BEACON_MAX + 1];
        struct sockaddr_storage from;
        unsigned index;
        ssize_t n = beacon_udp_receive(s->fd, data, sizeof data, &from, &index);

        if (n < 0)
            return;
        if (find_iface(s->b->ifaces, s->b->nifaces, index))
            heard(s->b, &from, data, (size_t)n);
    }
}

static int open_one(struct beacon *b, struct loop *core, int family)
{
    struct sock *s = &b->socks[family];
    int rc;

    if (b->listen.ss_family != AF_UNSPEC &&
        b->listen.ss_family != (family == V4 ? AF_INET : AF_INET6))
        return -EAFNOSUPPORT;
    s->fd = beacon_udp_open(family, b->port);
    if (s->fd < 0)
        return s->fd;
    rc = uv_poll_init(loop_uv(core), &s->poll, s->fd);
    if (rc < 0)
        return rc;
    s->poll.data = s;
    b->handles++;
    return uv_poll_start(&s->poll, UV_READABLE, on_readable);
}

static int open_all(struct beacon *b, struct loop *core, struct oerr *e)
{
    int rc4 = open_one(b, core, V4), rc6 = open_one(b, core, V6);
    int why = rc4 == -EAFNOSUPPORT ? rc6 : rc4;

    if (rc4 == 0 || rc6 == 0)
        return 0;
    return oerr_set(e, why, "cannot use UDP port %u for beacons: %s%s", b->port, strerror(-why),
                    why == -EADDRINUSE ? "; another program holds it, choose another port" : "");
}

static int parse_listen(struct beacon *b, const char *listen, struct oerr *e)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)&b->listen;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&b->listen;
    char plain[64];

    if (!listen)
        return 0;
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(listen, "%"), listen);
    if (inet_pton(AF_INET, plain, &a4->sin_addr) == 1)
        b->listen.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, plain, &a6->sin6_addr) == 1)
        b->listen.ss_family = AF_INET6;
    else
        return oerr_set(e, -EINVAL, "%.60s is not a numeric address to listen at", listen);
    return 0;
}

int beacon_create(struct beacon **out, struct loop *core, const struct identity *me,
                  const struct peer_info *self, const char *listen, uint16_t port,
                  const struct beacon_ops *ops, void *arg, struct oerr *e)
{
    struct beacon *b = calloc(1, sizeof *b);
    uint8_t trial[BEACON_MAX];
    int rc;

    if (!b)
        return oerr_set(e, -ENOMEM, "out of memory");
    b->watch = beacon_watch_open();
    b->stale = true;
    b->me = me;
    b->self = *self;
    b->ops = *ops;
    b->arg = arg;
    b->port = port ? port : BEACON_PORT;
    b->foreign = (struct rate){ .gap_ms = 1000 / FOREIGN_PER_S, .burst = FOREIGN_PER_S };
    b->complaints = (struct rate){ .gap_ms = 10000, .burst = 1 };
    for (int family = 0; family < FAMILIES; family++)
        b->socks[family] = (struct sock){ .b = b, .fd = -1 };
    uv_timer_init(loop_uv(core), &b->timer);
    b->timer.data = b;
    b->handles++;
    rc = beacon_encode(me, self, trial);
    if (rc < 0)
        oerr_set(e, rc, "a beacon needs an id, a key, a fingerprint and three ports");
    else if ((rc = parse_listen(b, listen, e)) == 0)
        rc = open_all(b, core, e);
    if (rc < 0) {
        beacon_destroy(b);
        return rc;
    }
    uv_timer_start(&b->timer, on_timer, 0, 0);
    *out = b;
    return 0;
}

static void drop_handle(struct beacon *b)
{
    if (--b->handles == 0)
        free(b);
}

static void on_poll_closed(uv_handle_t *h)
{
    drop_handle(((struct sock *)h->data)->b);
}

static void on_timer_closed(uv_handle_t *h)
{
    drop_handle(h->data);
}

/* The memory goes when libuv has let go of the last handle. */
void beacon_destroy(struct beacon *b)
{
    if (!b)
        return;
    for (int family = 0; family < FAMILIES; family++) {
        struct sock *s = &b->socks[family];

        if (s->poll.data)
            uv_close((uv_handle_t *)&s->poll, on_poll_closed);
        if (s->fd >= 0)
            close(s->fd);
        s->fd = -1;
    }
    if (b->watch >= 0)
        close(b->watch);
    beacon_unicast_destroy(b->unicast);
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}
