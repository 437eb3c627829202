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
    const char *file;
    int to;
    int rc;         /* -errno when not all of it could be read */
    bool unwritten; /* not all of it could be written here, which was said */
    bool started;
    pthread_t thread;
};

struct run {
    const struct shell *sh;
    char name[NAME_BYTES]; /* A.17 */
    int ctl;               /* the descriptor of `clone`, which is now that of the process's ctl */
    bool pty, no_stdin, detach;
    bool input_empty; /* it is plain that nothing comes on standard input */
    struct output out, err;
};

/* ---- the terminal and signals (run_signals.c) ---- */

/* The size of the terminal on standard input or output, else 24 by 80. */
void terminal_size(unsigned *rows, unsigned *cols);

/* Standard input becomes raw until the program ends, however it ends. Nothing without a terminal.
 */
void terminal_raw(void);

/* Holds signals back until forward_start(), so that none is lost between exec and the handlers. */
void forward_hold(void);

/* From now on signals go to the process, and size changes too when it has a terminal. To be
 * called by the main thread, after all other threads were started: they never see a signal. */
void forward_start(const struct run *r);

/* ---- bytes (run_io.c) ---- */

/* Threads that open the outputs and pass them; before the command is started. 0 or -errno. */
int outputs_start(struct run *r);

/* Waits for their ends; then r->out and r->err tell what became of them. */
void outputs_end(struct run *r);

/* Of a process that was not started: they may wait for ever, and end with the program. */
void outputs_abandon(struct run *r);

/* Passes standard input, once the command runs: until then it is not ours to take. 0 or -errno. */
int input_start(struct run *r);

#endif
