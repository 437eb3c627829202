/*
 * The disk under raft_disk fails: fsync and fdatasync are stood in for here, also where LMDB calls
 * them.
 */
#include "diskkit.h"

#include <sys/syscall.h>

static int fail_fdatasync, fail_fsync, fail_folder_sync; /* an errno, once */

static int fail_once(int *how)
{
    errno = *how;
    *how = 0;
    return -1;
}

int fdatasync(int fd)
{
    return fail_fdatasync ? fail_once(&fail_fdatasync) : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && fail_folder_sync)
        return fail_once(&fail_folder_sync);
    return fail_fsync ? fail_once(&fail_fsync) : (int)syscall(SYS_fsync, fd);
}

static void a_failed_sync_ends_all_writing(void **state)
{
    struct kit *k = *state;
    struct wait w[2] = { 0 };
    struct oerr e;
    uint8_t *data[2];

    open_disk(k);
    append(k, 1, 5, 1, 100);
    fail_fdatasync = EIO;
    assert_int_equal(begin_append(k, 6, 1, 1, 100, &w[0], &data[0]), 0);
    assert_int_equal(begin_put(k, 3, 1, 100, 0, &w[1], &data[1]), 0);
    run_until(k, w[0].done && w[1].done);
    assert_int_equal(w[0].rc, -EIO);
    assert_int_equal(w[1].rc, -EIO);
    assert_non_null(strstr(raft_disk_trouble(k->disk), k->dir));
    assert_non_null(strstr(raft_disk_trouble(k->disk), "dmesg"));
    for (size_t i = 0; i < 2; i++)
        free(data[i]);
    assert_int_equal(begin_append(k, 7, 1, 1, 100, &w[0], &data[0]), -EIO);
    free(data[0]);
    assert_int_equal(begin_put(k, 3, 1, 100, 0, &w[1], &data[1]), -EIO);
    free(data[1]);
    assert_int_equal(raft_disk_set_term(k->disk, 9), -EIO);
    assert_int_equal(raft_disk_truncate(k->disk, 5), -EIO);
    assert_int_equal(raft_disk_wipe(k->disk, &e), -EIO);
    close_disk(k);
    open_disk(k);
    assert_null(raft_disk_trouble(k->disk));
    append(k, 6, 1, 1, 100);
}

static void a_failed_sync_of_a_term_ends_all_writing(void **state)
{
    struct consensus_loaded l;
    struct kit *k = *state;

    open_disk(k);
    assert_int_equal(raft_disk_set_term(k->disk, 3), 0);
    fail_fdatasync = EIO;
    assert_int_equal(raft_disk_set_term(k->disk, 9), -EIO);
    assert_int_equal(raft_disk_set_vote(k->disk, 9), -EIO);
    run_until(k, raft_disk_trouble(k->disk));
    reopen_disk(k);
    load(k, &l);
    assert_int_equal(l.term, 3);
    loaded_free(&l);
}

static void a_failed_snapshot_leaves_the_log_alone(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    uint8_t *data;

    open_disk(k);
    append(k, 1, 10, 1, 100);
    put(k, 5, 1, 1000, 0);
    fail_fsync = EIO;
    assert_int_equal(begin_put(k, 8, 1, 1000, 0, &w, &data), 0);
    assert_int_equal(kit_wait(k, &w), -EIO);
    free(data);
    assert_null(raft_disk_trouble(k->disk));
    append(k, 11, 1, 1, 100);
    put(k, 8, 1, 1000, 0); /* once more */
    reopen_disk(k);
    assert_log(k, 9, 12);
}

static void a_snapshot_is_durable_with_its_name(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    struct oerr e;
    uint8_t *data;

    fail_folder_sync = EIO;
    assert_int_equal(try_open(k, &e), -EIO);
    fail_folder_sync = 0;
    open_disk(k);
    append(k, 1, 10, 1, 100);
    fail_folder_sync = EIO;
    assert_int_equal(begin_put(k, 8, 1, 1000, 0, &w, &data), 0);
    assert_int_equal(kit_wait(k, &w), -EIO);
    free(data);
    assert_log(k, 1, 11);
}

static void a_failed_snapshot_that_replaces_the_log_ends_all_writing(void **state)
{
    struct kit *k = *state;
    struct wait w[2] = { 0 };
    uint8_t *data[2];

    open_disk(k);
    append(k, 1, 10, 1, 100);
    fail_fsync = EIO;
    assert_int_equal(begin_put(k, 80, 2, 1000, 0, &w[0], &data[0]), 0);
    assert_int_equal(begin_append(k, 81, 1, 2, 10, &w[1], &data[1]), 0);
    run_until(k, w[0].done && w[1].done);
    assert_int_equal(w[0].rc, -EIO);
    assert_int_equal(w[1].rc, -EIO);
    assert_non_null(raft_disk_trouble(k->disk));
    free(data[0]);
    free(data[1]);
    reopen_disk(k);
    assert_log(k, 1, 11);
}

static int setup(void **state)
{
    fail_fdatasync = fail_fsync = fail_folder_sync = 0;
    return kit_setup(state);
}

#define fail_test(f) cmocka_unit_test_setup_teardown(f, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fail_test(a_failed_sync_ends_all_writing),
        fail_test(a_failed_sync_of_a_term_ends_all_writing),
        fail_test(a_failed_snapshot_leaves_the_log_alone),
        fail_test(a_snapshot_is_durable_with_its_name),
        fail_test(a_failed_snapshot_that_replaces_the_log_ends_all_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
