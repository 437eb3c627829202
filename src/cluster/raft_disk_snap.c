/*
 * raft_disk_snap.c - snapshots: one file each, `snapshot-INDEX-TERM`.
 *
 * A file is written beside its name, synced, renamed, and the folder is synced: under its name it
 * is whole or damaged, never half written. The newest is what counts; the one before stays until
 * the next is durable.
 */
#include "base/cleanup.h"
#include "cluster/raft_disk_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define TEMP_NAME  "snapshot.new"
#define SYNC_BYTES ((size_t)1 << 20) /* so that the log's syncs do not wait for all of it */

static int join(char path[PATH_MAX], const char *dir, struct snap_name n)
{
    return snprintf(path, PATH_MAX, "%s/snapshot-%" PRIu64 "-%" PRIu64, dir, n.index, n.term);
}

static bool parse_name(const char *text, struct snap_name *out)
{
    char again[64];

    if (sscanf(text, "snapshot-%" SCNu64 "-%" SCNu64, &out->index, &out->term) != 2)
        return false;
    snprintf(again, sizeof again, "snapshot-%" PRIu64 "-%" PRIu64, out->index, out->term);
    return strcmp(text, again) == 0;
}

/* Calls fn for each snapshot there is. */
static int each_name(const char *dir, void (*fn)(void *arg, struct snap_name n), void *arg,
                     struct oerr *e)
{
    DIR *d = opendir(dir);
    struct snap_name n;
    struct dirent *at;

    if (!d)
        return oerr_set(e, -errno, "cannot read the folder %s: %s", dir, strerror(errno));
    while (errno = 0, (at = readdir(d))) {
        if (parse_name(at->d_name, &n))
            fn(arg, n);
    }
    if (errno) {
        int rc = oerr_set(e, -errno, "cannot read the folder %s: %s", dir, strerror(errno));

        closedir(d);
        return rc;
    }
    closedir(d);
    return 0;
}

struct newest_two {
    struct snap_name v[2];
};

static bool is_newer(struct snap_name a, struct snap_name b)
{
    return a.index != b.index ? a.index > b.index : a.term > b.term;
}

static void note_newest(void *arg, struct snap_name n)
{
    struct newest_two *two = arg;

    if (is_newer(n, two->v[0])) {
        two->v[1] = two->v[0];
        two->v[0] = n;
    } else if (is_newer(n, two->v[1])) {
        two->v[1] = n;
    }
}

int snap_newest(const char *dir, struct snap_name *out, struct oerr *e)
{
    struct newest_two two = { 0 };
    char temp[PATH_MAX];
    int rc;

    snprintf(temp, sizeof temp, "%s/" TEMP_NAME, dir);
    unlink(temp);
    rc = each_name(dir, note_newest, &two, e);
    *out = two.v[0];
    return rc;
}

struct removal {
    const char *dir;
    struct newest_two keep;
};

static void remove_other(void *arg, struct snap_name n)
{
    struct removal *r = arg;
    char path[PATH_MAX];

    for (size_t i = 0; i < 2; i++) {
        if (r->keep.v[i].index == n.index && r->keep.v[i].term == n.term)
            return;
    }
    join(path, r->dir, n);
    unlink(path);
}

int snap_remove_all(const char *dir, struct oerr *e)
{
    struct removal r = { .dir = dir };
    struct snap_name left;
    int rc = each_name(dir, remove_other, &r, e);

    if (rc == 0)
        rc = snap_newest(dir, &left, e);
    if (rc == 0 && left.index != 0)
        rc = oerr_set(e, -EIO, "snapshots in %s cannot be removed", dir);
    return rc < 0 ? rc : disk_sync_folder(dir, e);
}

int disk_sync_folder(const char *dir, struct oerr *e)
{
    cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Some file systems cannot sync a folder and say EINVAL: nothing more can be done there. */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        return oerr_set(e, -errno, "cannot sync the folder %s: %s", dir, strerror(errno));
    return 0;
}

/* ---- writing */

static int write_part(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n < SYNC_BYTES ? n : SYNC_BYTES);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        n -= (size_t)put;
        if (n > 0)
            sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return 0;
}

static int write_file(const char *path, const struct consensus_snapshot *s)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct sums *sums = sums_create();
    uint8_t head[SNAPSHOT_HEAD];
    int rc = 0;

    if (fd < 0)
        rc = -errno;
    else if (!sums)
        rc = -ENOMEM;
    if (rc == 0) {
        snapshot_encode_head(sums, s, head);
        rc = write_part(fd, head, sizeof head);
    }
    sums_destroy(sums);
    if (rc == 0)
        rc = write_part(fd, s->conf, s->conf_len);
    if (rc == 0)
        rc = write_part(fd, s->data, s->len);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    return rc;
}

int snap_write(const char *dir, const struct consensus_snapshot *s, struct oerr *e)
{
    struct removal r = { .dir = dir };
    char path[PATH_MAX], temp[PATH_MAX];
    int rc;

    join(path, dir, (struct snap_name){ s->index, s->term });
    snprintf(temp, sizeof temp, "%s/" TEMP_NAME, dir);
    rc = write_file(temp, s);
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    if (rc < 0) {
        unlink(temp);
        return oerr_set(e, rc, "%s cannot be written: %s", path, strerror(-rc));
    }
    rc = disk_sync_folder(dir, e);
    /* What cannot be removed now is when the next is written. */
    if (rc == 0 && each_name(dir, note_newest, &r.keep, NULL) == 0)
        each_name(dir, remove_other, &r, NULL);
    return rc;
}

/* ---- reading */

void snap_free(struct consensus_snapshot *s)
{
    free((void *)s->conf);
    free(s->data);
    *s = (struct consensus_snapshot){ 0 };
}

static int read_part(int fd, void *to, size_t n)
{
    size_t len = 0;

    while (len < n) {
        ssize_t got = read(fd, (uint8_t *)to + len, n - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EBADMSG;
        len += (size_t)got;
    }
    return 0;
}

static int read_body(int fd, const uint8_t *head, struct consensus_snapshot *s)
{
    struct sums *sums = sums_create();
    void *conf = malloc(s->conf_len + !s->conf_len);
    int rc;

    s->conf = conf;
    s->data = malloc(s->len + !s->len);
    rc = sums && conf && s->data ? read_part(fd, conf, s->conf_len) : -ENOMEM;
    if (rc == 0)
        rc = read_part(fd, s->data, s->len);
    if (rc == 0 && !snapshot_check(sums, head, s))
        rc = -EBADMSG;
    sums_destroy(sums);
    if (rc < 0)
        snap_free(s);
    return rc;
}

static int read_file(int fd, struct snap_name name, struct consensus_snapshot *s)
{
    uint8_t head[SNAPSHOT_HEAD];
    struct stat st;
    int rc;

    if (fstat(fd, &st) < 0)
        return -errno;
    rc = read_part(fd, head, sizeof head);
    if (rc == 0)
        rc = snapshot_decode_head(head, (uint64_t)st.st_size, s);
    if (rc == 0 && (s->index != name.index || s->term != name.term))
        rc = -EBADMSG;
    return rc < 0 ? rc : read_body(fd, head, s);
}

int snap_read(const char *dir, struct snap_name name, struct consensus_snapshot *out,
              struct oerr *e)
{
    char path[PATH_MAX];
    cleanup_close int fd = -1;
    int rc;

    memset(out, 0, sizeof *out);
    join(path, dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    rc = fd < 0 ? -errno : read_file(fd, name, out);
    if (rc < 0)
        memset(out, 0, sizeof *out);
    if (rc == -EBADMSG)
        return disk_damaged(e, dir, path, "its checksum or length is wrong");
    if (rc == -EPROTONOSUPPORT)
        return oerr_set(e, rc, "%s was written by a newer version of OneOS: install that one",
                        path);
    if (rc < 0)
        return oerr_set(e, rc, "%s cannot be read: %s", path, strerror(-rc));
    return 0;
}
