/*
 * jobs.c - the rows below jobs/: what the scheduler was asked to do.
 *
 * That a job exists, whose it is and how it stands is what this machine's registry says. Its
 * streams are found wherever it runs; `why` is asked of the scheduler.
 */
#include "tree/jobs_private.h"
#include "sched/runs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* A job that was made in this very turn of the loop is in the registry, and not in the list yet. */
static int find_new_job(const struct tree_at *at, struct tree_attr *attr)
{
    struct job j = { 0 };
    int rc = job_read(system_of(at), at->v[0], &j);

    if (rc == 0) {
        snprintf(attr->owner, sizeof attr->owner, "%s", j.user);
        attr->mtime_us = job_changed_us(&j);
    }
    job_clear(&j);
    return rc < 0 ? -ENOENT : 0;
}

static int find_job(const struct tree_at *at, struct tree_attr *attr)
{
    const struct job_brief *b = joblist_find(system_of(at)->joblist, at->v[0]);

    if (!b)
        return find_new_job(at, attr);
    snprintf(attr->owner, sizeof attr->owner, "%s", job_brief_user(b));
    attr->mtime_us = b->changed_us;
    return 0;
}

static int list_jobs(const struct tree_at *at, struct tree_names *names)
{
    struct joblist *l = system_of(at)->joblist;

    for (const struct job_brief *b = NULL; (b = joblist_next(l, b)) != NULL;)
        tree_names_add(names, b->name);
    return 0;
}

static int show_name(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "%s\n", at->v[0]);
    return 0;
}

static const struct job_brief *newest(const struct tree_at *at)
{
    return at->user ? joblist_newest(system_of(at)->joblist, at->user) : NULL;
}

static int find_last(const struct tree_at *at, struct tree_attr *attr)
{
    const struct job_brief *b = newest(at);

    if (!b)
        return -ENOENT;
    snprintf(attr->owner, sizeof attr->owner, "%s", at->user);
    attr->mtime_us = b->changed_us;
    return 0;
}

static int show_last(const struct tree_at *at, struct obuf *out)
{
    const struct job_brief *b = newest(at);

    if (!b)
        return -ENOENT;
    obuf_puts(out, b->name);
    return 0;
}

/* ---- streams */

static int open_stdin(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return runs_open(system_of(at)->runs, at->v[0], PROC_STDIN, out);
}

static int open_stdout(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return runs_open(system_of(at)->runs, at->v[0], PROC_STDOUT, out);
}

static int open_stderr(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return runs_open(system_of(at)->runs, at->v[0], PROC_STDERR, out);
}

static int open_wait(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return runs_wait(system_of(at)->runs, at->v[0], out);
}

/* ---- its processes */

static int list_procs(const struct tree_at *at, struct tree_names *names)
{
    for (const struct proc_rec *r = NULL; (r = proctab_next(system_of(at)->proctab, r)) != NULL;)
        if (strcmp(r->job, at->v[0]) == 0)
            tree_names_add(names, r->name);
    return 0;
}

static int find_proc(const struct tree_at *at, struct tree_attr *attr)
{
    const struct proc_rec *r = proctab_find(system_of(at)->proctab, at->v[1]);

    if (!r || strcmp(r->job, at->v[0]) != 0)
        return -ENOENT;
    snprintf(attr->owner, sizeof attr->owner, "%s", r->user);
    attr->mtime_us = r->changed_us;
    return 0;
}

static int show_proc(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "../../../procs/%s", at->v[1]);
    return 0;
}

/* clang-format off */
const struct tree_row jobs_rows[] = {
    { .path = "jobs", .kind = TREE_DIR, .mode = 01777, .list = list_jobs, .make = make_job,
      .drop = drop_job, .help = "what the scheduler was asked to do; mkdir makes a job with a name, rmdir forgets one that has ended or was never run" },
    { .path = "jobs/all.jsonl", .kind = TREE_TEXT, .mode = 0444, .show = show_jobs,
      .help = "all jobs, one JSON object a line" },
    { .path = "jobs/ctl", .kind = TREE_CTL, .mode = 0666, .verbs = jobs_verbs,
      .help = "run LINE: makes the next numbered job and runs it (then read: its name)" },
    { .path = "jobs/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl, open of clone, mkdir or rmdir failed" },
    { .path = "jobs/clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone_job,
      .help = "open for reading and writing: a fresh job; read its name, then write its verbs; with O_NONBLOCK only the first write makes it; one that was not run is forgotten at the close" },
    { .path = "jobs/last", .kind = TREE_LINK, .mode = 0777, .moves = true, .find = find_last,
      .show = show_last, .help = "your newest job" },
    { .path = "jobs/{job}", .kind = TREE_DIR, .mode = 0555, .find = find_job,
      .help = "one job, by number or name" },
    { .path = "jobs/{job}/ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = job_verbs,
      .show = show_name, .closed = job_ctl_closed,
      .help = "set KEY VALUE... | run LINE | hold | release | cancel | signal NAME; keys: cpus memory priority retries restart timeout after spread pack near array env cwd input" },
    { .path = "jobs/{job}/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl or spec failed" },
    { .path = "jobs/{job}/spec", .kind = TREE_TEXT, .mode = 0600, .show = show_job_spec,
      .save = save_job_spec, .help = "what was asked, as JSON; written back to a job that is new or held it is what that asks" },
    { .path = "jobs/{job}/status", .kind = TREE_TEXT, .mode = 0444, .show = show_job_status,
      .help = "state (new, held, pending, running, done, failed, cancelled, lost), exit or signal, cause, words, user, by (the machine that asked), machines, attempt, restarts, cancelled_by, times, cpu_usec, memory_peak_bytes, and of an array its elements by state" },
    { .path = "jobs/{job}/why", .kind = TREE_TEXT, .mode = 0444, .show = show_job_why,
      .home = home_job_why, .help = "why it is where it is: each machine and what rules it out, or what it waits for, or how it ended" },
    { .path = "jobs/{job}/stdin", .kind = TREE_STREAM, .mode = 0200, .open = open_stdin,
      .accmode = ONLY(O_WRONLY),
      .help = "write, which waits until it runs; close of the last writer is end of file; an attempt that follows reads what is written to it; EPIPE when the job is over" },
    { .path = "jobs/{job}/stdout", .kind = TREE_STREAM, .mode = 0400, .open = open_stdout,
      .accmode = ONLY(O_RDONLY),
      .help = "read: what is kept so far, then live, then end of file; EIO at the end when some of it was lost, or is kept no more" },
    { .path = "jobs/{job}/stderr", .kind = TREE_STREAM, .mode = 0400, .open = open_stderr,
      .accmode = ONLY(O_RDONLY), .help = "the same of standard error" },
    { .path = "jobs/{job}/wait", .kind = TREE_STREAM, .mode = 0444, .open = open_wait,
      .accmode = ONLY(O_RDONLY),
      .help = "blocks until it is over; then one line: exit N, signal NAME, lost ID, timeout or cancelled" },
    { .path = "jobs/{job}/procs", .kind = TREE_DIR, .mode = 0555, .list = list_procs,
      .help = "its processes" },
    { .path = "jobs/{job}/procs/{proc}", .kind = TREE_LINK, .mode = 0777, .find = find_proc,
      .show = show_proc, .help = "one of its processes" },
    { 0 },
};
/* clang-format on */
