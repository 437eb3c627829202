/*
 * top.c - `oneos top`: the machines with their load and what is promised to jobs, and the jobs that
 * run, by the processors that they use. On a terminal anew each second, else once.
 *
 * What a job uses is asked of its processes, of the first PROCS_ASKED of them; its share is what it
 * used since the last look, or, at the first, since it began.
 */
#include "shell/commands.h"
#include "shell/table.h"

#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PROCS_ASKED 100

static const struct column machine_columns[] = {
    { "id", "MACHINE", false, NULL },
    { "state", "STATE", false, NULL },
    { "cores", "CORES", true, NULL },
    { "cpu_used", "CPU", true, NULL },
    { "allocated_cpus", "PROMISED", true, NULL },
    { "memory_bytes", "MEMORY", true, put_size },
    { "memory_used_bytes", "USED", true, put_size },
    { "allocated_memory_bytes", "PROMISED", true, put_size },
    { "procs", "PROCS", true, NULL },
};

static const struct column job_columns[] = {
    { "id", "JOB", false, NULL },
    { "user", "USER", false, NULL },
    { "cpus", "CPUS", true, NULL },
    { "memory_bytes", "MEMORY", true, put_size },
    { "machines", "MACHINES", false, NULL },
    { "run", "COMMAND", false, NULL },
};

/* One look: what each job had used by then. */
struct look {
    double at;
    json_t *used; /* job: usec */
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

static json_t *read_lines(const struct shell *sh, const char *path)
{
    struct obuf text = { 0 };
    json_t *rows = NULL;
    int rc = tree_read(sh, &text, path);

    if (rc < 0)
        say_errno(sh, path, rc);
    else
        rows = parse_lines(path, text.p);
    obuf_free(&text);
    return rows;
}

static void add_number(json_t *to, const char *key, json_int_t more)
{
    json_int_t had = json_integer_value(json_object_get(to, key));

    json_object_set_new(to, key, json_integer(had + more));
}

/* Adds what one process uses to its job's sums. */
static void ask_process(const struct shell *sh, const json_t *proc, json_t *used, json_t *memory)
{
    const char *job = text_of(proc, "job");
    char path[NAME_BYTES * 2];
    struct obuf text = { 0 };
    json_t *status;

    snprintf(path, sizeof path, "procs/%s/status", text_of(proc, "id"));
    if (tree_read(sh, &text, path) == 0) {
        status = parse_keyed(text.p);
        add_number(used, job, json_integer_value(json_object_get(status, "cpu_usec")));
        add_number(memory, job, json_integer_value(json_object_get(status, "memory_bytes")));
        json_decref(status);
    }
    obuf_free(&text);
}

static int ask_processes(const struct shell *sh, json_t *used, json_t *memory)
{
    json_t *procs = read_lines(sh, "procs/all.jsonl");
    const json_t *proc;
    size_t i, asked = 0;

    if (!procs)
        return EXIT_ONEOS;
    json_array_foreach (procs, i, proc)
        if (*text_of(proc, "job") && strcmp(text_of(proc, "state"), "running") == 0 &&
            asked++ < PROCS_ASKED)
            ask_process(sh, proc, used, memory);
    json_decref(procs);
    return 0;
}

/* Seconds since a time as the tree writes it. */
static double age(const char *stamp)
{
    struct tm tm = { 0 };

    return strptime(stamp, "%Y-%m-%dT%H:%M:%S", &tm) ? difftime(time(NULL), timegm(&tm)) : 0;
}

static double share(const json_t *job, const struct look *last, const struct look *now)
{
    const char *id = text_of(job, "id");
    const json_t *before = json_object_get(last->used, id);
    double used = (double)json_integer_value(json_object_get(now->used, id)) / 1e6;
    double over = before ? now->at - last->at : age(text_of(job, "started"));

    used -= (double)json_integer_value(before) / 1e6;
    return over > 0.01 && used > 0 ? used / over : 0;
}

static int by_cpus(const void *a, const void *b)
{
    double x = json_real_value(json_object_get(*(json_t *const *)a, "cpus"));
    double y = json_real_value(json_object_get(*(json_t *const *)b, "cpus"));

    return (x < y) - (x > y);
}

/* The jobs that run, those that use most first. */
static json_t *running(const json_t *all, const json_t *memory, const struct look *last,
                       const struct look *now)
{
    size_t n = 0, i;
    cleanup_free json_t **v = calloc(json_array_size(all) + 1, sizeof *v);
    json_t *rows = json_array(), *job;

    json_array_foreach (all, i, job) {
        if (!v || strcmp(text_of(job, "state"), "running") != 0 || json_object_get(job, "elements"))
            continue;
        json_object_set_new(job, "cpus", json_real(share(job, last, now)));
        json_object_set(job, "memory_bytes", json_object_get(memory, text_of(job, "id")));
        v[n++] = job;
    }
    if (v)
        qsort(v, n, sizeof *v, by_cpus);
    for (i = 0; i < n; i++)
        json_array_append(rows, v[i]);
    return rows;
}

static void print_rows(const struct shell *sh, const json_t *machines, const json_t *jobs)
{
    const json_t *row;
    size_t i;

    if (sh->json) {
        json_array_foreach (machines, i, row)
            print_json(row);
        json_array_foreach (jobs, i, row)
            print_json(row);
        return;
    }
    table_print(machine_columns, ARRAY_SIZE(machine_columns), machines);
    puts("");
    table_print(job_columns, ARRAY_SIZE(job_columns), jobs);
}

static int look(const struct shell *sh, struct look *last, bool again)
{
    struct look now = { .used = json_object() };
    json_t *memory = json_object(), *jobs = NULL;
    json_t *machines = read_lines(sh, "machines/all.jsonl");
    json_t *all = machines ? read_lines(sh, "jobs/all.jsonl") : NULL;
    int rc = all ? ask_processes(sh, now.used, memory) : EXIT_ONEOS;

    now.at = seconds();
    if (rc == 0) {
        jobs = running(all, memory, last, &now);
        if (again)
            fputs("\033[H\033[2J", stdout);
        print_rows(sh, machines, jobs);
        fflush(stdout);
    }
    json_decref(jobs);
    json_decref(all);
    json_decref(machines);
    json_decref(memory);
    json_decref(last->used);
    *last = now;
    return rc;
}

static volatile sig_atomic_t over;

static void on_signal(int sig)
{
    (void)sig;
    over = 1;
}

static int run(struct shell *sh, int argc, char **argv)
{
    struct sigaction sa = { .sa_handler = on_signal };
    bool again = isatty(STDOUT_FILENO) && !sh->json;
    struct timespec second = { .tv_sec = 1 };
    struct look last = { 0 };
    int rc;

    (void)argc, (void)argv;
    if (again)
        sigaction(SIGINT, &sa, NULL);
    do
        rc = look(sh, &last, again);
    while (rc == 0 && again && !over && nanosleep(&second, NULL) == 0);
    json_decref(last.used);
    return finish(rc);
}

const struct command cmd_top = {
    .name = "top",
    .usage = "",
    .help = "show the machines and the jobs that use most; on a terminal each second, until Ctrl-C",
    .run = run,
};
