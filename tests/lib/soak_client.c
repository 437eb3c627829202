/*
 * soak_client.c - one client of the pipe names of a machine, and a file of all that it did, which
 * check_history judges together with those of all others.
 *
 *   soak_client FILE NAME PIPES KEYS PAUSE_MS    until it is killed
 *
 * Again and again: makes a pipe of its own, which nobody else names; makes, removes or looks at one
 * that all share; looks at its oldest own one and removes it. What the registry changed counts from
 * its call. What was only read, refusals too (EEXIST, ENOENT), came from this machine's replica,
 * which may be behind others'; but since a pipe of its own was made here just before, it has all
 * that was acknowledged before that was asked for: so it counts from then.
 *
 * Shared names live for a while only (SHARED_S), so that the history of each stays short enough to
 * be judged. All is done below an open folder: what ends with the daemon is then never taken for
 * an answer of it, as ENOENT from the empty folder that it was mounted on would be.
 *
 *   call OP TIME CLIENT create|remove|look NAME 0 0    times: CLOCK_MONOTONIC, ns
 *   ret OP TIME RESULT [SINCE]                         0, or -EEXIST, -ENOENT; a later call TIME
 *   lost OP ERRNO                                      nobody knows whether it happened
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHARED_S 10
#define HELD     12  /* own pipes that stay */
#define REST_MS  200 /* after a failure */
#define NAME_LEN 64

static struct {
    int file;
    const char *name, *pipes;
    uint64_t base, ops; /* of this process's operations */
    uint64_t own;       /* own pipes made */
    uint64_t fresh_ns;  /* what was acknowledged before can be read here */
    char held[HELD][NAME_LEN];
} me;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void rest(unsigned ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

    nanosleep(&t, NULL);
}

/* ---- operations */

static int do_create(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0666);

    return fd < 0 ? -errno : close(fd) < 0 ? -errno : 0;
}

static int do_remove(int dir, const char *name)
{
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int do_look(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

struct kind {
    const char *name;
    int (*run)(int dir, const char *name);
    int refused; /* the answer that is not a failure */
};

static const struct kind create = { "create", do_create, -EEXIST };
static const struct kind drop = { "remove", do_remove, -ENOENT };
static const struct kind look = { "look", do_look, -ENOENT };

/* True: it was answered; false: it failed, and may have happened. */
static int operate(const struct kind *kind, int dir, const char *name)
{
    uint64_t op = ++me.ops, since = now_ns();
    int rc;

    dprintf(me.file, "call %" PRIx64 ".%" PRIu64 " %" PRIu64 " %s %s %s 0 0\n", me.base, op,
            me.fresh_ns ? me.fresh_ns : since, me.name, kind->name, name);
    rc = kind->run(dir, name);
    if (rc == 0 && kind != &look)
        dprintf(me.file, "ret %" PRIx64 ".%" PRIu64 " %" PRIu64 " 0 %" PRIu64 "\n", me.base, op,
                now_ns(), since);
    else if (rc == 0 || rc == kind->refused)
        dprintf(me.file, "ret %" PRIx64 ".%" PRIu64 " %" PRIu64 " %d\n", me.base, op, now_ns(), rc);
    else
        dprintf(me.file, "lost %" PRIx64 ".%" PRIu64 " %s\n", me.base, op, strerrorname_np(-rc));
    return rc == 0 || rc == kind->refused;
}

/* ---- one round */

static int own_pipe(int dir)
{
    char *held = me.held[me.own % HELD];
    uint64_t began;
    int ok;

    if (held[0] && !(operate(&look, dir, held) && operate(&drop, dir, held)))
        return 0;
    snprintf(held, NAME_LEN, "own.%" PRIx64 ".%" PRIu64, me.base, me.own++);
    began = now_ns();
    ok = operate(&create, dir, held);
    me.fresh_ns = began;
    return ok;
}

/* Behind an own pipe that was made since `fresh`. */
static int shared_pipe(int dir, unsigned keys)
{
    static const struct kind *const chances[] = { &create, &create, &drop, &drop, &look };
    char name[NAME_LEN];

    snprintf(name, sizeof name, "shared.%" PRIu64 ".%ld", now_ns() / 1000000000 / SHARED_S,
             random() % (long)keys);
    return operate(chances[(size_t)random() % 5], dir, name);
}

static int one_round(unsigned keys)
{
    int dir = open(me.pipes, O_PATH | O_DIRECTORY | O_CLOEXEC), ok;

    if (dir < 0)
        return 0;
    me.fresh_ns = 0;
    ok = own_pipe(dir) && shared_pipe(dir, keys);
    close(dir);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned keys, pause_ms;

    if (argc != 6) {
        fprintf(stderr, "usage: soak_client FILE NAME PIPES KEYS PAUSE_MS\n");
        return 64;
    }
    me.file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    me.name = argv[2];
    me.pipes = argv[3];
    keys = (unsigned)atoi(argv[4]);
    pause_ms = (unsigned)atoi(argv[5]);
    if (me.file < 0 || getrandom(&me.base, sizeof me.base, 0) < 0 || keys == 0 || pause_ms == 0) {
        fprintf(stderr, "soak_client: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    srandom((unsigned)me.base);
    for (;;)
        rest(one_round(keys) ? (unsigned)random() % (2 * pause_ms) : REST_MS);
}
