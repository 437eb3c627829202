/*
 * init.h - the parts of oneos-init: one state, used by its few files and by nobody else.
 *
 * main.c runs the loop, conn.c talks to clients, proc.c keeps the processes and reaps them,
 * spawn.c starts them, child.c is what happens between fork and exec, doom.c sees to it that
 * nothing is left of one, by kin.c where there is no cgroup.c, lease.c knows until when jobs may
 * run.
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
    TAILQ_ENTRY(proc) told;  /* in init.tell when `tell` is not 0 */
    TAILQ_ENTRY(proc) dying; /* in init.doomed when `doomed` */
    struct watch status;     /* the pipe on which exec failures come; its end is success */
    struct oerr *failure;    /* FAILED: why */
    char *user;              /* whose it is; NULL: as we run */
    char *tag;               /* "ONEOS_PROC=..." of its environment, or NULL */
    uint32_t number, id;     /* id: of the spawn request, 0 once answered or given up */
    uint8_t state, tell;
    uint8_t fdmask; /* IM_IN... of what is held in fds */
    bool oom, pty;
    bool leased, reap_all; /* as asked for */
    bool out_of_lease;     /* it ran when the lease ran out */
    bool lease;            /* and died of that */
    bool grouped, tracked; /* it has a cgroup; one that says what belongs to it */
    bool doomed;           /* all of it is being killed */
    unsigned kin;          /* doomed: what the last look found of it */
    uint64_t doomed_ms;    /* since when */
    int gate;              /* stages wait on its other end for each other, or -1 */
    unsigned ready;        /* stages that have come to the gate */
    int fds[IM_FDS];       /* our ends of stdin, stdout, stderr, or -1 */
    int rc;                /* FAILED: -errno */
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
    struct watch listen, signals, lease;
    struct conn conns[CONNS];
    struct conn *client; /* the one that said HELLO last, or NULL */
    bool greeting;       /* READY is due once `tell` is empty */
    struct proc_list all, tell, doomed;
    LIST_HEAD(, proc) by_number[BUCKETS];
    LIST_HEAD(, stage) by_pid[BUCKETS];
    unsigned procs, running, held; /* records; not ended; descriptors kept */
    struct cgroup_base cgroups;
    struct rlimit nofile; /* as it was; children get it back */
    char user[64];        /* whose processes are started when no user is given */
    uint64_t started_us;
    uint64_t lease_until; /* 0: there is no lease */
    uint64_t doom_ms;     /* when the next look at the doomed is due, or 0 */
    uint64_t retry_ms;    /* when to try sending again, or 0 */
    uint64_t idle_ms;     /* the time without process and client after which it exits */
    uint64_t idle_since;  /* 0: not idle */
    uint64_t stop_ms;     /* stopping: when the next KILL comes */
    uint64_t give_up_ms;  /* killing: when it goes although processes are left */
    uint64_t quit_ms;     /* quitting: how long the client may take to hear the last words */
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
void proc_finish(struct init *in, struct proc *p);    /* its commands and what was left are gone */
struct stage *proc_stage(struct init *in, pid_t pid); /* the one that is our child, or NULL */
int proc_signal(struct init *in, struct proc *p, int sig);
void proc_stop(struct init *in, uint64_t grace_ms);
void proc_stop_step(struct init *in); /* when stop_ms has come */

/* spawn.c: starts what the memfd says; every failure is told to the client as well. */
void spawn_run(struct init *in, uint32_t id, uint32_t number, int memfd);
void spawn_status(struct init *in, struct watch *w, uint32_t events);

/* doom.c */
void doom(struct init *in, struct proc *p); /* from now on it is killed until nothing is left */
void doom_forget(struct init *in, struct proc *p);
void doom_step(struct init *in); /* when doom_ms has come */

/* kin.c: kills what belongs to the doomed that have no cgroup, and sets `kin` of each. */
void kin_kill(struct init *in);

/* lease.c */
int lease_open(struct init *in);
void lease_set(struct init *in, uint64_t until_ms);
bool lease_holds(const struct init *in);

/* child.c */
struct child {
    const struct ispec *spec;
    const struct init *in;
    unsigned stage;
    int stdio[3], status;
    int gate;     /* where it waits for the other stages once it could be executed, or -1 */
    int v1_procs; /* the cgroup to enter, or -1 */
    int nice;
    bool limit_itself;  /* nothing else watches over its memory */
    pid_t pgid, parent; /* pgid 0: it leads */
};
/* What a child says on the status pipe, one packet each: that it cannot go on, or, with rc 0, that
 * it has come to the gate. */
struct child_failure {
    int rc;
    char text[sizeof((struct oerr *)0)->text];
};
_Noreturn void child_run(const struct child *c);

#endif
