/*
 * bench_bus.c - question and answer over the bus, beside raw ZeroMQ with CURVE.
 *
 * Two threads, each with its own loop (or, raw, its own context), over loopback. Prints the median
 * round trip with one question outstanding and the rate with 64, of several rounds that alternate
 * between the two.
 */
#include "net/bus.h"
#include "tests/unit/tempdir.h"

#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ROUNDS      5
#define LATENCY_N   4000
#define RATE_N      60000
#define OUTSTANDING 64

enum { LATENCY, RATE, MEASURES };

static struct identity *load(const char *state, const char *id)
{
    struct identity_options opt = { .state = state, .id = id };
    struct identity *i;
    struct oerr e;

    if (identity_load(&i, &opt, &e) < 0)
        errx(1, "%s", e.text);
    return i;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

/* ---- the bus ---- */

struct side {
    struct loop *loop;
    struct bus *bus;
    pthread_t thread;
};

struct run {
    struct side *asker;
    unsigned left, under_way;
    uint64_t began;
    double *took;
    unsigned n;
};

static void asked(void *arg, struct bus_ask *ask, const char *from, const char *key,
                  enum bus_type type, json_t *body)
{
    (void)arg;
    (void)from;
    (void)key;
    (void)type;
    (void)body;
    bus_answer(ask, json_pack("{s:i}", "ok", 1));
}

static const struct bus_ops ops = { .asked = asked };

static void next(struct run *r);

static void done(void *arg, int rc, json_t *body, const char *text)
{
    struct run *r = arg;

    (void)body;
    if (rc < 0)
        errx(1, "a question failed: %s", text);
    r->under_way--;
    if (r->took)
        r->took[r->n++] = (double)(uv_hrtime() - r->began) / 1e3;
    next(r);
}

static void next(struct run *r)
{
    unsigned most = r->took ? 1 : OUTSTANDING;

    while (r->left > 0 && r->under_way < most) {
        r->left--;
        r->under_way++;
        if (r->took)
            r->began = uv_hrtime();
        if (bus_ask(r->asker->bus, "B", BUS_TREE, json_pack("{s:s}", "op", "read"), 10000, done, r,
                    NULL) < 0)
            errx(1, "a question could not be asked");
    }
    if (r->under_way == 0)
        uv_stop(loop_uv(r->asker->loop)); /* unlike loop_stop(), not for good */
}

static void bus_run(struct side *asker, struct run *r)
{
    next(r);
    uv_run(loop_uv(asker->loop), UV_RUN_DEFAULT);
}

static void *serve(void *arg)
{
    loop_run(((struct side *)arg)->loop);
    return NULL;
}

static void open_side(struct side *s, const struct identity *me, const struct identity *other)
{
    struct bus_options opt = { .listen = "127.0.0.1" };
    struct oerr e;

    if (loop_create(&s->loop) < 0 || bus_create(&s->bus, s->loop, me, &opt, &ops, s, &e) < 0)
        errx(1, "%s", e.text);
    bus_allow(s->bus, other->id, other->curve_public);
}

static void open_sides(struct side *a, struct side *b, const struct identity *ia,
                       const struct identity *ib)
{
    struct peer_info p = { .address = "127.0.0.1" };
    struct oerr e;

    open_side(a, ia, ib);
    open_side(b, ib, ia);
    strcpy(p.id, ib->id);
    strcpy(p.curve_public, ib->curve_public);
    p.req_port = bus_req_port(b->bus);
    p.pub_port = bus_pub_port(b->bus);
    if (bus_connect(a->bus, &p, &e) < 0)
        errx(1, "%s", e.text);
    pthread_create(&b->thread, NULL, serve, b);
}

static void close_sides(struct side *a, struct side *b)
{
    loop_stop(b->loop);
    pthread_join(b->thread, NULL);
    bus_destroy(a->bus);
    bus_destroy(b->bus);
    loop_destroy(a->loop);
    loop_destroy(b->loop);
}

static void measure_bus(struct side *a, double out[MEASURES])
{
    double *took = calloc(LATENCY_N, sizeof *took);
    struct run latency = { .asker = a, .left = LATENCY_N, .took = took };
    struct run rate = { .asker = a, .left = RATE_N };
    uint64_t began;

    bus_run(a, &latency);
    out[LATENCY] = median(took, LATENCY_N);
    began = uv_hrtime();
    bus_run(a, &rate);
    out[RATE] = RATE_N / ((double)(uv_hrtime() - began) / 1e9);
    free(took);
}

/* ---- raw ZeroMQ: the same sockets, no header, no JSON, blocking calls ---- */

struct raw {
    void *ctx, *socket;
    pthread_t thread;
};

static void *echo(void *arg)
{
    struct raw *r = arg;
    zmq_msg_t m;

    for (;;) {
        int more;

        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, r->socket, 0) < 0)
            break;
        more = zmq_msg_more(&m);
        zmq_msg_send(&m, r->socket, more ? ZMQ_SNDMORE : 0);
    }
    zmq_close(r->socket);
    return NULL;
}

static void open_raw(struct raw *a, struct raw *b, const struct identity *ia,
                     const struct identity *ib)
{
    char endpoint[128];
    size_t size = sizeof endpoint;
    int yes = 1;

    a->ctx = zmq_ctx_new();
    b->ctx = zmq_ctx_new();
    b->socket = zmq_socket(b->ctx, ZMQ_ROUTER);
    zmq_setsockopt(b->socket, ZMQ_CURVE_SECRETKEY, ib->curve_secret, KEY_Z85);
    zmq_setsockopt(b->socket, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    if (zmq_bind(b->socket, "tcp://127.0.0.1:*") < 0 ||
        zmq_getsockopt(b->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        errx(1, "cannot listen");
    a->socket = zmq_socket(a->ctx, ZMQ_DEALER);
    zmq_setsockopt(a->socket, ZMQ_CURVE_SECRETKEY, ia->curve_secret, KEY_Z85);
    zmq_setsockopt(a->socket, ZMQ_CURVE_PUBLICKEY, ia->curve_public, KEY_Z85);
    zmq_setsockopt(a->socket, ZMQ_CURVE_SERVERKEY, ib->curve_public, KEY_Z85);
    zmq_connect(a->socket, endpoint);
    pthread_create(&b->thread, NULL, echo, b);
}

static void close_raw(struct raw *a, struct raw *b)
{
    zmq_close(a->socket);
    zmq_ctx_term(a->ctx);
    zmq_ctx_shutdown(b->ctx);
    pthread_join(b->thread, NULL);
    zmq_ctx_term(b->ctx);
}

static void measure_raw(struct raw *a, double out[MEASURES])
{
    static const char body[] = "{\"op\":\"read\"}";
    double *took = calloc(LATENCY_N, sizeof *took);
    char buf[64];
    uint64_t began;

    for (int n = 0; n < LATENCY_N; n++) {
        began = uv_hrtime();
        zmq_send(a->socket, body, sizeof body - 1, 0);
        zmq_recv(a->socket, buf, sizeof buf, 0);
        took[n] = (double)(uv_hrtime() - began) / 1e3;
    }
    out[LATENCY] = median(took, LATENCY_N);
    began = uv_hrtime();
    for (int n = 0; n < RATE_N + OUTSTANDING; n++) {
        if (n < RATE_N)
            zmq_send(a->socket, body, sizeof body - 1, 0);
        if (n >= OUTSTANDING)
            zmq_recv(a->socket, buf, sizeof buf, 0);
    }
    out[RATE] = RATE_N / ((double)(uv_hrtime() - began) / 1e9);
    free(took);
}

int main(void)
{
    double bus[MEASURES][ROUNDS], raw[MEASURES][ROUNDS];
    char state[256];
    struct identity *ia, *ib;
    struct side sa, sb;
    struct raw ra, rb;

    tempdir_make(state);
    ia = load(state, "A");
    ib = load(state, "B");
    open_sides(&sa, &sb, ia, ib);
    open_raw(&ra, &rb, ia, ib);
    for (int n = 0; n < ROUNDS; n++) {
        double b[MEASURES], r[MEASURES];

        measure_raw(&ra, r);
        measure_bus(&sa, b);
        for (int m = 0; m < MEASURES; m++) {
            bus[m][n] = b[m];
            raw[m][n] = r[m];
        }
    }
    printf("%-28s %12s %12s %8s\n", "question and answer, CURVE", "bus", "raw ZeroMQ", "ratio");
    printf("%-28s %9.0f us %9.0f us %8.2f\n", "1 outstanding, median", median(bus[LATENCY], ROUNDS),
           median(raw[LATENCY], ROUNDS),
           median(bus[LATENCY], ROUNDS) / median(raw[LATENCY], ROUNDS));
    printf("%-28s %10.0f/s %10.0f/s %8.2f\n", "64 outstanding", median(bus[RATE], ROUNDS),
           median(raw[RATE], ROUNDS), median(bus[RATE], ROUNDS) / median(raw[RATE], ROUNDS));
    close_sides(&sa, &sb);
    close_raw(&ra, &rb);
    identity_destroy(ia);
    identity_destroy(ib);
    tempdir_remove(state);
    return 0;
}
