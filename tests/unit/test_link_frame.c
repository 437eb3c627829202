/*
 * test_link_frame.c - frames: golden bytes, limits of every type, and streams taken apart anyhow;
 * and what a session does about time.
 */
#include "net/link_frame.h"
#include "net/link.h"
#include "net/link_session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void golden_bytes(void **state)
{
    static const uint8_t data[FRAME_HEAD] = { 0, 1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 5,
                                              0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    static const uint8_t hello[HELLO_FRAME] = {
        0,   0,   0,   52,  1, 0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* head */
        'O', 'N', 'E', 'L', 0, 1, 0, 2, 0, 116, 0, 1, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0,
        0,   9,   0,   0,   0, 0, 0, 0, 0, 8,   7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7
    };
    struct frame_head h = {
        .len = 65536, .chan = 5, .seq = 0x0102030405060708, .type = FRAME_DATA
    };
    struct hello w = { .version_min = 1,
                       .version_max = 2,
                       .status = 116,
                       .flags = HELLO_FRESH,
                       .features = 3,
                       .window = 262144,
                       .next = 9,
                       .incarnation = 8 },
                 got;
    struct frame_head back;
    uint8_t out[HELLO_FRAME];

    (void)state;
    frame_encode(&h, out);
    assert_memory_equal(out, data, FRAME_HEAD);
    assert_int_equal(frame_decode(&back, data), 0);
    assert_true(back.len == h.len && back.chan == 5 && back.seq == h.seq &&
                back.type == FRAME_DATA);
    memset(w.session, 7, sizeof w.session);
    hello_encode(&w, out);
    assert_memory_equal(out, hello, HELLO_FRAME);
    assert_int_equal(hello_decode(&got, hello + FRAME_HEAD, HELLO_BYTES), 0);
    assert_memory_equal(&got, &w, sizeof w);
    assert_int_equal(hello_decode(&got, hello + FRAME_HEAD, HELLO_BYTES - 1), -EPROTO);
    out[FRAME_HEAD] = 'X';
    assert_int_equal(hello_decode(&got, out + FRAME_HEAD, HELLO_BYTES), -EPROTO);
}

static int judged(struct frame_head h)
{
    uint8_t raw[FRAME_HEAD];

    frame_encode(&h, raw);
    return frame_decode(&h, raw);
}

static void limits(void **state)
{
    static const struct {
        struct frame_head h;
        int rc;
    } cases[] = {
        { { .type = 0 }, -EPROTO },
        { { .type = FRAME_TYPES }, -EPROTO },
        { { .type = 255 }, -EPROTO },
        { { .type = FRAME_PING }, 0 },
        { { .type = FRAME_PING, .len = 1 }, -EPROTO },
        { { .type = FRAME_PING, .chan = 1 }, -EPROTO },
        { { .type = FRAME_HELLO, .len = HELLO_BYTES - 1 }, -EPROTO },
        { { .type = FRAME_HELLO, .len = HELLO_MAX }, 0 },
        { { .type = FRAME_HELLO, .len = HELLO_MAX + 1 }, -EPROTO },
        { { .type = FRAME_OPEN, .chan = 1 }, 0 },
        { { .type = FRAME_OPEN, .chan = 1, .len = LINK_SPEC_MAX }, 0 },
        { { .type = FRAME_OPEN, .chan = 1, .len = LINK_SPEC_MAX + 1 }, -EPROTO },
        { { .type = FRAME_DATA, .chan = 1 }, -EPROTO },
        { { .type = FRAME_DATA, .chan = 0, .len = 1 }, -EPROTO },
        { { .type = FRAME_DATA, .chan = 1, .len = FRAME_MAX }, 0 },
        { { .type = FRAME_DATA, .chan = 1, .len = FRAME_MAX + 1 }, -EPROTO },
        { { .type = FRAME_DATA, .chan = 1, .len = UINT32_MAX }, -EPROTO },
        { { .type = FRAME_ABORT, .chan = 1 }, -EPROTO },
        { { .type = FRAME_ABORT, .chan = 1, .arg = 4096 }, -EPROTO },
        { { .type = FRAME_STOP, .chan = 1, .arg = EPIPE }, 0 },
        { { .type = FRAME_CREDIT, .chan = 1 }, -EPROTO },
        { { .type = FRAME_CREDIT, .chan = 1, .arg = UINT32_MAX }, -EPROTO },
    };
    uint8_t raw[FRAME_HEAD] = { 0, 0, 0, 0, FRAME_PING, 0, 1 };
    struct frame_head h;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (judged(cases[i].h) != cases[i].rc)
            fail_msg("case %zu is judged %d", i, judged(cases[i].h));
    assert_int_equal(frame_decode(&h, raw), -EPROTO); /* what must be zero is not */
}

static void any_pieces_give_the_same_frames(void **state)
{
    uint8_t stream[3 * FRAME_HEAD + 1000];
    struct frame_head data = { .type = FRAME_DATA, .chan = 3, .len = 1000 },
                      ping = { .type = FRAME_PING };

    (void)state;
    frame_encode(&ping, stream);
    frame_encode(&data, stream + FRAME_HEAD);
    memset(stream + 2 * FRAME_HEAD, 'd', 1000);
    frame_encode(&ping, stream + 2 * FRAME_HEAD + 1000);
    for (size_t piece = 1; piece <= 1100; piece += piece < 30 ? 1 : 97) {
        struct frame_in in = { 0 };
        unsigned frames = 0;

        for (size_t at = 0; at < sizeof stream;) {
            void *to;
            size_t n = frame_in_want(&in, &to);
            int rc;

            n = n < piece ? n : piece;
            assert_true(n > 0 && at + n <= sizeof stream);
            memcpy(to, stream + at, n);
            at += n;
            rc = frame_in_got(&in, n);
            assert_true(rc >= 0);
            if (rc == 0)
                continue;
            assert_int_equal(in.head.type, frames == 1 ? FRAME_DATA : FRAME_PING);
            if (frames++ == 1)
                assert_true(in.body->data[0] == 'd' && in.body->data[999] == 'd');
            frame_in_next(&in);
        }
        assert_int_equal(frames, 3);
    }
    assert_int_equal(blk_live(), 0);
}

/* --- a session and the clock --- */

static struct schan *no_open(void *arg, const char *spec, size_t n)
{
    (void)arg, (void)spec, (void)n;
    return NULL;
}

static int end_rc, stop_rc;

static void on_end(struct schan *c, int rc)
{
    (void)c;
    end_rc = rc;
}

static void on_stop(struct schan *c, int rc)
{
    (void)c;
    stop_rc = rc;
}

static void ignore(struct schan *c)
{
    (void)c;
}

static const struct session_ops ops = { .open = no_open,
                                        .opened = ignore,
                                        .end = on_end,
                                        .stop = on_stop,
                                        .room = ignore,
                                        .gone = ignore };

static struct session *up_session(struct schan *c)
{
    struct hello h = { .window = SESSION_CREDIT_MIN };
    static const uint8_t id[16];
    struct session *s;

    end_rc = stop_rc = 1;
    memset(c, 0, sizeof *c);
    assert_int_equal(session_create(&s, &ops, NULL, id, true, 1000), 0);
    assert_int_equal(session_up(s, &h, 1000), 0);
    assert_int_equal(session_open(c, s, "spec", 1000), 0);
    return s;
}

static enum frame_type next_sent(struct session *s)
{
    struct frame_head h;
    struct iovec v[20];
    size_t n = 0;
    int k = session_peek(s, v, 20);

    if (k == 0)
        return 0;
    assert_int_equal(frame_decode(&h, v[0].iov_base), 0);
    for (int i = 0; i < k; i++)
        n += v[i].iov_len;
    session_sent(s, n);
    return h.type;
}

static void silence_asks_and_then_gives_up(void **state)
{
    struct schan c;
    struct session *s = up_session(&c);

    (void)state;
    assert_int_equal(next_sent(s), FRAME_OPEN);
    assert_int_equal(session_tick(s, 1999), SESSION_FINE);
    assert_int_equal(next_sent(s), 0);
    assert_int_equal(session_deadline(s), 2000);
    assert_int_equal(session_tick(s, 2000), SESSION_FINE);
    assert_int_equal(next_sent(s), FRAME_PING);
    assert_int_equal(session_tick(s, 3999), SESSION_FINE);
    assert_int_equal(session_tick(s, 4000), SESSION_SILENT);
    session_lost(s, 4000);
    assert_int_equal(session_deadline(s), 4000 + LINK_RESUME_MS);
    assert_int_equal(session_tick(s, 3999 + LINK_RESUME_MS), SESSION_FINE);
    assert_int_equal(session_tick(s, 4000 + LINK_RESUME_MS), SESSION_OVER);
    session_break(s, -EIO);
    assert_int_equal(end_rc, -EIO);
    assert_int_equal(stop_rc, -EIO);
    session_free(s);
}

static int frame_to(struct session *s, struct frame_head h)
{
    struct blk *b = h.len ? blk_alloc(h.len) : NULL;
    int rc = session_frame(s, &h, &b, 1000);

    blk_unref(b);
    return rc;
}

/* Each is a peer that breaks the rules, on a fresh session with channel 1 open. */
static void broken_rules_are_refused(void **state)
{
    static const struct frame_head bad[] = {
        { .type = FRAME_DATA, .chan = 9, .len = 1 }, /* no such channel */
        { .type = FRAME_END, .chan = 9 },
        { .type = FRAME_DATA, .chan = 1, .len = 1, .seq = 1 }, /* a number too far */
        { .type = FRAME_ACK, .seq = 1 },                       /* not sent yet */
        { .type = FRAME_ACK, .seq = UINT64_MAX },
        { .type = FRAME_OPEN, .chan = 2 }, /* the dialer opens, nobody else */
        { .type = FRAME_HELLO, .len = HELLO_BYTES },
    };
    struct schan c;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct session *s = up_session(&c);

        if (frame_to(s, bad[i]) != -EPROTO)
            fail_msg("case %zu was accepted", i);
        session_free(s);
    }
    assert_int_equal(blk_live(), 0);
}

static void more_than_was_lent_is_refused(void **state)
{
    struct schan c;
    struct session *s = up_session(&c);
    struct frame_head h = { .type = FRAME_DATA, .chan = 1, .len = FRAME_MAX };

    (void)state;
    session_stop(&c, -EPIPE); /* what comes is dropped, but counted */
    assert_int_equal(frame_to(s, h), 0);
    h.seq = 1;
    assert_int_equal(frame_to(s, h), -EPROTO);
    session_free(s);
}

static void resuming_at_impossible_numbers_is_refused(void **state)
{
    struct hello h = { .window = SESSION_CREDIT_MIN, .next = 2 };
    struct schan c;
    struct session *s = up_session(&c);

    (void)state;
    session_lost(s, 2000);
    assert_int_equal(session_up(s, &h, 2000), -EPROTO); /* only number 0 was ever made */
    h.next = 1;
    assert_int_equal(session_up(s, &h, 2000), 0);
    session_lost(s, 3000);
    h.next = 0; /* but it has acknowledged that one */
    assert_int_equal(session_up(s, &h, 3000), -EPROTO);
    session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(limits),
        cmocka_unit_test(any_pieces_give_the_same_frames),
        cmocka_unit_test(silence_asks_and_then_gives_up),
        cmocka_unit_test(broken_rules_are_refused),
        cmocka_unit_test(more_than_was_lent_is_refused),
        cmocka_unit_test(resuming_at_impossible_numbers_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
