/*
 * test_raft_disk_stopped.c - the machine stopped in the middle: leftovers, a log that was not cut
 * or wiped yet, and pages of a transaction that were not all written.
 */
#include "damage_kit.h"

/* ---- the machine stopped in the middle */

static void leftovers_are_removed(void **state)
{
    struct kit *k = *state;
    char path[600];

    make_history(k);
    write_file(k, "snapshot.new", "half", 4);
    write_file(k, "log.mdb.new", "half", 4);
    assert_int_equal(run_child("open", k->dir), 0);
    path_to(k, "snapshot.new", path);
    assert_int_not_equal(access(path, F_OK), 0);
    path_to(k, "log.mdb.new", path);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void a_lock_file_of_lmdb_is_made_anew(void **state)
{
    struct kit *k = *state;
    char garbage[9000];

    make_history(k);
    memset(garbage, 0x5a, sizeof garbage);
    write_file(k, "log.mdb-lock", garbage, sizeof garbage);
    assert_int_equal(run_child("open", k->dir), 0);
    write_file(k, "log.mdb-lock", garbage, 1);
    assert_int_equal(run_child("open", k->dir), 0);
    remove_file(k, "log.mdb-lock");
    assert_int_equal(run_child("open", k->dir), 0);
}

static void write_snapshot(struct kit *k, uint64_t index, uint64_t term)
{
    struct consensus_snapshot s = { .index = index,
                                    .term = term,
                                    .conf_index = 1,
                                    .conf = "conf",
                                    .conf_len = 4,
                                    .data = NULL,
                                    .len = 0 };
    struct oerr e;

    assert_int_equal(snap_write(k->dir, &s, &e), 0);
}

static void a_stop_before_the_log_is_cut_is_caught_up_on(void **state)
{
    struct kit *k = *state;

    make_history(k);
    write_snapshot(k, 3510, 3); /* its own */
    open_disk(k);
    assert_log(k, KEPT_FROM, NEXT);
    assert_int_equal(raft_disk_truncate(k->disk, 3510), -EINVAL);
    close_disk(k);
    write_snapshot(k, 3515, 9); /* another's, of another history */
    open_disk(k);
    assert_log(k, 3516, 3516);
    close_disk(k);
    write_snapshot(k, 4000, 9); /* another's, further on */
    open_disk(k);
    assert_log(k, 4001, 4001);
    append(k, 4001, 1, 9, 10);
    reopen_disk(k);
    assert_log(k, 4001, 4002);
}

static int begin_wipe(struct log_txn *x, void *arg)
{
    (void)arg;
    x->st = (struct disk_state){ .node = 5, .first = 1, .next = 1, .wiping = true };
    return txn_drop_all(x, 1);
}

static void a_stop_while_it_was_wiped_is_caught_up_on(void **state)
{
    struct kit *k = *state;
    struct disk_log *l = malloc(sizeof *l);
    struct oerr e;

    make_history(k);
    assert_int_equal(log_open(l, k->dir, &e), 0);
    assert_int_equal(log_run(l, begin_wipe, NULL), 0);
    log_close(l);
    free(l);
    remove_file(k, "snapshot-3000-2");
    open_disk(k);
    assert_true(raft_disk_fresh(k->disk));
    assert_int_equal(raft_disk_node(k->disk), 5);
    reopen_disk(k);
    assert_true(raft_disk_fresh(k->disk));
}

/* ---- the machine stopped while a transaction was written */

enum { TORN_MAX = 16 << 20 };

static size_t read_log(struct kit *k, uint8_t *to)
{
    char path[600];
    ssize_t n;
    int fd;

    path_to(k, "log.mdb", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, to, TORN_MAX);
    close(fd);
    assert_true(n > 0 && n < TORN_MAX);
    return (size_t)n;
}

struct log_now {
    uint64_t first, next, term;
    uint64_t terms[65536];
};

/* One transaction, by chance. */
static void do_something(struct kit *k, struct log_now *l)
{
    uint64_t size = l->next - l->first, n = 1 + rnd(rnd(4) ? 3 : 60), at = l->next - 1 - rnd(30);

    switch (rnd(5)) {
    case 0:
        l->term++;
        assert_int_equal(raft_disk_set_term(k->disk, l->term), 0);
        break;
    case 1:
        if (size < 80)
            break;
        assert_int_equal(raft_disk_truncate(k->disk, at), 0);
        l->next = at;
        break;
    case 2:
        if (size < 80)
            break;
        put(k, l->first + 40, l->terms[l->first + 40], 10, 20);
        l->first += 21;
        break;
    default:
        append(k, l->next, n, l->term, rnd(8) ? 100 : 5000);
        for (uint64_t i = 0; i < n; i++)
            l->terms[l->next++] = l->term;
    }
}

/* Everything that a start would find, as one number. */
static uint64_t digest(struct kit *k)
{
    struct consensus_loaded l;
    uint64_t h = 14695981039346656037u;

    load(k, &l);
    h = (h ^ l.term) * 1099511628211u;
    h = (h ^ l.voted_for) * 1099511628211u;
    h = (h ^ l.first) * 1099511628211u;
    for (size_t i = 0; i < l.n; i++) {
        h = (h ^ l.entries[i].term) * 1099511628211u;
        for (size_t b = 0; b < l.entries[i].len; b++)
            h = (h ^ ((const uint8_t *)l.entries[i].data)[b]) * 1099511628211u;
    }
    loaded_free(&l);
    return h;
}

/* Any of the pages that it wrote may be there or not: what is found is the state before or the
 * state after, and it can be written on. */
static void a_transaction_that_was_cut_off_is_taken_back(void **state)
{
    unsigned n = from_env("ONEOS_SEEDS", 60), from = from_env("ONEOS_SEED", 1), back = 0, kept = 0;
    uint8_t *a = malloc(TORN_MAX), *b = malloc(TORN_MAX), *torn = malloc(TORN_MAX);
    struct log_now *l = calloc(1, sizeof *l);
    uint64_t before, after, got;
    struct kit *k = *state, copy = *k;

    l->first = l->next = l->term = 1;
    disk_rest_ms = 1000000; /* each read is one transaction behind the other */
    snprintf(copy.dir, sizeof copy.dir, "%s/copy", k->base);
    for (unsigned seed = from; seed < from + n; seed++) {
        rnd_state = seed * 0x9e3779b97f4a7c15u;
        open_disk(k);
        for (unsigned i = 0; i < 12; i++)
            do_something(k, l);
        size_t len_a = read_log(k, a);
        before = digest(k);
        do_something(k, l);
        size_t len_b = read_log(k, b);
        after = digest(k);
        for (unsigned round = 0; round < 6; round++) {
            memcpy(torn, b, len_b);
            for (size_t at = 0; at < len_b; at += 4096)
                if (rnd(2) && at + 4096 <= len_a)
                    memcpy(torn + at, a + at, 4096);
                else if (rnd(2) && at >= len_a)
                    memset(torn + at, 0, 4096);
            copy_folder(k->dir, copy.dir);
            write_file(&copy, "log.mdb", torn, len_b);
            open_disk(&copy);
            got = digest(&copy);
            if (got != before && got != after)
                fail_msg("seed %u: neither the state before nor the one after", seed);
            back += got == before;
            kept += got == after;
            assert_int_equal(raft_disk_set_term(copy.disk, l->term + 1), 0);
            close_disk(&copy);
            open_disk(&copy);
            close_disk(&copy);
        }
        close_disk(k);
    }
    print_message("%u taken back, %u kept\n", back, kept);
    assert_true(back > n && kept > 0);
    disk_rest_ms = 1000;
    free(l);
    free(a);
    free(b);
    free(torn);
}

static void a_quiet_log_is_sealed(void **state)
{
    struct kit *k = *state;

    disk_rest_ms = 10;
    open_disk(k);
    append(k, 1, 3, 1, 100);
    run_until(k, !k->disk->log_job.active && k->disk->log.sealed);
    assert_int_equal(raft_disk_set_term(k->disk, 2), 0);
    assert_false(k->disk->log.sealed);
    run_until(k, !k->disk->log_job.active && k->disk->log.sealed);
    disk_rest_ms = 1000;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        kit_test(leftovers_are_removed),
        kit_test(a_lock_file_of_lmdb_is_made_anew),
        kit_test(a_stop_before_the_log_is_cut_is_caught_up_on),
        kit_test(a_stop_while_it_was_wiped_is_caught_up_on),
        kit_test(a_transaction_that_was_cut_off_is_taken_back),
        kit_test(a_quiet_log_is_sealed),
    };

    if (argc == 3)
        return open_child(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
