/*
 * initc_private.h - what the files of the client of oneos-init share.
 *
 * initc.c has the calls and the messages, initc_link.c finds or starts oneos-init and keeps the
 * connection, initc_usage.c reads the live figures.
 */
#ifndef ONEOS_RUN_INITC_PRIVATE_H
#define ONEOS_RUN_INITC_PRIVATE_H

#include "init/proto.h"
#include "run/initc.h"

#include <sys/queue.h>
#include <uthash.h>

enum cproc_state { CPROC_STARTING, CPROC_RUNNING, CPROC_ENDED };

/* What we know of a process. It goes with initc_taken, or when its spawn failed. */
struct cproc {
    UT_hash_handle hh;
    uint32_t number, id; /* id: of the spawn request */
    enum cproc_state state;
    bool sent;     /* its spawn request has left */
    bool seen;     /* oneos-init told of it since we connected again */
    bool more;     /* its spawn request is for version 2 */
    bool unwanted; /* nobody could take its descriptors: it is killed and forgotten */
    pid_t pid;
    unsigned npids;
    pid_t pids[IM_PIDS];
    uint64_t memory_peak;    /* the highest that initc_usage saw */
    struct init_usage usage; /* what it answered last... */
    uint64_t usage_until;    /* ...and how long it may again (now_ms) */
    initc_done_fn *done;
    void *arg;
};

/* A message that could not be sent yet. */
struct parcel {
    STAILQ_ENTRY(parcel) next;
    struct imsg m;
    int fd; /* travels with it; ours to close; or -1 */
};

/* The descriptor that is waited for: the starter's pipe, or the socket. Its memory lives until
 * libuv has closed the handle. */
struct cwatch {
    uv_poll_t poll;
    struct initc *c; /* NULL: dropped */
    bool writable;   /* also that is waited for */
    int fd;
};

/*
 *     DOWN -> GREETING                connected, HELLO sent
 *     DOWN -> STARTING -> DOWN        the program was started; when it says so, connect
 *     GREETING -> READY               READY came
 *     GREETING, READY -> DOWN         the connection ended: it is tried again
 *     any -> GONE                     refused, replaced, or destroyed: nothing more happens
 */
enum clink_state { CLINK_DOWN, CLINK_STARTING, CLINK_GREETING, CLINK_READY, CLINK_GONE };

struct initc {
    struct loop *core;
    const struct initc_ops *ops;
    void *arg;
    char *program, *dir;
    enum clink_state state;
    struct cwatch *watch;
    bool timer_made;
    uv_timer_t timer;
    uint64_t again_ms;    /* when initc_step is due, or 0 */
    pid_t starter;        /* the program before it has gone to the background, or 0 */
    uint32_t boot;        /* of that one: initc_boot() */
    pid_t init_pid;       /* of the oneos-init that has our processes, or 0 */
    bool orphaned;        /* connection lost, not known yet whether that oneos-init lives */
    bool stopped;         /* STOPPED came */
    uint16_t version;     /* that the connected oneos-init speaks */
    uint64_t lease_until; /* what initc_lease said last (now_ms), or 0 */
    uint32_t last_id;
    struct cproc *procs;
    STAILQ_HEAD(, parcel) parcels;
    char cgroups[sizeof((struct imsg *)0)->text]; /* the folder of their cgroups, or "" */
    struct oerr failure;                          /* why the last attempt failed */
    int failure_rc;
};

/* initc.c */
void initc_send(struct initc *c, const struct imsg *m, int fd); /* takes fd */
void initc_send_lease(struct initc *c);                         /* before all that waits */

/* initc_got.c */
enum initc_which { INITC_ALL, INITC_SENT, INITC_UNSEEN };

struct cproc *initc_find(const struct initc *c, uint32_t number);
struct cproc *initc_add(struct initc *c, uint32_t number);
void initc_answer_one(struct initc *c, struct cproc *p, int rc, const char *text); /* it failed */
int initc_refuse_old(const struct initc *c, struct oerr *e);
void initc_forget(struct initc *c, struct cproc *p);
void initc_answer(struct initc *c, enum initc_which which, int rc, const char *text); /* spawns */
void initc_got(struct initc *c, struct imsg *m, int fds[IM_FDS], bool fds_lost);
void initc_declare_lost(struct initc *c);

/* initc_link.c */
void initc_step(struct initc *c); /* the next thing to do, where that is not to wait */
void link_watch_writable(struct initc *c);
void initc_flush(struct initc *c);
void initc_gone(struct initc *c, int rc, const char *text);
void initc_drop(struct initc *c); /* closes the connection */
/* Waits for one event, at most until `deadline` (now_ms), and handles it. For create and destroy.
 */
void initc_pump(struct initc *c, uint64_t deadline);

#endif
