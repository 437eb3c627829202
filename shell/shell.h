/*
 * shell.h - what the subcommands of `oneos` share: the tree as files, and messages.
 *
 * Everything goes through the mount with ordinary file calls. Functions that return a `status`
 * have already said what went wrong; it is what the program exits with.
 */
#ifndef ONEOS_SHELL_SHELL_H
#define ONEOS_SHELL_SHELL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/options.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EXIT_TIMEOUT  124 /* the job's time was over */
#define EXIT_ONEOS    125 /* OneOS itself failed, and said why */
#define EXIT_NOEXEC   126
#define EXIT_NOTFOUND 127
#define NAME_BYTES    128 /* a machine id, or a process's name */
#define IO_BYTES      (1 << 20)

struct shell {
    struct options *global;  /* --mount, --json, --state */
    struct options *options; /* the subcommand's own */
    const struct command *command;
    const char *mount; /* the folder, for words; set by shell_open */
    int dir;           /* O_PATH descriptor of it; -1 before shell_open */
    bool json;
};

/* One subcommand. run() gets its operands and returns an exit status. */
struct command {
    const char *name, *usage, *help;
    const struct option_row *rows; /* NULL: none */
    int min, max;                  /* operands; max -1: any number */
    bool no_mount;                 /* run() finds the mount itself */
    bool first_operand_ends;       /* options behind the first operand are operands */
    int (*run)(struct shell *sh, int argc, char **argv);
};

/* ---- messages (main.c) ---- */

/* Prints "oneos: " and the words on standard error; returns status. */
int say(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Bad use of the subcommand: the words, its usage line; returns 64. */
int bad_usage(const struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Flushes standard output; `status`, or 125 with words when something could not be written. */
int finish(int status);

/* ---- the mount (mount.c) ---- */

#define MOUNT_TYPE "fuse.oneos"

/* Finds the mount and opens it: 0, or 125 with words. */
int shell_open(struct shell *sh);

/* Calls each(arg, folder) for every mounted tree; stops when it returns non-zero. */
int mounts_each(int (*each)(void *arg, const char *folder), void *arg);

/* ---- files of the tree (files.c) ---- */

/* Opens a path below the mount: a descriptor, or -errno. O_CLOEXEC is added. */
int tree_open(const struct shell *sh, int flags, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the whole file. 0 or -errno. */
int tree_read(const struct shell *sh, struct obuf *out, const char *path);
int read_all(int fd, struct obuf *out);
int read_most(int fd, size_t most, struct obuf *out); /* -EFBIG: there is more */

/* The same of a file of one line: it is not asked for its end, which is one question less. */
int tree_read_line(const struct shell *sh, struct obuf *out, const char *path);

/* Writes all of it, going on after EINTR and short writes: 0 or -errno. */
int write_all(int fd, const void *data, size_t n);

/* The words for a failure at `path`: of the sibling file `error` when rc comes from a write to a
 * ctl file, else made from rc. Ends up in out without a newline. */
void ctl_words(const struct shell *sh, const char *path, int rc, struct obuf *out);
void errno_words(const struct shell *sh, const char *path, int rc, struct obuf *out);

/* Says that reading or opening `path` failed with rc; returns 125. */
int say_errno(const struct shell *sh, const char *path, int rc);
int say_ctl(const struct shell *sh, const char *path,
            int rc); /* with the words of its sibling `error` */

/* Writes lines to a ctl file: 0, or 125 having said why not. */
int ctl_write(const struct shell *sh, const char *path, const char *lines);

/* The folder of a job or of a process by its name: jobs/NAME, where there is that job, or a number;
 * else procs/NAME. Given with its folder it is that. 0, or 64 with words for what cannot be a name,
 * and for what is both. */
int thing_path(const struct shell *sh, const char *name, char path[static NAME_BYTES * 2]);

/* The folder of a job, given as NAME or as jobs/NAME; as above. */
int job_path(const struct shell *sh, const char *name, char path[static NAME_BYTES * 2]);

/* 0, or 64 with words: a machine id is a plain name. */
int check_machine(const struct shell *sh, const char *id);

/* ---- how a process ended (wait_line.c) ---- */

/* `exit 3`, `signal KILL`, `lost B`, as a status: 3, 128+9, 125. -1: not such a line. */
int wait_status(const char *line);

/* The number of "TERM", "SIGTERM", "term" or "15"; -1 if there is none. */
int signal_number(const char *name);

/* ---- bytes (pump.c) ---- */

enum pump_end { PUMP_EOF, PUMP_READ_FAILED, PUMP_WRITE_FAILED, PUMP_WOULD_BLOCK };

/* Copies from one descriptor to the other until the end, going on after EINTR. *rc is the errno
 * of what failed, negative. */
enum pump_end pump(int from, int to, int *rc);

#endif
