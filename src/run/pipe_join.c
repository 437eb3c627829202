/*
 * pipe_join.c - opens a channel to the holder of a pipe, and waits for its word before a byte
 * moves.
 *
 * The holder refuses an epoch that it does not hold (no longer, or not yet: the registry may tell
 * others sooner than itself) with -ESTALE. What had been written to such a channel would be lost,
 * so a holder that accepts says one byte first, and only then the channel is used.
 *
 *   waiting -> done(stream)
 *           -> pausing (PAUSE_MS) -> done(-errno)    so that who tries again does not spin
 *
 * A channel's spec: {"pipe": UID, "epoch": E, "dir": "r"|"w"}.
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <utlist.h>

#define PAUSE_MS 25

struct pipe_join {
    struct pipes *pipes;
    struct pipe_join *prev, *next; /* of those that are not given up */
    struct loop *core;
    struct stream *stream;
    struct ioreq io; /* the holder's word */
    ssize_t rc;
    struct task task;
    uv_timer_t pause;
    bool answered, given_up;
    pipe_joined_fn *done;
    void *arg;
};

static void on_closed(uv_handle_t *h)
{
    free(container_of((uv_timer_t *)h, struct pipe_join, pause));
}

static void join_free(struct pipe_join *j)
{
    if (!j->given_up)
        DL_DELETE(j->pipes->joins, j);
    if (j->stream)
        j->stream->ops->close(j->stream, -EIO);
    slices_free(&j->io.bytes);
    uv_close((uv_handle_t *)&j->pause, on_closed);
}

static void on_pause(uv_timer_t *timer)
{
    struct pipe_join *j = container_of(timer, struct pipe_join, pause);

    j->done(j->arg, (int)j->rc, NULL);
    join_free(j);
}

static void on_task(struct task *t)
{
    struct pipe_join *j = container_of(t, struct pipe_join, task);

    j->answered = true;
    if (j->given_up) {
        join_free(j);
    } else if (j->rc > 0) {
        j->done(j->arg, 0, take_ptr(j->stream));
        join_free(j);
    } else {
        j->rc = j->rc == 0 ? -EPROTO : j->rc;
        uv_timer_start(&j->pause, on_pause, PAUSE_MS, 0);
    }
}

/* Any thread. */
static void on_word(struct ioreq *io, ssize_t rc)
{
    struct pipe_join *j = container_of(io, struct pipe_join, io);

    j->rc = rc;
    loop_post(j->core, &j->task);
}

int pipe_join(struct pipe_join **out, struct pipes *p, const struct pipe_info *info, char dir,
              pipe_joined_fn *done, void *arg)
{
    char way[] = { dir, '\0' };
    json_t *spec = json_pack("{s:I, s:I, s:s}", "pipe", (json_int_t)info->uid, "epoch",
                             (json_int_t)info->epoch, "dir", way);
    cleanup_free char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
    cleanup_free struct pipe_join *j = calloc(1, sizeof *j);
    int rc;

    json_decref(spec);
    if (!text || !j)
        return -ENOMEM;
    rc = link_open(p->links, info->holder, text, &j->stream);
    if (rc < 0)
        return rc;
    j->pipes = p;
    j->core = p->core;
    j->io = (struct ioreq){ .done = on_word, .size = 1 };
    j->task.run = on_task;
    j->done = done;
    j->arg = arg;
    uv_timer_init(loop_uv(p->core), &j->pause);
    DL_APPEND(p->joins, j);
    *out = j;
    j->stream->ops->read(j->stream, &j->io);
    j = NULL;
    return 0;
}

void pipe_join_cancel(struct pipe_join *j)
{
    if (j->answered || j->stream->ops->cancel(j->stream, &j->io)) {
        join_free(j);
    } else { /* the task is on its way */
        DL_DELETE(j->pipes->joins, j);
        j->given_up = true;
    }
}

void pipe_joins_end(struct pipes *p)
{
    while (p->joins) {
        struct pipe_join *j = p->joins;

        j->done(j->arg, -ECANCELED, NULL);
        pipe_join_cancel(j);
    }
}

/* ---- the holder's side: an end of the buffer that says its word first */

struct door {
    struct stream s;
    struct stream *end;
    bool said; /* one reader: the channel */
};

static struct door *door_of(struct stream *s)
{
    return container_of(s, struct door, s);
}

static void door_read(struct stream *s, struct ioreq *r)
{
    struct door *d = door_of(s);
    int rc;

    if (!d->said) {
        d->said = true;
        rc = slices_copy(&r->bytes, "+", 1);
        r->done(r, rc < 0 ? rc : 1);
    } else if (d->end->ops->read) {
        d->end->ops->read(d->end, r);
    } else {
        r->done(r, 0);
    }
}

static void door_write(struct stream *s, struct ioreq *r)
{
    struct door *d = door_of(s);

    d->end->ops->write(d->end, r);
}

static bool door_cancel(struct stream *s, struct ioreq *r)
{
    return door_of(s)->end->ops->cancel(door_of(s)->end, r);
}

static short door_poll(struct stream *s, struct iowatch *w)
{
    return door_of(s)->end->ops->poll(door_of(s)->end, w);
}

static void door_unwatch(struct stream *s, struct iowatch *w)
{
    door_of(s)->end->ops->unwatch(door_of(s)->end, w);
}

static void door_close(struct stream *s, int how)
{
    struct door *d = door_of(s);

    d->end->ops->close(d->end, how);
    free(d);
}

static const struct stream_ops door_ops = { .read = door_read,
                                            .write = door_write,
                                            .cancel = door_cancel,
                                            .poll = door_poll,
                                            .unwatch = door_unwatch,
                                            .close = door_close };

int pipe_door(struct stream **out, struct stream *end)
{
    struct door *d = calloc(1, sizeof *d);

    if (!d) {
        end->ops->close(end, -ENOMEM);
        return -ENOMEM;
    }
    d->s.ops = &door_ops;
    d->end = end;
    *out = &d->s;
    return 0;
}
