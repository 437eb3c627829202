/*
 * raft_disk_log.c - the log of consensus in LMDB: transactions and the room for them.
 *
 * The file has one tree. Key: the index, 8 bytes big-endian, value: the entry; under key 0 the
 * state record, which each transaction writes anew with its own number. So the state before and
 * the state now are told apart whatever happens to the metas of the file.
 *
 * One sync for each transaction: LMDB would need two, its pages first and then the meta that names
 * them (so MDB_NOSYNC, and the sync is ours). When the machine stops within, the meta may be there
 * without all pages. That is found out at the next start: whatever else is in the place of such a
 * page, the counts of the metas, the checksums, the indexes, or the sum of all entries' marks in
 * the state record do not fit. The state before is whole, for a transaction writes to no page of
 * it, and counts (raft_disk_verify.c). So that damage is not mistaken for that, a last transaction
 * that changes nothing seals the log when it has been quiet for a while, and when it is closed.
 *
 * Room: appends must leave RESERVE bytes behind the end of the file that are surely there
 * (fallocate, or zeros), so that a term, a vote, a truncation or the cutting of the log can still
 * be written when the disk is full.
 */
#include "cluster/lmdb_check.h"
#include "cluster/raft_disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MIB        ((size_t)1 << 20)
#define RESERVE    (1 * MIB) /* for all but entries */
#define RESERVE_BY (4 * MIB)
#define TXN_PAGES  32 /* that a transaction may take beside its entries */

bool disk_waits(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG || rc == -ENOMEM;
}

void log_close(struct disk_log *l)
{
    if (l->env)
        mdb_env_close(l->env);
    l->env = NULL;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    sums_destroy(l->sums);
    l->sums = NULL;
}

/* ---- room */

static size_t file_tail(const struct disk_log *l)
{
    MDB_envinfo info;

    mdb_env_info(l->env, &info);
    return (info.me_last_pgno + 1) * l->page_size;
}

size_t log_cost(const struct disk_log *l, size_t len)
{
    size_t item = ENTRY_HEAD + 8 + 16 + len;

    return item < l->page_size / 2 ? 2 * item : item + 2 * l->page_size;
}

static bool is_full(const struct disk_log *l)
{
    struct statvfs fs;

    return fstatvfs(l->fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < RESERVE;
}

/* Writes zeros behind the end of the file, which is `size` bytes long. */
static int extend(struct disk_log *l, off_t size, off_t upto)
{
    static const char zeros[64 * 1024];

    if (l->reserved < size)
        l->reserved = size < upto ? size : upto;
    while (size < upto) {
        size_t n = upto - size < (off_t)sizeof zeros ? (size_t)(upto - size) : sizeof zeros;
        ssize_t put = pwrite(l->fd, zeros, n, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        size += put;
        if (l->reserved < size)
            l->reserved = size;
    }
    return 0;
}

/* Blocks that were never written cost the file system a transaction of its own with the first sync
 * behind each: so they are written at once. Where there is no fallocate, that is what takes the
 * room, too. */
static int reserve(struct disk_log *l, size_t upto)
{
    struct stat st;
    int rc;

    if ((off_t)upto <= l->reserved)
        return 0;
    if (fstat(l->fd, &st) < 0)
        return -errno;
    while (!l->no_fallocate && fallocate(l->fd, 0, l->reserved, (off_t)upto - l->reserved) < 0) {
        l->no_fallocate = errno == EOPNOTSUPP || errno == ENOSYS;
        if (!l->no_fallocate && errno != EINTR)
            return -errno;
    }
    rc = extend(l, st.st_size, (off_t)upto);
    if (rc < 0 && l->no_fallocate)
        return rc;
    l->reserved = (off_t)upto;
    return 0;
}

size_t log_room(struct disk_log *l, size_t want, int *rc)
{
    size_t tail = file_tail(l) + TXN_PAGES * l->page_size + RESERVE;

    *rc = reserve(l, (tail + want + RESERVE_BY - 1) / RESERVE_BY * RESERVE_BY);
    if (*rc < 0)
        *rc = reserve(l, tail + want);
    if (*rc == 0)
        return want;
    return (size_t)l->reserved > tail ? (size_t)l->reserved - tail : 0;
}

/* ---- transactions */

static int grow_map(struct disk_log *l)
{
    if (l->map_size > SIZE_MAX / 2)
        return ENOMEM;
    l->map_size *= 2;
    return mdb_env_set_mapsize(l->env, l->map_size);
}

/* LMDB says EIO when a write came out short, which is how a disk fills up. */
static int as_errno(struct disk_log *l, int rc)
{
    if (rc == MDB_READERS_FULL)
        return -EAGAIN;
    if (rc == 0 || rc < -30000)
        return rc == 0 ? 0 : -EIO;
    if (rc == EIO && is_full(l))
        return -ENOSPC;
    return rc > 0 ? -rc : rc;
}

static int put_state(struct log_txn *x)
{
    uint8_t key[8] = { 0 };
    MDB_val k = { sizeof key, key }, v = { STATE_LEN, NULL };
    int rc = mdb_put(x->txn, x->log->dbi, &k, &v, MDB_RESERVE);

    x->st.txn = mdb_txn_id(x->txn);
    if (rc == 0)
        state_encode(x->log->sums, &x->st, v.mv_data);
    return rc;
}

static int run_once(struct disk_log *l, log_step *fn, void *arg)
{
    struct log_txn x = { .log = l, .st = l->st };
    int rc = mdb_txn_begin(l->env, NULL, 0, &x.txn);

    if (rc != 0)
        return rc;
    rc = fn(&x, arg);
    if (rc == 0)
        rc = put_state(&x);
    if (rc != 0) {
        mdb_txn_abort(x.txn);
        return rc;
    }
    rc = mdb_txn_commit(x.txn);
    if (rc != 0)
        return rc;
    /* After a failed sync nobody knows what is on the disk: there is no trying again, and it must
     * not be found in memory that the file system keeps. */
    if (mdb_env_sync(l->env, 1) != 0) {
        lmdb_step_back(l->fd, NULL);
        return MDB_PANIC;
    }
    l->st = x.st;
    l->sealed = false;
    return 0;
}

int log_run(struct disk_log *l, log_step *fn, void *arg)
{
    int rc = run_once(l, fn, arg);

    while (rc == MDB_MAP_FULL && (rc = grow_map(l)) == 0)
        rc = run_once(l, fn, arg);
    if (rc == 0)
        return 0;
    if (as_errno(l, rc) == -EIO)
        return oerr_set(&l->words, -EIO,
                        "%s cannot be written (%s): look at the disk (dmesg), then start again",
                        l->path, mdb_strerror(rc));
    rc = as_errno(l, rc);
    return oerr_set(&l->words, rc, "%s cannot be written: %s", l->path, strerror(-rc));
}

static int change_nothing(struct log_txn *x, void *arg)
{
    (void)x;
    (void)arg;
    return 0;
}

int log_seal(struct disk_log *l)
{
    int rc = l->sealed ? 0 : log_run(l, change_nothing, NULL);

    if (rc == 0)
        l->sealed = true;
    return rc;
}

static MDB_val key_of(uint64_t index, uint8_t to[8])
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(index >> (56 - 8 * i));
    return (MDB_val){ 8, to };
}

static uint64_t index_of(const MDB_val *key)
{
    const uint8_t *p = key->mv_data;
    uint64_t index = 0;

    for (int i = 0; i < 8; i++)
        index = index << 8 | p[i];
    return index;
}

int txn_put_entry(struct log_txn *x, uint64_t index, const struct consensus_entry *e)
{
    uint8_t buf[8];
    MDB_val k = key_of(index, buf), v = { ENTRY_HEAD + e->len, NULL };
    int rc;

    if (index != x->st.next)
        return -EINVAL;
    rc = mdb_put(x->txn, x->log->dbi, &k, &v, MDB_RESERVE | MDB_APPEND);
    if (rc != 0)
        return rc;
    entry_encode(x->log->sums, index, e, v.mv_data);
    x->st.marks += entry_mark(v.mv_data, v.mv_size);
    x->st.next++;
    return 0;
}

/* Deletes from the entry `from` on, at most max, and none at or behind `end`. */
static int drop_range(struct log_txn *x, uint64_t from, uint64_t end, unsigned max)
{
    uint8_t buf[8];
    MDB_val k = key_of(from, buf), v;
    MDB_cursor *c;
    int rc = mdb_cursor_open(x->txn, x->log->dbi, &c);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && index_of(&k) < end && max-- > 0) {
        x->st.marks -= entry_mark(v.mv_data, v.mv_size);
        rc = mdb_cursor_del(c, 0);
        if (rc == 0)
            rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int txn_drop_below(struct log_txn *x, uint64_t index, unsigned max)
{
    uint64_t end = index < x->st.next ? index : x->st.next;
    int rc;

    if (end <= x->st.first)
        return 0;
    if (end - x->st.first > max)
        end = x->st.first + max;
    rc = drop_range(x, x->st.first, end, max);
    if (rc == 0)
        x->st.first = end;
    return rc ? rc : end < index && end < x->st.next;
}

int txn_drop_from(struct log_txn *x, uint64_t index)
{
    int rc = 0;

    if (index >= x->st.next)
        return 0;
    if (index <= x->st.first) {
        rc = txn_drop_all(x, index);
    } else {
        rc = drop_range(x, index, UINT64_MAX, UINT_MAX);
        x->st.next = index;
    }
    return rc;
}

int txn_drop_all(struct log_txn *x, uint64_t next)
{
    x->st.first = x->st.next = next;
    x->st.marks = 0;
    return mdb_drop(x->txn, x->log->dbi, 0);
}

/* ---- reading */

int log_term_of(struct disk_log *l, uint64_t index, uint64_t *term)
{
    uint8_t buf[8];
    MDB_val k = key_of(index, buf), v;
    struct consensus_entry e;
    MDB_txn *txn;
    int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0)
        return as_errno(l, rc);
    rc = index == 0 ? MDB_NOTFOUND : mdb_get(txn, l->dbi, &k, &v);
    if (rc == 0)
        rc = entry_decode(l->sums, index, v.mv_data, v.mv_size, &e);
    mdb_txn_abort(txn);
    if (rc == 0)
        *term = e.term;
    return rc == MDB_NOTFOUND ? -ENOENT : as_errno(l, rc);
}

void entries_free(struct consensus_entry *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        free((void *)v[i].data);
    free(v);
}

static int copy_entry(struct disk_log *l, uint64_t index, const MDB_val *v,
                      struct consensus_entry *to)
{
    int rc = entry_decode(l->sums, index, v->mv_data, v->mv_size, to);
    const void *from = to->data;
    void *data;

    to->data = NULL;
    if (rc < 0)
        return rc;
    data = malloc(to->len + !to->len);
    if (!data)
        return -ENOMEM;
    memcpy(data, from, to->len);
    to->data = data;
    return 0;
}

int log_begin_read(struct disk_log *l, MDB_txn **txn)
{
    int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, txn);

    if (rc == MDB_MAP_RESIZED && (rc = mdb_env_set_mapsize(l->env, 0)) == 0)
        rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, txn);
    return as_errno(l, rc);
}

int log_copy_next(struct disk_log *l, MDB_cursor *c, uint64_t from, uint64_t *index,
                  struct consensus_entry *to)
{
    uint8_t buf[8];
    MDB_val k = key_of(from, buf), v;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);

    if (rc != 0)
        return rc == MDB_NOTFOUND ? -ENOENT : as_errno(l, rc);
    if (k.mv_size != 8)
        return -EBADMSG;
    *index = index_of(&k);
    return copy_entry(l, *index, &v, to);
}

static int copy_all(struct disk_log *l, struct consensus_entry *v, size_t n)
{
    MDB_cursor *c = NULL;
    uint64_t index;
    MDB_txn *txn;
    int rc = log_begin_read(l, &txn);

    if (rc < 0)
        return rc;
    rc = as_errno(l, mdb_cursor_open(txn, l->dbi, &c));
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = log_copy_next(l, c, l->st.first + i, &index, &v[i]);
        if (rc == -ENOENT || (rc == 0 && index != l->st.first + i))
            rc = -EBADMSG;
    }
    if (c)
        mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return rc;
}

int log_load(struct disk_log *l, struct consensus_entry **out, size_t *n, struct oerr *e)
{
    size_t count = (size_t)(l->st.next - l->st.first);
    struct consensus_entry *v = calloc(count + !count, sizeof *v);
    int rc = v ? copy_all(l, v, count) : -ENOMEM;

    if (rc == 0) {
        *out = v;
        *n = count;
        return 0;
    }
    entries_free(v, count);
    if (rc == -EBADMSG)
        return disk_damaged(e, l->dir, l->path, "an entry has changed");
    return oerr_set(e, rc, "%s cannot be read: %s", l->path, strerror(-rc));
}
