/*
 * damage_kit.c - the history, its damage, and starts in children.
 */
#include "damage_kit.h"

void path_to(struct kit *k, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", k->dir, name);
}

/* A log with long and short entries, free pages and two snapshots. */
void make_history(struct kit *k)
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
int check_history(struct raft_disk *d)
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

int open_child(const char *dir)
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

int run_child(const char *what, const char *dir)
{
    int status;
    pid_t pid = spawn(what, dir, -1, true);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- damage */

void copy_folder(const char *from, const char *to)
{
    char cmd[1000];

    snprintf(cmd, sizeof cmd, "rm -rf '%s' && cp -r --sparse=always '%s' '%s'", to, from, to);
    assert_int_equal(system(cmd), 0);
}

void assert_refused(struct kit *k, const char *file, int want, const char *says)
{
    struct oerr e;
    int rc = try_open(k, &e);

    if (rc != want || !strstr(e.text, says) || !strstr(e.text, file))
        fail_msg("%d, and says: %s", rc, e.text);
    if (rc == -EBADMSG)
        assert_non_null(strstr(e.text, "oneos forget"));
    assert_null(k->disk);
}

void cut_file(struct kit *k, const char *name, off_t size)
{
    char path[600];

    path_to(k, name, path);
    assert_int_equal(truncate(path, size), 0);
}

void write_file(struct kit *k, const char *name, const void *p, size_t n)
{
    char path[600];
    FILE *f;

    path_to(k, name, path);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

void remove_file(struct kit *k, const char *name)
{
    char path[600];

    path_to(k, name, path);
    assert_int_equal(unlink(path), 0);
}

off_t used_size(struct kit *k)
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
