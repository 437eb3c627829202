/*
 * ops_file.c - open files: what a handle holds by its row's kind, and how it is read and written.
 * How it is opened is in ops_open.c, how it is closed in ops_close.c.
 *
 *   TEXT    rendered once at open; reads are slices of that
 *   EDIT    a text that can be saved: each write that ends a line saves it, flush saves the rest
 *   CTL     each write runs verbs; reads give what they answered, by a cursor of their own
 *   STREAM  reads and writes go to the stream and may wait there (park.c); so does the close of
 *           one that was written to, until that has arrived on the other machine
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

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
    if (rc == -EINPROGRESS) { /* the rest is to follow, before the close */
        pthread_mutex_lock(&fid->lock);
        fid->dirty = true;
        pthread_mutex_unlock(&fid->lock);
        rc = f->len ? 0 : -EINVAL;
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
