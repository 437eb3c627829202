/*
 * The disk under raft_disk is full: a small file system in a mount namespace of the test, or a
 * limit. fallocate is stood in for here.
 */
#include "diskkit.h"

#include "cluster/raft_disk_private.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define MIB (1024 * 1024)

static bool no_fallocate;

int __wrap_fallocate(int fd, int mode, off_t at, off_t n);
int __real_fallocate(int fd, int mode, off_t at, off_t n);

int __wrap_fallocate(int fd, int mode, off_t at, off_t n)
{
    if (no_fallocate) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_fallocate(fd, mode, at, n);
}

static void small_disk(struct kit *k, const char *size)
{
    char option[32];

    snprintf(option, sizeof option, "size=%s", size);
    if (mount("tmpfs", k->base, "tmpfs", 0, option) < 0)
        skip();
}

static void unmount(struct kit *k)
{
    close_disk(k);
    assert_int_equal(umount(k->base), 0);
}

static void ballast_path(struct kit *k, char path[400])
{
    snprintf(path, 400, "%s/ballast", k->base);
}

/* Fills what is left, or all but some of it. */
static void fill_up(struct kit *k, size_t but)
{
    static const char zeros[4096];
    char path[400];
    struct stat st;
    int fd;

    ballast_path(k, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) == sizeof zeros)
        continue;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(ftruncate(fd, st.st_size > (off_t)but ? st.st_size - (off_t)but : 0), 0);
    close(fd);
}

static void make_room(struct kit *k)
{
    char path[400];

    ballast_path(k, path);
    assert_int_equal(unlink(path), 0);
}

/* Appends until one does not end because there is no room. Its number is in *n. */
static void append_until_full(struct kit *k, uint64_t *next, struct wait *w, uint8_t **data)
{
    for (;;) {
        assert_int_equal(begin_append(k, *next, 1, 1, 50000, w, data), 0);
        ++*next;
        run_until(k, w->done || raft_disk_trouble(k->disk));
        if (!w->done)
            return;
        assert_int_equal(w->rc, 0);
        free(*data);
        assert_true(*next < 1000);
    }
}

static void run_ms(struct kit *k, uint64_t ms)
{
    for (uint64_t until = uv_now(loop_uv(k->loop)) + ms; uv_now(loop_uv(k->loop)) < until;)
        uv_run(loop_uv(k->loop), UV_RUN_ONCE);
}

static void assert_waited_out(struct kit *k)
{
    struct wait w = { 0 }, behind = { 0 };
    uint8_t *data, *data_behind;
    uint64_t next = 1;

    append_until_full(k, &next, &w, &data);
    assert_non_null(strstr(raft_disk_trouble(k->disk), "No space left"));
    assert_non_null(strstr(raft_disk_trouble(k->disk), k->dir));
    assert_int_equal(begin_append(k, next++, 1, 1, 10, &behind, &data_behind), 0);
    run_ms(k, 600); /* a few tries */
    assert_false(w.done);
    assert_false(behind.done);
    make_room(k);
    run_until(k, w.done && behind.done);
    assert_int_equal(w.rc, 0);
    assert_int_equal(behind.rc, 0);
    assert_null(raft_disk_trouble(k->disk));
    free(data);
    free(data_behind);
    reopen_disk(k);
    assert_log(k, 1, next);
}

static void a_full_disk_is_waited_out(void **state)
{
    struct kit *k = *state;

    small_disk(k, "24m");
    open_disk(k);
    fill_up(k, 3 * MIB);
    assert_waited_out(k);
    unmount(k);
}

static void a_full_disk_is_waited_out_without_fallocate(void **state)
{
    struct kit *k = *state;

    small_disk(k, "24m");
    no_fallocate = true;
    open_disk(k);
    fill_up(k, 4 * MIB);
    assert_waited_out(k);
    no_fallocate = false;
    unmount(k);
}

static void term_vote_and_truncation_find_room(void **state)
{
    struct kit *k = *state;
    struct consensus_loaded l;
    struct wait w = { 0 };
    uint64_t next = 1;
    uint8_t *data;

    small_disk(k, "24m");
    open_disk(k);
    fill_up(k, 3 * MIB);
    append_until_full(k, &next, &w, &data);
    fill_up(k, 0);
    for (uint64_t term = 2; term < 1000; term++) {
        assert_int_equal(raft_disk_set_term(k->disk, term), 0);
        assert_int_equal(raft_disk_set_vote(k->disk, term + 7), 0);
    }
    assert_false(w.done);
    assert_int_equal(raft_disk_truncate(k->disk, 3), 0);
    run_until(k, w.done); /* nothing of it is left to be written */
    assert_int_equal(w.rc, -ECANCELED);
    free(data);
    close_disk(k);
    open_disk(k); /* on a full disk too */
    load(k, &l);
    assert_int_equal(l.term, 999);
    assert_int_equal(l.voted_for, 1006);
    assert_int_equal(l.n, 2);
    loaded_free(&l);
    unmount(k);
}

static void term_vote_and_truncation_find_room_without_fallocate(void **state)
{
    no_fallocate = true;
    term_vote_and_truncation_find_room(state);
}

static void entries_are_cut_on_a_full_disk(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    uint64_t next = 1;
    uint8_t *data;

    small_disk(k, "24m");
    open_disk(k);
    fill_up(k, 4 * MIB);
    append_until_full(k, &next, &w, &data);
    fill_up(k, 16384); /* for the snapshot */
    put(k, next - 2, 1, 100, 0);
    assert_false(w.done);
    make_room(k);
    assert_int_equal(kit_wait(k, &w), 0);
    free(data);
    assert_log(k, next - 1, next);
    unmount(k);
}

/* The others committed what did not yet find room here. */
static void a_snapshot_may_be_ahead_of_the_log(void **state)
{
    struct kit *k = *state;

    small_disk(k, "24m");
    for (int closing = 0; closing < 2; closing++) {
        struct wait w = { 0 }, p = { 0 };
        uint8_t *data, *data_p;
        uint64_t next = 1;
        char name[400];

        open_disk(k);
        fill_up(k, 4 * MIB);
        append_until_full(k, &next, &w, &data);
        fill_up(k, 16384); /* for the snapshot */
        assert_int_equal(begin_put(k, next - 1, 1, 100, 0, &p, &data_p), 0);
        snprintf(name, sizeof name, "%s/snapshot-%" PRIu64 "-1", k->dir, next - 1);
        run_until(k, access(name, F_OK) == 0);
        run_ms(k, 100);
        assert_false(p.done);
        if (closing)
            close_disk(k);
        make_room(k);
        run_until(k, w.done && p.done);
        assert_int_equal(w.rc, closing ? -ECANCELED : 0);
        assert_int_equal(p.rc, closing ? -ECANCELED : 0);
        free(data);
        free(data_p);
        close_disk(k);
        open_disk(k);
        assert_log(k, next, next);
        append(k, next, 1, 1, 10);
        close_disk(k);
        tempdir_remove(k->dir);
    }
    unmount(k);
}

static void a_snapshot_waits_for_room(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    uint8_t *data;

    small_disk(k, "24m");
    open_disk(k);
    append(k, 1, 10, 1, 100);
    fill_up(k, 100000);
    assert_int_equal(begin_put(k, 10, 1, 200000, 0, &w, &data), 0);
    run_until(k, raft_disk_trouble(k->disk));
    assert_non_null(strstr(raft_disk_trouble(k->disk), "snapshot-10-1"));
    append(k, 11, 1, 1, 100); /* there is room for this one */
    assert_non_null(raft_disk_trouble(k->disk));
    assert_false(w.done);
    make_room(k);
    assert_int_equal(kit_wait(k, &w), 0);
    assert_null(raft_disk_trouble(k->disk));
    free(data);
    unmount(k);
}

static void closing_a_full_disk_does_not_wait(void **state)
{
    struct kit *k = *state;
    struct wait w = { 0 };
    uint64_t next = 1;
    uint8_t *data;

    small_disk(k, "24m");
    open_disk(k);
    fill_up(k, 3 * MIB);
    append_until_full(k, &next, &w, &data);
    close_disk(k);
    assert_true(w.done);
    assert_int_equal(w.rc, -ECANCELED);
    free(data);
    open_disk(k);
    assert_log(k, 1, next - 1);
    unmount(k);
}

static void a_folder_without_any_room_is_refused(void **state)
{
    struct kit *k = *state;
    struct oerr e;

    small_disk(k, "4m");
    for (size_t room = 4096; room <= 1 * MIB; room *= 4) { /* too little for what is reserved */
        fill_up(k, room);
        assert_int_equal(try_open(k, &e), -ENOSPC);
        assert_non_null(strstr(e.text, k->dir));
        make_room(k);
    }
    open_disk(k);
    assert_true(raft_disk_fresh(k->disk));
    unmount(k);
}

static void limit_is_waited_out(void **state)
{
    struct rlimit limit = { 6 * MIB, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
    struct kit *k = *state;
    struct wait w = { 0 };
    uint64_t next = 1;
    uint8_t *data;

    signal(SIGXFSZ, SIG_IGN);
    open_disk(k);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    append_until_full(k, &next, &w, &data);
    assert_int_equal(raft_disk_set_term(k->disk, 9), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(kit_wait(k, &w), 0);
    free(data);
    reopen_disk(k);
    assert_log(k, 1, next);
}

static void a_limit_of_file_size_is_waited_out(void **state)
{
    limit_is_waited_out(state);
}

static void a_limit_of_file_size_is_waited_out_without_fallocate(void **state)
{
    no_fallocate = true;
    limit_is_waited_out(state);
}

static void the_map_grows(void **state)
{
    struct kit *k = *state;

    disk_first_map = MIB;
    open_disk(k);
    for (uint64_t first = 1; first < 200; first += 4)
        append(k, first, 4, 1, 30000);
    append(k, 201, 1, 1, 9 * MIB);
    assert_log(k, 1, 202);
    reopen_disk(k);
    assert_log(k, 1, 202);
    append(k, 202, 1, 1, 100);
}

static void a_folder_that_may_not_be_written_is_refused(void **state)
{
    struct kit *k = *state;
    struct oerr e;

    open_disk(k);
    close_disk(k);
    if (mount("tmpfs", k->base, "tmpfs", MS_RDONLY, NULL) < 0)
        skip();
    assert_int_equal(try_open(k, &e), -EROFS);
    assert_non_null(strstr(e.text, k->dir));
    assert_int_equal(umount(k->base), 0);
}

static int setup(void **state)
{
    disk_first_map = (size_t)1 << 30;
    no_fallocate = false;
    return kit_setup(state);
}

#define full_test(f) cmocka_unit_test_setup_teardown(f, setup, kit_teardown)

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        print_message("%s cannot be written: %s\n", path, strerror(errno));
    close(fd);
}

/* Mounts of this process only, as its own root where it is not root. */
static void own_mounts(void)
{
    unsigned uid = getuid(), gid = getgid();
    char text[32];

    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return;
        write_text("/proc/self/setgroups", "deny");
        snprintf(text, sizeof text, "0 %u 1", uid);
        write_text("/proc/self/uid_map", text);
        snprintf(text, sizeof text, "0 %u 1", gid);
        write_text("/proc/self/gid_map", text);
    }
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        full_test(a_full_disk_is_waited_out),
        full_test(a_full_disk_is_waited_out_without_fallocate),
        full_test(term_vote_and_truncation_find_room),
        full_test(entries_are_cut_on_a_full_disk),
        full_test(a_snapshot_may_be_ahead_of_the_log),
        full_test(a_snapshot_waits_for_room),
        full_test(closing_a_full_disk_does_not_wait),
        full_test(a_folder_without_any_room_is_refused),
        full_test(a_limit_of_file_size_is_waited_out),
        full_test(a_limit_of_file_size_is_waited_out_without_fallocate),
        full_test(term_vote_and_truncation_find_room_without_fallocate),
        full_test(the_map_grows),
        full_test(a_folder_that_may_not_be_written_is_refused),
    };

    own_mounts(); /* before any thread is started */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
