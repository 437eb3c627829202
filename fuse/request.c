/*
 * request.c - kernel requests on their way to the core loop, and open handles.
 *
 * Ownership: a freq is the core loop's once it was sent, and ends with one reply. A fid is held
 * by the kernel's open file, by each freq and by each parked request on it: once a request is
 * answered, the kernel may close the file.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

struct freq *freq_new(fuse_req_t req, void (*run)(struct freq *), uint64_t node, const char *name,
                      const struct fuse_file_info *fi, const void *text, size_t len)
{
    struct freq *f = malloc(sizeof *f + len + 1);

    if (!f) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    memset(f, 0, sizeof *f);
    f->fs = fs_of(req);
    f->req = req;
    f->run = run;
    f->node = node;
    f->rc = nodes_path(f->fs->nodes, node, f->path);
    if (name && f->rc == 0) {
        size_t at = strlen(f->path);

        if (at + strlen(name) + 2 > sizeof f->path)
            f->rc = -ENAMETOOLONG;
        else
            sprintf(f->path + at, "%s%s", at ? "/" : "", name);
    }
    users_name(fuse_req_ctx(req)->uid, f->user);
    if (fi) {
        f->fi = *fi;
        f->fid = fid_of(fi);
        if (f->fid)
            fid_ref(f->fid);
    }
    f->len = len;
    if (len)
        memcpy(f->text, text, len);
    f->text[len] = '\0';
    return f;
}

static void run_freq(struct task *t)
{
    struct freq *f = container_of(t, struct freq, task);

    if (f->rc < 0)
        freq_error(f, f->rc);
    else
        f->run(f);
}

void freq_send(struct freq *f)
{
    f->task.run = run_freq;
    loop_post(f->fs->core, &f->task);
}

void freq_post(fuse_req_t req, void (*run)(struct freq *), uint64_t node, const char *name,
               const struct fuse_file_info *fi, const void *text, size_t len)
{
    struct freq *f = freq_new(req, run, node, name, fi, text, len);

    if (f)
        freq_send(f);
}

void freq_free(struct freq *f)
{
    fid_unref(f->fid);
    free(f);
}

void freq_error(struct freq *f, int rc)
{
    fuse_reply_err(f->req, -rc);
    freq_free(f);
}

void attr_to_stat(struct fusefs *fs, const char *path, const struct tree_attr *attr,
                  struct stat *st)
{
    uint64_t us = attr->mtime_us ? attr->mtime_us : fs->start_us;

    memset(st, 0, sizeof *st);
    st->st_ino = nodes_id(fs->nodes, path, false);
    st->st_mode = attr->mode;
    st->st_nlink = S_ISDIR(attr->mode) ? 2 : 1;
    st->st_uid = users_uid(attr->owner);
    st->st_gid = st->st_uid == 0 ? 0 : 65534;
    st->st_mtim = (struct timespec){ (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
    st->st_atim = st->st_ctim = st->st_mtim;
    st->st_blksize = 1024 * 1024;
}

/* A stream that can be written is looked up anew at each open: see node.c. So is a link that may
 * move, under another node each time: the kernel keeps where a node leads as long as the node. */
int entry_of(struct fusefs *fs, const struct tree_at *at, const char *path,
             struct fuse_entry_param *e)
{
    bool written = at->row->open && (at->row->mode & 0222);

    e->attr_timeout = ATTR_TIMEOUT;
    e->entry_timeout = written || at->row->moves ? 0 : ENTRY_TIMEOUT;
    e->ino = written          ? nodes_stream(fs->nodes, path)
             : at->row->moves ? nodes_apart(fs->nodes, path)
                              : nodes_id(fs->nodes, path, true);
    return e->ino ? 0 : -ENOMEM;
}

int fid_writes(struct fid *fid, uint64_t node, pid_t task)
{
    int rc = nodes_write(fid->fs->nodes, node, fid->path, task);

    if (rc == 0)
        fid->writes = node;
    return rc;
}

static void fid_fire(struct iowatch *w)
{
    struct fid *fid = container_of(w, struct fid, watch);
    struct fuse_pollhandle *ph;

    pthread_mutex_lock(&fid->lock);
    ph = fid->poll;
    fid->poll = NULL;
    pthread_mutex_unlock(&fid->lock);
    if (ph) {
        fuse_lowlevel_notify_poll(ph);
        fuse_pollhandle_destroy(ph);
    }
}

struct fid *fid_new(struct fusefs *fs, enum fid_kind kind, const char *path, const char *user)
{
    struct fid *fid = calloc(1, sizeof *fid);

    if (!fid)
        return NULL;
    fid->refs = 1;
    fid->kind = kind;
    fid->fs = fs;
    snprintf(fid->path, sizeof fid->path, "%s", path);
    snprintf(fid->user, sizeof fid->user, "%s", user);
    pthread_mutex_init(&fid->lock, NULL);
    fid->watch.fire = fid_fire;
    pthread_mutex_lock(&fs->lock);
    DL_APPEND(fs->fids, fid);
    pthread_mutex_unlock(&fs->lock);
    return fid;
}

struct fid *fid_ref(struct fid *fid)
{
    atomic_fetch_add(&fid->refs, 1);
    return fid;
}

void fid_close_stream(struct fid *fid)
{
    if (!fid->stream)
        return;
    fid->stream->ops->unwatch(fid->stream, &fid->watch);
    fid->stream->ops->close(fid->stream, 0);
    fid->stream = NULL;
}

void fid_unref(struct fid *fid)
{
    if (!fid || atomic_fetch_sub(&fid->refs, 1) != 1)
        return;
    pthread_mutex_lock(&fid->fs->lock);
    DL_DELETE(fid->fs->fids, fid);
    pthread_mutex_unlock(&fid->fs->lock);
    fid_close_stream(fid);
    if (fid->writes)
        nodes_written(fid->fs->nodes, fid->writes, fid->path);
    if (fid->poll)
        fuse_pollhandle_destroy(fid->poll);
    for (size_t i = 0; i < fid->n_entries; i++)
        free(fid->entries[i].name);
    free(fid->entries);
    free(fid->text);
    pthread_mutex_destroy(&fid->lock);
    free(fid);
}
