/*
 * wait_line.c - how a process or a job ended, from the line of its `wait` to an exit status; signal
 * names.
 */
#include "shell/shell.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const names[NSIG] = {
    [SIGHUP] = "HUP",       [SIGINT] = "INT",   [SIGQUIT] = "QUIT",   [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP",     [SIGABRT] = "ABRT", [SIGBUS] = "BUS",     [SIGFPE] = "FPE",
    [SIGKILL] = "KILL",     [SIGUSR1] = "USR1", [SIGSEGV] = "SEGV",   [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE",     [SIGALRM] = "ALRM", [SIGTERM] = "TERM",   [SIGSTKFLT] = "STKFLT",
    [SIGCHLD] = "CHLD",     [SIGCONT] = "CONT", [SIGSTOP] = "STOP",   [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN",     [SIGTTOU] = "TTOU", [SIGURG] = "URG",     [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ",     [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGPOLL] = "POLL",
    [SIGVTALRM] = "VTALRM", [SIGPWR] = "PWR",   [SIGSYS] = "SYS",
};

int signal_number(const char *name)
{
    int n = 0;

    if (isdigit((unsigned char)*name)) {
        for (; isdigit((unsigned char)*name) && n < NSIG; name++)
            n = n * 10 + (*name - '0');
        return *name == '\0' && n > 0 && n < NSIG ? n : -1;
    }
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (n = 1; n < NSIG; n++)
        if (names[n] && strcasecmp(names[n], name) == 0)
            return n;
    return -1;
}

int wait_status(const char *line)
{
    static const struct {
        const char *line;
        int status;
    } plain[] = { { "timeout", EXIT_TIMEOUT }, { "cancelled", EXIT_ONEOS } };
    char word[16], value[NAME_BYTES], more;
    int n = sscanf(line, "%15s %127s %c", word, value, &more);

    for (size_t i = 0; n == 1 && i < sizeof plain / sizeof *plain; i++)
        if (strcmp(word, plain[i].line) == 0)
            return plain[i].status;
    if (n != 2)
        return -1;
    if (strcmp(word, "exit") == 0 && sscanf(value, "%d%c", &n, &more) == 1 && n >= 0 && n < 256)
        return n;
    if (strcmp(word, "signal") == 0 && (n = signal_number(value)) > 0)
        return 128 + n;
    return strcmp(word, "lost") == 0 ? EXIT_ONEOS : -1;
}
