/*
 * laps.c - runs commands in turn, each to its end, and prints the median time of each. Their
 * standard input and output are /dev/null.
 *
 *   laps ROUNDS COMMAND [ARG...] [::: COMMAND [ARG...]]...
 *
 * One line a command: the median in seconds. The commands take turns, so that what else the
 * machine does hits all alike. Each must end with 0. The first round is not counted.
 */
#include "base/cleanup.h"
#include "tests/bench/timing.h"

#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define COMMANDS_MAX 8

static double lap(char **argv)
{
    extern char **environ;
    posix_spawn_file_actions_t files;
    double began;
    int status, rc;
    pid_t pid;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    began = seconds();
    rc = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (rc)
        errx(1, "%s: %s", argv[0], strerror(rc));
    if (waitpid(pid, &status, 0) < 0)
        err(1, "waitpid");
    if (status)
        errx(1, "%s ended with status 0x%x", argv[0], (unsigned)status);
    return seconds() - began;
}

int main(int argc, char **argv)
{
    char **commands[COMMANDS_MAX] = { argv + 2 };
    double *took[COMMANDS_MAX];
    int rounds = argc > 2 ? atoi(argv[1]) : 0, n = 1;

    if (rounds < 1)
        errx(64, "usage: laps ROUNDS COMMAND [ARG...] [::: COMMAND [ARG...]]...");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], ":::") != 0)
            continue;
        if (n == COMMANDS_MAX || i + 1 == argc || i == 2)
            errx(64, "at most %d commands between :::, none empty", COMMANDS_MAX);
        argv[i] = NULL;
        commands[n++] = argv + i + 1;
    }
    for (int i = 0; i < n; i++)
        if (!(took[i] = calloc((size_t)rounds, sizeof *took[i])))
            err(1, "calloc");
    for (int r = -1; r < rounds; r++)
        for (int i = 0; i < n; i++)
            took[i][r < 0 ? 0 : r] = lap(commands[i]);
    for (int i = 0; i < n; i++) {
        printf("%.9f\n", median(took[i], (size_t)rounds));
        free(took[i]);
    }
    return 0;
}
