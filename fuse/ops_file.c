/*
 * ops_file.c - open files: what a handle holds by its row's kind, and how it is read and written.
 *
 *   TEXT    rendered once at open; reads are slices of that
 *   EDIT    a text that can be saved: each write that ends a line saves it, flush saves the rest
 *   CTL     each write runs verbs; reads give what they answered, by a cursor of their own
 *   STREAM  reads and writes go to the stream and may wait there (park.c); so does the close of
 *           one that was written to, until that has arrived on the other machine
 *
 * Opening a clone gives a CTL handle of what was made, whose first answer is its name. With
 * O_NONBLOCK it is made by the first write, together with what that write says: one question to
 * another machine instead of two.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

void on_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fid *fid = fid_of(fi);
    size_t from = (size_t)off;

    (void)node;
    if (fid->kind == FID_STREAM) {
        park_read(req, fid, size, fi->flags & O_NONBLOCK);
        return;
    }
    fid_ref(fid); /* once it is answered, the reader may close it */
    pthread_mutex_lock(&fid->lock);
    if (fid->kind == FID_CTL)
        from = fid->cursor;
    if (from > fid->len)
        from = fid->len;
    if (size > fid->len - from)
        size = fid->len - from;
    if (fid->kind == FID_CTL)
        fid->cursor += size;
    if (fid->unmade)
        fuse_reply_err(req, EAGAIN);
    else
        fuse_reply_buf(req, size ? fid->text + from : NULL, size);
    pthread_mutex_unlock(&fid->lock);
    fid_unref(fid);
}

/* A write to a ctl ran its verbs, or an edited text was saved. */
static void written(struct tree_call *call, int rc)
{
    struct freq *f = call->arg;
    struct fid *fid = f->fid;
    bool made = call->made[0] != '\0';

    fid->making = false;
    if (made)
        strcpy(fid->path, call->made);
    if ((rc == 0 || made) && fid->kind == FID_CTL && call->out.len) {
        pthread_mutex_lock(&fid->lock);
        free(fid->text);
        fid->text = take_ptr(call->out.p);
        fid->len = call->out.len;
        fid->cursor = 0;
        if (made) {
            fid->unmade = false;
            fid->cloned = true;
        }
        call->out = (struct obuf){ 0 };
        pthread_mutex_unlock(&fid->lock);
    }
    if (rc < 0)
        fuse_reply_err(f->req, -rc);
    else if (f->len)
        fuse_reply_write(f->req, f->len);
    else
        fuse_reply_err(f->req, 0);
    freq_free(f);
    tree_call_free(call);
}

/* Writes text to the handle's path by a call whose end replies to f. */
static void save(struct freq *f, const char *path, const char *user, const char *text, size_t n)
{
    struct tree_call *call;
    struct tree_at at;
    int rc = tree_resolve(f->fs->tree, path, &at);

    call = rc == 0 ? tree_call_new(&at, user, written, f) : NULL;
    if (!call)
        freq_error(f, rc < 0 ? rc : -ENOMEM);
    else if (at.row->clone)
        tree_clone(call, text, n);
    else
        tree_write(call, text, n);
}

/* Puts bytes into an edited text at an offset, with NULs between the end and there. */
static int edit(struct fid *fid, const void *bytes, size_t n, size_t off)
{
    size_t end;
    char *grown;

    if (fid->append)
        off = fid->len;
    if (off > TREE_TEXT_MAX || n > TREE_TEXT_MAX - off)
        return -EFBIG;
    end = off + n > fid->len ? off + n : fid->len;
    grown = realloc(fid->text, end + 1);
    if (!grown)
        return -ENOMEM;
    fid->text = grown;
    if (off > fid->len)
        memset(grown + fid->len, 0, off - fid->len);
    memcpy(grown + off, bytes, n);
    fid->len = end;
    fid->dirty = true;
    return 0;
}

/* Saves an edited text as it is now; a worker may go on editing it meanwhile. */
void fid_save(struct freq *f)
{
    struct fid *fid = f->fid;
    cleanup_free char *copy = NULL;
    size_t n;

    pthread_mutex_lock(&fid->lock);
    n = fid->len;
    copy = malloc(n + 1);
    if (copy && n)
        memcpy(copy, fid->text, n);
    fid->dirty = fid->dirty && !copy;
    pthread_mutex_unlock(&fid->lock);
    if (copy)
        save(f, fid->path, fid->user, copy, n);
    else
        freq_error(f, -ENOMEM);
}

static bool ends_line(struct fid *fid)
{
    bool ends;

    pthread_mutex_lock(&fid->lock);
    ends = fid->len > 0 && fid->text[fid->len - 1] == '\n';
    pthread_mutex_unlock(&fid->lock);
    return ends;
}

static void run_write(struct freq *f)
{
    struct fid *fid = f->fid;

    if (fid->making) {
        freq_error(f, -EAGAIN);
    } else if (fid->kind == FID_CTL) {
        fid->making = fid->unmade;
        save(f, fid->path, fid->user, f->text, f->len);
    } else if (ends_line(fid)) {
        fid_save(f);
    } else {
        fuse_reply_write(f->req, f->len);
        freq_free(f);
    }
}

void on_write(fuse_req_t req, fuse_ino_t node, const char *buf, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    struct fid *fid = fid_of(fi);
    int rc = 0;

    if (fid->kind == FID_STREAM) {
        park_write(req, fid, buf, size, fi->flags & O_NONBLOCK);
        return;
    }
    if (fid->kind == FID_EDIT) {
        pthread_mutex_lock(&fid->lock);
        rc = edit(fid, buf, size, (size_t)off);
        pthread_mutex_unlock(&fid->lock);
    }
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        freq_post(req, run_write, node, NULL, fi, buf, size);
}

static void chmodded(struct tree_call *call, int rc)
{
    struct freq *f = call->arg;
    struct tree_attr attr;
    struct tree_at at;
    struct stat st;

    if (rc == 0)
        rc = tree_stat(f->fs->tree, f->path, &at, &attr);
    if (rc < 0) {
        freq_error(f, rc);
    } else {
        attr_to_stat(f->fs, f->path, &attr, &st);
        fuse_reply_attr(f->req, &st, ATTR_TIMEOUT);
        freq_free(f);
    }
    tree_call_free(call);
}

static void run_chmod(struct freq *f, const struct tree_at *at)
{
    struct tree_call *call = tree_call_new(at, f->user, chmodded, f);

    if (!call) {
        freq_error(f, -ENOMEM);
        return;
    }
    call->mode = f->want.st_mode & 0777;
    tree_chmod(call);
}

/* Truncation of what is written afterwards anyway, and new times, are taken without effect; an
 * edited text is emptied. Owners are the tree's own, and so are modes but where a row says how. */
static void run_setattr(struct freq *f)
{
    struct tree_attr attr;
    struct tree_at at;
    struct stat st;
    int rc = tree_stat(f->fs->tree, f->path, &at, &attr);

    if (rc == 0 && (f->valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        rc = -EPERM;
    if (rc == 0 && !at.row->verbs && !at.row->save && !at.row->open)
        rc = -EPERM;
    if (rc == 0 && (f->valid & FUSE_SET_ATTR_MODE)) {
        run_chmod(f, &at);
        return;
    }
    if (rc < 0) {
        freq_error(f, rc);
        return;
    }
    if ((f->valid & FUSE_SET_ATTR_SIZE) && f->fid && f->fid->kind == FID_EDIT &&
        f->want.st_size == 0) {
        pthread_mutex_lock(&f->fid->lock);
        f->fid->len = 0;
        f->fid->dirty = true;
        pthread_mutex_unlock(&f->fid->lock);
    }
    attr_to_stat(f->fs, f->path, &attr, &st);
    fuse_reply_attr(f->req, &st, ATTR_TIMEOUT);
    freq_free(f);
}

void on_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int valid,
                struct fuse_file_info *fi)
{
    struct freq *f = freq_new(req, run_setattr, node, NULL, fi, NULL, 0);

    if (f) {
        f->want = *st;
        f->valid = valid;
        freq_send(f);
    }
}

/* A stream to another machine has two directions, a handle perhaps one: what concerns the other is
 * not told. After a clean end there is no error either. */
static unsigned readiness(const struct fid *fid, short events)
{
    if (fid->accmode == O_RDONLY)
        events &= events & POLLHUP ? POLLIN | POLLHUP : POLLIN | POLLERR;
    else if (fid->accmode == O_WRONLY)
        events &= POLLOUT | POLLERR;
    return (unsigned)events;
}

void on_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
    struct fid *fid = fid_of(fi);
    struct fuse_pollhandle *old = ph;
    unsigned events;

    (void)node;
    if (fid->kind != FID_STREAM) {
        if (ph)
            fuse_pollhandle_destroy(ph);
        fuse_reply_poll(req, POLLIN | POLLOUT);
        return;
    }
    if (ph) {
        pthread_mutex_lock(&fid->lock);
        old = fid->poll;
        fid->poll = ph;
        pthread_mutex_unlock(&fid->lock);
    }
    if (old)
        fuse_pollhandle_destroy(old);
    events = readiness(fid, fid->stream->ops->poll(fid->stream, ph ? &fid->watch : NULL));
    fid_ref(fid);
    fuse_reply_poll(req, events);
    fid_unref(fid);
}
