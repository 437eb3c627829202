/*
 * raft_disk_verify.c - opening the log: made whole or not at all, verified before LMDB maps it.
 *
 * A new log is made beside its name and put in place by a rename, so that `log.mdb` always holds a
 * state record. What is verified: the structure (lmdb_check.h), that each of the two states in the
 * file carries its own transaction's number (else a changed meta page could bring back the state
 * before the last write), and that the entries are those that the state record counts, each with
 * its checksum.
 *
 * Where the newest state is not sound and the one before is, the machine stopped while the newest
 * was written (raft_disk_log.c), and nobody was told yet that it was: the one before counts.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/lmdb_check.h"
#include "cluster/raft_disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define LOG_NAME "log.mdb"
#define NEW_NAME "log.mdb.new"
#define LOCK_LEN 8192 /* what LMDB makes it, for its 126 readers */

size_t disk_first_map = sizeof(void *) > 4 ? (size_t)16 << 30 : (size_t)256 << 20;

int disk_damaged(struct oerr *e, const char *dir, const char *path, const char *what)
{
    return oerr_set(e, -EBADMSG,
                    "%s is damaged: %s; move %s away and start again: this machine then joins "
                    "anew, after `oneos forget` of its id on another",
                    path, what, dir);
}

struct verify {
    struct disk_log *l;
    struct disk_state now;
    uint64_t seen, marks;
};

static int verify_state(struct verify *v, uint64_t txn, bool newest, const void *p, size_t n,
                        struct oerr *e)
{
    struct disk_state st;
    int rc = state_decode(v->l->sums, p, n, &st);

    if (rc == -EPROTONOSUPPORT)
        return oerr_set(e, rc, "%s was written by a newer version of OneOS: install that one",
                        v->l->path);
    if (rc < 0 || st.txn != txn)
        return oerr_set(e, -EBADMSG, "its state record is wrong");
    if (!newest)
        return 1;
    v->now = st;
    return 0;
}

static int verify_item(void *arg, uint64_t txn, bool newest, const void *key, size_t key_len,
                       const void *value, size_t len, struct oerr *e)
{
    struct verify *v = arg;
    struct consensus_entry entry;
    uint64_t index = 0;

    if (key_len != sizeof index)
        return oerr_set(e, -EBADMSG, "it has a key that it should not have");
    for (size_t i = 0; i < key_len; i++)
        index = index << 8 | ((const uint8_t *)key)[i];
    if ((index == 0) != (v->now.node == 0 || !newest))
        return oerr_set(e, -EBADMSG, "it has no state record");
    if (index == 0)
        return verify_state(v, txn, newest, value, len, e);
    if (index != v->now.first + v->seen || index >= v->now.next)
        return oerr_set(e, -EBADMSG, "entry %llu should be where entry %llu is",
                        (unsigned long long)(v->now.first + v->seen), (unsigned long long)index);
    v->seen++;
    if (entry_decode(v->l->sums, index, value, len, &entry) < 0)
        return oerr_set(e, -EBADMSG, "the checksum of entry %llu is wrong",
                        (unsigned long long)index);
    v->marks += entry_mark(value, len);
    return 0;
}

typedef int check_fn(int fd, lmdb_check_item *fn, void *arg, struct oerr *e);

static int verify_with(struct disk_log *l, check_fn *check, struct oerr *words)
{
    struct verify v = { .l = l };
    int rc = check(l->fd, verify_item, &v, words);

    if (rc == 0 && v.now.node == 0)
        rc = oerr_set(words, -EBADMSG, "it has no state record");
    if (rc == 0 && v.seen != v.now.next - v.now.first)
        rc = oerr_set(words, -EBADMSG, "its last %llu entries are missing",
                      (unsigned long long)(v.now.next - v.now.first - v.seen));
    if (rc == 0 && v.marks != v.now.marks)
        rc = oerr_set(words, -EBADMSG, "an entry is not the one that was written last");
    l->st = v.now;
    return rc;
}

/* 0: the newest state was not whole, and is gone. */
static int step_back(struct disk_log *l, const struct oerr *why)
{
    struct oerr words = { "" };
    int rc = verify_with(l, lmdb_check_before, &words);

    if (rc == 0)
        rc = lmdb_step_back(l->fd, &words);
    if (rc == 0)
        log_info("registry",
                 "%s: the machine stopped while it was written (%s); "
                 "what had not been acknowledged yet is taken back",
                 l->path, why->text);
    return rc;
}

static int verify(struct disk_log *l, bool write, struct oerr *e)
{
    struct oerr words = { "" };
    int rc = verify_with(l, lmdb_check, &words);

    if (rc == -EBADMSG && write && step_back(l, &words) == 0)
        return 0;
    if (rc == -EBADMSG)
        return disk_damaged(e, l->dir, l->path, words.text);
    if (rc == -EPROTONOSUPPORT)
        return oerr_set(e, rc, "%s", words.text);
    if (rc < 0)
        return oerr_set(e, rc, "%s cannot be read: %s", l->path,
                        words.text[0] ? words.text : strerror(-rc));
    return 0;
}

/* LMDB writes its table of readers through memory: on a full disk that would be a SIGBUS, so the
 * room is taken before. 0, or an errno. */
static int make_lock_file(const struct disk_log *l)
{
    static const char zeros[LOCK_LEN];
    char path[PATH_MAX + 8];
    cleanup_close int fd = -1;
    struct stat st;

    snprintf(path, sizeof path, "%s-lock", l->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fallocate(fd, 0, 0, LOCK_LEN) == 0)
        return fd < 0 ? errno : 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    if (fstat(fd, &st) < 0)
        return errno;
    errno = ENOSPC;
    return st.st_size > 0 || write(fd, zeros, sizeof zeros) == sizeof zeros ? 0 : errno;
}

static int open_env(struct disk_log *l, unsigned flags)
{
    MDB_txn *txn;
    MDB_stat st;
    int rc = make_lock_file(l);

    if (rc == 0 || (flags & MDB_RDONLY))
        rc = mdb_env_create(&l->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(l->env, l->map_size);
    /* No TLS: the pool's threads come and go. */
    if (rc == 0)
        rc = mdb_env_open(l->env, l->path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    /* To write: that also repairs the lock file, which a writer may have left when it was killed
     * while a reader had it open. Until then it names the state before the last. */
    if (rc == 0)
        rc = mdb_txn_begin(l->env, NULL, flags & MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, NULL, 0, &l->dbi);
        mdb_txn_abort(txn);
    }
    if (rc == 0 && (rc = mdb_env_stat(l->env, &st)) == 0)
        l->page_size = st.ms_psize;
    return rc;
}

static int start_log(struct disk_log *l, const char *dir, const char *name)
{
    *l = (struct disk_log){ .fd = -1, .dir = dir, .map_size = disk_first_map };
    snprintf(l->path, sizeof l->path, "%s/%s", dir, name);
    l->sums = sums_create();
    return l->sums ? 0 : -ENOMEM;
}

static int open_file(struct disk_log *l, bool write, bool verified, struct oerr *e)
{
    int rc = 0;

    l->fd = open(l->path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (l->fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (l->fd < 0)
        return oerr_set(e, -errno, "cannot open %s: %s", l->path, strerror(errno));
    if (!verified)
        rc = verify(l, write, e);
    if (rc < 0)
        return rc;
    rc = open_env(l, write ? MDB_NOSYNC : MDB_RDONLY);
    if (rc != 0)
        return oerr_set(e, rc > 0 ? -rc : -EIO, "cannot open %s: %s", l->path, mdb_strerror(rc));
    if (write)
        log_room(l, 0, &rc);
    return 0;
}

int log_open(struct disk_log *l, const char *dir, struct oerr *e)
{
    int rc = start_log(l, dir, LOG_NAME);

    if (rc == 0)
        rc = open_file(l, true, false, e);
    if (rc < 0)
        log_close(l);
    return rc;
}

int log_open_read(struct disk_log *l, const char *dir, bool verified, struct oerr *e)
{
    int rc = start_log(l, dir, LOG_NAME);

    if (rc == 0)
        rc = open_file(l, false, verified, e);
    if (rc < 0)
        log_close(l);
    return rc;
}

static int set_node(struct log_txn *x, void *arg)
{
    x->st.node = *(uint64_t *)arg;
    x->st.first = x->st.next = 1;
    return 0;
}

int disk_draw_node(uint64_t *node)
{
    *node = 0;
    while (*node == 0) {
        if (getrandom(node, sizeof *node, 0) < 0 && errno != EINTR)
            return -errno;
    }
    return 0;
}

static int make(struct disk_log *l)
{
    uint64_t node;
    int rc, room;

    unlink(l->path);
    rc = open_env(l, MDB_NOSYNC);
    if (rc != 0)
        return rc > 0 ? -rc : -EIO;
    l->fd = open(l->path, O_RDWR | O_CLOEXEC);
    if (l->fd < 0)
        return -errno;
    log_room(l, 0, &room);
    rc = room < 0 ? room : disk_draw_node(&node);
    return rc < 0 ? rc : log_run(l, set_node, &node);
}

int log_make(const char *dir, struct oerr *e)
{
    cleanup_free struct disk_log *l = malloc(sizeof *l);
    char path[PATH_MAX];
    int rc = l ? start_log(l, dir, NEW_NAME) : -ENOMEM;

    if (rc == 0) {
        rc = make(l);
        log_close(l);
        snprintf(path, sizeof path, "%s/" NEW_NAME "-lock", dir);
        unlink(path);
        snprintf(path, sizeof path, "%s/" LOG_NAME, dir);
        if (rc == 0 && rename(l->path, path) < 0)
            rc = -errno;
        if (rc < 0)
            unlink(l->path);
    }
    if (rc < 0)
        return oerr_set(e, rc, "cannot make a log in %s: %s", dir, strerror(-rc));
    return disk_sync_folder(dir, e);
}
