/*
 * bench_flow.c - bytes from one thread to another through a flow, beside a kernel pipe.
 *
 * Both copy twice, into the queue and out of it. Prints a table of medians in MiB/s, and what the
 * flow reaches of the pipe with 1 MiB. Usage: bench_flow [MIB [ROUNDS]]
 */
#include "base/cleanup.h"
#include "base/flow.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB        (1024 * 1024)
#define ROUNDS_MAX 99

/* One way from thread to thread; each call moves all of the n bytes, or fewer when reading. */
struct way {
    const char *name;
    size_t buffer;
    void (*open)(const struct way *);
    void (*put)(const char *p, size_t n);
    size_t (*get)(char *p, size_t n); /* 0: end */
    void (*end)(void);
    void (*close)(void);
};

struct call {
    struct ioreq io;
    ssize_t rc;
    sem_t answered;
};

static int fds[2];
static struct flow *flow;
static struct stream *ends[2];
static struct call calls[2];

static void need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void pipe_open(const struct way *w)
{
    need(pipe2(fds, O_CLOEXEC) == 0, "pipe");
    need(fcntl(fds[1], F_SETPIPE_SZ, (int)w->buffer) >= 0, "F_SETPIPE_SZ");
}

static void pipe_put(const char *p, size_t n)
{
    need(write(fds[1], p, n) == (ssize_t)n, "write");
}

static size_t pipe_get(char *p, size_t n)
{
    ssize_t got = read(fds[0], p, n);

    need(got >= 0, "read");
    return (size_t)got;
}

static void pipe_end(void)
{
    close(fds[1]);
}

static void pipe_close(void)
{
    close(fds[0]);
}

static void call_done(struct ioreq *io, ssize_t rc)
{
    struct call *c = container_of(io, struct call, io);

    c->rc = rc;
    sem_post(&c->answered);
}

static ssize_t call_wait(struct call *c)
{
    while (sem_wait(&c->answered) < 0)
        continue;
    return c->rc;
}

static void flow_way_open(const struct way *w)
{
    need(flow_create(&flow, w->buffer, FLOW_STREAM) == 0, "flow_create");
    need(flow_open_reader(flow, &ends[0]) == 0, "reader");
    need(flow_open_writer(flow, false, &ends[1]) == 0, "writer");
    for (int i = 0; i < 2; i++) {
        calls[i] = (struct call){ .io.done = call_done };
        sem_init(&calls[i].answered, 0, 0);
    }
}

static void flow_way_put(const char *p, size_t n)
{
    need(slices_copy(&calls[1].io.bytes, p, n) == 0, "slices_copy");
    ends[1]->ops->write(ends[1], &calls[1].io);
    need(call_wait(&calls[1]) == (ssize_t)n, "flow write");
}

static size_t flow_way_get(char *p, size_t n)
{
    struct call *c = &calls[0];

    c->io.size = n;
    ends[0]->ops->read(ends[0], &c->io);
    need(call_wait(c) >= 0, "flow read");
    slices_read(&c->io.bytes, p);
    slices_free(&c->io.bytes);
    return (size_t)c->rc;
}

static void flow_way_end(void)
{
    ends[1]->ops->close(ends[1], 0);
}

static void flow_way_close(void)
{
    ends[0]->ops->close(ends[0], 0);
    flow_unref(flow);
}

static const struct way ways[] = {
    { "pipe 64 KiB", 64 * 1024, pipe_open, pipe_put, pipe_get, pipe_end, pipe_close },
    { "pipe 1 MiB", MIB, pipe_open, pipe_put, pipe_get, pipe_end, pipe_close },
    { "flow 64 KiB", 64 * 1024, flow_way_open, flow_way_put, flow_way_get, flow_way_end,
      flow_way_close },
    { "flow 1 MiB", MIB, flow_way_open, flow_way_put, flow_way_get, flow_way_end, flow_way_close },
};

struct job {
    const struct way *way;
    size_t n, total;
    char *data;
};

static void *put_all(void *arg)
{
    struct job *j = arg;

    for (size_t done = 0; done < j->total; done += j->n)
        j->way->put(j->data, j->n);
    j->way->end();
    return NULL;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* MiB/s of one run. */
static double run(const struct way *w, size_t n, size_t total)
{
    cleanup_free char *from = malloc(n), *to = malloc(n);
    struct job j = { w, n, total / n * n, from };
    size_t got = 0, k;
    pthread_t t;
    double start;

    need(from && to, "malloc");
    memset(from, 'x', n);
    memset(to, 0, n);
    w->open(w);
    start = seconds();
    need(pthread_create(&t, NULL, put_all, &j) == 0, "pthread_create");
    while ((k = w->get(to, n)))
        got += k;
    start = seconds() - start;
    pthread_join(t, NULL);
    w->close();
    need(got == j.total, "bytes are missing");
    return (double)got / MIB / start;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 4096, 65536, 131072, MIB };
    size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 512) * MIB;
    int rounds = argc > 2 ? atoi(argv[2]) : 7;

    if (total == 0 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_flow [MIB [ROUNDS]], at most %d rounds\n", ROUNDS_MAX);
        return 64;
    }
    printf("%-12s", "MiB/s");
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        printf("%14s", ways[i].name);
    printf("%14s\n", "flow / pipe");
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        double v[ARRAY_SIZE(ways)][ROUNDS_MAX];

        /* Taking turns, so that what else the machine does hits all alike. */
        for (int r = 0; r < rounds; r++) {
            for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
                v[i][r] = run(&ways[i], sizes[s], total);
        }
        printf("%-12zu", sizes[s]);
        for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
            qsort(v[i], (size_t)rounds, sizeof v[i][0], by_value);
            printf("%14.0f", v[i][rounds / 2]);
        }
        printf("%14.2f\n", v[3][rounds / 2] / v[1][rounds / 2]);
        fflush(stdout);
    }
    return 0;
}
