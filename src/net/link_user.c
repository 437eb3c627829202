/*
 * link_user.c - the calls that make channels, from any thread: link_open, link_accept, link_refuse.
 *
 * An opener's user holds the other ends of two flows, so his reads and writes need no link; all
 * else is a task for the data loop.
 */
#include "net/link_private.h"

#include <errno.h>
#include <string.h>

static void do_open(struct task *t)
{
    struct chan *c = container_of(t, struct chan, task);
    struct peer *p;

    chan_list(c);
    HASH_FIND_STR(c->l->peers, c->text, p);
    if (p)
        link_add(&p->out, c);
    else
        chan_break(c, -EHOSTUNREACH);
    chan_touch(c);
}

static int make_flows(struct chan *c, struct stream **user)
{
    struct flow *in = NULL;
    struct stream *reader = NULL, *writer = NULL;
    int rc = flow_create(&c->out_flow, LINK_LOCAL_BYTES, FLOW_STREAM);

    if (rc == 0)
        rc = flow_create(&in, LINK_LOCAL_BYTES, FLOW_STREAM);
    if (rc == 0)
        rc = flow_open_carrier(c->out_flow, &c->out.s);
    if (rc == 0)
        rc = flow_open_writer(c->out_flow, false, &writer);
    if (rc == 0)
        rc = flow_open_writer(in, false, &c->in.s);
    if (rc == 0)
        rc = flow_open_reader(in, &reader);
    if (rc == 0)
        rc = link_stream_create(user, reader, writer);
    if (rc < 0 && reader)
        reader->ops->close(reader, 0);
    if (rc < 0 && writer)
        writer->ops->close(writer, 0);
    if (in)
        flow_unref(in);
    return rc;
}

static int make_opener(struct links *l, const char *peer, const char *spec, struct chan **out,
                       struct stream **user)
{
    size_t peer_len = strlen(peer) + 1, spec_len = strlen(spec) + 1;
    struct chan *c;
    int rc = chan_create(&c, l, peer_len + spec_len);

    if (rc < 0)
        return rc;
    memcpy(c->text, peer, peer_len);
    c->spec = memcpy(c->text + peer_len, spec, spec_len);
    c->opener = true;
    c->task.run = do_open;
    rc = make_flows(c, user);
    if (rc < 0) {
        chan_drop(c);
        return rc;
    }
    *out = c;
    return 0;
}

static void do_answer(struct task *t)
{
    struct chan *c = container_of(t, struct chan, task);
    bool reads = c->answer && (c->answer_dir & LINK_READ);
    bool writes = c->answer && (c->answer_dir & LINK_WRITE);
    int rc = c->answer ? -EBADF : c->answer_rc;

    c->offered = false;
    c->shared = c->answer != NULL;
    c->in.s = c->out.s = c->answer;
    if (!reads) { /* the peer reads nothing from here */
        session_end(&c->w, rc);
        c->out.over = true;
    }
    if (!writes) {
        chan_drop_received(c);
        session_stop(&c->w, rc);
        c->in.over = true;
    }
    chan_touch(c);
}

/* Posts the user's answer; when the links are dead, only the memory and the stream are left. */
static void answer(struct chan *c)
{
    c->task.run = do_answer;
    if (!links_post(c->l, &c->task)) {
        c->in.s = c->answer;
        chan_drop(c);
    }
}

void link_accept(struct chan *c, struct stream *s, int dir)
{
    c->answer = s;
    c->answer_dir = dir;
    answer(c);
}

void link_refuse(struct chan *c, int rc)
{
    c->answer = NULL;
    c->answer_rc = rc < 0 ? rc : -ECONNREFUSED;
    answer(c);
}

int link_open(struct links *l, const char *peer, const char *spec, struct stream **out)
{
    struct chan *c;
    int rc;

    if (strlen(spec) > LINK_SPEC_MAX)
        return -EMSGSIZE;
    rc = make_opener(l, peer, spec, &c, out);
    if (rc == 0 && !links_post(l, &c->task)) {
        (*out)->ops->close(*out, 0);
        chan_drop(c);
        rc = -ECANCELED;
    }
    return rc;
}
