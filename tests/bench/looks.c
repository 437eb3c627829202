/*
 * looks.c - stat and open, read, close of small files, in turn.
 *
 *   looks ROUNDS OPS FILE...
 *
 * One line a file: the median over the rounds of the time of one stat, then of one open, read and
 * close, in seconds. The files take turns by OPS operations, so that what else the machine does
 * hits all alike. A file must not be empty. The first round is not counted.
 */
#include "tests/bench/timing.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void look(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        err(1, "%s", path);
}

static void load(const char *path)
{
    static char buffer[4096];
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        err(1, "%s", path);
    if (read(fd, buffer, sizeof buffer) <= 0)
        errx(1, "%s: nothing to read", path);
    close(fd);
}

static double one(void (*op)(const char *), const char *path, int ops)
{
    double began = seconds();

    for (int i = 0; i < ops; i++)
        op(path);
    return (seconds() - began) / ops;
}

int main(int argc, char **argv)
{
    int rounds = argc > 3 ? atoi(argv[1]) : 0, ops = argc > 3 ? atoi(argv[2]) : 0;
    size_t files = argc > 3 ? (size_t)argc - 3 : 0, per_file = (size_t)(rounds > 0 ? rounds : 0);
    double *stats = calloc(files * per_file + 1, sizeof *stats);
    double *loads = calloc(files * per_file + 1, sizeof *loads);

    if (rounds < 1 || ops < 1 || !stats || !loads)
        errx(64, "usage: looks ROUNDS OPS FILE...");
    for (int r = -1; r < rounds; r++) {
        for (size_t f = 0; f < files; f++) {
            size_t at = f * per_file + (size_t)(r < 0 ? 0 : r);

            stats[at] = one(look, argv[f + 3], ops);
            loads[at] = one(load, argv[f + 3], ops);
        }
    }
    for (size_t f = 0; f < files; f++)
        printf("%.9f %.9f\n", median(stats + f * per_file, per_file),
               median(loads + f * per_file, per_file));
    free(stats);
    free(loads);
    return 0;
}
