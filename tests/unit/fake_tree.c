/*
 * fake_tree.c - a small tree for the tests of `oneos run`: procs/clone and jobs/clone with local
 * processes.
 *
 * It has the files of a process and of a job that the client uses, with the blocking and the errors
 * of the real ones, and nothing else. Machine "A" is this one; the process "lose" makes itself
 * lost, the job "pend" stays pending, "late" is ended by its timeout, and no machine has the label
 * "nope". Each blocked read holds a thread, which a test can afford.
 */
#define FUSE_USE_VERSION 312
#include "base/cleanup.h"
#include "base/words.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define PROCS_MAX 20000

struct proc {
    pid_t pid; /* 0 before exec */
    int in, out, err, writers;
    bool lost, named; /* named: its name was read by its maker */
    bool job, refused, no_input;
    char wait[64], error[400];
    const char *env[64];
    int nenv;
};

/* Files of a process, by number: the low bits of fi->fh. */
enum file { CLONE, STDIN, STDOUT, STDERR, WAIT, ERROR, LOG, STATUS, MACHINES, FILES };
static const char *const names[] = { "clone", "stdin", "stdout", "stderr",   "wait",
                                     "error", "lines", "status", "all.jsonl" };

static const char machines[] =
    "{\"schema\":1,\"id\":\"A\",\"state\":\"alive\",\"labels\":{\"gpu\":\"\"}}\n"
    "{\"schema\":1,\"id\":\"B\",\"state\":\"dead\",\"labels\":{}}\n"
    "{\"schema\":1,\"id\":\"C\",\"state\":\"left\",\"labels\":{}}\n"
    "{\"schema\":1,\"id\":\"D\",\"state\":\"alive\",\"labels\":{\"gpu\":\"1\"}}\n";

static struct proc procs[PROCS_MAX];
static int nprocs;
static char lines[1 << 16]; /* every ctl line taken, for tests to look at: procs/A.N/lines */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct proc *find(const char *path, enum file *file)
{
    int n, at = 0;

    if (strcmp(path, "/jobs/error") == 0 || strcmp(path, "/machines/all.jsonl") == 0) {
        *file = path[1] == 'j' ? ERROR : MACHINES;
        return &procs[0];
    }
    if ((sscanf(path, "/procs/A.%d%n", &n, &at) != 1 && sscanf(path, "/jobs/%d%n", &n, &at) != 1) ||
        n < 1 || n > nprocs || procs[n].job != (path[1] == 'j'))
        return NULL;
    *file = FILES;
    for (int i = STDIN; i < FILES && path[at] == '/'; i++)
        if (strcmp(path + at + 1, names[i]) == 0)
            *file = (enum file)i;
    return path[at] == '\0' || *file != FILES ? &procs[n] : NULL;
}

static bool is_clone(const char *path)
{
    return strcmp(path, "/procs/clone") == 0 || strcmp(path, "/jobs/clone") == 0 ||
           strcmp(path, "/machines/A/procs/clone") == 0 ||
           strcmp(path, "/machines/D/procs/clone") == 0;
}

static bool is_dir(const char *path)
{
    return strcmp(path, "/") == 0 || strcmp(path, "/procs") == 0 || strcmp(path, "/jobs") == 0 ||
           strcmp(path, "/machines") == 0 || strcmp(path, "/machines/A") == 0 ||
           strcmp(path, "/machines/A/procs") == 0 || strcmp(path, "/machines/D") == 0 ||
           strcmp(path, "/machines/D/procs") == 0;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    enum file file;

    (void)fi;
    *st = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
    if (is_dir(path))
        return 0;
    if (is_clone(path)) {
        st->st_mode = S_IFREG | 0666;
        return 0;
    }
    if (!find(path, &file))
        return -ENOENT;
    if (file != FILES)
        st->st_mode = S_IFREG | 0666;
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
    enum file file = CLONE;
    struct proc *p;

    fi->direct_io = fi->nonseekable = 1;
    pthread_mutex_lock(&lock);
    p = is_clone(path) ? &procs[++nprocs] : find(path, &file);
    if (p && file == STDIN)
        p->writers++;
    if (p && file == CLONE)
        p->job = path[1] == 'j';
    pthread_mutex_unlock(&lock);
    fi->fh = p ? (uint64_t)(p - procs) * FILES + file : 0;
    return p ? 0 : -ENOENT;
}

static int on_release(const char *path, struct fuse_file_info *fi)
{
    struct proc *p = &procs[fi->fh / FILES];

    (void)path;
    if (fi->fh % FILES == STDIN) {
        pthread_mutex_lock(&lock);
        if (--p->writers == 0 && p->in > 0)
            close(take_fd(&p->in));
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

/* ---- processes ---- */

static void *reap(void *arg)
{
    struct proc *p = arg;
    siginfo_t info;

    while (waitid(P_PID, (id_t)p->pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&lock);
    if (p->lost)
        strcpy(p->wait, "lost A\n");
    else if (info.si_code == CLD_EXITED)
        snprintf(p->wait, sizeof p->wait, "exit %d\n", info.si_status);
    else
        snprintf(p->wait, sizeof p->wait, "signal %s\n", sigabbrev_np(info.si_status));
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void child(struct proc *p, char **argv, const int pipes[4][2])
{
    sigset_t none;
    int high[3];

    setpgid(0, 0);
    /* By way of high numbers: where standard input was closed, a pipe may have a low one itself. */
    for (int i = 0; i < 3; i++)
        high[i] = fcntl(pipes[i][i == 0 ? 0 : 1], F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 3; i++)
        dup2(high[i], i);
    for (int i = 0; i < p->nenv; i++)
        putenv((char *)(uintptr_t)p->env[i]);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);
    if (write(pipes[3][1], &errno, sizeof errno) < 0)
        _exit(126);
    _exit(127);
}

static int v_exec(struct proc *p, char **argv)
{
    int pipes[4][2], error = 0;
    pthread_t thread;
    pid_t pid;

    if (strcmp(argv[0], "lose") == 0) {
        static char script[] = "echo partial; exec sleep 0.05";
        static char *const lose[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", script,
                                      NULL };

        p->lost = true;
        argv = (char **)(uintptr_t)lose;
    }
    for (int i = 0; i < 4; i++)
        if (pipe2(pipes[i], O_CLOEXEC) < 0)
            return -errno;
    pid = fork();
    if (pid == 0)
        child(p, argv, (const int(*)[2])pipes);
    p->in = pipes[0][1];
    fcntl(p->in, F_SETFL, O_NONBLOCK);
    if (p->no_input)
        close(take_fd(&p->in));
    p->out = pipes[1][0];
    p->err = pipes[2][0];
    close(pipes[0][0]);
    for (int i = 1; i < 4; i++)
        close(pipes[i][1]);
    if (pid < 0 || read(pipes[3][0], &error, sizeof error) > 0) {
        close(pipes[3][0]);
        snprintf(p->error, sizeof p->error, "%s: %s\n", argv[0], strerror(error));
        return -error;
    }
    close(pipes[3][0]);
    p->pid = pid;
    pthread_cond_broadcast(&changed);
    error = pthread_create(&thread, NULL, reap, p);
    if (error == 0)
        pthread_detach(thread);
    return -error;
}

static void fail_job(struct proc *p, const char *how)
{
    strcpy(p->wait, how);
    pthread_cond_broadcast(&changed);
}

static bool is_assignment(const char *word)
{
    return strchr(word, '=') && word[strcspn(word, "=/")] == '=';
}

/* The words of a run line without its selector and variables. */
static int v_run(struct proc *p, char **argv)
{
    int rc;

    if (**argv == '@' && strcmp(*argv++, "@nope") == 0) {
        strcpy(procs[0].error, "@nope fits no machine: A has no label nope\n");
        p->refused = true;
        return -EINVAL;
    }
    for (; is_assignment(*argv); argv++)
        p->env[p->nenv++] = strdup(*argv);
    if (strcmp(*argv, "pend") == 0)
        return 0;
    if (strcmp(*argv, "late") == 0) {
        strcpy(p->wait, "timeout\n");
        return 0;
    }
    rc = v_exec(p, argv);
    if (rc < 0)
        fail_job(p, rc == -ENOENT ? "exit 127\n" : "exit 126\n");
    return 0;
}

static int v_cancel(struct proc *p)
{
    strcpy(p->wait, "cancelled\n");
    pthread_cond_broadcast(&changed);
    return 0;
}

static int v_signal(struct proc *p, int sig)
{
    if (p->wait[0] || !p->pid) {
        strcpy(p->error, "the process has ended\n");
        return -ESRCH;
    }
    return kill(-p->pid, sig) < 0 ? -errno : 0;
}

static int signal_of(const char *name)
{
    for (int i = 1; i < NSIG; i++)
        if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), name) == 0)
            return i;
    return -1;
}

static int run_verb(struct proc *p, const struct words *w)
{
    if (w->n == 0)
        return 0;
    if (strcmp(w->v[0], "exec") == 0 && w->n > 1)
        return v_exec(p, w->v + 1);
    if (strcmp(w->v[0], "signal") == 0 && w->n == 2)
        return v_signal(p, signal_of(w->v[1]));
    if (strcmp(w->v[0], "stop") == 0)
        return v_signal(p, SIGSTOP);
    if (strcmp(w->v[0], "cont") == 0)
        return v_signal(p, SIGCONT);
    if (strcmp(w->v[0], "env") == 0 && w->n == 2)
        p->env[p->nenv++] = strdup(w->v[1]);
    if (strcmp(w->v[0], "set") == 0 && w->n == 3 && strcmp(w->v[1], "env") == 0)
        p->env[p->nenv++] = strdup(w->v[2]);
    if (strcmp(w->v[0], "set") == 0 && w->n == 3 && strcmp(w->v[1], "input") == 0)
        p->no_input = strcmp(w->v[2], "none") == 0;
    if (strcmp(w->v[0], "run") == 0 && w->n > 1)
        return v_run(p, w->v + 1);
    if (strcmp(w->v[0], "cancel") == 0)
        return v_cancel(p);
    return 0;
}

static int take_lines(struct proc *p, const char *text, size_t len)
{
    int rc = 0;

    while (len > 0 && rc == 0) {
        struct words w;
        size_t used;

        rc = words_split(&w, text, len, &used, NULL);
        pthread_mutex_lock(&lock);
        if (rc == 0 && strlen(lines) + used < sizeof lines)
            strncat(lines, text, used);
        rc = rc ? rc : run_verb(p, &w);
        pthread_mutex_unlock(&lock);
        words_free(&w);
        text += used;
        len -= used;
    }
    return rc;
}

/* ---- bytes ---- */

/* Waits until fd is ready. False when whoever asked was interrupted meanwhile. */
static bool wait_ready(int fd, short events)
{
    struct pollfd pfd = { .fd = fd, .events = events };

    while (poll(&pfd, 1, 20) == 0)
        if (fuse_interrupted())
            return false;
    return true;
}

/* Waits a little for a change, since an interrupt does not wake it. */
static void wait_changed(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&changed, &lock, &until);
}

/* Output is opened, and may be read, before exec has made it. */
static bool wait_started(struct proc *p)
{
    bool started;

    pthread_mutex_lock(&lock);
    while (!p->pid && !p->wait[0] && !fuse_interrupted())
        wait_changed();
    started = p->pid || p->wait[0];
    pthread_mutex_unlock(&lock);
    return started;
}

static int read_wait(struct proc *p, char *to, size_t size)
{
    pthread_mutex_lock(&lock);
    while (!p->wait[0] && !fuse_interrupted())
        wait_changed();
    snprintf(to, size, "%s", p->wait);
    pthread_mutex_unlock(&lock);
    return *to ? (int)strlen(to) : -EINTR;
}

static int read_text(const char *text, char *to, size_t size, off_t at)
{
    size_t n = strlen(text);

    if ((size_t)at >= n)
        return 0;
    n = n - (size_t)at < size ? n - (size_t)at : size;
    memcpy(to, text + at, n);
    return (int)n;
}

static int on_read(const char *path, char *to, size_t size, off_t at, struct fuse_file_info *fi)
{
    struct proc *p = &procs[fi->fh / FILES];
    char status[500];
    ssize_t n;
    int fd;

    (void)path;
    switch (fi->fh % FILES) {
    case CLONE:
        if (p->named)
            return 0;
        if (p->refused)
            return -EAGAIN; /* nothing was made */
        p->named = true;
        return snprintf(to, size, "%s%d\n", p->job ? "" : "A.", (int)(p - procs));
    case STDOUT:
    case STDERR:
        if (!wait_started(p))
            return -EINTR;
        fd = fi->fh % FILES == STDOUT ? p->out : p->err;
        if (!p->pid && fd == 0)
            return 0; /* it was never begun */
        if (!wait_ready(fd, POLLIN))
            return -EINTR;
        n = read(fd, to, size);
        return n == 0 && p->lost ? -EIO : n < 0 ? -errno : (int)n;
    case WAIT:
        return at ? 0 : read_wait(p, to, size);
    case MACHINES:
        return read_text(machines, to, size, at);
    case STATUS:
        snprintf(status, sizeof status, "state failed\ncause not-begun\nwords %s", p->error);
        return read_text(status, to, size, at);
    default:
        return read_text(fi->fh % FILES == LOG ? lines : p->error, to, size, at);
    }
}

static int on_write(const char *path, const char *from, size_t size, off_t at,
                    struct fuse_file_info *fi)
{
    struct proc *p = &procs[fi->fh / FILES];
    ssize_t n;
    int rc;

    (void)path;
    (void)at;
    if (fi->fh % FILES == STDIN) {
        if (!wait_started(p))
            return -EINTR;
        if (p->in <= 0)
            return -EPIPE;
        if (!wait_ready(p->in, POLLOUT))
            return -EINTR;
        n = write(p->in, from, size);
        return n < 0 ? -errno : (int)n;
    }
    rc = fi->fh % FILES == CLONE ? take_lines(p, from, size) : -EACCES;
    return rc < 0 ? rc : (int)size;
}

static void *on_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    conn->max_write = 1 << 20;
    config->entry_timeout = config->attr_timeout = 1;
    signal(SIGPIPE, SIG_IGN);
    return NULL;
}

/* Nothing that a failed test started stays behind. */
static void on_destroy(void *data)
{
    (void)data;
    for (int i = 1; i <= nprocs; i++)
        if (procs[i].pid > 0 && !procs[i].wait[0])
            kill(-procs[i].pid, SIGKILL);
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {
        .getattr = on_getattr,
        .open = on_open,
        .release = on_release,
        .read = on_read,
        .write = on_write,
        .init = on_init,
        .destroy = on_destroy,
    };

    return fuse_main(argc, argv, &operations, NULL);
}
