/*
 * run_signals.c - `oneos run`: signals go to the process; the terminal is raw with -t.
 *
 * The handlers write to the process's ctl themselves: write(2) may be called in a handler, and so
 * no signal can slip between a test and a blocking read. They run on the main thread only.
 * A signal that was ignored when we were started stays ignored (nohup).
 */
#include "shell/run.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

static const struct forwarded {
    int sig;
    const char *line; /* NULL: made when it comes */
    bool ends;        /* ends us too when the process cannot be told */
} table[] = {
    { SIGHUP, "signal HUP\n", true },    { SIGINT, "signal INT\n", true },
    { SIGQUIT, "signal QUIT\n", true },  { SIGTERM, "signal TERM\n", true },
    { SIGUSR1, "signal USR1\n", false }, { SIGUSR2, "signal USR2\n", false },
    { SIGTSTP, "signal STOP\n", false }, /* its group has no shell, so that it would not stop by
                                            TSTP */
    { SIGCONT, "signal CONT\n", false }, { SIGWINCH, NULL, false },
};

static int ctl = -1;
static bool is_job;
static volatile sig_atomic_t cancelled; /* the signal that did it */
static int terminal = -1;               /* our own descriptor of it, when it was made raw */
static struct termios saved;

static void restore_terminal(void)
{
    if (terminal >= 0)
        tcsetattr(terminal, TCSADRAIN, &saved);
}

static void make_raw(void)
{
    struct termios t = saved;

    cfmakeraw(&t);
    tcsetattr(terminal, TCSADRAIN, &t);
}

void terminal_raw(void)
{
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    terminal = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (terminal < 0)
        return;
    atexit(restore_terminal);
    make_raw();
}

void terminal_size(unsigned *rows, unsigned *cols)
{
    struct winsize w = { 0 };

    if ((ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0) ||
        w.ws_row == 0 || w.ws_col == 0)
        w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
    *rows = w.ws_row;
    *cols = w.ws_col;
}

static char *put_number(char *to, unsigned n)
{
    char digits[12];
    int len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    while (len > 0)
        *to++ = digits[--len];
    return to;
}

/* "winsize ROWS COLS\n", without stdio: this is a signal handler. */
static size_t winsize_line(char line[static 40])
{
    unsigned rows, cols;
    char *to = line;

    terminal_size(&rows, &cols);
    memcpy(to, "winsize ", 8);
    to = put_number(to + 8, rows);
    *to++ = ' ';
    to = put_number(to, cols);
    *to++ = '\n';
    return (size_t)(to - line);
}

static void end_here(int sig)
{
    static const char words[] = "\noneos: the process could not be told of the signal\n";

    restore_terminal();
    if (errno != ESRCH && write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(128 + sig);
    _exit(128 + sig);
}

/* The process could not be told: a job that waits can be cancelled instead. */
static void cannot_tell(int sig)
{
    static const char cancel[] = "cancel\n";

    if (!is_job || write(ctl, cancel, sizeof cancel - 1) < 0)
        end_here(sig);
    cancelled = sig;
}

int forward_cancelled(void)
{
    return cancelled;
}

static void on_signal(int sig)
{
    int saved_errno = errno;
    char line[40];
    ssize_t n;
    size_t i = 0;

    while (table[i].sig != sig)
        i++;
    if (sig == SIGCONT && terminal >= 0)
        make_raw();
    if (table[i].line)
        n = write(ctl, table[i].line, strlen(table[i].line));
    else
        n = write(ctl, line, winsize_line(line));
    if (n < 0 && table[i].ends)
        cannot_tell(sig);
    if (sig == SIGTSTP) {
        restore_terminal();
        kill(getpid(), SIGSTOP);
    }
    errno = saved_errno;
}

static void forwarded_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        sigaddset(set, table[i].sig);
}

void forward_hold(void)
{
    sigset_t set;

    forwarded_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTIN, SIG_IGN); /* reading in the background then fails, instead of stopping us */
}

void forward_start(const struct run *r)
{
    struct sigaction sa = { .sa_handler = on_signal }, old;
    sigset_t set;

    ctl = r->ctl;
    is_job = r->job;
    forwarded_set(&set);
    sa.sa_mask = set;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].sig == SIGWINCH && !r->pty)
            continue;
        if (sigaction(table[i].sig, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(table[i].sig, &sa, NULL);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
