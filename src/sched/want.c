/*
 * want.c - what a spec asks of machines: job_spec.h and plan.h, as far as the scheduler cares.
 */
#include "sched/want.h"

#include "sched/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(WANT_STAGES_MAX == RUN_STAGES_MAX, "as many stages as a run line may have");

struct want_mem {
    struct job_spec spec;
};

static const char *env_value(char *const *env, size_t n, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    return NULL;
}

/* Where a command lies depends on its directory only when it says so. */
static bool is_relative(const char *command)
{
    return *command != '/' && strchr(command, '/');
}

static void want_stage(struct want_stage *out, const struct job_spec *spec,
                       const struct run_stage *st)
{
    const char *path = env_value(st->env, st->n_env, "PATH");

    out->select = st->select;
    out->command = st->argv[0];
    out->path = strchr(out->command, '/') ? NULL
                : path                    ? path
                                          : env_value(spec->env.v, spec->env.n, "PATH");
    out->cwd = is_relative(out->command) ? spec->cwd : NULL;
}

int want_read(struct want *w, const json_t *spec, struct oerr *e)
{
    struct want_mem *mem = calloc(1, sizeof *mem);
    int rc = mem ? job_spec_decode(spec, &mem->spec, e) : -ENOMEM;

    memset(w, 0, sizeof *w);
    if (rc == 0 && mem->spec.line.n == 0)
        rc = oerr_set(e, -EINVAL, "run: there is no line to run");
    if (rc < 0) {
        if (mem)
            job_spec_free(&mem->spec);
        free(mem);
        return rc;
    }
    w->mem = mem;
    w->n = mem->spec.line.n;
    for (size_t i = 0; i < w->n; i++) {
        const struct run_stage *st = &mem->spec.line.stages[i];

        want_stage(&w->stages[i], &mem->spec, st);
        w->files = w->files || (st->in && !plan_shared(st->in)) ||
                   (st->out && !plan_shared(st->out)) || (st->err && !plan_shared(st->err));
    }
    w->cpu_milli = mem->spec.cpu_milli;
    w->memory = mem->spec.memory;
    w->timeout_us = mem->spec.timeout_ms * 1000;
    w->priority = mem->spec.priority;
    w->endless = mem->spec.restart == JOB_RESTART_ALWAYS;
    w->place = mem->spec.place == JOB_WHERE_SPREAD ? WANT_SPREAD
               : mem->spec.place == JOB_WHERE_PACK ? WANT_PACK
                                                   : WANT_ANY;
    w->near = mem->spec.near;
    w->after = mem->spec.after.v;
    w->n_after = mem->spec.after.n;
    return 0;
}

void want_free(struct want *w)
{
    if (w->mem)
        job_spec_free(&w->mem->spec);
    free(w->mem);
    memset(w, 0, sizeof *w);
}

/* The caller's own pointer for a machine of the plan, which lives longer. */
static const char *own(const char *machine, const char *const *on, size_t n, const char *by)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(on[i], machine) == 0)
            return on[i];
    return by;
}

int want_groups(const struct want *w, const char *const *on, const char *by,
                struct want_groups *out, struct oerr *e)
{
    struct plan plan;
    int rc = plan_make(&plan, &w->mem->spec, (char *const *)(const void *)on, by, NULL, e);

    *out = (struct want_groups){ 0 };
    if (rc < 0)
        return rc;
    if (!(out->v = calloc(plan.n, sizeof *out->v)))
        rc = -ENOMEM;
    for (size_t i = 0; rc == 0 && i < plan.n; i++)
        out->v[i] = (struct want_group){ .machine = own(plan.groups[i].machine, on, w->n, by),
                                         .file = plan.groups[i].file,
                                         .first = plan.groups[i].first,
                                         .n = plan.groups[i].n };
    out->n = rc == 0 ? plan.n : 0;
    out->status = (unsigned)plan.status_group;
    plan_free(&plan);
    return rc;
}

void want_groups_free(struct want_groups *g)
{
    free(g->v);
    *g = (struct want_groups){ 0 };
}

int want_placed(const json_t *spec, char (*on)[ID_MAX], size_t n_on, const char *by,
                struct want_groups *out)
{
    const char *at[WANT_STAGES_MAX];
    struct want w;
    int rc = want_read(&w, spec, NULL);

    *out = (struct want_groups){ 0 };
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n_on && i < WANT_STAGES_MAX; i++)
        at[i] = on[i];
    rc = w.n == n_on ? want_groups(&w, at, by, out, NULL) : -EINVAL;
    want_free(&w);
    return rc;
}
