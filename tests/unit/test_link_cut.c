/*
 * test_link_cut.c - connections that break and silences, through a relay that the test controls.
 *
 * A dials the relay, the relay dials B. It can cut (both connections reset, whatever is on the way
 * lost), freeze (nothing passes, nobody is told) and refuse.
 */
#include "tests/unit/link_pair.h"
#include "base/cleanup.h"
#include "base/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PAIRS 8

/* What is done at once is done within this, in s, however busy the computer is: far from
 * LINK_RESUME_MS, and from what TCP would wait after ten seconds of silence. */
#define AT_ONCE 5

enum mood { PASS, FREEZE, REFUSE };

static struct relay {
    pthread_t thread;
    int listener;
    uint16_t port, to;
    _Atomic int mood, cut, stop;
    _Atomic unsigned connections;
    struct pair {
        int fd[2];
        char *held[2]; /* bytes read that the other side has not taken */
        size_t n[2];
    } pairs[PAIRS];
} relay;

static struct node a, b;

/* --- the relay --- */

static int tcp(uint16_t *port, bool listening)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listening) {
        assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
        assert_int_equal(listen(fd, 16), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
        *port = ntohs(at.sin_port);
        return fd;
    }
    at.sin_port = htons(*port);
    if (connect(fd, (struct sockaddr *)&at, n) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void reset(struct pair *p)
{
    struct linger hard = { .l_onoff = 1 };

    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0) {
            setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            close(p->fd[i]);
        }
        p->fd[i] = -1;
        p->n[i] = 0;
    }
}

static void take_connection(void)
{
    struct pair p = { .fd = { accept(relay.listener, NULL, NULL), -1 } };

    for (int i = 0; i < PAIRS && relay.mood == PASS; i++) {
        if (relay.pairs[i].fd[0] >= 0)
            continue;
        p.fd[1] = tcp(&relay.to, false);
        if (p.fd[1] < 0)
            break;
        relay.pairs[i].fd[0] = p.fd[0];
        relay.pairs[i].fd[1] = p.fd[1];
        relay.connections++;
        return;
    }
    reset(&p);
}

static void pass(struct pair *p, int from)
{
    ssize_t n;

    if (p->n[from] == 0) {
        n = recv(p->fd[from], p->held[from], 65536, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            reset(p);
            return;
        }
        p->n[from] = n > 0 ? (size_t)n : 0;
    }
    n = p->n[from] ? send(p->fd[!from], p->held[from], p->n[from], MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) {
        reset(p);
    } else if (n > 0) {
        p->n[from] -= (size_t)n;
        memmove(p->held[from], p->held[from] + n, p->n[from]);
    }
}

static void *relay_run(void *arg)
{
    struct pollfd fds[1 + 2 * PAIRS];

    (void)arg;
    while (!relay.stop) {
        if (atomic_exchange(&relay.cut, 0))
            for (int i = 0; i < PAIRS; i++)
                reset(&relay.pairs[i]);
        fds[0] =
            (struct pollfd){ .fd = relay.mood == FREEZE ? -1 : relay.listener, .events = POLLIN };
        for (int i = 0; i < 2 * PAIRS; i++) {
            struct pair *p = &relay.pairs[i / 2];
            bool full = p->n[i % 2] > 0;

            fds[1 + i] =
                (struct pollfd){ .fd = relay.mood == FREEZE ? -1 : p->fd[full ? !(i % 2) : i % 2],
                                 .events = full ? POLLOUT : POLLIN };
        }
        if (poll(fds, ARRAY_SIZE(fds), 2) <= 0)
            continue;
        if (fds[0].revents)
            take_connection();
        for (int i = 0; i < 2 * PAIRS; i++)
            if (fds[1 + i].revents && relay.pairs[i / 2].fd[0] >= 0)
                pass(&relay.pairs[i / 2], i % 2);
    }
    return NULL;
}

static int start(void **state)
{
    (void)state;
    node_start(&a, "A");
    node_start(&b, "B");
    memset(&relay, 0, sizeof relay);
    relay.listener = tcp(&relay.port, true);
    relay.to = links_port(b.links);
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < 2; k++) {
            relay.pairs[i].fd[k] = -1;
            relay.pairs[i].held[k] = malloc(65536);
        }
    assert_int_equal(pthread_create(&relay.thread, NULL, relay_run, NULL), 0);
    links_peer(a.links, "B", "127.0.0.1", relay.port, b.me.fingerprint, 1);
    node_knows(&b, &a, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    node_stop(&a);
    node_stop(&b);
    relay.stop = 1;
    pthread_join(relay.thread, NULL);
    for (int i = 0; i < PAIRS; i++) {
        reset(&relay.pairs[i]);
        free(relay.pairs[i].held[0]);
        free(relay.pairs[i].held[1]);
    }
    close(relay.listener);
    return blk_live() == 0 ? 0 : -1;
}

/* --- transfers --- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void shut(struct stream *s, int how)
{
    s->ops->close(s, how);
}

struct transfer {
    struct stream *from, *to; /* the test's ends */
    size_t bytes;
    _Atomic size_t got;
    uint8_t sent[32], received[32];
    ssize_t write_rc, read_rc;
    pthread_t writer, reader;
};

static void *write_all(void *arg)
{
    struct transfer *t = arg;
    unsigned seed = 7;
    static _Thread_local char block[50000];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    t->write_rc = 1;
    for (size_t n = 0, part; n < t->bytes && t->write_rc > 0; n += part) {
        part = 1 + (size_t)rand_r(&seed) % sizeof block;
        for (size_t i = 0; i < part; i += 97)
            block[i] = (char)rand_r(&seed);
        t->write_rc = stream_write(t->from, block, part);
        EVP_DigestUpdate(hash, block, t->write_rc > 0 ? (size_t)t->write_rc : 0);
    }
    EVP_DigestFinal_ex(hash, t->sent, NULL);
    EVP_MD_CTX_free(hash);
    shut(t->from, t->write_rc > 0 ? 0 : (int)t->write_rc);
    return NULL;
}

static void *read_all(void *arg)
{
    struct transfer *t = arg;
    static _Thread_local char block[65536];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    while ((t->read_rc = stream_read(t->to, block, sizeof block)) > 0) {
        EVP_DigestUpdate(hash, block, (size_t)t->read_rc);
        t->got += (size_t)t->read_rc;
    }
    EVP_DigestFinal_ex(hash, t->received, NULL);
    EVP_MD_CTX_free(hash);
    shut(t->to, 0);
    return NULL;
}

static void make_ends(struct stream **r, struct stream **w)
{
    struct flow *f;

    assert_int_equal(flow_create(&f, 65536, FLOW_STREAM), 0);
    assert_int_equal(flow_open_reader(f, r), 0);
    assert_int_equal(flow_open_writer(f, false, w), 0);
    flow_unref(f);
}

/* One channel; away: A writes, B reads; else the other way. */
static void begin(struct transfer *t, bool away, size_t bytes)
{
    struct stream *s, *end;
    struct chan *c;

    memset(t, 0, sizeof *t);
    t->bytes = bytes;
    assert_int_equal(link_open(a.links, "B", "x", &s), 0);
    assert_non_null(c = node_opened(&b, NULL, 0));
    if (away) {
        make_ends(&t->to, &end);
        t->from = s;
    } else {
        make_ends(&end, &t->from);
        t->to = s;
    }
    link_accept(c, end, away ? LINK_WRITE : LINK_READ);
    assert_int_equal(pthread_create(&t->writer, NULL, write_all, t), 0);
    assert_int_equal(pthread_create(&t->reader, NULL, read_all, t), 0);
}

static void finish(struct transfer *t)
{
    pthread_join(t->writer, NULL);
    pthread_join(t->reader, NULL);
}

static void assert_all_there(struct transfer *t)
{
    finish(t);
    assert_int_equal(t->read_rc, 0);
    assert_memory_equal(t->sent, t->received, sizeof t->sent);
}

static void wait_for_bytes(struct transfer *t, size_t more)
{
    size_t until = t->got + more;

    for (int i = 0; i < 10000 && t->got < until; i++)
        usleep(1000);
    assert_true(t->got >= until);
}

static void cut_again_and_again(void **state)
{
    struct transfer away, back;
    unsigned before;

    (void)state;
    begin(&away, true, 200u << 20);
    begin(&back, false, 200u << 20);
    for (int i = 0; i < 8; i++) {
        wait_for_bytes(i % 2 ? &away : &back, 1 << 20);
        before = relay.connections;
        relay.cut = 1;
        while (relay.connections == before)
            usleep(1000);
    }
    assert_all_there(&away);
    assert_all_there(&back);
}

static void silence_is_found_and_overcome(void **state)
{
    struct transfer away, back;
    double from;

    (void)state;
    begin(&away, true, 300u << 20);
    begin(&back, false, 300u << 20);
    wait_for_bytes(&away, 1 << 20);
    relay.mood = FREEZE;
    sleep(10); /* the cut itself, not a wait for something */
    relay.mood = REFUSE;
    relay.cut = 1; /* what was sent into the silence is lost */
    while (relay.cut)
        usleep(1000);
    relay.mood = PASS;
    from = seconds();
    wait_for_bytes(&away, 1 << 20);
    assert_true(seconds() - from < AT_ONCE);
    assert_all_there(&away);
    assert_all_there(&back);
}

/* B's links end while nobody can tell A; others with the same key take their place. */

static void restarted_peer_breaks_at_once(void **state)
{
    struct transfer away;
    double from;

    (void)state;
    begin(&away, true, SIZE_MAX / 2);
    wait_for_bytes(&away, 1 << 20);
    relay.mood = REFUSE;
    relay.cut = 1;
    while (relay.cut)
        usleep(1000);
    node_restart_links(&b);
    node_knows(&b, &a, 1);
    relay.to = links_port(b.links);
    relay.mood = PASS;
    from = seconds();
    finish(&away);
    assert_true(seconds() - from < AT_ONCE);
    assert_int_equal(away.write_rc, -EIO);
    assert_int_equal(away.read_rc, -ECANCELED);
    begin(&away, true, 1 << 20); /* and A goes on with the new one */
    assert_all_there(&away);
}

/* Both ends: EIO, never an end of file. Takes LINK_RESUME_MS. */
static void cut_for_too_long_breaks_both_ends(void **state)
{
    struct transfer away, back;
    double from;

    (void)state;
    begin(&away, true, SIZE_MAX / 2);
    begin(&back, false, SIZE_MAX / 2);
    wait_for_bytes(&away, 1 << 20);
    wait_for_bytes(&back, 1 << 20);
    relay.mood = REFUSE;
    relay.cut = 1;
    from = seconds();
    finish(&away);
    finish(&back);
    assert_in_range((int)(seconds() - from), LINK_RESUME_MS / 1000 - 1,
                    LINK_RESUME_MS / 1000 + AT_ONCE);
    assert_int_equal(away.read_rc, -EIO);
    assert_int_equal(back.read_rc, -EIO);
    assert_int_equal(away.write_rc, -EIO);
    assert_int_equal(back.write_rc, -EPIPE); /* its reader, the channel, broke */
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(cut_again_and_again),
        T(silence_is_found_and_overcome),
        T(restarted_peer_breaks_at_once),
        T(cut_for_too_long_breaks_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
