/*
 * near.c - on which machine the data of a path under /oneos is, for jobs that want to run near it.
 *
 * What a machine or a process of it shows is there; the bytes of a pipe are with its holder; what a
 * job wrote is where its last stage ran.
 */
#include "tree/system.h"
#include "sched/plan.h"

#include <stdio.h>
#include <string.h>

static void of_machine(struct system *sys, const char *name, char id[ID_MAX])
{
    if (member_find(cluster_members(sys->cluster), name))
        snprintf(id, ID_MAX, "%s", name);
}

static void of_proc(struct system *sys, const char *name, char id[ID_MAX])
{
    const struct proc_rec *r = proctab_find(sys->proctab, name);

    snprintf(id, ID_MAX, "%s", r ? r->machine : "");
}

static void of_pipe(struct system *sys, const char *name, char id[ID_MAX])
{
    const struct pipe_info *p = pipes_find(sys->pipes, name);

    snprintf(id, ID_MAX, "%s", p ? p->holder : "");
}

static void of_job(struct system *sys, const char *name, char id[ID_MAX])
{
    json_t *value = registry_value(sys, "job", name);
    struct job j;

    if (value && job_decode(name, value, &j) == 0) {
        if (j.n_groups > 0)
            snprintf(id, ID_MAX, "%s", j.groups[j.status_group].machine);
        job_clear(&j);
    }
    json_decref(value);
}

static const struct {
    const char *folder;
    void (*find)(struct system *sys, const char *name, char id[ID_MAX]); /* leaves id "" */
} folders[] = {
    { "machines", of_machine }, { "procs", of_proc }, { "pipes", of_pipe }, { "jobs", of_job }
};

void near_machine(struct system *sys, const char *path, char id[ID_MAX])
{
    char folder[16] = "", name[PIPE_NAME_MAX + 1] = "";

    *id = '\0';
    if (!plan_shared(path) || sscanf(path, "/oneos/%15[^/]/%255[^/]", folder, name) != 2)
        return;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (strcmp(folders[i].folder, folder) == 0)
            folders[i].find(sys, name, id);
}
