/*
 * readers.c - many readers at once: a thread each, in one process.
 *
 *   readers COUNT PATH    opens PATH COUNT times and reads once from each
 *
 * Prints `reading COUNT` when every thread is about to read, and at the end, when all have come
 * back, one line: `returned COUNT errors N`. Killing it interrupts them all.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *path;
static pthread_barrier_t all_open;
static _Atomic int errors;

static void *reader(void *arg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char c;

    (void)arg;
    if (fd < 0)
        fprintf(stderr, "readers: open: %s\n", strerrorname_np(errno));
    pthread_barrier_wait(&all_open);
    if (fd < 0 || read(fd, &c, 1) < 0)
        errors++;
    if (fd >= 0)
        close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[1]) : 0;
    pthread_t *threads = calloc(count + 1, sizeof *threads);
    struct rlimit files = { count + 64, count + 64 };
    pthread_attr_t small;

    if (count <= 0 || !threads) {
        fprintf(stderr, "usage: readers COUNT PATH\n");
        return 64;
    }
    path = argv[2];
    setrlimit(RLIMIT_NOFILE, &files); /* where it cannot be raised, open says so */
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    pthread_barrier_init(&all_open, NULL, count + 1);
    for (int i = 0; i < count; i++) {
        int rc = pthread_create(&threads[i], &small, reader, NULL);

        if (rc) {
            fprintf(stderr, "readers: thread %d: %s\n", i, strerror(rc));
            return 1;
        }
    }
    pthread_barrier_wait(&all_open);
    printf("reading %d\n", count);
    fflush(stdout);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("returned %d errors %d\n", count, errors);
    return 0;
}
