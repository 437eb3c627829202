/*
 * session.c - the mount: makes it, runs libfuse's workers on it, and takes it down.
 *
 * A daemon that was killed leaves its mount behind, dead: files in it answer ENOTCONN, and nothing
 * can be mounted over it. It is recognised by its name in mountinfo (oneos:ID) and detached.
 */
#include "fuse/ops_private.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <spawn.h>
#include <time.h>
#include <utlist.h>

#define WORKERS     4
#define MAX_WRITE   (1024 * 1024)
#define WAKE_SIGNAL SIGURG /* nobody else's; see stop_workers() */

static void on_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    conn->max_write = MAX_WRITE;
    conn->max_readahead = MAX_WRITE;
    /* Listing with attributes always, not when the kernel guesses: it leaves lookups behind. */
    conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_ATOMIC_O_TRUNC |
                                   FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS);
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static const struct fuse_lowlevel_ops ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readlink = on_readlink,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .releasedir = on_releasedir,
    .open = on_open,
    .create = on_create,
    .read = on_read,
    .write = on_write,
    .flush = on_flush,
    .release = on_release,
    .fsync = on_fsync,
    .poll = on_poll,
    .unlink = on_unlink,
    .rmdir = on_unlink,
    .mkdir = on_mkdir,
    .mknod = on_mknod,
    .symlink = on_symlink,
    .link = on_link,
    .rename = on_rename,
};

/* Is there a dead mount of this name at dir? */
static bool stale_mount(const char *dir, const char *name)
{
    cleanup_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[8192], at[4096], source[256];
    bool ours = false;

    while (f && fgets(line, sizeof line, f)) {
        const char *dash = strstr(line, " - ");

        if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && dash &&
            sscanf(dash, " - %*s %255s", source) == 1 && strcmp(at, dir) == 0)
            ours = strcmp(source, name) == 0;
    }
    return ours;
}

static int detach(const char *dir)
{
    char program[] = "fusermount3", unmount[] = "-uz";
    char *const argv[] = { program, unmount, (char *)dir, NULL };
    extern char **environ;
    int status = -1;
    pid_t pid;

    if (umount2(dir, MNT_DETACH) == 0)
        return 0;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
        return -EPERM;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static bool others_allowed(void)
{
    cleanup_fclose FILE *f = fopen("/etc/fuse.conf", "re");
    char line[256];

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "user_allow_other", 16) == 0)
            return true;
    return geteuid() == 0;
}

static void on_wake(int sig)
{
    (void)sig;
}

static void *run_session(void *arg)
{
    struct fusefs *fs = arg;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    struct sigaction wake = { .sa_handler = on_wake };
    sigset_t set;

    if (!config)
        return NULL;
    sigaction(WAKE_SIGNAL, &wake, NULL);
    sigemptyset(&set);
    sigaddset(&set, WAKE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_max_threads(config, WORKERS);
    fuse_loop_cfg_set_idle_threads(config, WORKERS);
    fuse_session_loop_mt(fs->session, config);
    fuse_loop_cfg_destroy(config);
    return NULL;
}

static void log_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char text[512];

    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    if (level <= FUSE_LOG_ERR)
        log_warn("fuse", "%s", text);
    else
        log_debug("fuse", "%s", text);
}

static int mount_session(struct fusefs *fs, const char *name, struct oerr *e)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char opt[512];
    int rc;

    fuse_set_log_func(log_fuse);

    snprintf(opt, sizeof opt, "default_permissions,fsname=%s,subtype=oneos%s", name,
             others_allowed() ? ",allow_other" : "");
    rc = fuse_opt_add_arg(&args, "oneosd") || fuse_opt_add_arg(&args, "-o") ||
         fuse_opt_add_arg(&args, opt);
    if (rc == 0)
        fs->session = fuse_session_new(&args, &ops, sizeof ops, fs);
    fuse_opt_free_args(&args);
    if (!fs->session)
        return oerr_set(e, -ENOMEM, "cannot make a FUSE session");
    if (fuse_session_mount(fs->session, fs->dir) != 0)
        return oerr_set(e, -EACCES,
                        "cannot mount at %s: is /dev/fuse there, and fusermount3 (package fuse3) "
                        "for ordinary users?",
                        fs->dir);
    return 0;
}

int fusefs_mount(struct fusefs **out, struct tree *t, struct loop *core, const char *dir,
                 struct oerr *e)
{
    struct fusefs *fs = calloc(1, sizeof *fs);
    char name[128];
    sigset_t all, old;
    int rc;

    if (!fs)
        return -ENOMEM;
    fs->tree = t;
    fs->core = core;
    fs->start_us = wall_us();
    pthread_mutex_init(&fs->lock, NULL);
    snprintf(fs->dir, sizeof fs->dir, "%s", dir);
    snprintf(name, sizeof name, "oneos:%s", tree_self(t));
    if (stale_mount(dir, name))
        detach(dir);
    park_init(core);
    rc = nodes_create(&fs->nodes);
    if (rc == 0)
        rc = mount_session(fs, name, e);
    if (rc == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        rc = -pthread_create(&fs->main, NULL, run_session, fs);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        fs->started = rc == 0;
    }
    if (rc < 0) {
        fusefs_destroy(fs);
        return rc;
    }
    *out = fs;
    return 0;
}

/* Ends libfuse's loop, which waits on a semaphore and looks whether it shall end when a signal
 * interrupts that; it then ends its workers. The kernel wakes nobody while the mount is in use. */
static void stop_workers(struct fusefs *fs)
{
    const struct timespec breath = { .tv_nsec = 2000000 };

    while (pthread_tryjoin_np(fs->main, NULL) == EBUSY) {
        pthread_kill(fs->main, WAKE_SIGNAL);
        nanosleep(&breath, NULL);
    }
    fs->started = false;
}

void fusefs_unmount(struct fusefs *fs)
{
    struct fid *fid;

    if (!fs || !fs->session)
        return;
    fuse_session_exit(fs->session);
    detach(fs->dir);
    if (fs->started)
        stop_workers(fs);
    park_abort();
    DL_FOREACH(fs->fids, fid)
    fid_close_stream(fid);
}

void fusefs_destroy(struct fusefs *fs)
{
    if (!fs)
        return;
    while (fs->fids) { /* what the kernel would have closed */
        fs->fids->refs = 1;
        fid_unref(fs->fids);
    }
    if (fs->session) {
        fuse_session_unmount(fs->session);
        fuse_session_destroy(fs->session);
    }
    nodes_destroy(fs->nodes);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

/* What the kernel must forget, on its way there. The kernel waits for calls that are under way in
 * that directory, and those may wait for the core: so it is told from libuv's pool. */
struct inval {
    uv_work_t work;
    struct fuse_session *session;
    uint64_t dir;
    char name[256];
};

static void tell_kernel(uv_work_t *work)
{
    struct inval *i = container_of(work, struct inval, work);

    fuse_lowlevel_notify_inval_entry(i->session, i->dir, i->name, strlen(i->name));
}

static void told_kernel(uv_work_t *work, int status)
{
    (void)status;
    free(container_of(work, struct inval, work));
}

void fusefs_gone(struct fusefs *fs, const char *path)
{
    char dir[TREE_PATH_MAX], *slash;
    const char *name;
    struct inval *i;
    uint64_t id;

    if (!fs)
        return;
    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    name = slash ? slash + 1 : path;
    if (slash)
        *slash = '\0';
    else
        *dir = '\0';
    if (!nodes_known(fs->nodes, dir, &id) || !(i = calloc(1, sizeof *i)))
        return;
    i->session = fs->session;
    i->dir = id;
    snprintf(i->name, sizeof i->name, "%s", name);
    if (uv_queue_work(loop_uv(fs->core), &i->work, tell_kernel, told_kernel) < 0)
        free(i);
}
