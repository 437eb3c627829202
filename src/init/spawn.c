/*
 * spawn.c - starting processes: from the request in a memfd to children that exec.
 *
 * Nothing here waits. The children report on a status pipe that the exec closes: its end means
 * that every stage runs, a struct child_failure that one does not. The stages of a pipeline meet at
 * a gate, a pipe from which each reads a byte before its exec: it is opened when all have come to
 * it, so that none runs when another has no input or no command.
 */
#include "init/init.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Descriptors that are left for connections and for the spawn itself. */
#define SPARE_FDS 64

/* The ends of the stdio pipes: ours and the child's. */
struct stdio {
    int ours[IM_FDS], theirs[IM_FDS];
};

static void stdio_close(const int *fds)
{
    for (int i = 0; i < IM_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* A pipe of 1 MiB where the user's share of pipe memory allows. */
static int big_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_CAP);
    return 0;
}

static int stdio_pipes(struct stdio *s)
{
    for (int i = 0; i < IM_FDS; i++) {
        int fds[2], rc = big_pipe(fds);

        if (rc < 0)
            return rc;
        s->ours[i] = fds[i == 0];
        s->theirs[i] = fds[i != 0];
        fcntl(s->ours[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static int stdio_pty(struct stdio *s, const struct ispec *spec)
{
    struct winsize size = { .ws_row = spec->rows, .ws_col = spec->cols };
    int zero = 0;

    s->ours[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (s->ours[0] < 0 || ioctl(s->ours[0], TIOCSPTLCK, &zero) < 0)
        return -errno;
    ioctl(s->ours[0], TIOCSWINSZ, &size);
    s->theirs[0] = ioctl(s->ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    for (int i = 1; i < IM_FDS; i++)
        if (s->theirs[0] < 0 || (s->theirs[i] = fcntl(s->theirs[0], F_DUPFD_CLOEXEC, 3)) < 0)
            return -errno;
    return 0;
}

static int stdio_open(struct stdio *s, const struct ispec *spec, struct oerr *e)
{
    int rc;

    for (int i = 0; i < IM_FDS; i++)
        s->ours[i] = s->theirs[i] = -1;
    rc = spec->pty ? stdio_pty(s, spec) : stdio_pipes(s);
    if (rc < 0)
        oerr_set(e, rc, "%s cannot be made: %s", spec->pty ? "a terminal" : "pipes", strerror(-rc));
    return rc;
}

/* Forks the stages, joined by pipes. On failure the stages that run are the caller's to kill. */
static int fork_stages(struct init *in, struct proc *p, const struct ispec *spec,
                       const struct stdio *s, struct child *c, struct cgroup *g)
{
    cleanup_close int from = -1; /* the pipe from the stage before */

    for (unsigned i = 0; i < spec->nstages; i++) {
        bool last = i + 1 == spec->nstages;
        cleanup_close int to = -1;
        int fds[2] = { -1, -1 };
        pid_t pid;

        if (!last) {
            int rc = big_pipe(fds);

            if (rc < 0)
                return rc;
            to = fds[1];
        }
        c->stage = i;
        c->pgid = p->pgid;
        c->stdio[0] = from >= 0 ? from : s->theirs[0];
        c->stdio[1] = last ? s->theirs[1] : to;
        c->stdio[2] = s->theirs[2];
        pid = cgroup_fork(&g->dir);
        if (pid == 0)
            child_run(c);
        if (from >= 0)
            close(take_fd(&from));
        from = fds[0];
        if (pid < 0)
            return -errno;
        /* The child does it too: whoever is first. With a terminal setsid does. */
        if (!spec->pty)
            setpgid(pid, p->pgid);
        proc_add_stage(in, p, pid);
    }
    return 0;
}

/* The nearest to a promise of less than a core that there is without cgroups: each step of nice is
 * a quarter less. */
static int nice_of(const struct ispec *spec)
{
    int nice = spec->nice;

    for (unsigned m = spec->cpu_milli; m > 0 && m <= 800 && nice < 19; m += (m + 3) / 4)
        nice++;
    return nice;
}

/* The status pipe and, for a pipeline, the gate. */
static int make_pipes(struct proc *p, struct child *c, int *status, struct oerr *e)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK | O_DIRECT) < 0)
        return oerr_set(e, -errno, "a pipe cannot be made: %s", strerror(errno));
    *status = fds[0];
    c->status = fds[1];
    if (p->nstages == 1)
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return oerr_set(e, -errno, "a pipe cannot be made: %s", strerror(errno));
    c->gate = fds[0];
    p->gate = fds[1];
    return 0;
}

static int start(struct init *in, struct proc *p, const struct ispec *spec, struct oerr *e)
{
    const struct cgroup_wish wish = { .track = spec->leased || spec->reap_all,
                                      .memory = spec->memory,
                                      .cpu_milli = spec->cpu_milli };
    struct child c = {
        .spec = spec, .in = in, .status = -1, .gate = -1, .parent = getpid(), .v1_procs = -1
    };
    int status = -1, rc;
    struct cgroup g;
    struct stdio s;

    if (in->held + IM_FDS + 2 * spec->nstages + SPARE_FDS > in->nofile.rlim_max)
        return oerr_set(e, -EMFILE,
                        "oneos-init has %u descriptors and may have %llu; end some "
                        "processes or raise the limit (ulimit -n)",
                        in->held, (unsigned long long)in->nofile.rlim_max);
    rc = stdio_open(&s, spec, e);
    if (rc == 0)
        rc = make_pipes(p, &c, &status, e);
    if (rc < 0) {
        if (status >= 0) {
            close(status);
            close(c.status);
        }
        stdio_close(s.ours);
        stdio_close(s.theirs);
        return rc;
    }
    p->started_us = wall_us();
    cgroup_make(&in->cgroups, spec->number, &wish, &g);
    p->grouped = g.dir >= 0 || g.v1_procs >= 0;
    c.v1_procs = g.v1_procs;
    c.limit_itself = spec->memory && !g.memory;
    c.nice = g.cpu ? spec->nice : nice_of(spec);
    rc = fork_stages(in, p, spec, &s, &c, &g);
    if (rc < 0)
        oerr_set(e, rc, "fork: no further process can be made: %s", strerror(-rc));
    p->tracked = g.dir >= 0;
    cgroup_let_go(&g);
    close(c.status);
    if (c.gate >= 0)
        close(c.gate);
    stdio_close(s.theirs);
    for (int i = 0; i < IM_FDS; i++) {
        p->fds[i] = s.ours[i];
        in->held += s.ours[i] >= 0;
        p->fdmask |= s.ours[i] >= 0 ? 1u << i : 0;
    }
    p->status.fd = status;
    p->status.ready = spawn_status;
    if (rc == 0 && watch_add(in, &p->status, EPOLLIN) < 0)
        rc = oerr_set(e, -ENOMEM, "no memory to watch a process");
    return rc;
}

/* A byte for each: an end of file is no leave to go on, it also comes when we die. */
static void open_gate(struct proc *p)
{
    char bytes[ISPEC_STAGES] = { 0 };

    if (p->gate >= 0 && write(p->gate, bytes, p->nstages) != (ssize_t)p->nstages)
        log_error("init", "process %u: its stages cannot be let go", p->number);
    if (p->gate >= 0)
        close(take_fd(&p->gate));
}

void spawn_status(struct init *in, struct watch *w, uint32_t events)
{
    struct proc *p = container_of(w, struct proc, status);
    struct child_failure f;
    ssize_t n;

    (void)events;
    while ((n = read(w->fd, &f, sizeof f)) == sizeof f && f.rc == 0)
        if (++p->ready == p->nstages && p->left > 0)
            open_gate(p);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    watch_close(in, w);
    if (n == sizeof f) {
        f.text[sizeof f.text - 1] = '\0';
        proc_fail(in, p, f.rc < 0 ? f.rc : -EIO, f.text);
    } else {
        proc_started(in, p);
    }
}

/* The request, mapped: seals keep it from changing or shrinking under us. */
static int map_request(int memfd, void **map, size_t *size, struct oerr *e)
{
    int seals = memfd < 0 ? -1 : fcntl(memfd, F_GET_SEALS);
    struct stat st;

    if (seals < 0 || (seals & SEALS) != SEALS)
        return oerr_set(e, -EPROTO, "a spawn request comes in a sealed memfd");
    if (fstat(memfd, &st) < 0 || st.st_size <= 0 || st.st_size > ISPEC_BYTES)
        return oerr_set(e, -E2BIG, "a spawn request has 1 to %u bytes", ISPEC_BYTES);
    *size = (size_t)st.st_size;
    *map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, memfd, 0);
    return *map == MAP_FAILED ? oerr_set(e, -errno, "the spawn request cannot be mapped") : 0;
}

static int check(struct init *in, const struct ispec *spec, uint32_t number, struct oerr *e)
{
    if (spec->number != number)
        return oerr_set(e, -EPROTO, "the spawn request is for %u, not %u", spec->number, number);
    if (proc_find(in, number))
        return oerr_set(e, -EEXIST, "process %u is known already", number);
    if (spec->pty && spec->nstages > 1)
        return oerr_set(e, -EINVAL, "a terminal is for one command; run the pipeline by sh -c");
    if (spec->leased && !lease_holds(in))
        return oerr_set(e, -EAGAIN, "this machine holds no lease to run jobs now");
    if (in->stopping)
        return oerr_set(e, -ESHUTDOWN, "oneos-init is stopping");
    return 0;
}

void spawn_run(struct init *in, uint32_t id, uint32_t number, int memfd)
{
    struct ispec spec = { .number = number };
    struct oerr e = { "" };
    struct proc *p = NULL;
    void *map = MAP_FAILED;
    size_t size = 0;
    int rc = map_request(memfd, &map, &size, &e);

    if (rc == 0)
        rc = ispec_decode(&spec, map, size, &e);
    if (rc == 0)
        rc = check(in, &spec, number, &e);
    spec.number = number;
    if (rc < 0)
        spec.nstages = 0;
    p = proc_create(in, &spec);
    if (p) {
        p->id = id;
        if (rc == 0)
            rc = start(in, p, &spec, &e);
        if (rc < 0)
            proc_fail(in, p, rc, e.text);
    } else {
        conn_no_memory(in, id, number);
    }
    ispec_free(&spec);
    if (map != MAP_FAILED)
        munmap(map, size);
}
