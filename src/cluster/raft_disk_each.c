/*
 * raft_disk_each.c - the entries on the disk, for people, while a daemon may be writing them.
 *
 * Some entries are copied with each read transaction: one that stayed open as long as somebody
 * looks at a page of them would keep LMDB from using any page again. What is cut from the log
 * meanwhile is passed over. A file that no daemon holds is verified first; one that a daemon holds
 * was verified by it.
 */
#include "base/cleanup.h"
#include "cluster/raft_disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define ENTRIES_MAX 256
#define BYTES_MAX   ((size_t)4 << 20)

struct some {
    uint64_t index[ENTRIES_MAX];
    struct consensus_entry entry[ENTRIES_MAX];
    size_t n;
};

static void some_clear(struct some *s)
{
    for (size_t i = 0; i < s->n; i++)
        free((void *)s->entry[i].data);
    s->n = 0;
}

static int read_some(struct disk_log *l, uint64_t from, struct some *s)
{
    size_t bytes = 0;
    MDB_txn *txn;
    MDB_cursor *c;
    int rc = log_begin_read(l, &txn);

    if (rc < 0)
        return rc;
    rc = mdb_cursor_open(txn, l->dbi, &c);
    if (rc == 0) {
        while (rc == 0 && s->n < ENTRIES_MAX && bytes < BYTES_MAX) {
            rc = log_copy_next(l, c, from, &s->index[s->n], &s->entry[s->n]);
            if (rc != 0)
                break;
            from = s->index[s->n] + 1;
            bytes += s->entry[s->n].len;
            s->n++;
        }
        mdb_cursor_close(c);
    }
    mdb_txn_abort(txn);
    return rc;
}

/* lock: guards the log; NULL: nobody else in this process uses it. */
static int each(struct disk_log *l, pthread_mutex_t *lock,
                int (*fn)(void *arg, uint64_t index, const struct consensus_entry *entry),
                void *arg, struct oerr *e)
{
    cleanup_free struct some *s = calloc(1, sizeof *s);
    uint64_t from = 1;
    bool stop = false;
    int rc = 0;

    while (rc == 0 && !stop) {
        if (lock)
            pthread_mutex_lock(lock);
        rc = s ? read_some(l, from, s) : -ENOMEM;
        if (lock)
            pthread_mutex_unlock(lock);
        for (size_t i = 0; s && i < s->n && !stop; i++) {
            stop = fn(arg, s->index[i], &s->entry[i]) != 0;
            from = s->index[i] + 1;
        }
        if (s)
            some_clear(s);
    }
    if (rc == 0 || rc == -ENOENT || stop)
        return 0;
    if (rc == -EBADMSG)
        return oerr_set(e, rc, "%s is damaged behind entry %llu", l->path,
                        (unsigned long long)(from - 1));
    return oerr_set(e, rc, "%s cannot be read: %s", l->path, strerror(-rc));
}

/* Whether a process holds the folder: *pid, else *fd keeps it from being held. */
static int look_at_lock(const char *dir, int *fd, long *pid)
{
    char path[PATH_MAX], text[32];
    ssize_t n;

    snprintf(path, sizeof path, "%s/lock", dir);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 || flock(*fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    n = read(*fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    *pid = strtol(text, NULL, 10);
    return 1;
}

int raft_disk_each(const char *dir,
                   int (*fn)(void *arg, uint64_t index, const struct consensus_entry *entry),
                   void *arg, struct oerr *e)
{
    cleanup_close int lock_fd = -1;
    struct disk_log l;
    long pid = 0;
    int rc, held = look_at_lock(dir, &lock_fd, &pid);

    if (held && pid == getpid())
        return oerr_set(e, -EBUSY, "%s is open in this process: LMDB allows no second time", dir);
    rc = log_open_read(&l, dir, held, e);
    if (lock_fd >= 0)
        close(take_fd(&lock_fd));
    if (rc == -ENOENT)
        return oerr_set(e, rc, "there is no registry in %s", dir);
    if (rc < 0)
        return rc;
    rc = each(&l, NULL, fn, arg, e);
    log_close(&l);
    return rc;
}

int raft_disk_list(struct raft_disk *d,
                   int (*fn)(void *arg, uint64_t index, const struct consensus_entry *entry),
                   void *arg, struct oerr *e)
{
    return each(&d->log, &d->txn, fn, arg, e);
}
