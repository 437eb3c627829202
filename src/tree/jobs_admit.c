/*
 * jobs_admit.c - what is known of all machines, alive or not, for admit().
 *
 * A machine that was not heard since this daemon began has no cores, memory or labels to go by: it
 * counts as one that may have anything.
 */
#include "tree/jobs_private.h"
#include "base/cleanup.h"
#include "sched/admit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one machine has; the texts of the registry's numbers are made once. */
struct one {
    struct system *sys;
    const json_t *info, *labels;
    char cores[24], memory[24];
};

struct admission {
    size_t n;
    struct one *ones;
    struct admit_machine *machines;
};

static const char *label_of(void *arg, const char *key)
{
    static const char *const told[] = { "arch", "os", "hostname" };
    const struct one *one = arg;

    if (strcmp(key, "cores") == 0)
        return one->cores;
    if (strcmp(key, "memory") == 0)
        return one->memory;
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        if (strcmp(key, told[i]) == 0)
            return json_string_value(json_object_get(one->info, key));
    return json_string_value(json_object_get(one->labels, key));
}

static bool is_machine(void *arg, const char *id)
{
    const struct one *one = arg;

    return member_find(cluster_members(one->sys->cluster), id) != NULL;
}

static void add(struct admission *a, struct system *sys, const char *id)
{
    struct one *one = &a->ones[a->n];
    struct admit_machine *m = &a->machines[a->n++];
    json_int_t cores, memory;

    one->sys = sys;
    one->info = cluster_info(sys->cluster, id);
    one->labels = cluster_labels(sys->cluster, id);
    cores = json_integer_value(json_object_get(one->info, "cores"));
    memory = json_integer_value(json_object_get(one->info, "memory_bytes"));
    snprintf(one->cores, sizeof one->cores, "%lld", (long long)cores);
    snprintf(one->memory, sizeof one->memory, "%lld", (long long)memory);
    m->facts = (struct selector_facts){ .id = id,
                                        .here = strcmp(id, sys->me->id) == 0,
                                        .label = label_of,
                                        .is_id = is_machine,
                                        .arg = one };
    m->known = cores > 0;
    m->cpu_milli = (unsigned)cores * 1000;
    m->memory = (uint64_t)memory;
}

int admission_begin(struct admission **out, struct system *sys)
{
    const struct member *members = cluster_members(sys->cluster);
    size_t n = member_count(members);
    struct admission *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    a->ones = calloc(n + 1, sizeof *a->ones);
    a->machines = calloc(n + 1, sizeof *a->machines);
    if (!a->ones || !a->machines) {
        admission_end(a);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        if (member_at(members, i)->state != MEMBER_PENDING)
            add(a, sys, member_at(members, i)->info.id);
    *out = a;
    return 0;
}

void admission_end(struct admission *a)
{
    if (!a)
        return;
    free(a->ones);
    free(a->machines);
    free(a);
}

/* A uid without a name is known by its digits: on another machine they may be somebody else's. */
static bool is_nameless(const char *user)
{
    return user[strspn(user, "0123456789")] == '\0';
}

int admission_check(const struct admission *a, const char *user, const json_t *spec, struct oerr *e)
{
    struct job_spec s = { 0 };
    int rc;

    if (is_nameless(user))
        return oerr_set(e, -EPERM,
                        "the user %s has no name here: a job runs as the user of the same name on "
                        "the machine where it is placed",
                        user);
    rc = job_spec_decode(spec, &s, e);
    if (rc == 0 && s.priority > 0 && strcmp(user, "root") != 0)
        rc = oerr_set(e, -EPERM, "only root may give a job a priority above 0, not %d", s.priority);
    if (rc == 0)
        rc = admit(&s, a->machines, a->n, e);
    job_spec_free(&s);
    return rc;
}
