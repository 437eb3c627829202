/*
 * fuzz_link_frame.c - any bytes as what a peer says after TLS: HELLO, then frames into a session.
 *
 * The first byte says how large the pieces are, and whether the session dials.
 */
#include "net/link_session.h"
#include "base/cleanup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct user {
    struct schan w;
    struct user *next;
};

static struct user *users;

static struct schan *on_open(void *arg, const char *spec, size_t n)
{
    struct user *u = calloc(1, sizeof *u);

    (void)arg;
    if (!u)
        return NULL;
    if (n && spec[n - 1] == 0x7f) /* the bytes must be there */
        u->w.end_rc = 0;
    u->next = users;
    users = u;
    return &u->w;
}

static void on_opened(struct schan *c)
{
    if (c->id % 5 == 0)
        session_end(c, c->id % 2 ? 0 : -5);
    if (c->id % 7 == 0)
        session_stop(c, -32);
}

static void on_data(struct schan *c, struct blk *b, unsigned len)
{
    struct slices back = { 0 };

    slices_add_take(&back, b, 0, len);
    session_consumed(c, len + FRAME_COST);
    session_send(c, &back);
}

static void on_rc(struct schan *c, int rc)
{
    if (c->id % 3 == 0)
        session_end(c, rc);
}

static void ignore(struct schan *c)
{
    (void)c;
}

static const struct session_ops ops = { on_open, on_opened, on_data, on_rc,
                                        on_rc,   ignore,    ignore,  ignore };

static void drain(struct session *s)
{
    struct iovec v[40];
    int n;

    while ((n = session_peek(s, v, 40)) > 0) {
        size_t all = 0;

        for (int i = 0; i < n; i++)
            all += v[i].iov_len;
        session_sent(s, all);
    }
}

static int one_frame(struct session *s, struct frame_in *in, uint64_t now)
{
    struct hello h;
    int rc;

    if (session_is_up(s))
        rc = session_frame(s, &in->head, &in->body, now);
    else if (in->head.type != FRAME_HELLO)
        rc = -1;
    else if ((rc = hello_decode(&h, in->body->data, in->head.len)) == 0)
        rc = session_up(s, &h, now);
    frame_in_next(in);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t id[16];
    struct frame_in in = { 0 };
    struct schan mine = { 0 };
    struct session *s;
    size_t piece;
    int rc = 0;

    if (size < 1 || session_create(&s, &ops, NULL, id, data[0] & 1, 0) < 0)
        return 0;
    piece = 1 + data[0] / 2;
    if (data[0] & 1)
        session_open(&mine, s, "spec", 0);
    for (size_t at = 1; at < size && rc >= 0;) {
        void *to;
        size_t n = frame_in_want(&in, &to);

        n = n < piece ? n : piece;
        n = n < size - at ? n : size - at;
        memcpy(to, data + at, n);
        at += n;
        rc = frame_in_got(&in, n);
        if (rc > 0)
            rc = one_frame(s, &in, at);
        drain(s);
        (void)session_tick(s, at);
    }
    frame_in_next(&in);
    session_free(s);
    for (struct user *u; (u = users);) {
        users = u->next;
        free(u);
    }
    if (blk_live() != 0)
        abort();
    return 0;
}
