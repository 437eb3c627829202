/*
 * runner_room.c - what this machine has for jobs, and what those that are alive take of it.
 *
 * Its books are the scheduler's: a job takes its promise once, and nothing for what only carries a
 * file. They differ in time only: a lane's jobs come before those ahead of them have ended.
 */
#include "sched/runner_private.h"
#include "base/units.h"

bool run_is_alive(const struct run *run)
{
    return run->at == RUN_STARTING || run->at == RUN_RUNNING;
}

void runner_room(struct runner *r, int64_t cpu_milli, int64_t memory)
{
    r->room_cpu = cpu_milli;
    r->room_memory = memory;
}

/* What is promised to it; job_spec has checked it. */
void room_promise(const struct job *j, struct rjob *job)
{
    const json_t *cpus = json_object_get(j->spec, "cpus");
    const char *memory = json_string_value(json_object_get(j->spec, "memory"));
    uint64_t bytes = 0;

    job->cpu = json_is_number(cpus) ? (int64_t)(json_number_value(cpus) * 1000 + 0.5) : 1000;
    if (memory && units_size(memory, &bytes, NULL) == 0 && bytes <= INT64_MAX)
        job->memory = (int64_t)bytes;
}

/* A job has its promise once: with the first of its runs that is alive and does more than carry a
 * file, as the scheduler counts it. */
void room_use(struct runner *r, struct run *run)
{
    if (!run->job || run->carries)
        return;
    for (const struct run *o = run->job->runs; o; o = o->after)
        if (o != run && run_is_alive(o) && !o->carries)
            return;
    run->cpu = run->job->cpu;
    run->memory = run->job->memory;
    r->used_cpu += run->cpu;
    r->used_memory += run->memory;
}

void room_free(struct runner *r, struct run *run)
{
    r->used_cpu -= run->cpu;
    r->used_memory -= run->memory;
    run->cpu = run->memory = 0;
}

bool run_fits(const struct runner *r, const struct run *run)
{
    if (!r->room_cpu || !run->alone || r->used_cpu == 0)
        return true;
    return r->used_cpu + run->job->cpu <= r->room_cpu &&
           r->used_memory + run->job->memory <= r->room_memory;
}
