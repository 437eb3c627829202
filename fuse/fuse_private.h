/*
 * fuse_private.h - what the files of the FUSE layer share.
 */
#ifndef ONEOS_FUSE_PRIVATE_H
#define ONEOS_FUSE_PRIVATE_H

#define FUSE_USE_VERSION 314

#include "fuse/fusefs.h"
#include "base/cleanup.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct nodes;
struct fid;
struct parked;

struct fusefs {
    struct tree *tree;
    struct loop *core;
    struct fuse_session *session;
    struct nodes *nodes;
    pthread_t main; /* runs libfuse's loop, which runs the workers */
    bool started;
    char dir[4096];
    uint64_t start_us;    /* the mtime of what never changes */
    pthread_mutex_t lock; /* of fids */
    struct fid *fids;     /* all, by prev and next */
};

/* node.c: node ids, values derived from paths, and the paths of those the kernel knows. */
int nodes_create(struct nodes **out);
void nodes_destroy(struct nodes *n);
/* The id of a path; with ref, the kernel's count of it grows by one. 0 when out of memory. */
uint64_t nodes_id(struct nodes *n, const char *path, bool ref);
/* The id under which a stream that can be written is looked up, with one reference; see node.c. 0
 * when out of memory. */
uint64_t nodes_stream(struct nodes *n, const char *path);
/* An id that no lookup had before, with one reference. 0 when out of memory. */
uint64_t nodes_apart(struct nodes *n, const char *path);
/* A handle that writes is about to be opened, by a task, and was closed. -ESTALE: look it up again.
 */
int nodes_write(struct nodes *n, uint64_t id, const char *path, pid_t task);
void nodes_written(struct nodes *n, uint64_t id, const char *path);
int nodes_path(struct nodes *n, uint64_t id, char path[TREE_PATH_MAX]); /* -ESTALE */
void nodes_forget(struct nodes *n, uint64_t id, uint64_t count);
bool nodes_known(struct nodes *n, const char *path, uint64_t *id);

/* users.c: user names and ids; they are remembered for a minute. Any thread. */
void users_name(uid_t uid, char name[TREE_USER_MAX]);
uid_t users_uid(const char *name);

#endif
