/*
 * test_link_ends.c - whole links end and begin: destroyed, forgotten, idle, or with a peer that is
 * another one, or knows us late.
 */
#include "tests/unit/link_kit.h"
#include "net/link_private.h"

#include <errno.h>
#include <unistd.h>

static void kill_b(struct node *n)
{
    links_destroy(n->links);
    n->links = NULL;
}

static void destroyed_links_break_both_sides(void **state)
{
    struct stream *s = open_to_b("in"), *r = serve_reader(offered(), 65536);
    struct stream *later = open_to_b("never answered"), *none;
    struct chan *unanswered = offered();
    char c;

    (void)state;
    assert_int_equal(stream_write(s, "x", 1), 1);
    assert_reads(r, "x");
    node_on_loop(&b, kill_b);
    assert_int_equal(stream_read(r, &c, 1), -ECANCELED);
    assert_int_equal(stream_read(later, &c, 1), -EIO);
    assert_int_equal(stream_write(later, "x", 1), -EIO);
    none = serve_reader(unanswered, 4096); /* answered too late: its stream is closed at once */
    assert_int_equal(stream_read(none, &c, 1), -ECANCELED);
    shut(none, 0);
    shut(r, 0);
    shut(s, 0);
    shut(later, 0);
}

static void own_links_destroyed_with_requests_parked(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL);
    struct stream *unreached;
    struct call c, d;

    (void)state;
    links_peer(a.links, "C", "127.0.0.1", 1, b.me.fingerprint, 1);
    assert_int_equal(link_open(a.links, "C", "", &unreached), 0);
    call_read(&c, s, 10);
    call_read(&d, unreached, 10);
    node_on_loop(&a, kill_b);
    assert_int_equal(call_wait(&c), -ECANCELED);
    assert_int_equal(call_wait(&d), -ECANCELED);
    shut(s, 0);
    shut(unreached, 0);
    shut(w, 0);
}

static void forgotten_peer_breaks_channels(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL), *t;
    ssize_t rc;
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "x", 1), 1);
    assert_reads(s, "x");
    links_forget(a.links, "B");
    assert_int_equal(stream_read(s, &c, 1), -EIO);
    assert_int_equal(link_open(a.links, "B", "", &t), 0);
    assert_int_equal(stream_read(t, &c, 1), -EHOSTUNREACH);
    do
        rc = stream_write(w, "x", 1);
    while (rc > 0);
    assert_int_equal(rc, -EPIPE);
    shut(s, 0);
    shut(t, 0);
    shut(w, 0);
}

static void new_incarnation_breaks_channels(void **state)
{
    struct stream *s = open_to_b("out"), *w = serve_writer(offered(), NULL), *t, *r;
    char c;

    (void)state;
    assert_int_equal(stream_write(w, "x", 1), 1);
    assert_reads(s, "x");
    node_knows(&a, &b, 1); /* the same again changes nothing */
    assert_int_equal(stream_write(w, "y", 1), 1);
    assert_reads(s, "y");
    node_knows(&a, &b, 2);
    assert_int_equal(stream_read(s, &c, 1), -EIO);
    t = open_to_b("again");
    r = serve_reader(offered(), 4096);
    assert_int_equal(stream_write(t, "z", 1), 1);
    assert_reads(r, "z");
    shut(s, 0);
    shut(w, 0);
    shut(t, 0);
    shut(r, 0);
}

/* B learns of A's key only after A has begun to dial. */
static void a_peer_that_learns_of_us_late_is_reached(void **state)
{
    struct stream *s, *r;

    (void)state;
    links_forget(b.links, "A");
    s = open_to_b("in");
    assert_int_equal(stream_write(s, "x", 1), 1);
    usleep(100000); /* so that it was refused once, mostly; either way it must succeed */
    node_knows(&b, &a, 1);
    r = serve_reader(offered(), 4096);
    assert_reads(r, "x");
    shut(s, 0);
    shut(r, 0);
}

static void both_sides_open(void **state)
{
    struct stream *s = open_to_b("there"), *back, *r;
    struct chan *c;
    char byte;

    (void)state;
    assert_int_equal(link_open(b.links, "A", "back", &back), 0);
    r = serve_reader(offered(), 4096);
    c = node_opened(&a, NULL, 0);
    assert_non_null(c);
    link_refuse(c, -ENOTDIR);
    assert_int_equal(stream_write(s, "x", 1), 1);
    assert_reads(r, "x");
    assert_int_equal(stream_read(back, &byte, 1), -ENOTDIR);
    shut(s, 0);
    shut(back, 0);
    shut(r, 0);
}

static bool idle, closed;

static void look(struct node *n)
{
    struct peer *p;

    HASH_FIND_STR(n->links->peers, "B", p);
    idle = p->out.s && session_idle(p->out.s);
    closed = !p->out.s && !p->out.conn;
}

static void a_minute_passes(struct node *n)
{
    struct peer *p;

    HASH_FIND_STR(n->links->peers, "B", p);
    link_tick(&p->out, now_ms() + LINK_IDLE_MS / 2);
    look(n);
    assert_false(closed);
    link_tick(&p->out, now_ms() + LINK_IDLE_MS);
    look(n);
}

static void an_idle_link_is_closed_and_made_anew(void **state)
{
    struct stream *s = open_to_b("first");
    char byte;

    (void)state;
    link_refuse(offered(), -ENOENT);
    assert_int_equal(stream_read(s, &byte, 1), -ENOENT);
    shut(s, 0);
    for (idle = false; !idle; usleep(1000))
        node_on_loop(&a, look);
    node_on_loop(&a, a_minute_passes);
    assert_true(closed);
    s = open_to_b("second");
    link_refuse(offered(), -ENOENT);
    assert_int_equal(stream_read(s, &byte, 1), -ENOENT);
    shut(s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(destroyed_links_break_both_sides),         T(own_links_destroyed_with_requests_parked),
        T(forgotten_peer_breaks_channels),           T(new_incarnation_breaks_channels),
        T(a_peer_that_learns_of_us_late_is_reached), T(both_sides_open),
        T(an_idle_link_is_closed_and_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
