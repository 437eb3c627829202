/*
 * runs_start.c - a group of a plan becomes a process, and its end the end of a group.
 *
 * The record is read again at each start: what is started is in the registry as this machine has it
 * now, and the runner has a lease for that.
 */
#include "sched/job_state.h"
#include "sched/runs_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* ---- what a record means */

int runs_plan(const struct job *j, struct planned *out, struct oerr *e)
{
    int rc;

    *out = (struct planned){ 0 };
    rc = job_spec_decode(j->spec, &out->spec, e);
    if (rc < 0)
        return rc;
    out->on = calloc(j->n_on + 1, sizeof *out->on);
    if (!out->on) {
        runs_unplan(out);
        return -ENOMEM;
    }
    for (size_t i = 0; i < j->n_on; i++)
        out->on[i] = j->on[i];
    if (j->n_on != out->spec.line.n)
        rc = oerr_set(e, -EINVAL, "job %s has %zu stages, %zu of them are placed", j->name,
                      out->spec.line.n, j->n_on);
    if (rc == 0)
        rc = plan_make(&out->plan, &out->spec, out->on, j->by, NULL, e);
    if (rc == 0 && out->plan.n != j->n_groups)
        rc = oerr_set(e, -EINVAL, "job %s is planned in %zu groups, %zu are placed", j->name,
                      out->plan.n, j->n_groups);
    if (rc < 0)
        runs_unplan(out);
    return rc;
}

void runs_unplan(struct planned *p)
{
    plan_free(&p->plan);
    job_spec_free(&p->spec);
    free(p->on);
    *p = (struct planned){ 0 };
}

/* ---- starting */

/* What a process is made of, beside what the plan has. */
struct making {
    struct proc_stage *stages;
    char *paths[3 * RUN_STAGES_MAX + 1]; /* as this machine sees them */
    size_t n_paths;
    char *env[JOB_ENV_MAX + 2];
    char index[48];
};

static void unmake(struct making *m)
{
    while (m->n_paths > 0)
        free(m->paths[--m->n_paths]);
    free(m->stages);
}

/* What the path is here; NULL stays NULL. */
static int here(struct runs *r, struct making *m, const char *path, const char **out,
                struct oerr *e)
{
    struct obuf b = { 0 };

    *out = NULL;
    if (!path)
        return 0;
    if (!*r->mount && plan_shared(path) && strncmp(path, "/oneos", 6) == 0)
        return oerr_set(e, -ENOENT, "%s has no /oneos mounted, so it has no %.200s", r->self, path);
    plan_path(path, r->mount, &b);
    if (obuf_check(&b) < 0) {
        obuf_free(&b);
        return -ENOMEM;
    }
    *out = m->paths[m->n_paths++] = b.p;
    return 0;
}

static int make_stages(struct runs *r, struct making *m, const struct plan *plan,
                       const struct plan_group *g, struct oerr *e)
{
    int rc = 0;

    m->stages = calloc(g->n, sizeof *m->stages);
    if (!m->stages)
        return -ENOMEM;
    for (size_t i = 0; i < g->n && rc == 0; i++) {
        const struct plan_proc *from = &plan->procs[g->first + i];
        struct proc_stage *s = &m->stages[i];

        *s = (struct proc_stage){ .argv = from->argv, .env = from->env, .io = from->io };
        rc = here(r, m, from->io.in, &s->io.in, e);
        if (rc == 0)
            rc = here(r, m, from->io.out, &s->io.out, e);
        if (rc == 0)
            rc = here(r, m, from->io.err, &s->io.err, e);
    }
    return rc;
}

static void make_env(struct making *m, const struct job *j, const struct job_spec *spec)
{
    size_t n = 0;

    for (size_t i = 0; i < spec->env.n; i++)
        m->env[n++] = spec->env.v[i];
    if (j->index >= 0) {
        snprintf(m->index, sizeof m->index, "ONEOS_ARRAY_INDEX=%d", j->index);
        m->env[n++] = m->index;
    }
    m->env[n] = NULL;
}

/* Its stdin, where another group writes it. */
static int feed(struct runs *r, const struct job *j, const struct plan *plan,
                const struct plan_group *g, const struct run_key *k, struct proc *p)
{
    struct run_key from = *k;
    struct stream *s;
    int rc;

    if (g->in_from == PLAN_NONE)
        return 0;
    from.group = (uint32_t)g->in_from;
    rc = wire_open(r, plan->groups[g->in_from].machine, j->name, &from,
                   g->from_err ? PROC_STDERR : PROC_STDOUT, true, &s);
    return rc < 0 ? rc : proc_feed(p, s);
}

/* What the command met when it was begun is not what befell the machine: runner_started(). */
static int of_command(const struct runs *r, int rc)
{
    bool init_lost = procs_boot(r->procs) == 0;

    return rc == -ENOSPC || (rc == -EPIPE && !init_lost) ? -EIO : rc;
}

static void started(void *arg, int rc, const char *text)
{
    struct grun *g = arg;
    struct runs *r = g->runs;
    struct run_key k = g->key;

    if (rc < 0)
        runs_drop(r, g);
    if (r->closing)
        return;
    runner_started(r->runner, now_ms(), &k, of_command(r, rc), runs_exit_of(rc, text), text);
    runs_soon(r);
}

static struct grun *add(struct runs *r, const char *job, const struct run_key *k)
{
    struct grun *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    *g = (struct grun){ .runs = r, .key = *k };
    snprintf(g->job, sizeof g->job, "%s", job);
    HASH_ADD(hh, r->gruns, key, sizeof g->key, g);
    return g;
}

void runs_drop(struct runs *r, struct grun *g)
{
    HASH_DEL(r->gruns, g);
    free(g);
}

static int start_group(struct runs *r, const struct job *j, const struct planned *what,
                       const struct run_key *k, struct oerr *e)
{
    const struct plan_group *g = &what->plan.groups[k->group];
    struct making m = { 0 };
    struct proc_plan plan = { .user = j->user,
                              .n = g->n,
                              .env = m.env,
                              .memory = g->file ? 0 : what->spec.memory,
                              .cpu_milli = g->file ? 0 : what->spec.cpu_milli,
                              .leased = true,
                              .tag = { .uid = k->uid, .attempt = k->attempt, .group = k->group },
                              .wire_out = g->out_to != PLAN_NONE,
                              .wire_err = g->err_to != PLAN_NONE,
                              .no_stdin = g->in_from == PLAN_NONE &&
                                          (int)k->group != what->plan.stdin_group };
    struct grun *run = NULL;
    struct proc *p;
    int rc;

    snprintf(plan.tag.job, sizeof plan.tag.job, "%s", j->name);
    make_env(&m, j, &what->spec);
    rc = make_stages(r, &m, &what->plan, g, e);
    plan.stages = m.stages;
    if (rc == 0)
        rc = here(r, &m, what->spec.cwd, &plan.cwd, e);
    if (rc == 0)
        rc = (run = add(r, j->name, k)) ? 0 : -ENOMEM;
    if (rc == 0)
        rc = procs_start(r->procs, &plan, &p, started, run, e);
    unmake(&m);
    if (rc < 0) {
        if (run)
            runs_drop(r, run);
        return rc;
    }
    run->number = proc_rec(p)->number;
    if (feed(r, j, &what->plan, g, k, p) < 0)
        proc_end(p, SIGKILL, CAUSE_LOST, NULL);
    wire_ready(r, run);
    return 0;
}

int runs_start(struct runs *r, const char *job, const struct run_key *k, struct oerr *e)
{
    struct planned what;
    struct job j;
    int rc = runs_read_job(r, job, &j);

    if (rc < 0)
        return oerr_set(e, rc, "job %s cannot be read in the registry", job);
    if (j.uid != k->uid || j.attempt != k->attempt || j.state != JOB_RUNNING ||
        k->group >= j.n_groups || j.groups[k->group].end.cause != JOB_NOT_ENDED)
        rc = oerr_set(e, -ESTALE, "job %s is not to be started here any more", job);
    if (rc == 0)
        rc = runs_plan(&j, &what, e);
    if (rc == 0) {
        rc = start_group(r, &j, &what, k, e);
        runs_unplan(&what);
    }
    job_clear(&j);
    return rc;
}

/* ---- ends */

int runs_exit_of(int rc, const char *words)
{
    return rc == -ENOENT && words && strstr(words, "exec: ") ? 127 : 126;
}

static void file_words(const struct runs *r, const struct init_redirect *io, struct job_end *end)
{
    const char *path = io->in ? io->in : io->out ? io->out : "a file";
    struct oerr words;

    oerr_set(&words, 0, "%.90s on %.60s was not %s to its end: see stderr", path, r->self,
             io->in ? "read" : "written");
    job_end_words(end, words.text);
}

/* The `cat` of a redirection that did not end well has lost something of the file: no exit of the
 * last stage makes up for that. That nobody reads on is not its failure. */
static void judge_file(struct runs *r, struct proc *p, struct job_end *end)
{
    const struct proc_tag *tag = proc_tag(p);
    struct planned what;
    struct job j;

    if ((end->cause != JOB_EXITED && end->cause != JOB_KILLED) ||
        (end->cause == JOB_EXITED && end->exit == 0) || runs_read_job(r, tag->job, &j) < 0)
        return;
    if (j.uid == tag->uid && j.attempt == tag->attempt && runs_plan(&j, &what, NULL) == 0) {
        if (tag->group < what.plan.n && what.plan.groups[tag->group].file) {
            if (end->signal == SIGPIPE) {
                *end = (struct job_end){ .cause = JOB_EXITED };
            } else {
                *end = (struct job_end){ .cause = JOB_NOT_BEGUN, .exit = 126 };
                file_words(r, &what.plan.procs[what.plan.groups[tag->group].first].io, end);
            }
        }
        runs_unplan(&what);
    }
    job_clear(&j);
}

void runs_end_of(struct runs *r, struct proc *p, const struct init_end *from, struct job_end *out)
{
    const struct proc_rec *rec = proc_rec(p);
    enum job_cause cause = JOB_EXITED;

    if (rec->cause == CAUSE_LOST)
        cause = JOB_LOSS;
    else if (rec->cause == CAUSE_TIMEOUT)
        cause = JOB_TIMEOUT;
    else if (rec->cause == CAUSE_OOM)
        cause = JOB_OOM;
    else if (rec->cause == CAUSE_KILLED)
        cause = rec->signal > 0 ? JOB_KILLED : JOB_CANCEL;
    *out = (struct job_end){ .cause = cause,
                             .exit = rec->signal > 0 ? -1 : rec->exit,
                             .signal = rec->signal > 0 ? rec->signal : 0 };
    if (cause == JOB_LOSS)
        snprintf(out->words, sizeof out->words, "%s",
                 from->lease ? "its machine could not reach the registry for too long"
                             : "its machine stopped, or one that it has a wire with: where its "
                               "input comes from, or its output goes");
    judge_file(r, p, out);
    out->started_us = rec->started_us;
    out->ended_us = rec->ended_us;
    out->cpu_us = from->cpu_us;
    out->memory_peak = from->memory_peak;
}
