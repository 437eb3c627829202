/*
 * diskkit.h - what the tests of raft_disk share: a loop, a folder, and waiting for dones.
 */
#ifndef ONEOS_TESTS_UNIT_DISKKIT_H
#define ONEOS_TESTS_UNIT_DISKKIT_H

#include "base/cleanup.h"
#include "cluster/raft_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tempdir.h"

#define DEADLINE_MS 60000

struct kit {
    struct loop *loop;
    struct raft_disk *disk;
    char base[256], dir[300];
};

/* One begun piece of work. */
struct wait {
    struct wait **order; /* where the ended ones are noted */
    size_t *ended;
    bool done;
    int rc;
};

static inline void wait_done(void *token, int rc)
{
    struct wait *w = token;

    assert_false(w->done);
    w->done = true;
    w->rc = rc;
    if (w->order)
        w->order[(*w->ended)++] = w;
}

static inline void kit_late(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* Runs the loop until the condition holds; fails when it does not in time. */
#define run_until(k, condition)                                                                    \
    do {                                                                                           \
        bool late_ = false;                                                                        \
        uv_timer_t timer_ = { .data = &late_ };                                                    \
        uv_timer_init(loop_uv((k)->loop), &timer_);                                                \
        uv_timer_start(&timer_, kit_late, DEADLINE_MS, 0);                                         \
        while (!(condition) && !late_)                                                             \
            uv_run(loop_uv((k)->loop), UV_RUN_ONCE);                                               \
        uv_close((uv_handle_t *)&timer_, NULL);                                                    \
        uv_run(loop_uv((k)->loop), UV_RUN_NOWAIT);                                                 \
        assert_false(late_);                                                                       \
    } while (0)

static inline int kit_wait(struct kit *k, struct wait *w)
{
    run_until(k, w->done);
    return w->rc;
}

static inline int try_open(struct kit *k, struct oerr *e)
{
    e->text[0] = '\0';
    return raft_disk_open(&k->disk, k->loop, k->dir, e);
}

static inline void open_disk(struct kit *k)
{
    struct oerr e;

    if (try_open(k, &e) < 0)
        fail_msg("%s", e.text);
}

static inline void close_disk(struct kit *k)
{
    raft_disk_close(k->disk);
    k->disk = NULL;
    uv_run(loop_uv(k->loop), UV_RUN_NOWAIT);
}

static inline void reopen_disk(struct kit *k)
{
    close_disk(k);
    open_disk(k);
}

/* The data of an entry: of this length and known from index and salt. */
static inline void fill(uint64_t index, unsigned salt, uint8_t *to, size_t n)
{
    uint64_t x = index * 0x9e3779b97f4a7c15u + salt;

    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        to[i] = (uint8_t)(x >> 56);
    }
}

/* Begins to append n entries; their data is freed with *data. */
static inline int begin_append(struct kit *k, uint64_t first, size_t n, uint64_t term, size_t len,
                               struct wait *w, uint8_t **data)
{
    struct consensus_entry v[n + 1];

    *w = (struct wait){ .order = w->order, .ended = w->ended };
    *data = malloc(n * len + 1);
    for (size_t i = 0; i < n; i++) {
        fill(first + i, (unsigned)term, *data + i * len, len);
        v[i] = (struct consensus_entry){ .term = term, .kind = 7, .data = *data + i * len, len };
    }
    return raft_disk_append(k->disk, first, v, n, wait_done, w);
}

static inline void append(struct kit *k, uint64_t first, size_t n, uint64_t term, size_t len)
{
    struct wait w = { 0 };
    uint8_t *data;

    assert_int_equal(begin_append(k, first, n, term, len, &w, &data), 0);
    assert_false(w.done);
    assert_int_equal(kit_wait(k, &w), 0);
    free(data);
}

static inline int begin_put(struct kit *k, uint64_t index, uint64_t term, size_t len,
                            uint64_t trailing, struct wait *w, uint8_t **data)
{
    struct consensus_snapshot s = {
        .index = index, .term = term, .conf_index = 1, .conf = "conf", .conf_len = 4, .len = len
    };

    *w = (struct wait){ .order = w->order, .ended = w->ended };
    *data = malloc(len + 1);
    fill(index, 99, *data, len);
    s.data = *data;
    return raft_disk_snapshot_put(k->disk, &s, trailing, wait_done, w);
}

static inline void put(struct kit *k, uint64_t index, uint64_t term, size_t len, uint64_t trailing)
{
    struct wait w = { 0 };
    uint8_t *data;

    assert_int_equal(begin_put(k, index, term, len, trailing, &w, &data), 0);
    assert_false(w.done);
    assert_int_equal(kit_wait(k, &w), 0);
    free(data);
}

static inline void assert_snapshot(const struct consensus_snapshot *s, uint64_t index,
                                   uint64_t term, size_t len)
{
    uint8_t *want = malloc(len + 1);

    assert_int_equal(s->index, index);
    assert_int_equal(s->term, term);
    assert_int_equal(s->conf_index, 1);
    assert_int_equal(s->conf_len, 4);
    assert_memory_equal(s->conf, "conf", 4);
    assert_int_equal(s->len, len);
    fill(index, 99, want, len);
    assert_memory_equal(s->data, want, len);
    free(want);
}

static inline void loaded_free(struct consensus_loaded *l)
{
    for (size_t i = 0; i < l->n; i++)
        free((void *)l->entries[i].data);
    free(l->entries);
    free((void *)l->snapshot.conf);
    free(l->snapshot.data);
}

static inline void load(struct kit *k, struct consensus_loaded *l)
{
    struct oerr e;

    if (raft_disk_load(k->disk, l, &e) < 0)
        fail_msg("%s", e.text);
}

/* The entries are those of begin_append(). */
static inline void assert_entries(const struct consensus_loaded *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct consensus_entry *e = &l->entries[i];
        uint8_t *want = malloc(e->len + 1);

        fill(l->first + i, (unsigned)e->term, want, e->len);
        assert_int_equal(e->kind, 7);
        assert_memory_equal(e->data, want, e->len);
        free(want);
    }
}

/* After a start: entries first..next-1, all whole. */
static inline void assert_log(struct kit *k, uint64_t first, uint64_t next)
{
    struct consensus_loaded l;

    load(k, &l);
    assert_int_equal(l.first, first);
    assert_int_equal(l.first + l.n, next);
    assert_entries(&l);
    loaded_free(&l);
}

/* Runs this program again as a child: its main() gets `what` and `dir`. out: its standard output,
 * -1 the same. */
static inline pid_t spawn(const char *what, const char *dir, int out, bool quiet)
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        if (out >= 0)
            dup2(out, 1);
        if (quiet)
            dup2(null, 2);
        execl("/proc/self/exe", "again", what, dir, NULL);
        _exit(99);
    }
    assert_true(pid > 0);
    return pid;
}

/* Chance that a seed repeats. */
static uint64_t rnd_state;

static inline uint64_t rnd(uint64_t below)
{
    rnd_state = rnd_state * 6364136223846793005u + 1442695040888963407u;
    return (rnd_state >> 33) % below;
}

static inline unsigned from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static inline int kit_setup(void **state)
{
    struct kit *k = calloc(1, sizeof *k);

    if (!k || loop_create(&k->loop) < 0)
        return -1;
    tempdir_make(k->base);
    snprintf(k->dir, sizeof k->dir, "%s/registry", k->base);
    *state = k;
    return 0;
}

static inline int kit_teardown(void **state)
{
    struct kit *k = *state;

    raft_disk_close(k->disk);
    loop_destroy(k->loop);
    tempdir_remove(k->base);
    free(k);
    return 0;
}

#define kit_test(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

#endif
