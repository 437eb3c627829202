/*
 * bench_link.c - one channel of a link beside plain TCP, and a small record there and back.
 *
 * Usage: bench_link [MIB]. Two processes on loopback, encrypted as always; the runs alternate,
 * medians are shown. Writer and reader use 128 KiB blocks in both cases.
 */
#include "tests/unit/link_pair.h"
#include "net/link_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS  5
#define TRIPS 5000

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

/* --- plain TCP --- */

static int tcp_listen(uint16_t *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        exit(1);
    *port = ntohs(a.sin_port);
    return fd;
}

static void tcp_drain(int listener)
{
    static char block[BLK_BYTES];
    int fd = accept(listener, NULL, NULL);

    while (read(fd, block, sizeof block) > 0)
        ;
    if (write(fd, "x", 1) != 1)
        exit(1);
    close(fd);
}

static double tcp_rate(uint16_t port, size_t mib)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    static char block[BLK_BYTES];
    double from = seconds();
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        exit(1);
    for (size_t n = 0; n < mib << 20;) {
        ssize_t w = write(fd, block, sizeof block);

        if (w < 0)
            exit(1);
        n += (size_t)w;
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, block, 1) != 1)
        exit(1);
    close(fd);
    return (double)mib / (seconds() - from);
}

/* --- links --- */

static struct node node;

static void say(int fd, const void *p, size_t n)
{
    if (write(fd, p, n) != (ssize_t)n)
        exit(1);
}

static void hear(int fd, void *p, size_t n)
{
    if (read(fd, p, n) != (ssize_t)n)
        exit(1);
}

/* One channel: gives the MiB that its spec names, or gives back what comes. */
struct job {
    struct stream *reader, *writer; /* our ends */
    size_t mib;
};

static void *give(void *arg)
{
    struct job *j = arg;

    for (size_t n = 0; n < j->mib << 20; n += BLK_BYTES) {
        struct slices bytes = { 0 };

        slices_add_take(&bytes, blk_alloc(BLK_BYTES), 0, BLK_BYTES);
        memset(bytes.v[0].b->data, 'x', 64);
        if (stream_write_some(j->writer, &bytes) != BLK_BYTES)
            exit(1);
    }
    j->writer->ops->close(j->writer, 0);
    free(j);
    return NULL;
}

static void *echo(void *arg)
{
    struct job *j = arg;
    char record[256];
    ssize_t n;

    while ((n = stream_read(j->reader, record, sizeof record)) > 0)
        if (stream_write(j->writer, record, (size_t)n) != n)
            break;
    j->writer->ops->close(j->writer, 0);
    j->reader->ops->close(j->reader, 0);
    free(j);
    return NULL;
}

static void ends(struct stream **reader, struct stream **writer)
{
    struct flow *f;

    if (flow_create(&f, 512 * 1024, FLOW_STREAM) < 0 || flow_open_reader(f, reader) < 0 ||
        flow_open_writer(f, false, writer) < 0)
        exit(1);
    flow_unref(f);
}

static void serve(void)
{
    char spec[32];
    struct chan *c;

    while ((c = node_opened(&node, spec, sizeof spec))) {
        struct job *j = calloc(1, sizeof *j);
        struct stream *r, *w, *s;
        pthread_t t;

        ends(&r, &j->writer);
        j->mib = strtoul(spec, NULL, 10);
        if (j->mib) {
            link_accept(c, r, LINK_READ);
        } else {
            ends(&j->reader, &w);
            link_stream_create(&s, r, w);
            link_accept(c, s, LINK_READ | LINK_WRITE);
        }
        pthread_create(&t, NULL, j->mib ? give : echo, j);
        pthread_detach(t);
    }
}

static double link_rate(size_t mib)
{
    struct slices got = { 0 };
    double from = seconds();
    size_t total = 0;
    struct stream *s;
    char spec[32];
    ssize_t n;

    snprintf(spec, sizeof spec, "%zu", mib);
    if (link_open(node.links, "B", spec, &s) < 0)
        exit(1);
    while ((n = stream_read_some(s, &got, 1 << 20)) > 0) {
        total += (size_t)n;
        slices_free(&got);
    }
    s->ops->close(s, 0);
    if (n < 0 || total != mib << 20) {
        fprintf(stderr, "the channel gave %zu bytes and %s\n", total, strerror((int)-n));
        exit(1);
    }
    return (double)mib / (seconds() - from);
}

static double trip_us(void)
{
    static double v[TRIPS];
    char record[64] = "";
    struct stream *s;

    if (link_open(node.links, "B", "echo", &s) < 0)
        exit(1);
    for (int i = 0; i < TRIPS; i++) {
        double from = seconds();

        if (stream_write(s, record, sizeof record) != sizeof record ||
            stream_read(s, record, sizeof record) != sizeof record)
            exit(1);
        v[i] = (seconds() - from) * 1e6;
    }
    s->ops->close(s, 0);
    return median(v, TRIPS);
}

/* The other process: says its ports and fingerprint, hears ours, serves until the pipe is closed.
 */
struct hello_there {
    uint16_t link, tcp;
    char fingerprint[FINGERPRINT];
};

static void child(int from, int to)
{
    struct hello_there us = { 0 }, them;
    int listener = tcp_listen(&us.tcp);

    node_start(&node, "B");
    us.link = links_port(node.links);
    memcpy(us.fingerprint, node.me.fingerprint, FINGERPRINT);
    say(to, &us, sizeof us);
    hear(from, &them, sizeof them);
    links_peer(node.links, "A", "127.0.0.1", them.link, them.fingerprint, 1);
    say(to, "k", 1);
    if (fork() == 0)
        for (;;)
            tcp_drain(listener);
    serve();
}

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 2048;
    struct hello_there us = { 0 }, them;
    double tcp[RUNS], link[RUNS];
    struct rusage use;
    int to[2], from[2];
    pid_t pid;
    char k;

    if (pipe(to) < 0 || pipe(from) < 0)
        return 1;
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        child(to[0], from[1]);
        return 0;
    }
    setpgid(pid, pid);
    node_start(&node, "A");
    us.link = links_port(node.links);
    memcpy(us.fingerprint, node.me.fingerprint, FINGERPRINT);
    hear(from[0], &them, sizeof them);
    say(to[1], &us, sizeof us);
    hear(from[0], &k, 1);
    links_peer(node.links, "B", "127.0.0.1", them.link, them.fingerprint, 1);
    for (int i = 0; i < RUNS; i++) {
        tcp[i] = tcp_rate(them.tcp, mib);
        link[i] = link_rate(mib);
    }
    printf("plain TCP            %7.0f MiB/s\n", median(tcp, RUNS));
    printf("one channel          %7.0f MiB/s   %.2f of TCP\n", median(link, RUNS),
           median(link, RUNS) / median(tcp, RUNS));
    printf("record there and back %6.0f us\n", trip_us());
    getrusage(RUSAGE_SELF, &use);
    printf("memory of the reader %7ld KiB\n", use.ru_maxrss);
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
    getrusage(RUSAGE_CHILDREN, &use);
    printf("memory of the writer %7ld KiB\n", use.ru_maxrss);
    node_stop(&node);
    return 0;
}
