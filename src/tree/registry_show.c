/*
 * registry_show.c - the registry for people: machines/ID/registry, its state, and registry.log.
 *
 * Both are made whole when they are opened, and may be larger than what one answer to another
 * machine may hold: so they are streams, of what is there already.
 */
#include "tree/system.h"
#include "base/cleanup.h"
#include "base/flow.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define PIECE ((size_t)1 << 20) /* of one write */
#define SPARE ((size_t)1 << 16) /* a flow takes nothing more when it is nearly full */

struct put {
    struct ioreq io;
    ssize_t rc;
};

static void on_put(struct ioreq *io, ssize_t rc)
{
    container_of(io, struct put, io)->rc = rc;
}

static int put_piece(struct stream *to, const char *text, size_t n)
{
    struct put p = { .io.done = on_put, .io.nonblock = true, .rc = -EIO };
    int rc = slices_copy(&p.io.bytes, text, n);

    if (rc == 0)
        to->ops->write(to, &p.io);
    slices_free(&p.io.bytes);
    return rc < 0 ? rc : p.rc == (ssize_t)n ? 0 : -EIO;
}

static int put_text(struct stream *to, const struct obuf *text)
{
    int rc = 0;

    for (size_t at = 0, n; rc == 0 && at < text->len; at += n) {
        n = text->len - at < PIECE ? text->len - at : PIECE;
        rc = put_piece(to, text->p + at, n);
    }
    return rc;
}

/* A stream that gives the text and ends. */
static int stream_of(const struct obuf *text, struct stream **out)
{
    struct stream *reader = NULL, *writer = NULL;
    struct flow *flow = NULL;
    int rc = flow_create(&flow, text->len + SPARE, FLOW_STREAM);

    if (rc == 0)
        rc = flow_open_reader(flow, &reader);
    if (rc == 0)
        rc = flow_open_writer(flow, false, &writer);
    if (rc == 0)
        rc = put_text(writer, text);
    if (writer)
        writer->ops->close(writer, rc);
    if (rc < 0 && reader)
        reader->ops->close(reader, 0);
    flow_unref(flow);
    *out = reader;
    return rc;
}

/* Keys of the registry's own begin with `_` and come last. */
static void put_keys(struct registry_view *v, bool own, struct obuf *out)
{
    char key[REGISTRY_KEY_MAX] = "";
    const char *text;
    size_t n;

    while (view_next(v, own ? "_" : "", key, key, NULL) == 0) {
        if ((*key == '_') != own || view_text(v, key, &text, &n) < 0)
            continue;
        obuf_printf(out, "%s ", key);
        obuf_put(out, text, n);
        obuf_puts(out, "\n");
    }
}

int open_registry(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    struct obuf text = { 0 };
    struct registry_view *v;
    int rc = registry_read(replica_registry(system_of(at)->replica), &v);

    (void)user, (void)flags;
    if (rc < 0)
        return rc;
    put_keys(v, false, &text);
    put_keys(v, true, &text);
    registry_view_end(v);
    rc = obuf_check(&text);
    if (rc == 0)
        rc = stream_of(&text, out);
    obuf_free(&text);
    return rc;
}

int open_registry_log(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    struct obuf text = { 0 };
    struct oerr e = { "" };
    int rc = replica_log(system_of(at)->replica, &text, &e);

    (void)user, (void)flags;
    if (rc < 0)
        log_warn("registry", "its log cannot be shown: %s", e.text);
    else
        rc = stream_of(&text, out);
    obuf_free(&text);
    return rc;
}
