/*
 * doctor.c - `oneos doctor`: what is wrong here, and what to do, a line each.
 *
 * A check looks at one thing and reports what it found. Those of this machine are here, those of
 * the whole system in doctor_tree.c.
 */
#include "shell/commands.h"
#include "shell/table.h"
#include "shell/doctor.h"

#include "base/cleanup.h"
#include "base/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>

#define LOW_BYTES   (1ULL << 30)
#define LOW_PERCENT 5

void report(struct exam *x, enum verdict v, const char *fmt, ...)
{
    static const char *const names[] = { "ok", "note", "wrong" };
    char text[1024];
    json_t *object;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    x->wrong += v == WRONG;
    if (!x->sh->json) {
        printf("%-5s  %-10s  %s\n", names[v], x->check, text);
        return;
    }
    object = json_pack("{s:i,s:s,s:s,s:s%}", "schema", 1, "check", x->check, "verdict", names[v],
                       "text", text, strlen(text));
    if (!object) /* not UTF-8 */
        object = json_pack("{s:i,s:s,s:s}", "schema", 1, "check", x->check, "verdict", names[v]);
    print_json(object);
    json_decref(object);
}

/* ---- this machine ---- */

static void check_device(struct exam *x)
{
    cleanup_close int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        report(x, OK, "/dev/fuse can be used");
    else if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        report(x, WRONG,
               "there is no /dev/fuse: load the module with `modprobe fuse` (in a container: "
               "give it the device)");
    else
        report(x, WRONG, "/dev/fuse cannot be opened (%s): its mode must be 0666", strerror(errno));
}

static bool find_program(const char *name, char *path, size_t size)
{
    const char *dirs = getenv("PATH");

    for (; dirs && *dirs; dirs += strcspn(dirs, ":"), dirs += *dirs == ':') {
        int n = (int)strcspn(dirs, ":");

        snprintf(path, size, "%.*s/%s", n, dirs, name);
        if (n > 0 && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static void check_fusermount(struct exam *x)
{
    char path[4096];
    struct stat st;

    if (!find_program("fusermount3", path, sizeof path))
        report(x, geteuid() == 0 ? NOTE : WRONG,
               "there is no fusermount3, without which only root can mount: install fuse3");
    else if (geteuid() != 0 && stat(path, &st) == 0 && (st.st_uid != 0 || !(st.st_mode & S_ISUID)))
        report(x, WRONG, "%s is not setuid root, so that you cannot mount: install fuse3 again",
               path);
    else
        report(x, OK, "%s is there", path);
}

static void check_allow_other(struct exam *x)
{
    cleanup_fclose FILE *f = fopen("/etc/fuse.conf", "re");
    char line[256];

    if (geteuid() == 0) {
        report(x, OK, "root may let other users into its mount");
        return;
    }
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line + strspn(line, " \t"), "user_allow_other", 16) == 0) {
            report(x, OK, "/etc/fuse.conf has user_allow_other");
            return;
        }
    report(x, NOTE, "/etc/fuse.conf has no user_allow_other: only you will see what you mount");
}

static void check_clock(struct exam *x)
{
    struct timex t = { 0 };
    time_t now = time(NULL);

    if (now < 1704067200) /* 2024 */
        report(x, WRONG, "the clock is years behind: set it, or start a time service (chrony)");
    else if (adjtimex(&t) == TIME_ERROR || (t.status & STA_UNSYNC))
        report(x, NOTE,
               "the kernel does not know of a time service: without one (chrony, "
               "systemd-timesyncd) the clocks of the machines drift apart");
    else
        report(x, OK, "a time service keeps the clock");
}

static void check_disk(struct exam *x)
{
    char path[sizeof x->state];
    struct statvfs fs;
    uint64_t bytes;
    struct obuf text = { 0 };

    strcpy(path, x->state);
    while (statvfs(path, &fs) < 0 && strrchr(path, '/') > path)
        *strrchr(path, '/') = '\0'; /* not made yet: the folder it will be in */
    if (statvfs(path, &fs) < 0) {
        report(x, WRONG, "%s cannot be looked at: %s", path, strerror(errno));
        return;
    }
    bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    units_put_size(&text, bytes);
    if (bytes < LOW_BYTES || fs.f_bavail < fs.f_blocks / 100 * LOW_PERCENT)
        report(x, WRONG, "only %s are free for %s: make room, or move it (--state)",
               text.p ? text.p : "?", x->state);
    else
        report(x, OK, "%s are free for %s", text.p ? text.p : "?", x->state);
    obuf_free(&text);
}

/* One file of keys. False when it is wrong, which was said. */
static bool check_key(struct exam *x, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return true;
    if (st.st_mode & 077) {
        report(x, WRONG,
               "others can read the key %s: `chmod 600 %s`, and make a new one if they did", path,
               path);
        return false;
    }
    if (st.st_uid != geteuid() && geteuid() != 0) {
        report(x, WRONG, "the key %s belongs to another user: give it to you with chown", path);
        return false;
    }
    return true;
}

static void check_keys(struct exam *x)
{
    char path[sizeof x->state + 300];
    DIR *dir = opendir(x->state);
    bool fine;

    if (!dir && errno == ENOENT) {
        report(x, NOTE, "%s is not there: oneosd makes it at its first start", x->state);
        return;
    }
    if (!dir) {
        report(x, WRONG, "%s cannot be read: %s", x->state, strerror(errno));
        return;
    }
    snprintf(path, sizeof path, "%s/cluster.key", x->state);
    fine = check_key(x, path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (*entry->d_name == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/identity", x->state, entry->d_name);
        fine = check_key(x, path) && fine;
    }
    closedir(dir);
    if (fine)
        report(x, OK, "the keys in %s can be read by their owner only", x->state);
}

/* ---- mounts and the daemon ---- */

static int check_mount(void *arg, const char *folder)
{
    struct exam *x = arg;
    struct stat st;

    if (stat(folder, &st) == 0)
        report(x, OK, "%s is mounted", folder);
    else if (errno == ENOTCONN || errno == ECONNABORTED)
        report(x, WRONG,
               "%s was left by a daemon that is gone: start that oneosd again, or "
               "`fusermount3 -uz %s`",
               folder, folder);
    else
        report(x, errno == EACCES ? NOTE : WRONG, "%s is mounted but cannot be used: %s", folder,
               strerror(errno));
    return 0;
}

static void check_mounts(struct exam *x)
{
    if (mounts_each(check_mount, x) < 0)
        report(x, WRONG, "/proc/self/mounts cannot be read: mount /proc");
}

static void check_daemon(struct exam *x)
{
    struct obuf text = { 0 };
    int rc;

    if (shell_open(x->sh)) {
        report(x, WRONG, "no tree can be used here: start a daemon with `oneosd`");
        return;
    }
    rc = tree_read(x->sh, &text, "status");
    x->status = rc == 0 ? parse_keyed(text.p) : NULL;
    if (rc < 0)
        report(x, WRONG, "%s/status cannot be read (%s): start oneosd again", x->sh->mount,
               strerror(-rc));
    else
        report(x, OK, "the daemon of %s answers", x->sh->mount);
    obuf_free(&text);
}

/* ---- all of them ---- */

static const struct check {
    const char *name;
    void (*run)(struct exam *x);
} checks[] = {
    { "device", check_device },      { "fusermount", check_fusermount },
    { "others", check_allow_other }, { "clock", check_clock },
    { "disk", check_disk },          { "keys", check_keys },
    { "mounts", check_mounts },      { "daemon", check_daemon },
    { "registry", check_registry },  { "machines", check_machines },
    { "services", check_services },
};

static void find_state(struct exam *x)
{
    const char *given = options_get(x->sh->global, "state"), *home = getenv("HOME");

    if (given)
        snprintf(x->state, sizeof x->state, "%s", given);
    else
        snprintf(x->state, sizeof x->state, "%s/.oneos", home && *home ? home : "");
    if (!given && geteuid() == 0 && access(x->state, F_OK) < 0 &&
        access("/var/lib/oneos", F_OK) == 0)
        strcpy(x->state, "/var/lib/oneos");
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct exam x = { .sh = sh };

    (void)argc;
    (void)argv;
    find_state(&x);
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        x.check = checks[i].name;
        checks[i].run(&x);
    }
    json_decref(x.status);
    return finish(x.wrong ? 1 : 0);
}

const struct command cmd_doctor = {
    .name = "doctor",
    .usage = "",
    .help = "say what is wrong here and what to do",
    .no_mount = true,
    .run = run,
};
