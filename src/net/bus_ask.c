/*
 * bus_ask.c - the questions that we are asked, and what we are told.
 *
 * What comes to the ROUTER or over a lane is looked at from the outside in: frames, header, who
 * sent it, whether a stranger's turn has come, type, time, and only then the JSON. Everything that
 * gets as far as a header is answered, if only by a refusal, except what strangers send beyond
 * their rate.
 */
#include "net/bus_private.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRANGER_BODY_MAX 4096
#define STRANGER_ASKS_MAX 256 /* of strangers and not answered yet */
#define ROUTING_MAX       255

struct bus_ask {
    struct bus *bus; /* NULL: it was destroyed */
    struct wire_header header;
    bool stranger;
    char from[ID_MAX], key[KEY_Z85];
    struct route back; /* whose zmq is `routing` */
    uint8_t routing[ROUTING_MAX];
    struct bus_ask *prev, *next;
};

/* An answer whose lane is gone is dropped: who asked was told that it broke. */
static void reply(struct bus *b, const struct route *back, const struct wire_header *to,
                  uint8_t flags, const struct text *body)
{
    struct lane *lane = back->lane ? lane_by_number(b, back->lane) : NULL;
    struct wire_header h = { .version = WIRE_VERSION,
                             .flags = flags,
                             .type = to->type,
                             .request = to->request,
                             .time = now_ms() };

    if (!back->lane)
        bsock_send(b->router, back->zmq, back->nzmq, &h, body);
    else if (lane)
        lane_send(lane, &h, body);
}

static void refuse(struct bus *b, const struct route *back, const struct wire_header *to, int rc,
                   const char *words)
{
    struct text body;

    if (text_of(&body, json_pack("{s:i, s:s}", "errno", -rc, "text", words)) < 0)
        return;
    reply(b, back, to, BUS_ERROR, &body);
    text_free(&body);
}

static void answer_ping(struct bus *b, const struct route *back, const struct wire_header *h,
                        json_t *ping, struct allowed *a)
{
    struct text body;

    if (text_of(&body,
                json_pack("{s:s, s:o*}", "topic", a->topic, "lane", lane_offer(b, a, ping))) < 0)
        return;
    reply(b, back, h, 0, &body);
    text_free(&body);
}

/* Why the question is not put to the owner, with words; 0: it is. */
static int objection(struct bus *b, const struct wire_header *h, const struct allowed *from,
                     size_t size, const char **words)
{
    const struct bus_type_row *row = bus_type_row(h->type);

    if (!row || !row->asked)
        return *words = "this version does not know that type of message", -ENOSYS;
    if (!from && !row->open)
        return *words = "you are not a member here", -EPERM;
    if (!from && size > STRANGER_BODY_MAX)
        return *words = "that is too long for who is not a member", -EMSGSIZE;
    if (!from && b->stranger_asks >= STRANGER_ASKS_MAX)
        return *words = "too many others are waiting to be let in", -EBUSY;
    if (h->time && now_ms() >= h->time)
        return *words = "the question came after its deadline", -EHOSTUNREACH;
    return 0;
}

static struct bus_ask *ask_create(struct bus *b, const struct route *back,
                                  const struct wire_header *h, const struct allowed *from,
                                  const char *key)
{
    struct bus_ask *ask = calloc(1, sizeof *ask);

    if (!ask)
        return NULL;
    ask->bus = b;
    ask->header = *h;
    ask->back = (struct route){ .lane = back->lane, .zmq = ask->routing, .nzmq = back->nzmq };
    if (back->nzmq)
        memcpy(ask->routing, back->zmq, back->nzmq);
    ask->stranger = !from;
    if (from)
        strcpy(ask->from, from->id);
    strcpy(ask->key, key);
    b->stranger_asks += ask->stranger;
    DL_APPEND(b->asks, ask);
    return ask;
}

static void ask_free(struct bus_ask *ask)
{
    if (ask->bus) {
        ask->bus->stranger_asks -= ask->stranger;
        DL_DELETE(ask->bus->asks, ask);
    }
    free(ask);
}

bool ask_waits_longest(const struct bus *b, const char *id)
{
    return b->asks && strcmp(b->asks->from, id) == 0;
}

static void look_at(struct bus *b, const struct wire_header *h, const void *data, size_t len,
                    const char *key, const struct route *back)
{
    struct allowed *from = auth_by_key(b, key);
    char id[ID_MAX] =
        ""; /* a copy: an answer within the call frees the ask, and the list may change */
    struct bus_ask *ask = NULL;
    const char *words = "out of memory";
    json_t *body = NULL;
    int rc;

    if (!from && !rate_take(h->type == BUS_PING ? &b->pings : &b->strangers, now_ms())) {
        if (rate_take(&b->refused, now_ms()))
            log_warn("bus", "strangers ask too much: dropped a message by the key %s", key);
        return;
    }
    rc = objection(b, h, from, len, &words);
    if (rc == 0 && (rc = body_parse(data, len, &body)) < 0) {
        words = "the body is not a JSON object";
        bus_malformed(b, from ? from->id : key, rc);
    }
    if (rc == 0 && h->type == BUS_PING) {
        answer_ping(b, back, h, body, from);
        json_decref(body);
        return;
    }
    if (rc == 0 && !(ask = ask_create(b, back, h, from, key)))
        rc = -ENOMEM;
    if (rc < 0)
        refuse(b, back, h, rc, words);
    else
        b->ops.asked(b->arg, ask, from ? strcpy(id, from->id) : NULL, key, (enum bus_type)h->type,
                     body);
    json_decref(body);
}

/* What a member tells; true: it was that, or claimed to be. */
static bool take_told(struct bus *b, const struct wire_header *h, const void *data, size_t len,
                      const char *key)
{
    const struct bus_type_row *row = bus_type_row(h->type);
    struct allowed *a = auth_by_key(b, key);
    char from[ID_MAX];

    if (!row || !row->told)
        return false;
    if (!a) {
        if (rate_take(&b->refused, now_ms()))
            log_warn("bus", "the key %s, which is no member's, sent '%s': dropped", key, row->name);
    } else if (b->ops.told) {
        strcpy(from, a->id);
        b->ops.told(b->arg, from, (enum bus_type)h->type, data, len);
    }
    return true;
}

void ask_heard(struct bus *b, const struct wire_header *h, const void *body, size_t len,
               const char *key, const struct route *back)
{
    if (!take_told(b, h, body, len, key))
        look_at(b, h, body, len, key, back);
}

bool ask_take(struct bsock *s)
{
    struct wire_header h;
    char key[KEY_Z85] = "";
    const char *user;
    struct bmsg m;
    int rc;

    if (!bmsg_receive(s, &m))
        return false;
    rc = bmsg_header(&m, 3, &h);
    user = m.n >= 2 ? zmq_msg_gets(&m.frame[1], "User-Id") : NULL;
    if (user)
        snprintf(key, sizeof key, "%s", user);
    if (rc < 0 || !user)
        bus_malformed(s->bus, key, rc < 0 ? rc : -EPROTO);
    else
        ask_heard(
            s->bus, &h, zmq_msg_data(&m.frame[2]), zmq_msg_size(&m.frame[2]), key,
            &(struct route){ .zmq = zmq_msg_data(&m.frame[0]), .nzmq = zmq_msg_size(&m.frame[0]) });
    bmsg_close(&m);
    return true;
}

/* Between question and answer its asker may have been taken off the list, or put on it by another
 * name. */
static bool may_have_answer(const struct bus_ask *ask)
{
    struct allowed *a = auth_by_key(ask->bus, ask->key);

    return ask->stranger || (a && strcmp(a->id, ask->from) == 0);
}

void bus_answer(struct bus_ask *ask, json_t *body)
{
    struct text text;
    int rc;

    if (!ask->bus) {
        json_decref(body);
        ask_free(ask);
        return;
    }
    rc = text_of(&text, body);
    if (rc < 0) {
        bus_refuse(ask, rc, "the answer cannot be sent: %s", strerror(-rc));
        return;
    }
    if (may_have_answer(ask))
        reply(ask->bus, &ask->back, &ask->header, 0, &text);
    else
        refuse(ask->bus, &ask->back, &ask->header, -EPERM, "you are not a member here any more");
    text_free(&text);
    ask_free(ask);
}

void bus_refuse(struct bus_ask *ask, int rc, const char *fmt, ...)
{
    struct oerr e;
    va_list ap;

    if (ask->bus) {
        va_start(ap, fmt);
        vsnprintf(e.text, sizeof e.text, fmt, ap);
        va_end(ap);
        refuse(ask->bus, &ask->back, &ask->header, rc, e.text);
    }
    ask_free(ask);
}

void asks_orphan(struct bus *b)
{
    while (b->asks) {
        struct bus_ask *ask = b->asks;

        DL_DELETE(b->asks, ask);
        ask->bus = NULL;
    }
}
