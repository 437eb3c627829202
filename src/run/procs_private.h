/*
 * procs_private.h - one process and the collection, shared by the files that implement them.
 */
#ifndef ONEOS_RUN_PROCS_PRIVATE_H
#define ONEOS_RUN_PROCS_PRIVATE_H

#include "base/flow.h"
#include "run/procs.h"
#include "run/sink.h"
#include "run/spool.h"

struct procs {
    struct loop *core, *data;
    struct proctab *tab;
    struct initc *init;
    char dir[4096]; /* of the processes' files */
    char self[ID_MAX], owner[64], mount[4096];
    bool any_user, closing;
    int next_fd; /* the file that remembers the next number */
    uint32_t next;
    struct proc *all;
    size_t ended;
    uv_timer_t sweep, saving;
    struct proc *unsaved; /* to be saved when `saving` fires */
};

struct proc {
    struct procs *procs;
    struct proc_rec rec;
    UT_hash_handle hh; /* by rec.number */
    char **argv;       /* stages, each ended by NULL, the whole by another */
    size_t argc;       /* entries in argv without the last NULL */
    char **env;        /* what its maker asked for, K=V */
    size_t n_env, env_bytes;
    char *cwd; /* NULL: the user's home */
    bool pty, starting, adopted, stdin_broken;
    bool whole;   /* all of its output was seen to its end, and is kept */
    bool saved;   /* its file has what is here */
    bool to_save; /* it is among procs->unsaved */
    struct proc *prev, *next;
    bool released; /* the handle that made it was closed */
    unsigned short rows, cols;
    int tty_fd; /* a pty's master, for the window size; else -1 */
    int nice;

    struct flow *in;
    struct sink *sink;
    struct spool *out, *err;
    struct init_end end;

    proc_done_fn *done; /* of an exec under way */
    void *done_arg;
};

#define SAVE_MS 10

void procs_save(uv_timer_t *saving);

/* procs.c: what one user has here; both walk through all processes. */
size_t procs_count_of(const struct procs *p, const char *user);
size_t procs_env_bytes_of(const struct procs *p, const char *user);

/* proc.c */
int proc_create(struct proc **out, struct procs *p, const struct proc_rec *rec, struct oerr *e);
void proc_destroy(struct proc *proc, bool remove);
void proc_attach(struct proc *proc, struct init_fds *fds); /* takes the descriptors */
void proc_ended(struct proc *proc, const struct init_end *end);
void proc_settle(
    struct proc *proc); /* lets oneos-init forget one that ended, once its output is kept */
void proc_no_output(struct proc *proc, int how); /* nothing more comes: as spool_end() */
void proc_changed(struct proc *proc);            /* published, saved soon */
void proc_to_save(struct proc *proc);
void proc_save_now(struct proc *proc);

/* proc_file.c: N.json. */
int proc_save(const struct proc *proc);
void proc_unsave(const struct proc *proc);
int proc_load(struct procs *p, uint32_t number, struct proc **out, struct oerr *e);
void proc_path(const struct procs *p, uint32_t number, const char *suffix, char path[4200]);

#endif
