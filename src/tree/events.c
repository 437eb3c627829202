/*
 * events.c - one bounded flow per reader of `events`; the writing ends are here.
 *
 * A line goes whole or not at all: when it does not fit it is counted, and the count is told before
 * the next line that fits. A reader that has closed is noticed when the next line is written, or
 * the next reader comes.
 */
#include "tree/events.h"
#include "base/cleanup.h"
#include "base/flow.h"
#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define EVENTS_CAPACITY (256 * 1024)

struct listener {
    struct stream *to;
    unsigned long lost;
    struct listener *next;
};

struct events {
    struct listener *all;
};

int events_create(struct events **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

static void drop(struct listener **at)
{
    struct listener *l = *at;

    *at = l->next;
    l->to->ops->close(l->to, 0);
    free(l);
}

void events_destroy(struct events *e)
{
    if (!e)
        return;
    while (e->all)
        drop(&e->all);
    free(e);
}

/* Many may come and go while nothing happens. */
static void drop_closed(struct events *e)
{
    for (struct listener **at = &e->all; *at;) {
        if ((*at)->to->ops->poll((*at)->to, NULL) & POLLERR)
            drop(at);
        else
            at = &(*at)->next;
    }
}

int events_open(struct events *e, struct stream **out)
{
    struct listener *l = calloc(1, sizeof *l);
    struct flow *flow = NULL;
    int rc = l ? flow_create(&flow, EVENTS_CAPACITY, FLOW_STREAM) : -ENOMEM;

    if (rc == 0)
        rc = flow_open_reader(flow, out);
    if (rc == 0 && (rc = flow_open_writer(flow, false, &l->to)) < 0)
        (*out)->ops->close(*out, 0);
    flow_unref(flow);
    if (rc < 0) {
        free(l);
        return rc;
    }
    drop_closed(e);
    l->next = e->all;
    e->all = l;
    return 0;
}

struct send {
    struct ioreq io;
    ssize_t rc;
};

static void on_sent(struct ioreq *io, ssize_t rc)
{
    container_of(io, struct send, io)->rc = rc;
}

/* Sends one line of at most 4096 bytes whole, or -EAGAIN, or -EPIPE. */
static ssize_t send_line(struct listener *l, const char *line, size_t n)
{
    struct send s = { .io.done = on_sent, .io.nonblock = true, .rc = -EAGAIN };

    if (n > 4096 || slices_copy(&s.io.bytes, line, n) < 0)
        return -EAGAIN;
    l->to->ops->write(l->to, &s.io);
    slices_free(&s.io.bytes);
    return s.rc;
}

static bool tell_one(struct listener *l, const char *line, size_t n)
{
    ssize_t rc = 0;

    if (l->lost) {
        char note[64];
        int len = snprintf(note, sizeof note, "{\"lost\":%lu}\n", l->lost);

        rc = send_line(l, note, (size_t)len);
        if (rc >= 0)
            l->lost = 0;
    }
    if (rc >= 0)
        rc = send_line(l, line, n);
    if (rc < 0)
        l->lost++;
    return rc != -EPIPE;
}

bool events_heard(const struct events *e)
{
    return e->all != NULL;
}

void events_tell(struct events *e, json_t *event)
{
    uint64_t us = wall_us();
    time_t seconds = (time_t)(us / 1000000);
    char stamp[40], *text;
    size_t n;
    struct tm tm;

    if (!e->all) {
        json_decref(event);
        return;
    }
    gmtime_r(&seconds, &tm);
    n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%06uZ", (unsigned)(us % 1000000));
    json_object_set_new(event, "time", json_string(stamp));
    text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    if (!text)
        return;
    n = strlen(text);
    text[n] = '\n';
    for (struct listener **at = &e->all; *at;) {
        if (tell_one(*at, text, n + 1))
            at = &(*at)->next;
        else
            drop(at);
    }
    free(text);
}
