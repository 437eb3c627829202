/*
 * logs.c - `oneos logs`: what a job or a process has written so far; with -f, until it ends.
 *
 * Its stdout goes to ours, its stderr to ours, each on a thread of its own. Without -f, what is
 * kept on another machine may need a moment to come: the end is a while without anything.
 */
#include "shell/commands.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define QUIET_MS 300

static const struct option_row rows[] = {
    { .name = "follow", .letter = 'f', .flag_only = true, .help = "go on until it ends" },
    { 0 },
};

struct part {
    const struct shell *sh;
    const char *name;
    char path[NAME_BYTES * 3];
    int to, flags;
    int status;
};

/* Waits for more where there was nothing; false when nothing comes. */
static bool more_comes(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, QUIET_MS) > 0;
}

static void *pass(void *arg)
{
    struct part *p = arg;
    cleanup_close int fd = tree_open(p->sh, O_RDONLY | p->flags, "%s", p->path);
    int rc = fd;
    enum pump_end end = PUMP_READ_FAILED;

    if (fd >= 0)
        do
            end = pump(fd, p->to, &rc);
        while (end == PUMP_WOULD_BLOCK && more_comes(fd));
    if (end == PUMP_READ_FAILED && rc == -EINVAL && p->to != STDOUT_FILENO)
        p->status = EXIT_ONEOS; /* the other one says it */
    else if (end == PUMP_READ_FAILED && rc == -EINVAL)
        p->status =
            say(EXIT_ONEOS, "%s is an array, which writes nothing itself: its elements do, as %s.1",
                p->name, p->name);
    else if (end == PUMP_READ_FAILED)
        p->status = say_errno(p->sh, p->path, rc);
    else if (end == PUMP_WRITE_FAILED)
        p->status =
            say(EXIT_ONEOS, "what %s says cannot be written here: %s", p->path, strerror(-rc));
    return NULL;
}

static int run(struct shell *sh, int argc, char **argv)
{
    bool follow = options_on(sh->options, "follow");
    struct part out = {
        .sh = sh, .name = argv[0], .to = STDOUT_FILENO, .flags = follow ? 0 : O_NONBLOCK
    };
    struct part err = out;
    char path[NAME_BYTES * 2];
    pthread_t thread;
    int rc = thing_path(sh, argv[0], path);

    (void)argc;
    if (rc)
        return rc;
    err.to = STDERR_FILENO;
    snprintf(out.path, sizeof out.path, "%s/stdout", path);
    snprintf(err.path, sizeof err.path, "%s/stderr", path);
    if (!follow) {
        pass(&out);
        if (!out.status)
            pass(&err);
        return out.status ? out.status : err.status;
    }
    rc = pthread_create(&thread, NULL, pass, &err);
    if (rc)
        return say(EXIT_ONEOS, "no thread can be started: %s", strerror(rc));
    pass(&out);
    pthread_join(thread, NULL);
    return out.status ? out.status : err.status;
}

const struct command cmd_logs = {
    .name = "logs",
    .usage = "[-f] JOB|PROC",
    .help = "print what a job or a process has written",
    .rows = rows,
    .min = 1,
    .max = 1,
    .run = run,
};
