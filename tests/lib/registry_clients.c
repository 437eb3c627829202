/*
 * registry_clients.c - clients that read, write and compare-and-set a few registers (kv/rN), one
 * operation after the other each, and a file of all they did: check_history judges such files of
 * all machines together. It is written line by line, so that it tells of a process that was killed
 * too. Times are CLOCK_MONOTONIC, in ns.
 *
 *   call OP TIME CLIENT read|write|cas KEY A B      A: written, or compared with; B: put in its
 * place ret OP TIME RESULT                              of a read the value, of a cas 1 done, 0 not
 *   lost OP                                         nobody knows whether it happened
 *
 * A register that is not there holds 0. Written values are never written twice. After PERIOD_MS all
 * go over to other registers, so that no history of one becomes too long to be judged.
 */
#include "registry_node.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define KEYS_MAX  64
#define PAUSE_MS  20
#define PERIOD_MS 20000
#define REST_MS   100 /* after a failure */

enum kind { READ, WRITE, CAS };
static const char *const names[] = { "read", "write", "cas" };

struct client {
    struct node *n;
    unsigned number;
    uv_timer_t pause;
    enum kind kind;
    unsigned op, slot, key;
    unsigned period;
    int64_t seen[KEYS_MAX];
    struct client *next;
};

static struct {
    int file;
    uint64_t base; /* of this process's operations and values */
    unsigned ops, lost, busy, keys;
    int64_t written;
    uint32_t random;
    uint64_t ends_ms;
    struct client *all;
} run = { .file = -1 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_call(struct client *c, int64_t a, int64_t b)
{
    c->op = ++run.ops;
    dprintf(run.file,
            "call %" PRIx64 ".%u %" PRIu64 " %" PRIx64 ".%u %s %u %" PRId64 " %" PRId64 "\n",
            run.base, c->op, now_ns(), run.base, c->number, names[c->kind], c->key, a, b);
}

static void note_ret(struct client *c, int64_t result)
{
    dprintf(run.file, "ret %" PRIx64 ".%u %" PRIu64 " %" PRId64 "\n", run.base, c->op, now_ns(),
            result);
}

static void note_lost(struct client *c)
{
    run.lost++;
    dprintf(run.file, "lost %" PRIx64 ".%u\n", run.base, c->op);
}

static uint32_t draw(void)
{
    run.random ^= run.random << 13;
    run.random ^= run.random >> 17;
    run.random ^= run.random << 5;
    return run.random;
}

static json_t *value(int64_t v)
{
    return v ? json_integer(v) : json_null();
}

static int64_t read_here(struct client *c)
{
    char name[16], key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    json_t *is = NULL;
    int64_t n = 0;
    int rc = registry_read(replica_registry(c->n->replica), &v);

    if (rc < 0)
        return rc;
    snprintf(name, sizeof name, "r%u", c->key);
    kv_key(key, name);
    rc = view_get(v, key, &is);
    if (rc == 0)
        n = json_integer_value(is);
    json_decref(is);
    registry_view_end(v);
    return rc == 0 || rc == -ENOENT ? n : rc;
}

static void next(uv_timer_t *timer);

static void rest(struct client *c, unsigned ms)
{
    uv_timer_start(&c->pause, next, ms, 0);
}

static void on_answer(void *arg, int rc, const json_t *body, const char *text)
{
    struct client *c = arg;
    int64_t result = c->kind == READ ? 0 : rc == 0;

    (void)body, (void)text;
    if (rc == 0 && c->kind == READ) {
        result = read_here(c);
        if (result < 0)
            rc = (int)result;
        else
            c->seen[c->slot] = result;
    }
    if (rc == 0 || (c->kind == CAS && rc == -ESTALE))
        note_ret(c, result);
    else
        note_lost(c);
    rest(c, rc == 0 || rc == -ESTALE ? draw() % PAUSE_MS : REST_MS);
}

static int ask(struct client *c, int64_t a, int64_t b)
{
    char name[16];

    snprintf(name, sizeof name, "r%u", c->key);
    if (c->kind == READ)
        return replica_barrier(c->n->replica, DEADLINE_MS, on_answer, c);
    return (draw() % 4 ? replica_submit : replica_submit_later)(
        c->n->replica, c->kind == WRITE ? "kv.put" : "kv.cas",
        c->kind == WRITE
            ? json_pack("{s:s, s:I}", "key", name, "value", (json_int_t)a)
            : json_pack("{s:s, s:o, s:I}", "key", name, "old", value(a), "new", (json_int_t)b),
        DEADLINE_MS, on_answer, c);
}

static int64_t fresh(void)
{
    return (int64_t)((run.base & 0xffffffffff) << 22) + ++run.written;
}

static void choose_key(struct client *c, uint32_t chance)
{
    unsigned period = (unsigned)(now_ms() / PERIOD_MS);

    if (period != c->period)
        memset(c->seen, 0, sizeof c->seen);
    c->period = period;
    c->slot = chance % run.keys;
    c->key = period * KEYS_MAX + c->slot;
}

static void next(uv_timer_t *timer)
{
    struct client *c = container_of(timer, struct client, pause);
    uint32_t chance = draw();
    int64_t a = 0, b = 0;
    int rc;

    if (now_ms() >= run.ends_ms) {
        if (--run.busy == 0)
            say("clients ops %u lost %u", run.ops, run.lost);
        return;
    }
    choose_key(c, chance / 16);
    c->kind = chance % 16 < 7 ? READ : chance % 16 < 12 ? WRITE : CAS;
    if (c->kind == WRITE)
        a = fresh();
    if (c->kind == CAS) {
        a = c->seen[c->slot];
        b = fresh();
        c->seen[c->slot] = b;
    }
    note_call(c, a, b);
    rc = ask(c, a, b);
    if (rc < 0)
        on_answer(c, rc, NULL, "");
}

void do_clients(void *arg, int n, char **words)
{
    struct node *node = arg;
    unsigned clients = (unsigned)atoi(words[1]);

    (void)n;
    run.keys = (unsigned)atoi(words[2]);
    if (run.busy > 0 || clients == 0 || run.keys == 0 || run.keys > KEYS_MAX) {
        say("error: from 1 to %d keys, and one run at a time", KEYS_MAX);
        return;
    }
    clients_free();
    run.file = open(words[0], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (run.file < 0 || getrandom(&run.base, sizeof run.base, 0) < 0) {
        say("error: %s: %s", words[0], strerror(errno));
        return;
    }
    run.ops = run.lost = 0;
    run.random = (uint32_t)run.base | 1;
    run.ends_ms = now_ms() + (uint64_t)(atof(words[3]) * 1000);
    while (run.busy < clients) {
        struct client *c = calloc(1, sizeof *c);

        if (!c)
            abort();
        c->n = node;
        c->number = run.busy++;
        c->next = run.all;
        run.all = c;
        uv_timer_init(loop_uv(node->core), &c->pause);
        rest(c, draw() % PAUSE_MS);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct client, pause));
}

void clients_free(void)
{
    struct client *c, *following;

    for (c = run.all; c; c = following) {
        following = c->next;
        uv_close((uv_handle_t *)&c->pause, on_closed);
    }
    run.all = NULL;
    if (run.file >= 0)
        close(run.file);
    run.file = -1;
}
