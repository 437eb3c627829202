/*
 * registry_store.c - the LMDB file of the registry: opened, or made anew, and grown.
 *
 * The file is never synced while the daemon runs, so it is as good as the kernel's page cache: it
 * survives the daemon's death, not the machine's. The marker beside it, `state.mark`, says what it
 * is worth:
 *
 *     schema N                written by a program of this schema
 *     boot ID | clean SUM     in use since this boot; or closed, synced, and these are its bytes
 *
 * Invariant: the marker names the present boot, durably, before the file is changed; it says
 * `clean` only after the file was synced. Whatever cannot be trusted is removed: log and snapshots
 * hold it all. Only what a newer program wrote is refused, since we could not read those either.
 */
#include "cluster/registry_private.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_LEAST   ((size_t)16 << 20)
#define READERS_MAX 1022
#define FULL        (256 * 1024) /* bytes: less than this is no room */

size_t store_first_map = (size_t)16 << 30;

struct mark {
    int schema;
    bool clean;
    uint64_t sum;
    char boot[64];
};

static const struct {
    int mdb, rc;
} codes[] = {
    { MDB_NOTFOUND, -ENOENT },    { MDB_MAP_FULL, -EOVERFLOW },       { MDB_READERS_FULL, -EAGAIN },
    { MDB_PANIC, -EBADMSG },      { MDB_PAGE_NOTFOUND, -EBADMSG },    { MDB_CORRUPTED, -EBADMSG },
    { MDB_INVALID, -EBADMSG },    { MDB_VERSION_MISMATCH, -EBADMSG }, { MDB_BAD_VALSIZE, -EINVAL },
    { MDB_MAP_RESIZED, -EAGAIN },
};

int store_errno(int mdb)
{
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (codes[i].mdb == mdb)
            return codes[i].rc;
    }
    return mdb < 0 ? -EIO : -mdb;
}

int store_write_errno(const struct store *s, int mdb)
{
    struct statvfs fs;

    if (mdb == EDQUOT || mdb == EFBIG)
        return -ENOSPC;
    /* What was written in part only is EIO to LMDB. */
    if (mdb == EIO && statvfs(s->path, &fs) == 0 && fs.f_bavail * fs.f_frsize < FULL)
        return -ENOSPC;
    return store_errno(mdb);
}

void store_words(const struct store *s, int rc, struct oerr *e)
{
    if (rc == -ENOSPC)
        oerr_set(e, rc, "%s cannot be written: the disk is full; make room, and it goes on",
                 s->path);
    else
        oerr_set(e, rc, "%s cannot be written: %s; it is tried again", s->path, strerror(-rc));
}

/* ---- the marker */

/* Without one, or with one that makes no sense, it is all zero. */
static int mark_read(const struct store *s, struct mark *m, struct oerr *e)
{
    char text[128];
    int rc = file_read(s->marker, false, text, sizeof text, e);

    *m = (struct mark){ 0 };
    if (rc == -ENOENT || rc == -EBADMSG)
        return 0;
    if (rc < 0)
        return rc;
    sscanf(text, "schema %d\nboot %63[^\n]", &m->schema, m->boot);
    m->clean = sscanf(text, "schema %*d\nclean %" SCNx64, &m->sum) == 1;
    if (m->schema < 1)
        *m = (struct mark){ 0 };
    return 0;
}

static int mark_in_use(const struct store *s, struct oerr *e)
{
    char text[128];
    int n = snprintf(text, sizeof text, "schema %d\nboot %s\n", s->schema, s->boot);

    return file_replace(s->marker, text, (size_t)n, e);
}

static void mark_clean(const struct store *s)
{
    char text[128];
    uint64_t sum;
    int n;

    if (store_sum(s->path, &sum) < 0)
        return;
    n = snprintf(text, sizeof text, "schema %d\nclean %016" PRIx64 "\n", s->schema, sum);
    file_replace(s->marker, text, (size_t)n, NULL);
}

void store_distrust(const struct store *s)
{
    unlink(s->marker);
}

/* ---- opening */

int store_remove(const struct store *s, struct oerr *e)
{
    const char *path = s->path;
    char lock[4200];

    snprintf(lock, sizeof lock, "%s-lock", path);
    if ((unlink(path) < 0 && errno != ENOENT) || (unlink(lock) < 0 && errno != ENOENT))
        return oerr_set(e, -errno, "cannot remove %s: %s", path, strerror(errno));
    return 0;
}

/* -EBADMSG: damaged. */
static int check_file(const struct store *s, const struct mark *m, struct oerr *e)
{
    uint64_t sum;

    if (!m->clean)
        return store_check(s->path, e);
    if (store_sum(s->path, &sum) == 0 && sum == m->sum)
        return 0;
    return oerr_set(e, -EBADMSG, "its bytes are not those with which it was closed");
}

/* Leaves a file that can be used, or none. */
static int clear_way(struct store *s, struct oerr *e)
{
    struct oerr why = { "" };
    struct mark m;
    int rc = mark_read(s, &m, e);

    if (rc < 0)
        return rc;
    if (m.schema > s->schema)
        return oerr_set(e, -EPROTONOSUPPORT,
                        "%s was written by a newer oneosd (schema %d; this one knows %d): start "
                        "that one",
                        s->path, m.schema, s->schema);
    if (access(s->path, F_OK) < 0)
        return store_remove(s, e);
    if (!m.clean && strcmp(m.boot, s->boot) != 0) {
        log_info("registry", "%s is made anew: the machine went down without closing it", s->path);
        return store_remove(s, e);
    }
    rc = check_file(s, &m, &why);
    if (rc == -EBADMSG) {
        log_warn("registry", "%s is made anew from log and snapshot: %s", s->path, why.text);
        return store_remove(s, e);
    }
    return rc < 0 ? oerr_set(e, rc, "%s", why.text) : 0;
}

/* A full disk must not show itself as a signal when a reader takes its place. */
static int reserve_lock(const struct store *s)
{
    cleanup_close int fd = -1;
    char path[4200];
    struct stat st;

    snprintf(path, sizeof path, "%s-lock", s->path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return -posix_fallocate(fd, 0, st.st_size);
}

static int open_env(struct store *s)
{
    int rc = mdb_env_create(&s->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, s->map);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(s->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(s->env, s->path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600);
    if (rc != 0) {
        mdb_env_close(s->env);
        s->env = NULL;
    }
    return rc;
}

static int open_dbi(struct store *s)
{
    MDB_txn *t;
    int rc = mdb_txn_begin(s->env, NULL, 0, &t);

    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(t, NULL, 0, &s->dbi);
    if (rc != 0) {
        mdb_txn_abort(t);
        return rc;
    }
    return mdb_txn_commit(t);
}

/* With as much address space as there is: the first choice, but four times the file. */
static int open_file(struct store *s)
{
    struct stat st;
    int rc;

    s->map = store_first_map;
    if (stat(s->path, &st) == 0) {
        while (s->map < 4 * (size_t)st.st_size)
            s->map *= 2;
    }
    for (rc = open_env(s); rc == ENOMEM && s->map > MAP_LEAST; rc = open_env(s))
        s->map /= 2;
    if (rc != 0)
        return store_write_errno(s, rc);
    rc = reserve_lock(s);
    if (rc == 0)
        rc = store_write_errno(s, open_dbi(s));
    return rc;
}

int store_open(struct store *s, const char *dir, const char *boot, int schema, struct oerr *e)
{
    int rc;

    *s = (struct store){ .schema = schema };
    if ((size_t)snprintf(s->path, sizeof s->path, "%s/state.mdb", dir) >= sizeof s->path ||
        (size_t)snprintf(s->marker, sizeof s->marker, "%s/state.mark", dir) >= sizeof s->marker)
        return oerr_set(e, -ENAMETOOLONG, "the name of the folder is too long: %.100s...", dir);
    snprintf(s->boot, sizeof s->boot, "%.*s", (int)strcspn(boot, "\n"), boot);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return oerr_set(e, -errno, "cannot make %s: %s", dir, strerror(errno));
    rc = clear_way(s, e);
    if (rc == 0)
        rc = mark_in_use(s, e);
    if (rc < 0)
        return rc;
    rc = open_file(s);
    if (rc < 0)
        return oerr_set(e, rc, "cannot open %s: %s", s->path, strerror(-rc));
    return 0;
}

void store_close(struct store *s, bool whole)
{
    if (!s->env)
        return;
    whole = whole && mdb_env_sync(s->env, 1) == 0;
    mdb_env_close(s->env);
    s->env = NULL;
    if (whole)
        mark_clean(s);
}

int store_grow(struct store *s)
{
    int rc = mdb_env_set_mapsize(s->env, 2 * s->map);

    if (rc == 0)
        s->map *= 2;
    return store_errno(rc);
}

/* ---- keys and values */

int store_begin(struct store *s, MDB_txn **out)
{
    return mdb_txn_begin(s->env, NULL, 0, out);
}

int store_get(MDB_txn *t, MDB_dbi dbi, const char *key, MDB_val *out)
{
    MDB_val k = store_key(key);

    return k.mv_size == 0 || k.mv_size >= REGISTRY_KEY_MAX ? MDB_NOTFOUND
                                                           : mdb_get(t, dbi, &k, out);
}

int store_put(MDB_txn *t, MDB_dbi dbi, const char *key, const void *data, size_t n)
{
    MDB_val k = store_key(key), v = { n, (void *)data };

    return mdb_put(t, dbi, &k, &v, 0);
}

int store_del(MDB_txn *t, MDB_dbi dbi, const char *key)
{
    MDB_val k = store_key(key);

    return mdb_del(t, dbi, &k, NULL);
}

/* The first one behind `after` from the prefix on. */
static int seek(MDB_cursor *c, const char *prefix, const char *after, MDB_val *k, MDB_val *v)
{
    const char *from = strcmp(after, prefix) > 0 ? after : prefix;
    size_t n = strlen(after);
    int rc;

    *k = store_key(from);
    rc = mdb_cursor_get(c, k, v, *from ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && n && k->mv_size == n && memcmp(k->mv_data, after, n) == 0)
        rc = mdb_cursor_get(c, k, v, MDB_NEXT);
    return rc;
}

int store_next(MDB_txn *t, MDB_dbi dbi, const char *prefix, const char *after,
               char key[REGISTRY_KEY_MAX], MDB_val *value)
{
    char found[REGISTRY_KEY_MAX];
    MDB_cursor *c;
    MDB_val k;
    int rc = mdb_cursor_open(t, dbi, &c);

    if (rc != 0)
        return rc;
    rc = seek(c, prefix, after, &k, value);
    mdb_cursor_close(c);
    if (rc != 0)
        return rc;
    if (k.mv_size >= REGISTRY_KEY_MAX)
        return MDB_CORRUPTED;
    memcpy(found, k.mv_data, k.mv_size);
    found[k.mv_size] = '\0';
    /* Whoever walks must come to an end, whatever the file holds. */
    if (strcmp(found, after) <= 0)
        return MDB_CORRUPTED;
    if (strncmp(found, prefix, strlen(prefix)) != 0)
        return MDB_NOTFOUND;
    strcpy(key, found);
    return 0;
}

int store_json(const MDB_val *v, json_t **out)
{
    *out = json_loadb(v->mv_data, v->mv_size, JSON_DECODE_ANY, NULL);
    return *out ? 0 : -EBADMSG;
}
