/*
 * etcd_client.c - a client of one etcd server: gRPC by hand over one HTTP/2 connection.
 *
 *   etcd_client PORT, then lines on standard input, each answered by one (see lines.h):
 *     leads                  "leads yes", "leads no", "leads none" (it knows no leader)
 *     settled                when a linearizable read comes back: "settled"
 *     load OUTSTANDING SECONDS    puts: figures (pace.h)
 *     lread OUTSTANDING SECONDS   linearizable reads: figures
 *     failover PID           kills it, and tells when a put is acknowledged again
 *
 * gRPC is a POST to /PACKAGE.SERVICE/METHOD with a body of one byte 0, four bytes of length, and a
 * protobuf message; the answer likewise, with the header grpc-status at its end (0: done).
 */
#include "tests/lib/lines.h"
#include "tests/lib/pace.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS      1000
#define VALUE     100
#define REPLY_MAX 512
#define AGAIN_MS  20

struct client {
    uv_loop_t loop;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_timer_t again;
    struct obuf out, going; /* to be written; being written */
    bool writing, pumping;
    char authority[32];
    char in[65536];
    nghttp2_session *h2;
    struct pace *pace;
};

/* One request and what came back. */
struct call {
    struct client *c;
    void (*done)(struct call *call);
    void *token;
    uint8_t body[VALUE + 64], reply[REPLY_MAX];
    size_t len, sent, got;
    bool ok;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "etcd_client: %s: %s\n", what, why);
    exit(1);
}

/* ---- protobuf: fields of bytes, and what a reply says */

static void pb_bytes(struct call *call, unsigned field, const void *data, size_t n)
{
    call->body[call->len++] = (uint8_t)(field << 3 | 2);
    call->body[call->len++] = (uint8_t)n; /* below 128 */
    memcpy(call->body + call->len, data, n);
    call->len += n;
}

static uint64_t pb_varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t n = 0;

    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;

        n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return n;
}

/* The number in that field, 0 where it is not; for a field of bytes, those are put into *inner. */
static uint64_t pb_find(const uint8_t *p, size_t len, unsigned field, const uint8_t **inner)
{
    const uint8_t *end = p + len;

    while (p < end) {
        uint64_t tag = pb_varint(&p, end), n = pb_varint(&p, end);

        if ((tag & 7) == 2 && n > (uint64_t)(end - p))
            return 0;
        if (tag >> 3 == field) {
            *inner = p;
            return n;
        }
        if ((tag & 7) == 2)
            p += n;
    }
    return 0;
}

/* ---- HTTP/2 */

static void pump(struct client *c);

static void on_written(uv_write_t *w, int status)
{
    struct client *c = container_of(w, struct client, write);

    if (status < 0)
        die("cannot write", uv_strerror(status));
    c->writing = false;
    pump(c);
}

/* Writes what nghttp2 has to say, one write at a time. */
static void pump(struct client *c)
{
    const uint8_t *data;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(c->h2, &data)) > 0)
        obuf_put(&c->out, data, (size_t)n);
    if (n < 0)
        die("HTTP/2", nghttp2_strerror((int)n));
    if (!c->writing && c->out.len > 0) {
        struct obuf empty = c->going;
        uv_buf_t buf;

        c->going = c->out;
        c->out = empty;
        obuf_reset(&c->out);
        buf = uv_buf_init(c->going.p, (unsigned)c->going.len);
        c->writing = true;
        uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
    }
}

static ssize_t on_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    size_t n = call->len - call->sent < room ? call->len - call->sent : room;

    (void)h2, (void)id, (void)user;
    memcpy(buf, call->body + call->sent, n);
    call->sent += n;
    if (call->sent == call->len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)name,
                         .value = (uint8_t *)value,
                         .namelen = strlen(name),
                         .valuelen = strlen(value) };
}

static struct call *call_new(struct client *c, void (*done)(struct call *call), void *token)
{
    struct call *call = calloc(1, sizeof *call);

    if (!call)
        abort();
    call->c = c;
    call->done = done;
    call->token = token;
    call->len = 5; /* the prefix */
    return call;
}

/* Asks; done follows. */
static void ask(struct call *call, const char *path)
{
    struct client *c = call->c;
    const nghttp2_nv headers[] = { header(":method", "POST"),
                                   header(":scheme", "http"),
                                   header(":path", path),
                                   header(":authority", c->authority),
                                   header("content-type", "application/grpc"),
                                   header("te", "trailers") };
    nghttp2_data_provider body = { .source.ptr = call, .read_callback = on_body };
    uint32_t len = htonl((uint32_t)call->len - 5);
    int32_t id;

    memcpy(call->body + 1, &len, sizeof len);
    id = nghttp2_submit_request(c->h2, NULL, headers, ARRAY_SIZE(headers), &body, call);
    if (id < 0)
        die("HTTP/2", nghttp2_strerror(id));
    if (!c->pumping)
        pump(c);
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t n,
                     const uint8_t *value, size_t len, uint8_t flags, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);

    (void)flags, (void)user;
    if (call && n == strlen("grpc-status") && memcmp(name, "grpc-status", n) == 0)
        call->ok = len == 1 && *value == '0';
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(h2, id);

    (void)flags, (void)user;
    if (call && call->got + len <= sizeof call->reply) {
        memcpy(call->reply + call->got, data, len);
        call->got += len;
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t error, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(h2, id);

    (void)error, (void)user;
    if (call) {
        call->done(call);
        free(call);
    }
    return 0;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct client *c = container_of((uv_tcp_t *)handle, struct client, tcp);

    (void)suggested;
    *out = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = container_of((uv_tcp_t *)stream, struct client, tcp);

    if (n < 0)
        die("the server went away", uv_strerror((int)n));
    c->pumping = true;
    n = nghttp2_session_mem_recv(c->h2, (const uint8_t *)buf->base, (size_t)n);
    c->pumping = false;
    if (n < 0)
        die("HTTP/2", nghttp2_strerror((int)n));
    pump(c);
}

/* ---- what is asked */

static void answered(struct call *call)
{
    pace_answered(call->c->pace, call->token, call->ok);
}

static void put_key(struct call *call)
{
    char key[32];

    pb_bytes(call, 1, key,
             (size_t)snprintf(key, sizeof key, "key%u", pace_random(call->c->pace) % KEYS));
}

static int begin_put(void *arg, struct pace *p, void *token)
{
    struct call *call = call_new(arg, answered, token);
    char value[VALUE];

    memset(value, 'a' + pace_random(p) % 26, sizeof value);
    put_key(call);
    pb_bytes(call, 2, value, sizeof value);
    ask(call, "/etcdserverpb.KV/Put");
    return 0;
}

static int begin_read(void *arg, struct pace *p, void *token)
{
    struct call *call = call_new(arg, answered, token);

    (void)p;
    put_key(call);
    ask(call, "/etcdserverpb.KV/Range");
    return 0;
}

/* StatusResponse: header (1) {member_id (2)}, leader (4). */
static void on_status(struct call *call)
{
    const uint8_t *head = NULL, *unused;
    uint64_t len, self, leader;

    if (!call->ok || call->got < 5) {
        say("leads none");
        return;
    }
    leader = pb_find(call->reply + 5, call->got - 5, 4, &unused);
    len = pb_find(call->reply + 5, call->got - 5, 1, &head);
    self = head ? pb_find(head, len, 2, &unused) : 0;
    say("leads %s", !leader ? "none" : leader == self ? "yes" : "no");
}

static void do_leads(void *arg, int n, char **words)
{
    (void)n, (void)words;
    ask(call_new(arg, on_status, NULL), "/etcdserverpb.Maintenance/Status");
}

static void do_load(void *arg, int n, char **words)
{
    struct client *c = arg;

    (void)n;
    pace_run(c->pace, "load", (unsigned)atoi(words[0]), atof(words[1]), begin_put);
}

static void do_lread(void *arg, int n, char **words)
{
    struct client *c = arg;

    (void)n;
    pace_run(c->pace, "lread", (unsigned)atoi(words[0]), atof(words[1]), begin_read);
}

static void do_failover(void *arg, int n, char **words)
{
    struct client *c = arg;

    (void)n;
    pace_failover(c->pace, atoi(words[0]), begin_put);
}

static void settle(uv_timer_t *timer);

static void on_settled(struct call *call)
{
    if (call->ok)
        say("settled");
    else
        uv_timer_start(&call->c->again, settle, AGAIN_MS, 0);
}

static void settle(uv_timer_t *timer)
{
    struct client *c = container_of(timer, struct client, again);
    struct call *call = call_new(c, on_settled, NULL);

    put_key(call);
    ask(call, "/etcdserverpb.KV/Range");
}

static void do_settled(void *arg, int n, char **words)
{
    struct client *c = arg;

    (void)n, (void)words;
    settle(&c->again);
}

static const struct line_verb verbs[] = {
    { "leads", 0, 0, do_leads }, { "settled", 0, 0, do_settled },   { "load", 2, 2, do_load },
    { "lread", 2, 2, do_lread }, { "failover", 1, 1, do_failover }, { 0 },
};

static void on_end(void *arg)
{
    (void)arg;
    exit(0);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct client *c = container_of(connect, struct client, connect);

    if (status < 0)
        die("cannot connect", uv_strerror(status));
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
    nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, NULL, 0);
    pump(c);
    lines_start(&c->loop, verbs, on_end, c);
}

int main(int argc, char **argv)
{
    static struct client c;
    nghttp2_session_callbacks *callbacks;
    struct sockaddr_in address;

    if (argc != 2 || uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address) < 0)
        die("usage", "etcd_client PORT");
    snprintf(c.authority, sizeof c.authority, "127.0.0.1:%s", argv[1]);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new(&c.h2, callbacks, &c);
    uv_loop_init(&c.loop);
    uv_timer_init(&c.loop, &c.again);
    uv_tcp_init(&c.loop, &c.tcp);
    c.pace = pace_create(&c.loop, &c);
    uv_tcp_connect(&c.connect, &c.tcp, (struct sockaddr *)&address, on_connected);
    return uv_run(&c.loop, UV_RUN_DEFAULT);
}
