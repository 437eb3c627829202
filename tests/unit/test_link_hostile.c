/*
 * test_link_hostile.c - whoever can reach the port: garbage, strangers, dawdlers, and known peers
 * that lie.
 *
 * Each must cost a line in the log at most, no memory that stays, and nobody's channel.
 */
#include "tests/unit/link_pair.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/flow.h"
#include "base/log.h"
#include "net/link_frame.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct node a, b;
static struct stream *kept, *kept_reader; /* a channel that has to survive it all */

static int start(void **state)
{
    struct flow *f;
    struct stream *w;

    (void)state;
    node_start(&a, "A");
    node_start(&b, "B");
    node_knows(&a, &b, 1);
    node_knows(&b, &a, 1);
    assert_int_equal(link_open(a.links, "B", "kept", &kept), 0);
    assert_int_equal(flow_create(&f, 65536, FLOW_STREAM), 0);
    assert_int_equal(flow_open_reader(f, &kept_reader), 0);
    assert_int_equal(flow_open_writer(f, false, &w), 0);
    flow_unref(f);
    link_accept(node_opened(&b, NULL, 0), w, LINK_WRITE);
    return 0;
}

static int stop(void **state)
{
    char got = 0;
    bool alive = stream_write(kept, "k", 1) == 1 && stream_read(kept_reader, &got, 1) == 1;

    (void)state;
    kept->ops->close(kept, 0);
    alive = alive && got == 'k' && stream_read(kept_reader, &got, 1) == 0;
    kept_reader->ops->close(kept_reader, 0);
    node_stop(&a);
    node_stop(&b);
    return alive && blk_live() == 0 ? 0 : -1;
}

/* --- help --- */

static int dial(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(links_port(b.links)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static size_t count(const char *needle)
{
    struct obuf log = { 0 };
    size_t n = 0;

    log_show(&log);
    for (const char *p = log.p; p && (p = strstr(p, needle)); p++)
        n++;
    obuf_free(&log);
    return n;
}

/* Waits until B has closed its side; false: it did not within the time. */
static bool closed_within(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte[512];
    ssize_t n = 1;

    while (n > 0 && poll(&p, 1, ms) == 1)
        n = recv(fd, byte, sizeof byte, 0);
    return n <= 0;
}

static long rss_kib(void)
{
    cleanup_fclose FILE *f = fopen("/proc/self/statm", "re");
    long size = 0, resident = 0;

    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool anybody(void *arg, const char *fingerprint)
{
    (void)arg, (void)fingerprint;
    return true;
}

/* A TLS client with a key of its choice. */
struct client {
    struct tls_context *context;
    struct tls *tls;
    int fd;
};

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    assert_int_equal(poll(&p, 1, 10000), 1);
}

static int client_connect(struct client *c, const struct identity *me)
{
    struct oerr e;
    int rc;

    c->fd = dial();
    assert_int_equal(tls_context_create(&c->context, me, 16, &e), 0);
    assert_int_equal(tls_create(&c->tls, c->context, c->fd, false, anybody, NULL), 0);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
    while ((rc = tls_handshake(c->tls, &e)) == -EAGAIN)
        wait_for(c->fd, POLLIN);
    if (rc == 0)
        while ((rc = tls_flush(c->tls)) == -EAGAIN)
            wait_for(c->fd, POLLOUT);
    return rc;
}

static void client_send(struct client *c, const void *p, size_t n)
{
    for (const char *from = p; n;) {
        ssize_t took = tls_write(c->tls, from, n);

        assert_true(took >= 0);
        from += took;
        n -= (size_t)took;
        if (tls_flush(c->tls) < 0) /* little is sent: it has had enough */
            return;
    }
}

static void client_hello(struct client *c, uint16_t version)
{
    struct hello h = { .version_min = version,
                       .version_max = version,
                       .flags = HELLO_FRESH,
                       .window = 1 << 18,
                       .session = "somebody else" };
    uint8_t frame[HELLO_FRAME];

    hello_encode(&h, frame);
    client_send(c, frame, sizeof frame);
}

static ssize_t client_read(struct client *c, void *to, size_t n)
{
    size_t got = 0;

    while (got < n) {
        ssize_t rc = tls_read(c->tls, (char *)to + got, n - got);

        if (rc == -EAGAIN)
            wait_for(c->fd, POLLIN);
        else if (rc <= 0)
            return rc < 0 ? rc : (ssize_t)got;
        else
            got += (size_t)rc;
    }
    return (ssize_t)got;
}

static void client_end(struct client *c)
{
    tls_destroy(c->tls);
    tls_context_destroy(c->context);
    close(c->fd);
}

/* --- without a key --- */

static void a_megabyte_of_garbage(void **state)
{
    unsigned seed = 1;
    char *junk = malloc(1 << 20);
    size_t before = count("refused");

    (void)state;
    for (int round = 0; round < 3; round++) {
        int fd = dial();
        ssize_t n = 1;

        for (size_t i = 0; i < 1 << 20; i++)
            junk[i] = (char)rand_r(&seed);
        for (size_t at = 0; at < 1 << 20 && n > 0; at += n > 0 ? (size_t)n : 0)
            n = send(fd, junk + at, (1 << 20) - at, MSG_NOSIGNAL);
        assert_true(closed_within(fd, 3000));
        close(fd);
    }
    assert_int_equal(count("refused") - before, 3);
    free(junk);
}

static void plain_text_and_old_tls(void **state)
{
    static const char *const words[] = { "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n",
                                         "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        int fd = dial();

        assert_true(send(fd, words[i], i == 2 ? 10 : strlen(words[i]), MSG_NOSIGNAL) > 0);
        shutdown(fd, SHUT_WR);
        assert_true(closed_within(fd, 3000));
        close(fd);
    }
}

static void a_stranger_with_a_key(void **state)
{
    size_t before = count("its key is not known here");
    struct identity stranger;
    struct client c;
    char byte;

    (void)state;
    identity_invent(&stranger, "A");
    if (client_connect(&c, &stranger) == 0) /* in TLS 1.3 it learns of the refusal when it reads */
        assert_true(client_read(&c, &byte, 1) <= 0);
    assert_true(closed_within(c.fd, 3000));
    client_end(&c);
    assert_int_equal(count("its key is not known here") - before, 1);
    identity_drop(&stranger);
}

static void dawdlers_are_cut_after_five_seconds(void **state)
{
    struct timespec from, to;
    int silent = dial(), slow = dial();
    struct client greeted;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(send(slow, "\x16\x03\x01", 3, 0), 3); /* begins a record */
    assert_int_equal(client_connect(&greeted, &a.me), 0);  /* says no HELLO */
    assert_true(closed_within(silent, 8000));
    assert_true(closed_within(slow, 8000));
    assert_true(closed_within(greeted.fd, 8000));
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, 4, 7);
    close(silent);
    close(slow);
    client_end(&greeted);
}

static void a_thousand_half_open_connections(void **state)
{
    enum { N = 1000 };
    static int fd[N];
    long before;
    size_t lines = count("refused");
    int open = 0;
    struct stream *s;
    char c;

    (void)state;
    for (int i = 0; i < 100; i++)
        fd[i] = dial();
    for (int i = 0; i < 100; i++)
        close(fd[i]);
    before = rss_kib();
    for (int i = 0; i < N; i++) {
        fd[i] = dial();
        assert_int_equal(send(fd[i], "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
    }
    /* while they are there, those who know how are served */
    assert_int_equal(link_open(a.links, "B", "between", &s), 0);
    link_refuse(node_opened(&b, NULL, 0), -ENOENT);
    assert_int_equal(stream_read(s, &c, 1), -ENOENT);
    s->ops->close(s, 0);
    for (int i = 0; i < N - 64; i++)
        assert_true(closed_within(fd[i], 3000));
    for (int i = N - 64; i < N; i++)
        open += !closed_within(fd[i], 0);
    assert_in_range(open, 32, 64);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    assert_in_range(count("refused") - lines, 1, 10);               /* not a line for each */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep what is freed */
    assert_true(rss_kib() - before < 24 * 1024);
#endif
    (void)before;
}

/* --- with a known key --- */

static void wrong_version_is_told_ours(void **state)
{
    size_t before = count("speaks versions 9 to 9");
    struct client c;
    struct hello h;
    uint8_t frame[HELLO_FRAME];

    (void)state;
    assert_int_equal(client_connect(&c, &a.me), 0);
    client_hello(&c, 9);
    assert_int_equal(client_read(&c, frame, sizeof frame), sizeof frame);
    assert_int_equal(hello_decode(&h, frame + FRAME_HEAD, HELLO_BYTES), 0);
    assert_int_equal(h.status, EPROTONOSUPPORT);
    assert_int_equal(h.version_max, LINK_VERSION);
    assert_true(closed_within(c.fd, 3000));
    client_end(&c);
    assert_int_equal(count("speaks versions 9 to 9") - before, 1);
}

static void unknown_session_is_told_so(void **state)
{
    struct hello h = { .version_min = 1,
                       .version_max = 1,
                       .window = 1 << 18,
                       .next = 5,
                       .session = "long forgotten" };
    uint8_t frame[HELLO_FRAME];
    struct client c;

    (void)state;
    assert_int_equal(client_connect(&c, &a.me), 0);
    hello_encode(&h, frame);
    client_send(&c, frame, sizeof frame);
    assert_int_equal(client_read(&c, frame, sizeof frame), sizeof frame);
    assert_int_equal(hello_decode(&h, frame + FRAME_HEAD, HELLO_BYTES), 0);
    assert_int_equal(h.status, ESTALE);
    assert_true(closed_within(c.fd, 3000));
    client_end(&c);
}

static void frames_that_cannot_be(void **state)
{
    static const struct frame_head bad[] = {
        { .type = FRAME_DATA, .chan = 1, .len = UINT32_MAX },
        { .type = FRAME_DATA, .chan = 1, .len = 100 },
        { .type = 77 },
        { .type = FRAME_HELLO, .len = HELLO_BYTES },
        { .type = FRAME_ACK, .seq = 99 },
    };
    struct identity other;

    (void)state;
    identity_invent(&other, "C"); /* not A: its session would be replaced */
    links_peer(b.links, "C", "127.0.0.1", 1, other.fingerprint, 1);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t frame[HELLO_FRAME], head[FRAME_HEAD + 100] = { 0 };
        struct client c;

        assert_int_equal(client_connect(&c, &other), 0);
        client_hello(&c, 1);
        assert_int_equal(client_read(&c, frame, sizeof frame), sizeof frame);
        frame_encode(&bad[i], head);
        client_send(&c, head, sizeof head);
        assert_true(closed_within(c.fd, 3000));
        client_end(&c);
    }
    identity_drop(&other);
}

/* A known peer that sends a little of a frame and goes away, again and again. */
static void truncated_frames(void **state)
{
    struct identity other;
    uint8_t frame[HELLO_FRAME], open[FRAME_HEAD + 4] = { 0 };
    struct frame_head h = { .type = FRAME_OPEN, .chan = 1, .len = 65536 };

    (void)state;
    identity_invent(&other, "C");
    links_peer(b.links, "C", "127.0.0.1", 1, other.fingerprint, 1);
    frame_encode(&h, open);
    for (size_t n = 1; n <= sizeof open; n += 3) {
        struct client c;

        assert_int_equal(client_connect(&c, &other), 0);
        client_hello(&c, 1);
        assert_int_equal(client_read(&c, frame, sizeof frame), sizeof frame);
        client_send(&c, open, n);
        client_end(&c);
    }
    identity_drop(&other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    struct rlimit files;
    const struct CMUnitTest tests[] = {
        T(a_megabyte_of_garbage),
        T(plain_text_and_old_tls),
        T(a_stranger_with_a_key),
        T(dawdlers_are_cut_after_five_seconds),
        T(a_thousand_half_open_connections),
        T(frames_that_cannot_be),
        T(truncated_frames),
        T(wrong_version_is_told_ours),
        T(unknown_session_is_told_so),
    };

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max; /* both ends of a thousand connections are ours */
    setrlimit(RLIMIT_NOFILE, &files);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
