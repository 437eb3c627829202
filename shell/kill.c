/*
 * kill.c - `oneos kill`: sends a signal to jobs and processes, wherever they run.
 */
#include "shell/commands.h"

#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int check_signal(const char *value, struct oerr *e)
{
    if (signal_number(value) > 0)
        return 0;
    return oerr_set(e, -EINVAL, "there is no signal '%s': use a name such as TERM", value);
}

static const struct option_row rows[] = {
    { .name = "signal",
      .letter = 's',
      .arg = "SIG",
      .flag_only = true,
      .check = check_signal,
      .help = "its name or number (TERM)" },
    { 0 },
};

static int run(struct shell *sh, int argc, char **argv)
{
    const char *given = options_get(sh->options, "signal");
    int sig = given ? signal_number(given) : SIGTERM, status = 0, rc;
    char path[NAME_BYTES * 2], line[32];

    if (sigabbrev_np(sig))
        snprintf(line, sizeof line, "signal %s\n", sigabbrev_np(sig));
    else
        snprintf(line, sizeof line, "signal %d\n", sig);
    for (int i = 0; i < argc; i++) {
        rc = thing_path(sh, argv[i], path);
        if (rc)
            return rc;
        strcat(path, "/ctl");
        rc = ctl_write(sh, path, line);
        status = rc ? rc : status;
    }
    return status;
}

const struct command cmd_kill = {
    .name = "kill",
    .usage = "[-s SIG] JOB|PROC...",
    .help = "send a signal to jobs or processes",
    .rows = rows,
    .min = 1,
    .max = -1,
    .run = run,
};
