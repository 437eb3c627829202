/*
 * test_registry_threads.c - reading on many threads while one writes; threads and registries that
 * end before each other; more readers than there is room for.
 */
#include "registry_kit.h"

#include <pthread.h>
#include <semaphore.h>

#define READERS 4

struct readers_test {
    struct kit k;
    atomic_bool stop;
    atomic_uint views;
};

/* Two keys that change in one command, and the index: a view shows them of one moment. */
static int pair(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    json_int_t n = arg_count(cmd, "n", e);
    char text[600];

    (void)result;
    memset(text, 'x', sizeof text);
    snprintf(text, 20, "%lld", (long long)n);
    text[strlen(text)] = 'x';
    text[100 + n % 499] = '\0';
    txn_put(t, "kv/1", json_integer(n));
    txn_put(t, "kv/2", json_pack("{s:I, s:s}", "n", n, "x", text));
    return 0;
}

static const struct registry_command pair_commands[] = { { "pair", 1, pair }, { 0 } };
static const struct registry_command *const pair_tables[] = { registry_base_commands, kit_commands,
                                                              pair_commands, NULL };

static void read_once(struct readers_test *rt, uint64_t *last)
{
    json_t *one = NULL, *two = NULL;
    struct registry_view *v;
    uint64_t index;
    int rc;

    assert_int_equal(registry_read(rt->k.r, &v), 0);
    index = view_index(v);
    rc = view_get(v, "kv/1", &one);
    if (rc == 0) {
        assert_int_equal(view_get(v, "kv/2", &two), 0);
        assert_int_equal(json_integer_value(one), json_integer_value(json_object_get(two, "n")));
        assert_int_equal(json_integer_value(one), index);
    }
    assert_true(index >= *last);
    *last = index;
    registry_view_end(v);
    json_decref(one);
    json_decref(two);
    rt->views++;
}

static void *read_on(void *arg)
{
    struct readers_test *rt = arg;
    uint64_t last = 0;

    while (!rt->stop)
        read_once(rt, &last);
    return NULL;
}

/* Threads that come and go meanwhile. */
static void *read_a_little(void *arg)
{
    uint64_t last = 0;

    for (int i = 0; i < 10; i++)
        read_once(arg, &last);
    return NULL;
}

static void *come_and_go(void *arg)
{
    struct readers_test *rt = arg;
    pthread_t t;

    while (!rt->stop) {
        assert_int_equal(pthread_create(&t, NULL, read_a_little, rt), 0);
        pthread_join(t, NULL);
    }
    return NULL;
}

static void concurrent(void **state)
{
    struct readers_test rt = { .stop = false };
    size_t was = store_first_map;
    pthread_t t[READERS];

    (void)state;
    store_first_map = 32 * 4096; /* so that it must grow under the readers */
    kit_folder(&rt.k);
    assert_int_equal(registry_open(&rt.k.r, rt.k.dir, BOOT, pair_tables, NULL), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, i ? read_on : come_and_go, &rt), 0);
    for (int n = 1; n <= 3000 || rt.views < 3000; n++) {
        char text[100];
        int rc;

        snprintf(text, sizeof text, "{\"v\":1,\"cmd\":\"pair\",\"n\":%d}", n);
        kit_queue(&rt.k, text);
        while ((rc = registry_flush(rt.k.r, NULL, NULL)) == -ENOSPC)
            sched_yield();
        assert_int_equal(rc, 0);
    }
    rt.stop = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    store_first_map = was;
    kit_close(&rt.k);
}

/* ---- who ends first */

struct visit {
    struct kit *k;
    sem_t read, go;
};

static void *visit(void *arg)
{
    struct visit *v = arg;
    struct registry_view *view;

    assert_int_equal(registry_read(v->k->r, &view), 0);
    registry_view_end(view);
    sem_post(&v->read);
    while (sem_wait(&v->go) < 0)
        continue;
    if (v->k->r) {
        assert_int_equal(registry_read(v->k->r, &view), 0);
        assert_int_equal(view_index(view), v->k->index);
        registry_view_end(view);
    }
    return NULL;
}

static void visit_start(struct visit *v, struct kit *k, pthread_t *t)
{
    v->k = k;
    sem_init(&v->read, 0, 0);
    sem_init(&v->go, 0, 0);
    assert_int_equal(pthread_create(t, NULL, visit, v), 0);
    while (sem_wait(&v->read) < 0)
        continue;
}

static int readers_in_use(struct kit *k)
{
    MDB_envinfo info;

    mdb_env_info(k->r->store.env, &info);
    return (int)info.me_numreaders;
}

static void thread_ends_first(void **state)
{
    struct visit v;
    pthread_t t;
    struct kit k;
    int n;

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.add','key':'n'");
    assert_value(&k, "kv/n", "1");
    n = readers_in_use(&k);
    for (int i = 0; i < 20; i++) {
        visit_start(&v, &k, &t);
        sem_post(&v.go);
        pthread_join(t, NULL);
    }
    /* Each took the place of the one before. */
    assert_int_equal(readers_in_use(&k), n + 1);
    kit_close(&k);
}

static void registry_ends_first(void **state)
{
    struct kit k, other;
    struct visit v;
    pthread_t t;

    (void)state;
    kit_open(&k);
    kit_open(&other);
    kit_run(&other, "'kv.add','key':'n'");
    visit_start(&v, &k, &t);
    kit_close(&k);
    /* The thread's view serves the next registry. */
    k = other;
    sem_post(&v.go);
    pthread_join(t, NULL);

    visit_start(&v, &k, &t);
    kit_close(&k);
    k.r = NULL;
    sem_post(&v.go);
    pthread_join(t, NULL);
}

/* One within the other: each has its own moment. */
static void nested(void **state)
{
    struct registry_view *a, *b, *c;
    struct kit k, other;
    json_t *j;

    (void)state;
    kit_open(&k);
    kit_open(&other);
    kit_run(&k, "'kv.add','key':'n'");
    assert_int_equal(registry_read(k.r, &a), 0);
    kit_run(&k, "'kv.add','key':'n'");
    assert_int_equal(registry_read(k.r, &b), 0);
    assert_int_equal(registry_read(other.r, &c), 0);
    assert_int_equal(view_index(a), 1);
    assert_int_equal(view_index(b), 2);
    assert_int_equal(view_index(c), 0);
    assert_int_equal(view_get(c, "kv/n", &j), -ENOENT);
    registry_view_end(a);
    assert_int_equal(view_get(b, "kv/n", &j), 0);
    assert_int_equal(json_integer_value(j), 2);
    json_decref(j);
    registry_view_end(b);
    registry_view_end(c);
    registry_view_end(NULL);
    kit_close(&k);
    kit_close(&other);
}

static void table_full(void **state)
{
    static struct registry_view *v[3000];
    struct kit k;
    int n, rc = 0;

    (void)state;
    kit_open(&k);
    for (n = 0; n < 3000 && rc == 0; n++)
        rc = registry_read(k.r, &v[n]);
    assert_int_equal(rc, -EAGAIN);
    assert_in_range(n, 1000, 2000);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 0);
    assert_int_equal(registry_read(k.r, &v[n]), -EAGAIN);
    registry_view_end(v[--n - 1]);
    assert_value(&k, "kv/n", "1");
    while (--n > 0)
        registry_view_end(v[n - 1]);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concurrent),          cmocka_unit_test(thread_ends_first),
        cmocka_unit_test(registry_ends_first), cmocka_unit_test(nested),
        cmocka_unit_test(table_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
