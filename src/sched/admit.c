/*
 * admit.c - for each command of the line: is there a machine that its selector fits, and that has
 * cores and memory enough?
 */
#include "sched/admit.h"
#include "base/buf.h"
#include "base/units.h"

#include <errno.h>
#include <stdio.h>

/* The most that the machines have which a selector fits. */
struct most {
    unsigned cpu_milli;
    uint64_t memory;
    const char *cpu_id, *memory_id;
    bool any, unknown;
};

static void take(struct most *most, const struct admit_machine *m)
{
    if (!most->any || m->cpu_milli > most->cpu_milli) {
        most->cpu_milli = m->cpu_milli;
        most->cpu_id = m->facts.id;
    }
    if (!most->any || m->memory > most->memory) {
        most->memory = m->memory;
        most->memory_id = m->facts.id;
    }
    most->any = true;
}

/* "@gpu fits no machine: A has no label gpu; B has no label gpu" */
static int fits_none(const char *select, const struct selector *sel,
                     const struct admit_machine *machines, size_t n, struct oerr *e)
{
    char words[sizeof e->text], why[SELECTOR_WHY];
    size_t used = 0;

    words[0] = '\0';
    for (size_t i = 0; i < n && used < sizeof words - 1; i++) {
        why[0] = '\0';
        selector_match(sel, &machines[i].facts, why);
        used += (size_t)snprintf(words + used, sizeof words - used, "%s %s %s", i ? ";" : ":",
                                 machines[i].facts.id, why);
    }
    return oerr_set(e, -EINVAL, "@%.60s fits no machine%s", select, words);
}

static int too_few_cpus(const struct job_spec *spec, const struct most *most, struct oerr *e)
{
    return oerr_set(e, -EINVAL, "%g cpus are wanted, and the largest machine that fits, %s, has %g",
                    spec->cpu_milli / 1000.0, most->cpu_id, most->cpu_milli / 1000.0);
}

static int too_little_memory(const struct job_spec *spec, const struct most *most, struct oerr *e)
{
    struct obuf want = { 0 }, have = { 0 };
    int rc;

    units_put_size(&want, spec->memory);
    units_put_size(&have, most->memory);
    rc = oerr_set(e, -EINVAL,
                  "%s of memory are wanted, and the largest machine that fits, %s, has %s",
                  want.p ? want.p : "?", most->memory_id, have.p ? have.p : "?");
    obuf_free(&want);
    obuf_free(&have);
    return rc;
}

static int admit_stage(const struct job_spec *spec, const struct run_stage *stage,
                       const struct admit_machine *machines, size_t n, struct oerr *e)
{
    struct selector *sel = NULL;
    struct most most = { 0 };
    int rc = stage->select ? selector_parse(stage->select, &sel, e) : 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        most.unknown |= !machines[i].known;
        if (machines[i].known && selector_match(sel, &machines[i].facts, NULL))
            take(&most, &machines[i]);
    }
    if (rc < 0 || most.unknown)
        ;
    else if (!most.any && sel)
        rc = fits_none(stage->select, sel, machines, n, e);
    else if (most.any && most.cpu_milli < spec->cpu_milli)
        rc = too_few_cpus(spec, &most, e);
    else if (most.any && most.memory < spec->memory)
        rc = too_little_memory(spec, &most, e);
    selector_free(sel);
    return rc;
}

int admit(const struct job_spec *spec, const struct admit_machine *machines, size_t n,
          struct oerr *e)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < spec->line.n; i++)
        rc = admit_stage(spec, &spec->line.stages[i], machines, n, e);
    return rc;
}
