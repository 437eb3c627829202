/*
 * pipe_cmd.h - what the registry keeps of a pipe, and the commands that change it.
 *
 * Key pipe/NAME. A pipe is known by its uid, which is never used again; a name can be removed and
 * made anew. The *holder* is the machine whose memory holds the buffer, in one life of it (its
 * incarnation); each hold has an epoch, which grows. A hold ends when the holder releases it, or
 * when somebody who knows that it is over (`over`: its epoch) takes or changes the pipe: the holder
 * itself, who let go of it; or another, who knows that the holder restarted, left or is lost.
 */
#ifndef ONEOS_RUN_PIPE_CMD_H
#define ONEOS_RUN_PIPE_CMD_H

#include "base/flow.h"
#include "cluster/registry.h"
#include "net/identity.h" /* ID_MAX */

#define PIPE_NAME_MAX     255           /* bytes */
#define PIPE_OWNER_MAX    64            /* with its NUL */
#define PIPE_CAPACITY     (1024 * 1024) /* unless said otherwise */
#define PIPE_CAPACITY_MIN 4096
#define PIPE_CAPACITY_MAX (1024 * 1024 * 1024)
#define PIPES_MAX         4096 /* in one registry */
#define PIPE_KEY          "pipe/"

struct pipe_info {
    uint64_t uid;
    char name[PIPE_NAME_MAX + 1];
    char holder[ID_MAX];  /* "": none */
    uint64_t incarnation; /* of the holder */
    uint64_t epoch;       /* of the hold, or of the last one */
    enum flow_mode mode;
    uint64_t capacity;
    char owner[PIPE_OWNER_MAX]; /* user name */
    unsigned perm;              /* permission bits */
    uint64_t made_us;           /* wall clock of its maker */
};

/* A value of the registry. -EPROTO: it is not one. */
int pipe_info_decode(const char *name, const json_t *value, struct pipe_info *out);

/* 0 when a pipe may have this name, else -EINVAL or -ENAMETOOLONG with words. */
int pipe_check_name(const char *name, struct oerr *e);

extern const struct registry_command pipe_commands[];

/* Their fields; NULL without memory. They answer 0, or with words: -EINVAL -ENAMETOOLONG a bad
 * value; -ENOENT no pipe of that name, or no longer the one with that uid. */

struct pipe_options {
    enum flow_mode mode;
    uint64_t capacity; /* 0: PIPE_CAPACITY */
    const char *owner;
    unsigned perm;
    uint64_t made_us; /* the wall clock now */
    bool excl;        /* O_EXCL */
};

/* pipe.make: also 0 when it exists, unless `excl`: -EEXIST. -ENOSPC. */
json_t *pipe_make_fields(const char *name, const struct pipe_options *opt);

/* pipe.remove */
json_t *pipe_remove_fields(const char *name, uint64_t uid);

/* pipe.set: -EBUSY a new mode while it has a holder. */
struct pipe_set {
    int mode;          /* -1: as it is */
    uint64_t capacity; /* 0: as it is */
    int perm;          /* -1: as it is */
};
json_t *pipe_set_fields(const char *name, uint64_t uid, const struct pipe_set *set, uint64_t over);

/* pipe.hold: machine holds it, when nobody does; the holder that is there stays. */
json_t *pipe_hold_fields(const char *name, uint64_t uid, const char *machine, uint64_t incarnation,
                         uint64_t over);

/* pipe.release: ends that hold; nothing when it is over. */
json_t *pipe_release_fields(const char *name, uint64_t uid, uint64_t epoch);

#endif
