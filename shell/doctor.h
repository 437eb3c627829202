/*
 * doctor.h - what the checks of `oneos doctor` share.
 */
#ifndef ONEOS_SHELL_DOCTOR_H
#define ONEOS_SHELL_DOCTOR_H

#include "shell/shell.h"
#include "shell/table.h"

enum verdict { OK, NOTE, WRONG };

struct exam {
    struct shell *sh;
    const char *check; /* the name of the one under way */
    char state[4000];  /* the state folder of the daemon */
    json_t *status;    /* the tree's; NULL: no tree is open, or its daemon does not answer */
    int wrong;
};

/* A line: `ok` and `note` change nothing, `wrong` makes the exit status 1. */
void report(struct exam *x, enum verdict v, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What the tree says (doctor_tree.c); these say nothing when there is none. */
void check_registry(struct exam *x);
void check_machines(struct exam *x);
void check_services(struct exam *x);

#endif
