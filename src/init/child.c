/*
 * child.c - what happens between fork and exec.
 *
 * The first act is to let go of every descriptor but stdio and the status pipe (number 3, closed
 * by the exec): a child that hangs in a dead file system must not hold other processes' pipes.
 * Whatever fails says so on the status pipe in one sentence, and the child is gone. All of it may
 * block; oneos-init does not wait for it.
 */
#include "init/init.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <paths.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_FD    3
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static _Noreturn void fail(const struct child *c, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static _Noreturn void fail(const struct child *c, int err, const char *fmt, ...)
{
    struct child_failure f = { .rc = -err };
    char words[sizeof f.text];
    struct oerr e;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    if (c->spec->nstages > 1)
        oerr_set(&e, 0, "stage %u: %s", c->stage + 1, words);
    else
        oerr_set(&e, 0, "%s", words);
    memcpy(f.text, e.text, sizeof f.text);
    if (write(STATUS_FD, &f, sizeof f) < 0)
        _exit(126);
    _exit(127);
}

static void set_stdio(const struct child *c)
{
    for (int i = 0; i < 3; i++)
        if (dup2(c->stdio[i], i) < 0)
            _exit(127);
    if (c->status == STATUS_FD ? fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC) < 0
                               : dup3(c->status, STATUS_FD, O_CLOEXEC) < 0)
        _exit(127);
    syscall(SYS_close_range, STATUS_FD + 1, ~0u, 0);
}

static void set_group(const struct child *c)
{
    if (!c->spec->pty) {
        setpgid(0, c->pgid);
    } else {
        setsid();
        if (ioctl(0, TIOCSCTTY, 0) < 0)
            fail(c, errno, "terminal: it cannot be made the controlling one: %s", strerror(errno));
    }
}

/* Becomes the user. Only root can become somebody else. */
static void set_user(const struct child *c)
{
    const char *user = c->spec->user;
    struct passwd *pw;

    if (!*user || strcmp(user, c->in->user) == 0)
        return;
    pw = getpwnam(user);
    if (!pw)
        fail(c, EPERM, "user: user %s does not exist on this machine", user);
    if (geteuid() != 0) {
        if (pw->pw_uid != geteuid())
            fail(c, EPERM, "user: oneos-init runs as %s and cannot start processes of %s",
                 c->in->user, user);
        return;
    }
    if (c->spec->pty && fchown(0, pw->pw_uid, (gid_t)-1) < 0)
        fail(c, errno, "terminal: it cannot be given to %s: %s", user, strerror(errno));
    if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        fail(c, EPERM, "user: cannot become %s: %s", user, strerror(errno));
}

/* oneos-init's death kills us; a change of user cleared that, so it is set after it. */
static void die_with_parent(const struct child *c)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != c->parent)
        raise(SIGKILL);
}

static void set_cwd(const struct child *c)
{
    const char *cwd = c->spec->cwd;

    if (chdir(cwd) == 0)
        return;
    if (errno == ENOENT)
        fail(c, ENOENT, "cwd: %s: no such directory", cwd);
    if (errno == ENOTDIR)
        fail(c, ENOTDIR, "cwd: %s: not a directory", cwd);
    fail(c, errno, "cwd: %s: %s", cwd, strerror(errno));
}

/* A file that the kernel does not know but that is text: a script without "#!". */
static bool is_text(const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char head[256];
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);

    return n >= 0 && !memchr(head, '\0', (size_t)n);
}

static void exec_by_shell(const char *path, char *const *argv, char *const *env)
{
    size_t n = 0;
    const char **args;

    while (argv[n])
        n++;
    args = calloc(n + 2, sizeof *args);
    if (!args)
        return;
    args[0] = _PATH_BSHELL;
    args[1] = path;
    for (size_t i = 1; i < n; i++)
        args[i + 1] = argv[i];
    execve(_PATH_BSHELL, (char *const *)args, env);
}

/* Returns the errno of the failure. */
static int try_exec(const char *path, char *const *argv, char *const *env)
{
    execve(path, argv, env);
    if (errno == ENOEXEC && is_text(path)) {
        exec_by_shell(path, argv, env);
        return errno;
    }
    return errno;
}

static _Noreturn void fail_exec(const struct child *c, int err, const char *path)
{
    struct stat st;

    if (err == ENOENT && stat(path, &st) == 0)
        fail(c, ENOENT, "exec: %s: the interpreter that it names was not found", path);
    if (err == ENOENT || err == ENOTDIR)
        fail(c, ENOENT, "exec: %s: no such file", path);
    if (err == EACCES && stat(path, &st) == 0)
        fail(c, EACCES, "exec: %s: %s", path,
             S_ISDIR(st.st_mode) ? "is a directory" : "not executable (see its mode: chmod +x)");
    if (err == ENOEXEC)
        fail(c, ENOEXEC, "exec: %s: is not a program for this machine", path);
    fail(c, err, "exec: %s: %s", path, strerror(err));
}

static const char *path_of(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return DEFAULT_PATH;
}

/* As a shell does: the first that runs, else the first that was there but could not. */
static _Noreturn void exec_in_path(const struct child *c, char *const *argv, char *const *env)
{
    const char *path = path_of(env);
    char file[PATH_MAX], denied[PATH_MAX] = "";

    for (const char *p = path, *end; p; p = *end ? end + 1 : NULL) {
        int err;

        end = strchrnul(p, ':');
        if ((size_t)snprintf(file, sizeof file, "%.*s%s%s", (int)(end - p), p, end > p ? "/" : "./",
                             argv[0]) >= sizeof file)
            continue;
        err = try_exec(file, argv, env);
        if (err == EACCES && !*denied && access(file, F_OK) == 0)
            memcpy(denied, file, sizeof denied);
        if (err != EACCES && (err != ENOENT || access(file, F_OK) == 0) && err != ENOTDIR)
            fail_exec(c, err, file);
    }
    if (*denied)
        fail_exec(c, EACCES, denied);
    fail(c, ENOENT, "exec: %s: command not found in PATH (%s)", argv[0], path);
}

_Noreturn void child_run(const struct child *c)
{
    char *const *argv = c->spec->argv[c->stage], *const *env = c->spec->env;
    sigset_t none;

    set_stdio(c);
    set_group(c);
    if (c->spec->nice && setpriority(PRIO_PROCESS, 0, c->spec->nice) < 0)
        fail(c, errno, "nice: %d: %s", c->spec->nice, strerror(errno));
    setrlimit(RLIMIT_NOFILE, &c->in->nofile);
    set_user(c);
    die_with_parent(c);
    umask(022);
    set_cwd(c);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!argv[0][0])
        fail(c, ENOENT, "exec: the command's name is empty");
    if (!strchr(argv[0], '/'))
        exec_in_path(c, argv, env);
    fail_exec(c, try_exec(argv[0], argv, env), argv[0]);
}
