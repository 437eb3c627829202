/*
 * probe_command.c - whether a command would start here: it is found as the child that runs it finds
 * it, then what it needs in turn: the machine that it was made for, its dynamic linker, the
 * interpreter of a script, the command that `env` is to find.
 *
 * A no is only said of what the kernel would refuse now; all that is not known is a yes.
 */
#include "sched/probe_private.h"
#include "base/cleanup.h"
#include "run/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#define DEEP_MAX 5 /* interpreters of interpreters: one more and the kernel says ELOOP */
#define ENV_MAX  8 /* scripts by `env` that lead to the next */

struct probe {
    const struct probe_here *here;
    const char *path, *cwd;
    struct oerr *e;
    unsigned deep, envs;
};

static const struct {
    int exit;
    const char *what;
} looks[LOOKS] = {
    [LOOK_MISSING] = { 127, "is missing" },
    [LOOK_UNREACHABLE] = { 126, "is in a folder that its user may not enter" },
    [LOOK_FOLDER] = { 126, "is a folder" },
    [LOOK_ODD] = { 126, "is not a regular file" },
    [LOOK_NOT_EXECUTABLE] = { 126, "is not executable" },
    [LOOK_NOEXEC] = { 126, "is on a file system that is mounted noexec" },
    [LOOK_FAILED] = { -1, "could not be looked at" },
};

/* of: whose interpreter it is; NULL: it is the command itself. */
static int refuse(const struct probe *p, enum look look, const char *path, const char *of)
{
    size_t n = strlen(path);

    if (look == LOOK_UNKNOWN)
        return 0;
    if (!of)
        return oerr_set(p->e, looks[look].exit, "%.100s %s on %s", path, looks[look].what,
                        p->here->self);
    return oerr_set(p->e, looks[look].exit, "%.100s cannot run: its interpreter %.100s %s on %s%s",
                    of, path, looks[look].what, p->here->self,
                    n && path[n - 1] == '\r' ? " (its first line ends in a carriage return)" : "");
}

static int check_file(struct probe *p, const char *path, const char *of);
static int check_head(struct probe *p, const char *real, const char *path);

static int check_interpreter(struct probe *p, const char *path, const char *of)
{
    if (++p->deep > DEEP_MAX)
        return oerr_set(p->e, 126,
                        "%.100s cannot run: its interpreter on %s is a script, whose interpreter "
                        "is a script, and so on",
                        of, p->here->self);
    return check_file(p, path, of);
}

/* ---- programs */

/* What stands in the file, from the head where that has it. */
static size_t read_at(int fd, const uint8_t *head, size_t n, uint64_t offset, void *out,
                      size_t size)
{
    ssize_t got;

    if (offset <= n && size <= n - offset) {
        memcpy(out, head + offset, size);
        return size;
    }
    got = offset <= INT64_MAX ? pread(fd, out, size, (off_t)offset) : -1;
    return got > 0 ? (size_t)got : 0;
}

static int check_linker(struct probe *p, int fd, const uint8_t *head, size_t n,
                        const struct exec_head *h, const char *path)
{
    uint8_t phdrs[EXEC_HEAD_BYTES];
    char linker[PATH_MAX], real[PATH_MAX];
    enum look look;
    uint64_t offset, size;
    size_t want = (size_t)h->n_phdrs * h->phdr_size;

    if (want > sizeof phdrs)
        want = sizeof phdrs;
    n = n < EXEC_HEAD_BYTES ? n : EXEC_HEAD_BYTES;
    if (!exec_head_interp(h, phdrs, read_at(fd, head, n, h->phdrs, phdrs, want), &offset, &size) ||
        size < 2 || size > sizeof linker ||
        read_at(fd, head, n, offset, linker, (size_t)size) != size || linker[size - 1])
        return 0; /* static; or damaged: the start tells */
    look = probe_look(p->here, p->cwd, linker, real);
    return look == LOOK_OK ? 0 : refuse(p, look, linker, path);
}

/* 1: none of the kernel's other formats takes it. */
static int check_binfmt(struct probe *p, const uint8_t *head, size_t n, const char *path)
{
    DIR *dir = opendir(p->here->binfmt);
    int rc = 1;

    for (struct dirent *d; rc == 1 && dir && (d = readdir(dir)) != NULL;) {
        cleanup_close int fd = -1;
        char text[4096];
        struct binfmt b;
        ssize_t got;

        if (d->d_name[0] == '.' || strcmp(d->d_name, "register") == 0 ||
            strcmp(d->d_name, "status") == 0)
            continue;
        fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (got <= 0)
            continue;
        text[got] = '\0';
        if (binfmt_parse(text, &b) && binfmt_matches(&b, head, n < 256 ? n : 256, path))
            rc = b.open ? 0 : check_interpreter(p, b.interpreter, path);
    }
    if (dir)
        closedir(dir);
    return rc;
}

static int check_other(struct probe *p, const uint8_t *head, size_t n, const struct exec_head *h,
                       const char *path)
{
    int rc = check_binfmt(p, head, n, path);

    if (rc != 1)
        return rc;
    if (h->kind == HEAD_ELF)
        return oerr_set(p->e, 126, "%.100s cannot run on %s: it is for %s, %s is %s", path,
                        p->here->self, elf_kind_name(&h->elf), p->here->self, p->here->arch);
    return oerr_set(p->e, 126, "%.100s is not a program that %s can run", path, p->here->self);
}

/* ---- scripts */

/* The command that `env` is told to find. False: none, or only env knows. */
static bool env_command(const char *argument, char out[SCRIPT_LINE])
{
    bool split = strncmp(argument, "-S", 2) == 0;

    if (split)
        argument += 2;
    if (split && strpbrk(argument, "'\"\\$#"))
        return false;
    for (argument += strspn(argument, " \t"); *argument; argument += strspn(argument, " \t")) {
        size_t n = split ? strcspn(argument, " \t") : strlen(argument);

        if (*argument == '-')
            return false;
        if (!memchr(argument, '=', n)) {
            memcpy(out, argument, n);
            out[n] = '\0';
            return true;
        }
        argument += n;
    }
    return false;
}

static bool is_env(const char *interpreter)
{
    const char *slash = strrchr(interpreter, '/');

    return strcmp(slash ? slash + 1 : interpreter, "env") == 0;
}

static int check_name(struct probe *p, const char *name, const char *of);

static int check_script(struct probe *p, const struct exec_head *h, const char *path)
{
    char name[SCRIPT_LINE];
    int rc = check_interpreter(p, h->interpreter, path);

    if (rc != 0 || !is_env(h->interpreter) || !env_command(h->argument, name))
        return rc;
    if (++p->envs > ENV_MAX)
        return oerr_set(p->e, 126, "%.100s cannot run on %s: its first line leads to itself", path,
                        p->here->self);
    p->deep = 0; /* env executes anew */
    return strchr(name, '/') ? check_file(p, name, path) : check_name(p, name, path);
}

/* ---- files */

static int check_head(struct probe *p, const char *real, const char *path)
{
    uint8_t head[EXEC_HEAD_BYTES];
    cleanup_close int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    struct exec_head h;

    if (n < 0)
        return 0; /* a program need not be readable to run */
    exec_head_read(head, (size_t)n, &h);
    if (h.kind == HEAD_TEXT)
        return 0;
    if (h.kind == HEAD_SCRIPT)
        return check_script(p, &h, path);
    if (h.kind == HEAD_ELF && (!p->here->kind.machine || elf_kind_runs(&p->here->kind, &h.elf)))
        return check_linker(p, fd, head, (size_t)n, &h, path);
    return check_other(p, head, (size_t)n, &h, path);
}

static int check_file(struct probe *p, const char *path, const char *of)
{
    char real[PATH_MAX];
    enum look look = probe_look(p->here, p->cwd, path, real);

    return look == LOOK_OK ? check_head(p, real, path) : refuse(p, look, path, of);
}

/* As the child does: the first that can be executed, else the first that is there but cannot. What
 * PATH has before it, where nobody looks, may be another one: then only the start tells. */
static int check_name(struct probe *p, const char *name, const char *of)
{
    char file[PATH_MAX], real[PATH_MAX], denied[PATH_MAX] = "";
    enum look why = LOOK_OK;
    bool unknown = false;

    for (const char *at = p->path, *end; at; at = *end ? end + 1 : NULL) {
        enum look look;

        end = strchrnul(at, ':');
        if ((size_t)snprintf(file, sizeof file, "%.*s%s%s", (int)(end - at), at,
                             end > at ? "/" : "./", name) >= sizeof file)
            continue;
        look = probe_look(p->here, p->cwd, file, real);
        if (look == LOOK_OK)
            return unknown ? 0 : check_head(p, real, file);
        unknown = unknown || look == LOOK_UNKNOWN || look == LOOK_FAILED;
        if (look == LOOK_MISSING || look == LOOK_UNREACHABLE || *denied)
            continue;
        strcpy(denied, file);
        why = look;
    }
    if (unknown)
        return 0;
    if (*denied)
        return refuse(p, why, denied, of);
    if (of)
        return oerr_set(p->e, 127,
                        "%.100s cannot run: it asks for %.100s, and %s has no such command", of,
                        name, p->here->self);
    return oerr_set(p->e, 127, "%s has no command '%.100s'", p->here->self, name);
}

int probe_command(const struct probe_here *here, const struct sched_need *need, struct oerr *e)
{
    struct probe p = { .here = here, .path = need->path, .cwd = need->cwd, .e = e };

    if (!p.path)
        p.path = PROCS_PATH;
    if (!*need->command)
        return oerr_set(e, 127, "the command's name is empty");
    return strchr(need->command, '/') ? check_file(&p, need->command, NULL)
                                      : check_name(&p, need->command, NULL);
}

/* By uname, since a kernel of 64 bits runs programs of 64 bits also where this daemon has 32. */
void probe_here_init(struct probe_here *here, const char *self, const char *mount)
{
    cleanup_close int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    uint8_t own[64];
    ssize_t n = fd < 0 ? -1 : read(fd, own, sizeof own);
    struct exec_head h = { .kind = HEAD_OTHER };
    struct utsname u = { .machine = "" };

    uname(&u);
    here->self = self;
    here->mount = mount;
    here->binfmt = "/proc/sys/fs/binfmt_misc";
    snprintf(here->arch, sizeof here->arch, "%.63s", u.machine);
    if (n > 0)
        exec_head_read(own, (size_t)n, &h);
    here->kind = h.elf;
    elf_kind_of(u.machine, &here->kind);
}
