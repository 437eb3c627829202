/*
 * main.c - oneos-init: forks and reaps processes for oneosd, and outlives it.
 *
 *     oneos-init [--idle-ms N] [--cgroup DIR|none] [--foreground] DIR
 *
 * DIR gets init.sock, init.log and init.lock. It goes to the background once it can be connected
 * to; exit status 0 then, 1 with a sentence on standard error else, 75 when one runs already.
 *
 * One loop and one thread: the parent-death signal of the processes hangs on this thread. All
 * signals are blocked; SIGCHLD and SIGTERM come through a descriptor. Events are taken one at a
 * time, so that a handler may close whatever it likes.
 */
#include "init/init.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_MS       60000
#define TERM_GRACE_MS 5000 /* when oneos-init itself is told to go by SIGTERM */
#define LOG_BYTES     (1 << 20)
#define QUIT_MS       2000

int watch_add(struct init *in, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    return epoll_ctl(in->epoll, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void watch_set(struct init *in, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    epoll_ctl(in->epoll, EPOLL_CTL_MOD, w->fd, &ev);
}

void watch_close(struct init *in, struct watch *w)
{
    if (w->fd < 0)
        return;
    epoll_ctl(in->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
}

static void on_signals(struct init *in, struct watch *w, uint32_t events)
{
    struct signalfd_siginfo si;

    (void)events;
    while (read(w->fd, &si, sizeof si) == sizeof si)
        if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
            proc_stop(in, TERM_GRACE_MS);
    proc_reap(in);
}

static int open_signals(struct init *in)
{
    static const unsigned long dfl[8]; /* the kernel's form: handler, flags, restorer, mask */
    sigset_t all, want;

    /* Processes must not inherit these. By system call: posix_spawn leaves two ignored that
     * signal() does not let one touch. */
    for (int sig = 1; sig < NSIG; sig++) {
        unsigned long now[8] = { 0 };

        syscall(SYS_rt_sigaction, sig, NULL, now, sizeof(uint64_t));
        if (now[0] == (unsigned long)SIG_IGN)
            syscall(SYS_rt_sigaction, sig, dfl, NULL, sizeof(uint64_t));
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&want);
    sigaddset(&want, SIGCHLD);
    sigaddset(&want, SIGTERM);
    sigaddset(&want, SIGINT);
    in->signals.ready = on_signals;
    in->signals.fd = signalfd(-1, &want, SFD_CLOEXEC | SFD_NONBLOCK);
    return in->signals.fd < 0 ? -errno : 0;
}

/* Takes the folder for this process alone; -EBUSY when another has it. */
static int enter(struct init *in, const char *dir, struct oerr *e)
{
    if (chdir(dir) < 0)
        return oerr_set(e, -errno, "%s cannot be entered: %s", dir, strerror(errno));
    in->lock = open("init.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (in->lock < 0)
        return oerr_set(e, -errno, "%s/init.lock cannot be made: %s", dir, strerror(errno));
    if (flock(in->lock, LOCK_EX | LOCK_NB) < 0)
        return oerr_set(e, -EBUSY, "another oneos-init runs in %s", dir);
    return conn_listen(in, e);
}

/* From here on standard input is empty and the other two are the log. */
static void open_log(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fd = open("init.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0)
        fd = null;
    else if (fstat(fd, &st) == 0 && st.st_size > LOG_BYTES && ftruncate(fd, 0) < 0)
        log_warn("init", "init.log cannot be cut");
    dup2(null, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    close(null);
    if (fd != null)
        close(fd);
    log_to(2, LOG_INFO);
}

/* The parent's exit tells whoever started us that the socket is there. */
static int go_to_background(void)
{
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid > 0) {
        waitpid(pid, NULL, 0);
        _exit(0);
    }
    setsid();
    pid = fork();
    if (pid > 0)
        _exit(0);
    return pid < 0 ? -errno : 0;
}

static void raise_limits(struct init *in)
{
    struct rlimit all;
    const struct passwd *pw = getpwuid(geteuid());

    getrlimit(RLIMIT_NOFILE, &in->nofile);
    all = in->nofile;
    all.rlim_cur = all.rlim_max;
    setrlimit(RLIMIT_NOFILE, &all);
    if (pw)
        snprintf(in->user, sizeof in->user, "%s", pw->pw_name);
    else
        snprintf(in->user, sizeof in->user, "%u", geteuid());
}

static uint64_t folder_key(void)
{
    struct stat st = { 0 };

    if (stat(".", &st) < 0)
        return 0;
    return (uint64_t)st.st_ino ^ (uint64_t)st.st_dev << 40;
}

/* Whether the folder still leads to us. */
static bool reachable(struct init *in)
{
    struct stat ours, there;

    return fstat(in->lock, &ours) == 0 && stat("init.lock", &there) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* Nothing runs and nobody is there. Ends that were not taken are kept as long as the folder is. */
static void check_idle(struct init *in)
{
    siginfo_t si;

    if (in->running > 0 || in->client || waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0) {
        in->idle_since = 0;
    } else if (in->idle_since == 0) {
        in->idle_since = now_ms();
    } else if (now_ms() - in->idle_since >= in->idle_ms) {
        in->idle_since = now_ms();
        if (in->procs == 0 || !reachable(in))
            in->quit = true;
    }
}

static void run_timers(struct init *in)
{
    uint64_t now = now_ms();

    if (in->retry_ms && now >= in->retry_ms) {
        in->retry_ms = 0;
        in->client->blocked = false;
        watch_set(in, &in->client->watch, EPOLLIN);
    }
    if (in->stopping && now >= in->stop_ms)
        proc_stop_step(in);
    if (in->doom_ms && now >= in->doom_ms)
        doom_step(in);
    check_idle(in);
}

/* How long the next wait may be, in ms. */
static int next_timer(const struct init *in)
{
    uint64_t now = now_ms(), at = now + 30000;

    if (in->retry_ms && in->retry_ms < at)
        at = in->retry_ms;
    if (in->stopping && in->stop_ms < at)
        at = in->stop_ms;
    if (in->doom_ms && in->doom_ms < at)
        at = in->doom_ms;
    if (in->idle_since && in->idle_since + in->idle_ms < at)
        at = in->idle_since + in->idle_ms;
    return at <= now ? 0 : (int)(at - now);
}

/* The last words have been heard, or there was time enough to. */
static bool finished(struct init *in)
{
    if (!in->quit)
        return false;
    if (!in->quit_ms)
        in->quit_ms = now_ms() + QUIT_MS;
    return !in->client || TAILQ_EMPTY(&in->tell) || now_ms() >= in->quit_ms;
}

static void loop(struct init *in)
{
    while (!finished(in)) {
        struct epoll_event ev;

        run_timers(in);
        conn_flush(in);
        if (epoll_wait(in->epoll, &ev, 1, next_timer(in)) > 0) {
            struct watch *w = ev.data.ptr;

            w->ready(in, w, ev.events);
        }
    }
}

static int start(struct init *in, const char *dir, bool foreground, const char *cgroup,
                 struct oerr *e)
{
    int rc, null;

    TAILQ_INIT(&in->all);
    TAILQ_INIT(&in->tell);
    TAILQ_INIT(&in->doomed);
    /* Standard descriptors are taken, so that none of ours gets such a number. */
    while ((null = open("/dev/null", O_RDWR)) >= 0 && null < 3)
        ;
    syscall(SYS_close_range, 3, ~0u, 0);
    rc = enter(in, dir, e);
    if (rc < 0)
        return rc;
    if (!foreground) {
        rc = go_to_background();
        if (rc < 0)
            return oerr_set(e, rc, "cannot go to the background: %s", strerror(-rc));
    }
    if (!foreground)
        open_log();
    else
        log_to(2, LOG_INFO);
    umask(022);
    raise_limits(in);
    in->started_us = wall_us();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    in->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (in->epoll < 0 || open_signals(in) < 0 || watch_add(in, &in->listen, EPOLLIN) < 0 ||
        watch_add(in, &in->signals, EPOLLIN) < 0 || lease_open(in) < 0)
        return oerr_set(e, -errno, "cannot watch for events: %s", strerror(errno));
    cgroup_open(&in->cgroups, cgroup, folder_key());
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: oneos-init [--idle-ms N] [--cgroup DIR|none] [--foreground] DIR\n");
    return 64;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "idle-ms", required_argument, NULL, 'i' },
                                             { "cgroup", required_argument, NULL, 'c' },
                                             { "foreground", no_argument, NULL, 'f' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    static struct init in;
    const char *cgroup = NULL;
    bool foreground = false;
    struct oerr e = { "" };
    int opt, rc;

    in.idle_ms = IDLE_MS;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (opt == 'i')
            in.idle_ms = strtoull(optarg, NULL, 10);
        else if (opt == 'c')
            cgroup = optarg;
        else if (opt == 'f')
            foreground = true;
        else
            return usage();
    }
    if (optind + 1 != argc)
        return usage();
    rc = start(&in, argv[optind], foreground, cgroup, &e);
    if (rc < 0) {
        fprintf(stderr, "oneos-init: %s\n", e.text);
        return rc == -EBUSY ? 75 : 1;
    }
    log_info("init", "oneos-init of %s, pid %d", in.user, getpid());
    loop(&in);
    unlink("init.sock");
    cgroup_close(&in.cgroups);
    conn_bye(&in, IM_STOPPED);
    log_info("init", "oneos-init, pid %d, ends", getpid());
    return 0;
}
