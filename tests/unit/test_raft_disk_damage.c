/*
 * What happens to files between two starts: they are cut, lost, changed, or the machine stops in
 * the middle. Damage must be refused with words, or do no harm; programs that might crash on it run
 * as children: `test_raft_disk_damage open DIR`.
 */
#include "diskkit.h"

#include "cluster/raft_disk_private.h"

enum { KEPT_FROM = 2901, NEXT = 3521 }; /* the entries of make_history() */

static void path_to(struct kit *k, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", k->dir, name);
}

/* A log with long and short entries, free pages and two snapshots. */
static void make_history(struct kit *k)
{
    open_disk(k);
    assert_int_equal(raft_disk_set_term(k->disk, 4), 0);
    assert_int_equal(raft_disk_set_vote(k->disk, 3), 0);
    append(k, 1, 2000, 1, 90);
    append(k, 2001, 20, 1, 9000);
    put(k, 2010, 1, 3000, 100);
    append(k, 2021, 1500, 2, 120);
    assert_int_equal(raft_disk_truncate(k->disk, 3501), 0);
    append(k, 3501, 20, 3, 5000);
    put(k, 3000, 2, 20000, 100);
    close_disk(k);
}

/* What make_history() left is there; as exit status of a child: 0, or which part is not. */
static int check_history(struct raft_disk *d)
{
    struct consensus_loaded l;
    struct oerr e;
    uint8_t want[20000];

    if (raft_disk_load(d, &l, &e) < 0)
        return 10;
    if (l.term != 4 || l.voted_for != 3)
        return 11;
    if (!l.has_snapshot || l.snapshot.index != 3000 || l.snapshot.term != 2 ||
        l.snapshot.len != sizeof want)
        return 12;
    fill(3000, 99, want, sizeof want);
    if (memcmp(l.snapshot.data, want, sizeof want) != 0)
        return 13;
    if (l.first != KEPT_FROM || l.first + l.n != NEXT)
        return 14;
    for (size_t i = 0; i < l.n; i++) {
        const struct consensus_entry *x = &l.entries[i];
        uint64_t index = l.first + i, term = index < 3501 ? 2 : 3;

        if (x->term != term || x->kind != 7 || x->len != (term == 2 ? 120 : 5000))
            return 15;
        fill(index, (unsigned)term, want, x->len);
        if (memcmp(x->data, want, x->len) != 0)
            return 16;
    }
    loaded_free(&l);
    return 0;
}

/* ---- children */

enum { REFUSED = 40, UNSAID = 41, REOPEN_FAILED = 42, WRITE_FAILED = 43 };

static void child_wait(struct loop *loop, const struct wait *w)
{
    while (!w->done)
        uv_run(loop_uv(loop), UV_RUN_ONCE);
}

/* A disk that opens must also work, without harm to what is there. */
static int use_it(struct loop *loop, struct raft_disk *d)
{
    static uint8_t data[300];
    struct consensus_entry v[100];
    uint64_t next = NEXT;

    for (size_t i = 0; i < ARRAY_SIZE(v); i++)
        v[i] = (struct consensus_entry){ .term = 5, .kind = 7, .data = data, sizeof data };
    for (int round = 0; round < 15; round++) {
        struct wait w = { 0 };

        if (raft_disk_append(d, next, v, ARRAY_SIZE(v), wait_done, &w) < 0)
            return WRITE_FAILED;
        child_wait(loop, &w);
        if (w.rc < 0)
            return WRITE_FAILED;
        next += ARRAY_SIZE(v);
    }
    return raft_disk_truncate(d, NEXT) < 0 ? WRITE_FAILED : 0;
}

static int open_child(const char *dir)
{
    struct raft_disk *d;
    struct loop *loop;
    struct oerr e = { "" };
    int rc;

    if (loop_create(&loop) < 0)
        return 1;
    rc = raft_disk_open(&d, loop, dir, &e);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", oerr_name(-rc), e.text);
        loop_destroy(loop);
        return strstr(e.text, dir) ? REFUSED : UNSAID;
    }
    rc = check_history(d);
    if (rc == 0)
        rc = use_it(loop, d);
    raft_disk_close(d);
    if (rc == 0) {
        rc = raft_disk_open(&d, loop, dir, &e) < 0 ? REOPEN_FAILED : check_history(d);
        if (rc == REOPEN_FAILED)
            fprintf(stderr, "%s\n", e.text);
        else
            raft_disk_close(d);
    }
    loop_destroy(loop);
    return rc;
}

static int run_child(const char *what, const char *dir)
{
    int status;
    pid_t pid = spawn(what, dir, -1, true);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- one damage each */

static void copy_folder(const char *from, const char *to)
{
    char cmd[1000];

    snprintf(cmd, sizeof cmd, "rm -rf '%s' && cp -r --sparse=always '%s' '%s'", to, from, to);
    assert_int_equal(system(cmd), 0);
}

static void assert_refused(struct kit *k, const char *file, int want, const char *says)
{
    struct oerr e;
    int rc = try_open(k, &e);

    if (rc != want || !strstr(e.text, says) || !strstr(e.text, file))
        fail_msg("%d, and says: %s", rc, e.text);
    if (rc == -EBADMSG)
        assert_non_null(strstr(e.text, "oneos forget"));
    assert_null(k->disk);
}

static void cut_file(struct kit *k, const char *name, off_t size)
{
    char path[600];

    path_to(k, name, path);
    assert_int_equal(truncate(path, size), 0);
}

static void write_file(struct kit *k, const char *name, const void *p, size_t n)
{
    char path[600];
    FILE *f;

    path_to(k, name, path);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static void remove_file(struct kit *k, const char *name)
{
    char path[600];

    path_to(k, name, path);
    assert_int_equal(unlink(path), 0);
}

static off_t used_size(struct kit *k)
{
    char path[600];
    MDB_env *env;
    MDB_envinfo info;

    path_to(k, "log.mdb", path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0), 0);
    mdb_env_info(env, &info);
    mdb_env_close(env);
    return (off_t)(info.me_last_pgno + 1) * 4096;
}

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
        kit_test(leftovers_are_removed),
        kit_test(a_lock_file_of_lmdb_is_made_anew),
        kit_test(a_stop_before_the_log_is_cut_is_caught_up_on),
        kit_test(a_stop_while_it_was_wiped_is_caught_up_on),
        kit_test(a_transaction_that_was_cut_off_is_taken_back),
        kit_test(a_quiet_log_is_sealed),
        kit_test(changed_bytes_are_refused_or_harmless),
    };

    if (argc == 3)
        return open_child(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
