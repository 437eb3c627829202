/*
 * test_beacon.c - the datagram, and beacons heard in a network namespace of this process.
 */
#include "net/beacon_private.h"
#include "base/buf.h"
#include "base/log.h"
#include "tests/unit/netns.h"
#include "tests/unit/tempdir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char state[256], other_state[256];
static struct identity *a, *b, *foreign;
static struct oerr err;

static struct identity *load(const char *folder, const char *id)
{
    struct identity_options opt = { .state = folder, .id = id };
    struct identity *i;

    if (identity_load(&i, &opt, &err) < 0)
        fail_msg("%s", err.text);
    return i;
}

static struct peer_info info_of(const struct identity *i, uint16_t port)
{
    struct peer_info p = { .incarnation = i->incarnation,
                           .req_port = port,
                           .pub_port = (uint16_t)(port + 1),
                           .link_port = (uint16_t)(port + 2) };

    strcpy(p.id, i->id);
    strcpy(p.cluster, i->cluster_name);
    strcpy(p.curve_public, i->curve_public);
    strcpy(p.fingerprint, i->fingerprint);
    return p;
}

static int setup(void **unused)
{
    (void)unused;
    tempdir_make(state);
    tempdir_make(other_state);
    a = load(state, "A");
    b = load(state, "B");
    foreign = load(other_state, "F");
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    identity_destroy(a);
    identity_destroy(b);
    identity_destroy(foreign);
    tempdir_remove(state);
    tempdir_remove(other_state);
    return 0;
}

static void it_survives_the_way(void **unused)
{
    struct peer_info in = info_of(a, 4000), out;
    uint8_t data[BEACON_MAX];
    int n = beacon_encode(a, &in, data);
    bool ours;

    (void)unused;
    assert_in_range(n, 1, BEACON_MAX);
    assert_int_equal(beacon_decode(b, data, (size_t)n, &out, &ours), 0);
    assert_true(ours);
    assert_memory_equal(&in, &out, sizeof in);
    assert_int_equal(beacon_decode(foreign, data, (size_t)n, &out, &ours), 0);
    assert_false(ours);
    memset(in.id, 'x', ID_MAX - 1);
    n = beacon_encode(a, &in, data);
    assert_in_range(n, 1, BEACON_MAX);
    assert_int_equal(beacon_decode(b, data, (size_t)n, &out, &ours), 0);
    assert_string_equal(in.id, out.id);
}

/* The layout is a promise to other versions: where each field begins. */
static void the_bytes_are_these(void **unused)
{
    struct peer_info in = info_of(a, 0x1234);
    uint8_t data[BEACON_MAX];

    (void)unused;
    in.incarnation = 0x0102030405060708;
    assert_int_equal(beacon_encode(a, &in, data), 4 + 1 + 2 + 8 + 8 + 32 + 32 + 6 + 32);
    assert_memory_equal(data, "1OSb\1\1A", 7);
    assert_memory_equal(data + 15, "\1\2\3\4\5\6\7\10", 8);
    assert_memory_equal(data + 87, "\x12\x34\x12\x35\x12\x36", 6);
}

static void every_cut_and_every_flipped_bit_is_noticed(void **unused)
{
    struct peer_info in = info_of(a, 4000), out;
    uint8_t data[BEACON_MAX + 1] = { 0 };
    size_t n = (size_t)beacon_encode(a, &in, data);
    bool ours;

    (void)unused;
    for (size_t cut = 0; cut <= BEACON_MAX; cut++)
        if (cut != n) {
            assert_int_equal(beacon_decode(a, data, cut, &out, &ours), -EPROTO);
            assert_false(ours);
        }
    for (size_t bit = 0; bit < n * 8; bit++) {
        int rc;

        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        rc = beacon_decode(a, data, n, &out, &ours);
        assert_false(ours);
        if (bit / 8 == 4)
            assert_int_equal(rc, -EPROTONOSUPPORT);
        else if (bit / 8 < 4)
            assert_int_equal(rc, -EPROTO);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_kept_beacon_is_good_only_byte_for_byte(void **unused)
{
    struct peer_info in = info_of(a, 4000), first, out;
    static struct beacon_kept kept;
    uint8_t data[BEACON_MAX];
    size_t n = (size_t)beacon_encode(a, &in, data);
    bool ours;

    (void)unused;
    assert_int_equal(beacon_decode_kept(&kept, b, data, n, &first, &ours), 0);
    assert_true(ours);
    for (size_t bit = 0; bit < n * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        beacon_decode_kept(&kept, b, data, n, &out, &ours);
        assert_false(ours);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(beacon_decode_kept(&kept, b, data, n, &out, &ours), 0);
        assert_true(ours);
        assert_memory_equal(&first, &out, sizeof out);
    }
    for (size_t cut = 0; cut <= BEACON_MAX; cut++)
        assert_int_equal(beacon_decode_kept(&kept, b, data, cut, &out, &ours),
                         cut == n ? 0 : -EPROTO);
}

static void a_kept_beacon_is_forgotten_with_the_key(void **unused)
{
    struct peer_info in = info_of(a, 4000), out;
    static struct beacon_kept kept;
    uint8_t data[BEACON_MAX], own[CLUSTER_KEY];
    size_t n = (size_t)beacon_encode(a, &in, data);
    bool ours;

    (void)unused;
    memcpy(own, b->cluster_key, sizeof own);
    beacon_decode_kept(&kept, b, data, n, &out, &ours);
    assert_true(ours);
    assert_int_equal(identity_set_cluster_key(b, foreign->cluster_key, &err), 0);
    assert_int_equal(beacon_decode_kept(&kept, b, data, n, &out, &ours), 0);
    assert_false(ours);
    assert_int_equal(identity_set_cluster_key(b, own, &err), 0);
    assert_int_equal(beacon_decode_kept(&kept, b, data, n, &out, &ours), 0);
    assert_true(ours);
}

/* What is not ours is never kept, however often it comes; a key that makes it ours is seen. */
static void a_foreign_beacon_is_not_kept(void **unused)
{
    struct peer_info in = info_of(foreign, 4000), out;
    static struct beacon_kept kept, empty;
    uint8_t data[BEACON_MAX];
    size_t n = (size_t)beacon_encode(foreign, &in, data);
    bool ours;

    (void)unused;
    for (int times = 0; times < 2; times++) {
        assert_int_equal(beacon_decode_kept(&kept, b, data, n, &out, &ours), 0);
        assert_false(ours);
    }
    assert_memory_equal(&kept, &empty, sizeof kept);
}

static void what_is_not_whole_is_not_sent(void **unused)
{
    struct peer_info in = info_of(a, 4000);
    struct beacon *beacon = NULL;
    struct beacon_ops ops = { NULL };
    uint8_t data[BEACON_MAX];
    struct loop *loop;

    (void)unused;
    in.curve_public[0] = '\0';
    assert_int_equal(beacon_encode(a, &in, data), -EINVAL);
    assert_int_equal(loop_create(&loop), 0);
    assert_int_equal(beacon_create(&beacon, loop, a, &in, NULL, 1, &ops, NULL, &err), -EINVAL);
    in = info_of(a, 4000);
    assert_int_equal(beacon_create(&beacon, loop, a, &in, "localhost", 1, &ops, NULL, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "localhost"));
    in.id[0] = '/';
    assert_int_equal(beacon_encode(a, &in, data), -EINVAL);
    beacon_destroy(NULL);
    loop_destroy(loop);
}

/* A daemon's ear: counts what it heard and stops the loop when it has heard enough. */
struct ear {
    struct loop *loop;
    struct beacon *beacon;
    unsigned ours, foreign, enough;
    char last[ID_MAX], address[64]; /* of any; of ours */
    bool silent;                    /* ours are not reached */
    bool moved;                     /* to another address than the last */
};

static void on_seen(void *arg, const struct peer_info *from, bool ours)
{
    struct ear *ear = arg;

    ours ? ear->ours++ : ear->foreign++;
    strcpy(ear->last, from->id);
    if (ours) {
        ear->moved = ear->moved || strcmp(ear->address, from->address) != 0;
        strcpy(ear->address, from->address);
    }
    if (ear->enough && ear->ours + ear->foreign >= ear->enough)
        loop_stop(ear->loop);
}

static bool is_silent(void *arg, const char *id)
{
    (void)id;
    return ((struct ear *)arg)->silent;
}

static const struct beacon_ops ops = { .seen = on_seen, .silent = is_silent };

static void start(struct ear *ear, struct loop *loop, const struct identity *i, const char *listen)
{
    struct peer_info self = info_of(i, 4000);

    ear->loop = loop;
    if (beacon_create(&ear->beacon, loop, i, &self, listen, 0, &ops, ear, &err) < 0)
        fail_msg("%s", err.text);
}

static void on_timeout(uv_timer_t *t)
{
    loop_stop(t->data);
}

/* Runs until something stops the loop, or for so long. */
static void run_at_most(struct loop *loop, unsigned ms)
{
    uv_timer_t timer;

    uv_timer_init(loop_uv(loop), &timer);
    timer.data = loop;
    uv_timer_start(&timer, on_timeout, ms, 0);
    loop_run(loop);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

static void two_daemons_hear_each_other_on_loopback(void **unused)
{
    struct ear ear_a = { .enough = 1 }, ear_b = { 0 };
    struct loop *loop;
    uint64_t began = now_ms();

    (void)unused;
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, NULL);
    start(&ear_b, loop, b, NULL);
    run_at_most(loop, 5000);
    assert_true(now_ms() - began < 1000);
    assert_true(ear_a.ours >= 1);
    assert_string_equal(ear_a.last, "B");
    assert_string_equal(ear_a.address, "127.0.0.1");
    assert_int_equal(ear_a.foreign, 0);
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_b.beacon);
    loop_destroy(loop);
}

static void foreign_daemons_are_told_apart(void **unused)
{
    struct ear ear_a = { .enough = 2 }, ear_f = { 0 };
    struct loop *loop;

    (void)unused;
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, NULL);
    start(&ear_f, loop, foreign, NULL);
    run_at_most(loop, 5000);
    assert_int_equal(ear_a.ours, 0);
    assert_int_equal(ear_a.foreign, 2);
    assert_string_equal(ear_a.last, "F");
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_f.beacon);
    loop_destroy(loop);
}

static void send_from_outside(const void *data, size_t n, unsigned times)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(BEACON_PORT) };
    struct ip_mreqn by = { .imr_ifindex = (int)if_nametoindex("lo") };

    inet_pton(AF_INET, "239.79.83.1", &to.sin_addr);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by), 0);
    while (times--)
        sendto(fd, data, n, 0, (struct sockaddr *)&to, sizeof to);
    close(fd);
}

static void floods_are_bounded(void **unused)
{
    struct peer_info in = info_of(foreign, 4000);
    struct ear ear = { 0 };
    uint8_t data[BEACON_MAX], junk[1400];
    size_t n = (size_t)beacon_encode(foreign, &in, data), lines = 0;
    struct obuf log = { 0 };
    struct loop *loop;

    (void)unused;
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(loop_create(&loop), 0);
    start(&ear, loop, a, NULL);
    uv_run(loop_uv(loop), UV_RUN_ONCE); /* joins */
    for (int round = 0; round < 20; round++) {
        send_from_outside(data, n, 50);
        send_from_outside(junk, sizeof junk, 50);
        while (uv_run(loop_uv(loop), UV_RUN_NOWAIT) && ear.foreign == 0)
            ;
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    assert_in_range(ear.foreign, 1, 200); /* 64 at once and 64 a second */
    log_show(&log);
    for (const char *p = log.p; (p = strstr(p, "not a beacon")); p++)
        lines++;
    assert_int_equal(lines, 1);
    obuf_free(&log);
    beacon_destroy(ear.beacon);
    loop_destroy(loop);
}

/* Looks once and again, as one change is told by several messages, some a little later. */
static bool changed(int watch)
{
    bool any = false;

    for (int times = 0; times < 5; times++) {
        any = beacon_watch_changed(watch) || any;
        usleep(20000);
    }
    return any;
}

static void a_change_of_the_interfaces_is_told(void **unused)
{
    static const char *const changes[] = {
        "ip link add d0 type veth peer name e0",
        "ip link set d0 up",
        "ip addr add 10.98.0.1/24 dev d0",
        "ip addr del 10.98.0.1/24 dev d0",
        "ip link set d0 down",
        "ip link set d0 name d1",
        "ip link del d1",
    };
    int watch = beacon_watch_open();

    (void)unused;
    assert_true(watch >= 0);
    assert_false(beacon_watch_changed(watch));
    if (system("ip link add d0 type veth peer name e0 && ip link del d0") != 0)
        skip();
    changed(watch);
    for (size_t at = 0; at < sizeof changes / sizeof *changes; at++) {
        assert_int_equal(system(changes[at]), 0);
        assert_true(changed(watch));
        assert_false(changed(watch));
    }
    assert_true(beacon_watch_changed(-1)); /* what cannot be watched may have changed */
    close(watch);
}

/* More than the kernel keeps for us is a change as well, and the next one is told again. */
static void many_changes_are_not_lost(void **unused)
{
    int watch = beacon_watch_open();

    (void)unused;
    assert_true(watch >= 0);
    if (system("ip link add d0 type veth peer name e0 && ip link set d0 up") != 0)
        skip();
    assert_int_equal(system("for n in $(seq 200); do echo addr add 10.97.0.$n/32 dev d0; done |"
                            "ip -batch -"),
                     0);
    assert_true(changed(watch));
    assert_false(changed(watch));
    assert_int_equal(system("ip link del d0"), 0);
    assert_true(changed(watch));
    close(watch);
}

static bool make_ethernet(void)
{
    return system("ip link add v0 type veth peer name v1 && ip addr add 10.99.0.1/24 dev v0 && "
                  "ip link set v0 up && ip link set v1 up") == 0;
}

/* lo comes first by number, but the address that other machines could use is told first and kept.
 */
static void the_best_way_is_reported(void **unused)
{
    struct ear ear_a = { .enough = 3 }, ear_b = { 0 };
    struct loop *loop;

    (void)unused;
    if (!make_ethernet())
        skip();
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, NULL);
    start(&ear_b, loop, b, NULL);
    run_at_most(loop, 8000);
    assert_true(ear_a.ours >= 3);
    assert_string_equal(ear_a.address, "10.99.0.1");

    /* The interface goes: the way by loopback takes over. An interface comes: it is used. */
    assert_int_equal(system("ip link del v0"), 0);
    ear_a.ours = 0;
    ear_a.enough = 1;
    run_at_most(loop, 8000);
    assert_string_equal(ear_a.address, "127.0.0.1");
    assert_true(make_ethernet());
    while (strcmp(ear_a.address, "10.99.0.1") != 0 && ear_a.ours < 8) {
        ear_a.enough = ear_a.ours + 1;
        run_at_most(loop, 8000);
    }
    assert_string_equal(ear_a.address, "10.99.0.1");
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_b.beacon);
    loop_destroy(loop);
    assert_int_equal(system("ip link del v0"), 0);
}

/* Anybody may repeat a beacon from another address, and be the first: as long as nothing is reached
 * there, the others are tried. */
static void a_way_that_leads_nowhere_is_left(void **unused)
{
    struct ear ear_a = { .enough = 3 }, ear_b = { 0 };
    struct loop *loop;

    (void)unused;
    if (!make_ethernet())
        skip();
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, NULL);
    start(&ear_b, loop, b, NULL);
    run_at_most(loop, 8000);
    assert_string_equal(ear_a.address, "10.99.0.1");
    ear_a.moved = false;
    ear_a.enough = 6;
    run_at_most(loop, 8000);
    assert_false(ear_a.moved);
    ear_a.silent = true;
    while (!ear_a.moved && ear_a.ours < 12) {
        ear_a.enough = ear_a.ours + 1;
        run_at_most(loop, 8000);
    }
    assert_true(ear_a.moved);
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_b.beacon);
    loop_destroy(loop);
    assert_int_equal(system("ip link del v0"), 0);
}

/* Without IPv4 on the interface, its link-local IPv6 address is told with its scope. */
static void ipv6_carries_its_scope(void **unused)
{
    struct ear ear_a = { .enough = 1 }, ear_b = { 0 };
    struct loop *loop;
    uint64_t began = now_ms();

    (void)unused;
    if (system("ip link add v0 type veth peer name v1 && ip link set v0 addrgenmode none && "
               "ip link set v0 up && ip link set v1 up && "
               "ip addr add fe80::99/64 dev v0 nodad 2>/dev/null") != 0)
        skip();
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, NULL);
    start(&ear_b, loop, b, NULL);
    while (strcmp(ear_a.address, "fe80::99%v0") != 0 && now_ms() - began < 8000) {
        ear_a.enough = ear_a.ours + 1;
        run_at_most(loop, 2000);
    }
    assert_string_equal(ear_a.address, "fe80::99%v0");
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_b.beacon);
    loop_destroy(loop);
    assert_int_equal(system("ip link del v0"), 0);
}

static void listening_at_one_address_keeps_to_it(void **unused)
{
    struct ear ear_a = { 0 }, ear_b = { .enough = 2 }, ear_f = { .enough = 1 };
    struct loop *loop;

    (void)unused;
    if (!make_ethernet())
        skip();
    assert_int_equal(loop_create(&loop), 0);
    start(&ear_a, loop, a, "10.99.0.1");
    start(&ear_b, loop, b, NULL);
    start(&ear_f, loop, foreign, "127.0.0.1");
    run_at_most(loop, 8000);
    run_at_most(loop, 1500);
    assert_string_equal(ear_b.address, "10.99.0.1");
    assert_int_equal(ear_a.foreign, 0);
    assert_true(ear_b.ours > 0);
    assert_true(ear_f.foreign > 0);
    beacon_destroy(ear_a.beacon);
    beacon_destroy(ear_b.beacon);
    beacon_destroy(ear_f.beacon);
    loop_destroy(loop);
    assert_int_equal(system("ip link del v0"), 0);
}

static void a_port_in_use_is_refused(void **unused)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(BEACON_PORT) };
    struct peer_info self = info_of(a, 4000);
    struct beacon *beacon;
    struct loop *loop;

    (void)unused;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(loop_create(&loop), 0);
    assert_int_equal(beacon_create(&beacon, loop, a, &self, NULL, 0, &ops, NULL, &err),
                     -EADDRINUSE);
    assert_non_null(strstr(err.text, "7946"));
    close(fd);
    loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest form[] = {
        cmocka_unit_test(it_survives_the_way),
        cmocka_unit_test(the_bytes_are_these),
        cmocka_unit_test(every_cut_and_every_flipped_bit_is_noticed),
        cmocka_unit_test(a_kept_beacon_is_good_only_byte_for_byte),
        cmocka_unit_test(a_kept_beacon_is_forgotten_with_the_key),
        cmocka_unit_test(a_foreign_beacon_is_not_kept),
        cmocka_unit_test(what_is_not_whole_is_not_sent),
    };
    const struct CMUnitTest heard[] = {
        cmocka_unit_test(two_daemons_hear_each_other_on_loopback),
        cmocka_unit_test(foreign_daemons_are_told_apart),
        cmocka_unit_test(floods_are_bounded),
        cmocka_unit_test(a_change_of_the_interfaces_is_told),
        cmocka_unit_test(many_changes_are_not_lost),
        cmocka_unit_test(the_best_way_is_reported),
        cmocka_unit_test(a_way_that_leads_nowhere_is_left),
        cmocka_unit_test(ipv6_carries_its_scope),
        cmocka_unit_test(listening_at_one_address_keeps_to_it),
        cmocka_unit_test(a_port_in_use_is_refused),
    };
    bool own = netns_enter();
    int failed = cmocka_run_group_tests_name("beacon datagram", form, setup, teardown);

    if (!own)
        return failed ? failed : 77;
    return failed + cmocka_run_group_tests_name("beacons on the wire", heard, setup, teardown);
}
