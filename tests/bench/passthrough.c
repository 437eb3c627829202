/*
 * passthrough.c - a folder through FUSE and nothing more: what the tree's files are measured
 * against.
 *
 *   passthrough FOLDER MOUNTPOINT [direct]
 *
 * The low-level API with the settings of libfuse's own example: entries and attributes believed
 * for 1 s, libfuse's workers with cloned descriptors, and an O_PATH descriptor a node. With
 * `direct`, opened files have direct I/O: without it a file of /proc, whose size is 0, reads as
 * empty through FUSE. Reads only. Ends on SIGTERM.
 */
#define FUSE_USE_VERSION 312
#include "base/cleanup.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT 1.0

static int root_fd;
static bool direct;

/* A node's number is its descriptor; the few nodes of a measurement are never closed. */
static int fd_of(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? root_fd : (int)ino;
}

/* The descriptor of a name, from the second time on the same one. -errno. */
static int node_of(fuse_ino_t parent, const char *name)
{
    static struct {
        fuse_ino_t parent;
        char name[64];
        int fd;
    } known[64];
    size_t i;

    for (i = 0; i < ARRAY_SIZE(known) && known[i].fd > 0; i++)
        if (known[i].parent == parent && strcmp(known[i].name, name) == 0)
            return known[i].fd;
    if (i == ARRAY_SIZE(known) || strlen(name) >= sizeof known[i].name)
        return -ENFILE;
    known[i].fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (known[i].fd < 0)
        return -errno;
    known[i].parent = parent;
    strcpy(known[i].name, name);
    return known[i].fd;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = { .attr_timeout = TIMEOUT, .entry_timeout = TIMEOUT };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int fd;

    pthread_mutex_lock(&lock);
    fd = node_of(parent, name);
    pthread_mutex_unlock(&lock);
    if (fd >= 0 && fstatat(fd, "", &e.attr, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        fd = -errno;
    e.ino = (fuse_ino_t)fd;
    if (fd < 0)
        fuse_reply_err(req, -fd);
    else
        fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    if (fstatat(fd_of(ino), "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_attr(req, &st, TIMEOUT);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(ino));
    fd = open(path, (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uint64_t)fd;
    fi->direct_io = direct;
    fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

    (void)ino;
    buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buf.buf[0].fd = (int)fi->fh;
    buf.buf[0].pos = off;
    fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_reply_err(req, close(dup((int)fi->fh)) < 0 ? errno : 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    close((int)fi->fh);
    fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = op_lookup,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .flush = op_flush,
    .release = op_release,
};

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    struct fuse_session *session;

    if (argc < 3 || !config)
        errx(64, "usage: passthrough FOLDER MOUNTPOINT [direct]");
    direct = argc > 3;
    root_fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        err(1, "%s", argv[1]);
    session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    if (!session || fuse_set_signal_handlers(session) != 0 ||
        fuse_session_mount(session, argv[2]) != 0)
        errx(1, "cannot mount at %s", argv[2]);
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_session_loop_mt(session, config);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    fuse_loop_cfg_destroy(config);
    close(root_fd);
    return 0;
}
