/*
 * proctab.h - what every machine knows of the processes of all machines.
 *
 * A machine is the only authority for its own processes: it sets their records and publishes the
 * changes (bus type LIVE) with a running number; the others hold replicas, and ask for all of it
 * (SYNC) when a number is missing. Waiting for the end of a process is waiting on the local
 * replica. Core loop only.
 */
#ifndef ONEOS_RUN_PROCTAB_H
#define ONEOS_RUN_PROCTAB_H

#include "base/stream.h"
#include "net/identity.h"

#include <jansson.h>
#include <uthash.h>

#define PROC_NAME_MAX    (ID_MAX + 12) /* ID.N */
#define PROC_JOB_MAX     72            /* a job's name, and its NUL */
#define PROC_CMDLINE_MAX 256 /* of the command line in a record; the whole is in `cmdline` */

enum proc_state { PROC_NEW, PROC_RUNNING, PROC_STOPPED, PROC_ENDED };
enum proc_cause { CAUSE_NONE, CAUSE_EXITED, CAUSE_KILLED, CAUSE_OOM, CAUSE_TIMEOUT, CAUSE_LOST };

struct flow;

struct proc_rec {
    char name[PROC_NAME_MAX]; /* ID.N, the key */
    char machine[ID_MAX];
    uint32_t number;
    char user[64];
    enum proc_state state;
    enum proc_cause cause;
    int exit, signal; /* -1: not that way */
    int stuck; /* errno: why its output cannot be kept, so that it waits; 0: it can */
    uint64_t created_us, started_us, ended_us, changed_us;
    char cmdline[PROC_CMDLINE_MAX];
    char job[PROC_JOB_MAX]; /* "": of no job */

    struct flow *waiters; /* private: what `wait` reads until the end */
    bool published, late; /* private: others know it; they do not know all of it */
    struct proc_rec *late_prev, *late_next;
    UT_hash_handle hh;
};

struct proctab;

struct proctab_ops {
    /* A record came, changed, or went (gone). */
    void (*changed)(void *arg, const struct proc_rec *r, bool gone);
    /* Publish this change of our own records: takes the reference. */
    void (*publish)(void *arg, json_t *change);
    /* Call proctab_publish() in some milliseconds. What is of jobs can wait for that: who waits for
     * a job looks at its own record. NULL: nothing waits. */
    void (*later)(void *arg);
};

int proctab_create(struct proctab **out, const char *self, const struct proctab_ops *ops,
                   void *arg);
void proctab_destroy(struct proctab *t);

const char *proc_state_name(enum proc_state s);
const char *proc_cause_name(enum proc_cause c);

const struct proc_rec *proctab_find(const struct proctab *t, const char *name);
/* All records, in no order: pass NULL first; NULL behind the last. */
const struct proc_rec *proctab_next(const struct proctab *t, const struct proc_rec *after);

/* Our own: adds or replaces by name, and publishes. -ENOMEM. */
int proctab_set(struct proctab *t, const struct proc_rec *r);
void proctab_drop(struct proctab *t, const char *name);
void proctab_publish(struct proctab *t); /* what waits, as one change */

/* Replication. The number of our last change; all our records; a change or all records of another.
 * apply answers -EAGAIN when it misses something (then ask for all), -EPROTO when it is malformed
 * (nothing of it is taken). */
uint64_t proctab_seq(const struct proctab *t);
json_t *proctab_all(const struct proctab *t);
int proctab_apply(struct proctab *t, const char *from, const json_t *change);
int proctab_replace(struct proctab *t, const char *from, const json_t *all);
/* One record that its owner gave us directly, ahead of what it published. */
int proctab_learn(struct proctab *t, const char *from, const json_t *record);
bool proctab_behind(const struct proctab *t, const char *from, uint64_t seq);

/* The machine has been gone for longer than a link resumes: who waits there is told `lost ID`. */
void proctab_lost(struct proctab *t, const char *machine);
/* It is back (or forgotten: gone). */
void proctab_back(struct proctab *t, const char *machine);
void proctab_forget(struct proctab *t, const char *machine);

/* The line that `wait` gives: false while there is none. */
bool proctab_verdict(const struct proctab *t, const struct proc_rec *r, char line[128]);

/* A stream that blocks until the end, then gives that line and end of file. -ENOENT. */
int proctab_wait(struct proctab *t, const char *name, struct stream **out);

/* A record as one JSON object (the caller's), and back. */
json_t *proc_rec_encode(const struct proc_rec *r);
int proc_rec_decode(const json_t *j, struct proc_rec *r); /* -EPROTO */

#endif
