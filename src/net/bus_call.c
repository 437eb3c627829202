/*
 * bus_call.c - the questions that we ask, and what we tell.
 *
 *   waiting --sent--> sent --answered, refused, too late, cancelled, connection lost--> ended
 *
 * Invariants: a call is on exactly one of its peer's lists, or on none when the peer is gone and
 * its end is under way; `done` is called from the loop (or bus_destroy), once; nothing is sent
 * twice.
 */
#include "net/bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 65536

struct bus_call {
    struct bus *bus;
    struct remote *remote; /* NULL: gone */
    uint64_t request, expires_ms;
    enum bus_type type;
    bool sent;
    struct text body; /* until it is sent */
    bus_done_fn *done;
    void *arg;
    int end_rc; /* with these words it ends when the timer fires; 0: the deadline */
    const char *end_text;
    uv_timer_t timer;
    struct bus_call *prev, *next;
    UT_hash_handle hh;
};

static void on_closed(uv_handle_t *h)
{
    struct bus_call *c = h->data;

    bus_drop_handle(c->bus);
    free(c);
}

static void leave_remote(struct bus_call *c)
{
    struct remote *r = c->remote;

    if (!r)
        return;
    if (c->sent)
        DL_DELETE(r->sent, c);
    else
        DL_DELETE(r->waiting, c);
    r->calls--;
    c->remote = NULL;
}

/* Takes the call off everything; its memory goes with the timer. */
static void release(struct bus_call *c)
{
    struct remote *r = c->remote;

    leave_remote(c);
    HASH_DEL(c->bus->calls, c);
    text_free(&c->body);
    if (r && r->stranger)
        remote_close(r);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void end(struct bus_call *c, int rc, json_t *body, const char *text)
{
    bus_done_fn *done = c->done;
    void *arg = c->arg;

    release(c);
    done(arg, rc, body, text);
}

static void on_timer(uv_timer_t *t)
{
    struct bus_call *c = t->data;
    const struct remote *r = c->remote;
    char text[256];

    if (c->end_rc) {
        end(c, c->end_rc, NULL, c->end_text);
        return;
    }
    snprintf(text, sizeof text,
             c->sent ? "%s did not answer in time" : "%s cannot be reached at %s",
             r->stranger ? r->info.address : r->info.id, r->info.address);
    end(c, -EHOSTUNREACH, NULL, text);
}

void calls_end(struct remote *r, bool all, int rc, const char *text)
{
    struct bus_call *c, *next, **lists[] = { &r->sent, &r->waiting };

    for (int n = 0; n < (all ? 2 : 1); n++) {
        DL_FOREACH_SAFE(*lists[n], c, next)
        {
            if (!r->stranger)
                leave_remote(c);
            c->end_rc = rc;
            c->end_text = text;
            uv_timer_start(&c->timer, on_timer, 0, 0);
        }
    }
}

void calls_cancel(struct bus *b)
{
    while (b->calls)
        end(b->calls, -ECANCELED, NULL, "the daemon is stopping");
}

/* The time goes over in the peer's clock; a stranger's is not known, and what it may be asked can
 * be done late. */
static int send_call(struct bus_call *c)
{
    struct remote *r = c->remote;
    struct wire_header h = { .version = WIRE_VERSION, .type = c->type, .request = c->request };
    int64_t late = (int64_t)c->expires_ms + r->clock_ahead;
    int rc;

    if (!r->stranger)
        h.time = late > 0 ? (uint64_t)late : 1;
    rc = remote_send(r, &h, &c->body);
    if (rc < 0)
        return rc;
    text_free(&c->body);
    DL_DELETE(r->waiting, c);
    c->sent = true;
    DL_APPEND(r->sent, c);
    return 0;
}

void calls_flush(struct remote *r)
{
    while (r->waiting) {
        if (send_call(r->waiting) == 0)
            continue;
        /* The connection is gone or full: a ping finds out when there is room. A lane tells itself.
         */
        if (!r->stranger && !r->lane) {
            r->ready = false;
            r->ping = 0;
            r->ping_due = true;
            bsock_touch(r->dealer);
        }
        return;
    }
}

void call_answered(struct remote *r, const struct wire_header *h, json_t *body)
{
    struct bus_call *c = NULL;
    int err;

    HASH_FIND(hh, r->bus->calls, &h->request, sizeof h->request, c);
    if (!c || c->remote != r || !c->sent)
        return; /* too late: its end was told */
    if (!(h->flags & BUS_ERROR)) {
        end(c, 0, body, NULL);
        return;
    }
    err = (int)json_integer_value(json_object_get(body, "errno"));
    end(c, err > 0 && err < 4096 ? -err : -EPROTO, body,
        json_is_string(json_object_get(body, "text"))
            ? json_string_value(json_object_get(body, "text"))
            : "the peer refused without words");
}

static int start(struct bus_call **out, struct remote *r, enum bus_type type, struct text body,
                 unsigned deadline_ms, bus_done_fn *done, void *arg)
{
    struct bus *b = r->bus;
    struct bus_call *c = calloc(1, sizeof *c);

    if (!c) {
        text_free(&body);
        return -ENOMEM;
    }
    *c = (struct bus_call){ .bus = b,
                            .remote = r,
                            .request = b->next_request++,
                            .expires_ms = now_ms() + deadline_ms,
                            .type = type,
                            .body = body,
                            .done = done,
                            .arg = arg };
    uv_timer_init(b->uv, &c->timer);
    c->timer.data = c;
    b->handles++;
    uv_update_time(b->uv);
    uv_timer_start(&c->timer, on_timer, deadline_ms, 0);
    HASH_ADD(hh, b->calls, request, sizeof c->request, c);
    DL_APPEND(r->waiting, c);
    r->calls++;
    if (r->ready)
        calls_flush(r);
    if (r->dealer)
        bsock_touch(r->dealer);
    if (out)
        *out = c;
    return 0;
}

int bus_ask(struct bus *b, const char *id, enum bus_type type, json_t *body, unsigned deadline_ms,
            bus_done_fn *done, void *arg, struct bus_call **call)
{
    struct remote *r = remote_find(b, id);
    struct text text;
    int rc = text_of(&text, body);

    if (rc < 0)
        return rc;
    if (b->closing || !r || r->calls >= CALLS_MAX) {
        text_free(&text);
        return b->closing ? -ECANCELED : !r ? -EHOSTUNREACH : -ENOBUFS;
    }
    return start(call, r, type, text, deadline_ms, done, arg);
}

int bus_ask_stranger(struct bus *b, const char *address, uint16_t req_port, const char *key,
                     enum bus_type type, json_t *body, unsigned deadline_ms, bus_done_fn *done,
                     void *arg, struct bus_call **call)
{
    struct peer_info info = { .req_port = req_port };
    struct remote *r;
    struct text text;
    uint8_t raw[32];
    int rc = text_of(&text, body);

    if (rc < 0)
        return rc;
    if (b->closing)
        rc = -ECANCELED;
    else if (strlen(address) >= sizeof info.address || identity_key_decode(key, raw) < 0)
        rc = -EINVAL;
    if (rc == 0) {
        strcpy(info.address, address);
        strcpy(info.curve_public, key);
        rc = remote_open(&r, b, &info, true, NULL);
    }
    if (rc < 0) {
        text_free(&text);
        return rc;
    }
    rc = start(call, r, type, text, deadline_ms, done, arg);
    if (rc < 0)
        remote_close(r);
    return rc;
}

int bus_tell(struct bus *b, const char *id, enum bus_type type, const void *data, size_t len)
{
    struct remote *r = remote_find(b, id);
    struct wire_header h = { .version = WIRE_VERSION, .type = type };
    struct text body = { .p = (char *)data, .len = len };

    if (len > BUS_BODY_MAX)
        return -EMSGSIZE;
    if (b->closing || !r || !r->ready || !r->dealer)
        return -EHOSTUNREACH;
    return remote_send(r, &h, &body) < 0 ? -EHOSTUNREACH : 0;
}

void bus_cancel(struct bus_call *call)
{
    release(call);
}
