/*
 * test_raft_disk_damage.c - files that are cut, lost or changed between two starts. Damage must be
 * refused with words, or do no harm; programs that might crash on it run as children:
 * `test_raft_disk_damage open DIR`.
 */
#include "damage_kit.h"

static void a_log_cut_short_is_refused_or_harmless(void **state)
{
    struct kit *k = *state, copy = *k;
    off_t used;
    unsigned refused = 0;

    make_history(k);
    used = used_size(k);
    snprintf(copy.dir, sizeof copy.dir, "%s/copy", k->base);
    for (off_t size = 0; size < used; size += size < 20000 ? 1237 : 100 * 1024 + 511) {
        int rc;

        copy_folder(k->dir, copy.dir);
        cut_file(&copy, "log.mdb", size);
        rc = run_child("open", copy.dir);
        if (rc != 0 && rc != REFUSED)
            fail_msg("cut to %lld: %d", (long long)size, rc);
        refused += rc == REFUSED;
    }
    assert_true(refused > 10);
    cut_file(k, "log.mdb", used / 3);
    assert_refused(k, "log.mdb", -EBADMSG, "cut short");
    cut_file(k, "log.mdb", 0);
    assert_refused(k, "log.mdb", -EBADMSG, "empty");
}

static void a_log_that_is_none_is_refused(void **state)
{
    struct kit *k = *state;
    char page[16384];

    open_disk(k);
    close_disk(k);
    memset(page, 'x', sizeof page);
    write_file(k, "log.mdb", page, sizeof page);
    assert_refused(k, "log.mdb", -EBADMSG, "no file of LMDB");
    memset(page, 0, sizeof page);
    write_file(k, "log.mdb", page, sizeof page);
    assert_refused(k, "log.mdb", -EBADMSG, "no file of LMDB");
    write_file(k, "log.mdb", page, 7);
    assert_refused(k, "log.mdb", -EBADMSG, "ends within");
}

/* The two metas of LMDB tell by one number which of them counts. */
static void the_state_before_the_last_is_not_taken_for_the_last(void **state)
{
    struct kit *k = *state;
    uint64_t txn[2], changed;
    int fd, newer;
    char path[600];

    make_history(k);
    path_to(k, "log.mdb", path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pread(fd, &txn[i], 8, i * 4096 + 144), 8);
    newer = txn[0] < txn[1];
    assert_int_equal(txn[newer] - txn[!newer], 1);
    changed = txn[newer] - 2;
    assert_int_equal(pwrite(fd, &changed, 8, newer * 4096 + 144), 8);
    assert_refused(k, "log.mdb", -EBADMSG, "state record is wrong");
    assert_int_equal(pwrite(fd, &txn[newer], 8, newer * 4096 + 144), 8);
    changed = txn[!newer] + 2;
    assert_int_equal(pwrite(fd, &changed, 8, !newer * 4096 + 144), 8);
    close(fd);
    open_disk(k);
    assert_int_equal(check_history(k->disk), 0);
}

static void a_log_of_another_program_is_refused(void **state)
{
    struct kit *k = *state;
    char path[600], text[] = "hello";
    MDB_val word = { 5, text };
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    mkdir(k->dir, 0700);
    path_to(k, "log.mdb", path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &word, &word, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_refused(k, "log.mdb", -EBADMSG, "a key that it should not have");
}

static void an_empty_file_of_lmdb_is_refused(void **state)
{
    struct kit *k = *state;
    char path[600];
    MDB_env *env;

    mkdir(k->dir, 0700);
    path_to(k, "log.mdb", path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    mdb_env_close(env);
    assert_refused(k, "log.mdb", -EBADMSG, "no state record");
}

static void a_missing_log_is_refused(void **state)
{
    struct kit *k = *state;

    make_history(k);
    remove_file(k, "log.mdb");
    assert_refused(k, "log.mdb", -EBADMSG, "missing");
    remove_file(k, "log.mdb-lock");
    assert_refused(k, "log.mdb", -EBADMSG, "missing");
}

static void a_missing_log_is_refused_without_snapshots_too(void **state)
{
    struct kit *k = *state;

    open_disk(k);
    append(k, 1, 1, 1, 1);
    close_disk(k);
    remove_file(k, "log.mdb");
    assert_refused(k, "log.mdb", -EBADMSG, "missing");
}

static void missing_snapshots_are_refused(void **state)
{
    struct kit *k = *state;

    make_history(k);
    remove_file(k, "snapshot-3000-2");
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "missing");
    remove_file(k, "snapshot-2010-1");
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "missing");
}

static void a_damaged_newest_snapshot_is_refused(void **state)
{
    struct kit *k = *state;
    char path[600];

    make_history(k);
    cut_file(k, "snapshot-3000-2", 10000);
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "checksum or length");
    cut_file(k, "snapshot-3000-2", 3);
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "checksum or length");
    cut_file(k, "snapshot-3000-2", 0);
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "checksum or length");
    /* one in the place of another */
    path_to(k, "snapshot-3000-2", path);
    {
        char other[600];

        path_to(k, "snapshot-2010-1", other);
        assert_int_equal(rename(other, path), 0);
    }
    assert_refused(k, "snapshot-3000-2", -EBADMSG, "checksum or length");
}

static void a_damaged_old_snapshot_does_no_harm(void **state)
{
    struct kit *k = *state;

    make_history(k);
    write_file(k, "snapshot-2010-1", "x", 1);
    assert_int_equal(run_child("open", k->dir), 0);
    remove_file(k, "snapshot-2010-1");
    assert_int_equal(run_child("open", k->dir), 0);
}

static int name_older(struct log_txn *x, void *arg)
{
    (void)arg;
    x->st.snap_index = 2010;
    x->st.snap_term = 1;
    return 0;
}

static void a_gap_behind_the_snapshot_is_refused(void **state)
{
    struct kit *k = *state;
    struct disk_log *l = malloc(sizeof *l);
    struct oerr e;

    make_history(k);
    assert_int_equal(log_open(l, k->dir, &e), 0);
    assert_int_equal(log_run(l, name_older, NULL), 0);
    assert_int_equal(log_seal(l), 0);
    log_close(l);
    free(l);
    remove_file(k, "snapshot-3000-2");
    assert_refused(k, "log.mdb", -EBADMSG, "state record is wrong");
}

/* ---- chance */

/* A single bit, a byte, a word of ones or zeros, or a page in the place of another. */
static void hurt(int fd, off_t size)
{
    off_t at = (off_t)rnd((uint64_t)size);
    uint8_t buf[4096];
    size_t n = 1;

    if (rnd(2)) /* pages' heads and metas are what hurts most */
        at = at / 4096 * 4096 + (off_t)rnd(at < 8192 ? 160 : 64);
    switch (rnd(6)) {
    case 0:
        n = sizeof buf;
        at = at / 4096 * 4096;
        assert_true(pread(fd, buf, n, (off_t)rnd((uint64_t)size / 4096) * 4096) > 0);
        break;
    case 1:
        n = 1 + rnd(8);
        memset(buf, rnd(2) ? 0xff : 0, n);
        break;
    case 2:
        buf[0] = (uint8_t)rnd(256);
        break;
    default:
        assert_true(pread(fd, buf, 1, at) >= 0);
        buf[0] ^= (uint8_t)(1u << rnd(8));
    }
    assert_int_equal(pwrite(fd, buf, n, at), n);
}

static void changed_bytes_are_refused_or_harmless(void **state)
{
    unsigned n = from_env("ONEOS_SEEDS", 150), from = from_env("ONEOS_SEED", 1), refused = 0;
    struct kit *k = *state, copy = *k;
    off_t used;

    make_history(k);
    used = used_size(k);
    snprintf(copy.dir, sizeof copy.dir, "%s/copy", k->base);
    for (unsigned seed = from; seed < from + n; seed++) {
        const char *name = seed % 8 ? "log.mdb" : "snapshot-3000-2";
        char path[600];
        int fd, rc;

        rnd_state = seed * 0x9e3779b97f4a7c15u;
        copy_folder(k->dir, copy.dir);
        path_to(&copy, name, path);
        fd = open(path, O_RDWR | O_CLOEXEC);
        for (uint64_t i = rnd(3) ? 1 : 1 + rnd(8); i > 0; i--)
            hurt(fd, seed % 8 ? used : 20084);
        close(fd);
        rc = run_child("open", copy.dir);
        if (rc != 0 && rc != REFUSED)
            fail_msg("seed %u: %d", seed, rc);
        refused += rc == REFUSED;
    }
    print_message("%u of %u were refused\n", refused, n);
    assert_true(refused > n / 5 && refused < n);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_log_cut_short_is_refused_or_harmless),
        kit_test(a_log_that_is_none_is_refused),
        kit_test(the_state_before_the_last_is_not_taken_for_the_last),
        kit_test(a_log_of_another_program_is_refused),
        kit_test(an_empty_file_of_lmdb_is_refused),
        kit_test(a_missing_log_is_refused),
        kit_test(a_missing_log_is_refused_without_snapshots_too),
        kit_test(missing_snapshots_are_refused),
        kit_test(a_damaged_newest_snapshot_is_refused),
        kit_test(a_damaged_old_snapshot_does_no_harm),
        kit_test(a_gap_behind_the_snapshot_is_refused),
        kit_test(changed_bytes_are_refused_or_harmless),
    };

    if (argc == 3)
        return open_child(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
