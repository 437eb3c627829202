/*
 * init.h - the parts of oneos-init: one state, used by its few files and by nobody else.
 *
 * main.c runs the loop, conn.c talks to clients, proc.c keeps the processes and reaps them,
 * spawn.c starts them, child.c is what happens between fork and exec, cgroup.c is optional.
 */
#ifndef ONEOS_INIT_INIT_H
#define ONEOS_INIT_INIT_H

#include "init/cgroup.h"
#include "init/proto.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>

#define BUCKETS  4096 /* of the tables by number and by pid; a power of two */
#define CONNS    8    /* connections at a time: the client, and who has not said HELLO yet */
#define PIPE_CAP (1 << 20)

struct init;

/* A descriptor in the epoll set, embedded in what it belongs to. */
struct watch {
    void (*ready)(struct init *, struct watch *, uint32_t events);
    int fd; /* -1: not watched */
};

/* One command of a pipeline. */
struct stage {
    LIST_ENTRY(stage) by_pid;
    struct proc *proc;
    pid_t pid;
    bool ended;
};

enum proc_state { PROC_STARTING, PROC_RUNNING, PROC_ENDED, PROC_FAILED };

/* What the client has yet to be told about a process. */
enum { TELL_STARTED = 1, TELL_ENDED = 2, TELL_PROC = 4 };

/* A process: known from its fork until the client has taken its end. A FAILED one could not be
 * executed; it is no longer found by its number, and goes when it is told and reaped. */
struct proc {
    LIST_ENTRY(proc) by_number;
    TAILQ_ENTRY(proc) all;
    TAILQ_ENTRY(proc) told; /* in init.tell when `tell` is not 0 */
    struct watch status;    /* the pipe on which exec failures come; its end is success */
    struct oerr *failure;   /* FAILED: why */
    char *user;             /* whose it is; NULL: as we run */
    uint32_t number, id;    /* id: of the spawn request, 0 once answered or given up */
    uint8_t state, tell;
    uint8_t fdmask; /* IM_IN... of what is held in fds */
    bool oom, pty;
    int fds[IM_FDS]; /* our ends of stdin, stdout, stderr, or -1 */
    int rc;          /* FAILED: -errno */
    int exit, signal;
    pid_t pgid;
    uint64_t started_us, ended_us, cpu_us, memory_peak;
    unsigned nstages, left; /* left: stages not reaped */
    struct stage stages[];
};

TAILQ_HEAD(proc_list, proc);

/* A connection. Free: watch.fd == -1. */
struct conn {
    struct watch watch;
    bool blocked; /* waits until it can be written */
    bool deaf;    /* its end is closed: what it sent is still read */
};

struct init {
    int epoll, lock;
    struct watch listen, signals;
    struct conn conns[CONNS];
    struct conn *client; /* the one that said HELLO last, or NULL */
    bool greeting;       /* READY is due once `tell` is empty */
    struct proc_list all, tell;
    LIST_HEAD(, proc) by_number[BUCKETS];
    LIST_HEAD(, stage) by_pid[BUCKETS];
    unsigned procs, running, held; /* records; not ended; descriptors kept */
    struct cgroup_base cgroups;
    struct rlimit nofile; /* as it was; children get it back */
    char user[64];        /* whose processes are started when no user is given */
    uint64_t started_us;
    uint64_t retry_ms;   /* when to try sending again, or 0 */
    uint64_t idle_ms;    /* the time without process and client after which it exits */
    uint64_t idle_since; /* 0: not idle */
    uint64_t stop_ms;    /* stopping: when the next KILL comes */
    uint64_t give_up_ms; /* killing: when it goes although processes are left */
    uint64_t quit_ms;    /* quitting: how long the client may take to hear the last words */
    bool stopping, killed, quit;
};

/* main.c */
int watch_add(struct init *in, struct watch *w, uint32_t events);
void watch_set(struct init *in, struct watch *w, uint32_t events);
void watch_close(struct init *in, struct watch *w);

/* conn.c */
int conn_listen(struct init *in, struct oerr *e);
void conn_flush(struct init *in); /* tells what can be told without blocking */
void conn_tell(struct init *in, struct proc *p, uint8_t what);
void conn_no_memory(struct init *in, uint32_t id, uint32_t number); /* not even for a record */
void conn_bye(struct init *in, uint8_t type); /* a last message, then the client is closed */

/* proc.c */
struct proc *proc_create(struct init *in, const struct ispec *s);
struct proc *proc_find(struct init *in, uint32_t number);
void proc_add_stage(struct init *in, struct proc *p, pid_t pid);
void proc_fail(struct init *in, struct proc *p, int rc, const char *text);
void proc_started(struct init *in, struct proc *p);
void proc_let_go(struct init *in, struct proc *p, uint8_t mask);
void proc_free(struct init *in, struct proc *p);
void proc_reap(struct init *in);
int proc_signal(struct init *in, struct proc *p, int sig);
void proc_stop(struct init *in, uint64_t grace_ms);
void proc_stop_step(struct init *in); /* when stop_ms has come */

/* spawn.c: starts what the memfd says; every failure is told to the client as well. */
void spawn_run(struct init *in, uint32_t id, uint32_t number, int memfd);
void spawn_status(struct init *in, struct watch *w, uint32_t events);

/* child.c */
struct child {
    const struct ispec *spec;
    const struct init *in;
    unsigned stage;
    int stdio[3], status;
    pid_t pgid, parent; /* pgid 0: it leads */
};
/* What a child says on the status pipe when it cannot go on. */
struct child_failure {
    int rc;
    char text[sizeof((struct oerr *)0)->text];
};
_Noreturn void child_run(const struct child *c);

#endif
