/*
 * initc.h - the daemon's side of oneos-init: start processes, signal them, learn how they ended.
 *
 * oneos-init is a small program that forks and reaps, holds the processes' stdio, and outlives the
 * daemon. One per state folder; it is started here when it does not run (its own session, not the
 * daemon's child in any way that matters), and taken up again when it does. Everything on one loop.
 */
#ifndef ONEOS_RUN_INITC_H
#define ONEOS_RUN_INITC_H

#include "base/err.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct initc;

/* Descriptors of a process's stdio on our side; -1 where there is none. With a pty, in == out, err
 * is -1. All are non-blocking and close-on-exec; the pipes have 1 MiB where the kernel allows it.
 * They are the receiver's to close. */
struct init_fds {
    int in, out, err;
};

/* How a process ended. */
struct init_end {
    int exit;             /* 0..255, or -1 */
    int signal;           /* the signal that ended it, or 0 */
    bool oom;             /* killed by its memory limit */
    bool lease;           /* killed because the lease ran out */
    uint64_t ended_us;    /* wall clock */
    uint64_t cpu_us;      /* user and system time of it and its reaped children */
    uint64_t memory_peak; /* bytes */
};

/* What a stage's command has as stdin, stdout, stderr instead of what it would have; NULL: that.
 * The command's own child opens them, as the user, relative to the cwd; output files are made with
 * 0666 less the umask. When one cannot be opened no stage is executed and the spawn fails with
 * words that name the path. What they stand for is not connected: a writer to the process's stdin
 * gets EPIPE, a reader of its stdout the end of file. An open that waits (a FIFO) holds up the
 * answer to this spawn alone, and initc_signal(SIGKILL) ends it. */
struct init_redirect {
    const char *in, *out, *err;
    bool append, err_append; /* >> and 2>> */
};

/* What to start: one command, or several joined by 1 MiB kernel pipes (a pipeline: one process
 * group, the last one's status counts). argv of all stages in a row, each ended by a NULL, the
 * whole ended by another NULL. */
struct init_spawn {
    uint32_t number;
    const char *const *argv;
    const char *const
        *env;         /* all of it, "K=V", NULL-ended; PATH in it is used to find the commands */
    const char *cwd;  /* must exist */
    const char *user; /* by name; NULL: as oneos-init runs. Needs root for any other */
    bool pty;
    unsigned short rows, cols;
    int nice;
    const struct init_redirect *redirects; /* one for each stage; NULL: none */
    const char *const *const *stage_env;   /* for each stage a NULL-ended list of "K=V" that goes
                                            * over env (or NULL); NULL: none */
    uint64_t memory;                       /* bytes that all of it together may take; 0: no limit */
    unsigned cpu_milli; /* thousandths of a core that are promised to it; 0: no promise */
    bool leased;   /* is killed when the lease runs out; without a lease it is refused (-EAGAIN) */
    bool reap_all; /* when its commands have ended, what they left behind is killed, also what
                    * changed its session, before `ended` comes */
};

/* A process that oneos-init knows, told when we connect to one that already ran. */
struct init_proc {
    uint32_t number;
    pid_t pid;
    uint64_t started_us;
    bool running;
    struct init_end end; /* when not running */
    struct init_fds fds; /* the receiver's to close */
    const char *user;    /* "": as oneos-init runs */
};

struct initc_ops {
    void (*adopted)(void *arg, struct init_proc *p); /* at connect, once for each */
    void (*ended)(void *arg, uint32_t number, const struct init_end *end);
    /* oneos-init died, and its processes with it: the kernel kills the commands, we what is left of
     * their groups. Spawns under way were answered -EPIPE; `ended` will not be called for any
     * process; a new one is started. */
    void (*lost)(void *arg);
};

typedef void initc_done_fn(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds);

/* program: the path of oneos-init. dir: the folder for its socket (`init.sock`) and its log. Blocks
 * until it answers, at most 5 s; `adopted` is called before this returns. */
int initc_create(struct initc **out, struct loop *core, const char *program, const char *dir,
                 const struct initc_ops *ops, void *arg, struct oerr *e);

/* stop: also ends oneos-init and, TERM first and KILL after grace_ms, its processes; blocks until
 * done. Else it goes on alone. From inside the call `ended` still comes for what ends by it, and
 * spawns under way are answered -ECANCELED. The loop must turn once more (loop_destroy does) before
 * the memory is free. NULL is allowed. */
void initc_destroy(struct initc *c, bool stop, unsigned grace_ms);

/* Starts. When it returns 0, done is called once, not from inside the call: rc 0 after the exec
 * succeeded, or -errno with words (-ENOENT not found, -EACCES not executable, -EPERM user,
 * -ENOTDIR/-ENOENT cwd: the words tell which). */
int initc_spawn(struct initc *c, const struct init_spawn *s, initc_done_fn *done, void *arg,
                struct oerr *e);

/* To the whole process group; -ESRCH when no member of it is left. Takes effect before it returns,
 * but for a process whose spawn is not answered yet: then as soon as it is forked. */
int initc_signal(struct initc *c, uint32_t number, int sig, struct oerr *e);
int initc_nice(struct initc *c, uint32_t number, int nice, struct oerr *e);

/* KILL to all of a process: its group, its descendants, and what forked away from it, also when the
 * commands themselves have ended. -ESRCH: not known. `ended` comes as for a signal. */
int initc_kill_all(struct initc *c, uint32_t number, struct oerr *e);

/* The lease runs for `ms` from now (0: it ends now). When it has run out oneos-init kills each
 * leased process as initc_kill_all does, also when there is no daemon; their ends say `lease`. Each
 * call replaces the one before. It counts on CLOCK_BOOTTIME, so that the time for which the machine
 * sleeps counts: others see it as dead meanwhile. What counts is when this was called, not when
 * oneos-init gets to read it. */
void initc_lease(struct initc *c, uint64_t ms);

/* A number of the oneos-init that runs now, which no other one on this machine has had; 0 while
 * there is none. */
uint32_t initc_boot(const struct initc *c);

/* oneos-init keeps a duplicate of each descriptor in init_fds for the next daemon. Say here what is
 * done with (stdin closed for its end of file, stdout read to its end): it closes its own too. With
 * a pty, INITC_OUT hangs it up and INITC_IN does nothing. Descriptors let go are -1 for the next
 * daemon. */
enum { INITC_IN = 1, INITC_OUT = 2, INITC_ERR = 4 };
void initc_closed(struct initc *c, uint32_t number, unsigned which);

/* The end of this process has been saved: oneos-init may forget it, and closes its duplicates. */
void initc_taken(struct initc *c, uint32_t number);

/* oneos-init does not answer, or has died and `lost` will be told: what its processes' descriptors
 * say may be due to that. It is dead before they are. */
bool initc_down(const struct initc *c);

/* Live figures, for `status`, at most 20 ms old; zeros when it cannot be known. */
struct init_usage {
    uint64_t cpu_us, memory, memory_peak;
};
void initc_usage(struct initc *c, uint32_t number, struct init_usage *u);

#endif
