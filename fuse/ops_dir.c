/*
 * ops_dir.c - names and attributes: lookup, getattr, readlink, directories, making and removing.
 *
 * A directory is listed when it is opened, with the attributes of its entries, so that reading
 * it is one consistent snapshot and needs the core no more.
 */
#include "fuse/ops_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int stat_path(struct fusefs *fs, const char *path, const char *user, struct tree_at *at,
                     struct stat *st)
{
    struct tree_attr attr;
    int rc = tree_stat_as(fs->tree, path, user, at, &attr);

    if (rc == 0)
        attr_to_stat(fs, path, &attr, st);
    return rc;
}

/* Replies with the entry of the request's path: rc says whether that is there. */
static void reply_entry(struct freq *f, int rc)
{
    struct fuse_entry_param e = { 0 };
    struct tree_at at;

    if (rc == 0)
        rc = stat_path(f->fs, f->path, f->user, &at, &e.attr);
    if (rc == 0)
        rc = entry_of(f->fs, &at, f->path, &e);
    if (rc < 0) {
        freq_error(f, rc);
        return;
    }
    if (fuse_reply_entry(f->req, &e) == -ENOENT)
        nodes_forget(f->fs->nodes, e.ino, 1); /* the kernel did not take it: it was interrupted */
    freq_free(f);
}

static void run_lookup(struct freq *f)
{
    reply_entry(f, 0);
}

void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    freq_post(req, run_lookup, parent, name, NULL, NULL, 0);
}

static void run_getattr(struct freq *f)
{
    struct tree_at at;
    struct stat st;
    int rc = stat_path(f->fs, f->path, f->user, &at, &st);

    if (rc < 0) {
        freq_error(f, rc);
        return;
    }
    fuse_reply_attr(f->req, &st, ATTR_TIMEOUT);
    freq_free(f);
}

void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    (void)fi;
    freq_post(req, run_getattr, node, NULL, NULL, NULL, 0);
}

static void link_shown(struct tree_call *call, int rc)
{
    struct freq *f = call->arg;

    if (rc < 0)
        freq_error(f, rc);
    else {
        fuse_reply_readlink(f->req, call->out.p ? call->out.p : "");
        freq_free(f);
    }
    tree_call_free(call);
}

/* Starts a call on the request's path; replies itself when it cannot. */
static struct tree_call *call_for(struct freq *f, tree_done_fn *done)
{
    struct tree_call *call;
    struct tree_at at;
    int rc = tree_resolve(f->fs->tree, f->path, &at);

    if (rc < 0) {
        freq_error(f, rc);
        return NULL;
    }
    call = tree_call_new(&at, f->user, done, f);
    if (!call)
        freq_error(f, -ENOMEM);
    return call;
}

static void run_readlink(struct freq *f)
{
    struct tree_call *call = call_for(f, link_shown);

    if (call)
        tree_read(call);
}

void on_readlink(fuse_req_t req, fuse_ino_t node)
{
    freq_post(req, run_readlink, node, NULL, NULL, NULL, 0);
}

void on_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
    nodes_forget(fs_of(req)->nodes, node, count);
    fuse_reply_none(req);
}

void on_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *v)
{
    for (size_t i = 0; i < n; i++)
        nodes_forget(fs_of(req)->nodes, v[i].ino, v[i].nlookup);
    fuse_reply_none(req);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the names over into the handle, with their attributes; names that just went are left out.
 */
static int fill_entries(struct fid *fid, struct tree_names *names)
{
    if (names->n > 0)
        qsort(names->v, names->n, sizeof *names->v, by_name);
    fid->entries = calloc(names->n + 1, sizeof *fid->entries);
    if (!fid->entries)
        return -ENOMEM;
    for (size_t i = 0; i < names->n; i++) {
        char path[TREE_PATH_MAX + 260];
        struct tree_at at;

        snprintf(path, sizeof path, "%s%s%s", fid->path, *fid->path ? "/" : "", names->v[i]);
        if (stat_path(fid->fs, path, fid->user, &at, &fid->entries[fid->n_entries].st) < 0)
            continue;
        fid->entries[fid->n_entries++].name = take_ptr(names->v[i]);
    }
    return 0;
}

static void run_opendir(struct freq *f)
{
    struct tree_names names = { 0 };
    struct fid *fid = NULL;
    struct tree_attr attr;
    struct tree_at at;
    int rc = tree_stat_as(f->fs->tree, f->path, f->user, &at, &attr);

    if (rc == 0)
        rc = tree_list(&at, &names);
    if (rc == 0 && !(fid = fid_new(f->fs, FID_DIR, f->path, f->user)))
        rc = -ENOMEM;
    if (rc == 0)
        rc = fill_entries(fid, &names);
    tree_names_free(&names);
    if (rc < 0) {
        fid_unref(fid);
        freq_error(f, rc == -ENOENT ? -ESTALE : rc);
        return;
    }
    f->fi.fh = (uintptr_t)fid;
    fid_publish(fid);
    if (fuse_reply_open(f->req, &f->fi) < 0)
        fid_unref(fid);
    freq_free(f);
}

void on_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    struct freq *f = freq_new(req, run_opendir, node, NULL, NULL, NULL, 0);

    if (f) {
        f->fi = *fi;
        freq_send(f);
    }
}

/* Entry i of a listing: "." and ".." come first. */
static const char *entry_at(const struct fid *fid, size_t i, struct stat *st)
{
    static const char *const dots[] = { ".", ".." };

    if (i < 2) {
        memset(st, 0, sizeof *st);
        st->st_mode = S_IFDIR;
        st->st_ino = nodes_id(fid->fs->nodes, fid->path, false);
        return dots[i];
    }
    if (i - 2 >= fid->n_entries)
        return NULL;
    *st = fid->entries[i - 2].st;
    return fid->entries[i - 2].name;
}

/* Adds one entry with its attributes; the kernel counts a lookup for all but the dots. */
static size_t add_plus(fuse_req_t req, struct fid *fid, char *buf, size_t room, const char *name,
                       const struct stat *st, off_t next)
{
    struct fuse_entry_param e = { .attr = *st };
    char path[TREE_PATH_MAX + 260];
    struct tree_at at;
    size_t need = fuse_add_direntry_plus(req, NULL, 0, name, NULL, 0);

    if (need > room)
        return need;
    if (next > 2) {
        snprintf(path, sizeof path, "%s%s%s", fid->path, *fid->path ? "/" : "", name);
        if (tree_resolve(fid->fs->tree, path, &at) == 0)
            entry_of(fid->fs, &at, path, &e);
    }
    return fuse_add_direntry_plus(req, buf, room, name, &e, next);
}

static void reply_entries(fuse_req_t req, size_t size, off_t off, struct fid *fid, bool plus)
{
    cleanup_free char *buf = malloc(size);
    const char *name;
    size_t used = 0;
    struct stat st;

    fid_ref(fid);
    if (!buf) {
        fid_unref(fid);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    for (size_t i = (size_t)off; (name = entry_at(fid, i, &st)) != NULL; i++) {
        size_t room = size - used, n;

        n = plus ? add_plus(req, fid, buf + used, room, name, &st, (off_t)i + 1)
                 : fuse_add_direntry(req, buf + used, room, name, &st, (off_t)i + 1);
        if (n > room)
            break;
        used += n;
    }
    fuse_reply_buf(req, buf, used);
    fid_unref(fid);
}

void on_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)node;
    reply_entries(req, size, off, fid_of(fi), false);
}

void on_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)node;
    reply_entries(req, size, off, fid_of(fi), true);
}

void on_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    (void)node;
    fid_unref(fid_of(fi));
    fuse_reply_err(req, 0);
}

static void removed(struct tree_call *call, int rc)
{
    freq_error(call->arg, rc);
    tree_call_free(call);
}

static void run_unlink(struct freq *f)
{
    struct tree_call *call = call_for(f, removed);

    if (call)
        tree_remove(call);
}

void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    freq_post(req, run_unlink, parent, name, NULL, NULL, 0);
}

static void made_dir(struct tree_call *call, int rc)
{
    reply_entry(call->arg, rc);
    tree_call_free(call);
}

/* Where no directory can be is nothing to be made, as in a folder that makes none. */
static void run_mkdir(struct freq *f)
{
    struct tree_call *call;
    struct tree_at at;
    int rc = tree_resolve(f->fs->tree, f->path, &at);

    if (rc == -ENOENT || (rc == 0 && at.row->kind != TREE_DIR))
        rc = -EPERM;
    if (rc < 0) {
        freq_error(f, rc);
        return;
    }
    call = call_for(f, made_dir);
    if (!call)
        return;
    call->mode = f->want.st_mode & 0777;
    tree_make(call, O_CREAT | O_EXCL);
}

void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct freq *f = freq_new(req, run_mkdir, parent, name, NULL, NULL, 0);

    if (f) {
        f->want.st_mode = mode;
        freq_send(f);
    }
}

void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    (void)parent, (void)name, (void)dev;
    /* A FIFO would be served by the kernel alone, and never reach another machine. */
    fuse_reply_err(req, S_ISFIFO(mode) ? EOPNOTSUPP : EPERM);
}

void on_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name)
{
    (void)to, (void)parent, (void)name;
    fuse_reply_err(req, EPERM);
}

void on_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
    (void)node, (void)parent, (void)name;
    fuse_reply_err(req, EPERM);
}

void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
               const char *to_name, unsigned flags)
{
    (void)parent, (void)name, (void)to, (void)to_name, (void)flags;
    fuse_reply_err(req, EPERM);
}
