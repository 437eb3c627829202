/*
 * runs_signal.c - a signal to all processes of a job, on whatever machines.
 *
 * BUS_JOB: {"job", "uid", "signal"}, answered {"sent": N}.
 */
#include "sched/runs_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define ASK_MS 3000

struct signalling {
    struct task task;
    struct runs *runs;
    unsigned left, sent; /* machines that have not answered; processes that got it */
    int rc;
    struct oerr words;
    void (*done)(void *arg, int rc, const char *text);
    void *arg;
};

/* Returns how many processes of it got the signal here. */
static unsigned signal_here(struct runs *r, uint64_t uid, int sig)
{
    unsigned sent = 0;

    for (struct grun *g = r->gruns; g; g = g->hh.next) {
        struct proc *p = g->key.uid == uid ? procs_find(r->procs, g->number) : NULL;

        sent += p && proc_signal(p, sig, NULL) == 0;
    }
    return sent;
}

static void one_done(struct signalling *s)
{
    if (--s->left > 0)
        return;
    if (s->sent == 0 && s->rc == 0)
        s->rc = oerr_set(&s->words, -ESRCH, "none of its processes runs any more");
    s->done(s->arg, s->rc, s->words.text);
    free(s);
}

static void answered(void *arg, int rc, json_t *body, const char *text)
{
    struct signalling *s = arg;

    if (rc < 0)
        s->rc = oerr_set(&s->words, rc, "%s", text);
    else
        s->sent += (unsigned)json_integer_value(json_object_get(body, "sent"));
    one_done(s);
}

static void run_done(struct task *t)
{
    one_done(container_of(t, struct signalling, task));
}

static bool earlier(const struct job *j, size_t group)
{
    for (size_t i = 0; i < group; i++)
        if (strcmp(j->groups[i].machine, j->groups[group].machine) == 0)
            return true;
    return false;
}

static void signal_all(struct signalling *s, const struct job *j, int sig)
{
    struct runs *r = s->runs;

    for (size_t i = 0; i < j->n_groups; i++) {
        const char *machine = j->groups[i].machine;
        json_t *body;
        int rc;

        if (earlier(j, i))
            continue;
        if (strcmp(machine, r->self) == 0) {
            s->sent += signal_here(r, j->uid, sig);
            continue;
        }
        body =
            json_pack("{s:s, s:I, s:i}", "job", j->name, "uid", (json_int_t)j->uid, "signal", sig);
        rc = cluster_ask(r->cluster, machine, BUS_JOB, body, ASK_MS, answered, s, &s->words);
        if (rc < 0)
            s->rc = rc;
        else
            s->left++;
    }
}

int runs_signal(struct runs *r, const char *job, int sig,
                void (*done)(void *arg, int rc, const char *text), void *arg, struct oerr *e)
{
    struct signalling *s = calloc(1, sizeof *s);
    struct job j;
    int rc = !s ? -ENOMEM : runs_read_job(r, job, &j);

    if (rc < 0) {
        free(s);
        return oerr_set(e, rc, "job %s cannot be signalled: %s", job, strerror(-rc));
    }
    if (j.counts || j.state != JOB_RUNNING) {
        rc = j.counts
                 ? oerr_set(e, -EINVAL, "job %s is an array: signal its elements, %s.N", job, job)
                 : oerr_set(e, -ESRCH, "job %s is %s: there is nothing to signal", job,
                            job_state_name(j.state));
        free(s);
        job_clear(&j);
        return rc;
    }
    *s =
        (struct signalling){ .task.run = run_done, .runs = r, .left = 1, .done = done, .arg = arg };
    signal_all(s, &j, sig);
    job_clear(&j);
    loop_post(r->core, &s->task);
    return 0;
}

void runs_asked(struct runs *r, struct bus_ask *ask, const json_t *body)
{
    json_int_t uid, sig;

    if (r->closing)
        bus_refuse(ask, -ESHUTDOWN, "%s stops", r->self);
    else if (json_unpack((json_t *)body, "{s:I, s:I}", "uid", &uid, "signal", &sig) < 0 ||
             sig < 0 || sig > 64)
        bus_refuse(ask, -EPROTO, "this is no question about a job");
    else
        bus_answer(ask, json_pack("{s:i}", "sent", (int)signal_here(r, (uint64_t)uid, (int)sig)));
}
