/*
 * commands.h - the entry of every subcommand's file, and the table of those that a program has:
 * all.c, or only_run.c for the small program.
 */
#ifndef ONEOS_SHELL_COMMANDS_H
#define ONEOS_SHELL_COMMANDS_H

#include "shell/shell.h"

extern const struct command cmd_run, cmd_ps, cmd_machines, cmd_pipes, cmd_services, cmd_kill,
    cmd_wait, cmd_logs, cmd_log, cmd_registry, cmd_status, cmd_doctor, cmd_token, cmd_accept,
    cmd_reject, cmd_forget, cmd_drain, cmd_resume, cmd_label, cmd_jobs, cmd_submit, cmd_why,
    cmd_cancel, cmd_each, cmd_top;

extern const struct command *const commands[]; /* ended by NULL */

/* Becomes the program that has all subcommands, when this one does not suffice. */
void hand_over(int argc, char **argv);

#endif
