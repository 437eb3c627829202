/*
 * test_bus.c - members: questions, publications, deadlines, death and return.
 */
#include "net/bus_private.h"
#include "tests/unit/bus_nodes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void a_question_is_answered(void **unused)
{
    struct outcome o = { 0 }, refused = { 0 }, unknown = { 0 }, published = { 0 };

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    ask(&a, &b, BUS_SYNC, 5000, &o);
    assert_int_equal(o.times, 0);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.sum, 7);
    assert_string_equal(b.last_from, "A");
    assert_string_equal(b.last_key, a.id->curve_public);
    assert_int_equal(b.last_type, BUS_SYNC);

    ask(&a, &b, BUS_PIPE, 5000, &refused);
    ask(&a, &b, (enum bus_type)999, 5000, &unknown);
    ask(&a, &b, BUS_HEARTBEAT, 5000, &published);
    SOON(refused.times == 1 && unknown.times == 1 && published.times == 1);
    assert_int_equal(refused.rc, -EBUSY);
    assert_string_equal(refused.text, "the name p is taken");
    assert_int_equal(unknown.rc, -ENOSYS);
    assert_int_equal(published.rc, -ENOSYS);
    assert_int_equal(b.asked, 2);
}

static void what_is_published_is_heard(void **unused)
{
    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    publish_until_heard(&a, &b);
    assert_int_equal(b.missed, 1); /* the first that it heard */
    assert_string_equal(b.last_from, "A");
    assert_int_equal(bus_publish(a.bus, BUS_LIVE, number(0)), 0);
    SOON(b.last_type == BUS_LIVE);
    assert_int_equal(b.missed, 1);
    assert_int_equal(a.published, 0);
}

static void what_a_member_tells_arrives(void **unused)
{
    struct outcome o = { 0 };
    size_t n = 1024 * 1024;
    uint8_t *bytes = malloc(n);

    (void)unused;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, 3), -EHOSTUNREACH);
    trust(&a, &b);
    trust(&b, &a);
    SOON(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, 0) == 0); /* once it is connected */
    assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, n), 0);
    assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, BUS_BODY_MAX + 1), -EMSGSIZE);
    SOON(b.told_bytes == n);
    assert_false(b.disorder);
    assert_string_equal(b.last_from, "A");
    assert_int_equal(b.last_type, BUS_CONSENSUS);

    bus_disallow(b.bus, "A");
    bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, n); /* of no member any more */
    ask(&a, &b, BUS_SYNC, 5000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, -EPERM);
    assert_int_equal(b.told_bytes, n);
    free(bytes);
}

static void a_farewell_is_heard(void **unused)
{
    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    publish_until_heard(&a, &b);
    assert_int_equal(bus_publish(a.bus, BUS_LEAVE, NULL), 0);
    stop(&a);
    SOON(b.last_type == BUS_LEAVE);
}

static void bodies_have_a_limit(void **unused)
{
    size_t most = BUS_BODY_MAX - strlen("{\"x\":\"\"}");
    char *big = malloc(most + 2);
    struct outcome o = { 0 };

    (void)unused;
    memset(big, 'x', most + 1);
    big[most + 1] = '\0';
    trust(&a, &b);
    trust(&b, &a);
    assert_int_equal(
        bus_ask(a.bus, "B", BUS_TREE, json_pack("{s:s}", "x", big), 60000, on_done, &o, NULL),
        -EMSGSIZE);
    assert_int_equal(bus_publish(a.bus, BUS_LIVE, json_pack("{s:s}", "x", big)), -EMSGSIZE);
    assert_int_equal(bus_publish(a.bus, BUS_LIVE, json_array()), -EINVAL);
    big[most] = '\0';
    assert_int_equal(
        bus_ask(a.bus, "B", BUS_TREE, json_pack("{s:s}", "x", big), 60000, on_done, &o, NULL), 0);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);

    /* An answer beyond it becomes a refusal. */
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &o);
    SOON(b.parked);
    big[most] = 'x';
    bus_answer(b.parked, json_pack("{s:s}", "x", big));
    SOON(o.times == 2);
    assert_int_equal(o.rc, -EMSGSIZE);
    free(big);
}

#define BURST 10000

static void bursts_of_questions_pass_both_ways(void **unused)
{
    struct outcome from_a = { 0 }, from_b = { 0 };

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    for (int n = 0; n < BURST; n++) {
        assert_int_equal(bus_ask(a.bus, "B", BUS_PROBE, number(n), 60000, on_done, &from_a, NULL),
                         0);
        assert_int_equal(bus_ask(b.bus, "A", BUS_PROBE, number(n), 60000, on_done, &from_b, NULL),
                         0);
    }
    SOON(from_a.times == BURST && from_b.times == BURST);
    assert_int_equal(from_a.good, BURST);
    assert_int_equal(from_b.good, BURST);
    assert_int_equal(from_a.sum, (json_int_t)BURST * (BURST - 1) / 2);
    assert_int_equal(a.asked, BURST);
    assert_int_equal(b.asked, BURST);
}

static void bursts_of_publications_pass_both_ways(void **unused)
{
    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    publish_until_heard(&a, &b);
    publish_until_heard(&b, &a);
    a.published = b.published = a.missed = b.missed = 0;
    a.disorder = b.disorder = false;
    for (int n = 0; n < BURST; n++) {
        assert_int_equal(bus_publish(a.bus, BUS_LIVE, number(n)), 0);
        assert_int_equal(bus_publish(b.bus, BUS_LIVE, number(n)), 0);
    }
    SOON(a.published == BURST && b.published == BURST);
    assert_int_equal(a.missed + b.missed, 0);
    assert_false(a.disorder || b.disorder);
}

/* ---- time, death and return ---- */

static void an_unanswered_question_ends_at_its_deadline(void **unused)
{
    struct outcome o = { 0 };
    uint64_t began;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &o);
    SOON(b.parked);
    bus_answer(b.parked, NULL);
    SOON(o.times == 1);
    began = now_ms();
    ask(&a, &b, BUS_TREE, 300, &o);
    SOON(o.times == 2);
    assert_in_range(now_ms() - began, 299, 1500);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    assert_non_null(strstr(o.text, "B did not answer"));
    bus_answer(b.parked, NULL); /* too late: nobody is told */
    assert_false(UNTIL(100, o.times > 2));
}

static void a_cancelled_question_is_not_answered(void **unused)
{
    struct outcome o = { 0 }, other = { 0 };
    struct bus_call *call;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    assert_int_equal(bus_ask(a.bus, "B", BUS_TREE, NULL, 5000, on_done, &o, &call), 0);
    bus_cancel(call); /* before it was sent */
    b.park = true;
    assert_int_equal(bus_ask(a.bus, "B", BUS_TREE, NULL, 5000, on_done, &o, &call), 0);
    SOON(b.parked);
    bus_cancel(call);
    bus_answer(b.parked, NULL);
    b.park = false;
    ask(&a, &b, BUS_SYNC, 5000, &other);
    SOON(other.times == 1);
    assert_false(UNTIL(150, o.times > 0));
    assert_int_equal(b.asked, 2);
}

static void nobody_is_asked_who_is_not_connected(void **unused)
{
    struct peer_info p = info_of(&b);
    struct outcome o = { 0 };

    (void)unused;
    assert_int_equal(bus_ask(a.bus, "B", BUS_SYNC, NULL, 100, on_done, &o, NULL), -EHOSTUNREACH);
    assert_int_equal(bus_connect(a.bus, &p, &err), -EPERM);
    assert_int_equal(bus_allow(a.bus, "B", "short"), -EINVAL);
    assert_int_equal(bus_allow(a.bus, "../B", p.curve_public), -EINVAL);
    assert_int_equal(bus_allow(a.bus, "B", p.curve_public), 0);
    assert_int_equal(bus_allow(a.bus, "B", p.curve_public), 0);
    assert_int_equal(bus_allow(a.bus, "C", p.curve_public), -EEXIST);
    bus_disconnect(a.bus, "nobody");
    bus_disallow(a.bus, "nobody");
    assert_int_equal(o.times, 0);
}

/* The peer is not there; a restarted one at the same place does not get what was asked before. */
static void a_question_to_the_dead_is_not_delivered_to_the_living(void **unused)
{
    struct outcome o = { 0 }, later = { 0 };
    uint16_t port = bus_req_port(b.bus);
    struct peer_info p = info_of(&b);
    uint64_t began;

    (void)unused;
    stop(&b);
    assert_int_equal(bus_allow(a.bus, "B", p.curve_public), 0);
    p.pub_port = (uint16_t)(port + 1);
    assert_int_equal(bus_connect(a.bus, &p, &err), 0);
    began = now_ms();
    ask(&a, &b, BUS_TREE, 300, &o);
    SOON(o.times == 1);
    assert_in_range(now_ms() - began, 299, 1500);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    assert_non_null(strstr(o.text, "B cannot be reached"));

    start_at(&b, loop, port);
    assert_int_equal(bus_allow(b.bus, "A", a.id->curve_public), 0);
    ask(&a, &b, BUS_SYNC, 10000, &later);
    SOON(later.times == 1);
    assert_int_equal(later.rc, 0);
    assert_int_equal(b.asked, 1);
    assert_int_equal(b.last_type, BUS_SYNC);
}

/* The peer is stopped while the question is under way, and goes on after the deadline. */
static void a_question_that_comes_too_late_is_not_carried_out(void **unused)
{
    struct outcome o = { 0 }, later = { 0 };
    struct loop *other;
    struct node c;

    (void)unused;
    assert_int_equal(loop_create(&other), 0);
    load(&c, "C");
    start_at(&c, other, 0);
    trust(&a, &c);
    assert_int_equal(bus_allow(c.bus, "A", a.id->curve_public), 0);
    ask(&a, &c, BUS_SYNC, 20000, &o);
    while (o.times == 0) {
        uv_run(loop_uv(other), UV_RUN_NOWAIT);
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(o.rc, 0);
    assert_int_equal(c.asked, 1);

    ask(&a, &c, BUS_TREE, 200, &o);
    SOON(o.times == 2);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    ask(&a, &c, BUS_SYNC, 20000, &later);
    while (later.times == 0) {
        uv_run(loop_uv(other), UV_RUN_NOWAIT);
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(later.rc, 0);
    assert_int_equal(c.asked, 2);
    assert_int_equal(c.last_type, BUS_SYNC);
    stop(&c);
    identity_destroy(c.id);
    loop_destroy(other);
}

static void a_broken_connection_ends_its_questions_at_once(void **unused)
{
    struct outcome o = { 0 }, later = { 0 };
    uint16_t port = bus_req_port(b.bus);
    uint64_t began;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 600000, &o);
    SOON(b.parked);
    began = now_ms();
    stop(&b);
    bus_refuse(b.parked, -EIO, "nobody hears this");
    SOON(o.times == 1);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    assert_true(now_ms() - began < 2000);

    /* It comes back: what is asked meanwhile is answered within a second or so. */
    ask(&a, &b, BUS_SYNC, 10000, &later);
    start_at(&b, loop, port);
    assert_int_equal(bus_allow(b.bus, "A", a.id->curve_public), 0);
    b.park = false;
    began = now_ms();
    SOON(later.times == 1);
    assert_int_equal(later.rc, 0);
    assert_true(now_ms() - began < 3000);
}

static void a_peer_is_followed_to_its_new_place(void **unused)
{
    struct outcome o = { 0 }, later = { 0 };
    struct peer_info p;

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 600000, &o);
    SOON(b.parked);
    bus_refuse(b.parked, -EIO, "moved");
    SOON(o.times == 1);
    ask(&a, &b, BUS_TREE, 600000, &o);
    stop(&b);
    b.park = false;
    start_at(&b, loop, 0);
    b.id->incarnation++;
    p = info_of(&b);
    assert_int_equal(bus_connect(a.bus, &p, &err), 0);
    assert_int_equal(o.times, 1);
    SOON(o.times == 2);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    trust(&b, &a);
    ask(&a, &b, BUS_SYNC, 10000, &later);
    SOON(later.times == 1);
    assert_int_equal(later.rc, 0);
    publish_until_heard(&b, &a);
}

/* The idle handle is what keeps the loop from sleeping. */
static void a_peer_that_is_gone_lets_the_loop_sleep(void **unused)
{
    struct outcome o = { 0 };

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &o);
    SOON(b.parked);
    stop(&b);
    SOON(o.times == 1);
    UNTIL(50, false);
    assert_false(uv_is_active((uv_handle_t *)&a.bus->idle));
    bus_answer(b.parked, NULL);
}

static void destroying_ends_everything(void **unused)
{
    struct outcome o = { 0 };

    (void)unused;
    trust(&a, &b);
    trust(&b, &a);
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &o);
    SOON(b.parked);
    ask(&a, &b, BUS_TREE, 60000, &o);
    stop(&a);
    assert_int_equal(o.times, 2);
    assert_int_equal(o.rc, -ECANCELED);
    stop(&b);
    bus_answer(b.parked, number(1));
    bus_destroy(NULL);
}

static void a_port_in_use_is_refused(void **unused)
{
    struct bus_options opt = { .listen = "127.0.0.1", .port = bus_req_port(b.bus) };
    struct bus *bus;

    (void)unused;
    assert_int_equal(bus_create(&bus, loop, a.id, &opt, &ops, &a, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another program"));
    opt.listen = "no.such.address";
    assert_true(bus_create(&bus, loop, a.id, &opt, &ops, &a, &err) < 0);
    assert_non_null(strstr(err.text, "no.such.address"));
}

static void all_addresses_can_be_listened_at(void **unused)
{
    struct bus_options opt = { 0 };
    struct outcome o = { 0 }, v6 = { 0 };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    bool has_v6 = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;

    (void)unused;
    close(fd);
    stop(&b);
    assert_int_equal(bus_create(&b.bus, loop, b.id, &opt, &ops, &b, &err), 0);
    assert_int_equal(bus_ask_stranger(a.bus, "127.0.0.1", bus_req_port(b.bus), b.id->curve_public,
                                      BUS_HELLO, NULL, 5000, on_done, &o, NULL),
                     0);
    if (has_v6)
        assert_int_equal(bus_ask_stranger(a.bus, "::1", bus_req_port(b.bus), b.id->curve_public,
                                          BUS_HELLO, NULL, 5000, on_done, &v6, NULL),
                         0);
    SOON(o.times == 1 && (!has_v6 || v6.times == 1));
    assert_int_equal(o.rc, 0);
    assert_int_equal(v6.rc, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(a_question_is_answered),
        T(what_is_published_is_heard),
        T(what_a_member_tells_arrives),
        T(a_farewell_is_heard),
        T(bodies_have_a_limit),
        T(bursts_of_questions_pass_both_ways),
        T(bursts_of_publications_pass_both_ways),
        T(an_unanswered_question_ends_at_its_deadline),
        T(a_cancelled_question_is_not_answered),
        T(nobody_is_asked_who_is_not_connected),
        T(a_question_to_the_dead_is_not_delivered_to_the_living),
        T(a_question_that_comes_too_late_is_not_carried_out),
        T(a_broken_connection_ends_its_questions_at_once),
        T(a_peer_is_followed_to_its_new_place),
        T(a_peer_that_is_gone_lets_the_loop_sleep),
        T(destroying_ends_everything),
        T(a_port_in_use_is_refused),
        T(all_addresses_can_be_listened_at),
    };

    if (!netns_enter())
        return 77;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
