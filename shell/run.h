/*
 * run.h - what the parts of `oneos run` share.
 */
#ifndef ONEOS_SHELL_RUN_H
#define ONEOS_SHELL_RUN_H

#include "shell/shell.h"

#include <pthread.h>

/* What became of one of its outputs. */
struct output {
    struct run *run;
    const char *file; /* NULL: it has none */
    int from, to;
    int rc;         /* -errno when not all of it could be read */
    bool unwritten; /* not all of it could be written here, which was said */
};

struct run {
    const struct shell *sh;
    bool job;              /* it is a job of the scheduler, else a process */
    char name[NAME_BYTES]; /* 17, A.17 */
    int ctl;               /* the descriptor of `clone`, which is now that of its ctl */
    int wait;              /* that of its `wait`, or -errno */
    bool pty, detach;
    bool input_empty; /* it is plain that nothing comes on standard input */
    struct output out, err;
    pthread_t err_thread;
};

/* Where its files are. */
static inline const char *run_folder(const struct run *r)
{
    return r->job ? "jobs" : "procs";
}

/* ---- what is asked (run_request.c) ---- */

/* The command line as the run line has it: [@SELECTOR] [NAME=VALUE...] command [args...]. */
struct request {
    const char *selector;      /* NULL: any machine */
    const char *cpus, *memory; /* NULL: not said */
    const char *line;          /* NULL: command says it */
    char **assign;             /* nassign of NAME=VALUE */
    int nassign;
    char **command; /* ended by NULL */
};

/* 0, or 64 having said why. */
int request_parse(const struct shell *sh, char **argv, struct request *q);

/* The lines that make and start it: for procs/N/ctl, for jobs/N/ctl. */
void request_process(const struct run *r, const struct request *q, struct obuf *out);
void request_job(const struct run *r, const struct request *q, struct obuf *out);

/* ---- the terminal and signals (run_signals.c) ---- */

/* The size of the terminal on standard input or output, else 24 by 80. */
void terminal_size(unsigned *rows, unsigned *cols);

/* Standard input becomes raw until the program ends, however it ends. Nothing without a terminal.
 */
void terminal_raw(void);

/* Holds signals back until forward_start(), so that none is lost between exec and the handlers. */
void forward_hold(void);

/* From now on signals go to the process, and size changes too when it has a terminal. For the main
 * thread: the others never see a signal. A job that does not run yet is cancelled by what would end
 * it: forward_cancelled() then says by which signal, else 0. */
void forward_start(const struct run *r);
int forward_cancelled(void);

/* ---- bytes (run_io.c) ---- */

/* True when it is plain that nothing comes on standard input. */
bool stdio_no_input(void);

/* Opens its stdio and its `wait`, while the command starts, and begins to pass standard input and
 * standard error. 0 or -errno. */
int stdio_start(struct run *r);

/* Passes standard output, and waits for the ends of both: then r->out and r->err tell what became
 * of them. On the main thread, which the signals interrupt. */
void stdio_pass(struct run *r);

#endif
