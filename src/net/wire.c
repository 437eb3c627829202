/*
 * wire.c - the header of a bus message.
 *
 *   0  "1OS"        3 bytes
 *   3  version      1
 *   4  type         2, big-endian
 *   6  flags        1
 *   7  zero         1
 *   8  request id   8, big-endian
 *  16  time         8, big-endian
 *
 * The first four bytes stay in this place in every version, so that a later one is told from
 * garbage.
 */
#include "net/bus.h"
#include "base/cur.h"

#include <errno.h>

static const uint8_t magic[] = { '1', 'O', 'S' };

void wire_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER])
{
    struct wcur c = { .p = out, .end = out + WIRE_HEADER };

    wcur_bytes(&c, magic, sizeof magic);
    wcur_uint(&c, h->version, 1);
    wcur_uint(&c, h->type, 2);
    wcur_uint(&c, h->flags, 1);
    wcur_uint(&c, 0, 1);
    wcur_uint(&c, h->request, 8);
    wcur_uint(&c, h->time, 8);
}

int wire_decode(const uint8_t *p, size_t n, struct wire_header *h)
{
    struct rcur c = { .p = p, .end = p + n };
    uint8_t start[sizeof magic];
    unsigned zero;

    rcur_bytes(&c, start, sizeof start);
    *h = (struct wire_header){ .version = (uint8_t)rcur_uint(&c, 1) };
    if (c.bad || memcmp(start, magic, sizeof magic) != 0)
        return -EPROTO;
    if (h->version != WIRE_VERSION)
        return -EPROTONOSUPPORT;
    h->type = (uint16_t)rcur_uint(&c, 2);
    h->flags = (uint8_t)rcur_uint(&c, 1);
    zero = (unsigned)rcur_uint(&c, 1);
    h->request = rcur_uint(&c, 8);
    h->time = rcur_uint(&c, 8);
    return c.bad || c.p != c.end || zero != 0 ? -EPROTO : 0;
}

void wire_frame_encode(const struct wire_header *h, size_t body, uint8_t out[WIRE_FRAME_HEAD])
{
    struct wcur c = { .p = out, .end = out + 4 };

    wcur_uint(&c, WIRE_HEADER + body, 4);
    wire_encode(h, out + 4);
}

int wire_frame_decode(const uint8_t *p, size_t n, struct wire_header *h, size_t *size)
{
    struct rcur c = { .p = p, .end = p + n };
    size_t follows = (size_t)rcur_uint(&c, 4);
    int rc;

    if (c.bad)
        return 0;
    if (follows < WIRE_HEADER || follows > WIRE_HEADER + BUS_BODY_MAX)
        return -EPROTO;
    if (n < WIRE_FRAME_HEAD)
        return 0;
    rc = wire_decode(c.p, WIRE_HEADER, h);
    if (rc < 0)
        return rc;
    *size = 4 + follows;
    return n >= *size;
}
