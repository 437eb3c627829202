/*
 * link_frame.c - encodes and decodes frames. What a type may carry is one row of `rules`.
 *
 * Invariant: nothing is allocated for a body before its length was checked against the row of
 * its type, so a peer can make us hold FRAME_MAX bytes at most before a frame is judged.
 */
#include "net/link_frame.h"

#include <errno.h>
#include <string.h>

#define ERRNO_MAX 4095

static const struct rule {
    const char *name;
    uint32_t len_min, len_max, arg_min, arg_max;
    bool numbered; /* and about a channel */
} rules[FRAME_TYPES] = {
    [FRAME_HELLO] = { "HELLO", HELLO_BYTES, HELLO_MAX, 0, 0, false },
    [FRAME_ACK] = { "ACK", 0, 0, 0, 0, false },
    [FRAME_PING] = { "PING", 0, 0, 0, 0, false },
    [FRAME_PONG] = { "PONG", 0, 0, 0, 0, false },
    [FRAME_BYE] = { "BYE", 0, 0, 0, ERRNO_MAX, false },
    [FRAME_OPEN] = { "OPEN", 0, FRAME_MAX / 2, 0, 0, true },
    [FRAME_DATA] = { "DATA", 1, FRAME_MAX, 0, 0, true },
    [FRAME_END] = { "END", 0, 0, 0, 0, true },
    [FRAME_ABORT] = { "ABORT", 0, 0, 1, ERRNO_MAX, true },
    [FRAME_STOP] = { "STOP", 0, 0, 1, ERRNO_MAX, true },
    [FRAME_CREDIT] = { "CREDIT", 0, 0, 1, 1u << 30, true },
};

bool frame_numbered(enum frame_type type)
{
    return rules[type].numbered;
}

const char *frame_name(enum frame_type type)
{
    return type > 0 && type < FRAME_TYPES ? rules[type].name : "?";
}

static uint8_t *put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    return p + n;
}

static uint64_t get(const uint8_t **p, size_t n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | *(*p)++;
    return v;
}

void frame_encode(const struct frame_head *h, uint8_t out[FRAME_HEAD])
{
    out = put(out, h->len, 4);
    out = put(out, h->type, 1);
    out = put(out, 0, 3);
    out = put(out, h->chan, 4);
    out = put(out, h->arg, 4);
    put(out, h->seq, 8);
}

int frame_decode(struct frame_head *h, const uint8_t in[FRAME_HEAD])
{
    const struct rule *r;
    uint64_t type, zero;

    h->len = (uint32_t)get(&in, 4);
    type = get(&in, 1);
    zero = get(&in, 3);
    h->chan = (uint32_t)get(&in, 4);
    h->arg = (uint32_t)get(&in, 4);
    h->seq = get(&in, 8);
    if (type == 0 || type >= FRAME_TYPES || zero != 0)
        return -EPROTO;
    h->type = (enum frame_type)type;
    r = &rules[type];
    if (h->len < r->len_min || h->len > r->len_max || h->arg < r->arg_min || h->arg > r->arg_max)
        return -EPROTO;
    return (h->chan != 0) == r->numbered ? 0 : -EPROTO;
}

void hello_encode(const struct hello *h, uint8_t out[HELLO_FRAME])
{
    struct frame_head head = { .type = FRAME_HELLO, .len = HELLO_BYTES };

    frame_encode(&head, out);
    out = put(out + FRAME_HEAD, LINK_MAGIC, 4);
    out = put(out, h->version_min, 2);
    out = put(out, h->version_max, 2);
    out = put(out, h->status, 2);
    out = put(out, h->flags, 2);
    out = put(out, h->features, 4);
    out = put(out, h->window, 4);
    out = put(out, h->next, 8);
    out = put(out, h->incarnation, 8);
    memcpy(out, h->session, sizeof h->session);
}

int hello_decode(struct hello *h, const void *body, size_t n)
{
    const uint8_t *p = body;

    if (n < HELLO_BYTES || get(&p, 4) != LINK_MAGIC)
        return -EPROTO;
    h->version_min = (uint16_t)get(&p, 2);
    h->version_max = (uint16_t)get(&p, 2);
    h->status = (uint16_t)get(&p, 2);
    h->flags = (uint16_t)get(&p, 2);
    h->features = (uint32_t)get(&p, 4);
    h->window = (uint32_t)get(&p, 4);
    h->next = get(&p, 8);
    h->incarnation = get(&p, 8);
    memcpy(h->session, p, sizeof h->session);
    return 0;
}

size_t frame_in_want(struct frame_in *f, void **to)
{
    if (!f->headed) {
        *to = f->raw + f->got;
        return FRAME_HEAD - f->got;
    }
    *to = f->body->data + f->got;
    return f->head.len - f->got;
}

int frame_in_got(struct frame_in *f, size_t n)
{
    f->got += n;
    if (!f->headed) {
        if (f->got < FRAME_HEAD)
            return 0;
        if (frame_decode(&f->head, f->raw) < 0)
            return -EPROTO;
        f->headed = true;
        f->got = 0;
        if (f->head.len == 0)
            return 1;
        f->body = blk_alloc(f->head.len);
        return f->body ? 0 : -ENOMEM;
    }
    return f->got == f->head.len;
}

void frame_in_next(struct frame_in *f)
{
    blk_unref(f->body);
    f->body = NULL;
    f->got = 0;
    f->headed = false;
}
