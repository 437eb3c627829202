/*
 * commands.h - the entry of every subcommand's file, for the table in main.c.
 */
#ifndef ONEOS_SHELL_COMMANDS_H
#define ONEOS_SHELL_COMMANDS_H

#include "shell/shell.h"

extern const struct command cmd_run, cmd_ps, cmd_machines, cmd_pipes, cmd_kill, cmd_wait, cmd_logs,
    cmd_log, cmd_status, cmd_doctor, cmd_token, cmd_accept, cmd_reject, cmd_forget, cmd_drain,
    cmd_resume, cmd_label;

#endif
