/*
 * procs.c - the rows below procs/: every process of every machine.
 *
 * Whether a process exists, whose it is, its end: the local replica. The rest lives on its machine,
 * and is asked of it.
 */
#include "tree/system.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

static const struct proc_rec *rec_of(const struct tree_at *at)
{
    return proctab_find(system_of(at)->proctab, at->v[0]);
}

/* The process itself; only where it lives. */
static struct proc *proc_of(const struct tree_at *at)
{
    const struct proc_rec *r = rec_of(at);

    return r ? procs_find(system_of(at)->procs, r->number) : NULL;
}

static int find_proc(const struct tree_at *at, struct tree_attr *attr)
{
    const struct proc_rec *r = rec_of(at);

    if (!r)
        return -ENOENT;
    snprintf(attr->owner, sizeof attr->owner, "%s", r->user);
    attr->mtime_us = r->changed_us;
    return 0;
}

static int list_procs(const struct tree_at *at, struct tree_names *names)
{
    for (const struct proc_rec *r = NULL; (r = proctab_next(system_of(at)->proctab, r)) != NULL;)
        tree_names_add(names, r->name);
    return 0;
}

static int home_proc(const struct tree_at *at, const char **machine)
{
    struct system *sys = system_of(at);
    const struct proc_rec *r = rec_of(at);

    if (!r)
        return -ENOENT;
    *machine = r->machine;
    if (strcmp(r->machine, sys->me->id) == 0)
        return 0;
    return cluster_reachable(sys->cluster, r->machine) ? 0 : -EHOSTUNREACH;
}

/* Of stdin: what is written to a process that has ended would be lost without a word. */
static int home_stdin(const struct tree_at *at, const char **machine)
{
    const struct proc_rec *r = rec_of(at);

    return r && r->state == PROC_ENDED ? -ESRCH : home_proc(at, machine);
}

static json_t *describe(const struct proc_rec *r)
{
    json_t *j = json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:s}", "schema", 1, "id", r->name,
                          "machine", r->machine, "number", (json_int_t)r->number, "user", r->user,
                          "state", proc_state_name(r->state), "cmdline", r->cmdline);

    if (r->state == PROC_ENDED && r->signal > 0)
        json_object_set_new(j, "signal", json_string(sigabbrev_np(r->signal)));
    else if (r->state == PROC_ENDED && r->exit >= 0)
        json_object_set_new(j, "exit", json_integer(r->exit));
    if (*r->job)
        json_object_set_new(j, "job", json_string(r->job));
    if (r->cause)
        json_object_set_new(j, "cause", json_string(proc_cause_name(r->cause)));
    if (*r->job)
        json_object_set_new(j, "job", json_string(r->job));
    json_set_time(j, "created", r->created_us);
    json_set_time(j, "started", r->started_us);
    json_set_time(j, "ended", r->ended_us);
    return j;
}

static int show_all(const struct tree_at *at, struct obuf *out)
{
    for (const struct proc_rec *r = NULL; (r = proctab_next(system_of(at)->proctab, r)) != NULL;) {
        json_t *j = describe(r);
        char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

        if (text)
            obuf_printf(out, "%s\n", text);
        free(text);
        json_decref(j);
    }
    return 0;
}

/* ---- where a process goes for which nobody names a machine */

/* Thousandths of its cores that neither jobs have nor anything uses; -1: it takes nothing. */
static long room_on(struct system *sys, const struct member_view *v)
{
    const char *id = v->info.id;
    double cores = json_number_value(json_object_get(cluster_info(sys->cluster, id), "cores"));
    double used = json_number_value(json_object_get(cluster_load(sys->cluster, id), "cpu_used"));
    json_t *record = registry_value(sys, "member", id);
    bool draining = json_is_true(json_object_get(record, "draining"));
    struct promised p;

    json_decref(record);
    if (v->state != MEMBER_ALIVE || draining)
        return -1;
    machine_promised(sys, id, &p);
    used = used * 1000 > p.cpu_milli / cores ? used * 1000 : p.cpu_milli / cores;
    return cores > 0 ? (long)((1000 - used) * cores) : 0;
}

/* The machine with the most room; this one, unless another has half a core more. */
static int home_clone(const struct tree_at *at, const char **machine)
{
    struct system *sys = system_of(at);
    const struct member *m = cluster_members(sys->cluster);
    const struct member_view *self = member_find(m, sys->me->id);
    long most = self ? room_on(sys, self) : -1;

    *machine = sys->me->id;
    most += most >= 0 ? 500 : 0;
    for (size_t i = 0; i < member_count(m); i++) {
        const struct member_view *v = member_at(m, i);
        long room = v == self ? -1 : room_on(sys, v);

        if (room > most) {
            most = room;
            *machine = v->info.id;
        }
    }
    return 0;
}

static int show_name(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "%s\n", at->v[0]);
    return 0;
}

/* A verb on a process that has gone meanwhile. */
static int gone(struct tree_call *call)
{
    return oerr_set(&call->err, -ESRCH, "%s is gone", call->at.v[0]);
}

static int v_cwd(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);

    (void)argc;
    return p ? proc_set_cwd(p, argv[1], &call->err) : gone(call);
}

static int v_env(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);

    (void)argc;
    return p ? proc_set_env(p, argv[1], &call->err) : gone(call);
}

static int number(const char *word, long min, long max, long *out, struct oerr *e)
{
    char *end;

    errno = 0;
    *out = strtol(word, &end, 10);
    if (!*word || *end || errno || *out < min || *out > max)
        return oerr_set(e, -EINVAL, "'%.40s' is not a number from %ld to %ld", word, min, max);
    return 0;
}

static int size(struct tree_call *call, char **argv, long *rows, long *cols)
{
    int rc = number(argv[1], 0, 10000, rows, &call->err);

    return rc < 0 ? rc : number(argv[2], 0, 10000, cols, &call->err);
}

static int v_tty(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);
    long rows, cols;
    int rc = size(call, argv, &rows, &cols);

    (void)argc;
    if (rc < 0)
        return rc;
    return p ? proc_set_tty(p, (unsigned)rows, (unsigned)cols, &call->err) : gone(call);
}

static int v_winsize(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);
    long rows, cols;
    int rc = size(call, argv, &rows, &cols);

    (void)argc;
    if (rc < 0)
        return rc;
    return p ? proc_winsize(p, (unsigned)rows, (unsigned)cols, &call->err) : gone(call);
}

static void started(void *arg, int rc, const char *text)
{
    struct tree_call *call = arg;

    if (rc < 0)
        oerr_set(&call->err, rc, "%s", text);
    tree_call_done(call, rc);
}

static int v_exec(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);
    int rc;

    if (!p)
        return gone(call);
    rc = proc_exec(p, argc - 1, argv + 1, call->op + 1, started, call, &call->err);
    return rc == 0 ? TREE_LATER : rc;
}

static int v_signal(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);
    int sig = signal_parse(argv[1], &call->err);

    (void)argc;
    if (sig < 0)
        return sig;
    return p ? proc_signal(p, sig, &call->err) : gone(call);
}

static int v_plain_signal(struct tree_call *call, int argc, char **argv)
{
    static const struct {
        const char *verb;
        int sig;
    } plain[] = { { "kill", SIGKILL }, { "stop", SIGSTOP }, { "cont", SIGCONT } };
    struct proc *p = proc_of(&call->at);

    (void)argc;
    for (size_t i = 0; p && i < ARRAY_SIZE(plain); i++)
        if (strcmp(argv[0], plain[i].verb) == 0)
            return proc_signal(p, plain[i].sig, &call->err);
    return gone(call);
}

static int v_nice(struct tree_call *call, int argc, char **argv)
{
    struct proc *p = proc_of(&call->at);
    long nice;
    int rc = number(argv[1], -20, 19, &nice, &call->err);

    (void)argc;
    if (rc < 0)
        return rc;
    if (nice < 0 && strcmp(call->user, "root") != 0)
        return oerr_set(&call->err, -EPERM, "only root may raise a process's priority");
    return p ? proc_nice(p, (int)nice, &call->err) : gone(call);
}

static const struct tree_verb verbs[] = {
    { "cwd", 1, 1, v_cwd, "DIR" },
    { "env", 1, 1, v_env, "NAME=VALUE" },
    { "tty", 2, 2, v_tty, "ROWS COLS" },
    { "exec", 1, -1, v_exec, "CMD ARGS... [| CMD ARGS...]", .pipes = true },
    { "signal", 1, 1, v_signal, "NAME" },
    { "kill", 0, 0, v_plain_signal, "" },
    { "stop", 0, 0, v_plain_signal, "" },
    { "cont", 0, 0, v_plain_signal, "" },
    { "nice", 1, 1, v_nice, "N" },
    { "winsize", 2, 2, v_winsize, "ROWS COLS" },
    { 0 },
};

static void ctl_closed(struct tree_call *call)
{
    const struct proc_rec *r = rec_of(&call->at);

    if (r)
        procs_release(system_of(&call->at)->procs, r->number);
}

/* Texts of the process, which lives here. */
#define SHOW(name, call)                                                                           \
    static int name(const struct tree_at *at, struct obuf *out)                                    \
    {                                                                                              \
        struct proc *p = proc_of(at);                                                              \
                                                                                                   \
        if (!p)                                                                                    \
            return -ESRCH;                                                                         \
        call(p, out);                                                                              \
        return 0;                                                                                  \
    }
SHOW(show_cmdline, proc_show_cmdline)
SHOW(show_cwd, proc_show_cwd)
SHOW(show_env, proc_show_env)
SHOW(show_status, proc_show_status)

static int show_machine(const struct tree_at *at, struct obuf *out)
{
    const struct proc_rec *r = rec_of(at);

    obuf_printf(out, "../../machines/%s", r ? r->machine : "");
    return 0;
}

static int find_job(const struct tree_at *at, struct tree_attr *attr)
{
    const struct proc_rec *r = rec_of(at);

    return r && *r->job ? find_proc(at, attr) : -ENOENT;
}

static int show_job(const struct tree_at *at, struct obuf *out)
{
    const struct proc_rec *r = rec_of(at);

    obuf_printf(out, "../../jobs/%s", r ? r->job : "");
    return 0;
}

static int open_stdio(const struct tree_at *at, enum proc_stdio which, struct stream **out)
{
    struct proc *p = proc_of(at);

    return p ? proc_open(p, which, out) : -ESRCH;
}

static int open_stdin(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return open_stdio(at, PROC_STDIN, out);
}

static int open_stdout(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return open_stdio(at, PROC_STDOUT, out);
}

static int open_stderr(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return open_stdio(at, PROC_STDERR, out);
}

static int open_wait(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return proctab_wait(system_of(at)->proctab, at->v[0], out);
}

/* clang-format off */
const struct tree_row procs_rows[] = {
    { .path = "procs", .kind = TREE_DIR, .mode = 0555, .list = list_procs,
      .help = "every process of every machine" },
    { .path = "procs/all.jsonl", .kind = TREE_TEXT, .mode = 0444, .show = show_all,
      .help = "all processes, one JSON object a line" },
    { .path = "procs/clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone_process,
      .home = home_clone, .help = "open for reading and writing: a new process, on the machine with the most room; read its name, then write its verbs; with O_NONBLOCK only the first write makes it" },
    { .path = "procs/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last open of clone failed" },
    { .path = "procs/{proc}", .kind = TREE_DIR, .mode = 0555, .find = find_proc,
      .help = "one process, ID.N: machine and number on it" },
    { .path = "procs/{proc}/ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs,
      .show = show_name, .closed = ctl_closed, .home = home_proc,
      .help = "cwd DIR | env K=V | tty ROWS COLS | exec CMD ARGS... | signal NAME | kill | stop | cont | nice N | winsize ROWS COLS" },
    { .path = "procs/{proc}/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl failed" },
    { .path = "procs/{proc}/cmdline", .kind = TREE_TEXT, .mode = 0444, .show = show_cmdline,
      .home = home_proc, .help = "what was executed, quoted for the shell" },
    { .path = "procs/{proc}/cwd", .kind = TREE_TEXT, .mode = 0444, .show = show_cwd,
      .home = home_proc, .help = "the directory that it was started in, if one was set" },
    { .path = "procs/{proc}/env", .kind = TREE_TEXT, .mode = 0400, .show = show_env,
      .home = home_proc, .help = "the environment that was set, one quoted NAME=VALUE a line" },
    { .path = "procs/{proc}/machine", .kind = TREE_LINK, .mode = 0777, .show = show_machine,
      .help = "the machine that it runs on" },
    { .path = "procs/{proc}/job", .kind = TREE_LINK, .mode = 0777, .find = find_job, .show = show_job,
      .help = "the job that it is of, when it is of one" },
    { .path = "procs/{proc}/status", .kind = TREE_TEXT, .mode = 0444, .show = show_status,
      .home = home_proc, .help = "state, user, exit or signal, cause, times, cpu, memory, bytes" },
    { .path = "procs/{proc}/stdin", .kind = TREE_STREAM, .mode = 0200, .open = open_stdin,
      .accmode = ONLY(O_WRONLY),
      .home = home_stdin, .help = "write; close of the last writer is end of file" },
    { .path = "procs/{proc}/stdout", .kind = TREE_STREAM, .mode = 0400, .open = open_stdout,
      .accmode = ONLY(O_RDONLY),
      .home = home_proc, .help = "read: what is kept so far, then live, then end of file" },
    { .path = "procs/{proc}/stderr", .kind = TREE_STREAM, .mode = 0400, .open = open_stderr,
      .accmode = ONLY(O_RDONLY),
      .home = home_proc, .help = "the same of standard error" },
    { .path = "procs/{proc}/wait", .kind = TREE_STREAM, .mode = 0444, .open = open_wait,
      .accmode = ONLY(O_RDONLY),
      .help = "blocks until it ends; then one line: exit N, signal NAME or lost ID" },
    { 0 },
};
/* clang-format on */
