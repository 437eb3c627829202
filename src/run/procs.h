/*
 * procs.h - the processes of this machine: made, started, signalled, ended, forgotten.
 *
 * A process is a number with a directory of its own in the state folder (N.json, N.out, N.err), so
 * that a restarted daemon shows it with its output. States: new -> running <-> stopped -> ended.
 * Ended ones are kept for PROCS_KEEP_MS, at most PROCS_KEEP of them; new ones that nobody starts,
 * PROCS_NEW_MS. Core loop only.
 */
#ifndef ONEOS_RUN_PROCS_H
#define ONEOS_RUN_PROCS_H

#include "base/buf.h"
#include "run/initc.h"
#include "run/proctab.h"

#define PROCS_KEEP         500
#define PROCS_KEEP_MS      (60 * 60 * 1000)
#define PROCS_NEW_MS       (10 * 60 * 1000)
#define PROCS_MAX          20000              /* at once, of all states */
#define PROCS_USER_MAX     10000              /* of these, of one user but root */
#define PROCS_ENV_MAX      (1024 * 1024)      /* bytes that `env` may set of one process */
#define PROCS_USER_ENV_MAX (64 * 1024 * 1024) /* and of all of a user's together, but root's */

struct procs;
struct proc;

struct procs_options {
    const char *dir;     /* the machine's state folder */
    const char *program; /* oneos-init */
    const char *self;
    const char *owner; /* the user that the daemon runs as */
    bool any_user;     /* it may start processes of others (root) */
    const char *mount; /* where /oneos is, for the processes; may be set later */
};

int procs_create(struct procs **out, struct loop *core, struct loop *data, struct proctab *tab,
                 const struct procs_options *opt, struct oerr *e);

/* The end comes in two steps, both on the core loop's thread; NULL is allowed. procs_close() lets
 * go of all processes; stop: it ends them first (TERM, then KILL after 10 s), else they go on for
 * the next daemon. procs_destroy() comes after the data loop has stopped, which may still have news
 * for it. */
void procs_close(struct procs *p, bool stop);
void procs_destroy(struct procs *p);
void procs_set_mount(struct procs *p, const char *mount);

struct proc *procs_find(const struct procs *p, uint32_t number);
const struct proc_rec *proc_rec(const struct proc *p);

/* A fresh one. -EPERM: this daemon cannot run anything for that user, -EAGAIN too many, or of that
 * user. */
int procs_new(struct procs *p, const char *user, struct proc **out, struct oerr *e);

/* The handle that made it was closed: forgotten if it was never started. */
void procs_release(struct procs *p, uint32_t number);

/* Before the start; -EBUSY afterwards. */
int proc_set_cwd(struct proc *p, const char *dir, struct oerr *e);
int proc_set_env(struct proc *p, const char *assignment, struct oerr *e);
int proc_set_tty(struct proc *p, unsigned rows, unsigned cols, struct oerr *e);

/* Starts. op[i] marks an unquoted | among the words. done is called later, once, with words when rc
 * < 0. */
typedef void proc_done_fn(void *arg, int rc, const char *text);
int proc_exec(struct proc *p, int argc, char **argv, const bool *op, proc_done_fn *done, void *arg,
              struct oerr *e);

/* To the whole group; -ESRCH once it has ended or was never started. */
int proc_signal(struct proc *p, int sig, struct oerr *e);
int proc_nice(struct proc *p, int nice, struct oerr *e);
int proc_winsize(struct proc *p, unsigned rows, unsigned cols, struct oerr *e);

/* The number of a signal by name ("TERM", "SIGTERM", "15"), or -EINVAL with words. */
int signal_parse(const char *name, struct oerr *e);

void proc_show_status(struct proc *p, struct obuf *out);
void proc_show_cmdline(const struct proc *p, struct obuf *out);
void proc_show_cwd(const struct proc *p, struct obuf *out);
void proc_show_env(const struct proc *p, struct obuf *out);

enum proc_stdio { PROC_STDIN, PROC_STDOUT, PROC_STDERR };
/* stdin: a writer, -EBUSY never: before the start it waits; stdout, stderr: a reader from the first
 * byte kept. */
int proc_open(struct proc *p, enum proc_stdio which, struct stream **out);

#endif
