/*
 * fusefs.h - /oneos mounted: the kernel's requests answered from the tree.
 *
 * A few worker threads read requests. What needs the daemon's state is posted to the core loop,
 * which replies; the bytes of streams and of texts that were rendered at open are served by the
 * workers themselves. A call that must wait is parked and costs no thread.
 */
#ifndef ONEOS_FUSE_FUSEFS_H
#define ONEOS_FUSE_FUSEFS_H

#include "base/err.h"
#include "base/loop.h"
#include "tree/tree.h"

struct fusefs;

/* Mounts at dir, which must be an empty directory, and starts serving. A mount that a dead daemon
 * of the same id left there is cleared first. The tree must outlive it. Errors with words. */
int fusefs_mount(struct fusefs **out, struct tree *t, struct loop *core, const char *dir,
                 struct oerr *e);

/*
 * The end comes in two steps, both on the core loop's thread when the loop has stopped; NULL is
 * allowed. fusefs_unmount() takes the mount away, even from those who use it, ends the workers,
 * answers the parked requests with ECONNABORTED and closes the streams. fusefs_destroy() comes
 * after all that may still answer a request has gone.
 */
void fusefs_unmount(struct fusefs *fs);
void fusefs_destroy(struct fusefs *fs);

/* A path is gone: the kernel forgets what it remembers of it, soon. Core loop only; NULL is
 * allowed. Not where calls that make or remove entries wait for other machines: telling the kernel
 * waits for the lock of the folder, which such a call holds. It would keep a thread of libuv's
 * pool, which the registry's disk needs to answer that call; and of a daemon that is killed
 * meanwhile, neither the thread nor the caller would ever end. */
void fusefs_gone(struct fusefs *fs, const char *path);

#endif
