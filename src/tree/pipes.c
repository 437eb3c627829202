/*
 * pipes.c - the rows below pipes/: named pipes that reach every machine.
 */
#include "tree/system.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define USER_PIPES (PIPES_MAX / 2)

/* What the daemon keeps for a pipe is its own memory: more of it than this only root may ask for.
 */
#define USER_CAPACITY (UINT64_C(16) * 1024 * 1024)

static int find_pipe(const struct tree_at *at, struct tree_attr *attr)
{
    const struct pipe_info *info = pipes_find(system_of(at)->pipes, at->v[0]);

    if (!info)
        return -ENOENT;
    snprintf(attr->owner, sizeof attr->owner, "%s", info->owner);
    attr->mtime_us = info->made_us;
    attr->mode = S_IFREG | info->perm;
    return 0;
}

static int list_pipes(const struct tree_at *at, struct tree_names *names)
{
    const struct pipes *p = system_of(at)->pipes;

    for (size_t i = 0; i < pipes_count(p); i++)
        tree_names_add(names, pipes_at(p, i)->name);
    return 0;
}

static int open_pipe(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    bool quiet = flags & (O_NONBLOCK | O_CREAT);

    (void)user;
    return pipes_open(system_of(at)->pipes, at->v[0], flags, quiet, out);
}

static void done(void *arg, int rc, const char *text)
{
    struct tree_call *call = arg;

    if (rc < 0)
        oerr_set(&call->err, rc, "%s", text ? text : strerror(-rc));
    tree_call_done(call, rc);
}

/* The places for pipes are for all: half of them is the most that one user but root may take. */
static bool has_his_share(const struct pipes *p, const char *user)
{
    size_t n = 0;

    if (pipes_count(p) < USER_PIPES || strcmp(user, "root") == 0)
        return false;
    for (size_t i = 0; i < pipes_count(p); i++)
        n += strcmp(pipes_at(p, i)->owner, user) == 0;
    return n >= USER_PIPES;
}

static int make_pipe(struct tree_call *call, int flags)
{
    if (has_his_share(system_of(&call->at)->pipes, call->user))
        return oerr_set(&call->err, -ENOSPC, "%s has %d pipes, which is the most for one user",
                        call->user, USER_PIPES);
    return pipes_make(system_of(&call->at)->pipes, call->at.v[0], call->user, call->mode,
                      flags & O_EXCL, done, call, &call->err);
}

/* Who may remove or set up a pipe: its owner and root. */
static int own_pipe(struct tree_call *call, const char *name)
{
    const struct pipe_info *info = pipes_find(system_of(&call->at)->pipes, name);

    if (!info)
        return oerr_set(&call->err, -ENOENT, "there is no pipe '%.100s'", name);
    if (strcmp(call->user, "root") != 0 && strcmp(call->user, info->owner) != 0)
        return oerr_set(&call->err, -EPERM, "pipe '%.100s' belongs to %s", name, info->owner);
    return 0;
}

static int drop_pipe(struct tree_call *call)
{
    int rc = own_pipe(call, call->at.v[0]);

    if (rc < 0)
        return rc;
    return pipes_remove(system_of(&call->at)->pipes, call->at.v[0], done, call, &call->err);
}

static int set_pipe(struct tree_call *call, const char *name, const struct pipe_set *set)
{
    return pipes_set(system_of(&call->at)->pipes, name, set, done, call, &call->err);
}

static int chmod_pipe(struct tree_call *call)
{
    int rc = own_pipe(call, call->at.v[0]);

    if (rc < 0)
        return rc;
    return set_pipe(call, call->at.v[0],
                    &(struct pipe_set){ .mode = -1, .perm = (int)(call->mode & 0777) });
}

static int v_mode(struct tree_call *call, int argc, char **argv)
{
    static const char *const modes[] = { [FLOW_STREAM] = "stream", [FLOW_BROADCAST] = "broadcast" };
    int rc = own_pipe(call, argv[1]);

    (void)argc;
    for (int m = 0; rc == 0 && m < 2; m++)
        if (strcmp(argv[2], modes[m]) == 0)
            return set_pipe(call, argv[1], &(struct pipe_set){ .mode = m, .perm = -1 });
    return rc < 0 ? rc
                  : oerr_set(&call->err, -EINVAL,
                             "a pipe's mode is stream or broadcast, not '%.40s'", argv[2]);
}

static int v_capacity(struct tree_call *call, int argc, char **argv)
{
    uint64_t bytes;
    int rc = own_pipe(call, argv[1]);

    (void)argc;
    if (rc == 0)
        rc = units_size(argv[2], &bytes, &call->err);
    if (rc == 0 && bytes == 0)
        rc = oerr_set(&call->err, -EINVAL, "a pipe's capacity cannot be 0");
    if (rc == 0 && bytes > USER_CAPACITY && strcmp(call->user, "root") != 0)
        rc = oerr_set(&call->err, -EPERM, "more than 16MiB for a pipe only root may set");
    if (rc < 0)
        return rc;
    return set_pipe(call, argv[1], &(struct pipe_set){ .mode = -1, .capacity = bytes, .perm = -1 });
}

static const struct tree_verb verbs[] = {
    { "mode", 2, 2, v_mode, "NAME stream|broadcast" },
    { "capacity", 2, 2, v_capacity, "NAME BYTES" },
    { 0 },
};

static int show_status(const struct tree_at *at, struct obuf *out)
{
    pipes_status(system_of(at)->pipes, out);
    return 0;
}

/* clang-format off */
const struct tree_row pipes_rows[] = {
    { .path = "pipes", .kind = TREE_DIR, .mode = 01777, .list = list_pipes, .make = make_pipe,
      .drop = drop_pipe, .help = "named pipes that reach every machine; touch or > makes one, rm removes it" },
    { .path = "pipes/ctl", .kind = TREE_CTL, .mode = 0666, .verbs = verbs,
      .help = "mode NAME stream|broadcast | capacity NAME BYTES" },
    { .path = "pipes/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl failed" },
    { .path = "pipes/status", .kind = TREE_TEXT, .mode = 0444, .show = show_status,
      .help = "a table: name mode readers writers bytes_in bytes_out buffered machine" },
    { .path = "pipes/{name}", .kind = TREE_STREAM, .mode = 0666, .find = find_pipe,
      .open = open_pipe, .chmod = chmod_pipe, .help = "a pipe: write and read" },
    { 0 },
};
/* clang-format on */

const struct tree_row *const tree_tables[] = { root_rows,  machines_rows, procs_rows, jobs_rows,
                                               pipes_rows, services_rows, NULL };
