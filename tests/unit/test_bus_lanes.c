/*
 * test_bus_lanes.c - lanes: they are made, used, broken, refused, and done without.
 */
#include "tests/unit/bus_lanes.h"

#include <stdlib.h>
#include <unistd.h>

#define FRAME(text) (text), sizeof(text) - 1

static unsigned accepted(const struct node *n)
{
    const struct lane *l;
    unsigned count = 0;

    DL_FOREACH(n->bus->lanes, l)
    count += !l->remote;
    return count;
}

static unsigned at_router; /* messages that did not come over a lane */

static bool take_and_count(struct bsock *router)
{
    bool took = ask_take(router);

    at_router += took;
    return took;
}

static void questions_go_over_the_lane(void **unused)
{
    struct outcome o = { 0 }, refused = { 0 };

    (void)unused;
    connect_both();
    at_router = 0;
    b.bus->router->take = take_and_count;
    ask(&a, &b, BUS_SYNC, 5000, &o);
    ask(&a, &b, BUS_PIPE, 5000, &refused);
    SOON(o.times == 1 && refused.times == 1);
    assert_int_equal(at_router, 0);
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.sum, 7);
    assert_int_equal(refused.rc, -EBUSY);
    assert_string_equal(b.last_from, "A");
    assert_string_equal(b.last_key, a.id->curve_public);
    assert_int_equal(accepted(&a), 1);
    assert_int_equal(accepted(&b), 1);
}

static void all_that_is_told_arrives_in_order(void **unused)
{
    size_t n = BUS_BODY_MAX, sent = 0;
    uint8_t *bytes = malloc(n);
    struct outcome o = { 0 };

    (void)unused;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)i;
    connect_both();
    for (size_t len = 0; len <= n; len = len * 3 + 1, sent += len > n ? 0 : len)
        assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, len), 0);
    for (int i = 0; i < 1000; i++)
        ask(i % 2 ? &a : &b, i % 2 ? &b : &a, BUS_SYNC, 20000, &o);
    SOON(o.times == 1000);
    assert_int_equal(o.good, 1000);
    assert_int_equal(b.told_bytes, sent);
    assert_false(b.disorder);
    free(bytes);
}

/* Tells B and C, in that order; whose goes out first? */
static const char *tell_both(void)
{
    const struct lane *l;

    assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, "", 1), 0);
    assert_int_equal(bus_tell(a.bus, "C", BUS_CONSENSUS, "", 1), 0);
    for (l = a.bus->dirty_lanes; l && !l->remote; l = l->next_dirty)
        ;
    return l ? l->remote->info.id : "nobody";
}

static void who_waits_for_an_answer_is_told_first(void **unused)
{
    struct outcome o = { 0 };
    struct node c;

    (void)unused;
    load(&c, "C");
    start_at(&c, loop, 0);
    connect_both();
    trust(&a, &c);
    trust(&c, &a);
    SOON(lane_to(&a, "C") && lane_to(&c, "A"));
    assert_string_equal(tell_both(), "B");
    SOON(b.told == 1 && c.told == 1);
    a.park = true;
    ask(&c, &a, BUS_SYNC, 20000, &o);
    SOON(a.parked);
    assert_string_equal(tell_both(), "C");
    SOON(b.told == 2 && c.told == 2);
    bus_answer(a.parked, number(1));
    SOON(o.times == 1);
    assert_string_equal(tell_both(), "B");
    SOON(b.told == 3 && c.told == 3);
    stop(&c);
    identity_destroy(c.id);
}

/* Nothing is taken that would have to wait behind more than 32 MiB. */
static void a_lane_that_is_full_says_so(void **unused)
{
    uint8_t *bytes = calloc(1, BUS_BODY_MAX);
    unsigned taken = 0;

    (void)unused;
    assert_non_null(bytes);
    connect_both();
    b.disorder = true; /* not what is looked at */
    while (bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, BUS_BODY_MAX) == 0)
        taken++;
    assert_in_range(taken, 7, 8);
    SOON(b.told == taken);
    assert_int_equal(bus_tell(a.bus, "B", BUS_CONSENSUS, bytes, 3), 0);
    SOON(b.told == taken + 1);
    free(bytes);
}

static void a_broken_lane_ends_its_questions_and_is_made_anew(void **unused)
{
    struct outcome o = { 0 }, again = { 0 };
    uint64_t first;

    (void)unused;
    connect_both();
    first = lane_to(&a, "B")->number;
    b.park = true;
    ask(&a, &b, BUS_TREE, 60000, &o);
    SOON(b.parked);
    b.park = false;
    shutdown(lane_to(&a, "B")->fd, SHUT_RDWR);
    SOON(o.times == 1);
    assert_int_equal(o.rc, -EHOSTUNREACH);
    bus_answer(b.parked, number(1)); /* to nobody */
    ask(&a, &b, BUS_SYNC, 20000, &again);
    SOON(again.times == 1);
    assert_int_equal(again.rc, 0);
    SOON(lane_to(&a, "B") && lane_to(&a, "B")->number != first);
    assert_int_equal(o.times, 1);
}

static void who_is_put_out_is_refused_and_loses_its_lane(void **unused)
{
    struct outcome o = { 0 };
    unsigned told;

    (void)unused;
    connect_both();
    bus_disallow(b.bus, "A");
    told = b.told;
    bus_tell(a.bus, "B", BUS_CONSENSUS, "abc", 3);
    ask(&a, &b, BUS_SYNC, 5000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, -EPERM);
    assert_int_equal(b.told, told);
    SOON(accepted(&b) == 0 && !lane_to(&a, "B"));
}

static void without_a_lane_all_goes_as_before(void **unused)
{
    struct outcome o = { 0 };

    (void)unused;
    b.bus->lane_port = 1; /* nobody listens there */
    trust(&a, &b);
    trust(&b, &a);
    for (int i = 0; i < 20; i++)
        ask(&a, &b, BUS_SYNC, 20000, &o);
    SOON(o.times == 20);
    assert_int_equal(o.good, 20);
    SOON(lane_to(&b, "A"));
    assert_null(lane_to(&a, "B"));
}

/* ---- who has no right to it ---- */

static bool closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void strangers_are_closed_out(void **unused)
{
    char ticket[LANE_TICKET_BYTES + 1];
    int fd, members;

    (void)unused;
    connect_both();
    members = (int)accepted(&b);
    memset(ticket, 'x', sizeof ticket);
    fd = dial();
    assert_int_equal(send(fd, ticket, LANE_TICKET_BYTES, 0), LANE_TICKET_BYTES);
    SOON(closed(fd));
    close(fd);

    fd = dial(); /* a part of one, and away */
    assert_int_equal(send(fd, ticket, 5, 0), 5);
    SOON((int)accepted(&b) == members + 1);
    close(fd);
    SOON((int)accepted(&b) == members);

    strcpy(ticket, auth_by_id(b.bus, "A")->ticket); /* overheard: it does not help */
    fd = dial();
    assert_int_equal(send(fd, ticket, LANE_TICKET_BYTES, 0), LANE_TICKET_BYTES);
    assert_int_equal(send(fd, "but no TLS behind it", 20, 0), 20);
    SOON(closed(fd));
    close(fd);
    assert_int_equal(accepted(&b), members);
    assert_non_null(lane_to(&a, "B"));
}

/* With the ticket, and TLS, but another key. */
static void another_key_is_closed_out(void **unused)
{
    struct tls_context *context;
    struct outcome o = { 0 };
    struct tls *tls;
    struct node c;
    char buffer[64];
    int fd, rc;

    (void)unused;
    connect_both();
    load(&c, "C");
    assert_int_equal(tls_context_create(&context, c.id, 4, &err), 0);
    fd = dial();
    assert_int_equal(send(fd, auth_by_id(b.bus, "A")->ticket, LANE_TICKET_BYTES, 0),
                     LANE_TICKET_BYTES);
    assert_int_equal(tls_create(&tls, context, fd, false, anyone, NULL), 0);
    SOON((rc = tls_handshake(tls, &err)) != -EAGAIN);
    assert_int_equal(rc, 0);
    assert_int_equal(tls_flush(tls), 0);
    SOON((rc = (int)tls_read(tls, buffer, sizeof buffer)) != -EAGAIN);
    assert_true(rc < 0); /* an alert, and no end as of one that was let in */
    assert_int_equal(accepted(&b), 1);
    ask(&a, &b, BUS_SYNC, 5000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
    tls_destroy(tls);
    tls_context_destroy(context);
    close(fd);
    identity_destroy(c.id);
}

static void connections_without_a_ticket_give_way(void **unused)
{
    int fds[100], open = 0;

    (void)unused;
    connect_both();
    for (int i = 0; i < 100; i++) {
        fds[i] = dial();
        UNTIL(5, false);
    }
    SOON(accepted(&b) == 65); /* 64 of them, and that of A */
    for (int i = 0; i < 100; i++)
        open += !closed(fds[i]);
    assert_int_equal(open, 64);
    assert_false(closed(fds[99]));
    assert_non_null(lane_to(&a, "B"));
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    SOON(accepted(&b) == 1);
}

/* ---- a member that does not keep to the protocol ---- */

static const struct {
    const char *bytes;
    size_t n;
} bad[] = {
    { FRAME("\0\0\0\0") },                           /* no header */
    { FRAME("\xff\xff\xff\xff") },                   /* too long */
    { FRAME("\0\0\0\x18XXXXXXXXXXXXXXXXXXXXXXXX") }, /* no magic */
    { FRAME("\0\0\0\x18"
            "1OS\xee\0\x06\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0") }, /* version */
};

static void bad_frames_end_the_lane_only(void **unused)
{
    struct outcome o = { 0 };

    (void)unused;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t number;

        if (i == 0)
            connect_both();
        SOON(lane_to(&a, "B"));
        number = lane_to(&a, "B")->number;
        obuf_put(&lane_to(&a, "B")->out, bad[i].bytes, bad[i].n);
        lane_touch(lane_to(&a, "B"));
        SOON(!lane_to(&a, "B") || lane_to(&a, "B")->number != number);
    }
    assert_true(log_lines("dropped a message from A") > 0);
    ask(&a, &b, BUS_SYNC, 20000, &o);
    SOON(o.times == 1);
    assert_int_equal(o.rc, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(questions_go_over_the_lane),
        T(all_that_is_told_arrives_in_order),
        T(who_waits_for_an_answer_is_told_first),
        T(a_lane_that_is_full_says_so),
        T(a_broken_lane_ends_its_questions_and_is_made_anew),
        T(who_is_put_out_is_refused_and_loses_its_lane),
        T(without_a_lane_all_goes_as_before),
        T(strangers_are_closed_out),
        T(another_key_is_closed_out),
        T(connections_without_a_ticket_give_way),
        T(bad_frames_end_the_lane_only),
    };

    if (!netns_enter())
        return 77;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
