/*
 * bench_job_cmd.c - what a job costs the registry: time of each of its commands on one machine,
 * bytes of its record in each state, and what an array of 10,000 costs.
 *
 *     bench_job_cmd [JOBS [IN_A_COMMAND]]
 */
#include "base/clock.h"
#include "cluster/registry_tables.h"
#include "sched/job_cmd.h"
#include "tests/unit/tempdir.h"
#include "timing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const machines[] = { "6a1c9d0e-0b4b-4c68-9d5e-3f0f5b1f8a01",
                                        "d2a0e6d7-95f4-4b8b-8a50-94f0c7b4a102",
                                        "f37f2a11-4b41-4f7a-bb1c-0f4f1d0b9b03" };

static struct registry *r;
static uint64_t at;

static void queue(const char *cmd, json_t *fields)
{
    char *text;

    json_object_set_new(fields, "v", json_integer(1));
    json_object_set_new(fields, "cmd", json_string(cmd));
    text = json_dumps(fields, JSON_COMPACT);
    json_decref(fields);
    if (registry_committed(r, ++at, text, strlen(text)) < 0)
        abort();
    free(text);
}

static double flush(void)
{
    double begin = seconds();

    if (registry_flush(r, NULL, NULL) < 0)
        abort();
    return seconds() - begin;
}

static size_t bytes(const char *name)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    const char *text;
    size_t n = 0;

    snprintf(key, sizeof key, JOB_KEY "%s", name);
    if (registry_read(r, &v) < 0)
        abort();
    if (view_text(v, key, &text, &n) < 0)
        abort();
    registry_view_end(v);
    return n;
}

static json_t *spec(const char *array)
{
    json_t *s = json_pack("{s:i, s:s}", "schema", 1, "run", "true");

    if (array)
        json_object_set_new(s, "array", json_string(array));
    return s;
}

static void row(const char *what, double took, unsigned commands, unsigned n)
{
    printf("%-28s %8.1f us a command %8.1f us a job %6zu bytes a record\n", what,
           took / commands * 1e6, took / n * 1e6, bytes("1"));
}

/* All jobs through one command, `many` in each. */
static void lives(unsigned n, unsigned many)
{
    uint64_t uid = wall_us(), t = uid;
    char(*names)[16] = calloc(n, sizeof *names);
    struct job_place *places = calloc(many, sizeof *places);
    struct job_ended *ends = calloc(many, sizeof *ends);
    unsigned commands = (n + many - 1) / many;

    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%u", i + 1);
        queue("job.make", job_make_fields("", "alice", machines[0], spec(NULL), true, false, uid));
    }
    row("job.make", flush(), n, n);
    for (unsigned i = 0; i < n; i += many) {
        unsigned m = n - i < many ? n - i : many;

        for (unsigned k = 0; k < m; k++)
            places[k] = (struct job_place){ .name = names[i + k],
                                            .uid = uid + i + k,
                                            .attempt = 1,
                                            .on = &machines[1],
                                            .n_on = 1,
                                            .groups = &machines[1],
                                            .n_groups = 1 };
        queue("job.place", job_place_fields(1, places, m, t + 1500));
    }
    row("job.place", flush(), commands, n);
    for (unsigned i = 0; i < n; i += many) {
        unsigned m = n - i < many ? n - i : many;

        for (unsigned k = 0; k < m; k++)
            ends[k] = (struct job_ended){ .name = names[i + k],
                                          .uid = uid + i + k,
                                          .attempt = 1,
                                          .end = { .cause = JOB_EXITED,
                                                   .started_us = t + 2000,
                                                   .ended_us = t + 3000,
                                                   .cpu_us = 812,
                                                   .memory_peak = 1540096 } };
        queue("job.end", job_end_fields(machines[1], 5, ends, m, t + 3100));
    }
    row("job.end", flush(), commands, n);
    free(names);
    free(places);
    free(ends);
}

static void array(void)
{
    uint64_t uid = wall_us() + 1000000;
    const struct job_id id = { "many", uid };
    double made, cancelled;

    queue("job.make",
          job_make_fields("many", "alice", machines[0], spec("1-10000"), true, false, uid));
    made = flush();
    queue("job.cancel", job_cancel_fields("many", uid, "alice", uid + 1));
    cancelled = flush();
    queue("job.forget", job_forget_fields(&id, 1));
    printf("an array of 10,000: made %.0f ms, cancelled %.0f ms, forgotten %.0f ms\n", made * 1e3,
           cancelled * 1e3, flush() * 1e3);
}

static void decoding(unsigned n)
{
    struct registry_view *v;
    json_t *value;
    struct job j;
    double begin;

    if (registry_read(r, &v) < 0 || view_get(v, "job/1", &value) < 0)
        abort();
    registry_view_end(v);
    begin = seconds();
    for (unsigned i = 0; i < n; i++) {
        if (job_decode("1", value, &j) < 0)
            abort();
        job_clear(&j);
    }
    printf("%-28s %8.2f us\n", "job_decode", (seconds() - begin) / n * 1e6);
    if (job_decode("1", value, &j) < 0)
        abort();
    begin = seconds();
    for (unsigned i = 0; i < n; i++)
        json_decref(job_encode(&j));
    printf("%-28s %8.2f us\n", "job_encode", (seconds() - begin) / n * 1e6);
    job_clear(&j);
    json_decref(value);
}

int main(int argc, char **argv)
{
    static const struct registry_command *const tables[] = { registry_base_commands,
                                                             member_commands, service_commands,
                                                             job_commands, NULL };
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    unsigned many = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    char dir[256];

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tempdir_make(dir);
    if (n == 0 || many == 0 || registry_open(&r, dir, "bench", tables, NULL) < 0)
        return 2;
    queue("registry.init", json_pack("{s:s, s:i}", "id", "r1", "at_us", 5));
    for (unsigned i = 0; i < 3; i++) {
        queue("member.put", json_pack("{s:s, s:s, s:s, s:i}", "id", machines[i], "node", "1f",
                                      "key", "k", "at_us", 1));
        queue("runner.claim", runner_claim_fields(machines[i], 5, 1));
    }
    queue("service.assign", json_pack("{s:s, s:s, s:i, s:i}", "name", "scheduler", "machine",
                                      machines[0], "epoch", 0, "at_us", 1));
    flush();
    lives(n, many);
    decoding(n);
    array();
    registry_close(r);
    tempdir_remove(dir);
    return 0;
}
