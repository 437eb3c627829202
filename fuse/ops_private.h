/*
 * ops_private.h - requests under way and open handles, shared by the files that serve them.
 *
 * A `struct freq` is one kernel request that was posted to the core loop. A `struct fid` is one
 * open file. A `struct parked` (park.c) is a read or write of a stream that may have to wait.
 */
#ifndef ONEOS_FUSE_OPS_PRIVATE_H
#define ONEOS_FUSE_OPS_PRIVATE_H

#include "fuse/fuse_private.h"

/* How long the kernel may believe what it was told, in seconds. What goes away is invalidated. */
#define ENTRY_TIMEOUT 1.0
#define ATTR_TIMEOUT  1.0

struct freq {
    struct task task;
    struct fusefs *fs;
    fuse_req_t req;
    void (*run)(struct freq *); /* on the core loop */
    uint64_t node;
    int rc;                   /* what path() found */
    char path[TREE_PATH_MAX]; /* of the node, or of `name` in it */
    char user[TREE_USER_MAX];
    struct fuse_file_info fi;
    struct fid *fid;
    struct stat want; /* setattr; create: its mode */
    int valid;
    size_t len;
    char text[]; /* write: the bytes */
};

enum fid_kind { FID_TEXT, FID_EDIT, FID_CTL, FID_STREAM, FID_DIR };

struct fid_entry {
    char *name;
    struct stat st;
};

struct fid {
    _Atomic unsigned refs;
    enum fid_kind kind;
    char path[TREE_PATH_MAX];
    char user[TREE_USER_MAX];
    bool append, dirty;
    int accmode; /* O_RDONLY, O_WRONLY or O_RDWR */
    bool making; /* the write that makes what an unmade handle is of is under way: core loop */

    pthread_mutex_t lock; /* unmade and cloned, the text of a ctl or edit handle, the poll handle */
    bool unmade;          /* of a clone opened with O_NONBLOCK: the first write makes it */
    bool cloned;          /* it was made by a clone: the tree is told when it closes */
    char *text;           /* TEXT: rendered at open; CTL: the answer; EDIT: what will be saved */
    size_t len, cursor;   /* cursor: how much of a ctl's answer was read */

    struct fid_entry *entries; /* DIR: listed at open */
    size_t n_entries;

    struct stream *stream;
    _Atomic bool wrote; /* something was written: closing it waits for that to arrive */
    uint64_t writes;    /* the node that it writes to, 0: none */
    struct fusefs *fs;
    struct fid *prev, *next; /* all of fs */
    struct iowatch watch;
    bool watching;
    struct fuse_pollhandle *poll;
};

struct fid *fid_new(struct fusefs *fs, enum fid_kind kind, const char *path, const char *user);
struct fid *fid_ref(struct fid *fid);
void fid_unref(struct fid *fid); /* the last one closes its stream */
void fid_close_stream(struct fid *fid);

/* What the core loop made comes back to a worker by way of the kernel, which the memory model does
 * not know: the count of references is what orders the two. */
static inline void fid_publish(struct fid *fid)
{
    atomic_store_explicit(&fid->refs, 1, memory_order_release);
}

static inline struct fid *fid_of(const struct fuse_file_info *fi)
{
    struct fid *fid = (struct fid *)(uintptr_t)fi->fh;

    if (fid)
        (void)atomic_load_explicit(&fid->refs, memory_order_acquire);
    return fid;
}

static inline struct fusefs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* request.c: posts a request to the core loop. name: of an entry in node, or NULL. */
void freq_post(fuse_req_t req, void (*run)(struct freq *), uint64_t node, const char *name,
               const struct fuse_file_info *fi, const void *text, size_t len);
struct freq *freq_new(fuse_req_t req, void (*run)(struct freq *), uint64_t node, const char *name,
                      const struct fuse_file_info *fi, const void *text, size_t len);
void freq_send(struct freq *f);
void freq_free(struct freq *f);
void freq_error(struct freq *f, int rc); /* replies and frees */
/* Fills what the kernel is told of a path that it looked up: its node, with a reference, and for
 * how long. */
int entry_of(struct fusefs *fs, const struct tree_at *at, const char *path,
             struct fuse_entry_param *e);
/* The handle of a stream will write to that node. -ESTALE: the kernel has to look it up again. */
int fid_writes(struct fid *fid, uint64_t node, pid_t task);
void attr_to_stat(struct fusefs *fs, const char *path, const struct tree_attr *attr,
                  struct stat *st);

/* ops_dir.c */
void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void on_readlink(fuse_req_t req, fuse_ino_t node);
void on_forget(fuse_req_t req, fuse_ino_t node, uint64_t count);
void on_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *v);
void on_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void on_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void on_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                    struct fuse_file_info *fi);
void on_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev);
void on_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name);
void on_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
               const char *to_name, unsigned flags);

/* ops_open.c */
void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);

/* ops_file.c */
void fid_save(struct freq *f); /* an edited text, as it is now; replies */
void on_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void on_write(fuse_req_t req, fuse_ino_t node, const char *buf, size_t size, off_t off,
              struct fuse_file_info *fi);
void on_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int valid,
                struct fuse_file_info *fi);
void on_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
             struct fuse_pollhandle *ph);

/* ops_close.c */
void on_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void on_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void on_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);

/* park.c: reads and writes of streams, which may wait, and be interrupted. */
void park_read(fuse_req_t req, struct fid *fid, size_t size, bool nonblock);
void park_write(fuse_req_t req, struct fid *fid, const void *buf, size_t n, bool nonblock);
void park_sync(fuse_req_t req, struct fid *fid);
void park_init(struct loop *core);

/* Answers all that is parked with ECONNABORTED. Nothing may be submitted any more. */
void park_abort(void);

#endif
