/*
 * stream.c - a writer and a reader of one byte stream.
 *
 *   stream put MIB BLOCK_KIB [HOST PORT]    writes MIB to standard output, or over plain TCP
 *   stream take MIB BLOCK_KIB [PORT]        reads to the end; prints MiB/s
 *
 * take must get exactly MIB, else it fails. Its time runs from the first byte to the end, so that
 * connecting counts for nobody. Over TCP it listens first and says so with a line on standard
 * error.
 */
#include "base/cleanup.h"
#include "tests/bench/timing.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static struct sockaddr_in address_of(const char *host, const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        errx(64, "'%s' is not an address", host);
    return a;
}

static int dial(const char *host, const char *port)
{
    struct sockaddr_in a = address_of(host, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        err(1, "%s:%s", host, port);
    return fd;
}

static int answer(const char *port)
{
    struct sockaddr_in a = address_of("0.0.0.0", port);
    cleanup_close int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1, fd;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 1) < 0)
        err(1, "port %s", port);
    fprintf(stderr, "listening\n");
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        err(1, "accept");
    return fd;
}

static int put(int fd, size_t left, char *block, size_t size)
{
    ssize_t n;

    memset(block, 'x', size);
    while (left > 0) {
        n = write(fd, block, left < size ? left : size);
        if (n <= 0)
            err(1, "write");
        left -= (size_t)n;
    }
    if (close(fd) < 0)
        err(1, "close");
    return 0;
}

static int take(int fd, size_t want, char *block, size_t size)
{
    ssize_t n = read(fd, block, size);
    double began = seconds();
    size_t first = n > 0 ? (size_t)n : 0, got = first;

    while (n > 0 && (n = read(fd, block, size)) > 0)
        got += (size_t)n;
    if (n < 0)
        err(1, "read");
    if (got != want)
        errx(1, "%zu bytes came of %zu", got, want);
    printf("%.1f\n", (double)(got - first) / MIB / (seconds() - began));
    return 0;
}

int main(int argc, char **argv)
{
    size_t total = argc > 3 ? (size_t)atoi(argv[2]) * MIB : 0;
    size_t size = argc > 3 ? (size_t)atoi(argv[3]) * 1024 : 0;
    cleanup_free char *block = malloc(size ? size : 1);

    if (total && size && block && strcmp(argv[1], "put") == 0 && (argc == 4 || argc == 6))
        return put(argc == 6 ? dial(argv[4], argv[5]) : STDOUT_FILENO, total, block, size);
    if (total && size && block && strcmp(argv[1], "take") == 0 && argc <= 5)
        return take(argc == 5 ? answer(argv[4]) : STDIN_FILENO, total, block, size);
    errx(64, "usage: stream put MIB BLOCK_KIB [HOST PORT] | take MIB BLOCK_KIB [PORT]");
}
