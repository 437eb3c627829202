/*
 * probe_private.h - what the files of probes share.
 *
 *   probe.c          threads, deadlines, questions from and to other machines
 *   probe_command.c  finds the command and looks at it, and at its interpreters
 *   probe_path.c     where a path leads, without going into /oneos; who looks
 *   exec_head.c      what the first bytes of a file say
 */
#ifndef ONEOS_SCHED_PROBE_PRIVATE_H
#define ONEOS_SCHED_PROBE_PRIVATE_H

#include "sched/exec_head.h"
#include "sched/probe.h"

#include <limits.h>

/* The machine that is looked at. */
struct probe_here {
    const char *self, *mount;
    const char *binfmt; /* the folder of binfmt_misc */
    struct elf_kind kind;
    char arch[64]; /* as uname calls it */
};

void probe_here_init(struct probe_here *here, const char *self, const char *mount);

/* Blocks. The exit of probe_done_fn; words in e where it is not 0. */
int probe_command(const struct probe_here *here, const struct sched_need *need, struct oerr *e);

/* From now on this thread sees files as the user does, where the daemon can do that. The same
 * results; 126: there is no such user, or this daemon runs nothing for it. home: the user's folder,
 * where a command starts without a cwd. */
int probe_become(const struct probe_here *here, const char *user, char home[PATH_MAX],
                 struct oerr *e);

enum look {
    LOOK_OK,      /* a regular file that the user may execute */
    LOOK_UNKNOWN, /* it leads into /oneos, or starts nobody knows where */
    LOOK_MISSING,
    LOOK_UNREACHABLE, /* a folder on the way is closed to the user */
    LOOK_FOLDER,
    LOOK_ODD, /* a device, a socket */
    LOOK_NOT_EXECUTABLE,
    LOOK_NOEXEC, /* the file system is mounted so */
    LOOK_FAILED, /* an error that says nothing of the file */
    LOOKS
};

/* Where the path leads: real has no symbolic links. cwd: NULL when not known. */
enum look probe_look(const struct probe_here *here, const char *cwd, const char *path,
                     char real[PATH_MAX]);

/* How BUS_RUNNABLE is written. decode borrows from the body: -EPROTO. */
json_t *probe_need_encode(const struct sched_need *need);
int probe_need_decode(const json_t *body, struct sched_need *need);

#endif
