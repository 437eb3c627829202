/*
 * mount.c - finds the mounted tree.
 *
 * The order: --mount (or ONEOS_MOUNT, or a configuration file), /oneos when something is mounted
 * there, else the first mount of our type in /proc/self/mounts that answers.
 */
#include "shell/shell.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_MOUNT "/oneos"

int mounts_each(int (*each)(void *arg, const char *folder), void *arg)
{
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent entry;
    char line[8192];
    int rc = 0;

    if (!f)
        return -errno;
    while (rc == 0 && getmntent_r(f, &entry, line, sizeof line))
        if (strcmp(entry.mnt_type, MOUNT_TYPE) == 0)
            rc = each(arg, entry.mnt_dir);
    endmntent(f);
    return rc;
}

static bool is_mounted(int dir)
{
    struct stat here, root;

    return fstat(dir, &here) == 0 && stat("/", &root) == 0 && here.st_dev != root.st_dev;
}

/* Takes the first one whose daemon lives. */
static int take(void *arg, const char *folder)
{
    struct shell *sh = arg;
    struct stat st;
    int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return 0;
    if (fstat(dir, &st) < 0 || !(sh->mount = strdup(folder))) {
        close(dir);
        return 0;
    }
    sh->dir = dir;
    return 1;
}

int shell_open(struct shell *sh)
{
    sh->mount = options_get(sh->global, "mount");
    if (sh->mount) {
        sh->dir = open(sh->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (sh->dir < 0)
            return say(EXIT_ONEOS, "%s (from %s) cannot be opened: %s", sh->mount,
                       options_source(sh->global, "mount"), strerror(errno));
        return 0;
    }
    sh->dir = open(DEFAULT_MOUNT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (sh->dir >= 0 && is_mounted(sh->dir)) {
        sh->mount = DEFAULT_MOUNT;
        return 0;
    }
    if (sh->dir >= 0)
        close(take_fd(&sh->dir));
    if (mounts_each(take, sh) <= 0)
        return say(EXIT_ONEOS, "no oneosd mounted here: start one with `oneosd`");
    return 0;
}
