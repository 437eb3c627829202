/*
 * ops_open.c - opening and making files: which handle (ops_file.c) an open gives, and to whom.
 *
 * Opening a clone gives a CTL handle of what was made, whose first answer is its name. With
 * O_NONBLOCK it is made by the first write, together with what that write says: one question to
 * another machine instead of two.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* What open(2) asks for, in bits of access(2). */
static int wanted(int flags)
{
    static const int want[] = { [O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK };

    return want[flags & O_ACCMODE];
}

/* Has the close of this handle something to say? */
static bool needs_flush(const struct fid *fid)
{
    return fid->kind == FID_EDIT || (fid->kind == FID_STREAM && fid->accmode != O_RDONLY);
}

/* Replies to the open with this handle, or drops it when the kernel no longer wants it. */
static void reply_open(struct freq *f, struct fid *fid)
{
    f->fi.fh = (uintptr_t)fid;
    f->fi.direct_io = 1;
    f->fi.nonseekable = fid->kind == FID_STREAM || fid->kind == FID_CTL;
    fid->append = f->fi.flags & O_APPEND;
    fid->accmode = f->fi.flags & O_ACCMODE;
    f->fi.noflush = !needs_flush(fid);
    fid_publish(fid);
    if (fuse_reply_open(f->req, &f->fi) < 0)
        fid_unref(fid);
    freq_free(f);
}

/* A text was read for an open handle, or a clone was made. */
static void opened(struct tree_call *call, int rc)
{
    struct freq *f = call->arg;
    bool made = call->made[0] != '\0';
    enum fid_kind kind = call->at.row->verbs || made ? FID_CTL
                         : call->at.row->save        ? FID_EDIT
                                                     : FID_TEXT;
    struct fid *fid = NULL;

    if (rc == 0 && !(fid = fid_new(f->fs, kind, made ? call->made : call->at.path, f->user)))
        rc = -ENOMEM;
    if (rc == 0) {
        fid->text = take_ptr(call->out.p);
        fid->len = call->out.len;
        fid->cloned = made;
        call->out = (struct obuf){ 0 };
    }
    tree_call_free(call);
    if (rc < 0)
        freq_error(f, rc);
    else
        reply_open(f, fid);
}

static void open_empty(struct freq *f, enum fid_kind kind, bool unmade)
{
    struct fid *fid = fid_new(f->fs, kind, f->path, f->user);

    if (!fid)
        freq_error(f, -ENOMEM);
    else {
        fid->dirty = kind == FID_EDIT;
        fid->unmade = unmade;
        reply_open(f, fid);
    }
}

static void open_stream(struct freq *f, const struct tree_at *at)
{
    struct fid *fid = fid_new(f->fs, FID_STREAM, f->path, f->user);
    int rc = fid ? 0 : -ENOMEM;

    if (rc == 0 && (f->fi.flags & O_ACCMODE) != O_RDONLY)
        rc = fid_writes(fid, f->node, fuse_req_ctx(f->req)->pid);
    if (rc == 0)
        rc = tree_open(at, f->user, f->fi.flags, &fid->stream);
    if (rc < 0) {
        fid_unref(fid);
        freq_error(f, rc);
    } else {
        reply_open(f, fid);
    }
}

/* Opens a text, ctl or clone through a call, whose end replies. */
static void open_call(struct freq *f, const struct tree_at *at)
{
    struct tree_call *call = tree_call_new(at, f->user, opened, f);

    if (!call)
        freq_error(f, -ENOMEM);
    else if (at->row->clone)
        tree_clone(call, NULL, 0);
    else
        tree_read(call);
}

static void run_open(struct freq *f)
{
    int want = wanted(f->fi.flags), rc;
    struct tree_attr attr;
    struct tree_at at;

    rc = tree_stat_as(f->fs->tree, f->path, f->user, &at, &attr);
    if (rc == 0)
        rc = tree_access(&attr, f->user, want);
    if (rc == 0 && (want & W_OK) && !at.row->verbs && !at.row->save && !at.row->open &&
        !at.row->clone)
        rc = -EACCES;
    /* Merely reading, as `grep -r` does, must make nothing. */
    if (rc == 0 && at.row->clone && want != (R_OK | W_OK))
        rc = -EACCES;
    if (rc < 0)
        freq_error(f, rc == -ENOENT ? -ESTALE : rc); /* ESTALE: the kernel looks it up again */
    else if (at.row->clone)
        open_call(f, &at);
    else if (at.row->open)
        open_stream(f, &at);
    else if (at.row->save && (f->fi.flags & O_TRUNC))
        open_empty(f, FID_EDIT, false);
    else if (at.row->verbs && !at.row->show)
        open_empty(f, FID_CTL, false);
    else if (at.row->verbs && want == W_OK)
        open_empty(f, FID_CTL, false);
    else
        open_call(f, &at);
}

/* A clone that its first write will make: until then there is nothing to ask the core. */
static bool opens_unmade(struct freq *f)
{
    struct tree_at at;

    return (f->fi.flags & O_NONBLOCK) && wanted(f->fi.flags) == (R_OK | W_OK) && f->rc == 0 &&
           tree_resolve(f->fs->tree, f->path, &at) == 0 && at.row->clone;
}

void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct freq *f = freq_new(req, run_open, node, NULL, NULL, NULL, 0);

    if (!f)
        return;
    f->fi = *fi;
    if (opens_unmade(f))
        open_empty(f, FID_CTL, true);
    else
        freq_send(f);
}

static void reply_create(struct freq *f, const struct tree_at *at, int flags)
{
    struct fuse_entry_param e = { 0 };
    struct fid *fid = fid_new(f->fs, FID_STREAM, f->path, f->user);
    struct tree_attr attr;
    struct tree_at again;
    int rc = fid ? tree_stat(f->fs->tree, f->path, &again, &attr) : -ENOMEM;

    if (rc == 0 && strcmp(attr.owner, f->user) != 0) /* another made it meanwhile */
        rc = tree_access(&attr, f->user, wanted(flags));
    if (rc == 0)
        rc = tree_open(at, f->user, flags, &fid->stream);
    if (rc == 0) {
        attr_to_stat(f->fs, f->path, &attr, &e.attr);
        rc = entry_of(f->fs, &again, f->path, &e);
        if (rc == 0 && (flags & O_ACCMODE) != O_RDONLY &&
            (rc = fid_writes(fid, e.ino, 0)) == -ESTALE)
            rc = fid_writes(fid, e.ino, 0);
        if (rc < 0 && e.ino)
            nodes_forget(f->fs->nodes, e.ino, 1);
    }
    if (rc < 0) {
        fid_unref(fid);
        freq_error(f, rc);
        return;
    }
    f->fi.fh = (uintptr_t)fid;
    fid->accmode = flags & O_ACCMODE;
    f->fi.direct_io = f->fi.nonseekable = 1;
    f->fi.noflush = !needs_flush(fid);
    fid_publish(fid);
    if (fuse_reply_create(f->req, &e, &f->fi) < 0) {
        nodes_forget(f->fs->nodes, e.ino, 1);
        fid_unref(fid);
    }
    freq_free(f);
}

static void made(struct tree_call *call, int rc)
{
    struct freq *f = call->arg;
    bool existed = rc == -EEXIST && !(f->fi.flags & O_EXCL);

    if (rc == 0 || existed)
        reply_create(f, &call->at, f->fi.flags & (existed ? ~O_CREAT : ~0));
    else
        freq_error(f, rc);
    tree_call_free(call);
}

static void run_create(struct freq *f)
{
    struct tree_call *call;
    struct tree_attr attr;
    struct tree_at at;
    int rc = tree_resolve(f->fs->tree, f->path, &at);

    if (rc < 0 || !at.row->open) {
        freq_error(f,
                   rc == 0 && tree_stat(f->fs->tree, f->path, &at, &attr) == 0 ? -EEXIST : -EPERM);
        return;
    }
    call = tree_call_new(&at, f->user, made, f);
    if (!call) {
        freq_error(f, -ENOMEM);
        return;
    }
    call->mode = f->want.st_mode & 0777;
    tree_make(call, f->fi.flags);
}

void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct freq *f = freq_new(req, run_create, parent, name, NULL, NULL, 0);

    if (f) {
        f->fi = *fi;
        f->fi.flags |= O_CREAT;
        f->want.st_mode = mode;
        freq_send(f);
    }
}
