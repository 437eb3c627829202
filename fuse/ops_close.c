/*
 * ops_close.c - the end of an open file: what close() and fsync() wait for, and letting go of it.
 *
 * An edited text is saved. A stream that was written to has to have arrived, where it goes to
 * another machine. The tree hears of the end of a handle that a clone gave.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void run_flush(struct freq *f)
{
    struct fid *fid = f->fid;
    bool dirty;

    f->len = 0;
    pthread_mutex_lock(&fid->lock);
    dirty = fid->dirty;
    pthread_mutex_unlock(&fid->lock);
    if (dirty)
        fid_save(f);
    else
        freq_error(f, 0);
}

/* A task that exits cannot be told how its files were closed, and cannot be interrupted any more:
 * it must not wait for anybody. Neither must one that we cannot see. */
static bool is_exiting(pid_t task)
{
    static const unsigned exiting = 0x4; /* PF_EXITING */
    char path[32], text[512];
    const char *paren;
    unsigned flags;

    snprintf(path, sizeof path, "/proc/%d/stat", task);
    cleanup_fclose FILE *f = task > 0 ? fopen(path, "re") : NULL;

    paren = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    return !paren || sscanf(paren + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1 ||
           (flags & exiting);
}

void on_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct fid *fid = fid_of(fi);

    if (fid->kind == FID_EDIT)
        freq_post(req, run_flush, node, NULL, fi, NULL, 0);
    else if (fid->kind == FID_STREAM && atomic_load(&fid->wrote) &&
             !is_exiting(fuse_req_ctx(req)->pid))
        park_sync(req, fid);
    else
        fuse_reply_err(req, 0);
}

void on_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
    struct fid *fid = fid_of(fi);

    (void)datasync;
    if (fid->kind == FID_EDIT)
        freq_post(req, run_flush, node, NULL, fi, NULL, 0);
    else if (fid->kind == FID_STREAM)
        park_sync(req, fid);
    else
        fuse_reply_err(req, 0);
}

static void told_closed(struct tree_call *call, int rc)
{
    (void)rc;
    tree_call_free(call);
}

static void run_release(struct freq *f)
{
    struct tree_call *call;
    struct tree_at at;

    if (tree_resolve(f->fs->tree, f->fid->path, &at) == 0 &&
        (call = tree_call_new(&at, f->fid->user, told_closed, NULL)) != NULL)
        tree_closed(call);
    fid_unref(f->fid); /* the kernel's */
    freq_error(f, 0);
}

void on_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct fid *fid = fid_of(fi);
    bool cloned;

    pthread_mutex_lock(&fid->lock);
    cloned = fid->cloned;
    pthread_mutex_unlock(&fid->lock);
    if (cloned) {
        struct freq *f = freq_new(req, run_release, node, NULL, fi, NULL, 0);

        if (f) {
            f->rc = 0; /* whatever became of the path, the handle goes */
            freq_send(f);
        }
        return;
    }
    fuse_reply_err(req, 0);
    fid_unref(fid);
}
