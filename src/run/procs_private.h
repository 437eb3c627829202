/*
 * procs_private.h - one process and the collection, shared by the files that implement them.
 */
#ifndef ONEOS_RUN_PROCS_PRIVATE_H
#define ONEOS_RUN_PROCS_PRIVATE_H

#include "base/flow.h"
#include "run/proc_slots.h"
#include "run/procs.h"
#include "run/sink.h"
#include "run/source.h"
#include "run/spool.h"

/* What the password file says of a user, for a moment. */
struct login {
    char user[64], shell[256], home[4096];
    bool known, home_ok;
    uint64_t until_ms;
};

struct procs {
    struct loop *core, *data;
    struct proctab *tab;
    struct initc *init;
    char dir[4096]; /* of the processes' files */
    char self[ID_MAX], owner[64], mount[4096];
    uint64_t output_limit;
    bool any_user, closing;
    struct slots *slots; /* records of planned processes */
    int next_fd;         /* the file that remembers the next number */
    uint32_t next;
    struct proc *all;
    struct login login;
    uint64_t lease_until; /* now_ms(); oneos-init kills nothing for the lease before */
    uv_timer_t sweep, saving, draining;
    struct proc *unsaved;   /* to be saved when `saving` fires */
    struct proc *undrained; /* their output is to be drained when `draining` fires */
    const struct procs_job_ops *job_ops;
    void *job_arg;

    /* Of those that have ended, in the order of that: without a tag, with one. */
    struct proc *ended[2];
    size_t n_ended[2];
    struct proc *bulky; /* their output takes room on the disk */
    uint64_t kept_bytes, keep_bytes;
};

enum { OUT_STDOUT, OUT_STDERR, N_OUT };

/* Output, kept by a spool or taken off by a wire's source. Both are made when they are needed. */
struct proc_out {
    struct spool *spool;
    struct source *source;
    int fd;                 /* not yet given to one of these; else -1 */
    bool wire;              /* it is a source, never a spool */
    bool held;              /* a wire's end that waits for that of the process */
    bool over;              /* nothing more comes; `last` says how much there was */
    struct spool_stat last; /* when over and there is no spool */
};

struct proc {
    struct procs *procs;
    struct proc_rec rec;
    struct proc_tag tag;
    uint64_t changed_ms; /* as rec.changed_us, by a clock that nobody sets */
    UT_hash_handle hh;   /* by rec.number */
    char **argv;         /* stages, each ended by NULL, the whole by another */
    size_t argc;         /* entries in argv without the last NULL */
    char *shown;         /* or its command line as text: of one that was planned */
    char **env;          /* what its maker asked for, K=V */
    size_t n_env, env_bytes;
    char *cwd; /* NULL: the user's home */
    bool pty, planned, leased, starting, adopted, no_stdin;
    bool whole;        /* all of its output was seen to its end, and is kept */
    bool saved;        /* its file has what is here */
    bool filed;        /* N.json may be there */
    int slot;          /* where its record is in procs->slots, or -1 */
    bool to_save;      /* it is among procs->unsaved */
    bool to_drain;     /* it is among procs->undrained... */
    uint64_t drain_ms; /* ...until then */
    struct proc *prev, *next, *drain_prev, *drain_next, *ended_prev, *ended_next;
    struct proc *bulky_prev, *bulky_next;
    uint64_t kept; /* > 0: it is among procs->bulky, for that many bytes */
    bool listed;   /* it is among procs->ended */
    bool released; /* the handle that made it was closed */
    bool told_started, told_ended;
    bool lapsed; /* the lease ran out while it ran */
    unsigned short rows, cols;
    int tty_fd; /* a pty's master, for the window size; else -1 */
    int nice;
    enum proc_cause cause; /* we end it for this; CAUSE_NONE: we do not */

    /* stdin: the descriptor waits until somebody writes, or what is fed is there. */
    int in_fd;
    struct flow *in;
    struct stream *feed; /* until the start */
    struct sink *sink;
    bool fed;
    uint64_t in_bytes;
    struct proc_out out[N_OUT];
    struct init_end end;

    proc_done_fn *done; /* of an exec under way */
    void *done_arg;
};

#define SAVE_MS  10
#define DRAIN_MS 5

/* procs.c */
int procs_make(struct procs *p, const char *user, struct proc **out, struct oerr *e);
void procs_drop(struct procs *p, struct proc *proc); /* record, output and all */
/* What one user has here; both walk through all processes. */
size_t procs_count_of(const struct procs *p, const char *user);
size_t procs_env_bytes_of(const struct procs *p, const char *user);

/* procs_keep.c: how long those that have ended are kept, and how much of their output. */
void keep_ended(struct proc *proc); /* it has just ended, or was loaded like that */
void keep_output(struct proc *proc, uint64_t bytes); /* nothing more comes; its files have these */
void keep_forget(struct proc *proc);                 /* it goes */
void keep_bounds(struct procs *p);
size_t keep_live(const struct procs *p); /* all but ended ones of jobs */

/* proc.c: its life. */
int proc_create(struct proc **out, struct procs *p, const struct proc_rec *rec, struct oerr *e);
void proc_destroy(struct proc *proc, bool remove);
void proc_started(void *arg, int rc, const char *text, pid_t pid, struct init_fds *fds);
void proc_adopted(struct proc *proc, struct init_fds *fds, bool running); /* takes them */
void proc_ended(struct proc *proc, const struct init_end *end);
void proc_settle(
    struct proc *proc); /* lets oneos-init forget one that ended, once its output is kept */
void proc_changed(struct proc *proc); /* published, saved soon */
void proc_kill(struct proc *proc, enum proc_cause cause);
int proc_only_new(const struct proc *proc, struct oerr *e);

/* proc_exec.c: what is executed. */
int proc_env_add(struct proc *proc, const char *assignment, struct oerr *e);
void proc_drop_argv(struct proc *proc);

/* proc_stdio.c */
int proc_attach(struct proc *proc, struct init_fds *fds); /* takes them; -EIO: a wire was cut */
void proc_drain(struct proc *proc);                       /* what waits for that */
void proc_stdio_ended(struct proc *proc);
bool proc_output_over(struct proc *proc);
bool proc_output_whole(struct proc *proc);
void proc_no_output(struct proc *proc, int how); /* nothing more comes: as spool_end() */
void proc_out_stat(struct proc *proc, int which, struct spool_stat *st);
void proc_out_look(struct proc *proc); /* at the files that an earlier daemon left */
int proc_out_drop(struct proc *proc);  /* what is kept, from the disk */
void proc_out_rest(struct proc *proc); /* lets go of spools that nothing more comes to */
void proc_stdio_free(struct proc *proc, bool remove);
void procs_drain(uv_timer_t *draining);

/* From the data loop: has tell called on the core, unless the process is gone by then. */
void proc_news(struct proc *proc, void (*tell)(struct proc *));

/* proc_wire.c */
int proc_out_wire(struct proc *proc, int which); /* before the start: this output is one */
void proc_wires_ended(struct proc *proc);

/* procs_job.c: tell of processes with a tag. */
void job_started(struct proc *proc);
void job_ended(struct proc *proc);

/* proc_file.c: records on the disk. */
void procs_save(uv_timer_t *saving);
void proc_to_save(struct proc *proc);
void proc_save_now(struct proc *proc);
int proc_save(struct proc *proc);
void proc_unsave(struct proc *proc);
int proc_load(struct procs *p, uint32_t number, struct proc **out, struct oerr *e);
int procs_load_slots(struct procs *p, struct oerr *e);
void proc_path(const struct procs *p, uint32_t number, const char *suffix, char path[4200]);

#endif
