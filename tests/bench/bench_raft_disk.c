/*
 * bench_raft_disk.c - appends of 128 bytes to the disk of consensus, beside a loop of pwrite() and
 * fdatasync() on a plain file of the same file system. With 64 outstanding, the plain loop writes
 * 64 together before each sync: what no log can beat.
 *
 * bench_raft_disk [DIR]: where to write, /tmp otherwise. Rounds alternate; medians.
 */
#include "base/clock.h"
#include "cluster/raft_disk.h"
#include "tests/bench/timing.h"
#include "tests/unit/tempdir.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 7, LEN = 128, ALONE = 300, TOGETHER = 64, MANY = 16000 };
enum { ALONE_US, MANY_RATE, MEASURES };

struct run {
    struct loop *loop;
    struct raft_disk *disk;
    uint64_t next;
    unsigned left, under_way, most;
    double *took;
    size_t n;
};

struct piece {
    struct run *run;
    double began;
};

static char data[LEN];

static void fill_up(struct run *r);

static void done(void *token, int rc)
{
    struct piece *p = token;
    struct run *r = p->run;

    if (rc < 0)
        errx(1, "an append failed: %s", strerror(-rc));
    if (r->took)
        r->took[r->n++] = (seconds() - p->began) * 1e6;
    free(p);
    r->under_way--;
    fill_up(r);
}

static void fill_up(struct run *r)
{
    const struct consensus_entry e = { .term = 1, .kind = 1, .data = data, .len = LEN };

    while (r->left > 0 && r->under_way < r->most) {
        struct piece *p = malloc(sizeof *p);

        *p = (struct piece){ .run = r, .began = seconds() };
        r->left--;
        r->under_way++;
        if (raft_disk_append(r->disk, r->next++, &e, 1, done, p) < 0)
            errx(1, "an append was refused");
    }
    if (r->under_way == 0)
        uv_stop(loop_uv(r->loop));
}

static double run(struct run *r, unsigned n, unsigned most, double *took)
{
    double began = seconds();

    r->left = n;
    r->most = most;
    r->took = took;
    r->n = 0;
    fill_up(r);
    uv_run(loop_uv(r->loop), UV_RUN_DEFAULT);
    return seconds() - began;
}

static void snapshot_done(void *token, int rc)
{
    if (rc < 0)
        errx(1, "a snapshot failed: %s", strerror(-rc));
    uv_stop(loop_uv(token));
}

/* As in real use: old entries go, and their pages are used again. */
static void cut(struct run *r)
{
    struct consensus_snapshot s = {
        .index = r->next - 1, .term = 1, .conf = "", .data = data, .len = LEN
    };

    if (raft_disk_snapshot_put(r->disk, &s, 4096, snapshot_done, r->loop) < 0)
        errx(1, "a snapshot was refused");
    uv_run(loop_uv(r->loop), UV_RUN_DEFAULT);
}

static void measure_disk(struct run *r, double out[MEASURES])
{
    double took[ALONE];

    run(r, ALONE, 1, took);
    out[ALONE_US] = median(took, ALONE);
    out[MANY_RATE] = MANY / run(r, MANY, TOGETHER, NULL);
    cut(r);
}

static void write_sync(int fd, unsigned n, off_t *at)
{
    for (unsigned i = 0; i < n; i++, *at += LEN) {
        if (pwrite(fd, data, LEN, *at) != LEN)
            err(1, "a plain write failed");
    }
    if (fdatasync(fd) < 0)
        err(1, "a plain sync failed");
}

static void measure_plain(const char *dir, double out[MEASURES])
{
    double took[ALONE], began;
    char path[300];
    off_t at = 0;
    int fd;

    snprintf(path, sizeof path, "%s/plain", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        err(1, "%s", path);
    for (unsigned i = 0; i < ALONE; i++) {
        began = seconds();
        write_sync(fd, 1, &at);
        took[i] = (seconds() - began) * 1e6;
    }
    out[ALONE_US] = median(took, ALONE);
    began = seconds();
    for (unsigned i = 0; i < MANY; i += TOGETHER)
        write_sync(fd, TOGETHER, &at);
    out[MANY_RATE] = MANY / (seconds() - began);
    close(fd);
}

int main(int argc, char **argv)
{
    double disk[MEASURES][ROUNDS], plain[MEASURES][ROUNDS];
    struct run r = { .next = 1 };
    char base[256], dir[300];
    struct oerr e;

    if (argc > 1)
        setenv("TMPDIR", argv[1], 1);
    tempdir_make(base);
    snprintf(dir, sizeof dir, "%s/registry", base);
    if (loop_create(&r.loop) < 0 || raft_disk_open(&r.disk, r.loop, dir, &e) < 0)
        errx(1, "%s", e.text);
    for (int n = 0; n < ROUNDS; n++) {
        double d[MEASURES], p[MEASURES];

        measure_plain(base, p);
        measure_disk(&r, d);
        for (int m = 0; m < MEASURES; m++) {
            disk[m][n] = d[m];
            plain[m][n] = p[m];
        }
    }
    for (int m = 0; m < MEASURES; m++) {
        disk[m][0] = median(disk[m], ROUNDS);
        plain[m][0] = median(plain[m], ROUNDS);
    }
    printf("%-28s %12s %12s %8s\n", "entries of 128 bytes, synced", "raft_disk", "plain file",
           "ratio");
    printf("%-28s %9.0f us %9.0f us %8.2f\n", "1 outstanding, median", disk[ALONE_US][0],
           plain[ALONE_US][0], disk[ALONE_US][0] / plain[ALONE_US][0]);
    printf("%-28s %10.0f/s %10.0f/s %8.2f\n", "64 outstanding", disk[MANY_RATE][0],
           plain[MANY_RATE][0], disk[MANY_RATE][0] / plain[MANY_RATE][0]);
    raft_disk_close(r.disk);
    loop_destroy(r.loop);
    tempdir_remove(base);
    return 0;
}
