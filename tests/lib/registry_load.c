/*
 * registry_load.c - the verbs that measure: requests of one client in the process of this machine,
 * so many outstanding (pace.h), and reads of the local state by threads.
 */
#include "registry_node.h"
#include "base/cleanup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define KEYS  1000
#define VALUE 100

/* Between a request and its answer. */
struct asked_for {
    struct node *n;
    struct pace *p;
    void *token;
};

static struct asked_for *asked_new(struct node *n, struct pace *p, void *token)
{
    struct asked_for *a = malloc(sizeof *a);

    if (!a)
        abort();
    *a = (struct asked_for){ .n = n, .p = p, .token = token };
    return a;
}

static int asked_begun(struct asked_for *a, int rc)
{
    if (rc < 0)
        free(a);
    return rc;
}

static void on_answer(void *arg, int rc, const json_t *body, const char *text)
{
    struct asked_for a = *(struct asked_for *)arg;

    (void)body, (void)text;
    free(arg);
    pace_answered(a.p, a.token, rc == 0);
}

/* ---- puts */

static int begin_put(void *arg, struct pace *p, void *token)
{
    struct asked_for *a = asked_new(arg, p, token);
    char key[32], value[VALUE + 1];

    snprintf(key, sizeof key, "key%u", pace_random(p) % KEYS);
    memset(value, 'a' + (int)(pace_random(p) % 26), VALUE);
    value[VALUE] = '\0';
    return asked_begun(a, replica_submit(a->n->replica, "kv.put",
                                         json_pack("{s:s, s:s}", "key", key, "value", value),
                                         DEADLINE_MS, on_answer, a));
}

void do_load(void *arg, int n, char **words)
{
    (void)n;
    pace_run(((struct node *)arg)->pace, "load", (unsigned)atoi(words[0]), atof(words[1]),
             begin_put);
}

void do_failover(void *arg, int n, char **words)
{
    (void)n;
    pace_failover(((struct node *)arg)->pace, atoi(words[0]), begin_put);
}

/* ---- reads */

static bool read_one(struct registry *r, uint32_t number)
{
    struct registry_view *v;
    const char *text;
    char key[REGISTRY_KEY_MAX];
    size_t len;
    int rc = registry_read(r, &v);

    if (rc < 0)
        return false;
    snprintf(key, sizeof key, "kv/key%u", number % KEYS);
    rc = view_text(v, key, &text, &len);
    registry_view_end(v);
    return rc == 0;
}

static void on_barrier(void *arg, int rc, const json_t *body, const char *text)
{
    struct asked_for a = *(struct asked_for *)arg;

    (void)body, (void)text;
    free(arg);
    if (rc == 0)
        read_one(replica_registry(a.n->replica), pace_random(a.p));
    pace_answered(a.p, a.token, rc == 0);
}

static int begin_lread(void *arg, struct pace *p, void *token)
{
    struct asked_for *a = asked_new(arg, p, token);

    return asked_begun(a, replica_barrier(a->n->replica, DEADLINE_MS, on_barrier, a));
}

void do_lread(void *arg, int n, char **words)
{
    (void)n;
    pace_run(((struct node *)arg)->pace, "lread", (unsigned)atoi(words[0]), atof(words[1]),
             begin_lread);
}

/* ---- a round trip to compare with: the leader is brought a put, reads it, and refuses it at once,
 * since its schema is none that it knows */

#define NO_SCHEMA 999999

static void on_refused(void *arg, int rc, json_t *body, const char *text)
{
    on_answer(arg, rc == -EPROTONOSUPPORT ? 0 : -EPROTO, body, text);
}

static int begin_ping(void *arg, struct pace *p, void *token)
{
    struct asked_for *a = asked_new(arg, p, token);
    char value[VALUE + 1], cmd[VALUE + 256];

    memset(value, 'a', VALUE);
    value[VALUE] = '\0';
    snprintf(cmd, sizeof cmd,
             "{\"key\":\"key%u\",\"value\":\"%s\",\"v\":%d,\"cmd\":\"kv.put\",\"at_us\":"
             "1795000000000000,\"from\":[\"%s.1795000000000000\",100000,100000]}",
             pace_random(p) % KEYS, value, NO_SCHEMA, a->n->peer);
    return asked_begun(
        a, cluster_ask(a->n->cluster, a->n->peer, BUS_REGISTRY,
                       json_pack("{s:s, s:s, s:b}", "do", "submit", "cmd", cmd, "later", 0),
                       DEADLINE_MS, on_refused, a, NULL));
}

void do_ping(void *arg, int n, char **words)
{
    struct node *node = arg;

    snprintf(node->peer, sizeof node->peer, "%s", words[0]);
    if (n > 2)
        pace_run_slowly(node->pace, "ping", (unsigned)atoi(words[2]), atof(words[1]), begin_ping);
    else
        pace_run(node->pace, "ping", 1, atof(words[1]), begin_ping);
}

/* ---- local reads, by threads of their own */

struct reading {
    struct task done;
    struct node *n;
    pthread_t thread;
    unsigned readers;
    double seconds, rate;
    atomic_ulong reads, missed;
    atomic_bool stop;
};

static void *run_reader(void *arg)
{
    struct reading *g = arg;
    struct registry *r = replica_registry(g->n->replica);
    uint32_t number = 88172645;
    unsigned long reads = 0, missed = 0;

    while (!atomic_load_explicit(&g->stop, memory_order_relaxed)) {
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        missed += !read_one(r, number);
        reads++;
    }
    g->reads += reads;
    g->missed += missed;
    return NULL;
}

static void on_read(struct task *task)
{
    struct reading *g = container_of(task, struct reading, done);

    pthread_join(g->thread, NULL);
    say("read rate %.0f threads %u missed %lu", g->rate, g->readers, g->missed);
    free(g);
}

/* Waits for the readers; the core does not. */
static void *run_readers(void *arg)
{
    struct reading *g = arg;
    struct timespec lasts = { (time_t)g->seconds,
                              (long)((g->seconds - (double)(time_t)g->seconds) * 1e9) };
    pthread_t readers[16];

    for (unsigned i = 0; i < g->readers; i++)
        pthread_create(&readers[i], NULL, run_reader, g);
    nanosleep(&lasts, NULL);
    atomic_store(&g->stop, true);
    for (unsigned i = 0; i < g->readers; i++)
        pthread_join(readers[i], NULL);
    g->rate = (double)g->reads / g->seconds;
    loop_post(g->n->core, &g->done);
    return NULL;
}

void do_read(void *arg, int n, char **words)
{
    struct reading *g = calloc(1, sizeof *g);

    (void)n;
    if (!g)
        abort();
    g->n = arg;
    g->readers = (unsigned)atoi(words[0]) % 17;
    g->seconds = atof(words[1]);
    g->done.run = on_read;
    pthread_create(&g->thread, NULL, run_readers, g);
}
