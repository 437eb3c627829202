/*
 * mountpoint.c - chooses and makes the directory to mount at.
 *
 * stat() of a dead mount fails, and of another daemon's could hang with it: what is mounted where
 * is read from mountinfo only.
 *
 * Two daemons that start at once must not both find the directory free: it is locked from the look
 * at it until it is mounted over. The lock is on the directory below the mount.
 */
#include "mountpoint.h"
#include "base/cleanup.h"
#include "base/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_WAIT_MS 5000
#define LOCK_NAP_NS  (20 * 1000 * 1000)

/* What is mounted at dir, topmost: its source ("oneos:ID"), or "". */
static void mounted_at(const char *dir, char *source, size_t size)
{
    cleanup_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[8192], at[4096], from[256];

    *source = '\0';
    while (f && fgets(line, sizeof line, f)) {
        const char *dash = strstr(line, " - ");

        if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && strcmp(at, dir) == 0)
            snprintf(source, size, "%s",
                     dash && sscanf(dash, " - %*s %255s", from) == 1 ? from : "something");
    }
}

static int empty_dir(const char *path, struct oerr *e)
{
    struct dirent *entry;
    DIR *dir = opendir(path);
    int n = 0;

    if (!dir)
        return oerr_set(e, -errno, "cannot mount at %s: %s", path, strerror(errno));
    while ((entry = readdir(dir)) != NULL)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n ? oerr_set(e, -ENOTEMPTY, "cannot mount at %s: the directory is not empty", path) : 0;
}

/* Another daemon holds it only while it mounts. */
static int lock_dir(const char *path, int *lock, struct oerr *e)
{
    const struct timespec nap = { .tv_nsec = LOCK_NAP_NS };
    uint64_t until = now_ms() + LOCK_WAIT_MS;
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return oerr_set(e, -errno, "cannot mount at %s: %s", path, strerror(errno));
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (now_ms() >= until)
            return oerr_set(e, -EBUSY, "cannot mount at %s: another program holds a lock on it",
                            path);
        nanosleep(&nap, NULL);
    }
    *lock = take_fd(&fd);
    return 0;
}

static int usable(const char *path, const struct identity *me, int *lock, struct oerr *e)
{
    char source[256], ours[ID_MAX + 8];
    int rc;

    snprintf(ours, sizeof ours, "oneos:%s", me->id);
    mounted_at(path, source, sizeof source);
    if (strcmp(source, ours) == 0)
        return 0;
    if (!*source && mkdir(path, 0755) < 0 && errno != EEXIST)
        return oerr_set(e, -errno, "cannot make %s to mount at: %s", path, strerror(errno));
    if (strncmp(source, "oneos:", 6) != 0) {
        rc = lock_dir(path, lock, e);
        if (rc < 0)
            return rc;
        mounted_at(path, source, sizeof source);
    }
    if (strncmp(source, "oneos:", 6) == 0)
        rc = oerr_set(e, -EBUSY,
                      "cannot mount at %s: the machine %s of another daemon is mounted there", path,
                      source + 6);
    else
        rc = empty_dir(path, e);
    if (rc < 0 && *lock >= 0)
        close(take_fd(lock));
    return rc;
}

int mountpoint_choose(const char *wanted, const struct identity *me, char *dir, size_t size,
                      int *lock, struct oerr *e)
{
    char real[4096];

    *lock = -1;
    if (wanted) {
        mkdir(wanted, 0755);
        /* Absolute and without links, as mountinfo has it; a dead mount cannot be resolved. */
        snprintf(dir, size, "%s", realpath(wanted, real) ? real : wanted);
        return usable(dir, me, lock, e);
    }
    snprintf(dir, size, "/oneos");
    if (usable(dir, me, lock, NULL) == 0)
        return 0;
    snprintf(dir, size, "%s/oneos", me->dir);
    return usable(dir, me, lock, e);
}
