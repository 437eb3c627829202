/*
 * test_bus_strangers.c - strangers, those who were put out, and garbage.
 */
#include "tests/unit/bus_nodes.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

static long rss_kb(void)
{
    long pages = 0, rss = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &pages, &rss), 2);
    fclose(f);
    return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void hello(struct node *from, const struct node *to, enum bus_type type, size_t bytes,
                  struct outcome *o)
{
    char *text = calloc(1, bytes + 1);

    memset(text, 'x', bytes);
    assert_int_equal(bus_ask_stranger(from->bus, "127.0.0.1", bus_req_port(to->bus),
                                      to->id->curve_public, type, json_pack("{s:s}", "x", text),
                                      5000, on_done, o, NULL),
                     0);
    free(text);
}

static void a_stranger_may_only_say_hello(void **unused)
{
    struct outcome o = { 0 }, join = { 0 }, probe = { 0 }, tree = { 0 }, big = { 0 };

    (void)unused;
    hello(&a, &b, BUS_HELLO, 10, &o);
    hello(&a, &b, BUS_JOIN, 10, &join);
    hello(&a, &b, BUS_PROBE, 10, &probe);
    hello(&a, &b, BUS_TREE, 10, &tree);
    hello(&a, &b, BUS_HELLO, 4096, &big);
    SOON(o.times + join.times + probe.times + tree.times + big.times == 5);
    assert_int_equal(o.rc, 0);
    assert_int_equal(join.rc, 0);
    assert_int_equal(probe.rc, -EPERM);
    assert_int_equal(tree.rc, -EPERM);
    assert_int_equal(big.rc, -EMSGSIZE);
    assert_int_equal(b.asked, 2);
    assert_int_equal(b.strangers, 2);
    assert_string_equal(b.last_key, a.id->curve_public);
}

static void a_wrong_server_key_is_noticed(void **unused)
{
    struct outcome o = { 0 };

    (void)unused;
    assert_int_equal(bus_ask_stranger(a.bus, "127.0.0.1", bus_req_port(b.bus), a.id->curve_public,
                                      BUS_HELLO, NULL, 500, on_done, &o, NULL),
                     0);
    SOON(o.times == 1);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    assert_int_equal(b.asked, 0);
    assert_int_equal(
        bus_ask_stranger(a.bus, "127.0.0.1", 1, "no key", BUS_HELLO, NULL, 500, on_done, &o, NULL),
        -EINVAL);
}

/* At least one line with these words since then, and no more than one in 10 s. */
static void assert_told_once(const char *words, unsigned before, uint64_t began)
{
    assert_in_range(log_lines(words) - before, 1, 1 + (now_ms() - began) / 10000);
}

/* A foreign program with any CURVE key, or an allowed one; its own ZeroMQ context. */
struct raw {
    void *ctx, *socket;
};

static struct raw raw_open(int type, const struct identity *me, const struct identity *server,
                           uint16_t port)
{
    struct raw r = { .ctx = zmq_ctx_new() };
    char public[KEY_Z85], secret[KEY_Z85], endpoint[64];
    int zero = 0;

    assert_int_equal(zmq_curve_keypair(public, secret), 0);
    r.socket = zmq_socket(r.ctx, type);
    zmq_setsockopt(r.socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(r.socket, ZMQ_CURVE_PUBLICKEY, me ? me->curve_public : public, KEY_Z85);
    zmq_setsockopt(r.socket, ZMQ_CURVE_SECRETKEY, me ? me->curve_secret : secret, KEY_Z85);
    zmq_setsockopt(r.socket, ZMQ_CURVE_SERVERKEY, server->curve_public, KEY_Z85);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    assert_int_equal(zmq_connect(r.socket, endpoint), 0);
    return r;
}

static void raw_close(struct raw *r)
{
    zmq_close(r->socket);
    zmq_ctx_term(r->ctx);
}

static void raw_send(struct raw *r, const void *header, size_t n, const char *body)
{
    zmq_send(r->socket, header, n, body ? ZMQ_SNDMORE : 0);
    if (body)
        zmq_send(r->socket, body, strlen(body), 0);
}

static void strangers_have_a_rate(void **unused)
{
    struct wire_header h = { .version = WIRE_VERSION, .type = BUS_HELLO };
    struct raw r = raw_open(ZMQ_DEALER, NULL, b.id, bus_req_port(b.bus));
    struct outcome o = { 0 };
    uint8_t header[WIRE_HEADER];
    unsigned before = log_lines("strangers ask too much");
    uint64_t began;
    long rss;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    wire_encode(&h, header);
    raw_send(&r, header, sizeof header, "{}");
    SOON(b.asked == 1);
    rss = rss_kb();
    began = now_ms();
    for (int n = 0; n < 20000; n++) {
        raw_send(&r, header, sizeof header, "{}");
        if (n % 100 == 0)
            uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    ask(&a, &b, BUS_SYNC, 10000, &o); /* members are served meanwhile */
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
    assert_in_range(b.strangers, 2, 21 + (now_ms() - began) / 50 + 1);
    assert_true(rss_kb() - rss < 64 * 1024);
    assert_told_once("strangers ask too much", before, began);
    raw_close(&r);
}

static bool raw_hears(struct raw *r)
{
    char frame[256];

    return zmq_recv(r->socket, frame, sizeof frame, ZMQ_DONTWAIT) >= 0;
}

static void a_stranger_cannot_subscribe(void **unused)
{
    struct raw r = raw_open(ZMQ_SUB, NULL, b.id, bus_pub_port(b.bus));
    unsigned before = log_lines("refused a subscription");

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    zmq_setsockopt(r.socket, ZMQ_SUBSCRIBE, "", 0);
    SOON(log_lines("refused a subscription") > before);
    for (int n = 0; n < 20; n++) {
        publish_until_heard(&b, &a);
        assert_false(raw_hears(&r));
    }
    raw_close(&r);
}

/* A crowd of strangers that stay: some are let in, then no more; members are, always. */
static void strangers_have_no_room_without_end(void **unused)
{
    struct raw r = raw_open(ZMQ_ROUTER, NULL, b.id, bus_req_port(b.bus));
    unsigned before = log_lines("have to wait");
    struct outcome o = { 0 };
    struct wire_header h = { .version = WIRE_VERSION, .type = BUS_HELLO };
    uint8_t header[WIRE_HEADER];
    char endpoint[64];
    int crowd;

    (void)unused;
    wire_encode(&h, header);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", bus_req_port(b.bus));
    for (int n = 0; n < 400; n++)
        assert_int_equal(zmq_connect(r.socket, endpoint), 0);
    SOON(log_lines("have to wait") > before);
    trust(&a, &b);
    trust(&b, &a);
    ask(&a, &b, BUS_SYNC, 10000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
    crowd = open_descriptors();
    raw_close(&r);
    SOON(open_descriptors() < crowd - 400);
    r = raw_open(ZMQ_DEALER, NULL, b.id, bus_req_port(b.bus)); /* there is room again */
    raw_send(&r, header, sizeof header, "{}");
    SOON(b.strangers == 1);
    raw_close(&r);
}

/* A member that wants to hear everything, also after it is put out, is found out and cut off. */
static void nobody_hears_what_is_for_another(void **unused)
{
    struct raw r;
    unsigned before = log_lines("subscribed to what is not its own");

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    publish_until_heard(&b, &a);
    r = raw_open(ZMQ_SUB, a.id, b.id, bus_pub_port(b.bus));
    zmq_setsockopt(r.socket, ZMQ_SUBSCRIBE, "", 0);
    SOON(log_lines("subscribed to what is not its own") > before);
    publish_until_heard(&b, &a); /* the honest connection is back */
    assert_int_equal(a.missed, 2);
    raw_close(&r);
}

static void who_is_put_out_is_out(void **unused)
{
    struct outcome o = { 0 }, parked = { 0 }, again = { 0 };
    unsigned a_published;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    publish_until_heard(&a, &b);
    publish_until_heard(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &parked);
    SOON(b.parked);
    b.park = false;
    bus_disallow(b.bus, "A");
    bus_answer(b.parked, number(1)); /* not for it any more */
    b.asked = b.published = 0;
    a_published = a.published;

    ask(&a, &b, BUS_SYNC, 5000, &o);
    SOON(o.times == 1 && parked.times == 1);
    assert_int_equal(o.rc, -EPERM);
    assert_int_equal(parked.rc, -EPERM);
    assert_int_equal(bus_ask(b.bus, "A", BUS_SYNC, NULL, 100, on_done, &o, NULL), -EHOSTUNREACH);
    for (int n = 0; n < 10; n++) {
        assert_int_equal(bus_publish(a.bus, BUS_LIVE, NULL), 0);
        assert_int_equal(bus_publish(b.bus, BUS_LIVE, NULL), 0);
        UNTIL(20, false);
    }
    assert_int_equal(b.asked, 0);
    assert_int_equal(b.published, 0);
    assert_int_equal(a.published, a_published);

    trust(&b, &a); /* let in again: everything works */
    publish_until_heard(&b, &a);
    publish_until_heard(&a, &b);
    ask(&a, &b, BUS_SYNC, 5000, &again);
    SOON(again.times == 1);
    assert_int_equal(again.rc, 0);
}

/* ---- garbage ---- */

static void malformed_messages_are_dropped(void **unused)
{
    static const char *const bodies[] = { "",     "{",     "[]", "nul", "\xff", "{\"a\":1,\"a\":2}",
                                          "{}{}", "\"{}\"" };
    struct raw r = raw_open(ZMQ_DEALER, a.id, b.id, bus_req_port(b.bus));
    struct wire_header h = { .version = WIRE_VERSION, .type = BUS_TREE };
    unsigned before = log_lines("dropped a message from A");
    uint8_t header[WIRE_HEADER], wrong[WIRE_HEADER];
    uint64_t began = now_ms();
    char deep[10000];

    (void)unused;
    trust(&b, &a);
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    wire_encode(&h, header);
    for (size_t n = 0; n < sizeof bodies / sizeof *bodies; n++)
        raw_send(&r, header, sizeof header, bodies[n]);
    raw_send(&r, header, sizeof header, deep);
    for (size_t n = 0; n < sizeof header; n++)
        raw_send(&r, header, n, "{}");
    memcpy(wrong, header, sizeof header);
    wrong[3] = 99;
    raw_send(&r, wrong, sizeof wrong, "{}");
    raw_send(&r, header, sizeof header, NULL);
    raw_send(&r, "", 0, NULL);
    for (int n = 0; n < 9; n++)
        zmq_send(r.socket, "x", 1, ZMQ_SNDMORE);
    zmq_send(r.socket, "x", 1, 0);
    raw_send(&r, header, sizeof header, "{}"); /* and one good question behind them all */
    SOON(b.asked == 1);
    assert_told_once("dropped a message from A", before, began);
    raw_close(&r);
}

static int tcp_to(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Sends all of it, or until the other side has enough; runs the loop meanwhile. */
static void throw_at(uint16_t port, const uint8_t *data, size_t n)
{
    int fd = tcp_to(port);
    uint64_t began = now_ms();
    size_t sent = 0;
    ssize_t got;
    char sink[4096];

    while (sent < n && now_ms() - began < 10000) {
        ssize_t put = send(fd, data + sent, n - sent, MSG_NOSIGNAL);

        if (put < 0 && errno != EAGAIN)
            break;
        sent += put > 0 ? (size_t)put : 0;
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    while ((got = recv(fd, sink, sizeof sink, 0)) > 0)
        ;
    close(fd);
}

static void random_bytes_do_no_harm(void **unused)
{
    static uint8_t junk[1 << 20];
    /* A good greeting of ZMTP 3 with CURVE, so that the junk behind it gets further. */
    static const uint8_t greeting[64] = { 0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                          0x7f, 3, 0, 'C', 'U', 'R', 'V', 'E' };
    uint16_t ports[] = { bus_req_port(b.bus), bus_pub_port(b.bus) };
    struct outcome o = { 0 };
    unsigned seed = 1, before = log_lines("before it had shown a key");
    uint64_t began = now_ms();
    long rss = 0;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    for (size_t n = 0; n < sizeof junk; n++)
        junk[n] = (uint8_t)rand_r(&seed);
    for (int round = 0; round < 40; round++) {
        if (round == 4)
            rss = rss_kb();
        memcpy(junk, greeting, round % 2 ? sizeof greeting : 0);
        junk[0] = round % 2 ? 0xff : (uint8_t)round;
        throw_at(ports[round / 2 % 2], junk, sizeof junk);
    }
    throw_at(ports[0], greeting, 20); /* truncated */
    ask(&a, &b, BUS_SYNC, 10000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
    SOON(log_lines("before it had shown a key") > before);
    assert_told_once("before it had shown a key", before, began);
    assert_true(rss_kb() - rss < 8 * 1024);
    publish_until_heard(&b, &a);
}

/* Peers and strangers come and go: nothing is left behind. */
static void descriptors_do_not_leak(void **unused)
{
    int before = open_descriptors();

    (void)unused;
    for (int round = 0; round < 20; round++) {
        struct outcome o = { 0 };

        trust(&a, &b);
        trust(&b, &a);
        hello(&a, &b, BUS_HELLO, 1, &o);
        SOON(o.times == 1);
        bus_disallow(a.bus, "B");
        bus_disallow(b.bus, "A");
    }
    SOON(open_descriptors() <= before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(a_stranger_may_only_say_hello),
        T(a_wrong_server_key_is_noticed),
        T(strangers_have_a_rate),
        T(a_stranger_cannot_subscribe),
        T(strangers_have_no_room_without_end),
        T(nobody_hears_what_is_for_another),
        T(who_is_put_out_is_out),
        T(malformed_messages_are_dropped),
        T(random_bytes_do_no_harm),
        T(descriptors_do_not_leak),
    };

    if (!netns_enter())
        return 77;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bus_strangers", tests, NULL, NULL);
}
