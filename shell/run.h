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
    char name[NAME_BYTES]; /* A.17 */
    int ctl;               /* the descriptor of `clone`, which is now that of the process's ctl */
    int wait;              /* that of its `wait`, or -errno */
    bool pty, no_stdin, detach;
    bool input_empty; /* it is plain that nothing comes on standard input */
    struct output out, err;
    pthread_t err_thread;
};

/* ---- the terminal and signals (run_signals.c) ---- */

/* The size of the terminal on standard input or output, else 24 by 80. */
void terminal_size(unsigned *rows, unsigned *cols);

/* Standard input becomes raw until the program ends, however it ends. Nothing without a terminal.
 */
void terminal_raw(void);

/* Holds signals back until forward_start(), so that none is lost between exec and the handlers. */
void forward_hold(void);

/* From now on signals go to the process, and size changes too when it has a terminal. For the main
 * thread: the others never see a signal. */
void forward_start(const struct run *r);

/* ---- bytes (run_io.c) ---- */

/* Opens its stdio and its `wait`, while the command starts. */
void stdio_open(struct run *r);

/* Starts to pass standard input and standard error. 0 or -errno. */
int stdio_start(struct run *r);

/* Passes standard output, and waits for the ends of both: then r->out and r->err tell what became
 * of them. On the main thread, which the signals interrupt. */
void stdio_pass(struct run *r);

#endif
