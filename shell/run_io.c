/*
 * run_io.c - `oneos run`: standard input, output and error of the process.
 *
 * The main thread passes the output, a second one standard error. Both must see the end of file,
 * else something is missing and we fail. A third thread passes the input and is left behind when
 * the process has ended, wherever it waits then. Only the main thread sees signals.
 * When the reader of our output goes away, the process gets SIGPIPE, as it would without us.
 */
#include "shell/run.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

static int open_file(const struct run *r, const char *file, int flags)
{
    return tree_open(r->sh, flags, "%s/%s/%s", run_folder(r), r->name, file);
}

static void tell(const struct run *r, const char *line)
{
    /* Other errors say that the process has ended, which is as well. */
    while (write(r->ctl, line, strlen(line)) < 0 && errno == EINTR)
        ;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Nobody reads what we write any more. Reads on, so that the process does not block where it
 * would fail without us; one that ignores SIGPIPE and writes on for a second is terminated. */
static int drain(struct run *r, int from)
{
    cleanup_free char *buffer = malloc(IO_BYTES);
    double start = seconds();
    bool told = false;
    ssize_t n;

    tell(r, "signal PIPE\n");
    while (buffer) {
        n = read(from, buffer, IO_BYTES);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && !told && seconds() - start > 1) {
            tell(r, "signal TERM\n");
            told = true;
        }
    }
    return -ENOMEM;
}

static void pass_output(struct output *out)
{
    int rc = out->from;

    if (rc >= 0 && pump(out->from, out->to, &rc) == PUMP_WRITE_FAILED) {
        out->unwritten = rc != -EPIPE;
        if (out->unwritten)
            say(0, "the %s of %s cannot be written here: %s", out->file, out->run->name,
                strerror(-rc));
        rc = drain(out->run, out->from);
    }
    out->rc = rc < 0 ? rc : 0;
}

/* ---- standard input ---- */

static void wait_for_foreground(void)
{
    static const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };

    while (tcgetpgrp(STDIN_FILENO) != getpgrp() && tcgetpgrp(STDIN_FILENO) > 0)
        nanosleep(&pause, NULL);
}

static bool in_background(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) != getpgrp();
}

static void *pass_input(void *arg)
{
    struct run *r = arg;
    int to = open_file(r, "stdin", O_WRONLY), rc;
    enum pump_end end;

    if (to < 0)
        return NULL; /* it has ended: its output and status say how */
    while ((end = pump(STDIN_FILENO, to, &rc)) == PUMP_READ_FAILED && rc == -EIO && in_background())
        wait_for_foreground();
    close(to);
    if (end == PUMP_WRITE_FAILED)
        close(STDIN_FILENO); /* whoever feeds us learns that nobody reads */
    return NULL;
}

/* End of file: nobody will write. */
static void close_input(const struct run *r)
{
    int fd = open_file(r, "stdin", O_WRONLY);

    if (fd >= 0)
        close(fd);
}

bool stdio_no_input(void)
{
    struct stat st;
    int flags = fcntl(STDIN_FILENO, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
        return true;
    return fstat(STDIN_FILENO, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static int start_thread(pthread_t *thread, void *(*main)(void *), void *arg)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = -pthread_create(thread, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void output_open(struct output *out)
{
    out->from = open_file(out->run, out->file, O_RDONLY);
}

static void *pass_error(void *arg)
{
    output_open(arg);
    pass_output(arg);
    return NULL;
}

int stdio_start(struct run *r)
{
    pthread_t thread;
    int rc = 0;

    r->out = (struct output){ .run = r, .file = "stdout", .to = STDOUT_FILENO };
    if (!r->pty) {
        r->err = (struct output){ .run = r, .file = "stderr", .to = STDERR_FILENO };
        rc = start_thread(&r->err_thread, pass_error, &r->err);
    }
    output_open(&r->out);
    r->wait = open_file(r, "wait", O_RDONLY);
    if (r->input_empty && !r->job) /* a job was told so before */
        close_input(r);
    if (rc == 0 && !r->input_empty && (rc = start_thread(&thread, pass_input, r)) == 0)
        pthread_detach(thread);
    return rc;
}

void stdio_pass(struct run *r)
{
    pass_output(&r->out);
    if (r->err.file)
        pthread_join(r->err_thread, NULL);
}
