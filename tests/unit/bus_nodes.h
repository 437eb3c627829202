/*
 * bus_nodes.h - two daemons' buses, A and B, in one process, for the tests of the bus.
 */
#ifndef ONEOS_TESTS_UNIT_BUS_NODES_H
#define ONEOS_TESTS_UNIT_BUS_NODES_H

#include "net/bus.h"
#include "base/buf.h"
#include "base/log.h"
#include "tests/unit/netns.h"
#include "tests/unit/tempdir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define B_PORT 7200 /* below those that the kernel chooses: B can be started there again */

struct node {
    struct loop *loop;
    struct identity *id;
    struct bus *bus;
    struct bus_ask *parked;
    bool park;
    unsigned published, missed, asked, strangers, told;
    size_t told_bytes;
    json_int_t next; /* the number that the next publication should carry */
    bool disorder;
    enum bus_type last_type;
    char last_from[ID_MAX], last_key[KEY_Z85];
};

/* What became of a question. */
struct outcome {
    unsigned times, good;
    int rc;
    json_int_t sum;
    char text[256];
};

static char state[256];
static struct loop *loop;
static struct node a, b; /* made by setup() */
static struct oerr err;

static inline void on_published(void *arg, const char *from, enum bus_type type, json_t *body)
{
    struct node *n = arg;
    json_int_t number = json_integer_value(json_object_get(body, "n"));

    n->published++;
    n->last_type = type;
    n->disorder |= number != n->next;
    n->next = number + 1;
    strcpy(n->last_from, from);
}

static inline void on_missed(void *arg, const char *from)
{
    struct node *n = arg;

    n->missed++;
    strcpy(n->last_from, from);
}

/* Answers with the same number, or keeps the question. */
static inline void on_asked(void *arg, struct bus_ask *ask, const char *from, const char *key,
                            enum bus_type type, json_t *body)
{
    struct node *n = arg;

    n->asked++;
    n->strangers += !from;
    n->last_type = type;
    snprintf(n->last_from, sizeof n->last_from, "%s", from ? from : "");
    snprintf(n->last_key, sizeof n->last_key, "%s", key);
    if (n->park)
        n->parked = ask;
    else if (type == BUS_PIPE)
        bus_refuse(ask, -EBUSY, "the name %s is taken", "p");
    else
        bus_answer(ask, json_pack("{s:O?}", "n", json_object_get(body, "n")));
}

static inline void on_told(void *arg, const char *from, enum bus_type type, const void *data,
                           size_t len)
{
    struct node *n = arg;

    n->told++;
    n->told_bytes += len;
    n->last_type = type;
    strcpy(n->last_from, from);
    for (size_t i = 0; i < len; i++)
        n->disorder |= ((const uint8_t *)data)[i] != (uint8_t)i;
}

static const struct bus_ops ops = {
    .published = on_published, .missed = on_missed, .asked = on_asked, .told = on_told
};

static inline void on_done(void *arg, int rc, json_t *body, const char *text)
{
    struct outcome *o = arg;

    o->times++;
    o->good += rc == 0;
    o->rc = rc;
    if (rc == 0)
        o->sum += json_integer_value(json_object_get(body, "n"));
    snprintf(o->text, sizeof o->text, "%s", text ? text : "");
}

static inline void start_at(struct node *n, struct loop *l, uint16_t port)
{
    struct bus_options opt = { .listen = "127.0.0.1", .port = port };

    n->loop = l;
    if (bus_create(&n->bus, l, n->id, &opt, &ops, n, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void load(struct node *n, const char *id)
{
    struct identity_options opt = { .state = state, .id = id };

    memset(n, 0, sizeof *n);
    if (identity_load(&n->id, &opt, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void stop(struct node *n)
{
    bus_destroy(n->bus);
    n->bus = NULL;
}

static inline struct peer_info info_of(const struct node *n)
{
    struct peer_info p = { .incarnation = n->id->incarnation,
                           .address = "127.0.0.1",
                           .req_port = bus_req_port(n->bus),
                           .pub_port = bus_pub_port(n->bus) };

    strcpy(p.id, n->id->id);
    strcpy(p.curve_public, n->id->curve_public);
    return p;
}

static inline void trust(struct node *n, const struct node *peer)
{
    struct peer_info p = info_of(peer);

    assert_int_equal(bus_allow(n->bus, p.id, p.curve_public), 0);
    if (bus_connect(n->bus, &p, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void on_tick(uv_timer_t *t)
{
    (void)t;
}

/* Runs the loop until the condition holds; false after so many ms. The bus works before the loop
 * sleeps, so the loop is woken to look at the condition again. */
#define UNTIL(ms, condition)                                                                       \
    ({                                                                                             \
        uint64_t began_ = now_ms();                                                                \
        uv_timer_t tick_;                                                                          \
        bool held_;                                                                                \
        uv_timer_init(loop_uv(loop), &tick_);                                                      \
        uv_timer_start(&tick_, on_tick, 1, 1);                                                     \
        while (!(held_ = (condition)) && now_ms() - began_ < (ms))                                 \
            uv_run(loop_uv(loop), UV_RUN_ONCE);                                                    \
        uv_close((uv_handle_t *)&tick_, NULL);                                                     \
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);                                                      \
        held_;                                                                                     \
    })

#define SOON(condition) assert_true(UNTIL(20000, condition))

static inline json_t *number(json_int_t n)
{
    return json_pack("{s:I}", "n", n);
}

static inline void ask(struct node *n, const struct node *peer, enum bus_type type,
                       unsigned deadline, struct outcome *o)
{
    assert_int_equal(bus_ask(n->bus, peer->id->id, type, number(7), deadline, on_done, o, NULL), 0);
}

/* Publishes until it is heard: the subscription takes a moment. */
static inline void publish_until_heard(struct node *from, struct node *to)
{
    unsigned before = to->published;

    while (to->published == before) {
        assert_int_equal(bus_publish(from->bus, BUS_HEARTBEAT, number(0)), 0);
        UNTIL(20, to->published > before);
    }
    UNTIL(50, false); /* those on the way */
    to->next = 0;
}

static inline int setup(void **unused)
{
    (void)unused;
    tempdir_make(state);
    if (loop_create(&loop) < 0)
        return -1;
    load(&a, "A");
    load(&b, "B");
    start_at(&a, loop, 0);
    start_at(&b, loop, B_PORT);
    return 0;
}

static inline int teardown(void **unused)
{
    (void)unused;
    stop(&a);
    stop(&b);
    identity_destroy(a.id);
    identity_destroy(b.id);
    loop_destroy(loop);
    tempdir_remove(state);
    return 0;
}

static inline unsigned log_lines(const char *words)
{
    struct obuf out = { 0 };
    unsigned n = 0;

    log_show(&out);
    for (const char *p = out.p; p && (p = strstr(p, words)); p++)
        n++;
    obuf_free(&out);
    return n;
}

#endif
