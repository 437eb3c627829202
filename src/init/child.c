/*
 * child.c - what happens between fork and exec.
 *
 * The first act is to let go of every descriptor but stdio, the status pipe (number 3) and the gate
 * (number 4), which the exec closes: a child that hangs in a dead file system must not hold other
 * processes' pipes. Whatever fails says so on the status pipe in one sentence, and the child is
 * gone. All of it may block; oneos-init does not wait for it, and signals end it as they end a
 * command.
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
#define GATE_FD      4
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
    /* Out of the way of the numbers that it and the status pipe are to have. */
    int gate = c->gate < 0 ? -1 : fcntl(c->gate, F_DUPFD_CLOEXEC, GATE_FD + 1);

    for (int i = 0; i < 3; i++)
        if (dup2(c->stdio[i], i) < 0)
            _exit(127);
    if (c->status == STATUS_FD ? fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC) < 0
                               : dup3(c->status, STATUS_FD, O_CLOEXEC) < 0)
        _exit(127);
    if (gate >= 0 && dup3(gate, GATE_FD, O_CLOEXEC) < 0)
        _exit(127);
    syscall(SYS_close_range, (gate >= 0 ? GATE_FD : STATUS_FD) + 1, ~0u, 0);
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

static void open_as(const struct child *c, int as, const char *path, int flags)
{
    int fd;

    if (!path)
        return;
    do
        fd = open(path, flags | O_NOCTTY | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 || dup2(fd, as) < 0)
        fail(c, errno, "cannot %s %s: %s", as == 0 ? "read" : "write", path, strerror(errno));
    close(fd);
}

static void redirect(const struct child *c)
{
    const struct istage *s = c->spec->stages ? &c->spec->stages[c->stage] : NULL;

    if (!s)
        return;
    open_as(c, 0, s->in, O_RDONLY);
    open_as(c, 1, s->out, O_WRONLY | O_CREAT | (s->append ? O_APPEND : O_TRUNC));
    open_as(c, 2, s->err, O_WRONLY | O_CREAT | (s->err_append ? O_APPEND : O_TRUNC));
}

static char *const *find_name(char *const *env, const char *entry)
{
    size_t n = strcspn(entry, "=");

    for (; *env; env++)
        if (strncmp(*env, entry, n) == 0 && ((*env)[n] == '=' || (*env)[n] == '\0'))
            return env;
    return NULL;
}

/* The stage's own variables over those of all; among equals the last counts. */
static char *const *merge_env(const struct child *c)
{
    char *const *common = c->spec->env, *const * own;
    size_t n = 0, m = 0, at = 0;
    char **all;

    own = c->spec->stages ? c->spec->stages[c->stage].env : NULL;
    if (!own || !*own)
        return common;
    while (common[n])
        n++;
    while (own[m])
        m++;
    all = calloc(n + m + 1, sizeof *all);
    if (!all)
        fail(c, ENOMEM, "no memory for the environment");
    for (; *common; common++)
        if (!find_name(own, *common))
            all[at++] = *common;
    for (; *own; own++)
        if (!find_name(own + 1, *own))
            all[at++] = *own;
    return all;
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

/* What exec would say, as far as can be seen before: 0 or an errno. */
static int probe(const char *path, char *const *argv, char *const *env)
{
    struct stat st;

    (void)argv;
    (void)env;
    if (stat(path, &st) < 0 || access(path, X_OK) < 0)
        return errno;
    return S_ISREG(st.st_mode) ? 0 : EACCES;
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

typedef int try_fn(const char *path, char *const *argv, char *const *env);

/* As a shell does: the first that runs, else the first that was there but could not. Returns when
 * `try` succeeded. */
static void in_path(const struct child *c, try_fn *try, char *const *argv, char *const *env)
{
    const char *path = path_of(env);
    char file[PATH_MAX], denied[PATH_MAX] = "";

    for (const char *p = path, *end; p; p = *end ? end + 1 : NULL) {
        int err;

        end = strchrnul(p, ':');
        if ((size_t)snprintf(file, sizeof file, "%.*s%s%s", (int)(end - p), p, end > p ? "/" : "./",
                             argv[0]) >= sizeof file)
            continue;
        if (access(file, F_OK) < 0 && errno == ENOENT)
            continue; /* at a tenth of the price of an exec that fails */
        err = try(file, argv, env);
        if (err == 0)
            return;
        if (err == EACCES && !*denied && access(file, F_OK) == 0)
            memcpy(denied, file, sizeof denied);
        if (err != EACCES && (err != ENOENT || access(file, F_OK) == 0) && err != ENOTDIR)
            fail_exec(c, err, file);
    }
    if (*denied)
        fail_exec(c, EACCES, denied);
    fail(c, ENOENT, "exec: %s: command not found in PATH (%s)", argv[0], path);
}

static void with_command(const struct child *c, try_fn *try, char *const *argv, char *const *env)
{
    int err;

    if (!argv[0][0])
        fail(c, ENOENT, "exec: the command's name is empty");
    if (!strchr(argv[0], '/')) {
        in_path(c, try, argv, env);
        return;
    }
    err = try(argv[0], argv, env);
    if (err)
        fail_exec(c, err, argv[0]);
}

/* Tells that this stage could be executed and waits until the others can. */
static void pass_gate(const struct child *c, char *const *argv, char *const *env)
{
    static const struct child_failure ready;
    ssize_t n;
    char byte;

    with_command(c, probe, argv, env);
    if (write(STATUS_FD, &ready, sizeof ready) < 0)
        _exit(126);
    do
        n = read(GATE_FD, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(126);
}

static void limit_memory(const struct child *c)
{
    struct rlimit most = { .rlim_cur = c->spec->memory, .rlim_max = c->spec->memory };

    if (c->limit_itself && setrlimit(RLIMIT_AS, &most) < 0)
        fail(c, errno, "memory: %llu bytes cannot be set as the limit: %s",
             (unsigned long long)c->spec->memory, strerror(errno));
}

_Noreturn void child_run(const struct child *c)
{
    char *const *argv = c->spec->argv[c->stage], *const * env;
    sigset_t none;

    if (c->v1_procs >= 0 && cgroup_enter(c->v1_procs) < 0)
        _exit(127);

    set_stdio(c);
    set_group(c);
    if (c->nice && setpriority(PRIO_PROCESS, 0, c->nice) < 0)
        fail(c, errno, "nice: %d: %s", c->nice, strerror(errno));
    setrlimit(RLIMIT_NOFILE, &c->in->nofile);
    set_user(c);
    die_with_parent(c);
    umask(022);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_cwd(c);
    redirect(c);
    env = merge_env(c);
    if (c->gate >= 0)
        pass_gate(c, argv, env);
    limit_memory(c);
    with_command(c, try_exec, argv, env);
    _exit(127);
}
