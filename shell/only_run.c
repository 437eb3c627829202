/*
 * only_run.c - the small program: `oneos run` and nothing else, for the sake of its start.
 *
 * Most of what a short command takes is the start of programs, and most of that is the C library:
 * glibc asks the processor for its features some eighty times, which a virtual machine answers in
 * microseconds each. Linked with musl (m4/musl.m4) the client starts in a quarter of the time. What
 * needs more libraries (tables, JSON, configuration files) is done by oneos-client, which this
 * becomes then. Where there is no musl, `oneos` is that program itself.
 */
#include "shell/commands.h"

#include "base/options_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENT "oneos-client"

const struct command *const commands[] = { &cmd_run, NULL };

/* Is there a configuration file, or may there be? */
static bool is_configured(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];

    if (access(OPTIONS_SYSTEM_FILE, F_OK) == 0)
        return true;
    if (config && *config == '/')
        snprintf(path, sizeof path, "%s/oneos/oneos.conf", config);
    else
        snprintf(path, sizeof path, "%s/.config/oneos/oneos.conf", home ? home : "");
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int options_read_files(struct options *o, struct oerr *e)
{
    (void)o, (void)e;
    return 0; /* there are none */
}

/* Beside this program (a build tree), else where it is installed. */
void hand_over(int argc, char **argv)
{
    char path[PATH_MAX];
    ssize_t n;
    char *slash;

    if (argc > 1 && strcmp(argv[1], "run") == 0 && !is_configured())
        return;
    n = readlink("/proc/self/exe", path, sizeof path - sizeof CLIENT);
    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash) {
        strcpy(slash + 1, CLIENT);
        execv(path, argv);
    }
    execv(ONEOS_LIBEXECDIR "/" CLIENT, argv);
    exit(say(EXIT_ONEOS, "%s/%s cannot be started: %s; install all of OneOS", ONEOS_LIBEXECDIR,
             CLIENT, strerror(errno)));
}
