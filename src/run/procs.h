/*
 * procs.h - the processes of this machine: made, started, signalled, ended, forgotten.
 *
 * A process is a number with files of its own in the state folder (N.json, N.out, N.err), so
 * that a restarted daemon shows it with its output. States: new -> running <-> stopped -> ended.
 * Ended ones are kept for PROCS_KEEP_MS, at most PROCS_KEEP of them; new ones that nobody starts,
 * PROCS_NEW_MS. Those of jobs carry a tag and are kept until procs_forget(), at most
 * PROCS_KEEP_JOBS of them. Of the output of all that have ended at most PROCS_KEEP_BYTES are kept:
 * the oldest goes first, as dropped bytes. Core loop only.
 */
#ifndef ONEOS_RUN_PROCS_H
#define ONEOS_RUN_PROCS_H

#include "base/buf.h"
#include "run/initc.h"
#include "run/proctab.h"

#define PROCS_KEEP         500
#define PROCS_KEEP_MS      (60 * 60 * 1000)
#define PROCS_NEW_MS       (10 * 60 * 1000)
#define PROCS_KEEP_JOBS    20000
#define PROCS_KEEP_BYTES   (1024ull * 1024 * 1024)
#define PROCS_MAX          20000              /* at once; ended ones of jobs do not count */
#define PROCS_USER_MAX     10000              /* of these, of one user but root */
#define PROCS_ENV_MAX      (1024 * 1024)      /* bytes that `env` may set of one process */
#define PROCS_USER_ENV_MAX (64 * 1024 * 1024) /* and of all of a user's together, but root's */

/* The PATH of processes for which nobody sets another. */
#define PROCS_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct procs;
struct proc;

struct procs_options {
    const char *dir;     /* the machine's state folder */
    const char *program; /* oneos-init */
    const char *self;
    const char *owner;     /* the user that the daemon runs as */
    bool any_user;         /* it may start processes of others (root) */
    uint64_t output_limit; /* bytes that are kept of each output; 0: SPOOL_LIMIT */
    const char *mount;     /* where /oneos is, for the processes; may be set later */
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
/* stdin: a writer, -EBUSY never: before the start it waits; -EPIPE when the process takes nothing
 * there (no_stdin, proc_feed). stdout, stderr: a reader from the first byte kept; -EBUSY when it is
 * a wire. */
int proc_open(struct proc *p, enum proc_stdio which, struct stream **out);
/* The same, but a reader for whom the first bytes are kept no more ends with -EIO. */
int proc_open_whole(struct proc *p, enum proc_stdio which, struct stream **out);

/* ---- processes of jobs */

/* What a process is of: a job's name, its record's uid, and which group of which attempt. */
struct proc_tag {
    char job[PROC_JOB_MAX]; /* "": of no job */
    uint64_t uid;
    uint32_t attempt, group;
};

struct proc_stage {
    char *const *argv; /* NULL-ended, as the other lists */
    char *const *env;  /* of this stage, over the plan's; may be NULL */
    struct init_redirect io;
};

struct proc_plan {
    const char *user, *cwd; /* cwd NULL: the user's home */
    const struct proc_stage *stages;
    size_t n;
    char *const *env; /* of all stages, over the login's; may be NULL */
    uint64_t memory;  /* as in struct init_spawn */
    unsigned cpu_milli;
    bool leased;
    struct proc_tag tag;
    bool wire_out, wire_err; /* not kept in a file: taken by proc_wire() */
    bool no_stdin;           /* its stdin is empty unless it is redirected */
};

/* Makes a process and starts it; when it returns 0, done is called once, not from inside the call.
 * With rc < 0 there (words of oneos-init) the process goes right after done returned; out (may be
 * NULL) is not valid any more. It has ONEOS_JOB in its environment when it has a tag. What its
 * commands leave behind is killed with their end. */
int procs_start(struct procs *p, const struct proc_plan *plan, struct proc **out,
                proc_done_fn *done, void *arg, struct oerr *e);

/* The raw output of a process started with wire_out or wire_err: a reader (stream.h), once, at any
 * time after procs_start(); -EALREADY again, -EINVAL when it is no wire. Closing it before its end
 * closes the descriptor: the command gets SIGPIPE. What ends because we ended the process
 * (proc_end, the lease, stdin lost, oneos-init or the spool lost) breaks with -EIO and never ends
 * cleanly. */
int proc_wire(struct proc *p, enum proc_stdio which, struct stream **out);

/* Its stdin is what comes out of this stream, which is the process's from here on, also when this
 * fails. When it breaks the process is killed, cause lost; when the process takes no more it is
 * closed with -EPIPE. Once, at any time after procs_start(); nobody else can write there: -EINVAL
 * with no_stdin, -EBUSY when somebody does. */
int proc_feed(struct proc *p, struct stream *from);

/* Signals it because we end it, for this cause (CAUSE_TIMEOUT, CAUSE_LOST, CAUSE_KILLED:
 * cancelled): its wires break, and that will be the cause of its end, unless it ended before. With
 * SIGKILL also what forked away goes. May be repeated with another signal; the first cause counts,
 * also for the next daemon. Of one that is being started: as soon as it is forked. */
int proc_end(struct proc *p, int sig, enum proc_cause cause, struct oerr *e);

/* As initc_boot(). */
uint32_t procs_boot(const struct procs *p);

/* As initc_lease(): through here, since wires must know of it too. */
void procs_lease(struct procs *p, uint64_t ms);

const struct proc_tag *proc_tag(const struct proc *p);
const struct init_end *proc_end_of(const struct proc *p); /* of one that has ended */

/* Told of processes with a tag, those of earlier daemons too: of these from inside procs_on_jobs().
 * The cause of an end is in proc_rec(). Each is told once by this daemon. Not from inside of any
 * other call; forgetting and starting processes there is allowed, but not forgetting another one
 * from inside procs_on_jobs(). */
struct procs_job_ops {
    void (*started)(void *arg, struct proc *p);
    void (*ended)(void *arg, struct proc *p, const struct init_end *end);
};
void procs_on_jobs(struct procs *p, const struct procs_job_ops *ops, void *arg);

/* All with a tag: pass NULL first; NULL behind the last. */
struct proc *procs_next_job(const struct procs *p, const struct proc *after);

/* Record, output and all of one that has ended; -EBUSY while it has not. */
int procs_forget(struct procs *p, uint32_t number);

#endif
