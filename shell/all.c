/*
 * all.c - the program that has all subcommands.
 */
#include "shell/commands.h"

const struct command *const commands[] = {
    &cmd_run,    &cmd_each,   &cmd_submit, &cmd_jobs,     &cmd_why,      &cmd_cancel, &cmd_ps,
    &cmd_top,    &cmd_kill,   &cmd_wait,   &cmd_logs,     &cmd_machines, &cmd_pipes,  &cmd_services,
    &cmd_status, &cmd_doctor, &cmd_log,    &cmd_token,    &cmd_accept,   &cmd_reject, &cmd_forget,
    &cmd_drain,  &cmd_resume, &cmd_label,  &cmd_registry, NULL,
};

void hand_over(int argc, char **argv)
{
    (void)argc, (void)argv;
}
