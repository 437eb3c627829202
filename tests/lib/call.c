/*
 * call.c - one system call on a file, and its errno by name, which a shell cannot tell.
 *
 *   call write PATH       writes all of standard input with one write(2)
 *   call read PATH [MS]   copies PATH to standard output until its end, an error, or MS (1000)
 *   call writenb PATH, call readnb PATH    the same with O_NONBLOCK; the latter reads once
 *   call clone PATH       opens a clone with O_NONBLOCK, writes standard input unless that is
 * empty, then prints the name that it reads; before the write that must be EAGAIN call open PATH
 * opens for reading call create PATH      makes a new file call mkfifo PATH
 *
 * Says on standard error how it ended, in one word: `ok`, the name of the errno, `short N` for a
 * write that took only N bytes, `blocked` for a read that was still waiting. Exit: 0 for ok, 2 for
 * blocked, else 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static int verdict(int err)
{
    fprintf(stderr, "%s\n", err ? strerrorname_np(err) : "ok");
    return err != 0;
}

static int do_write(const char *path, int flags)
{
    static char buf[16 << 20];
    size_t n = fread(buf, 1, sizeof buf, stdin);
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
    ssize_t k;

    if (fd < 0)
        return verdict(errno);
    k = write(fd, buf, n);
    if (k < 0)
        return verdict(errno);
    if ((size_t)k < n) {
        fprintf(stderr, "short %zd\n", k);
        return 1;
    }
    return verdict(close(fd) < 0 ? errno : 0);
}

static void on_alarm(int sig)
{
    (void)sig; /* only to interrupt */
}

static int do_read(const char *path, long ms)
{
    static char buf[128 << 10];
    struct sigaction act = { .sa_handler = on_alarm }; /* no SA_RESTART */
    /* Again every 50 ms: the first may come between two calls. */
    struct itimerval timer = { { 0, 50000 }, { ms / 1000, ms % 1000 * 1000 } };
    ssize_t n;
    int fd;

    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return verdict(errno);
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (fwrite(buf, 1, n, stdout) < (size_t)n || fflush(stdout))
            return verdict(errno);
    }
    if (n < 0 && errno == EINTR) {
        fprintf(stderr, "blocked\n");
        return 2;
    }
    return verdict(n < 0 ? errno : 0);
}

static int do_readnb(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    return verdict(fd < 0 || read(fd, &byte, 1) < 0 ? errno : 0);
}

static int do_clone(const char *path)
{
    static char buf[64 << 10];
    size_t n = fread(buf, 1, sizeof buf, stdin);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC), err = 0;
    char name[256];
    ssize_t k;

    if (fd < 0)
        return verdict(errno);
    if (read(fd, name, sizeof name) >= 0 || errno != EAGAIN)
        return verdict(EEXIST);
    if (n > 0 && write(fd, buf, n) < 0)
        err = errno;
    if (n > 0 && (k = read(fd, name, sizeof name)) > 0 &&
        (fwrite(name, 1, (size_t)k, stdout) < (size_t)k || fflush(stdout)))
        return verdict(errno);
    return verdict(err);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";

    if (!strcmp(verb, "write"))
        return do_write(argv[2], 0);
    if (!strcmp(verb, "writenb"))
        return do_write(argv[2], O_NONBLOCK);
    if (!strcmp(verb, "readnb"))
        return do_readnb(argv[2]);
    if (!strcmp(verb, "read"))
        return do_read(argv[2], argc > 3 ? atol(argv[3]) : 1000);
    if (!strcmp(verb, "clone"))
        return do_clone(argv[2]);
    if (!strcmp(verb, "open"))
        return verdict(open(argv[2], O_RDONLY | O_CLOEXEC) < 0 ? errno : 0);
    if (!strcmp(verb, "create"))
        return verdict(open(argv[2], O_WRONLY | O_CREAT | O_EXCL, 0666) < 0 ? errno : 0);
    if (!strcmp(verb, "mkfifo"))
        return verdict(mkfifo(argv[2], 0666) < 0 ? errno : 0);
    fprintf(stderr, "usage: call write|read|writenb|readnb|clone|open|create|mkfifo PATH [MS]\n");
    return 64;
}
