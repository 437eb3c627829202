#include "diskkit.h"

#include <dirent.h>
#include <fcntl.h>

static char *path_of(struct kit *k, const char *name)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/%s", k->dir, name);
    return path;
}

static unsigned count_files(struct kit *k, const char *prefix)
{
    DIR *d = opendir(k->dir);
    struct dirent *at;
    unsigned n = 0;

    assert_non_null(d);
    while ((at = readdir(d)))
        n += strncmp(at->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

static void a_new_folder_is_a_fresh_disk(void **state)
{
    struct kit *k = *state;
    struct consensus_loaded l;
    uint64_t node;

    open_disk(k);
    assert_true(raft_disk_fresh(k->disk));
    node = raft_disk_node(k->disk);
    assert_int_not_equal(node, 0);
    assert_null(raft_disk_trouble(k->disk));
    load(k, &l);
    assert_int_equal(l.term, 0);
    assert_int_equal(l.voted_for, 0);
    assert_false(l.has_snapshot);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.first, 1);
    loaded_free(&l);
    reopen_disk(k);
    assert_int_equal(raft_disk_node(k->disk), node);
    assert_true(raft_disk_fresh(k->disk));
}

static void term_and_vote_are_there_after_a_start(void **state)
{
    struct kit *k = *state;
    struct consensus_loaded l;

    open_disk(k);
    assert_int_equal(raft_disk_set_term(k->disk, 5), 0);
    assert_false(raft_disk_fresh(k->disk));
    assert_int_equal(raft_disk_set_vote(k->disk, 77), 0);
    reopen_disk(k);
    assert_false(raft_disk_fresh(k->disk));
    load(k, &l);
    assert_int_equal(l.term, 5);
    assert_int_equal(l.voted_for, 77);
    loaded_free(&l);
    assert_int_equal(raft_disk_set_term(k->disk, 6), 0);
    reopen_disk(k);
    load(k, &l);
    assert_int_equal(l.term, 6);
    assert_int_equal(l.voted_for, 0);
    loaded_free(&l);
}

static void entries_are_there_after_a_start(void **state)
{
    static const size_t lens[] = { 0, 1, 128, 2000, 2100, 4096, 70000, 3u << 20 };
    struct kit *k = *state;
    uint64_t next = 1;

    open_disk(k);
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        append(k, next, 3, i + 1, lens[i]);
        next += 3;
    }
    assert_false(raft_disk_fresh(k->disk));
    assert_log(k, 1, next);
    reopen_disk(k);
    assert_log(k, 1, next);
    append(k, next, 1, 9, 10);
    reopen_disk(k);
    assert_log(k, 1, next + 1);
}

static void dones_come_in_order(void **state)
{
    enum { N = 300 };
    struct wait w[N], *order[N];
    struct kit *k = *state;
    uint8_t *data[N];
    size_t ended = 0;

    open_disk(k);
    for (size_t i = 0; i < N; i++) {
        w[i] = (struct wait){ .order = order, .ended = &ended };
        assert_int_equal(begin_append(k, 1 + 2 * i, 2, 1, 100, &w[i], &data[i]), 0);
        if (i % 50 == 0)
            uv_run(loop_uv(k->loop), UV_RUN_NOWAIT);
    }
    run_until(k, ended == N);
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(order[i], &w[i]);
        assert_int_equal(w[i].rc, 0);
        free(data[i]);
    }
    reopen_disk(k);
    assert_log(k, 1, 1 + 2 * N);
}

static void what_does_not_follow_is_refused(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    uint8_t *data;

    open_disk(k);
    append(k, 1, 5, 1, 10);
    assert_int_equal(begin_append(k, 5, 1, 1, 10, &w, &data), -EINVAL);
    free(data);
    assert_int_equal(begin_append(k, 7, 1, 1, 10, &w, &data), -EINVAL);
    free(data);
    assert_int_equal(raft_disk_truncate(k->disk, 0), -EINVAL);
    put(k, 3, 1, 10, 100);
    assert_int_equal(raft_disk_truncate(k->disk, 3), -EINVAL);
    assert_int_equal(begin_put(k, 2, 1, 10, 0, &w, &data), -EINVAL);
    free(data);
    assert_log(k, 1, 6);
}

static void truncation_drops_what_is_written(void **state)
{
    struct kit *k = *state;

    open_disk(k);
    append(k, 1, 10, 1, 100);
    assert_int_equal(raft_disk_truncate(k->disk, 11), 0);
    assert_int_equal(raft_disk_truncate(k->disk, 7), 0);
    append(k, 7, 2, 2, 3000);
    reopen_disk(k);
    assert_log(k, 1, 9);
    assert_int_equal(raft_disk_truncate(k->disk, 1), 0);
    reopen_disk(k);
    assert_log(k, 1, 1);
    append(k, 1, 1, 3, 1);
}

/* Blocks all threads of the pool until it is let go. */
struct plug {
    uv_work_t req[4];
    uv_sem_t go, there;
    unsigned left;
};

static void plug_work(uv_work_t *req)
{
    struct plug *p = req->data;

    uv_sem_post(&p->there);
    uv_sem_wait(&p->go);
}

static void plug_after(uv_work_t *req, int status)
{
    (void)status;
    ((struct plug *)req->data)->left--;
}

static void plug_in(struct kit *k, struct plug *p)
{
    uv_sem_init(&p->go, 0);
    uv_sem_init(&p->there, 0);
    p->left = ARRAY_SIZE(p->req);
    for (size_t i = 0; i < ARRAY_SIZE(p->req); i++) {
        p->req[i].data = p;
        uv_queue_work(loop_uv(k->loop), &p->req[i], plug_work, plug_after);
    }
    for (size_t i = 0; i < ARRAY_SIZE(p->req); i++)
        uv_sem_wait(&p->there);
}

static void plug_pull(struct kit *k, struct plug *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->req); i++)
        uv_sem_post(&p->go);
    run_until(k, p->left == 0);
    uv_sem_destroy(&p->go);
    uv_sem_destroy(&p->there);
}

static void truncation_drops_what_is_queued(void **state)
{
    struct wait w[4], *order[4];
    struct kit *k = *state;
    size_t ended = 0;
    uint8_t *data[4];
    struct plug plug;

    open_disk(k);
    append(k, 1, 4, 1, 100);
    plug_in(k, &plug);
    for (size_t i = 0; i < 3; i++) {
        w[i] = w[3] = (struct wait){ .order = order, .ended = &ended };
        assert_int_equal(begin_append(k, 5 + 3 * i, 3, 1, 100, &w[i], &data[i]), 0);
    }
    assert_int_equal(raft_disk_set_term(k->disk, 2), 0); /* does not wait for the pool */
    assert_int_equal(raft_disk_truncate(k->disk, 9), 0); /* in the middle of the second */
    assert_int_equal(begin_append(k, 9, 1, 2, 50, &w[3], &data[3]), 0);
    assert_int_equal(ended, 0);
    plug_pull(k, &plug);
    run_until(k, ended == 4);
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(order[i], &w[i]);
        free(data[i]);
    }
    assert_int_equal(w[0].rc, 0);
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(w[2].rc, -ECANCELED);
    assert_int_equal(w[3].rc, 0);
    reopen_disk(k);
    assert_log(k, 1, 10);
}

static void closing_ends_what_is_queued(void **state)
{
    struct kit *k = *state;
    struct wait w[4] = { 0 };
    uint8_t *data[4];
    struct plug plug;

    open_disk(k);
    append(k, 1, 4, 1, 100);
    put(k, 2, 1, 100, 0);
    plug_in(k, &plug);
    assert_int_equal(begin_append(k, 5, 3, 1, 100, &w[0], &data[0]), 0);
    assert_int_equal(begin_append(k, 8, 3, 1, 100, &w[1], &data[1]), 0);
    assert_int_equal(begin_put(k, 4, 1, 100, 0, &w[2], &data[2]), 0);
    assert_int_equal(begin_put(k, 100, 1, 100, 0, &w[3], &data[3]), 0);
    raft_disk_close(k->disk);
    k->disk = NULL;
    for (size_t i = 0; i < 4; i++) {
        assert_true(w[i].done);
        assert_int_equal(w[i].rc, -ECANCELED);
        free(data[i]);
    }
    plug_pull(k, &plug);
    open_disk(k);
    assert_log(k, 3, 5);
}

static void closing_under_way_loses_nothing_that_was_done(void **state)
{
    struct kit *k = *state;
    uint64_t next = 1, done = 1;

    for (int round = 0; round < 30; round++) {
        struct wait w[20] = { 0 };
        uint8_t *data[20];
        struct consensus_loaded l;

        open_disk(k);
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(begin_append(k, next, 1, 1, 500, &w[i], &data[i]), 0);
            next++;
            if (i == (size_t)round % 20)
                uv_run(loop_uv(k->loop), UV_RUN_NOWAIT);
        }
        if (round % 2)
            usleep((unsigned)(100 * round));
        raft_disk_close(k->disk);
        k->disk = NULL;
        for (size_t i = 0; i < 20; i++) {
            assert_true(w[i].done);
            done += w[i].rc == 0;
            free(data[i]);
        }
        open_disk(k);
        load(k, &l);
        next = l.first + l.n;
        assert_true(next >= done);
        done = next;
        assert_entries(&l);
        loaded_free(&l);
        close_disk(k);
    }
}

static void a_snapshot_replaces_entries(void **state)
{
    struct kit *k = *state;
    struct consensus_snapshot s;
    struct consensus_loaded l;
    struct wait w = { 0 };

    open_disk(k);
    assert_int_equal(raft_disk_snapshot_get(k->disk, &s, wait_done, &w), -ENOENT);
    append(k, 1, 100, 1, 100);
    put(k, 60, 1, 5 << 20, 10);
    load(k, &l);
    assert_int_equal(l.first, 51);
    assert_int_equal(l.n, 50);
    assert_true(l.has_snapshot);
    assert_snapshot(&l.snapshot, 60, 1, 5 << 20);
    loaded_free(&l);
    reopen_disk(k);
    assert_log(k, 51, 101);
    assert_int_equal(raft_disk_snapshot_get(k->disk, &s, wait_done, &w), 0);
    assert_false(w.done);
    assert_int_equal(kit_wait(k, &w), 0);
    assert_snapshot(&s, 60, 1, 5 << 20);
    free((void *)s.conf);
    free(s.data);
    put(k, 70, 1, 0, 0);
    assert_log(k, 71, 101);
    put(k, 100, 1, 1, 0);
    assert_log(k, 101, 101);
    assert_int_equal(count_files(k, "snapshot-"), 2);
    append(k, 101, 1, 1, 1);
    put(k, 100, 1, 1, 0); /* the same once more */
    reopen_disk(k);
    assert_log(k, 101, 102);
}

static void many_entries_are_cut_beside_appends(void **state)
{
    struct kit *k = *state;
    struct wait w[11] = { 0 };
    uint8_t *data[11];

    open_disk(k);
    append(k, 1, 5000, 1, 100);
    assert_int_equal(begin_put(k, 4000, 1, 1000, 100, &w[10], &data[10]), 0);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(begin_append(k, 5001 + i, 1, 1, 100, &w[i], &data[i]), 0);
        assert_int_equal(kit_wait(k, &w[i]), 0);
    }
    assert_int_equal(kit_wait(k, &w[10]), 0);
    for (size_t i = 0; i < 11; i++)
        free(data[i]);
    reopen_disk(k);
    assert_log(k, 3901, 5011);
}

static void a_snapshot_ahead_replaces_the_log(void **state)
{
    struct kit *k = *state;
    struct wait w[3], *order[3];
    uint8_t *data[3];
    size_t ended = 0;

    open_disk(k);
    append(k, 1, 10, 1, 100);
    for (size_t i = 0; i < 3; i++)
        w[i] = (struct wait){ .order = order, .ended = &ended };
    assert_int_equal(begin_append(k, 11, 2, 1, 100, &w[0], &data[0]), 0);
    assert_int_equal(begin_put(k, 500, 3, 1000, 0, &w[1], &data[1]), 0);
    assert_int_equal(begin_append(k, 501, 4, 3, 100, &w[2], &data[2]), 0);
    run_until(k, ended == 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(order[i], &w[i]);
        assert_int_equal(w[i].rc, 0);
        free(data[i]);
    }
    reopen_disk(k);
    assert_log(k, 501, 505);
    /* the entry at its end is of another term: what is behind it is of no use either */
    put(k, 503, 4, 10, 1000);
    append(k, 504, 1, 4, 10);
    reopen_disk(k);
    assert_log(k, 504, 505);
}

static void wiping_makes_it_fresh(void **state)
{
    struct kit *k = *state;
    struct oerr e;
    uint64_t node;

    open_disk(k);
    append(k, 1, 100, 1, 100);
    put(k, 60, 1, 50, 10);
    node = raft_disk_node(k->disk);
    assert_int_equal(raft_disk_wipe(k->disk, &e), 0);
    assert_true(raft_disk_fresh(k->disk));
    assert_int_not_equal(raft_disk_node(k->disk), node);
    assert_int_equal(count_files(k, "snapshot"), 0);
    node = raft_disk_node(k->disk);
    reopen_disk(k);
    assert_true(raft_disk_fresh(k->disk));
    assert_int_equal(raft_disk_node(k->disk), node);
    append(k, 1, 2, 1, 100);
    assert_log(k, 1, 3);
}

static void wiping_waits_for_what_is_under_way(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    struct oerr e;
    uint8_t *data;

    open_disk(k);
    assert_int_equal(begin_append(k, 1, 2, 1, 100, &w, &data), 0);
    assert_int_equal(raft_disk_wipe(k->disk, &e), -EBUSY);
    assert_int_equal(kit_wait(k, &w), 0);
    free(data);
    assert_log(k, 1, 3);
}

static void one_process_has_it(void **state)
{
    struct kit *k = *state;
    struct raft_disk *second;
    struct oerr e;

    open_disk(k);
    assert_int_equal(raft_disk_open(&second, k->loop, k->dir, &e), -EBUSY);
    assert_non_null(strstr(e.text, k->dir));
}

struct seen {
    uint64_t first, last;
    unsigned n, max;
    bool gaps; /* the log is cut meanwhile */
};

static int note_entry(void *arg, uint64_t index, const struct consensus_entry *e)
{
    struct seen *s = arg;
    uint8_t want[e->len + 1];

    fill(index, (unsigned)e->term, want, e->len);
    if (memcmp(e->data, want, e->len) != 0 || (s->n > 0 && index <= s->last) ||
        (s->n > 0 && index > s->last + 1 && !s->gaps))
        abort();
    if (s->n++ == 0)
        s->first = index;
    s->last = index;
    return s->n == s->max;
}

static void entries_are_read_from_another_process(void **state)
{
    struct kit *k = *state;
    struct seen s = { 0 };
    struct oerr e;
    int status;
    pid_t pid;

    assert_int_equal(raft_disk_each(k->dir, note_entry, &s, &e), -ENOENT);
    open_disk(k);
    append(k, 1, 1000, 1, 300);
    put(k, 600, 1, 10, 100);
    assert_int_equal(raft_disk_each(k->dir, note_entry, &s, &e), -EBUSY);
    pid = fork();
    if (pid == 0) {
        int rc = raft_disk_each(k->dir, note_entry, &s, &e);

        _exit(rc < 0 ? 1 : s.first != 501 || s.last != 1000 ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    append(k, 1001, 10, 1, 300);
    close_disk(k);
    s.max = 5;
    assert_int_equal(raft_disk_each(k->dir, note_entry, &s, &e), 0);
    assert_int_equal(s.n, 5);
    s = (struct seen){ 0 };
    assert_int_equal(raft_disk_each(k->dir, note_entry, &s, &e), 0);
    assert_int_equal(s.last, 1010);
}

/* A reader that goes on while the log grows and is cut keeps nothing from being used again. */
static void a_reader_may_take_its_time(void **state)
{
    struct kit *k = *state;
    struct stat before, after;
    int status, ready[2], go[2];
    uint64_t next = 1;
    pid_t pid;

    open_disk(k);
    append(k, next, 3000, 1, 300);
    next += 3000;
    assert_int_equal(pipe(ready) | pipe(go), 0);
    pid = fork();
    if (pid == 0) {
        struct seen s = { .max = 1 };
        struct oerr e;
        char c = 0;
        int rc = raft_disk_each(k->dir, note_entry, &s, &e);

        if (write(ready[1], "r", 1) != 1 || read(go[0], &c, 1) != 1)
            _exit(3);
        s = (struct seen){ .gaps = true };
        rc |= raft_disk_each(k->dir, note_entry, &s, &e);
        _exit(rc < 0 ? 1 : s.n == 0 ? 2 : 0);
    }
    assert_int_equal(read(ready[0], &(char){ 0 }, 1), 1);
    assert_int_equal(write(go[1], "g", 1), 1);
    stat(path_of(k, "log.mdb"), &before);
    for (int i = 0; i < 40; i++) {
        append(k, next, 1000, 1, 300);
        next += 1000;
        put(k, next - 1, 1, 10, 2000);
    }
    stat(path_of(k, "log.mdb"), &after);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(after.st_size <= before.st_size + (8 << 20));
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
    reopen_disk(k);
    assert_log(k, next - 2000, next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_new_folder_is_a_fresh_disk),
        kit_test(term_and_vote_are_there_after_a_start),
        kit_test(entries_are_there_after_a_start),
        kit_test(dones_come_in_order),
        kit_test(what_does_not_follow_is_refused),
        kit_test(truncation_drops_what_is_written),
        kit_test(truncation_drops_what_is_queued),
        kit_test(closing_ends_what_is_queued),
        kit_test(closing_under_way_loses_nothing_that_was_done),
        kit_test(a_snapshot_replaces_entries),
        kit_test(many_entries_are_cut_beside_appends),
        kit_test(a_snapshot_ahead_replaces_the_log),
        kit_test(wiping_makes_it_fresh),
        kit_test(wiping_waits_for_what_is_under_way),
        kit_test(one_process_has_it),
        kit_test(entries_are_read_from_another_process),
        kit_test(a_reader_may_take_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
