/*
 * fuzz_rendezvous.c - rv_msg_decode() over any JSON, one a line; what it accepts must encode to the
 * same again, and a core must survive it, as a question and as an answer to what it asked last.
 */
#include "base/cleanup.h"
#include "run/rendezvous_msg.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct core {
    struct rendezvous *rv;
    uint64_t now, call; /* asked last */
    unsigned answers;
};

static void fx_changed(void *arg, const struct pipe_info *p, enum rv_change what)
{
    (void)arg;
    (void)what;
    if (!p->name[0])
        abort();
}

static void fx_ask(void *arg, const char *to, uint64_t call, const struct rv_msg *q)
{
    json_t *body = rv_msg_encode(q);

    (void)to;
    if (!body)
        abort();
    json_decref(body);
    ((struct core *)arg)->call = call;
}

static void fx_answer(void *arg, void *ask, const struct rv_msg *a)
{
    json_t *body = rv_msg_encode(a);

    (void)ask;
    if (!body)
        abort();
    json_decref(body);
    ((struct core *)arg)->answers++;
}

static void fx_done(void *arg, void *op, int rc, const struct pipe_info *p, const char *text)
{
    (void)arg;
    (void)p;
    ++*(unsigned *)op;
    if (rc < 0 && !text)
        abort();
}

static void encode_again(const struct rv_msg *m)
{
    json_t *one = rv_msg_encode(m), *two;
    struct rv_msg again;

    if (!one || rv_msg_decode(&again, one, NULL) < 0)
        abort();
    two = rv_msg_encode(&again);
    if (!two || !json_equal(one, two))
        abort();
    rv_msg_free(&again);
    json_decref(one);
    json_decref(two);
}

static void feed(struct core *c, const char *line, size_t n)
{
    json_t *j = json_loadb(line, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    struct pipe_info out;
    struct rv_msg m;

    if (j && rv_msg_decode(&m, j, NULL) == 0) {
        encode_again(&m);
        c->now += 100;
        if (m.kind < RV_OK)
            rv_asked(c->rv, c->now, "b", c, &m);
        else
            rv_answered(c->rv, c->now, c->call, 0, &m);
        rv_msg_free(&m);
        for (size_t i = 0; i < rv_count(c->rv); i++)
            if (rv_find(c->rv, rv_at(c->rv, i)->name) != rv_at(c->rv, i))
                abort();
        rv_open_writer(c->rv, "p", &out, NULL);
    }
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rv_fx fx = { fx_changed, fx_ask, fx_answer, fx_done };
    const struct pipe_options opt = { .created_us = 1000 };
    const char *text = (const char *)data, *end = text + size;
    struct core c = { .now = 1000 };
    unsigned ended = 0, began = 0;

    if (rv_create(&c.rv, "a", 7, &fx, &c) < 0)
        return 0;
    rv_make(c.rv, c.now, "own", &opt, NULL, NULL, NULL);
    rv_member(c.rv, c.now, "b", 8, MEMBER_ALIVE);
    began += rv_make(c.rv, c.now, "p", &opt, &ended, NULL, NULL) == 1;
    while (text < end) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);

        feed(&c, text, n);
        if (began < 16)
            began += rv_open_reader(c.rv, c.now, "p", &ended, NULL, NULL) == 1;
        text += n + (nl != NULL);
    }
    for (uint64_t until = c.now + RV_DEADLINE_MS; c.now < until; c.now += 50)
        rv_tick(c.rv, c.now);
    rv_tick(c.rv, c.now);
    if (ended != began)
        abort();
    rv_destroy(c.rv);
    return 0;
}
