/*
 * raft_disk.c - the disk of consensus: opening it, and the calls of the loop.
 *
 * Opening decides whether log and snapshots belong together. The log's state record names the
 * newest snapshot that the log was cut for; a newer one may be there (the machine stopped between
 * the two), an older one may not. Whatever is missing or wrong is an error with words: nothing is
 * made anew where something was.
 *
 * Invariants: `next` and `snap_index` are what was asked for, log.st what is on the disk;
 * snap_index < next.
 */
#include "base/cleanup.h"
#include "cluster/raft_disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* ---- opening */

static int lock_folder(struct raft_disk *d, struct oerr *e)
{
    char path[PATH_MAX];

    if (mkdir(d->dir, 0700) < 0 && errno != EEXIST)
        return oerr_set(e, -errno, "cannot make the folder %s: %s", d->dir, strerror(errno));
    snprintf(path, sizeof path, "%s/lock", d->dir);
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return oerr_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return oerr_set(e, errno == EWOULDBLOCK ? -EBUSY : -errno,
                        "%s is in use by another process: stop that one first", d->dir);
    /* For raft_disk_each(). Without room for it, it only cannot tell whose the lock is. */
    if (ftruncate(d->lock_fd, 0) == 0)
        dprintf(d->lock_fd, "%d\n", (int)getpid());
    return 0;
}

static bool exists(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lstat(path, &st) == 0 || errno != ENOENT;
}

static void remove_name(const char *dir, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static int open_log(struct raft_disk *d, struct oerr *e)
{
    char parent[PATH_MAX];
    int rc;

    remove_name(d->dir, "log.mdb.new");
    remove_name(d->dir, "log.mdb.new-lock");
    rc = log_open(&d->log, d->dir, e);
    if (rc != -ENOENT)
        return rc;
    /* LMDB's lock file says that a log was there. */
    if (d->newest.index != 0 || exists(d->dir, "log.mdb-lock"))
        return disk_damaged(e, d->dir, d->log.path, "the file is missing");
    snprintf(parent, sizeof parent, "%s/..", d->dir);
    rc = disk_sync_folder(parent, e);
    if (rc == 0)
        rc = log_make(d->dir, e);
    return rc < 0 ? rc : log_open(&d->log, d->dir, e);
}

static int end_wiping(struct log_txn *x, void *arg)
{
    (void)arg;
    x->st.wiping = false;
    return 0;
}

static int finish_wipe(struct raft_disk *d, struct oerr *e)
{
    int rc;

    if (!d->log.st.wiping)
        return 0;
    rc = snap_remove_all(d->dir, e);
    if (rc < 0)
        return rc;
    d->newest = (struct snap_name){ 0 };
    rc = log_run(&d->log, end_wiping, NULL);
    return rc < 0 ? oerr_set(e, rc, "%s", d->log.words.text) : 0;
}

static int adopt_step(struct log_txn *x, void *arg)
{
    const struct snap_name *n = arg;

    x->st.snap_index = n->index;
    x->st.snap_term = n->term;
    return 0;
}

static int replace_step(struct log_txn *x, void *arg)
{
    const struct snap_name *n = arg;

    adopt_step(x, arg);
    return txn_drop_all(x, n->index + 1);
}

/* The machine stopped between the snapshot and what follows from it for the log. */
static int adopt_snapshot(struct raft_disk *d, struct oerr *e)
{
    const struct disk_state *st = &d->log.st;
    uint64_t term = 0;
    int rc;

    if (d->newest.index == st->snap_index)
        return 0;
    rc = d->newest.index < st->first ? -ENOENT : log_term_of(&d->log, d->newest.index, &term);
    if (rc < 0 && rc != -ENOENT)
        return oerr_set(e, rc, "%s cannot be read: %s", d->log.path, strerror(-rc));
    if (rc == 0 && term == d->newest.term)
        rc = log_run(&d->log, adopt_step, &d->newest);
    else
        rc = log_run(&d->log, replace_step, &d->newest);
    return rc < 0 ? oerr_set(e, rc, "%s", d->log.words.text) : 0;
}

static int check_together(struct raft_disk *d, struct oerr *e)
{
    const struct disk_state *st = &d->log.st;
    struct consensus_snapshot s;
    char path[PATH_MAX];
    int rc;

    if (d->newest.index < st->snap_index ||
        (d->newest.index == st->snap_index && d->newest.term != st->snap_term)) {
        snprintf(path, sizeof path, "%s/snapshot-%" PRIu64 "-%" PRIu64, d->dir, st->snap_index,
                 st->snap_term);
        return disk_damaged(e, d->dir, path, "the file is missing");
    }
    if (d->newest.index != 0) {
        rc = snap_read(d->dir, d->newest, &s, e);
        if (rc < 0)
            return rc;
        snap_free(&s);
    }
    return adopt_snapshot(d, e);
}

static int open_disk(struct raft_disk *d, struct oerr *e)
{
    const struct disk_state *st = &d->log.st;
    int rc = lock_folder(d, e);

    if (rc == 0)
        rc = snap_newest(d->dir, &d->newest, e);
    if (rc == 0)
        rc = open_log(d, e);
    if (rc == 0)
        rc = finish_wipe(d, e);
    if (rc == 0)
        rc = check_together(d, e);
    if (rc < 0)
        return rc;
    d->node = st->node;
    d->next = st->next;
    d->snap_index = d->newest.index;
    d->fresh = st->term == 0 && st->voted_for == 0 && st->next == 1 && d->newest.index == 0;
    return 0;
}

static void release(struct raft_disk *d)
{
    log_close(&d->log);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->lock_fd = -1;
}

int raft_disk_open(struct raft_disk **out, struct loop *core, const char *dir, struct oerr *e)
{
    struct raft_disk *d = calloc(1, sizeof *d);
    int rc;

    if (!d)
        return oerr_set(e, -ENOMEM, "no memory for the registry's disk");
    d->core = core;
    d->lock_fd = d->log.fd = -1;
    if ((size_t)snprintf(d->dir, sizeof d->dir, "%s", dir) >= sizeof d->dir) {
        free(d);
        return oerr_set(e, -ENAMETOOLONG, "the path %.100s... is too long", dir);
    }
    rc = open_disk(d, e);
    if (rc == 0)
        rc = flow_start(d);
    if (rc < 0) {
        release(d);
        free(d);
        return rc;
    }
    *out = d;
    return 0;
}

void raft_disk_before(struct raft_disk *d, void (*fn)(void *arg), void *arg)
{
    d->before = fn;
    d->before_arg = arg;
}

void raft_disk_close(struct raft_disk *d)
{
    if (!d)
        return;
    flow_stop(d);
    if (!d->failed)
        log_seal(&d->log);
    release(d);
}

static int wipe_step(struct log_txn *x, void *arg)
{
    int rc = txn_drop_all(x, 1);

    x->st = (struct disk_state){ .node = *(uint64_t *)arg, .first = 1, .next = 1, .wiping = true };
    return rc;
}

int raft_disk_wipe(struct raft_disk *d, struct oerr *e)
{
    uint64_t node;
    int rc;

    if (flow_busy(d))
        return oerr_set(e, -EBUSY, "%s cannot be wiped while it is written", d->dir);
    if (d->failed)
        return oerr_set(e, d->failed, "%s", d->failure.text);
    rc = disk_draw_node(&node);
    if (rc == 0)
        rc = log_run(&d->log, wipe_step, &node);
    if (rc < 0)
        return oerr_set(e, rc, "%s cannot be wiped: %s", d->dir, strerror(-rc));
    d->node = node;
    d->next = 1;
    d->snap_index = 0;
    d->fresh = true;
    return finish_wipe(d, e);
}

/* ---- what is there */

uint64_t raft_disk_node(const struct raft_disk *d)
{
    return d->node;
}

bool raft_disk_fresh(const struct raft_disk *d)
{
    return d->fresh;
}

const char *raft_disk_trouble(const struct raft_disk *d)
{
    const struct oerr *const all[] = { &d->failure, &d->log_trouble, &d->snap_trouble };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (all[i]->text[0])
            return all[i]->text;
    }
    return NULL;
}

int raft_disk_load(struct raft_disk *d, struct consensus_loaded *out, struct oerr *e)
{
    const struct disk_state *st = &d->log.st;
    int rc = 0;

    *out = (struct consensus_loaded){ .has_snapshot = d->newest.index != 0 };
    if (flow_busy(d))
        return oerr_set(e, -EBUSY, "%s cannot be loaded while it is written", d->dir);
    if (out->has_snapshot)
        rc = snap_read(d->dir, d->newest, &out->snapshot, e);
    if (rc == 0)
        rc = log_load(&d->log, &out->entries, &out->n, e);
    if (rc < 0) {
        snap_free(&out->snapshot);
        return rc;
    }
    out->term = st->term;
    out->voted_for = st->voted_for;
    out->first = st->first;
    return 0;
}

/* ---- changing it at once */

/* Between two transactions of the job; what fails but for want of room ends all writing. */
static int write_now(struct raft_disk *d, log_step *fn, void *arg)
{
    struct oerr words;
    int rc;

    if (d->failed)
        return d->failed;
    rc = log_run(&d->log, fn, arg);
    words = d->log.words;
    if (rc == 0)
        d->fresh = false;
    else if (!disk_waits(rc))
        flow_fail(d, rc, &words);
    flow_rest(d);
    return rc;
}

static int term_step(struct log_txn *x, void *arg)
{
    x->st.term = *(uint64_t *)arg;
    x->st.voted_for = 0;
    return 0;
}

static int vote_step(struct log_txn *x, void *arg)
{
    x->st.voted_for = *(uint64_t *)arg;
    return 0;
}

static int truncate_step(struct log_txn *x, void *arg)
{
    return txn_drop_from(x, *(uint64_t *)arg);
}

int raft_disk_set_term(struct raft_disk *d, uint64_t term)
{
    int rc;

    pthread_mutex_lock(&d->txn);
    rc = write_now(d, term_step, &term);
    pthread_mutex_unlock(&d->txn);
    return rc;
}

int raft_disk_set_vote(struct raft_disk *d, uint64_t node)
{
    int rc;

    pthread_mutex_lock(&d->txn);
    rc = write_now(d, vote_step, &node);
    pthread_mutex_unlock(&d->txn);
    return rc;
}

int raft_disk_truncate(struct raft_disk *d, uint64_t index)
{
    int rc = 0;

    if (index <= d->snap_index || index == 0)
        return -EINVAL;
    if (d->failed)
        return d->failed;
    if (index >= d->next)
        return 0;
    pthread_mutex_lock(&d->txn);
    flow_truncate(d, index);
    if (index < d->log.st.next)
        rc = write_now(d, truncate_step, &index);
    pthread_mutex_unlock(&d->txn);
    if (rc == 0)
        d->next = index;
    return rc;
}

/* ---- beginning work */

int raft_disk_append(struct raft_disk *d, uint64_t first, const struct consensus_entry *v, size_t n,
                     consensus_disk_done *done, void *token)
{
    struct op *o;

    if (d->failed)
        return d->failed;
    if (d->closing)
        return -ECANCELED;
    if (first != d->next || n == 0)
        return -EINVAL;
    o = disk_op_create(OP_APPEND, done, token);
    if (!o)
        return -ENOMEM;
    o->entries = malloc(n * sizeof *v);
    if (!o->entries) {
        free(o);
        return -ENOMEM;
    }
    memcpy(o->entries, v, n * sizeof *v);
    o->first = first;
    o->n = n;
    d->next += n;
    d->fresh = false;
    flow_queue(d, o);
    flow_kick(d);
    return 0;
}

/* Whether the log holds the entry that the snapshot ends with; else it is of no use behind it. */
static int log_holds(struct raft_disk *d, const struct consensus_snapshot *s, bool *holds)
{
    uint64_t term = 0;
    int rc = 0;

    *holds = s->index < d->next;
    if (s->index == d->snap_index || !*holds)
        return 0;
    rc = flow_term_of(d, s->index, &term);
    *holds = rc == 0 && term == s->term;
    return rc;
}

int raft_disk_snapshot_put(struct raft_disk *d, const struct consensus_snapshot *s,
                           uint64_t trailing, consensus_disk_done *done, void *token)
{
    struct op *o, *reset;
    bool holds;
    int rc;

    if (d->failed)
        return d->failed;
    if (d->closing)
        return -ECANCELED;
    if (s->index == 0 || s->index == UINT64_MAX || s->index < d->snap_index ||
        s->conf_len > SNAPSHOT_CONF_MAX)
        return -EINVAL;
    rc = log_holds(d, s, &holds);
    if (rc < 0)
        return rc;
    o = disk_op_create(OP_PUT, done, token);
    reset = disk_op_create(OP_RESET, NULL, NULL);
    if (!o || !reset) {
        free(o);
        free(reset);
        return -ENOMEM;
    }
    o->snapshot = *s;
    o->trailing = trailing;
    o->resets = !holds;
    reset->of = o;
    flow_queue(d, o);
    if (holds) {
        free(reset);
    } else {
        flow_queue(d, reset);
        d->next = s->index + 1;
    }
    d->snap_index = s->index;
    d->fresh = false;
    flow_kick(d);
    return 0;
}

int raft_disk_snapshot_get(struct raft_disk *d, struct consensus_snapshot *out,
                           consensus_disk_done *done, void *token)
{
    struct op *o;

    if (d->closing)
        return -ECANCELED;
    if (d->newest.index == 0)
        return -ENOENT;
    o = disk_op_create(OP_GET, done, token);
    if (!o)
        return -ENOMEM;
    o->out = out;
    flow_queue(d, o);
    flow_kick(d);
    return 0;
}
