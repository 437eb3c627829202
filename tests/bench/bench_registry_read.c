/*
 * bench_registry_read.c - the registry beside bare LMDB: reads by one and two threads, commands.
 *
 * A read is a view begun, one value of about 150 bytes of 10,000, and the view's end; for LMDB a
 * reader renewed, the same get, and a reset. A command puts such a value, and is answered and kept
 * as "from" asks; for LMDB a put of the text, in as many transactions. Nothing waits for a disk, so
 * rates are those of a second of the thread's CPU time: a busy machine changes them little. Prints
 * medians and ratios.
 * Usage: bench_registry_read [MILLISECONDS [ROUNDS]]
 */
#include "cluster/registry_tables.h"
#include "tests/unit/tempdir.h"
#include "timing.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define KEYS       10000
#define ROUNDS_MAX 99

static struct registry *registry;
static MDB_env *env;
static MDB_dbi dbi;
static uint64_t last_index, serial;
static unsigned milliseconds = 200;

static void need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static int set(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 40, e);

    (void)result;
    return key ? txn_put(t, key, json_incref(json_object_get(cmd, "value"))) : -1;
}

static const struct registry_command commands[] = { { "set", 1, set }, { 0 } };
static const struct registry_command *const tables[] = { commands, NULL };

static void key_of(unsigned i, char key[40])
{
    snprintf(key, 40, "kv/some/thing/%05u", i % KEYS);
}

static int value_of(unsigned i, char text[300])
{
    return snprintf(text, 300,
                    "{\"address\":\"192.168.100.%u\",\"count\":%u,\"labels\":{\"gpu\":\"\","
                    "\"zone\":\"lab\"},\"name\":\"machine-%u\",\"node\":\"0123456789abcdef\"}",
                    i % 250, i, i);
}

/* ---- reading: each call is one */

static void read_registry(unsigned i, void **kept)
{
    struct registry_view *v;
    const char *text;
    char key[40];
    size_t n;

    (void)kept;
    key_of(i, key);
    need(registry_read(registry, &v) == 0 && view_text(v, key, &text, &n) == 0 && *text == '{',
         "a read");
    registry_view_end(v);
}

static void read_lmdb(unsigned i, void **kept)
{
    MDB_txn *t = *kept;
    char key[40];
    MDB_val k = { .mv_data = key }, v;

    key_of(i, key);
    k.mv_size = strlen(key);
    need((t ? mdb_txn_renew(t) : mdb_txn_begin(env, NULL, MDB_RDONLY, &t)) == 0, "a reader");
    need(mdb_get(t, dbi, &k, &v) == 0 && *(char *)v.mv_data == '{', "a get");
    mdb_txn_reset(t);
    *kept = t;
}

/* ---- writing: each call is a batch of n */

static void write_registry(unsigned i, unsigned n)
{
    char key[40], value[300], text[500];

    for (unsigned end = i + n; i < end; i++) {
        key_of(i * 7919, key);
        value_of(i, value);
        serial++;
        snprintf(text, sizeof text,
                 "{\"v\":1,\"cmd\":\"set\",\"from\":[\"bench\",%llu,%llu],\"key\":\"%s\","
                 "\"value\":%s}",
                 (unsigned long long)serial, (unsigned long long)serial, key, value);
        need(registry_committed(registry, ++last_index, text, strlen(text)) == 0, "a command");
    }
    need(registry_flush(registry, NULL, NULL) == 0, "a flush");
}

static void write_lmdb(unsigned i, unsigned n)
{
    char key[40], value[300];
    MDB_txn *t;

    need(mdb_txn_begin(env, NULL, 0, &t) == 0, "a transaction");
    for (unsigned end = i + n; i < end; i++) {
        MDB_val k = { .mv_data = key }, v = { .mv_data = value };

        key_of(i * 7919, key);
        k.mv_size = strlen(key);
        v.mv_size = (size_t)value_of(i, value);
        need(mdb_put(t, dbi, &k, &v, 0) == 0, "a put");
    }
    need(mdb_txn_commit(t) == 0, "a commit");
}

/* ---- runs */

struct way {
    const char *name;
    void (*read)(unsigned i, void **kept);
    void (*write)(unsigned i, unsigned n);
    unsigned n; /* threads, or commands in a batch */
    int beside; /* the row to compare with */
};

/* clang-format off */
static const struct way ways[] = {
    { "LMDB get, 1 thread",        read_lmdb,     NULL, 1, -1 },
    { "LMDB get, 2 threads",       read_lmdb,     NULL, 2, -1 },
    { "registry read, 1 thread",   read_registry, NULL, 1, 0 },
    { "registry read, 2 threads",  read_registry, NULL, 2, 1 },
    { "LMDB put, batches of 1",    NULL, write_lmdb,      1, -1 },
    { "LMDB put, batches of 64",   NULL, write_lmdb,     64, -1 },
    { "commands, batches of 1",    NULL, write_registry,  1, 4 },
    { "commands, batches of 64",   NULL, write_registry, 64, 5 },
};
/* clang-format on */
#define WAYS (sizeof ways / sizeof ways[0])

static atomic_bool stop;

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct job {
    const struct way *way;
    double rate;
    pthread_t thread;
};

static void *read_on(void *arg)
{
    struct job *j = arg;
    void *kept = NULL;
    double start = cpu_seconds();
    unsigned n = 0;

    for (; !atomic_load_explicit(&stop, memory_order_relaxed); n++)
        j->way->read(n * 7919, &kept);
    j->rate = n / (cpu_seconds() - start);
    if (kept)
        mdb_txn_abort(kept);
    return NULL;
}

/* Reads per second of each thread. */
static double run_read(const struct way *w)
{
    struct job jobs[2] = { { .way = w }, { .way = w } };
    double sum = 0;

    stop = false;
    for (unsigned i = 0; i < w->n; i++)
        need(pthread_create(&jobs[i].thread, NULL, read_on, &jobs[i]) == 0, "a thread");
    usleep(milliseconds * 1000);
    stop = true;
    for (unsigned i = 0; i < w->n; i++) {
        pthread_join(jobs[i].thread, NULL);
        sum += jobs[i].rate;
    }
    return sum / w->n;
}

static double run_write(const struct way *w)
{
    double start = cpu_seconds(), end = start + milliseconds / 1e3;
    unsigned i = 0;

    for (; cpu_seconds() < end; i += w->n)
        w->write(i, w->n);
    return i / (cpu_seconds() - start);
}

static void open_lmdb(const char *dir)
{
    char path[300];
    MDB_txn *t;

    snprintf(path, sizeof path, "%s/bare.mdb", dir);
    need(mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, (size_t)1 << 30) == 0 &&
             mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600) == 0 &&
             mdb_txn_begin(env, NULL, 0, &t) == 0 && mdb_dbi_open(t, NULL, 0, &dbi) == 0 &&
             mdb_txn_commit(t) == 0,
         "opening LMDB");
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 7;
    double v[WAYS][ROUNDS_MAX], m[WAYS];
    struct oerr e = { "" };
    char dir[256];

    if (argc > 1)
        milliseconds = (unsigned)atoi(argv[1]);
    if (milliseconds == 0 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_registry_read [MILLISECONDS [ROUNDS]], at most %d rounds\n",
                ROUNDS_MAX);
        return 64;
    }
    tempdir_make(dir);
    open_lmdb(dir);
    need(registry_open(&registry, dir, "bench", tables, &e) == 0, e.text);
    for (unsigned i = 0; i < KEYS; i += 100) {
        write_lmdb(i, 100);
        write_registry(i, 100);
    }
    /* Taking turns, so that what else the machine does hits all alike. */
    for (int r = 0; r < rounds; r++) {
        for (size_t i = 0; i < WAYS; i++)
            v[i][r] = ways[i].read ? run_read(&ways[i]) : run_write(&ways[i]);
    }
    printf("%-28s%14s%12s\n", "", "a CPU second", "of LMDB's");
    for (size_t i = 0; i < WAYS; i++) {
        m[i] = median(v[i], (size_t)rounds);
        printf("%-28s%14.0f", ways[i].name, m[i]);
        if (ways[i].beside >= 0)
            printf("%12.2f", m[i] / m[ways[i].beside]);
        printf("\n");
    }
    registry_close(registry);
    mdb_env_close(env);
    tempdir_remove(dir);
    return 0;
}
