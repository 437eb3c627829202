/*
 * probe_path.c - where a path leads on this machine, and whether its user may execute what is
 * there.
 *
 * Symbolic links are followed here, one by one, so that no call ever names a path that leads into
 * the daemon's own mount.
 */
#include "sched/probe_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define LINKS_MAX   40 /* as the kernel follows */
#define NSS_BYTES   65536
#define GROUPS_MOST 65536

/* ---- paths */

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return n > 1 && strncmp(path, folder, n) == 0 && (!path[n] || path[n] == '/');
}

static enum look look_of(int err)
{
    static const struct {
        int err;
        enum look look;
    } known[] = { { ENOENT, LOOK_MISSING },     { ENOTDIR, LOOK_MISSING },
                  { ELOOP, LOOK_MISSING },      { ENAMETOOLONG, LOOK_MISSING },
                  { EACCES, LOOK_UNREACHABLE }, { EPERM, LOOK_UNREACHABLE } };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].err == err)
            return known[i].look;
    return LOOK_FAILED;
}

/* What is still to be walked, with a link's target put before it. */
static bool put_before(char left[PATH_MAX], const char *at, const char *target)
{
    char rest[PATH_MAX];
    int n;

    memcpy(rest, at, strlen(at) + 1);
    n = snprintf(left, PATH_MAX, "%s/%s", target, rest);
    return n < PATH_MAX;
}

/* Goes one name further from `real`. *len is the length of real. */
static enum look step(const struct probe_here *here, char real[PATH_MAX], size_t *len,
                      const char *name, size_t n, char target[PATH_MAX])
{
    struct stat st;
    ssize_t got;

    target[0] = '\0';
    if (n == 0 || (n == 1 && name[0] == '.'))
        return LOOK_OK;
    if (n == 2 && name[0] == '.' && name[1] == '.') {
        while (*len > 0 && real[*len - 1] != '/')
            --*len;
        *len -= *len > 0;
        real[*len] = '\0';
        return LOOK_OK;
    }
    if (*len + 1 + n >= PATH_MAX)
        return LOOK_MISSING;
    real[*len] = '/';
    memcpy(real + *len + 1, name, n);
    real[*len + 1 + n] = '\0';
    if (below(real, here->mount) || below(real, "/oneos"))
        return LOOK_UNKNOWN;
    if (lstat(real, &st) < 0)
        return look_of(errno);
    if (!S_ISLNK(st.st_mode)) {
        *len += 1 + n;
        return LOOK_OK;
    }
    got = readlink(real, target, PATH_MAX - 1);
    target[got > 0 ? got : 0] = '\0';
    *len = target[0] == '/' ? 0 : *len;
    real[*len] = '\0';
    return got > 0 ? LOOK_OK : LOOK_MISSING;
}

static enum look walk(const struct probe_here *here, char left[PATH_MAX], char real[PATH_MAX])
{
    char target[PATH_MAX];
    size_t len = 0;
    unsigned links = 0;

    real[0] = '\0';
    for (char *at = left, *end; *at;) {
        enum look look;

        end = strchrnul(at, '/');
        look = step(here, real, &len, at, (size_t)(end - at), target);
        if (look != LOOK_OK)
            return look;
        at = *end ? end + 1 : end;
        if (!*target)
            continue;
        if (++links > LINKS_MAX || !put_before(left, at, target))
            return LOOK_MISSING;
        at = left;
    }
    if (!len)
        strcpy(real, "/");
    return LOOK_OK;
}

static enum look look_at(const char *real)
{
    struct statvfs fs;
    struct stat st;

    if (stat(real, &st) < 0)
        return look_of(errno);
    if (S_ISDIR(st.st_mode))
        return LOOK_FOLDER;
    if (!S_ISREG(st.st_mode))
        return LOOK_ODD;
    if (faccessat(AT_FDCWD, real, X_OK, AT_EACCESS) == 0)
        return LOOK_OK;
    if (errno != EACCES)
        return look_of(errno);
    return statvfs(real, &fs) == 0 && fs.f_flag & ST_NOEXEC ? LOOK_NOEXEC : LOOK_NOT_EXECUTABLE;
}

enum look probe_look(const struct probe_here *here, const char *cwd, const char *path,
                     char real[PATH_MAX])
{
    char left[PATH_MAX];
    bool absolute = path[0] == '/';
    enum look look;
    int n;

    if (!absolute && (!cwd || cwd[0] != '/'))
        return LOOK_UNKNOWN;
    n = snprintf(left, sizeof left, "%s%s%s", absolute ? "" : cwd, absolute ? "" : "/", path);
    if (n < 0 || (size_t)n >= sizeof left)
        return LOOK_MISSING;
    look = walk(here, left, real);
    return look == LOOK_OK ? look_at(real) : look;
}

/* ---- who looks */

/* Of this thread only: libc's calls would change all threads. */
static int set_groups(const struct passwd *pw, gid_t *groups)
{
    int n = GROUPS_MOST;

    if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
        return -E2BIG;
#ifdef SYS_setgroups32
    return syscall(SYS_setgroups32, (size_t)n, groups) < 0 ? -errno : 0;
#else
    return syscall(SYS_setgroups, (size_t)n, groups) < 0 ? -errno : 0;
#endif
}

/* The kernel takes a change of the user for a reason to make the whole process undumpable. */
static int see_as(const struct passwd *pw)
{
    cleanup_free gid_t *groups = malloc(GROUPS_MOST * sizeof *groups);
    int dumpable = prctl(PR_GET_DUMPABLE), rc = groups ? set_groups(pw, groups) : -ENOMEM;

    if (rc < 0)
        return rc;
    setfsgid(pw->pw_gid);
    setfsuid(pw->pw_uid);
    if (dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1);
    return (uid_t)setfsuid((uid_t)-1) == pw->pw_uid && (gid_t)setfsgid((gid_t)-1) == pw->pw_gid
               ? 0
               : -EPERM;
}

int probe_become(const struct probe_here *here, const char *user, char home[PATH_MAX],
                 struct oerr *e)
{
    cleanup_free char *mem = malloc(NSS_BYTES);
    struct passwd pw, *found = NULL;
    int rc = mem ? getpwnam_r(user, &pw, mem, NSS_BYTES, &found) : ENOMEM;

    strcpy(home, "/");
    if (!found && (rc == 0 || rc == ENOENT || rc == ESRCH))
        return oerr_set(e, 126, "there is no user %.60s on %s", user, here->self);
    if (!found)
        return oerr_set(e, -1, "%s could not find out who %.60s is: %s", here->self, user,
                        strerror(rc));
    if (geteuid() != 0 && pw.pw_uid != geteuid())
        return oerr_set(e, 126,
                        "the daemon on %s cannot run processes of %.60s; start it as root for that",
                        here->self, user);
    if (strlen(pw.pw_dir) < PATH_MAX && access(pw.pw_dir, X_OK) == 0) /* as procs decides it */
        strcpy(home, pw.pw_dir);
    rc = geteuid() == 0 ? see_as(&pw) : 0;
    return rc == 0 ? 0
                   : oerr_set(e, -1, "%s could not look at files as %.60s: %s", here->self, user,
                              strerror(-rc));
}
